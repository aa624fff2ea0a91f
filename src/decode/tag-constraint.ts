/**
 * @file Which tags may follow which, in the schemes that mark spans of words, as scores for {@link viterbi}: 0 permits, -Infinity forbids.
 *
 *     BIO1   (also IOB1) B-x only right behind I-x or B-x, I-x anywhere          (Ramshaw & Marcus 1995)
 *     BIO2   I-x only right behind B-x or I-x                                   (Tjong Kim Sang & Veenstra 1999)
 *     BIOES  B-x and I-x only before I-x or E-x, which stand nowhere else; S-x alone
 *     BILOU  the same with L for E and U for S                                   (Ratinov & Roth 2009)
 */
import { OstinatoError } from "../core/errors.js";
import type { Chain } from "./viterbi.js";

export const CONSTRAINT_SCHEMES = ["BIO1", "BIO2", "BIOES", "BILOU"] as const;
export type ConstraintScheme = (typeof CONSTRAINT_SCHEMES)[number];

interface Mark {
  mark: string;
  type: string;
}

/** O, as which the places before the first word and behind the last one count too: no span reaches across them. */
const OUTSIDE: Mark = { mark: "O", type: "" };

const MARKS: Record<ConstraintScheme, string> = { BIO1: "BI", BIO2: "BI", BIOES: "BIES", BILOU: "BILU" };

/**
 * The constraint of a scheme over named classes: "O", or a mark of the scheme and a type, as B-PER; a mark may stand without type. Every sequence that
 * a chain with these scores permits keeps the scheme, and every one that keeps it is permitted.
 *
 * Where classes are missing (an S-x in BIOES, or O), sequences of some lengths may have no legal path, which {@link viterbi} refuses.
 *
 * @throws OST_TARGET for a class that is no tag of the scheme.
 */
export function tagConstraint(
  classes: readonly string[],
  scheme: ConstraintScheme,
): Required<Chain> & { transitions: Float64Array } {
  const marks = classes.map((name) => parse(name, scheme));
  const score = (before: Mark, after: Mark) => (permits(scheme, before, after) ? 0 : Number.NEGATIVE_INFINITY);
  return {
    transitions: Float64Array.from(marks.flatMap((before) => marks.map((after) => score(before, after)))),
    start: Float64Array.from(marks, (after) => score(OUTSIDE, after)),
    end: Float64Array.from(marks, (before) => score(before, OUTSIDE)),
  };
}

function permits(scheme: ConstraintScheme, before: Mark, after: Mark): boolean {
  const sameType = before.mark !== "O" && after.mark !== "O" && before.type === after.type;
  if (scheme === "BIO1") return after.mark !== "B" || sameType;
  if (scheme === "BIO2") return after.mark !== "I" || sameType;
  const open = before.mark === "B" || before.mark === "I";
  const goesOn = after.mark === "I" || after.mark === "E" || after.mark === "L";
  return open ? goesOn && sameType : !goesOn;
}

function parse(name: string, scheme: ConstraintScheme): Mark {
  if (name === "O") return OUTSIDE;
  const match = /^(.)(?:-(.+))?$/su.exec(name);
  if (match && MARKS[scheme].includes(match[1])) return { mark: match[1], type: match[2] ?? "" };
  throw new OstinatoError("OST_TARGET", {
    what: `class ${JSON.stringify(name)} is no tag of the scheme`,
    expected: `${scheme}: O, or one of ${[...MARKS[scheme]].join(" ")} with a type, as B-PER`,
    got: JSON.stringify(name),
    where: "tagConstraint",
    repair: "name the scheme that the tags keep, or convert the tags",
  });
}

import { describe, expect, it } from "vitest";
import { seed as seeded } from "../core/rng.js";
import { CONSTRAINT_SCHEMES, type ConstraintScheme, tagConstraint } from "./tag-constraint.js";
import { viterbi } from "./viterbi.js";

const MARKS: Record<ConstraintScheme, string[]> = {
  BIO1: ["B", "I"],
  BIO2: ["B", "I"],
  BIOES: ["B", "I", "E", "S"],
  BILOU: ["B", "I", "L", "U"],
};
const classesOf = (scheme: ConstraintScheme) => [
  "O",
  ...["X", "Y"].flatMap((type) => MARKS[scheme].map((mark) => `${mark}-${type}`)),
];

/** The marks of one span, by the definition of the scheme. */
function marks(scheme: ConstraintScheme, length: number, touchesSame: boolean): string[] {
  const inner = (first: string, last: string) => [first, ...new Array(Math.max(0, length - 2)).fill("I"), last].slice(0, length);
  if (scheme === "BIO1") return [touchesSame ? "B" : "I", ...new Array(length - 1).fill("I")];
  if (scheme === "BIO2") return inner("B", "I");
  if (scheme === "BIOES") return length === 1 ? ["S"] : inner("B", "E");
  return length === 1 ? ["U"] : inner("B", "L");
}

/** All tag sequences of a length that some layout of spans gives. */
function written(scheme: ConstraintScheme, length: number): string[] {
  const found: string[] = [];
  const visit = (tags: string[], touching: string) => {
    if (tags.length === length) {
      found.push(tags.join(" "));
      return;
    }
    visit([...tags, "O"], "");
    for (const type of ["X", "Y"]) {
      for (let size = 1; tags.length + size <= length; size++) {
        visit([...tags, ...marks(scheme, size, touching === type).map((mark) => `${mark}-${type}`)], type);
      }
    }
  };
  visit([], "");
  return found;
}

describe("tag constraints", () => {
  it.each(CONSTRAINT_SCHEMES)("of %s permit exactly the sequences that spans can be written as", (scheme) => {
    const classes = classesOf(scheme);
    const { transitions, start, end } = tagConstraint(classes, scheme);
    for (const length of [1, 2, 3, 4]) {
      const permitted: string[] = [];
      for (let code = 0; code < classes.length ** length; code++) {
        const path = Array.from({ length }, (_, t) => Math.floor(code / classes.length ** t) % classes.length);
        let score = start[path[0]] + end[path[length - 1]];
        for (let t = 1; t < length; t++) score += transitions[path[t - 1] * classes.length + path[t]];
        if (score === 0) permitted.push(path.map((c) => classes[c]).join(" "));
        else expect(score).toBe(Number.NEGATIVE_INFINITY);
      }
      expect(permitted.sort()).toEqual(written(scheme, length).sort());
    }
  });

  it.each(CONSTRAINT_SCHEMES)("make viterbi keep %s on any emissions, at the score of the best such sequence", (scheme) => {
    const classes = classesOf(scheme);
    const constraint = tagConstraint(classes, scheme);
    const legal = written(scheme, 4);
    for (let seed = 0; seed < 40; seed++) {
      const rng = seeded(seed);
      const emissions = Float64Array.from({ length: 4 * classes.length }, () => 3 * rng.normal());
      const { classes: path, score } = viterbi(emissions, { classes: classes.length, ...constraint });
      const scoreOf = (text: string) =>
        text.split(" ").reduce((sum, tag, t) => sum + emissions[t * classes.length + classes.indexOf(tag)], 0);
      expect(legal).toContain(Array.from(path, (c) => classes[c]).join(" "));
      expect(score).toBeCloseTo(Math.max(...legal.map(scoreOf)), 10);
    }
  });

  it("of BIO2 never let I-x follow O, the start, or another type", () => {
    const classes = classesOf("BIO2");
    for (let seed = 0; seed < 200; seed++) {
      const rng = seeded(seed);
      const emissions = Float64Array.from(
        { length: 12 * classes.length },
        (_, i) => rng.normal() + (classes[i % classes.length][0] === "I" ? 2 : 0),
      );
      const { classes: path } = viterbi(emissions, { classes: classes.length, ...tagConstraint(classes, "BIO2") });
      const tags = Array.from(path, (c) => classes[c]);
      tags.forEach((tag, t) => {
        if (tag[0] === "I") expect([`B-${tag.slice(2)}`, tag]).toContain(tags[t - 1]);
      });
    }
  });

  it("take marks without a type, and types that hold hyphens", () => {
    const { transitions, start } = tagConstraint(["O", "B", "I", "B-a-b", "I-a-b"], "BIO2");
    const permitted = (from: number, to: number) => transitions[from * 5 + to] === 0;
    expect([permitted(1, 2), permitted(3, 4), permitted(1, 4), permitted(3, 2), permitted(0, 2)]).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
    expect(Array.from(start)).toEqual([0, 0, Number.NEGATIVE_INFINITY, 0, Number.NEGATIVE_INFINITY]);
  });

  it("refuse classes that are no tags of the scheme", () => {
    for (const name of ["PER", "o", "", "B-", "S-PER", "XB-PER"]) {
      expect(() => tagConstraint(["O", name], "BIO2")).toThrow(/OST_TARGET .*BIO2/);
    }
    expect(() => tagConstraint(["E-PER"], "BILOU")).toThrow(/OST_TARGET/);
  });

  it("with missing classes may permit no sequence of a length, which viterbi refuses", () => {
    const constraint = tagConstraint(["B-X", "E-X"], "BIOES");
    expect(Array.from(viterbi([0, 0, 0, 0], { classes: 2, ...constraint }).classes)).toEqual([0, 1]);
    expect(() => viterbi([0, 0], { classes: 2, ...constraint })).toThrow(/OST_RANGE/);
  });
});

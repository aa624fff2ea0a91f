/**
 * @file What the spelling of a word tells: how it begins and ends, and its shape. For words that training never saw.
 *
 *     <column>.prefix3   code of its first three characters
 *     <column>.suffix2   code of its last two
 *     <column>.shape     code of its pattern: capital letters X, small ones x, other letters o, digits d, all else as it is; of a run of more
 *                        than two alike, two remain: "McDonald's-7" is XxXxx'x-d
 *
 * A word shorter than the affix has none, which is code 0 as an affix that was rare or never seen. Affixes do not tell capitals from small
 * letters; the shape does. (Affixes and shapes as features of unknown words: Ratnaparkhi 1996, "A maximum entropy model for part-of-speech
 * tagging"; Collins 2002, "Ranking algorithms for named-entity extraction".)
 */
import { OstinatoError } from "../core/errors.js";
import type { Codebook, FrozenCodebook } from "./codebook.js";
import { Vocabulary } from "./text/index.js";
import { frozen } from "./transform.js";

export interface SpellingOptions {
  /** Lengths of the beginnings, 1 .. 16 characters each. */
  prefixes?: readonly number[];
  /** Lengths of the endings. */
  suffixes?: readonly number[];
  shape?: boolean;
  /** Training rows below which an affix or a shape has no code of its own. Default 2. */
  minCount?: number;
  /** Numbers per code; default as for other codes. */
  width?: number | null;
}

const LONGEST_AFFIX = 16;

const PARTS = ["prefix", "suffix", "shape"] as const;

/** One part of the spelling of a word, as a code. */
export class SpellingPart implements Codebook {
  readonly kind = "spelling";
  readonly several = false;

  private constructor(
    readonly part: (typeof PARTS)[number],
    /** Characters of an affix; 0 for a shape. */
    readonly length: number,
    readonly vocabulary: Vocabulary,
  ) {}

  /** Fits on `texts`, which must be of the training part only. */
  static fit(
    texts: Iterable<string>,
    { part, length, minCount }: { part: (typeof PARTS)[number]; length: number; minCount: number },
  ): SpellingPart {
    function* parts(): Generator<string> {
      for (const text of texts) yield partOf(text, part, length);
    }
    return new SpellingPart(part, length, Vocabulary.fit(parts(), { minCount }));
  }

  /** @throws OST_MODEL_FILE unless `json` is what `toJSON` writes. */
  static fromJSON(json: Record<string, unknown>): SpellingPart {
    const part = frozen.choice(json.part, PARTS, "spelling.part");
    const length = frozen.number(json.length, "spelling.length", { min: 0, max: LONGEST_AFFIX });
    if (!Number.isInteger(length) || (length === 0) !== (part === "shape")) {
      frozen.fail("spelling.length", `1 .. ${LONGEST_AFFIX}, and 0 for a shape`, length);
    }
    return new SpellingPart(part, length, Vocabulary.fromJSON(frozen.object(json.vocabulary, "spelling.vocabulary")));
  }

  get size(): number {
    return this.vocabulary.size;
  }

  encode(text: string): readonly number[] {
    return this.vocabulary.encode(partOf(text, this.part, this.length));
  }

  nameOf(code: number): string {
    return this.vocabulary.nameOf(code);
  }

  toJSON(): FrozenCodebook {
    const { part, length, vocabulary } = this;
    return { transform: this.kind, part, length, vocabulary: vocabulary.toJSON() };
  }
}

/**
 * The parts that options ask for, in the order of their columns.
 *
 * @throws OST_RANGE if a length lies outside its range or is named twice, or nothing is asked for.
 */
export function spellingParts(
  column: string,
  { prefixes = [], suffixes = [], shape = false }: SpellingOptions,
): { name: string; part: (typeof PARTS)[number]; length: number }[] {
  for (const lengths of [prefixes, suffixes]) {
    const wrong = lengths.find((n, i) => !(Number.isInteger(n) && n >= 1 && n <= LONGEST_AFFIX) || lengths.indexOf(n) !== i);
    if (wrong !== undefined) throw refused(column, `distinct lengths of 1 .. ${LONGEST_AFFIX} characters`, String(wrong));
  }
  const parts = [
    ...prefixes.map((length) => ({ name: `${column}.prefix${length}`, part: "prefix" as const, length })),
    ...suffixes.map((length) => ({ name: `${column}.suffix${length}`, part: "suffix" as const, length })),
    ...(shape ? [{ name: `${column}.shape`, part: "shape" as const, length: 0 }] : []),
  ];
  if (parts.length === 0) throw refused(column, "prefixes, suffixes or shape", "none of them");
  return parts;
}

function refused(column: string, expected: string, got: string): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: `the spelling of "${column}" cannot be read so`,
    expected,
    got,
    where: `data.spelling.${column}`,
  });
}

function partOf(text: string, part: (typeof PARTS)[number], length: number): string {
  if (part === "shape") return shapeOf(text);
  const characters = [...text.toLowerCase()];
  if (characters.length < length) return "";
  return (part === "prefix" ? characters.slice(0, length) : characters.slice(-length)).join("");
}

/** The pattern of a word. */
export function shapeOf(text: string): string {
  let shape = "";
  let run = 0;
  let last = "";
  for (const character of text) {
    const kind = /\p{Lu}|\p{Lt}/u.test(character)
      ? "X"
      : /\p{Ll}/u.test(character)
        ? "x"
        : /\p{L}/u.test(character)
          ? "o"
          : /\p{N}/u.test(character)
            ? "d"
            : character;
    run = kind === last ? run + 1 : 1;
    last = kind;
    if (run <= 2) shape += kind;
  }
  return shape;
}

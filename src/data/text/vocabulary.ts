/**
 * @file A vocabulary: the distinct texts of the training rows in order of frequency, one code each, with their counts.
 *
 * Code 0 is a text that is missing (""), was rarer than `minCount`, fell behind `maxSize`, or was never seen. Its name in the data is a missing
 * text too, so that every code has a name of its own.
 */
import { UNKNOWN } from "../../core/batch.js";
import { OstinatoError } from "../../core/errors.js";
import type { Codebook, FrozenCodebook } from "../codebook.js";
import { frozen } from "../transform.js";

/** The largest `size` of a vocabulary, which bounds what a model file from a stranger may claim. */
export const LARGEST_VOCABULARY = 1 << 20;

/** Distinct texts that `fit` holds in memory; a column with more is an id, not a kind. */
const MOST_DISTINCT = 1 << 22;

export interface VocabularyOptions {
  /** Occurrences below which a text has no code of its own. 1 or more, default 1. */
  minCount?: number;
  /** The largest `size`, code 0 included: the rarest texts beyond it have no code. 1 .. `LARGEST_VOCABULARY`, the default. */
  maxSize?: number;
  /** Whether "The" and "the" are one text. Default false. */
  lowerCase?: boolean;
}

export class Vocabulary implements Codebook {
  readonly kind = "vocabulary";
  readonly several = false;
  /** Occurrences in the fitted texts, by code; entry 0 counts those that have no code of their own. */
  readonly counts: readonly number[];
  readonly #texts: readonly string[];
  readonly #codes: ReadonlyMap<string, number>;

  private constructor(
    texts: readonly string[],
    counts: readonly number[],
    readonly lowerCase: boolean,
  ) {
    this.#texts = [UNKNOWN, ...texts];
    this.counts = counts;
    this.#codes = new Map(texts.map((text, i) => [text, i + 1]));
  }

  /**
   * Counts `texts`, which must be of the training part only. Codes go by falling count, equal counts by code unit.
   *
   * @throws OST_RANGE if an option lies outside its range, or the texts have more distinct values than a vocabulary can hold in memory.
   */
  static fit(
    texts: Iterable<string>,
    { minCount = 1, maxSize = LARGEST_VOCABULARY, lowerCase = false }: VocabularyOptions = {},
  ): Vocabulary {
    checkOption("minCount", minCount, Number.MAX_SAFE_INTEGER);
    checkOption("maxSize", maxSize, LARGEST_VOCABULARY);
    const counts = new Map<string, number>();
    let total = 0;
    for (const written of texts) {
      const text = lowerCase ? written.toLowerCase() : written;
      total++;
      if (isMissing(text)) continue;
      counts.set(text, (counts.get(text) ?? 0) + 1);
      if (counts.size > MOST_DISTINCT) throw tooManyTexts();
    }
    const kept = [...counts].filter(([, count]) => count >= minCount);
    kept.sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
    kept.length = Math.min(kept.length, maxSize - 1);
    const known = kept.reduce((sum, [, count]) => sum + count, 0);
    return new Vocabulary(
      kept.map(([text]) => text),
      [total - known, ...kept.map(([, count]) => count)],
      lowerCase,
    );
  }

  /** @throws OST_MODEL_FILE unless `json` is what `toJSON` writes. */
  static fromJSON(json: Record<string, unknown>): Vocabulary {
    const list = frozen.list(json.texts, "vocabulary.texts");
    if (list.length >= LARGEST_VOCABULARY) frozen.fail("vocabulary.texts", `fewer than ${LARGEST_VOCABULARY} texts`, list.length);
    const texts = frozen.texts(list, "vocabulary.texts");
    const distinct = new Set(texts);
    if (distinct.size < texts.length || distinct.has("") || distinct.has(UNKNOWN)) {
      frozen.fail("vocabulary.texts", `distinct texts, none of them "" or "${UNKNOWN}"`, texts);
    }
    const counts = frozen.numbers(json.counts, texts.length + 1, "vocabulary.counts", { min: 0, max: Number.MAX_SAFE_INTEGER });
    if (!counts.every(Number.isInteger)) frozen.fail("vocabulary.counts", "whole numbers", counts);
    return new Vocabulary(texts, counts, frozen.boolean(json.lowerCase ?? false, "vocabulary.lowerCase"));
  }

  get size(): number {
    return this.#texts.length;
  }

  /** True where `text` has a code of its own. */
  has(text: string): boolean {
    return this.#codes.has(this.lowerCase ? text.toLowerCase() : text);
  }

  codeOf(text: string): number {
    return this.#codes.get(this.lowerCase ? text.toLowerCase() : text) ?? 0;
  }

  encode(text: string): readonly number[] {
    return [this.codeOf(text)];
  }

  /** The texts of some codes. What no code of this vocabulary stands for is `<unknown>`. */
  decode(codes: Iterable<number>): string[] {
    return Array.from(codes, (code) => this.nameOf(code));
  }

  nameOf(code: number): string {
    return this.#texts[code] ?? UNKNOWN;
  }

  toJSON(): FrozenCodebook {
    const { lowerCase } = this;
    return { transform: this.kind, texts: this.#texts.slice(1), counts: [...this.counts], ...(lowerCase && { lowerCase }) };
  }
}

function isMissing(text: string): boolean {
  return text === "" || text === UNKNOWN;
}

function checkOption(name: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= max) return;
  throw new OstinatoError("OST_RANGE", {
    what: `${name} is out of range`,
    expected: `a whole number from 1 to ${max}`,
    got: String(value),
    where: "vocabulary",
  });
}

function tooManyTexts(): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: "too many distinct texts for a vocabulary",
    expected: `at most ${MOST_DISTINCT}`,
    where: "vocabulary",
    repair: "is this an id column? Leave it out, or use characters or byte pairs for free text",
  });
}

/**
 * @file chrF (Popović 2015, WMT): an F score of character n-grams, n = 1 .. 6, 0 .. 100, over a corpus.
 *
 *     P, R   the means over n of n-gram precision and recall, of the orders that both sides have
 *     chrF = 100 (1 + b^2) P R / (b^2 P + R)        b = 2: recall weighs twice as much
 *
 * White space is left out first. Of several references the one of the best score counts. These are the defaults of sacrebleu 2 (Post 2018).
 * A character is a Unicode code point.
 */

import { OstinatoError } from "../../core/errors.js";
import { corpusSums } from "./corpus-sum.js";

export const CHRF_ORDER = 6;
/** Sums that chrF is a function of: for each order the n-grams of the hypotheses, of the references, and the matches. */
export const CHRF_WIDTH = 3 * CHRF_ORDER;

export interface ChrfOptions {
  /** Weight of recall; default 2. */
  beta?: number;
  /** Default false. */
  keepWhitespace?: boolean;
}

/** What one text adds to the sums. [CHRF_WIDTH] @throws OST_TARGET if it has no reference. */
export function chrfStatistics(
  hypothesis: string,
  references: readonly string[],
  { beta = 2, keepWhitespace = false }: ChrfOptions = {},
): Float64Array {
  if (references.length === 0) {
    throw new OstinatoError("OST_TARGET", {
      what: "a hypothesis has no reference to be held against",
      expected: "at least one reference",
      got: "none",
      where: "chrf",
    });
  }
  const characters = (text: string) => [...(keepWhitespace ? text : text.replace(/\s+/gu, ""))];
  const found = characters(hypothesis);
  let best: Float64Array | undefined;
  let bestScore = Number.NEGATIVE_INFINITY;
  for (const reference of references) {
    const sums = statisticsOf(found, characters(reference));
    const score = chrfOf(sums, 0, { beta });
    if (score > bestScore) [best, bestScore] = [sums, score];
  }
  return best as Float64Array;
}

/** chrF from the sums at `at`; 0 where the two sides share no order. */
export function chrfOf(sums: ArrayLike<number>, at = 0, { beta = 2 }: Pick<ChrfOptions, "beta"> = {}): number {
  let [precision, recall, orders] = [0, 0, 0];
  for (let order = 0; order < CHRF_ORDER; order++) {
    const [hypothesis, reference, matches] = [0, 1, 2].map((part) => sums[at + 3 * order + part]);
    if (hypothesis === 0 || reference === 0) continue;
    precision += matches / hypothesis;
    recall += matches / reference;
    orders++;
  }
  if (orders === 0 || precision + recall === 0) return 0;
  [precision, recall] = [precision / orders, recall / orders];
  return (100 * (1 + beta ** 2) * precision * recall) / (beta ** 2 * precision + recall);
}

/** chrF of a corpus: `references[i]` are those of `hypotheses[i]`. @throws OST_SHAPE if the lists differ in length. */
export function chrf(
  hypotheses: readonly string[],
  references: readonly (readonly string[])[],
  options: ChrfOptions = {},
): number {
  const statistics = (hypothesis: string, i: number) => chrfStatistics(hypothesis, references[i], options);
  const sums = corpusSums(hypotheses, references, { width: CHRF_WIDTH, statistics, where: "chrf" });
  return chrfOf(sums, 0, options);
}

/** N-grams of an order that the reference has none of are not held against the hypothesis. */
function statisticsOf(hypothesis: readonly string[], reference: readonly string[]): Float64Array {
  const sums = new Float64Array(CHRF_WIDTH);
  for (let order = 1; order <= CHRF_ORDER; order++) {
    const at = 3 * (order - 1);
    const inReference = Math.max(0, reference.length - order + 1);
    sums[at] = inReference > 0 ? Math.max(0, hypothesis.length - order + 1) : 0;
    sums[at + 1] = inReference;
    const counts = nGrams(reference, order);
    for (const [gram, count] of nGrams(hypothesis, order)) sums[at + 2] += Math.min(count, counts.get(gram) ?? 0);
  }
  return sums;
}

function nGrams(characters: readonly string[], order: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i + order <= characters.length; i++) {
    const gram = characters.slice(i, i + order).join("");
    counts.set(gram, (counts.get(gram) ?? 0) + 1);
  }
  return counts;
}

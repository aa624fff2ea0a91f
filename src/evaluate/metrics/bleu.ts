/**
 * @file Corpus BLEU (Papineni et al. 2002, ACL), 0 .. 100, of texts that are divided into tokens already.
 *
 *     BLEU = 100 BP exp( 1/4 sum over n = 1..4 of ln p_n )      p_n = clipped n-gram matches / n-grams of the hypotheses, over the corpus
 *     BP = 1 where the hypotheses are longer than the references, else exp(1 - r / c)
 *
 * An n-gram matches at most as often as it stands in the one reference that has most of it; r sums, for each hypothesis, the length of the
 * reference that is nearest to its own, the shorter of two equally near. Orders without a match are smoothed as asked: "exp" halves for each
 * such order, p_n = 1 / (2^k total_n), the k-th of them (Lin & Och 2004, "NIST"); "none" leaves 0. Where no hypothesis has an n-gram of some
 * order at all, or nothing matches, BLEU is 0. The definitions are those that sacrebleu 2 uses (Post 2018).
 */

import { OstinatoError } from "../../core/errors.js";
import { corpusSums } from "./corpus-sum.js";

export const BLEU_ORDER = 4;
/** Sums that BLEU is a function of: matches and totals of each order, length of the hypotheses, length of the references. */
export const BLEU_WIDTH = 2 * BLEU_ORDER + 2;

export interface BleuOptions {
  /** Default "exp". */
  smoothing?: "exp" | "none";
}

export interface Bleu {
  /** 0 .. 100 */
  bleu: number;
  /** p_1 .. p_4 after smoothing, 0 .. 1. */
  precisions: number[];
  /** 0 .. 1 */
  brevityPenalty: number;
  hypothesisLength: number;
  referenceLength: number;
}

type Tokens = ArrayLike<string | number>;

/** What one hypothesis adds to the sums. [BLEU_WIDTH] @throws OST_TARGET if it has no reference. */
export function bleuStatistics(hypothesis: Tokens, references: readonly Tokens[]): Float64Array {
  if (references.length === 0) {
    throw new OstinatoError("OST_TARGET", {
      what: "a hypothesis has no reference to be held against",
      expected: "at least one reference",
      got: "none",
      where: "bleu",
    });
  }
  const sums = new Float64Array(BLEU_WIDTH);
  for (let order = 1; order <= BLEU_ORDER; order++) {
    const found = nGrams(hypothesis, order);
    const most = new Map<string, number>();
    for (const reference of references) {
      for (const [gram, count] of nGrams(reference, order)) most.set(gram, Math.max(most.get(gram) ?? 0, count));
    }
    for (const [gram, count] of found) sums[order - 1] += Math.min(count, most.get(gram) ?? 0);
    sums[BLEU_ORDER + order - 1] = Math.max(0, hypothesis.length - order + 1);
  }
  const { length } = hypothesis;
  let nearest = references[0].length;
  for (const reference of references) {
    const [far, best] = [Math.abs(reference.length - length), Math.abs(nearest - length)];
    if (far < best || (far === best && reference.length < nearest)) nearest = reference.length;
  }
  sums[2 * BLEU_ORDER] = length;
  sums[2 * BLEU_ORDER + 1] = nearest;
  return sums;
}

/** BLEU from the sums at `at`. */
export function bleuOf(sums: ArrayLike<number>, at = 0, { smoothing = "exp" }: BleuOptions = {}): Bleu {
  const hypothesisLength = sums[at + 2 * BLEU_ORDER];
  const referenceLength = sums[at + 2 * BLEU_ORDER + 1];
  const precisions: number[] = [];
  let matched = false;
  let divisor = 1;
  for (let order = 0; order < BLEU_ORDER; order++) {
    const [matches, total] = [sums[at + order], sums[at + BLEU_ORDER + order]];
    if (matches > 0) matched = true;
    if (matches === 0 && total > 0 && smoothing === "exp") divisor *= 2;
    if (total === 0) precisions.push(0);
    else if (matches > 0) precisions.push(matches / total);
    else precisions.push(smoothing === "exp" ? 1 / (divisor * total) : 0);
  }
  const brevityPenalty =
    hypothesisLength === 0 ? 0 : hypothesisLength < referenceLength ? Math.exp(1 - referenceLength / hypothesisLength) : 1;
  const mean = precisions.reduce((sum, p) => sum + Math.log(p), 0) / BLEU_ORDER;
  const bleu = matched ? 100 * brevityPenalty * Math.exp(mean) : 0;
  return { bleu, precisions, brevityPenalty, hypothesisLength, referenceLength };
}

/** BLEU of a corpus: `references[i]` are those of `hypotheses[i]`. @throws OST_SHAPE if the lists differ in length. */
export function bleu(hypotheses: readonly Tokens[], references: readonly (readonly Tokens[])[], options: BleuOptions = {}): Bleu {
  const statistics = (hypothesis: Tokens, i: number) => bleuStatistics(hypothesis, references[i]);
  const sums = corpusSums(hypotheses, references, { width: BLEU_WIDTH, statistics, where: "bleu" });
  return bleuOf(sums, 0, options);
}

/** How often each run of `order` tokens stands in a text. Tokens are told apart by their text and its length. */
function nGrams(tokens: Tokens, order: number): Map<string, number> {
  const counts = new Map<string, number>();
  const parts = Array.from(tokens, (token) => {
    const text = String(token);
    return `${text.length}:${text}`;
  });
  for (let i = 0; i + order <= parts.length; i++) {
    const gram = parts.slice(i, i + order).join("");
    counts.set(gram, (counts.get(gram) ?? 0) + 1);
  }
  return counts;
}

/**
 * @file Sampling: each next token is drawn from its distribution, which may first be sharpened and cut.
 *
 *     temperature  q_v proportional to p_v^(1 / temperature): below 1 sharper, above 1 flatter
 *     top-k        the k likeliest tokens stay (Fan, Lewis & Dauphin 2018)
 *     top-p        the smallest set of likeliest tokens stays whose probabilities reach p together: nucleus sampling (Holtzman et al. 2020)
 *
 * They apply in this order, and what stays is drawn in proportion to q.
 */
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import { argmax, topIndices } from "../core/top-index.js";
import { type GeneratedSequence, type GenerationOptions, generate } from "./generation.js";
import { sequenceRng } from "./sequence-rng.js";
import { checkWeight, checkWhole, type StepScorer } from "./step-scorer.js";

export interface DrawOptions {
  /** >= 0, default 1. 0 is the likeliest token, as greedy decoding takes it. */
  temperature?: number;
  /** >= 1, default all. More than the vocabulary holds means all. Of tokens that are equally likely the lowest stay. */
  topK?: number;
  /** In (0, 1], default 1: all. The likeliest token always stays. */
  topP?: number;
}

export interface SampleOptions<S> extends GenerationOptions<S>, DrawOptions {
  /** Sequence i is drawn with the generator of {@link sequenceRng}(seed, first + i). */
  seed: number;
  /** Number of the first sequence, default 0: sequences drawn in portions equal those drawn at once. */
  first?: number;
}

/**
 * Draws one sequence per start. Log-probabilities are the model's own, before temperature and cuts. A sequence depends on its start, the seed and
 * its number alone, not on how many are drawn with it.
 *
 * @throws OST_RANGE, OST_SHAPE; OST_NAN naming the step, if the scorer gives NaN or leaves no token possible.
 */
export function sample<S>(scorer: StepScorer<S>, options: SampleOptions<S>): GeneratedSequence[] {
  const { seed, first = 0 } = options;
  checkDraw(options, "sample");
  checkWhole("the number of the first sequence", first, { least: 0, where: "sample" });
  const rngs = new Map<number, Rng>();
  const rngOf = (sequence: number) => {
    const rng = rngs.get(sequence) ?? sequenceRng(seed, first + sequence);
    rngs.set(sequence, rng);
    return rng;
  };
  return generate(scorer, options, { choose: (row, sequence) => draw(row, rngOf(sequence), options), where: "sample" });
}

/**
 * One token of a distribution.
 *
 * @param logProbabilities [vocabSize], normalised or not, finite or -Infinity; at least one above -Infinity.
 * @throws OST_RANGE for an option; OST_NAN for NaN, and if no token is possible.
 */
export function drawToken(logProbabilities: ArrayLike<number>, rng: Rng, options: DrawOptions = {}): number {
  checkDraw(options, "drawToken");
  const known = Array.from(logProbabilities).every((value) => value < Number.POSITIVE_INFINITY);
  if (!known || argmax(logProbabilities) < 0) {
    throw new OstinatoError("OST_NAN", {
      what: "nothing can be drawn from these log-probabilities",
      expected: "numbers or -Infinity, and at least one number",
      got: known ? "-Infinity only" : "NaN or Infinity among them",
      where: "drawToken",
    });
  }
  return draw(logProbabilities, rng, options);
}

function draw(logProbabilities: ArrayLike<number>, rng: Rng, options: DrawOptions): number {
  const weights = drawWeights(logProbabilities, options);
  let total = 0;
  for (const weight of weights) total += weight;
  const target = rng.uniform() * total;
  let reached = 0;
  let last = -1;
  for (let v = 0; v < weights.length; v++) {
    if (weights[v] === 0) continue;
    reached += weights[v];
    last = v;
    if (reached > target) return v;
  }
  return last;
}

/** What each token is drawn in proportion to, [vocabSize]; 0 for those that were cut. The likeliest has 1. */
function drawWeights(scores: ArrayLike<number>, { temperature = 1, topK, topP = 1 }: DrawOptions): Float64Array {
  const weights = new Float64Array(scores.length);
  const best = argmax(scores);
  if (temperature === 0) {
    weights[best] = 1;
    return weights;
  }
  for (let v = 0; v < scores.length; v++) weights[v] = Math.exp((scores[v] - scores[best]) / temperature);
  if ((topK === undefined || topK >= scores.length) && topP === 1) return weights;
  const cut = new Float64Array(scores.length);
  for (const v of kept(scores, weights, { topK, topP })) cut[v] = weights[v];
  return cut;
}

/** The tokens that top-k and top-p leave, likeliest first. */
function kept(scores: ArrayLike<number>, weights: Float64Array, { topK, topP }: { topK?: number; topP: number }): number[] {
  const most = Math.min(topK ?? scores.length, scores.length);
  const limited = most < scores.length ? topIndices(scores, most) : undefined;
  if (limited && topP === 1) return limited;
  const total = limited ? limited.reduce((sum, v) => sum + weights[v], 0) : weights.reduce((sum, weight) => sum + weight, 0);
  // A nucleus is mostly small: the likeliest few are sorted out first, and more only where they do not reach the share.
  for (let count = NUCLEUS; ; count *= 8) {
    const some = limited ?? topIndices(scores, count);
    let mass = 0;
    for (let size = 0; size < some.length; size++) {
      mass += weights[some[size]];
      if (mass >= topP * total) return some.slice(0, size + 1);
    }
    if (limited || count >= scores.length) return some;
  }
}

const NUCLEUS = 64;

function checkDraw({ temperature = 1, topK, topP = 1 }: DrawOptions, where: string): void {
  checkWeight("temperature", temperature, where);
  if (topK !== undefined) checkWhole("topK", topK, { least: 1, where });
  if (topP > 0 && topP <= 1) return;
  throw new OstinatoError("OST_RANGE", { what: "topP is a share", expected: "0 < topP <= 1", got: String(topP), where });
}

/** @file Scores target sequences that were searched for, beside what the model thinks of the true ones, batch by batch. */
import { type Batch, type ExampleSpec, UNKNOWN } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { DecodedSequence } from "../model/index.js";
import { BLEU_WIDTH, bleuOf, bleuStatistics } from "./metrics/bleu.js";
import { CHRF_WIDTH, chrfOf, chrfStatistics } from "./metrics/chrf.js";
import { EditSums, editDistance, errorRate } from "./metrics/edit-distance.js";
import { isExactMatch } from "./metrics/exact-match.js";
import { DivergenceSums, firstDifference } from "./metrics/first-divergence.js";
import { LengthBuckets } from "./metrics/length-bucket.js";
import type { SequenceBucket, SequenceMetrics, SequenceScore, SequenceUnits } from "./score.js";
import { nothingScored, requireSize } from "./score-forecast.js";

export interface ScoreSequencesOptions {
  /** What one token is called: "word", "character", "phoneme", "label". Default "token". */
  unitName?: string;
  /** What stands between two tokens of a text ("" or " "), for chrF over the names of the codes; absent: no chrF. */
  joiner?: string;
  /** Whether a target's log-probability holds that of its end, as of a translating network, so that it is over one token more. Default true. */
  endCounted?: boolean;
}

/** Takes batches with log-probabilities and decoded sequences. */
export interface SequenceScorer {
  /**
   * @param logProbabilities [B] of the true targets in nats, NaN where the predictor has none
   * @param decoded [B] found without seeing the target
   * @param teacherForcedRight [B] how many target tokens are the likeliest when all before them are given, where that is known
   * @throws OST_SHAPE if one of them is not one per row. @throws OST_NAN if a log-probability is above 0 by more than rounding.
   */
  add(
    batch: Batch,
    logProbabilities: ArrayLike<number>,
    decoded: readonly Pick<DecodedSequence, "tokens">[],
    teacherForcedRight?: ArrayLike<number>,
  ): void;
  /** @throws OST_TARGET if there was nothing to score. */
  result(): SequenceScore;
}

/**
 * Scores "tokens": error rate, exact match, BLEU over the codes, chrF over their names, and the teacher-forced negative log-probability, side by
 * side with what is found free-running. A target token that training never saw (`<unknown>`) is never right. Rows of length zero are not scored; an
 * empty target is, and every token found for it is an insertion.
 */
export function scoreSequences(
  spec: ExampleSpec,
  { unitName = "token", joiner, endCounted = true }: ScoreSequencesOptions = {},
): SequenceScorer {
  const units: SequenceUnits = { series: [], position: [], edits: [], referenceLength: [], exact: [], bleu: [] };
  if (joiner !== undefined) units.chrf = [];
  const textOf = (codes: readonly number[]) => codes.map((code) => spec.classes[code] ?? REPLACEMENT).join(joiner);
  // What training never saw has a code, but nothing that is found can be it.
  const hasUnknown = spec.classes[0] === UNKNOWN;
  const known = (code: number) => (hasUnknown && code === 0 ? -1 : code);
  const edits = new EditSums();
  const divergence = new DivergenceSums();
  const byTarget = new LengthBuckets(3);
  const bySource = new LengthBuckets(3);
  const bleu = new Float64Array(BLEU_WIDTH);
  const chrf = new Float64Array(CHRF_WIDTH);
  const nlls: number[] = [];
  const nllTokens: number[] = [];
  let unknown = 0;
  let impossible = 0;
  let nll = 0;
  let tokens = 0;
  let exact = 0;
  let right = 0;
  let forcedRight = 0;
  let forcedRows = 0;
  const addTo = (sums: Float64Array, values: Float64Array, list: number[]) =>
    values.forEach((value, at) => {
      sums[at] += value;
      list.push(value);
    });
  return {
    add(batch, logProbabilities, decoded, teacherForcedRight) {
      const { batchSize, lengths, tokens: targets, tokenLengths } = batch;
      requireSize(logProbabilities.length, targets ? batchSize : 0, "scoreSequences");
      requireSize(decoded.length, batchSize, "scoreSequences (decoded)");
      if (teacherForcedRight) requireSize(teacherForcedRight.length, batchSize, "scoreSequences (teacher-forced)");
      if (!targets || !tokenLengths) return;
      const U = targets.length / batchSize;
      for (let row = 0; row < batchSize; row++) {
        if (lengths[row] === 0) continue;
        const target = Array.from(targets.subarray(row * U, row * U + tokenLengths[row]), known);
        const found = decoded[row].tokens;
        const own = editDistance(target, found);
        const isExact = isExactMatch(target, found) ? 1 : 0;
        edits.add(own);
        exact += isExact;
        divergence.add(firstDifference(target, found));
        for (let u = 0; u < Math.min(target.length, found.length); u++) if (target[u] === found[u]) right++;
        if (teacherForcedRight) {
          forcedRight += teacherForcedRight[row];
          forcedRows++;
        }
        addTo(bleu, bleuStatistics(found, [target]), units.bleu);
        if (units.chrf) addTo(chrf, chrfStatistics(textOf(found), [textOf(target)]), units.chrf);
        const figures = [own.distance, target.length, isExact];
        byTarget.add(target.length, figures);
        bySource.add(lengths[row], figures);
        units.series.push(batch.series[row]);
        units.position.push(batch.start[row]);
        units.edits.push(own.distance);
        units.referenceLength.push(target.length);
        units.exact.push(isExact);
        const logProbability = logProbabilities[row];
        const isPossible = logProbability > Number.NEGATIVE_INFINITY;
        const counted = isPossible ? target.length + (endCounted ? 1 : 0) : 0;
        if (Number.isNaN(logProbability)) unknown++;
        else if (!isPossible) impossible++;
        else {
          requireLogProbability(logProbability);
          nll -= logProbability;
          tokens += counted;
        }
        nlls.push(isPossible ? -logProbability : 0);
        nllTokens.push(counted);
      }
    },
    result() {
      const n = units.exact.length;
      if (n === 0) throw nothingScored("scoreSequences");
      const { rate, substitutions, deletions, insertions, referenceLength } = edits;
      const possible = n - impossible;
      const hasNll = unknown === 0 && possible > 0 && tokens > 0;
      const length = Math.max(1, referenceLength);
      const metrics: SequenceMetrics = {
        n,
        unitName,
        tokenErrorRate: rate,
        substitutions,
        deletions,
        insertions,
        referenceLength,
        exactMatch: exact / n,
        bleu: bleuOf(bleu).bleu,
        ...(units.chrf && { chrf: chrfOf(chrf) }),
        ...(hasNll && { nll: nll / tokens, perplexity: Math.exp(nll / tokens), nllPerSequence: nll / possible }),
        ...(unknown === 0 && impossible > 0 && { impossible }),
        tokenAccuracy: { ...(forcedRows === n && { teacherForced: forcedRight / length }), freeRunning: right / length },
        firstDivergence: divergence.result(),
        byTargetLength: bucketsOf(byTarget),
        bySourceLength: bucketsOf(bySource),
      };
      return { kind: "sequence", metrics, units: hasNll ? { ...units, nll: nlls, nllTokens } : units };
    },
  };
}

function bucketsOf(buckets: LengthBuckets): SequenceBucket[] {
  return buckets
    .result()
    .map(({ from, to, n, sums }) => ({ from, to, n, tokenErrorRate: errorRate(sums[0], sums[1]), exactMatch: sums[2] / n }));
}

/** What stands for an unknown token in a text. */
const REPLACEMENT = "\ufffd";

/** float32 may come out a little above 0. */
const ROUNDING = 1e-3;

function requireLogProbability(value: number): void {
  if (value <= ROUNDING) return;
  throw new OstinatoError("OST_NAN", {
    what: "a log-probability is above 0",
    expected: "at most 0",
    got: String(value),
    where: "scoreSequences",
    repair: "give log-probabilities, not losses or densities",
  });
}

/** "WER" of words, "CER" of characters, "PER" of phonemes, else the unit's own error rate. */
export function errorRateLabel(unitName: string): string {
  return { word: "WER", character: "CER", phoneme: "PER" }[unitName] ?? `${unitName} error rate`;
}

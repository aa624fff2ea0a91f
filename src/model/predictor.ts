/** @file From a batch to predictions: one shape for networks and baselines, so that everything above treats them alike. */
import type { Batch } from "../core/batch.js";
import type { StepReader } from "./step-reader.js";

export interface Predictor {
  readonly name: string;
  /**
   * "values": [B, P, K], or [B, T, P, K] where every step predicts, in the scaled space of the targets; "class": [B, C] and "tags":
   * [B, T, C], logits or log-probabilities, and "next" like "tags"; "tokens": [B], the log-probability in nats of each target sequence given
   * its input, NaN from a predictor that has none. A network of a `spec.distribution` gives its raw outputs, [.., P, K, M]. What lies at
   * padded steps means nothing.
   */
  predict(batch: Batch): Float32Array;
  /** Whether `predict` gives the raw outputs of `spec.distribution`; absent: their number says so. */
  readonly distributional?: boolean;
  /** "tags": labels that are decided together, such as the best path of a conditional random field, [B, T]. Absent: the likeliest each. */
  labels?(batch: Batch, prediction: Float32Array): Int32Array;
  /** "tokens": the sequence found for each row, without seeing its target. */
  decode?(batch: Batch): DecodedSequence[];
  /** "tokens": how many target tokens of each row, its end not counted, are the likeliest when all before them are given, [B]. */
  forcedRight?(batch: Batch): Int32Array;
  /** Reads on step by step, so that a network can be given its own output. Absent where there is no state to read on from. */
  readonly reader?: StepReader;
}

/** A sequence that was searched for. */
export interface DecodedSequence {
  /** Codes 0 .. V - 1, without begin, end or blank. */
  tokens: number[];
  /** Its log-probability in nats by the model, or NaN. */
  logProbability: number;
}

/** softmax of one row of logits, in float64. */
export function probabilities(logits: ArrayLike<number>, start: number, count: number): number[] {
  let top = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < count; c++) top = Math.max(top, logits[start + c]);
  const shares = new Array<number>(count);
  let total = 0;
  for (let c = 0; c < count; c++) {
    shares[c] = Math.exp(logits[start + c] - top);
    total += shares[c];
  }
  for (let c = 0; c < count; c++) shares[c] /= total;
  return shares;
}

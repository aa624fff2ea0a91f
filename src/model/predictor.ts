/** @file From a batch to predictions: one shape for networks and baselines, so that everything above treats them alike. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import type { Rng } from "../core/rng.js";
import type { SequenceModel, State } from "../nn/index.js";
import { inference, integers, type Tensor, tensor } from "../tensor/index.js";

export interface Predictor {
  readonly name: string;
  /**
   * "values": [B, P, K], or [B, T, P, K] where every step predicts, in the scaled space of the targets; "class": [B, C] and "tags":
   * [B, T, C], logits or log-probabilities, and "next" like "tags"; "tokens": [B], the log-probability in nats of each target sequence given
   * its input, NaN from a predictor that has none. A network of a `spec.distribution` gives its raw outputs, [.., P, K, M]. What lies at
   * padded steps means nothing.
   */
  predict(batch: Batch): Float32Array;
  /** "tags": labels that are decided together, such as the best path of a conditional random field, [B, T]. Absent: the likeliest each. */
  labels?(batch: Batch, prediction: Float32Array): Int32Array;
  /** "tokens": the sequence found for each row, without seeing its target. */
  decode?(batch: Batch): DecodedSequence[];
}

/** A sequence that was searched for. */
export interface DecodedSequence {
  /** Codes 0 .. V - 1, without begin, end or blank. */
  tokens: number[];
  /** Its log-probability in nats by the model, or NaN. */
  logProbability: number;
}

/** A network seen as a predictor. Rows are predicted from the initial state. */
export function networkPredictor(name: string, network: SequenceModel, spec: ExampleSpec): Predictor {
  return {
    name,
    predict: (batch) => inference(() => Float32Array.from(forwardBatch(network, spec, batch).prediction.toArray())),
  };
}

/**
 * Runs a network on a batch and takes the output its task reads: at every step, or at each row's last valid step.
 *
 * @returns `prediction` as in {@link Predictor}, with per-window normalisation undone; `state` after the batch.
 */
export function forwardBatch(
  network: SequenceModel,
  spec: ExampleSpec,
  batch: Batch,
  { rng, state }: { rng?: Rng; state?: State } = {},
): { prediction: Tensor; state: State } {
  const { engine } = network;
  const { batchSize, time, features } = batch;
  const x = tensor(batch.x, [batchSize, time, features], { engine });
  const lengths = integers(batch.lengths, [batchSize], { engine });
  const result = network.forward(x, { rng, state, lengths });
  const everyStep = spec.targetKind === "tags" || spec.everyStep;
  const output = everyStep ? result.output : result.last;
  return { prediction: batch.normalization ? denormalize(output, spec, batch) : output, state: result.state };
}

/** prediction * scale + offset of each target's own feature; targets that are no feature stay as they are. */
function denormalize(
  prediction: Tensor,
  { horizon, targetFeature }: ExampleSpec,
  { batchSize, features, normalization }: Batch,
): Tensor {
  const { offset, scale } = normalization as NonNullable<Batch["normalization"]>;
  const width = targetFeature.length;
  const scales = new Float32Array(batchSize * horizon * width).fill(1);
  const offsets = new Float32Array(batchSize * horizon * width);
  for (let b = 0; b < batchSize; b++) {
    for (let p = 0; p < horizon; p++) {
      targetFeature.forEach((feature, k) => {
        if (feature < 0) return;
        scales[(b * horizon + p) * width + k] = scale[b * features + feature];
        offsets[(b * horizon + p) * width + k] = offset[b * features + feature];
      });
    }
  }
  const options = { engine: prediction.engine };
  return prediction.multiply(tensor(scales, prediction.shape, options)).add(tensor(offsets, prediction.shape, options));
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

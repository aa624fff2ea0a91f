/** @file From a batch to the outputs of a network that its task reads. */
import { type Batch, type ExampleSpec, isPerStep } from "../core/batch.js";
import type { Rng } from "../core/rng.js";
import type { SequenceModel, State } from "../nn/index.js";
import { integers, type Tensor, tensor } from "../tensor/index.js";

/**
 * Runs a network on a batch and takes the output its task reads: at every step, or at each row's last valid step.
 *
 * @returns `prediction` as in {@link Predictor}, with per-window normalisation undone but for distributions, whose raw outputs stay those
 *          of the normalised window; `state` after the batch.
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
  const output = readsEveryStep(spec) ? result.output : result.last;
  const denormalized = batch.normalization && !spec.distribution;
  return { prediction: denormalized ? denormalize(output, spec, batch) : output, state: result.state };
}

/** Whether a prediction is made at every step, or at each row's last valid one. */
export function readsEveryStep({ targetKind, everyStep }: Pick<ExampleSpec, "targetKind" | "everyStep">): boolean {
  return isPerStep(targetKind) || targetKind === "tokens" || everyStep;
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

/**
 * @file The loss of a forecast that reads its own predictions.
 *
 * Each step of the window predicts the next one (teacher forcing: it reads what was measured). The steps beyond the window are predicted
 * one after the other; the first is read from the window, and each later one from the prediction before it, or, while `train.sampling` has
 * not reached its end, from the measured value with the remaining probability (Bengio et al. 2015).
 */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { type Distribution, outputsPerValue } from "../core/predictive-distribution.js";
import type { Rng } from "../core/rng.js";
import { pointsOf, predictedInput, sequenceModel } from "../model/index.js";
import { concatenate, integers, type Tensor, tensor } from "../tensor/index.js";
import { scheduledSampling } from "../train/index.js";
import type { Task, TaskConfig } from "./task.js";
import { normalizedTargets, valueLoss } from "./value-loss.js";

export function recursiveObjective(config: TaskConfig, distribution: Distribution | undefined): Task["objective"] {
  const per = outputsPerValue(distribution);
  return (batch, { network, spec, rng, step: updates = 0 }) => {
    const model = sequenceModel(network);
    const { engine } = model;
    const { batchSize, time, features } = batch;
    const K = spec.targets.length;
    const horizon = batch.horizon;
    const own = rng ? ownProbability(config, updates) : 1;
    const lengths = integers(batch.lengths, [batchSize], { engine });
    const x = tensor(batch.x, [batchSize, time, features], { engine });
    const { output, last, state } = model.forward(x, { lengths, rng });
    // In validation the horizon alone is held against its targets: that is what is judged.
    const within = rng ? stepTargets(batch, spec) : new Float32Array(0);
    const pieces: Tensor[] = rng ? [output] : [];
    const beyond = normalizedTargets(batch, spec.targetFeature);
    const values = new Float32Array(within.length + beyond.length);
    values.set(within);
    let current = last;
    let carried = state;
    for (let p = 0; p < horizon; p++) {
      pieces.push(current.reshape([batchSize, 1, K * per]));
      const at = within.length + p * batchSize * K;
      const step = values.subarray(at, at + batchSize * K);
      for (let b = 0; b < batchSize; b++) step.set(beyond.subarray((b * horizon + p) * K, (b * horizon + p + 1) * K), b * K);
      if (p + 1 === horizon) break;
      const predicted = distribution ? tensor(pointsOf(distribution, current.floats()), [batchSize, K], { engine }) : current;
      const read = own < 1 && rng ? mixed(predicted, { targets: step, own, rng }) : predicted;
      const result = model.forward(predictedInput(read, spec), { state: carried, rng });
      current = result.last;
      carried = result.state;
    }
    const flat = pieces.map((piece) => piece.reshape([piece.size / per, per]));
    const prediction = flat.length === 1 ? flat[0] : concatenate(flat, 0);
    const weight = values.reduce((count, value) => count + (Number.isNaN(value) ? 0 : 1), 0);
    return {
      loss: valueLoss(config, distribution ? prediction : prediction.reshape([prediction.size]), values, distribution),
      weight,
    };
  };
}

/** How likely a step beyond the window reads its own prediction. */
function ownProbability({ train: { sampling } }: TaskConfig, step: number): number {
  return sampling ? scheduledSampling(sampling)(step) : 1;
}

/** What each step of a window is to predict, which is its next row; NaN at its last one and after. [B * T * K] */
function stepTargets({ x, batchSize, time, features, lengths }: Batch, { targetFeature }: ExampleSpec): Float32Array {
  const K = targetFeature.length;
  const next = new Float32Array(batchSize * time * K).fill(Number.NaN);
  for (let b = 0; b < batchSize; b++) {
    for (let t = 0; t + 1 < lengths[b]; t++) {
      for (let k = 0; k < K; k++) next[(b * time + t) * K + k] = x[(b * time + t + 1) * features + targetFeature[k]];
    }
  }
  return next;
}

/** Row by row the prediction, or with probability 1 - own what was measured. */
function mixed(predicted: Tensor, { targets, own, rng }: { targets: Float32Array; own: number; rng: Rng }): Tensor {
  const [batchSize, K] = predicted.shape;
  const keep = new Float32Array(batchSize * K);
  const measured = new Float32Array(batchSize * K);
  for (let b = 0; b < batchSize; b++) {
    const row = targets.subarray(b * K, (b + 1) * K);
    const isOwn = rng.uniform() < own || row.some(Number.isNaN);
    keep.fill(isOwn ? 1 : 0, b * K, (b + 1) * K);
    if (!isOwn) measured.set(row, b * K);
  }
  const { engine } = predicted;
  return predicted.multiply(tensor(keep, [batchSize, K], { engine })).add(tensor(measured, [batchSize, K], { engine }));
}

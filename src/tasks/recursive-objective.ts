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
    const { within, beyond } = targetsOf(batch, spec);
    const pieces: Tensor[] = batch.everyStep ? [output] : [];
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

interface RecursiveTargets {
  /** The next row of each step of a window; NaN at its last step and after. [B, T, K], or empty where steps have no targets. */
  within: Float32Array;
  /** [B, P, K] */
  beyond: Float32Array;
}

/** In the units of the network; NaN where nothing was measured, though the input may have been filled in there. */
function targetsOf(batch: Batch, { targetFeature }: ExampleSpec): RecursiveTargets {
  const values = normalizedTargets(batch, targetFeature);
  if (!batch.everyStep) return { within: new Float32Array(0), beyond: values };
  const { batchSize, time, horizon, lengths } = batch;
  const K = targetFeature.length;
  const within = new Float32Array(batchSize * time * K).fill(Number.NaN);
  const beyond = new Float32Array(batchSize * horizon * K).fill(Number.NaN);
  for (let b = 0; b < batchSize; b++) {
    if (lengths[b] === 0) continue;
    const last = b * time + lengths[b] - 1;
    for (let step = b * time; step < last; step++)
      within.set(values.subarray(step * horizon * K, (step * horizon + 1) * K), step * K);
    beyond.set(values.subarray(last * horizon * K, (last + 1) * horizon * K), b * horizon * K);
  }
  return { within, beyond };
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

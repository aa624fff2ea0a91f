/** @file Losses against the values of a batch: errors of points, or the likelihood of distributions. */
import type { Batch, Part } from "../core/batch.js";
import { type Distribution, outputsPerValue } from "../core/predictive-distribution.js";
import { type Examples, type PreparedData, sequences, windows } from "../data/index.js";
import { distributionLoss, huber, mae, mse } from "../losses/index.js";
import { sequenceModel } from "../model/index.js";
import { type Tensor, tensor } from "../tensor/index.js";
import { countTargets } from "./target-count.js";
import type { ExampleOptions, Task, TaskConfig } from "./task.js";
import { truncatedForward } from "./truncated-forward.js";

const LOSSES = { mse, mae, huber };

export interface ValueTaskOptions {
  /** Absent: points. */
  distribution?: Distribution;
  everyStep: boolean;
  horizon: number;
  ahead: 0 | 1;
}

/** What tasks share that predict values from one pass of the network. */
export function valueTask(
  config: TaskConfig,
  { distribution, everyStep, horizon, ahead }: ValueTaskOptions,
): Pick<Task, "everyStep" | "horizon" | "ahead" | "objective" | "lossWeight"> {
  return {
    everyStep,
    horizon: { train: horizon, judged: horizon },
    ahead,
    objective(batch, { network, spec, rng, state }) {
      const { prediction, state: next } = truncatedForward(sequenceModel(network), spec, batch, { rng, state });
      return {
        loss: valueLoss(
          config,
          prediction,
          distribution ? normalizedTargets(batch, spec.targetFeature) : targetsOf(batch),
          distribution,
        ),
        state: config.mode === "streaming" ? next : undefined,
      };
    },
    lossWeight: countTargets,
  };
}

/** Whole sequences or windows whose every step predicts. */
export function frameExamples({ window }: TaskConfig, { ahead }: { ahead: 0 | 1 }) {
  return <P extends Part>(prepared: PreparedData, part: P, { length = window.length }: ExampleOptions = {}): Examples<P> =>
    length === undefined
      ? sequences(prepared, { part, horizon: 1, ahead })
      : windows(prepared, { length, horizon: 1, part, stride: length, everyStep: true, ahead });
}

/** NaN where there is none. */
type Targets = Float32Array;

function targetsOf({ values = new Float32Array(0) }: Batch): Targets {
  return values;
}

/** Targets in the units of a normalised window, in which a network gives distributions and its own next inputs. */
export function normalizedTargets(batch: Batch, targetFeature: readonly number[]): Targets {
  const { values = new Float32Array(0), normalization, batchSize, features } = batch;
  if (!normalization) return values;
  const K = targetFeature.length;
  const perRow = values.length / batchSize;
  return values.map((value, i) => {
    const feature = targetFeature[i % K];
    if (feature < 0) return value;
    const at = Math.floor(i / perRow) * features + feature;
    return (value - normalization.offset[at]) / normalization.scale[at];
  });
}

/** The mean over the targets that are there. @param prediction [.., K], or [.., K * M] of a distribution. */
export function valueLoss(
  { train: { loss = "mse" } }: Pick<TaskConfig, "train">,
  prediction: Tensor,
  targets: Targets,
  distribution?: Distribution,
): Tensor {
  const mask = Uint8Array.from(targets, (value) => (Number.isNaN(value) ? 0 : 1));
  const values = targets.map((value) => (Number.isNaN(value) ? 0 : value));
  const { engine } = prediction;
  if (distribution) {
    const raw = prediction.reshape([values.length, outputsPerValue(distribution)]);
    return distributionLoss(distribution, raw, tensor(values, [values.length], { engine }), { mask });
  }
  return LOSSES[loss as keyof typeof LOSSES](prediction, tensor(values, prediction.shape, { engine }), { mask });
}

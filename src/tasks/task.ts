/** @file What a task is: how examples, loss and metric of one pattern of prediction fit together. */
import type { Batch, Part, TargetKind } from "../core/batch.js";
import { type Examples, lanes, type PreparedData } from "../data/index.js";
import type { MetricName } from "../evaluate/index.js";
import type { TaskName } from "../model/index.js";
import type { Tensor } from "../tensor/index.js";
import { classify } from "./classify.js";
import type { ExperimentConfig } from "./config.js";
import { forecast } from "./forecast.js";
import { tag } from "./tag.js";

export interface LossOptions {
  loss?: ExperimentConfig["train"]["loss"];
  labelSmoothing: number;
  /** One per class, or null. */
  classWeights: Float32Array | null;
}

export interface Task {
  readonly name: TaskName;
  readonly targetKind: TargetKind;
  /** What the verdict and the length report go by unless a decision is configured. */
  readonly metric: MetricName;
  /** What one scored thing is called. */
  readonly unit: string;
  /** Windows or whole sequences of a part; for a model that does not carry its state. */
  examples<P extends Part>(prepared: PreparedData, config: ExperimentConfig, part: P, options?: ExampleOptions): Examples<P>;
  /** The scalar to be minimised. Targets that are missing and padded steps take no part. */
  loss(prediction: Tensor, batch: Batch, options: LossOptions): Tensor;
  /** What the loss of the batch is a mean over, so that the means of several batches can be joined; 0 where no target is there. */
  lossWeight(batch: Batch, options: LossOptions): number;
}

export interface ExampleOptions {
  /** Steps from one example to the next; default the configuration's in training and 1 elsewhere. */
  stride?: number;
  /** Examples that read what a stream reads when it predicts, instead of those of training. */
  served?: boolean;
  /** Input steps; default the configuration's. */
  length?: number;
  /** Keeps forecast windows whose targets lie beyond the end. */
  keepUnscored?: boolean;
}

const TASKS: Record<TaskName, Task> = { forecast, classify, tag };

export function taskOf({ task }: Pick<ExperimentConfig, "task">): Task {
  return TASKS[task];
}

/** Rows of a batch of `wholeLanes`. */
export const WHOLE_LANES = 8;

/**
 * Every stretch of a part as one row, so that a carried state runs through all of it; a few rows at a time. Stretches of more than `chunk`
 * steps, default none, go on in the next batch, as `reset` says.
 */
export function wholeLanes(
  prepared: PreparedData,
  part: Part,
  horizon: number,
  { chunk = Number.POSITIVE_INFINITY }: { chunk?: number } = {},
): Iterable<Batch> {
  const longest = prepared.series.reduce((most, { length }) => Math.max(most, length), 1);
  return lanes(prepared, { batchSize: WHOLE_LANES, chunk: Math.min(longest, chunk), part, horizon });
}

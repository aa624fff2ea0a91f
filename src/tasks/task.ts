/** @file What a task is: how examples, network, loss and metric of one pattern of prediction fit together. */
import type { Batch, ExampleSpec, Part, TargetKind } from "../core/batch.js";
import type { Rng } from "../core/rng.js";
import { type Examples, lanes, type PreparedData } from "../data/index.js";
import type { MetricName } from "../evaluate/index.js";
import type { Architecture, Network, TaskName } from "../model/index.js";
import type { State } from "../nn/index.js";
import type { Objective } from "../train/index.js";
import { classify } from "./classify.js";
import type { ExperimentConfig } from "./config.js";
import { detect } from "./detect.js";
import { forecast } from "./forecast.js";
import { language } from "./language.js";
import { tag } from "./tag.js";
import { transcribe } from "./transcribe.js";
import { translate } from "./translate.js";

/** What the loss needs beside prediction and batch. */
export interface LossOptions {
  /** One per class, or null. */
  classWeights: Float32Array | null;
  /** Cost of deciding [true class][predicted class], [C, C] row by row, or null. */
  costs: Float32Array | null;
}

export interface ObjectiveContext {
  network: Network;
  spec: ExampleSpec;
  options: LossOptions;
  /** Turns dropout and sampling on: training. Absent: validation. */
  rng?: Rng;
  /** Carried from the batch before; rows that begin a series are put back already. */
  state?: State;
  /** Updates before this one. */
  step?: number;
}

export interface Task {
  readonly name: TaskName;
  readonly targetKind: TargetKind;
  /** Values: whether every step predicts. */
  readonly everyStep: boolean;
  /** Values: steps that an example has targets for, in training and elsewhere; 0 for classes. */
  readonly horizon: { train: number; judged: number };
  /** Values at every step: 0 if each step predicts its own row, else 1. */
  readonly ahead: 0 | 1;
  /** What the verdict and the length report go by unless a decision is configured. */
  readonly metric: MetricName;
  /** What one scored thing is called. */
  readonly unit: string;
  /** False where a prediction needs the whole sequence. */
  readonly streams: boolean;
  /** Looks for what the task cannot learn from, before anything is learned. @throws OST_TARGET naming where it stands. */
  check?(prepared: PreparedData): void;
  /** Windows or whole sequences of a part; for a model that does not carry its state. */
  examples<P extends Part>(prepared: PreparedData, part: P, options?: ExampleOptions): Examples<P>;
  /** What predictors must know of the examples, beside what the data say. @throws OST_CONFIG where data and task do not fit. */
  complete(spec: ExampleSpec): ExampleSpec;
  architecture(spec: ExampleSpec): Architecture;
  /** The scalar to be minimised, recorded. Targets that are missing and padded steps take no part. */
  objective(batch: Batch, context: ObjectiveContext): Objective;
  /**
   * What the loss of the batch is a mean over, so that the means of several batches can be joined; 0 where no target is there. In training
   * the objective's own weight goes before it.
   */
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

/** What of a configuration says which task it is. */
export type TaskConfig = Pick<
  ExperimentConfig,
  "task" | "data" | "window" | "mode" | "model" | "train" | "forecast" | "detect" | "decision"
>;

const TASKS: Record<TaskName, (config: TaskConfig) => Task> = {
  forecast,
  classify,
  tag,
  language,
  translate,
  transcribe,
  detect,
};

export function taskOf(config: TaskConfig): Task {
  return TASKS[config.task](config);
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

/**
 * @file What a baseline is: a simple predictor with a model's duties. It fits on the training part, chooses its one or two settings on
 * the validation part, predicts whole batches, and can be written to a model file and served.
 *
 * Legend: B batchSize, T time, F features, K targets per step, P horizon, C classes.
 */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";

/** Learned arrays by name, as a model file holds them. */
export type BaselineArrays = Record<string, { shape: number[]; data: Float32Array }>;

/** A baseline without its arrays. `options` holds its settings as fitted, together with the validation figures that chose them. */
export interface BaselineJson {
  kind: string;
  spec: ExampleSpec;
  options: object;
}

/** A target sequence that a baseline found. */
export interface FoundSequence {
  /** Codes of the target vocabulary, without begin or end. */
  tokens: number[];
  /** Its log-probability in nats, or NaN where the baseline has none. */
  logProbability: number;
}

/** A simple predictor over batches. Nothing is ever computed on padding; rows do not influence each other. */
export interface Baseline {
  /** Name with its deciding setting, such as "seasonalNaive(24)"; final once `fit` has returned. */
  readonly name: string;
  /** Predicts from the steps it is shown, without a state of its own. */
  readonly streaming: "windowed";
  /** How many of the latest steps a prediction depends on: what a stream must keep. Infinity where the whole sequence counts. */
  readonly history: number;
  /** True where `predict` gives the raw outputs of `spec.distribution`, [.., P, K, M]; absent: it gives points, [.., P, K]. */
  readonly distributional?: boolean;
  /**
   * Learns from the training part and chooses settings on the validation part. Each call of `train` and `validation` must give a fresh
   * finite pass over whole windows or sequences (not over chunks of a carried stream, which would cut the windows short).
   */
  fit(train: () => Iterable<Batch>, validation: () => Iterable<Batch>): void;
  /**
   * Predicts a batch, in the scaled space of its targets; per-window normalisation of the inputs is undone first.
   *
   * @returns "values": [B, P, K], or [B, T, P, K] where every step predicts; "class": [B, C]; "tags" and "next": [B, T, C]; "tokens": [B],
   *          log-probabilities of the targets in nats, or NaN. Class outputs are log-probabilities. Padded steps are zero.
   * @throws OST_SHAPE if the batch is not of the kind or the widths of the baseline's spec.
   */
  predict(batch: Batch): Float32Array;
  /** "tokens": the sequence found for each row, without seeing its target. */
  decode?(batch: Batch): FoundSequence[];
  toJSON(): BaselineJson;
  arrays(): BaselineArrays;
}

/** @throws OST_SHAPE if `batch` does not have the features and targets that `spec` names. */
export function requireBatch(batch: Batch, spec: ExampleSpec, where: string): void {
  const wanted = `${spec.features.length} features, ${spec.targetKind}${describeTargets(spec)}`;
  const fits =
    batch.features === spec.features.length &&
    batch.targetKind === spec.targetKind &&
    (spec.targetKind !== "values" ||
      (batch.horizon === spec.horizon && batch.targets === spec.targets.length && batch.everyStep === spec.everyStep));
  if (fits) return;
  const shape = `horizon ${batch.horizon}, ${batch.targets} targets${batch.everyStep ? ", every step" : ""}`;
  throw new OstinatoError("OST_SHAPE", {
    what: "the batch is not of the kind this baseline was made for",
    expected: wanted,
    got: `${batch.features} features, ${batch.targetKind}${batch.targetKind === "values" ? ` (${shape})` : ""}`,
    where,
    repair: "give it batches from the same configuration",
  });
}

function describeTargets(spec: ExampleSpec): string {
  if (spec.targetKind !== "values") return "";
  return ` (horizon ${spec.horizon}, ${spec.targets.length} targets${spec.everyStep ? ", every step" : ""})`;
}

/** The scaled value of one input, with the per-window normalisation undone. */
export function inputAt(batch: Batch, row: number, step: number, feature: number): number {
  const value = batch.x[(row * batch.time + step) * batch.features + feature];
  if (!batch.normalization) return value;
  const at = row * batch.features + feature;
  return value * batch.normalization.scale[at] + batch.normalization.offset[at];
}

/** Visits the steps from which a row predicts: its last valid one, or each valid one. A row of length zero is visited as step -1. */
export function forEachOrigin(batch: Batch, visit: (row: number, step: number, position: number) => void): void {
  for (let row = 0; row < batch.batchSize; row++) {
    const length = batch.lengths[row];
    if (!batch.everyStep) visit(row, length - 1, row);
    else for (let step = 0; step < length; step++) visit(row, step, row * batch.time + step);
  }
}

/** For what a baseline knows only once it is fitted. @throws OST_RANGE always. */
export function unfitted(where: string): never {
  throw new OstinatoError("OST_RANGE", { what: "the baseline has not been fitted", where, repair: "call fit first" });
}

/** The array of that name and shape. @throws OST_MODEL_FILE if it is absent or has another shape. */
export function requireArray(arrays: BaselineArrays, name: string, shape: number[], where: string): Float32Array {
  const found = arrays[name];
  const size = shape.reduce((product, axis) => product * axis, 1);
  if (found && found.shape.join() === shape.join() && found.data.length === size) return found.data;
  throw new OstinatoError("OST_MODEL_FILE", {
    what: `the baseline's array "${name}" does not fit`,
    expected: `[${shape.join(", ")}]`,
    got: found ? `[${found.shape.join(", ")}] with ${found.data.length} numbers` : "none",
    where,
    repair: "save the baseline again",
  });
}

/** Picks every `stride`-th of a counted pass, so that at most `limit` of `count` are taken. */
export function strideFor(count: number, limit: number): number {
  return Math.max(1, Math.ceil(count / limit));
}

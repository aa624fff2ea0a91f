/**
 * @file Examples padded into batches: shuffled, bucketed by length, and normalised window by window on request.
 *
 * Normalising each window by its own level (and reversing it at the output) follows Kim et al. 2022, "Reversible instance
 * normalization". A row's numbers never depend on its neighbours: only the amount of padding does.
 */
import { type Batch, isPerStep } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { BatchPlan, type BatchPlanOptions, type Lengths } from "./batch-plan.js";
import { type BatchSequence, batchSequence } from "./batch-sequence.js";
import type { Examples } from "./examples.js";
import type { PreparedSeries } from "./prepare.js";
import { elementAt } from "./slices.js";
import { partCode } from "./split.js";

/** none; last: subtract the last step; meanStd: subtract the mean and divide by the standard deviation (population) + 1e-5. */
export const NORMALIZATIONS = ["none", "last", "meanStd"] as const;
export type Normalization = (typeof NORMALIZATIONS)[number];

export interface BatchOptions extends BatchPlanOptions {
  normalize?: Normalization;
}

/** What of a series rows are read from. */
export type SeriesRows = Pick<PreparedSeries, "x" | "values" | "classes" | "tokens" | "length" | "part">;

/** What of examples a batch is made from; a worker holds no more. */
export interface Rows extends Pick<Examples, "spec" | "part" | "runs" | "lastStep" | "augmentation"> {
  prepared: {
    series: readonly (SeriesRows & { entity?: string })[];
    preprocessing: { valueFeatures: number };
  };
}

/**
 * Batches that hold each example once. Augmented examples are varied by the rng; without one every pass varies them alike.
 *
 * @throws OST_RANGE  if an option lies outside its range, or an example is longer than `maxTokens`.
 * @throws OST_CAUSAL if windows of validation or test are to be normalised while every step predicts: the statistics of a window know its later
 * steps. In training they may be: what is learned at the earlier steps is not what is judged.
 */
export function batches(rows: Rows, { normalize = "none", ...options }: BatchOptions): BatchSequence {
  checkNormalize(rows, normalize);
  const { runs, augmentation, prepared } = rows;
  const key = augmentation ? (options.rng?.bits() ?? 0) : 0;
  const lengths: Lengths = {
    count: runs.count,
    varies: runs.shortest !== runs.longest || augmentation?.changesLength === true,
    lengthAt: (index) =>
      augmentation?.changesLength ? augmentation.draw(key, index, runs.at(index)).length : runs.lengthAt(index),
    nameOf(index) {
      const { series, start } = runs.at(index);
      return `series "${prepared.series[series].entity ?? series}" from its step ${start + 1}`;
    },
  };
  const plan = new BatchPlan(lengths, options);
  return batchSequence({
    next() {
      const indexes = plan.next();
      return indexes && collate(rows, indexes, { normalize, key });
    },
    skip: (count) => plan.skip(count),
  });
}

/** In training a network may learn from every step of a normalised window what it is judged by at the last one alone. */
function checkNormalize({ spec, part }: Pick<Rows, "spec" | "part">, normalize: Normalization): void {
  if (!NORMALIZATIONS.includes(normalize)) {
    throw new OstinatoError("OST_RANGE", {
      what: "unknown normalisation",
      expected: NORMALIZATIONS.join(", "),
      got: String(normalize),
      where: "window.normalize",
    });
  }
  if (normalize !== "none" && ((spec.everyStep && part !== "train") || isPerStep(spec.targetKind))) {
    throw new OstinatoError("OST_CAUSAL", {
      what: "a window cannot be normalised while each of its steps predicts: its statistics know the later steps",
      expected: "normalize: none",
      got: `normalize: ${normalize}`,
      where: "window.normalize",
      repair: "set window.normalize: none, or predict from the last step only",
    });
  }
}

/**
 * The given examples as one batch, padded to the longest of them.
 *
 * Inputs at or after a row's length are 0, target values NaN, classes and tokens -1.
 */
export function collate(
  rows: Rows,
  indexes: ArrayLike<number>,
  { normalize = "none", key = 0 }: { normalize?: Normalization; key?: number } = {},
): Batch {
  const { prepared, spec, part, lastStep, runs, augmentation } = rows;
  const examples = Array.from(indexes, (index) => runs.at(index));
  const varied = augmentation && examples.map((example, b) => augmentation.draw(key, indexes[b], example));
  const stretches: readonly { start: number; length: number }[] = varied ?? examples;
  const batch = emptyBatch(spec, {
    lengths: Int32Array.from(stretches, ({ length }) => length),
    series: Int32Array.from(examples, ({ series }) => series),
    start: Int32Array.from(stretches, ({ start }) => start),
  });
  if (spec.targetKind === "tokens") fillTokens(batch, prepared.series);
  batch.example.set(indexes);
  const { features, time } = batch;
  const { valueFeatures } = prepared.preprocessing;
  if (normalize !== "none") {
    const size = batch.batchSize * features;
    batch.normalization = { offset: new Float32Array(size), scale: new Float32Array(size).fill(1) };
  }
  for (let b = 0; b < batch.batchSize; b++) {
    const series = prepared.series[batch.series[b]];
    const x = batch.x.subarray(b * time * features, (b + 1) * time * features);
    const row = { x, length: batch.lengths[b], features, valueFeatures };
    const variation = varied?.[b];
    const places = variation && augmentation?.places(variation);
    if (places) fillMoved(batch, b, series, (from, tags) => augmentation!.move(places, from, row, tags), variation.read);
    else fillRow(batch, b, series, partCode(part), spec.ahead);
    if (lastStep) keepLastTarget(batch, b);
    if (variation) augmentation!.alter(row, variation.rng);
    if (batch.normalization) {
      const own = (list: Float32Array) => list.subarray(b * features, (b + 1) * features);
      const { offset, scale } = batch.normalization;
      normalizeWindow(x, { ...row, normalize, offset: own(offset), scale: own(scale) });
    }
    if (variation) augmentation!.mask(row, variation.rng);
  }
  return batch;
}

/** Row b from `read` steps of its series that an augmentation moves; for classes, tags and texts. */
function fillMoved(
  batch: Batch,
  b: number,
  { x, classes }: SeriesRows,
  move: (from: Float32Array, tags?: { from: Int32Array; to: Int32Array }) => void,
  read: number,
): void {
  const { time, features, targetKind } = batch;
  const start = batch.start[b];
  const steps = x.subarray(start * features, (start + read) * features);
  if (targetKind === "class") {
    batch.classes![b] = elementAt(classes!, start);
    move(steps);
  } else if (targetKind === "tokens") {
    move(steps);
  } else {
    move(steps, { from: classes!.subarray(start, start + read), to: batch.classes!.subarray(b * time, (b + 1) * time) });
  }
}

/** A batch of those rows with nothing in it; a row of no example has series -1 and length 0. */
export function emptyBatch(
  { features, targetKind, targets, horizon, everyStep }: Examples["spec"],
  { lengths, series, start, time }: { lengths: Int32Array; series: Int32Array; start: Int32Array; time?: number },
): Batch {
  const batchSize = lengths.length;
  const steps = time ?? lengths.reduce((most, length) => Math.max(most, length), 0);
  const batch: Batch = {
    batchSize,
    time: steps,
    features: features.length,
    x: new Float32Array(batchSize * steps * features.length),
    lengths,
    targetKind,
    everyStep,
    horizon,
    targets: targets.length,
    example: new Int32Array(batchSize).fill(-1),
    series,
    start,
  };
  if (targetKind === "values") {
    batch.values = new Float32Array(batchSize * (everyStep ? steps : 1) * horizon * targets.length).fill(Number.NaN);
  } else if (targetKind === "tokens") {
    batch.tokens = new Int32Array(0);
    batch.tokenLengths = new Int32Array(batchSize);
  } else {
    batch.classes = new Int32Array(batchSize * (isPerStep(targetKind) ? steps : 1)).fill(-1);
  }
  return batch;
}

/** The target sequences of the rows, padded to the longest of them. */
function fillTokens(batch: Batch, series: readonly SeriesRows[]): void {
  const rows = Array.from(batch.series, (s) => series[s].tokens ?? new Int32Array(0));
  const longest = rows.reduce((most, { length }) => Math.max(most, length), 0);
  batch.tokens = new Int32Array(batch.batchSize * longest).fill(-1);
  rows.forEach((tokens, b) => {
    batch.tokens?.set(tokens, b * longest);
  });
  batch.tokenLengths = Int32Array.from(rows, ({ length }) => length);
}

/** Where every step has a target, those of row b before its last valid step become missing. */
function keepLastTarget({ values, classes, time, horizon, targets, lengths }: Batch, b: number): void {
  const before = lengths[b] - 1;
  const width = horizon * targets;
  values?.fill(Number.NaN, b * time * width, (b * time + before) * width);
  classes?.fill(-1, b * time, b * time + before);
}

/**
 * Copies the inputs and targets of row b out of its series. With `everyStep`, target values outside the part stay NaN. Target sequences are filled
 * for all rows at once.
 */
export function fillRow(
  batch: Batch,
  b: number,
  { x, values, classes, length: steps, part }: SeriesRows,
  code: number,
  ahead: 0 | 1 = 1,
): void {
  const { time, features, horizon, targets } = batch;
  const start = batch.start[b];
  const length = batch.lengths[b];
  batch.x.set(x.subarray(start * features, (start + length) * features), b * time * features);
  if (batch.targetKind === "class") {
    batch.classes![b] = elementAt(classes!, start);
  } else if (isPerStep(batch.targetKind)) {
    batch.classes!.set(classes!.subarray(start, start + length), b * time);
  } else if (batch.targetKind === "tokens") {
    return;
  } else if (batch.everyStep) {
    const from = Math.min(start + ahead, steps);
    const later = values!.subarray(from * targets, Math.min(start + length + ahead - 1 + horizon, steps) * targets);
    for (let t = 0; t < length; t++) {
      for (let p = 0; p < horizon; p++) {
        const step = start + t + ahead + p;
        if (step >= steps || part[step] !== code) continue;
        const at = (step - from) * targets;
        batch.values!.set(later.subarray(at, at + targets), ((b * time + t) * horizon + p) * targets);
      }
    }
  } else {
    const from = Math.min(start + length, steps);
    batch.values!.set(values!.subarray(from * targets, Math.min(from + horizon, steps) * targets), b * horizon * targets);
  }
}

/**
 * Normalises the first `valueFeatures` columns of one window in place, so that raw = x * scale + offset; the rest (flags, times since
 * seen) pass unchanged. The same code serves a batch and a stream.
 *
 * @param x       [time, features], of which the first `length` steps are valid; the others stay 0.
 * @param options `offset` and `scale`, [features] each, are written.
 */
export function normalizeWindow(
  x: Float32Array,
  options: {
    length: number;
    features: number;
    valueFeatures: number;
    normalize: Normalization;
    offset: Float32Array;
    scale: Float32Array;
  },
): void {
  const { length, features, valueFeatures, normalize, offset, scale } = options;
  offset.fill(0);
  scale.fill(1);
  if (normalize === "none" || length === 0) return;
  for (let c = 0; c < valueFeatures; c++) {
    if (normalize === "last") {
      offset[c] = x[(length - 1) * features + c];
    } else {
      let sum = 0;
      for (let t = 0; t < length; t++) sum += x[t * features + c];
      const mean = sum / length;
      let squares = 0;
      for (let t = 0; t < length; t++) squares += (x[t * features + c] - mean) ** 2;
      offset[c] = mean;
      scale[c] = Math.sqrt(squares / length) + 1e-5;
    }
    for (let t = 0; t < length; t++) x[t * features + c] = (x[t * features + c] - offset[c]) / scale[c];
  }
}

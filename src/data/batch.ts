/**
 * @file Examples padded into batches: shuffled, bucketed by length, and normalised window by window on request.
 *
 * Normalising each window by its own level (and reversing it at the output) follows Kim et al. 2022, "Reversible instance
 * normalization". A row's numbers never depend on its neighbours: only the amount of padding does.
 */
import type { Batch } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import type { PreparedSeries } from "./prepare.js";
import { partCode } from "./split.js";
import type { Examples } from "./window.js";

/** none; last: subtract the last step; meanStd: subtract the mean and divide by the standard deviation (population) + 1e-5. */
export const NORMALIZATIONS = ["none", "last", "meanStd"] as const;
export type Normalization = (typeof NORMALIZATIONS)[number];

export interface BatchOptions {
  /** Rows of a batch, >= 1; the last may have fewer. */
  batchSize: number;
  /** Shuffles; absent keeps the order of the examples. */
  rng?: Rng;
  normalize?: Normalization;
  /** Puts examples of like length together, within pools of 50 batches. Default: when lengths vary and an rng is given. */
  bucket?: boolean;
}

const POOL_BATCHES = 50;

/**
 * Batches that hold each example once.
 *
 * @throws OST_RANGE  if the batch size is no whole number >= 1.
 * @throws OST_CAUSAL if windows are to be normalised while every step predicts: the statistics of a window know its later steps.
 */
export function* batches(
  examples: Examples,
  { batchSize, rng, normalize = "none", bucket }: BatchOptions,
): Generator<Batch, void, undefined> {
  if (!(Number.isInteger(batchSize) && batchSize >= 1)) {
    throw new OstinatoError("OST_RANGE", {
      what: "not a batch size",
      expected: "a whole number >= 1",
      got: String(batchSize),
      where: "train.batchSize",
    });
  }
  checkNormalize(examples, normalize);
  const order = Int32Array.from({ length: examples.count }, (_, i) => i);
  rng?.shuffle(order);
  const varies = examples.length.some((length) => length !== examples.length[0]);
  if (!(bucket ?? (varies && rng !== undefined))) {
    for (let from = 0; from < order.length; from += batchSize)
      yield collate(examples, order.subarray(from, from + batchSize), { normalize });
    return;
  }
  for (let from = 0; from < order.length; from += POOL_BATCHES * batchSize) {
    const pool = Array.from(order.subarray(from, from + POOL_BATCHES * batchSize)).sort(
      (a, b) => examples.length[a] - examples.length[b],
    );
    const starts = Int32Array.from({ length: Math.ceil(pool.length / batchSize) }, (_, i) => i * batchSize);
    rng?.shuffle(starts);
    for (const start of starts) yield collate(examples, pool.slice(start, start + batchSize), { normalize });
  }
}

function checkNormalize({ spec }: Examples, normalize: Normalization): void {
  if (!NORMALIZATIONS.includes(normalize)) {
    throw new OstinatoError("OST_RANGE", {
      what: "unknown normalisation",
      expected: NORMALIZATIONS.join(", "),
      got: String(normalize),
      where: "window.normalize",
    });
  }
  if (normalize !== "none" && (spec.everyStep || spec.targetKind === "tags")) {
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
 * Inputs at or after a row's length are 0, target values NaN, classes -1.
 */
export function collate(
  examples: Examples,
  indexes: ArrayLike<number>,
  { normalize = "none" }: { normalize?: Normalization } = {},
): Batch {
  const { prepared, spec, part, lastStep } = examples;
  const pick = (list: Int32Array) => Int32Array.from(indexes, (index) => list[index]);
  const batch = emptyBatch(spec, { lengths: pick(examples.length), series: pick(examples.series), start: pick(examples.start) });
  batch.example.set(Int32Array.from(indexes));
  if (normalize !== "none") {
    const size = batch.batchSize * batch.features;
    batch.normalization = { offset: new Float32Array(size), scale: new Float32Array(size).fill(1) };
  }
  for (let b = 0; b < batch.batchSize; b++) {
    fillRow(batch, b, prepared.series[batch.series[b]], partCode(part));
    if (lastStep) keepLastTarget(batch, b);
    if (batch.normalization) {
      const row = <T extends Float32Array>(list: T, width: number) => list.subarray(b * width, (b + 1) * width);
      normalizeWindow(row(batch.x, batch.time * batch.features), {
        length: batch.lengths[b],
        features: batch.features,
        valueFeatures: prepared.preprocessing.valueFeatures,
        normalize,
        offset: row(batch.normalization.offset, batch.features),
        scale: row(batch.normalization.scale, batch.features),
      });
    }
  }
  return batch;
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
  } else {
    batch.classes = new Int32Array(batchSize * (targetKind === "tags" ? steps : 1)).fill(-1);
  }
  return batch;
}

/** Where every step has a target, those of row b before its last valid step become missing. */
function keepLastTarget({ values, classes, time, horizon, targets, lengths }: Batch, b: number): void {
  const before = lengths[b] - 1;
  const width = horizon * targets;
  values?.fill(Number.NaN, b * time * width, (b * time + before) * width);
  classes?.fill(-1, b * time, b * time + before);
}

/** Copies the inputs and targets of row b out of its series. With `everyStep`, target values outside the part stay NaN. */
export function fillRow(
  batch: Batch,
  b: number,
  { x, values, classes, length: steps, part }: PreparedSeries,
  code: number,
): void {
  const { time, features, horizon, targets } = batch;
  const start = batch.start[b];
  const length = batch.lengths[b];
  batch.x.set(x.subarray(start * features, (start + length) * features), b * time * features);
  if (batch.targetKind === "class") {
    batch.classes![b] = classes![start];
  } else if (batch.targetKind === "tags") {
    batch.classes!.set(classes!.subarray(start, start + length), b * time);
  } else if (batch.everyStep) {
    for (let t = 0; t < length; t++) {
      for (let p = 0; p < horizon; p++) {
        const step = start + t + 1 + p;
        if (step >= steps || part[step] !== code) continue;
        batch.values!.set(values!.subarray(step * targets, (step + 1) * targets), ((b * time + t) * horizon + p) * targets);
      }
    }
  } else {
    const from = start + length;
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

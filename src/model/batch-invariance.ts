/**
 * @file Whether a session's numbers are its own: the bits of a row must not depend on how many rows are computed with it, in which place, and
 * on what the others hold. What is true of the kernels by design is tried out on the machine, engine and model at hand before it is relied on.
 */
import { OstinatoError } from "../core/errors.js";
import { type Rng, seed } from "../core/rng.js";
import type { Row } from "../data/index.js";
import type { Advance, StreamItem, StreamModel, StreamState } from "./stream.js";

export interface BatchInvarianceOptions {
  /** What the streams are fed; default seeded rows as the model's training data might have held. Times are set by the check. */
  rows?: readonly Row[];
}

/** Of a model that knows what its rows look like. */
export interface RowSampler {
  /** A row as training might have met it, `time` left out. */
  sampleRow(rng: Rng): Row;
  /** ms between two rows that a stream goes on over; default a minute. */
  readonly sampleGapMs?: number;
}

const BATCHES = [1, 2, 3, 17, 64];
/** Steps of every stream, of which the last is compared: its state is not the initial one. */
const STEPS = 3;
const HOSTILE = 1e38;
const SEED = 20_260_101;
const MINUTE = 60_000;

/**
 * Feeds streams in batches of 1, 2, 3, 17 and 64 rows, at several places in the batch, among ordinary neighbours and among ones whose values are
 * 1e38 or whose states are not finite, and compares states and predictions with those of batches of one.
 *
 * @returns true if every bit is the same.
 */
export function checkBatchInvariance(model: StreamModel & Partial<RowSampler>, { rows }: BatchInvarianceOptions = {}): boolean {
  // A windowed stream is computed row by row: a few show that its rows keep to themselves.
  const most = model.streaming === "carried" ? 64 : 17;
  const rng = seed(SEED);
  const feed = rows && rows.length > 0 ? rows : Array.from({ length: most * STEPS }, () => sampleRow(model, rng));
  const gap = model.sampleGapMs ?? MINUTE;
  let items: StreamItem[] = [];
  let alone: (Advance | OstinatoError)[] = [];
  for (let t = 0; t < STEPS; t++) {
    const before = alone.map((result, i) => (result instanceof OstinatoError ? items[i].state : result.state));
    items = Array.from({ length: most }, (_, i) => {
      const row = feed[(t * most + i) % feed.length];
      return { state: before[i] ?? model.initialState(), row: model.time === null ? row : { ...row, time: (t + 1) * gap } };
    });
    alone = items.map((item) => model.advance([item])[0]);
  }
  return BATCHES.filter((size) => size <= most).every((size) =>
    [0, 1, size >> 1].every((shift) =>
      [false, true].every((hostile) => sameAsAlone(model, items, alone, { size, shift, hostile })),
    ),
  );
}

/** Whether batches of rows, taken round and round from `shift` on, give what each row gives alone. Hostile: every third row is not asked after. */
function sameAsAlone(
  model: StreamModel,
  items: readonly StreamItem[],
  alone: readonly (Advance | OstinatoError)[],
  { size, shift, hostile }: { size: number; shift: number; hostile: boolean },
): boolean {
  const isHostile = (place: number) => hostile && place % 3 === 2;
  for (let first = 0; first < items.length; first += size) {
    const places = Array.from({ length: Math.min(size, items.length - first) }, (_, b) => (first + b + shift) % items.length);
    const batch = places.map((i, b) => (isHostile(b) ? hostileItem(model, items[i], b) : items[i]));
    const together = model.advance(batch);
    if (!places.every((i, b) => isHostile(b) || sameResult(together[b], alone[i]))) return false;
  }
  return true;
}

function hostileItem(model: StreamModel, { row, state }: StreamItem, place: number): StreamItem {
  // No window is ever so long as NaN.
  if (place % 2 === 0 || model.streaming === "windowed")
    return { row: { ...row, values: row.values.map((_, c) => (c % 2 === 0 ? HOSTILE : -HOSTILE)) }, state };
  return { row, state: { ...state, model: state.model.map(() => Number.NaN) } };
}

function sampleRow(model: StreamModel & Partial<RowSampler>, rng: Rng): Row {
  if (model.sampleRow) return model.sampleRow(rng);
  const values = Float64Array.from(model.columns, () => rng.normal());
  if (model.time !== null) values[0] = 0;
  return model.readValues(values);
}

function sameResult(a: Advance | OstinatoError, b: Advance | OstinatoError): boolean {
  if (a instanceof OstinatoError || b instanceof OstinatoError) {
    return a instanceof OstinatoError && b instanceof OstinatoError && a.message === b.message;
  }
  return (
    a.boundary === b.boundary &&
    sameState(a.state, b.state) &&
    a.predictions.length === b.predictions.length &&
    a.predictions.every(
      ({ time, values }, k) => Object.is(time, b.predictions[k].time) && sameBits(values, b.predictions[k].values),
    )
  );
}

function sameState(a: StreamState, b: StreamState): boolean {
  const numbers = sameBits(a.preprocessing, b.preprocessing) && sameBits(a.model, b.model);
  return numbers && a.steps === b.steps && a.entity === b.entity;
}

function sameBits(a: Float32Array | Float64Array, b: Float32Array | Float64Array): boolean {
  if (a.byteLength !== b.byteLength) return false;
  const [left, right] = [a, b].map(({ buffer, byteOffset, byteLength }) => new Int32Array(buffer, byteOffset, byteLength / 4));
  return left.every((word, i) => word === right[i]);
}

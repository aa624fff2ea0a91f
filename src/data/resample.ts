/**
 * @file Brings irregular records onto a regular grid of time.
 *
 * The grid has one row per interval [k * everyMs, (k + 1) * everyMs) since 1970, with the time of the interval's end: its values are
 * known only then. A row is put out when the first record of a later interval arrives; the interval a series ends in is never complete
 * and never put out, in a file as little as in a stream.
 */
import { PARTS, type Part } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { ANOMALOUS, NORMAL, UNKNOWN } from "./anomaly.js";
import type { Row } from "./record.js";
import type { Series } from "./series.js";
import { type FrozenTransform, frozen, type Rows, runTransform, type Transform } from "./transform.js";

/** How the observed values of an interval become one: an interval without any is missing for mean and last, 0 for sum and count. */
export const AGGREGATES = ["mean", "last", "sum", "count"] as const;
export type Aggregate = (typeof AGGREGATES)[number];

export interface ResampleOptions {
  /** Width of an interval in ms, > 0. */
  everyMs: number;
  aggregate?: Aggregate;
  /** Most intervals without a record between two records; a longer silence is refused, since it would put out that many rows at once. */
  maxGap?: number;
}

/** What `maxGap` may be at most: so many rows come of one record at worst, also with a model file from a stranger. */
const LARGEST_GAP = 100_000;

/** State: the open interval (NaN before the first record), then per column a value and the number of values. */
export class Resample implements Transform {
  readonly name = "resample";
  readonly lookAhead = 0;
  readonly stateSize: number;
  readonly everyMs: number;
  readonly aggregate: Aggregate;
  readonly maxGap: number;

  /** @throws OST_RANGE if an option lies outside its range. */
  constructor(
    readonly outputs: readonly string[],
    { everyMs, aggregate = "mean", maxGap = 1000 }: ResampleOptions,
  ) {
    if (
      !(everyMs > 0 && Number.isFinite(everyMs)) ||
      !(Number.isInteger(maxGap) && maxGap >= 0 && maxGap <= LARGEST_GAP) ||
      !AGGREGATES.includes(aggregate)
    ) {
      throw new OstinatoError("OST_RANGE", {
        what: "resampling cannot be done so",
        expected: `everyMs > 0, maxGap a whole number from 0 to ${LARGEST_GAP}, aggregate one of ${AGGREGATES.join(", ")}`,
        got: JSON.stringify({ everyMs, aggregate, maxGap }),
        where: "data.resample",
      });
    }
    this.everyMs = everyMs;
    this.aggregate = aggregate;
    this.maxGap = maxGap;
    this.stateSize = 1 + 2 * outputs.length;
  }

  static fromJSON(json: Record<string, unknown>, names: readonly string[]): Resample {
    return new Resample(names, {
      everyMs: frozen.number(json.everyMs, "resample.everyMs", { min: Number.MIN_VALUE }),
      aggregate: frozen.choice(json.aggregate, AGGREGATES, "resample.aggregate"),
      maxGap: Math.floor(frozen.number(json.maxGap, "resample.maxGap", { min: 0, max: LARGEST_GAP })),
    });
  }

  toJSON(): FrozenTransform {
    return { transform: this.name, everyMs: this.everyMs, aggregate: this.aggregate, maxGap: this.maxGap };
  }

  initialize(state: Float64Array, at: number): void {
    state.fill(0, at, at + this.stateSize);
    state[at] = Number.NaN;
  }

  push(row: Row, state: Float64Array, at: number): Row[] {
    const interval = Math.floor(row.time / this.everyMs);
    const open = state[at];
    const out: Row[] = [];
    if (interval > open) {
      if (!(interval - open - 1 <= this.maxGap)) {
        throw new OstinatoError("OST_RECORD", {
          what: "too long a silence for the grid",
          expected: `at most ${this.maxGap} empty intervals of ${this.everyMs} ms`,
          got: `${interval - open - 1}`,
          repair: "start a new series after a silence, or raise data.resample.everyMs or maxGap",
        });
      }
      // Counted from zero: beyond 2^53 an interval's number plus one is the number itself.
      const rows = interval - open;
      for (let k = 1; k <= rows; k++) {
        out.push({ time: (open + k) * this.everyMs, values: this.#close(state, at), entity: row.entity });
        state.fill(0, at + 1, at + this.stateSize);
      }
    }
    state[at] = interval;
    for (let c = 0; c < this.outputs.length; c++) {
      const value = row.values[c];
      if (Number.isNaN(value)) continue;
      const slot = at + 1 + 2 * c;
      state[slot] = this.aggregate === "last" ? value : state[slot] + value;
      state[slot + 1] += 1;
    }
    return out;
  }

  #close(state: Float64Array, at: number): Float64Array {
    return Float64Array.from(this.outputs, (_, c) => {
      const value = state[at + 1 + 2 * c];
      const count = state[at + 2 + 2 * c];
      if (this.aggregate === "count") return count;
      if (this.aggregate === "sum") return value;
      if (count === 0) return Number.NaN;
      return this.aggregate === "mean" ? value / count : value;
    });
  }
}

/**
 * A series on the grid: features and target values by the same aggregate, labels by the last of the interval. A split cell is the last,
 * too, but where it names a part the latest part of the interval: its values hold rows of that part, which no earlier one may read.
 * An interval without a record has no label and belongs where the row before it belongs.
 */
export function resampleSeries(series: Series, transform: Resample, where?: (i: number) => string): Series {
  const time = series.time!;
  const width = transform.outputs.length;
  const features = runTransform(
    transform,
    { count: series.rows, width, time, values: series.features, entity: series.entity },
    null,
    where,
  );
  const last = lastRowOfEach(transform, time);
  const source = (i: number) => (i < 0 ? ~i : i);
  return {
    entity: series.entity,
    rows: features.count,
    row: Int32Array.from(last, (i) => series.row[source(i)]),
    time: features.time,
    features: features.values,
    target: series.target && onGrid(series.target, series, transform).values,
    labels: series.labels && Array.from(last, (i) => (i < 0 ? "" : series.labels![i])),
    ...(series.targetText !== undefined && { targetText: series.targetText }),
    ...(series.anomaly && { anomaly: anomalyOnGrid(series.anomaly, last) }),
    split: series.split && Array.from(last, (i, k) => latestPart(series.split!, rowsFrom(last, k), source(i))),
  };
}

/** An interval is anomalous if a row of it is, else unknown if one is; one without a record is what the row before it is. */
function anomalyOnGrid(codes: Uint8Array, last: Int32Array): Uint8Array {
  return Uint8Array.from(last, (to, k) => {
    if (to < 0) return codes[~to];
    const some = codes.subarray(rowsFrom(last, k), to + 1);
    return some.includes(ANOMALOUS) ? ANOMALOUS : some.includes(UNKNOWN) ? UNKNOWN : NORMAL;
  });
}

/** The first source row of grid row k. */
function rowsFrom(last: Int32Array, k: number): number {
  if (k === 0) return 0;
  const before = last[k - 1];
  return last[k] < 0 ? ~last[k] : (before < 0 ? ~before : before) + 1;
}

function latestPart(cells: readonly string[], from: number, to: number): string {
  let cell = cells[to];
  for (let i = from; i < to; i++) if (PARTS.indexOf(cells[i] as Part) > PARTS.indexOf(cell as Part)) cell = cells[i];
  return cell;
}

function onGrid(values: Float64Array, series: Series, { everyMs, aggregate, maxGap }: Resample): Rows {
  const width = values.length / Math.max(1, series.rows);
  const names = Array.from({ length: width }, (_, c) => String(c));
  return runTransform(
    new Resample(names, { everyMs, aggregate, maxGap }),
    { count: series.rows, width, time: series.time!, values },
    null,
  );
}

/** Per grid row the last source row of its interval; where it has none, the complement (~i) of the row before it. */
function lastRowOfEach({ everyMs }: Resample, time: Float64Array): Int32Array {
  const last: number[] = [];
  for (let i = 1; i < time.length; i++) {
    const before = Math.floor(time[i - 1] / everyMs);
    const now = Math.floor(time[i] / everyMs);
    if (now > before) last.push(i - 1);
    for (let k = now - before; k > 1; k--) last.push(~(i - 1));
  }
  return Int32Array.from(last);
}

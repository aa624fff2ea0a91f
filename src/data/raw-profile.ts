/**
 * @file What training rows held before anything was done to them: per feature its range, its deciles and how often it was missing, the times
 * between rows, and the lengths of series. A stream's records are held against it later.
 *
 * Ranges and shares are of all training rows; deciles are of a sample of them, drawn by a seeded reservoir (Vitter 1985, algorithm R), so memory
 * is bounded and the same data give the same profile.
 */
import { type Rng, seed } from "../core/rng.js";
import { type Distribution, distributionOf } from "./distribution.js";
import type { Series } from "./series.js";
import { partCode } from "./split.js";

export interface FeatureProfile {
  name: string;
  /** Share of the training rows in which it was missing, 0 .. 1. */
  missing: number;
  /** Of those that were not; null where all were. */
  values: Distribution | null;
}

export interface RawProfile {
  /** Training rows. */
  rows: number;
  /** The first {@link PROFILED_FEATURES} numeric features, in the order of records. */
  features: FeatureProfile[];
  /** ms from one row of a series to the next; null without times, or where no series has two rows. */
  gapMs: Distribution | null;
  /** Consecutive training rows of a series. */
  length: Distribution | null;
}

export const PROFILED_FEATURES = 64;

/** Most rows that are kept, and most numbers of them (32 MB). */
const KEPT_ROWS = 100_000;
const KEPT_NUMBERS = 4_194_304;

/** Takes training rows, series after series, each in one or more blocks. */
export class RawProfiler {
  readonly #names: readonly string[];
  readonly #width: number;
  readonly #min: Float64Array;
  readonly #max: Float64Array;
  readonly #missing: Float64Array;
  readonly #rows: Reservoir;
  readonly #gaps = new Reservoir(1);
  readonly #lengths = new Reservoir(1);
  /** Training rows in a row so far, and the time of the latest. */
  #run = 0;
  #time = Number.NaN;

  constructor(features: readonly string[]) {
    this.#width = features.length;
    this.#names = features.slice(0, PROFILED_FEATURES);
    this.#rows = new Reservoir(this.#names.length);
    this.#min = new Float64Array(this.#names.length).fill(Number.POSITIVE_INFINITY);
    this.#max = new Float64Array(this.#names.length).fill(Number.NEGATIVE_INFINITY);
    this.#missing = new Float64Array(this.#names.length);
  }

  /** What is added from now on is another series. */
  begin(): void {
    if (this.#run > 0) {
      const slot = this.#lengths.slot();
      if (slot >= 0) this.#lengths.values[slot] = this.#run;
    }
    this.#run = 0;
    this.#time = Number.NaN;
  }

  /** @param part the part of each row; rows that are not of training end a run. [rows] */
  add({ rows, time, features }: Pick<Series, "rows" | "time" | "features">, part: ArrayLike<number>): void {
    const train = partCode("train");
    const columns = this.#names.length;
    for (let i = 0; i < rows; i++) {
      if (part[i] !== train) {
        this.begin();
        continue;
      }
      this.#run++;
      const at = i * this.#width;
      for (let c = 0; c < columns; c++) {
        const value = features[at + c];
        if (Number.isNaN(value)) this.#missing[c]++;
        else {
          if (value < this.#min[c]) this.#min[c] = value;
          if (value > this.#max[c]) this.#max[c] = value;
        }
      }
      const slot = this.#rows.slot();
      if (slot >= 0) for (let c = 0; c < columns; c++) this.#rows.values[slot * columns + c] = features[at + c];
      if (!time) continue;
      if (!Number.isNaN(this.#time)) {
        const gap = this.#gaps.slot();
        if (gap >= 0) this.#gaps.values[gap] = time[i] - this.#time;
      }
      this.#time = time[i];
    }
  }

  finish(): RawProfile {
    this.begin();
    const { seen, kept, values } = this.#rows;
    const columns = this.#names.length;
    const features = this.#names.map((name, c) => {
      const column = Float64Array.from({ length: kept }, (_, i) => values[i * columns + c]).filter(
        (value) => !Number.isNaN(value),
      );
      const range = { min: this.#min[c], max: this.#max[c] };
      return { name, missing: this.#missing[c] / Math.max(1, seen), values: distributionOf(column, range) };
    });
    return {
      rows: seen,
      features,
      gapMs: distributionOf(this.#gaps.values.slice(0, this.#gaps.kept)),
      length: distributionOf(this.#lengths.values.slice(0, this.#lengths.kept)),
    };
  }
}

/** A uniform sample of rows of `width` numbers, which grows up to its bound. */
class Reservoir {
  seen = 0;
  values = new Float64Array(0);
  readonly #capacity: number;
  readonly #rng: Rng = seed(1);

  constructor(readonly width: number) {
    this.#capacity = Math.min(KEPT_ROWS, Math.floor(KEPT_NUMBERS / Math.max(1, width)));
  }

  get kept(): number {
    return Math.min(this.seen, this.#capacity);
  }

  /** Where the next row goes; -1 where it is not kept. */
  slot(): number {
    const index = this.seen++;
    if (index >= this.#capacity) {
      const drawn = Math.floor(this.#rng.uniform() * this.seen);
      return drawn < this.#capacity ? drawn : -1;
    }
    if ((index + 1) * this.width > this.values.length) {
      const grown = new Float64Array(Math.min(this.#capacity, Math.max(256, 2 * index)) * this.width);
      grown.set(this.values);
      this.values = grown;
    }
    return index;
  }
}

/**
 * The part of each raw row, by that of the grid's step it went into; 0 for rows behind the last step.
 *
 * @param gridRow the last row of each step's interval, ascending. [steps]
 */
export function partsOfRows(row: ArrayLike<number>, gridRow: ArrayLike<number>, part: ArrayLike<number>): Uint8Array {
  const parts = new Uint8Array(row.length);
  let step = 0;
  for (let i = 0; i < row.length; i++) {
    while (step < gridRow.length && gridRow[step] < row[i]) step++;
    parts[i] = step < gridRow.length ? part[step] : 0;
  }
  return parts;
}

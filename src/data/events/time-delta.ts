/**
 * @file The time since the row before: what tells a burst from a pause.
 *
 *     time.delta          log(1 + seconds since the row before); 0 in the first row of a series
 *     time.delta.bin<k>   with `bins: n`, 1 in the bin the seconds fall into, k = 0 .. n - 1
 *
 * The bins double in width, with e = `firstEdge` seconds:
 *
 *     bin 0      [0, e)
 *     bin k      [e * 2^(k-1), e * 2^k)
 *     bin n - 1  [e * 2^(n-2), infinity)
 *
 * The first row of a series falls into none: no row came before it, which is not the same as one that came just before.
 *
 * Where rows have no times, preprocessing counts them as one second apart, and the column is constant from the second row on. A row whose
 * time is NaN has delta 0 and no bin, and the next delta is counted from the last row that had a time. A time that goes back counts as
 * no time passed.
 *
 * State: the time of the row before; NaN before the first row.
 */
import { OstinatoError } from "../../core/errors.js";
import type { Row } from "../record.js";
import { type FrozenTransform, frozen, type Transform } from "../transform.js";
import { appendedNames, appendedRow } from "./appended.js";

export interface TimeDeltaOptions {
  /** Number of one-hot bins, 0 (none, the default) or 2 .. 64. */
  bins?: number;
  /** Upper edge of bin 0 in seconds, 1e-6 .. 1e9; default 1. */
  firstEdge?: number;
}

const MOST_BINS = 64;
const SMALLEST_EDGE = 1e-6;
const LARGEST_EDGE = 1e9;

export class TimeDelta implements Transform {
  readonly name = "timeDelta";
  readonly lookAhead = 0;
  readonly stateSize = 1;
  readonly outputs: readonly string[];
  readonly bins: number;
  readonly firstEdge: number;
  /** Lower edges of bins 1 .. n - 1, in seconds. */
  readonly #edges: readonly number[];

  /**
   * @throws OST_RANGE  if an option lies outside its range.
   * @throws OST_COLUMN if a column of that name is there already.
   */
  constructor(inputs: readonly string[], { bins = 0, firstEdge = 1 }: TimeDeltaOptions = {}) {
    const binsFit = bins === 0 || (Number.isInteger(bins) && bins >= 2 && bins <= MOST_BINS);
    if (!binsFit || !(firstEdge >= SMALLEST_EDGE && firstEdge <= LARGEST_EDGE)) {
      throw new OstinatoError("OST_RANGE", {
        what: "time deltas cannot be binned so",
        expected: `bins 0 or 2 .. ${MOST_BINS}, firstEdge ${SMALLEST_EDGE} .. ${LARGEST_EDGE} seconds`,
        got: JSON.stringify({ bins, firstEdge }),
        where: "timeDelta",
      });
    }
    this.bins = bins;
    this.firstEdge = firstEdge;
    this.#edges = Array.from({ length: Math.max(0, bins - 1) }, (_, k) => firstEdge * 2 ** k);
    const names = ["time.delta", ...Array.from({ length: bins }, (_, k) => `time.delta.bin${k}`)];
    this.outputs = appendedNames(inputs, names, "timeDelta");
  }

  /** @throws OST_MODEL_FILE if the JSON is not what `toJSON` writes. */
  static fromJSON(json: Record<string, unknown>, inputs: readonly string[]): TimeDelta {
    const bins = frozen.number(json.bins, "timeDelta.bins", { min: 0, max: MOST_BINS });
    if (!Number.isInteger(bins) || bins === 1) frozen.fail("timeDelta.bins", `0 or 2 .. ${MOST_BINS}`, bins);
    const firstEdge = frozen.number(json.firstEdge, "timeDelta.firstEdge", { min: SMALLEST_EDGE, max: LARGEST_EDGE });
    return new TimeDelta(inputs, { bins, firstEdge });
  }

  toJSON(): FrozenTransform {
    return { transform: this.name, bins: this.bins, firstEdge: this.firstEdge };
  }

  initialize(state: Float64Array, at: number): void {
    state[at] = Number.NaN;
  }

  push(row: Row, state: Float64Array, at: number): Row[] {
    const made = appendedRow(row, 1 + this.bins);
    if (Number.isNaN(row.time)) return [made];
    const before = state[at];
    state[at] = row.time;
    if (Number.isNaN(before)) return [made];
    const seconds = Math.max(0, row.time - before) / 1000;
    const delta = row.values.length;
    made.values[delta] = Math.log1p(seconds);
    if (this.bins > 0) made.values[delta + 1 + this.#bin(seconds)] = 1;
    return [made];
  }

  #bin(seconds: number): number {
    let bin = 0;
    while (bin < this.#edges.length && seconds >= this.#edges[bin]) bin++;
    return bin;
  }
}

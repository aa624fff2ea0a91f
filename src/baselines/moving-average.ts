/** @file Moving average: every future value equals the mean of the latest few, whose number the validation part chooses. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { ColumnForecast, forEachPast } from "./column-forecast.js";

export interface MovingAverageOptions {
  /** Steps to average; absent: chosen on the validation part by mean squared error. */
  width?: number;
}

const WIDTHS = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 168, 192, 256];

/**
 * y(t + p) = mean of the latest `width` values, or of all there are at the start of a row.
 *
 * @throws OST_RANGE  if `width` is not a positive integer.
 * @throws OST_WINDOW if the window is shorter than `width`.
 */
export class MovingAverage extends ColumnForecast {
  readonly kind = "movingAverage";
  #width: number | undefined;
  readonly #fixed: boolean;

  constructor(spec: ExampleSpec, { width }: MovingAverageOptions = {}) {
    super(spec);
    if (width !== undefined && !(Number.isInteger(width) && width >= 1)) {
      throw new OstinatoError("OST_RANGE", {
        what: "the width of a moving average",
        expected: "an integer of at least 1",
        got: String(width),
        where: "movingAverage",
      });
    }
    if (width !== undefined && spec.length > 0 && width > spec.length) {
      throw new OstinatoError("OST_WINDOW", {
        what: "the window is shorter than the moving average",
        expected: `a window of at least ${width} steps`,
        got: `${spec.length}`,
        where: `movingAverage(${width})`,
        repair: "average over fewer steps",
      });
    }
    this.#width = width;
    this.#fixed = width !== undefined;
  }

  get name(): string {
    return this.#width === undefined ? "movingAverage" : `movingAverage(${this.#width})`;
  }

  /** Steps averaged: as given or as chosen, the smallest candidate before `fit`. */
  get width(): number {
    return this.#width ?? this.#candidates()[0];
  }

  get history(): number {
    return this.width;
  }

  override fit(train: () => Iterable<Batch>, validation: () => Iterable<Batch>): void {
    if (this.#fixed) return;
    const candidates = this.#candidates();
    let sums = this.#errors(validation(), candidates);
    if (sums.count === 0) sums = this.#errors(train(), candidates);
    let best = 0;
    for (let i = 1; i < candidates.length; i++) if (sums.squares[i] < sums.squares[best]) best = i;
    this.#width = candidates[best];
  }

  #candidates(): number[] {
    const { length } = this.spec;
    const fitting = WIDTHS.filter((width) => length === 0 || width <= length);
    return fitting.length > 0 ? fitting : [1];
  }

  /** The sum of squared errors of each candidate width over every target that is present. */
  #errors(batches: Iterable<Batch>, widths: number[]): { squares: Float64Array; count: number } {
    const squares = new Float64Array(widths.length);
    const means = new Float64Array(widths.length);
    let scored = 0;
    for (const batch of batches) {
      const { horizon, targets, values } = batch;
      if (!values) continue;
      forEachPast(batch, this.spec, widths[widths.length - 1], (past, count, position, target) => {
        for (let i = 0; i < widths.length; i++) means[i] = trailingMean(past, count, widths[i]);
        for (let p = 0; p < horizon; p++) {
          const value = values[(position * horizon + p) * targets + target];
          if (Number.isNaN(value)) continue;
          scored++;
          for (let i = 0; i < widths.length; i++) squares[i] += (value - means[i]) ** 2;
        }
      });
    }
    return { squares, count: scored };
  }

  protected extend(past: Float64Array, count: number, future: Float64Array): void {
    future.fill(trailingMean(past, count, this.width));
  }

  protected options(): MovingAverageOptions {
    return { width: this.width };
  }
}

function trailingMean(past: Float64Array, count: number, width: number): number {
  const taken = Math.min(width, count);
  let sum = 0;
  for (let i = count - taken; i < count; i++) sum += past[i];
  return sum / taken;
}

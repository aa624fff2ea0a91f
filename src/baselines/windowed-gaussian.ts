/**
 * @file The windowed Gaussian: each target column is expected at the mean of its latest values, give or take their standard deviation. A
 * value is the stranger the more deviations it lies away.
 *
 *     z = |y - mean| / max(deviation, floor)        floor: a thousandth of the column's deviation over the training part
 *
 * As a point forecast it is the moving average; for the Gaussian distribution it gives location and scale.
 */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { inputAt, requireBatch, unfitted } from "./baseline.js";
import { ColumnForecast, forEachPast, requireColumns } from "./column-forecast.js";

export interface WindowedGaussianOptions {
  /** Steps that mean and deviation are taken of, >= 2; absent: chosen on the validation part by likelihood. */
  width?: number;
}

interface WindowedGaussianChoice {
  width: number;
  /** Least deviation per target. */
  floors: number[];
}

const WIDTHS = [8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024];
const FLOOR = 1e-3;
/** What the Gaussian distribution adds to its scale. */
const LEAST_SCALE = 1e-6;

/**
 * @throws OST_TARGET if a target is not among the features, or training has no values.
 * @throws OST_RANGE  if `width` is not a whole number of at least 2.
 */
export class WindowedGaussian extends ColumnForecast {
  readonly kind = "windowedGaussian";
  readonly distributional: boolean;
  readonly #fixed: number | undefined;
  #choice: WindowedGaussianChoice | undefined;

  constructor(spec: ExampleSpec, { width }: WindowedGaussianOptions = {}) {
    super(spec);
    if (width !== undefined && !(Number.isInteger(width) && width >= 2)) {
      throw new OstinatoError("OST_RANGE", {
        what: "the width of a windowed Gaussian",
        expected: "a whole number of at least 2",
        got: String(width),
        where: "windowedGaussian",
      });
    }
    this.#fixed = width;
    this.distributional = spec.distribution?.kind === "gaussian";
  }

  get name(): string {
    const width = this.#choice?.width ?? this.#fixed;
    return width === undefined ? "windowedGaussian" : `windowedGaussian(${width})`;
  }

  get history(): number {
    return this.#fitted().width;
  }

  override fit(train: () => Iterable<Batch>, validation: () => Iterable<Batch>): void {
    const floors = this.#floors(train());
    const { length } = this.spec;
    const fitting = WIDTHS.filter((width) => length === 0 || width <= length);
    const widths = this.#fixed !== undefined ? [this.#fixed] : fitting.length > 0 ? fitting : [Math.max(2, length)];
    let width = widths[0];
    if (widths.length > 1) {
      let losses = this.#losses(validation(), widths, floors);
      if (losses.scored === 0) losses = this.#losses(train(), widths, floors);
      width = widths[losses.sums.indexOf(Math.min(...losses.sums))];
    }
    this.#choice = { width, floors };
  }

  /** A thousandth of each column's standard deviation over the training inputs, and more than 0. */
  #floors(batches: Iterable<Batch>): number[] {
    const { targetFeature } = this.spec;
    const sums = targetFeature.map(() => ({ n: 0, mean: 0, squares: 0 }));
    for (const batch of batches) {
      requireBatch(batch, this.spec, this.name);
      for (let row = 0; row < batch.batchSize; row++) {
        for (let step = 0; step < batch.lengths[row]; step++) {
          targetFeature.forEach((feature, k) => {
            const value = inputAt(batch, row, step, feature);
            if (Number.isNaN(value)) return;
            const sum = sums[k];
            const distance = value - sum.mean;
            sum.mean += distance / ++sum.n;
            sum.squares += distance * (value - sum.mean);
          });
        }
      }
    }
    if (!sums.some(({ n }) => n > 0)) {
      throw new OstinatoError("OST_TARGET", {
        what: "the training part has no values",
        expected: "at least one",
        got: "none",
        where: this.name,
        repair: "leave this baseline out",
      });
    }
    return sums.map(({ n, squares }) => Math.max(LEAST_SCALE, n > 0 ? FLOOR * Math.sqrt(squares / n) : 0));
  }

  /** The Gaussian negative log-likelihood of each width, over every target that is there. */
  #losses(batches: Iterable<Batch>, widths: number[], floors: number[]): { sums: number[]; scored: number } {
    const sums = widths.map(() => 0);
    let scored = 0;
    for (const batch of batches) {
      const { horizon, targets, values } = batch;
      if (!values) continue;
      forEachPast(batch, this.spec, widths[widths.length - 1], (past, count, position, k) => {
        for (let i = 0; i < widths.length; i++) {
          const { mean, deviation } = moments(past, count, widths[i], floors[k]);
          for (let p = 0; p < horizon; p++) {
            const value = values[(position * horizon + p) * targets + k];
            if (Number.isNaN(value)) continue;
            if (i === 0) scored++;
            sums[i] += Math.log(deviation) + ((value - mean) / deviation) ** 2 / 2;
          }
        }
      });
    }
    return { sums, scored };
  }

  /** Points [.., P, K], or for the Gaussian distribution its raw outputs [.., P, K, 2]. */
  override predict(batch: Batch): Float32Array {
    if (!this.distributional) return super.predict(batch);
    requireBatch(batch, this.spec, this.name);
    const { horizon, targets } = batch;
    const { width, floors } = this.#fitted();
    const out = new Float32Array(2 * batch.batchSize * (batch.everyStep ? batch.time : 1) * horizon * targets);
    forEachPast(batch, this.spec, width, (past, count, position, k) => {
      const { mean, deviation } = moments(past, count, width, floors[k]);
      for (let p = 0; p < horizon; p++) {
        const at = 2 * ((position * horizon + p) * targets + k);
        out[at] = mean;
        out[at + 1] = inverseSoftplus(deviation - LEAST_SCALE);
      }
    });
    return out;
  }

  /** How many deviations each target lies away from the mean, [B, P, K] or [B, T, P, K]; NaN where there is no target or no past. */
  scores(batch: Batch): Float32Array {
    requireBatch(batch, this.spec, this.name);
    const { horizon, targets, values } = batch;
    const { width, floors } = this.#fitted();
    const out = new Float32Array(batch.batchSize * (batch.everyStep ? batch.time : 1) * horizon * targets).fill(Number.NaN);
    forEachPast(batch, this.spec, width, (past, count, position, k) => {
      const { mean, deviation } = moments(past, count, width, floors[k]);
      for (let p = 0; p < horizon; p++) {
        const at = (position * horizon + p) * targets + k;
        if (values) out[at] = Math.abs(values[at] - mean) / deviation;
      }
    });
    return out;
  }

  protected extend(past: Float64Array, count: number, future: Float64Array, target: number): void {
    const { width, floors } = this.#fitted();
    future.fill(moments(past, count, width, floors[target]).mean);
  }

  #fitted(): WindowedGaussianChoice {
    return this.#choice ?? unfitted(this.name);
  }

  protected options(): WindowedGaussianChoice {
    return this.#fitted();
  }

  static restore(spec: ExampleSpec, options: WindowedGaussianChoice): WindowedGaussian {
    const gaussian = new WindowedGaussian(spec, { width: options.width });
    requireColumns(spec, options.floors, "windowedGaussian", (floor) => [1 / floor]);
    gaussian.#choice = options;
    return gaussian;
  }
}

/** Mean and standard deviation (population, at least `floor`) of the latest values that are there; 0 and `floor` without any. */
function moments(past: Float64Array, count: number, width: number, floor: number): { mean: number; deviation: number } {
  let [n, sum] = [0, 0];
  const from = Math.max(0, count - width);
  for (let i = from; i < count; i++) {
    if (Number.isNaN(past[i])) continue;
    n++;
    sum += past[i];
  }
  if (n === 0) return { mean: 0, deviation: floor };
  const mean = sum / n;
  let squares = 0;
  for (let i = from; i < count; i++) if (!Number.isNaN(past[i])) squares += (past[i] - mean) ** 2;
  return { mean, deviation: Math.max(floor, Math.sqrt(squares / n)) };
}

/** x with log(1 + e^x) = y. */
function inverseSoftplus(y: number): number {
  const positive = Math.max(y, 1e-12);
  return positive > 30 ? positive : Math.log(Math.expm1(positive));
}

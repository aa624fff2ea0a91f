/**
 * @file Autoregression of each target column, after a difference or a seasonal difference where that describes it better: ARIMA(p, d, 0)
 * with seasonal order (0, D, 0).
 *
 *     w(t) = (1 - B)^d (1 - B^m)^D y(t)        w(t) - mu = sum_i phi_i (w(t - i) - mu) + e(t)        mu = 0 where d + D > 0
 *
 * The phi are Burg's (1975), which are stable whatever the data: no forecast grows like an exponential. p, d and D are those of least
 * AIC = n log(sigma^2) + 2 (p + 1), over training stretches; all is frozen, and a forecast reads the lags of its window only.
 * Sources: Box & Jenkins 1970; Burg 1975; Akaike 1974, IEEE Transactions on Automatic Control 19(6).
 */

import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { unfitted } from "./baseline.js";
import { ColumnForecast, checkPeriod, keptSteps, replaceInfinite, requireColumns } from "./column-forecast.js";
import { firstOf } from "./exponential-smoothing.js";
import { trainingStretches } from "./training-stretch.js";

export interface AROptions {
  /** Steps in a season; absent or 1: no seasonal difference. */
  period?: number;
  /** Greatest p; default 48. Never more than half of the window. */
  maxOrder?: number;
  /** At most about so many training steps of each column are used, evenly spaced; default 40,000. */
  maxSteps?: number;
}

/** What the fit chose for one column. */
export interface ARColumn {
  difference: 0 | 1;
  seasonalDifference: 0 | 1;
  mean: number;
  /** phi_1 .. phi_p; none: white noise. */
  coefficients: number[];
}

interface ARChoice {
  period: number;
  columns: ARColumn[];
}

/** Steps of a training stretch, unless the window is longer. */
const STRETCH = 2048;

/**
 * A value before the window's first counts as that; a missing one as what the model expected of it.
 *
 * @throws OST_TARGET if a target is not among the features, or training has no values.
 * @throws OST_RANGE  if the period is not a positive whole number, or the greatest order is negative.
 */
export class AR extends ColumnForecast {
  readonly kind = "ar";
  readonly name = "ar";
  readonly period: number;
  readonly #maxOrder: number;
  readonly #maxSteps: number;
  #columns: ARColumn[] | undefined;
  /** Per column the constant and the weights of the latest values: the same model without differences. */
  #maps: { constant: number; weights: Float64Array }[] = [];

  constructor(spec: ExampleSpec, { period = 1, maxOrder = 48, maxSteps = 40_000 }: AROptions = {}) {
    super(spec);
    this.period = checkPeriod(period, "ar");
    if (!(Number.isInteger(maxOrder) && maxOrder >= 0)) {
      throw new OstinatoError("OST_RANGE", {
        what: "the greatest order of an autoregression",
        expected: "a whole number of at least 0",
        got: String(maxOrder),
        where: "ar",
      });
    }
    this.#maxOrder = maxOrder;
    this.#maxSteps = maxSteps;
  }

  get history(): number {
    return keptSteps(this.spec, this.period);
  }

  /** What the fit chose per column. @throws OST_RANGE before `fit`. */
  get columns(): readonly ARColumn[] {
    return this.#columns ?? unfitted(this.name);
  }

  override fit(train: () => Iterable<Batch>, _validation: () => Iterable<Batch>): void {
    const { history, spec } = this;
    const length = Math.max(history, STRETCH);
    const stretches = trainingStretches(train, spec, { length, maxSteps: this.#maxSteps, where: this.name });
    this.#keep(
      spec.targets.map((_, k) =>
        this.#fitColumn(
          stretches.map((stretch) => stretch[k]),
          history,
        ),
      ),
    );
  }

  #keep(columns: ARColumn[]): void {
    this.#columns = columns;
    this.#maps = columns.map((column) => withoutDifferences(column, this.period));
  }

  #fitColumn(values: readonly Float64Array[], history: number): ARColumn {
    const { period } = this;
    let best: ARColumn = { difference: 1, seasonalDifference: 0, mean: 0, coefficients: [] };
    let lowest = Number.POSITIVE_INFINITY;
    for (const seasonalDifference of [0, 1] as const) {
      if (seasonalDifference === 1 && (period === 1 || history <= period + 1)) continue;
      for (const difference of [0, 1] as const) {
        const runs = values.flatMap((list) => runsOf(differences(differences(list, 1, difference), period, seasonalDifference)));
        const count = runs.reduce((sum, run) => sum + run.length, 0);
        if (count < 3) continue;
        const mean =
          difference + seasonalDifference > 0 ? 0 : runs.reduce((sum, run) => sum + run.reduce((a, b) => a + b, 0), 0) / count;
        for (const run of runs) for (let t = 0; t < run.length; t++) run[t] -= mean;
        const room = history - difference - seasonalDifference * period;
        const most = Math.max(0, Math.min(this.#maxOrder, Math.floor(history / 2), room, Math.floor(count / 3)));
        // Per value, as series that are differenced have fewer.
        const found = burg(runs, most, (power, order) => Math.log(Math.max(power, 1e-300)) + (2 * (order + 1)) / count);
        if (found.criterion >= lowest) continue;
        lowest = found.criterion;
        best = { difference, seasonalDifference, mean, coefficients: found.coefficients };
      }
    }
    return best;
  }

  protected extend(past: Float64Array, count: number, future: Float64Array, target: number): void {
    const { constant, weights } = this.#maps[target] ?? unfitted(this.name);
    const lags = weights.length;
    const y = new Float64Array(lags + count + future.length).fill(firstOf(past, count), 0, lags);
    for (let t = 0; t < count + future.length; t++) {
      if (t < count && !Number.isNaN(past[t])) {
        y[lags + t] = past[t];
        continue;
      }
      let sum = constant;
      for (let i = 0; i < lags; i++) sum += weights[i] * y[lags + t - 1 - i];
      y[lags + t] = sum;
    }
    future.set(y.subarray(lags + count));
    replaceInfinite(future, past, count);
  }

  protected options(): ARChoice {
    return { period: this.period, columns: [...this.columns] };
  }

  static restore(spec: ExampleSpec, { period, columns }: ARChoice): AR {
    const ar = new AR(spec, { period });
    requireColumns(spec, columns, "ar", (one) => [one.mean, ...one.coefficients]);
    if (!columns.every((one) => [0, 1].includes(one.difference) && [0, 1].includes(one.seasonalDifference))) {
      throw new OstinatoError("OST_MODEL_FILE", {
        what: "differences of an unknown order",
        expected: "0 or 1",
        where: "ar",
        repair: "open it with a newer version",
      });
    }
    ar.#keep(columns);
    return ar;
  }
}

/** y(t) - y(t - lag), `times` times (0 or 1). */
function differences(y: Float64Array, lag: number, times: 0 | 1): Float64Array {
  if (times === 0) return y.slice();
  return Float64Array.from({ length: Math.max(0, y.length - lag) }, (_, t) => y[t + lag] - y[t]);
}

/** The stretches between missing values. */
function runsOf(y: Float64Array): Float64Array[] {
  const runs: Float64Array[] = [];
  let from = 0;
  for (let t = 0; t <= y.length; t++) {
    if (t < y.length && !Number.isNaN(y[t])) continue;
    if (t > from) runs.push(y.slice(from, t));
    from = t + 1;
  }
  return runs;
}

/**
 * Burg's recursion over several runs of one process, and the order of the least criterion.
 *
 *     k = 2 sum f(t) b(t - 1) / sum (f(t)^2 + b(t - 1)^2)        f, b: errors forward and backward; |k| <= 1
 */
function burg(
  runs: readonly Float64Array[],
  most: number,
  criterionOf: (power: number, order: number) => number,
): { coefficients: number[]; criterion: number } {
  const forward = runs.map((run) => run.slice());
  const backward = runs.map((run) => run.slice());
  let [squares, count] = [0, 0];
  for (const run of runs) {
    for (const value of run) squares += value * value;
    count += run.length;
  }
  let power = squares / count;
  // Below it errors are rounding, and coefficients that fit them are too.
  const exhausted = 1e-10 * power;
  let coefficients: number[] = [];
  let best = { coefficients, criterion: criterionOf(power, 0) };
  for (let order = 1; order <= most && power > exhausted; order++) {
    let [cross, energy] = [0, 0];
    forward.forEach((f, r) => {
      const b = backward[r];
      for (let t = order; t < f.length; t++) {
        cross += f[t] * b[t - 1];
        energy += f[t] * f[t] + b[t - 1] * b[t - 1];
      }
    });
    if (!(energy > 0)) break;
    const k = (2 * cross) / energy;
    forward.forEach((f, r) => {
      const b = backward[r];
      for (let t = f.length - 1; t >= order; t--) {
        const [ahead, behind] = [f[t], b[t - 1]];
        f[t] = ahead - k * behind;
        b[t] = behind - k * ahead;
      }
    });
    const before = coefficients;
    coefficients = before.map((value, i) => value - k * before[order - 2 - i]);
    coefficients.push(k);
    power *= 1 - k * k;
    const criterion = criterionOf(power, order);
    if (criterion < best.criterion) best = { coefficients, criterion };
  }
  return best;
}

/** phi(B) (1 - B)^d (1 - B^m)^D, multiplied out: y(t) = constant + sum_i weights[i - 1] y(t - i). */
function withoutDifferences(
  { difference, seasonalDifference, mean, coefficients }: ARColumn,
  period: number,
): { constant: number; weights: Float64Array } {
  let polynomial = [1, ...coefficients.map((value) => -value)];
  const times = (lag: number) => {
    const product = [...polynomial, ...new Array<number>(lag).fill(0)];
    polynomial.forEach((value, i) => {
      product[i + lag] -= value;
    });
    polynomial = product;
  };
  const constant = mean * polynomial.reduce((sum, value) => sum + value, 0);
  if (difference === 1) times(1);
  if (seasonalDifference === 1) times(period);
  return { constant, weights: Float64Array.from(polynomial.slice(1), (value) => -value) };
}

/**
 * @file The theta method: the mean of a straight line and of simple exponential smoothing of a series that is bent twice as much.
 *
 *     y(n + h) = l(n) + (b / 2) (h - 1 + (1 - (1 - a)^n) / a)
 *
 * l is the level of simple exponential smoothing with parameter a, b the slope of the line of least squares through the window's n values.
 * A season, where the training part has one, is taken out of the window before and put back after: by classical decomposition, as
 * factors where all training values are above 0, else as differences. a is fitted on training stretches as long as a window, and frozen.
 * Sources: Assimakopoulos & Nikolopoulos 2000, International Journal of Forecasting 16(4); this form Hyndman & Billah 2003, ibid. 19(2).
 */

import type { Batch, ExampleSpec } from "../core/batch.js";
import { unfitted } from "./baseline.js";
import { ColumnForecast, checkPeriod, keptSteps, replaceInfinite, requireColumns } from "./column-forecast.js";
import { sigmoid } from "./ets.js";
import { firstOf, fitLine, mean, type Season } from "./exponential-smoothing.js";
import { nelderMead } from "./nelder-mead.js";
import { trainingStretches } from "./training-stretch.js";

export interface ThetaOptions {
  /** Steps in a season; absent or 1: no season. */
  period?: number;
  /** At most about so many training steps of each column are used, evenly spaced; default 10,000. */
  maxSteps?: number;
}

/** What the fit chose for one column. */
export interface ThetaColumn {
  alpha: number;
  season: Season;
}

interface ThetaChoice {
  period: number;
  columns: ThetaColumn[];
}

/** Quantile of the standard normal above which an autocorrelation at the period counts as a season: 95 %. */
const SEASONAL = 1.645;

/**
 * @throws OST_TARGET if a target is not among the features, or training has no values.
 * @throws OST_RANGE  if the period is not a positive whole number.
 */
export class Theta extends ColumnForecast {
  readonly kind = "theta";
  readonly name = "theta";
  readonly period: number;
  readonly #maxSteps: number;
  #columns: ThetaColumn[] | undefined;

  constructor(spec: ExampleSpec, { period = 1, maxSteps = 10_000 }: ThetaOptions = {}) {
    super(spec);
    this.period = checkPeriod(period, "theta");
    this.#maxSteps = maxSteps;
  }

  get history(): number {
    return keptSteps(this.spec, this.period);
  }

  /** What the fit chose per column. @throws OST_RANGE before `fit`. */
  get columns(): readonly ThetaColumn[] {
    return this.#columns ?? unfitted(this.name);
  }

  override fit(train: () => Iterable<Batch>, _validation: () => Iterable<Batch>): void {
    const { history: length, period, spec } = this;
    const stretches = trainingStretches(train, spec, { length, maxSteps: this.#maxSteps, where: this.name });
    this.#columns = spec.targets.map((_, k) => {
      const values = stretches.map((stretch) => stretch[k]);
      const positive = values.every((list) => list.every((value) => Number.isNaN(value) || value > 0));
      const season: Season = !isSeasonal(values, period) ? "none" : positive ? "multiplicative" : "additive";
      const plain = values.map((list) => withoutSeason(list, list.length, period, season).plain);
      const squares = (alpha: number) => plain.reduce((sum, list) => sum + smooth(list, list.length, alpha).squares, 0);
      const found = nelderMead((x) => squares(alphaOf(x[0])), [0], { step: 1, maxEvaluations: 60 });
      return { alpha: alphaOf(found.x[0]), season };
    });
  }

  protected extend(past: Float64Array, count: number, future: Float64Array, target: number): void {
    const { alpha, season } = this.columns[target];
    const { plain, factors } = withoutSeason(past, count, this.period, season);
    const { level } = smooth(plain, count, alpha);
    const slope = fitLine(plain, count)?.slope ?? 0;
    const lead = (1 - (1 - alpha) ** count) / alpha;
    for (let h = 0; h < future.length; h++) {
      const value = level + (slope / 2) * (h + lead);
      const factor = factors?.[(count + h) % this.period];
      future[h] = factor === undefined ? value : season === "additive" ? value + factor : value * factor;
    }
    replaceInfinite(future, past, count);
  }

  protected options(): ThetaChoice {
    return { period: this.period, columns: [...this.columns] };
  }

  static restore(spec: ExampleSpec, { period, columns }: ThetaChoice): Theta {
    const theta = new Theta(spec, { period });
    requireColumns(spec, columns, "theta", ({ alpha }) => [alpha, 1 / alpha]);
    theta.#columns = columns;
    return theta;
  }
}

function alphaOf(x: number): number {
  return 0.01 + 0.98 * sigmoid(x);
}

/** Simple exponential smoothing from the first value: the last level, and the sum of squared one-step errors. */
function smooth(y: Float64Array, count: number, alpha: number): { level: number; squares: number } {
  let level = firstOf(y, count);
  let squares = 0;
  for (let t = 0; t < count; t++) {
    if (Number.isNaN(y[t])) continue;
    const error = y[t] - level;
    squares += error * error;
    level += alpha * error;
  }
  return { level, squares };
}

/**
 * Classical decomposition: the mean deviation of each phase from the centred moving average over one season. Without two whole seasons,
 * or a season, the values are given back as they are.
 */
function withoutSeason(
  y: Float64Array,
  count: number,
  period: number,
  season: Season,
): { plain: Float64Array; factors?: Float64Array } {
  const own = y.subarray(0, count);
  if (season === "none" || count < 2 * period) return { plain: own };
  const half = Math.floor(period / 2);
  const sums = new Float64Array(period);
  const counts = new Int32Array(period);
  for (let t = half; t + half < count; t++) {
    // An even season has no middle: the mean of the two means around it.
    const inner = mean(y, t - half, t + half + (period % 2));
    const level = period % 2 === 1 ? inner : (inner + mean(y, t - half + 1, t + half + 1)) / 2;
    const deviation = season === "additive" ? y[t] - level : y[t] / level;
    if (!Number.isFinite(deviation)) continue;
    sums[t % period] += deviation;
    counts[t % period]++;
  }
  const neutral = season === "additive" ? 0 : 1;
  const factors = sums.map((sum, phase) => (counts[phase] > 0 ? sum / counts[phase] : neutral));
  const middle = mean(factors, 0, period);
  const level = season === "additive" || Math.abs(middle) > 1e-8 ? middle : 1;
  for (let phase = 0; phase < period; phase++)
    factors[phase] = season === "additive" ? factors[phase] - level : factors[phase] / level;
  if (season === "multiplicative" && !factors.every((factor) => factor > 1e-8)) return { plain: own };
  const plain = own.map((value, t) => (season === "additive" ? value - factors[t % period] : value / factors[t % period]));
  return { plain, factors };
}

/** Whether the autocorrelation at the period is larger than chance would have it, with the shorter lags taken into account (Bartlett). */
function isSeasonal(values: readonly Float64Array[], period: number): boolean {
  if (period < 2) return false;
  const r = autocorrelations(values, period);
  if (!r) return false;
  let noise = 1;
  for (let lag = 1; lag < period; lag++) noise += 2 * r.correlations[lag] ** 2;
  return r.correlations[period] > SEASONAL * Math.sqrt(noise / r.count);
}

/** Autocorrelations up to a lag within stretches, about the mean of each; undefined without two whole seasons in any. */
function autocorrelations(
  values: readonly Float64Array[],
  lags: number,
): { correlations: Float64Array; count: number } | undefined {
  const sums = new Float64Array(lags + 1);
  let count = 0;
  for (const list of values) {
    if (list.length < 2 * lags) continue;
    const middle = mean(list, 0, list.length);
    for (let t = 0; t < list.length; t++) {
      if (Number.isNaN(list[t])) continue;
      count++;
      for (let lag = 0; lag <= Math.min(lags, t); lag++) {
        const product = (list[t] - middle) * (list[t - lag] - middle);
        if (!Number.isNaN(product)) sums[lag] += product;
      }
    }
  }
  if (!(sums[0] > 0)) return undefined;
  return { correlations: sums.map((sum) => sum / sums[0]), count };
}

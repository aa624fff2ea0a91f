/**
 * @file Exponential smoothing in its error-correction form: what a level, a trend and a season are after a stretch of values, and what
 * they say of the coming ones. With expected value yhat and error e = y - yhat:
 *
 *     season      yhat               level            trend          season
 *     none        l + phi b          l + phi b + a e  phi b + beta e
 *     additive    l + phi b + s      l + phi b + a e  phi b + beta e  s + g e
 *     multiplied  (l + phi b) s      ... + a e / s    ... + beta e/s  s + g e / (l + phi b)
 *
 * phi is 1 for a trend that is not damped; without a trend b is 0. A missing value moves the state as expected, with error 0.
 * Sources: Holt 1957; Winters 1960; Gardner & McKenzie 1985; this form Hyndman, Koehler, Ord & Snyder 2008, chapter 2.
 */

export type Trend = "none" | "additive" | "damped";
export type Season = "none" | "additive" | "multiplicative";

export interface SmoothingParameters {
  trend: Trend;
  season: Season;
  /** 0 < alpha < 1; 0 <= beta <= alpha; 0 <= gamma <= 1 - alpha; 0.8 <= phi <= 1. */
  alpha: number;
  beta: number;
  gamma: number;
  phi: number;
}

export class ExponentialSmoothing {
  #level = 0;
  #slope = 0;
  #factors = new Float64Array(0);
  /** Phase of the next step. */
  #phase = 0;

  constructor(
    readonly parameters: SmoothingParameters,
    /** Steps in a season, >= 1; unused without a season. */
    readonly period: number,
  ) {}

  /**
   * Reads `count` values from the first state that they suggest.
   *
   * @param options `warm`: steps whose errors are not summed, default all; `first`: how many values may suggest the first state, default all
   * @returns the sum of squared errors of the values from step `warm` on, and how many there are.
   */
  run(
    y: Float64Array,
    count: number,
    { warm = count, first = count }: { warm?: number; first?: number } = {},
  ): { squares: number; scored: number } {
    this.#begin(y, Math.min(first, count));
    const { alpha, beta, gamma, phi, season } = this.parameters;
    let squares = 0;
    let scored = 0;
    for (let t = 0; t < count; t++) {
      const base = this.#level + phi * this.#slope;
      const factor = season === "none" ? 0 : this.#factors[this.#phase];
      const missing = Number.isNaN(y[t]);
      const error = missing ? 0 : y[t] - (season === "multiplicative" ? base * factor : base + factor);
      const own = season !== "multiplicative" ? error : Math.abs(factor) > 1e-8 ? error / factor : 0;
      this.#level = base + alpha * own;
      this.#slope = phi * this.#slope + beta * own;
      if (season !== "none") {
        const share = season === "additive" ? error : Math.abs(base) > 1e-8 ? error / base : 0;
        this.#factors[this.#phase] = factor + gamma * share;
        this.#phase = (this.#phase + 1) % this.period;
      }
      if (t < warm || missing) continue;
      squares += error * error;
      scored++;
    }
    return { squares, scored };
  }

  /** What the state says of the coming steps. */
  forecast(future: Float64Array): void {
    const { phi, season } = this.parameters;
    let damping = 0;
    for (let h = 0; h < future.length; h++) {
      damping += phi ** (h + 1);
      const base = this.#level + damping * this.#slope;
      const factor = season === "none" ? 0 : this.#factors[(this.#phase + h) % this.period];
      future[h] = season === "multiplicative" ? base * factor : base + factor;
    }
  }

  /**
   * The state before the first value. With a season: level and trend from the means of the first two seasons, factors from their
   * deviations from that line; less than two seasons give no trend, less than one no factors. Without one: the first value, or the line
   * through the first ten.
   */
  #begin(y: Float64Array, count: number): void {
    const { trend, season } = this.parameters;
    const m = this.period;
    this.#slope = 0;
    this.#phase = 0;
    if (season !== "none") {
      const neutral = season === "additive" ? 0 : 1;
      this.#factors = new Float64Array(m).fill(neutral);
      const one = mean(y, 0, Math.min(m, count));
      const two = mean(y, m, Math.min(2 * m, count));
      if (count >= m && !Number.isNaN(one)) {
        const seasons = count >= 2 * m && !Number.isNaN(two) ? 2 : 1;
        const slope = seasons === 2 && trend !== "none" ? (two - one) / m : 0;
        for (let phase = 0; phase < m; phase++) {
          let sum = 0;
          let n = 0;
          for (let s = 0; s < seasons; s++) {
            const t = s * m + phase;
            const line = slope === 0 ? (s === 0 ? one : two) : one + slope * (t - (m - 1) / 2);
            if (Number.isNaN(y[t]) || (season === "multiplicative" && line <= 0)) continue;
            sum += season === "additive" ? y[t] - line : y[t] / line;
            n++;
          }
          if (n > 0) this.#factors[phase] = sum / n;
        }
        this.#level = one - (slope * (m + 1)) / 2;
        this.#slope = slope;
        return;
      }
    }
    this.#level = firstOf(y, count);
    if (trend === "none") return;
    const line = fitLine(y, Math.min(10, count));
    if (!line) return;
    this.#slope = line.slope;
    this.#level = line.intercept - line.slope;
  }
}

/** The mean of the values from `from` to before `to` that are there, NaN without any. */
export function mean(y: Float64Array, from: number, to: number): number {
  let sum = 0;
  let n = 0;
  for (let t = from; t < to; t++) {
    if (Number.isNaN(y[t])) continue;
    sum += y[t];
    n++;
  }
  return sum / n;
}

/** The first value that is there, or 0. */
export function firstOf(y: Float64Array, count: number): number {
  for (let t = 0; t < count; t++) if (!Number.isNaN(y[t])) return y[t];
  return 0;
}

/** The line of least squares through the values that are there, over steps 0, 1, ...; undefined with fewer than two. */
export function fitLine(y: Float64Array, count: number): { intercept: number; slope: number } | undefined {
  let [n, t1, y1, tt, ty] = [0, 0, 0, 0, 0];
  for (let t = 0; t < count; t++) {
    if (Number.isNaN(y[t])) continue;
    n++;
    t1 += t;
    y1 += y[t];
    tt += t * t;
    ty += t * y[t];
  }
  if (n < 2) return undefined;
  const slope = (ty - (t1 * y1) / n) / (tt - (t1 * t1) / n);
  return { slope, intercept: (y1 - slope * t1) / n };
}

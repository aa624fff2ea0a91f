/** @file Student's t distribution of one value, with location and scale. Degrees of freedom above 2 only, so that the variance exists. */
import { logGammaRise } from "../gamma.js";
import { incompleteBeta } from "../incomplete-beta.js";
import { normalQuantile } from "../normal.js";
import type { PredictiveDistribution } from "../predictive-distribution.js";
import type { Rng } from "../rng.js";

const HALF_LOG_PI = 0.5 * Math.log(Math.PI);

export class StudentT implements PredictiveDistribution {
  /**
   * @param scale            > 0; the standard deviation is scale * sqrt(df / (df - 2))
   * @param degreesOfFreedom > 2
   */
  constructor(
    readonly location: number,
    readonly scale: number,
    readonly degreesOfFreedom: number,
  ) {}

  get mean(): number {
    return this.location;
  }

  get point(): number {
    return this.location;
  }

  quantile(level: number): number {
    if (level === 0.5) return this.location;
    const z = this.#upper(Math.min(level, 1 - level));
    return this.location + this.scale * (level < 0.5 ? -z : z);
  }

  /** Polar generation (Bailey 1994): exact for any degrees of freedom. */
  sample(rng: Rng): number {
    const df = this.degreesOfFreedom;
    for (;;) {
      const [u, v] = [rng.uniform(-1, 1), rng.uniform(-1, 1)];
      const w = u * u + v * v;
      if (w === 0 || w > 1) continue;
      return this.location + this.scale * u * Math.sqrt((df * Math.expm1((-2 / df) * Math.log(w))) / w);
    }
  }

  logProbability(value: number): number {
    return this.#logDensity((value - this.location) / this.scale) - Math.log(this.scale);
  }

  cdf(value: number): number {
    const z = (value - this.location) / this.scale;
    return z > 0 ? 1 - this.#tail(z) : this.#tail(-z);
  }

  /** Jordan, Krüger & Lerch 2019, appendix A. */
  crps(value: number): number {
    const df = this.degreesOfFreedom;
    const z = (value - this.location) / this.scale;
    const centred = z === 0 ? 0 : Math.abs(z) * (1 - 2 * this.#tail(Math.abs(z)));
    const density = Math.exp(this.#logDensity(z));
    // 2 sqrt(df) / (df - 1) * B(1/2, df - 1/2) / B(1/2, df/2)^2, half the mean distance of two draws
    const logBetas = -logGammaRise(df - 0.5, 0.5) + 2 * logGammaRise(df / 2, 0.5) - HALF_LOG_PI;
    const spread = ((2 * Math.sqrt(df)) / (df - 1)) * Math.exp(logBetas);
    return this.scale * (centred + (2 * density * (df + z * z)) / (df - 1) - spread);
  }

  #logDensity(z: number): number {
    const df = this.degreesOfFreedom;
    return logGammaRise(df / 2, 0.5) - HALF_LOG_PI - 0.5 * Math.log(df) - 0.5 * (df + 1) * Math.log1p((z * z) / df);
  }

  /** P(Z > z) of the standard t, z >= 0. */
  #tail(z: number): number {
    const df = this.degreesOfFreedom;
    const sum = df + z * z;
    return 0.5 * incompleteBeta(df / sum, (z * z) / sum, df / 2, 0.5);
  }

  /** The z >= 0 with P(Z > z) = share, 0 < share <= 1/2: Newton's steps on the logarithm of the tail, kept inside a bracket. */
  #upper(share: number): number {
    // Tails are heavier than the normal distribution's, so its quantile lies below.
    let low = -normalQuantile(share);
    let high = Math.max(1, 2 * low);
    while (this.#tail(high) > share) high *= 2;
    let z = low;
    for (let i = 0; i < 200; i++) {
      const tail = this.#tail(z);
      if (tail > share) low = Math.max(low, z);
      else high = Math.min(high, z);
      const step = (tail * Math.log(tail / share)) / Math.exp(this.#logDensity(z));
      const next = z + step > low && z + step < high ? z + step : 0.5 * (low + high);
      if (Math.abs(next - z) <= 4e-16 * Math.abs(z)) return next;
      z = next;
    }
    return z;
  }
}

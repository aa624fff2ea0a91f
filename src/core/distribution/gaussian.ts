/** @file The normal distribution of one value. */
import { normalCdf, normalDensity, normalQuantile } from "../normal.js";
import type { PredictiveDistribution } from "../predictive-distribution.js";
import type { Rng } from "../rng.js";

const HALF_LOG_TWO_PI = 0.5 * Math.log(2 * Math.PI);
const INVERSE_SQRT_PI = 1 / Math.sqrt(Math.PI);

export class Gaussian implements PredictiveDistribution {
  /** @param scale > 0, the standard deviation */
  constructor(
    readonly location: number,
    readonly scale: number,
  ) {}

  get mean(): number {
    return this.location;
  }

  get point(): number {
    return this.location;
  }

  quantile(level: number): number {
    return this.location + this.scale * normalQuantile(level);
  }

  sample(rng: Rng): number {
    return this.location + this.scale * rng.normal();
  }

  logProbability(value: number): number {
    const z = (value - this.location) / this.scale;
    return -0.5 * z * z - Math.log(this.scale) - HALF_LOG_TWO_PI;
  }

  cdf(value: number): number {
    return normalCdf((value - this.location) / this.scale);
  }

  /** Gneiting & Raftery 2007, equation 21. */
  crps(value: number): number {
    const z = (value - this.location) / this.scale;
    return this.scale * (z * (2 * normalCdf(z) - 1) + 2 * normalDensity(z) - INVERSE_SQRT_PI);
  }
}

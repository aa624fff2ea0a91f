/** @file The distribution of one value that is 1 or 0, by its log-odds. */
import type { PredictiveDistribution } from "../predictive-distribution.js";
import type { Rng } from "../rng.js";
import { sigmoid, softplus } from "../softplus.js";

export class Bernoulli implements PredictiveDistribution {
  constructor(readonly logOdds: number) {}

  /** P(1) */
  get mean(): number {
    return sigmoid(this.logOdds);
  }

  get point(): number {
    return this.mean;
  }

  quantile(level: number): number {
    return level <= sigmoid(-this.logOdds) ? 0 : 1;
  }

  sample(rng: Rng): number {
    return rng.uniform() < this.mean ? 1 : 0;
  }

  logProbability(value: number): number {
    if (value !== 0 && value !== 1) return Number.NEGATIVE_INFINITY;
    return -softplus(value === 1 ? -this.logOdds : this.logOdds);
  }

  cdf(value: number): number {
    if (value < 0) return 0;
    return value < 1 ? sigmoid(-this.logOdds) : 1;
  }

  /** For a value of 0 or 1 the Brier score (Brier 1950) of P(1). */
  crps(value: number): number {
    const zero = sigmoid(-this.logOdds);
    const inside = Math.min(1, Math.max(0, value));
    return Math.abs(value - inside) + inside * zero * zero + (1 - inside) * this.mean * this.mean;
  }
}

/**
 * @file The negative binomial distribution of one count, by mean m and dispersion a: r = 1 / a, variance m + a m^2 (Hilbe 2011).
 *
 *     P(k) = Gamma(k + r) / (k! Gamma(r)) * (r / (r + m))^r * (m / (r + m))^k,     k = 0, 1, ...
 */
import { digammaRiseBeyondLog, logGamma, logGammaRise } from "../gamma.js";
import { incompleteBeta } from "../incomplete-beta.js";
import type { PredictiveDistribution } from "../predictive-distribution.js";
import type { Rng } from "../rng.js";

/** A distribution function is exact to about this; a level reached but for it counts as reached. */
const ROUNDING = 1e-14;
/** Counts that are summed up one by one before a search by halves begins. */
const SUMMED = 256;
/** A lower tail that changes no digit of a sum of order 1. */
const NEGLIGIBLE = 1e-17;
/** An upper tail whose squares change none. */
const SMALL_TAIL = 1e-12;
const MOST_TERMS = 2 ** 18;
/** Nodes in (-1, 1) and weights of Gauss's quadrature with five points (Abramowitz & Stegun 1964, 25.4.29). */
const GAUSS = [-1, 1].flatMap((side) => [
  [0, 64 / 225],
  [(side / 3) * Math.sqrt(5 - 2 * Math.sqrt(10 / 7)), (322 + 13 * Math.sqrt(70)) / 900],
  [(side / 3) * Math.sqrt(5 + 2 * Math.sqrt(10 / 7)), (322 - 13 * Math.sqrt(70)) / 900],
]);

export class NegativeBinomial implements PredictiveDistribution {
  readonly #r: number;

  /** @param mean > 0 @param dispersion > 0 */
  constructor(
    readonly mean: number,
    readonly dispersion: number,
  ) {
    this.#r = 1 / dispersion;
  }

  get point(): number {
    return this.mean;
  }

  /** The smallest count k with P(K <= k) >= level. */
  quantile(level: number): number {
    return this.#quantile(level);
  }

  /** By inversion: one uniform number per draw. */
  sample(rng: Rng): number {
    return this.#quantile(rng.uniform());
  }

  logProbability(value: number): number {
    return isCount(value) ? logMass(this.mean, this.dispersion, value) : Number.NEGATIVE_INFINITY;
  }

  /** P(K <= value) = I_{r / (r + m)}(r, floor(value) + 1) */
  cdf(value: number): number {
    if (value < 0) return 0;
    const [r, sum] = [this.#r, this.#r + this.mean];
    return incompleteBeta(r / sum, this.mean / sum, r, Math.floor(value) + 1);
  }

  /**
   * The sum over all counts k of (P(K <= k) - [value <= k])^2. Exact; where it has more than a quarter of a million terms, it is the
   * integral that the sum has become there, to about 1e-10 of the result.
   */
  crps(value: number): number {
    const first = Math.floor(value);
    const low = this.#quantile(NEGLIGIBLE);
    const high = this.#quantile(1 - SMALL_TAIL);
    // Below `low` the distribution function is 0 and above `high` it is 1.
    const outside = Math.max(0, low - value) + Math.max(0, value - (high + 1));
    const term = (k: number, cdf: number) => {
      const before = Math.min(1, Math.max(0, value - k));
      return before * cdf * cdf + (1 - before) * (1 - cdf) * (1 - cdf);
    };
    if (high - low > MOST_TERMS) {
      const own = first >= low && first <= high ? term(first, this.cdf(first)) : 0;
      const below = this.#sum((k) => this.#smoothCdf(k) ** 2, low, Math.min(first - 1, high));
      return outside + own + below + this.#sum((k) => (1 - this.#smoothCdf(k)) ** 2, Math.max(first + 1, low), high);
    }
    let total = outside;
    let cdf = this.cdf(low);
    let mass = Math.exp(logMass(this.mean, this.dispersion, low));
    const ratio = this.mean / (this.#r + this.mean);
    for (let k = low; k <= high; k++) {
      total += term(k, cdf);
      mass *= ((k + this.#r) / (k + 1)) * ratio;
      cdf = Math.min(1, cdf + mass);
    }
    return total;
  }

  /** P(K <= k) between counts too: the incomplete beta function as it is. */
  #smoothCdf(k: number): number {
    const [r, sum] = [this.#r, this.#r + this.mean];
    return incompleteBeta(r / sum, this.mean / sum, r, k + 1);
  }

  /**
   * Sum of a smooth f over the counts from .. to: the first ones by themselves, the others as the integral with the first correction of
   * Euler and Maclaurin for midpoints, in pieces over which f changes little.
   */
  #sum(f: (k: number) => number, from: number, to: number): number {
    let total = 0;
    let k = from;
    for (; k <= to && k < from + SUMMED; k++) total += f(k);
    if (k > to) return total;
    const spread = Math.sqrt(this.mean + this.dispersion * this.mean * this.mean);
    total -= (f(to + 1) - f(to) - (f(k) - f(k - 1))) / 24;
    for (let left = k - 0.5; left < to + 0.5; ) {
      const right = Math.min(to + 0.5, left + 0.25 * Math.min(left, spread));
      const [centre, half] = [(left + right) / 2, (right - left) / 2];
      for (const [node, weight] of GAUSS) total += half * weight * f(centre + half * node);
      left = right;
    }
    return total;
  }

  #quantile(level: number): number {
    const wanted = level * (1 - ROUNDING);
    const ratio = this.mean / (this.#r + this.mean);
    let mass = Math.exp(logMass(this.mean, this.dispersion, 0));
    if (mass > 1e-280) {
      let sum = mass;
      for (let k = 0; k < SUMMED; k++) {
        if (sum >= wanted) return k;
        mass *= ((k + this.#r) / (k + 1)) * ratio;
        sum += mass;
      }
    }
    let high = Math.max(1, Math.ceil(this.mean));
    while (this.cdf(high) < wanted) high *= 2;
    let low = -1;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.cdf(middle) >= wanted) high = middle;
      else low = middle;
    }
    return high;
  }
}

/** Whether a number can be one: 0, 1, 2, ... */
export function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 0;
}

/** log P(count), with the digits kept where the dispersion is small and the distribution almost Poisson's. */
export function logMass(mean: number, dispersion: number, count: number): number {
  const r = 1 / dispersion;
  // An infinite dispersion has no distribution; who trains with it learns of NaN where it arose.
  if (r === 0) return Number.NaN;
  const logFactorial = logGamma(count + 1);
  if (r < 10) {
    return logGammaRise(r, count) - logFactorial - r * Math.log1p(mean / r) + (count === 0 ? 0 : count * -Math.log1p(r / mean));
  }
  // Stirling's (r + k) log(r + k) joined with the powers of r + m: what is left is small.
  const rest = logGammaRise(r, count) - (r - 0.5) * Math.log1p(count / r) - count * Math.log(r + count) + count;
  const joined = (r + count) * Math.log1p((count - mean) / (r + mean));
  return joined - 0.5 * Math.log1p(count / r) - count + rest - logFactorial + count * Math.log(mean);
}

/** The derivatives of log P(count) by mean and by dispersion. */
export function logMassSlopes(mean: number, dispersion: number, count: number): { mean: number; dispersion: number } {
  const r = 1 / dispersion;
  if (r === 0) return { mean: Number.NaN, dispersion: Number.NaN };
  const u = (count - mean) / (r + mean);
  // By r: digamma(r + k) - digamma(r) + log(r / (r + m)) - (k - m) / (r + m), whose logarithms join to log1p(u).
  const byR = digammaRiseBeyondLog(r, count) + log1pMinus(u);
  return { mean: u / (dispersion * mean), dispersion: -r * r * byR };
}

/** log(1 + u) - u, u > -1, without cancellation near 0. */
function log1pMinus(u: number): number {
  if (Math.abs(u) > 0.1) return Math.log1p(u) - u;
  let sum = 0;
  let power = u;
  for (let n = 2; n <= 20; n++) {
    power *= -u;
    sum += power / n;
  }
  return sum;
}

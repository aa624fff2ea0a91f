/**
 * @file A distribution known by some of its quantiles. Between two levels it is linear; beyond the outer ones, of which nothing is known,
 * their mass stands at the outermost values. Values that cross are sorted, which brings them nearer to the truth (Chernozhukov,
 * Fernandez-Val & Galichon 2010).
 */
import { OstinatoError } from "../errors.js";
import type { PredictiveDistribution } from "../predictive-distribution.js";
import type { Rng } from "../rng.js";

export class Quantiles implements PredictiveDistribution {
  readonly #values: Float64Array;

  /** @param levels rising, each in (0, 1) @param values one per level */
  constructor(
    readonly levels: readonly number[],
    values: ArrayLike<number>,
  ) {
    this.#values = Float64Array.from(values).sort();
  }

  /** The integral of the quantile function over all levels. */
  get mean(): number {
    const { levels } = this;
    const values = this.#values;
    const last = levels.length - 1;
    let sum = levels[0] * values[0] + (1 - levels[last]) * values[last];
    for (let i = 1; i <= last; i++) sum += 0.5 * (levels[i] - levels[i - 1]) * (values[i] + values[i - 1]);
    return sum;
  }

  /** The median, interpolated between the nearest levels. */
  get point(): number {
    return this.quantile(0.5);
  }

  quantile(level: number): number {
    const { levels } = this;
    const values = this.#values;
    const above = levels.findIndex((known) => known >= level);
    if (above === -1) return values[values.length - 1];
    if (above === 0) return values[0];
    const share = (level - levels[above - 1]) / (levels[above] - levels[above - 1]);
    return values[above - 1] + share * (values[above] - values[above - 1]);
  }

  sample(rng: Rng): number {
    return this.quantile(rng.uniform());
  }

  /** @throws OST_CONFIG: quantiles say nothing of a density. */
  logProbability(): number {
    throw new OstinatoError("OST_CONFIG", {
      what: "quantiles have no density",
      expected: "a gaussian, studentT, negativeBinomial or bernoulli distribution",
      got: "quantiles",
      where: "logProbability",
      repair: "judge quantiles by crps or pinball loss, or forecast another distribution",
    });
  }

  cdf(value: number): number {
    const { levels } = this;
    const values = this.#values;
    const last = values.length - 1;
    if (value < values[0]) return 0;
    if (value >= values[last]) return 1;
    let above = 1;
    while (values[above] <= value) above++;
    const share = (value - values[above - 1]) / (values[above] - values[above - 1]);
    return levels[above - 1] + share * (levels[above] - levels[above - 1]);
  }

  /**
   * Twice the mean pinball loss over the levels: the CRPS as an integral over levels (Laio & Tamea 2007), of which the levels at hand are a
   * sample.
   */
  crps(value: number): number {
    let sum = 0;
    this.levels.forEach((level, i) => {
      sum += pinball(level, this.#values[i], value);
    });
    return (2 * sum) / this.levels.length;
  }
}

/** Koenker & Bassett 1978: what a quantile of this level costs when the value comes. */
export function pinball(level: number, quantile: number, value: number): number {
  const error = value - quantile;
  return error >= 0 ? level * error : (level - 1) * error;
}

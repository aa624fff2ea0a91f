/** @file Running sums of what probabilistic forecasts of single values are worth. */
import { pinball } from "../core/distribution/quantiles.js";
import type { Distribution } from "../core/predictive-distribution.js";
import { IntervalSums } from "./metrics/prediction-interval.js";
import type { DistributionMetrics } from "./score.js";

/** Shares of the values that central intervals should hold. */
export const INTERVAL_LEVELS = [0.5, 0.8, 0.9, 0.95] as const;
/** Levels of the pinball loss of a distribution that names none. */
const PINBALL_LEVELS = [0.1, 0.5, 0.9] as const;

/** What is asked of every forecast of a kind. */
export interface ForecastQuestions {
  pinball: readonly number[];
  /** Central intervals. Of quantiles only those between two known ones: beyond the outermost nothing is known. */
  intervals: readonly number[];
  /** All levels of quantiles that these need, rising. */
  levels: readonly number[];
  /** For a level above one half the place of its complement in `levels`; -1 where it is not there, and for the others. */
  complements: readonly number[];
}

export function questionsOf(distribution: Distribution): ForecastQuestions {
  const pinballLevels = distribution.kind === "quantiles" ? distribution.levels : PINBALL_LEVELS;
  const known = (level: number) =>
    distribution.kind !== "quantiles" ||
    ((1 - level) / 2 >= pinballLevels[0] - ROUNDING && (1 + level) / 2 <= pinballLevels[pinballLevels.length - 1] + ROUNDING);
  const intervals = INTERVAL_LEVELS.filter(known);
  const wanted = new Set([...pinballLevels, ...intervals.flatMap((level) => [(1 - level) / 2, (1 + level) / 2])]);
  const levels = [...wanted].sort((a, b) => a - b);
  const complementOf = (level: number) => levels.findIndex((other) => Math.abs(other + level - 1) < ROUNDING);
  return {
    pinball: pinballLevels,
    intervals,
    levels,
    complements: levels.map((level) => (level > 0.5 ? complementOf(level) : -1)),
  };
}

const ROUNDING = 1e-9;

/** A forecast of one value in the space it is scored in. */
export interface ScoredForecast {
  target: number;
  crps: number;
  /** Absent where the forecast has none. */
  nll?: number;
  /** At `ForecastQuestions.levels`. */
  quantiles: ArrayLike<number>;
  /** Whether it has a spread at all; a point has no intervals. */
  spread: boolean;
}

export class DistributionSums {
  readonly #questions: ForecastQuestions;
  readonly #pinball: Float64Array;
  readonly #intervals: IntervalSums[];
  readonly #at: (level: number) => number;
  #n = 0;
  #crps = 0;
  #nll = 0;
  #nlls = 0;

  constructor(questions: ForecastQuestions) {
    this.#questions = questions;
    this.#pinball = new Float64Array(questions.pinball.length);
    this.#intervals = questions.intervals.map((level) => new IntervalSums(level));
    const places = new Map(questions.levels.map((level, i) => [level, i]));
    this.#at = (level) => places.get(level) as number;
  }

  /** @returns the mean pinball loss of this value. */
  add({ target, crps, nll, quantiles, spread }: ScoredForecast): number {
    this.#n++;
    this.#crps += crps;
    if (nll !== undefined) {
      this.#nll += nll;
      this.#nlls++;
    }
    let loss = 0;
    this.#questions.pinball.forEach((level, i) => {
      const one = pinball(level, quantiles[this.#at(level)], target);
      this.#pinball[i] += one;
      loss += one;
    });
    if (spread) {
      for (const sums of this.#intervals) {
        sums.add(target, quantiles[this.#at((1 - sums.level) / 2)], quantiles[this.#at((1 + sums.level) / 2)]);
      }
    }
    return loss / this.#pinball.length;
  }

  /** Empty when nothing was added. */
  result(): DistributionMetrics {
    const n = this.#n;
    if (n === 0) return {};
    const losses = this.#questions.pinball.map((level, i) => ({ level, value: this.#pinball[i] / n }));
    const intervals = this.#intervals.filter((sums) => sums.n > 0).map((sums) => sums.result());
    return {
      crps: this.#crps / n,
      ...(this.#nlls > 0 && { nll: this.#nll / this.#nlls }),
      pinballLoss: losses.reduce((sum, { value }) => sum + value, 0) / losses.length,
      pinball: losses,
      ...(intervals.length > 0 && { intervals }),
    };
  }
}

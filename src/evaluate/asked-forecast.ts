/** @file Forecasts of one value, as outputs of a distribution or as a point, asked alike. */
import { OstinatoError } from "../core/errors.js";
import { type Distribution, outputsPerValue, predictiveDistribution } from "../core/predictive-distribution.js";
import type { ForecastQuestions, ScoredForecast } from "./distribution-sums.js";
import { requireFinite } from "./metrics/regression.js";

/** What is asked of a forecast of one value. */
export interface AskedForecast {
  point: number;
  spread: boolean;
  crps(target: number): number;
  nll(target: number): number | undefined;
  quantile(level: number): number;
  /** Whether `nll` is of a density, which another unit changes. Such distributions are symmetric about their point. */
  isDensity: boolean;
}

/** Reads the raw outputs [M] that begin at `from`. */
export function askOf(distribution: Distribution, prediction: ArrayLike<number>, from: number): AskedForecast {
  const raw = Float64Array.from({ length: outputsPerValue(distribution) }, (_, m) => prediction[from + m]);
  const one = predictiveDistribution(distribution, raw);
  const { kind } = distribution;
  return {
    point: one.point,
    spread: true,
    crps: (target) => one.crps(target),
    nll(target) {
      if (kind === "quantiles") return undefined;
      const nll = -one.logProbability(target);
      if (nll === Number.POSITIVE_INFINITY) throw impossible(kind, target);
      return nll;
    },
    quantile: (level) => one.quantile(level),
    isDensity: kind === "gaussian" || kind === "studentT",
  };
}

/** A point, as a forecast that is certain. Of a thing that is there or not it is a probability, kept a little away from 0 and 1. */
export function certain(distribution: Distribution | undefined, point: number): AskedForecast {
  const isShare = distribution?.kind === "bernoulli";
  requireFinite(point);
  return {
    point,
    spread: false,
    crps: (target) => Math.abs(target - point),
    nll(target) {
      if (!isShare) return undefined;
      if (target !== 0 && target !== 1) throw impossible("bernoulli", target);
      const share = Math.min(1 - CERTAIN, Math.max(CERTAIN, point));
      return -Math.log(target === 1 ? share : 1 - share);
    },
    quantile: () => point,
    isDensity: false,
  };
}

/** A probability given as a point of 0 is read as this: a certainty that is wrong would otherwise cost without end. */
const CERTAIN = 1e-7;

/** @throws OST_TARGET for a target that the distribution cannot give. */
export function scoredOf(asked: AskedForecast, target: number, { levels, complements }: ForecastQuestions): ScoredForecast {
  const quantiles: number[] = [];
  levels.forEach((level, i) => {
    // A quantile may take a search; of a symmetric distribution the lower one gives the upper.
    const mirrored = asked.isDensity && complements[i] >= 0;
    quantiles.push(mirrored ? 2 * asked.point - quantiles[complements[i]] : asked.quantile(level));
  });
  return { target, crps: asked.crps(target), nll: asked.nll(target), quantiles, spread: asked.spread };
}

/** The same forecast in original units, which an affine map gives. */
export function inOriginal(
  { target, crps, nll, quantiles, spread }: ScoredForecast,
  asked: AskedForecast,
  { levels }: ForecastQuestions,
  original: (value: number, target: number) => number,
  slopes: readonly number[],
  k: number,
): ScoredForecast {
  const slope = slopes[k];
  // A falling map turns the order of the quantiles round.
  const own = slope > 0 ? quantiles : levels.map((level) => asked.quantile(1 - level));
  return {
    target: original(target, k),
    crps: Math.abs(slope) * crps,
    ...(nll !== undefined && { nll: asked.isDensity ? nll + Math.log(Math.abs(slope)) : nll }),
    quantiles: Array.from(own, (value) => original(value, k)),
    spread,
  };
}

function impossible(kind: string, target: number): OstinatoError {
  return new OstinatoError("OST_TARGET", {
    what: `a target that a ${kind} distribution cannot give`,
    expected: kind === "bernoulli" ? "0 or 1" : "a whole number of at least 0",
    got: String(target),
    where: "scoreForecast",
    repair: "leave targets of this distribution unscaled, or choose another one",
  });
}

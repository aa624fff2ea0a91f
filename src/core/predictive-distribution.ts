/**
 * @file What a probabilistic forecast says of one value: raw outputs of a network, read as a distribution.
 *
 *     gaussian           location, scale                      scale = softplus(raw) + 1e-6
 *     studentT           location, scale, degrees of freedom  df = 2 + softplus(raw)
 *     negativeBinomial   mean, dispersion                     both softplus(raw) + 1e-6; variance = mean + dispersion * mean^2
 *     bernoulli          log-odds
 *     quantiles          one value per level
 *
 * Values are in the units that the network was trained in; `affine` gives the raw outputs for other units.
 */
import { Bernoulli } from "./distribution/bernoulli.js";
import { Gaussian } from "./distribution/gaussian.js";
import { NegativeBinomial } from "./distribution/negative-binomial.js";
import { Quantiles } from "./distribution/quantiles.js";
import { StudentT } from "./distribution/student-t.js";
import { OstinatoError } from "./errors.js";
import type { Rng } from "./rng.js";
import { softplus } from "./softplus.js";

export type Distribution =
  | { kind: "gaussian" }
  | { kind: "studentT" }
  | { kind: "negativeBinomial" }
  | { kind: "bernoulli" }
  /** Rising levels, each in (0, 1). */
  | { kind: "quantiles"; levels: readonly number[] };

/** Scales, means and dispersions stay above this, so that no loss divides by 0. */
export const SMALLEST_SCALE = 1e-6;
/** Degrees of freedom stay above this, so that a variance exists. */
export const SMALLEST_DF = 2;

/** Raw outputs per value. */
export function outputsPerValue(distribution: Distribution | undefined): number {
  switch (distribution?.kind) {
    case "gaussian":
    case "negativeBinomial":
      return 2;
    case "studentT":
      return 3;
    case "quantiles":
      return distribution.levels.length;
    default:
      return 1;
  }
}

/** The distribution of one value, ready to be asked. Levels are in (0, 1), values finite. */
export interface PredictiveDistribution {
  readonly mean: number;
  /** The forecast of a single number: the median of quantiles, else the mean (of a bernoulli the probability of 1). */
  readonly point: number;
  /** The smallest value v with P(V <= v) >= level; of quantiles interpolated, beyond the outer levels the outermost value. */
  quantile(level: number): number;
  sample(rng: Rng): number;
  /** In nats: of the density, or of the mass of a count or a bernoulli; -Infinity where there is none. @throws OST_CONFIG for quantiles */
  logProbability(value: number): number;
  /** P(V <= value) */
  cdf(value: number): number;
  /** Continuous ranked probability score, in units of the value; of an error that is certain, its size. Lower is better. */
  crps(value: number): number;
}

/**
 * Reads raw outputs [M].
 *
 * @throws OST_RANGE for levels that do not rise in (0, 1), OST_SHAPE for another number of outputs, OST_NAN for one that is not finite
 */
export function predictiveDistribution(distribution: Distribution, raw: ArrayLike<number>): PredictiveDistribution {
  if (distribution.kind === "quantiles") checkLevels(distribution.levels);
  const outputs = outputsPerValue(distribution);
  if (raw.length !== outputs) {
    throw new OstinatoError("OST_SHAPE", {
      what: "raw outputs of one value are wanted",
      expected: `${outputs} of kind ${distribution.kind}`,
      got: String(raw.length),
      where: "predictiveDistribution",
    });
  }
  for (let i = 0; i < outputs; i++) {
    if (!Number.isFinite(raw[i])) {
      throw new OstinatoError("OST_NAN", {
        what: "a raw output is no finite number",
        got: `${raw[i]} as output ${i} of kind ${distribution.kind}`,
        where: "predictiveDistribution",
      });
    }
  }
  switch (distribution.kind) {
    case "gaussian":
      return new Gaussian(raw[0], scaleOf(raw[1]));
    case "studentT":
      return new StudentT(raw[0], scaleOf(raw[1]), SMALLEST_DF + softplus(raw[2]));
    case "negativeBinomial":
      return new NegativeBinomial(scaleOf(raw[0]), scaleOf(raw[1]));
    case "bernoulli":
      return new Bernoulli(raw[0]);
    case "quantiles":
      return new Quantiles(distribution.levels, raw);
  }
}

/** The scale, mean or dispersion that a raw output stands for. */
export function scaleOf(raw: number): number {
  return softplus(raw) + SMALLEST_SCALE;
}

/** @throws OST_RANGE unless levels rise strictly inside (0, 1) and there is at least one. */
export function checkLevels(levels: readonly number[]): void {
  const rises = levels.every((level, i) => level > (i === 0 ? 0 : levels[i - 1]) && level < 1);
  if (levels.length > 0 && rises) return;
  throw new OstinatoError("OST_RANGE", {
    what: "levels of quantiles rise strictly between 0 and 1",
    expected: "for example [0.1, 0.5, 0.9]",
    got: `[${levels.join(", ")}]`,
    where: "quantiles",
  });
}

/** @see PredictiveDistribution */
export function mean(distribution: Distribution, raw: ArrayLike<number>): number {
  return predictiveDistribution(distribution, raw).mean;
}

/** @see PredictiveDistribution */
export function point(distribution: Distribution, raw: ArrayLike<number>): number {
  return predictiveDistribution(distribution, raw).point;
}

/** @see PredictiveDistribution @throws OST_RANGE unless 0 < level < 1 */
export function quantile(distribution: Distribution, raw: ArrayLike<number>, level: number): number {
  if (!(level > 0 && level < 1)) {
    throw new OstinatoError("OST_RANGE", {
      what: "a level is a share",
      expected: "0 < level < 1",
      got: String(level),
      where: "quantile",
    });
  }
  return predictiveDistribution(distribution, raw).quantile(level);
}

/** @see PredictiveDistribution */
export function sample(distribution: Distribution, raw: ArrayLike<number>, rng: Rng): number {
  return predictiveDistribution(distribution, raw).sample(rng);
}

/** @see PredictiveDistribution @throws OST_VALUE for a value that is not finite, OST_CONFIG for quantiles */
export function logProbability(distribution: Distribution, raw: ArrayLike<number>, value: number): number {
  return predictiveDistribution(distribution, raw).logProbability(finite(value, "logProbability"));
}

/** @see PredictiveDistribution @throws OST_VALUE for NaN */
export function cdf(distribution: Distribution, raw: ArrayLike<number>, value: number): number {
  if (value === Number.POSITIVE_INFINITY) return 1;
  if (value === Number.NEGATIVE_INFINITY) return 0;
  return predictiveDistribution(distribution, raw).cdf(finite(value, "cdf"));
}

/** @see PredictiveDistribution @throws OST_VALUE for a value that is not finite */
export function crps(distribution: Distribution, raw: ArrayLike<number>, value: number): number {
  return predictiveDistribution(distribution, raw).crps(finite(value, "crps"));
}

/**
 * Raw outputs of the distribution of value * scale + offset, for undoing what scaled a target. A standard deviation that would fall to
 * 1e-6 or below stays just above. With a negative scale quantiles trade places with those of the opposite levels, interpolated where the
 * levels are not symmetric.
 *
 * @returns [M]
 * @throws OST_CONFIG for counts and bernoullis, which no scaling leaves what they are; OST_RANGE for a scale of 0 or not finite numbers
 */
export function affine(distribution: Distribution, raw: ArrayLike<number>, scale: number, offset: number): number[] {
  if (distribution.kind === "negativeBinomial" || distribution.kind === "bernoulli") {
    throw new OstinatoError("OST_CONFIG", {
      what: `a ${distribution.kind} distribution holds counts or flags and cannot be scaled`,
      got: `scale ${scale}, offset ${offset}`,
      where: "affine",
      repair: "leave targets of this distribution unscaled",
    });
  }
  if (!Number.isFinite(scale) || scale === 0 || !Number.isFinite(offset)) {
    throw new OstinatoError("OST_RANGE", {
      what: "a scale other than 0 and an offset are wanted",
      got: `scale ${scale}, offset ${offset}`,
      where: "affine",
    });
  }
  if (distribution.kind === "quantiles") {
    if (scale > 0) return Array.from(raw, (value) => value * scale + offset);
    const asked = predictiveDistribution(distribution, raw);
    return distribution.levels.map((level) => asked.quantile(1 - level) * scale + offset);
  }
  const [location, spread, ...rest] = Array.from(raw);
  return [location * scale + offset, rawOf(scaleOf(spread) * Math.abs(scale)), ...rest];
}

/** The raw output that stands for a scale: the inverse of `scaleOf`. */
function rawOf(scale: number): number {
  const above = Math.max(scale - SMALLEST_SCALE, 1e-30);
  // log(exp(x) - 1), which for large x would overflow
  return above + Math.log(-Math.expm1(-above));
}

function finite(value: number, where: string): number {
  if (Number.isFinite(value)) return value;
  throw new OstinatoError("OST_VALUE", { what: "a finite value is wanted", got: String(value), where });
}

/**
 * @file Split conformal prediction: intervals around any forecast that hold a promised share of future values, whatever the model and whatever the
 * distribution (Vovk, Gammerman & Shafer 2005; Lei et al. 2018, JASA).
 *
 *     half-width q = the ceil((n + 1)(1 - a))-th smallest of the n absolute errors on held-back examples            interval f - q .. f + q
 *
 * The promise, a mean coverage of at least 1 - a and at most 1 - a + 1 / (n + 1), is for examples that are exchangeable with the held-back ones. Series
 * drift, and neighbouring windows share values, so on a later test part coverage has to be looked at, not believed. Errors of another step
 * of the horizon or another target are another n: each has its own width.
 *
 * For forecasts of quantiles the score is how far a value lies outside (below 0: inside) and q moves both ends, so that the width still follows
 * the input (conformalised quantile regression: Romano, Patterson & Candès 2019).
 */
import type { Batch, ExampleSpec } from "../../core/batch.js";
import { OstinatoError } from "../../core/errors.js";
import { requireFinite } from "../metrics/regression.js";
import { forEachUnit, requireSize } from "../score-forecast.js";

/** What was fitted, as plain JSON. */
export interface ConformalIntervals {
  /** The share promised, 1 - a. */
  coverage: number;
  /** Half-width by step of the horizon and target, [P][K], in the scaled space of the targets. */
  halfWidth: number[][];
  /** Held-back errors each was read off. */
  n: number[][];
}

/**
 * The conformal quantile of held-back scores.
 *
 * @param coverage share to be held, in (0, 1)
 * @throws OST_RANGE if the coverage is no share. @throws OST_TARGET if there are too few scores: the interval would be infinite.
 * @throws OST_NAN if a score is not a number.
 */
export function conformalQuantile(scores: ArrayLike<number>, coverage: number, where = "conformal"): number {
  if (!(coverage > 0 && coverage < 1)) {
    throw new OstinatoError("OST_RANGE", {
      what: "coverage is a share",
      expected: "between 0 and 1",
      got: String(coverage),
      where,
    });
  }
  const n = scores.length;
  // Rounding must not ask for one more than the arithmetic does: 0.9 * 10 is 9.
  const rank = Math.ceil((n + 1) * coverage - 1e-9);
  if (rank > n) {
    throw new OstinatoError("OST_TARGET", {
      what: `${n} held-back errors are too few for ${(100 * coverage).toFixed(1)} % intervals: they would have no end`,
      expected: `at least ${Math.ceil(coverage / (1 - coverage) - 1e-9)}`,
      got: String(n),
      where,
      repair: "hold back more examples, or promise less",
    });
  }
  const sorted = Float64Array.from(scores).sort();
  // NaN sorts last.
  if (Number.isNaN(sorted[n - 1])) requireFinite(Number.NaN);
  return sorted[rank - 1];
}

/**
 * Fits half-widths to the errors of point forecasts on held-back batches, each row or step that has targets once.
 *
 * @param predict [B, P, K], or [B, T, P, K] where every step predicts, scaled
 * @throws OST_TARGET where a step of the horizon and a target have too few errors. @throws OST_CONFIG unless values are predicted.
 */
export function fitConformal(
  predict: (batch: Batch) => ArrayLike<number>,
  batches: Iterable<Batch>,
  spec: ExampleSpec,
  { coverage = 0.9 }: { coverage?: number } = {},
): ConformalIntervals {
  if (spec.targetKind !== "values") {
    throw new OstinatoError("OST_CONFIG", {
      what: "intervals are of numeric forecasts",
      expected: "values",
      got: spec.targetKind,
      where: "conformal",
      repair: "calibrate a classifier by its temperature",
    });
  }
  const [P, K] = [spec.horizon, spec.targets.length];
  const errors = Array.from({ length: P * K }, (): number[] => []);
  for (const batch of batches) {
    const { values } = batch;
    const prediction = predict(batch);
    requireSize(prediction.length, values?.length ?? 0, "conformal");
    if (!values) continue;
    forEachUnit(batch, (_row, _step, at) => {
      for (let i = 0; i < P * K; i++) {
        const target = values[at * P * K + i];
        if (Number.isNaN(target)) continue;
        requireFinite(prediction[at * P * K + i]);
        errors[i].push(Math.abs(target - prediction[at * P * K + i]));
      }
    });
  }
  const table = <T>(cell: (list: number[], p: number, k: number) => T) =>
    Array.from({ length: P }, (_, p) => Array.from({ length: K }, (_, k) => cell(errors[p * K + k], p, k)));
  return {
    coverage,
    halfWidth: table((list, p, k) => conformalQuantile(list, coverage, `conformal, step ${p + 1} of "${spec.targets[k]}"`)),
    n: table((list) => list.length),
  };
}

/** The interval around a scaled forecast. @param step of the horizon, from 0 */
export function conformalInterval(
  { halfWidth }: ConformalIntervals,
  forecast: number,
  step: number,
  target: number,
): { lower: number; upper: number } {
  const half = halfWidth[step][target];
  return { lower: forecast - half, upper: forecast + half };
}

/**
 * How far both ends of forecast intervals must move outwards (inwards where negative) to hold the share.
 *
 * @param target, lower, upper [n] of held-back examples
 * @throws OST_SHAPE if they differ in length, and what `conformalQuantile` throws.
 */
export function conformalizeQuantiles(
  target: ArrayLike<number>,
  lower: ArrayLike<number>,
  upper: ArrayLike<number>,
  { coverage = 0.9 }: { coverage?: number } = {},
): number {
  if (lower.length !== target.length || upper.length !== target.length) {
    throw new OstinatoError("OST_SHAPE", {
      what: "every value needs its interval",
      expected: `${target.length} lower and upper ends`,
      got: `${lower.length} and ${upper.length}`,
      where: "conformal",
    });
  }
  const scores = Float64Array.from(target, (y, i) => Math.max(lower[i] - y, y - upper[i]));
  return conformalQuantile(scores, coverage);
}

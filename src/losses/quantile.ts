/**
 * @file The quantile (pinball) loss (Koenker & Bassett 1978): what it pulls a prediction to is the quantile of its level.
 *
 *     loss = max(q (y - p), (q - 1) (y - p)),     q: level, p: prediction, y: target
 */
import { pinball } from "../core/distribution/quantiles.js";
import { checkLevels } from "../core/predictive-distribution.js";
import type { Tensor } from "../tensor/index.js";
import { type Likelihood, meanCost } from "./likelihood.js";
import type { PointwiseOptions } from "./pointwise.js";

/**
 * Mean over levels and kept targets; the gradient at 0 is 0. For the level 0.5 alone it is half the mean absolute error.
 *
 * @param predictions [..., L], one per level
 * @param targets     [...]
 * @param options     `levels`: rising, each in (0, 1)
 * @throws OST_SHAPE, OST_RANGE, OST_TARGET
 */
export function quantileLoss(
  predictions: Tensor,
  targets: Tensor,
  { levels, ...options }: PointwiseOptions & { levels: readonly number[] },
): Tensor {
  return meanCost("quantileLoss", quantileLikelihood(levels), predictions, targets, options);
}

/** @throws OST_RANGE */
export function quantileLikelihood(levels: readonly number[]): Likelihood {
  checkLevels(levels);
  const count = levels.length;
  return {
    outputs: count,
    cost(raw, at, target) {
      let sum = 0;
      for (let i = 0; i < count; i++) sum += pinball(levels[i], raw[at + i], target);
      return sum / count;
    },
    slopes(raw, at, target, slopes) {
      for (let i = 0; i < count; i++) {
        const error = target - raw[at + i];
        // NaN stays NaN.
        slopes[i] = (error > 0 ? -levels[i] : error < 0 ? 1 - levels[i] : 0 * error) / count;
      }
    },
  };
}

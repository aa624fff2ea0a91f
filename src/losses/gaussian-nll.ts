/**
 * @file Negative log-likelihood of the normal distribution whose location and scale a network gives (Nix & Weigend 1994).
 *
 *     loss = log s + (y - m)^2 / 2 s^2 + log(2 pi) / 2,     s = softplus(raw) + 1e-6
 */
import { scaleOf } from "../core/predictive-distribution.js";
import { sigmoid } from "../core/softplus.js";
import type { Tensor } from "../tensor/index.js";
import { type Likelihood, meanCost } from "./likelihood.js";
import type { PointwiseOptions } from "./pointwise.js";

const HALF_LOG_TWO_PI = 0.5 * Math.log(2 * Math.PI);

/** Mean over the kept targets, in nats. @param raw [..., 2]: location, raw scale. @param targets [...]. @throws OST_SHAPE, OST_TARGET */
export function gaussianNll(raw: Tensor, targets: Tensor, options: PointwiseOptions = {}): Tensor {
  return meanCost("gaussianNll", gaussianLikelihood, raw, targets, options);
}

export const gaussianLikelihood: Likelihood = {
  outputs: 2,
  cost(raw, at, target) {
    const scale = scaleOf(raw[at + 1]);
    const z = (target - raw[at]) / scale;
    return Math.log(scale) + 0.5 * z * z + HALF_LOG_TWO_PI;
  },
  slopes(raw, at, target, slopes) {
    const scale = scaleOf(raw[at + 1]);
    const z = (target - raw[at]) / scale;
    slopes[0] = -z / scale;
    slopes[1] = ((1 - z * z) / scale) * sigmoid(raw[at + 1]);
  },
};

/**
 * @file Negative log-likelihood of counts under the negative binomial distribution whose mean m and dispersion a a network gives, variance
 * m + a m^2 (Hilbe 2011; as a network's output Salinas et al. 2020). The equations are in `core/distribution/negative-binomial.ts`.
 */
import { isCount, logMass, logMassSlopes } from "../core/distribution/negative-binomial.js";
import { scaleOf } from "../core/predictive-distribution.js";
import { sigmoid } from "../core/softplus.js";
import type { Tensor } from "../tensor/index.js";
import { type Likelihood, meanCost } from "./likelihood.js";
import type { PointwiseOptions } from "./pointwise.js";

/**
 * Mean over the kept targets, in nats.
 *
 * @param raw     [..., 2]: raw mean, raw dispersion (each softplus + 1e-6)
 * @param targets [...], counts: 0, 1, 2, ...
 * @throws OST_SHAPE; OST_TARGET for a kept target that is no count
 */
export function negativeBinomialNll(raw: Tensor, targets: Tensor, options: PointwiseOptions = {}): Tensor {
  return meanCost("negativeBinomialNll", negativeBinomialLikelihood, raw, targets, options);
}

export const negativeBinomialLikelihood: Likelihood = {
  outputs: 2,
  accepts: {
    test: isCount,
    expected: "a count: 0, 1, 2, ...",
    repair: "leave counts unscaled, or forecast a gaussian or studentT distribution",
  },
  cost: (raw, at, target) => -logMass(scaleOf(raw[at]), scaleOf(raw[at + 1]), target),
  slopes(raw, at, target, slopes) {
    const by = logMassSlopes(scaleOf(raw[at]), scaleOf(raw[at + 1]), target);
    slopes[0] = -by.mean * sigmoid(raw[at]);
    slopes[1] = -by.dispersion * sigmoid(raw[at + 1]);
  },
};

/** @file One loss for every kind of probabilistic forecast. */
import type { Distribution } from "../core/predictive-distribution.js";
import type { Tensor } from "../tensor/index.js";
import { bernoulliLikelihood } from "./bernoulli-nll.js";
import { gaussianLikelihood } from "./gaussian-nll.js";
import { type Likelihood, meanCost } from "./likelihood.js";
import { negativeBinomialLikelihood } from "./negative-binomial-nll.js";
import type { PointwiseOptions } from "./pointwise.js";
import { quantileLikelihood } from "./quantile.js";
import { studentTLikelihood } from "./student-t-nll.js";

/**
 * Mean over the kept targets of the negative log-likelihood in nats, or of quantiles the pinball loss, mean over the levels too. Over
 * nothing it is 0.
 *
 * @param raw     [..., M] raw outputs, as `core/predictive-distribution.ts` reads them; M is `outputsPerValue(distribution)`
 * @param targets [...]; counts for "negativeBinomial", 0 .. 1 for "bernoulli"
 * @param options `mask`: one entry per target, 0 leaves it out
 * @throws OST_SHAPE, OST_DTYPE, OST_RANGE; OST_TARGET for a kept target that the distribution does not have
 */
export function distributionLoss(
  distribution: Distribution,
  raw: Tensor,
  targets: Tensor,
  options: PointwiseOptions = {},
): Tensor {
  return meanCost(`distributionLoss ${distribution.kind}`, likelihoodOf(distribution), raw, targets, options);
}

function likelihoodOf(distribution: Distribution): Likelihood {
  switch (distribution.kind) {
    case "gaussian":
      return gaussianLikelihood;
    case "studentT":
      return studentTLikelihood;
    case "negativeBinomial":
      return negativeBinomialLikelihood;
    case "bernoulli":
      return bernoulliLikelihood;
    case "quantiles":
      return quantileLikelihood(distribution.levels);
  }
}

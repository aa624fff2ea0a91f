/**
 * @file Negative log-likelihood of Student's t distribution whose location m, scale s and degrees of freedom v a network gives: for values
 * with outliers, whose pull on the location it bounds (Lange, Little & Taylor 1989; as a network's output Salinas et al. 2020).
 *
 *     loss = log s + (v + 1) / 2 * log(1 + z^2 / v) + log(v pi) / 2 - log(Gamma((v + 1) / 2) / Gamma(v / 2)),     z = (y - m) / s
 */
import { digammaRiseBeyondLog, logGammaRise } from "../core/gamma.js";
import { SMALLEST_DF, scaleOf } from "../core/predictive-distribution.js";
import { sigmoid, softplus } from "../core/softplus.js";
import type { Tensor } from "../tensor/index.js";
import { type Likelihood, meanCost } from "./likelihood.js";
import type { PointwiseOptions } from "./pointwise.js";

/**
 * Mean over the kept targets, in nats.
 *
 * @param raw [..., 3]: location, raw scale (softplus + 1e-6), raw degrees of freedom (2 + softplus). @param targets [...]
 * @throws OST_SHAPE, OST_TARGET
 */
export function studentTNll(raw: Tensor, targets: Tensor, options: PointwiseOptions = {}): Tensor {
  return meanCost("studentTNll", studentTLikelihood, raw, targets, options);
}

export const studentTLikelihood: Likelihood = {
  outputs: 3,
  cost(raw, at, target) {
    const scale = scaleOf(raw[at + 1]);
    const df = SMALLEST_DF + softplus(raw[at + 2]);
    const z = (target - raw[at]) / scale;
    const constant = 0.5 * Math.log(df * Math.PI) - logGammaRise(df / 2, 0.5);
    return Math.log(scale) + 0.5 * (df + 1) * Math.log1p((z * z) / df) + constant;
  },
  slopes(raw, at, target, slopes) {
    const scale = scaleOf(raw[at + 1]);
    const df = SMALLEST_DF + softplus(raw[at + 2]);
    const z = (target - raw[at]) / scale;
    const share = (z * z) / (df + z * z);
    slopes[0] = (-(df + 1) * z) / (df + z * z) / scale;
    slopes[1] = ((1 - (df + 1) * share) / scale) * sigmoid(raw[at + 1]);
    // (digamma(v/2) - digamma((v+1)/2) + 1/v) / 2, whose large parts cancel
    const constant = 0.5 * (1 / df - Math.log1p(1 / df) - digammaRiseBeyondLog(df / 2, 0.5));
    const byDf = 0.5 * Math.log1p((z * z) / df) - (0.5 * (df + 1) * share) / df + constant;
    slopes[2] = byDf * sigmoid(raw[at + 2]);
  },
};

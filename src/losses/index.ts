/**
 * @file The public list of `ostinato/losses`. A loss of your own needs none of these: any scalar computed from tensors can run backward.
 *
 *     // Squared error that counts three times where the forecast was too low.
 *     function costlyShortage(prediction: Tensor, target: Tensor): Tensor {
 *       const short = target.subtract(prediction).relu().square();
 *       const over = prediction.subtract(target).relu().square();
 *       return short.multiply(3).add(over).mean();
 *     }
 *     trainStep({ ..., objective: () => ({ loss: costlyShortage(network.forward(x).output, target) }) })
 *
 * `own-loss.test.ts` trains with one, and holds its gradient to finite differences with `checkGradient` of `ostinato/testing`.
 */
export { type CtcLogProbabilityOptions, ctcLogProbability, ctcSteps } from "../core/ctc-alignment.js";
export { bernoulliNll } from "./bernoulli-nll.js";
export { binaryCrossEntropy } from "./binary-cross-entropy.js";
export { costLoss } from "./cost.js";
export { type CrossEntropyOptions, crossEntropy } from "./cross-entropy.js";
export { type CtcLossOptions, type CtcTargets, ctcLoss } from "./ctc.js";
export { distributionLoss } from "./distribution-loss.js";
export { type BinaryFocalLossOptions, binaryFocalLoss, type FocalLossOptions, focalLoss } from "./focal.js";
export { gaussianNll } from "./gaussian-nll.js";
export { huber } from "./huber.js";
export { mae } from "./mae.js";
export { mse } from "./mse.js";
export { negativeBinomialNll } from "./negative-binomial-nll.js";
export type { PointwiseOptions } from "./pointwise.js";
export { quantileLoss } from "./quantile.js";
export { studentTNll } from "./student-t-nll.js";

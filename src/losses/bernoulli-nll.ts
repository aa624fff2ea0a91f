/**
 * @file Negative log-likelihood of many flags at once, each 1 or 0 by its own log-odds: a chord as the keys that sound
 * (Boulanger-Lewandowski, Bengio & Vincent 2012). The sum over the flags of a step, averaged over steps.
 */
import { OstinatoError } from "../core/errors.js";
import { describeShape } from "../core/shape.js";
import { sigmoid, softplus } from "../core/softplus.js";
import type { Tensor } from "../tensor/index.js";
import { binaryCrossEntropy } from "./binary-cross-entropy.js";
import type { Likelihood } from "./likelihood.js";
import type { PointwiseOptions } from "./pointwise.js";

/**
 * Nats per kept step. `binaryCrossEntropy` is the same divided by the number of flags.
 *
 * @param logits  [..., K], log-odds
 * @param targets [..., K], 0 .. 1
 * @param options `mask`: one entry per step, [...]
 * @throws OST_SHAPE
 */
export function bernoulliNll(logits: Tensor, targets: Tensor, { mask }: PointwiseOptions = {}): Tensor {
  const flags = logits.shape[logits.shape.length - 1] ?? 1;
  const steps = flags > 0 ? logits.size / flags : 0;
  if (targets.size !== logits.size || (mask && mask.length !== steps)) {
    throw new OstinatoError("OST_SHAPE", {
      what: "logits and targets have one shape, and a mask one entry per step",
      expected: `${describeShape(logits.shape)}, mask of ${steps}`,
      got: `${describeShape(targets.shape)}${mask ? `, mask of ${mask.length}` : ""}`,
      where: "bernoulliNll",
    });
  }
  const everyFlag = mask && Uint8Array.from({ length: logits.size }, (_, i) => (mask[Math.floor(i / flags)] ? 1 : 0));
  return binaryCrossEntropy(logits, targets, { mask: everyFlag }).multiply(flags);
}

/** One flag per target. */
export const bernoulliLikelihood: Likelihood = {
  outputs: 1,
  accepts: { test: (target) => target >= 0 && target <= 1, expected: "0 .. 1", repair: "leave flags unscaled" },
  cost: (raw, at, target) => softplus(raw[at]) - target * raw[at],
  slopes(raw, at, target, slopes) {
    slopes[0] = sigmoid(raw[at]) - target;
  },
};

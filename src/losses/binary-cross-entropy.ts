/**
 * @file Binary cross-entropy on logits, in the form that cannot overflow.
 *
 *     loss = -(w y log sigmoid(x) + (1 - y) log(1 - sigmoid(x))),     w: weight of the positives, for rare events
 */
import { sigmoid, softplus } from "../core/softplus.js";
import type { Tensor } from "../tensor/index.js";
import { type PointwiseOptions, pointwise } from "./pointwise.js";

/**
 * Averages over the elements the mask keeps.
 *
 * @param logits  any shape, before the sigmoid
 * @param targets the same shape, 0 .. 1
 * @param options `positiveWeight`: default 1.
 * @throws OST_SHAPE
 */
export function binaryCrossEntropy(
  logits: Tensor,
  targets: Tensor,
  { positiveWeight = 1, ...options }: PointwiseOptions & { positiveWeight?: number } = {},
): Tensor {
  const value = (x: number, y: number) => (1 - y) * x + (1 + (positiveWeight - 1) * y) * softplus(-x);
  const slope = (x: number, y: number) => 1 - y - (1 + (positiveWeight - 1) * y) * sigmoid(-x);
  return pointwise("binaryCrossEntropy", logits, targets, options, value, slope);
}

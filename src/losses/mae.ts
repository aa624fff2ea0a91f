/** @file Mean absolute error: mean over kept elements of |prediction - target|; the gradient at 0 is 0. */
import type { Tensor } from "../tensor/index.js";
import { type PointwiseOptions, pointwise } from "./pointwise.js";

/** Prediction and target of one shape; averages over the elements the mask keeps. @throws OST_SHAPE */
export function mae(prediction: Tensor, target: Tensor, options: PointwiseOptions = {}): Tensor {
  return pointwise(
    "mae",
    prediction,
    target,
    options,
    (p, t) => Math.abs(p - t),
    (p, t) => Math.sign(p - t),
  );
}

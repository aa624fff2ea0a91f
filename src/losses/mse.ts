/** @file Mean squared error: mean over kept elements of (prediction - target)^2. */
import type { Tensor } from "../tensor/index.js";
import { type PointwiseOptions, pointwise } from "./pointwise.js";

/** Prediction and target of one shape; averages over the elements the mask keeps. @throws OST_SHAPE */
export function mse(prediction: Tensor, target: Tensor, options: PointwiseOptions = {}): Tensor {
  return pointwise(
    "mse",
    prediction,
    target,
    options,
    (p, t) => (p - t) * (p - t),
    (p, t) => 2 * (p - t),
  );
}

/**
 * @file Huber loss (Huber 1964): quadratic near zero, linear beyond delta.
 *
 *     e = prediction - target;   e^2 / 2 for |e| <= delta,   delta * (|e| - delta / 2) beyond
 */
import type { Tensor } from "../tensor/index.js";
import { type PointwiseOptions, pointwise } from "./pointwise.js";

/** Averages over the elements the mask keeps. @param options `delta`: default 1. @throws OST_SHAPE */
export function huber(
  prediction: Tensor,
  target: Tensor,
  { delta = 1, ...options }: PointwiseOptions & { delta?: number } = {},
): Tensor {
  const value = (p: number, t: number) => {
    const error = Math.abs(p - t);
    return error <= delta ? 0.5 * error * error : delta * (error - 0.5 * delta);
  };
  return pointwise("huber", prediction, target, options, value, (p, t) => Math.max(-delta, Math.min(delta, p - t)));
}

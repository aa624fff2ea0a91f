/**
 * @file Activations and their derivatives, the latter as functions of the activated value.
 *
 *     sigmoid(x) = 1 / (1 + exp(-x))        sigmoid' = y (1 - y)
 *     tanh(x)                               tanh'    = 1 - y^2
 *     relu(x)    = max(x, 0)                relu'    = 1 where y > 0, else 0
 */
import type { FloatArray } from "../memory.js";

/** exp never overflows: the sign decides which of the two equal forms is used. */
export function sigmoid(x: number): number {
  if (x < 0) {
    const e = Math.exp(x);
    return e / (1 + e);
  }
  return 1 / (1 + Math.exp(-x));
}

/** Lets NaN through, as `x > 0 ? x : 0` would not. */
export function relu(x: number): number {
  return x < 0 ? 0 : x;
}

/** y = f(x), elementwise; y may be x. */
export function activate(f: (x: number) => number, x: FloatArray, y: FloatArray): void {
  for (let i = 0; i < x.length; i++) y[i] = f(x[i]);
}

export function sumOfSquares(x: FloatArray): number {
  let sum = 0;
  for (const value of x) sum += value * value;
  return sum;
}

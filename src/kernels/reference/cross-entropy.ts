/**
 * @file Softmax and cross-entropy of one row, with class weights w and label smoothing s.
 *
 *     log p_c  = x_c - log(sum_k exp(x_k))
 *     q_c      = (1 - s) [c = target] + s / C
 *     loss     = -sum_c q_c w_c log p_c
 *     dloss/dx_c = p_c sum_k q_k w_k - q_c w_c
 *
 * Source of the smoothing: Szegedy et al. 2016, arXiv:1512.00567; weights as in PyTorch.
 */
import type { FloatArray } from "../memory.js";

/** log(sum exp(x)), shifted by the largest x so that nothing overflows. */
function logSumExp(x: FloatArray): number {
  let max = -Infinity;
  for (const value of x) max = Math.max(max, value);
  let sum = 0;
  for (const value of x) sum += Math.exp(value - max);
  return max + Math.log(sum);
}

function targetShare(c: number, target: number, classes: number, smoothing: number): number {
  return (c === target ? 1 - smoothing : 0) + smoothing / classes;
}

/** The loss of one row of logits; 0 for a target of -1. */
export function crossEntropy(x: FloatArray, target: number, weights: FloatArray | undefined, smoothing: number): number {
  if (target < 0) return 0;
  const total = logSumExp(x);
  let loss = 0;
  for (let c = 0; c < x.length; c++) {
    const share = targetShare(c, target, x.length, smoothing) * (weights ? weights[c] : 1);
    // A class without a share must not turn an infinite logit into NaN; a NaN is in `total` and reaches the loss through the target.
    if (share !== 0) loss += share * (total - x[c]);
  }
  return loss;
}

/** dX += dLoss * dloss/dx; nothing for a target of -1. */
export function crossEntropyGradient(
  x: FloatArray,
  target: number,
  weights: FloatArray | undefined,
  smoothing: number,
  dLoss: number,
  dX: FloatArray,
): void {
  if (target < 0) return;
  const total = logSumExp(x);
  const share = (c: number) => targetShare(c, target, x.length, smoothing) * (weights ? weights[c] : 1);
  let mass = 0;
  for (let c = 0; c < x.length; c++) mass += share(c);
  for (let c = 0; c < x.length; c++) dX[c] += dLoss * (Math.exp(x[c] - total) * mass - share(c));
}

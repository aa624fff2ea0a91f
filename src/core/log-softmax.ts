/** @file The logarithms of a softmax, in float64 whatever the logits are held in. */

/**
 * log softmax of the `out.length` logits from `from` on.
 *
 * @returns false where there is none, for NaN, Infinity, or nothing but -Infinity: `out` then holds NaN.
 */
export function logSoftmax(logits: ArrayLike<number>, from: number, out: Float64Array): boolean {
  let most = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < out.length; k++) most = Math.max(most, logits[from + k]);
  let sum = 0;
  for (let k = 0; k < out.length; k++) sum += Math.exp(logits[from + k] - most);
  const logOfSum = Math.log(sum);
  for (let k = 0; k < out.length; k++) out[k] = logits[from + k] - most - logOfSum;
  return Number.isFinite(most);
}

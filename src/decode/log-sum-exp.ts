/** @file Sums of probabilities that are known by their logarithms, without overflow. */

/** log(exp a + exp b). -Infinity is a probability of zero: the other one comes back unchanged, and two of them give -Infinity. */
export function logAdd(a: number, b: number): number {
  if (a < b) return logAdd(b, a);
  return b === Number.NEGATIVE_INFINITY ? a : a + Math.log1p(Math.exp(b - a));
}

/** log sum_i exp(values_i); -Infinity for no values. */
export function logSumExp(values: ArrayLike<number>): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) if (values[i] > top) top = values[i];
  if (top === Number.NEGATIVE_INFINITY) return top;
  let total = 0;
  for (let i = 0; i < values.length; i++) total += Math.exp(values[i] - top);
  return top + Math.log(total);
}

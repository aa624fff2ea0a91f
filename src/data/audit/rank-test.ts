/** @file Do groups differ in rank? Kruskal & Wallis 1952 (JASA 47), with ties; and the upper tail of the chi-squared distribution. */
import { normalDistribution } from "./innovation.js";

/** @returns `effect`: epsilon squared, the share of the variance of ranks that the groups explain, 0 .. 1; `p` by the chi-squared law. */
export function kruskalWallis(values: readonly number[], groups: readonly string[]): { effect: number; p: number } {
  const n = values.length;
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const ranks = new Float64Array(n);
  let ties = 0;
  for (let from = 0; from < n; ) {
    let to = from + 1;
    while (to < n && values[order[to]] === values[order[from]]) to++;
    for (let k = from; k < to; k++) ranks[order[k]] = (from + to + 1) / 2;
    ties += (to - from) ** 3 - (to - from);
    from = to;
  }
  const sums = new Map<string, { sum: number; count: number }>();
  groups.forEach((group, i) => {
    const one = sums.get(group);
    if (one) {
      one.sum += ranks[i];
      one.count++;
    } else sums.set(group, { sum: ranks[i], count: 1 });
  });
  if (sums.size < 2 || n < 3) return { effect: 0, p: 1 };
  let between = 0;
  for (const { sum, count } of sums.values()) between += sum ** 2 / count;
  const correction = 1 - ties / (n ** 3 - n);
  if (correction <= 0) return { effect: 0, p: 1 };
  const h = ((12 / (n * (n + 1))) * between - 3 * (n + 1)) / correction;
  return { effect: Math.max(0, Math.min(1, h / (n - 1))), p: chiSquaredTail(h, sums.size - 1) };
}

/** The probability that a chi-squared variable of `freedom` degrees exceeds x (Wilson & Hilferty 1931: the cube root is nearly normal). */
export function chiSquaredTail(x: number, freedom: number): number {
  if (x <= 0) return 1;
  const spread = 2 / (9 * freedom);
  return 1 - normalDistribution(((x / freedom) ** (1 / 3) - (1 - spread)) / Math.sqrt(spread));
}

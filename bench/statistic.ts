/** @file Quantiles of a few rounds. */

/** By linear interpolation between the ordered values. */
export function quantile(values: readonly number[], share: number): number {
  const ordered = [...values].sort((a, b) => a - b);
  const at = (ordered.length - 1) * share;
  const below = Math.floor(at);
  const above = Math.min(below + 1, ordered.length - 1);
  return ordered[below] + (ordered[above] - ordered[below]) * (at - below);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

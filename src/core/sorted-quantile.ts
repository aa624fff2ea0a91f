/** @file The quantile of a sample. */

/**
 * Of sorted values, interpolated between neighbours (Hyndman & Fan 1996, definition 7).
 *
 * @param level 0 .. 1
 * @returns NaN for no values.
 */
export function sortedQuantile(sorted: ArrayLike<number>, level: number): number {
  const at = level * (sorted.length - 1);
  const below = Math.floor(at);
  if (!(below >= 0 && below < sorted.length)) return Number.NaN;
  const above = Math.min(sorted.length - 1, below + 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

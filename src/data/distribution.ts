/**
 * @file The shape of a sample of numbers: its range, and how many lie between its deciles.
 *
 * A value x of [min, max] lies in bin k, the number of edges below x: bin 0 is [min, edges[0]], bin k is (edges[k - 1], edges[k]]. Deciles that are
 * equal are one edge, so a column of few different values has fewer bins than ten; one that is constant has a single bin and no edge.
 */

export interface Distribution {
  /** Of all values that were seen. */
  min: number;
  max: number;
  /** At most 9, strictly ascending, all of [min, max). */
  edges: number[];
  /** Sampled values per bin. [edges + 1] */
  counts: number[];
}

/** Bins of a column whose deciles all differ. */
export const QUANTILE_BINS = 10;

/**
 * @param values a sample without NaN; sorted in place.
 * @param range  of all values; default that of the sample.
 * @returns null for an empty sample.
 */
export function distributionOf(values: Float64Array, range?: { min: number; max: number }): Distribution | null {
  const count = values.length;
  if (count === 0) return null;
  values.sort();
  const min = range?.min ?? values[0];
  const max = range?.max ?? values[count - 1];
  const deciles = Array.from(
    { length: QUANTILE_BINS - 1 },
    (_, k) => values[Math.ceil(((k + 1) * count) / QUANTILE_BINS) - 1] + 0,
  );
  const edges = [...new Set(deciles)].filter((edge) => edge < max);
  const counts = new Array<number>(edges.length + 1).fill(0);
  let bin = 0;
  for (const value of values) {
    while (bin < edges.length && value > edges[bin]) bin++;
    counts[bin]++;
  }
  return { min: min + 0, max: max + 0, edges, counts };
}

/** @file Pooled features: what a stretch of a sequence looks like, without its order. */
import type { Batch } from "../core/batch.js";
import { inputAt } from "./baseline.js";

/** Numbers per input column: mean, standard deviation, minimum, maximum, last value, change from first to last. */
export const POOLED_PER_FEATURE = 6;

/**
 * Writes mean, std (population), min, max, last and last - first of some columns of x over the steps `first .. last` of a row.
 *
 * @param columns which columns, each of numbers
 * @param out     [6 columns], column by column; all zero where the stretch is empty.
 */
export function pooledFeatures(
  batch: Batch,
  row: number,
  { first, last, columns }: { first: number; last: number; columns: readonly number[] },
  out: Float64Array,
): void {
  out.fill(0);
  const count = last - first + 1;
  if (count < 1) return;
  for (let k = 0; k < columns.length; k++) {
    const f = columns[k];
    const start = inputAt(batch, row, first, f);
    let sum = 0;
    let squares = 0;
    let min = start;
    let max = start;
    for (let step = first; step <= last; step++) {
      const value = inputAt(batch, row, step, f);
      const shifted = value - start;
      sum += shifted;
      squares += shifted * shifted;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    const mean = sum / count;
    const end = inputAt(batch, row, last, f);
    const at = k * POOLED_PER_FEATURE;
    out[at] = start + mean;
    out[at + 1] = Math.sqrt(Math.max(0, squares / count - mean * mean));
    out[at + 2] = min;
    out[at + 3] = max;
    out[at + 4] = end;
    out[at + 5] = end - start;
  }
}

/**
 * @file Windows as a user cuts them by hand, for pipelines whose fault is in the cutting.
 */

import { PARTS } from "../../../src/core/batch.js";
import type { AuditSubject, WindowRows } from "../../../src/data/audit/subject.js";

export interface CutOptions {
  length: number;
  horizon: number;
  stride?: number;
  /** The part of a window is that of this row of its target; default the first. */
  partAt?: "first" | "last";
  /** True where the windows of a part stay within it: the input too, and the whole target. */
  within?: boolean;
}

/** Windows over all rows of a subject, each in the part of a row of its target. */
export function cutWindows(
  { series, parts }: Pick<AuditSubject, "series" | "parts">,
  { length, horizon, stride = 1, partAt = "first", within = false }: CutOptions,
): () => Iterable<WindowRows> {
  return function* () {
    for (let s = 0; s < series.length; s++) {
      for (let start = 0; start + length + horizon <= series[s].rows; start += stride) {
        const end = start + length;
        const code = parts[s][partAt === "first" ? end : end + horizon - 1];
        if (code === 0) continue;
        if (within && !parts[s].subarray(start, end + horizon).every((other) => other === code)) continue;
        yield { part: PARTS[code - 1], series: s, input: [start, end], target: [end, end + horizon] };
      }
    }
  };
}

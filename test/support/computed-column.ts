/** @file A column that is nowhere in memory: element i is a function of i. Stands for one on disk that a thread opens for itself. */
import type { ReopenableSlices } from "../../src/data/index.js";

export interface ComputedColumn {
  length: number;
  factor: number;
  /** Elements from here on cannot be read. */
  brokenFrom?: number;
}

export function openColumn(description: ComputedColumn): ReopenableSlices<Float32Array> {
  const { length, factor, brokenFrom = length } = description;
  return {
    length,
    subarray(from, to) {
      if (to > brokenFrom) throw new Error(`element ${brokenFrom} cannot be read`);
      return Float32Array.from({ length: to - from }, (_, i) => Math.sin(factor * (from + i)));
    },
    reopen: { module: import.meta.url, description },
  };
}

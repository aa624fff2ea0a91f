/**
 * @file Where a sequence first goes wrong. An early mistake and a late one are both one wrong sequence, but not the same fault: a model that loses
 * its place after fifty steps forgets, one that is wrong at the first step misread.
 */
import { type LengthBucket, LengthBuckets } from "./length-bucket.js";

export interface FirstDivergence {
  /** Sequences compared, and those that differ somewhere. */
  n: number;
  diverged: number;
  /** The first differing step of those, counted from 1; null where none differs. */
  mean: number | null;
  median: number | null;
  /** How many first differ at steps from .. to, counted from 1. */
  histogram: LengthBucket[];
}

/** The first index at which the two differ, the shorter one's length where it is the beginning of the other, or -1 where they are equal. */
export function firstDifference<T>(a: ArrayLike<T>, b: ArrayLike<T>): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) if (a[i] !== b[i]) return i;
  return a.length === b.length ? -1 : shorter;
}

/** Running sums. */
export class DivergenceSums {
  readonly #steps: number[] = [];
  readonly #histogram = new LengthBuckets(0);
  #n = 0;

  /** @param index what `firstDifference` gives: from 0, or -1 for a sequence that is right. */
  add(index: number): void {
    this.#n++;
    if (index < 0) return;
    this.#steps.push(index + 1);
    this.#histogram.add(index + 1, []);
  }

  result(): FirstDivergence {
    const steps = Float64Array.from(this.#steps).sort();
    const half = steps.length / 2;
    return {
      n: this.#n,
      diverged: steps.length,
      mean: steps.length > 0 ? steps.reduce((sum, step) => sum + step, 0) / steps.length : null,
      median: steps.length > 0 ? (steps[Math.ceil(half) - 1] + steps[Math.floor(half)]) / 2 : null,
      histogram: this.#histogram.result().map(({ from, to, n }) => ({ from, to, n })),
    };
  }
}

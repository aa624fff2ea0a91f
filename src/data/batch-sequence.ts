/** @file Batches in a fixed order, once through, that can be entered anywhere. */
import type { Batch } from "../core/batch.js";

/** Once through; what was passed over is never made. */
export interface BatchSequence extends IterableIterator<Batch> {
  /** Passes over the next batches, or over all that are left, without making them. @returns over how many. */
  skip(batches: number): number;
}

/** The same across a wait, such as for a worker that makes the batches. */
export interface AsyncBatchSequence extends AsyncIterableIterator<Batch> {
  skip(batches: number): void;
}

export function batchSequence({ next, skip }: { next: () => Batch | null; skip: BatchSequence["skip"] }): BatchSequence {
  let ended = false;
  const sequence: BatchSequence = {
    next() {
      const batch = ended ? null : next();
      ended = batch === null;
      return batch === null ? { done: true, value: undefined } : { done: false, value: batch };
    },
    return() {
      ended = true;
      return { done: true, value: undefined };
    },
    skip,
    [Symbol.iterator]: () => sequence,
  };
  return sequence;
}

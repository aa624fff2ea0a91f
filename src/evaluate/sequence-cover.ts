/**
 * @file Which steps of which series the rows of all batches read, whatever windows they were cut into: what belongs together as one sequence.
 */
import type { Batch } from "../core/batch.js";

/** A stretch of a series that was read without a gap: steps start .. end - 1. */
export interface Stretch {
  series: number;
  start: number;
  end: number;
  /** Rows it was read in. */
  rows: number;
}

/** Collects rows, then says which stretch a step lies in. Rows that touch or overlap in a series are one stretch. */
export class SequenceCover {
  readonly #rows: { series: number; start: number; end: number }[] = [];

  add({ batchSize, lengths, series, start }: Batch): void {
    for (let b = 0; b < batchSize; b++) {
      if (lengths[b] > 0) this.#rows.push({ series: series[b], start: start[b], end: start[b] + lengths[b] });
    }
  }

  /** A function from a step to its stretch; it is quickest for steps in order. */
  stretches(): (series: number, position: number) => Stretch {
    const bySeries = new Map<number, Stretch[]>();
    for (const { series, start, end } of this.#rows.sort((a, b) => a.series - b.series || a.start - b.start)) {
      let list = bySeries.get(series);
      if (!list) {
        list = [];
        bySeries.set(series, list);
      }
      const last = list[list.length - 1];
      if (last && start <= last.end) {
        last.end = Math.max(last.end, end);
        last.rows++;
      } else list.push({ series, start, end, rows: 1 });
    }
    let found: Stretch = { series: -1, start: 0, end: 0, rows: 0 };
    return (series, position) => {
      if (found.series === series && found.start <= position && position < found.end) return found;
      const list = bySeries.get(series) as Stretch[];
      let [low, high] = [0, list.length - 1];
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (list[middle].start <= position) low = middle;
        else high = middle - 1;
      }
      found = list[low];
      return found;
    };
  }
}

/**
 * @file The latest codes of every lane of a carried stream, so that a context reaches back over the cut between two chunks.
 *
 * A chunk continues its lane where `batch.reset` says so and series and step follow on those of the chunk before; any other chunk, and
 * every row of a batch that has no lanes, begins without a past. The same chunk asked for twice gets the same past twice.
 */
import type { Batch } from "../core/batch.js";
import type { ReadCode } from "./code-input.js";

interface Lane {
  series: number;
  start: number;
  end: number;
  /** The codes before `start` and before `end`, oldest first. */
  before: readonly number[];
  after: readonly number[];
}

export class LaneMemory {
  readonly #keep: number;
  readonly #read: ReadCode;
  #lanes: (Lane | undefined)[] = [];

  /** @param keep how many of the latest codes of a lane are remembered, >= 0 */
  constructor(read: ReadCode, keep: number) {
    this.#read = read;
    this.#keep = keep;
  }

  /** For each row the codes that precede its first step, oldest first, at most `keep`; remembers the batch for the one after it. */
  past(batch: Batch): readonly (readonly number[])[] {
    const { reset, batchSize, lengths, series, start } = batch;
    if (!reset || this.#keep === 0) return Array.from({ length: batchSize }, () => []);
    const lanes = Array.from({ length: batchSize }, (_, row): Lane => {
      const known = this.#lanes[row];
      const same = reset[row] === 0 && known?.series === series[row];
      const before = same && known.end === start[row] ? known.after : same && known.start === start[row] ? known.before : [];
      const taken = Math.min(this.#keep, lengths[row]);
      const latest = Array.from({ length: taken }, (_, i) => this.#read(batch, row, lengths[row] - taken + i));
      const after = [...before.slice(before.length - Math.min(before.length, this.#keep - taken)), ...latest];
      return { series: series[row], start: start[row], end: start[row] + lengths[row], before, after };
    });
    this.#lanes = lanes;
    return lanes.map(({ before }) => before);
  }
}

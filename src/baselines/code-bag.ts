/**
 * @file Codes for a linear model, to which their numbers mean nothing: which codes a stretch of a sequence has, and which came last.
 *
 *     [share of code 0, share of code 1, ...,  last is code 0, last is code 1, ...]        per code column
 *
 * Bounded: codebooks number their codes by falling frequency, and the codes from the last place on are counted together.
 */
import type { Batch, ExampleSpec } from "../core/batch.js";

/** Most places of one code column. */
const MOST_PLACES = 512;

interface BagColumn {
  column: number;
  places: number;
  /** Where its shares begin; its last code's marks follow them. */
  at: number;
}

export class CodeBag {
  /** The columns of x that hold numbers. */
  readonly numbers: readonly number[];
  /** Features of a bag: two per place. 0 where no column holds codes. */
  readonly width: number;
  readonly #columns: readonly BagColumn[];

  /** @param options `most`: places of all code columns together, 512 by default; each has at least 2, or as many as it has codes. */
  constructor({ features, codes = [] }: Pick<ExampleSpec, "features" | "codes">, { most = MOST_PLACES }: { most?: number } = {}) {
    const coded = new Set(codes.map(({ column }) => column));
    this.numbers = features.map((_, f) => f).filter((f) => !coded.has(f));
    const share = Math.max(2, Math.floor(Math.min(MOST_PLACES, most) / Math.max(1, codes.length)));
    let at = 0;
    this.#columns = codes.map(({ column, size }) => {
      const places = Math.min(size, share);
      at += 2 * places;
      return { column, places, at: at - 2 * places };
    });
    this.width = at;
  }

  /**
   * Writes the bag of the steps `first .. last` of a row.
   *
   * @param out [width]; all zero where the stretch is empty
   */
  write(batch: Batch, row: number, first: number, last: number, out: Float64Array): void {
    out.fill(0);
    const count = last - first + 1;
    if (count < 1) return;
    for (const { column, places, at } of this.#columns) {
      const placeAt = (step: number) => Math.min(places - 1, batch.x[(row * batch.time + step) * batch.features + column]);
      for (let step = first; step <= last; step++) out[at + placeAt(step)]++;
      for (let place = at; place < at + places; place++) out[place] /= count;
      out[at + places + placeAt(last)] = 1;
    }
  }
}

/** @file Counts of numbers between fixed edges. */

/** Bin k holds edges[k - 1] < x <= edges[k]; the first everything up to the first edge, the last everything above the last. */
export interface Histogram {
  edges: readonly number[];
  /** [edges + 1] */
  counts: Float64Array;
  /** Sum of the numbers. */
  sum: number;
}

/** Fills a histogram, at a cost of the logarithm of its edges. */
export class HistogramCounter {
  /** Filled up with Infinity to one less than a power of two. */
  readonly #padded: Float64Array;
  readonly #half: number;
  #counts: Float64Array;
  #sum = 0;

  /** @param edges strictly ascending. */
  constructor(readonly edges: readonly number[]) {
    this.#half = 2 ** Math.floor(Math.log2(Math.max(1, edges.length)));
    this.#padded = new Float64Array(2 * this.#half - 1).fill(Number.POSITIVE_INFINITY);
    this.#padded.set(edges);
    this.#counts = new Float64Array(edges.length + 1);
  }

  /** NaN is not counted. */
  add(value: number): void {
    if (Number.isNaN(value)) return;
    const edges = this.#padded;
    let at = 0;
    // A sum and no branch, which a processor could not foresee.
    for (let step = this.#half; step > 0; step >>= 1) at += +(edges[at + step - 1] < value) * step;
    this.#counts[at]++;
    this.#sum += value;
  }

  /** What was counted since the last call. */
  drain(): Histogram {
    const drained = { edges: this.edges, counts: this.#counts, sum: this.#sum };
    this.#counts = new Float64Array(this.edges.length + 1);
    this.#sum = 0;
    return drained;
  }
}

/** 1, 2, 5, 10 ... from `10^from` up to `10^to`. */
export function decades(from: number, to: number): number[] {
  const edges: number[] = [];
  for (let power = from; power < to; power++) for (const digit of [1, 2, 5]) edges.push(digit * 10 ** power);
  return [...edges, 10 ** to];
}

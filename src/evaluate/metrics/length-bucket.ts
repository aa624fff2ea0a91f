/** @file Figures by length: buckets 0, 1, 2, 3-4, 5-8, 9-16, .. double in width, so that short and long sequences both have some. */

export interface LengthBucket {
  /** Lengths from .. to, both included. */
  from: number;
  to: number;
  /** Things counted. */
  n: number;
}

/** Running sums of `width` numbers per bucket. */
export class LengthBuckets {
  readonly #width: number;
  readonly #buckets = new Map<number, Float64Array>();

  constructor(width: number) {
    this.#width = width;
  }

  /** Counts one thing of that length, at least 0. */
  add(length: number, values: readonly number[]): void {
    const bucket = length <= 0 ? -1 : Math.ceil(Math.log2(length));
    let sums = this.#buckets.get(bucket);
    if (!sums) {
      sums = new Float64Array(this.#width + 1);
      this.#buckets.set(bucket, sums);
    }
    sums[0]++;
    for (let i = 0; i < this.#width; i++) sums[i + 1] += values[i];
  }

  /** The buckets that hold something, the shortest first, with their sums. */
  result(): (LengthBucket & { sums: Float64Array })[] {
    return [...this.#buckets]
      .sort(([a], [b]) => a - b)
      .map(([bucket, sums]) => ({
        from: bucket < 0 ? 0 : bucket === 0 ? 1 : 2 ** (bucket - 1) + 1,
        to: bucket < 0 ? 0 : 2 ** bucket,
        n: sums[0],
        sums: sums.subarray(1),
      }));
  }
}

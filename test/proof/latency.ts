/** @file Latencies by the hundred million in a kilobyte: counts in bins that grow by 5 %. */

const LOWEST_MS = 0.01;
const GROWTH = Math.log(1.05);
const BINS = 320;

export class Latency {
  readonly counts: number[] = new Array(BINS).fill(0);

  add(ms: number, times = 1): void {
    const bin = ms <= LOWEST_MS ? 0 : Math.min(BINS - 1, Math.ceil(Math.log(ms / LOWEST_MS) / GROWTH));
    this.counts[bin] += times;
  }

  /** Upper edge of the bin that holds the quantile, ms. */
  quantile(p: number): number {
    const total = this.counts.reduce((sum, count) => sum + count, 0);
    let left = total * p;
    const bin = this.counts.findIndex((count) => {
      left -= count;
      return left <= 0;
    });
    return LOWEST_MS * Math.exp(GROWTH * Math.max(0, bin));
  }
}

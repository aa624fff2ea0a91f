/**
 * @file Expected calibration error (Guo et al. 2017, ICML): how far confidence is from accuracy.
 *
 *     ECE = sum over bins of (n_b / n) |accuracy_b - confidence_b|          equal-width bins of the confidence, (k/15, (k+1)/15]
 */

const BINS = 15;

/** Running sums over the bins. */
export class CalibrationSums {
  readonly #counts = new Float64Array(BINS);
  readonly #confidence = new Float64Array(BINS);
  readonly #right = new Float64Array(BINS);

  /** @param confidence probability given to the predicted class, 0 .. 1 */
  add(confidence: number, right: boolean): void {
    const bin = Math.min(BINS - 1, Math.max(0, Math.ceil(confidence * BINS) - 1));
    this.#counts[bin]++;
    this.#confidence[bin] += confidence;
    if (right) this.#right[bin]++;
  }

  /** NaN when nothing was added. */
  result(): { n: number; ece: number; meanConfidence: number } {
    let n = 0;
    let gap = 0;
    let confidence = 0;
    for (let bin = 0; bin < BINS; bin++) {
      n += this.#counts[bin];
      confidence += this.#confidence[bin];
      gap += Math.abs(this.#right[bin] - this.#confidence[bin]);
    }
    return { n, ece: gap / n, meanConfidence: confidence / n };
  }
}

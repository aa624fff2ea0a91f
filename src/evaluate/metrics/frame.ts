/**
 * @file Sets of things that sound, light up or occur at each step, such as the notes of a chord: frame-level figures.
 *
 *     accuracy = TP / (TP + FP + FN)       (Bay, Ehmann & Downie 2009, ISMIR)      F1 = 2 TP / (2 TP + FP + FN)
 *
 * True negatives count nowhere: most of what could sound is silent. Where nothing is there and nothing was found, all are 1.
 */

export interface FrameMetrics {
  accuracy: number;
  precision: number;
  recall: number;
  f1: number;
}

/** Running sums. */
export class FrameSums {
  truePositives = 0;
  falsePositives = 0;
  falseNegatives = 0;

  add(predicted: boolean, truth: boolean): void {
    if (predicted && truth) this.truePositives++;
    else if (predicted) this.falsePositives++;
    else if (truth) this.falseNegatives++;
  }

  result(): FrameMetrics {
    const { truePositives: hits, falsePositives: wrong, falseNegatives: missed } = this;
    const share = (part: number, whole: number) => (whole > 0 ? part / whole : wrong + missed > 0 ? 0 : 1);
    return {
      accuracy: share(hits, hits + wrong + missed),
      precision: share(hits, hits + wrong),
      recall: share(hits, hits + missed),
      f1: share(2 * hits, 2 * hits + wrong + missed),
    };
  }
}

/**
 * @file What can be read off a confusion matrix: accuracy, balanced accuracy, precision, recall and F1.
 *
 *     precision_c = TP / (TP + FP)     recall_c = TP / (TP + FN)     F1_c = 2 TP / (2 TP + FP + FN)       0 where the divisor is 0
 *
 * Balanced accuracy is the mean recall of the classes that occur (Brodersen et al. 2010); macro-F1 the mean F1 of the classes that
 * occur or are predicted (Opitz & Burst 2019, the mean of the F1 values).
 */

export interface ClassMetrics {
  precision: number;
  recall: number;
  f1: number;
  /** True examples of the class. */
  support: number;
}

export interface ConfusionMetrics {
  /** Decisions scored. */
  n: number;
  accuracy: number;
  balancedAccuracy: number;
  macroF1: number;
}

/** What a class's metrics are made of. */
export interface ClassMargins {
  /** True examples, examples predicted to be of it, and those that are both. [C] each */
  support: ArrayLike<number>;
  predicted: ArrayLike<number>;
  hits: ArrayLike<number>;
}

/** From counts [C, C], row the true class, column the predicted one. NaN throughout when it is empty. */
export function confusionMetrics(counts: ArrayLike<number>, classes: number): ConfusionMetrics {
  const all = Array.from({ length: classes }, (_, c) => margins(counts, classes, c));
  return marginMetrics({
    support: all.map(({ support }) => support),
    predicted: all.map(({ predicted }) => predicted),
    hits: all.map(({ hits }) => hits),
  });
}

/** The same from the margins of the matrix. */
export function marginMetrics({ support, predicted, hits }: ClassMargins): ConfusionMetrics {
  let n = 0;
  let right = 0;
  let recalls = 0;
  let occurring = 0;
  let f1s = 0;
  let seen = 0;
  for (let c = 0; c < support.length; c++) {
    n += support[c];
    right += hits[c];
    if (support[c] > 0) {
      recalls += hits[c] / support[c];
      occurring++;
    }
    if (support[c] + predicted[c] > 0) {
      f1s += (2 * hits[c]) / (support[c] + predicted[c]);
      seen++;
    }
  }
  return { n, accuracy: right / n, balancedAccuracy: recalls / occurring, macroF1: f1s / seen };
}

/** Precision, recall, F1 and support of one class. */
export function classMetrics(counts: ArrayLike<number>, classes: number, c: number): ClassMetrics {
  const { support, predicted, hits } = margins(counts, classes, c);
  return classMetricsOf(support, predicted, hits);
}

/** Precision, recall and F1 from counts; 0 where the divisor is 0. */
export function classMetricsOf(support: number, predicted: number, hits: number): ClassMetrics {
  return {
    precision: predicted > 0 ? hits / predicted : 0,
    recall: support > 0 ? hits / support : 0,
    f1: support + predicted > 0 ? (2 * hits) / (support + predicted) : 0,
    support,
  };
}

function margins(counts: ArrayLike<number>, classes: number, c: number): { support: number; predicted: number; hits: number } {
  let support = 0;
  let predicted = 0;
  for (let other = 0; other < classes; other++) {
    support += counts[c * classes + other];
    predicted += counts[other * classes + c];
  }
  return { support, predicted, hits: counts[c * classes + c] };
}

/** @file Scores alerts against what is known to be anomalous: step by step or series by series, by events, and by the raw scores. */
import { averagePrecisionOf } from "./metrics/average-precision.js";
import { EventSums, windowsOf } from "./metrics/event.js";
import { operatingPoints } from "./metrics/operating-point.js";
import { rocAucOf } from "./metrics/roc-auc.js";
import type { DetectionFacts, DetectionMetrics, DetectionScore, DetectionUnits } from "./score.js";
import { nothingScored } from "./score-forecast.js";

/** Judged units that follow each other in one series. */
export interface DetectedStretch {
  series: number;
  /** Steps in the series, rising. */
  position: ArrayLike<number>;
  /** Higher is more suspicious; finite. */
  score: ArrayLike<number>;
  /** 1 where there is an alert. */
  alert: ArrayLike<number>;
  /** 1 anomalous, 0 normal; any other number: not known. */
  truth: ArrayLike<number>;
}

/**
 * Units whose truth is known are judged; where none is, alerts are counted and nothing more can be said. Runs of anomalous steps are events;
 * steps of unknown truth are in no event and outside of none.
 *
 * @throws OST_TARGET if there is no unit. @throws OST_NAN if a score is not finite.
 */
export function scoreDetection(stretches: readonly DetectedStretch[], facts: DetectionFacts): DetectionScore {
  const isKnown = (truth: number) => truth === 0 || truth === 1;
  const total = stretches.reduce((sum, { position }) => sum + position.length, 0);
  if (total === 0) throw nothingScored("scoreDetection");
  const labelled = stretches.some(({ truth }) => Array.from(truth).some(isKnown));
  const units: DetectionUnits = { series: [], position: [], truth: [], alert: [] };
  const scores: number[] = [];
  const events = new EventSums();
  let alerts = 0;
  for (const { series, position, score, alert, truth } of stretches) {
    const known: number[] = [];
    for (let i = 0; i < position.length; i++) {
      if (alert[i]) alerts++;
      if (labelled && !isKnown(truth[i])) continue;
      known.push(i);
      units.series.push(series);
      units.position.push(position[i]);
      units.truth.push(labelled ? truth[i] : -1);
      units.alert.push(alert[i] ? 1 : 0);
      scores.push(score[i]);
    }
    if (labelled && facts.unit === "step") {
      const own = (list: ArrayLike<number>) => known.map((i) => list[i]);
      events.add(own(alert), windowsOf(own(truth)));
    }
  }
  const metrics: DetectionMetrics = {
    n: units.series.length,
    ...facts,
    labelled,
    total,
    alerts,
    alertsPer1000: (1000 * alerts) / total,
  };
  if (!labelled) return { kind: "detection", metrics, units };
  const counts = new Float64Array(DETECTION_WIDTH);
  units.truth.forEach((truth, u) => {
    counts[outcomeOf(truth, units.alert[u])]++;
  });
  const [truePositives, falsePositives, falseNegatives, trueNegatives] = counts;
  Object.assign(metrics, { truePositives, falsePositives, falseNegatives, trueNegatives });
  for (const name of ["f1", "precision", "recall", "falsePositiveRate"] as const) {
    const value = detectionRate(name, counts);
    if (value !== null) metrics[name] = value;
  }
  const points = operatingPoints(scores, units.truth);
  const [rocAuc, averagePrecision] = [rocAucOf(points), averagePrecisionOf(points)];
  if (rocAuc !== null) metrics.rocAuc = rocAuc;
  if (averagePrecision !== null && falsePositives + trueNegatives > 0) metrics.averagePrecision = averagePrecision;
  if (facts.unit === "step") {
    const found = events.result();
    metrics.events = found;
    metrics.falseAlarmsPer1000 = found.falseAlarmsPer1000;
    if (found.recall !== null) metrics.eventRecall = found.recall;
  }
  return { kind: "detection", metrics, units };
}

/** True positives, false positives, false negatives, true negatives. */
export const DETECTION_WIDTH = 4;

/** Which of the four a unit is. */
export function outcomeOf(truth: number, alert: number): number {
  return truth === 1 ? (alert ? 0 : 2) : alert ? 1 : 3;
}

/**
 * A rate from the four counts at `at`; null where it is not defined: precision without an alert, recall and F1 where nothing is anomalous, the
 * false positive rate where everything is.
 */
export function detectionRate(
  metric: "f1" | "precision" | "recall" | "falsePositiveRate",
  counts: ArrayLike<number>,
  at = 0,
): number | null {
  const [hits, wrong, missed, quiet] = [counts[at], counts[at + 1], counts[at + 2], counts[at + 3]];
  const share = (part: number, whole: number) => (whole > 0 ? part / whole : null);
  switch (metric) {
    case "f1":
      return hits + missed > 0 ? (2 * hits) / (2 * hits + wrong + missed) : null;
    case "precision":
      return share(hits, hits + wrong);
    case "recall":
      return share(hits, hits + missed);
    case "falsePositiveRate":
      return share(wrong, wrong + quiet);
  }
}

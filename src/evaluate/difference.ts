/** @file Two predictors by all their metrics, side by side: what a change to a model costs or brings. */
import { METRICS, type MetricName, type Score } from "./score.js";

export interface MetricDifference {
  metric: MetricName;
  value: number;
  reference: number;
  /** value - reference */
  difference: number;
}

/** Every metric of {@link METRICS} that both have, in that order. */
export function metricDifferences(score: Score, reference: Score): MetricDifference[] {
  const read = ({ metrics }: Score, metric: MetricName) => (metrics as unknown as Record<string, number | undefined>)[metric];
  return (Object.keys(METRICS) as MetricName[]).flatMap((metric) => {
    const [a, b] = [read(score, metric), read(reference, metric)];
    return a === undefined || b === undefined ? [] : [{ metric, value: a, reference: b, difference: a - b }];
  });
}

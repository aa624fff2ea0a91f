/** @file A prediction, as the numbers a model gives and by the names its task has for them. */
import type { TaskName } from "../core/task-name.js";
import { decidedClass, type ForecastInterval } from "./calibrated.js";
import type { LoadedModel } from "./load.js";
import { probabilities } from "./predictor.js";

/** One prediction. A record gives none (a grid step is not complete), one, or several (a gap was resampled). */
export interface Prediction {
  /** Time of the step it belongs to (epoch ms), or null where the data has no time. */
  time: number | null;
  /** classify, tag: the class that is decided, which is the likeliest unless a threshold was fitted, and its probability. */
  label?: string;
  confidence?: number;
  probabilities?: Record<string, number>;
  /** detect: how surprising the record was that came, and whether there is an alert. */
  score?: number;
  anomaly?: boolean;
  /** forecast: per target column the next `horizon` values, in original units. */
  forecast?: Record<string, number[]>;
  /** forecast, where intervals were fitted: between which values the share `coverage` should lie, in the form of `forecast`. */
  interval?: { coverage: number; lower: Record<string, number[]>; upper: Record<string, number[]> };
}

/** A prediction as numbers; `describePrediction` names them. */
export interface NumericPrediction {
  /** ms since 1970; NaN without a time. */
  time: number;
  /** [outputSize] Probabilities by class, or per target its next `horizon` values in original units; detect: score and alert (0 or 1). */
  values: Float64Array;
}

/** What names the numbers of a model's predictions; a `StreamModel` is one. */
export interface PredictionFacts {
  readonly task: TaskName;
  /** Empty where values are predicted. */
  readonly classes: readonly string[];
  readonly targets: readonly string[];
  readonly horizon: number;
  /** Two classes: the second is decided above this probability; absent: the likelier. */
  readonly threshold?: number;
  /** Absent: none were fitted. */
  readonly interval?: ForecastInterval;
}

/** Numbers of one prediction. */
export function outputSizeOf({ task, classes, targets, horizon }: PredictionFacts): number {
  if (task === "detect") return 2;
  return classes.length === 0 ? targets.length * horizon : classes.length;
}

/** The numbers by their names. Of classes equally likely the first is the label. */
export function describePrediction(
  { task, classes, targets, horizon, threshold, interval }: PredictionFacts,
  { time: at, values }: NumericPrediction,
): Prediction {
  const time = Number.isNaN(at) ? null : at;
  if (task === "detect") return { time, score: values[0], anomaly: values[1] === 1 };
  if (classes.length === 0) {
    const byTarget = (pick: (value: number, k: number, p: number) => number) =>
      Object.fromEntries(
        targets.map((name, k) => [name, Array.from({ length: horizon }, (_, p) => pick(values[k * horizon + p], k, p))]),
      );
    const forecast = byTarget((value) => value);
    if (!interval) return { time, forecast };
    const { coverage, halfWidth } = interval;
    const lower = byTarget((value, k, p) => value - halfWidth[k][p]);
    const upper = byTarget((value, k, p) => value + halfWidth[k][p]);
    return { time, forecast, interval: { coverage, lower, upper } };
  }
  const decided = decidedClass(values, threshold);
  return {
    time,
    label: classes[decided],
    confidence: values[decided],
    probabilities: Object.fromEntries(classes.map((name, c) => [name, values[c]])),
  };
}

/** Whether what a model predicts are raw outputs of its distribution, and not points. */
export function givesDistribution({
  header,
  network,
  predictor,
}: Pick<LoadedModel, "header" | "network" | "predictor">): boolean {
  return header.spec.distribution !== undefined && (predictor.distributional ?? network !== null);
}

/** The probabilities of a row of logits: softmax in float64. [classes] */
export function classValues(logits: ArrayLike<number>, classes: number): Float64Array {
  return new Float64Array(probabilities(logits, 0, classes));
}

/**
 * Scaled forecasts in original units.
 *
 * @param output [horizon, targets]
 * @param scaler undoes the scaling of target k.
 * @returns [targets, horizon]
 */
export function forecastValues(
  output: ArrayLike<number>,
  { horizon, targets }: { horizon: number; targets: number },
  scaler: { invert(scaled: number, column: number): number },
): Float64Array {
  const values = new Float64Array(horizon * targets);
  for (let k = 0; k < targets; k++) {
    for (let p = 0; p < horizon; p++) values[k * horizon + p] = scaler.invert(output[p * targets + k], k);
  }
  return values;
}

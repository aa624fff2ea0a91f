/** @file A prediction, as the numbers a model gives and by the names its task has for them. */
import type { TaskName } from "../core/task-name.js";
import { probabilities } from "./predictor.js";

/** One prediction. A record gives none (a grid step is not complete), one, or several (a gap was resampled). */
export interface Prediction {
  /** Time of the step it belongs to (epoch ms), or null where the data has no time. */
  time: number | null;
  /** classify, tag: the likeliest class and its probability. */
  label?: string;
  confidence?: number;
  probabilities?: Record<string, number>;
  /** forecast: per target column the next `horizon` values, in original units. */
  forecast?: Record<string, number[]>;
}

/** A prediction as numbers; `describePrediction` names them. */
export interface NumericPrediction {
  /** ms since 1970; NaN without a time. */
  time: number;
  /** [outputSize] Probabilities by class, or per target its next `horizon` values in original units. */
  values: Float64Array;
}

/** What names the numbers of a model's predictions; a `StreamModel` is one. */
export interface PredictionFacts {
  readonly task: TaskName;
  /** Empty where values are predicted. */
  readonly classes: readonly string[];
  readonly targets: readonly string[];
  readonly horizon: number;
}

/** Numbers of one prediction. */
export function outputSizeOf({ classes, targets, horizon }: PredictionFacts): number {
  return classes.length === 0 ? targets.length * horizon : classes.length;
}

/** The numbers by their names. Of classes equally likely the first is the label. */
export function describePrediction(
  { classes, targets, horizon }: PredictionFacts,
  { time: at, values }: NumericPrediction,
): Prediction {
  const time = Number.isNaN(at) ? null : at;
  if (classes.length === 0) {
    const forecast = targets.map((name, k) => [name, Array.from(values.subarray(k * horizon, (k + 1) * horizon))] as const);
    return { time, forecast: Object.fromEntries(forecast) };
  }
  let best = 0;
  for (let c = 1; c < classes.length; c++) if (values[c] > values[best]) best = c;
  return {
    time,
    label: classes[best],
    confidence: values[best],
    probabilities: Object.fromEntries(classes.map((name, c) => [name, values[c]])),
  };
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

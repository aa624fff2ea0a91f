/** @file What scoring gives: metrics to report, and the errors of single units (a window, a sequence, a step) to compare with another's. */
import type { ClassMetrics, ConfusionMetrics } from "./metrics/confusion.js";
import type { RegressionMetrics } from "./metrics/regression.js";

/** A metric by name, with the direction in which it is better. */
export const METRICS = {
  mse: { label: "MSE", higherIsBetter: false },
  mae: { label: "MAE", higherIsBetter: false },
  rmse: { label: "RMSE", higherIsBetter: false },
  smape: { label: "sMAPE", higherIsBetter: false },
  mase: { label: "MASE", higherIsBetter: false },
  accuracy: { label: "accuracy", higherIsBetter: true },
  balancedAccuracy: { label: "balanced accuracy", higherIsBetter: true },
  macroF1: { label: "macro-F1", higherIsBetter: true },
  logLoss: { label: "log-loss", higherIsBetter: false },
} as const;

export type MetricName = keyof typeof METRICS;
export type ForecastMetricName = "mse" | "mae" | "rmse" | "smape" | "mase";
export type ClassificationMetricName = "accuracy" | "balancedAccuracy" | "macroF1" | "logLoss";

/** `mase` is there when the scales of the training part were given. */
export interface ForecastErrors extends RegressionMetrics {
  mase?: number;
}

/** Errors in one space, whole and broken down. A step or target without a single value to score is left out of its breakdown. */
export interface ForecastBreakdown extends ForecastErrors {
  /** By step of the horizon, 1 .. P. */
  byHorizon: (ForecastErrors & { step: number })[];
  byTarget: Record<string, ForecastErrors>;
}

/** On scaled targets; the same in original units under `original`. Mixed units make `original` as a whole meaningful only by target. */
export interface ForecastMetrics extends ForecastBreakdown {
  original?: ForecastBreakdown;
}

export interface ClassificationMetrics extends ConfusionMetrics {
  /** Mean negative log probability of the true class, in nats. */
  logLoss: number;
  /** Mean probability of the predicted class. */
  meanConfidence: number;
  /** Expected calibration error, 15 bins. */
  ece: number;
  perClass: Record<string, ClassMetrics>;
  /** Row the true class, column the predicted one, in the order of `classes`. */
  confusion: number[][];
  classes: string[];
}

/** Where a unit comes from: its series and its first step there. */
export interface Units {
  series: number[];
  position: number[];
}

/** One entry per example, or per step where every step predicts: how many values were scored, and their summed errors. */
export interface ForecastUnits extends Units {
  count: number[];
  squared: number[];
  absolute: number[];
}

/** One entry per decision. */
export interface ClassificationUnits extends Units {
  truth: number[];
  label: number[];
  logLoss: number[];
  /** The label of least expected cost, where costs were given. */
  costLabel: number[];
  /** The probability of the alert class, where an alert budget was given. */
  alert: number[];
}

export interface ForecastScore {
  kind: "forecast";
  metrics: ForecastMetrics;
  units: ForecastUnits;
}

export interface ClassificationScore {
  kind: "classification";
  metrics: ClassificationMetrics;
  units: ClassificationUnits;
}

/** `metrics` is plain JSON for the report; `units` stays in memory for comparisons. */
export type Score = ForecastScore | ClassificationScore;

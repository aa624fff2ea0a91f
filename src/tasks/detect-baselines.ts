/** @file The simple predictors whose surprise a detector has to beat. */
import {
  type Baseline,
  ColumnMean,
  type DefaultBaselineOptions,
  defaultBaselines,
  WindowedGaussian,
} from "../baselines/index.js";
import type { ExampleSpec } from "../core/batch.js";

/**
 * Of events n-grams and count tables; of values the usual forecasts, and the windowed Gaussian, whose errors are in deviations of the latest
 * values. A row that is to be rebuilt is known to every forecast, so that there only the training mean is left.
 */
export function detectBaselines(spec: ExampleSpec, options: DefaultBaselineOptions): Baseline[] {
  if (spec.ahead === 0) return [new ColumnMean(spec)];
  const usual = defaultBaselines(spec, { ...options, countTables: true });
  if (spec.targetKind !== "values") return usual;
  // The line from the first step of a whole sequence on costs its length at every step.
  const bounded = usual.filter(({ history }) => Number.isFinite(history));
  const gaussian = { ...spec, distribution: { kind: "gaussian" } as const };
  return WindowedGaussian.applies(spec) ? [...bounded, new WindowedGaussian(gaussian)] : bounded;
}

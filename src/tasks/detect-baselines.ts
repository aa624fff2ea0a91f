/** @file The simple predictors whose surprise a detector has to beat. */
import { type Baseline, type DefaultBaselineOptions, defaultBaselines, WindowedGaussian } from "../baselines/index.js";
import type { ExampleSpec } from "../core/batch.js";

/**
 * Of events n-grams and count tables; of values the usual forecasts, and the windowed Gaussian, whose errors are in deviations of the latest
 * values.
 */
export function detectBaselines(spec: ExampleSpec, options: DefaultBaselineOptions): Baseline[] {
  const usual = defaultBaselines(spec, { ...options, countTables: true });
  const gaussian = { ...spec, distribution: { kind: "gaussian" } as const };
  const windowed = spec.targetKind === "values" && spec.ahead !== 0 && WindowedGaussian.applies(spec);
  return windowed ? [...usual, new WindowedGaussian(gaussian)] : usual;
}

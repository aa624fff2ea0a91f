/** @file Which baselines a model must beat. */
import type { ExampleSpec } from "../core/batch.js";
import type { Baseline } from "./baseline.js";
import { Drift } from "./drift.js";
import { Logistic } from "./logistic.js";
import { Majority } from "./majority.js";
import { MovingAverage } from "./moving-average.js";
import { Persistence } from "./persistence.js";
import { Ridge } from "./ridge.js";
import { SeasonalNaive } from "./seasonal-naive.js";

export interface DefaultBaselineOptions {
  /** Steps in a season, where the data has one. */
  period?: number;
  /** Lags of the ridge regression; default the window. */
  lags?: number;
  /** Trailing steps pooled by the logistic regression of tags. */
  window?: number | readonly number[];
}

/** Every baseline that applies to the examples, simplest first, not yet fitted. */
export function defaultBaselines(spec: ExampleSpec, { period, lags, window }: DefaultBaselineOptions = {}): Baseline[] {
  const list: Baseline[] = [];
  if (Persistence.applies(spec)) {
    list.push(new Persistence(spec));
    if (period && period > 1 && SeasonalNaive.applies(spec, { period })) list.push(new SeasonalNaive(spec, { period }));
    if (spec.length !== 1) list.push(new Drift(spec), new MovingAverage(spec));
  }
  if (Ridge.applies(spec)) list.push(new Ridge(spec, { lags }));
  if (Majority.applies(spec)) list.push(new Majority(spec));
  if (Logistic.applies(spec)) list.push(new Logistic(spec, { window }));
  return list;
}

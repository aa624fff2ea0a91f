/**
 * @file All folds of a cross-validation at once. Each is an ordinary split, the same as `splitSeries` gives with its `fold`.
 *
 * Law: whatever is fitted for a fold is fitted on that fold's training rows. `prepare` with `split: { ..., folds, fold }` fits every
 * transform anew and looks at no other row, so that rows outside the training part cannot change a statistic by a single bit.
 */
import { type Split, type SplitSeries, splitSeries } from "./split.js";
import { type BlockedFold, checkFold, type RollingFold } from "./time-cut.js";
import type { DrawOptions, UnitFold } from "./unit-draw.js";

export type RollingOriginOptions = Omit<RollingFold, "fold"> | Omit<BlockedFold, "fold">;

/**
 * Folds along time: the test blocks of folds 1 .. n follow each other and the last ends with the data. In every fold training precedes
 * validation precedes test, with the gaps between them; with `both`, training rows lie after the test block too.
 *
 * @throws OST_SPLIT if a part of a fold would be empty, as where the first fold leaves no training rows.
 */
export function rollingOrigin(series: readonly SplitSeries[], options: RollingOriginOptions): Split[] {
  checkFold({ folds: options.folds, fold: 1 });
  return Array.from({ length: options.folds }, (_, k) => splitSeries(series, { by: "time", ...options, fold: k + 1 }));
}

export interface KFoldOptions extends Omit<UnitFold, "fold">, DrawOptions {
  by: "entity" | `group:${string}`;
}

/**
 * Folds by whole series or groups: every unit is in the test part of exactly one fold.
 *
 * @throws OST_SPLIT if there are fewer units than folds, or none is left for training.
 */
export function kFold(series: readonly SplitSeries[], options: KFoldOptions): Split[] {
  checkFold({ folds: options.folds, fold: 1 });
  return Array.from({ length: options.folds }, (_, k) => splitSeries(series, { ...options, fold: k + 1 }));
}

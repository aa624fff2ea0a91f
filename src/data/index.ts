export { ANOMALOUS, type AnomalyOptions, NORMAL, UNKNOWN as UNKNOWN_ANOMALY } from "./anomaly.js";
export { AsOf, type AsOfJoinOptions, type AsOfOptions, asOfJoin } from "./as-of.js";
export * from "./audio/index.js";
export * from "./audit/index.js";
export { type AugmentOptions, augment } from "./augment.js";
export { type BatchOptions, batches, collate, NORMALIZATIONS, type Normalization, normalizeWindow } from "./batch.js";
export type { AsyncBatchSequence, BatchSequence } from "./batch-sequence.js";
export { CALENDAR_PARTS, Calendar, type CalendarOptions, type CalendarPart } from "./calendar.js";
export { type CategoryOptions, type CodebookOptions, ENCODINGS } from "./category.js";
export { parseNumber, parseTime } from "./cell.js";
export type { Codebook } from "./codebook.js";
export { aheadName, sessionColumns } from "./derive.js";
export { Difference } from "./difference.js";
export { type Distribution, distributionOf, QUANTILE_BINS } from "./distribution.js";
export * from "./events/index.js";
export { type Example, Examples, RunList } from "./examples.js";
export { type KFoldOptions, kFold, type RollingOriginOptions, rollingOrigin } from "./folds.js";
export type { HiddenGroups } from "./hide.js";
export { Impute, MISSING_POLICIES, type MissingOptions, type MissingPolicy } from "./impute.js";
export { type LaneOptions, lanes } from "./lane.js";
export { LogTransform } from "./log-transform.js";
export { MemberSet, type MemberSetOptions } from "./member-set.js";
export { describePadding, type PaddingCount, type PaddingReport, paddingWaste } from "./padding.js";
export {
  type BatchRecipe,
  makeBatches,
  type Prefetched,
  type Prefetcher,
  type PrefetchOptions,
  worthPrefetching,
} from "./prefetch.js";
export {
  applyPreprocessing,
  type DataOptions,
  type PreparedData,
  type PreparedSeries,
  type PrepareOptions,
  prepare,
} from "./prepare.js";
export { Preprocessing, type Step } from "./preprocessing.js";
export type { PreprocessingOptions, PreprocessingRoles } from "./preprocessing-options.js";
export { type FeatureProfile, PROFILED_FEATURES, type RawProfile, RawProfiler } from "./raw-profile.js";
export { type RawRecord, type Row, recordToRow } from "./record.js";
export { AGGREGATES, type Aggregate, Resample, type ResampleOptions } from "./resample.js";
export { SCALES, Scale, type ScaleKind, Scaler } from "./scale.js";
export { type Roles, type Series, toSeries } from "./series.js";
export { checkSeries, durationName, type SeriesCheck } from "./series-check.js";
export { SHUFFLE_BUFFER } from "./shuffle.js";
export { elementAt, type ReopenableSlices, type Slices, stretches } from "./slices.js";
export { type SpellingOptions, SpellingPart, shapeOf } from "./spelling.js";
export {
  type ModuloSplitOptions,
  partCode,
  runsOf,
  type Split,
  type SplitOptions,
  type SplitSeries,
  type SplitSummary,
  splitColumn,
  splitSeries,
} from "./split.js";
export {
  type Column,
  columnOf,
  rowName,
  type Table,
  type TableChunk,
  type TextTable,
  tableFromChunk,
  tableFromRecords,
  tableFromTexts,
} from "./table.js";
export { hasTarget } from "./target-scan.js";
export { TARGET_TOKENS, TargetTokens, type TargetTokensOptions } from "./target-tokens.js";
export * from "./text/index.js";
export type { FrozenTransform, Rows, TrainingRows, Transform } from "./transform.js";
export {
  describeWindow,
  type SequenceOptions,
  sequences,
  type TrailingWindowOptions,
  trailingWindows,
  type WindowOptions,
  windows,
} from "./window.js";

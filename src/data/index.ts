export { type BatchOptions, batches, collate, NORMALIZATIONS, type Normalization, normalizeWindow } from "./batch.js";
export { parseNumber, parseTime } from "./cell.js";
export { Difference } from "./difference.js";
export type { HiddenGroups } from "./hide.js";
export { Impute, MISSING_POLICIES, type MissingOptions, type MissingPolicy } from "./impute.js";
export { type LaneOptions, lanes } from "./lane.js";
export { LogTransform } from "./log-transform.js";
export { applyPreprocessing, type DataOptions, type PreparedData, type PreparedSeries, prepare } from "./prepare.js";
export { Preprocessing, type PreprocessingOptions, type PreprocessingRoles, type Step } from "./preprocessing.js";
export { type RawRecord, type Row, recordToRow } from "./record.js";
export { AGGREGATES, type Aggregate, Resample, type ResampleOptions } from "./resample.js";
export { SCALES, Scale, type ScaleKind, Scaler } from "./scale.js";
export { type Roles, type Series, toSeries } from "./series.js";
export {
  partCode,
  runsOf,
  type Split,
  type SplitOptions,
  type SplitSeries,
  type SplitSummary,
  splitColumn,
  splitSeries,
} from "./split.js";
export { type Column, rowName, type Table, type TextTable, tableFromRecords, tableFromTexts } from "./table.js";
export type { FrozenTransform, Rows, TrainingRows, Transform } from "./transform.js";
export {
  describeWindow,
  type Examples,
  sequences,
  type TrailingWindowOptions,
  trailingWindows,
  type WindowOptions,
  windows,
} from "./window.js";

export {
  type BoundaryReason,
  type BoundaryRow,
  boundaryColumns,
  boundaryOf,
  boundaryText,
  boundaryTexts,
  checkedRules,
  laterTexts,
  type SessionRules,
} from "./boundary.js";
export { type LogGroup, LogMiner, type LogMinerOptions } from "./log-miner.js";
export { LogTemplates } from "./log-template.js";
export { DEFAULT_MASKS, type Mask } from "./mask.js";
export { Position } from "./position.js";
export { type CountedCodes, RunningCount, type RunningCountOptions } from "./running-count.js";
export {
  rulesFromJSON,
  type SessionColumns,
  Sessionizer,
  type SessionizerOptions,
  type SessionRow,
  type SessionRows,
  sessionize,
  sessionKey,
} from "./sessionizer.js";
export { TimeDelta, type TimeDeltaOptions } from "./time-delta.js";

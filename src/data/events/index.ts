export { Position } from "./position.js";
export { type CountedCodes, RunningCount, type RunningCountOptions } from "./running-count.js";
export { TimeDelta, type TimeDeltaOptions } from "./time-delta.js";

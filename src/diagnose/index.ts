export { estimateMemory, type MemoryEstimate, type MemoryEstimateOptions } from "./memory-estimate.js";
export { describeTrace, type NanTrace, traceNonFinite } from "./nan-trace.js";

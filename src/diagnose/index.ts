export {
  type GradientProfile,
  type GradientReach,
  gradientReach,
  measureGradientReach,
  type ReachMeasurement,
  type TruncationOptions,
} from "./gradient-reach.js";
export { type MeasureMemoryOptions, measureMemory } from "./measured-memory.js";
export { estimateMemory, type MemoryEstimate, type MemoryEstimateOptions } from "./memory-estimate.js";
export { describeMemory, type MemoryPlan, planMemory } from "./memory-plan.js";
export { describeTrace, type NanTrace, traceNonFinite } from "./nan-trace.js";

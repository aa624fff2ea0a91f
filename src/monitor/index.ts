export type { Histogram } from "./histogram.js";
export { CONFIDENCE_BINS, confidenceBin, type ReferenceProfile, readProfile, referenceProfile } from "./profile.js";
export {
  type FeatureCounts,
  mergeStatistics,
  OTHER_FEATURES,
  type ProfileCounts,
  REFUSAL_KINDS,
  type RefusalKind,
  SATURATED,
  STATE_SAMPLING,
  type StatisticsFacts,
  type StepCounts,
  StepStatistics,
  statisticsOf,
} from "./statistics.js";

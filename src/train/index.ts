export { type Checkpoint, type CheckpointStore, decodeCheckpoint, encodeCheckpoint, wantSameEngine } from "./checkpoint.js";
export {
  type GradientJob,
  type GradientShare,
  type GradientWorkers,
  type ParallelStepOptions,
  type PlainState,
  parallelStep,
} from "./data-parallel.js";
export { type SamplingOptions, scheduledSampling } from "./scheduled-sampling.js";
export {
  type ObjectiveContext,
  type RunLogEntry,
  type Trainable,
  type TrainOptions,
  type TrainProgress,
  type TrainResult,
  train,
} from "./train.js";
export { type Objective, type TrainStepOptions, type TrainStepResult, trainStep } from "./train-step.js";
export { type StateForward, stepsOf, truncated } from "./truncated.js";

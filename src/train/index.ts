export { type Checkpoint, type CheckpointStore, decodeCheckpoint, encodeCheckpoint, wantSameEngine } from "./checkpoint.js";
export { type RunLogEntry, type TrainOptions, type TrainProgress, type TrainResult, train } from "./train.js";
export { type Objective, type TrainStepOptions, type TrainStepResult, trainStep } from "./train-step.js";

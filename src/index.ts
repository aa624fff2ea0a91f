/** @file The whole library in one import. Everything here runs in a browser; file readers and the server have entries of their own. */

export * from "./baselines/index.js";
export * from "./core/index.js";
export * from "./data/index.js";
export * from "./decode/index.js";
export * from "./diagnose/index.js";
export * from "./evaluate/index.js";
export { defaultEngine, type Kernels, ReferenceKernels, WasmKernels } from "./kernels/index.js";
export * from "./losses/index.js";
export * from "./model/index.js";
export * from "./nn/index.js";
export * from "./optim/index.js";
export { type ExperimentConfig, type ExperimentResult, parseConfig, runExperiment } from "./tasks/index.js";
export {
  concatenate,
  filled,
  inference,
  integers,
  type Parameter,
  parameter,
  scope,
  Tensor,
  tensor,
  zeros,
} from "./tensor/index.js";
export * from "./train/index.js";

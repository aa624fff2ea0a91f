/** @file The public list of `ostinato/testing`: suites that hold your own engines, operations, cells and models to the laws of the built-in ones. */
export { type CheckCellOptions, checkCell } from "./check-cell.js";
export {
  type CheckGradientOptions,
  type CheckGradientReport,
  type CheckOpInput,
  checkGradient,
  checkOp,
} from "./check-gradient.js";
export { type CheckKernelsOptions, type CheckKernelsReport, checkKernels } from "./check-kernels.js";
export { type CheckModelOptions, type CreateModel, checkModel } from "./check-model.js";
export { type CheckStoreOptions, checkStore } from "./check-store.js";

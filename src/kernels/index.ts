/** @file The public list of `ostinato/kernels`. */
export { arithmeticOf, defaultEngine, describeEngine, type EngineChoice, engineChoices } from "./engine.js";
export {
  type AdamParameter,
  type AdamStep,
  type CellKind,
  type CrossEntropy,
  type CrossEntropyBackward,
  type CrossEntropyForward,
  type Embedding,
  type Kernels,
  type LinearForward,
  type Matmul,
  NULL,
  type Pointer,
  type Program,
  type RecurrentBackward,
  type RecurrentForward,
  type RecurrentPack,
  WEIGHT_TYPES,
  type WeightType,
} from "./kernels.js";
export { type FloatArray, type FloatType, Memory } from "./memory.js";
export { NativeKernels, type NativeSet, nativeSets } from "./native.js";
export { ReferenceKernels } from "./reference.js";
export type { ThreadCount } from "./thread-count.js";
export { WasmKernels, type WasmOptions, type WasmVariant } from "./wasm.js";

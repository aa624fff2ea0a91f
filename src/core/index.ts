export { type Batch, type ExampleSpec, isPerStep, PARTS, type Part, type RecursiveForecast, type TargetKind } from "./batch.js";
export { ERROR_CODES, type ErrorCode, type ErrorDetail, type ExitCode, nearest, OstinatoError } from "./errors.js";
export {
  affine,
  type Distribution as OutputDistribution,
  outputsPerValue,
  type PredictiveDistribution,
  predictiveDistribution,
} from "./predictive-distribution.js";
export { Rng, type RngState, seed } from "./rng.js";
export { describeShape, type Shape, sizeOf } from "./shape.js";

export { type Architecture, buildNetwork, countParameters, describeArchitecture, recurrentSpec } from "./architecture.js";
export {
  type BaselineArchitecture,
  decodeModel,
  encodeModel,
  FORMAT_VERSION,
  type Mode,
  type ModelArrays,
  type ModelHeader,
  type Provenance,
  type TaskName,
  type WindowNormalization,
} from "./file.js";
export { type LoadedModel, type OpenModelOptions, openModel, saveNetwork } from "./load.js";
export { NetworkSession } from "./network-session.js";
export type { SessionOptions } from "./owner.js";
export { forwardBatch, networkPredictor, type Predictor, probabilities } from "./predictor.js";
export { readSafetensors, type SafetensorsFile, type SafetensorsTensor, writeSafetensors } from "./safetensors.js";
export { openSession, StreamSession } from "./session.js";
export { type Prediction, type PushResult, type RawRecord, type StreamModel, type StreamState, toStream } from "./stream.js";

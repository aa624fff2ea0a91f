export type { TaskName } from "../core/task-name.js";
export { type Architecture, buildNetwork, countParameters, describeArchitecture, recurrentSpec } from "./architecture.js";
export { type BatchInvarianceOptions, checkBatchInvariance, type RowSampler } from "./batch-invariance.js";
export { calibratedPredictor, decidedClass, type ForecastInterval, forecastInterval } from "./calibrated.js";
export {
  ALARM_SIZE,
  advanceAlarm,
  DETECTIONS,
  type Detection,
  type DetectionKind,
  eventRank,
  LEAST_DEVIATION,
  scoreOf,
  valueError,
  type Watched,
  watch,
} from "./detection.js";
export { DetectorSteps, observationReader, type ReadObservation } from "./detector.js";
export {
  type BaselineArchitecture,
  type Calibration,
  type Decoding,
  decodeModel,
  encodeModel,
  FORMAT_VERSION,
  type Mode,
  type ModelArrays,
  type ModelHeader,
  type Provenance,
  type WindowNormalization,
} from "./file.js";
export { forwardBatch, readsEveryStep } from "./forward-batch.js";
export { languageFusion } from "./language-fusion.js";
export { type LanguageScorer, languageScorer } from "./language-scorer.js";
export { type LoadedModel, type OpenModelOptions, openModel, saveNetwork } from "./load.js";
export { encoderDecoder, isEncoderDecoder, type Network, sequenceModel } from "./network.js";
export { type NetworkPredictorOptions, networkPredictor } from "./network-predictor.js";
export { NetworkSession } from "./network-session.js";
export type { SessionOptions } from "./owner.js";
export {
  describePrediction,
  givesDistribution,
  type NumericPrediction,
  type Prediction,
  type PredictionFacts,
} from "./prediction.js";
export { type DecodedSequence, type Predictor, probabilities } from "./predictor.js";
export { ProbeModel, probeReference } from "./probe.js";
export { pointsOf, predictedInput, recursiveForecast, targetOfFeature } from "./recursive-forecast.js";
export { readSafetensors, type SafetensorsFile, type SafetensorsTensor, writeSafetensors } from "./safetensors.js";
export { openSession, StreamSession } from "./session.js";
export type { StepReader, StepReading } from "./step-reader.js";
export {
  type Advance,
  type BoundaryReason,
  type BoundaryRules,
  NO_BOUNDARIES,
  type PushResult,
  type RawRecord,
  type StreamItem,
  type StreamModel,
  type StreamState,
  toStream,
} from "./stream.js";
export { encodeBatch } from "./translator.js";

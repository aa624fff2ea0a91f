export {
  type Applied,
  type ErrorBody,
  type ErrorFacts,
  errorBody,
  errorFacts,
  HTTP_STATUS,
  httpStatus,
  SessionError,
} from "./codes.js";
export type {
  LifecycleEvent,
  ModelFacts,
  SessionEvent,
  SessionFacts,
  SessionView,
  SnapshotAnswer,
  StepAnswer,
  StepEvent,
  WirePrediction,
  WireRecord,
} from "./event.js";

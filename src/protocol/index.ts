export { type ErrorBody, type ErrorFacts, errorBody, errorFacts, HTTP_STATUS, httpStatus } from "./codes.js";
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

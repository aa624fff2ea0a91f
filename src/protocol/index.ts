export { type ErrorBody, errorBody, HTTP_STATUS, httpStatus } from "./codes.js";
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

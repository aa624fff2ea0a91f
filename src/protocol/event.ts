/**
 * @file What travels between the session server and those who read it: answers and events, as JSON.
 *
 * `seq` counts the records applied in a session's life and never goes back, so it names a step for ever; `steps` counts the records since
 * the initial state, so it is the age of the state: a reset sets it to zero and leaves `seq`.
 */
import type { TaskName } from "../core/task-name.js";
import type { ErrorFacts } from "./codes.js";

/** One raw record: column name to value; null, a missing column and empty text are missing values. */
export type WireRecord = Record<string, number | string | null>;

/** One prediction of a step. */
export interface WirePrediction {
  /** The record that completed it; a record may complete none, one, or several. */
  seq: number;
  /** Time of the step it belongs to (ms since 1970 UTC), or null where the data has no time. */
  time: number | null;
  label?: string;
  /** The label's probability, 0..1. */
  confidence?: number;
  probabilities?: Record<string, number>;
  /** Detectors: how surprising the record was that came, and whether there is an alert. */
  score?: number;
  anomaly?: boolean;
  /** Per target column the next `horizon` values, in original units. */
  forecast?: Record<string, number[]>;
  /** Where intervals were fitted: between which values the share `coverage` should lie, in the form of `forecast`. */
  interval?: { coverage: number; lower: Record<string, number[]>; upper: Record<string, number[]> };
}

/** Intervals around forecasts that hold the share `coverage` on held-back data. */
export interface ForecastInterval {
  coverage: number;
  /** Half of their width in original units, [targets][horizon]. */
  halfWidth: readonly (readonly number[])[];
}

/** The answer to a request of one step or several. */
export interface StepAnswer {
  session: string;
  /** Which of its states: it changes when the session begins afresh by a request. */
  incarnation: number;
  /** Hash of the model version. */
  version: string;
  /** Number of the last record applied. */
  seq: number;
  /** Age of the state: records since the initial one. */
  steps: number;
  /** Records of this request that were applied, at least one: a request of which none was is refused whole, with an `ErrorBody`. */
  applied: number;
  predictions: WirePrediction[];
  /** True where this is the stored answer to a request repeated with its `seq`: nothing was applied again. */
  repeated?: boolean;
  /** Rules of the model file, or a swap of models, by which the state began afresh within this request. */
  resets?: { seq: number; reason: string }[];
  /** Why the record after the last applied one was refused. `index`: its place in the request, from 0; it and those after it were not applied. */
  error?: ErrorFacts & { index: number };
}

/** Facts of a session; never its state. */
export interface SessionFacts {
  session: string;
  model: string;
  /** Hash of the model version it is pinned to. */
  version: string;
  status: "active" | "quarantined";
  incarnation: number;
  /** What an acknowledged step outlives. */
  durability: "none" | "interval" | "process" | "durable";
  attributes: Readonly<Record<string, string>>;
  /** A fingerprint of the owner key, the same for all sessions of one owner. */
  owner: string;
  seq: number;
  steps: number;
  resets: number;
  /** Wall-clock time of creation, ISO 8601. */
  createdAt: string;
  ageSeconds: number;
  /** Since the state began afresh. */
  stateAgeSeconds: number;
  idleSeconds: number;
}

/** Facts of a session with the hidden vector of its model, for display. */
export interface SessionView extends SessionFacts {
  view: number[];
}

/** Facts of a loaded model. */
export interface ModelFacts {
  name: string;
  /** Of the present version: new sessions begin on it. */
  version: string;
  /** Older ones that sessions are still pinned to. */
  otherVersions: readonly string[];
  task: TaskName;
  streaming: "carried" | "windowed";
  windowLength: number;
  columns: readonly string[];
  time: string | null;
  classes: readonly string[];
  targets: readonly string[];
  horizon: number;
  /** Two classes: the second is the label above this probability; absent: the likelier is. */
  threshold?: number;
  /** Absent: none were fitted. */
  interval?: ForecastInterval;
  features: readonly string[];
  /** Columns of texts: they can be sent in records only, not as rows of numbers. */
  textColumns: readonly string[];
  /** Numbers of one prediction. */
  outputSize: number;
  /** Rules by which a session begins afresh by itself. */
  resets: {
    timeGapMs: number | null;
    marker: { column: string; value: string } | null;
    changed: readonly string[];
    maxSteps: number | null;
  };
  /** Whether it was checked that a session's results do not depend on what is computed beside it. */
  batchInvariant: boolean;
  /** The compute engine, in words, where the server was told. */
  engine: string | null;
}

/** A session with its snapshot in base64. */
export interface SnapshotAnswer {
  session: string;
  model: string;
  steps: number;
  snapshot: string;
}

/** One applied record, as a reader of the session's events sees it. */
export interface StepEvent {
  kind: "step";
  session: string;
  seq: number;
  steps: number;
  /** Wall-clock time of the commit, ms since 1970 UTC. */
  at: number;
  record: WireRecord;
  predictions: WirePrediction[];
  /** The hidden vector after the step, rounded for display. */
  view: number[];
  /** Time of the model's own work on this record. */
  latencyMs: number;
}

/** A change of the session other than a step. `ended`, `expired` and `closing` are the last event of their stream. */
export interface LifecycleEvent {
  kind:
    | "open"
    | "created"
    | "reset"
    | "restored"
    | "quarantined"
    | "version_changed"
    | "lost"
    | "gap"
    | "ended"
    | "expired"
    | "closing";
  /** Of a reset: who or what wanted it. */
  reason?: string;
  session: string;
  seq: number;
  steps: number;
  at: number;
  resets: number;
}

export type SessionEvent = StepEvent | LifecycleEvent;

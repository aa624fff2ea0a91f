/**
 * @file What can be asked of a session, and what comes of it: the language between protocols, scheduler and engine.
 *
 * Operations are plain data and cross threads by structured clone. An operation on one key is executed wholly or not at all: its state, its
 * stored answer and its lifecycle change are one write of one commit.
 */
import type { RawRecord } from "../model/stream.js";
import type { Applied, ErrorFacts } from "../protocol/codes.js";

export type { Applied };

/**
 * What an acknowledged step outlives, from the least to the most:
 * `none` nothing; `interval` all but the last 64 steps or the last second; `process` the end of the process; `durable` a power cut.
 */
export const DURABILITIES = ["none", "interval", "process", "durable"] as const;
export type Durability = (typeof DURABILITIES)[number];

/** Why a state began afresh. */
export type ResetReason =
  | "client"
  | "start_conflict"
  | "time_gap"
  | "marker"
  | "changed_column"
  | "length"
  | "model_swap"
  | "operator"
  | "restore"
  | "lost";

/** Records of one operation: numbers in the order of the model's columns (the time first, in ms since 1970), or records by column name. */
export type StepInput = { rows: Float64Array; count: number } | { records: readonly RawRecord[] };

/** How a session begins. */
export interface Beginning {
  /** Hash of the model version. */
  version: string;
  durability: Durability;
  /** Expires after so long without use; null never. */
  ttlMs: number | null;
  /** Allow-listed facts for metrics: `session_type`, `device_class`. */
  attributes: Readonly<Record<string, string>>;
  /** Name of the credential that created it. */
  creator: string;
  /** A live session of this name: refuse (OST_EXISTS), or begin it afresh with a new incarnation. */
  onLive: "refuse" | "restart";
  /** Begin from this state instead of the initial one. */
  snapshot?: Uint8Array;
  /** Live sessions at most: of the tenant, and in all. */
  limits: { tenant: number; total: number };
}

interface OnSession {
  /** As `sessionKey` writes it. */
  key: string;
  /** Only if the session's incarnation is this one; else OST_STALE. */
  incarnation?: number;
  /** Answer with the hidden vector too: somebody watches. */
  watched?: boolean;
  /** Unique to this operation, from 1: one that is sent again because its answer was lost is recognised by it and not applied twice. */
  operationId?: number;
  /** Sent again: its answer was lost. */
  retried?: boolean;
  /** Only for sessions of this creator; others answer as absent ones do. */
  creator?: string;
}

export type Operation = OnSession &
  (
    | { kind: "create"; begin: Beginning }
    | {
        kind: "step";
        input: StepInput;
        /** Number of the first record: the session's last + 1, or that of an operation whose answer is still stored. Without it the next one. */
        seq?: number;
        /** Begin the session in the same commit, before the records. */
        begin?: Beginning;
        /** End it in the same commit, after the records. */
        end?: boolean;
      }
    | { kind: "reset"; reason: ResetReason }
    | { kind: "end" }
    /** Ends it because nobody used it: nothing happens if it was used meanwhile. */
    | { kind: "expire" }
    | { kind: "snapshot" }
    | { kind: "restore"; snapshot: Uint8Array }
    | { kind: "get" }
    /** The stored answers to the steps after `after`, oldest first. */
    | { kind: "answers"; after: number }
    /** Takes it out of memory; its next use loads it from the store. */
    | { kind: "hibernate" }
  );

/** Numbers of the predictions of one operation, in order. */
export interface Predictions {
  count: number;
  /** [count] Number of the record that completed it. */
  seq: Float64Array;
  /** [count] ms since 1970, NaN without a time. */
  time: Float64Array;
  /** [count * outputSize] Probabilities by class, or per target its next `horizon` values in original units. */
  values: Float64Array;
}

export type LifecycleKind =
  | "created"
  | "reset"
  | "restored"
  | "ended"
  | "expired"
  | "quarantined"
  | "hibernated"
  | "woken"
  | "version_changed"
  | "lost";

/** One change of a session's life, for metrics, logs, the audit log and readers of events. */
export interface LifecycleChange {
  kind: LifecycleKind;
  key: string;
  /** Version hash the session is pinned to afterwards. */
  version: string;
  incarnation: { from: number; to: number };
  seq: number;
  /** Steps of the state that ended, for lengths of sequences. */
  steps: number;
  reason: ResetReason | null;
  attributes: Readonly<Record<string, string>>;
}

export interface SessionStatus {
  status: "active" | "quarantined";
  version: string;
  incarnation: number;
  seq: number;
  /** Records since the initial state. */
  steps: number;
  resets: number;
  durability: Durability;
  creator: string;
  attributes: Readonly<Record<string, string>>;
  createdAt: number;
  ageMs: number;
  /** Age of the state: since it began afresh. */
  stateAgeMs: number;
  idleMs: number;
}

/** What an operation gave. `error` with `applied` "yes": records before the refused one were applied. */
export interface Outcome {
  applied: Applied;
  /** Records applied. */
  count: number;
  session: SessionStatus | null;
  /** Of this operation's records; of several for `answers`. */
  predictions: Predictions | null;
  /** True: the stored answer to an operation repeated with its number. */
  repeated: boolean;
  /** Why records were not applied; `index`: the first such, in the operation. */
  error: (ErrorFacts & { index: number }) | null;
  /** With an error of code OST_GAP or OST_STALE: the number to go on from. */
  expectedSeq: number | null;
  lifecycle: LifecycleChange[];
  snapshot: Uint8Array | null;
  /** The hidden vector, where the operation was watched. */
  view: Float32Array | null;
  /** Time of computing and of committing, ms, of the batch it ran in. */
  computeMs: number;
  commitMs: number;
}

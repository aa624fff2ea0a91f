/** @file The seam between those who ask and the one who computes: in this thread (`SessionEngine`), or in a worker (`WorkerEngine`). */

import type { TaskName } from "../core/task-name.js";
import type { ForecastInterval } from "../model/calibrated.js";
import type { BoundaryRules, StreamModel } from "../model/stream.js";
import type { StepCounts } from "../monitor/index.js";
import type { Operation, Outcome, Predictions, StepInput } from "./operation.js";

/** How live sessions follow when a name is given another version. `pin`: they stay; `reset`: they begin afresh on the new one at their next
 * step; `carry`: they take their state along, which needs the same state schema. */
export type SwapPolicy = "pin" | "reset" | "carry";

/** Where a model comes from: the bytes of a model file, the built-in probe, or an object of this process, which no other thread can run. */
export type ModelSource =
  | { bytes: Uint8Array; weights?: "float32" | "bfloat16" | "int8" }
  | { probe: true }
  | { model: StreamModel };

/** Facts of a loaded version: everything that protocols need to read inputs and to name outputs, and no weights. */
export interface ModelVersion {
  /** sha256 of the file and of what it computes with, hex. */
  version: string;
  task: TaskName;
  streaming: "carried" | "windowed";
  windowLength: number;
  /** Raw columns in the order in which rows of numbers hold them, the time first. */
  columns: readonly string[];
  time: string | null;
  /** Columns of texts: rows of numbers cannot hold them, records can. */
  textColumns: readonly string[];
  classes: readonly string[];
  targets: readonly string[];
  horizon: number;
  /** Two classes: the second is decided above this probability; absent: the likelier. */
  threshold?: number;
  /** Intervals around forecasts; absent: none were fitted. */
  interval?: ForecastInterval;
  features: readonly string[];
  outputSize: number;
  stateSchema: string;
  /** Numbers of one state. */
  stateSize: number;
  bytes: number;
  /** Rules of the model file by which its sessions begin afresh. */
  resets: BoundaryRules;
  /** Whether results were checked not to depend on the batch. */
  batchInvariant: boolean;
  /** The reference profile, as the model file has it; null without one. */
  profile: unknown;
}

export interface EngineStatus {
  /** Live sessions in all, by tenant and by version, those in the store included. */
  sessions: { total: number; byTenant: Record<string, number>; byVersion: Record<string, number>; quarantined: number };
  /** In memory. */
  resident: number;
  /** ms since the oldest state in memory began. */
  oldestStateMs: number;
  /** Steps that acknowledged less than they stored: interval sessions not written yet. */
  unsaved: number;
  recovered: { seconds: number; sessions: number; afterCrash: boolean } | null;
}

export interface Engine {
  /** One outcome per operation, in order; no key twice. Never rejects but when the engine itself is gone. */
  execute(operations: readonly Operation[]): Promise<Outcome[]>;
  /** Parses, checks and keeps a version. Loading one twice is no error. @throws OST_MODEL_FILE, OST_CAUSAL and what else a model file can be guilty of. */
  load(source: ModelSource): Promise<ModelVersion>;
  /** @throws OST_VERSION while a session is pinned to it. */
  unload(version: string): Promise<void>;
  /** What sessions of a model name do from now on. @throws OST_VERSION for `carry` between different state schemas. */
  route(model: string, route: { version: string; policy: SwapPolicy }): Promise<void>;
  /** Keys of live sessions that begin with a prefix, in order. */
  list(options: { prefix: string; after?: string; limit: number }): Promise<string[]>;
  status(): Promise<EngineStatus>;
  /** Whether the store can be written at present; it is tried where nothing was written lately. */
  healthy(): Promise<boolean>;
  /** What a version gives for records alone, from a fresh state, one at a time: touches no session. @throws what a record is refused for. */
  replay(version: string, input: StepInput): Promise<Predictions>;
  /** By version, what it saw and said since the last call. */
  statistics(): Promise<Record<string, StepCounts>>;
  /** Writes what is not written yet, and expires and hibernates what is due. Called a few times a second. @returns changes of lives. */
  tend(): Promise<Outcome[]>;
  /** Writes everything, marks the end as clean, and closes the store. */
  close(): Promise<void>;
}

/**
 * @file What every protocol speaks to: sessions by tenant, model and id, behind one door.
 *
 * Here a request gets its tenant and its limits, finds its model's present version, waits its turn, is cut into chunks, and tells the
 * observers and the readers of events what came of it. Protocols only translate.
 */
import type { ErrorCode } from "../core/errors.js";
import type { ModelVersion } from "./engine.js";
import type { Protocol } from "./observer.js";
import type { LifecycleChange, Outcome, Predictions, SessionStatus, StepInput } from "./operation.js";
import type { Principal } from "./principal.js";
import type { SessionId, SessionName } from "./session-key.js";

export interface Request {
  principal: Principal;
  protocol: Protocol;
  /** Aborted when the sender went away: what was not begun by then is not begun. */
  signal?: AbortSignal;
}

export interface SessionReference {
  /** A served name. */
  model: string;
  id: SessionId;
}

export interface CreateOptions {
  /** Default: a random text. */
  id?: SessionId;
  durability?: string;
  ttlSeconds?: number;
  attributes?: Readonly<Record<string, string>>;
  snapshot?: Uint8Array;
  /** Default refuse. */
  onLive?: "refuse" | "restart";
}

export interface StepOptions {
  input: StepInput;
  seq?: number;
  incarnation?: number;
  /** Create the session, or begin it afresh, before the first record. */
  start?: Omit<CreateOptions, "id" | "snapshot">;
  /** End it after the last. */
  end?: boolean;
}

/** The answer to a step request: never rejected for what a record is refused for if records before it were applied. */
export interface StepResult {
  session: SessionStatus;
  /** Records applied, of those asked. */
  count: number;
  predictions: Predictions;
  repeated: boolean;
  error: Outcome["error"];
  lifecycle: readonly LifecycleChange[];
}

export interface ServedModel {
  name: string;
  current: ModelVersion;
  /** The others that sessions are still pinned to. */
  others: readonly ModelVersion[];
}

/** The facts of one of a name's versions: what a session that is pinned to it is read and answered by. The present one's for one that is gone. */
export function versionOf({ current, others }: ServedModel, version: string): ModelVersion {
  return version === current.version ? current : (others.find((one) => one.version === version) ?? current);
}

/** A step or a change of a session, as its readers hear it after its commit and in its order. */
export type SessionNews =
  | {
      kind: "step";
      session: SessionName;
      result: StepResult;
      input: StepInput;
      view: Float32Array | null;
      latencyMs: number;
    }
  | { kind: "lifecycle"; session: SessionName; change: LifecycleChange; status: SessionStatus | null }
  | { kind: "closing"; session: SessionName };

export interface Sessions {
  models(): readonly ServedModel[];
  /** @throws OST_MODEL if no model is served under the name. */
  model(name: string): ServedModel;
  create(request: Request, model: string, options?: CreateOptions): Promise<{ id: SessionId; session: SessionStatus }>;
  /** @throws an OstinatoError, with nothing applied, unless at least one record was. */
  step(request: Request, at: SessionReference, options: StepOptions): Promise<StepResult>;
  reset(request: Request, at: SessionReference, options?: { incarnation?: number }): Promise<SessionStatus>;
  end(request: Request, at: SessionReference, options?: { incarnation?: number }): Promise<SessionStatus>;
  get(request: Request, at: SessionReference): Promise<{ session: SessionStatus; view: Float32Array | null }>;
  snapshot(request: Request, at: SessionReference): Promise<{ session: SessionStatus; snapshot: Uint8Array }>;
  restore(request: Request, at: SessionReference, snapshot: Uint8Array): Promise<SessionStatus>;
  hibernate(request: Request, at: SessionReference): Promise<SessionStatus>;
  /** Stored answers after a number, oldest first. `complete` false: answers between are gone. */
  answers(
    request: Request,
    at: SessionReference,
    after: number,
  ): Promise<{ session: SessionStatus; predictions: Predictions; complete: boolean }>;
  list(request: Request, options: { model: string; after?: string; limit: number }): Promise<SessionId[]>;
  /** Hears of every later change. @returns what stops it. @throws OST_SESSION, OST_CAPACITY. */
  subscribe(request: Request, at: SessionReference, reader: (news: SessionNews) => void): Promise<() => void>;
  /** Counts a refusal that a protocol made by itself. */
  refused(code: ErrorCode, protocol: Protocol): void;
}

/** @file What a server tells those who count, log and audit it. Every hook is called after the fact and must not throw. */
import type { ErrorCode } from "../core/errors.js";
import type { LifecycleChange, Outcome } from "./operation.js";

export type Protocol = "rest" | "websocket" | "oip-http" | "oip-grpc" | "internal";

export type RejectReason =
  | "rate"
  | "queue_full"
  | "memory"
  | "draining"
  | "gap"
  | "stale"
  | "conflict"
  | "invalid"
  | "auth"
  | "deadline"
  | "store";

/** What is known of a step when its answer leaves. */
export interface StepFacts {
  model: string;
  protocol: Protocol;
  outcome: Outcome;
  /** Records asked for. */
  records: number;
  /** ms: waiting for the engine; in all. */
  queueMs: number;
  totalMs: number;
}

export interface Observer {
  lifecycle?(change: LifecycleChange, actor: string): void;
  step?(facts: StepFacts): void;
  /** A request that changed nothing. */
  rejected?(code: ErrorCode, reason: RejectReason, protocol: Protocol): void;
  /** A step that came twice, left a gap, or came before its turn. */
  disorder?(kind: "duplicate" | "gap" | "reordered", protocol: Protocol): void;
  batch?(size: number): void;
  connection?(change: "opened" | "closed", protocol: Protocol, reason?: string): void;
  slowConsumer?(protocol: Protocol): void;
  authFailure?(kind: "missing" | "unknown" | "expired" | "signature" | "scope" | "other"): void;
  /** The leak sentinel compared a live answer with an isolated replay. */
  probe?(result: "ok" | "mismatch", detail?: string): void;
  /** A model was loaded, unloaded or swapped. */
  model?(
    change: "loaded" | "unloaded" | "swapped",
    facts: { name: string; version: string; policy?: string; actor: string },
  ): void;
  store?(facts: { kind: "error" | "conflict" | "recovered"; detail?: string; seconds?: number; sessions?: number }): void;
  /** A fault of the program: the one who asked hears only that there was one. */
  fault?(error: unknown, where: string): void;
}

/** One observer that tells all of them. A hook that throws is silenced: counting must never undo a step. */
export function observeAll(observers: readonly Observer[]): Required<Observer> {
  const names = [
    ...["lifecycle", "step", "rejected", "disorder", "batch", "connection", "slowConsumer"],
    ...["authFailure", "probe", "model", "store", "fault"],
  ] as (keyof Observer)[];
  return Object.fromEntries(
    names.map((name) => {
      const hooks = observers.filter((observer) => observer[name] !== undefined);
      const tell = (...facts: unknown[]) => {
        for (const observer of hooks) {
          try {
            (observer[name] as (...facts: unknown[]) => void).apply(observer, facts);
          } catch {}
        }
      };
      return [name, tell];
    }),
  ) as unknown as Required<Observer>;
}

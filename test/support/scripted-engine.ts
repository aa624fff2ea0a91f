/**
 * @file An engine without a model: it follows the rules of sessions and of their numbers, notes what it applied in which order, and ends its
 * batches when the test says so.
 */
import type { Operation, Outcome } from "../../src/serve/operation.js";
import type { Ticket } from "../../src/serve/scheduler.js";
import { refusal, refusalFacts } from "../../src/serve/scheduler-refusal.js";

export type Step = Extract<Operation, { kind: "step" }>;

/** A step of one record. */
export function step(key: string, more: Partial<Step> = {}): Step {
  return { key, kind: "step", input: { rows: new Float64Array(1), count: 1 }, ...more };
}

export function ticket(more: Partial<Ticket> = {}): Ticket {
  return { tenant: "acme", bytes: 100, cost: 1, ...more };
}

export interface ScriptedBatch {
  readonly operations: readonly Operation[];
  /** Applies it, and answers. */
  finish(): void;
  /** Breaks without an answer. */
  fail(): void;
}

interface ScriptedSession {
  seq: number;
  incarnation: number;
  /** First numbers of the applied steps, to answer those that come again. */
  kept: Set<number>;
}

export class ScriptedEngine {
  /** Under way, the oldest first. */
  readonly batches: ScriptedBatch[] = [];
  /** What was applied to each session: the numbers of steps, the kinds of all else. */
  readonly applied = new Map<string, (number | string)[]>();
  /** Sizes of all batches so far. */
  readonly sizes: number[] = [];
  readonly sessions = new Map<string, ScriptedSession>();
  /** Keys that were in two batches at once or twice in one. */
  readonly doubled: string[] = [];
  readonly #busy = new Set<string>();
  #incarnations = 0;

  /** Begins a session without an operation. */
  open(key: string): void {
    this.sessions.set(key, { seq: 0, incarnation: ++this.#incarnations, kept: new Set() });
  }

  /** @param onBatch is told of every batch that came: to finish it at once, or never to. */
  constructor(readonly onBatch: (batch: ScriptedBatch) => void = () => {}) {}

  readonly execute = (operations: readonly Operation[]): Promise<Outcome[]> =>
    new Promise((resolve, reject) => {
      for (const { key } of operations) {
        if (this.#busy.has(key)) this.doubled.push(key);
        this.#busy.add(key);
      }
      this.sizes.push(operations.length);
      const leave = () => {
        this.batches.splice(this.batches.indexOf(batch), 1);
        for (const { key } of operations) this.#busy.delete(key);
      };
      const batch: ScriptedBatch = {
        operations,
        finish: () => {
          leave();
          resolve(operations.map((operation) => this.#apply(operation)));
        },
        fail: () => {
          leave();
          reject(new Error("the engine is gone"));
        },
      };
      this.batches.push(batch);
      this.onBatch(batch);
    });

  #apply(operation: Operation): Outcome {
    const { key, kind } = operation;
    const fail = (code: "OST_SESSION" | "OST_GAP" | "OST_STALE" | "OST_EXISTS", expectedSeq?: number) =>
      refusal(refusalFacts(code, { what: "refused" }), { expectedSeq });
    let session = this.sessions.get(key);
    if (kind === "create" || (kind === "step" && operation.begin)) {
      if (session && operation.begin?.onLive === "refuse") return fail("OST_EXISTS");
      session = { seq: session?.seq ?? 0, incarnation: ++this.#incarnations, kept: new Set() };
      this.sessions.set(key, session);
      if (kind === "create") return this.#note(operation, session, kind);
    }
    if (session === undefined) return fail("OST_SESSION");
    if (operation.incarnation !== undefined && operation.incarnation !== session.incarnation) return fail("OST_STALE");
    if (kind !== "step") {
      if (kind === "reset") session.incarnation = ++this.#incarnations;
      if (kind === "end") this.sessions.delete(key);
      return this.#note(operation, session, kind);
    }
    const first = operation.seq ?? session.seq + 1;
    if (first > session.seq + 1) return fail("OST_GAP", session.seq + 1);
    if (first <= session.seq) {
      if (!session.kept.has(first)) return fail("OST_STALE", session.seq + 1);
      return { ...this.#outcome(operation, session), repeated: true };
    }
    session.kept.add(first);
    session.seq += countOf(operation);
    if (operation.end) this.sessions.delete(key);
    return this.#note(operation, session, first);
  }

  #note(operation: Operation, session: ScriptedSession, what: number | string): Outcome {
    const list = this.applied.get(operation.key) ?? [];
    this.applied.set(operation.key, list);
    list.push(what);
    return this.#outcome(operation, session);
  }

  #outcome(operation: Operation, { seq, incarnation }: ScriptedSession): Outcome {
    return {
      applied: "yes",
      count: countOf(operation),
      session: {
        status: "active",
        version: "v",
        incarnation,
        seq,
        steps: seq,
        resets: 0,
        durability: "none",
        creator: "",
        attributes: {},
        createdAt: 0,
        ageMs: 0,
        stateAgeMs: 0,
        idleMs: 0,
      },
      predictions: null,
      repeated: false,
      error: null,
      expectedSeq: null,
      lifecycle: [],
      snapshot: null,
      view: null,
      computeMs: 0,
      commitMs: 0,
    };
  }
}

function countOf(operation: Operation): number {
  if (operation.kind !== "step") return 0;
  return "rows" in operation.input ? operation.input.count : operation.input.records.length;
}

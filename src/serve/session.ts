/**
 * @file Sessions in memory: who owns which state, and the order in which it changes.
 *
 * Laws, each held by a test:
 * - a session belongs to one owner; to everyone else it does not exist;
 * - a missing session is an error, never a fresh state;
 * - a step commits or changes nothing: the model makes a new state, and only then is it swapped in;
 * - one session's operations run one after another in the order of their arrival; different sessions never wait for each other;
 * - a request repeated with its `seq` gets the stored answer and is not applied again.
 *
 * Everything is bounded: sessions, waiting operations, records of a request, tombstones, readers of events.
 */
import { createHash, randomBytes } from "node:crypto";
import { OstinatoError } from "../core/errors.js";
import type { RawRecord, StreamModel, StreamState } from "../model/stream.js";
import { errorFacts, httpStatus } from "../protocol/codes.js";
import type {
  LifecycleEvent,
  SessionEvent,
  SessionFacts,
  SessionView,
  StepAnswer,
  WirePrediction,
  WireRecord,
} from "../protocol/event.js";
import type { Owner } from "./owner.js";

/** What happened to a session, for counters. */
export type LifecycleKind = "created" | "restored" | "reset" | "ended" | "expired";

/** What became of a record: applied; refused for a fault of its own; failed for a fault of ours; repeated and so not applied again. */
export type StepOutcome = "applied" | "refused" | "failed" | "repeated";

/** Told of everything that happens, after it happened. Must not throw. */
export interface SessionObserver {
  lifecycle?(kind: LifecycleKind, model: string): void;
  step?(outcome: StepOutcome, model: string, seconds: number, steps: number): void;
  /** An error that is no refusal: a fault of the program, told here because the one who stepped hears only that there was one. */
  fault?(error: unknown): void;
}

export interface SessionStoreOptions {
  models: ReadonlyMap<string, StreamModel>;
  /** Live sessions at most; a further one is refused, none is ever evicted for it. Default 10,000. */
  maxSessions?: number;
  /** Records of one request at most. Default 256. */
  maxRecords?: number;
  /** Operations waiting for one session at most. Default 32. */
  maxWaiting?: number;
  /** Readers of one session's events at most. Default 8. */
  maxReaders?: number;
  /** A session not used for so long expires; default never. */
  ttlMs?: number;
  observer?: SessionObserver;
  /** A clock in ms that never goes back. Default `performance.now`. */
  now?: () => number;
}

const MAX_ID_BYTES = 256;
const TOMBSTONE_MS = 3_600_000;
const MAX_TOMBSTONES = 10_000;
const SLICE_MS = 10;
const FINGERPRINT = 12;
const CONTROL_OR_SURROGATE = /[\p{Cc}\p{Surrogate}]/u;

interface Session {
  readonly key: string;
  readonly id: string;
  readonly owner: Owner;
  readonly modelName: string;
  readonly model: StreamModel;
  state: StreamState;
  seq: number;
  resets: number;
  readonly createdAt: Date;
  readonly born: number;
  usedAt: number;
  /** The answer to the last request that carried a `seq` and applied a record. */
  last?: { seq: number; digest: string; answer: StepAnswer };
  /** Operations running or waiting, and the end of the last one. */
  pending: number;
  tail: Promise<void>;
  live: boolean;
  readonly readers: Set<(event: SessionEvent) => void>;
}

export class SessionStore {
  readonly #models: ReadonlyMap<string, StreamModel>;
  /** Least recently used first: every use moves a session to the end, so expiry looks at the front only. */
  readonly #sessions = new Map<string, Session>();
  readonly #tombstones = new Map<string, { reason: "ended" | "expired"; at: number }>();
  readonly #maxSessions: number;
  readonly #maxRecords: number;
  readonly #maxWaiting: number;
  readonly #maxReaders: number;
  readonly #ttlMs: number;
  readonly #observer: SessionObserver;
  readonly #now: () => number;
  readonly #sweeper: NodeJS.Timeout | undefined;

  constructor(options: SessionStoreOptions) {
    this.#models = options.models;
    this.#maxSessions = positive("maxSessions", options.maxSessions ?? 10_000);
    this.#maxRecords = positive("maxRecords", options.maxRecords ?? 256);
    this.#maxWaiting = positive("maxWaiting", options.maxWaiting ?? 32);
    this.#maxReaders = positive("maxReaders", options.maxReaders ?? 8);
    this.#ttlMs = options.ttlMs === undefined ? Number.POSITIVE_INFINITY : positive("ttlMs", options.ttlMs);
    this.#observer = options.observer ?? {};
    this.#now = options.now ?? (() => performance.now());
    if (Number.isFinite(this.#ttlMs))
      this.#sweeper = setInterval(() => this.expire(), Math.min(30_000, Math.max(100, this.#ttlMs / 2))).unref();
  }

  /** Live sessions, of one model or of all. */
  count(model?: string): number {
    if (model === undefined) return this.#sessions.size;
    let count = 0;
    for (const session of this.#sessions.values()) if (session.modelName === model) count++;
    return count;
  }

  /** Seconds since the oldest live session of a model was created; 0 without one. */
  oldestAgeSeconds(model: string): number {
    let born = this.#now();
    for (const session of this.#sessions.values()) if (session.modelName === model && session.born < born) born = session.born;
    return (this.#now() - born) / 1000;
  }

  /**
   * Opens a session on the initial state, or on a snapshot's.
   *
   * @param options `id`: 1..256 bytes without control characters, unique among the owner's sessions; default a random one.
   * @throws OST_MODEL unknown model; OST_EXISTS the id is live; OST_CAPACITY full; OST_SNAPSHOT a snapshot of another model or owner.
   */
  create(owner: Owner, options: { model: string; id?: string; snapshot?: Uint8Array }): SessionFacts {
    const model = this.#models.get(options.model);
    if (!model) throw unknownModel(options.model, [...this.#models.keys()]);
    const id = options.id === undefined ? randomBytes(16).toString("base64url") : checkedId(options.id);
    this.expire();
    const key = keyOf(owner, id);
    if (this.#sessions.has(key)) {
      throw new OstinatoError("OST_EXISTS", {
        what: "the session exists already",
        where: `session "${id}"`,
        repair: "go on with it, reset it, end it, or choose another id",
      });
    }
    if (this.#sessions.size >= this.#maxSessions) {
      throw new OstinatoError("OST_CAPACITY", {
        what: "no room for another session",
        expected: `at most ${this.#maxSessions} live sessions`,
        repair: "end sessions that are done, or serve with a higher limit or an expiry",
      });
    }
    const state = options.snapshot ? model.restore(options.snapshot, owner) : model.initialState();
    const now = this.#now();
    const session: Session = {
      key,
      id,
      owner,
      modelName: options.model,
      model,
      state,
      seq: 0,
      resets: 0,
      createdAt: new Date(),
      born: now,
      usedAt: now,
      pending: 0,
      tail: Promise.resolve(),
      live: true,
      readers: new Set(),
    };
    this.#tombstones.delete(key);
    this.#sessions.set(key, session);
    this.#observer.lifecycle?.("created", session.modelName);
    if (options.snapshot) this.#observer.lifecycle?.("restored", session.modelName);
    return this.#facts(session);
  }

  /**
   * Applies records in order, up to the first that is refused.
   *
   * @param options `seq`: the number of the first record. The session's last `seq` + 1 is applied; the number of the last such request
   *   with the same records gets its stored answer; everything else is an error, and nothing is applied. Without it the order of arrival counts.
   * @returns the predictions of the records that were applied, one at least; `error` where a later one was refused.
   * @throws OST_SESSION no such session; OST_SEQUENCE a gap, a stale number, or other records under a known number; whatever the model
   *   says of the first record.
   */
  async step(owner: Owner, id: string, options: { records: readonly RawRecord[]; seq?: number }): Promise<StepAnswer> {
    const { records, seq } = options;
    if (records.length < 1 || records.length > this.#maxRecords) {
      throw new OstinatoError("OST_REQUEST", {
        what: "a request holds too few or too many records",
        expected: `1 .. ${this.#maxRecords}`,
        got: String(records.length),
        where: "records",
        repair: "send several requests",
      });
    }
    return this.#inTurn(owner, id, async (session) => {
      const digest = seq === undefined ? "" : createHash("sha256").update(JSON.stringify(records)).digest("base64");
      if (seq !== undefined && seq !== session.seq + 1) return this.#repeated(session, seq, digest);
      const first = session.seq + 1;
      const predictions: WirePrediction[] = [];
      let refusal: unknown;
      let sliceStart = performance.now();
      for (const record of records) {
        if (performance.now() - sliceStart > SLICE_MS) {
          await new Promise<void>((resolve) => setImmediate(resolve));
          sliceStart = performance.now();
        }
        try {
          predictions.push(...this.#apply(session, record));
        } catch (error) {
          refusal = error;
          break;
        }
      }
      const applied = session.seq - first + 1;
      if (applied === 0) throw refusal;
      const answer: StepAnswer = { session: session.id, seq: session.seq, steps: session.state.steps, applied, predictions };
      if (refusal !== undefined) answer.error = { ...errorFacts(refusal), index: applied };
      session.last = seq === undefined ? undefined : { seq: first, digest, answer };
      return answer;
    });
  }

  /** Back to the initial state, in turn with the steps. `seq` goes on, so that a late step of the time before is stale. */
  async reset(owner: Owner, id: string): Promise<SessionFacts> {
    return this.#inTurn(owner, id, (session) => {
      session.state = session.model.initialState();
      session.resets++;
      session.last = undefined;
      this.#observer.lifecycle?.("reset", session.modelName);
      this.#publish(session, this.#event(session, "reset"));
      return this.#facts(session);
    });
  }

  /** Puts a snapshot's state in the place of the session's. @throws OST_SNAPSHOT, and the state stays. */
  async restore(owner: Owner, id: string, snapshot: Uint8Array): Promise<SessionFacts> {
    return this.#inTurn(owner, id, (session) => {
      session.state = session.model.restore(snapshot, owner);
      session.last = undefined;
      this.#observer.lifecycle?.("restored", session.modelName);
      this.#publish(session, this.#event(session, "restored"));
      return this.#facts(session);
    });
  }

  /** The state after every step that was asked for before, as bytes bound to the model and the owner. */
  async snapshot(owner: Owner, id: string): Promise<{ facts: SessionFacts; bytes: Uint8Array }> {
    return this.#inTurn(owner, id, (session) => ({
      facts: this.#facts(session),
      bytes: session.model.snapshot(session.state, owner),
    }));
  }

  /** Ends a session after the steps that were asked for before; its id is free again. */
  async end(owner: Owner, id: string): Promise<SessionFacts> {
    return this.#inTurn(owner, id, (session) => {
      this.#bury(session, "ended");
      return this.#facts(session);
    });
  }

  /** Facts and hidden vector as of now; does not count as use. */
  get(owner: Owner, id: string): SessionView {
    const session = this.#find(owner, id);
    return { ...this.#facts(session), view: rounded(session.model.view(session.state)) };
  }

  /**
   * Hears of every later change of a session, after its commit and in its order.
   *
   * @returns the first event, and the function that stops it.
   * @throws OST_CAPACITY with too many readers.
   */
  subscribe(owner: Owner, id: string, reader: (event: SessionEvent) => void): { opened: LifecycleEvent; stop: () => void } {
    const session = this.#find(owner, id);
    if (session.readers.size >= this.#maxReaders) {
      throw new OstinatoError("OST_CAPACITY", {
        what: "too many readers of this session's events",
        expected: `at most ${this.#maxReaders}`,
        where: `session "${id}"`,
        repair: "close a page that shows it",
      });
    }
    session.readers.add(reader);
    return { opened: this.#event(session, "open"), stop: () => session.readers.delete(reader) };
  }

  /** Ends what has not been used for the time to live; a session with waiting operations is in use. Returns how many ended. */
  expire(): number {
    const now = this.#now();
    let expired = 0;
    for (const session of this.#sessions.values()) {
      if (now - session.usedAt < this.#ttlMs) break;
      if (session.pending > 0) continue;
      this.#bury(session, "expired");
      expired++;
    }
    for (const [key, { at }] of this.#tombstones) {
      if (now - at < TOMBSTONE_MS && this.#tombstones.size <= MAX_TOMBSTONES) break;
      this.#tombstones.delete(key);
    }
    return expired;
  }

  /** Tells every reader that the server closes, and stops the expiry. States stay readable until the process ends. */
  close(): void {
    clearInterval(this.#sweeper);
    for (const session of this.#sessions.values()) {
      this.#publish(session, this.#event(session, "closing"));
      session.readers.clear();
    }
  }

  #apply(session: Session, record: RawRecord): WirePrediction[] {
    const start = performance.now();
    let result: ReturnType<StreamModel["push"]>;
    try {
      result = session.model.push(record, session.state);
    } catch (error) {
      const refused = error instanceof OstinatoError && httpStatus(error.code) < 500;
      if (!refused) this.#observer.fault?.(error);
      this.#observer.step?.(
        refused ? "refused" : "failed",
        session.modelName,
        (performance.now() - start) / 1000,
        session.state.steps,
      );
      throw error;
    }
    const seconds = (performance.now() - start) / 1000;
    session.state = result.state;
    session.seq++;
    const predictions = result.predictions.map((prediction) => ({ seq: session.seq, ...prediction }));
    this.#observer.step?.("applied", session.modelName, seconds, session.state.steps);
    if (session.readers.size > 0) {
      this.#publish(session, {
        kind: "step",
        session: session.id,
        seq: session.seq,
        steps: session.state.steps,
        at: Date.now(),
        record: record as WireRecord,
        predictions,
        view: rounded(session.model.view(session.state)),
        latencyMs: seconds * 1000,
      });
    }
    return predictions;
  }

  #repeated(session: Session, seq: number, digest: string): StepAnswer {
    const { last } = session;
    const where = `session "${session.id}"`;
    if (last?.seq === seq) {
      if (last.digest !== digest) {
        throw new OstinatoError("OST_SEQUENCE", {
          what: "this number was used for other records",
          expected: "the records first sent under it",
          got: `seq ${seq} with different ones`,
          where,
          repair: `send new records from seq ${session.seq + 1}`,
        });
      }
      this.#observer.step?.("repeated", session.modelName, 0, session.state.steps);
      return { ...last.answer, repeated: true };
    }
    throw new OstinatoError("OST_SEQUENCE", {
      what: seq <= session.seq ? "this number is stale" : "numbers are missing before this one",
      expected: `seq ${session.seq + 1}`,
      got: `seq ${seq}`,
      where,
      repair: `go on from seq ${session.seq + 1}`,
    });
  }

  /** Runs an operation when all earlier ones of this session are done. A session that was ended meanwhile is missing for it. */
  #inTurn<T>(owner: Owner, id: string, operation: (session: Session) => T | Promise<T>): Promise<T> {
    const session = this.#find(owner, id);
    if (session.pending > this.#maxWaiting) {
      throw new OstinatoError("OST_CAPACITY", {
        what: "too many requests wait for this session",
        expected: `at most ${this.#maxWaiting}`,
        where: `session "${id}"`,
        repair: "wait for answers before sending more, or send several records in one request",
      });
    }
    session.pending++;
    const outcome = session.tail.then(() => {
      if (!session.live) throw this.#missing(session.key, id);
      this.#use(session);
      return operation(session);
    });
    const done = () => {
      session.pending--;
      if (session.live) this.#use(session);
    };
    session.tail = outcome.then(done, done);
    return outcome;
  }

  #use(session: Session): void {
    session.usedAt = this.#now();
    this.#sessions.delete(session.key);
    this.#sessions.set(session.key, session);
  }

  #find(owner: Owner, id: string): Session {
    const key = keyOf(owner, id);
    const session = this.#sessions.get(key);
    if (!session) throw this.#missing(key, id);
    if (session.pending === 0 && this.#now() - session.usedAt >= this.#ttlMs) {
      this.#bury(session, "expired");
      throw this.#missing(key, id);
    }
    return session;
  }

  #missing(key: string, id: string): OstinatoError {
    const reason = this.#tombstones.get(key)?.reason;
    return new OstinatoError("OST_SESSION", {
      what:
        reason === undefined
          ? "there is no such session"
          : reason === "expired"
            ? "the session expired"
            : "the session was ended",
      got: reason === "expired" ? `no use for ${this.#ttlMs / 1000} s` : undefined,
      where: `session "${id.length > 80 ? `${id.slice(0, 77)}...` : id}"`,
      repair: "open it with POST /v1/models/MODEL/sessions, from a snapshot if its state must go on; its old state is gone",
    });
  }

  #bury(session: Session, reason: "ended" | "expired"): void {
    session.live = false;
    this.#sessions.delete(session.key);
    this.#tombstones.delete(session.key);
    this.#tombstones.set(session.key, { reason, at: this.#now() });
    if (this.#tombstones.size > MAX_TOMBSTONES) this.#tombstones.delete(this.#tombstones.keys().next().value as string);
    this.#observer.lifecycle?.(reason, session.modelName);
    this.#publish(session, this.#event(session, reason));
    session.readers.clear();
  }

  #facts(session: Session): SessionFacts {
    const now = this.#now();
    return {
      session: session.id,
      model: session.modelName,
      owner: session.owner.slice(0, FINGERPRINT),
      seq: session.seq,
      steps: session.state.steps,
      resets: session.resets,
      createdAt: session.createdAt.toISOString(),
      ageSeconds: (now - session.born) / 1000,
      idleSeconds: (now - session.usedAt) / 1000,
    };
  }

  #event(session: Session, kind: LifecycleEvent["kind"]): LifecycleEvent {
    return { kind, session: session.id, seq: session.seq, steps: session.state.steps, at: Date.now(), resets: session.resets };
  }

  /** A reader that fails is dropped; it can neither undo a commit nor reach the one who stepped. */
  #publish(session: Session, event: SessionEvent): void {
    for (const reader of session.readers) {
      try {
        reader(event);
      } catch {
        session.readers.delete(reader);
      }
    }
  }
}

/** Owners are hex of a fixed length, so no two pairs share a key. */
function keyOf(owner: Owner, id: string): string {
  return `${owner}/${id}`;
}

function checkedId(id: string): string {
  const bytes = Buffer.byteLength(id, "utf8");
  if (bytes < 1 || bytes > MAX_ID_BYTES || id === "." || id === ".." || CONTROL_OR_SURROGATE.test(id)) {
    throw new OstinatoError("OST_REQUEST", {
      what: "an id that cannot be one",
      expected: `1 to ${MAX_ID_BYTES} bytes of UTF-8 without control characters, other than "." and ".."`,
      got: `${bytes} bytes`,
      where: "id",
      repair: "choose another id, or leave it out and use the one in the answer",
    });
  }
  return id;
}

export function unknownModel(name: string, known: readonly string[]): OstinatoError {
  return new OstinatoError("OST_MODEL", {
    what: "no such model is served",
    expected: known.slice(0, 20).join(", ") || "none is loaded",
    got: name.length > 80 ? `${name.slice(0, 77)}...` : name,
    repair: "GET /v1/models lists them",
  });
}

/** Four decimals, for display; a value that is not finite becomes 0, because JSON has none. */
function rounded(values: Float32Array): number[] {
  return Array.from(values, (value) => (Number.isFinite(value) ? Math.round(value * 1e4) / 1e4 : 0));
}

function positive(name: string, value: number): number {
  if (!(value > 0))
    throw new OstinatoError("OST_RANGE", {
      what: `${name} is no limit`,
      expected: "more than 0",
      got: String(value),
      where: name,
    });
  return value;
}

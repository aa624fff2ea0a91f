/**
 * @file The one door of `Sessions`: limits, routing, turns, chunks, and the news for those who watch.
 */
import { randomBytes } from "node:crypto";
import { type ErrorCode, OstinatoError } from "../core/errors.js";
import { errorFacts, SessionError } from "../protocol/codes.js";
import { MAX_KEY_BYTES } from "../protocol/store.js";
import type { Engine } from "./engine.js";
import type { TenantLimits } from "./limits.js";
import type { Observer, Protocol, RejectReason } from "./observer.js";
import {
  type Beginning,
  DURABILITIES,
  type Durability,
  type LifecycleChange,
  type Operation,
  type Outcome,
  type Predictions,
  type SessionStatus,
  type StepInput,
} from "./operation.js";
import { joinPredictions, NO_PREDICTIONS, predictionsAfter } from "./predictions.js";
import type { Principal, Scope } from "./principal.js";
import type { Scheduler, Ticket } from "./scheduler.js";
import type { SnapshotBinding } from "./sealed-snapshot.js";
import { idText, parseSessionKey, type SessionId, type SessionName, sessionKey, textId } from "./session-key.js";
import type {
  CreateOptions,
  Request,
  ServedModel,
  SessionNews,
  SessionReference,
  Sessions,
  StepOptions,
  StepResult,
} from "./sessions.js";

/** Which versions the names stand for at present. */
export interface ServedModels {
  list(): readonly ServedModel[];
  /** @throws OST_MODEL. */
  model(name: string): ServedModel;
}

/** What leaves the server as a snapshot and comes back. */
export interface SnapshotSeal {
  seal(snapshot: Uint8Array, binding: SnapshotBinding): Uint8Array;
  /** @throws OST_SNAPSHOT. */
  unseal(sealed: Uint8Array, binding: SnapshotBinding): Uint8Array;
}

export interface SessionServiceOptions {
  engine: Engine;
  scheduler: Scheduler;
  models: ServedModels;
  observer: Required<Observer>;
  limits: TenantLimits;
  seal: SnapshotSeal;
  /** The strongest durability there is, and that of sessions which ask for none. */
  durability: Durability;
  /** Default expiry; null never. */
  ttlMs?: number | null;
  /** Live sessions in all, and of one tenant. Defaults 10,000,000 and 10,000,000. */
  maxSessions?: number;
  maxTenantSessions?: number;
  /** Records of one request at most. Default 256. */
  maxRecords?: number;
  /** Records that are computed at a stretch and committed together. Default 64. */
  chunkRecords?: number;
  /** Readers of one session's events at most. Default 8. */
  maxReaders?: number;
  /** A request that was not begun by then is refused. Default 30 s. */
  deadlineMs?: number;
  /** Resolves when what was told of lives so far is in the audit log. Default: there is none. */
  audited?: () => Promise<void>;
  /** Only its creator and `session:admin` reach a session, not every credential of the tenant. Default false. */
  creatorOnly?: boolean;
}

type Reader = (news: SessionNews) => void;

/** Requests that wait for one session behind one of several chunks. */
const MAX_IN_LINE = 32;
const ATTRIBUTES = ["session_type", "device_class"];
const ATTRIBUTE_VALUE = /^[\w .:-]{1,64}$/;
export class SessionService implements Sessions {
  readonly #options: Required<SessionServiceOptions>;
  readonly #readers = new Map<string, Set<Reader>>();
  /** Sessions in the middle of a request of several chunks: whatever comes later waits for its end, in order. */
  readonly #lines = new Map<string, { end: Promise<unknown>; waiting: number }>();

  constructor(options: SessionServiceOptions) {
    this.#options = {
      ttlMs: null,
      maxSessions: 10_000_000,
      maxTenantSessions: 10_000_000,
      maxRecords: 256,
      chunkRecords: 64,
      maxReaders: 8,
      deadlineMs: 30_000,
      creatorOnly: false,
      audited: async () => {},
      ...options,
    };
  }

  models(): readonly ServedModel[] {
    return this.#options.models.list();
  }

  model(name: string): ServedModel {
    return this.#options.models.model(name);
  }

  async create(request: Request, model: string, options: CreateOptions = {}): Promise<{ id: SessionId; session: SessionStatus }> {
    this.#permit(request, "step");
    if (options.snapshot) this.#permit(request, "state:write");
    const begin = this.#beginning(request, model, options);
    this.#take(request, { creates: 1, bytes: options.snapshot?.length ?? 0 });
    const id = options.id ?? textId(randomBytes(16).toString("base64url"));
    const key = this.#key(request, { model, id });
    const outcome = await this.#run(
      request,
      { kind: "create", key, begin },
      { cost: 1, sheddable: true, bytes: options.snapshot?.length ?? 0 },
    );
    return { id, session: outcome.session as SessionStatus };
  }

  async step(request: Request, at: SessionReference, options: StepOptions): Promise<StepResult> {
    this.#permit(request, "step");
    const { input } = options;
    const records = "rows" in input ? input.count : input.records.length;
    const { maxRecords, chunkRecords } = this.#options;
    if (records < 1 || records > maxRecords) {
      throw new OstinatoError("OST_REQUEST", {
        what: "a request holds too few or too many records",
        expected: `1 .. ${maxRecords}`,
        got: String(records),
        where: "records",
        repair: "send several requests",
      });
    }
    const begin = options.start && this.#beginning(request, at.model, { onLive: "restart", ...options.start });
    const bytes = inputBytes(input);
    this.#take(request, { steps: records, bytes, creates: begin ? 1 : 0 });
    const key = this.#key(request, at);
    const start = performance.now();
    const whole = this.#operation(request, at, key, options, begin);
    if (records <= chunkRecords && !this.#lines.has(key)) {
      return this.#resultOf(request, at, input, start, [await this.#submit(request, whole, { cost: records, bytes })]);
    }
    const outcomes = await this.#inLine(key, () => this.#inChunks(request, whole, records));
    return this.#resultOf(request, at, input, start, outcomes);
  }

  async reset(request: Request, at: SessionReference, { incarnation }: { incarnation?: number } = {}): Promise<SessionStatus> {
    this.#permit(request, "step");
    return this.#change(request, at, { kind: "reset", reason: "client", incarnation });
  }

  async end(request: Request, at: SessionReference, { incarnation }: { incarnation?: number } = {}): Promise<SessionStatus> {
    this.#permit(request, "step");
    return this.#change(request, at, { kind: "end", incarnation });
  }

  async get(request: Request, at: SessionReference): Promise<{ session: SessionStatus; view: Float32Array | null }> {
    this.#permit(request, "step");
    const { session, view } = await this.#ask(request, at, { kind: "get", watched: true });
    return { session: session as SessionStatus, view };
  }

  async snapshot(request: Request, at: SessionReference): Promise<{ session: SessionStatus; snapshot: Uint8Array }> {
    this.#permit(request, "state:read");
    const { session, snapshot } = await this.#ask(request, at, { kind: "snapshot" });
    const status = session as SessionStatus;
    return { session: status, snapshot: this.#options.seal.seal(snapshot as Uint8Array, this.#binding(request, at.model)) };
  }

  async restore(request: Request, at: SessionReference, snapshot: Uint8Array): Promise<SessionStatus> {
    this.#permit(request, "state:write");
    this.#take(request, { bytes: snapshot.length });
    return this.#change(request, at, {
      kind: "restore",
      snapshot: this.#options.seal.unseal(snapshot, this.#binding(request, at.model)),
    });
  }

  async hibernate(request: Request, at: SessionReference): Promise<SessionStatus> {
    this.#permit(request, "session:admin");
    return this.#change(request, at, { kind: "hibernate" });
  }

  async answers(
    request: Request,
    at: SessionReference,
    after: number,
  ): Promise<{ session: SessionStatus; predictions: Predictions; complete: boolean }> {
    this.#permit(request, "step");
    const outcome = await this.#ask(request, at, { kind: "answers", after });
    const session = outcome.session as SessionStatus;
    const first = outcome.expectedSeq;
    return {
      session,
      // A stored answer of several records may reach behind the number asked for.
      predictions: predictionsAfter(outcome.predictions ?? NO_PREDICTIONS, after),
      complete: first === null ? session.seq <= after : first <= after + 1,
    };
  }

  async list(request: Request, { model, after, limit }: { model: string; after?: string; limit: number }): Promise<SessionId[]> {
    this.#permit(request, "session:admin");
    this.model(model);
    const { tenant } = request.principal;
    const prefix = `${tenant}\n${model}\n`;
    const keys = await this.#options.engine.list({ prefix, after: after === undefined ? undefined : prefix + after, limit });
    return keys.map((key) => parseSessionKey(key).id);
  }

  async subscribe(request: Request, at: SessionReference, reader: Reader): Promise<() => void> {
    await this.get(request, at);
    const key = this.#key(request, at);
    const readers = this.#readers.get(key) ?? new Set();
    if (readers.size >= this.#options.maxReaders) {
      throw new OstinatoError("OST_CAPACITY", {
        what: "too many readers of this session's events",
        expected: `at most ${this.#options.maxReaders}`,
        where: `session "${idText(at.id)}"`,
        repair: "close a page that shows it",
      });
    }
    readers.add(reader);
    this.#readers.set(key, readers);
    return () => {
      readers.delete(reader);
      if (readers.size === 0 && this.#readers.get(key) === readers) this.#readers.delete(key);
    };
  }

  refused(code: ErrorCode, protocol: Protocol): void {
    this.#options.observer.rejected(code, REJECT_REASONS[code] ?? "invalid", protocol);
  }

  /** Lets the engine do what is due, and tells what came of it. */
  async tend(): Promise<void> {
    for (const outcome of await this.#options.engine.tend()) this.#tell(outcome, "server");
  }

  /** Tells every reader that the server closes. */
  close(): void {
    for (const [key, readers] of this.#readers) {
      const session = parseSessionKey(key);
      for (const reader of readers) quietly(() => reader({ kind: "closing", session }));
    }
    this.#readers.clear();
  }

  #operation(
    request: Request,
    at: SessionReference,
    key: string,
    { input, seq, incarnation, end }: StepOptions,
    begin: Beginning | undefined,
  ): Operation & { kind: "step" } {
    this.model(at.model);
    const operation: Operation & { kind: "step" } = { kind: "step", key, input };
    if (seq !== undefined) operation.seq = seq;
    if (incarnation !== undefined) operation.incarnation = incarnation;
    if (begin) operation.begin = begin;
    if (end) operation.end = true;
    if (this.#readers.has(key)) operation.watched = true;
    const creator = this.#creator(request.principal);
    if (creator !== undefined) operation.creator = creator;
    return operation;
  }

  /** Lets it have its turn behind all that waits for its session, and makes what comes later wait for it. @throws OST_RATE. */
  async #inLine<T>(key: string, act: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(key) ?? { end: Promise.resolve(), waiting: 0 };
    if (line.waiting >= MAX_IN_LINE) {
      throw new OstinatoError("OST_RATE", {
        what: "too many requests wait for this session",
        expected: `at most ${MAX_IN_LINE}`,
        where: `session "${idText(parseSessionKey(key).id)}"`,
        repair: "wait for answers, then send it again",
      });
    }
    this.#lines.set(key, line);
    line.waiting++;
    const turn = line.end.then(act);
    line.end = turn.catch(() => {});
    try {
      return await turn;
    } finally {
      if (--line.waiting === 0) this.#lines.delete(key);
    }
  }

  /** Chunk after chunk, each its own commit; a repeated request finds those that were applied, and goes on behind them. */
  async #inChunks(request: Request, whole: Operation & { kind: "step" }, records: number): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    let { seq, incarnation } = whole;
    const { chunkRecords } = this.#options;
    for (let from = 0; from < records; from += chunkRecords) {
      const to = Math.min(records, from + chunkRecords);
      const input = slice(whole.input, from, to);
      const [begin, end] = [from === 0 ? whole.begin : undefined, to === records && whole.end];
      const operation = { ...whole, input, seq, incarnation, begin, end };
      const outcome = await this.#submit(request, operation, { cost: to - from, bytes: inputBytes(input) });
      if (outcome.error) outcome.error.index += from;
      outcomes.push(outcome);
      if (outcome.error || outcome.session === null) break;
      seq = seq === undefined ? outcome.session.seq + 1 : seq + (to - from);
      // The rest is for the state that the first of it met.
      incarnation = outcome.session.incarnation;
    }
    return outcomes;
  }

  /** @throws SessionError if nothing at all was applied. */
  #resultOf(
    request: Request,
    { model, id }: SessionReference,
    input: StepInput,
    start: number,
    outcomes: readonly Outcome[],
  ): StepResult {
    const { observer } = this.#options;
    const outcome = outcomes.length === 1 ? outcomes[0] : joined(outcomes);
    const totalMs = performance.now() - start;
    const last = outcomes[outcomes.length - 1];
    observer.step({
      model,
      protocol: request.protocol,
      outcome,
      records: "rows" in input ? input.count : input.records.length,
      queueMs: Math.max(0, totalMs - last.computeMs - last.commitMs),
      totalMs,
    });
    if (outcome.repeated) observer.disorder("duplicate", request.protocol);
    for (const change of outcome.lifecycle) this.#tellChange(change, outcome.session, request.principal.subject);
    if (outcome.count === 0 && outcome.error) throw this.#refusal(request, outcome);
    const result: StepResult = {
      session: outcome.session as SessionStatus,
      count: outcome.count,
      predictions: outcome.predictions ?? NO_PREDICTIONS,
      repeated: outcome.repeated,
      error: outcome.error,
      lifecycle: outcome.lifecycle,
    };
    if (outcome.error) this.refused(outcome.error.code, request.protocol);
    if (this.#readers.size > 0 && !outcome.repeated) {
      const session = { tenant: request.principal.tenant, model, id };
      this.#publish(sessionKey(session), {
        kind: "step",
        session,
        result,
        input,
        view: outcome.view,
        latencyMs: outcome.computeMs,
      });
      this.#publishEnd(sessionKey(session), outcome.lifecycle);
    }
    return result;
  }

  async #change(
    request: Request,
    at: SessionReference,
    operation: Partial<Operation> & { kind: Operation["kind"] },
  ): Promise<SessionStatus> {
    const { session } = await this.#ask(request, at, operation);
    if (session !== null) return session;
    const gone = new OstinatoError("OST_SESSION", {
      what: "the session is no more; the answer to what ended it was lost in a fault of the server",
      where: `session "${idText(at.id)}"`,
    });
    throw new SessionError(errorFacts(gone), { applied: "unknown" });
  }

  #ask(request: Request, at: SessionReference, operation: Partial<Operation> & { kind: Operation["kind"] }): Promise<Outcome> {
    this.model(at.model);
    const creator = this.#creator(request.principal);
    const full = { ...operation, key: this.#key(request, at), ...(creator === undefined ? {} : { creator }) } as Operation;
    return this.#run(request, full, { cost: 1 });
  }

  /** Submits an operation and tells what it changed. @throws SessionError if it was refused. */
  async #run(
    request: Request,
    operation: Operation,
    ticket: Omit<Ticket, "tenant" | "bytes"> & { bytes?: number },
  ): Promise<Outcome> {
    const submit = () => this.#submit(request, operation, { bytes: 0, ...ticket });
    const outcome = await (this.#lines.has(operation.key) ? this.#inLine(operation.key, submit) : submit());
    this.#tell(outcome, request.principal.subject);
    if (outcome.lifecycle.length > 0) await this.#options.audited();
    if (outcome.error) throw this.#refusal(request, outcome);
    return outcome;
  }

  /** Never rejects: what the scheduler refuses is an outcome too. */
  #submit(request: Request, operation: Operation, { bytes, cost, sheddable }: Omit<Ticket, "tenant">): Promise<Outcome> {
    const { scheduler, deadlineMs } = this.#options;
    return scheduler.submit(operation, {
      bytes,
      cost,
      sheddable,
      tenant: request.principal.tenant,
      deadline: performance.now() + deadlineMs,
      signal: request.signal,
    });
  }

  #refusal(request: Request, { error, applied, expectedSeq }: Outcome): SessionError {
    const facts = error as NonNullable<Outcome["error"]>;
    this.refused(facts.code, request.protocol);
    if (facts.code === "OST_GAP") this.#options.observer.disorder("gap", request.protocol);
    if (facts.code === "OST_STORE") this.#options.observer.store({ kind: "error", detail: facts.what });
    return new SessionError(facts, { applied, expectedSeq });
  }

  #tell(outcome: Outcome, actor: string): void {
    for (const change of outcome.lifecycle) this.#tellChange(change, outcome.session, actor);
    if (outcome.lifecycle.length > 0) this.#publishEnd(outcome.lifecycle[0].key, outcome.lifecycle);
  }

  #tellChange(change: LifecycleChange, status: SessionStatus | null, actor: string): void {
    this.#options.observer.lifecycle(change, actor);
    if (change.kind === "hibernated" || change.kind === "woken") return;
    this.#publish(change.key, { kind: "lifecycle", session: parseSessionKey(change.key), change, status });
  }

  /** A reader that fails is dropped: it can neither undo a commit nor reach the one who stepped. */
  #publish(key: string, news: SessionNews): void {
    const readers = this.#readers.get(key);
    if (!readers) return;
    for (const reader of readers) if (!quietly(() => reader(news))) readers.delete(reader);
  }

  #publishEnd(key: string, lifecycle: readonly LifecycleChange[]): void {
    const last = lifecycle.at(-1)?.kind;
    if (last === "ended" || last === "expired") this.#readers.delete(key);
  }

  #beginning(request: Request, model: string, options: CreateOptions): Beginning {
    const { ttlMs, maxSessions, maxTenantSessions, limits } = this.#options;
    const { current } = this.model(model);
    const { tenant, subject } = request.principal;
    const attributes = options.attributes ?? {};
    for (const [name, value] of Object.entries(attributes)) {
      if (ATTRIBUTES.includes(name) && ATTRIBUTE_VALUE.test(value)) continue;
      throw new OstinatoError("OST_REQUEST", {
        what: "an attribute that a session cannot have",
        expected: `${ATTRIBUTES.join(", ")}, each 1 to 64 letters, digits, blanks or . : _ -`,
        got: `${name.slice(0, 40)}: ${String(value).slice(0, 80)}`,
        where: "attributes",
      });
    }
    const { ttlSeconds } = options;
    if (ttlSeconds !== undefined && !(ttlSeconds > 0 && ttlSeconds <= 1e9)) {
      throw new OstinatoError("OST_REQUEST", {
        what: "a time to live that is none",
        expected: "seconds above 0",
        got: String(ttlSeconds),
      });
    }
    const snapshot = options.snapshot && this.#options.seal.unseal(options.snapshot, this.#binding(request, model));
    return {
      version: current.version,
      durability: this.#durability(options.durability),
      ttlMs: ttlSeconds === undefined ? ttlMs : ttlSeconds * 1000,
      attributes,
      creator: subject,
      onLive: options.onLive ?? "refuse",
      ...(snapshot ? { snapshot } : {}),
      limits: { tenant: Math.min(maxTenantSessions, limits.liveSessions(tenant)), total: maxSessions },
    };
  }

  #durability(wanted: string | undefined): Durability {
    const strongest = this.#options.durability;
    if (wanted === undefined) return strongest;
    const level = DURABILITIES.indexOf(wanted as Durability);
    const most = DURABILITIES.indexOf(strongest);
    if (level >= 0 && level <= most) return wanted as Durability;
    throw new OstinatoError("OST_REQUEST", {
      what: "a durability that this server does not give",
      expected: DURABILITIES.slice(0, most + 1).join(", "),
      got: wanted.slice(0, 40),
      where: "durability",
      repair: "start the server with a data folder and a stronger --durability",
    });
  }

  #binding({ principal }: Request, model: string): SnapshotBinding {
    return { tenant: principal.tenant, model, stateSchema: this.model(model).current.stateSchema };
  }

  #key({ principal }: Request, { model, id }: SessionReference): string {
    const key = sessionKey({ tenant: principal.tenant, model, id });
    // One that no store takes would spoil the batch it is in.
    if (key.length * 3 <= MAX_KEY_BYTES || Buffer.byteLength(key) <= MAX_KEY_BYTES) return key;
    throw new OstinatoError("OST_REQUEST", {
      what: "the names of tenant, model and session are too long together",
      expected: `at most ${MAX_KEY_BYTES} bytes`,
      got: `${Buffer.byteLength(key)} bytes`,
      where: "id",
      repair: "choose a shorter id",
    });
  }

  #creator({ subject, scopes, creatorOnly }: Principal): string | undefined {
    return (this.#options.creatorOnly || creatorOnly) && !scopes.has("session:admin") ? subject : undefined;
  }

  #permit({ principal }: Request, scope: Scope): void {
    if (principal.scopes.has(scope)) return;
    this.#options.observer.authFailure("scope");
    throw new OstinatoError("OST_SCOPE", {
      what: "the credential does not permit this",
      expected: `the scope ${scope}`,
      got: [...principal.scopes].join(", ") || "no scope",
    });
  }

  #take({ principal, protocol }: Request, asked: { steps?: number; creates?: number; bytes?: number }): void {
    const refusal = this.#options.limits.take(principal.tenant, asked);
    if (refusal === null) return;
    this.refused("OST_RATE", protocol);
    const facts = new OstinatoError("OST_RATE", {
      what: `the tenant's limit of ${refusal.what} is reached`,
      expected: `to wait ${Math.max(1, Math.ceil(refusal.retryAfterMs / 1000))} s`,
      repair: "send less at a time, or ask for a higher limit",
    });
    throw new SessionError(errorFacts(facts), { retryAfterMs: refusal.retryAfterMs });
  }
}

const REJECT_REASONS: Partial<Record<ErrorCode, RejectReason>> = {
  OST_RATE: "rate",
  OST_CAPACITY: "queue_full",
  OST_GAP: "gap",
  OST_STALE: "stale",
  OST_CONFLICT: "conflict",
  OST_CREDENTIAL: "auth",
  OST_OWNER: "auth",
  OST_SCOPE: "auth",
  OST_DEADLINE: "deadline",
  OST_STORE: "store",
};

/** About what an input keeps waiting. */
function inputBytes(input: StepInput): number {
  if ("rows" in input) return input.rows.byteLength;
  let bytes = 0;
  for (const record of input.records) {
    for (const name in record) {
      const cell = record[name];
      bytes += name.length + (typeof cell === "string" ? cell.length : 8);
    }
  }
  return bytes;
}

function slice(input: StepInput, from: number, to: number): StepInput {
  if ("records" in input) return { records: input.records.slice(from, to) };
  const width = input.rows.length / input.count;
  return { rows: input.rows.slice(from * width, to * width), count: to - from };
}

/** Several chunks of one request as one outcome. */
function joined(outcomes: readonly Outcome[]): Outcome {
  const last = outcomes[outcomes.length - 1];
  return {
    ...last,
    applied: outcomes.some(({ count }) => count > 0) ? "yes" : last.applied,
    session: outcomes.reduce<SessionStatus | null>((known, { session }) => session ?? known, null),
    count: outcomes.reduce((sum, { count }) => sum + count, 0),
    predictions: joinPredictions(outcomes.flatMap(({ predictions }) => predictions ?? [])),
    repeated: outcomes.every(({ repeated }) => repeated),
    lifecycle: outcomes.flatMap(({ lifecycle }) => lifecycle),
    computeMs: outcomes.reduce((sum, { computeMs }) => sum + computeMs, 0),
    commitMs: outcomes.reduce((sum, { commitMs }) => sum + commitMs, 0),
  };
}

function quietly(act: () => void): boolean {
  try {
    act();
    return true;
  } catch {
    return false;
  }
}

export type { SessionName };

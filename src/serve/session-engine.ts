/**
 * @file The heart of the server: sessions, and the one way in which they change.
 *
 * A batch of operations, no two on one session, is executed in four strokes: load what is not in memory; compute all steps, one row of every
 * session at a time, into new states; commit what changed, in one commit; only then swap the new sessions in and answer. Memory is a cache
 * of the store, so a restart loads nothing and loses nothing.
 *
 * Laws, each held by a test:
 * - a session that is missing is an error, never a fresh state, and one whose latest steps may be lost says so before it goes on;
 * - an operation is committed wholly or changes nothing: states are values, and a draft takes a session's place only behind the commit;
 * - numbers decide what is applied: the session's last + 1 is; one that was, with the same records, gets its stored answer; everything else
 *   is refused;
 * - a session's results do not depend on what else is in its batches, bit for bit.
 *
 * It runs in the thread that made it and is asked one batch at a time; what else is asked meanwhile waits.
 */
import { type ErrorCode, OstinatoError } from "../core/errors.js";
import type { Row } from "../data/index.js";
import type { Advance, NumericPrediction, RawRecord, StreamItem, StreamModel, StreamState } from "../model/stream.js";
import { type RefusalKind, type StepCounts, type StepStatistics, statisticsOf } from "../monitor/index.js";
import { errorFacts } from "../protocol/codes.js";
import {
  type CommitOutcome,
  isDamaged,
  type RecordVersion,
  type Store,
  type StoreEntry,
  StoreError,
  type StoreWrite,
} from "../protocol/store.js";
import type { Engine, EngineStatus, ModelSource, ModelVersion, SwapPolicy } from "./engine.js";
import { inputDigest } from "./input-digest.js";
import { LEDGER_PREFIX, Ledger } from "./ledger.js";
import { openVersion } from "./model-version.js";
import type {
  Beginning,
  LifecycleChange,
  LifecycleKind,
  Operation,
  Outcome,
  Predictions,
  ResetReason,
  SessionStatus,
  StepInput,
} from "./operation.js";
import { joinPredictions } from "./predictions.js";
import { HIDDEN, parseSessionKey } from "./session-key.js";
import {
  ANSWER_HEADER,
  type Answer,
  answerFacts,
  answerParts,
  appendAnswer,
  decodeSession,
  encodeSession,
  encodeTraits,
  makeAnswer,
  type SessionRecord,
  splitAnswers,
} from "./session-record.js";
import { full, missing, notLoaded, shown } from "./session-refusal.js";

export interface SessionEngineOptions {
  store: Store;
  /** A clock in ms that never goes back. Default `performance.now`. */
  now?: () => number;
  /** A session not used for so long leaves memory. Default 15 minutes. */
  idleAfterMs?: number;
  /** Sessions in memory at most; the least recently used leave first. Default 32,768. */
  maxResident?: number;
  /** Stored answers of a session at most, and their bytes; the last one is always kept unless it alone is larger than 64 KiB. Defaults 32 and 1 KiB. */
  keepAnswers?: number;
  keepAnswerBytes?: number;
  /** An interval session is written after so many records, or so long after the first unwritten one. Defaults 64 and 1000 ms. */
  intervalRecords?: number;
  intervalMs?: number;
  /** Steps refused one after another because their result is not finite, after which a session is quarantined. Default 3. */
  quarantineAfter?: number;
  /** Hears of faults of the program, which those who ask are told nothing of. */
  onFault?(error: unknown, where: string): void;
}

interface Loaded {
  facts: ModelVersion;
  model: StreamModel;
  statistics: StepStatistics;
}

/** What is in memory of a session. Replaced, never changed, but for the notes at the end. */
interface Session extends SessionRecord {
  readonly key: string;
  incarnation: number;
  seq: number;
  /** The version that the store holds; null before the first write. */
  stored: RecordVersion | "damaged" | null;
  /** Why there is a record but no state to go on from; null: there is one. */
  lost: { what: string; repair: string } | null;
  traits: Uint8Array;
  /** Records applied since it was last written. */
  unsaved: number;
  unsavedSince: number;
  /** Acknowledged steps may have been lost in a crash: the next step has to say its number. */
  uncertain: boolean;
  /** Steps refused one after another because their result was not finite. */
  strikes: number;
}

/** An operation on its way. */
interface Work {
  readonly operation: Operation;
  readonly index: number;
  /** The session as it is; null: there is none. */
  before: Session | null;
  /** As it will be; null: ended, or never there. */
  after: Session | null;
  /** As it was when it ended. */
  ended: Session | null;
  changed: boolean;
  /** Has to be in the store before it is acknowledged. */
  mustWrite: boolean;
  loaded: Loaded | null;
  digest: number;
  /** Place in the operation of its first record that is to be applied. */
  from: number;
  to: number;
  count: number;
  predictions: NumericPrediction[];
  predictionSeqs: number[];
  answer: Predictions | null;
  repeated: boolean;
  /** It was not the client who asked again. */
  recognised: boolean;
  error: Outcome["error"];
  expectedSeq: number | null;
  unknown: boolean;
  lifecycle: LifecycleChange[];
  snapshot: Uint8Array | null;
}

const KEEP_WHOLE_BYTES = 65_536;
const NO_ANSWERS = new Float64Array(0);
const MAX_TOMBSTONES = 10_000;
const CLOCK_EVERY_MS = 10_000;
const TEND_PAGE = 500;
const SHRINK_PAGE = 2048;
const HEALTHY_MS = 1000;
/** Under which it is tried whether there is room: no session's, and counted nowhere. */
const ROOM_KEY = `${HIDDEN}\nroom\nsroom`;
const MAX_ROOM_BYTES = 1_048_576;
const EXPIRY_PAGE_MS = 1000;
const OLDEST_EVERY_MS = 60_000;
/** So few are looked at whenever the status is asked for. */
const OLDEST_AT_ONCE = 1000;

type Tombstone = "ended" | "expired";

export class SessionEngine implements Engine {
  readonly #store: Store;
  readonly #ledger: Ledger;
  readonly #options: Required<Omit<SessionEngineOptions, "store" | "now" | "onFault">>;
  readonly #onFault: SessionEngineOptions["onFault"];
  readonly #versions = new Map<string, Loaded>();
  readonly #routes = new Map<string, { version: string; policy: SwapPolicy }>();
  /** Whether a name takes its live sessions along. */
  #anyFollows = false;
  /** Least recently used first. */
  readonly #resident = new Map<string, Session>();
  readonly #unsaved = new Set<string>();
  readonly #tombstones = new Map<string, Tombstone>();
  /** Loaded for the batch under way. */
  readonly #woken = new Set<string>();
  /** Sessions that the batch under way begins, by tenant: the ledger counts them behind the commit. */
  readonly #beginning = new Map<string, number>();
  /** Keys of which a commit left open what the store holds: it is looked up before anything else is done. */
  readonly #doubted = new Set<string>();
  /** Sessions that were taken out of memory with acknowledged steps that are not in the store. */
  readonly #behind = new Set<string>();
  readonly #recovered: EngineStatus["recovered"];
  #tail: Promise<unknown> = Promise.resolve();
  /** Whether the last commit went well, and when that was. */
  #writable = true;
  #committedAt = Number.NEGATIVE_INFINITY;
  /** Bytes of a commit that was refused, until as many could be written again: a full disk still takes small ones. */
  #wanted = 0;
  #oldest = { at: Number.NEGATIVE_INFINITY, born: Number.POSITIVE_INFINITY };
  #expiry: { after: string | undefined; at: number } = { after: undefined, at: 0 };

  private constructor(ledger: Ledger, { store, now: _, onFault, ...options }: SessionEngineOptions, openedMs: number) {
    this.#store = store;
    this.#onFault = onFault;
    this.#ledger = ledger;
    this.#options = {
      idleAfterMs: 15 * 60_000,
      maxResident: 32_768,
      keepAnswers: 32,
      keepAnswerBytes: 1024,
      intervalRecords: 64,
      intervalMs: 1000,
      quarantineAfter: 3,
      ...options,
    };
    this.#recovered =
      ledger.boot === 1
        ? null
        : { seconds: openedMs / 1000, sessions: ledger.value("sessions"), afterCrash: ledger.lastUnclean === ledger.boot - 1 };
  }

  /** @throws OST_STORE if the store cannot be read or written. */
  static async open(options: SessionEngineOptions): Promise<SessionEngine> {
    const now = options.now ?? (() => performance.now());
    const start = performance.now();
    const ledger = await Ledger.open(options.store, now);
    const writes = ledger.writes();
    const outcomes = await options.store.commit(writes);
    if (outcomes.includes("conflict")) throw new OstinatoError("OST_STORE", { what: "another server uses this store" });
    ledger.committed(writes);
    return new SessionEngine(ledger, options, performance.now() - start);
  }

  execute(operations: readonly Operation[]): Promise<Outcome[]> {
    return this.#alone(() => this.#execute(operations));
  }

  async load(source: ModelSource): Promise<ModelVersion> {
    const { facts, model } = await openVersion(source);
    const known = this.#versions.get(facts.version);
    if (known === undefined) this.#versions.set(facts.version, { facts, model, statistics: statisticsOf(facts) });
    return (known ?? { facts }).facts;
  }

  unload(version: string): Promise<void> {
    return this.#alone(async () => {
      const pinned = this.#ledger.value(`version/${version}`);
      const routed = [...this.#routes].find(([, route]) => route.version === version);
      if (pinned > 0 || routed) {
        throw new OstinatoError("OST_VERSION", {
          what: "the version is in use",
          got: routed ? `"${routed[0]}" is served with it` : `${pinned} sessions are pinned to it`,
          where: version.slice(0, 12),
          repair: routed ? "serve another version under that name first" : "wait for them to end, or swap with reset or carry",
        });
      }
      this.#versions.delete(version);
    });
  }

  route(model: string, { version, policy }: { version: string; policy: SwapPolicy }): Promise<void> {
    return this.#alone(async () => {
      const next = this.#versions.get(version);
      if (!next) throw notLoaded(version);
      const before = this.#routes.get(model);
      if (policy === "carry") {
        for (const old of before ? [before.version] : []) {
          const schema = this.#versions.get(old)?.facts.stateSchema;
          if (schema !== undefined && schema !== next.facts.stateSchema) {
            throw new OstinatoError("OST_VERSION", {
              what: "the new version cannot go on from the old one's states",
              expected: `state schema ${schema.slice(0, 12)}`,
              got: next.facts.stateSchema.slice(0, 12),
              where: model,
              repair: "swap with pin or reset",
            });
          }
        }
      }
      this.#routes.set(model, { version, policy });
      this.#anyFollows = [...this.#routes.values()].some((route) => route.policy !== "pin");
    });
  }

  list({ prefix, after, limit }: { prefix: string; after?: string; limit: number }): Promise<string[]> {
    return this.#alone(async () => {
      const page = await this.#store.scan({ prefix, after, limit });
      return page.map(({ key }) => key).filter((key) => !key.startsWith(LEDGER_PREFIX));
    });
  }

  async status(): Promise<EngineStatus> {
    const clock = this.#ledger.clock();
    const oldest = this.#oldestState(clock);
    return {
      sessions: {
        total: this.#ledger.value("sessions"),
        byTenant: Object.fromEntries(this.#ledger.values("tenant/")),
        byVersion: Object.fromEntries(this.#ledger.values("version/")),
        quarantined: this.#ledger.value("quarantined"),
      },
      resident: this.#resident.size,
      oldestStateMs: clock - oldest,
      unsaved: this.#unsaved.size,
      recovered: this.#recovered,
    };
  }

  /** When the oldest state in memory began; of many sessions looked for once a minute, which is far less often than the status is asked for. */
  #oldestState(clock: number): number {
    if (clock - this.#oldest.at < OLDEST_EVERY_MS) return Math.min(clock, this.#oldest.born);
    let born = Number.POSITIVE_INFINITY;
    for (const { stateBorn } of this.#resident.values()) if (stateBorn < born) born = stateBorn;
    this.#oldest = { at: this.#resident.size > OLDEST_AT_ONCE ? clock : Number.NEGATIVE_INFINITY, born };
    return Math.min(clock, born);
  }

  healthy(): Promise<boolean> {
    return this.#alone(async () => {
      if (this.#wanted > 0) return this.#hasRoom();
      if (this.#writable && performance.now() - this.#committedAt < HEALTHY_MS) return true;
      this.#ledger.noteClock(0);
      await this.#commit([]);
      return this.#writable;
    });
  }

  /** Writes as much as was refused, and takes it back. */
  async #hasRoom(): Promise<boolean> {
    try {
      const [held] = await this.#store.load([ROOM_KEY]);
      const expected = held === null ? null : isDamaged(held) ? "damaged" : { incarnation: held.incarnation, seq: held.seq };
      const version = { incarnation: 1, seq: typeof expected === "object" && expected !== null ? expected.seq + 1 : 1 };
      const bytes = new Uint8Array(this.#wanted);
      await this.#store.commit([{ key: ROOM_KEY, expected, record: { ...version, bytes } }]);
      await this.#store.commit([{ key: ROOM_KEY, expected: version, record: null }]);
      this.#wanted = 0;
      this.#writable = true;
    } catch {
      this.#writable = false;
    }
    return this.#writable;
  }

  async replay(version: string, input: StepInput): Promise<Predictions> {
    const { model } = this.#model(version);
    const count = "rows" in input ? input.count : input.records.length;
    let state = model.initialState();
    const seqs: number[] = [];
    const times: number[] = [];
    const values: number[] = [];
    for (let i = 0; i < count; i++) {
      const [result] = model.advance([{ row: readRow(model, { input }, i), state }]);
      if (!("state" in result)) throw result;
      state = result.state;
      for (const prediction of result.predictions) {
        seqs.push(i + 1);
        times.push(prediction.time);
        values.push(...prediction.values);
      }
    }
    return {
      count: seqs.length,
      seq: Float64Array.from(seqs),
      time: Float64Array.from(times),
      values: Float64Array.from(values),
    };
  }

  async statistics(): Promise<Record<string, StepCounts>> {
    return Object.fromEntries([...this.#versions].map(([version, { statistics }]) => [version, statistics.drain()]));
  }

  tend(): Promise<Outcome[]> {
    return this.#alone(() => this.#tend());
  }

  close(): Promise<void> {
    return this.#alone(async () => {
      try {
        await this.#settle();
        const unsaved = [...this.#unsaved].filter((key) => this.#resident.get(key)?.durability !== "none");
        for (let i = 0; i < unsaved.length; i += 1024) await this.#save(unsaved.slice(i, i + 1024));
        this.#ledger.markClean();
        const writes = this.#ledger.writes();
        await this.#store.commit(writes);
        this.#ledger.committed(writes);
        if (this.#store.durability !== "none") await this.#store.flush();
      } finally {
        this.#resident.clear();
        await this.#store.close();
      }
    });
  }

  /** One thing at a time: whatever reads or changes sessions waits for the one before. */
  #alone<T>(act: () => Promise<T>): Promise<T> {
    const outcome = this.#tail.then(act);
    this.#tail = outcome.catch(() => {});
    return outcome;
  }

  async #execute(operations: readonly Operation[]): Promise<Outcome[]> {
    const start = performance.now();
    this.#woken.clear();
    this.#beginning.clear();
    const faults = await this.#bringIn(operations);
    const works = operations.map((operation, index) => this.#begin(operation, index, faults.get(operation.key)));
    this.#compute(works);
    for (const work of works) this.#finishDraft(work);
    const computed = performance.now();
    const conflicts = await this.#commit(works);
    const committed = performance.now();
    const outcomes = works.map((work) => this.#outcome(work, computed - start, committed - computed));
    this.#shrink();
    if (conflicts.length > 0) {
      // Somebody else moved these on: their present state is in the store, and the operation is made from that, once.
      const again = await this.#execute(conflicts.map(({ operation }) => ({ ...operation, retried: true })));
      conflicts.forEach(({ index }, i) => {
        outcomes[index] = again[i];
      });
    }
    return outcomes;
  }

  /** Loads the sessions that are not in memory. @returns what hindered it, by key. */
  async #bringIn(operations: readonly Operation[]): Promise<Map<string, unknown>> {
    const faults = new Map<string, unknown>();
    try {
      await this.#settle();
    } catch (error) {
      for (const { key } of operations) faults.set(key, error);
      return faults;
    }
    const missing: string[] = [];
    for (const { key } of operations) if (!this.#resident.has(key)) missing.push(key);
    if (missing.length === 0) return faults;
    let records: (StoreEntry | null)[];
    try {
      records = await this.#store.load(missing);
    } catch (error) {
      for (const key of missing) faults.set(key, error);
      return faults;
    }
    missing.forEach((key, i) => {
      const record = records[i];
      if (record === null) return;
      this.#resident.set(key, this.#wake(key, record));
      this.#woken.add(key);
    });
    return faults;
  }

  /** Looks up what commits left open. What memory has that the store never had, steps of an interval session, is kept. */
  async #settle(): Promise<void> {
    if (this.#doubted.size === 0) return;
    const keys = [...this.#doubted];
    const entries = await this.#store.load(keys);
    keys.forEach((key, i) => {
      const session = this.#resident.get(key);
      if (key.startsWith(LEDGER_PREFIX)) this.#ledger.settle(key, entries[i]);
      else if (!(session && session.unsaved > 0 && isVersion(entries[i], session.stored))) {
        this.#resident.delete(key);
        this.#unsaved.delete(key);
      }
    });
    this.#doubted.clear();
  }

  #wake(key: string, entry: StoreEntry): Session {
    const notes = { key, unsaved: 0, unsavedSince: 0, strikes: 0 };
    if (isDamaged(entry)) return { ...nothingKnown(entry.damage), ...notes, incarnation: 0, seq: 0, stored: "damaged" };
    const { incarnation, seq, bytes } = entry;
    const stored = { incarnation, seq };
    let record: SessionRecord;
    try {
      record = decodeSession(bytes);
    } catch (error) {
      return { ...nothingKnown((error as Error).message), ...notes, incarnation, seq, stored };
    }
    const { boot, lastUnclean } = this.#ledger;
    const isLost = record.durability === "none" && record.boot < boot;
    return {
      ...record,
      ...notes,
      incarnation,
      seq,
      stored,
      traits: encodeTraits(record, record.state.entity),
      lost: isLost ? KEPT_IN_MEMORY : null,
      uncertain: this.#behind.has(key) || (record.durability === "interval" && record.boot < boot && lastUnclean >= record.boot),
    };
  }

  /** Everything of an operation but the computing. */
  #begin(operation: Operation, index: number, fault: unknown): Work {
    const work: Work = {
      operation,
      index,
      before: this.#resident.get(operation.key) ?? null,
      after: null,
      ended: null,
      changed: false,
      mustWrite: false,
      loaded: null,
      digest: 0,
      from: 0,
      to: 0,
      count: 0,
      predictions: [],
      predictionSeqs: [],
      answer: null,
      repeated: false,
      recognised: false,
      error: null,
      expectedSeq: null,
      unknown: false,
      lifecycle: [],
      snapshot: null,
    };
    try {
      this.#open(work, fault);
    } catch (error) {
      this.#refuse(work, error);
    }
    return work;
  }

  #open(work: Work, fault: unknown): void {
    if (fault !== undefined) throw fault;
    const { operation, before } = work;
    // Of a damaged record nobody knows who made it.
    if (before && operation.creator !== undefined && operation.creator !== before.creator && before.version !== "")
      throw missing(operation.key, undefined);
    if (before && this.#woken.has(operation.key) && before.lost === null) this.#note(work, "woken", before, before, null);
    if (before && this.#isExpired(before) && operation.kind !== "expire" && !beginsAfresh(operation)) {
      this.#end(work, before, "expired");
      throw missing(operation.key, "expired");
    }
    work.after = before;
    switch (operation.kind) {
      case "create":
        if (operation.retried && before && before.operation === operation.operationId) {
          this.#note(work, "created", null, before, null);
          return;
        }
        this.#start(work, operation.begin);
        return;
      case "step":
        this.#openStep(work, operation);
        return;
      case "end":
        if (!before && operation.retried) return;
        this.#end(work, this.#any(work), "ended");
        return;
      case "expire":
        if (before && this.#isExpired(before)) this.#end(work, before, "expired");
        return;
      case "hibernate": {
        const session = this.#live(work);
        work.mustWrite = session.unsaved > 0;
        work.changed = true;
        this.#note(work, "hibernated", session, session, null);
        return;
      }
      case "reset": {
        const session = this.#live(work);
        if (operation.retried && session.operation === operation.operationId) return;
        this.#checkIncarnation(session, operation.incarnation);
        this.#afresh(work, session, this.#model(session.version).model.initialState(), operation.reason, "reset");
        return;
      }
      case "restore": {
        const session = this.#live(work);
        if (operation.retried && session.operation === operation.operationId) return;
        const { tenant } = parseSessionKey(operation.key);
        const state = this.#model(session.version).model.restore(operation.snapshot, tenant);
        this.#afresh(work, session, state, "restore", "restored");
        return;
      }
      case "snapshot": {
        const session = this.#live(work);
        work.snapshot = this.#model(session.version).model.snapshot(session.state, parseSessionKey(operation.key).tenant);
        return;
      }
      case "answers":
        this.#answers(work, this.#live(work), operation.after);
        return;
      case "get":
        this.#recall(work, this.#live(work));
    }
  }

  /** A `get` may ask for another operation, which was given up: its stored answer, if it was the last to change the session. */
  #recall(work: Work, session: Session): void {
    const { retried, operationId } = work.operation;
    if (!retried || operationId !== session.operation) return;
    const answer = splitAnswers(session.answers).at(-1);
    if (answer === undefined) return;
    work.repeated = true;
    this.#goOn(work, session, answer, 0);
  }

  #any({ operation, before }: Work): Session {
    if (before === null) throw missing(operation.key, this.#tombstones.get(operation.key));
    return before;
  }

  /** A session with a state. */
  #live(work: Work): Session {
    const session = this.#any(work);
    if (session.lost === null) return session;
    throw new OstinatoError("OST_STATE_LOST", { ...session.lost, where: `session "${shown(session.key)}"` });
  }

  #model(version: string): Loaded {
    const loaded = this.#versions.get(version);
    if (!loaded) throw notLoaded(version);
    return loaded;
  }

  /** A session begins, in the place of a live one if that is wanted. */
  #start(work: Work, begin: Beginning): void {
    const { operation, before } = work;
    const { tenant } = parseSessionKey(operation.key);
    const expired = before !== null && this.#isExpired(before);
    if (before && !expired && before.lost === null && begin.onLive === "refuse") {
      throw new OstinatoError("OST_EXISTS", {
        what: "the session exists already",
        where: `session "${shown(operation.key)}"`,
        repair: "go on with it, reset it, end it, or choose another id",
      });
    }
    const loaded = this.#model(begin.version);
    if (!before) {
      const { limits } = begin;
      const begun = this.#beginning.get(tenant) ?? 0;
      const own = this.#ledger.value(`tenant/${tenant}`) + begun;
      const all = this.#ledger.value("sessions") + (this.#beginning.get("") ?? 0);
      if (all >= limits.total) throw full("no room for another session", limits.total, "OST_CAPACITY");
      if (own >= limits.tenant) throw full("the tenant has as many live sessions as it may", limits.tenant, "OST_RATE");
    }
    const state = begin.snapshot ? loaded.model.restore(begin.snapshot, tenant) : loaded.model.initialState();
    if (!before && !tenant.startsWith(HIDDEN)) {
      for (const name of [tenant, ""]) this.#beginning.set(name, (this.#beginning.get(name) ?? 0) + 1);
    }
    const clock = this.#ledger.clock();
    const traits = { version: begin.version, creator: begin.creator, attributes: begin.attributes };
    const session: Session = {
      ...traits,
      key: operation.key,
      quarantined: false,
      durability: begin.durability,
      boot: this.#ledger.boot,
      state,
      resets: 0,
      createdAt: Date.now(),
      born: clock,
      stateBorn: clock,
      usedAt: clock,
      ttlMs: begin.ttlMs,
      operation: operation.operationId ?? 0,
      answers: NO_ANSWERS,
      incarnation: this.#ledger.nextIncarnation(),
      seq: 0,
      stored: before?.stored ?? null,
      traits: encodeTraits(traits, state.entity),
      unsaved: 0,
      unsavedSince: 0,
      lost: null,
      uncertain: false,
      strikes: 0,
    };
    work.after = session;
    work.changed = true;
    work.mustWrite = true;
    if (before && !expired && before.lost === null) {
      this.#note(work, "reset", before, session, "start_conflict");
      return;
    }
    if (before) this.#note(work, expired ? "expired" : "lost", before, null, null);
    this.#note(work, "created", null, session, null);
    if (begin.snapshot) this.#note(work, "restored", null, session, "restore");
  }

  /** The state of a live session begins afresh, with a new incarnation; numbers go on, so that a late step of the time before is stale. */
  #afresh(work: Work, session: Session, state: StreamState, reason: ResetReason, kind: LifecycleKind): void {
    const clock = this.#ledger.clock();
    const after: Session = {
      ...session,
      state,
      traits: encodeTraits(session, state.entity),
      boot: this.#ledger.boot,
      incarnation: this.#ledger.nextIncarnation(),
      quarantined: false,
      resets: session.resets + (kind === "reset" ? 1 : 0),
      stateBorn: clock,
      usedAt: clock,
      answers: NO_ANSWERS,
      operation: work.operation.operationId ?? 0,
      uncertain: false,
      strikes: 0,
    };
    work.after = after;
    work.changed = true;
    work.mustWrite = true;
    this.#note(work, kind, session, after, reason);
  }

  #end(work: Work, session: Session, kind: "ended" | "expired"): void {
    this.#checkIncarnation(session, work.operation.incarnation);
    work.after = null;
    work.ended = session;
    work.changed = true;
    work.mustWrite = true;
    this.#note(work, kind, session, null, null);
  }

  #openStep(work: Work, operation: Operation & { kind: "step" }): void {
    const { before } = work;
    const { input, begin } = operation;
    const asked = "rows" in input ? input.count : input.records.length;
    work.to = asked;
    if (operation.retried && before && before.operation === operation.operationId) {
      const answer = splitAnswers(before.answers).at(-1);
      if (answer === undefined) {
        work.unknown = true;
        work.expectedSeq = before.seq + 1;
        throw new OstinatoError("OST_INTERNAL", {
          what: "the records were applied; the answer was too large to keep, and was lost in a fault of the server",
          where: `session "${shown(operation.key)}"`,
          repair: `go on from seq ${before.seq + 1}`,
        });
      }
      work.repeated = true;
      work.recognised = true;
      this.#goOn(work, before, answer, asked);
      return;
    }
    if (before === null && operation.retried && operation.end && !operation.begin) {
      work.unknown = true;
      throw new OstinatoError("OST_INTERNAL", {
        what: "the session ended with this request; the answer was lost in a fault of the server",
        where: `session "${shown(operation.key)}"`,
      });
    }
    const numbered = before !== null && before.lost === null && operation.seq !== undefined && operation.seq <= before.seq;
    // A beginning with a number that the live session has had may be a late duplicate of its own: it is answered as one or refused, and
    // never begins the session afresh. Whoever means a new sequence ends the old one, or leaves the number out.
    if (begin && !numbered) this.#start(work, begin);
    const session = begin && work.after ? work.after : this.#live(work);
    this.#checkIncarnation(session, operation.incarnation);
    if (session.quarantined) {
      throw new OstinatoError("OST_QUARANTINE", {
        what: "the session is quarantined: its state gave no finite values any more",
        where: `session "${shown(session.key)}"`,
        repair: "reset it, restore a snapshot, or end it",
      });
    }
    const { seq } = operation;
    if (session.uncertain && seq === undefined) {
      work.expectedSeq = session.seq + 1;
      throw new OstinatoError("OST_STATE_LOST", {
        what: "the server crashed, and this session's last acknowledged steps may be lost",
        expected: `a step that says its number: seq ${session.seq + 1} is the next`,
        got: "a step without seq",
        where: `session "${shown(session.key)}"`,
        repair: `send the records from seq ${session.seq + 1} on again, with their numbers; or reset the session`,
      });
    }
    if (seq !== undefined && seq > session.seq + 1) {
      work.expectedSeq = session.seq + 1;
      throw new OstinatoError("OST_GAP", {
        what: session.uncertain
          ? "the server crashed, and steps before this number are lost"
          : "numbers are missing before this one",
        expected: `seq ${session.seq + 1}`,
        got: `seq ${seq}`,
        where: `session "${shown(session.key)}"`,
        repair: `go on from seq ${session.seq + 1}`,
      });
    }
    if (seq !== undefined && seq <= session.seq) {
      const answer = this.#stored(session, seq, input);
      if (answer === undefined) {
        work.expectedSeq = session.seq + 1;
        throw new OstinatoError("OST_STALE", {
          what: "this number was applied, and its answer is not kept any more",
          expected: `seq ${session.seq + 1}`,
          got: `seq ${seq}`,
          where: `session "${shown(session.key)}"`,
          repair: `go on from seq ${session.seq + 1}`,
        });
      }
      work.repeated = true;
      this.#goOn(work, session, answer, asked);
      return;
    }
    this.#follow(work, session);
    work.digest = inputDigest(input);
    work.loaded = this.#model((work.after as Session).version);
    checkState(work.after as Session, work.loaded.model);
    if (asked === 0) throw new OstinatoError("OST_REQUEST", { what: "a step without a record", where: "records" });
    const { columns } = work.loaded.facts;
    if ("rows" in input && input.rows.length !== asked * columns.length) {
      throw new OstinatoError("OST_RECORD", {
        what: "rows of another width",
        expected: `${columns.length} numbers each: ${columns.join(", ").slice(0, 200)}`,
        got: `${input.rows.length} numbers in ${asked} rows`,
        repair: "the session is pinned to a version with these columns",
      });
    }
  }

  /** The stored answer that begins with a number. @throws OST_CONFLICT if it was given to other records. */
  #stored(session: Session, seq: number, input: StepInput): Answer | undefined {
    const answer = answerAt(session, seq);
    if (answer === undefined || answerFacts(answer).digest === inputDigest(input)) return answer;
    throw new OstinatoError("OST_CONFLICT", {
      what: "this number was used for other records",
      expected: "the records first sent under it",
      got: `seq ${seq} with different ones`,
      where: `session "${shown(session.key)}"`,
      repair: `send new records from seq ${session.seq + 1}`,
    });
  }

  /** Answers from what is stored. Records that were refused then are tried again where nothing came after them. */
  #goOn(work: Work, session: Session, answer: Answer, asked: number): void {
    const { firstSeq, records, count } = answerFacts(answer);
    const { seq, time, values } = answerParts(answer);
    work.answer = { count, seq, time, values };
    work.count = records;
    if (records >= asked) return;
    const error = new OstinatoError("OST_STALE", {
      what: "the records from here on were refused, and their numbers have been used since",
      where: `session "${shown(session.key)}"`,
      repair: `send them from seq ${session.seq + 1}`,
    });
    if (firstSeq + records - 1 !== session.seq) {
      work.error = { ...errorFacts(error), index: records };
      return;
    }
    work.from = records;
    work.loaded = this.#model(session.version);
    work.digest = 0;
  }

  /** A name that was given another version takes its sessions along where that is wanted. */
  #follow(work: Work, session: Session): void {
    if (!this.#anyFollows) return;
    if (session.key.startsWith(HIDDEN)) return;
    const route = this.#routes.get(parseSessionKey(session.key).model);
    if (!route || route.version === session.version || route.policy === "pin") return;
    const next = this.#model(route.version);
    const old = this.#versions.get(session.version);
    const carries = route.policy === "carry" && old?.facts.stateSchema === next.facts.stateSchema;
    if (route.policy === "carry" && !carries) return;
    const clock = this.#ledger.clock();
    const state = carries ? session.state : next.model.initialState();
    const after: Session = {
      ...session,
      version: route.version,
      state,
      stateBorn: carries ? session.stateBorn : clock,
      resets: session.resets + (carries ? 0 : 1),
      // Answers of one session are of one width.
      answers: old?.facts.outputSize === next.facts.outputSize ? session.answers : NO_ANSWERS,
      traits: encodeTraits({ version: route.version, creator: session.creator, attributes: session.attributes }, state.entity),
    };
    work.after = after;
    work.changed = true;
    work.mustWrite = true;
    this.#note(work, "version_changed", session, after, null);
    if (!carries) this.#note(work, "reset", session, after, "model_swap");
  }

  #checkIncarnation(session: Session, incarnation: number | undefined): void {
    if (incarnation === undefined || incarnation === session.incarnation) return;
    throw new OstinatoError("OST_STALE", {
      what: "the request is for a state that is no more",
      expected: `incarnation ${session.incarnation}`,
      got: String(incarnation),
      where: `session "${shown(session.key)}"`,
      repair: "look at the session, and go on with its present incarnation",
    });
  }

  #isExpired({ ttlMs, usedAt }: Session): boolean {
    return ttlMs !== null && this.#ledger.clock() - usedAt >= ttlMs;
  }

  #answers(work: Work, session: Session, after: number): void {
    const later = splitAnswers(session.answers).filter((answer) => answer[0] + answer[1] - 1 > after);
    work.expectedSeq = later.length > 0 ? later[0][0] : null;
    work.answer = joinPredictions(later.map((answer) => ({ count: answerFacts(answer).count, ...answerParts(answer) })));
  }

  /** All steps of the batch: the first records of all sessions together, then the second ones, and so on. */
  #compute(works: readonly Work[]): void {
    let open = works.filter((work) => work.loaded !== null && work.error === null);
    if (open.length === 0) return;
    const byModel = new Map<StreamModel, { items: StreamItem[]; works: Work[] }>();
    for (let round = 0; open.length > 0; round++) {
      for (const work of open) {
        const at = work.from + round;
        const { model } = work.loaded as Loaded;
        try {
          const row = readRow(model, work.operation as Operation & { kind: "step" }, at);
          let group = byModel.get(model);
          if (group === undefined) {
            group = { items: [], works: [] };
            byModel.set(model, group);
          }
          group.items.push({ row, state: (work.after as Session).state });
          group.works.push(work);
        } catch (error) {
          this.#refuse(work, error, at);
        }
      }
      for (const [model, group] of byModel) {
        let results: (Advance | OstinatoError)[];
        try {
          results = model.advance(group.items);
        } catch (error) {
          if (isEngineFault(error)) throw error;
          results = group.items.map((item) => advanceAlone(model, item) ?? (error as OstinatoError));
        }
        group.works.forEach((work, i) => {
          const result = results[i];
          if ("state" in result) this.#accept(work, result, group.items[i].row);
          else this.#refuse(work, result, work.from + round);
        });
        group.items.length = 0;
        group.works.length = 0;
      }
      open = open.filter((work) => work.error === null && work.from + round + 1 < work.to);
    }
  }

  #accept(work: Work, { state, predictions, boundary, gapMs }: Advance, row: Row): void {
    const session = work.after as Session;
    if (session === work.before || !work.changed) work.after = { ...session };
    work.changed = true;
    const after = work.after as Session;
    after.seq++;
    if (state.entity !== session.state.entity) after.traits = encodeTraits(after, state.entity);
    if (boundary !== null) {
      after.resets++;
      after.stateBorn = this.#ledger.clock();
      this.#note(work, "reset", session, after, boundary);
    }
    after.state = state;
    work.count++;
    for (const prediction of predictions) {
      work.predictions.push(prediction);
      work.predictionSeqs.push(after.seq);
    }
    if (work.operation.key.startsWith(HIDDEN)) return;
    const { statistics } = work.loaded as Loaded;
    statistics.row(row.values);
    statistics.gap(gapMs);
    statistics.state(state.model);
    for (const { values } of predictions) statistics.prediction(values);
  }

  #refuse(work: Work, error: unknown, index = 0): void {
    const facts = errorFacts(error);
    if (facts.code === "OST_INTERNAL") this.#onFault?.(error, "a model or the engine failed");
    work.error = { ...facts, index };
    const { before } = work;
    if (work.loaded && !work.operation.key.startsWith(HIDDEN)) work.loaded.statistics.refused(refusalKind(facts.code));
    // What a new beginning is refused for says nothing of the state there is.
    if (facts.code !== "OST_NAN" || before === null || work.operation.kind !== "step" || work.operation.begin) return;
    before.strikes++;
    if (work.count > 0 || before.strikes < this.#options.quarantineAfter) return;
    const after: Session = { ...before, quarantined: true };
    work.lifecycle = [];
    work.after = after;
    work.changed = true;
    work.mustWrite = true;
    this.#note(work, "quarantined", before, after, null);
  }

  /** What is left to do on a draft when all its records are applied: the stored answer, the marks of use, the end. */
  #finishDraft(work: Work): void {
    const { operation } = work;
    if (operation.kind !== "step") return;
    if (work.count === 0) {
      // Nothing was applied: neither a beginning nor a change of version happened. What has expired stays so.
      if (work.error && work.ended === null && !work.lifecycle.some(({ kind }) => kind === "quarantined"))
        this.#forgetDraft(work);
      return;
    }
    const after = work.after as Session;
    if (work.changed) {
      this.#storeAnswer(work, after);
      after.usedAt = this.#ledger.clock();
      after.operation = operation.operationId ?? 0;
      after.boot = this.#ledger.boot;
      after.uncertain = false;
      after.strikes = 0;
      if (after.durability === "durable" || after.durability === "process") work.mustWrite = true;
      else {
        if (after.unsaved === 0) after.unsavedSince = after.usedAt;
        after.unsaved += work.count;
        if (after.durability === "interval" && after.unsaved >= this.#options.intervalRecords) work.mustWrite = true;
      }
    }
    if (operation.end && work.error === null) this.#end(work, after, "ended");
  }

  #forgetDraft(work: Work): void {
    work.after = work.before;
    work.changed = false;
    work.mustWrite = false;
    work.lifecycle = [];
  }

  #storeAnswer(work: Work, after: Session): void {
    const { predictions, predictionSeqs, digest } = work;
    const { facts } = work.loaded as Loaded;
    const width = predictions[0]?.values.length ?? facts.outputSize;
    const count = predictions.length;
    const records = work.count - (work.repeated ? work.from : 0);
    const answer = makeAnswer({ firstSeq: after.seq - records + 1, records, digest, count, width });
    const timeAt = ANSWER_HEADER + count;
    const valuesAt = timeAt + count;
    for (let i = 0; i < count; i++) {
      answer[ANSWER_HEADER + i] = predictionSeqs[i];
      answer[timeAt + i] = predictions[i].time;
      answer.set(predictions[i].values, valuesAt + i * width);
    }
    const parts = count === 1 ? alone(predictions[0], predictionSeqs[0]) : { count, ...answerParts(answer) };
    work.answer = work.answer === null ? parts : joinPredictions([work.answer, parts]);
    if (work.repeated) {
      this.#extendAnswer(work, after);
      return;
    }
    after.answers = answer.byteLength > KEEP_WHOLE_BYTES ? NO_ANSWERS : appendAnswer(after.answers, answer, this.#options);
  }

  /** A repeated operation got further than the first time: its answer is one. */
  #extendAnswer({ answer, count }: Work, after: Session): void {
    const stored = splitAnswers(after.answers).at(-1) as Answer;
    const { seq, time, values, count: predictions } = answer as Predictions;
    const whole = makeAnswer({ ...answerFacts(stored), records: count, count: predictions });
    const parts = answerParts(whole);
    parts.seq.set(seq);
    parts.time.set(time);
    parts.values.set(values);
    const before = after.answers.subarray(0, after.answers.length - stored.length);
    after.answers = appendAnswer(before, whole, {
      keepAnswers: Number.POSITIVE_INFINITY,
      keepAnswerBytes: Number.POSITIVE_INFINITY,
    });
  }

  /** Puts what changed into the store and, behind that, into memory. @returns what has to be done again because somebody else was faster. */
  async #commit(works: readonly Work[]): Promise<Work[]> {
    const changed = works.filter((work) => work.changed);
    const counts = new Map<string, number>();
    const writes: StoreWrite[] = [];
    const writers: Work[] = [];
    for (const work of changed) {
      if (!work.mustWrite) continue;
      const write = this.#writeOf(work);
      if (write === null) continue;
      writes.push(write);
      writers.push(work);
      this.#count(counts, work);
    }
    for (const [name, difference] of counts) this.#ledger.add(name, difference);
    const entries = this.#ledger.writes();
    let outcomes: CommitOutcome[] = [];
    if (writes.length + entries.length > 0) {
      try {
        outcomes = await this.#store.commit([...writes, ...entries]);
        this.#ledger.committed(entries);
        entries.forEach(({ key }, i) => {
          if (outcomes[writes.length + i] === "conflict") this.#doubted.add(key);
        });
        this.#writable = true;
        this.#committedAt = performance.now();
        if (this.#wanted > 0 && sizeOf(writes) >= this.#wanted) this.#wanted = 0;
      } catch (error) {
        this.#refusedBy(writes);
        for (const [name, difference] of counts) this.#ledger.add(name, -difference);
        const unknown = this.#doubt(error, [...writes, ...entries]);
        for (const work of writers) this.#undo(work, error, unknown);
      }
    }
    const conflicts: Work[] = [];
    writers.forEach((work, i) => {
      if (outcomes[i] !== "conflict") return;
      this.#letGo(work.before);
      const undone = new Map<string, number>();
      this.#count(undone, work);
      for (const [name, difference] of undone) this.#ledger.add(name, -difference);
      const again = new OstinatoError("OST_STORE", {
        what: "another server changes this session at the same time",
        repair: "try again",
      });
      if (work.operation.retried) this.#undo(work, again, false);
      else conflicts.push(work);
      work.changed = false;
    });
    for (const work of changed) if (work.changed) this.#swap(work);
    for (const work of works) if (!work.changed && work.before) this.#touch(work.before);
    return conflicts;
  }

  /** @returns whether nobody knows what came of the writes. */
  #doubt(error: unknown, writes: readonly StoreWrite[]): boolean {
    if (!(error instanceof StoreError && error.applied === "unknown")) return false;
    for (const { key } of writes) this.#doubted.add(key);
    return true;
  }

  /** The store did not take so much. */
  #refusedBy(writes: readonly StoreWrite[]): void {
    this.#writable = false;
    this.#wanted = Math.min(MAX_ROOM_BYTES, Math.max(this.#wanted, sizeOf(writes)));
  }

  #writeOf({ operation: { key }, before, after }: Work): StoreWrite | null {
    const expected = before?.stored ?? null;
    if (after === null) {
      if (before === null || before.stored === null) return null;
      return { key, expected: before.stored, record: null };
    }
    const bytes = encodeSession(after, after.traits);
    return { key, expected, record: { incarnation: after.incarnation, seq: after.seq, bytes } };
  }

  /** How a work moves the numbers of sessions. */
  #count(counts: Map<string, number>, { operation, before, after }: Work): void {
    const same =
      before !== null &&
      after !== null &&
      before.version === after.version &&
      before.quarantined === after.quarantined &&
      before.ttlMs === after.ttlMs;
    if (same) return;
    const { tenant } = parseSessionKey(operation.key);
    const add = (name: string, difference: number) => counts.set(name, (counts.get(name) ?? 0) + difference);
    const of = (session: Session, sign: number) => {
      if (tenant.startsWith(HIDDEN)) return;
      add("sessions", sign);
      add(`tenant/${tenant}`, sign);
      // Of a damaged record nobody knows what else it counted among: the next count of the whole store puts that right.
      if (session.version === "") return;
      add(`version/${session.version}`, sign);
      if (session.quarantined) add("quarantined", sign);
      if (session.ttlMs !== null) add("expiring", sign);
    };
    if (before) of(before, -1);
    if (after) of(after, 1);
  }

  #undo(work: Work, error: unknown, unknown: boolean): void {
    this.#forgetDraft(work);
    work.count = 0;
    work.answer = null;
    work.snapshot = null;
    work.error = { ...errorFacts(error), index: 0 };
    work.unknown = unknown;
  }

  /** Takes a session out of memory because the store may hold another one. Where steps of it are lost by that, its next use is told. */
  #letGo(session: Session | null): void {
    if (session === null) return;
    this.#resident.delete(session.key);
    this.#unsaved.delete(session.key);
    if (session.unsaved > 0) this.#behind.add(session.key);
  }

  #swap(work: Work): void {
    if (work.lifecycle.length > 0) this.#countLives(work);
    const { key, kind } = work.operation;
    const { after } = work;
    this.#resident.delete(key);
    this.#unsaved.delete(key);
    this.#behind.delete(key);
    if (after === null) {
      this.#tombstones.delete(key);
      this.#tombstones.set(key, work.lifecycle.at(-1)?.kind === "expired" ? "expired" : "ended");
      if (this.#tombstones.size > MAX_TOMBSTONES) this.#tombstones.delete(this.#tombstones.keys().next().value as string);
      return;
    }
    this.#tombstones.delete(key);
    if (work.mustWrite) {
      after.stored = { incarnation: after.incarnation, seq: after.seq };
      after.unsaved = 0;
    }
    if (kind === "hibernate") return;
    this.#resident.set(key, after);
    if (after.unsaved > 0) this.#unsaved.add(key);
  }

  /** Marks a session as used last. */
  #touch(session: Session): void {
    if (this.#resident.get(session.key) !== session) return;
    this.#resident.delete(session.key);
    this.#resident.set(session.key, session);
  }

  /** Keeps memory bounded: those that are written already leave at once, others when they have been. */
  #shrink(): void {
    const { maxResident } = this.#options;
    if (this.#resident.size <= maxResident) return;
    let looked = 0;
    for (const [key, session] of this.#resident) {
      if (this.#resident.size <= maxResident || looked++ > SHRINK_PAGE) return;
      if (session.unsaved === 0) this.#resident.delete(key);
    }
  }

  async #tend(): Promise<Outcome[]> {
    await this.#settle();
    const clock = this.#ledger.clock();
    const { idleAfterMs, intervalMs, maxResident } = this.#options;
    const due: string[] = [];
    for (const key of this.#unsaved) {
      const session = this.#resident.get(key);
      if (session && session.durability === "interval" && clock - session.unsavedSince >= intervalMs) due.push(key);
    }
    for (let i = 0; i < due.length; i += 1024) await this.#save(due.slice(i, i + 1024));
    const sleepers: Operation[] = [];
    for (const [key, session] of this.#resident) {
      const surplus = this.#resident.size - sleepers.length > maxResident;
      if (!surplus && clock - session.usedAt < idleAfterMs) break;
      if (session.lost !== null) {
        this.#resident.delete(key);
        continue;
      }
      sleepers.push({ kind: this.#isExpired(session) ? "expire" : "hibernate", key });
      if (sleepers.length >= TEND_PAGE) break;
    }
    const outcomes = sleepers.length > 0 ? await this.#execute(sleepers) : [];
    if (this.#ledger.value("expiring") > 0 && clock - this.#expiry.at >= EXPIRY_PAGE_MS)
      outcomes.push(...(await this.#expirePage(clock)));
    if (this.#ledger.noteClock(CLOCK_EVERY_MS)) await this.#commit([]);
    return outcomes;
  }

  /** Looks at some of the sessions of the store, and at others the next time. */
  async #expirePage(clock: number): Promise<Outcome[]> {
    const page = await this.#store.scan({ prefix: "", after: this.#expiry.after, limit: TEND_PAGE });
    this.#expiry = { after: page.length < TEND_PAGE ? undefined : page[page.length - 1].key, at: clock };
    const expired: Operation[] = [];
    for (const { key, record } of page) {
      if (key.startsWith(LEDGER_PREFIX) || isDamaged(record)) continue;
      try {
        const { ttlMs, usedAt } = this.#resident.get(key) ?? decodeSession(record.bytes);
        if (ttlMs !== null && clock - usedAt >= ttlMs) expired.push({ kind: "expire", key });
      } catch {}
    }
    return expired.length > 0 ? this.#execute(expired) : [];
  }

  /** Writes sessions as they are. */
  async #save(keys: readonly string[]): Promise<void> {
    const writes: StoreWrite[] = [];
    const sessions: Session[] = [];
    for (const key of keys) {
      const session = this.#resident.get(key);
      if (!session) continue;
      const bytes = encodeSession(session, session.traits);
      writes.push({ key, expected: session.stored, record: { incarnation: session.incarnation, seq: session.seq, bytes } });
      sessions.push(session);
    }
    let outcomes: CommitOutcome[];
    try {
      outcomes = await this.#store.commit(writes);
    } catch (error) {
      this.#refusedBy(writes);
      this.#doubt(error, writes);
      throw error;
    }
    sessions.forEach((session, i) => {
      this.#unsaved.delete(session.key);
      if (outcomes[i] === "conflict") {
        this.#letGo(session);
        return;
      }
      session.stored = { incarnation: session.incarnation, seq: session.seq };
      session.unsaved = 0;
    });
  }

  /** Counts the lives that this work ended, where it happened. */
  #countLives({ operation, lifecycle }: Work): void {
    if (operation.key.startsWith(HIDDEN)) return;
    for (const { kind, version, steps, reason } of lifecycle) {
      const statistics = this.#versions.get(version)?.statistics;
      if (kind === "reset" || kind === "restored") statistics?.reset(reason ?? "restore");
      if (kind === "reset" || kind === "restored" || kind === "ended" || kind === "expired") statistics?.ended(steps);
    }
  }

  #note(work: Work, kind: LifecycleKind, before: Session | null, after: Session | null, reason: ResetReason | null): void {
    const known = (after ?? before) as Session;
    work.lifecycle.push({
      kind,
      key: work.operation.key,
      version: known.version,
      incarnation: { from: before?.incarnation ?? 0, to: after?.incarnation ?? 0 },
      seq: known.seq,
      steps: before?.state.steps ?? 0,
      reason,
      attributes: known.attributes,
    });
  }

  #outcome(work: Work, computeMs: number, commitMs: number): Outcome {
    const { operation, count, error } = work;
    const session = work.after ?? work.ended;
    const changed = work.changed || count > 0;
    return {
      applied: work.unknown ? "unknown" : changed && (error === null || count > 0) ? "yes" : "no",
      count,
      session: session ? this.#statusOf(session) : null,
      predictions: work.answer,
      repeated: work.repeated && !work.recognised,
      error,
      expectedSeq: work.expectedSeq,
      lifecycle: work.lifecycle,
      snapshot: work.snapshot,
      view: operation.watched && session ? this.#viewOf(session) : null,
      computeMs,
      commitMs,
    };
  }

  #viewOf({ version, state }: Session): Float32Array | null {
    return this.#versions.get(version)?.model.view(state) ?? null;
  }

  #statusOf(session: Session): SessionStatus {
    const clock = this.#ledger.clock();
    return {
      status: session.quarantined ? "quarantined" : "active",
      version: session.version,
      incarnation: session.incarnation,
      seq: session.seq,
      steps: session.state.steps,
      resets: session.resets,
      durability: session.durability,
      creator: session.creator,
      attributes: session.attributes,
      createdAt: session.createdAt,
      // Behind a crash the clock goes on from where it was last written down, which may be seconds ago.
      ageMs: Math.max(0, clock - session.born),
      stateAgeMs: Math.max(0, clock - session.stateBorn),
      idleMs: Math.max(0, clock - session.usedAt),
    };
  }
}

const KEPT_IN_MEMORY = {
  what: "the session's state was kept in memory only, and the server has been restarted since",
  repair: "end it and begin again; choose a higher durability to keep it next time",
};

/** What stands for a session whose record cannot be read. */
function nothingKnown(damage: string) {
  return {
    version: "",
    creator: "",
    attributes: {},
    quarantined: false,
    durability: "durable",
    boot: 0,
    state: { preprocessing: new Float64Array(0), model: new Float32Array(0), steps: 0, entity: null },
    resets: 0,
    createdAt: 0,
    born: 0,
    stateBorn: 0,
    usedAt: 0,
    ttlMs: null,
    operation: 0,
    answers: NO_ANSWERS,
    traits: new Uint8Array(0),
    uncertain: false,
    lost: { what: `the session's record is damaged: ${damage}`, repair: "end it, and begin again from a snapshot or afresh" },
  } as const;
}

/** A program of another version may make other states of the same file. @throws OST_STATE_LOST. */
function checkState({ key, state }: Session, { stateSize }: StreamModel): void {
  const [got, expected] = [
    [state.preprocessing.length, state.model.length],
    [stateSize.preprocessing, stateSize.model],
  ];
  if (got[0] === expected[0] && got[1] === expected[1]) return;
  throw new OstinatoError("OST_STATE_LOST", {
    what: "the session's state is none of this model's",
    expected: `${expected.join(" + ")} numbers`,
    got: got.join(" + "),
    where: `session "${shown(key)}"`,
    repair: "reset it, or end it and begin again",
  });
}

/** The stored answer that begins with a number. */
function answerAt({ answers }: Session, seq: number): Answer | undefined {
  return splitAnswers(answers).find((one) => one[0] === seq);
}

function isVersion(entry: StoreEntry | null, version: RecordVersion | "damaged" | null): boolean {
  if (entry === null || isDamaged(entry) || version === null || version === "damaged") return false;
  return entry.incarnation === version.incarnation && entry.seq === version.seq;
}

/** What the kernels' memory cannot be trusted after: the thread is to be replaced. */
function isEngineFault(error: unknown): boolean {
  return error instanceof WebAssembly.RuntimeError || (error instanceof OstinatoError && error.code === "OST_ENGINE");
}

/** Bytes of the records of a commit. */
function sizeOf(writes: readonly StoreWrite[]): number {
  return writes.reduce((sum, { record }) => sum + (record?.bytes.length ?? 0), 0);
}

function refusalKind(code: ErrorCode): RefusalKind {
  if (code === "OST_ORDER") return "late";
  if (code === "OST_MISSING") return "missing";
  return code === "OST_NAN" ? "nonfinite" : "malformed";
}

function beginsAfresh(operation: Operation): boolean {
  return operation.kind === "create" || (operation.kind === "step" && operation.begin !== undefined);
}

function readRow(model: StreamModel, { input }: { input: StepInput }, at: number) {
  if ("records" in input) return model.readRecord(input.records[at] as RawRecord);
  return model.readValues(input.rows, at * model.columns.length);
}

/** What a model fails at for one row must not fail the others. */
function advanceAlone(model: StreamModel, item: StreamItem): Advance | OstinatoError | undefined {
  try {
    return model.advance([item])[0];
  } catch (error) {
    return error as OstinatoError;
  }
}

/** The commonest answer, without views of the stored one. */
function alone({ time, values }: NumericPrediction, seq: number): Predictions {
  return { count: 1, seq: Float64Array.of(seq), time: Float64Array.of(time), values };
}

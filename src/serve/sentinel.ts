/**
 * @file The leak sentinel: hidden sessions that run through the live scheduler and engine beside the traffic, and whose answers are known.
 *
 * Sessions of the probe are compared answer by answer with an independent computation of its hash over everything they were sent, so one
 * lost, doubled, reordered or foreign record shows at the next step. Sessions of each served model are compared, bit for bit, with a replay
 * of their records alone. Between steps they are reset, put to sleep, begun afresh while they live, ended and begun again, as sessions are;
 * steps are sent twice; and the snapshot of one tenant is offered to another. Their names are as near as names can be: one id in two tenants,
 * one number as text and as integer, two integers that a float64 would merge.
 *
 * A mismatch is told at once and stays: the server is no longer ready.
 */
import { type Rng, seed } from "../core/rng.js";
import { probeReference } from "../model/probe.js";
import type { Engine } from "./engine.js";
import type { Observer } from "./observer.js";
import type { Beginning, Durability, Operation, Outcome } from "./operation.js";
import type { Scheduler } from "./scheduler.js";
import { HIDDEN, numberId, type SessionName, sessionKey, textId } from "./session-key.js";
import type { ServedModel } from "./sessions.js";

export interface SentinelOptions {
  /** Time between rounds. Default 1 s. */
  everyMs?: number;
  /** Hidden sessions of the probe, and of each model. Defaults 6 and 2. */
  probes?: number;
  perModel?: number;
  /** Whether a mismatch makes the server not ready. Default true. */
  failsReadiness?: boolean;
  /** Default 1. */
  seed?: number;
}

export interface SentinelSurroundings {
  scheduler: Scheduler;
  engine: Engine;
  registry: { list(): readonly ServedModel[] };
  observer: Required<Observer>;
  /** Of the hidden sessions. */
  durability: Durability;
}

const TENANTS = [`${HIDDEN}sentinel`, `${HIDDEN}sentinel-2`];
const PROBE = "probe";
/** Records after which a session of a model is replayed and begins again. */
const REPLAY_AFTER = 24;
const MINUTE_MS = 60_000;

/** Names that must not meet. */
const NAMES: readonly Pick<SessionName, "tenant" | "id">[] = [
  { tenant: TENANTS[0], id: textId("1") },
  { tenant: TENANTS[1], id: textId("1") },
  { tenant: TENANTS[0], id: numberId("1") },
  { tenant: TENANTS[0], id: numberId("9007199254740992") },
  { tenant: TENANTS[0], id: numberId("9007199254740993") },
  { tenant: TENANTS[1], id: numberId("9007199254740993") },
];

/** What a hidden session was sent since it began, row by row. */
interface Watched {
  readonly key: string;
  readonly tenant: string;
  readonly model: string;
  version: string;
  live: boolean;
  seq: number;
  rows: number[][];
  /** Of a model: what it answered. */
  answers: number[];
}

export class Sentinel {
  readonly #options: Required<SentinelOptions>;
  readonly #at: SentinelSurroundings;
  readonly #rng: Rng;
  /** By model and number, not by key: keys are on trial too. */
  readonly #watched = new Map<string, Watched>();
  /** Versions whose records the sentinel cannot make up. */
  readonly #unsuited = new Set<string>();
  #probeVersion: string | null = null;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  #mismatches = 0;

  constructor({ scheduler, engine, registry, observer, durability, ...options }: SentinelSurroundings & SentinelOptions) {
    this.#at = { scheduler, engine, registry, observer, durability };
    this.#options = { everyMs: 1000, probes: 6, perModel: 2, failsReadiness: true, seed: 1, ...options };
    this.#rng = seed(this.#options.seed);
  }

  /** False from the first mismatch on, where that is to count. */
  get green(): boolean {
    return this.#mismatches === 0 || !this.#options.failsReadiness;
  }

  get mismatches(): number {
    return this.#mismatches;
  }

  start(): void {
    let busy = false;
    this.#timer = setInterval(() => {
      if (busy) return;
      busy = true;
      this.#round = this.round()
        .catch((error) => this.#at.observer.fault(error, "sentinel"))
        .finally(() => {
          busy = false;
        });
    }, this.#options.everyMs).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#round;
  }

  /** One step of every hidden session, all at once, and a look at what they answered. */
  async round(): Promise<void> {
    await this.#prepare();
    await Promise.all([...this.#watched.values()].map((session) => this.#turn(session)));
  }

  async #prepare(): Promise<void> {
    const { engine, registry } = this.#at;
    if (this.#probeVersion === null) {
      for (const tenant of TENANTS) {
        for (const key of await engine.list({ prefix: `${tenant}\n`, limit: 1000 }))
          await this.#submit({ kind: "end", key }, tenant);
      }
      this.#probeVersion = (await engine.load({ probe: true })).version;
      for (let i = 0; i < this.#options.probes; i++) this.#watch(PROBE, i, this.#probeVersion);
    }
    for (const { name, current } of registry.list()) {
      if (this.#unsuited.has(current.version) || current.textColumns.length > 0) continue;
      for (let i = 0; i < this.#options.perModel; i++) {
        const known = this.#watch(`model:${name}`, i, current.version);
        if (known.version === current.version) continue;
        await this.#submit({ kind: "end", key: known.key }, known.tenant);
        Object.assign(known, { version: current.version, live: false });
      }
    }
  }

  #watch(model: string, i: number, version: string): Watched {
    const place = `${model} ${i}`;
    let known = this.#watched.get(place);
    if (!known) {
      const { tenant, id } = NAMES[i] ?? { tenant: TENANTS[i % TENANTS.length], id: textId(`more ${i}`) };
      known = { key: sessionKey({ tenant, model, id }), tenant, model, version, live: false, seq: 0, rows: [], answers: [] };
      this.#watched.set(place, known);
    }
    return known;
  }

  async #turn(session: Watched): Promise<void> {
    const { version, key } = session;
    const columns = version === this.#probeVersion ? 1 : this.#columnsOf(version);
    if (columns === null) return;
    const fate = this.#rng.uniform();
    const afresh = !session.live || (await this.#live(session, fate));
    const count = 1 + Math.floor(3 * this.#rng.uniform());
    const begin = afresh ? this.#beginning(version) : undefined;
    if (begin) {
      this.#forget(session);
      session.seq = 0;
    }
    const rows = Array.from({ length: count }, (_, i) => this.#row(session, columns, session.rows.length + i));
    const input = { rows: Float64Array.from(rows.flat()), count };
    const seq = session.seq + 1;
    const step: Operation = { kind: "step", key, input, seq };
    // START says no number: the first of a live session may be kept with its answer, and would be taken for that step sent again.
    const outcome = await this.#submit(begin ? { kind: "step", key, input, begin } : step, session.tenant);
    await this.#judge(session, rows, outcome, begin !== undefined);
    if (fate >= 0.25 && fate < 0.35 && session.live && session.seq === seq - 1 + count)
      await this.#repeat(session, step, outcome);
  }

  /** What befalls a session between steps. @returns whether it begins again, or for the first time. */
  async #live(session: Watched, fate: number): Promise<boolean> {
    const { key, tenant } = session;
    const before = fate >= 0.08 && fate < 0.22;
    if (before) await this.#compare(session);
    if (fate < 0.08) await this.#submit({ kind: "hibernate", key }, tenant);
    else if (fate < 0.13) {
      const { error, applied } = await this.#submit({ kind: "reset", key, reason: "operator" }, tenant);
      if (applied === "unknown") return true;
      if (error === null) this.#forget(session);
    } else if (fate < 0.17) {
      const { error, applied } = await this.#submit({ kind: "end", key }, tenant);
      return error === null || applied === "unknown";
    }
    if (fate >= 0.17 && fate < 0.22) return true;
    if (fate >= 0.22 && fate < 0.25) await this.#offer(session);
    return !session.live;
  }

  /** Gives a session's snapshot to one of another tenant, who must not take it. */
  async #offer({ key, tenant, version }: Watched): Promise<void> {
    const foreign = [...this.#watched.values()].find(
      (other) => other.live && other.version === version && other.tenant !== tenant,
    );
    if (!foreign) return;
    const { snapshot } = await this.#submit({ kind: "snapshot", key }, tenant);
    if (snapshot === null) return;
    const { error } = await this.#submit({ kind: "restore", key: foreign.key, snapshot }, foreign.tenant);
    if (error === null) this.#mismatch(foreign, "it took the snapshot of another tenant");
  }

  /** Sends a step again, as one does whose answer was lost. */
  async #repeat(session: Watched, step: Operation, { predictions }: Outcome): Promise<void> {
    const again = await this.#submit(step, session.tenant);
    if (again.error !== null) return;
    const values = (given: Outcome["predictions"]) => (given ? [...given.values] : []);
    if (!again.repeated || again.session?.seq !== session.seq) this.#mismatch(session, "a step sent twice was applied twice");
    else if (!same(values(again.predictions), values(predictions))) this.#mismatch(session, "a step sent twice has two answers");
  }

  async #judge(session: Watched, rows: number[][], outcome: Outcome, began: boolean): Promise<void> {
    const { error, count, predictions, applied } = outcome;
    if (error !== null && count === 0) return this.#refused(session, outcome, began);
    if (applied !== "yes") return;
    session.live = true;
    session.seq += count;
    session.rows.push(...rows.slice(0, count));
    if (outcome.session?.seq !== session.seq) this.#mismatch(session, `seq ${outcome.session?.seq} instead of ${session.seq}`);
    const values = predictions ? [...predictions.values] : [];
    if (session.version === this.#probeVersion) {
      const wanted = probeReference(session.rows.map(([value]) => value))
        .slice(-count)
        .flat();
      if (same(values, wanted)) this.#at.observer.probe("ok");
      else this.#mismatch(session, "an answer of the probe is not the hash of its records");
      return;
    }
    session.answers.push(...values);
    if (session.rows.length < REPLAY_AFTER) return;
    await this.#compare(session);
    await this.#submit({ kind: "end", key: session.key }, session.tenant);
    session.live = false;
  }

  /** Replays a session of a model; those of the probe are compared at every step. */
  async #compare(session: Watched): Promise<void> {
    if (session.version === this.#probeVersion || session.rows.length === 0) return;
    const input = { rows: Float64Array.from(session.rows.flat()), count: session.rows.length };
    const alone = await this.#at.engine.replay(session.version, input);
    if (same(session.answers, [...alone.values])) this.#at.observer.probe("ok");
    else this.#mismatch(session, "the answers are not those of a replay alone");
  }

  #refused(session: Watched, { error, applied }: Outcome, began: boolean): void {
    const code = error?.code;
    // The engine is busy, broken or being replaced: nothing can be said of states. What was applied is found out by beginning again.
    if (
      applied === "unknown" ||
      code === "OST_CAPACITY" ||
      code === "OST_RATE" ||
      code === "OST_DEADLINE" ||
      code === "OST_STORE"
    ) {
      // Of a beginning that was refused it has forgotten what there was before.
      if (applied === "unknown" || began) session.live = false;
      return;
    }
    const lost =
      code === "OST_SESSION" ||
      code === "OST_STATE_LOST" ||
      code === "OST_GAP" ||
      code === "OST_STALE" ||
      code === "OST_CONFLICT";
    const { durability } = this.#at;
    // Sessions in memory only may be gone after a fault of the engine, but never go back.
    const wentBack = code === "OST_GAP" || code === "OST_STALE" || code === "OST_CONFLICT";
    const keeps = durability === "durable" || durability === "process" || (durability === "none" && wentBack);
    if (lost && !began && keeps) this.#mismatch(session, `its state is not where it was: ${error?.what}`);
    if (!lost && code !== "OST_VERSION" && session.version !== this.#probeVersion) {
      // Records made up without knowledge of the data are no records for every model.
      this.#unsuited.add(session.version);
      for (const [place, known] of this.#watched) if (known === session) this.#watched.delete(place);
    }
    session.live = false;
  }

  #mismatch(session: Watched, detail: string): void {
    this.#mismatches++;
    session.live = false;
    this.#at.observer.probe("mismatch", `${session.model}: ${detail}`);
  }

  #forget(session: Watched): void {
    session.rows = [];
    session.answers = [];
  }

  #columnsOf(version: string): number | null {
    const served = this.#at.registry.list().find(({ current }) => current.version === version);
    return served ? served.current.columns.length : null;
  }

  /** Small numbers; where there is a time, one minute later each. */
  #row(session: Watched, columns: number, at: number): number[] {
    const timed = this.#at.registry.list().some(({ current }) => current.version === session.version && current.time !== null);
    const start = 1_700_000_000_000;
    return Array.from({ length: columns }, (_, c) => (timed && c === 0 ? start + at * MINUTE_MS : this.#rng.normal()));
  }

  #beginning(version: string): Beginning {
    const { durability } = this.#at;
    const limits = { tenant: Number.POSITIVE_INFINITY, total: Number.POSITIVE_INFINITY };
    return { version, durability, ttlMs: null, attributes: {}, creator: "sentinel", onLive: "restart", limits };
  }

  #submit(operation: Operation, tenant: string): Promise<Outcome> {
    return this.#at.scheduler.submit(operation, { tenant, bytes: 256, cost: 1 });
  }
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => Object.is(value, b[i]));
}

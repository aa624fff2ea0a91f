/**
 * @file An adversary at the scheduler and the engine: thousands of sessions that begin, step, reset, restore, end, expire, hibernate and give
 * up waiting at random, several requests of one under way at once, in batches of any size, beside neighbours that are fed NaN and 1e38.
 */
import { type Rng, seed } from "../../src/core/rng.js";
import type { ModelSource } from "../../src/serve/engine.js";
import { type Beginning, DURABILITIES, type Operation, type Outcome } from "../../src/serve/operation.js";
import { Scheduler } from "../../src/serve/scheduler.js";
import { SessionEngine } from "../../src/serve/session-engine.js";
import { sessionKey } from "../../src/serve/session-key.js";
import { MemoryStore } from "../../src/serve/store-memory.js";
import { Life, newTally, type Tally } from "./life.js";
import { type Reference, sameBits } from "./reference.js";

export interface InterleavingOptions {
  source: ModelSource;
  reference: Reference;
  /** Numbers of a row. */
  width: number;
  /** Acknowledged steps to reach. */
  steps: number;
  /** Ids that sessions live under, one after another. */
  ids: number;
  seed: number;
}

export interface InterleavingReport extends Tally {
  /** Answers that no server may give: state lost or doubled, numbers that jump, errors of the program. */
  violations: string[];
  violationCount: number;
  /** Acknowledged operations by kind, and refusals by code. */
  counts: Map<string, number>;
}

/** A name, and who lives under it at present. */
interface Slot {
  key: string;
  /** Fed NaN, infinities of float32 and constants. */
  tainted: boolean;
  life: Life | null;
  /** Of the life as its client knows it. */
  seq: number;
  incarnation: number;
  expires: boolean;
  inFlight: number;
}

interface Saved {
  tenant: string;
  /** The life that it was taken of, until then. */
  rows: readonly Float64Array[];
}

const TENANTS = ["alpha", "beta", "gamma"];
const LONGEST_LIFE = 300;
const TTL_MS = 60;
const ALLOWED = new Set([
  ...[
    "OST_SESSION",
    "OST_EXISTS",
    "OST_STALE",
    "OST_DEADLINE",
    "OST_QUARANTINE",
    "OST_NAN",
    "OST_MISSING",
    "OST_VALUE",
    "OST_RECORD",
  ],
  ...["OST_RATE", "OST_CONFLICT", "OST_GAP", "OST_SNAPSHOT"],
]);

export async function interleave(options: InterleavingOptions): Promise<InterleavingReport> {
  const run = new Interleaving(options);
  return run.whole();
}

class Interleaving {
  readonly #rng: Rng;
  readonly #slots: Slot[];
  readonly #byKey: Map<string, Slot>;
  /** Snapshots by the tenant they were taken for. */
  readonly #saved = new Map<string, Uint8Array[]>(TENANTS.map((tenant) => [tenant, []]));
  readonly #origins = new WeakMap<Uint8Array, Saved>();
  readonly #report: InterleavingReport = { ...newTally(), violations: [], violationCount: 0, counts: new Map() };
  #now = 0;
  #acknowledged = 0;
  #version = "";

  constructor(readonly options: InterleavingOptions) {
    this.#rng = seed(options.seed);
    this.#slots = Array.from({ length: options.ids }, (_, i) => ({
      key: sessionKey({
        tenant: TENANTS[i % TENANTS.length],
        model: "m",
        id: i % 2 === 0 ? { text: `${i}` } : { number: `${i}` },
      }),
      tainted: this.#rng.integer(10) === 0,
      life: null,
      seq: 0,
      incarnation: 0,
      expires: false,
      inFlight: 0,
    }));
    this.#byKey = new Map(this.#slots.map((slot) => [slot.key, slot]));
  }

  async whole(): Promise<InterleavingReport> {
    const { steps, source, ids } = this.options;
    const now = () => this.#now;
    const engine = await SessionEngine.open({
      store: new MemoryStore(),
      now,
      idleAfterMs: 25,
      // Most sessions are asleep at any time, and woken by their next step.
      maxResident: Math.ceil(ids / 3),
      intervalMs: 10,
    });
    this.#version = (await engine.load(source)).version;
    await engine.route("m", { version: this.#version, policy: "pin" });
    while (this.#acknowledged < steps) {
      const scheduler = new Scheduler({
        execute: (operations) => engine.execute(operations),
        maxBatch: [1, 2, 7, 64, 1024][this.#rng.integer(5)],
        maxBatchCost: [3, 100, 4096][this.#rng.integer(3)],
        depth: 1 + this.#rng.integer(3),
        gapHoldMs: 0,
      });
      const until = Math.min(steps, this.#acknowledged + Math.max(2000, steps / 20));
      while (this.#acknowledged < until) await this.#round(engine, scheduler);
      await scheduler.drain(10_000);
      scheduler.close();
    }
    for (const slot of this.#slots) this.#close(slot);
    const { sessions } = await engine.status();
    await this.#recount(engine, sessions.total);
    await engine.close();
    return this.#report;
  }

  /** Some idle sessions are asked something, all at once; meanwhile the server tidies up, or does not. */
  async #round(engine: SessionEngine, scheduler: Scheduler): Promise<void> {
    const rng = this.#rng;
    const answers: Promise<void>[] = [];
    const most = 1 + rng.integer(200);
    for (let i = 0; i < most; i++) {
      const slot = this.#slots[rng.integer(this.#slots.length)];
      if (slot.inFlight > 0) continue;
      for (let burst = 1 + rng.integer(3); burst > 0; burst--) answers.push(...this.#ask(slot, scheduler));
    }
    this.#now += rng.integer(4);
    // Answers of one round may come in the next.
    if (rng.integer(2) === 0) await Promise.all(answers);
    else await new Promise(setImmediate);
    if (rng.integer(6) === 0) for (const outcome of await engine.tend()) this.#expired(outcome);
  }

  #ask(slot: Slot, scheduler: Scheduler): Promise<void>[] {
    const rng = this.#rng;
    const operation = this.#draw(slot);
    const submit = (asked: Operation) => {
      const abort = rng.integer(25) === 0 ? new AbortController() : null;
      slot.inFlight++;
      const answer = scheduler
        .submit(asked, {
          tenant: tenantOf(slot.key),
          bytes: 100,
          cost: asked.kind === "step" ? countOf(asked) : 1,
          signal: abort?.signal,
        })
        .then((outcome) => {
          slot.inFlight--;
          this.#hear(slot, asked, outcome);
        });
      if (abort) {
        if (rng.integer(2) === 0) abort.abort();
        else queueMicrotask(() => abort.abort());
      }
      return answer;
    };
    const twice = operation.kind === "step" && operation.seq !== undefined && rng.integer(4) === 0;
    return twice ? [submit(operation), submit(operation)] : [submit(operation)];
  }

  #draw(slot: Slot): Operation {
    const rng = this.#rng;
    const { key, life } = slot;
    if (life !== null && life.rows.length > LONGEST_LIFE) return { kind: "end", key };
    const chance = rng.integer(100);
    if (life === null) {
      if (chance < 30) return { kind: "create", key, begin: this.#beginning("refuse") };
      if (chance < 90) return this.#step(slot, { begin: this.#beginning("restart") });
      return this.#step(slot, {});
    }
    if (chance < 84) return this.#step(slot, {});
    if (chance < 86) return this.#step(slot, { begin: this.#beginning(rng.integer(2) ? "restart" : "refuse") });
    if (chance < 88) return this.#step(slot, { end: true });
    if (chance < 90) return { kind: "reset", key, reason: "client" };
    if (chance < 91) return { kind: "end", key };
    if (chance < 94) return { kind: "hibernate", key };
    if (chance < 95) return { kind: "create", key, begin: this.#beginning(rng.integer(2) ? "restart" : "refuse") };
    if (chance < 96) return { kind: "get", key };
    if (chance < 98) return { kind: "snapshot", key };
    // Now and then one of another tenant, which has to be refused.
    const tenant = rng.integer(10) === 0 ? TENANTS[rng.integer(TENANTS.length)] : tenantOf(key);
    const saved = this.#saved.get(tenant) as Uint8Array[];
    return saved.length === 0 ? { kind: "snapshot", key } : { kind: "restore", key, snapshot: saved[rng.integer(saved.length)] };
  }

  #beginning(onLive: Beginning["onLive"]): Beginning {
    const rng = this.#rng;
    const limits = { tenant: 1e6, total: 1e6 };
    const durability = DURABILITIES[rng.integer(DURABILITIES.length)];
    const ttlMs = rng.integer(5) === 0 ? TTL_MS : null;
    return { version: this.#version, durability, ttlMs, attributes: {}, creator: "c", onLive, limits };
  }

  #step(slot: Slot, more: { begin?: Beginning; end?: boolean }): Operation {
    const rng = this.#rng;
    const { width } = this.options;
    const count = rng.integer(5) === 0 ? 2 + rng.integer(4) : 1;
    const rows = Float64Array.from({ length: count * width }, () => rng.normal());
    if (slot.tainted && rng.integer(2) === 0) {
      const poison = [Number.NaN, 1e38, -1e38, 3.4e38, 1e308, 7, 0, -0, 5e-324][rng.integer(9)];
      if (rng.integer(2) === 0) rows.fill(poison);
      else rows[rng.integer(rows.length)] = poison;
    }
    // Only who has nothing else under way knows its number.
    const seq = slot.life !== null && slot.inFlight === 0 && !more.begin && rng.integer(2) === 0 ? { seq: slot.seq + 1 } : {};
    const guard =
      slot.life !== null && slot.inFlight === 0 && !more.begin && rng.integer(5) === 0 ? { incarnation: slot.incarnation } : {};
    return { kind: "step", key: slot.key, input: { rows, count }, ...more, ...seq, ...guard };
  }

  #hear(slot: Slot, asked: Operation, outcome: Outcome): void {
    const { counts } = this.#report;
    const { error, session, applied } = outcome;
    const add = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1);
    for (const { kind, reason } of outcome.lifecycle) add(reason === null ? kind : `${kind} (${reason})`);
    if (error) {
      add(error.code);
      if (!ALLOWED.has(error.code)) this.#violate(slot, asked, `${error.code} ${error.what}`);
      if (error.code === "OST_SESSION" && slot.life !== null && !slot.expires)
        this.#violate(slot, asked, "a live session is gone");
      if (outcome.lifecycle.some(({ kind }) => kind === "expired")) this.#close(slot);
      if (outcome.count === 0) {
        if (applied !== "no") this.#violate(slot, asked, `applied ${applied} of a refusal`);
        return;
      }
    } else if (applied !== "yes" && asked.kind !== "get" && asked.kind !== "snapshot" && !outcome.repeated) {
      this.#violate(slot, asked, `applied ${applied} without an error`);
    }
    add(outcome.repeated ? "repeated" : asked.kind);
    if (session === null) {
      this.#violate(slot, asked, "an answer without a session");
      return;
    }
    switch (asked.kind) {
      case "create":
        this.#begin(slot, asked.begin, session.incarnation);
        break;
      case "step":
        this.#stepped(slot, asked, outcome);
        break;
      case "reset":
        this.#afresh(slot, session.incarnation);
        break;
      case "restore": {
        const { tenant, rows } = this.#origins.get(asked.snapshot) as Saved;
        if (tenant !== tenantOf(slot.key)) this.#violate(slot, asked, "the snapshot of another tenant was accepted");
        this.#afresh(slot, session.incarnation, rows);
        break;
      }
      case "snapshot": {
        const [tenant, bytes] = [tenantOf(slot.key), outcome.snapshot as Uint8Array];
        const saved = this.#saved.get(tenant) as Uint8Array[];
        saved[saved.length < 8 ? saved.length : this.#rng.integer(8)] = bytes;
        this.#origins.set(bytes, { tenant, rows: [...(slot.life as Life).rows] });
        break;
      }
      case "end":
        this.#close(slot);
        return;
    }
    if (slot.life === null) return;
    if (session.seq !== slot.seq && !outcome.repeated)
      this.#violate(slot, asked, `seq ${session.seq} where ${slot.seq} is right`);
    if (session.incarnation !== slot.incarnation) this.#violate(slot, asked, "another incarnation");
    if (session.steps !== slot.life.rows.length && !outcome.repeated)
      this.#violate(slot, asked, `${session.steps} steps where ${slot.life.rows.length} are right`);
  }

  #begin(slot: Slot, { ttlMs }: Beginning, incarnation: number): void {
    this.#close(slot);
    slot.life = new Life(slot.key);
    slot.seq = 0;
    slot.incarnation = incarnation;
    slot.expires = ttlMs !== null;
  }

  /** Another state, and numbers that go on. */
  #afresh(slot: Slot, incarnation: number, rows?: readonly Float64Array[]): void {
    slot.life?.check(this.options.reference, this.#report);
    slot.life = new Life(slot.key, rows);
    slot.incarnation = incarnation;
  }

  #stepped(slot: Slot, asked: Operation & { kind: "step" }, outcome: Outcome): void {
    const { width } = this.options;
    const rows = "rows" in asked.input ? asked.input.rows : new Float64Array(0);
    const incarnation = outcome.session?.incarnation as number;
    if (asked.begin && incarnation !== slot.incarnation) this.#begin(slot, asked.begin, incarnation);
    const { life } = slot;
    if (life === null) {
      this.#violate(slot, asked, "a step of a session that is not");
      return;
    }
    const values = outcome.predictions?.values ?? new Float64Array(0);
    const size = values.length / outcome.count;
    for (let i = 0; i < outcome.count; i++) {
      const answer = values.slice(i * size, (i + 1) * size);
      if (outcome.repeated) {
        const known = life.answers[life.answers.length - (slot.seq - (asked.seq as number)) - 1 + i];
        if (known === undefined || !sameBits(known, answer))
          this.#violate(slot, asked, "a repeated answer that differs from the first");
      } else {
        life.acknowledge(rows.slice(i * width, (i + 1) * width), answer);
        slot.seq++;
        this.#acknowledged++;
      }
    }
    if (asked.end && outcome.error === null) this.#close(slot);
  }

  /** An expiry that the server told of by itself. */
  #expired({ lifecycle }: Outcome): void {
    for (const { kind, key } of lifecycle) {
      this.#report.counts.set(kind, (this.#report.counts.get(kind) ?? 0) + 1);
      if (kind !== "expired") continue;
      const slot = this.#byKey.get(key) as Slot;
      if (!slot.expires) this.#violate(slot, { kind: "expire", key }, "expired without a time to live");
      this.#close(slot);
    }
  }

  #close(slot: Slot): void {
    slot.life?.check(this.options.reference, this.#report);
    slot.life = null;
    slot.seq = 0;
    slot.incarnation = 0;
  }

  async #recount(engine: SessionEngine, total: number): Promise<void> {
    let found = 0;
    for (const tenant of TENANTS) {
      for (let after: string | undefined; ; ) {
        const keys: string[] = await engine.list({ prefix: `${tenant}\n`, after, limit: 500 });
        found += keys.length;
        if (keys.length < 500) break;
        after = keys[keys.length - 1];
      }
    }
    if (found !== total) this.#violate(null, null, `${total} sessions counted, ${found} there`);
  }

  #violate(slot: Slot | null, asked: Operation | null, what: string): void {
    this.#report.violationCount++;
    if (this.#report.violations.length < 5)
      this.#report.violations.push(`${slot?.key.replaceAll("\n", "/") ?? ""} ${asked?.kind ?? ""}: ${what}`);
  }
}

function tenantOf(key: string): string {
  return key.slice(0, key.indexOf("\n"));
}

function countOf(operation: Operation & { kind: "step" }): number {
  return "rows" in operation.input ? operation.input.count : operation.input.records.length;
}

/** The engine through whole lives of sessions: begun, stepped, refused, put to sleep, restarted, moved to other versions, damaged, counted. */
import { describe, expect, it } from "vitest";
import { FAULT, ProbeModel as FaultyProbe } from "../../test/support/probe-model.js";
import { seed } from "../core/rng.js";
import { ProbeModel, probeReference } from "../model/probe.js";
import { type CommitOutcome, isDamaged, type StoreEntry, StoreError, type StoreWrite } from "../protocol/store.js";
import type { ModelSource, SwapPolicy } from "./engine.js";
import { type Beginning, DURABILITIES, type Operation, type Outcome } from "./operation.js";
import { SessionEngine, type SessionEngineOptions } from "./session-engine.js";
import { parseSessionKey, sessionKey } from "./session-key.js";
import { decodeSession } from "./session-record.js";
import { MemoryStore } from "./store-memory.js";

/** A store that outlives its engine, whose records a test may damage. */
class LastingStore extends MemoryStore {
  readonly #damaged = new Set<string>();

  damage(key: string): void {
    this.#damaged.add(key);
  }

  override async close(): Promise<void> {}

  override async load(keys: readonly string[]): Promise<(StoreEntry | null)[]> {
    return (await super.load(keys)).map((entry, i) => this.#seen(keys[i], entry));
  }

  override async scan(range: { prefix: string; after?: string; limit: number }) {
    return (await super.scan(range)).map(({ key, record }) => ({ key, record: this.#seen(key, record) as StoreEntry }));
  }

  override async commit(writes: readonly StoreWrite[]): Promise<CommitOutcome[]> {
    const held = await super.load(writes.map(({ key }) => key));
    const plain = writes.map((write, i): StoreWrite => {
      if (!this.#damaged.has(write.key)) return write.expected === "damaged" ? { ...write, expected: null } : write;
      const entry = held[i];
      if (write.expected !== "damaged" || entry === null || isDamaged(entry)) return write;
      return { ...write, expected: { incarnation: entry.incarnation, seq: entry.seq } };
    });
    const outcomes = await super.commit(plain);
    for (const { key, expected } of writes) if (expected === "damaged") this.#damaged.delete(key);
    return outcomes;
  }

  #seen(key: string, entry: StoreEntry | null): StoreEntry | null {
    return entry !== null && this.#damaged.has(key) ? { damage: "its checksum fails" } : entry;
  }
}

const key = (id: string, tenant = "t", model = "m") => sessionKey({ tenant, model, id: { text: id } });

async function open(options: Partial<SessionEngineOptions> & { source?: ModelSource; store?: LastingStore } = {}) {
  const { source = { probe: true }, store = new LastingStore(), ...rest } = options;
  const engine = await SessionEngine.open({ store, ...rest });
  const { version } = await engine.load(source);
  const begin = (more: Partial<Beginning> = {}): Beginning => ({
    version,
    durability: "durable",
    ttlMs: null,
    attributes: {},
    creator: "c",
    onLive: "refuse",
    limits: { tenant: 1000, total: 1000 },
    ...more,
  });
  const one = async (operation: Operation) => (await engine.execute([operation]))[0];
  return { engine, version, begin, one, store };
}

const rows = (values: readonly number[]) => ({ rows: Float64Array.from(values), count: values.length });
const step = (id: string, values: readonly number[], more: Partial<Operation & { kind: "step" }> = {}): Operation => ({
  kind: "step",
  key: key(id),
  input: rows(values),
  ...more,
});
const valuesOf = ({ predictions }: Outcome) => [...(predictions?.values ?? [])];
const alone = (values: readonly number[], last = 1) => probeReference(values).slice(-last).flat();
const kinds = ({ lifecycle }: Outcome) => lifecycle.map(({ kind }) => kind);

describe("a life", () => {
  it("is told as it goes: created, woken, reset, restored, put to sleep, ended", async () => {
    const { begin, one } = await open();
    const created = await one({ kind: "create", key: key("a"), begin: begin({ attributes: { device_class: "pump" } }) });
    expect(created).toMatchObject({
      applied: "yes",
      error: null,
      session: { status: "active", seq: 0, steps: 0, resets: 0, creator: "c", attributes: { device_class: "pump" } },
      lifecycle: [{ kind: "created", incarnation: { from: 0 } }],
    });
    expect(valuesOf(await one(step("a", [1, 2])))).toEqual(alone([1, 2], 2));
    const { snapshot } = await one({ kind: "snapshot", key: key("a") });
    expect(kinds(await one({ kind: "hibernate", key: key("a") }))).toEqual(["hibernated"]);
    const woken = await one(step("a", [3]));
    expect(kinds(woken)).toEqual(["woken"]);
    expect(valuesOf(woken)).toEqual(alone([1, 2, 3]));
    const reset = await one({ kind: "reset", key: key("a"), reason: "operator" });
    expect(reset).toMatchObject({
      session: { seq: 3, steps: 0, resets: 1 },
      lifecycle: [{ kind: "reset", reason: "operator", steps: 3 }],
    });
    const restored = await one({ kind: "restore", key: key("a"), snapshot: snapshot as Uint8Array });
    expect(restored).toMatchObject({ session: { seq: 3, steps: 2 }, lifecycle: [{ kind: "restored" }] });
    expect(valuesOf(await one(step("a", [9], { seq: 4 })))).toEqual(alone([1, 2, 9]));
    expect(await one({ kind: "end", key: key("a") })).toMatchObject({
      applied: "yes",
      session: { seq: 4 },
      lifecycle: [{ kind: "ended" }],
    });
    expect((await one(step("a", [1]))).error).toMatchObject({ code: "OST_SESSION", what: "the session was ended" });
    expect((await one(step("never", [1]))).error).toMatchObject({ code: "OST_SESSION", what: "there is no such session" });
  });

  it("may begin, step and end in one operation, which leaves nothing behind", async () => {
    const { engine, begin, one, store } = await open();
    const outcome = await one(step("a", [1, 2, 3], { begin: begin(), end: true }));
    expect(outcome).toMatchObject({ applied: "yes", count: 3, error: null });
    expect(kinds(outcome)).toEqual(["created", "ended"]);
    expect(valuesOf(outcome)).toEqual(alone([1, 2, 3], 3));
    expect((await one({ kind: "get", key: key("a") })).error?.code).toBe("OST_SESSION");
    expect((await engine.status()).sessions).toMatchObject({ total: 0, byTenant: {}, byVersion: {} });
    expect(await store.scan({ prefix: "t\n", limit: 10 })).toEqual([]);
  });

  it("is not ended by a request of which not all was applied", async () => {
    const { begin, one } = await open();
    const outcome = await one(step("a", [1, Number.NaN, 3], { begin: begin(), end: true }));
    expect(outcome).toMatchObject({ applied: "yes", count: 1, error: { code: "OST_MISSING", index: 1 }, session: { seq: 1 } });
    expect(valuesOf(await one(step("a", [2])))).toEqual(alone([1, 2]));
  });

  it("is refused a second beginning unless that is wanted", async () => {
    const { begin, one } = await open();
    await one(step("a", [1], { begin: begin() }));
    for (const operation of [
      step("a", [2], { begin: begin() }),
      { kind: "create", key: key("a"), begin: begin() },
    ] as Operation[]) {
      expect(await one(operation)).toMatchObject({ applied: "no", error: { code: "OST_EXISTS" } });
    }
    expect(valuesOf(await one(step("a", [2])))).toEqual(alone([1, 2]));
    const again = await one({ kind: "create", key: key("a"), begin: begin({ onLive: "restart" }) });
    expect(again).toMatchObject({ session: { seq: 0, steps: 0 }, lifecycle: [{ kind: "reset", reason: "start_conflict" }] });
  });

  it("goes on beside another whose record makes the program fail", async () => {
    const { engine, begin } = await open({ source: { model: new FaultyProbe() } });
    await engine.execute(["a", "b"].map((id) => step(id, [1], { begin: begin() })));
    const [a, b] = await engine.execute([step("a", [2]), step("b", [FAULT])]);
    expect(valuesOf(a)).toEqual(alone([1, 2]));
    expect(b).toMatchObject({ applied: "no", count: 0, error: { code: "OST_INTERNAL" } });
    expect(JSON.stringify(b)).not.toContain("secret");
    const [after] = await engine.execute([step("b", [3])]);
    expect(valuesOf(after)).toEqual(alone([1, 3]));
  });
});

describe("a request that was applied in part", () => {
  it("is answered with that part when it comes again, and goes on behind it where nothing came between", async () => {
    const { begin, one } = await open({ source: { model: new FaultyProbe() } });
    await one({ kind: "create", key: key("a"), begin: begin() });
    const records = [1, 2, 3].map((value) => ({ value }));
    const broken = [records[0], records[1], { value: FAULT }];
    const first = await one({ kind: "step", key: key("a"), input: { records: broken }, seq: 1 });
    expect(first).toMatchObject({ applied: "yes", count: 2, error: { code: "OST_INTERNAL", index: 2 }, session: { seq: 2 } });
    const again = await one({ kind: "step", key: key("a"), input: { records: broken }, seq: 1 });
    expect(again).toMatchObject({
      repeated: true,
      count: 2,
      error: { code: "OST_INTERNAL", index: 2 },
      session: { seq: 2, steps: 2 },
    });
    expect(valuesOf(again)).toEqual(valuesOf(first));
    expect(valuesOf(await one(step("a", [3], { seq: 3 })))).toEqual(alone([1, 2, 3]));
    const late = await one({ kind: "step", key: key("a"), input: { records: broken }, seq: 1 });
    expect(late).toMatchObject({
      repeated: true,
      count: 2,
      error: { code: "OST_STALE", index: 2 },
      session: { seq: 3, steps: 3 },
    });
    expect(valuesOf(late)).toEqual(valuesOf(first));
  });

  it("goes on with the rest once that can be taken, and is one answer from then on", async () => {
    /** The fault passes. */
    class Mended extends FaultyProbe {
      mended = false;
      override advance(...given: Parameters<FaultyProbe["advance"]>): ReturnType<FaultyProbe["advance"]> {
        return this.mended ? ProbeModel.prototype.advance.apply(this, given) : super.advance(...given);
      }
    }
    const model = new Mended();
    const { begin, one } = await open({ source: { model } });
    const values = [1, FAULT, 3];
    await one({ kind: "create", key: key("a"), begin: begin() });
    expect(await one(step("a", values, { seq: 1 }))).toMatchObject({ count: 1, session: { seq: 1 } });
    model.mended = true;
    for (let i = 0; i < 2; i++) {
      const whole = await one(step("a", values, { seq: 1 }));
      expect(whole).toMatchObject({ count: 3, error: null, session: { seq: 3, steps: 3 }, predictions: { count: 3 } });
      expect([...(whole.predictions?.seq ?? [])]).toEqual([1, 2, 3]);
      expect(valuesOf(whole)).toEqual(alone(values, 3));
    }
    expect(valuesOf(await one(step("a", [4], { seq: 4 })))).toEqual(alone([...values, 4]));
  });
});

describe("stored answers", () => {
  it("are the last few; a number behind them is stale, with the number that is next", async () => {
    const { begin, one } = await open({ keepAnswers: 3 });
    await one({ kind: "create", key: key("a"), begin: begin() });
    for (let seq = 1; seq <= 5; seq++) await one(step("a", [seq], { seq }));
    for (const seq of [3, 4, 5]) {
      const again = await one(step("a", [seq], { seq }));
      expect(again).toMatchObject({ repeated: true });
      expect(valuesOf(again)).toEqual(alone([1, 2, 3, 4, 5].slice(0, seq)));
    }
    expect(await one(step("a", [2], { seq: 2 }))).toMatchObject({ applied: "no", error: { code: "OST_STALE" }, expectedSeq: 6 });
    const missed = await one({ kind: "answers", key: key("a"), after: 3 });
    expect([...(missed.predictions?.seq ?? [])]).toEqual([4, 5]);
    expect(valuesOf(missed)).toEqual([...alone([1, 2, 3, 4]), ...alone([1, 2, 3, 4, 5])]);
  });

  it("outlive sleep and a restart", async () => {
    const store = new LastingStore();
    const before = await open({ store });
    await before.one(step("a", [1, 2], { begin: before.begin() }));
    await before.one({ kind: "hibernate", key: key("a") });
    expect(await before.one(step("a", [1, 2], { seq: 1 }))).toMatchObject({ repeated: true, count: 2 });
    const { one } = await open({ store });
    const again = await one(step("a", [1, 2], { seq: 1 }));
    expect(again).toMatchObject({ repeated: true, count: 2, session: { seq: 2, steps: 2 } });
    expect(valuesOf(again)).toEqual(alone([1, 2], 2));
  });
});

describe("an operation sent again under its own number, because its answer was lost", () => {
  it("is done once, whatever it is, and in another life of the server too", async () => {
    const store = new LastingStore();
    let engine = await open({ store });
    let id = 1;
    /** As the thread that dies behind its commit: what was asked is asked again of another. */
    const twice = async (operation: Operation) => {
      const numbered = { ...operation, operationId: id++ };
      const first = await engine.one(numbered);
      engine = await open({ store });
      const again = await engine.one({ ...numbered, retried: true });
      expect(again.error).toBeNull();
      expect(again.session).toMatchObject({
        seq: first.session?.seq,
        steps: first.session?.steps,
        incarnation: first.session?.incarnation,
      });
      expect(valuesOf(again)).toEqual(valuesOf(first));
      return again;
    };
    await twice({ kind: "create", key: key("a"), begin: engine.begin() });
    await twice(step("a", [1, 2]));
    await twice(step("a", [3], { seq: 3 }));
    const { snapshot } = await twice({ kind: "snapshot", key: key("a") });
    await twice(step("a", [4]));
    await twice({ kind: "restore", key: key("a"), snapshot: snapshot as Uint8Array });
    expect(valuesOf(await twice(step("a", [5])))).toEqual(alone([1, 2, 3, 5]));
    expect(await twice({ kind: "reset", key: key("a"), reason: "client" })).toMatchObject({ session: { resets: 1, steps: 0 } });
    expect(valuesOf(await twice(step("b", [7], { begin: engine.begin() })))).toEqual(alone([7]));
    expect((await engine.engine.status()).sessions.total).toBe(2);
  });
});

describe("a restart", () => {
  it("in order leaves every level but none as it was, without a question", async () => {
    const store = new LastingStore();
    const before = await open({ store });
    for (const durability of DURABILITIES) await before.one(step(durability, [1, 2], { begin: before.begin({ durability }) }));
    await before.engine.close();
    const { engine, one } = await open({ store });
    expect((await engine.status()).recovered).toMatchObject({ sessions: 4, afterCrash: false });
    for (const durability of ["interval", "process", "durable"])
      expect(valuesOf(await one(step(durability, [3])))).toEqual(alone([1, 2, 3]));
    expect((await one(step("none", [3]))).error?.code).toBe("OST_STATE_LOST");
  });

  it("behind a crash asks an interval session for its number as long as nobody answered, crash or not", async () => {
    const store = new LastingStore();
    const first = await open({ store });
    await first.one(step("a", [1], { begin: first.begin({ durability: "interval" }) }));
    // The second run ends in order, and never looked at it.
    const second = await open({ store });
    await second.engine.close();
    const third = await open({ store });
    expect((await third.one(step("a", [2]))).error?.code).toBe("OST_STATE_LOST");
    // What was answered before says nothing of what came after it.
    expect(await third.one(step("a", [1], { seq: 1 }))).toMatchObject({ applied: "yes", repeated: true, session: { seq: 1 } });
    expect((await third.one(step("a", [2]))).error?.code).toBe("OST_STATE_LOST");
    expect(valuesOf(await third.one(step("a", [2], { seq: 2 })))).toEqual(alone([1, 2]));
    expect(valuesOf(await third.one(step("a", [3])))).toEqual(alone([1, 2, 3]));
    await third.engine.close();
    const fourth = await open({ store });
    expect(valuesOf(await fourth.one(step("a", [4])))).toEqual(alone([1, 2, 3, 4]));
  });

  it("draws incarnations that no state had before, crash or not", async () => {
    const store = new LastingStore();
    const seen = new Set<number>();
    for (let run = 0; run < 4; run++) {
      const { engine, begin, one } = await open({ store });
      for (let i = 0; i < 3; i++) {
        const { session } = await one({ kind: "create", key: key(`${run}-${i}`), begin: begin() });
        expect(seen.has(session?.incarnation as number)).toBe(false);
        seen.add(session?.incarnation as number);
      }
      if (run % 2 === 0) await engine.close();
    }
  });
});

describe("a damaged record", () => {
  it("is an error of its session alone, until that is ended or begun again", async () => {
    const store = new LastingStore();
    const before = await open({ store });
    await before.engine.execute(["a", "b", "c"].map((id) => step(id, [1], { begin: before.begin() })));
    for (const id of ["a", "b"]) store.damage(key(id));
    const { engine, begin, one } = await open({ store });
    const lost = { applied: "no", error: { code: "OST_STATE_LOST" } };
    for (const operation of [step("a", [2]), step("a", [2], { seq: 2 }), { kind: "snapshot", key: key("a") }] as Operation[]) {
      expect(await one(operation)).toMatchObject(lost);
    }
    expect(await one({ kind: "reset", key: key("a"), reason: "client" })).toMatchObject(lost);
    expect(valuesOf(await one(step("c", [2])))).toEqual(alone([1, 2]));
    expect(await one({ kind: "end", key: key("a") })).toMatchObject({ applied: "yes", error: null });
    expect((await one({ kind: "get", key: key("a") })).error?.code).toBe("OST_SESSION");
    const afresh = await one(step("b", [7], { begin: begin() }));
    expect(kinds(afresh)).toEqual(["lost", "created"]);
    expect(valuesOf(afresh)).toEqual(alone([7]));
    expect(valuesOf(await one(step("b", [8])))).toEqual(alone([7, 8]));
    expect(await engine.list({ prefix: "t\n", limit: 10 })).toEqual([key("b"), key("c")]);
  });

  it("of the engine's own book is counted anew from the sessions there are, and numbers are drawn above all in use", async () => {
    const store = new LastingStore();
    const before = await open({ store });
    const outcomes = await before.engine.execute(
      Array.from({ length: 9 }, (_, i): Operation => ({ kind: "create", key: key(`${i}`, `t${i % 2}`), begin: before.begin() })),
    );
    const status = await before.engine.status();
    for (const { key } of await store.scan({ prefix: "!", limit: 100 })) store.damage(key);
    const { engine, begin, one } = await open({ store });
    expect((await engine.status()).sessions).toEqual(status.sessions);
    const { session } = await one({ kind: "create", key: key("new"), begin: begin() });
    const highest = Math.max(...outcomes.map((outcome) => outcome.session?.incarnation as number));
    expect(session?.incarnation).toBeGreaterThan(highest);
    const again = await open({ store });
    expect((await again.engine.status()).sessions.total).toBe(10);
  });
});

describe("health", () => {
  it("is not there while the store refuses what sessions need, though it takes less", async () => {
    const { engine, begin, one, store } = await open();
    await one(step("a", [1], { begin: begin() }));
    expect(await engine.healthy()).toBe(true);
    let room = 100;
    const commit = store.commit.bind(store);
    store.commit = async (writes) => {
      if (writes.some(({ record }) => (record?.bytes.length ?? 0) > room))
        throw new StoreError("no", { what: "the disk is full" });
      return commit(writes);
    };
    expect(await one(step("a", [2]))).toMatchObject({ applied: "no", error: { code: "OST_STORE" } });
    await engine.tend();
    expect(await engine.healthy()).toBe(false);
    room = Number.POSITIVE_INFINITY;
    expect(await engine.healthy()).toBe(true);
    expect(valuesOf(await one(step("a", [2])))).toEqual(alone([1, 2]));
    expect((await store.scan({ prefix: "~", limit: 10 })).length).toBe(0);
  });
});

describe("time to live", () => {
  it("goes on in sleep and over a restart, and begins anew with every step", async () => {
    let now = 0;
    const store = new LastingStore();
    const first = await open({ store, now: () => now });
    await first.engine.execute(
      ["a", "b", "c"].map((id) => step(id, [1], { begin: first.begin({ ttlMs: id === "c" ? null : 1000 }) })),
    );
    await first.engine.execute(["a", "b", "c"].map((id): Operation => ({ kind: "hibernate", key: key(id) })));
    now += 600;
    await first.one(step("b", [2]));
    await first.one({ kind: "hibernate", key: key("b") });
    await first.engine.close();
    // While no server runs no time passes.
    now = 5;
    const { engine, one } = await open({ store, now: () => now });
    now += 300;
    expect(await engine.tend()).toEqual([]);
    now += 1100 - 300;
    const gone = (await engine.tend()).flatMap(({ lifecycle }) => lifecycle.map((change) => change));
    now += 1001;
    gone.push(...(await engine.tend()).flatMap(({ lifecycle }) => lifecycle));
    expect(gone.filter(({ kind }) => kind === "expired").map((change) => change.key)).toEqual([key("a"), key("b")]);
    expect((await one(step("a", [2]))).error).toMatchObject({ code: "OST_SESSION", what: "the session expired" });
    expect(valuesOf(await one(step("c", [2])))).toEqual(alone([1, 2]));
    expect((await engine.status()).sessions.total).toBe(1);
  });

  it("is kept by the next use where nobody looked before, and an expired session can begin again", async () => {
    let now = 0;
    const { begin, one } = await open({ now: () => now });
    await one(step("a", [1], { begin: begin({ ttlMs: 10 }) }));
    expect((await one({ kind: "expire", key: key("a") })).lifecycle).toEqual([]);
    now += 11;
    const late = await one(step("a", [2]));
    expect(late).toMatchObject({ applied: "no", error: { code: "OST_SESSION" }, lifecycle: [{ kind: "expired" }] });
    expect(valuesOf(await one(step("a", [3], { begin: begin() })))).toEqual(alone([3]));
  });
});

describe("another version under a name", () => {
  const named = (name: string): ModelSource => ({ model: new ProbeModel(name) });
  const expected: Record<SwapPolicy, (values: readonly number[]) => number[]> = {
    pin: (values) => alone(values),
    carry: (values) => alone(values),
    reset: (values) => alone(values.slice(-1)),
  };

  it.each(["pin", "reset", "carry"] as const)("by policy %s", async (policy) => {
    const { engine, version, begin, one, store } = await open({ source: named("old") });
    await engine.route("m", { version, policy: "pin" });
    await one(step("a", [1, 2], { begin: begin() }));
    const next = await engine.load(named("new"));
    expect(next.stateSchema).toBe((await engine.load(named("old"))).stateSchema);
    await engine.route("m", { version: next.version, policy });
    // What is refused takes nobody along.
    expect(await one(step("a", [Number.NaN]))).toMatchObject({ applied: "no", lifecycle: [], session: { version } });
    const outcome = await one(step("a", [3], { seq: 3 }));
    expect(outcome).toMatchObject({ error: null, session: { seq: 3, version: policy === "pin" ? version : next.version } });
    expect(valuesOf(outcome)).toEqual(expected[policy]([1, 2, 3]));
    expect(kinds(outcome)).toEqual(
      policy === "pin" ? [] : policy === "carry" ? ["version_changed"] : ["version_changed", "reset"],
    );
    expect((await engine.status()).sessions.byVersion).toEqual({ [policy === "pin" ? version : next.version]: 1 });
    if (policy === "pin") await expect(engine.unload(version)).rejects.toThrow(/OST_VERSION/);
    else await engine.unload(version);
    await expect(engine.unload(next.version)).rejects.toThrow(/OST_VERSION/);
    // The record names its version: a server that has not loaded it says so, and keeps the session.
    const other = await SessionEngine.open({ store });
    expect((await other.execute([step("a", [4])]))[0]).toMatchObject({ applied: "no", error: { code: "OST_VERSION" } });
  });
});

describe("counts", () => {
  it("of tenants, versions and quarantine are those of the store, through anything", async () => {
    const rng = seed(5);
    let now = 0;
    const store = new LastingStore();
    let { engine, begin } = await open({ store, now: () => now, maxResident: 8, idleAfterMs: 40 });
    const second = { model: new ProbeModel("second") } as const;
    const versions = [begin().version, (await engine.load(second)).version];
    const draw = (): Operation => {
      const at = key(String(rng.integer(12)), `t${rng.integer(3)}`);
      const beginning = begin({
        version: versions[rng.integer(2)],
        onLive: rng.integer(2) === 0 ? "refuse" : "restart",
        durability: DURABILITIES[rng.integer(4)],
        ttlMs: rng.integer(3) === 0 ? 30 : null,
        limits: { tenant: 8, total: 20 },
      });
      const value = rng.integer(8) === 0 ? Number.NaN : rng.normal();
      switch (rng.integer(8)) {
        case 0:
          return { kind: "create", key: at, begin: beginning };
        case 1:
          return { kind: "end", key: at };
        case 2:
          return { kind: "hibernate", key: at };
        case 3:
          return { kind: "reset", key: at, reason: "client" };
        default:
          return {
            kind: "step",
            key: at,
            input: rows([value]),
            ...(rng.integer(2) === 0 ? { begin: beginning } : {}),
            end: rng.integer(6) === 0,
          };
      }
    };
    for (let round = 0; round < 600; round++) {
      const batch = new Map(Array.from({ length: 1 + rng.integer(10) }, draw).map((operation) => [operation.key, operation]));
      await engine.execute([...batch.values()]);
      now += rng.integer(10);
      if (round % 7 === 0) await engine.tend();
      if (round % 50 === 49) {
        const { sessions } = await engine.status();
        expect(sessions).toEqual(await countedIn(store));
        expect(sessions.total).toBeLessThanOrEqual(20);
        if (round % 100 === 99) await engine.close();
        ({ engine, begin } = await open({ store, now: () => now, maxResident: 8, idleAfterMs: 40 }));
        await engine.load(second);
        expect((await engine.status()).sessions).toEqual(sessions);
      }
    }
  });
});

/** What the records of a store say, one by one. */
async function countedIn(store: LastingStore) {
  const sums = { total: 0, byTenant: {} as Record<string, number>, byVersion: {} as Record<string, number>, quarantined: 0 };
  for (const { key, record } of await store.scan({ prefix: "t", limit: 1000 })) {
    if (isDamaged(record)) continue;
    const { version, quarantined } = decodeSession(record.bytes);
    const { tenant } = parseSessionKey(key);
    sums.total++;
    sums.byTenant[tenant] = (sums.byTenant[tenant] ?? 0) + 1;
    sums.byVersion[version] = (sums.byVersion[version] ?? 0) + 1;
    if (quarantined) sums.quarantined++;
  }
  return sums;
}

/** What becomes of sessions, and of the counts of them, where a commit fails or its outcome cannot be known, and where an answer is lost. */
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../core/errors.js";
import type { Row } from "../data/index.js";
import { ProbeModel, probeReference } from "../model/probe.js";
import type { Advance, RawRecord, StreamItem, StreamState } from "../model/stream.js";
import { type CommitOutcome, StoreError, type StoreWrite } from "../protocol/store.js";
import type { ModelSource } from "./engine.js";
import type { Beginning, Operation, Outcome } from "./operation.js";
import { SessionEngine, type SessionEngineOptions } from "./session-engine.js";
import { sessionKey } from "./session-key.js";
import { MemoryStore } from "./store-memory.js";

/** A store whose disk would not say: the next commit of a session is applied, or not, and reported as unknown. */
class UnsureStore extends MemoryStore {
  next: "applied" | "lost" | null = null;

  override async commit(writes: readonly StoreWrite[]): Promise<CommitOutcome[]> {
    const { next } = this;
    this.next = null;
    if (next !== "lost") {
      const outcomes = await super.commit(writes);
      if (next === null) return outcomes;
    }
    throw new StoreError("unknown", { what: "the disk fails" });
  }

  closed = false;

  /** A restart finds what there is. */
  override async close(): Promise<void> {
    this.closed = true;
  }
}

/** The probe, with a column that names the series: a state takes records of one series only. */
class SeriesModel extends ProbeModel {
  override initialState(): StreamState {
    return { ...super.initialState(), entity: null };
  }

  override readRecord(record: RawRecord): Row {
    return { ...super.readRecord(record), entity: String(record.series) } as Row;
  }

  override advance(items: readonly StreamItem[]): (Advance | OstinatoError)[] {
    return super.advance(items).map((advance, i) => {
      if (!("state" in advance)) return advance;
      const entity = (items[i].row as Row & { entity?: string }).entity ?? null;
      const changed = items[i].state.entity !== null && items[i].state.entity !== entity;
      return { ...advance, boundary: changed ? "changed_column" : null, state: { ...advance.state, entity } };
    });
  }

  override restore(): StreamState {
    return { ...super.initialState(), entity: "north" };
  }
}

/** The probe that says nothing, and refuses what it is told to. */
class SilentModel extends ProbeModel {
  refuses = true;

  override advance(items: readonly StreamItem[]): (Advance | OstinatoError)[] {
    return super.advance(items).map((advance, i) => {
      if (!("state" in advance)) return advance;
      if (this.refuses && items[i].row.values[0] === 2) return new OstinatoError("OST_ORDER", { what: "too late" });
      return { ...advance, predictions: [] };
    });
  }
}

const key = (id: string, tenant = "t") => sessionKey({ tenant, model: "m", id: { text: id } });

async function open(options: Partial<SessionEngineOptions> & { source?: ModelSource; store?: UnsureStore } = {}) {
  const { source = { probe: true }, store = new UnsureStore(), ...rest } = options;
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

const step = (id: string, values: readonly number[], more: Partial<Operation & { kind: "step" }> = {}): Operation => ({
  kind: "step",
  key: key(id),
  input: { rows: Float64Array.from(values), count: values.length },
  ...more,
});
const valuesOf = ({ predictions }: Outcome) => [...(predictions?.values ?? [])];
const alone = (values: readonly number[], last = 1) => probeReference(values).slice(-last).flat();

describe("a commit of which nobody knows whether it was applied", () => {
  for (const next of ["applied", "lost"] as const) {
    it(`and that was ${next}: the session goes on from what the store holds, and is counted right`, async () => {
      const { engine, begin, one, store, version } = await open();
      await one({ kind: "create", key: key("a"), begin: begin() });
      store.next = next;
      expect(await one({ kind: "create", key: key("b"), begin: begin() })).toMatchObject({
        applied: "unknown",
        error: { code: "OST_STORE" },
      });
      const there = next === "applied" ? 2 : 1;
      expect((await one({ kind: "get", key: key("b") })).error === null).toBe(next === "applied");
      expect((await engine.status()).sessions).toMatchObject({
        total: there,
        byTenant: { t: there },
        byVersion: { [version]: there },
      });
      for (const id of ["a", "b"]) await one({ kind: "end", key: key(id) });
      expect((await engine.status()).sessions).toMatchObject({ total: 0, byTenant: {}, byVersion: {} });
      await engine.close();
      expect((await (await open({ store })).engine.status()).sessions).toMatchObject({ total: 0, byTenant: {}, byVersion: {} });
    });

    it(`and that was ${next}: an interval session keeps the steps that memory alone has`, async () => {
      const { engine, begin, one, store } = await open({ intervalRecords: 4 });
      await one({ kind: "create", key: key("a"), begin: begin({ durability: "interval" }) });
      for (const value of [1, 2, 3]) expect((await one(step("a", [value]))).applied).toBe("yes");
      store.next = next;
      expect(await one(step("a", [4]))).toMatchObject({ applied: "unknown", error: { code: "OST_STORE" } });
      const known = next === "applied" ? [1, 2, 3, 4] : [1, 2, 3];
      const outcome = await one(step("a", [5]));
      expect(outcome).toMatchObject({ applied: "yes", session: { seq: known.length + 1 } });
      expect(valuesOf(outcome)).toEqual(alone([...known, 5]));
      await engine.close();
    });

    it(`and that was ${next}: an interval session that was only to be saved loses nothing either`, async () => {
      let clock = 0;
      const { engine, begin, one, store } = await open({ now: () => clock });
      await one({ kind: "create", key: key("a"), begin: begin({ durability: "interval" }) });
      for (const value of [1, 2]) await one(step("a", [value]));
      clock += 2000;
      store.next = next;
      await expect(engine.tend()).rejects.toMatchObject({ code: "OST_STORE" });
      await one(step("a", [3]));
      clock += 2000;
      await engine.tend();
      const outcome = await one(step("a", [4]));
      expect(outcome).toMatchObject({ applied: "yes", session: { seq: 4 } });
      expect(valuesOf(outcome)).toEqual(alone([1, 2, 3, 4]));
    });
  }

  it("in the end: it is said, the store is closed, and the next start asks for the numbers", async () => {
    const { engine, begin, one, store } = await open();
    await one({ kind: "create", key: key("a"), begin: begin({ durability: "interval" }) });
    await one(step("a", [1]));
    store.next = "lost";
    await expect(engine.close()).rejects.toMatchObject({ code: "OST_STORE" });
    expect(store.closed).toBe(true);
    const again = await open({ store });
    expect(await again.one(step("a", [2]))).toMatchObject({ error: { code: "OST_STATE_LOST" }, expectedSeq: 1 });
  });

  it("and that drew incarnations: none is drawn twice", async () => {
    const { begin, one, store } = await open();
    store.next = "applied";
    await one({ kind: "create", key: key("a"), begin: begin() });
    const first = (await one({ kind: "create", key: key("b"), begin: begin() })).session?.incarnation as number;
    const again = await open({ store });
    const second = (await again.one({ kind: "create", key: key("c"), begin: begin() })).session?.incarnation as number;
    expect(second).toBeGreaterThan(first);
  });
});

describe("limits of live sessions", () => {
  it("hold for creates of one batch too", async () => {
    const { engine, begin } = await open();
    const creates = Array.from({ length: 20 }, (_, i): Operation => {
      const limits = { tenant: 3, total: 5 };
      return { kind: "create", key: key(String(i), i < 10 ? "t" : "u"), begin: begin({ limits }) };
    });
    const outcomes = await engine.execute(creates);
    const given = outcomes.map(({ error }) => error?.code ?? "created");
    expect(given.filter((code) => code === "created")).toHaveLength(5);
    expect(given.slice(0, 10).filter((code) => code === "created")).toHaveLength(3);
    expect((await engine.status()).sessions.total).toBe(5);
  });
});

describe("a step that begins its session and is refused", () => {
  it("begins nothing, in the place of an expired one neither", async () => {
    let clock = 0;
    const { engine, begin, one } = await open({ now: () => clock });
    await one({ kind: "create", key: key("a"), begin: begin({ ttlMs: 1000 }) });
    clock += 2000;
    const refused = await one(step("a", [Number.NaN], { begin: begin() }));
    expect(refused).toMatchObject({ applied: "no", error: { code: "OST_MISSING" } });
    expect(await one({ kind: "get", key: key("a") })).toMatchObject({ error: { code: "OST_SESSION" } });
    expect((await engine.status()).sessions.total).toBe(0);
  });
});

describe("a step sent again", () => {
  it("that gets further than the first time is remembered so, also where nothing is predicted", async () => {
    const model = new SilentModel();
    const { begin, one } = await open({ source: { model } });
    await one({ kind: "create", key: key("a"), begin: begin() });
    const both = step("a", [1, 2], { seq: 1 });
    expect(await one(both)).toMatchObject({ count: 1, error: { index: 1, code: "OST_ORDER" } });
    model.refuses = false;
    for (let i = 0; i < 2; i++)
      expect(await one(both)).toMatchObject({ count: 2, repeated: true, error: null, session: { seq: 2 } });
  });

  it("with START: the same records are answered from store, others and late ones are refused, without a number it begins afresh", async () => {
    const { begin, one } = await open();
    const start = (value: number) => step("a", [value], { seq: 1, begin: begin({ onLive: "restart" }) });
    const first = await one(start(1));
    expect(await one(start(1))).toMatchObject({ repeated: true, session: { incarnation: first.session?.incarnation } });
    expect(await one(start(2))).toMatchObject({ applied: "no", error: { code: "OST_CONFLICT" } });
    for (let i = 0; i < 64; i++) await one(step("a", [i]));
    expect(await one(start(1))).toMatchObject({ applied: "no", error: { code: "OST_STALE" }, expectedSeq: 66 });
    const anew = await one(step("a", [2], { begin: begin({ onLive: "restart" }) }));
    expect(anew).toMatchObject({ repeated: false, error: null, session: { seq: 1 } });
    expect(valuesOf(anew)).toEqual(alone([2]));
  });
});

describe("the series of a state", () => {
  const record = (value: number, series: string) => ({ records: [{ value, series }] });
  const at = (input: ReturnType<typeof record>): Operation => ({ kind: "step", key: key("a"), input });

  it("is that of the state also after sleep: none behind a reset, the snapshot's behind a restore", async () => {
    const { begin, one } = await open({ source: { model: new SeriesModel() } });
    await one({ kind: "create", key: key("a"), begin: begin() });
    await one(at(record(1, "south")));
    await one({ kind: "reset", key: key("a"), reason: "client" });
    await one({ kind: "hibernate", key: key("a") });
    expect((await one(at(record(1, "east")))).lifecycle.map(({ kind }) => kind)).toEqual(["woken"]);
    await one({ kind: "restore", key: key("a"), snapshot: new Uint8Array(1) });
    await one({ kind: "hibernate", key: key("a") });
    expect((await one(at(record(1, "north")))).lifecycle.map(({ kind }) => kind)).toEqual(["woken"]);
  });
});

describe("an operation that is sent again because its answer was lost", () => {
  it("is not applied twice where its answer was too large to be kept", async () => {
    const { begin, one } = await open({ keepAnswers: 2 });
    await one({ kind: "create", key: key("a"), begin: begin() });
    const values = Array.from({ length: 5000 }, (_, i) => i);
    expect(await one(step("a", values, { operationId: 7 }))).toMatchObject({ applied: "yes", count: 5000 });
    const again = await one(step("a", values, { operationId: 7, retried: true }));
    expect(again).toMatchObject({ count: 0, applied: "unknown", session: { seq: 5000 } });
    expect(again.expectedSeq).toBe(5001);
    expect(await one({ kind: "get", key: key("a") })).toMatchObject({ session: { seq: 5000 } });
  });

  it("is told of by a `get` in its name, if it was the last to change the session", async () => {
    const { begin, one } = await open();
    await one({ kind: "create", key: key("a"), begin: begin() });
    const outcome = await one(step("a", [1, 2], { operationId: 7 }));
    const asked: Operation = { kind: "get", key: key("a"), operationId: 7, retried: true };
    const told = await one(asked);
    expect(told).toMatchObject({ repeated: true, count: 2, applied: "yes" });
    expect(valuesOf(told)).toEqual(valuesOf(outcome));
    await one(step("a", [3], { operationId: 8 }));
    expect(await one(asked)).toMatchObject({ repeated: false, count: 0, applied: "no" });
  });

  it("is done again where it begins and ends its session by itself", async () => {
    const { begin, one } = await open();
    const both = step("a", [1, 2], { begin: begin(), end: true, operationId: 7 });
    const first = await one(both);
    const again = await one({ ...both, retried: true });
    expect(again).toMatchObject({ applied: "yes", count: 2, error: null });
    expect(valuesOf(again)).toEqual(valuesOf(first));
  });
});

describe("memory", () => {
  it("does not keep what has no state to go on from, nor look at it for ever", async () => {
    let clock = 0;
    const store = new UnsureStore();
    const before = await open({ store });
    await before.one({ kind: "create", key: key("a"), begin: before.begin({ durability: "none" }) });
    await before.engine.close();
    const { engine, one } = await open({ store, now: () => clock });
    expect(await one(step("a", [1]))).toMatchObject({ error: { code: "OST_STATE_LOST" } });
    expect((await engine.status()).resident).toBe(1);
    clock += 3_600_000;
    expect(await engine.tend()).toEqual([]);
    expect((await engine.status()).resident).toBe(0);
    expect(await one(step("a", [1]))).toMatchObject({ error: { code: "OST_STATE_LOST" } });
  });
});

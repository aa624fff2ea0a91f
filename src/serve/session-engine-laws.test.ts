/** What every session can rely on, asked of the engine itself: each law is one that a fault of a few characters would break. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { LOAD_FEATURES, loadModelFile } from "../../test/proof/load-model.js";
import { OstinatoError } from "../core/errors.js";
import { ProbeModel, probeReference } from "../model/probe.js";
import type { StreamItem } from "../model/stream.js";
import { type CommitOutcome, type Store, StoreError, type StoreWrite } from "../protocol/store.js";
import type { ModelSource } from "./engine.js";
import type { Beginning, Operation, Outcome } from "./operation.js";
import { SessionEngine, type SessionEngineOptions } from "./session-engine.js";
import { sessionKey } from "./session-key.js";
import { MemoryStore } from "./store-memory.js";

/** A store whose commits a test may delay, refuse, or overtake. */
class WatchedStore extends MemoryStore {
  before: ((writes: readonly StoreWrite[]) => Promise<void>) | null = null;

  override async commit(writes: readonly StoreWrite[]): Promise<CommitOutcome[]> {
    await this.before?.(writes);
    return super.commit(writes);
  }

  /** Commits as somebody else would. */
  asAnother(writes: readonly StoreWrite[]): Promise<CommitOutcome[]> {
    return super.commit(writes);
  }
}

const DIVERGES = 13;

/** The probe, whose state is not finite any more after one value. */
class Diverging extends ProbeModel {
  override advance(items: readonly StreamItem[]): ReturnType<ProbeModel["advance"]> {
    const given = super.advance(items);
    return items.map(({ row }, i) =>
      row.values[0] === DIVERGES ? new OstinatoError("OST_NAN", { what: "the new state is not finite" }) : given[i],
    );
  }
}

const GRU: ModelSource = { bytes: loadModelFile(3) };
const key = (id: string, tenant = "t") => sessionKey({ tenant, model: "m", id: { text: id } });

async function open(options: Partial<SessionEngineOptions> & { source?: ModelSource; store?: Store } = {}) {
  const { source = { probe: true }, store = new WatchedStore(), ...rest } = options;
  const engine = await SessionEngine.open({ store, ...rest });
  const { version } = await engine.load(source);
  const limits = { tenant: 1000, total: 1000 };
  const begin = (more: Partial<Beginning> = {}): Beginning => ({
    version,
    durability: "durable",
    ttlMs: null,
    attributes: {},
    creator: "c",
    onLive: "refuse",
    limits,
    ...more,
  });
  const one = async (operation: Operation) => (await engine.execute([operation]))[0];
  return { engine, version, begin, one, store: store as WatchedStore };
}

const rows = (values: readonly number[]) => ({ rows: Float64Array.from(values), count: values.length });
const step = (id: string, values: readonly number[], more: Partial<Operation & { kind: "step" }> = {}): Operation => ({
  kind: "step",
  key: key(id),
  input: rows(values),
  ...more,
});
const valuesOf = ({ predictions }: Outcome) => [...(predictions?.values ?? [])];
/** What a stream of the probe says last that got these values and nothing else. */
const alone = (values: readonly number[], last = 1) => probeReference(values).slice(-last).flat();

afterEach(() => {
  vi.useRealTimers();
});

describe("an acknowledgement", () => {
  it("comes behind the commit, never before it", async () => {
    const { begin, one, store } = await open();
    await one({ kind: "create", key: key("a"), begin: begin() });
    let release: () => void = () => {};
    store.before = () =>
      new Promise((resolve) => {
        release = resolve;
      });
    let answered = false;
    const answer = one(step("a", [1])).then((outcome) => {
      answered = true;
      return outcome;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(answered).toBe(false);
    release();
    expect(await answer).toMatchObject({ applied: "yes", session: { seq: 1 } });
  });

  it("is none where the store refused, and the session is as before", async () => {
    const { begin, one, store } = await open();
    await one(step("a", [1], { begin: begin() }));
    store.before = async () => {
      throw new StoreError("no", { what: "the disk is full" });
    };
    expect(await one(step("a", [2]))).toMatchObject({ applied: "no", count: 0, predictions: null, error: { code: "OST_STORE" } });
    expect(await one(step("b", [2], { begin: begin() }))).toMatchObject({ applied: "no", error: { code: "OST_STORE" } });
    store.before = null;
    expect(await one({ kind: "get", key: key("b") })).toMatchObject({ error: { code: "OST_SESSION" } });
    const outcome = await one(step("a", [3], { seq: 2 }));
    expect(outcome).toMatchObject({ applied: "yes", session: { seq: 2, steps: 2 } });
    expect(valuesOf(outcome)).toEqual(alone([1, 3]));
  });
});

describe("sessions of one batch", () => {
  it("get each its own answers, whatever the number of their records", async () => {
    const { engine, begin } = await open();
    const inputs = [[1], [2, 3], [4, 5, 6], [7], [8, 9]];
    for (let round = 0; round < 3; round++) {
      const outcomes = await engine.execute(
        inputs.map((values, i) => step(String(i), values, round === 0 ? { begin: begin() } : { seq: round * values.length + 1 })),
      );
      outcomes.forEach((outcome, i) => {
        const sent = Array.from({ length: round + 1 }, () => inputs[i]).flat();
        expect(outcome).toMatchObject({ applied: "yes", session: { seq: sent.length, steps: sent.length } });
        expect(valuesOf(outcome)).toEqual(alone(sent, inputs[i].length));
      });
    }
  });

  it("of a network are bit for bit what each is alone, also beside one whose records are not finite", async () => {
    const together = await open({ source: GRU });
    const apart = await open({ source: GRU });
    const row = (i: number, t: number) => Float64Array.from({ length: LOAD_FEATURES }, (_, c) => Math.sin(i * 7 + t * 3 + c));
    for (let t = 0; t < 4; t++) {
      const operations = [0, 1, 2, 3, 4].map((i): Operation => {
        const begin = t === 0 ? together.begin() : undefined;
        const poisoned = i === 2 && t === 2;
        return {
          kind: "step",
          key: key(String(i)),
          begin,
          input: { rows: poisoned ? row(i, t).fill(1e300) : row(i, t), count: 1 },
        };
      });
      const outcomes = await together.engine.execute(operations);
      for (const [i, operation] of operations.entries()) {
        const own = await apart.one(operation);
        expect(outcomes[i].error?.code).toBe(own.error?.code);
        expect(outcomes[i].predictions?.values).toEqual(own.predictions?.values);
      }
    }
  });
});

describe("a number", () => {
  it("is applied once: again with the same records it is answered as it was, with others it is refused", async () => {
    const { begin, one } = await open();
    await one({ kind: "create", key: key("a"), begin: begin() });
    const first = await one(step("a", [1, 2], { seq: 1 }));
    const second = await one(step("a", [3], { seq: 3 }));
    expect(await one(step("a", [3], { seq: 3 }))).toMatchObject({ repeated: true, count: 1, session: { seq: 3, steps: 3 } });
    expect(valuesOf(await one(step("a", [3], { seq: 3 })))).toEqual(valuesOf(second));
    expect(valuesOf(await one(step("a", [1, 2], { seq: 1 })))).toEqual(valuesOf(first));
    expect(await one(step("a", [4], { seq: 3 }))).toMatchObject({ applied: "no", error: { code: "OST_CONFLICT" } });
    expect(await one(step("a", [2], { seq: 2 }))).toMatchObject({ applied: "no", error: { code: "OST_STALE" }, expectedSeq: 4 });
    const next = await one(step("a", [4], { seq: 4 }));
    expect(next).toMatchObject({ repeated: false, session: { seq: 4, steps: 4 } });
    expect(valuesOf(next)).toEqual(alone([1, 2, 3, 4]));
  });

  it("that leaves a gap, of one too, is refused with the number that is next", async () => {
    const { begin, one } = await open();
    await one(step("a", [1], { begin: begin() }));
    for (const seq of [3, 4, 1000]) {
      expect(await one(step("a", [9], { seq }))).toMatchObject({ applied: "no", error: { code: "OST_GAP" }, expectedSeq: 2 });
    }
    expect(valuesOf(await one(step("a", [2], { seq: 2 })))).toEqual(alone([1, 2]));
  });
});

describe("a state", () => {
  it("begins afresh with a new incarnation at reset, START on a live session, and END and START", async () => {
    const { begin, one } = await open();
    const seen = new Set<number>();
    const incarnationOf = ({ session }: Outcome) => {
      const incarnation = session?.incarnation as number;
      expect(seen.has(incarnation)).toBe(false);
      seen.add(incarnation);
      return incarnation;
    };
    const first = incarnationOf(await one(step("a", [1, 2], { begin: begin() })));
    const second = incarnationOf(await one({ kind: "reset", key: key("a"), reason: "client" }));
    expect(valuesOf(await one(step("a", [3])))).toEqual(alone([3]));
    for (const incarnation of [first, second + 1000]) {
      expect(await one(step("a", [9], { incarnation }))).toMatchObject({ applied: "no", error: { code: "OST_STALE" } });
      expect(await one({ kind: "end", key: key("a"), incarnation })).toMatchObject({
        applied: "no",
        error: { code: "OST_STALE" },
      });
    }
    expect(valuesOf(await one(step("a", [4], { incarnation: second })))).toEqual(alone([3, 4]));
    const restarted = await one(step("a", [5], { begin: begin({ onLive: "restart" }) }));
    incarnationOf(restarted);
    expect(valuesOf(restarted)).toEqual(alone([5]));
    await one({ kind: "end", key: key("a") });
    const anew = await one(step("a", [6], { begin: begin() }));
    incarnationOf(anew);
    expect(valuesOf(anew)).toEqual(alone([6]));
  });

  it("is loaded as it was after sleep, and after it was put out of a full memory, written or not", async () => {
    const { engine, begin, one } = await open({ maxResident: 1, intervalRecords: 100 });
    for (const durability of ["durable", "interval", "none"] as const) {
      const [a, b] = [`${durability} a`, `${durability} b`];
      await one(step(a, [1], { begin: begin({ durability }) }));
      // The beginning is always written, the second step of an interval session is not yet.
      await one(step(a, [2], { seq: 2 }));
      await one({ kind: "hibernate", key: key(a) });
      expect(valuesOf(await one(step(a, [3], { seq: 3 })))).toEqual(alone([1, 2, 3]));
      await one(step(b, [5], { begin: begin({ durability }) }));
      await one(step(`${durability} c`, [6], { begin: begin({ durability }) }));
      await engine.tend();
      expect(valuesOf(await one(step(a, [4], { seq: 4 })))).toEqual(alone([1, 2, 3, 4]));
      expect(valuesOf(await one(step(b, [7], { seq: 2 })))).toEqual(alone([5, 7]));
    }
  });

  it("that gives nothing finite is refused, and the session is quarantined after three times in a row until it is reset", async () => {
    const { begin, one } = await open({ source: { model: new Diverging() } });
    await one(step("a", [1], { begin: begin() }));
    for (let i = 0; i < 3; i++) expect(await one(step("a", [DIVERGES]))).toMatchObject({ count: 0, error: { code: "OST_NAN" } });
    expect(await one(step("a", [2]))).toMatchObject({ applied: "no", error: { code: "OST_QUARANTINE" } });
    expect((await one({ kind: "get", key: key("a") })).session).toMatchObject({ status: "quarantined", seq: 1 });
    await one({ kind: "reset", key: key("a"), reason: "client" });
    for (const values of [[DIVERGES], [DIVERGES], [3], [DIVERGES], [DIVERGES]]) await one(step("a", values));
    expect(valuesOf(await one(step("a", [4])))).toEqual(alone([3, 4]));
  });

  it("belongs to its tenant: another's snapshot is refused, and nothing changes", async () => {
    const { begin, one } = await open();
    await one(step("a", [1, 2], { begin: begin() }));
    const { snapshot } = await one({ kind: "snapshot", key: key("a") });
    const foreign = key("a", "u");
    await one({ kind: "step", key: foreign, input: rows([7]), begin: begin() });
    const restore: Operation = { kind: "restore", key: foreign, snapshot: snapshot as Uint8Array };
    expect(await one(restore)).toMatchObject({ applied: "no", error: { code: "OST_SNAPSHOT" } });
    const create: Operation = { kind: "create", key: key("b", "u"), begin: begin({ snapshot: snapshot as Uint8Array }) };
    expect(await one(create)).toMatchObject({ applied: "no", error: { code: "OST_SNAPSHOT" } });
    expect(valuesOf(await one({ kind: "step", key: foreign, input: rows([8]) }))).toEqual(alone([7, 8]));
    await one({ kind: "restore", key: key("a"), snapshot: snapshot as Uint8Array });
    expect(valuesOf(await one(step("a", [3])))).toEqual(alone([1, 2, 3]));
  });

  it("answers none but its creator where only they may reach it", async () => {
    const { begin, one } = await open();
    await one(step("a", [1], { begin: begin({ creator: "ann" }) }));
    for (const operation of [step("a", [2]), { kind: "get", key: key("a") }, { kind: "end", key: key("a") }] as Operation[]) {
      expect(await one({ ...operation, creator: "bob" })).toMatchObject({ applied: "no", error: { code: "OST_SESSION" } });
    }
    expect(valuesOf(await one(step("a", [2], { creator: "ann" })))).toEqual(alone([1, 2]));
  });
});

describe("two servers on one store", () => {
  it("never overwrite each other: who was slower goes on from what the other left", async () => {
    const { begin, one, store } = await open();
    await one(step("a", [1], { begin: begin() }));
    let overtaken = false;
    store.before = async (writes) => {
      const write = writes.find((each) => each.key === key("a"));
      if (!write || overtaken) return;
      overtaken = true;
      const [held] = await store.load([key("a")]);
      if (held === null || !("seq" in held)) throw new Error("nothing was stored");
      // The other one's step: the same state under the next number.
      await store.asAnother([{ key: key("a"), expected: held, record: { ...held, seq: held.seq + 1 } }]);
    };
    expect(await one(step("a", [2], { seq: 2 }))).toMatchObject({ applied: "no", error: { code: "OST_STALE" }, expectedSeq: 3 });
    expect(await one(step("a", [3], { seq: 3 }))).toMatchObject({ applied: "yes", session: { seq: 3 } });
    expect(overtaken).toBe(true);
    const [held] = await store.load([key("a")]);
    expect(held).toMatchObject({ seq: 3 });
  });
});

describe("after a crash", () => {
  it("an interval session goes on only with a step that says its number; a durable one goes on", async () => {
    const store = new WatchedStore();
    const before = await open({ store, intervalRecords: 2 });
    for (const durability of ["interval", "durable"] as const) {
      await before.one(step(durability, [1, 2], { begin: before.begin({ durability }) }));
      await before.one(step(durability, [3]));
    }
    const { one } = await open({ store });
    expect(valuesOf(await one(step("durable", [4])))).toEqual(alone([1, 2, 3, 4]));
    expect(await one(step("interval", [4]))).toMatchObject({ applied: "no", error: { code: "OST_STATE_LOST" }, expectedSeq: 3 });
    expect(await one(step("interval", [4], { seq: 4 }))).toMatchObject({
      applied: "no",
      error: { code: "OST_GAP" },
      expectedSeq: 3,
    });
    expect(valuesOf(await one(step("interval", [3], { seq: 3 })))).toEqual(alone([1, 2, 3]));
    expect(valuesOf(await one(step("interval", [4])))).toEqual(alone([1, 2, 3, 4]));
  });

  it("a session that was kept in memory only is lost, and says so until it is ended", async () => {
    const store = new WatchedStore();
    const before = await open({ store });
    await before.one(step("a", [1, 2], { begin: before.begin({ durability: "none" }) }));
    const { begin, one } = await open({ store });
    for (const operation of [step("a", [3]), step("a", [3], { seq: 3 }), { kind: "get", key: key("a") }] as Operation[]) {
      expect(await one(operation)).toMatchObject({ applied: "no", error: { code: "OST_STATE_LOST" } });
    }
    expect(await one({ kind: "end", key: key("a") })).toMatchObject({ applied: "yes", error: null });
    expect(valuesOf(await one(step("a", [3], { begin: begin() })))).toEqual(alone([3]));
  });
});

describe("expiry", () => {
  it("goes by the server's own time of no use, which no change of the wall clock moves", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    let now = 1000;
    const { engine, begin, one } = await open({ now: () => now });
    const ttlMs = 1000;
    await one(step("a", [1], { begin: begin({ ttlMs }) }));
    vi.setSystemTime(Date.now() + 400 * 24 * 3_600_000);
    await engine.tend();
    for (let i = 2; i < 5; i++) {
      now += 900;
      await engine.tend();
      expect(await one(step("a", [i]))).toMatchObject({ applied: "yes", session: { seq: i } });
    }
    now += 1001;
    const ended = (await engine.tend()).flatMap(({ lifecycle }) => lifecycle);
    expect(ended).toMatchObject([{ kind: "expired", key: key("a") }]);
    expect(await one(step("a", [9]))).toMatchObject({ applied: "no", error: { code: "OST_SESSION" } });
  });
});

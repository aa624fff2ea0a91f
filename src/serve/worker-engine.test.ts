import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { CRASH_POINTS, type CrashPlan } from "../../test/support/crashing-engine-plan.js";
import { ProbeModel } from "../model/probe.js";
import type { NumericPrediction } from "../model/stream.js";
import type { Beginning, Operation, Outcome } from "./operation.js";
import { sessionKey } from "./session-key.js";
import { LmdbStore } from "./store-lmdb.js";
import { WorkerEngine, type WorkerEngineOptions } from "./worker-engine.js";

const program = new URL("../../test/support/crashing-engine-worker.ts", import.meta.url);
const opened: { close(): Promise<void> }[] = [];
const folders: string[] = [];

afterEach(async () => {
  for (const one of opened.splice(0)) await one.close().catch(() => {});
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "ostinato-worker-"));
  folders.push(folder);
  return folder;
}

async function start(options: Partial<WorkerEngineOptions> = {}): Promise<{ engine: WorkerEngine; version: string }> {
  const store = { kind: "lmdb", folder: newFolder(), durability: "process" } as const;
  const engine = await WorkerEngine.start({ store, ...options });
  opened.push(engine);
  const { version } = await engine.load({ probe: true });
  await engine.route("probe", { version, policy: "pin" });
  return { engine, version };
}

/** An engine whose thread dies by a plan, and how often it has. */
async function startDying(
  plan: Omit<CrashPlan, "counts"> & { skip?: number; deaths?: number },
  options: Partial<WorkerEngineOptions> = {},
) {
  const { skip = 0, deaths = 1, ...rest } = plan;
  const counts = new Int32Array(new SharedArrayBuffer(12));
  const faults: unknown[] = [];
  const programData: CrashPlan = { ...rest, counts: counts.buffer };
  const started = await start({ program, programData, onFault: (error) => faults.push(error), ...options });
  const arm = () => {
    counts[0] = skip;
    counts[1] = deaths;
  };
  return { ...started, arm, faults, deaths: () => counts[2] };
}

const key = (id: string) => sessionKey({ tenant: "t", model: "probe", id: { text: id } });

function beginning(version: string, durability: Beginning["durability"] = "process"): Beginning {
  const limits = { tenant: 1000, total: 1000 };
  return { version, durability, ttlMs: null, attributes: {}, creator: "c", onLive: "refuse", limits };
}

const create = (id: string, version: string): Operation => ({ kind: "create", key: key(id), begin: beginning(version) });
const step = (id: string, values: readonly number[], more: object = {}): Operation => ({
  kind: "step",
  key: key(id),
  input: { rows: Float64Array.from(values), count: values.length },
  ...more,
});

/** What a stream predicts that nothing disturbs. */
function alone(values: readonly number[]): number[] {
  const model = new ProbeModel();
  let state = model.initialState();
  return values.flatMap((value) => {
    const result = model.advance([{ row: model.readValues([value]), state }])[0] as {
      state: typeof state;
      predictions: NumericPrediction[];
    };
    state = result.state;
    return [...result.predictions[0].values];
  });
}

const valuesOf = (outcome: Outcome) => [...(outcome.predictions?.values ?? [])];

describe("an engine in a thread", () => {
  it("executes batches in order, several of them at once, and answers everything an engine answers", async () => {
    const { engine, version } = await start({ store: { kind: "memory" } });
    const [first] = await engine.execute([create("a", version)]);
    expect(first).toMatchObject({ applied: "yes", error: null, lifecycle: [{ kind: "created" }] });
    const batches = await Promise.all([1, 2, 3, 4, 5].map((value) => engine.execute([step("a", [value, value + 0.5])])));
    expect(batches.flatMap(([outcome]) => valuesOf(outcome))).toEqual(alone([1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5]));
    expect(batches.map(([outcome]) => outcome.session?.seq)).toEqual([2, 4, 6, 8, 10]);
    expect(await engine.list({ prefix: "t\n", limit: 10 })).toEqual([key("a")]);
    expect((await engine.status()).sessions).toMatchObject({ total: 1, byVersion: { [version]: 1 } });
    await expect(engine.unload(version)).rejects.toThrow(/OST_VERSION/);
    await expect(engine.load({ bytes: new Uint8Array(10) })).rejects.toThrow(/OST_MODEL_FILE/);
    expect(await engine.tend()).toEqual([]);
    await engine.close();
    await expect(engine.execute([step("a", [1])])).rejects.toThrow(/OST_CAPACITY/);
    await expect(engine.status()).rejects.toThrow(/OST_CAPACITY/);
  });

  it("says why it cannot start", async () => {
    const { engine } = await start({ store: { kind: "lmdb", folder: newFolder(), durability: "process" } });
    const store = { kind: "lmdb", folder: folders[0], durability: "process" } as const;
    await expect(WorkerEngine.start({ store })).rejects.toThrow(/OST_STORE/);
    await engine.close();
    const again = await WorkerEngine.start({ store });
    await again.close();
  });
});

describe("a thread that dies", () => {
  for (const way of ["throw", "exit", "hang", "memory"] as const) {
    for (const point of CRASH_POINTS) {
      it(`by ${way}, ${point}, loses and doubles nothing`, async () => {
        const limits = way === "memory" ? { memoryMb: 48 } : way === "hang" ? { hangMs: 700 } : {};
        const { engine, version, arm, faults, deaths } = await startDying({ point, way, skip: 5 }, limits);
        const ids = ["a", "b", "c", "d"];
        const created = await engine.execute(ids.map((id) => create(id, version)));
        expect(created.map(({ applied }) => applied)).toEqual(["yes", "yes", "yes", "yes"]);
        const got = new Map<string, number[]>(ids.map((id) => [id, []]));
        arm();
        // Two batches under way at any time, on different sessions.
        const feed = async (own: readonly string[]) => {
          for (let i = 0; i < 12; i++) {
            const outcomes = await engine.execute(own.map((id) => step(id, [i, -i])));
            outcomes.forEach((outcome, k) => {
              expect(outcome).toMatchObject({ applied: "yes", count: 2, error: null });
              expect(outcome.session?.seq).toBe(2 * i + 2);
              got.get(own[k])?.push(...valuesOf(outcome));
            });
          }
        };
        await Promise.all([feed(["a", "b"]), feed(["c", "d"])]);
        expect(deaths()).toBe(1);
        expect(faults.length).toBeGreaterThanOrEqual(1);
        const expected = alone(Array.from({ length: 12 }, (_, i) => [i, -i]).flat());
        for (const id of ids) expect(got.get(id)).toEqual(expected);
        expect((await engine.status()).recovered).toMatchObject({ sessions: 4, afterCrash: true });
      });
    }
  }

  it.each(CRASH_POINTS)("again and again, %s, loses and doubles nothing", async (point) => {
    const { engine, version, arm, deaths } = await startDying({ point, way: "exit", deaths: 2 });
    const ids = ["a", "b"];
    await engine.execute(ids.map((id) => create(id, version)));
    const got: number[][] = [[], []];
    for (let i = 0; i < 12; i++) {
      if (i % 4 === 1) arm();
      const outcomes = await Promise.all(ids.map((id) => engine.execute([step(id, [i])])));
      outcomes.forEach(([outcome], k) => {
        expect(outcome).toMatchObject({ applied: "yes", error: null, session: { seq: i + 1 } });
        got[k].push(...valuesOf(outcome));
      });
    }
    expect(deaths()).toBe(6);
    const expected = alone(Array.from({ length: 12 }, (_, i) => i));
    expect(got).toEqual([expected, expected]);
  });

  it.each(CRASH_POINTS)("%s: creates, resets, restores and ends are done once", async (point) => {
    const { engine, version, arm, deaths } = await startDying({ point, way: "exit", deaths: 1 });
    const [{ session: before }] = await engine.execute([{ ...step("r", [1, 2]), begin: beginning(version) } as Operation]);
    const [{ snapshot }] = await engine.execute([{ kind: "snapshot", key: key("r") }]);
    await engine.execute([create("e", version)]);
    arm();
    const [created, reset, ended] = await engine.execute([
      create("n", version),
      { kind: "reset", key: key("r"), reason: "client", incarnation: before?.incarnation },
      { kind: "end", key: key("e") },
    ]);
    expect(deaths()).toBe(1);
    expect([created.error, reset.error, ended.error]).toEqual([null, null, null]);
    expect(created.session).toMatchObject({ seq: 0 });
    expect(reset.session).toMatchObject({ seq: 2, resets: 1, steps: 0 });
    arm();
    const [restored] = await engine.execute([{ kind: "restore", key: key("r"), snapshot: snapshot as Uint8Array }]);
    expect(restored).toMatchObject({ error: null, session: { seq: 2, resets: 1, steps: 2 } });
    expect(deaths()).toBe(2);
    const [next] = await engine.execute([step("r", [3])]);
    expect(valuesOf(next)).toEqual(alone([1, 2, 3]).slice(-2));
    expect((await engine.status()).sessions.total).toBe(2);
  });

  it("gives up the one operation that kills it, and does the others of its batch once", async () => {
    const { engine, version, arm, deaths } = await startDying({
      point: "before compute",
      way: "exit",
      deaths: 1000,
      key: key("killer"),
    });
    const ids = ["a", "killer", "b"];
    await engine.execute(ids.map((id) => create(id, version)));
    arm();
    const [[a, killer, b], [c]] = await Promise.all([
      engine.execute(ids.map((id) => step(id, [7], { seq: 1 }))),
      engine.execute([{ ...step("c", [8]), begin: beginning(version) } as Operation]),
    ]);
    expect([a, b, c].map((outcome) => [outcome.applied, outcome.error, outcome.session?.seq])).toEqual([
      ["yes", null, 1],
      ["yes", null, 1],
      ["yes", null, 1],
    ]);
    expect(killer).toMatchObject({ count: 0, error: { code: "OST_INTERNAL" } });
    // Nobody can be asked about a session whose every use kills.
    expect(killer.applied).toBe("unknown");
    expect(deaths()).toBeGreaterThanOrEqual(4);
    expect(deaths()).toBeLessThanOrEqual(6);
    const [again] = await engine.execute([step("a", [9], { seq: 2 })]);
    expect(valuesOf(again)).toEqual(alone([7, 9]).slice(-2));
  });

  it("says that an operation was not applied where the store says so", async () => {
    const { engine, version, arm } = await startDying({ point: "before commit", way: "exit", deaths: 1000, key: key("k") });
    await engine.execute([create("k", version)]);
    arm();
    const [outcome] = await engine.execute([step("k", [7], { seq: 1 })]);
    expect(outcome).toMatchObject({ applied: "no", error: { code: "OST_INTERNAL" }, session: { seq: 0 } });
  });

  it("ends with a trap of the kernels as with any other fault", async () => {
    const { engine, version, arm, faults } = await startDying({ point: "before compute", way: "trap" });
    await engine.execute([create("a", version)]);
    arm();
    const [outcome] = await engine.execute([step("a", [1])]);
    expect(outcome).toMatchObject({ applied: "yes", error: null, repeated: false });
    expect(String(faults[0])).toContain("unreachable");
  });

  it("keeps nobody waiting while no other can begin, and goes on when one can", async () => {
    const { engine, version, arm } = await startDying(
      { point: "before reply", way: "exit" },
      {
        onFault: (error) => {
          // Somebody else takes the folder in the moment of the death.
          if (String(error).includes("exit code")) taken = LmdbStore.open({ folder: folders[0], durability: "process" });
        },
      },
    );
    let taken: Promise<LmdbStore> | undefined;
    await engine.execute([create("a", version)]);
    arm();
    const [step1, status] = await Promise.allSettled([engine.execute([step("a", [1], { seq: 1 })]), engine.status()]);
    expect(step1).toMatchObject({ value: [{ applied: "unknown", error: { code: "OST_CAPACITY" } }] });
    expect(status).toMatchObject({ reason: { code: "OST_CAPACITY" } });
    expect((await engine.execute([step("a", [2], { seq: 2 })]))[0]).toMatchObject({
      applied: "no",
      error: { code: "OST_CAPACITY" },
    });
    expect(await engine.healthy()).toBe(false);
    await (await taken)?.close();
    await expect.poll(() => engine.healthy(), { timeout: 20_000, interval: 100 }).toBe(true);
    const [again] = await engine.execute([step("a", [1], { seq: 1 })]);
    expect(again).toMatchObject({ applied: "yes", repeated: true, error: null, session: { seq: 1 } });
    expect(valuesOf(again)).toEqual(alone([1]));
  });

  it("answers status and list again, and comes back with every model and name", async () => {
    const { engine, version, arm } = await startDying({ point: "before compute", way: "exit" });
    await engine.execute([create("a", version)]);
    arm();
    const [[outcome], status, keys] = await Promise.all([
      engine.execute([step("a", [1])]),
      engine.status(),
      engine.list({ prefix: "t\n", limit: 5 }),
    ]);
    expect(outcome.applied).toBe("yes");
    expect(status.sessions.total).toBe(1);
    expect(keys).toContain(key("a"));
    await expect(engine.unload(version)).rejects.toThrow(/OST_VERSION/);
  });
});

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { decodeModel, encodeModel } from "../model/file.js";
import type { NumericPrediction, StreamState } from "../model/stream.js";
import type { Store } from "../protocol/store.js";
import type { ModelSource, ModelVersion, SwapPolicy } from "./engine.js";
import { ModelRegistry, type ModelRegistryOptions } from "./model-registry.js";
import { openVersion } from "./model-version.js";
import type { Beginning, Operation, Outcome } from "./operation.js";
import { SessionEngine } from "./session-engine.js";
import { sessionKey } from "./session-key.js";
import { MemoryStore } from "./store-memory.js";

const golden = (stem: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../test/golden/model-files/${stem}.safetensors`, import.meta.url)));
const first = golden("v1-tag-gru-carried");
/** The same architecture with other weights: the same state schema. */
const second = retrained(first, 0.5);
const third = retrained(first, -0.25);
/** Reads windows: another state schema. */
const foreign = golden("v1-tag-gru-carried-mlp-window-8");
const actor = "tester";

function retrained(file: Uint8Array, factor: number): Uint8Array {
  const { header, arrays } = decodeModel(file);
  for (const { data } of Object.values(arrays)) for (let i = 0; i < data.length; i++) data[i] *= factor;
  return encodeModel(header, arrays);
}

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "ostinato-models-"));
  folders.push(folder);
  return folder;
}

/** Opens in this thread: `model-check.test.ts` holds that the other one finds the same. */
const check = async (source: ModelSource): Promise<ModelVersion> => (await openVersion(source)).facts;

async function begin(options: Partial<ModelRegistryOptions> & { store?: Store } = {}) {
  const { store = new MemoryStore(), ...rest } = options;
  const engine = await SessionEngine.open({ store });
  const news: unknown[][] = [];
  const observer = {
    model: (change: string, facts: { name: string; policy?: string; actor: string }) => {
      news.push([change, facts.name, facts.policy, facts.actor]);
    },
  };
  const registry = await ModelRegistry.open({ engine, folder: null, check, observer, ...rest });
  return { engine, registry, news, store };
}

/** A store that outlives the engine which closes it. */
function lasting(): Store {
  const store = new MemoryStore();
  return Object.assign(store, { close: async () => {}, flush: async () => {} });
}

const key = (id: string, model = "m") => sessionKey({ tenant: "t", model, id: { text: id } });

function create(id: string, version: string): Operation {
  const limits = { tenant: 100, total: 100 };
  const begin: Beginning = {
    version,
    durability: "process",
    ttlMs: null,
    attributes: {},
    creator: "c",
    onLive: "refuse",
    limits,
  };
  return { kind: "create", key: key(id), begin };
}

const { columns } = await check({ bytes: first });
const rowAt = (t: number) => Float64Array.from(columns, (_, c) => (c === 0 ? 60_000 * t : Math.sin(t + c)));
const step = (id: string, t: number): Operation => ({ kind: "step", key: key(id), input: { rows: rowAt(t), count: 1 } });
const valuesOf = (outcome: Outcome) => [...(outcome.predictions?.values ?? [])];

/** What models predict of rows one after another, where a change of the model keeps the state or begins afresh. */
async function alone(parts: readonly { bytes: Uint8Array; from: number; to: number }[], keepsState = true): Promise<number[][]> {
  let state: StreamState | null = null;
  const predictions: number[][] = [];
  for (const { bytes, from, to } of parts) {
    const { model } = await openVersion({ bytes });
    if (state === null || !keepsState) state = model.initialState();
    for (let t = from; t < to; t++) {
      const result = model.advance([{ row: model.readValues(rowAt(t)), state }])[0] as {
        state: StreamState;
        predictions: NumericPrediction[];
      };
      state = result.state;
      predictions.push([...result.predictions[0].values]);
    }
  }
  return predictions;
}

describe("serving models under names", () => {
  it("loads, names and lists them, and tells who did it", async () => {
    const { registry, news } = await begin();
    const facts = await registry.load("m", { bytes: first }, { actor });
    expect(registry.model("m")).toEqual({ name: "m", current: facts, others: [] });
    await registry.alias("alias", facts.version, { actor });
    await registry.load("p", { probe: true }, { actor });
    expect(registry.list().map(({ name }) => name)).toEqual(["m", "alias", "p"]);
    const next = await registry.load("m", { bytes: second }, { actor, policy: "carry" });
    expect(registry.model("m").current.version).toBe(next.version);
    expect(registry.model("m").others).toMatchObject([{ version: facts.version }]);
    expect(news).toEqual([
      ["loaded", "m", undefined, actor],
      ["loaded", "p", undefined, actor],
      ["loaded", "m", undefined, actor],
      ["swapped", "m", "carry", actor],
    ]);
  });

  it("refuses names and models that are none", async () => {
    const { registry } = await begin();
    for (const name of ["", "a/b", "a\nb", "x".repeat(101), "\ud800"]) {
      expect(() => registry.load(name, { probe: true }, { actor })).toThrow(/OST_RANGE/);
    }
    expect(() => registry.model("m")).toThrow(/OST_MODEL /);
    await expect(registry.load("m", { bytes: first.slice(0, 99) }, { actor })).rejects.toThrow(/OST_MODEL_FILE/);
    await expect(registry.alias("m", "0".repeat(64), { actor })).rejects.toThrow(/OST_VERSION/);
    expect(registry.list()).toEqual([]);
  });

  it.each(["pin", "reset", "carry"] as const)("swaps under traffic by %s", async (policy: SwapPolicy) => {
    const { engine, registry } = await begin();
    const old = await registry.load("m", { bytes: first }, { actor });
    await engine.execute([create("a", old.version)]);
    const got: number[][] = [];
    const versions: (string | undefined)[] = [];
    let swap: Promise<ModelVersion> | undefined;
    for (let t = 0; t < 40; t++) {
      if (t === 10) swap = registry.load("m", { bytes: second }, { actor, policy });
      const [outcome] = await engine.execute([step("a", t)]);
      expect(outcome.error).toBeNull();
      got.push(valuesOf(outcome));
      versions.push(outcome.session?.version);
      if (t === 20) await swap;
    }
    const next = (await swap) as ModelVersion;
    const moved = versions.indexOf(next.version);
    if (policy === "pin") {
      expect(moved).toBe(-1);
      expect(got).toEqual(await alone([{ bytes: first, from: 0, to: 40 }]));
      return;
    }
    expect(moved).toBeGreaterThan(9);
    expect(moved).toBeLessThan(22);
    expect(versions.slice(moved).every((version) => version === next.version)).toBe(true);
    const parts = [
      { bytes: first, from: 0, to: moved },
      { bytes: second, from: moved, to: 40 },
    ];
    expect(got).toEqual(await alone(parts, policy === "carry"));
    // The two policies are told apart by their numbers.
    expect(got).not.toEqual(await alone(parts, policy !== "carry"));
  });

  it("refuses to carry states on to a model that they do not fit, and serves on what it served", async () => {
    const { engine, registry } = await begin();
    const old = await registry.load("m", { bytes: first }, { actor });
    await engine.execute([create("a", old.version)]);
    await expect(registry.load("m", { bytes: foreign }, { actor, policy: "carry" })).rejects.toThrow(/OST_VERSION/);
    expect(registry.model("m")).toMatchObject({ current: { version: old.version }, others: [] });
    expect((await engine.execute([step("a", 0)]))[0].session?.version).toBe(old.version);
  });
});

describe("versions that are not served any more", () => {
  it("stay while sessions are pinned to them, and go when they have been unused for a while", async () => {
    let now = 0;
    const folder = newFolder();
    const { engine, registry, news } = await begin({ folder, keepUnusedMs: 100, now: () => now });
    const old = await registry.load("m", { bytes: first }, { actor });
    await engine.execute([create("a", old.version)]);
    const next = await registry.load("m", { bytes: second }, { actor });
    await expect(registry.unload(old.version, { actor })).rejects.toThrow(/OST_VERSION/);
    await expect(registry.unload(next.version, { actor })).rejects.toThrow(/OST_VERSION/);
    for (now = 0; now < 1000; now += 60) await registry.tend();
    expect(registry.model("m").others).toMatchObject([{ version: old.version }]);
    expect((await engine.execute([step("a", 0)]))[0].error).toBeNull();
    await engine.execute([{ kind: "end", key: key("a") }]);
    await registry.tend();
    now += 99;
    await registry.tend();
    expect(registry.model("m").others).toMatchObject([{ version: old.version }]);
    now += 1;
    await registry.tend();
    expect(registry.model("m").others).toEqual([]);
    expect(news.at(-1)).toEqual(["unloaded", "m", undefined, "server"]);
    expect(readdirSync(folder).sort()).toEqual([`${next.version}.json`, `${next.version}.safetensors`]);
    expect((await engine.execute([create("b", old.version)]))[0].error?.code).toBe("OST_VERSION");
  });

  it("leave during traffic without a step being lost", async () => {
    const { engine, registry } = await begin();
    const old = await registry.load("m", { bytes: first }, { actor });
    await engine.execute([create("a", old.version), create("b", old.version)]);
    await registry.load("m", { bytes: second }, { actor, policy: "carry" });
    let unloaded = false;
    for (let t = 0; t < 30; t++) {
      const tried = registry.unload(old.version, { actor }).then(
        () => {
          unloaded = true;
        },
        (error) => expect(error.code).toBe("OST_VERSION"),
      );
      // "b" moves on to the new version at its first step only.
      const outcomes = await engine.execute(t < 15 ? [step("a", t)] : [step("a", t), step("b", t)]);
      await tried;
      expect(outcomes.map(({ error }) => error)).toEqual(outcomes.map(() => null));
      if (t < 15) expect(unloaded).toBe(false);
    }
    expect(unloaded).toBe(true);
  });
});

describe("a restart", () => {
  it("finds every version that sessions are pinned to, and no other", async () => {
    const [folder, store] = [newFolder(), lasting()];
    const before = await begin({ folder, store });
    const old = await before.registry.load("m", { bytes: first, weights: "bfloat16" }, { actor });
    await before.engine.execute([create("a", old.version)]);
    const lived = valuesOf((await before.engine.execute([step("a", 0)]))[0]);
    const unused = await before.registry.load("m", { bytes: second }, { actor });
    const last = await before.registry.load("m", { bytes: third }, { actor });
    await before.engine.execute([create("b", last.version)]);
    await before.engine.close();
    writeFileSync(join(folder, "notes.txt"), "not ours");

    const after = await begin({ folder, store });
    expect(after.registry.missing).toEqual([]);
    expect(existsSync(join(folder, `${unused.version}.safetensors`))).toBe(false);
    expect(existsSync(join(folder, "notes.txt"))).toBe(true);
    await after.registry.load("m", { bytes: third }, { actor });
    expect(after.registry.model("m")).toMatchObject({ current: { version: last.version }, others: [{ version: old.version }] });
    const [a] = await after.engine.execute([step("a", 1)]);
    expect(a).toMatchObject({ error: null, session: { version: old.version, seq: 2 } });
    expect([lived, valuesOf(a)]).not.toEqual(await alone([{ bytes: first, from: 0, to: 2 }]));
    const { model } = await openVersion({ bytes: first, weights: "bfloat16" });
    let state = model.initialState();
    for (const [t, values] of [lived, valuesOf(a)].entries()) {
      const result = model.advance([{ row: model.readValues(rowAt(t)), state }])[0] as {
        state: StreamState;
        predictions: NumericPrediction[];
      };
      expect(values).toEqual([...result.predictions[0].values]);
      state = result.state;
    }
  });

  it("takes a damaged copy for none, and says what is missing", async () => {
    const [folder, store] = [newFolder(), lasting()];
    const before = await begin({ folder, store });
    const old = await before.registry.load("m", { bytes: first }, { actor });
    await before.engine.execute([create("a", old.version)]);
    await before.engine.close();
    const path = join(folder, `${old.version}.safetensors`);
    const bytes = readFileSync(path);
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(path, bytes);
    const after = await begin({ folder, store });
    expect(after.registry.missing).toEqual([old.version]);
    await after.registry.load("m", { bytes: second }, { actor });
    expect((await after.engine.execute([step("a", 0)]))[0].error?.code).toBe("OST_VERSION");
  });

  it("says why copies cannot be kept, and serves nothing that it could not find again", async () => {
    const file = join(newFolder(), "file");
    writeFileSync(file, "");
    await expect(begin({ folder: file })).rejects.toThrow(/OST_FILE/);
    const folder = newFolder();
    const { registry, engine } = await begin({ folder });
    rmSync(folder, { recursive: true });
    await expect(registry.load("m", { bytes: first }, { actor })).rejects.toThrow(/OST_FILE/);
    expect(registry.list()).toEqual([]);
    expect((await engine.status()).sessions.total).toBe(0);
  });
});

/** @file For every code one real way to meet it; `docs/reference/errors.md` shows the messages that come of it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createPlainServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { auditLogVerifyCommand } from "../../src/cli/audit-log.js";
import { type ErrorCode, OstinatoError } from "../../src/core/errors.js";
import { seed } from "../../src/core/rng.js";
import { tableFromRecords, windows } from "../../src/data/index.js";
import { readTable } from "../../src/data/read/index.js";
import { recordToRow } from "../../src/data/record.js";
import { ReferenceKernels, WasmKernels } from "../../src/kernels/index.js";
import { mse } from "../../src/losses/index.js";
import { loadModel } from "../../src/model/load-file.js";
import { decodeSnapshot, encodeSnapshot } from "../../src/model/snapshot.js";
import { Linear, LSTM } from "../../src/nn/index.js";
import { Adam } from "../../src/optim/index.js";
import { errorBody } from "../../src/protocol/index.js";
import { createAuthenticator } from "../../src/serve/auth.js";
import type { ModelVersion } from "../../src/serve/engine.js";
import { createServer, ownerOf, type Principal, SCOPES, type Server, type ServerOptions } from "../../src/serve/index.js";
import { infer } from "../../src/serve/oip-infer.js";
import { InferenceStatistics } from "../../src/serve/oip-statistics.js";
import { parseSteps } from "../../src/serve/request.js";
import { SessionEngine } from "../../src/serve/session-engine.js";
import { sessionKey } from "../../src/serve/session-key.js";
import type { Request } from "../../src/serve/sessions.js";
import { LmdbStore } from "../../src/serve/store-lmdb.js";
import { MemoryStore } from "../../src/serve/store-memory.js";
import { parseConfig, prepareExperiment } from "../../src/tasks/index.js";
import { integers, scope, tensor, zeros } from "../../src/tensor/index.js";
import { encodeCheckpoint, train, trainStep } from "../../src/train/index.js";
import { ProbeModel } from "./probe-model.js";

const DATA = {
  source: "load.csv",
  time: "time",
  features: ["kw"],
  target: ["kw"],
  split: { by: "time", train: 0.7, validation: 0.15, test: 0.15 },
};
const CONFIG = { task: "forecast", data: DATA, window: { length: 4, horizon: 2 } };

function load(rows: number, change: (i: number) => object = () => ({})) {
  const minute = (i: number) => new Date(Date.UTC(2024, 0, 1, 0, i)).toISOString();
  const records = Array.from({ length: rows }, (_, i) => ({ time: minute(i), kw: Math.sin(i), ...change(i) }));
  return tableFromRecords(records, { source: "load.csv" });
}

function prepared(data: object, table = load(60), top: object = {}) {
  return prepareExperiment(parseConfig({ ...CONFIG, ...top, data: { ...DATA, ...data } }, "ostinato.yaml"), table).prepared;
}

const layer = () => new LSTM(8, 16, { rng: seed(1) });
const principal: Principal = { tenant: "plant", subject: "key 1", scopes: new Set(SCOPES) };
const request: Request = { principal, protocol: "rest" };
const meter = (text: string) => ({ model: "load", id: { text } });
const one = { records: [{ value: 1 }] };

/** A server with one session, meter-17, of one step. */
async function withSession(run: (server: Server) => unknown, options: Partial<ServerOptions> = {}): Promise<void> {
  const models = new Map([["load", new ProbeModel("load")]]);
  const server = await createServer({ models, sentinel: false, logger: false, scheduler: { gapHoldMs: 0 }, ...options });
  try {
    await server.sessions.create(request, "load", { id: { text: "meter-17" } });
    await run(server);
  } finally {
    await server.close();
  }
}

/** Its state is never finite. */
class Overflowing extends ProbeModel {
  override advance(items: Parameters<ProbeModel["advance"]>[0]): ReturnType<ProbeModel["advance"]> {
    return items.map(() => new OstinatoError("OST_NAN", { what: "the state is not finite" }));
  }
}

/** The engine before and the engine after a restart, on one store. */
async function afterRestart(): Promise<void> {
  const store = new MemoryStore();
  const [before, model] = [await SessionEngine.open({ store }), new ProbeModel("load")];
  const { version } = await before.load({ model });
  const key = sessionKey({ tenant: "plant", ...meter("meter-17") });
  const begin = { version, durability: "none", ttlMs: null, attributes: {}, creator: "key 1", onLive: "refuse" } as const;
  await before.execute([{ kind: "create", key, begin: { ...begin, limits: { tenant: 1, total: 1 } } }]);
  const after = await SessionEngine.open({ store });
  await after.load({ model });
  const [{ error }] = await after.execute([{ kind: "step", key, input: one }]);
  throw Object.assign(new Error(), error);
}

/** A log with a line that was changed afterwards. */
async function tampered(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ostinato-errors-"));
  try {
    const path = join(folder, "audit.jsonl");
    await withSession(() => {}, { data: folder });
    writeFileSync(path, readFileSync(path, "utf8").replace('"plant"', '"other"'));
    await auditLogVerifyCommand(path, { quiet: true });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function withFile(name: string, content: string | Uint8Array, run: (path: string) => Promise<unknown>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ostinato-errors-"));
  try {
    writeFileSync(join(folder, name), content);
    await run(join(folder, name));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function withPortInUse(run: (port: number) => Promise<unknown>): Promise<void> {
  const other = createPlainServer();
  const port = await new Promise<number>((resolve) =>
    other.listen(0, "127.0.0.1", () => resolve((other.address() as { port: number }).port)),
  );
  try {
    await run(port);
  } finally {
    other.close();
  }
}

/** The message of a code's sample, with the names of this machine's temporary folder and port replaced by plain ones. */
export async function sampleMessage(code: ErrorCode): Promise<string> {
  try {
    await ERROR_SAMPLES[code]();
  } catch (error) {
    const { message } = error as Error;
    return message.replace(/\S*ostinato-errors-\w+\W/g, "").replace(/127\.0\.0\.1:\d+/g, "127.0.0.1:8787");
  }
  throw new Error(`the sample of ${code} did not throw`);
}

/** Each throws, or rejects with, an error of its code. */
export const ERROR_SAMPLES: Record<ErrorCode, () => unknown> = {
  OST_USAGE: () => createServer({ models: new Map(), host: "0.0.0.0" }),
  OST_CONFIG: () => parseConfig({ ...CONFIG, train: { epoch: 3 } }, "ostinato.yaml"),
  OST_FILE: () => readTable("laod.csv"),
  OST_FORMAT: () => withFile("load.csv", "time,kw\n2024-01-01,1\n2024-01-02,1,2\n", (path) => readTable(path)),
  OST_COLUMN: () => prepared({ target: ["kwh"] }),
  OST_VALUE: () =>
    prepared(
      {},
      load(60, (i) => (i === 11 ? { kw: "high" } : {})),
    ),
  OST_MISSING: () =>
    prepared(
      {},
      load(60, (i) => (i % 20 === 11 ? { kw: null } : {})),
    ),
  OST_ORDER: () =>
    prepared(
      {},
      load(60, (i) => (i === 11 ? { time: "2024-01-01T00:05:00Z" } : {})),
    ),
  OST_SPLIT: () => prepared({ split: { by: "time", rows: [40, 20, 20] } }),
  OST_WINDOW: () => windows(prepared({}), { length: 96, horizon: 24, part: "validation" }),
  OST_TARGET: () =>
    prepared(
      { target: "mode" },
      load(60, () => ({ mode: "idle" })),
      { task: "tag" },
    ),
  OST_SHAPE: () => scope(() => layer().forward(zeros([32, 100, 6]))),
  OST_LENGTH: () => scope(() => layer().forward(zeros([2, 10, 8]), { lengths: integers([10, 11], [2]) })),
  OST_RANGE: () => new LSTM(8, 0, { rng: seed(1) }),
  OST_DTYPE: () => scope(() => integers([1, 2], [2]).add(zeros([2]))),
  OST_ENGINE: () => {
    const [engine, other] = [WasmKernels.create(), new ReferenceKernels("float32")];
    return scope(() => zeros([2], { engine }).add(zeros([2], { engine: other })));
  },
  OST_MEMORY: () => {
    const kept: { value?: ReturnType<typeof zeros> } = {};
    scope(() => {
      kept.value = zeros([2]).add(zeros([2]));
    });
    return kept.value?.toArray();
  },
  OST_GRADIENT: () => scope(() => zeros([]).backward()),
  OST_NAN: () => {
    const model = new Linear(2, 1, { rng: seed(1) });
    const broken = tensor([0.5, Number.NaN], [1, 2]);
    return trainStep({
      optimizer: new Adam(model.parameters()),
      objective: () => ({ loss: mse(model.forward(broken), zeros([1, 1])) }),
      rng: seed(1),
    });
  },
  OST_CHECKPOINT: async () => {
    const model = layer();
    const progress = { fingerprint: "8f3c1a9e22b7", epoch: 0, cursor: 0, step: 0, seconds: 0, rng: seed(1).state };
    const rest = { engines: [], learningRate: 0, optimizerStep: 0, schedule: {}, best: null, waited: 0, finished: false };
    const bytes = encodeCheckpoint({
      progress: { ...progress, ...rest, epochLoss: { total: 0, count: 0, clipped: 0 } },
      model: new Map(),
      optimizer: new Map(),
      best: new Map(),
      carried: new Map(),
    });
    const checkpoint = { load: async () => bytes, save: async () => {} };
    const options = { data: () => [], objective: () => ({ loss: zeros([]) }), epochs: 1, checkpoint, resume: true };
    await train(model, { ...options, optimizer: new Adam(model.parameters()), fingerprint: "51d07bc4e610" });
  },
  OST_MODEL_FILE: () => withFile("model.safetensors", new Uint8Array(20).fill(7), (path) => loadModel(path)),
  OST_CAUSAL: () => parseConfig({ ...CONFIG, model: { bidirectional: true } }, "ostinato.yaml"),
  OST_SNAPSHOT: () => {
    const state = { preprocessing: new Float64Array(1), model: new Float32Array(4), steps: 12, entity: null };
    const bytes = encodeSnapshot(state, { model: "5b1d9c3f70aa", owner: "meter-17" });
    return decodeSnapshot(bytes, { model: "c2947a10be55", owner: "meter-17", preprocessing: 1, state: 4 });
  },
  OST_OWNER: () => ownerOf(undefined),
  OST_SESSION: () => withSession(({ sessions }) => sessions.get(request, meter("meter-18"))),
  OST_START: () =>
    withSession(({ sessions }) => {
      const input = { name: "input", datatype: "FP32", shape: [1, 1, 1], data: { values: [1] } };
      const parameters = new Map([["sequence_id", "meter-18"]]);
      const ask = { model: "load", version: "", id: "", parameters, inputs: () => [input] };
      return infer(sessions, request, { ask, statistics: new InferenceStatistics() });
    }),
  OST_STATE_LOST: () => afterRestart(),
  OST_EXISTS: () => withSession(({ sessions }) => sessions.create(request, "load", { id: { text: "meter-17" } })),
  OST_STALE: () =>
    withSession(async ({ sessions }) => {
      await sessions.reset(request, meter("meter-17"));
      await sessions.step(request, meter("meter-17"), { input: one, incarnation: 1 });
    }),
  OST_GAP: () => withSession(({ sessions }) => sessions.step(request, meter("meter-17"), { input: one, seq: 3 })),
  OST_CONFLICT: () =>
    withSession(async ({ sessions }) => {
      await sessions.step(request, meter("meter-17"), { input: one, seq: 1 });
      await sessions.step(request, meter("meter-17"), { input: { records: [{ value: 2 }] }, seq: 1 });
    }),
  OST_QUARANTINE: () =>
    withSession(
      async ({ sessions }) => {
        await sessions.step(request, meter("meter-17"), { input: one }).catch(() => {});
        await sessions.step(request, meter("meter-17"), { input: one });
      },
      { models: new Map([["load", new Overflowing("load")]]), engine: { quarantineAfter: 1 } },
    ),
  OST_REQUEST: () => parseSteps({ record: { kw: 1 }, sequence: 4 }, { columns: ["kw"] } as unknown as ModelVersion),
  OST_MODEL: () => withSession(({ sessions }) => sessions.model("laod")),
  OST_VERSION: () => withSession(({ engine, sessions }) => engine.unload(sessions.model("load").current.version)),
  OST_CREDENTIAL: () =>
    withFile("keys.yaml", "[]\n", (path) => createAuthenticator({ keys: path }).authenticate({}, { remoteAddress: "127.0.0.1" })),
  OST_SCOPE: () =>
    withSession(({ sessions }) =>
      sessions.snapshot({ ...request, principal: { ...principal, scopes: new Set(["step"] as const) } }, meter("meter-17")),
    ),
  OST_RATE: () =>
    withSession(({ sessions }) => sessions.create(request, "load", { id: { text: "meter-18" } }), {
      limits: { all: { liveSessions: 1 } },
    }),
  OST_STORE: () =>
    withFile("data.mdb", "", async (path) => {
      const folder = dirname(path);
      const first = await LmdbStore.open({ folder, durability: "durable" });
      await LmdbStore.open({ folder, durability: "durable" }).finally(() => first.close());
    }),
  OST_DEADLINE: () =>
    withSession(({ sessions }) => sessions.step({ ...request, signal: AbortSignal.abort() }, meter("meter-17"), { input: one })),
  OST_AUDIT: () => tampered(),
  OST_CAPACITY: () =>
    withSession(({ sessions }) => sessions.create(request, "load", { id: { text: "meter-18" } }), {
      sessions: { maxSessions: 1 },
    }),
  OST_RECORD: () => recordToRow({ time: "2024-01-01T00:00:00Z", kW: 1.5 }, { time: "time", features: ["kw"] }),
  OST_PORT: () =>
    withPortInUse(async (port) => {
      const server = await createServer({ models: new Map(), port, logger: false });
      return server.listen().finally(() => server.close());
    }),
  OST_INTERNAL: () => {
    throw Object.assign(new Error(), { ...errorBody(new TypeError("x is not a function")).error });
  },
};

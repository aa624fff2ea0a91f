/** @file For every code one real way to meet it; `docs/reference/errors.md` shows the messages that come of it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createPlainServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ErrorCode } from "../../src/core/errors.js";
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
import { createServer, ownerOf, SessionStore } from "../../src/serve/index.js";
import { parseSteps } from "../../src/serve/request.js";
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
const owner = ownerOf("a-long-random-key");

async function withSession(run: (store: SessionStore) => unknown): Promise<void> {
  const store = new SessionStore({ models: new Map([["load", new ProbeModel("load")]]), maxSessions: 1 });
  store.create(owner, { model: "load", id: "meter-17" });
  await run(store);
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
  OST_SESSION: () => withSession((store) => store.step(owner, "meter-18", { records: [{ value: 1 }] })),
  OST_EXISTS: () => withSession((store) => store.create(owner, { model: "load", id: "meter-17" })),
  OST_SEQUENCE: () => withSession((store) => store.step(owner, "meter-17", { records: [{ value: 1 }], seq: 3 })),
  OST_REQUEST: () => parseSteps({ record: { kw: 1 }, sequence: 4 }),
  OST_MODEL: () => withSession((store) => store.create(owner, { model: "laod", id: "meter-18" })),
  OST_CAPACITY: () => withSession((store) => store.create(owner, { model: "load", id: "meter-18" })),
  OST_RECORD: () => recordToRow({ time: "2024-01-01T00:00:00Z", kW: 1.5 }, { time: "time", features: ["kw"] }),
  OST_PORT: () =>
    withPortInUse((port) => {
      const server = createServer({ models: new Map(), port });
      return server.listen().finally(() => server.close());
    }),
  OST_INTERNAL: () => {
    throw Object.assign(new Error(), { ...errorBody(new TypeError("x is not a function")).error });
  },
};

import { afterEach, describe, expect, it } from "vitest";
import { type ReplicaDescription, replicaObjective } from "../../test/support/gradient-replica.js";
import { NATIVE_ENGINES } from "../../test/support/native-engines.js";
import type { Batch } from "../core/batch.js";
import { type Rng, seed } from "../core/rng.js";
import { type Kernels, ReferenceKernels, WasmKernels } from "../kernels/index.js";
import { recurrentSpec } from "../model/index.js";
import { RecurrentNetwork } from "../nn/index.js";
import { AdamW } from "../optim/index.js";
import { type CheckpointStore, type GradientWorkers, type TrainOptions, train } from "../train/index.js";
import { gradientThreads } from "./gradient-node.js";
import { joinStates, rowsOf, shareOf, shareRng, stateRows } from "./gradient-share.js";

const MODULE = new URL("../../test/support/gradient-replica.ts", import.meta.url);
const wasm = WasmKernels.create();

const specOf = (dropout = 0) => recurrentSpec({ cell: "gru", inputSize: 2, hiddenSize: 5, outputSize: 1, numLayers: 2, dropout });

/** Ragged rows of which some have no target. */
function batchOf(rows: number, rng: Rng, { first = 0, reset }: { first?: number; reset?: number } = {}): Batch {
  const time = 4;
  const lengths = Int32Array.from({ length: rows }, (_, b) => time - (b % 3));
  return {
    batchSize: rows,
    time,
    features: 2,
    x: Float32Array.from({ length: rows * time * 2 }, () => rng.uniform(-1, 1)),
    lengths,
    targetKind: "values",
    values: Float32Array.from({ length: rows * time }, (_, i) =>
      i % time < lengths[Math.floor(i / time)] && i % 5 ? rng.uniform(-1, 1) : Number.NaN,
    ),
    everyStep: true,
    horizon: 1,
    targets: 1,
    example: Int32Array.from({ length: rows }, (_, b) => first + b),
    series: new Int32Array(rows),
    start: new Int32Array(rows),
    reset: reset === undefined ? undefined : Uint8Array.from({ length: rows }, (_, b) => (b === reset ? 1 : 0)),
  };
}

const open: GradientWorkers<Batch>[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((workers) => workers.close()));
});

interface Start extends Partial<TrainOptions<Batch>> {
  /** 0: none. */
  count: number;
  engine?: Kernels;
  dropout?: number;
  description?: Partial<ReplicaDescription>;
  store?: CheckpointStore;
  stopAfter?: number;
  rows?: number;
  from?: number;
}

async function start({ count, engine = wasm, dropout = 0, description, store, stopAfter, rows = 7, from = 1, ...more }: Start) {
  const network = new RecurrentNetwork(specOf(dropout), { rng: seed(from), engine });
  const carries = description?.carries ?? false;
  const workers =
    count > 0
      ? gradientThreads(network, { count, module: MODULE, description: { spec: specOf(dropout), ...description } })
      : undefined;
  if (workers) open.push(workers);
  const abort = new AbortController();
  const losses: number[] = [];
  let updates = 0;
  const result = await train<Batch>(network, {
    optimizer: new AdamW(network.parameters(), { learningRate: 0.02 }),
    data: (_, rng) => Array.from({ length: 5 }, (_, i) => batchOf(rows, rng, { reset: carries ? i % 4 : undefined })),
    objective: (batch, context) => replicaObjective(network, batch, context, carries),
    workers,
    epochs: 2,
    seed: 3,
    checkpoint: store,
    checkpointSeconds: 0,
    logEvery: 1,
    onLog: (entry) => {
      if (entry.kind === "step") losses.push(entry.loss, entry.gradNorm);
    },
    onProgress: () => {
      if (++updates === stopAfter) abort.abort();
    },
    signal: abort.signal,
    ...more,
  });
  const weights = [...network.stateDict()].flatMap(([, { data }]) => [...data]);
  return { result, losses, weights, network };
}

function memoryStore(): CheckpointStore {
  let saved: Uint8Array | null = null;
  return {
    load: async () => saved,
    async save(bytes) {
      saved = bytes.slice();
    },
  };
}

function near(a: readonly number[], b: readonly number[], tolerance: number): void {
  expect(a.length).toBe(b.length);
  a.forEach((value, i) => {
    expect(Math.abs(value - b[i])).toBeLessThan(tolerance);
  });
}

describe("workers that train together", () => {
  it.each([1, 2, 3])("%i of them give the same bits whatever the timing, with dropout and accumulation", async (count) => {
    const options = { count, dropout: 0.3, accumulate: 2 };
    const first = await start(options);
    const second = await start({ ...options, description: { dawdleMs: 15 } });
    expect(second.weights).toEqual(first.weights);
    expect(second.losses).toEqual(first.losses);
  });

  it.each([1, 2, 3, 9])(
    "%i of them compute what one process does, within rounding, up to more workers than rows",
    async (count) => {
      const engine = new ReferenceKernels("float64");
      const [alone, together] = [await start({ count: 0, engine }), await start({ count, engine })];
      expect(together.result.steps).toBe(alone.result.steps);
      near(together.losses, alone.losses, 1e-12);
      near(together.weights, alone.weights, 1e-8);
    },
  );

  it("of one worker computes the very bits of one process, where nothing is drawn", async () => {
    const engines: Kernels[] = [wasm, ...NATIVE_ENGINES.slice(0, 1).map(([, create]) => create())];
    for (const engine of engines) {
      const options = { engine, accumulate: engine === wasm ? 3 : 1 };
      const [alone, together] = [await start({ count: 0, ...options }), await start({ count: 1, ...options })];
      expect(together.weights, engine.name).toEqual(alone.weights);
      expect(together.losses, engine.name).toEqual(alone.losses);
    }
  });

  it("gives each worker dropout of its own", async () => {
    const [one, two] = [await start({ count: 1, dropout: 0.4 }), await start({ count: 2, dropout: 0.4 })];
    expect(Math.abs(one.losses[0] - two.losses[0])).toBeGreaterThan(1e-4);
    expect((await start({ count: 2, dropout: 0.4, seed: 4 })).weights).not.toEqual(two.weights);
  });

  it.each([1, 2, 3])("carries the state of lanes: %i", async (count) => {
    const engine = new ReferenceKernels("float64");
    const carrying = { engine, description: { carries: true } };
    const [alone, together] = [await start({ count: 0, ...carrying }), await start({ count, ...carrying })];
    near(together.weights, alone.weights, 1e-8);
    expect(Math.abs(alone.losses[4] - (await start({ count: 0, engine })).losses[4])).toBeGreaterThan(1e-6);
  });

  it("stopped and resumed goes on bit for bit, with lanes, dropout and accumulation", async () => {
    const options = { count: 2, dropout: 0.3, accumulate: 2, description: { carries: true } };
    const whole = await start(options);
    for (const stopAfter of [1, 4]) {
      const store = memoryStore();
      const cut = await start({ ...options, store, stopAfter });
      expect(cut.result.stopped).toBe("aborted");
      const rest = await start({ ...options, store, resume: true, from: 9 });
      expect(rest.weights).toEqual(whole.weights);
    }
  });

  it("stops at a NaN, says where, and changes no weight", async () => {
    const network = new RecurrentNetwork(specOf(), { rng: seed(1), engine: wasm });
    const before = network.stateDict();
    const workers = gradientThreads(network, { count: 2, module: MODULE, description: { spec: specOf() } });
    open.push(workers);
    const batch = batchOf(4, seed(2));
    batch.x[2 * 8 + 3] = Number.NaN;
    const run = train<Batch>(network, {
      optimizer: new AdamW(network.parameters()),
      data: () => [batch],
      objective: (one, context) => replicaObjective(network, one, context),
      workers,
      epochs: 1,
    });
    await expect(run).rejects.toThrow(/OST_NAN.*loss is not finite.*op input, layer "recurrent", time step 1, row 0/s);
    expect(network.stateDict()).toEqual(before);
    // It was the batch's fault: the workers go on.
    const { shares } = await workers.compute({ batch: batchOf(4, seed(2)), step: 1, part: 0, seed: 1 });
    expect(shares.map(({ weight }) => weight > 0)).toEqual([true, true]);
  });

  it.each([
    ["throw", /OST_INTERNAL.*gradient worker 2: a worker that computes gradients failed.*a fault of the replica/s],
    ["exit", /OST_INTERNAL.*gradient worker 2: a worker that computes gradients ended.*resume from the last checkpoint/s],
  ] as const)("one that fails ends the run with its name, and the last checkpoint goes on: %s", async (kind, message) => {
    const store = memoryStore();
    const options = { count: 2, rows: 6, dropout: 0.2 };
    await expect(start({ ...options, store, description: { fault: { step: 4, kind } } })).rejects.toThrow(message);
    const rest = await start({ ...options, store, resume: true, from: 9 });
    expect(rest.weights).toEqual((await start(options)).weights);
  });

  it("closed, or killed while it computes, is an error and no wait for ever", async () => {
    const network = new RecurrentNetwork(specOf(), { rng: seed(1), engine: wasm });
    const description = { spec: specOf(), dawdleMs: 60_000 };
    const workers = gradientThreads(network, { count: 2, module: MODULE, description });
    const job = { batch: batchOf(4, seed(1)), step: 0, part: 0, seed: 1 };
    const waiting = workers.compute(job);
    setTimeout(() => workers.close(), 100);
    await expect(waiting).rejects.toThrow(/OST_INTERNAL.*ended.*it was closed/s);
    await expect(workers.compute(job)).rejects.toThrow(/OST_INTERNAL.*it was closed/s);
  });

  it("refuses another network, a module without a replica, and no number of workers", async () => {
    const network = new RecurrentNetwork(specOf(), { rng: seed(1), engine: wasm });
    const job = { batch: batchOf(4, seed(1)), step: 0, part: 0, seed: 1 };
    const compute = async (module: URL, spec: object) => {
      const workers = gradientThreads(network, { count: 2, module, description: { spec } });
      open.push(workers);
      workers.broadcast(network.parameters());
      return workers.compute(job);
    };
    await expect(compute(MODULE, { ...specOf(), hiddenSize: 6 })).rejects.toThrow(
      /OST_SHAPE.*recurrent.weight_ih_l0 \[30\].*\[36\]/s,
    );
    await expect(compute(MODULE, { ...specOf(), numLayers: 3 })).rejects.toThrow(/OST_SHAPE/);
    await expect(compute(new URL("./gradient-share.ts", import.meta.url), specOf())).rejects.toThrow(/no buildReplica/);
    await expect(compute(new URL("./no-such-file.ts", import.meta.url), specOf())).rejects.toThrow(
      /OST_INTERNAL.*gradient worker 1/s,
    );
    for (const count of [0, 1.5, Number.NaN]) {
      expect(() => gradientThreads(network, { count, module: MODULE, description: {} })).toThrow(/OST_RANGE.*train.workers/);
    }
  });
});

describe("a worker's share", () => {
  it("is contiguous rows, all of them once", () => {
    for (const rows of [0, 1, 5, 7, 64]) {
      for (const count of [1, 2, 3, 8]) {
        const shares = Array.from({ length: count }, (_, index) => shareOf(rows, index, count));
        expect(shares.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i))).toEqual([
          ...Array(rows).keys(),
        ]);
        const sizes = shares.map(({ from, to }) => to - from);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }
    }
  });

  it("has the rows of everything in a batch, and joins again", () => {
    const batch = {
      ...batchOf(5, seed(1), { reset: 3 }),
      normalization: { offset: new Float32Array(10).map((_, i) => i), scale: new Float32Array(10) },
    };
    const parts = [rowsOf(batch, 0, 2), rowsOf(batch, 2, 5)];
    expect(parts.map(({ batchSize }) => batchSize)).toEqual([2, 3]);
    for (const name of ["x", "values", "lengths", "example", "reset"] as const) {
      expect(
        parts.flatMap((part) => [...part[name]!]),
        name,
      ).toEqual([...batch[name]!]);
    }
    expect([...parts[1].normalization.offset]).toEqual([4, 5, 6, 7, 8, 9]);
    expect([parts[0].time, parts[0].targetKind, parts[0].everyStep]).toEqual([4, "values", true]);

    const state = { h: { shape: [5, 2], data: Float32Array.from({ length: 10 }, (_, i) => i) } };
    expect(joinStates([stateRows(state, 0, 2), undefined, stateRows(state, 2, 5)])).toEqual(state);
    expect(joinStates([undefined, undefined])).toBeUndefined();
  });

  it("draws from a generator of its own", () => {
    const seen = new Set<string>();
    for (const run of [0, 1]) {
      for (const step of [0, 1, 2, 1000]) {
        for (const part of [0, 1]) for (const worker of [0, 1, 2]) seen.add(String(shareRng(run, step, part, worker).state));
      }
    }
    expect(seen.size).toBe(2 * 4 * 2 * 3);
    expect(shareRng(1, 2, 3, 4).state).toEqual(shareRng(1, 2, 3, 4).state);
  });
});

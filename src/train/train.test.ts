/** @file Several batches in one update, averaged weights, and what an objective is told. The laws of plain training: test/laws/train.test.ts. */
import { describe, expect, it } from "vitest";
import { type Rng, seed } from "../core/rng.js";
import { type Kernels, ReferenceKernels, WasmKernels } from "../kernels/index.js";
import { mse } from "../losses/index.js";
import { GRU, Linear, Module, type State } from "../nn/index.js";
import { Adam, SGD, WeightAverage } from "../optim/index.js";
import { inference, tensor } from "../tensor/index.js";
import type { CheckpointStore } from "./checkpoint.js";
import { type RunLogEntry, type TrainOptions, train } from "./train.js";
import { type Objective, trainStep } from "./train-step.js";

const float64 = new ReferenceKernels("float64");
const wasm = WasmKernels.create();

class Network extends Module {
  readonly layer: GRU;
  readonly head: Linear;

  constructor(engine: Kernels, start = 1, dropout = 0.2) {
    super();
    this.layer = new GRU(2, 4, { rng: seed(start), engine, numLayers: 2, dropout });
    this.head = new Linear(4, 1, { rng: seed(start + 1), engine });
  }

  /** The mean over `rows` rows of a batch. */
  objective({ x, y, rows }: Rows, { rng, state }: { rng?: Rng; state?: State } = {}): Objective {
    const { engine } = this;
    const result = this.layer.forward(tensor(x, [rows, 3, 2], { engine }), { rng, state });
    const loss = mse(this.head.forward(result.output), tensor(y, [rows, 3, 1], { engine }));
    return { loss, state: result.state, weight: rows };
  }
}

interface Rows {
  x: Float32Array;
  y: Float32Array;
  rows: number;
}

function rowsOf(rows: number, rng: Rng): Rows {
  const x = Float32Array.from({ length: rows * 6 }, () => rng.uniform(-1, 1));
  return { x, y: Float32Array.from({ length: rows * 3 }, (_, i) => x[2 * i] - x[2 * i + 1]), rows };
}

function joined(parts: readonly Rows[]): Rows {
  const list = (of: (part: Rows) => Float32Array) => Float32Array.from(parts.flatMap((part) => [...of(part)]));
  return { x: list(({ x }) => x), y: list(({ y }) => y), rows: parts.reduce((sum, { rows }) => sum + rows, 0) };
}

const weightsOf = (network: Module) => [...network.stateDict()].map(([name, { data }]) => [name, [...data]]);

describe("an update of several batches", () => {
  const step = (parts: readonly Rows[], engine: Kernels, clipNorm: number, weight?: (rows: number) => number | undefined) => {
    const network = new Network(engine);
    const optimizer = new Adam(network.parameters(), { learningRate: 0.1 });
    const result = trainStep({
      optimizer,
      rng: seed(1),
      parts: parts.length,
      clipNorm,
      objective: (_, part) => {
        const one = network.objective(parts[part]);
        return { loss: one.loss, weight: weight ? weight(parts[part].rows) : one.weight };
      },
    });
    const { loss, gradNorm, clipped } = result;
    return {
      loss,
      gradNorm,
      clipped,
      gradients: network.parameters().map(({ grad }) => [...grad!.floats()]),
      weights: weightsOf(network),
    };
  };
  const rng = seed(5);
  const parts = [3, 1, 6, 2].map((rows) => rowsOf(rows, rng));

  it.each([0.05, Number.POSITIVE_INFINITY])("is that of all of them in one, within rounding; clipped at %f", (clipNorm) => {
    const [several, one] = [step(parts, float64, clipNorm), step([joined(parts)], float64, clipNorm)];
    expect(several.loss).toBeCloseTo(one.loss, 13);
    expect(several.gradNorm).toBeCloseTo(one.gradNorm, 13);
    expect(several.clipped).toBe(clipNorm < 1);
    several.gradients.forEach((list, i) => {
      list.forEach((slope, k) => {
        expect(Math.abs(slope - one.gradients[i][k])).toBeLessThan(1e-14);
      });
    });
    several.weights.forEach(([, values], i) => {
      (values as number[]).forEach((value, k) => {
        expect(Math.abs(value - (one.weights[i][1] as number[])[k])).toBeLessThan(1e-9);
      });
    });
    // Unweighted, small batches would count like large ones.
    expect(Math.abs(step(parts, float64, clipNorm, () => undefined).loss - one.loss)).toBeGreaterThan(1e-3);
  });

  it.each([2, 3, 7])("of %i times the same is that of one, bit for bit, whatever it weighs", (count) => {
    const one = step([parts[2]], wasm, 0.1);
    expect(step(Array(count).fill(parts[2]), wasm, 0.1)).toEqual(one);
    expect(step(Array(count).fill(parts[2]), wasm, 0.1, () => undefined).weights).toEqual(one.weights);
    expect(step([parts[2]], wasm, 0.1, () => 0.3)).toEqual(one);
  });

  it("counts nothing of a batch without targets, even a loss that is none", () => {
    const whole = step([parts[0], parts[2]], wasm, 1);
    const empty = { ...rowsOf(1, seed(3)), rows: 1 };
    empty.y.fill(Number.NaN);
    const weight = (rows: number) => (rows === 1 ? 0 : rows);
    expect(step([empty, parts[0], empty, parts[2]], wasm, 1, weight)).toEqual(whole);
    expect(step([empty], wasm, 1, weight)).toMatchObject({ loss: 0, gradNorm: 0, clipped: false });
    for (const bad of [-1, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => step([empty], wasm, 1, () => bad)).toThrow(/OST_RANGE/);
  });

  it("hands the state on without its history, and ends with the last one", () => {
    const network = new Network(float64, 1, 0);
    const optimizer = new SGD(network.parameters());
    const lists = (states: (State | undefined)[]) => states.map((one) => one && [...one["h_l1"].floats()]);
    const seen: (number[] | undefined)[] = [];
    const { state } = trainStep({
      optimizer,
      rng: seed(1),
      parts: 3,
      objective: (_, part, before) => {
        expect(Object.values(before ?? {}).some(({ requiresGrad }) => requiresGrad)).toBe(false);
        seen.push(...lists([before]));
        return network.objective(rowsOf(2, seed(part)), { state: before });
      },
    });
    const untouched = new Network(float64, 1, 0);
    const expected: (State | undefined)[] = [undefined];
    for (let part = 0; part < 3; part++) {
      expected.push(inference(() => untouched.objective(rowsOf(2, seed(part)), { state: expected[part] }).state));
    }
    expect([...seen, ...lists([state])]).toEqual(lists(expected));
  });

  it("stops at a NaN in any of them, says where, and changes nothing", () => {
    const network = new Network(wasm);
    const optimizer = new Adam(network.parameters());
    const before = weightsOf(network);
    const bad = rowsOf(2, seed(1));
    bad.x[7] = Number.NaN;
    const run = () =>
      trainStep({
        optimizer,
        rng: seed(1),
        parts: 3,
        objective: (rng, part) => network.objective([parts[0], parts[1], bad][part], { rng }),
      });
    expect(run).toThrow(/OST_NAN.*loss is not finite.*op input, layer "layer.*time step 0, row 1/s);
    expect(weightsOf(network)).toEqual(before);
    expect(optimizer.stateDict().step).toBe(0);
  });

  it("takes no memory that it does not give back", () => {
    const engine = WasmKernels.create();
    const network = new Network(engine);
    const optimizer = new Adam(network.parameters());
    const once = (count: number) => {
      engine.memory.resetPeak();
      const before = engine.memory.bytesInUse;
      const objective = (rng: Rng, part: number, state?: State) => {
        const { loss, weight, state: next } = network.objective(rowsOf(4, seed(part)), { rng, state });
        return { loss, weight, state: next };
      };
      const { state } = trainStep({ optimizer, rng: seed(1), parts: count, objective });
      expect(Object.keys(state!)).toHaveLength(2);
      return engine.memory.peakBytesInUse - before;
    };
    once(2);
    const [two, twenty] = [once(2), once(20)];
    expect(twenty).toBe(two);
  });
});

interface Start extends Partial<TrainOptions<Rows>> {
  network?: Network;
  store?: CheckpointStore & { bytes: Uint8Array | null };
  stopAfter?: number;
}

/** Seven batches of lanes an epoch. */
async function start({ network = new Network(wasm), store, stopAfter, ...more }: Start) {
  const abort = new AbortController();
  const log: RunLogEntry[] = [];
  const steps: number[] = [];
  let updates = 0;
  const result = await train<Rows>(network as never, {
    optimizer: new Adam(network.parameters(), { learningRate: 0.02 }),
    data: (_, rng) => Array.from({ length: 7 }, () => rowsOf(3, rng)),
    objective: (batch, context) => {
      steps.push(context.step);
      return network.objective(batch, context);
    },
    validate: () => inference(() => network.objective(rowsOf(8, seed(77))).loss.item()),
    epochs: 4,
    checkpoint: store,
    checkpointSeconds: 0,
    logEvery: 1,
    onLog: (entry) => log.push(entry),
    onProgress: () => {
      if (++updates === stopAfter) abort.abort();
    },
    signal: abort.signal,
    ...more,
  });
  return { result, log, steps, weights: weightsOf(network), network };
}

function memoryStore(): CheckpointStore & { bytes: Uint8Array | null } {
  return {
    bytes: null,
    async load() {
      return this.bytes;
    },
    async save(bytes) {
      this.bytes = bytes.slice();
    },
  };
}

/** Stopped every few updates, and gone on with from its checkpoint each time. */
async function stopped(every: number, options: Start) {
  const store = memoryStore();
  let run = await start({ ...options, store, stopAfter: every });
  let stops = 0;
  while (run.result.stopped === "aborted") {
    stops++;
    run = await start({ ...options, network: new Network(wasm, 50), store, resume: true, stopAfter: every });
  }
  return { ...run, stops };
}

describe("a run that accumulates", () => {
  it("makes an update of so many batches, and of those left at the end of an epoch", async () => {
    const { result, log, steps } = await start({ accumulate: 3, epochs: 2 });
    expect(result).toMatchObject({ steps: 6, epochs: 2 });
    expect(steps).toEqual([0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4, 4, 5]);
    for (const entry of log) {
      if (entry.kind === "step") {
        const norm = Math.hypot(...Object.values(entry.layers).map(({ gradNorm }) => gradNorm));
        expect(norm).toBeCloseTo(entry.gradNorm, 5);
      }
    }
    expect((await start({ accumulate: 100, epochs: 2 })).result.steps).toBe(2);
  });

  it.each([1, 2, 3])("stopped after every %i updates goes on bit for bit", async (every) => {
    const whole = await start({ accumulate: 2 });
    const cut = await stopped(every, { accumulate: 2 });
    expect(cut.stops).toBeGreaterThan(3);
    expect(cut.weights).toEqual(whole.weights);
    expect(cut.result.best).toEqual(whole.result.best);
  });

  it("of one batch each is one that does not; cut by maxSteps it goes on like one never cut", async () => {
    expect((await start({ accumulate: 1 })).weights).toEqual((await start({})).weights);
    const store = memoryStore();
    const cut = await start({ accumulate: 2, maxSteps: 6, store });
    expect(cut.result).toMatchObject({ steps: 6, stopped: "maxSteps" });
    const rest = await start({ accumulate: 2, store, resume: true, network: new Network(wasm, 9) });
    const whole = await start({ accumulate: 2 });
    expect(rest.result.steps).toBe(whole.result.steps);
    expect(rest.weights).toEqual(whole.weights);
    for (const accumulate of [0, 1.5]) await expect(start({ accumulate })).rejects.toThrow(/OST_RANGE.*train.accumulate/);
  });
});

describe("a run with averaged weights", () => {
  const averaging = { decay: 0.9 };

  it("validates and ends with the average, and trains on with the raw weights", async () => {
    const network = new Network(wasm);
    const average = new WeightAverage(network.namedParameters(), averaging);
    const validated: unknown[] = [];
    const raw: unknown[] = [];
    const averages: unknown[] = [];
    const { result, weights } = await start({
      network,
      averaging,
      validate: () => {
        validated.push(weightsOf(network));
        return 10 - validated.length;
      },
      onProgress: () => {
        average.observe();
        raw.push(weightsOf(network));
        averages.push([...average.values()].map(([name, values]) => [name, [...values]]));
      },
    });
    const plain: unknown[] = [];
    const other = new Network(wasm);
    await start({ network: other, validate: undefined, onProgress: () => plain.push(weightsOf(other)) });
    expect(raw).toEqual(plain);
    expect(validated).toEqual([6, 13, 20, 27].map((at) => averages[at]));
    expect(result.best?.epoch).toBe(3);
    expect(weights).toEqual(averages[27]);
    expect(weights).not.toEqual(raw[27]);
  });

  it.each([{ decay: 0.95 }, {}, { start: 9 }])("stopped at any update goes on bit for bit: %j", async (one) => {
    for (const validate of [undefined, "its own"] as const) {
      const options: Start = { averaging: one, accumulate: 2, ...(validate ? {} : { validate: undefined }) };
      const whole = await start(options);
      for (const every of [1, 3]) {
        const cut = await stopped(every, options);
        expect(cut.stops).toBeGreaterThan(3);
        expect(cut.weights).toEqual(whole.weights);
        expect(cut.result.best).toEqual(whole.result.best);
      }
      expect(whole.weights).not.toEqual((await start({ ...options, averaging: undefined })).weights);
    }
  });

  it("is not gone on with from a checkpoint that averaged nothing", async () => {
    const store = memoryStore();
    await start({ store, stopAfter: 3 });
    await expect(start({ store, resume: true, averaging })).rejects.toThrow(/OST_CHECKPOINT.*averaged/);
    const averaged = memoryStore();
    await start({ store: averaged, stopAfter: 3, averaging });
    expect((await start({ store: averaged, resume: true })).weights).toEqual((await start({})).weights);
  });

  it("a finished run resumed does nothing and gives the same weights", async () => {
    for (const validate of [undefined, () => 1]) {
      const store = memoryStore();
      const first = await start({ store, averaging, validate });
      const again = await start({ store, averaging, validate, resume: true, network: new Network(wasm, 33) });
      expect(again.steps).toEqual([]);
      expect(again.weights).toEqual(first.weights);
    }
  });
});

it("an objective is told the number of its update, resumed or not", async () => {
  const whole = await start({ epochs: 2 });
  expect(whole.steps).toEqual([...Array(14).keys()]);
  const store = memoryStore();
  const first = await start({ epochs: 2, store, stopAfter: 5 });
  const second = await start({ epochs: 2, store, resume: true });
  expect([...first.steps, ...second.steps]).toEqual(whole.steps);
});

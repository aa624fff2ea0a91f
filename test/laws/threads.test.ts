/**
 * @file The law of threads: no bit of any result depends on how many threads computed it; kernel by kernel, in whole trainings, in streams.
 *
 * Threads come to a call if they can, and sizes below a threshold are not shared at all: so every comparison here also asks the engine how many
 * took part.
 */
import { Worker } from "node:worker_threads";
import { beforeAll, describe, expect, it } from "vitest";
import { seed } from "../../src/core/rng.js";
import type { CompiledKernels } from "../../src/kernels/compiled.js";
import { type CellKind, NativeKernels, NULL, type Pointer, WasmKernels, type WeightType } from "../../src/kernels/index.js";
import { RecurrentNetwork, type RecurrentNetworkSpec, type State } from "../../src/nn/index.js";
import { inference, integers, tensor } from "../../src/tensor/index.js";
import { checkKernels } from "../../src/testing/check-kernels.js";
import { BEST_NATIVE, skipAbsentNative } from "../support/native-engines.js";
import { threadedTraining } from "../support/threaded-training.js";

const MOST = 3;
const COUNTS = [1, 2, MOST];

type Create = () => CompiledKernels;
const engines: [string, Create][] = [
  ["wasm simd128", () => WasmKernels.create({ variant: "simd128", threads: MOST })],
  ["wasm", () => WasmKernels.create({ threads: MOST })],
  ...(BEST_NATIVE ? [BEST_NATIVE] : []),
];

/** When workers have started. */
async function arrival(engine: CompiledKernels, threads: number): Promise<void> {
  while (engine instanceof WasmKernels && engine.threadsReady < threads) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** When all threads are there, whom every call then waits for. */
async function withAll<E extends CompiledKernels>(engine: E): Promise<E> {
  engine.threads = MOST;
  await arrival(engine, MOST);
  engine.sharedCalls({ insist: true });
  return engine;
}

/** Where the bits of two runs first differ; -1 if nowhere. (`toEqual` on long arrays costs more than the kernels.) */
function firstDifference(got: Float32Array, expected: Float32Array): number {
  if (got.length !== expected.length) return Math.min(got.length, expected.length);
  const [a, b] = [got, expected].map(({ buffer, byteOffset, length }) => new Int32Array(buffer, byteOffset, length));
  return a.findIndex((word, i) => word !== b[i]);
}

/** Arrays in an engine's memory for one kernel call. */
class Bench {
  readonly #engine: CompiledKernels;
  readonly #blocks: Pointer[] = [];
  readonly #results: { pointer: Pointer; count: number }[] = [];

  constructor(engine: CompiledKernels) {
    this.#engine = engine;
  }

  floats(count: number, scale = 1): Pointer {
    const pointer = this.#take(count);
    const values = this.#engine.memory.floatsAt(pointer, count);
    // Noise from -2 to 2, as good as needed and much faster than a generator's.
    for (let i = 0; i < count; i++) values[i] = scale * (Math.imul(i + this.#blocks.length, 0x9e3779b1) / 2 ** 30);
    return pointer;
  }

  integers(values: number[]): Pointer {
    const pointer = this.#take(values.length);
    this.#engine.memory.intsAt(pointer, values.length).set(values);
    return pointer;
  }

  /** Noise that the kernel overwrites or adds to. */
  result(count: number): Pointer {
    const pointer = this.floats(count);
    this.#results.push({ pointer, count });
    return pointer;
  }

  bytes(count: number): Pointer {
    return this.#take(Math.ceil(count / 4));
  }

  /** All results, one after another; everything is given back. */
  finish(): Float32Array {
    const { memory } = this.#engine;
    const values = new Float32Array(this.#results.reduce((sum, { count }) => sum + count, 0));
    let at = 0;
    for (const { pointer, count } of this.#results) {
      values.set(memory.floatsAt(pointer, count), at);
      at += count;
    }
    for (const block of this.#blocks.splice(0)) memory.free(block);
    return values;
  }

  #take(words: number): Pointer {
    const pointer = this.#engine.memory.allocate(4 * words);
    this.#blocks.push(pointer);
    return pointer;
  }
}

type Kernel = (engine: CompiledKernels, bench: Bench) => void;

function product(rows: number, columns: number, inner: number, transposed: boolean, accumulate: boolean): Kernel {
  return (engine, bench) => {
    const [a, b] = [bench.floats(rows * inner), bench.floats(inner * columns)];
    const strides = transposed
      ? { aRowStride: 1, aColumnStride: rows, bRowStride: 1, bColumnStride: inner }
      : { aRowStride: inner, aColumnStride: 1, bRowStride: columns, bColumnStride: 1 };
    engine.matmul({ rows, columns, inner, a, b, c: bench.result(rows * columns), accumulate, ...strides });
  };
}

function linear(rows: number, inputs: number, outputs: number): Kernel {
  return (engine, bench) => {
    const packed = bench.bytes(engine.linearPackedBytes(inputs, outputs));
    engine.linearPack({ inputs, outputs, weight: bench.floats(inputs * outputs), packed });
    engine.linearForward({
      rows,
      inputs,
      outputs,
      packed,
      x: bench.floats(rows * inputs),
      bias: bench.floats(outputs),
      y: bench.result(rows * outputs),
    });
  };
}

function entropy(backward: boolean): Kernel {
  return (engine, bench) => {
    const [rows, classes] = [149, 343];
    const targets = bench.integers(Array.from({ length: rows }, (_, row) => (row % 7 === 0 ? -1 : (row * 31) % classes)));
    const args = { rows, classes, logits: bench.floats(rows * classes), targets, classWeights: NULL, smoothing: 0.1 };
    if (backward) {
      engine.crossEntropyBackward({ ...args, dLosses: bench.floats(rows), dLogits: bench.result(rows * classes) });
    } else {
      engine.crossEntropyForward({ ...args, losses: bench.result(rows) });
    }
  };
}

const adam: Kernel = (engine, bench) => {
  const parameters = [70_001, 33, 40_000].map((count) => {
    const secondMoment = bench.result(count);
    const values = engine.memory.floatsAt(secondMoment, count);
    for (let i = 0; i < count; i++) values[i] = Math.abs(values[i]);
    return {
      count,
      parameter: bench.result(count),
      gradient: bench.floats(count),
      firstMoment: bench.result(count),
      secondMoment,
    };
  });
  const rates = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 };
  engine.adamStep({ parameters, gradientScale: 0.7, ...rates, correction1: 0.1, correction2: 0.001 });
};

const GATES: Record<CellKind, number> = { rnnTanh: 1, rnnRelu: 1, lstm: 4, gru: 3, gruResetBefore: 3 };

interface Recurrence {
  batch: number;
  time: number;
  inputSize: number;
  hiddenSize: number;
  weights?: WeightType;
  reverse?: boolean;
  hoist?: boolean;
  backward?: boolean;
}

/** Ragged rows, one of them empty, in an output of twice the width; forward, and backward where that is asked for. */
function recurrence(cell: CellKind, { batch, time, inputSize, hiddenSize, weights, hoist, ...flags }: Recurrence): Kernel {
  return (engine, bench) => {
    const { reverse = false, backward = false } = flags;
    const isLstm = cell === "lstm";
    const rows = GATES[cell] * hiddenSize;
    const [steps, states, outputStride] = [batch * time, batch * hiddenSize, 2 * hiddenSize];
    const lengths = bench.integers(
      Array.from({ length: batch }, (_, row) => (batch === 1 ? time : row === 1 ? 0 : time - (row % 5))),
    );
    const [weightIh, weightHh] = [bench.floats(rows * inputSize, 0.1), bench.floats(rows * hiddenSize, 0.1)];
    const [biasIh, biasHh] = [bench.floats(rows), bench.floats(rows)];
    const packed = bench.bytes(engine.packedBytes(cell, inputSize, hiddenSize, weights));
    engine.recurrentPack({ cell, weights, inputSize, hiddenSize, weightIh, weightHh, biasIh, biasHh, packed });
    const sequence = {
      cell,
      batch,
      time,
      inputSize,
      hiddenSize,
      reverse,
      lengths,
      x: bench.floats(steps * inputSize),
      h0: bench.floats(states),
      c0: isLstm ? bench.floats(states) : NULL,
      output: bench.result(steps * outputStride),
      outputStride,
      gates: backward && GATES[cell] > 1 ? bench.result(steps * 4 * hiddenSize) : NULL,
      cells: backward && isLstm ? bench.result(steps * hiddenSize) : NULL,
    };
    const [hN, cN] = [bench.result(states), isLstm ? bench.result(states) : NULL];
    engine.recurrentForward({ ...sequence, weights, hoist, packed, hN, cN });
    if (!backward) return;
    engine.recurrentBackward({
      ...sequence,
      weightIh,
      weightHh,
      dOutput: bench.floats(steps * outputStride),
      dHN: bench.floats(states),
      dCN: isLstm ? bench.floats(states) : NULL,
      dGates: bench.bytes(16 * steps * hiddenSize),
      dX: bench.result(steps * inputSize),
      dWeightIh: bench.result(rows * inputSize),
      dWeightHh: bench.result(rows * hiddenSize),
      dBiasIh: bench.result(rows),
      dBiasHh: bench.result(rows),
      dH0: bench.result(states),
      dC0: isLstm ? bench.result(states) : NULL,
    });
  };
}

const kernels: [string, Kernel][] = [
  ["matmul, more rows", product(211, 97, 83, false, false)],
  ["matmul, more columns", product(61, 307, 89, false, true)],
  ["matmul, transposed", product(130, 119, 301, true, true)],
  ["matmul, one row", product(1, 1900, 1201, false, false)],
  ["linear", linear(91, 130, 131)],
  ["linear, one row", linear(1, 1201, 1301)],
  ["tanh", (engine, bench) => engine.tanh(60_001, bench.floats(60_001, 3), bench.result(60_001))],
  ["sigmoid", (engine, bench) => engine.sigmoid(60_001, bench.floats(60_001, 3), bench.result(60_001))],
  ["add", (engine, bench) => engine.add(60_001, bench.floats(60_001), bench.result(60_001))],
  ["addColumnSums", (engine, bench) => engine.addColumnSums(301, 403, bench.floats(301 * 403), bench.result(403))],
  ["crossEntropy forward", entropy(false)],
  ["crossEntropy backward", entropy(true)],
  ["adam", adam],
];
for (const cell of Object.keys(GATES) as CellKind[]) {
  const ragged = { batch: 11, time: 9, inputSize: 31, hiddenSize: 67 };
  for (const reverse of [false, true]) {
    const name = `${cell}${reverse ? ", reverse" : ""}`;
    kernels.push([`${name}, forward`, recurrence(cell, { ...ragged, reverse })]);
    kernels.push([`${name}, forward and backward`, recurrence(cell, { ...ragged, reverse, backward: true })]);
  }
  for (const weights of ["bfloat16", "int8"] as const) {
    kernels.push([`${cell}, ${weights}`, recurrence(cell, { ...ragged, weights })]);
  }
  // One row: members share its hidden units, and meet after every step.
  const row = { batch: 1, inputSize: 70, hiddenSize: GATES[cell] === 1 ? 680 : 350 };
  kernels.push([`${cell}, one step of one row`, recurrence(cell, { ...row, time: 1 })]);
  for (const hoist of [false, true]) {
    kernels.push([`${cell}, one row${hoist ? ", hoisted" : ""}`, recurrence(cell, { ...row, time: 9, hoist })]);
  }
  kernels.push([`${cell}, one row, forward and backward`, recurrence(cell, { ...row, time: 9, backward: true })]);
}
/** A cell whose units need the whole state of the step before in two ways cannot share one row. */
const ALONE = /^gruResetBefore, one (row|step)(?!.*backward)/;

const BASE = { type: "recurrent", bidirectional: false, dropout: 0.1, init: "uniform", forgetBias: 1 } as const;
const SIZES = { inputSize: 20, hiddenSize: 40, outputSize: 3, nonlinearity: "tanh", resetAfter: true } as const;
const SPECS: Record<string, RecurrentNetworkSpec> = {
  "two LSTM": { ...BASE, ...SIZES, cell: "lstm", numLayers: 2 },
  "LSTM in both directions": { ...BASE, ...SIZES, cell: "lstm", numLayers: 1, bidirectional: true },
  "two GRU": { ...BASE, ...SIZES, cell: "gru", numLayers: 2 },
  "GRU that resets before": { ...BASE, ...SIZES, cell: "gru", numLayers: 1, resetAfter: false },
  "two RNN": { ...BASE, ...SIZES, hiddenSize: 90, cell: "rnn", numLayers: 2 },
};

describe.each(engines)("on %s, 1, 2 and 3 threads compute the same bits", (_, create) => {
  let engine: CompiledKernels;
  beforeAll(async () => {
    engine = await withAll(create());
  });

  it.each(kernels)("%s", (name, kernel) => {
    const [alone, ...shared] = COUNTS.map((threads) => {
      engine.threads = threads;
      const before = engine.sharedCalls({ insist: true }).calls;
      const bench = new Bench(engine);
      kernel(engine, bench);
      const values = bench.finish();
      const { calls, threads: members } = engine.sharedCalls({ insist: true });
      return { values, calls: calls - before, members };
    });
    expect(alone.calls).toBe(0);
    expect(alone.values.some((value) => value !== 0 && Number.isFinite(value))).toBe(true);
    for (const [i, { values, calls, members }] of shared.entries()) {
      if (ALONE.test(name)) expect(calls).toBe(0);
      else expect([calls > 0, members]).toEqual([true, COUNTS[i + 1]]);
      expect(firstDifference(values, alone.values)).toBe(-1);
    }
  });

  it.each([2, 3])("and %i threads keep the laws of all engines", (threads) => {
    engine.threads = threads;
    checkKernels(() => engine);
  });

  it.each(Object.entries(SPECS))("a whole training on ragged sequences: %s", (_name, spec) => {
    const [alone, ...shared] = COUNTS.map((threads) => threadedTraining(engine, spec, { threads }));
    expect(alone.calls).toBe(0);
    expect(alone.losses.at(-1)).toBeLessThan(alone.losses[0]);
    for (const { calls, members, values } of shared) {
      expect(calls).toBeGreaterThanOrEqual(3 * alone.losses.length);
      expect(members).toBeGreaterThan(1);
      expect(firstDifference(values, alone.values)).toBe(-1);
    }
  });

  it("a stream of one row, and a batch without gradients", () => {
    const spec = { ...SPECS["two LSTM"], inputSize: 64, hiddenSize: 350, dropout: 0 };
    const model = new RecurrentNetwork(spec, { rng: seed(2), engine });
    const options = { engine };
    const x = Array.from({ length: 5 * 12 * 64 }, (_, i) => Math.sin(i));
    const [alone, ...shared] = COUNTS.map((threads) => {
      engine.threads = threads;
      const before = engine.sharedCalls({ insist: true }).calls;
      const values = inference(() => {
        const batch = model.forward(tensor(x, [5, 12, 64], { engine }), { lengths: integers([12, 0, 3, 12, 7], [5], options) });
        let state: State = model.initialState(1);
        const steps = Array.from({ length: 12 }, (_step, t) => {
          const step = model.forward(tensor(x.slice(t * 64, (t + 1) * 64), [1, 1, 64], { engine }), { state });
          state = step.state;
          return [...step.output.toArray()];
        });
        return Float32Array.from([...batch.output.toArray(), ...steps.flat()]);
      });
      return { values, calls: engine.sharedCalls({ insist: true }).calls - before };
    });
    expect(alone.calls).toBe(0);
    for (const { values, calls } of shared) {
      expect(calls).toBeGreaterThan(24);
      expect(firstDifference(values, alone.values)).toBe(-1);
    }
  });

  it("while the memory grows in the middle of a training", async () => {
    const grown = await withAll(create());
    const [still, growing] = [false, true].map((grow) => threadedTraining(grown, SPECS["two LSTM"], { threads: MOST, grow }));
    expect(growing.bytes[1]).toBeGreaterThan(growing.bytes[0] + (16 << 20));
    expect(growing.calls).toBe(still.calls);
    expect(firstDifference(growing.values, still.values)).toBe(-1);
  });

  it("with more threads than this machine has cores, waited for or not", async () => {
    const crowded = create();
    crowded.threads = 7;
    await arrival(crowded, 7);
    const alone = threadedTraining(engine, SPECS["two GRU"], { threads: 1 });
    for (const insist of [true, false]) {
      const { values } = threadedTraining(crowded, SPECS["two GRU"], { threads: 7, insist });
      expect(firstDifference(values, alone.values)).toBe(-1);
    }
  });
});

describe("engines for one thread", () => {
  it("compute the same bits on a plain memory as those for several on a shared one", async () => {
    const plain = WasmKernels.create();
    const shared = await withAll(WasmKernels.create({ threads: MOST }));
    expect([plain, shared].map(({ memory }) => Object.prototype.toString.call(memory.wasm.buffer))).toEqual([
      "[object ArrayBuffer]",
      "[object SharedArrayBuffer]",
    ]);
    const run = (engine: CompiledKernels) => {
      const bench = new Bench(engine);
      recurrence("gru", { batch: 11, time: 9, inputSize: 31, hiddenSize: 67, backward: true })(engine, bench);
      return bench.finish();
    };
    expect(firstDifference(run(shared), run(plain))).toBe(-1);
  });
});

describe("several JavaScript threads", () => {
  skipAbsentNative();

  it.runIf(BEST_NATIVE)("compute on the native engine at once, each with threads of its own, and disturb nobody", async () => {
    const spec = SPECS["two LSTM"];
    const alone = threadedTraining(NativeKernels.create(), spec, { threads: 1 });
    const file = new URL("../support/training-worker.ts", import.meta.url).href;
    const source = `import("tsx/esm/api").then(({ register }) => { register(); return import(${JSON.stringify(file)}); });`;
    const results = await Promise.all(
      [1, 2, 3].map((threads) => {
        const options = { eval: true, execArgv: ["--conditions=ostinato-source"], workerData: { spec, threads, times: 5 } };
        const worker = new Worker(source, options);
        return new Promise<Float32Array[]>((resolve, reject) => worker.on("message", resolve).on("error", reject));
      }),
    );
    expect(results.flat()).toHaveLength(15);
    for (const values of results.flat()) expect(firstDifference(values, alone.values)).toBe(-1);
  });
});

/** @file The laws of memory in training: recomputing segments changes no result, takes a share of the memory, and both are known beforehand. */
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../../src/core/errors.js";
import { type Rng, seed } from "../../src/core/rng.js";
import { tableFromRecords } from "../../src/data/index.js";
import { blockBytes, estimateMemory } from "../../src/diagnose/memory-estimate.js";
import { type Kernels, Memory, ReferenceKernels, WasmKernels } from "../../src/kernels/index.js";
import { crossEntropy, mse } from "../../src/losses/index.js";
import { recurrentSpec } from "../../src/model/index.js";
import {
  GRU,
  LSTM,
  type RecurrentLayer,
  RecurrentNetwork,
  type RecurrentNetworkSpec,
  type RecurrentOptions,
  RNN,
} from "../../src/nn/index.js";
import { segmentSteps } from "../../src/nn/recurrent-segment.js";
import { AdamW, SGD } from "../../src/optim/index.js";
import { type ExperimentConfigInput, parseConfig } from "../../src/tasks/config.js";
import { evaluationBatches } from "../../src/tasks/evaluation-batches.js";
import { prepareExperiment } from "../../src/tasks/experiment.js";
import { fitNetwork } from "../../src/tasks/fit-network.js";
import { taskOf } from "../../src/tasks/task.js";
import { integers, type Parameter, parameter, scope, tensor } from "../../src/tensor/index.js";
import { checkModelGradient, checkModelLaws } from "../../src/testing/check-model.js";
import { type CheckpointStore, type RunLogEntry, train, trainStep } from "../../src/train/index.js";

const [I, H] = [3, 7];
const MIB = 2 ** 20;

const layers: [string, (options: RecurrentOptions) => RecurrentLayer][] = [
  ["RNN tanh", (options) => new RNN(I, H, options)],
  ["RNN relu", (options) => new RNN(I, H, { ...options, nonlinearity: "relu" })],
  ["LSTM", (options) => new LSTM(I, H, options)],
  ["GRU reset after", (options) => new GRU(I, H, options)],
  ["GRU reset before", (options) => new GRU(I, H, { ...options, resetAfter: false })],
];

describe.each(layers)("recomputing a %s", (_, layer) => {
  const time = 23;
  const lengths = [23, 0, 9, 1, 16, 8];
  const options: Partial<RecurrentOptions>[] = [
    {},
    { bias: false },
    { bidirectional: true },
    { numLayers: 3 },
    { numLayers: 2, bidirectional: true, dropout: 0.3 },
  ];

  /** One pass over ragged rows: results and gradients, by name. */
  function run(engine: Kernels, choices: Partial<RecurrentOptions>) {
    const model = layer({ rng: seed(1), engine, ...choices });
    const rng = seed(2);
    const draw = (...shape: number[]) => drawn(rng, shape, engine);
    const x = draw(lengths.length, time, I);
    const state = Object.fromEntries(Object.entries(model.stateSpec).map(([name, width]) => [name, draw(lengths.length, width)]));
    const rows = integers(lengths, [lengths.length], { engine });
    return scope(() => {
      const result = model.forward(x, { state, lengths: rows, rng: seed(3) });
      const values = { output: result.output, last: result.last, ...result.state };
      const losses = Object.values(values).map((value, i) =>
        value
          .multiply(i + 1)
          .square()
          .sum(),
      );
      losses.reduce((a, b) => a.add(b)).backward();
      const gradients = (parts: Iterable<[string, Parameter]>) =>
        new Map([...parts].map(([name, { grad }]) => [name, grad!.floats().slice()]));
      return {
        values: new Map(Object.entries(values).map(([name, value]) => [name, value.toArray()])),
        carried: gradients([["x", x], ...Object.entries(state)]),
        weights: gradients(model.namedParameters()),
      };
    });
  }

  const engines: [string, Kernels, { carried: number; weights: number }][] = [
    ["the float64 reference", new ReferenceKernels("float64"), { carried: 0, weights: 1e-13 }],
    // This engine carries gradients from step to step in float64, so that a border rounds them.
    ["the float32 reference", new ReferenceKernels("float32"), { carried: 1e-6, weights: 1e-6 }],
    ["wasm simd128", WasmKernels.create({ variant: "simd128" }), { carried: 0, weights: 2e-6 }],
    ["wasm", WasmKernels.create(), { carried: 0, weights: 2e-6 }],
  ];

  it.each(engines)("gives every value and gradient of the whole pass, on %s", (_, engine, tolerance) => {
    for (const choices of options) {
      const whole = run(engine, choices);
      for (const recompute of [1, 4, 8, 22, 23, 1000, "auto"] as const) {
        const parts = run(engine, { ...choices, recompute });
        for (const [name, values] of whole.values) expect(parts.values.get(name), name).toEqual(values);
        for (const [name, gradient] of whole.carried) near(parts.carried.get(name)!, gradient, tolerance.carried, name);
        for (const [name, gradient] of whole.weights) near(parts.weights.get(name)!, gradient, tolerance.weights, name);
      }
    }
  });

  it("obeys the laws of a sequence model, and its gradients are finite differences", () => {
    const choices = { numLayers: 2, bidirectional: true, dropout: 0.3, recompute: 2 };
    checkModelGradient((rng, engine) => layer({ rng, engine, ...choices }), { inputSize: I });
    checkModelLaws((rng, engine) => layer({ rng, engine, recompute: 2 }), { inputSize: I, engine: engines[3][1] });
  });
});

describe("the setting", () => {
  const engine = new ReferenceKernels("float32");

  it("auto is the square root of the steps, rounded up; a number is at most the steps; nothing and no steps keep everything", () => {
    expect([1, 2, 4, 5, 10_000].map((time) => segmentSteps("auto", time))).toEqual([1, 2, 2, 3, 100]);
    expect([segmentSteps(8, 5), segmentSteps(8, 20)]).toEqual([5, 8]);
    expect([segmentSteps(undefined, 5), segmentSteps("auto", 0), segmentSteps(3, 0)]).toEqual([null, null, null]);
  });

  it("may be changed between calls, and is no part of what is saved", () => {
    const network = new RecurrentNetwork(spec({ cell: "gru" }), { rng: seed(1), engine, recompute: 5 });
    expect(network.recurrent.recompute).toBe(5);
    const names = [...network.stateDict().keys()];
    network.recurrent.recompute = undefined;
    expect([network.recurrent.recompute, [...network.stateDict().keys()]]).toEqual([undefined, names]);
  });

  it.each([0, -1, 1.5, Number.NaN, "sqrt"])("is refused when it is %s", (recompute) => {
    const make = () => new GRU(2, 3, { rng: seed(1), engine, recompute: recompute as number });
    expect(make).toThrow(OstinatoError);
    expect(make).toThrow(/OST_RANGE.*recompute/s);
  });

  it("a sequence without steps returns its initial state, with a gradient", () => {
    const model = new LSTM(2, 3, { rng: seed(1), engine, recompute: "auto" });
    const state = { h_l0: drawn(seed(1), [2, 3], engine), c_l0: drawn(seed(2), [2, 3], engine) };
    scope(() => {
      const result = model.forward(tensor([], [2, 0, 2], { engine }), { state });
      expect(result.state["c_l0"].toArray()).toEqual(state.c_l0.toArray());
      result.state["c_l0"].sum().backward();
    });
    expect([...state.c_l0.grad!.floats()]).toEqual([1, 1, 1, 1, 1, 1]);
  });
});

describe("10,000 steps", () => {
  it("of an LSTM of 64 units and 8 rows train in 48 MiB with recompute auto, where the whole pass takes over 130", () => {
    const engine = WasmKernels.create();
    const [batch, time] = [8, 10_000];
    const x = uniform(seed(5), batch * time * 4);
    const targets = uniform(seed(6), batch * time);
    const run = (recompute?: "auto") => {
      const before = engine.memory.bytesInUse;
      const architecture = { ...spec({ cell: "lstm" }), inputSize: 4, hiddenSize: 64, outputSize: 1 };
      const network = new RecurrentNetwork(architecture, { rng: seed(4), engine, recompute });
      const optimizer = new SGD(network.parameters());
      engine.memory.resetPeak();
      const { loss } = trainStep({
        optimizer,
        rng: seed(1),
        objective: () => {
          const { output } = network.forward(tensor(x, [batch, time, 4], { engine }));
          return { loss: mse(output, tensor(targets, [batch, time, 1], { engine })) };
        },
      });
      return {
        loss,
        gradients: network.parameters().map(({ grad }) => grad!.floats().slice()),
        bytes: engine.memory.peakBytesInUse - before,
        estimate: estimateMemory(network, { batch, time, moments: 0 }).totalBytes,
      };
    };
    const [whole, parts] = [run(), run("auto")];
    expect(whole.bytes).toBeGreaterThan(130 * MIB);
    expect(parts.bytes).toBeLessThan(48 * MIB);
    for (const { bytes, estimate } of [whole, parts]) expect(Math.abs(estimate / bytes - 1)).toBeLessThan(0.1);
    expect(parts.loss).toBe(whole.loss);
    // Sums of 80,000 terms of either sign.
    for (const [i, gradient] of whole.gradients.entries()) near(parts.gradients[i], gradient, 1e-4, `parameter ${i}`);
  });
});

describe("the memory estimate", () => {
  it("counts a block as the engine's memory does", () => {
    const memory = new Memory("float32");
    const around = Array.from({ length: 21 }, (_, exponent) => [-1, 0, 1].map((by) => Math.max(0, 2 ** exponent + by))).flat();
    for (const bytes of [...around, 5120, 5121, 10_000, 123_456, 1_310_720, 1_310_721]) {
      const before = memory.bytesInUse;
      memory.free(memory.allocate(bytes));
      memory.resetPeak();
      const pointer = memory.allocate(bytes);
      expect(blockBytes(bytes), `${bytes}`).toBe(memory.bytesInUse - before);
      memory.free(pointer);
    }
  });

  const small = { batch: 4, time: 60, hiddenSize: 16 };
  const large = { batch: 16, time: 300, hiddenSize: 48 };
  const engines: [string, Kernels, typeof small][] = [
    ["the float64 reference", new ReferenceKernels("float64"), small],
    ["the float32 reference", new ReferenceKernels("float32"), small],
    ["wasm", WasmKernels.create(), large],
  ];
  const stacks = [{ numLayers: 1 }, { numLayers: 3, dropout: 0.2 }, { numLayers: 2, bidirectional: true, dropout: 0.2 }] as const;

  it.each(engines)(
    "is within a tenth of what a step takes, for every cell and stack, on %s",
    (_, engine, sizes) => {
      const { batch, time, hiddenSize } = sizes;
      for (const cell of ["rnn", "lstm", "gru"] as const) {
        for (const stack of stacks) {
          for (const recompute of [undefined, "auto", 7] as const) {
            for (const reads of ["output", "last"] as const) {
              for (const loss of ["pointwise", "crossEntropy"] as const) {
                const network = new RecurrentNetwork(spec({ cell, hiddenSize, ...stack }), { rng: seed(1), engine, recompute });
                const optimizer = new AdamW(network.parameters());
                const step = () => {
                  const objective = (rng: Rng) => {
                    const x = tensor(new Float32Array(batch * time * 5), [batch, time, 5], { engine });
                    const lengths = integers(new Int32Array(batch).fill(time), [batch], { engine });
                    const prediction = network.forward(x, { rng, lengths })[reads];
                    const { shape, size } = prediction;
                    if (loss === "pointwise") return { loss: mse(prediction, tensor(new Float32Array(size), shape, { engine })) };
                    return { loss: crossEntropy(prediction, integers(new Int32Array(size / 3), shape.slice(0, -1), { engine })) };
                  };
                  trainStep({ optimizer, objective, rng: seed(1) });
                };
                step();
                engine.memory.resetPeak();
                const before = engine.memory.bytesInUse;
                step();
                const measured = engine.memory.peakBytesInUse - before;
                const estimate = estimateMemory(network, { batch, time, reads, loss });
                const what = [cell, JSON.stringify(stack), recompute, reads, loss].join(" ");
                expect(Math.abs(estimate.activationBytes / measured - 1), what).toBeLessThan(0.1);
                const asked = estimateMemory(network, { batch, time, reads, loss, recompute: null });
                if (recompute === undefined) expect(asked).toEqual(estimate);
                else if (cell !== "rnn") expect(asked.activationBytes, what).toBeGreaterThan(estimate.activationBytes);
              }
            }
          }
        }
      }
    },
    240_000,
  );

  it("knows the kernels' scratch within a quarter", () => {
    for (const cell of ["rnn", "lstm", "gru"] as const) {
      for (const recompute of [undefined, "auto"] as const) {
        const engine = WasmKernels.create();
        const layer = new RecurrentNetwork(spec({ cell, hiddenSize: 64 }), { rng: seed(1), engine, recompute }).recurrent;
        const x = tensor(new Float32Array(8 * 500 * 5), [8, 500, 5], { engine });
        scope(() => layer.forward(x).output.sum().backward());
        const { scratchBytes } = estimateMemory(layer, { batch: 8, time: 500 });
        expect(Math.abs(scratchBytes / engine.memory.scratchBytes - 1), `${cell} ${recompute}`).toBeLessThan(0.25);
      }
    }
    const reference = new LSTM(I, H, { rng: seed(1), engine: new ReferenceKernels("float32") });
    expect(estimateMemory(reference, { batch: 8, time: 500 }).scratchBytes).toBe(0);
  });

  it("counts weights, gradients and moments to the byte, and a layer of its own", () => {
    const engine = new ReferenceKernels("float32");
    const before = engine.memory.bytesInUse;
    const layer = new GRU(5, 24, { rng: seed(1), engine, numLayers: 2 });
    const optimizer = new AdamW(layer.parameters());
    const objective = () => ({ loss: mse(layer.forward(zeros).output, targets) });
    const zeros = tensor(new Float32Array(4 * 9 * 5), [4, 9, 5], { engine });
    const targets = tensor(new Float32Array(4 * 9 * 24), [4, 9, 24], { engine });
    const data = blockBytes(zeros.size * 4) + blockBytes(targets.size * 4);
    trainStep({ optimizer, objective, rng: seed(1) });
    const { parameterBytes, gradientBytes, optimizerBytes } = estimateMemory(layer, { batch: 4, time: 9 });
    expect(engine.memory.bytesInUse - before - data).toBe(parameterBytes + gradientBytes + optimizerBytes);
    expect(estimateMemory(layer, { batch: 4, time: 9, moments: 0 }).optimizerBytes).toBe(0);
  });
});

describe("a run", () => {
  const rows = Array.from({ length: 600 }, (_, i) => ({
    run: `r${Math.floor(i / 50)}`,
    v: Math.sin(i / 3),
    kind: Math.floor(i / 50) % 2 ? "a" : "b",
    text: "abracadabra".slice(Math.floor(i / 50) % 4),
  }));
  const input = (task: "forecast" | "classify" | "tag", settings: Partial<ExperimentConfigInput>): ExperimentConfigInput => ({
    task,
    data: {
      source: "x",
      entity: "run",
      features: ["v"],
      target: task === "forecast" ? "v" : "kind",
      split: { by: "entity", train: 0.5, validation: 0.25, test: 0.25 },
    },
    model: { hiddenSize: 16 },
    ...settings,
  });
  const configs: [string, ExperimentConfigInput][] = [
    ["forecast", input("forecast", { window: { length: 30, horizon: 2 }, train: { epochs: 2, batchSize: 8 } })],
    ["streaming", input("tag", { mode: "streaming", window: { length: 20 }, train: { epochs: 2, batchSize: 6 } })],
    ["tag", input("tag", { window: { length: 25 }, train: { epochs: 2, batchSize: 6, recompute: "auto", optimizer: "sgd" } })],
    ["classify", input("classify", { train: { batchSize: 2, recompute: 10 }, model: { cell: "lstm", dropout: 0.1 } })],
    [
      "reconstruction",
      {
        ...input("forecast", { window: { length: 20, stride: 4 }, train: { epochs: 2, batchSize: 6, optimizer: "rmsprop" } }),
        task: "detect",
        detect: { by: "reconstruction" },
      },
    ],
    ...(["none", "general"] as const).map((attention): [string, ExperimentConfigInput] => {
      const { data, ...whole } = input("classify", { train: { epochs: 2, batchSize: 3 } });
      const model = { hiddenSize: 16, attention, inputFeeding: attention !== "none" };
      return [
        `translate, attention ${attention}`,
        { ...whole, task: "translate", data: { ...data, target: "text", targetTokens: "characters" }, model },
      ];
    }),
  ];

  it.each(configs)("logs before its first update what updates take, within a tenth: %s", async (_, written) => {
    const engine = new ReferenceKernels("float32");
    const config = parseConfig(written);
    const { prepared, spec } = prepareExperiment(config, tableFromRecords(rows));
    const log: RunLogEntry[] = [];
    let measured = 0;
    let current = -1;
    const { network } = await fitNetwork(config, prepared, spec, taskOf(config).architecture(spec), {
      engine,
      onLog: (entry) => log.push(entry),
      onProgress: ({ epoch }) => {
        const { peakBytesInUse, bytesInUse } = engine.memory;
        // Between two updates of one epoch there is nothing else.
        if (epoch === current) measured = Math.max(measured, peakBytesInUse - bytesInUse);
        current = epoch;
        engine.memory.resetPeak();
      },
    });
    if (network instanceof RecurrentNetwork) expect(network.recurrent.recompute).toBe(config.train.recompute);
    const [, first, ...rest] = log;
    expect(rest.every(({ kind }) => kind !== "memory")).toBe(true);
    expect(first).toMatchObject({ kind: "memory", step: 0 });
    if (first.kind !== "memory") return;
    expect(Math.abs(first.activationBytes / measured - 1)).toBeLessThan(0.1);
    const { parameterBytes, gradientBytes, optimizerBytes, activationBytes, scratchBytes, totalBytes } = first;
    expect(parameterBytes + gradientBytes + optimizerBytes + activationBytes + scratchBytes).toBe(totalBytes);
  });

  it("judges long sequences a few at a time, each of them once", () => {
    const config = parseConfig(input("classify", {}));
    const long = Array.from({ length: 8 * 20_000 }, (_, i) => ({
      v: i % 7,
      run: `r${Math.floor(i / 20_000)}`,
      kind: Math.floor(i / 20_000) % 2 ? "a" : "b",
    }));
    const { prepared } = prepareExperiment(config, tableFromRecords(long));
    const shapes = [...evaluationBatches(config, prepared, "train")].map(({ batchSize, time }) => [batchSize, time]);
    expect(shapes).toEqual([
      [3, 20_000],
      [1, 20_000],
    ]);
  });

  it("that is taken up again does not log it again", async () => {
    const engine = new ReferenceKernels("float32");
    const network = new RecurrentNetwork(spec({ cell: "gru" }), { rng: seed(1), engine });
    let saved: Uint8Array | null = null;
    const checkpoint: CheckpointStore = {
      load: async () => saved,
      save: async (bytes) => {
        saved = bytes;
      },
    };
    const start = async (maxSteps: number) => {
      const kinds: string[] = [];
      await train(network, {
        optimizer: new SGD(network.parameters()),
        data: () => [1, 2],
        objective: () => ({ loss: network.head.weight.square().sum() }),
        epochs: 9,
        maxSteps,
        checkpoint,
        resume: true,
        logEvery: 1,
        memory: estimateMemory(network, { batch: 1, time: 1 }),
        onLog: ({ kind }) => kinds.push(kind),
      });
      return kinds;
    };
    expect(await start(2)).toEqual(["engine", "memory", "step", "step", "epoch"]);
    expect(await start(3)).toEqual(["step", "epoch"]);
  });
});

function spec(choices: Pick<RecurrentNetworkSpec, "cell"> & Partial<RecurrentNetworkSpec>): RecurrentNetworkSpec {
  return recurrentSpec({ inputSize: 5, hiddenSize: 16, outputSize: 3, ...choices });
}

function uniform(rng: Rng, count: number): Float64Array {
  return Float64Array.from({ length: count }, () => rng.uniform(-1, 1));
}

function drawn(rng: Rng, shape: number[], engine: Kernels): Parameter {
  return parameter(
    uniform(
      rng,
      shape.reduce((a, b) => a * b),
    ),
    shape,
    { engine },
  );
}

/** Apart by at most a share of the largest value. */
function near(got: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string): void {
  let [most, apart] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    most = Math.max(most, Math.abs(expected[i]));
    apart = Math.max(apart, Math.abs(got[i] - expected[i]));
  }
  expect(got.length, what).toBe(expected.length);
  expect(apart, what).toBeLessThanOrEqual(tolerance * most);
}

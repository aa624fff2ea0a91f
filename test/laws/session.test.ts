/** @file Laws of a session of a bare network: steps equal the sequence, sessions know nothing of each other, a step is done wholly or not at all. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { type ErrorCode, OstinatoError } from "../../src/core/errors.js";
import { type Rng, seed } from "../../src/core/rng.js";
import { defaultEngine, type Kernels, ReferenceKernels, WasmKernels } from "../../src/kernels/index.js";
import { mse } from "../../src/losses/index.js";
import { type NetworkSession, openSession, recurrentSpec } from "../../src/model/index.js";
import {
  type ForwardOptions,
  type ForwardResult,
  flattenState,
  GRU,
  GRUCell,
  LSTM,
  Recurrent,
  RecurrentNetwork,
  RNN,
  type SequenceModel,
  stateWidth,
  WindowMLP,
} from "../../src/nn/index.js";
import { Adam } from "../../src/optim/index.js";
import { inference, type Tensor, tensor } from "../../src/tensor/index.js";
import { trainStep } from "../../src/train/index.js";

const [I, H, O] = [5, 18, 3];

const engines: [string, Kernels][] = [
  ["the float32 reference", new ReferenceKernels("float32")],
  ["wasm simd128", WasmKernels.create({ variant: "simd128" })],
  ["wasm", WasmKernels.create()],
  ["this machine's engine", defaultEngine()],
];

const network = (choices: Partial<Parameters<typeof recurrentSpec>[0]>) => (options: { rng: Rng; engine: Kernels }) =>
  new RecurrentNetwork(recurrentSpec({ cell: "gru", inputSize: I, hiddenSize: H, outputSize: O, ...choices }), options);

const networks: Record<string, (options: { rng: Rng; engine: Kernels }) => SequenceModel> = {
  "GRU with a head": network({}),
  "GRU that resets before the product, with a head": network({ resetAfter: false }),
  "three LSTM with a head and dropout in training": network({ cell: "lstm", numLayers: 3, dropout: 0.3 }),
  "two relu RNN with a head": network({ cell: "rnn", numLayers: 2, nonlinearity: "relu" }),
  "bare LSTM of one unit": (options) => new LSTM(I, 1, options),
  "two bare GRU without bias": (options) => new GRU(I, H, { ...options, numLayers: 2, bias: false }),
  "bare RNN": (options) => new RNN(I, H, options),
  "cell of one's own": ({ rng, engine }) => new Recurrent(new GRUCell(I, H, { rng, engine })),
  "window MLP": (options) => new WindowMLP({ type: "windowMLP", window: 3, inputSize: I, hiddenSize: 7, outputSize: O }, options),
};

const sequence = (rng: Rng, time: number) =>
  Array.from({ length: time }, () => Float32Array.from({ length: I }, () => rng.normal()));

/** Outputs step by step and the state behind them, by one call of `forward`. */
function forward(model: SequenceModel, steps: readonly Float32Array[]): { outputs: number[][]; state: Float32Array } {
  return inference(() => {
    const x = tensor(
      steps.flatMap((step) => [...step]),
      [1, steps.length, I],
      { engine: model.engine },
    );
    const { output, state } = model.forward(x);
    const values = [...output.toArray()];
    const width = values.length / steps.length;
    return {
      outputs: steps.map((_, t) => values.slice(t * width, (t + 1) * width)),
      state: flattenState(model.stateSpec, state),
    };
  });
}

function refuses(code: ErrorCode, act: () => unknown, message?: RegExp): void {
  let caught: unknown;
  try {
    act();
  } catch (error) {
    caught = error;
  }
  expect(caught).toBeInstanceOf(OstinatoError);
  expect((caught as OstinatoError).code).toBe(code);
  if (message) expect((caught as OstinatoError).message).toMatch(message);
}

describe.each(engines)("on %s", (_, engine) => {
  describe.each(Object.entries(networks))("a session of a %s", (__, make) => {
    const model = make({ rng: seed(1), engine });
    const steps = sequence(seed(2), 24);
    const open = (options = {}) => openSession(model, { owner: "a", ...options });
    const run = (session: NetworkSession, part = steps) => part.map((x) => [...session.step(x)]);

    it("equals the whole sequence, bit for bit", () => {
      const session = open();
      const { outputs, state } = forward(model, steps);
      expect(run(session)).toEqual(outputs);
      expect(session.state).toEqual(state);
      expect(session.steps).toBe(steps.length);
    });

    it("interleaved with others equals running alone", () => {
      const others = [3, 4].map((n) => sequence(seed(n), steps.length));
      const alone = [steps, ...others].map((one) => run(open(), one));
      const mixed = [open(), open(), open()];
      const got: number[][][] = [[], [], []];
      for (let t = 0; t < steps.length; t++) {
        for (const s of [t % 3, (t + 1) % 3, (t + 2) % 3]) got[s].push([...mixed[s].step([steps, ...others][s][t])]);
      }
      expect(got).toEqual(alone);
    });

    it("goes on from a snapshot and from a reset as if nothing had been", () => {
      const { outputs } = forward(model, steps);
      let session = open();
      const got = steps.map((x, t) => {
        if (t % 5 === 2) session = open({ snapshot: session.snapshot() });
        return [...session.step(x)];
      });
      expect(got).toEqual(outputs);
      expect(session.steps).toBe(steps.length);
      session.reset();
      expect(session.steps).toBe(0);
      expect(run(session)).toEqual(outputs);
    });

    it("takes a step wholly or not at all", () => {
      const session = open();
      run(session, steps.slice(0, 5));
      const before = session.state;
      const good = [...steps[5]];
      for (const bad of [[], good.slice(1), [...good, 0]]) refuses("OST_SHAPE", () => session.step(bad));
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, -1e39]) {
        refuses("OST_NAN", () => session.step([...good.slice(0, -1), bad]), /an input/);
      }
      expect(session.state).toEqual(before);
      expect(session.steps).toBe(5);
      expect([...session.step(good)]).toEqual(forward(model, steps).outputs[5]);
    });

    it("hands out what is the caller's to keep and to change", () => {
      const session = open();
      const [first, second] = run(open(), steps.slice(0, 2));
      const kept = session.step(steps[0]);
      const { state } = session;
      state.fill(7);
      expect([...session.step(steps[1])]).toEqual(second);
      expect([...kept]).toEqual(first);
    });

    it("reads the weights as they are now", () => {
      const [trained, twin] = [make({ rng: seed(1), engine }), make({ rng: seed(9), engine })];
      const session = openSession(trained, { owner: "a" });
      run(session, steps.slice(0, 3));
      trained.loadStateDict(twin.stateDict());
      const snapshot = session.snapshot();
      expect(run(session)).toEqual(run(openSession(twin, { owner: "a", snapshot })));
    });

    it("costs the engine nothing: weights and blocks are the network's", () => {
      const session = open();
      run(session);
      const before = engine.memory.bytesInUse;
      for (let i = 0; i < 1000; i++) open().step(steps[0]);
      for (let i = 0; i < 3000; i++) session.step(steps[i % steps.length]);
      expect(engine.memory.bytesInUse).toBe(before);
    });

    it("belongs to an owner, and its snapshot to that owner and these weights", () => {
      for (const owner of ["", undefined, 7]) refuses("OST_OWNER", () => openSession(model, { owner: owner as string }));
      refuses("OST_OWNER", () => (openSession as unknown as (model: SequenceModel) => unknown)(model));
      const session = open();
      run(session, steps.slice(0, 4));
      const snapshot = session.snapshot();
      refuses("OST_SNAPSHOT", () => openSession(model, { owner: "b", snapshot }), /another owner/);
      const other = make({ rng: seed(2), engine });
      refuses("OST_SNAPSHOT", () => openSession(other, { owner: "a", snapshot }), /another model/);
      for (let i = 0; i < snapshot.length; i += 7) {
        const corrupt = snapshot.slice();
        corrupt[i] ^= 0x10;
        refuses("OST_SNAPSHOT", () => open({ snapshot: corrupt }));
      }
      const twin = make({ rng: seed(1), engine });
      expect(openSession(twin, { owner: "a", snapshot }).state).toEqual(session.state);
    });
  });

  it("a result beyond the range of floats is refused, the state kept", () => {
    const layer = new RNN(1, 2, { rng: seed(1), engine, nonlinearity: "relu" });
    for (const parameter of layer.parameters()) parameter.assign(new Float32Array(parameter.size).fill(1e20));
    const session = openSession(layer, { owner: "a" });
    session.step([1e-20]);
    const before = session.state;
    refuses("OST_NAN", () => session.step([1e30]), /a result/);
    expect(session.state).toEqual(before);
    expect(session.steps).toBe(1);
  });

  it.each(["bfloat16", "int8"] as const)(
    "a session steps on %s weights as forward does, and notices when they change",
    (weights) => {
      for (const make of [network({ numLayers: 2 }), network({ cell: "lstm" })]) {
        const model = make({ rng: seed(1), engine });
        const session = openSession(model, { owner: "a" });
        const steps = sequence(seed(2), 12);
        const whole = forward(model, steps).outputs;
        for (const type of [weights, "float32", weights] as const) {
          model.recurrent.weights = type;
          const { outputs } = forward(model, steps);
          session.reset();
          expect(steps.map((x) => [...session.step(x)])).toEqual(outputs);
          expect(JSON.stringify(outputs) === JSON.stringify(whole)).toBe(type === "float32");
        }
      }
    },
  );

  it("a session learns with its network", () => {
    const model = networks["GRU with a head"]({ rng: seed(1), engine });
    const session = openSession(model, { owner: "a" });
    const steps = sequence(seed(2), 6);
    session.step(steps[0]);
    const optimizer = new Adam(model.parameters(), { learningRate: 0.1 });
    const goal = tensor([1, 2, 3], [1, 1, 3], { engine });
    const x = tensor([...steps[0]], [1, 1, I], { engine });
    const objective = () => ({ loss: mse(model.forward(x).output, goal) });
    for (let i = 0; i < 3; i++) {
      trainStep({ optimizer, objective, rng: seed(1) });
      session.reset();
      expect([...session.step(steps[0])]).toEqual(forward(model, steps.slice(0, 1)).outputs[0]);
    }
  });
});

describe("a session", () => {
  const engine = new ReferenceKernels("float32");

  it.each(Object.entries(networks))("of a %s steps on when the engine's memory grows and moves", (_, make) => {
    for (const growing of [new ReferenceKernels("float32"), WasmKernels.create()]) {
      const model = make({ rng: seed(1), engine: growing });
      const [session, twin] = [openSession(model, { owner: "a" }), openSession(model, { owner: "b" })];
      const steps = sequence(seed(2), 8);
      const { byteLength } = growing.memory;
      for (const x of steps) {
        const expected = session.step(x);
        growing.memory.allocate(growing.memory.byteLength);
        expect(twin.step(x)).toEqual(expected);
      }
      expect(growing.memory.byteLength).toBeGreaterThan(byteLength);
    }
  });

  it("of a network that looks ahead is refused", () => {
    const model = new GRU(I, H, { rng: seed(1), engine, bidirectional: true });
    refuses("OST_CAUSAL", () => openSession(model, { owner: "a" }), /bidirectional/);
  });

  it("runs a forward pass of one's own where there is one", () => {
    class Doubled extends RecurrentNetwork {
      override forward(x: Tensor, options?: ForwardOptions): ForwardResult {
        const { output, last, state } = super.forward(x, options);
        return { output: output.multiply(2), last: last.multiply(2), state };
      }
    }
    const spec = recurrentSpec({ cell: "gru", inputSize: I, hiddenSize: H, outputSize: O });
    const [plain, doubled] = [
      new RecurrentNetwork(spec, { rng: seed(1), engine }),
      new Doubled(spec, { rng: seed(1), engine }),
    ].map((model) => openSession(model, { owner: "a" }));
    for (const x of sequence(seed(2), 5)) {
      expect([...doubled.step(x)]).toEqual(Array.from(plain.step(x), (value) => 2 * value));
    }
  });

  it("takes plain numbers as well as typed ones, and float64 on a float64 engine", () => {
    const model = new GRU(I, H, { rng: seed(1), engine: new ReferenceKernels("float64") });
    const [one, other] = [openSession(model, { owner: "a" }), openSession(model, { owner: "b" })];
    for (const x of sequence(seed(2), 5)) expect(one.step([...x])).toEqual(other.step(x));
    expect(one.state.length).toBe(stateWidth(model.stateSpec));
    expect(one.state.every((value) => Math.abs(value) < 1)).toBe(true);
  });

  it("leaves nothing in the engine when network and session are gone", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const memory = WasmKernels.create();
    const before = memory.memory.bytesInUse;
    (() => {
      for (let i = 0; i < 5; i++) {
        const model = networks["three LSTM with a head and dropout in training"]({ rng: seed(i), engine: memory });
        const session = openSession(model, { owner: "a" });
        for (const x of sequence(seed(2), 3)) session.step(x);
      }
    })();
    expect(memory.memory.bytesInUse).toBeGreaterThan(before);
    for (let i = 0; i < 100 && memory.memory.bytesInUse > before; i++) {
      collect();
      await new Promise((resume) => setTimeout(resume, 10));
    }
    expect(memory.memory.bytesInUse).toBe(before);
  });
});

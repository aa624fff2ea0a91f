/** @file The laws of recurrent models on every engine: fused equals step by step, sequence equals chunks, rows and sessions independent. */
import { describe, expect, it } from "vitest";
import { type Rng, seed } from "../../src/core/rng.js";
import { type Kernels, ReferenceKernels, WasmKernels } from "../../src/kernels/index.js";
import {
  type Cell,
  type ForwardResult,
  GRU,
  GRUCell,
  LSTM,
  LSTMCell,
  Recurrent,
  type RecurrentLayer,
  RecurrentNetwork,
  type RecurrentOptions,
  RNN,
  RNNCell,
  WindowMLP,
} from "../../src/nn/index.js";
import { integers, parameter, scope, tensor } from "../../src/tensor/index.js";
import { checkModelLaws } from "../../src/testing/check-model.js";
import { NATIVE_ENGINES, skipAbsentNative } from "../support/native-engines.js";

const [I, H] = [3, 7];

const cells: { name: string; layer: (options: RecurrentOptions) => RecurrentLayer; cell: (rng: Rng, engine: Kernels) => Cell }[] =
  [
    {
      name: "RNN tanh",
      layer: (options) => new RNN(I, H, options),
      cell: (rng, engine) => new RNNCell(I, H, { rng, engine }),
    },
    {
      name: "RNN relu",
      layer: (options) => new RNN(I, H, { ...options, nonlinearity: "relu" }),
      cell: (rng, engine) => new RNNCell(I, H, { rng, engine, nonlinearity: "relu" }),
    },
    { name: "LSTM", layer: (options) => new LSTM(I, H, options), cell: (rng, engine) => new LSTMCell(I, H, { rng, engine }) },
    {
      name: "GRU reset after",
      layer: (options) => new GRU(I, H, options),
      cell: (rng, engine) => new GRUCell(I, H, { rng, engine }),
    },
    {
      name: "GRU reset before",
      layer: (options) => new GRU(I, H, { ...options, resetAfter: false }),
      cell: (rng, engine) => new GRUCell(I, H, { rng, engine, resetAfter: false }),
    },
  ];

const engines: [string, Kernels][] = [
  ["float32 reference", new ReferenceKernels("float32")],
  ["wasm simd128", WasmKernels.create({ variant: "simd128" })],
  ["wasm", WasmKernels.create()],
  ...NATIVE_ENGINES.map(([name, create]): [string, Kernels] => [name, create()]),
];
skipAbsentNative();

const batchSizes = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64];

describe.each(engines)("on %s", (_, engine) => {
  describe.each(cells)("$name", ({ layer, cell }) => {
    it("obeys the laws of a sequence model", () => {
      checkModelLaws((rng, engine) => layer({ rng, engine }), { inputSize: I, engine, batchSizes });
    });

    it("obeys them stacked, bidirectional and both, without bias and with dropout", () => {
      for (const options of [
        { numLayers: 2, dropout: 0.3 },
        { bidirectional: true },
        { numLayers: 2, bidirectional: true, dropout: 0.3 },
        { bias: false },
      ]) {
        checkModelLaws((rng, engine) => layer({ rng, engine, ...options }), { inputSize: I, engine, batchSizes: [1, 3, 17] });
      }
    });

    it("the fused layer equals its cell run step by step: outputs, states, gradients", () => {
      const fused = layer({ rng: seed(1), engine });
      const stepped = new Recurrent(cell(seed(2), engine));
      const weights = fused.stateDict();
      stepped.loadStateDict(
        new Map([...stepped.stateDict().keys()].map((name) => [name, weights.get(`${name.replace("cell.", "")}_l0`)!])),
      );
      const names = Object.keys(stepped.stateSpec);
      const run = (suffix: string, forward: RecurrentLayer["forward"]) => {
        const rng = seed(3);
        const draw = (...shape: number[]) => {
          const size = shape.reduce((a, b) => a * b);
          return parameter(
            Array.from({ length: size }, () => rng.uniform(-1, 1)),
            shape,
            { engine },
          );
        };
        const x = draw(4, 6, I);
        const state = Object.fromEntries(names.map((name) => [name + suffix, draw(4, H)]));
        return scope(() => {
          const result: ForwardResult = forward(x, { state, lengths: integers([6, 0, 3, 1], [4], { engine }) });
          const states = names.map((name) => result.state[name + suffix]);
          const values = [result.output, result.last, ...states];
          const loss = values
            .map((value, i) =>
              value
                .multiply(i + 1)
                .square()
                .sum(),
            )
            .reduce((a, b) => a.add(b));
          loss.backward();
          const gradients = [x, ...Object.values(state)].map(({ grad }) => grad!.floats().slice());
          return [...values.map((value) => value.toArray()), ...gradients];
        });
      };
      const expected = run("", stepped.forward.bind(stepped));
      const got = run("_l0", fused.forward.bind(fused));
      for (const [i, values] of got.entries()) near(values, expected[i], 2e-5);
      const stepGradients = stepped.parameters().map(({ grad }) => grad!.floats());
      for (const [i, { grad }] of fused.parameters().entries()) near(grad!.floats(), stepGradients[i], 2e-5);
    });

    it("output at and after a row's length is zero; a row of length zero returns its initial state, also as last", () => {
      const model = layer({ rng: seed(1), engine });
      scope(() => {
        const x = tensor(new Array(2 * 3 * I).fill(0.5), [2, 3, I], { engine });
        const initial = Array.from({ length: 2 * H }, (_, i) => Math.fround(Math.sin(i)));
        const state = Object.fromEntries(Object.keys(model.stateSpec).map((name) => [name, tensor(initial, [2, H], { engine })]));
        const { output, last, state: after } = model.forward(x, { state, lengths: integers([0, 2], [2], { engine }) });
        expect([...output.slice(0, 0, 1).toArray()]).toEqual(new Array(3 * H).fill(0));
        expect([...output.slice(1, 2, 3).toArray()]).toEqual(new Array(2 * H).fill(0));
        for (const value of [last, ...Object.values(after)])
          expect([...value.slice(0, 0, 1).toArray()]).toEqual(initial.slice(0, H));
        const empty = model.forward(x.slice(1, 0, 0), { state });
        expect(empty.output.shape).toEqual([2, 0, H]);
        for (const value of Object.values(empty.state)) expect([...value.toArray()]).toEqual(initial);
      });
    });
  });

  it("last is the output at each row's last valid step; of two directions, each one's own last: forward at the end, reverse at step 0", () => {
    const lengths = [5, 2, 1];
    const x = tensor(
      Array.from({ length: 3 * 5 * I }, (_, i) => Math.cos(i)),
      [3, 5, I],
      { engine },
    );
    for (const { layer } of cells) {
      for (const bidirectional of [false, true]) {
        const model = layer({ rng: seed(1), engine, bidirectional, numLayers: 2 });
        const { output, last } = model.forward(x, { lengths: integers(lengths, [3], { engine }) });
        const expected = lengths.flatMap((length, b) => {
          const step = (t: number) => [
            ...output
              .slice(0, b, b + 1)
              .slice(1, t, t + 1)
              .toArray(),
          ];
          return [...step(length - 1).slice(0, H), ...(bidirectional ? step(0).slice(H) : [])];
        });
        expect([...last.toArray()]).toEqual(expected);
      }
    }
  });

  it("networks and the window MLP obey the laws of a sequence model", () => {
    const spec = {
      type: "recurrent",
      inputSize: I,
      hiddenSize: H,
      outputSize: 2,
      numLayers: 2,
      bidirectional: false,
      dropout: 0.2,
      init: "orthogonal",
      forgetBias: 1,
      resetAfter: true,
      nonlinearity: "tanh",
    } as const;
    for (const cell of ["rnn", "lstm", "gru"] as const) {
      checkModelLaws((rng, engine) => new RecurrentNetwork({ ...spec, cell }, { rng, engine }), { inputSize: I, engine });
    }
    const mlp = { type: "windowMLP", window: 3, inputSize: I, hiddenSize: 8, outputSize: 2 } as const;
    checkModelLaws((rng, engine) => new WindowMLP(mlp, { rng, engine }), { inputSize: I, engine, inputGradient: false });
  });

  it("dropout acts exactly when a generator is given, between layers only, and its values are those kept over 1 - p", () => {
    const x = tensor(
      Array.from({ length: 2 * 4 * I }, (_, i) => Math.cos(i)),
      [2, 4, I],
      { engine },
    );
    const output = (dropout: number, numLayers: number, rng?: Rng) => {
      const model = new GRU(I, H, { rng: seed(1), engine, numLayers, dropout });
      return [...model.forward(x, { rng }).output.toArray()];
    };
    expect(output(0.5, 2)).toEqual(output(0, 2));
    expect(output(0.5, 1, seed(1))).toEqual(output(0, 1));
    expect(output(0.5, 2, seed(1))).not.toEqual(output(0, 2));
    expect(output(0.5, 2, seed(1))).toEqual(output(0.5, 2, seed(1)));
    expect(output(0.5, 2, seed(1))).not.toEqual(output(0.5, 2, seed(2)));
  });

  it("a changed weight is seen by the next call, whoever changed it", () => {
    const model = new LSTM(I, H, { rng: seed(1), engine });
    const other = new LSTM(I, H, { rng: seed(2), engine });
    const x = tensor(
      Array.from({ length: 3 * I }, (_, i) => Math.cos(i)),
      [1, 3, I],
      { engine },
    );
    const before = [...model.forward(x).last.toArray()];
    model.loadStateDict(other.stateDict());
    expect([...model.forward(x).last.toArray()]).toEqual([...other.forward(x).last.toArray()]);
    expect([...model.forward(x).last.toArray()]).not.toEqual(before);
  });
});

it("what LSTM's forget bias and orthogonal init promise", () => {
  const engine = new ReferenceKernels("float64");
  const lstm = new LSTM(I, H, { rng: seed(1), engine, forgetBias: 1, init: "orthogonal" });
  const values = lstm.stateDict();
  const bias = (name: string) => [...values.get(name)!.data.subarray(H, 2 * H)];
  expect(bias("bias_ih_l0").map((value, i) => value + bias("bias_hh_l0")[i])).toEqual(new Array(H).fill(1));
  const hh = values.get("weight_hh_l0")!.data;
  for (let gate = 0; gate < 4; gate++) {
    for (let i = 0; i < H; i++) {
      for (let j = 0; j < H; j++) {
        let dot = 0;
        for (let k = 0; k < H; k++) dot += hh[(gate * H + i) * H + k] * hh[(gate * H + j) * H + k];
        expect(dot).toBeCloseTo(i === j ? 1 : 0, 12);
      }
    }
  }
});

function near(got: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(got.length).toBe(expected.length);
  let [worst, scale] = [0, 1];
  for (let i = 0; i < got.length; i++) {
    scale = Math.max(scale, Math.abs(expected[i]));
    worst = Math.max(worst, Math.abs(got[i] - expected[i]));
  }
  expect(worst / scale).toBeLessThan(tolerance);
}

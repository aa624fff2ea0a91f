/** @file The laws of a sequence model, and gradients, for every choice beyond the plain stack; and what each choice computes. */
import { describe, expect, it } from "vitest";
import { NATIVE_ENGINES, skipAbsentNative } from "../../test/support/native-engines.js";
import { type Rng, seed } from "../core/rng.js";
import { type Kernels, ReferenceKernels, WasmKernels } from "../kernels/index.js";
import { inference, integers, parameter, scope, type Tensor, tensor } from "../tensor/index.js";
import { checkGradient, weightedSum } from "../testing/check-gradient.js";
import { checkModelGradient, checkModelLaws } from "../testing/check-model.js";
import { GRU } from "./gru.js";
import { LSTM, LSTMCell } from "./lstm.js";
import type { RecurrentLayer, RecurrentOptions } from "./recurrent-layer.js";
import { RNN } from "./rnn.js";
import { useWeights } from "./weights.js";

const [I, H] = [3, 4];
const float64 = new ReferenceKernels("float64");
const engines: [string, Kernels][] = [
  ["float32 reference", new ReferenceKernels("float32")],
  ["wasm", WasmKernels.create()],
  ...NATIVE_ENGINES.map(([name, create]): [string, Kernels] => [name, create()]),
];
skipAbsentNative();

type Choices = Omit<RecurrentOptions, "rng" | "engine">;
type Make = (choices: Choices, rng: Rng, engine: Kernels) => RecurrentLayer;

const layers: Record<string, Make> = {
  "RNN tanh": (choices, rng, engine) => new RNN(I, H, { ...choices, rng, engine }),
  "RNN relu": (choices, rng, engine) => new RNN(I, H, { ...choices, nonlinearity: "relu", rng, engine }),
  LSTM: (choices, rng, engine) => new LSTM(I, H, { ...choices, rng, engine }),
  "GRU reset after": (choices, rng, engine) => new GRU(I, H, { ...choices, rng, engine }),
  "GRU reset before": (choices, rng, engine) => new GRU(I, H, { ...choices, resetAfter: false, rng, engine }),
};

const choices: Choices[] = [
  { layerSizes: [5, 2, H] },
  { layerSizes: [5, H], bidirectional: true, merge: "mean" },
  { numLayers: 3, residual: true },
  { numLayers: 2, bidirectional: true, residual: true },
  { numLayers: 2, bidirectional: true, merge: "sum", residual: true, layerNorm: true },
  { numLayers: 2, layerNorm: true },
  { learnedState: true, numLayers: 2 },
  { zoneout: 0.3 },
  { zoneout: 0.2, numLayers: 2, residual: true, layerNorm: true, learnedState: true, bias: false },
  { zoneout: 0.3, bidirectional: true },
  { recurrentDropout: 0.4, weightDropout: 0.3, inputDropout: 0.2, lockedDropout: 0.3, dropout: 0.2, numLayers: 2 },
];

const lstmChoices: Choices[] = [
  { projection: 2 },
  { projection: 3, layerSizes: [5, H], bidirectional: true, merge: "sum", residual: true, learnedState: true },
  { projection: 2, zoneout: 0.1, cellZoneout: 0.5, recurrentDropout: 0.3, weightDropout: 0.2, layerNorm: true, numLayers: 2 },
  { cellZoneout: 0.5 },
];

const cases = Object.entries(layers).flatMap(([name, make]) =>
  [...choices, ...(name === "LSTM" ? lstmChoices : [])].map((one) => [`${name} ${JSON.stringify(one)}`, make, one] as const),
);

describe.each(engines)("on %s", (_, engine) => {
  it.each(cases)("%s obeys the laws of a sequence model", (_, make, one) => {
    checkModelLaws((rng, engine) => make(one, rng, engine), { inputSize: I, engine, batchSizes: [1, 3, 17] });
  });
});

describe("gradients equal central differences", () => {
  it.each(cases)("%s", (_, make, one) => {
    checkModelGradient((rng, engine) => awake(make(one, rng, engine)), { inputSize: I });
  });

  it.each(cases)("%s, with every mask drawn and the initial state its own", (_, make, one) => {
    const model = awake(make(one, seed(1), float64));
    const x = parameter(uniform(seed(2), 3 * 4 * I), [3, 4, I], { engine: float64 });
    const parameters = new Map([...model.namedParameters(), ["input", x]]);
    let weights: Float64Array[] | undefined;
    const loss = () => {
      const { output, last, state } = model.forward(x, { lengths: integers([4, 0, 2], [3], { engine: float64 }), rng: seed(4) });
      const parts = [output, last, ...Object.values(state)];
      weights ??= parts.map(({ size }) => uniform(seed(5), size));
      return weightedSum(parts, weights, float64);
    };
    checkGradient(loss, parameters);
  });
});

describe("what a choice computes", () => {
  it.each(Object.entries(layers))(
    "%s: steps without a mask are the fused layer, to rounding, states and gradients too",
    (_, make) => {
      for (const options of [{}, { numLayers: 2, bidirectional: true }, { bias: false }]) {
        const run = (recurrentDropout: number) => {
          const model = make({ ...options, recurrentDropout }, seed(1), float64);
          const x = parameter(uniform(seed(2), 3 * 6 * I), [3, 6, I], { engine: float64 });
          const values = scope(() => {
            const result = model.forward(x, { lengths: integers([6, 0, 3], [3], { engine: float64 }), rng: seed(3) });
            const parts = [result.output, result.last, ...Object.values(result.state)];
            const losses = parts.map((value, i) =>
              value
                .add(1 + i)
                .square()
                .sum(),
            );
            losses.reduce((a, b) => a.add(b)).backward();
            return parts.map((part) => [...part.toArray()]);
          });
          return [...values, ...[x, ...model.parameters()].map(({ grad }) => [...grad!.floats()])];
        };
        // A share so small that no draw of 32 bits falls under it.
        const [fused, stepped] = [run(0), run(1e-12)];
        for (const [i, values] of stepped.entries()) {
          for (const [k, value] of values.entries()) expect(value).toBeCloseTo(fused[i][k], 9);
        }
      }
    },
  );

  it("layerSizes of equal sizes, and choices that are off, are the plain stack to the bit, and draw nothing", () => {
    const off = {
      projection: undefined,
      residual: false,
      layerNorm: false,
      learnedState: false,
      merge: "concat",
      inputDropout: 0,
      lockedDropout: 0,
      recurrentDropout: 0,
      weightDropout: 0,
      zoneout: 0,
    } as const;
    for (const make of Object.values(layers)) {
      for (const options of [
        { numLayers: 2, dropout: 0.4 },
        { numLayers: 2, bidirectional: true },
      ]) {
        const run = (more: Choices) => {
          const rng = seed(5);
          const model = make({ ...options, ...more }, seed(1), engines[1][1]);
          const { output } = model.forward(input(model, 3, 5), { rng });
          return [[...model.namedParameters().keys()], [...output.toArray()], rng.state, [...model.stateDict().values()]];
        };
        const plain = run({});
        expect(run(off)).toEqual(plain);
        expect(run({ layerSizes: [H, H] })).toEqual(plain);
      }
    }
  });

  it("a residual adds each layer's input from the second layer on; a norm comes before it; merges are of the two halves", () => {
    const engine = float64;
    const run = (options: Choices) => {
      const model = new GRU(I, H, { rng: seed(1), engine, numLayers: 2, bidirectional: true, ...options });
      return { model, output: [...model.forward(input(model, 2, 3)).output.toArray()] };
    };
    const pair = (options: Choices, k: number, x: Tensor) => {
      const whole = run(options).model.stateDict();
      const single = new GRU(x.shape[2], H, { rng: seed(1), engine, bidirectional: true });
      single.loadStateDict(
        new Map([...single.namedParameters().keys()].map((name) => [name, whole.get(name.replace("_l0", `_l${k}`))!])),
      );
      const values = single.forward(x).output;
      return [values.slice(2, 0, H), values.slice(2, H, 2 * H)];
    };
    const options: Choices = { merge: "mean", residual: true, layerNorm: true };
    const { model, output } = run(options);
    expect(model.outputSize).toBe(H);
    const average = ([a, b]: Tensor[]) => a.add(b).multiply(0.5);
    const normal = (z: Tensor) => {
      const rows = z.reshape([z.size / H, H]);
      const centred = rows.subtract(rows.mean(1).reshape([z.size / H, 1]));
      const deviation = centred
        .square()
        .mean(1)
        .add(1e-5)
        .sqrt()
        .reshape([z.size / H, 1]);
      return centred.divide(deviation).reshape(z.shape);
    };
    const first = normal(average(pair(options, 0, input(model, 2, 3))));
    const second = normal(average(pair(options, 1, first))).add(first);
    for (const [i, value] of second.toArray().entries()) expect(output[i]).toBeCloseTo(value, 12);
    const sum = run({ numLayers: 1, merge: "sum" }).output;
    const [a, b] = pair({ numLayers: 1, merge: "sum" }, 0, input(model, 2, 3));
    expect(sum).toEqual([...a.add(b).toArray()]);
  });

  it("last is the output at the last valid step, whatever lies between layers", () => {
    for (const options of [{ layerNorm: true, residual: true }, { layerSizes: [7, H] }, { zoneout: 0.2, residual: true }]) {
      const model = new GRU(I, H, { rng: seed(1), engine: engines[0][1], numLayers: 2, ...options });
      const lengths = [5, 1, 3];
      const { output, last } = model.forward(input(model, 3, 5), { lengths: integers(lengths, [3], { engine: model.engine }) });
      const expected = lengths.flatMap((n, b) => [
        ...output
          .slice(0, b, b + 1)
          .slice(1, n - 1, n)
          .toArray(),
      ]);
      expect([...last.toArray()]).toEqual(expected);
    }
  });

  it("zoneout at inference is the expectation, written out over the plain cell", () => {
    const [zh, zc] = [0.1, 0.5];
    const model = new LSTM(I, H, { rng: seed(1), engine: float64, zoneout: zh, cellZoneout: zc });
    const cell = new LSTMCell(I, H, { rng: seed(2), engine: float64 });
    const own = model.stateDict();
    cell.loadStateDict(new Map([...cell.namedParameters().keys()].map((name) => [name, own.get(`${name}_l0`)!])));
    const x = input(model, 2, 4);
    let state = cell.initialState(2);
    for (let t = 0; t < 4; t++) {
      const next = cell.step(x.slice(1, t, t + 1).reshape([2, I]), state).state;
      state = {
        h: state["h"].multiply(zh).add(next["h"].multiply(1 - zh)),
        c: state["c"].multiply(zc).add(next["c"].multiply(1 - zc)),
      };
    }
    const result = model.forward(x).state;
    for (const part of ["h", "c"]) {
      const got = result[`${part}_l0`].toArray();
      for (const [i, value] of state[part].toArray().entries()) expect(got[i]).toBeCloseTo(value, 12);
    }
  });

  it("zoneout in training keeps a share of units exactly as they were", () => {
    const model = new GRU(I, 200, { rng: seed(1), engine: float64, zoneout: 0.3 });
    const { output } = model.forward(input(model, 1, 20), { rng: seed(2) });
    const values = output.toArray();
    let same = 0;
    for (let i = 200; i < values.length; i++) if (values[i] === values[i - 200]) same++;
    expect(same / (19 * 200)).toBeCloseTo(0.3, 1);
  });

  it("weight dropout zeroes a share of weight_hh for a whole call, scales the rest, and leaves the parameter alone", () => {
    const engine = engines[1][1];
    const model = new GRU(I, H, { rng: seed(1), engine, weightDropout: 0.5 });
    const plain = new GRU(I, H, { rng: seed(1), engine });
    const before = model.stateDict();
    const x = input(model, 3, 5);
    const dropped = [...model.forward(x, { rng: seed(6) }).output.toArray()];
    const rng = seed(6);
    const weight = before.get("weight_hh_l0")!;
    const data = weight.data.map((value) => (rng.bits() >= 0.5 * 2 ** 32 ? 2 * value : 0));
    expect(data.filter((value) => value === 0).length).toBeGreaterThan(0);
    plain.loadStateDict(new Map([...before, ["weight_hh_l0", { ...weight, data }]]));
    expect(dropped).toEqual([...plain.forward(x).output.toArray()]);
    expect(model.stateDict()).toEqual(before);
    expect([...model.forward(x).output.toArray()]).not.toEqual(dropped);
  });

  it("locked masks of a row are the same at every step, and more padding draws no other", () => {
    const model = new RNN(5, H, { rng: seed(1), engine: float64, inputDropout: 0.5, nonlinearity: "relu" });
    const x = parameter(uniform(seed(2), 2 * 6 * 5), [2, 6, 5], { engine: float64 });
    scope(() =>
      model
        .forward(x, { rng: seed(3) })
        .output.square()
        .sum()
        .backward(),
    );
    const zero = (b: number, t: number) =>
      [...x.grad!.floats().slice((b * 6 + t) * 5, (b * 6 + t + 1) * 5)].map((value) => value === 0);
    for (const b of [0, 1]) for (let t = 1; t < 6; t++) expect(zero(b, t)).toEqual(zero(b, 0));
    expect(zero(0, 0)).not.toEqual(zero(1, 0));
    const all = { recurrentDropout: 0.4, weightDropout: 0.3, inputDropout: 0.3, lockedDropout: 0.3, numLayers: 2 };
    const layer = new LSTM(I, H, { rng: seed(1), engine: float64, ...all });
    const run = (time: number) => {
      const wide = tensor(
        Array.from({ length: 2 * time * I }, (_, i) => Math.sin(i % (time * I))),
        [2, time, I],
        { engine: float64 },
      );
      const { last } = layer.forward(wide, { rng: seed(4), lengths: integers([4, 2], [2], { engine: float64 }) });
      return [...last.toArray()];
    };
    expect(run(9)).toEqual(run(4));
  });

  it("a learned state is where every fresh row begins, and learns", () => {
    const engine = float64;
    const model = new LSTM(I, H, { rng: seed(1), engine, learnedState: true });
    for (const name of ["initial_h_l0", "initial_c_l0"]) {
      const own = model.namedParameters().get(name)!;
      expect([...own.toArray()]).toEqual([0, 0, 0, 0]);
      own.assign(uniform(seed(3), H));
    }
    const x = input(model, 2, 3);
    const given = model.forward(x, { state: model.initialState(2) });
    expect([...given.output.toArray()]).toEqual([...model.forward(x).output.toArray()]);
    const empty = model.forward(x, { lengths: integers([0, 3], [2], { engine }) }).state["c_l0"];
    expect([...empty.slice(0, 0, 1).toArray()]).toEqual([...model.namedParameters().get("initial_c_l0")!.toArray()]);
    scope(() => model.forward(x).last.sum().backward());
    expect(
      model
        .namedParameters()
        .get("initial_h_l0")!
        .grad!.floats()
        .some((value) => value !== 0),
    ).toBe(true);
  });

  it("keeps PyTorch's order of parameters, and names of its own behind them", () => {
    const options = { projection: 2, layerNorm: true, learnedState: true, bidirectional: true, rng: seed(1), engine: float64 };
    const names = (suffix: string) =>
      ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"].map((name) => `${name}_l0${suffix}`);
    const states = ["h_l0", "c_l0", "h_l0_reverse", "c_l0_reverse"].map((name) => `initial_${name}`);
    expect([...new LSTM(I, H, options).namedParameters().keys()]).toEqual([
      ...names(""),
      ...names("_reverse"),
      "norm_l0.weight",
      "norm_l0.bias",
      ...states,
    ]);
  });
});

describe("what does not go together is refused", () => {
  const make = (options: object) => () => new LSTM(I, H, { rng: seed(1), engine: float64, ...options });

  it.each([
    { layerSizes: [] },
    { layerSizes: [5] },
    { layerSizes: [5, 4], numLayers: 3 },
    { layerSizes: [0, 4] },
    { layerSizes: [1.5, 4] },
    { projection: 0 },
    { projection: 4 },
    { projection: 2, layerSizes: [2, 4] },
    { merge: "max" },
    { zoneout: 1 },
    { zoneout: Number.NaN },
    { recurrentDropout: -0.1 },
    { weightDropout: 1 },
    { lockedDropout: 2 },
    { inputDropout: 1 },
    { cellZoneout: 1 },
    { zoneout: 0.1, recompute: 4 },
    { recurrentDropout: 0.1, recompute: "auto" },
    { projection: 2, recompute: 4 },
  ])("%j", (options) => {
    expect(make(options)).toThrow(/OST_RANGE/);
  });

  it("a projection or a cell's zoneout of what has no cell", () => {
    expect(() => new GRU(I, H, { rng: seed(1), engine: float64, projection: 2 })).toThrow(/OST_RANGE.*LSTM/s);
    expect(() => new RNN(I, H, { rng: seed(1), engine: float64, cellZoneout: 0.2 })).toThrow(/OST_RANGE.*LSTM/s);
  });

  it("small weights with a projection; they go with norms, residuals and zoneout", () => {
    const engine = engines[1][1];
    const projected = new LSTM(I, H, { rng: seed(1), engine, projection: 2 });
    expect(() => useWeights(projected, "int8")).toThrow(/OST_RANGE.*projection/s);
    expect(projected.weights).toBe("float32");
    const options = { numLayers: 2, residual: true, layerNorm: true, learnedState: true, zoneout: 0.2 };
    const model = new GRU(I, H, { rng: seed(1), engine, ...options });
    const run = () => [...inference(() => model.forward(input(model, 3, 5)).output.toArray())];
    const exact = run();
    for (const type of ["bfloat16", "int8"] as const) {
      expect(useWeights(model, type)).toBe(1);
      const worst = Math.max(...run().map((value, i) => Math.abs(value - exact[i])));
      expect(worst).toBeGreaterThan(1e-5);
      expect(worst).toBeLessThan(0.1);
    }
    useWeights(model, "float32");
    expect(run()).toEqual(exact);
  });

  it("a mask on a GRU's h with small weights, also where nothing is recorded", () => {
    const model = new GRU(I, H, { rng: seed(1), engine: engines[1][1], recurrentDropout: 0.3 });
    model.weights = "bfloat16";
    inference(() => {
      model.forward(input(model, 1, 2));
      expect(() => model.forward(input(model, 1, 2), { rng: seed(1) })).toThrow(/OST_RANGE.*recurrent dropout.*bfloat16/s);
    });
  });
});

/** Away from where zero initial states, ones of norms and zeros of biases would hide a fault. */
function awake(model: RecurrentLayer): RecurrentLayer {
  const rng = seed(7);
  for (const [name, own] of model.namedParameters()) {
    if (/norm|initial/.test(name)) own.assign(own.floats().map((value) => value + rng.uniform(-0.5, 0.5)));
  }
  return model;
}

function input(model: RecurrentLayer, batch: number, time: number): Tensor {
  return tensor(uniform(seed(2), batch * time * I), [batch, time, I], { engine: model.engine });
}

function uniform(rng: Rng, count: number): Float64Array {
  return Float64Array.from({ length: count }, () => rng.uniform(-1, 1));
}

/** @file Networks beyond the plain stack: laws, gradients, sessions; tied weights, dropped codes, and what a model file keeps of them. */
import { describe, expect, it } from "vitest";
import { NATIVE_ENGINES } from "../../test/support/native-engines.js";
import { seed } from "../core/rng.js";
import { type Kernels, ReferenceKernels, WasmKernels } from "../kernels/index.js";
import { buildNetwork, countParameters, describeArchitecture, recurrentSpec } from "../model/architecture.js";
import { inference, integers, type Parameter, scope, tensor } from "../tensor/index.js";
import { checkGradient, weightedSum } from "../testing/check-gradient.js";
import { checkModelGradient, checkModelLaws } from "../testing/check-model.js";
import { RecurrentNetwork, type RecurrentNetworkSpec } from "./network.js";
import { flattenState, resetRows } from "./state.js";
import { stepperOf } from "./stepper.js";
import { useWeights } from "./weights.js";

const [I, H, O] = [3, 6, 5];
const float64 = new ReferenceKernels("float64");
const wasm = WasmKernels.create();
const engines: [string, Kernels][] = [
  ["float32 reference", new ReferenceKernels("float32")],
  ["wasm", wasm],
  ...NATIVE_ENGINES.map(([name, create]): [string, Kernels] => [name, create()]),
];

const spec = (choices: Partial<RecurrentNetworkSpec>) =>
  recurrentSpec({ cell: "lstm", inputSize: I, hiddenSize: H, outputSize: O, ...choices });
const codes = { embeddings: [{ column: 1, size: O, width: H }] };
const narrow = { embeddings: [{ column: 1, size: O, width: 4 }] };

const specs: Partial<RecurrentNetworkSpec>[] = [
  { layerSizes: [9, 4] },
  { layerSizes: [9, 4, 7], cell: "rnn", nonlinearity: "relu" },
  { numLayers: 3, residual: true, layerNorm: true, cell: "gru" },
  { learnedState: true, numLayers: 2, init: "orthogonal", forgetBias: 1 },
  { projection: 4, numLayers: 2, residual: true, learnedState: true, init: "orthogonal" },
  { zoneout: 0.1, cellZoneout: 0.4 },
  { zoneout: 0.2, cell: "gru", resetAfter: false, recurrentDropout: 0.3 },
  { inputDropout: 0.1, lockedDropout: 0.2, weightDropout: 0.3, dropout: 0.1, recurrentDropout: 0.2, numLayers: 2 },
];
const coded: Partial<RecurrentNetworkSpec>[] = [
  { ...codes, tieWeights: true, embeddingDropout: 0.3 },
  { ...narrow, tieWeights: true, numLayers: 2, layerNorm: true, residual: true },
  { ...narrow, tieWeights: true, projection: 4, lockedDropout: 0.2 },
];

describe.each(engines)("on %s", (_, engine) => {
  it.each(specs.map((one) => [JSON.stringify(one), one] as const))("%s obeys the laws", (_, one) => {
    checkModelLaws((rng, engine) => new RecurrentNetwork(spec(one), { rng, engine }), {
      inputSize: I,
      engine,
      batchSizes: [1, 5, 17],
    });
  });

  it.each([...specs, ...coded].map((one) => [JSON.stringify(one), one] as const))(
    "%s steps as the sequence goes, alone, in company, and from chunk to chunk",
    (_, one) => {
      const model = new RecurrentNetwork(spec(one), { rng: seed(1), engine });
      for (const own of model.parameters()) own.assign(own.floats().map((value, i) => value + 0.1 * Math.sin(i)));
      const stepper = stepperOf(model);
      const rows = [0, 1, 2].map((b) => Array.from({ length: 6 }, (_, t) => step(b, t)));
      const fresh = inference(() => flattenState(model.stateSpec, model.initialState(1)));
      const whole = rows.map((row) => forward(model, row));
      rows.forEach((row, b) => {
        const state = fresh.slice();
        expect(row.map((x) => [...(stepper.step(x, state) as Float32Array)])).toEqual(whole[b].outputs);
        expect(state).toEqual(whole[b].state);
      });
      let states: Float32Array[] = rows.map(() => fresh.slice());
      for (let t = 0; t < 6; t++) {
        const results = stepper.stepMany(rows.map((row, b) => ({ x: row[t], state: states[b] })));
        states = results.map((result, b) => {
          if (result === null || result instanceof Error) throw new Error("the step was refused");
          expect([...result.output]).toEqual(whole[b].outputs[t]);
          return result.state;
        });
      }
      expect(states).toEqual(whole.map(({ state }) => state));
    },
  );

  it("steps together what is good, and refuses the rest row by row, with norms and projections too", () => {
    for (const one of [{ layerSizes: [9, 4] }, { projection: 4 }, { ...narrow, tieWeights: true, layerNorm: true }]) {
      const model = new RecurrentNetwork(spec(one), { rng: seed(1), engine });
      const stepper = stepperOf(model);
      const state = new Float32Array(inference(() => flattenState(model.stateSpec, model.initialState(1))));
      const bad = [step(0, 0).fill(Number.NaN), new Float32Array(I + 1)];
      const unknown = step(0, 0);
      unknown[1] = O;
      const results = stepper.stepMany([step(1, 0), ...bad, step(2, 0), unknown].map((x) => ({ x, state })));
      expect(results[1]).toBe(null);
      expect(results[2]).toMatchObject({ code: "OST_SHAPE" });
      if ("tieWeights" in one) expect(results[4]).toMatchObject({ code: "OST_RANGE" });
      for (const [i, b] of [
        [0, 1],
        [3, 2],
      ]) {
        expect(results[i]).toEqual(stepper.stepMany([{ x: step(b, 0), state }])[0]);
        expect([...(results[i] as { output: Float32Array }).output]).toEqual(forward(model, [step(b, 0)]).outputs[0]);
      }
    }
  });
});

describe("gradients equal central differences", () => {
  it.each(specs.map((one) => [JSON.stringify(one), one] as const))("%s", (_, one) => {
    checkModelGradient((rng, engine) => new RecurrentNetwork(spec(one), { rng, engine }), { inputSize: I });
  });

  it.each([...specs, ...coded].map((one) => [JSON.stringify(one), one] as const))("%s, with every mask drawn", (_, one) => {
    const model = new RecurrentNetwork(spec(one), { rng: seed(1), engine: float64 });
    const values = [0, 1, 2].flatMap((b) => [0, 1, 2, 3].flatMap((t) => [...step(b, t)]));
    let weights: Float64Array[] | undefined;
    const loss = () => {
      const x = tensor(values, [3, 4, I], { engine: float64 });
      const { output, last } = model.forward(x, { rng: seed(4), lengths: integers([4, 0, 2], [3], { engine: float64 }) });
      weights ??= [output, last].map(({ size }) => Float64Array.from({ length: size }, (_, i) => Math.cos(i)));
      return weightedSum([output, last], weights, float64);
    };
    checkGradient(loss, model.namedParameters());
  });
});

describe("tied weights", () => {
  const tied = (more: Partial<RecurrentNetworkSpec>) =>
    new RecurrentNetwork(spec({ tieWeights: true, ...more }), { rng: seed(1), engine: float64 });

  it("are one parameter under the table's name, which look-up and head both read and teach", () => {
    const model = tied(codes);
    const names = [...model.namedParameters().keys()];
    expect(names.filter((name) => /head|embedding/.test(name))).toEqual(["embedding.0.weight", "head.bias"]);
    const table = model.namedParameters().get("embedding.0.weight") as Parameter;
    expect(model.head.weight).toBe(table);
    expect(table.shape).toEqual([O, H]);
    const x = tensor([...step(0, 0)], [1, 1, I], { engine: float64 });
    scope(() => model.forward(x).output.sum().backward());
    const rows = Array.from({ length: O }, (_, r) => table.grad!.floats().slice(r * H, (r + 1) * H));
    // The head teaches every row alike here, the look-up only the one that was read.
    const code = step(0, 0)[1];
    for (const [r, row] of rows.entries()) {
      expect(row.some((value) => value !== 0)).toBe(true);
      expect([...row].every((value, i) => value === rows[(code + 1) % O][i])).toBe(r !== code);
    }
  });

  it("have a projection between where the widths differ, and none of it where they agree", () => {
    const names = [...tied(narrow).namedParameters()].map(([name, { shape }]) => `${name} ${shape}`);
    expect(names).toContain(`headProjection.weight 4,${H}`);
    expect(names.at(-1)).toBe(`head.bias ${O}`);
    expect([...tied(codes).namedParameters().keys()]).not.toContain("headProjection.weight");
  });

  it("are refused where the outputs are not the codes of one column", () => {
    expect(() => tied({})).toThrow(/OST_RANGE.*no embedded column/s);
    expect(() => tied({ embeddings: [{ column: 1, size: O + 1, width: 4 }] })).toThrow(/OST_RANGE.*6 rows/s);
    const two = [0, 1].map((column) => ({ column, size: O, width: 4 }));
    expect(() => tied({ embeddings: two })).toThrow(/OST_RANGE.*5 rows, 5 rows/s);
  });
});

it("embedding dropout zeroes a code's vector wherever it stands in a call, and needs codes", () => {
  const model = new RecurrentNetwork(spec({ ...codes, embeddingDropout: 0.5 }), { rng: seed(1), engine: float64 });
  const table = model.namedParameters().get("embedding.0.weight") as Parameter;
  const x = Float64Array.from([0, 1, 2, 3, 4, 4, 3, 2, 1, 0].flatMap((code) => [0, code, 0]));
  scope(() =>
    model
      .forward(tensor(x, [2, 5, I], { engine: float64 }), { rng: seed(3) })
      .output.square()
      .sum()
      .backward(),
  );
  const learned = Array.from({ length: O }, (_, r) =>
    table
      .grad!.floats()
      .slice(r * H, (r + 1) * H)
      .some((value) => value !== 0),
  );
  const rng = seed(3);
  expect(learned).toEqual(Array.from({ length: O }, () => rng.bits() >= 2 ** 31));
  expect(new Set(learned).size).toBe(2);
  expect(() => new RecurrentNetwork(spec({ embeddingDropout: 0.1 }), { rng: seed(1) })).toThrow(
    /OST_RANGE.*no column is embedded/s,
  );
  expect(() => new RecurrentNetwork(spec({ ...codes, embeddingDropout: 1 }), { rng: seed(1) })).toThrow(
    /OST_RANGE.*embeddingDropout/s,
  );
});

it("a locked mask before the head is one for output and last; a resumed generator draws what it would have", () => {
  const model = new RecurrentNetwork(spec({ lockedDropout: 0.5, weightDropout: 0.2, numLayers: 2 }), {
    rng: seed(1),
    engine: float64,
  });
  const x = tensor(
    [0, 1, 2, 3].flatMap((t) => [...step(0, t)]),
    [1, 4, I],
    { engine: float64 },
  );
  const rng = seed(2);
  const { output, last } = model.forward(x, { rng });
  expect([...output.slice(1, 3, 4).toArray()]).toEqual([...last.toArray()]);
  const { state } = rng;
  const next = () => [...model.forward(x, { rng }).output.toArray()];
  const first = next();
  const resumed = new (rng.constructor as typeof import("../core/rng.js").Rng)(state);
  expect([...model.forward(x, { rng: resumed }).output.toArray()]).toEqual(first);
  expect(next()).not.toEqual(first);
});

it("a lane that begins again begins at the learned state, and teaches it", () => {
  const model = new RecurrentNetwork(spec({ learnedState: true }), { rng: seed(1), engine: float64 });
  const initial = model.namedParameters().get("recurrent.initial_h_l0") as Parameter;
  initial.assign([1, 2, 3, 4, 5, 6].map((value) => value / 10));
  const x = tensor([...step(0, 0), ...step(1, 0)], [2, 1, I], { engine: float64 });
  scope(() => {
    const { state } = model.forward(x);
    const again = resetRows(state, model.initialState(2), Uint8Array.of(1, 0));
    expect([...again["h_l0"].slice(0, 0, 1).toArray()]).toEqual([...initial.toArray()]);
    const { output } = model.forward(x, { state: Object.fromEntries(Object.entries(again)) });
    expect([...output.slice(0, 0, 1).toArray()]).toEqual([...model.forward(x).output.slice(0, 0, 1).toArray()]);
    output.slice(0, 0, 1).sum().backward();
  });
  expect(initial.grad!.floats().every((value) => value !== 0)).toBe(true);
});

describe("as data", () => {
  it.each([
    ...specs,
    ...coded,
    { bidirectional: true, merge: "sum", numLayers: 2, layerNorm: true, projection: 3, learnedState: true } as const,
  ])("%j: its parameters are as many as counted", (one) => {
    const architecture = spec(one);
    const network = buildNetwork(architecture, { rng: seed(1), engine: float64 }) as RecurrentNetwork;
    expect(network.parameterCount()).toBe(countParameters(architecture));
  });

  it("is described by what acts at inference", () => {
    const describe = (one: Partial<RecurrentNetworkSpec>) => describeArchitecture(spec(one));
    expect(describe({})).toBe("LSTM 6");
    expect(describe({ numLayers: 2, bidirectional: true, weightDropout: 0.5 })).toBe("LSTM 2x6 bidirectional");
    expect(describe({ layerSizes: [9, 4], layerNorm: true, residual: true })).toBe("LSTM 9-4 residual layer norm");
    expect(describe({ projection: 4, bidirectional: true, merge: "mean" })).toBe("LSTM 6 projected to 4 bidirectional mean");
    expect(describe({ zoneout: 0.1, ...codes, tieWeights: true })).toBe("LSTM 6 zoneout on tied embeddings");
  });

  it("layerSizes stand in place of hiddenSize and numLayers", () => {
    expect(spec({ layerSizes: [9, 4], numLayers: 1, hiddenSize: 64 })).toMatchObject({
      numLayers: 2,
      hiddenSize: 4,
      layerSizes: [9, 4],
    });
  });
});

it("small weights step as the sequence goes, through norms, residuals and layers of several sizes", () => {
  for (const one of [
    { layerSizes: [9, 4] },
    { numLayers: 2, layerNorm: true, residual: true, learnedState: true, zoneout: 0.1 },
  ]) {
    for (const weights of ["bfloat16", "int8"] as const) {
      const model = new RecurrentNetwork(spec(one), { rng: seed(1), engine: wasm });
      useWeights(model, weights);
      const row = Array.from({ length: 6 }, (_, t) => step(0, t));
      const state = inference(() => flattenState(model.stateSpec, model.initialState(1)));
      expect(row.map((x) => [...(stepperOf(model).step(x, state) as Float32Array)])).toEqual(forward(model, row).outputs);
    }
  }
});

/** One step of input: numbers, and a code in the middle. */
function step(b: number, t: number): Float32Array {
  return Float32Array.of(Math.sin(3 * b + t), (2 * b + 3 * t) % O, Math.cos(b - t));
}

function forward(model: RecurrentNetwork, row: readonly Float32Array[]): { outputs: number[][]; state: Float32Array } {
  return inference(() => {
    const x = tensor(
      row.flatMap((one) => [...one]),
      [1, row.length, I],
      { engine: model.engine },
    );
    const { output, state } = model.forward(x);
    const values = [...output.toArray()];
    return {
      outputs: row.map((_, t) => values.slice(t * O, (t + 1) * O)),
      state: flattenState(model.stateSpec, state),
    };
  });
}

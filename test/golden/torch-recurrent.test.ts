/** @file PyTorch's numbers for every recurrent layer; `torch-recurrent.py` made them. Every weight differs, so a swapped gate shows. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { seed } from "../../src/core/rng.js";
import { type Kernels, ReferenceKernels, WasmKernels } from "../../src/kernels/index.js";
import { GRU, LSTM, type RecurrentLayer, RNN } from "../../src/nn/index.js";
import { integers, type Parameter, parameter, scope, type Tensor, tensor } from "../../src/tensor/index.js";
import { NATIVE_ENGINES, skipAbsentNative } from "../support/native-engines.js";

interface Values {
  shape: number[];
  data: number[];
}

interface Case {
  name: string;
  cell: "RNN" | "LSTM" | "GRU";
  options: {
    inputSize: number;
    hiddenSize: number;
    numLayers: number;
    bidirectional: boolean;
    bias: boolean;
    nonlinearity?: "tanh" | "relu";
    proj_size?: number;
  };
  lengths: number[] | null;
  weights: Record<string, Values>;
  input: Values;
  h0: Values;
  c0?: Values;
  output: Values;
  h_n: Values;
  c_n?: Values;
  coefficients: Record<string, Values>;
  loss: number;
  gradients: Record<string, Values>;
}

const { cases } = JSON.parse(readFileSync(new URL("torch-recurrent.json", import.meta.url), "utf8")) as { cases: Case[] };
const projected = cases.filter(({ options }) => options.proj_size !== undefined);
const plain = cases.filter(({ options }) => options.proj_size === undefined);

const engines: [name: string, tolerance: number, engine: Kernels][] = [
  ["float64 reference", 1e-9, new ReferenceKernels("float64")],
  ["float32 reference", 1e-5, new ReferenceKernels("float32")],
  ["wasm simd128", 1e-5, WasmKernels.create({ variant: "simd128" })],
  ["wasm", 1e-5, WasmKernels.create()],
  ...NATIVE_ENGINES.map(([name, create]): [string, number, Kernels] => [name, 1e-5, create()]),
];
skipAbsentNative();

it("the fixture holds 36 cases without a projection and 9 with one", () => {
  expect([plain.length, projected.length]).toEqual([36, 9]);
});

describe.each(engines)("%s agrees with PyTorch", (_, tolerance, engine) => {
  it.each(cases.map((one) => [one.name, one] as const))("%s", (_, one) => {
    check(one, engine, tolerance);
  });
});

function check(one: Case, engine: Kernels, tolerance: number): void {
  const { inputSize, hiddenSize, proj_size: projection, ...options } = one.options;
  const Layer = { RNN, LSTM, GRU }[one.cell] as new (i: number, h: number, o: object) => RecurrentLayer;
  const layer = new Layer(inputSize, hiddenSize, { ...options, projection, rng: seed(1), engine });
  expect([...layer.namedParameters().keys()]).toEqual(Object.keys(one.weights));
  layer.loadStateDict(
    new Map(Object.entries(one.weights).map(([name, { shape, data }]) => [name, { shape, data: Float64Array.from(data) }])),
  );

  const suffixes = Object.keys(layer.stateSpec)
    .filter((name) => name.startsWith("h"))
    .map((name) => name.slice(1));
  const x = parameter(one.input.data, one.input.shape, { engine });
  const state: Record<string, Parameter> = {};
  suffixes.forEach((suffix, i) => {
    state[`h${suffix}`] = slot(one.h0, i, engine);
    if (one.c0) state[`c${suffix}`] = slot(one.c0, i, engine);
  });

  scope(() => {
    const lengths = one.lengths ? integers(one.lengths, [one.lengths.length], { engine }) : undefined;
    const result = layer.forward(x, { state, lengths });
    const stacked = (letter: string) => suffixes.flatMap((suffix) => [...result.state[letter + suffix].toArray()]);
    close("output", result.output.toArray(), one.output.data, tolerance);
    close("h_n", stacked("h"), one.h_n.data, tolerance);
    if (one.c_n) close("c_n", stacked("c"), one.c_n.data, tolerance);

    const weighted = (value: Tensor, { data }: { data: number[] }) => value.multiply(tensor(data, value.shape, { engine })).sum();
    let loss = weighted(result.output, one.coefficients["output"]);
    suffixes.forEach((suffix, i) => {
      loss = loss.add(weighted(result.state[`h${suffix}`], part(one.coefficients["h_n"], i)));
      if (one.c_n) loss = loss.add(weighted(result.state[`c${suffix}`], part(one.coefficients["c_n"], i)));
    });
    close("loss", [loss.item()], [one.loss], tolerance);
    loss.backward();
  });

  for (const [name, value] of layer.namedParameters())
    close(`gradient of ${name}`, grad(value), one.gradients[name].data, tolerance);
  close("gradient of input", grad(x), one.gradients["input"].data, tolerance);
  for (const letter of one.c0 ? ["h", "c"] : ["h"]) {
    const all = suffixes.flatMap((suffix) => [...grad(state[letter + suffix])]);
    close(`gradient of ${letter}0`, all, one.gradients[`${letter}0`].data, tolerance);
  }
}

/** Row i of [layers * directions, batch, hidden], as a shape and its values. */
function part({ shape: [, ...shape], data }: Values, i: number): Values {
  const size = shape.reduce((a, b) => a * b);
  return { shape, data: data.slice(i * size, (i + 1) * size) };
}

function slot(values: Values, i: number, engine: Kernels): Parameter {
  const { shape, data } = part(values, i);
  return parameter(data, shape, { engine });
}

function grad({ grad }: Parameter): ArrayLike<number> & Iterable<number> {
  if (grad === null) throw new Error("no gradient arrived");
  return grad.floats();
}

/** Largest |got - expected| / max(1, |expected|). */
function close(what: string, got: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(got.length, what).toBe(expected.length);
  let worst = 0;
  for (let i = 0; i < got.length; i++) {
    const error = Math.abs(got[i] - expected[i]) / Math.max(1, Math.abs(expected[i]));
    worst = error >= worst ? error : Number.isNaN(error) ? Number.POSITIVE_INFINITY : worst;
  }
  expect(worst, what).toBeLessThanOrEqual(tolerance);
}

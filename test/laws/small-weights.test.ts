/** @file Laws of small weights: near float32, the same bits in steps and in sequences, never in a recorded call, and gone without a trace. */
import { describe, expect, it } from "vitest";
import { type Rng, seed } from "../../src/core/rng.js";
import {
  defaultEngine,
  type Kernels,
  ReferenceKernels,
  WasmKernels,
  WEIGHT_TYPES,
  type WeightType,
} from "../../src/kernels/index.js";
import { openSession, recurrentSpec } from "../../src/model/index.js";
import {
  GRU,
  GRUCell,
  LSTM,
  Module,
  Recurrent,
  RecurrentNetwork,
  RNN,
  type SequenceModel,
  useWeights,
  WindowMLP,
} from "../../src/nn/index.js";
import { inference, type Tensor, tensor } from "../../src/tensor/index.js";

const [I, H, O] = [5, 37, 3];
const SMALL = WEIGHT_TYPES.filter((type) => type !== "float32");

const engines: [string, Kernels][] = [
  ["the float32 reference", new ReferenceKernels("float32")],
  ["wasm simd128", WasmKernels.create({ variant: "simd128" })],
  ["wasm", WasmKernels.create()],
  ["this machine's engine", defaultEngine()],
];

type Make = (options: { rng: Rng; engine: Kernels }) => SequenceModel;
const spec = recurrentSpec({ cell: "lstm", inputSize: I, hiddenSize: H, outputSize: O, numLayers: 2 });
const makers: Record<string, Make> = {
  "two LSTM with a head": (options) => new RecurrentNetwork(spec, options),
  "bare GRU": (options) => new GRU(I, H, options),
  "GRU that resets before the product": (options) => new GRU(I, H, { ...options, resetAfter: false }),
  "tanh RNN without bias": (options) => new RNN(I, H, { ...options, bias: false }),
  "relu RNN": (options) => new RNN(I, H, { ...options, nonlinearity: "relu" }),
  "LSTM in both directions": (options) => new LSTM(I, H, { ...options, bidirectional: true }),
};

function outputOf(network: SequenceModel, values: Float32Array, batch: number): Float32Array {
  return inference(() => {
    const x = tensor(values, [batch, values.length / (batch * I), I], { engine: network.engine });
    return Float32Array.from(network.forward(x).output.toArray());
  });
}

const normals = (rng: Rng, count: number) => Float32Array.from({ length: count }, () => rng.normal());
const largest = (values: Float32Array) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

describe.each(engines)("on %s", (_, engine) => {
  describe.each(Object.entries(makers))("%s", (_, make) => {
    it.each(SMALL)("is near float32 with %s, and float32 again afterwards", (weights) => {
      const rng = seed(5);
      const network = make({ rng, engine });
      const x = normals(rng, 3 * 20 * I);
      const exact = outputOf(network, x, 3);
      const parameters = [...network.stateDict().values()].map(({ data }) => data);
      expect(useWeights(network, weights)).toBe(1);
      const small = outputOf(network, x, 3);
      const error = largest(small.map((value, i) => value - exact[i])) / largest(exact);
      expect(error).toBeGreaterThan(1e-5);
      expect(error).toBeLessThan(0.04);
      expect([...network.stateDict().values()].map(({ data }) => data)).toEqual(parameters);
      useWeights(network, "float32");
      expect(outputOf(network, x, 3)).toEqual(exact);
    });

    it.each(SMALL)("uses a changed parameter at once with %s", (weights) => {
      const rng = seed(6);
      const network = make({ rng, engine });
      useWeights(network, weights);
      const x = normals(rng, 4 * I);
      const before = outputOf(network, x, 1);
      for (const parameter of network.parameters()) parameter.assign(parameter.floats().map((value) => value / 2));
      const after = outputOf(network, x, 1);
      expect(after).not.toEqual(before);
      const other = make({ rng: seed(7), engine });
      other.loadStateDict(network.stateDict());
      useWeights(other, weights);
      expect(outputOf(other, x, 1)).toEqual(after);
    });
  });

  it.each(SMALL)("a session steps as the sequence goes with %s, also when the type changes under it", (weights) => {
    const rng = seed(8);
    const network = new RecurrentNetwork(spec, { rng, engine });
    const steps = Array.from({ length: 12 }, () => normals(rng, I));
    const session = openSession(network, { owner: "a" });
    const run = () => {
      session.reset();
      return Float32Array.from(steps.flatMap((step) => [...session.step(step)]));
    };
    const exact = run();
    useWeights(network, weights);
    const small = run();
    expect(small).not.toEqual(exact);
    expect(small).toEqual(outputOf(network, Float32Array.from(steps.flatMap((step) => [...step])), 1));
    useWeights(network, "float32");
    expect(run()).toEqual(exact);
  });
});

describe("small weights", () => {
  const layer = () => new GRU(2, 3, { rng: seed(1) });
  const x = () => tensor([1, 2], [1, 1, 2]);

  it("are refused in a call that is recorded, whatever it keeps", () => {
    for (const one of [layer(), new RNN(2, 3, { rng: seed(1) })]) {
      one.weights = "int8";
      expect(() => one.forward(x())).toThrow(/OST_GRADIENT.*small weights.*float32.*int8.*inference/s);
      expect(inference(() => one.forward(x()).output.toArray())).toHaveLength(3);
      one.weights = "float32";
      one.forward(x());
    }
  });

  it("are one of three types, and int8 only where its sums fit", () => {
    const one = layer();
    expect(() => {
      one.weights = "int4" as WeightType;
    }).toThrow(/OST_RANGE.*float32, bfloat16, int8.*int4/s);
    expect(one.weights).toBe("float32");
    const wide = new RNN(2 ** 17 + 1, 1, { rng: seed(1) });
    expect(() => {
      wide.weights = "int8";
    }).toThrow(/OST_RANGE.*too wide.*131072.*131073/s);
    wide.weights = "bfloat16";
    new RNN(2 ** 17, 1, { rng: seed(1) }).weights = "int8";
  });

  it("reach every recurrent layer of a network, wherever it is kept, and nothing else", () => {
    class Pair extends Module {
      readonly first = layer();
      readonly more = { list: [layer(), layer()], again: this.first };
      readonly cell = new Recurrent(new GRUCell(2, 3, { rng: seed(1) }));
      forward(input: Tensor): Tensor {
        return input;
      }
    }
    const pair = new Pair();
    expect(useWeights(pair as unknown as SequenceModel, "bfloat16")).toBe(3);
    expect([pair.first, ...pair.more.list].map(({ weights }) => weights)).toEqual(["bfloat16", "bfloat16", "bfloat16"]);
    const mlp = new WindowMLP({ type: "windowMLP", window: 2, inputSize: 2, hiddenSize: 3, outputSize: 1 }, { rng: seed(1) });
    expect(useWeights(mlp, "int8")).toBe(0);
    expect(() => useWeights(pair as unknown as SequenceModel, "int4" as WeightType)).toThrow(/OST_RANGE/);
    expect(pair.first.weights).toBe("bfloat16");
  });
});

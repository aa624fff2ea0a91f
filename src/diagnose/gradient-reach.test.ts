import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { ReferenceKernels, WasmKernels } from "../kernels/index.js";
import { GRU, LSTM, RNN } from "../nn/index.js";
import { inference, tensor } from "../tensor/index.js";
import { gradientReach, measureGradientReach } from "./gradient-reach.js";

const engine = new ReferenceKernels("float64");

describe("how far gradients could reach", () => {
  it("follows from how sequences are cut", () => {
    expect(gradientReach({ k1: 32, k2: 64 })).toEqual({
      least: 33,
      mean: 48.5,
      most: 64,
      text: "gradients reach back through 33 to 64 steps (48.5 on average): an update every 32, through the last 64",
    });
    expect(gradientReach({ k1: 5 })).toMatchObject({ least: 1, mean: 3, most: 5 });
    expect(gradientReach({ k1: 1, k2: 7 }).text).toMatch(/through 7 steps: an update every 1, through the last 7/);
    expect(gradientReach({ window: 20 })).toMatchObject({ least: 20, mean: 20, most: 20 });
    expect(gradientReach({ window: 20, everyStep: true })).toMatchObject({ least: 1, mean: 10.5, most: 20 });
    for (const bad of [{ k1: 0 }, { k1: 4, k2: 3 }, { k1: 1.5 }, { window: 0 }, { window: Number.NaN }]) {
      expect(() => gradientReach(bad)).toThrow(/OST_RANGE/);
    }
  });
});

/** h_t = w h_(t-1) + x_t with relu of positive numbers: the gradient by h or x a lag back is w^lag. */
function line(w: number, on = engine) {
  const layer = new RNN(1, 1, { rng: seed(1), engine: on, nonlinearity: "relu", bias: false });
  const parameters = layer.namedParameters();
  parameters.get("weight_ih_l0")!.assign([1]);
  parameters.get("weight_hh_l0")!.assign([w]);
  return layer;
}

describe("how far a gradient reaches", () => {
  const [batchSize, time, features] = [3, 12, 1];
  const x = Float64Array.from({ length: batchSize * time }, (_, i) => 1 + (i % 5));

  it.each([0.5, 1, 1.5])("in a line of slope %f is the slope's power", (w) => {
    const shape = { x, batchSize, time, features };
    const [state, input] = (["state", "input"] as const).map((by) => measureGradientReach(line(w), { ...shape, by }));
    expect([state.norms.length, input.norms.length]).toEqual([time + 1, time]);
    expect(state.norms[0]).toBeNaN();
    for (let lag = 0; lag < time; lag++) {
      expect(input.norms[lag]).toBeCloseTo(w ** lag, 12);
      expect(state.norms[lag + 1]).toBeCloseTo(w ** (lag + 1), 12);
      expect(input.rows[lag]).toBe(batchSize);
    }
    // 0.5^7 is the first power of a half below 1 %, seen from the largest, which is one step back for states.
    expect([input.vanishedLag, state.vanishedLag]).toEqual(w === 0.5 ? [7, 8] : [null, null]);
    expect([input.peakLag, state.peakLag]).toEqual(w > 1 ? [time - 1, time] : [0, 1]);
  });

  it("counts a lag from each row's own last step", () => {
    const { norms, rows } = measureGradientReach(line(0.5), { x, batchSize, time, features, lengths: [2, 12, 7], by: "input" });
    expect([...rows]).toEqual([3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
    norms.forEach((norm, lag) => {
      expect(norm).toBeCloseTo(0.5 ** lag, 12);
    });
    const state = measureGradientReach(line(0.5), { x, batchSize, time, features, lengths: [2, 12, 7] });
    expect([...state.rows]).toEqual([0, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
    expect(state.norms[2]).toBeCloseTo(0.25, 12);
  });

  it.each([
    ["GRU", () => new GRU(2, 4, { rng: seed(2), engine, numLayers: 2 })],
    ["LSTM", () => new LSTM(2, 4, { rng: seed(2), engine })],
  ] as const)("equals central differences: %s", (_, make) => {
    const network = make();
    const [rows, steps] = [2, 6];
    const rng = seed(5);
    const inputs = Float64Array.from({ length: rows * steps * 2 }, () => rng.normal());
    const { norms } = measureGradientReach(network, { x: inputs, batchSize: rows, time: steps, features: 2, by: "input" });
    const value = (list: Float64Array) =>
      inference(() =>
        network
          .forward(tensor(list, [rows, steps, 2], { engine }))
          .last.sum()
          .item(),
      );
    for (let lag = 0; lag < steps; lag++) {
      let mean = 0;
      for (let b = 0; b < rows; b++) {
        const slopes = [0, 1].map((f) => {
          const at = (b * steps + steps - 1 - lag) * 2 + f;
          const shifted = (by: number) => inputs.map((number, i) => (i === at ? number + by : number));
          return (value(shifted(1e-5)) - value(shifted(-1e-5))) / 2e-5;
        });
        mean += Math.hypot(...slopes) / rows;
      }
      expect(Math.abs(norms[lag] - mean)).toBeLessThan(1e-9);
    }
  });

  it("by the state equals central differences by the first state, and shrinks as theory says", () => {
    const network = new GRU(1, 3, { rng: seed(4), engine });
    const steps = 5;
    const inputs = Float64Array.from({ length: steps }, (_, t) => Math.sin(t));
    const { norms } = measureGradientReach(network, { x: inputs, batchSize: 1, time: steps, features: 1 });
    const value = (h: number[]) =>
      inference(() =>
        network
          .forward(tensor(inputs, [1, steps, 1], { engine }), { state: { h_l0: tensor(h, [1, 3], { engine }) } })
          .last.sum()
          .item(),
      );
    const slopes = [0, 1, 2].map((k) => {
      const at = (by: number) => value([0, 1, 2].map((i) => (i === k ? by : 0)));
      return (at(1e-5) - at(-1e-5)) / 2e-5;
    });
    expect(norms[steps]).toBeCloseTo(Math.hypot(...slopes), 9);
  });

  it("leaves gradients and memory as they were, and runs on a fast engine", () => {
    const wasm = WasmKernels.create();
    const network = line(0.5, wasm as never);
    const [first, second] = network.parameters();
    network
      .forward(tensor([1, 2], [1, 2, 1], { engine: wasm }))
      .last.sum()
      .backward();
    second.grad = null;
    const before = first.grad!.floats().slice();
    const { text } = measureGradientReach(network, { x, batchSize, time, features, loss: (last) => last.square().sum() });
    expect(text).toBe("the gradient by the state is largest 1 step back, and less than 1 % of it is left from 8 steps back on");
    expect(first.grad!.floats()).toEqual(before);
    expect(second.grad).toBeNull();
  });

  it("of a network that forgets at once is none, and says so", () => {
    const { norms, vanishedLag, text } = measureGradientReach(line(0), { x, batchSize, time, features });
    expect(norms[3]).toBe(0);
    expect(vanishedLag).toBeNull();
    expect(text).toBe("no gradient reaches the state");
  });

  it("refuses two directions, and a batch without steps, but leaves out rows without", () => {
    const both = new GRU(1, 2, { rng: seed(1), engine, bidirectional: true });
    expect(() => measureGradientReach(both, { x, batchSize, time, features })).toThrow(/OST_CAUSAL/);
    const of = (lengths: number[]) => measureGradientReach(line(0.5), { x, batchSize, time, features, lengths });
    expect([...of([4, 0, 2]).rows]).toEqual([0, 2, 2, 1, 1]);
    expect(of([4, 0, 2]).norms[3]).toBeCloseTo(0.125, 12);
    expect(() => of([0, 0, 0])).toThrow(/OST_LENGTH.*not all 0/);
    expect(() => of([1, 13, 3])).toThrow(/OST_LENGTH.*13 in row 1/);
    expect(() => of([1])).toThrow(/OST_LENGTH/);
  });
});

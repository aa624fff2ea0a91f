import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { ReferenceKernels } from "../kernels/index.js";
import { type Tensor, tensor } from "../tensor/index.js";
import { checkOp } from "../testing/index.js";
import { Bridge } from "./bridge.js";
import type { Merge } from "./recurrent-variant.js";
import type { State } from "./state.js";

const engine = new ReferenceKernels("float64");
const rng = () => seed(1);
const one = { h_l0: 2, c_l0: 2 };
const two = { h_l0: 2, c_l0: 2, h_l0_reverse: 2, c_l0_reverse: 2 };
const state: State = Object.fromEntries(
  Object.keys(two).map((name, i) => [name, tensor([i, -i, 0.5, 2 * i], [2, 2], { engine })]),
);
const at = { batchSize: 2, engine };

describe("a bridge", () => {
  it("copies the final state, or the sum or mean of both directions", () => {
    const copy = (encoder: Record<string, number>, merge?: Merge) =>
      new Bridge("copy", { encoder, decoder: one, merge, rng: rng(), engine }).forward(
        Object.fromEntries(Object.keys(encoder).map((name) => [name, state[name]])),
        at,
      );
    expect(copy(one)["c_l0"].toArray()).toEqual(state["c_l0"].toArray());
    expect(Array.from(copy(two, "sum")["h_l0"].toArray())).toEqual([2, -2, 1, 4]);
    expect(Array.from(copy(two, "mean")["c_l0"].toArray())).toEqual([2, -2, 0.5, 4]);
    expect(Object.keys(copy(two, "sum"))).toEqual(["h_l0", "c_l0"]);
  });

  it("maps both directions through a tanh layer of their own", () => {
    const bridge = new Bridge("linear", { encoder: two, decoder: { h_l0: 3, c_l0: 3 }, rng: rng(), engine });
    expect([...bridge.namedParameters()].map(([name, { shape }]) => [name, shape])).toEqual([
      ["h_l0.weight", [3, 4]],
      ["h_l0.bias", [3]],
      ["c_l0.weight", [3, 4]],
      ["c_l0.bias", [3]],
    ]);
    const weight = bridge.namedParameters().get("c_l0.weight")?.toArray() ?? [];
    const bias = bridge.namedParameters().get("c_l0.bias")?.toArray() ?? [];
    const given = [...state["c_l0"].floats().subarray(0, 2), ...state["c_l0_reverse"].floats().subarray(0, 2)];
    const got = bridge.forward(state, at)["c_l0"].floats();
    for (let o = 0; o < 3; o++) {
      expect(got[o]).toBeCloseTo(Math.tanh(given.reduce((sum, value, i) => sum + weight[o * 4 + i] * value, bias[o])), 12);
    }
  });

  it("gives zeros where there is none", () => {
    const bridge = new Bridge("none", { encoder: two, decoder: one, rng: rng(), engine });
    expect(Object.values(bridge.forward(state, at)).every((value) => value.toArray().every((x) => x === 0))).toBe(true);
  });

  it("has the gradients of finite differences", () => {
    for (const [kind, merge] of [
      ["linear", "concat"],
      ["copy", "sum"],
      ["copy", "mean"],
    ] as const) {
      const compute = (...given: Tensor[]) => {
        const bridge = new Bridge(kind, { encoder: two, decoder: one, merge, rng: rng(), engine: given[0].engine });
        const named = Object.fromEntries(Object.keys(two).map((name, i) => [name, given[i]]));
        return Object.values(bridge.forward(named, { batchSize: 2, engine: given[0].engine }));
      };
      const report = checkOp(compute, Array(4).fill({ shape: [2, 2] }));
      expect(report.checks).toBe(16);
    }
  });

  it("refuses to copy what does not fit, and layers that the encoder does not have", () => {
    expect(() => new Bridge("copy", { encoder: two, decoder: one, rng: rng() })).toThrow(/OST_CONFIG.*"h_l0".*[\s\S]*linear/);
    expect(() => new Bridge("linear", { encoder: one, decoder: { h_l1: 2 }, rng: rng() })).toThrow(/OST_CONFIG[\s\S]*layers/);
    expect(() => new Bridge("tanh" as never, { encoder: one, decoder: one, rng: rng() })).toThrow(/OST_CONFIG.*no such bridge/);
  });
});

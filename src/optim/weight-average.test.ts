import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { ReferenceKernels, WasmKernels } from "../kernels/index.js";
import { parameter } from "../tensor/index.js";
import { WeightAverage, type WeightAverageOptions } from "./weight-average.js";

const float64 = new ReferenceKernels("float64");

function walk(updates: number): number[][] {
  const rng = seed(8);
  let at = [1, -1, 0.5];
  return Array.from({ length: updates }, () => {
    at = at.map((value) => value + 0.1 * rng.normal());
    return at;
  });
}

function observed(options: WeightAverageOptions, weights: readonly number[][], on: ReferenceKernels | WasmKernels = float64) {
  const p = parameter([9, 9, 9], [3], { engine: on });
  const average = new WeightAverage(new Map([["p", p]]), options);
  for (const one of weights) {
    p.assign(one);
    average.observe();
  }
  return { average, p };
}

describe("the average of weights", () => {
  const weights = walk(40);

  it.each([0.5, 0.9, 0.999])("with decay %f is the weighted mean of all of them, whose weights sum to 1", (decay) => {
    for (const count of [1, 2, 40]) {
      const { average } = observed({ decay }, weights.slice(0, count));
      const shares = Array.from({ length: count }, (_, i) => decay ** (count - 1 - i));
      const total = shares.reduce((a, b) => a + b);
      average
        .values()
        .get("p")!
        .forEach((value, k) => {
          const mean = shares.reduce((sum, share, i) => sum + (share / total) * weights[i][k], 0);
          expect(value).toBeCloseTo(mean, 12);
        });
    }
  });

  it("without decay is the plain mean, of all or from a start on", () => {
    for (const start of [0, 10, 39]) {
      const { average } = observed({ start }, weights);
      const late = weights.slice(start);
      average
        .values()
        .get("p")!
        .forEach((value, k) => {
          expect(value).toBeCloseTo(late.reduce((sum, one) => sum + one[k], 0) / late.length, 12);
        });
    }
  });

  it("is the weights themselves before its start, and after a single update", () => {
    expect([...observed({ decay: 0.9, start: 50 }, weights).average.values().get("p")!]).toEqual(weights[39]);
    expect([...observed({}, weights.slice(0, 1)).average.values().get("p")!]).toEqual(weights[0]);
    expect(observed({ decay: 0.9 }, weights.slice(0, 1)).average.values().get("p")![0]).toBeCloseTo(weights[0][0], 14);
  });

  it("takes the place of the weights for a while, and gives them back bit for bit, also after an error", () => {
    const { average, p } = observed({ decay: 0.9 }, weights, WasmKernels.create());
    const [raw, version] = [p.floats().slice(), p.version];
    expect(average.within(() => [...p.floats()])).toEqual([...average.values().get("p")!]);
    expect(() =>
      average.within(() => {
        throw new Error("met");
      }),
    ).toThrow("met");
    expect(p.floats()).toEqual(raw);
    // Engines keep copies of weights by version.
    expect(p.version).toBeGreaterThan(version);
  });

  it.each([{ decay: 0.99 }, { start: 5 }, { decay: 0.5, start: 20 }])(
    "goes on from its saved state bit for bit: %j",
    (options) => {
      const whole = observed(options, weights).average.values();
      const first = observed(options, weights.slice(0, 17)).average.state();
      const p = parameter([0, 0, 0], [3], { engine: float64 });
      const second = new WeightAverage(new Map([["p", p]]), options);
      second.restore({ updates: first.updates, arrays: new Map(first.arrays) });
      for (const one of weights.slice(17)) {
        p.assign(one);
        second.observe();
      }
      expect(second.values()).toEqual(whole);
      expect(second.updates).toBe(40);
    },
  );

  it("refuses options that are none, and another's state", () => {
    for (const bad of [{ decay: 0 }, { decay: 1 }, { decay: Number.NaN }, { start: -1 }, { start: 0.5 }]) {
      expect(() => new WeightAverage(new Map(), bad), JSON.stringify(bad)).toThrow(/OST_RANGE/);
    }
    const { average } = observed({}, weights);
    expect(() => average.restore({ updates: 1, arrays: new Map() })).toThrow(/OST_CHECKPOINT.*averag/);
    expect(() => average.restore({ updates: 1, arrays: new Map([["p", new Float64Array(2)]]) })).toThrow(/OST_CHECKPOINT/);
    expect(average.updates).toBe(40);
  });
});

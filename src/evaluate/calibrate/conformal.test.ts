import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../../core/batch.js";
import { seed } from "../../core/rng.js";
import { conformalInterval, conformalizeQuantiles, conformalQuantile, fitConformal } from "./conformal.js";

const spec: ExampleSpec = {
  features: ["u"],
  targetKind: "values",
  targets: ["u", "v"],
  classes: [],
  horizon: 2,
  everyStep: false,
  length: 1,
  targetFeature: [0, -1],
};

/** Rows of [P, K] targets. */
function batchOf(values: number[]): Batch {
  const B = values.length / 4;
  return {
    batchSize: B,
    time: 1,
    features: 1,
    x: new Float32Array(B),
    lengths: new Int32Array(B).fill(1),
    targetKind: "values",
    values: Float32Array.from(values),
    everyStep: false,
    horizon: 2,
    targets: 2,
    example: new Int32Array(B),
    series: new Int32Array(B),
    start: Int32Array.from({ length: B }, (_, b) => b),
  };
}

describe("the conformal quantile", () => {
  it("is the ceil((n + 1)(1 - a))-th smallest", () => {
    const nine = [9, 1, 8, 2, 7, 3, 6, 4, 5];
    expect(conformalQuantile(nine, 0.9)).toBe(9);
    expect(conformalQuantile(nine, 0.8)).toBe(8);
    expect(conformalQuantile(nine, 0.75)).toBe(8);
    expect(conformalQuantile(nine, 0.5)).toBe(5);
  });

  it("refuses fewer examples than the promise needs, and says how many", () => {
    expect(() => conformalQuantile(new Array(8).fill(1), 0.9)).toThrow(/OST_TARGET.*at least 9.*got 8/s);
    expect(conformalQuantile(new Array(9).fill(1), 0.9)).toBe(1);
    expect(() => conformalQuantile(new Array(18).fill(1), 0.95)).toThrow(/at least 19/);
    expect(conformalQuantile(new Array(19).fill(1), 0.95)).toBe(1);
    expect(() => conformalQuantile([], 0.5)).toThrow(/OST_TARGET/);
    expect(() => conformalQuantile([1], 1)).toThrow(/OST_RANGE/);
    expect(() => conformalQuantile([1, Number.NaN], 0.5)).toThrow(/OST_NAN/);
  });

  it("covers new exchangeable values as often as promised, however few were held back and however they are distributed", () => {
    const rng = seed(5);
    for (const [n, coverage] of [
      [9, 0.9],
      [20, 0.8],
      [50, 0.9],
    ]) {
      let held = 0;
      const trials = 6000;
      for (let trial = 0; trial < trials; trial++) {
        // Heavy tails: the ratio of two normal values.
        const draw = () => Math.abs(rng.normal() / rng.normal());
        if (draw() <= conformalQuantile(Float64Array.from({ length: n }, draw), coverage)) held++;
      }
      // Exactly ceil((n + 1) coverage) / (n + 1) of the time; three standard errors.
      const exact = Math.ceil((n + 1) * coverage - 1e-9) / (n + 1);
      expect(Math.abs(held / trials - exact)).toBeLessThan(3 * Math.sqrt((exact * (1 - exact)) / trials));
    }
  });
});

describe("conformal intervals", () => {
  it("have a width for each step of the horizon and target, of the errors there", () => {
    const rng = seed(6);
    const sizes = [1, 10, 3, 30];
    const values = Array.from({ length: 4 * 400 }, (_, i) => sizes[i % 4] * (2 * rng.uniform() - 1));
    const fitted = fitConformal((batch) => new Float32Array(batch.batchSize * 4), [batchOf(values)], spec, { coverage: 0.8 });
    expect(fitted.n).toEqual([
      [400, 400],
      [400, 400],
    ]);
    const widths = fitted.halfWidth.flat();
    widths.forEach((half, i) => {
      const errors = values.filter((_, j) => j % 4 === i).map((value) => Math.fround(Math.abs(value)));
      const sorted = errors.sort((a, b) => a - b);
      expect(half).toBeCloseTo(sorted[Math.ceil(401 * 0.8) - 1], 6);
    });
    expect(conformalInterval(fitted, 5, 1, 0)).toEqual({ lower: 5 - widths[2], upper: 5 + widths[2] });
    expect(JSON.parse(JSON.stringify(fitted))).toEqual(fitted);
  });

  it("leave out targets that are missing, and name the step and target that have too few", () => {
    const values = Array.from({ length: 4 * 12 }, (_, i) => (i % 4 === 3 && i > 20 ? Number.NaN : i));
    const predict = (batch: Batch) => new Float32Array(batch.batchSize * 4);
    expect(() => fitConformal(predict, [batchOf(values)], spec, { coverage: 0.9 })).toThrow(/OST_TARGET.*step 2 of "v"/s);
    expect(fitConformal(predict, [batchOf(values)], spec, { coverage: 0.5 }).n[1][1]).toBe(5);
  });

  it("refuse classes and forecasts that are no numbers", () => {
    expect(() => fitConformal(() => [], [], { ...spec, targetKind: "class" })).toThrow(/OST_CONFIG/);
    expect(() => fitConformal(() => [1, 2, 3, Number.NaN], [batchOf([1, 1, 1, 1])], spec)).toThrow(/OST_NAN/);
    expect(() => fitConformal(() => [1, 2], [batchOf([1, 1, 1, 1])], spec)).toThrow(/OST_SHAPE/);
  });
});

describe("conformalised quantiles", () => {
  it("hold the promised share where the forecast intervals were too narrow, and shrink those that were too wide", () => {
    const rng = seed(7);
    const covered = (scale: number) => {
      const draw = () => {
        const spread = 0.5 + rng.uniform();
        return { y: spread * rng.normal(), half: scale * spread };
      };
      const held = Array.from({ length: 2000 }, draw);
      const half = Float64Array.from(held, (one) => one.half);
      const move = conformalizeQuantiles(
        held.map(({ y }) => y),
        half.map((h) => -h),
        half,
        { coverage: 0.9 },
      );
      const fresh = Array.from({ length: 4000 }, draw);
      return { move, share: fresh.filter((one) => Math.abs(one.y) <= one.half + move).length / 4000 };
    };
    for (const scale of [0.5, 4]) {
      const { move, share } = covered(scale);
      expect(Math.sign(move)).toBe(scale < 1 ? 1 : -1);
      expect(Math.abs(share - 0.9)).toBeLessThan(0.025);
    }
    expect(() => conformalizeQuantiles([1, 2], [1], [2, 2])).toThrow(/OST_SHAPE/);
  });
});

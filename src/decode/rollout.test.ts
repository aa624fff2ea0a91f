import { describe, expect, it } from "vitest";
import { pathQuantiles, type RolloutStep, rollout } from "./rollout.js";

/** x_t = 0.8 x_t-1 + e, e standard normal; a second value is the step's number. */
const autoregression: RolloutStep<{ x: number; t: number }> = (states, rngs) => {
  const next = states.map(({ x, t }, i) => ({ x: 0.8 * x + rngs[i].normal(), t: t + 1 }));
  return { values: next.flatMap(({ x, t }) => [x, t]), states: next };
};
const options = { initial: { x: 3, t: 0 }, size: 2, seed: 4, horizon: 6 };

describe("rollout", () => {
  it("gives a path the same values whatever the number of paths, bit for bit", () => {
    const { values } = rollout(autoregression, { ...options, paths: 20 });
    for (const [first, paths] of [
      [0, 1],
      [7, 1],
      [5, 9],
      [0, 20],
    ]) {
      const some = rollout(autoregression, { ...options, paths, first });
      expect(some.values).toEqual(values.slice(first * 12, (first + paths) * 12));
    }
    expect(rollout(autoregression, { ...options, paths: 20, horizon: 2 }).values.slice(4, 8)).toEqual(values.slice(12, 16));
  });

  it("is its seed's: other seeds and other paths differ", () => {
    const { values } = rollout(autoregression, { ...options, paths: 2 });
    expect(rollout(autoregression, { ...options, paths: 2 }).values).toEqual(values);
    expect(rollout(autoregression, { ...options, paths: 2, seed: 5 }).values).not.toEqual(values);
    expect(values.slice(0, 12)).not.toEqual(values.slice(12));
  });

  it("has the mean and spread of the process it samples", () => {
    const paths = 20_000;
    const { values } = rollout(autoregression, { ...options, paths });
    for (let t = 0; t < 6; t++) {
      const column = Array.from({ length: paths }, (_, path) => values[(path * 6 + t) * 2]);
      const mean = column.reduce((a, b) => a + b, 0) / paths;
      const variance = column.reduce((a, b) => a + (b - mean) ** 2, 0) / (paths - 1);
      const exact = (1 - 0.64 ** (t + 1)) / (1 - 0.64);
      expect(Math.abs(mean - 3 * 0.8 ** (t + 1))).toBeLessThan(4 * Math.sqrt(exact / paths));
      expect(Math.abs(variance / exact - 1)).toBeLessThan(4 * Math.sqrt(2 / paths));
      expect(new Set(Array.from({ length: paths }, (_, path) => values[(path * 6 + t) * 2 + 1]))).toEqual(new Set([t + 1]));
    }
  });

  it("defines no paths and no horizon", () => {
    expect(rollout(autoregression, { ...options, paths: 0 }).values).toHaveLength(0);
    expect(rollout(autoregression, { ...options, paths: 3, horizon: 0 }).values).toHaveLength(0);
  });

  it("refuses values that are not finite by step and path, and sizes that disagree", () => {
    const explode: RolloutStep<number> = (states) => ({
      values: states.map((t, path) => (t === 2 && path === 1 ? Number.POSITIVE_INFINITY : 0)),
      states: states.map((t) => t + 1),
    });
    expect(() => rollout(explode, { initial: 0, paths: 3, horizon: 5, seed: 1, first: 10 })).toThrow(/OST_NAN .*step 3, path 12/);
    expect(() => rollout(autoregression, { ...options, paths: 3, size: 1 })).toThrow(/OST_SHAPE .*step 1/);
    for (const extra of [{ paths: -1 }, { horizon: 1.5 }, { size: 0 }, { first: -1 }]) {
      expect(() => rollout(autoregression, { ...options, ...{ paths: 1, ...extra } })).toThrow(/OST_RANGE/);
    }
  });
});

describe("quantiles over paths", () => {
  it("interpolate between order statistics at each step, value by value", () => {
    const paths = { values: Float64Array.of(4, 10, 1, 20, 3, 30, 2, 40), paths: 4, horizon: 1, size: 2 };
    expect(Array.from(pathQuantiles(paths, [0, 0.5, 1, 0.25]))).toEqual([1, 2.5, 4, 1.75, 10, 25, 40, 17.5]);
    expect(Array.from(paths.values)).toEqual([4, 10, 1, 20, 3, 30, 2, 40]);
  });

  it("of one path are the path", () => {
    const one = rollout(autoregression, { ...options, paths: 1 });
    expect(pathQuantiles(one, [0.3])).toEqual(one.values);
  });

  it("rise with their level", () => {
    const found = pathQuantiles(rollout(autoregression, { ...options, paths: 31 }), [0.1, 0.5, 0.9]);
    for (let at = 0; at < 12; at++)
      expect(found[at * 3] <= found[at * 3 + 1] && found[at * 3 + 1] <= found[at * 3 + 2]).toBe(true);
  });

  it("refuse levels outside 0 .. 1 and no paths", () => {
    const one = rollout(autoregression, { ...options, paths: 1 });
    expect(() => pathQuantiles(one, [1.1])).toThrow(/OST_RANGE/);
    expect(() => pathQuantiles(one, [Number.NaN])).toThrow(/OST_RANGE/);
    expect(() => pathQuantiles({ ...one, paths: 0, values: new Float64Array(0) }, [0.5])).toThrow(/OST_RANGE/);
  });
});

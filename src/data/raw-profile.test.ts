import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { distributionOf } from "./distribution.js";
import { prepare } from "./prepare.js";
import { PROFILED_FEATURES, partsOfRows, RawProfiler } from "./raw-profile.js";
import { tableFromRecords } from "./table.js";

describe("distributionOf", () => {
  it("has bins that hold every value once, within its range", () => {
    const values = fc.array(fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer({ min: 0, max: 3 })), {
      minLength: 1,
    });
    fc.assert(
      fc.property(values, (drawn) => {
        const { min, max, edges, counts } = distributionOf(Float64Array.from(drawn))!;
        expect([min, max]).toEqual([Math.min(...drawn) + 0, Math.max(...drawn) + 0]);
        expect(edges.every((edge, k) => edge >= min && edge < max && (k === 0 || edge > edges[k - 1]))).toBe(true);
        const wanted = counts.map(
          (_, k) => drawn.filter((x) => (k === 0 || x > edges[k - 1]) && (k === edges.length || x <= edges[k])).length,
        );
        expect(counts).toEqual(wanted);
      }),
    );
  });

  it("has ten equal bins where values differ, two for a switch, one for a constant, and nothing for nothing", () => {
    expect(distributionOf(Float64Array.from({ length: 1000 }, (_, i) => 999 - i))).toEqual({
      min: 0,
      max: 999,
      edges: [99, 199, 299, 399, 499, 599, 699, 799, 899],
      counts: new Array(10).fill(100),
    });
    expect(distributionOf(Float64Array.of(0, 1, 1, 0))).toEqual({ min: 0, max: 1, edges: [0], counts: [2, 2] });
    expect(distributionOf(Float64Array.of(5, 5))).toEqual({ min: 5, max: 5, edges: [], counts: [2] });
    expect(distributionOf(new Float64Array(0))).toBeNull();
  });
});

describe("RawProfiler", () => {
  it("sees training rows only, whole, with gaps and lengths of their runs", () => {
    const profiler = new RawProfiler(["a", "b"]);
    const features = Float64Array.of(1, Number.NaN, 2, 5, 900, 900, 3, 6, 4, 7);
    profiler.begin();
    profiler.add({ rows: 3, time: Float64Array.of(0, 10, 1000), features: features.subarray(0, 6) }, [1, 1, 2]);
    profiler.add({ rows: 2, time: Float64Array.of(2000, 2030), features: features.subarray(6) }, [1, 1]);
    profiler.begin();
    profiler.add({ rows: 1, time: Float64Array.of(9999), features: Float64Array.of(Number.NaN, Number.NaN) }, [1]);
    const { rows, features: made, gapMs, length } = profiler.finish();
    expect(rows).toBe(5);
    expect(made.map(({ name, missing, values }) => [name, missing, values?.min, values?.max])).toEqual([
      ["a", 0.2, 1, 4],
      ["b", 0.4, 5, 7],
    ]);
    expect([gapMs?.min, gapMs?.max, gapMs?.counts]).toEqual([10, 30, [1, 1]]);
    expect([length?.min, length?.max, length?.counts]).toEqual([1, 2, [1, 2]]);
  });

  it("keeps exact ranges and fair deciles of more rows than it remembers", () => {
    const profiler = new RawProfiler(["x"]);
    const rows = 300_000;
    profiler.begin();
    profiler.add({ rows, time: null, features: Float64Array.from({ length: rows }, (_, i) => i) }, new Uint8Array(rows).fill(1));
    const [{ values }] = profiler.finish().features;
    expect([values?.min, values?.max]).toEqual([0, rows - 1]);
    // The standard error of a decile of 100,000 is at most 0.0016 of the range.
    for (const [k, edge] of (values?.edges ?? []).entries()) expect(Math.abs(edge / rows - (k + 1) / 10)).toBeLessThan(0.008);
    expect(values?.counts.reduce((a, b) => a + b)).toBe(100_000);
  });

  it("profiles the first features of very many", () => {
    const names = Array.from({ length: 100 }, (_, c) => `f${c}`);
    const profiler = new RawProfiler(names);
    profiler.add({ rows: 2, time: null, features: Float64Array.from({ length: 200 }, (_, i) => i) }, [1, 1]);
    const { features } = profiler.finish();
    expect(features).toHaveLength(PROFILED_FEATURES);
    expect(features.at(-1)).toMatchObject({ name: "f63", values: { min: 63, max: 163 } });
  });
});

it("a prepared table is profiled by its raw training rows, on a grid too", () => {
  const records = Array.from({ length: 100 }, (_, i) => ({ time: 1.6e9 + 30 * i, load: i, other: i % 2 }));
  const options = {
    targetKind: "values",
    time: "time",
    features: ["load", "other"],
    target: "load",
    split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
  } as const;
  const { profile, series } = prepare(tableFromRecords(records), options);
  expect(profile?.rows).toBe(60);
  expect(profile?.features.map(({ values }) => [values?.min, values?.max])).toEqual([
    [0, 59],
    [0, 1],
  ]);
  expect(profile?.gapMs).toEqual({ min: 30_000, max: 30_000, edges: [], counts: [59] });
  expect(profile?.length).toMatchObject({ min: 60, max: 60 });
  expect(series[0].length).toBe(100);
  const grid = prepare(tableFromRecords(records), { ...options, resample: { everyMs: 60_000 } });
  const steps = grid.series[0].part.filter((code) => code === 1).length;
  const last = grid.series[0].row[steps - 1];
  expect(grid.profile?.rows).toBe(last);
  expect(grid.profile?.features[0].values).toMatchObject({ min: 0, max: last - 1 });
  expect(grid.profile?.gapMs?.max).toBe(30_000);
});

it("partsOfRows gives each row the part of its step, and none behind the last", () => {
  expect([...partsOfRows([1, 2, 4, 5, 9, 10], [2, 4, 4, 9], [1, 1, 1, 3])]).toEqual([1, 1, 1, 3, 3, 0]);
});

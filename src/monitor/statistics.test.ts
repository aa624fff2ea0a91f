import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RawProfiler } from "../data/index.js";
import { HistogramCounter } from "./histogram.js";
import { CONFIDENCE_BINS, type ReferenceProfile, referenceProfile } from "./profile.js";
import {
  mergeStatistics,
  OTHER_FEATURES,
  SATURATED,
  STATE_SAMPLING,
  type StatisticsFacts,
  type StepCounts,
  StepStatistics,
  statisticsOf,
} from "./statistics.js";

const FACTS: StatisticsFacts = { task: "tag", features: ["a", "b"], classes: 3 };

function profileOf(names: readonly string[], rows: readonly (readonly number[])[]): ReferenceProfile {
  const profiler = new RawProfiler(names);
  const time = Float64Array.from(rows, (_, i) => 1000 * i);
  profiler.add({ rows: rows.length, time, features: Float64Array.from(rows.flat()) }, new Uint8Array(rows.length).fill(1));
  return referenceProfile(profiler.finish());
}

/** a is 0 .. 99, b is 0 or 1. */
const PROFILE = profileOf(
  ["a", "b"],
  Array.from({ length: 100 }, (_, i) => [i, i % 2]),
);

const total = (counts: ArrayLike<number> | null) => Array.from(counts ?? []).reduce((a, b) => a + b, 0);

describe("StepStatistics", () => {
  it("counts what is missing, not finite, outside the range, and in each bin of the profile", () => {
    const statistics = new StepStatistics(PROFILE, FACTS);
    for (const row of [
      [5, 0],
      [9, 1],
      [10, Number.NaN],
      [99, 0.5],
      [99.5, 1.1],
      [-1, -0],
      [Number.POSITIVE_INFINITY, 0],
    ]) {
      statistics.row(Float64Array.from(row));
    }
    statistics.refused("nonfinite", 1);
    statistics.refused("late");
    const { features, steps, refused } = statistics.drain();
    expect(steps).toBe(7);
    expect(features.map(({ name, missing, nonfinite, outOfRange }) => [name, missing, nonfinite, outOfRange])).toEqual([
      ["a", 0, 1, 2],
      ["b", 1, 1, 1],
    ]);
    expect([...features[0].values]).toEqual([1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    expect([...features[1].values]).toEqual([0, 3, 2, 1]);
    expect(refused).toEqual({ late: 1, missing: 0, nonfinite: 1, malformed: 0 });
  });

  it("counts training rows as the profile counted them, whatever they are", () => {
    const value = fc.oneof(
      fc.integer({ min: -3, max: 3 }),
      fc.double({ min: -1e30, max: 1e30, noNaN: true }),
      fc.constant(Number.NaN),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(value, value), { minLength: 1, maxLength: 60 }), (rows) => {
        const profile = profileOf(["a", "b"], rows);
        const statistics = new StepStatistics(profile, FACTS);
        for (const row of rows) statistics.row(Float64Array.from(row));
        const { features } = statistics.drain();
        profile.features.forEach(({ values, missing }, c) => {
          expect(features[c].missing).toBe(Math.round(missing * rows.length));
          expect([...features[c].values]).toEqual(values ? [0, ...values.counts, 0] : []);
        });
      }),
    );
  });

  it("takes the confidence of classes, and of forecasts nothing", () => {
    const statistics = new StepStatistics(null, FACTS);
    for (const one of [
      [1, 0, 0],
      [1 / 3, 1 / 3, 1 / 3],
      [0.05, 0.9, 0.05],
    ])
      statistics.prediction(Float64Array.from(one));
    const { confidence, confidenceSum, predictions } = statistics.drain();
    expect(predictions).toBe(3);
    expect(Array.from(confidence!).flatMap((count, k) => (count > 0 ? [k] : []))).toEqual([6, 18, 19]);
    expect(confidenceSum).toBeCloseTo(1 + 1 / 3 + 0.9, 12);
    const forecast = new StepStatistics(null, { task: "forecast", features: ["a"], classes: 0 });
    forecast.prediction([5, 7]);
    expect(forecast.drain()).toMatchObject({ predictions: 1, confidence: null, entropy: null });
  });

  it.each([
    [[1, 0], 0, 0],
    [[0.5, 0.5], Math.log(2), 19],
    [[0.9, 0.05, 0.05], -0.9 * Math.log(0.9) - 0.1 * Math.log(0.05), 7],
    [new Array(160).fill(1 / 160), Math.log(160), 19],
  ])("takes the entropy of %j in one step of as many as there are classes", (probabilities, entropy, bin) => {
    const classes = probabilities.length;
    const statistics = new StepStatistics(null, { ...FACTS, classes });
    for (let i = 0; i < 1000 * classes; i++) statistics.prediction(probabilities);
    const drained = statistics.drain().entropy!;
    const sampled = total(drained.counts);
    expect(Math.abs(sampled - 1000)).toBeLessThan(100);
    expect(drained.sum / sampled).toBeCloseTo(entropy, 9);
    expect(drained.counts[bin]).toBe(sampled);
  });

  it("looks at one state in so many, by magnitude and saturation, and at that of each session that takes turns", () => {
    const statistics = new StepStatistics(null, FACTS);
    const steps = 1000 * STATE_SAMPLING;
    for (let i = 0; i < steps; i++) {
      const turn = i % STATE_SAMPLING < STATE_SAMPLING / 2;
      statistics.state(Float32Array.of(0.1, -SATURATED - 0.001, 0.2, turn ? 7 : -0.3));
    }
    const { stateMax, saturation } = statistics.drain();
    const sampled = total(stateMax.counts);
    expect(Math.abs(sampled - 1000)).toBeLessThan(100);
    expect(total(saturation.counts)).toBe(sampled);
    const share = (stateMax.sum / sampled - SATURATED - 0.001) / (7 - SATURATED - 0.001);
    expect(Math.abs(share - 0.5)).toBeLessThan(0.1);
    expect(saturation.sum / sampled).toBeCloseTo(0.25 + 0.25 * share, 6);
  });

  it("counts gaps, lengths and resets, by fixed edges and by those of the profile", () => {
    const statistics = new StepStatistics(PROFILE, FACTS);
    for (const gap of [1000, 1000, Number.NaN, 400, 1500]) statistics.gap(gap);
    for (const steps of [100, 3, 0, 101]) statistics.ended(steps);
    for (const reason of ["marker", "marker", "client"]) statistics.reset(reason);
    const { gap, gapProfile, length, lengthProfile, resets } = statistics.drain();
    expect(gap.edges.flatMap((edge, k) => (gap.counts[k] ? [[edge, gap.counts[k]]] : []))).toEqual([
      [500, 1],
      [1000, 2],
      [2000, 1],
    ]);
    expect([...gapProfile]).toEqual([1, 2, 1]);
    expect([length.sum, total(length.counts)]).toEqual([204, 3]);
    expect([...lengthProfile]).toEqual([1, 1, 1]);
    expect(resets).toEqual({ marker: 2, client: 1 });
  });

  it("stays small: features beyond the profiled are one, and so are reasons beyond a few", () => {
    const features = Array.from({ length: 100 }, (_, c) => `f${c}`);
    const statistics = new StepStatistics(null, { ...FACTS, features });
    statistics.row(new Float64Array(100).fill(Number.NaN));
    statistics.refused("nonfinite", 99);
    for (let i = 0; i < 1000; i++) statistics.reset(`r${i}`);
    const { features: counts, resets } = statistics.drain();
    expect(counts).toHaveLength(65);
    expect(counts.at(-1)).toMatchObject({ name: OTHER_FEATURES, missing: 36, nonfinite: 1, outOfRange: 0 });
    expect(Object.keys(resets).length).toBeLessThanOrEqual(17);
    expect(total(Object.values(resets))).toBe(1000);
  });
});

it("is made for a model version, whose rows of numbers begin with the time", () => {
  const version = {
    task: "tag",
    columns: ["when", "b", "a", "event"],
    time: "when",
    textColumns: ["event"],
    classes: ["x", "y"],
  } as const;
  const statistics = statisticsOf({ ...version, profile: JSON.parse(JSON.stringify(PROFILE)) });
  statistics.row([0, 99]);
  const { features, confidence } = statistics.drain();
  expect(features.map(({ name, values }) => [name, total(values), values.length])).toEqual([
    ["b", 1, 4],
    ["a", 1, 12],
  ]);
  expect(confidence).toHaveLength(CONFIDENCE_BINS);
  expect(statistics.profile).toEqual(PROFILE);
  expect(() => statisticsOf({ ...version, profile: { version: 9 } })).toThrow(/OST_MODEL_FILE/);
});

/** One step of everything. */
const event = fc.record({
  row: fc.tuple(fc.double({ min: -10, max: 120 }), fc.constantFrom(0, 1, Number.NaN)),
  prediction: fc.constantFrom([1, 0, 0], [0.25, 0.5, 0.25], [0.125, 0.125, 0.75]),
  gap: fc.integer({ min: 0, max: 3000 }),
  reset: fc.constantFrom(null, "marker", "time_gap"),
});
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

function feed(statistics: StepStatistics, events: readonly Event[]): StepCounts {
  for (const { row, prediction, gap, reset } of events) {
    statistics.row(row);
    statistics.prediction(prediction);
    statistics.gap(gap);
    if (reset) {
      statistics.reset(reset);
      statistics.ended(gap);
    }
  }
  return statistics.drain();
}

it("adds up: two halves merged are the whole, a drained one begins anew, and counts survive a post to another thread", () => {
  fc.assert(
    fc.property(fc.array(event), fc.array(event), (first, second) => {
      const statistics = new StepStatistics(PROFILE, FACTS);
      const halves = [feed(statistics, first), feed(statistics, second)];
      const whole = feed(new StepStatistics(PROFILE, FACTS), [...first, ...second]);
      const merged = mergeStatistics(structuredClone(halves[0]), halves[1]);
      for (const key of ["entropy", "gap", "length"] as const) expect(merged[key]?.sum).toBeCloseTo(whole[key]?.sum as number, 6);
      merged.entropy!.sum = whole.entropy!.sum;
      expect(merged).toEqual(whole);
    }),
  );
  const [one, other] = [FACTS, { ...FACTS, features: ["a", "c"] }].map((facts) => new StepStatistics(null, facts).drain());
  expect(() => mergeStatistics(one, other)).toThrow(/OST_SHAPE/);
  expect(() => mergeStatistics(one, new StepStatistics(PROFILE, FACTS).drain())).toThrow(/OST_SHAPE/);
});

it("a histogram puts each number between its edges, however many", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: -50, max: 50 }), { maxLength: 40 }),
      fc.array(fc.integer({ min: -60, max: 60 })),
      (drawn, values) => {
        const edges = drawn.sort((a, b) => a - b);
        const counter = new HistogramCounter(edges);
        const wanted = new Array(edges.length + 1).fill(0);
        for (const value of values) {
          counter.add(value);
          wanted[edges.filter((edge) => edge < value).length]++;
        }
        expect([...counter.drain().counts]).toEqual(wanted);
      },
    ),
  );
  const counter = new HistogramCounter([0, 1, 10]);
  for (const value of [-5, 0, 0.5, 1, 2, 10, 11, Number.POSITIVE_INFINITY, Number.NaN]) counter.add(value);
  expect([...counter.drain().counts]).toEqual([2, 2, 2, 2]);
  expect(counter.drain()).toEqual({ edges: [0, 1, 10], counts: new Float64Array(4), sum: 0 });
  expect(CONFIDENCE_BINS).toBe(20);
});

import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { type Rng, seed } from "../core/rng.js";
import { type Baseline, Drift, defaultBaselines, MovingAverage, Persistence, restoreBaseline, SeasonalNaive } from "./index.js";

const base: ExampleSpec = {
  features: ["a", "b", "c"],
  targetKind: "values",
  targets: ["c", "a"],
  classes: [],
  horizon: 5,
  everyStep: false,
  length: 8,
  targetFeature: [2, 0],
};
const SPECS: Record<string, ExampleSpec> = {
  values: base,
  "values at every step": { ...base, everyStep: true },
  class: { ...base, targetKind: "class", targets: [], targetFeature: [], classes: ["x", "y", "z"], length: 0 },
  tags: { ...base, targetKind: "tags", targets: [], targetFeature: [], classes: ["x", "y", "z"], length: 0 },
};

/** Random rows of the given lengths, padded to `time` with `padding`. */
function batchOf(spec: ExampleSpec, rng: Rng, lengths: number[], { time = Math.max(...lengths), padding = 0 } = {}): Batch {
  const B = lengths.length;
  const F = spec.features.length;
  const x = new Float32Array(B * time * F).fill(padding);
  const perUnit = spec.horizon * spec.targets.length;
  const units = spec.everyStep || spec.targetKind === "tags" ? time : 1;
  const values = new Float32Array(B * units * perUnit).fill(Number.NaN);
  const classes = new Int32Array(B * units).fill(-1);
  lengths.forEach((length, b) => {
    const level = rng.normal();
    for (let t = 0; t < length; t++) {
      for (let f = 0; f < F; f++) x[(b * time + t) * F + f] = level + Math.sin(t + f) + 0.3 * rng.normal();
    }
    for (let u = 0; u < Math.min(units, units === 1 ? 1 : length); u++) {
      for (let i = 0; i < perUnit; i++) values[(b * units + u) * perUnit + i] = level + rng.normal();
      classes[b * units + u] = level < -0.5 ? 0 : level < 0.5 ? 1 : 2;
    }
  });
  return {
    batchSize: B,
    time,
    features: F,
    x,
    lengths: Int32Array.from(lengths),
    targetKind: spec.targetKind,
    ...(spec.targetKind === "values" ? { values } : { classes }),
    everyStep: spec.everyStep,
    horizon: spec.horizon,
    targets: spec.targets.length,
    example: Int32Array.from(lengths.keys()),
    series: Int32Array.from(lengths.keys()),
    start: new Int32Array(B),
  };
}

function fitted(spec: ExampleSpec): Baseline[] {
  const part = (value: number) => () => {
    const rng = seed(value);
    return [8, 8, 8].map((length) => batchOf(spec, rng, new Array(20).fill(length)));
  };
  const list = defaultBaselines(spec, { period: 4 });
  for (const baseline of list) baseline.fit(part(1), part(2));
  return list;
}

describe.each(Object.entries(SPECS))("every baseline for %s", (_, spec) => {
  const baselines = fitted(spec);
  const lengths = [8, 3, 1, 0];

  it("predicts finite numbers for every valid step, and zero for padding", () => {
    const batch = batchOf(spec, seed(5), lengths);
    const units = spec.everyStep || spec.targetKind === "tags" ? batch.time : 1;
    const width = spec.targetKind === "values" ? spec.horizon * spec.targets.length : spec.classes.length;
    for (const baseline of baselines) {
      const out = baseline.predict(batch);
      expect(out.length, baseline.name).toBe(batch.batchSize * units * width);
      expect(out.every(Number.isFinite), baseline.name).toBe(true);
      if (units > 1) expect(out.subarray((units + lengths[1]) * width, 2 * units * width).every((v) => v === 0)).toBe(true);
    }
  });

  it("gives class log-probabilities that sum to one", () => {
    if (spec.targetKind === "values") return;
    const batch = batchOf(spec, seed(5), [8, 3]);
    for (const baseline of baselines) {
      const out = baseline.predict(batch);
      const total = out.subarray(0, 3).reduce((sum, logit) => sum + Math.exp(logit), 0);
      expect(total, baseline.name).toBeCloseTo(1, 5);
    }
  });

  it("does not look at padding: more of it, or NaN in it, changes no bit", () => {
    const plain = batchOf(spec, seed(6), lengths);
    const poisoned = batchOf(spec, seed(6), lengths, { time: 13, padding: Number.NaN });
    for (const baseline of baselines) {
      const a = baseline.predict(plain);
      const b = baseline.predict(poisoned);
      const perStep = a.length > b.length || a.length < b.length;
      const width = a.length / (plain.batchSize * plain.time);
      const cut = perStep
        ? lengths.flatMap((_, row) => [...b.subarray(row * 13 * width, (row * 13 + plain.time) * width)])
        : [...b];
      expect(cut, baseline.name).toEqual([...a]);
    }
  });

  it("fits the same whatever the padding", () => {
    for (const [i, baseline] of defaultBaselines(spec, { period: 4 }).entries()) {
      const part = (value: number) => () => {
        const rng = seed(value);
        return [8, 8, 8].map((length) => batchOf(spec, rng, new Array(20).fill(length), { time: 11, padding: Number.NaN }));
      };
      baseline.fit(part(1), part(2));
      const batch = batchOf(spec, seed(7), lengths);
      expect([...baseline.predict(batch)], baseline.name).toEqual([...baselines[i].predict(batch)]);
    }
  });

  it("predicts a row alone as it does among others", () => {
    const all = batchOf(spec, seed(8), [8, 5]);
    const one = batchOf(spec, seed(8), [8]);
    for (const baseline of baselines) {
      const alone = baseline.predict(one);
      expect([...baseline.predict(all).subarray(0, alone.length)], baseline.name).toEqual([...alone]);
    }
  });

  it("needs no more than its history", () => {
    const whole = batchOf(spec, seed(9), [8]);
    for (const baseline of baselines) {
      if (baseline.history >= 8) continue;
      const kept = { ...whole, time: baseline.history, lengths: Int32Array.of(baseline.history) };
      kept.x = whole.x.slice((8 - baseline.history) * 3);
      const wide = baseline.predict(whole);
      const narrow = baseline.predict(kept);
      const width = spec.targetKind === "values" ? 10 : 3;
      expect([...narrow.subarray(-width)], baseline.name).toEqual([...wide.subarray(-width)]);
    }
  });

  it("undoes the per-window normalisation of its inputs", () => {
    const raw = batchOf(spec, seed(10), [8, 4]);
    const offset = Float32Array.of(1, -2, 0.5, 4, 0, -1);
    const scale = Float32Array.of(2, 0.5, 4, 0.25, 1, 8);
    const x = raw.x.map((value, i) => {
      const at = Math.floor(i / (8 * 3)) * 3 + (i % 3);
      return (value - offset[at]) / scale[at];
    });
    for (const baseline of baselines) {
      const expected = baseline.predict(raw);
      const got = baseline.predict({ ...raw, x, normalization: { offset, scale } });
      for (let i = 0; i < got.length; i++) expect(got[i], baseline.name).toBeCloseTo(expected[i], 4);
    }
  });

  it("predicts the same bits after a round trip through JSON and arrays", () => {
    const batch = batchOf(spec, seed(11), lengths);
    for (const baseline of baselines) {
      const restored = restoreBaseline(JSON.parse(JSON.stringify(baseline)), baseline.arrays());
      expect(restored.name).toBe(baseline.name);
      expect(restored.history).toBe(baseline.history);
      expect([...restored.predict(batch)], baseline.name).toEqual([...baseline.predict(batch)]);
      expect(JSON.stringify(restored)).toBe(JSON.stringify(baseline));
    }
  });

  it("refuses a batch of other features", () => {
    const batch = { ...batchOf(spec, seed(5), lengths), features: 2 };
    for (const baseline of baselines) expect(() => baseline.predict(batch), baseline.name).toThrow(/OST_SHAPE/);
  });
});

describe("rules worked by hand", () => {
  const spec: ExampleSpec = { ...base, features: ["y"], targets: ["y"], targetFeature: [0], length: 6 };
  const past = [1, 4, 2, 3, 6, 5];
  const batch: Batch = {
    ...batchOf(spec, seed(1), [6]),
    x: Float32Array.from(past),
  };

  it("persistence repeats the last value", () => {
    expect([...new Persistence(spec).predict(batch)]).toEqual([5, 5, 5, 5, 5]);
  });

  it("seasonal naive repeats the last period", () => {
    expect([...new SeasonalNaive(spec, { period: 3 }).predict(batch)]).toEqual([3, 6, 5, 3, 6]);
    expect([...new SeasonalNaive(spec, { period: 6 }).predict(batch)]).toEqual([1, 4, 2, 3, 6]);
  });

  it("seasonal naive takes the last value where a row holds less than a period", () => {
    const short = { ...batch, lengths: Int32Array.of(2) };
    expect([...new SeasonalNaive(spec, { period: 3 }).predict(short)]).toEqual([4, 1, 4, 4, 1]);
  });

  it("drift carries the line through the first and last value on", () => {
    const out = new Drift(spec).predict(batch);
    [5.8, 6.6, 7.4, 8.2, 9].forEach((value, p) => void expect(out[p]).toBeCloseTo(value, 5));
  });

  it("moving average takes the mean of the latest", () => {
    expect([...new MovingAverage(spec, { width: 2 }).predict(batch)]).toEqual([5.5, 5.5, 5.5, 5.5, 5.5]);
  });

  it("moving average chooses the width that the validation part asks for", () => {
    const average = new MovingAverage(spec);
    const asking: Batch = { ...batch, values: new Float32Array(5).fill((2 + 3 + 6 + 5) / 4) };
    average.fit(
      () => [],
      () => [asking],
    );
    expect(average.width).toBe(4);
    expect(average.name).toBe("movingAverage(4)");
  });
});

describe("what does not apply", () => {
  it("a forecast from its own past needs the target among the features", () => {
    const blind = { ...base, targetFeature: [2, -1] };
    expect(Persistence.applies(blind)).toBe(false);
    expect(() => new Persistence(blind)).toThrow(/OST_TARGET.*a/s);
    expect(defaultBaselines(blind, { period: 4 }).map(({ name }) => name)).toEqual(["ridge(8)"]);
  });

  it("a period longer than the window is refused", () => {
    expect(SeasonalNaive.applies(base, { period: 9 })).toBe(false);
    expect(() => new SeasonalNaive(base, { period: 9 })).toThrow(/OST_WINDOW/);
  });

  it("an unknown kind or an array of another shape is refused", () => {
    expect(() => restoreBaseline({ kind: "oracle", spec: base, options: {} }, {})).toThrow(/OST_MODEL_FILE/);
    expect(() => restoreBaseline({ kind: "seasonalNaive", spec: base, options: { period: "4" } }, {})).toThrow(/OST_MODEL_FILE/);
    expect(() => restoreBaseline({ kind: "ridge", spec: base, options: { lags: 4 } }, {})).toThrow(/OST_MODEL_FILE/);
    const majority = { kind: "majority", spec: SPECS.class, options: {} };
    expect(() => restoreBaseline(majority, { logPrior: { shape: [2], data: new Float32Array(2) } })).toThrow(/OST_MODEL_FILE/);
  });
});

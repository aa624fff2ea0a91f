import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { seed } from "../core/rng.js";
import { Ridge } from "./ridge.js";

const spec: ExampleSpec = {
  features: ["a", "b"],
  targetKind: "values",
  targets: ["a", "b"],
  classes: [],
  horizon: 2,
  everyStep: false,
  length: 3,
  targetFeature: [0, 1],
};

/** All windows of a series [n][features], as one batch. */
function windows(series: number[][], s: ExampleSpec): Batch {
  const starts = Array.from({ length: series.length - s.length - s.horizon + 1 }, (_, i) => i);
  return {
    batchSize: starts.length,
    time: s.length,
    features: s.features.length,
    x: Float32Array.from(starts.flatMap((from) => series.slice(from, from + s.length).flat())),
    lengths: new Int32Array(starts.length).fill(s.length),
    targetKind: "values",
    values: Float32Array.from(
      starts.flatMap((from) =>
        series
          .slice(from + s.length, from + s.length + s.horizon)
          .flatMap((step) => s.targetFeature.map((f) => step[Math.max(0, f)])),
      ),
    ),
    everyStep: false,
    horizon: s.horizon,
    targets: s.targets.length,
    example: Int32Array.from(starts),
    series: new Int32Array(starts.length),
    start: Int32Array.from(starts),
  };
}

/** Two coupled autoregressive columns with a level. */
function process(n: number, value: number, noise = 0.5): number[][] {
  const rng = seed(value);
  const series: number[][] = [[2, -1]];
  for (let t = 1; t < n; t++) {
    const [a, b] = series[t - 1];
    series.push([0.5 + 0.7 * a + 0.2 * b + noise * rng.normal(), -0.3 * a + 0.6 * b + noise * rng.normal()]);
  }
  return series;
}

/** Solves a dense system by Gaussian elimination with pivoting: another way to the same numbers. */
function gauss(a: number[][], b: number[]): number[] {
  const m = a.map((row, i) => [...row, b[i]]);
  for (let c = 0; c < m.length; c++) {
    const pivot = m.slice(c).reduce((best, row, i) => (Math.abs(row[c]) > Math.abs(m[best][c]) ? c + i : best), c);
    [m[c], m[pivot]] = [m[pivot], m[c]];
    for (let r = 0; r < m.length; r++) {
      if (r === c) continue;
      const factor = m[r][c] / m[c][c];
      for (let k = c; k <= m.length; k++) m[r][k] -= factor * m[c][k];
    }
  }
  return m.map((row, i) => row[m.length] / row[i]);
}

describe("ridge", () => {
  it("equals the normal equations with an unpenalised intercept", () => {
    const penalty = 0.05;
    const batch = windows(process(40, 3), spec);
    const ridge = new Ridge(spec, { penalties: [penalty], variants: ["all"] });
    ridge.fit(
      () => [batch],
      () => [batch],
    );
    const n = batch.batchSize;
    const D = 6;
    const rows = Array.from({ length: n }, (_, r) => [...batch.x.subarray(r * D, (r + 1) * D), 1]);
    const variance = Array.from({ length: D }, (_, i) => {
      const mean = rows.reduce((sum, row) => sum + row[i], 0) / n;
      return rows.reduce((sum, row) => sum + (row[i] - mean) ** 2, 0) / n;
    });
    const gram = Array.from({ length: D + 1 }, (_, i) =>
      Array.from({ length: D + 1 }, (_, j) => {
        const sum = rows.reduce((total, row) => total + row[i] * row[j], 0) / n;
        return sum + (i === j && i < D ? penalty * variance[i] : 0);
      }),
    );
    const probe = [0.3, -1, 2, 0.1, -0.4, 1.5, 1];
    const expected = [0, 1, 2, 3].map((output) => {
      const moment = Array.from({ length: D + 1 }, (_, i) =>
        rows.reduce((sum, row, r) => sum + (row[i] * (batch.values as Float32Array)[r * 4 + output]) / n, 0),
      );
      return gauss(gram, moment).reduce((sum, w, i) => sum + w * probe[i], 0);
    });
    const got = ridge.predict({ ...batch, batchSize: 1, lengths: Int32Array.of(3), x: Float32Array.from(probe.slice(0, 6)) });
    expected.forEach((value, i) => void expect(got[i]).toBeCloseTo(value, 5));
  });

  it("recovers the coefficients of an autoregressive process", () => {
    const ridge = new Ridge({ ...spec, horizon: 1 }, { variants: ["all"] });
    ridge.fit(
      () => [windows(process(4000, 1), { ...spec, horizon: 1 })],
      () => [windows(process(1000, 2), { ...spec, horizon: 1 })],
    );
    const { weight, bias } = ridge.arrays();
    const [a, b] = [weight.data.subarray(0, 6), weight.data.subarray(6, 12)];
    [0, 0, 0, 0, 0.7, 0.2].forEach((w, i) => void expect(Math.abs(a[i] - w)).toBeLessThan(0.06));
    [0, 0, 0, 0, -0.3, 0.6].forEach((w, i) => void expect(Math.abs(b[i] - w)).toBeLessThan(0.06));
    expect(Math.abs(bias.data[0] - 0.5)).toBeLessThan(0.06);
  });

  it("states the validation error that its predictions really have", () => {
    const validation = windows(process(300, 5), spec);
    for (const variant of ["all", "own", "shared"] as const) {
      const ridge = new Ridge(spec, { variants: [variant] });
      ridge.fit(
        () => [windows(process(500, 4), spec)],
        () => [validation],
      );
      const out = ridge.predict(validation);
      const target = validation.values as Float32Array;
      const mse = out.reduce((sum, value, i) => sum + (value - target[i]) ** 2, 0) / out.length;
      expect(ridge.choice.validation[variant]?.mse).toBeCloseTo(mse, 5);
    }
  });

  it("chooses the variant that is better on the validation part", () => {
    const coupled = new Ridge(spec);
    coupled.fit(
      () => [windows(process(2000, 1), spec)],
      () => [windows(process(500, 2), spec)],
    );
    expect(coupled.choice.variant).toBe("all");
    const rng = seed(9);
    const alone = (n: number) => {
      const series = [[0, 0]];
      for (let t = 1; t < n; t++) series.push(series[t - 1].map((v) => 0.9 * v + rng.normal()));
      return series;
    };
    const separate = new Ridge(spec);
    const [train, validation] = [windows(alone(40), spec), windows(alone(2000), spec)];
    separate.fit(
      () => [train],
      () => [validation],
    );
    expect(separate.choice.variant).toBe("shared");
  });

  it("solves each column alone where all lags of all features would be too many", () => {
    const small = new Ridge(spec, { maxInputs: 4 });
    const large = new Ridge(spec, { variants: ["own", "shared"] });
    for (const ridge of [small, large]) {
      ridge.fit(
        () => [windows(process(200, 1), spec)],
        () => [windows(process(100, 2), spec)],
      );
    }
    expect(small.choice).toEqual(large.choice);
    const probe = windows(process(20, 3), spec);
    expect([...small.predict(probe)]).toEqual([...large.predict(probe)]);
  });

  it("gives a column that never varies no weight", () => {
    const series = process(200, 1).map(([a]) => [a, 3]);
    const ridge = new Ridge(spec, { variants: ["all"] });
    ridge.fit(
      () => [windows(series, spec)],
      () => [windows(series, spec)],
    );
    const { data } = ridge.arrays().weight;
    expect(data.filter((_, i) => i % 2 === 1).every((w) => w === 0)).toBe(true);
    expect(ridge.predict(windows(series, spec))[1]).toBeCloseTo(3, 5);
  });

  it("does not learn from an example with a missing target, and says so when none is complete", () => {
    const batch = windows(process(60, 1), spec);
    const spoilt = { ...batch, values: (batch.values as Float32Array).slice() };
    spoilt.values[5] = Number.NaN;
    const ridge = new Ridge(spec);
    ridge.fit(
      () => [spoilt],
      () => [batch],
    );
    expect(ridge.choice.examples).toBe(batch.batchSize - 1);
    const empty = { ...batch, values: new Float32Array(batch.batchSize * 4).fill(Number.NaN) };
    expect(() =>
      new Ridge(spec).fit(
        () => [empty],
        () => [batch],
      ),
    ).toThrow(/OST_TARGET/);
  });

  it("takes an evenly spaced share where there are more examples than asked for", () => {
    const ridge = new Ridge(spec, { maxExamples: 20 });
    ridge.fit(
      () => [windows(process(104, 1), spec)],
      () => [windows(process(50, 2), spec)],
    );
    expect(ridge.choice.examples).toBe(20);
  });

  it("extends a window that is too short with its first value", () => {
    const ridge = new Ridge(spec, { variants: ["all"] });
    const batch = windows(process(60, 1), spec);
    ridge.fit(
      () => [batch],
      () => [batch],
    );
    const one = { ...batch, batchSize: 1 };
    const short = ridge.predict({ ...one, lengths: Int32Array.of(2), x: Float32Array.of(1, 2, 3, 4, 9, 9) });
    const full = ridge.predict({ ...one, lengths: Int32Array.of(3), x: Float32Array.of(1, 2, 1, 2, 3, 4) });
    expect([...short]).toEqual([...full]);
  });

  it("refuses lags beyond the window, and a prediction before its fit", () => {
    expect(() => new Ridge(spec, { lags: 4 })).toThrow(/OST_WINDOW/);
    expect(() => new Ridge(spec).predict(windows(process(20, 1), spec))).toThrow(/fit first/);
  });
});

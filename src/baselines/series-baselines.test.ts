import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { type Rng, seed } from "../core/rng.js";
import { ExponentialSmoothing, type SmoothingParameters } from "./exponential-smoothing.js";
import { AR, type Baseline, defaultBaselines, ETS, restoreBaseline, Theta, WindowedGaussian } from "./index.js";
import { nelderMead } from "./nelder-mead.js";
import { trainingStretches } from "./training-stretch.js";

const LENGTH = 24;
const PERIOD = 6;
const spec: ExampleSpec = {
  features: ["a", "b", "c"],
  targetKind: "values",
  targets: ["c", "a"],
  classes: [],
  horizon: 7,
  everyStep: false,
  length: LENGTH,
  targetFeature: [2, 0],
};
const one: ExampleSpec = { ...spec, features: ["y"], targets: ["y"], targetFeature: [0] };

/** Every window of series given column by column. */
function windowsOf(
  of: ExampleSpec,
  series: readonly (readonly Float64Array[])[],
  { time = of.length, padding = 0, stride = 1 } = {},
): Batch {
  const { length, horizon, targetFeature, features } = of;
  const F = features.length;
  const K = targetFeature.length;
  const at = series.flatMap((columns, s) =>
    Array.from({ length: Math.floor((columns[0].length - length - horizon) / stride) + 1 }, (_, i) => ({ s, start: i * stride })),
  );
  const x = new Float32Array(at.length * time * F).fill(padding);
  const values = new Float32Array(at.length * horizon * K);
  at.forEach(({ s, start }, b) => {
    for (let t = 0; t < length; t++) for (let f = 0; f < F; f++) x[(b * time + t) * F + f] = series[s][f][start + t];
    for (let p = 0; p < horizon; p++) {
      for (let k = 0; k < K; k++) values[(b * horizon + p) * K + k] = series[s][targetFeature[k]][start + length + p];
    }
  });
  return {
    batchSize: at.length,
    time,
    features: F,
    x,
    lengths: new Int32Array(at.length).fill(length),
    targetKind: "values",
    values,
    everyStep: false,
    horizon,
    targets: K,
    example: Int32Array.from(at.keys()),
    series: Int32Array.from(at, ({ s }) => s),
    start: Int32Array.from(at, ({ start }) => start),
  };
}

/** A season on a slow walk. */
function wave(rng: Rng, length: number, { level = 0, noise = 0.1 } = {}): Float64Array {
  let walk = level;
  return Float64Array.from({ length }, (_, t) => {
    walk += 0.05 * rng.normal();
    return walk + Math.sin((2 * Math.PI * t) / PERIOD) + noise * rng.normal();
  });
}

const threeWaves = (rng: Rng, length: number) => [wave(rng, length, { level: 5 }), wave(rng, length), wave(rng, length)];
const train = (options?: Parameters<typeof windowsOf>[2]) => () => {
  const rng = seed(1);
  return [windowsOf(spec, [threeWaves(rng, 120), threeWaves(rng, 90)], options)];
};
const held = () => [windowsOf(spec, [threeWaves(seed(2), 80)])];
const makers: Record<string, (of: ExampleSpec) => Baseline> = {
  ets: (of) => new ETS(of, { period: PERIOD }),
  theta: (of) => new Theta(of, { period: PERIOD }),
  ar: (of) => new AR(of, { period: PERIOD }),
  windowedGaussian: (of) => new WindowedGaussian(of),
  "windowedGaussian as a distribution": (of) => new WindowedGaussian({ ...of, distribution: { kind: "gaussian" } }),
};

function fitted(baseline: Baseline, pass = train()): Baseline {
  baseline.fit(pass, held);
  return baseline;
}

/** The given rows of a batch, cut to `lengths` from their ends. */
function rowsOf(batch: Batch, lengths: number[], { time = Math.max(...lengths), padding = 0 } = {}): Batch {
  const { features: F } = batch;
  const x = new Float32Array(lengths.length * time * F).fill(padding);
  lengths.forEach((length, b) => {
    const end = (b * batch.time + batch.lengths[b]) * F;
    x.set(batch.x.subarray(end - length * F, end), b * time * F);
  });
  const per = batch.horizon * batch.targets;
  return {
    ...batch,
    batchSize: lengths.length,
    time,
    x,
    lengths: Int32Array.from(lengths),
    values: batch.values?.slice(0, lengths.length * per),
    example: batch.example.slice(0, lengths.length),
    series: batch.series.slice(0, lengths.length),
    start: batch.start.slice(0, lengths.length),
  };
}

describe.each(Object.entries(makers))("%s", (_, make) => {
  const baseline = fitted(make(spec));
  const [batch] = held();
  const lengths = [24, 13, 5, 1, 0];
  const width = spec.horizon * 2 * (baseline.distributional ? 2 : 1);

  it("predicts finite numbers from rows of any length, the same alone, with more padding, and restored", () => {
    const mixed = rowsOf(batch, lengths);
    const out = baseline.predict(mixed);
    expect(out.length).toBe(lengths.length * width);
    expect(out.every(Number.isFinite)).toBe(true);
    expect([...baseline.predict(rowsOf(batch, [24]))]).toEqual([...out.subarray(0, width)]);
    const restored = restoreBaseline(JSON.parse(JSON.stringify(baseline)), baseline.arrays());
    expect(JSON.stringify(restored)).toBe(JSON.stringify(baseline));
    expect([restored.name, restored.history, restored.distributional]).toEqual([
      baseline.name,
      baseline.history,
      baseline.distributional,
    ]);
    expect([...restored.predict(mixed)]).toEqual([...out]);
    expect([...baseline.predict(rowsOf(batch, lengths, { time: 31, padding: Number.NaN }))]).toEqual([...out]);
  });

  it("fits the same whatever the padding, and whatever the order and overlap of the windows", () => {
    const other = fitted(make(spec), train({ time: 29, padding: Number.NaN }));
    expect(JSON.stringify(other)).toBe(JSON.stringify(baseline));
    if (baseline.name.startsWith("windowed")) return;
    const [all] = train()();
    const rows = [...all.start.keys()].reverse();
    const turned = rows.map((b) => ({
      ...all,
      batchSize: 1,
      x: all.x.slice(b * LENGTH * 3, (b + 1) * LENGTH * 3),
      lengths: Int32Array.of(LENGTH),
      series: all.series.slice(b, b + 1),
      start: all.start.slice(b, b + 1),
    }));
    expect(JSON.stringify(fitted(make(spec), () => turned))).toBe(JSON.stringify(baseline));
  });

  it("bears missing values, in training and in a window, and constant ones", () => {
    const holes = (from: Batch) => ({ ...from, x: from.x.map((value, i) => (i % 11 === 3 || i % 17 < 2 ? Number.NaN : value)) });
    const learned = fitted(make(spec), () => train()().map(holes));
    expect(learned.predict(holes(batch)).every(Number.isFinite)).toBe(true);
    expect(learned.predict({ ...batch, x: batch.x.map(() => Number.NaN) }).every(Number.isFinite)).toBe(true);
    const flat = fitted(make(spec), () => train()().map((from) => ({ ...from, x: from.x.map(() => 2) })));
    const out = flat.predict({ ...batch, x: batch.x.map(() => 2) });
    expect(out.every(Number.isFinite)).toBe(true);
    if (!flat.distributional) for (const value of out) expect(value).toBeCloseTo(2, 3);
  });

  it("undoes the per-window normalisation of its inputs", () => {
    const offset = Float32Array.from({ length: batch.batchSize * 3 }, (_, i) => (i % 7) - 3);
    const scale = Float32Array.from({ length: batch.batchSize * 3 }, (_, i) => 0.5 + (i % 3));
    const x = batch.x.map((value, i) => {
      const at = Math.floor(i / (LENGTH * 3)) * 3 + (i % 3);
      return (value - offset[at]) / scale[at];
    });
    const expected = baseline.predict(batch);
    baseline.predict({ ...batch, x, normalization: { offset, scale } }).forEach((value, i) => {
      expect(Math.abs(value - expected[i])).toBeLessThan(1e-3);
    });
  });

  it("predicts from every step as from the last of a shorter row", () => {
    const everywhere = { ...spec, everyStep: true, length: 0 };
    const per = spec.horizon * 2;
    const each = make(everywhere);
    const whole = (from: Batch): Batch => ({
      ...from,
      everyStep: true,
      values: new Float32Array(from.batchSize * from.time * per).fill(0.1),
    });
    each.fit(
      () => train()().map(whole),
      () => held().map(whole),
    );
    const out = each.predict(whole(rowsOf(batch, [24, 9])));
    const alone = each.predict(whole(rowsOf({ ...batch, lengths: batch.lengths.map(() => 15) }, [15])));
    expect([...out.subarray(14 * width, 15 * width)]).toEqual([...alone.subarray(14 * width, 15 * width)]);
    expect(out.subarray((24 + 9) * width).every((value) => value === 0)).toBe(true);
  });

  it("refuses a blind target, other settings, and a part without values", () => {
    expect(() => make({ ...spec, targetFeature: [2, -1] })).toThrow(/OST_TARGET/);
    expect(() => fitted(make(spec), () => [])).toThrow(/OST_TARGET/);
    expect(() => make(spec).toJSON()).toThrow(/OST_RANGE/);
    const json = JSON.parse(JSON.stringify(baseline));
    const damaged = JSON.stringify(json.options).replace(/"(alpha|mean)":[^,}]*/, '"$1":null');
    if (damaged !== JSON.stringify(json.options))
      expect(() => restoreBaseline({ ...json, options: JSON.parse(damaged) }, {})).toThrow(/OST_MODEL_FILE/);
    for (const key of ["columns", "floors"]) {
      if (!(key in json.options)) continue;
      const short = { ...json, options: { ...json.options, [key]: json.options[key].slice(1) } };
      expect(() => restoreBaseline(short, {})).toThrow(/OST_MODEL_FILE/);
    }
  });
});

/** A whole batch of one row. */
function rowOf(y: ArrayLike<number>, horizon: number): { of: ExampleSpec; batch: Batch } {
  const of = { ...one, length: y.length, horizon };
  const batch = windowsOf(of, [[Float64Array.from({ length: y.length + horizon }, (_, t) => y[t] ?? 0)]]);
  return { of, batch };
}

function restored(kind: string, options: object, y: ArrayLike<number>, horizon: number): number[] {
  const { of, batch } = rowOf(y, horizon);
  return [...restoreBaseline({ kind, spec: of, options }, {}).predict(batch)];
}

function expectClose(got: ArrayLike<number>, expected: ArrayLike<number>, digits = 4): void {
  expect(got.length).toBe(expected.length);
  for (let i = 0; i < got.length; i++) expect(got[i], `at ${i}`).toBeCloseTo(expected[i], digits);
}

describe("exponential smoothing", () => {
  const form = (parameters: Partial<SmoothingParameters>): SmoothingParameters => ({
    trend: "none",
    season: "none",
    alpha: 0.3,
    beta: 0,
    gamma: 0,
    phi: 1,
    ...parameters,
  });
  const forecast = (parameters: Partial<SmoothingParameters>, y: number[], horizon: number, period = 1) => {
    const smoothing = new ExponentialSmoothing(form(parameters), period);
    const { squares, scored } = smoothing.run(Float64Array.from(y), y.length, { warm: 0 });
    const future = new Float64Array(horizon);
    smoothing.forecast(future);
    return { future: [...future], squares, scored };
  };

  it("of a level alone is the weighted mean of all values", () => {
    const y = [3, 5, 4, 8];
    const { future, squares, scored } = forecast({}, y, 2);
    const level = 0.7 ** 3 * 3 + 0.3 * (0.7 ** 2 * 5 + 0.7 * 4 + 8);
    expectClose(future, [level, level], 12);
    // Levels before each value: 3, 3, 3.6, 3.72.
    expect(squares).toBeCloseTo(0 + 4 + 0.16 + 4.28 ** 2, 10);
    expect(scored).toBe(4);
  });

  it("carries a line on, and a damped one ever less", () => {
    const line = Array.from({ length: 12 }, (_, t) => 2 + 3 * t);
    expectClose(forecast({ trend: "additive", beta: 0.1 }, line, 3).future, [38, 41, 44], 10);
    const damped = forecast({ trend: "damped", beta: 0, alpha: 0, phi: 0.9 }, line, 3).future;
    const start = -1 + 3 * ((0.9 * (1 - 0.9 ** 12)) / 0.1);
    expectClose(
      damped,
      [1, 2, 3].map((h) => start + 3 * ((0.9 ** 13 * (1 - 0.9 ** h)) / 0.1)),
      8,
    );
  });

  it("carries a season on a line on exactly, added or multiplied", () => {
    const shape = [2, -1, 0, -1];
    const added = (t: number) => 10 + 0.5 * t + shape[t % 4];
    const y = Array.from({ length: 16 }, (_, t) => added(t));
    const parameters = { trend: "additive", season: "additive", beta: 0.1, gamma: 0.2 } as const;
    expectClose(forecast(parameters, y, 6, 4).future, [16, 17, 18, 19, 20, 21].map(added), 10);
    const factors = [1.5, 0.5, 1.25, 0.75];
    const multiplied = (t: number) => 20 * factors[t % 4];
    const z = Array.from({ length: 16 }, (_, t) => multiplied(t));
    expectClose(forecast({ season: "multiplicative", gamma: 0.2 }, z, 6, 4).future, [16, 17, 18, 19, 20, 21].map(multiplied), 10);
  });

  it("is Holt's and Winters' recursion in its component form", () => {
    const rng = seed(4);
    const m = 4;
    const y = Array.from({ length: 30 }, (_, t) => 20 + 0.3 * t + [3, -2, 1, -2][t % m] + rng.normal());
    const [alpha, star, gamma, phi] = [0.4, 0.3, 0.2, 0.9];
    for (const season of ["additive", "multiplicative"] as const) {
      const multiplied = season === "multiplicative";
      const [one, two] = [0, 1].map((s) => y.slice(s * m, (s + 1) * m).reduce((a, b) => a + b, 0) / m);
      let b = (two - one) / m;
      let l = one - (b * (m + 1)) / 2;
      const line = (t: number) => one + b * (t - (m - 1) / 2);
      const s = [0, 1, 2, 3].map((j) =>
        multiplied ? (y[j] / line(j) + y[m + j] / line(m + j)) / 2 : (y[j] - line(j) + y[m + j] - line(m + j)) / 2,
      );
      y.forEach((value, t) => {
        const base = l + phi * b;
        const before = s[t % m];
        const level = multiplied ? (alpha * value) / before + (1 - alpha) * base : alpha * (value - before) + (1 - alpha) * base;
        s[t % m] = multiplied ? (gamma * value) / base + (1 - gamma) * before : gamma * (value - base) + (1 - gamma) * before;
        b = star * (level - l) + (1 - star) * phi * b;
        l = level;
      });
      const expected = [1, 2, 3, 4, 5].map((h) => {
        const trend = l + b * ((phi * (1 - phi ** h)) / (1 - phi));
        const factor = s[(y.length + h - 1) % m];
        return multiplied ? trend * factor : trend + factor;
      });
      const parameters = { trend: "damped", season, alpha, beta: alpha * star, gamma, phi } as const;
      expectClose(forecast(parameters, y, 5, m).future, expected, 10);
    }
  });

  it("chooses a form that fits the data, by least squares", () => {
    const rng = seed(7);
    const steady = Float64Array.from({ length: 400 }, () => 3 + rng.normal());
    const seasonal = Float64Array.from({ length: 400 }, (_, t) => 3 + [4, 0, -4, 1, 2, -3][t % 6] + 0.3 * rng.normal());
    let sum = 0;
    const walk = Float64Array.from({ length: 400 }, () => (sum += rng.normal()));
    const rising = Float64Array.from({ length: 400 }, (_, t) => 10 + (1 + t / 100) * [8, 2, 5, 4, 6, 5][t % 6]);
    const chosen = (y: Float64Array) => {
      const ets = new ETS(one, { period: PERIOD });
      ets.fit(
        () => [windowsOf(one, [[y]])],
        () => [],
      );
      return ets.columns[0];
    };
    expect(chosen(steady).season).toBe("none");
    expect(chosen(steady).alpha).toBeLessThan(0.2);
    expect(chosen(walk).season).toBe("none");
    expect(chosen(walk).alpha).toBeGreaterThan(0.8);
    expect(chosen(seasonal).season).not.toBe("none");
    expect(chosen(rising).season).toBe("multiplicative");
  });

  it("refuses forms that are none", () => {
    const column = { ...form({}), aicc: null };
    expectClose(restored("ets", { period: 1, columns: [column] }, [3, 5, 4, 8], 1), [
      0.7 ** 3 * 3 + 0.3 * (0.7 ** 2 * 5 + 0.7 * 4 + 8),
    ]);
    const odd = { period: 1, columns: [{ ...column, trend: "wild" }] };
    expect(() => restored("ets", odd, [1, 2], 1)).toThrow(/OST_MODEL_FILE/);
    for (const period of [0, 1.5]) expect(() => new ETS(one, { period })).toThrow(/OST_RANGE/);
  });
});

describe("theta", () => {
  it("is the mean of the line and of the smoothed series that is bent twice as much", () => {
    const rng = seed(3);
    const y = Array.from({ length: 20 }, (_, t) => 5 + 0.4 * t + rng.normal());
    const n = y.length;
    const t1 = (n - 1) / 2;
    const y1 = y.reduce((a, b) => a + b, 0) / n;
    const b = y.reduce((sum, value, t) => sum + (t - t1) * (value - y1), 0) / y.reduce((sum, _, t) => sum + (t - t1) ** 2, 0);
    const line = (t: number) => y1 + b * (t - t1);
    const bent = y.map((value, t) => 2 * value - line(t));
    let level = bent[0];
    for (const value of bent) level += 0.35 * (value - level);
    const expected = [0, 1, 2, 3].map((h) => (line(n + h) + level) / 2);
    expectClose(restored("theta", { period: 1, columns: [{ alpha: 0.35, season: "none" }] }, y, 4), expected);
  });

  it("puts a season back, added or multiplied, of an even or an odd period", () => {
    for (const shape of [
      [3, -1, -2],
      [2, -1, 1, -2],
    ]) {
      const m = shape.length;
      const added = (t: number) => 8 + shape[t % m];
      const multiplied = (t: number) => 8 * (1 + shape[t % m] / 10);
      for (const [season, value] of [
        ["additive", added],
        ["multiplicative", multiplied],
      ] as const) {
        const y = Array.from({ length: 6 * m + 1 }, (_, t) => value(t));
        const out = restored("theta", { period: m, columns: [{ alpha: 0.5, season }] }, y, 5);
        expectClose(
          out,
          [0, 1, 2, 3, 4].map((h) => value(y.length + h)),
        );
      }
    }
  });

  it("finds a season where there is one", () => {
    const rng = seed(5);
    const noise = Float64Array.from({ length: 300 }, () => rng.normal());
    const seasonOf = (y: Float64Array) => {
      const theta = new Theta(one, { period: PERIOD });
      theta.fit(
        () => [windowsOf(one, [[y]])],
        () => [],
      );
      return theta.columns[0].season;
    };
    expect(seasonOf(noise)).toBe("none");
    expect(seasonOf(wave(rng, 300))).toBe("additive");
    expect(seasonOf(wave(rng, 300, { level: 30 }))).toBe("multiplicative");
  });
});

describe("an autoregression", () => {
  const simulate = (rng: Rng, coefficients: number[], length: number) => {
    const y = new Float64Array(length + 100);
    for (let t = coefficients.length; t < y.length; t++) {
      y[t] = coefficients.reduce((sum, value, i) => sum + value * y[t - 1 - i], rng.normal());
    }
    return y.slice(100);
  };
  const columnOf = (y: Float64Array, period = 1) => {
    const ar = new AR(one, { period });
    ar.fit(
      () => [windowsOf(one, [[y]])],
      () => [],
    );
    return ar.columns[0];
  };

  it("finds the coefficients of its own process", () => {
    const found = columnOf(simulate(seed(1), [0.6, -0.5], 4000));
    expect([found.difference, found.seasonalDifference]).toEqual([0, 0]);
    const [one, two, ...more] = found.coefficients;
    expect(Math.abs(one - 0.6)).toBeLessThan(0.05);
    expect(Math.abs(two + 0.5)).toBeLessThan(0.05);
    for (const value of more) expect(Math.abs(value)).toBeLessThan(0.06);
  });

  it("takes a difference of a walk, and a seasonal one of a season that wanders", () => {
    const changes = simulate(seed(2), [0.5], 3000);
    let sum = 0;
    const walk = changes.map((value) => (sum += value));
    expect(columnOf(walk).difference).toBe(1);
    expect(columnOf(walk).coefficients[0]).toBeCloseTo(0.5, 1);
    const rng = seed(3);
    const wandering = new Float64Array(3000);
    for (let t = 0; t < 3000; t++) wandering[t] = (wandering[t - PERIOD] ?? 0) + rng.normal();
    expect(columnOf(wandering, PERIOD).seasonalDifference).toBe(1);
  });

  it("predicts by its recursion, written out", () => {
    const y = [1, 3, 2, 5, 4, 6, 8, 7];
    const plain = { difference: 0, seasonalDifference: 0, mean: 2, coefficients: [0.5, -0.25] };
    const next = 2 + 0.5 * (7 - 2) - 0.25 * (8 - 2);
    expectClose(restored("ar", { period: 1, columns: [plain] }, y, 2), [next, 2 + 0.5 * (next - 2) - 0.25 * (7 - 2)]);
    const both = { difference: 1, seasonalDifference: 1, mean: 0, coefficients: [0.5] };

    const seasonal = (t: number) => y[t] - y[t - 3];
    const w = seasonal(7) - seasonal(6);
    const first = y[5] + seasonal(7) + 0.5 * w;
    const second = y[6] + (first - y[5]) + 0.25 * w;
    expectClose(restored("ar", { period: 3, columns: [both] }, y, 2), [first, second]);
  });

  it("is stable, whatever the data", () => {
    const explosive = Float64Array.from({ length: 200 }, (_, t) => 1.05 ** t);
    const ar = new AR({ ...one, horizon: 40 });
    ar.fit(
      () => [windowsOf({ ...one, horizon: 40 }, [[explosive]])],
      () => [],
    );
    // The step-down recursion: stable where every reflection coefficient lies within the unit circle.
    let phi = ar.columns[0].coefficients;
    expect(phi.length).toBeGreaterThan(0);
    while (phi.length > 0) {
      const k = phi[phi.length - 1];
      expect(Math.abs(k)).toBeLessThanOrEqual(1);
      const shorter = phi.slice(0, -1);
      phi = shorter.map((value, i) => (value + k * shorter[shorter.length - 1 - i]) / (1 - k * k));
    }
    const start = { ...one, horizon: 700 };
    const far = restoreBaseline({ kind: "ar", spec: start, options: ar.toJSON().options }, {});
    const out = far.predict(windowsOf(start, [[Float64Array.from({ length: 724 }, (_, t) => Math.sin(t))]]));
    // The data's own growth would be 1.05^700, about 7e14.
    expect(out.every((value) => Math.abs(value) < 1e8)).toBe(true);
  });
});

describe("a windowed Gaussian", () => {
  it("gives mean, deviation and how strange a value is", () => {
    const gaussian = { ...one, length: 4, horizon: 1, distribution: { kind: "gaussian" } as const };
    const batch = windowsOf(gaussian, [[Float64Array.of(9, 1, 3, 5, 7)]]);
    const options = { width: 3, floors: [0.01] };
    const raw = restoreBaseline({ kind: "windowedGaussian", spec: gaussian, options }, {}).predict(batch);
    expect(raw[0]).toBeCloseTo(3, 6);
    expect(Math.log1p(Math.exp(raw[1])) + 1e-6).toBeCloseTo(Math.sqrt(8 / 3), 6);
    const points = restoreBaseline({ kind: "windowedGaussian", spec: { ...gaussian, distribution: undefined }, options }, {});
    expect([...points.predict(batch)]).toEqual([3]);
    expect((points as WindowedGaussian).scores(batch)[0]).toBeCloseTo(4 / Math.sqrt(8 / 3), 5);
    const flat = { ...batch, x: batch.x.map(() => 3) };
    expect((points as WindowedGaussian).scores(flat)[0]).toBeCloseTo(400, 2);
  });

  it("chooses its width by likelihood on the validation part", () => {
    const rng = seed(8);
    const steady = Float64Array.from({ length: 600 }, () => rng.normal());
    let sum = 0;
    const walk = Float64Array.from({ length: 600 }, () => (sum += rng.normal()));
    const nameOf = (y: Float64Array) => {
      const baseline = new WindowedGaussian({ ...one, length: 128 });
      const pass = () => [windowsOf({ ...one, length: 128 }, [[y]])];
      baseline.fit(pass, pass);
      return baseline.name;
    };
    expect(nameOf(steady)).toBe("windowedGaussian(128)");
    expect(["windowedGaussian(16)", "windowedGaussian(8)", "windowedGaussian(24)"]).toContain(nameOf(walk));
    expect(() => new WindowedGaussian(one, { width: 1 })).toThrow(/OST_RANGE/);
  });
});

describe("the simplex", () => {
  it("finds the least value of a bent valley", () => {
    const valley = ([x, y]: Float64Array) => (1 - x) ** 2 + 100 * (y - x * x) ** 2;
    const found = nelderMead(valley, [-1.2, 1], { maxEvaluations: 1000, tolerance: 1e-14 });
    expectClose(found.x, [1, 1], 4);
    expect(nelderMead((x) => (x[0] > 2 ? Number.NaN : (x[0] - 1.9) ** 2), [0]).x[0]).toBeCloseTo(1.9, 2);
  });
});

describe("training stretches", () => {
  it("are the series again, cut and thinned, with what no window covers missing", () => {
    const of = { ...one, length: 3, horizon: 1 };
    const y = Float64Array.from({ length: 11 }, (_, t) => t);
    const batch = windowsOf(of, [[y], [y.map((value) => 100 + value)]], { stride: 4 });
    const options = { length: 5, maxSteps: 1000, where: "test" };
    const stretches = trainingStretches(() => [batch], of, options).map(([column]) => [...column]);
    const hole = Number.NaN;
    expect(stretches).toEqual([
      [0, 1, 2, hole, 4],
      [5, 6],
      [100, 101, 102, hole, 104],
      [105, 106],
    ]);
    const thinned = trainingStretches(() => [batch], of, { ...options, maxSteps: 10 }).map(([column]) => column[0]);
    expect(thinned).toEqual([0, 100]);
  });
});

describe("the default baselines", () => {
  it("have the series' own models where windows are long and columns few", () => {
    const names = (of: ExampleSpec) => defaultBaselines(of, { period: PERIOD }).map(({ name }) => name);
    expect(names(spec)).toEqual(expect.arrayContaining(["ets", "theta", "ar"]));
    expect(names({ ...spec, length: 8 })).not.toContain("ets");
    expect(names({ ...spec, distribution: { kind: "gaussian" } })).toContain("windowedGaussian");
    expect(names({ ...spec, everyStep: true })).not.toContain("ar");
  });
});

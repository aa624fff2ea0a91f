import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { crps, type Distribution, logProbability, quantile } from "../core/predictive-distribution.js";
import { seed } from "../core/rng.js";
import { compareScores } from "./comparison.js";
import { evaluate } from "./evaluate.js";
import type { ForecastScore } from "./score.js";

const specOf = (distribution: Distribution, more: Partial<ExampleSpec> = {}): ExampleSpec => ({
  features: ["u"],
  targetKind: "values",
  targets: ["u", "v"],
  classes: [],
  horizon: 2,
  everyStep: false,
  length: 3,
  targetFeature: [0, -1],
  distribution,
  ...more,
});

/** Rows of [P, K] targets; `series` of each row. */
function batchOf(values: number[], { P = 2, K = 2, series = 0 } = {}): Batch {
  const B = values.length / (P * K);
  return {
    batchSize: B,
    time: 3,
    features: 1,
    x: new Float32Array(B * 3),
    lengths: new Int32Array(B).fill(3),
    targetKind: "values",
    values: Float32Array.from(values),
    everyStep: false,
    horizon: P,
    targets: K,
    example: Int32Array.from({ length: B }, (_, b) => b),
    series: new Int32Array(B).fill(series),
    start: Int32Array.from({ length: B }, (_, b) => b),
  };
}

const softplusInverse = (y: number) => Math.log(Math.expm1(y));
const gaussian = { kind: "gaussian" } as const;

describe("scores of distributions", () => {
  const rng = seed(1);
  const rows = 500;
  const targets = Array.from({ length: rows * 4 }, () => Math.fround(rng.normal()));
  const batch = batchOf(targets);
  const raw = targets.flatMap((_, i) => [0.1 * (i % 3), softplusInverse(1)]);

  it("are the means of each value's own, by horizon and by target too", () => {
    const { metrics } = evaluate(() => raw, [batch], specOf(gaussian)) as ForecastScore;
    const each = targets.map((y, i) => {
      const own = [raw[2 * i], raw[2 * i + 1]];
      return { crps: crps(gaussian, own, y), nll: -logProbability(gaussian, own, y) };
    });
    const mean = (key: "crps" | "nll", keep = (_: number) => true) => {
      const kept = each.filter((_, i) => keep(i));
      return kept.reduce((sum, one) => sum + one[key], 0) / kept.length;
    };
    for (const key of ["crps", "nll"] as const) {
      expect(metrics[key]).toBeCloseTo(mean(key), 10);
      expect(metrics.byHorizon[1][key]).toBeCloseTo(
        mean(key, (i) => i % 4 >= 2),
        10,
      );
      expect(metrics.byTarget.v[key]).toBeCloseTo(
        mean(key, (i) => i % 2 === 1),
        10,
      );
    }
    expect(metrics.mae).toBeCloseTo(targets.reduce((sum, y, i) => sum + Math.abs(y - 0.1 * (i % 3)), 0) / targets.length, 10);
  });

  it("cover what they promise where the distribution is true, and pinball loss is of the quantiles", () => {
    const { metrics } = evaluate(
      () => targets.flatMap(() => [0, softplusInverse(1)]),
      [batch],
      specOf(gaussian),
    ) as ForecastScore;
    expect(metrics.intervals?.map(({ level }) => level)).toEqual([0.5, 0.8, 0.9, 0.95]);
    for (const { level, coverage, meanWidth, n } of metrics.intervals ?? []) {
      expect(n).toBe(targets.length);
      expect(Math.abs(coverage - level)).toBeLessThan(4 * Math.sqrt((level * (1 - level)) / n));
      expect(meanWidth).toBeCloseTo(2 * quantile(gaussian, [0, softplusInverse(1)], (1 + level) / 2), 4);
    }
    expect(metrics.coverage90).toBe(metrics.intervals?.[2].coverage);
    const at = quantile(gaussian, [0, softplusInverse(1)], 0.9);
    const loss = targets.reduce((sum, y) => sum + (y >= at ? 0.9 * (y - at) : 0.1 * (at - y)), 0) / targets.length;
    expect(metrics.pinball?.find(({ level }) => level === 0.9)?.value).toBeCloseTo(loss, 8);
    expect(metrics.pinballLoss).toBeCloseTo((metrics.pinball ?? []).reduce((sum, { value }) => sum + value, 0) / 3, 12);
  });

  it("are in original units what the scaled distribution is after scaling", () => {
    const [slope, offset] = [-10, 5];
    const original = (value: number) => slope * value + offset;
    const { metrics } = evaluate(() => raw, [batch], specOf(gaussian), { original }) as ForecastScore;
    const moved = targets.map((_, i) => [original(raw[2 * i]), softplusInverse(10)]);
    const mean = (of: (i: number) => number) => targets.reduce((sum, _, i) => sum + of(i), 0) / targets.length;
    expect(metrics.original?.crps).toBeCloseTo(
      mean((i) => crps(gaussian, moved[i], original(targets[i]))),
      4,
    );
    expect(metrics.original?.nll).toBeCloseTo(
      mean((i) => -logProbability(gaussian, moved[i], original(targets[i]))),
      4,
    );
    expect(metrics.original?.intervals?.map(({ coverage }) => coverage)).toEqual(
      metrics.intervals?.map(({ coverage }) => coverage),
    );
    expect(metrics.original?.intervals?.[0].meanWidth).toBeCloseTo(10 * (metrics.intervals?.[0].meanWidth ?? 0), 6);
    const low = mean((i) => {
      const [y, at] = [original(targets[i]), quantile(gaussian, moved[i], 0.1)];
      return y >= at ? 0.1 * (y - at) : 0.9 * (at - y);
    });
    expect(metrics.original?.pinball?.find(({ level }) => level === 0.1)?.value).toBeCloseTo(low, 4);
  });

  it("take points for forecasts that are certain: CRPS is the absolute error, and there is no likelihood and no interval", () => {
    const points = targets.map((_, i) => 0.1 * (i % 3));
    const score = evaluate(() => points, [batch], specOf(gaussian)) as ForecastScore;
    const { crps: value, mae, nll, intervals, pinball } = score.metrics;
    expect(value).toBeCloseTo(mae, 12);
    expect([nll, intervals]).toEqual([undefined, undefined]);
    expect(pinball?.find(({ level }) => level === 0.5)?.value).toBeCloseTo(mae / 2, 12);
    const own = evaluate(() => raw, [batch], specOf(gaussian)) as ForecastScore;
    const { difference } = compareScores(own, score, "crps", { rng: seed(1) });
    expect(difference).toBeCloseTo((own.metrics.crps ?? 0) - (value ?? 0), 12);
    expect(() => compareScores(own, score, "nll", { rng: seed(1) })).toThrow(/OST_RANGE/);
  });

  it("of quantiles have the loss of their own levels, and intervals only where levels reach", () => {
    const distribution = { kind: "quantiles", levels: [0.1, 0.5, 0.9] } as const;
    const { metrics } = evaluate(() => targets.flatMap(() => [-1, 0, 1]), [batch], specOf(distribution)) as ForecastScore;
    expect(metrics.pinball?.map(({ level }) => level)).toEqual([0.1, 0.5, 0.9]);
    expect(metrics.crps).toBeCloseTo(2 * (metrics.pinballLoss ?? 0), 10);
    expect(metrics.intervals?.map(({ level }) => level)).toEqual([0.5, 0.8]);
    expect(metrics.intervals?.[1].meanWidth).toBe(2);
    expect(metrics.nll).toBeUndefined();
  });

  it("refuse outputs of another number, those that are no number, and targets that cannot be", () => {
    expect(() => evaluate(() => raw.slice(1), [batch], specOf(gaussian))).toThrow(/OST_SHAPE/);
    const broken = [...raw];
    broken[7] = Number.NaN;
    expect(() => evaluate(() => broken, [batch], specOf(gaussian))).toThrow(/OST_NAN/);
    expect(() => evaluate(() => raw, [batch], specOf({ kind: "negativeBinomial" }))).toThrow(/OST_TARGET.*unscaled/s);
    const spec = { ...specOf(gaussian), distribution: undefined };
    expect(() => evaluate({ predict: () => raw, distributional: true }, [batch], spec)).toThrow(/OST_CONFIG/);
  });
});

describe("sets at each step", () => {
  const bernoulli = { kind: "bernoulli" } as const;
  const spec = specOf(bernoulli, { targets: ["c", "e", "g"], horizon: 1, everyStep: true, targetFeature: [0, -1, -1] });
  const logit = (p: number) => Math.log(p / (1 - p));
  // Two steps that are predicted, one that has no target, one that is padding.
  const values = [1, 0, 1, 0, 0, 1, Number.NaN, Number.NaN, Number.NaN, 5, 5, 5];
  const batch: Batch = { ...batchOf(values, { P: 1, K: 3 }), batchSize: 1, time: 4, lengths: Int32Array.of(3), everyStep: true };
  const shares = [0.9, 0.2, 0.4, 0.6, 0.1, 0.7, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5];

  it("cost the sum over the set, averaged over steps", () => {
    const score = evaluate(() => shares.map(logit), [batch], spec) as ForecastScore;
    const first = -(Math.log(0.9) + Math.log(0.8) + Math.log(0.4));
    const second = -(Math.log(0.4) + Math.log(0.9) + Math.log(0.7));
    expect(score.metrics.nll).toBeCloseTo((first + second) / 2, 10);
    expect(score.metrics.byHorizon[0].nll).toBeCloseTo((first + second) / 2, 10);
    expect(score.metrics.byTarget.c.nll).toBeCloseTo(-(Math.log(0.9) + Math.log(0.4)) / 2, 10);
    expect(score.metrics.frames).toBe(2);
    // Found: c; c, g. There: c, g; g.
    expect([score.metrics.frameAccuracy, score.metrics.frameF1]).toEqual([2 / 4, 4 / 6]);
    expect(score.units.nll?.map((one) => one.toFixed(6))).toEqual([first.toFixed(6), second.toFixed(6)]);
    expect([score.units.nllCount, score.units.frames]).toEqual([
      [1, 1],
      [1, 0, 1, 1, 1, 0],
    ]);
  });

  it("read points as probabilities where the predictor says that it gives those, and never cost without end", () => {
    const predict = (list: number[]) => ({ predict: () => list, distributional: false });
    const near = evaluate(predict(shares), [batch], spec) as ForecastScore;
    const own = evaluate(() => shares.map(logit), [batch], spec) as ForecastScore;
    expect(near.metrics.nll).toBeCloseTo(own.metrics.nll ?? 0, 10);
    const wrong = evaluate(predict(values.map((v) => (v === 1 ? 0 : 1))), [batch], spec) as ForecastScore;
    expect(wrong.metrics.nll).toBeCloseTo(-3 * Math.log(1e-7), 4);
  });

  it("compare by what they cost and by what they find", () => {
    const rng = seed(2);
    const many = Array.from({ length: 12 }, (_, s) => {
      const truth = Array.from({ length: 30 }, () => (rng.uniform() < 0.4 ? 1 : 0));
      return {
        ...batchOf(truth, { P: 1, K: 3, series: s }),
        batchSize: 1,
        time: 10,
        lengths: Int32Array.of(10),
        everyStep: true,
      };
    });
    const predict = (sure: number) => (one: Batch) =>
      Float32Array.from(one.values as Float32Array, (v) => (v === 1 ? sure : -sure) + rng.normal());
    const [a, b] = [2, 0.5].map((sure) => evaluate(predict(sure), many, spec) as ForecastScore);
    for (const metric of ["nll", "frameAccuracy", "frameF1", "mse"] as const) {
      const { difference, interval95 } = compareScores(a, b, metric, { rng: seed(1) });
      expect(difference).toBeCloseTo((a.metrics[metric] as number) - (b.metrics[metric] as number), 12);
      const [low, high] = interval95 as [number, number];
      expect(metric === "nll" || metric === "mse" ? high < 0 : low > 0).toBe(true);
    }
  });

  it("refuse targets that are neither there nor not", () => {
    const half = { ...batch, values: Float32Array.from(values, () => 0.5) };
    expect(() => evaluate(() => shares, [half], spec)).toThrow(/OST_TARGET/);
  });
});

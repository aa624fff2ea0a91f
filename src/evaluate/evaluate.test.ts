import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { seed } from "../core/rng.js";
import { compareScores } from "./comparison.js";
import { compareDecision, decide, decisionNeeds } from "./decision.js";
import { evaluate } from "./evaluate.js";
import type { ClassificationScore, ForecastScore } from "./score.js";

const forecastSpec: ExampleSpec = {
  features: ["u", "v"],
  targetKind: "values",
  targets: ["u", "v"],
  classes: [],
  horizon: 2,
  everyStep: false,
  length: 3,
  targetFeature: [0, 1],
};
const classSpec: ExampleSpec = {
  ...forecastSpec,
  targetKind: "tags",
  targets: [],
  targetFeature: [],
  classes: ["a", "b"],
  horizon: 0,
};

function values(target: number[], lengths: number[], { everyStep = false, time = 3, series = 0 } = {}): Batch {
  const B = lengths.length;
  return {
    batchSize: B,
    time,
    features: 2,
    x: new Float32Array(B * time * 2),
    lengths: Int32Array.from(lengths),
    targetKind: "values",
    values: Float32Array.from(target),
    everyStep,
    horizon: 2,
    targets: 2,
    example: Int32Array.from(lengths.keys()),
    series: new Int32Array(B).fill(series),
    start: Int32Array.from(lengths, (_, b) => 5 * b),
  };
}

function tags(classes: number[][], lengths: number[], series = lengths.map((_, b) => b)): Batch {
  const time = classes[0].length;
  return {
    ...values([], lengths, { time }),
    targetKind: "tags",
    values: undefined,
    classes: Int32Array.from(classes.flat()),
    series: Int32Array.from(series),
    start: new Int32Array(lengths.length),
  };
}

describe("forecast scores", () => {
  const NaN_ = Number.NaN;

  it("equal values worked by hand, by horizon, by target and in original units", () => {
    const batch = values([1, 2, 3, 4, 0, NaN_, 0, 2], [3, 3]);
    const prediction = [1, 3, 3, 6, 1, 9, 0, 0];
    const { metrics, units } = evaluate(() => prediction, [batch], forecastSpec, {
      original: (value, target) => value * [10, 2][target] + 5,
      maseScales: [0.5, 2],
    }) as ForecastScore;
    expect(metrics.n).toBe(7);
    expect(metrics.mse).toBeCloseTo((0 + 1 + 0 + 4 + 1 + 0 + 4) / 7, 12);
    expect(metrics.mae).toBeCloseTo(6 / 7, 12);
    expect(metrics.byHorizon.map(({ step, n, mae }) => [step, n, mae])).toEqual([
      [1, 3, 2 / 3],
      [2, 4, 1],
    ]);
    expect(metrics.byTarget.u).toMatchObject({ n: 4, mae: 1 / 4 });
    expect(metrics.byTarget.v).toMatchObject({ n: 3, mae: 5 / 3 });
    expect(metrics.mase).toBeCloseTo((1 / 0.5 + 5 / 2) / 7, 12);
    expect(metrics.original?.byTarget.u.mae).toBeCloseTo(10 / 4, 12);
    expect(metrics.original?.byTarget.v.mse).toBeCloseTo((9 * 4) / 3, 12);
    expect(metrics.original?.mase).toBeCloseTo(metrics.mase as number, 12);
    expect(units).toEqual({ series: [0, 0], position: [0, 5], count: [4, 3], squared: [5, 5], absolute: [3, 3] });
  });

  it("take nothing from padded steps", () => {
    const spec = { ...forecastSpec, everyStep: true };
    const poison = [NaN_, NaN_, NaN_, NaN_];
    const batch = values([1, 1, 1, 1, 2, 2, 2, 2, 7, 7, 7, 7], [2], { everyStep: true });
    const { metrics, units } = evaluate(() => [1, 1, 1, 1, 3, 3, 3, 3, ...poison], [batch], spec) as ForecastScore;
    expect(metrics).toMatchObject({ n: 8, mse: 0.5 });
    expect(units.position).toEqual([0, 1]);
  });

  it("refuse a prediction that is no number, one of another size, and an empty part", () => {
    const batch = values([1, 2, 3, 4], [3]);
    expect(() => evaluate(() => [1, 2, NaN_, 4], [batch], forecastSpec)).toThrow(/OST_NAN/);
    expect(() => evaluate(() => [1, 2, 3], [batch], forecastSpec)).toThrow(/OST_SHAPE/);
    expect(() => evaluate(() => [1, 2, 3, 4], [values(new Array(4).fill(NaN_), [3])], forecastSpec)).toThrow(/OST_TARGET/);
    expect(() => evaluate(() => [1, 2, 3, 4], [], forecastSpec)).toThrow(/OST_TARGET/);
  });

  it("do not depend on how the examples are batched", () => {
    const rng = seed(1);
    const target = Array.from({ length: 40 }, () => rng.normal());
    const offset = (batch: Batch) => (batch.values as Float32Array).map((v, i) => v + (i % 3) / 2);
    const whole = evaluate(offset, [values(target, new Array(10).fill(3))], forecastSpec);
    const apart = Array.from({ length: 10 }, (_, i) => {
      const one = values(target.slice(4 * i, 4 * i + 4), [3]);
      one.start[0] = 5 * i;
      return one;
    });
    const errors = [...offset(values(target, new Array(10).fill(3)))];
    let at = 0;
    const split = evaluate(() => errors.slice(4 * at, 4 * ++at), apart, forecastSpec);
    expect(split).toEqual(whole);
  });

  it("compare as the difference of their means, whatever the order of the batches", () => {
    const rng = seed(2);
    const batches = Array.from({ length: 12 }, (_, s) =>
      values(
        Array.from({ length: 4 }, () => rng.normal()),
        [3],
        { series: s },
      ),
    );
    const zero = evaluate(() => [0, 0, 0, 0], batches, forecastSpec);
    const near = evaluate((batch) => (batch.values as Float32Array).map((v) => v * 0.9), batches.slice().reverse(), forecastSpec);
    const { difference, interval95, unit } = compareScores(near, zero, "mse", { rng: seed(1) });
    expect(difference).toBeCloseTo((near as ForecastScore).metrics.mse - (zero as ForecastScore).metrics.mse, 12);
    expect(interval95?.[1]).toBeLessThan(0);
    expect(unit).toBe("entity");
    const rmse = compareScores(near, zero, "rmse", { rng: seed(1) });
    expect(rmse.difference).toBeCloseTo((near as ForecastScore).metrics.rmse - (zero as ForecastScore).metrics.rmse, 12);
    const fewer = evaluate(() => [0, 0, 0, 0], batches.slice(1), forecastSpec);
    expect(() => compareScores(fewer, zero, "mse", { rng: seed(1) })).toThrow(/OST_SHAPE/);
    expect(() => compareScores(near, zero, "accuracy", { rng: seed(1) })).toThrow(/OST_RANGE/);
  });
});

describe("classification scores", () => {
  const logits = (...p: number[]) => p.flatMap((share) => [Math.log(share), Math.log(1 - share)]);

  it("equal values worked by hand, without padded and unlabelled steps", () => {
    const batch = tags(
      [
        [0, 1, 0],
        [1, -1, 1],
      ],
      [3, 2],
    );
    const prediction = logits(0.9, 0.6, 0.8, 0.3, 0.5, 0.5);
    prediction[10] = Number.NaN;
    const { metrics, units } = evaluate(() => prediction, [batch], classSpec) as ClassificationScore;
    expect(metrics.n).toBe(4);
    expect(metrics.accuracy).toBe(3 / 4);
    expect(metrics.confusion).toEqual([
      [2, 0],
      [1, 1],
    ]);
    expect(metrics.balancedAccuracy).toBe(3 / 4);
    expect(metrics.logLoss).toBeCloseTo(-(Math.log(0.9) + Math.log(0.4) + Math.log(0.8) + Math.log(0.7)) / 4, 12);
    expect(metrics.meanConfidence).toBeCloseTo((0.9 + 0.6 + 0.8 + 0.7) / 4, 12);
    expect(metrics.perClass.a).toEqual({ precision: 2 / 3, recall: 1, f1: 0.8, support: 2 });
    expect(units.position).toEqual([0, 1, 2, 0]);
  });

  it("do not change when all logits of a step move together", () => {
    const batch = tags([[0, 1, 0]], [3]);
    const plain = evaluate(() => logits(0.9, 0.6, 0.8), [batch], classSpec) as ClassificationScore;
    const moved = evaluate(() => logits(0.9, 0.6, 0.8).map((v) => v + 500), [batch], classSpec) as ClassificationScore;
    expect(moved.metrics.logLoss).toBeCloseTo(plain.metrics.logLoss, 10);
    expect(moved.metrics.confusion).toEqual(plain.metrics.confusion);
  });

  const rng = seed(3);
  const steps = 200;
  const truth = Array.from({ length: steps }, (_, t) => (t % 40 < 8 ? 1 : 0));
  const batch = tags([truth], [steps]);
  /** Probability of class a per step, right with some noise. */
  const noisy = (sharpness: number) =>
    logits(...truth.map((c) => 1 / (1 + Math.exp(-(c === 0 ? 1.5 : -1.5) * sharpness - rng.normal()))));
  const [good, poor] = [noisy(2), noisy(0.6)];

  it("compare by accuracy and macro-F1 as the difference of the metrics", () => {
    const a = evaluate(() => good, [batch], classSpec) as ClassificationScore;
    const b = evaluate(() => poor, [batch], classSpec) as ClassificationScore;
    for (const metric of ["accuracy", "macroF1", "balancedAccuracy", "logLoss"] as const) {
      const { difference, interval95 } = compareScores(a, b, metric, { rng: seed(1) });
      expect(difference).toBeCloseTo(a.metrics[metric] - b.metrics[metric], 12);
      const [low, high] = interval95 as [number, number];
      expect(low < difference && difference < high).toBe(true);
    }
  });

  it("cost what their mistakes cost", () => {
    const decision = { costs: { b: { a: 10 } } };
    const score = evaluate(() => poor, [batch], classSpec, { decision }) as ClassificationScore;
    const result = decide(decision, { test: score });
    if (result.kind !== "costs") throw new Error("unreachable");
    const [[, falseAlarm], [missed]] = score.metrics.confusion;
    expect(result.meanCost).toBeCloseTo((falseAlarm + 10 * missed) / steps, 12);
    expect(result.bestConstant).toEqual({ class: "b", meanCost: truth.filter((c) => c === 0).length / steps });
    const better = evaluate(() => good, [batch], classSpec, { decision });
    const other = decide(decision, { test: better });
    const { difference } = compareDecision(decision, { test: better }, { test: score }, { rng: seed(1) });
    expect(difference).toBeCloseTo((other.kind === "costs" ? other.meanCostMinimized : 0) - result.meanCostMinimized, 12);
    expect(result.meanCostMinimized).not.toBe(result.meanCost);
  });

  it("cost less where probabilities that are right decide by expected cost", () => {
    const decision = { costs: { b: { a: 10 } } };
    const certain = logits(0.75, 0.75, 0.75, 0.75);
    const test = evaluate(() => certain, [tags([[0, 0, 1, 0]], [4])], classSpec, { decision });
    expect(decide(decision, { test })).toEqual({
      kind: "costs",
      meanCost: 10 / 4,
      meanCostMinimized: 3 / 4,
      bestConstant: { class: "b", meanCost: 3 / 4 },
      n: 4,
    });
  });

  it("keep to an alert budget chosen on the validation part", () => {
    const decision = { alertBudget: { class: "b", per1000: 100 } };
    const test = evaluate(() => good, [batch], classSpec, { decision });
    const validation = evaluate(() => good, [batch], classSpec, { decision });
    const result = decide(decision, { test, validation });
    if (result.kind !== "alertBudget") throw new Error("unreachable");
    expect(result.alertsPer1000).toBe(100);
    const alert = (test as ClassificationScore).units.alert;
    const top = truth
      .map((c, t) => ({ c, p: alert[t] }))
      .sort((x, y) => y.p - x.p)
      .slice(0, 20);
    const hits = top.filter(({ c }) => c === 1).length;
    expect(result.precision).toBe(hits / 20);
    expect(result.recall).toBe(hits / truth.filter((c) => c === 1).length);
    const none = decide({ alertBudget: { class: "b", per1000: 0 } }, { test, validation });
    expect(none).toMatchObject({ alertsPer1000: 0, precision: null, recall: 0 });
    const all = decide({ alertBudget: { class: "b", per1000: 1000 } }, { test, validation });
    expect(all).toMatchObject({ alertsPer1000: 1000, recall: 1 });
  });

  it("break the budget where test raises more alerts than chance explains", () => {
    const quiet = logits(...Array.from({ length: steps }, (_, t) => 0.9 - t / 1000));
    const loud = (shift: number) => logits(...Array.from({ length: steps }, (_, t) => 0.9 - t / 1000 - shift / 1000 - 0.0005));
    const decision = { alertBudget: { class: "b", per1000: 100 } };
    const score = (prediction: number[]) => evaluate(() => prediction, [batch], classSpec, { decision });
    const of = (shift: number) => decide(decision, { test: score(loud(shift)), validation: score(quiet) });
    expect(of(9)).toMatchObject({ alertsPer1000: 150, withinBudget: true });
    expect(of(10)).toMatchObject({ alertsPer1000: 155, withinBudget: false });
  });

  it("never exceed the budget on the validation part when probabilities tie", () => {
    const decision = { alertBudget: { class: "b", per1000: 500 } };
    const tied = evaluate(() => logits(0.5, 0.5, 0.5, 0.9), [tags([[1, 0, 1, 0]], [4])], classSpec, { decision });
    expect(decide(decision, { test: tied, validation: tied })).toMatchObject({ alertsPer1000: 0 });
  });

  it("refuse a decision about a class that does not exist, naming the nearest", () => {
    const spec = { ...classSpec, classes: ["idle", "compile"] };
    expect(() => decisionNeeds({ alertBudget: { class: "compil", per1000: 5 } }, spec)).toThrow(
      /OST_CONFIG.*did you mean "compile"/s,
    );
    expect(() => decisionNeeds({ costs: { idle: { compress: 3 } } }, spec)).toThrow(/OST_CONFIG/);
    expect(() => decisionNeeds({ metric: "mse" }, spec)).toThrow(/OST_CONFIG/);
    expect(() => decisionNeeds({ costs: {} }, forecastSpec)).toThrow(/OST_CONFIG/);
  });
});

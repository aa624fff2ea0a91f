import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { seed } from "../core/rng.js";
import { Logistic, softmaxLoss } from "./logistic.js";

const spec: ExampleSpec = {
  features: ["x"],
  targetKind: "class",
  targets: [],
  classes: ["calm", "wild", "rising"],
  horizon: 0,
  everyStep: false,
  length: 0,
  targetFeature: [],
};

/** Sequences told apart by their spread and their trend, not by their level. */
function sequences(count: number, value: number): Batch {
  const rng = seed(value);
  const T = 12;
  const x = new Float32Array(count * T);
  const lengths = new Int32Array(count);
  const classes = new Int32Array(count);
  for (let b = 0; b < count; b++) {
    classes[b] = b % 3;
    lengths[b] = 8 + rng.integer(5);
    const level = rng.normal();
    for (let t = 0; t < lengths[b]; t++) {
      x[b * T + t] = level + (classes[b] === 1 ? 1 : 0.1) * rng.normal() + (classes[b] === 2 ? 0.3 * t : 0);
    }
  }
  return batch(x, lengths, classes, T, "class");
}

function batch(x: Float32Array, lengths: Int32Array, classes: Int32Array, time: number, targetKind: "class" | "tags"): Batch {
  const B = lengths.length;
  return {
    batchSize: B,
    time,
    features: 1,
    x,
    lengths,
    targetKind,
    classes,
    everyStep: false,
    horizon: 0,
    targets: 0,
    example: Int32Array.from(lengths.keys()),
    series: Int32Array.from(lengths.keys()),
    start: new Int32Array(B),
  };
}

describe("logistic", () => {
  it("has the gradient that five-point central differences find", () => {
    const rng = seed(4);
    const [n, width, classes, penalty] = [7, 3, 3, 0.1];
    const data = {
      rows: Float64Array.from({ length: n * width }, () => rng.normal()),
      labels: Int32Array.from({ length: n }, () => rng.integer(classes)),
      width,
    };
    const at = Float64Array.from({ length: classes * (width + 1) }, () => rng.normal());
    const gradient = new Float64Array(at.length);
    softmaxLoss(at, gradient, data, classes, penalty);
    const h = 1e-3;
    for (let i = 0; i < at.length; i++) {
      const f = (step: number) => {
        const moved = at.slice();
        moved[i] += step;
        return softmaxLoss(moved, undefined, data, classes, penalty);
      };
      const numeric = (f(-2 * h) - 8 * f(-h) + 8 * f(h) - f(2 * h)) / (12 * h);
      expect(Math.abs(gradient[i] - numeric)).toBeLessThan(1e-10);
    }
  });

  it("equals log 3 for three classes at zero weights", () => {
    const data = { rows: Float64Array.of(1, -2), labels: Int32Array.of(0, 2), width: 1 };
    expect(softmaxLoss(new Float64Array(6), undefined, data, 3, 1)).toBeCloseTo(Math.log(3), 12);
  });

  it("separates sequences by spread and trend", () => {
    const logistic = new Logistic(spec);
    logistic.fit(
      () => [sequences(150, 1)],
      () => [sequences(60, 2)],
    );
    const test = sequences(150, 3);
    const out = logistic.predict(test);
    let right = 0;
    for (let b = 0; b < 150; b++) {
      const row = [...out.subarray(b * 3, b * 3 + 3)];
      if (row.indexOf(Math.max(...row)) === (test.classes as Int32Array)[b]) right++;
    }
    expect(right / 150).toBeGreaterThan(0.95);
    expect(logistic.choice.window).toBe(0);
  });

  it("fits the same bits twice", () => {
    const [a, b] = [new Logistic(spec), new Logistic(spec)];
    for (const one of [a, b]) {
      one.fit(
        () => [sequences(60, 1)],
        () => [sequences(30, 2)],
      );
    }
    expect([...a.arrays().weight.data]).toEqual([...b.arrays().weight.data]);
  });

  it("tags each step from its trailing window only, whose width the validation part chooses", () => {
    const rng = seed(6);
    const T = 400;
    const tags: ExampleSpec = { ...spec, targetKind: "tags", classes: ["calm", "wild"] };
    const runs = () => {
      const x = new Float32Array(T);
      const classes = new Int32Array(T);
      for (let t = 0; t < T; t++) {
        classes[t] = Math.floor(t / 50) % 2;
        x[t] = (classes[t] ? 1 : 0.2) * rng.normal();
      }
      return batch(x, Int32Array.of(T), classes, T, "tags");
    };
    const [train, validation, test] = [runs(), runs(), runs()];
    const logistic = new Logistic(tags, { window: [1, 12] });
    logistic.fit(
      () => [train],
      () => [validation],
    );
    expect(logistic.choice.window).toBe(12);
    expect(logistic.name).toBe("logistic(12)");
    const before = logistic.predict(test);
    let right = 0;
    for (let t = 0; t < T; t++) if (before[2 * t + 1] > before[2 * t] === (test.classes?.[t] === 1)) right++;
    expect(right / T).toBeGreaterThan(0.85);
    const changed = { ...test, x: test.x.slice() };
    changed.x.fill(50, 200);
    expect([...logistic.predict(changed).subarray(0, 400)]).toEqual([...before.subarray(0, 400)]);
  });

  it("refuses inputs that are no numbers", () => {
    const spoilt = sequences(30, 1);
    spoilt.x[0] = Number.NaN;
    const fit = () =>
      new Logistic(spec).fit(
        () => [spoilt],
        () => [sequences(30, 2)],
      );
    expect(fit).toThrow(/OST_NAN/);
  });

  it("needs a label to learn from", () => {
    const unlabelled = { ...sequences(9, 1), classes: new Int32Array(9).fill(-1) };
    expect(() =>
      new Logistic(spec).fit(
        () => [unlabelled],
        () => [],
      ),
    ).toThrow(/OST_TARGET/);
  });
});

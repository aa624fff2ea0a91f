import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { seed } from "../core/rng.js";
import { CodeBag } from "./code-bag.js";
import { defaultBaselines } from "./default-baselines.js";
import { Logistic, softmaxLoss } from "./logistic.js";
import { restoreBaseline } from "./restore.js";
import { Ridge } from "./ridge.js";

const TIME = 12;
const SIZE = 9;

/** A number of noise, then a code. */
const classes: ExampleSpec = {
  features: ["noise", "event"],
  targetKind: "class",
  targets: [],
  classes: ["no", "yes"],
  horizon: 0,
  everyStep: false,
  length: 0,
  targetFeature: [],
  codes: [{ column: 1, size: SIZE, width: 4 }],
};
const values: ExampleSpec = {
  ...classes,
  targetKind: "values",
  targets: ["noise"],
  classes: [],
  horizon: 1,
  length: TIME,
  targetFeature: [0],
};

/** "yes" where code 3 or 7 occurs: between them lie codes that say nothing. The value is that of the last code. */
function examples(spec: ExampleSpec, count: number, { value = 1, rename = (code: number) => code } = {}): Batch {
  const rng = seed(value);
  const x = new Float32Array(count * TIME * 2);
  const lengths = new Int32Array(count).fill(TIME);
  const labels = new Int32Array(count);
  const targets = new Float32Array(count);
  const worth = (code: number) => ((code * 5) % SIZE) / SIZE - 0.5;
  for (let b = 0; b < count; b++) {
    if (spec.targetKind === "class") lengths[b] = 6 + rng.integer(TIME - 6);
    labels[b] = rng.integer(2);
    const special = rng.integer(lengths[b]);
    for (let t = 0; t < lengths[b]; t++) {
      let code = rng.integer(SIZE - 2);
      if (code >= 3) code += code >= 6 ? 2 : 1;
      if (labels[b] === 1 && t === special) code = rng.integer(2) === 0 ? 3 : 7;
      x[(b * TIME + t) * 2] = rng.normal();
      x[(b * TIME + t) * 2 + 1] = rename(code);
      if (t === lengths[b] - 1) targets[b] = worth(code) + 0.05 * rng.normal();
    }
  }
  return {
    batchSize: count,
    time: TIME,
    features: 2,
    x,
    lengths,
    targetKind: spec.targetKind,
    ...(spec.targetKind === "class" ? { classes: labels } : { values: targets }),
    everyStep: false,
    horizon: spec.horizon,
    targets: spec.targets.length,
    example: Int32Array.from(lengths.keys()),
    series: Int32Array.from(lengths.keys()),
    start: new Int32Array(count),
  };
}

const fitted = <B extends Logistic | Ridge>(baseline: B, spec: ExampleSpec, rename?: (code: number) => number): B => {
  baseline.fit(
    () => [examples(spec, 400, { value: 1, rename })],
    () => [examples(spec, 200, { value: 2, rename })],
  );
  return baseline;
};

function accuracy(predictions: Float32Array, batch: Batch): number {
  const right = Array.from(batch.classes!, (label, b) => predictions[2 * b + label] > predictions[2 * b + 1 - label]);
  return right.filter(Boolean).length / batch.batchSize;
}

/** Of the targets' variance, the share that is left. */
function unexplained(predictions: Float32Array, { values: targets = new Float32Array(0) }: Batch): number {
  const mean = targets.reduce((sum, target) => sum + target, 0) / targets.length;
  const sum = (of: (i: number) => number) => targets.reduce((total, target, i) => total + (target - of(i)) ** 2, 0);
  return sum((i) => predictions[i]) / sum(() => mean);
}

describe("a bag of codes", () => {
  const bag = (most: number | undefined, codes: number[], from: [number, number], size = SIZE) => {
    const made = new CodeBag({ ...classes, codes: [{ column: 1, size, width: 1 }] }, { most });
    const batch = examples(classes, 1);
    codes.forEach((code, t) => {
      batch.x[2 * t + 1] = code;
    });
    const out = new Float64Array(made.width).fill(7);
    made.write(batch, 0, ...from, out);
    return [...out];
  };

  it("holds each code's share of the stretch, and which came last", () => {
    expect(bag(undefined, [8, 2, 2, 0, 1], [0, 3], 9)).toEqual([
      ...[0.25, 0, 0.5, 0, 0, 0, 0, 0, 0.25],
      ...[1, 0, 0, 0, 0, 0, 0, 0, 0],
    ]);
    expect(bag(undefined, [1, 1], [1, 0], 2)).toEqual([0, 0, 0, 0]);
  });

  it("counts the rarest together where there are too many", () => {
    expect(bag(3, [8, 2, 1, 0], [0, 3])).toEqual([0.25, 0.25, 0.5, 1, 0, 0]);
    const many = Array.from({ length: 4 }, (_, column) => ({ column, size: 4_000_000, width: 1 }));
    expect(new CodeBag({ features: ["a", "b", "c", "d"], codes: many }).width).toBe(4 * 2 * 128);
    expect(new CodeBag({ features: ["a"], codes: many.slice(0, 1) }).width).toBe(2 * 512);
  });
});

describe("baselines of codes", () => {
  it("logistic tells classes by which codes there are, ridge values by the last one", () => {
    const batch = examples(classes, 300, { value: 3 });
    expect(accuracy(fitted(new Logistic(classes), classes).predict(batch), batch)).toBeGreaterThan(0.97);
    const { codes: _, ...numbers } = classes;
    expect(accuracy(fitted(new Logistic(numbers), classes).predict(batch), batch)).toBeLessThan(0.8);

    const future = examples(values, 300, { value: 3 });
    const ridge = fitted(new Ridge(values, { lags: 4 }), values);
    expect(ridge.choice.variant).toBe("all");
    expect(unexplained(ridge.predict(future), future)).toBeLessThan(0.1);
    const { codes: __, ...plain } = values;
    expect(unexplained(fitted(new Ridge(plain, { lags: 4 }), values).predict(future), future)).toBeGreaterThan(0.5);
  });

  it("do not depend on which number a code has", () => {
    const rename = (code: number) => (code * 4 + 5) % SIZE;
    for (const [spec, make] of [
      [classes, () => new Logistic(classes)],
      [values, () => new Ridge(values, { lags: 4 })],
    ] as const) {
      const [one, other] = [fitted(make(), spec), fitted(make(), spec, rename)];
      const said = one.predict(examples(spec, 50, { value: 3 }));
      const renamed = other.predict(examples(spec, 50, { value: 3, rename }));
      said.forEach((value, i) => {
        expect(renamed[i]).toBeCloseTo(value, 1);
      });
    }
  });

  it("predict the same bits when they are restored", () => {
    for (const spec of [classes, values]) {
      const batch = examples(spec, 60, { value: 5 });
      for (const baseline of defaultBaselines(spec)) {
        baseline.fit(
          () => [examples(spec, 100)],
          () => [examples(spec, 60, { value: 2 })],
        );
        const restored = restoreBaseline(JSON.parse(JSON.stringify(baseline.toJSON())), baseline.arrays());
        expect(restored.predict(batch), baseline.name).toEqual(baseline.predict(batch));
      }
    }
  });

  it("have loss and gradient of the same features written out", () => {
    const rng = seed(4);
    const [n, dense, sparse, C] = [6, 2, 5, 3];
    const full = Float64Array.from({ length: n * (dense + sparse) }, (_, i) =>
      i % (dense + sparse) < dense || rng.uniform() < 0.4 ? rng.normal() : 0,
    );
    const labels = Int32Array.from({ length: n }, () => rng.integer(C));
    const rows = new Float64Array(n * dense);
    const bag = { width: sparse, start: new Int32Array(n + 1), index: [] as number[], value: [] as number[] };
    for (let r = 0; r < n; r++) {
      for (let i = 0; i < dense + sparse; i++) {
        const value = full[r * (dense + sparse) + i];
        if (i < dense) rows[r * dense + i] = value;
        else if (value !== 0) {
          bag.index.push(i - dense);
          bag.value.push(value);
        }
      }
      bag.start[r + 1] = bag.index.length;
    }
    const parameters = Float64Array.from({ length: C * (dense + sparse + 1) }, () => rng.normal());
    const [one, other] = [new Float64Array(parameters.length), new Float64Array(parameters.length)];
    const loss = softmaxLoss(parameters, one, { rows, labels, width: dense, bag }, C, 0.1);
    expect(loss).toBeCloseTo(softmaxLoss(parameters, other, { rows: full, labels, width: dense + sparse }, C, 0.1), 12);
    one.forEach((value, i) => {
      expect(value).toBeCloseTo(other[i], 12);
    });
  });
});

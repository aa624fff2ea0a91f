import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { ReferenceKernels } from "../kernels/index.js";
import { integers, parameter, scope, type Tensor, tensor } from "../tensor/index.js";
import { checkOp } from "../testing/check-gradient.js";
import { binaryCrossEntropy, binaryFocalLoss, costLoss, crossEntropy, focalLoss } from "./index.js";

const engine = new ReferenceKernels("float64");
const rng = seed(11);
const logits = Float64Array.from({ length: 20 }, () => rng.uniform(-3, 3));
const classes = [2, -1, 0, 3, 1];
const targets = (x: Tensor) => integers(classes, [5], { engine: x.engine });
const weights = (x: Tensor) => tensor([1, 0.5, 4, 2], [4], { engine: x.engine });
const x = tensor(logits, [5, 4], { engine });
const probabilities = Array.from({ length: 5 }, (_, row) => {
  const powers = [...logits.subarray(row * 4, row * 4 + 4)].map(Math.exp);
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
});

describe("focalLoss", () => {
  it("is the weighted mean of -(1 - p)^gamma log p over rows with a target", () => {
    let [total, weight] = [0, 0];
    classes.forEach((target, row) => {
      if (target < 0) return;
      const [p, w] = [probabilities[row][target], [1, 0.5, 4, 2][target]];
      total += w * -((1 - p) ** 1.5) * Math.log(p);
      weight += w;
    });
    expect(focalLoss(x, targets(x), { gamma: 1.5, classWeights: weights(x) }).item()).toBeCloseTo(total / weight, 12);
  });

  it("with gamma 0 is cross-entropy", () => {
    expect(focalLoss(x, targets(x), { gamma: 0 }).item()).toBeCloseTo(crossEntropy(x, targets(x)).item(), 12);
    const classWeights = weights(x);
    const plain = crossEntropy(x, targets(x), { classWeights }).item();
    expect(focalLoss(x, targets(x), { gamma: 0, classWeights }).item()).toBeCloseTo(plain, 12);
  });

  for (const gamma of [0, 0.5, 1, 2, 5]) {
    it(`has the gradient of central differences, gamma ${gamma}`, () => {
      checkOp((y) => focalLoss(y, targets(y), { gamma }), [{ shape: [5, 4], low: -3, high: 3 }]);
      checkOp((y) => focalLoss(y, targets(y), { gamma, classWeights: weights(y) }), [{ shape: [5, 4], low: -1, high: 1 }]);
    });

    it(`stays finite where it is sure, gamma ${gamma}`, () => {
      const sure = parameter([800, 0, 0, -800, 0, 0, 1e-20, 0, 0, 40, 0, 0], [4, 3], { engine });
      scope(() => {
        const loss = focalLoss(sure, integers([0, 0, 1, 0], [4], { engine }), { gamma });
        expect(Number.isFinite(loss.item())).toBe(true);
        loss.backward();
      });
      expect([...sure.grad!.floats()].every(Number.isFinite)).toBe(true);
    });
  }

  it("over nothing is 0, and refuses what does not fit", () => {
    const nothing = integers([-1, -1, -1, -1, -1], [5], { engine });
    expect(focalLoss(x, nothing).item()).toBe(0);
    expect(() => focalLoss(x, targets(x), { gamma: -1 })).toThrow(/OST_RANGE.*gamma/);
    expect(() => focalLoss(x, integers([0], [1], { engine }))).toThrow(/OST_SHAPE.*focalLoss/);
    expect(() => focalLoss(x, integers([0, 0, 0, 0, 4], [5], { engine }))).toThrow(/OST_RANGE.*focalLoss.*no such class/);
    expect(() => focalLoss(x, targets(x), { classWeights: tensor([1], [1], { engine }) })).toThrow(/OST_SHAPE.*weight per class/);
  });
});

describe("binaryFocalLoss", () => {
  const flags = (y: Tensor) =>
    tensor(
      Array.from({ length: y.size }, (_, i) => [1, 0, 0.25][i % 3]),
      y.shape,
      { engine: y.engine },
    );
  const mask = Array.from({ length: 20 }, (_, i) => (i % 4 === 1 ? 0 : 1));

  it("with gamma 0 is binary cross-entropy", () => {
    expect(binaryFocalLoss(x, flags(x), { gamma: 0, mask }).item()).toBeCloseTo(
      binaryCrossEntropy(x, flags(x), { mask }).item(),
      12,
    );
  });

  it("is the focal loss of two classes", () => {
    const odds = [0.4, -2, 1.5];
    const two = tensor([0, 0.4, 0, -2, 0, 1.5], [3, 2], { engine });
    const binary = binaryFocalLoss(tensor(odds, [3], { engine }), tensor([1, 0, 0], [3], { engine }));
    expect(binary.item()).toBeCloseTo(focalLoss(two, integers([1, 0, 0], [3], { engine })).item(), 12);
  });

  it("weighs positives by alpha and negatives by the rest", () => {
    const one = (logit: number, flag: number, alpha?: number) =>
      binaryFocalLoss(tensor([logit], [1], { engine }), tensor([flag], [1], { engine }), { alpha }).item();
    expect(one(0.3, 1, 0.25)).toBeCloseTo(0.25 * one(0.3, 1), 14);
    expect(one(0.3, 0, 0.25)).toBeCloseTo(0.75 * one(0.3, 0), 14);
  });

  it("has the gradient of central differences", () => {
    for (const gamma of [0, 0.5, 2]) {
      checkOp((y) => binaryFocalLoss(y, flags(y), { gamma }), [{ shape: [4, 5], low: -3, high: 3 }]);
      checkOp((y) => binaryFocalLoss(y, flags(y), { gamma, alpha: 0.25, mask }), [{ shape: [4, 5], low: -3, high: 3 }]);
    }
  });

  it("refuses an alpha that is no share", () => {
    expect(() => binaryFocalLoss(x, flags(x), { alpha: 2 })).toThrow(/OST_RANGE.*alpha/);
    expect(() => binaryFocalLoss(x, flags(x), { gamma: Number.NaN })).toThrow(/OST_RANGE.*gamma/);
  });
});

describe("costLoss", () => {
  const costs = [0, 1, 5, 2, 3, 0, 1, 1, 10, 2, -1, 4, 0.5, 0.5, 7, 0];

  it("is the expected cost over rows with a target", () => {
    const rows = classes.flatMap((target, row) =>
      target < 0 ? [] : [probabilities[row].reduce((sum, p, k) => sum + p * costs[target * 4 + k], 0)],
    );
    expect(costLoss(x, targets(x), costs).item()).toBeCloseTo(rows.reduce((a, b) => a + b) / rows.length, 12);
  });

  it("of equal mistakes is the expected error rate", () => {
    const equal = Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 0 : 1));
    const errors = classes.flatMap((target, row) => (target < 0 ? [] : [1 - probabilities[row][target]]));
    expect(costLoss(x, targets(x), equal).item()).toBeCloseTo(errors.reduce((a, b) => a + b) / errors.length, 12);
  });

  it("has the gradient of central differences", () => {
    checkOp((y) => costLoss(y, targets(y), costs), [{ shape: [5, 4], low: -2, high: 2 }]);
  });

  it("trains to the decision that costs least, where cross-entropy trains to the likeliest class", () => {
    // Three of four are class 0, but to miss class 1 costs ten times as much.
    const bias = parameter([0, 0], [1, 2], { engine });
    const flags = integers([0, 0, 0, 1], [4], { engine });
    for (let step = 0; step < 200; step++) {
      scope(() => {
        costLoss(bias.add(tensor(new Array(8).fill(0), [4, 2], { engine })), flags, [0, 1, 10, 0]).backward();
        bias.assign([0, 1].map((k) => bias.floats()[k] - bias.grad!.floats()[k]));
        bias.grad!.floats().fill(0);
      });
    }
    expect(bias.floats()[1]).toBeGreaterThan(bias.floats()[0] + 2);
  });

  it("refuses costs that are not one per pair of classes, or not finite", () => {
    expect(() => costLoss(x, targets(x), [0, 1, 1, 0])).toThrow(/OST_SHAPE.*\[4, 4\].*4 costs/);
    expect(() =>
      costLoss(
        x,
        targets(x),
        costs.map((cost, i) => (i === 6 ? Number.NaN : cost)),
      ),
    ).toThrow(/OST_RANGE.*true class 1 decided as 2/s);
  });
});

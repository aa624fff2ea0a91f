import { describe, expect, it } from "vitest";
import { CalibrationSums } from "./calibration.js";
import { classMetrics, confusionMetrics } from "./confusion.js";
import { mase, maseScale } from "./mase.js";
import { regressionMetrics } from "./regression.js";

describe("regression metrics", () => {
  it("equal values worked by hand", () => {
    const { n, mse, mae, rmse, smape } = regressionMetrics([2, 5, 4, 0], [1, 5, 6, 0]);
    expect(n).toBe(4);
    expect(mse).toBeCloseTo((1 + 0 + 4 + 0) / 4, 12);
    expect(mae).toBeCloseTo(3 / 4, 12);
    expect(rmse).toBeCloseTo(Math.sqrt(5 / 4), 12);
    expect(smape).toBeCloseTo((200 / 3 + 0 + 400 / 10 + 0) / 4, 12);
  });

  it("skip a target that is not there and count the others", () => {
    const { n, mae } = regressionMetrics([1, 7, 3], [2, Number.NaN, 3]);
    expect(n).toBe(2);
    expect(mae).toBe(0.5);
  });

  it("never skip a prediction that is no number", () => {
    expect(() => regressionMetrics([1, Number.NaN], [1, 2])).toThrow(/OST_NAN/);
    expect(() => regressionMetrics([Number.POSITIVE_INFINITY], [1])).toThrow(/OST_NAN/);
    expect(regressionMetrics([Number.NaN, 1], [Number.NaN, 1]).n).toBe(1);
  });
});

describe("MASE", () => {
  it("scales by the in-sample naive error, worked by hand", () => {
    expect(maseScale([[1, 3, 2, 6]], { period: 1 })).toBeCloseTo((2 + 1 + 4) / 3, 12);
    expect(maseScale([[1, 3, 2, 6]], { period: 2 })).toBeCloseTo((1 + 3) / 2, 12);
    expect(mase(3.5, 7 / 3)).toBeCloseTo(1.5, 12);
  });

  it("is 1 for the seasonal naive forecast judged on its own training part", () => {
    const y = [4, 8, 5, 9, 7, 8, 4, 12];
    const naive = y.slice(0, -2);
    expect(mase(regressionMetrics(naive, y.slice(2)).mae, maseScale([y], { period: 2 }))).toBeCloseTo(1, 12);
  });

  it("takes no difference across series or over a missing value", () => {
    expect(
      maseScale(
        [
          [1, 2],
          [100, 103],
        ],
        { period: 1 },
      ),
    ).toBe(2);
    expect(maseScale([[1, Number.NaN, 5, 6]], { period: 1 })).toBe(1);
  });

  it("refuses a part shorter than a period and one that never changes", () => {
    expect(() => maseScale([[1, 2, 3]], { period: 3 })).toThrow(/OST_WINDOW/);
    expect(() => maseScale([[2, 2, 2]], { period: 1 })).toThrow(/OST_TARGET/);
  });
});

describe("confusion metrics", () => {
  // Rows the true class: a 6 (4 a, 1 b, 1 c), b 10 (2 a, 8 b), c 4 (1 a, 1 b, 2 c).
  const counts = [4, 1, 1, 2, 8, 0, 1, 1, 2];

  it("equal values worked by hand", () => {
    const { n, accuracy, balancedAccuracy, macroF1 } = confusionMetrics(counts, 3);
    expect(n).toBe(20);
    expect(accuracy).toBeCloseTo(14 / 20, 12);
    expect(balancedAccuracy).toBeCloseTo((4 / 6 + 8 / 10 + 2 / 4) / 3, 12);
    expect(macroF1).toBeCloseTo((8 / 13 + 16 / 20 + 4 / 7) / 3, 12);
  });

  it("give precision, recall and F1 of each class", () => {
    const { precision, recall, f1, support } = classMetrics(counts, 3, 0);
    expect(precision).toBeCloseTo(4 / 7, 12);
    expect(recall).toBeCloseTo(4 / 6, 12);
    expect(f1).toBeCloseTo((2 * (4 / 7) * (4 / 6)) / (4 / 7 + 4 / 6), 12);
    expect(support).toBe(6);
  });

  it("leave a class that neither occurs nor is predicted out of the means", () => {
    const { balancedAccuracy, macroF1 } = confusionMetrics([3, 1, 0, 0, 2, 0, 0, 0, 0], 3);
    expect(balancedAccuracy).toBeCloseTo((3 / 4 + 1) / 2, 12);
    expect(macroF1).toBeCloseTo((6 / 7 + 4 / 5) / 2, 12);
  });

  it("count a class that is predicted but never occurs against F1 and not against recall", () => {
    const { balancedAccuracy, macroF1 } = confusionMetrics([3, 1, 0, 0], 2);
    expect(balancedAccuracy).toBeCloseTo(3 / 4, 12);
    expect(macroF1).toBeCloseTo((6 / 7 + 0) / 2, 12);
  });
});

describe("calibration", () => {
  it("equals the gap worked by hand", () => {
    const sums = new CalibrationSums();
    for (let i = 0; i < 10; i++) sums.add(0.9, i < 6);
    for (let i = 0; i < 10; i++) sums.add(0.5, i < 5);
    const { n, ece, meanConfidence } = sums.result();
    expect(n).toBe(20);
    expect(ece).toBeCloseTo(0.5 * 0.3 + 0.5 * 0, 12);
    expect(meanConfidence).toBeCloseTo(0.7, 12);
  });

  it("puts a confidence on a border into the lower bin, and 0 and 1 into the outer ones", () => {
    const sums = new CalibrationSums();
    // 1/15 and 0.01 share the first bin: (0.5 * 2 right) against the mean confidence of both.
    sums.add(1 / 15, true);
    sums.add(0.01, false);
    sums.add(0, false);
    sums.add(1, true);
    expect(sums.result().ece).toBeCloseTo((Math.abs(1 - (1 / 15 + 0.01)) + 0) / 4, 12);
  });
});

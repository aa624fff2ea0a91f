import { describe, expect, it } from "vitest";
import { crps } from "../../core/predictive-distribution.js";
import { seed } from "../../core/rng.js";
import { IntervalSums, intervalScore } from "./prediction-interval.js";
import { sampleCrps } from "./sample-crps.js";

describe("CRPS of samples", () => {
  const naive = (samples: number[], target: number, fair: boolean) => {
    const m = samples.length;
    const error = samples.reduce((sum, x) => sum + Math.abs(x - target), 0) / m;
    let spread = 0;
    for (const x of samples) for (const y of samples) spread += Math.abs(x - y);
    return error - spread / (2 * m * (fair ? m - 1 : m));
  };

  it("equals the mean over all pairs", () => {
    const rng = seed(1);
    for (const m of [2, 3, 10, 31]) {
      const samples = Array.from({ length: m }, () => rng.normal());
      const target = rng.normal();
      for (const fair of [false, true])
        expect(sampleCrps(samples, target, { fair })).toBeCloseTo(naive(samples, target, fair), 12);
    }
  });

  it("of one sample is the absolute error, and shifts and scales as the values do", () => {
    expect(sampleCrps([3], 5)).toBe(2);
    const samples = [1, 4, 2, 8];
    expect(
      sampleCrps(
        samples.map((x) => 3 * x + 7),
        3 * 2.5 + 7,
      ),
    ).toBeCloseTo(3 * sampleCrps(samples, 2.5), 12);
  });

  it("comes near that of the distribution the samples are of", () => {
    const rng = seed(2);
    const samples = Array.from({ length: 20_000 }, () => rng.normal());
    const exact = crps({ kind: "gaussian" }, [0, Math.log(Math.E - 1)], 0.7);
    expect(Math.abs(sampleCrps(samples, 0.7, { fair: true }) - exact)).toBeLessThan(0.01);
  });

  it("refuses too few samples and those that are no number", () => {
    expect(() => sampleCrps([], 1)).toThrow(/OST_TARGET/);
    expect(() => sampleCrps([1], 1, { fair: true })).toThrow(/OST_TARGET/);
    expect(() => sampleCrps([1, Number.NaN], 1)).toThrow(/OST_NAN/);
  });
});

describe("prediction intervals", () => {
  it("equal values worked by hand", () => {
    const sums = new IntervalSums(0.8);
    sums.add(1, 0, 2);
    sums.add(2, 0, 2);
    sums.add(5, 0, 4);
    sums.add(-1, 0, 1);
    const { n, coverage, meanWidth, score } = sums.result();
    expect([n, coverage, meanWidth]).toEqual([4, 0.5, 9 / 4]);
    expect(score).toBeCloseTo((2 + 2 + (4 + 10 * 1) + (1 + 10 * 1)) / 4, 12);
  });

  it("score best where the interval is the true one", () => {
    const rng = seed(3);
    const values = Array.from({ length: 4000 }, () => rng.uniform());
    const mean = (half: number) => values.reduce((sum, y) => sum + intervalScore(y, 0.5 - half, 0.5 + half, 0.8), 0) / 4000;
    expect(mean(0.4)).toBeLessThan(mean(0.3));
    expect(mean(0.4)).toBeLessThan(mean(0.48));
  });

  it("refuse an interval that is upside down and a level that is no share", () => {
    expect(() => new IntervalSums(0.9).add(1, 2, 1)).toThrow(/OST_RANGE/);
    expect(() => new IntervalSums(0.9).add(1, Number.NaN, 1)).toThrow(/OST_RANGE/);
    expect(() => new IntervalSums(1)).toThrow(/OST_RANGE/);
  });
});

import { describe, expect, it } from "vitest";
import { seed } from "../../core/rng.js";
import { chooseThreshold } from "./threshold.js";

/** Scores from a few values, so that many tie; positives score higher. */
function examples(value: number, n: number) {
  const rng = seed(value);
  const positive = Array.from({ length: n }, () => (rng.uniform() < 0.2 ? 1 : 0));
  const scores = positive.map((label) => rng.integer(12) + 4 * label - 6);
  return { scores, positive };
}

function outcome(scores: readonly number[], positive: readonly number[], threshold: number) {
  const alerts = scores.filter((score) => score > threshold).length;
  const hits = scores.filter((score, i) => score > threshold && positive[i] === 1).length;
  const positives = positive.filter(Boolean).length;
  return { alerts, hits, precision: hits / alerts, recall: hits / positives, f1: (2 * hits) / (alerts + positives) };
}

/** Every threshold that differs from the others in what it alerts. */
const allOf = (scores: readonly number[]) => [...new Set(scores)].flatMap((score) => [score, score - 0.5]);

describe("a threshold", () => {
  it("states what it does on the examples it was chosen on", () => {
    const { scores, positive } = examples(1, 120);
    for (const rule of [{ by: "f1" }, { by: "alertBudget", per1000: 100 }, { by: "quantile", quantile: 0.8 }] as const) {
      const { threshold, alerts, precision, recall, f1, n, alertsPer1000 } = chooseThreshold(scores, positive, rule);
      const found = outcome(scores, positive, threshold);
      expect(found.alerts).toBe(alerts);
      expect([precision, recall, f1]).toEqual([found.precision, found.recall, found.f1]);
      expect(alertsPer1000).toBeCloseTo((1000 * alerts) / n, 12);
    }
  });

  it("by F1 is beaten by no other", () => {
    for (let trial = 0; trial < 20; trial++) {
      const { scores, positive } = examples(trial, 60);
      const { f1 } = chooseThreshold(scores, positive, { by: "f1" });
      for (const other of allOf(scores)) expect(f1).toBeGreaterThanOrEqual(outcome(scores, positive, other).f1);
    }
  });

  it("by precision keeps to it, and none that does finds more", () => {
    for (let trial = 0; trial < 20; trial++) {
      const { scores, positive } = examples(trial, 200);
      const { precision, recall } = chooseThreshold(scores, positive, { by: "precision", precision: 0.5 });
      expect(precision).toBeGreaterThanOrEqual(0.5);
      for (const other of allOf(scores)) {
        const found = outcome(scores, positive, other);
        if (found.precision >= 0.5) expect(recall).toBeGreaterThanOrEqual(found.recall);
      }
    }
    expect(() => chooseThreshold([1, 2, 3], [1, 0, 0], { by: "precision", precision: 0.9 })).toThrow(
      /OST_RANGE.*0\.333 at best/s,
    );
  });

  it("by a budget never exceeds it, and one score lower would", () => {
    for (let trial = 0; trial < 20; trial++) {
      const { scores } = examples(trial, 90);
      for (const per1000 of [0, 5, 50, 200, 990, 1000]) {
        const { threshold, alerts } = chooseThreshold(scores, undefined, { by: "alertBudget", per1000 });
        const allowed = (per1000 * 90) / 1000;
        expect(alerts).toBeLessThanOrEqual(allowed);
        const next = Math.max(...scores.filter((score) => score <= threshold));
        if (alerts < 90) expect(scores.filter((score) => score >= next).length).toBeGreaterThan(allowed);
      }
    }
  });

  it("by a quantile leaves at most the rest above it", () => {
    const scores = Array.from({ length: 100 }, (_, i) => i);
    expect(chooseThreshold(scores, undefined, { by: "quantile", quantile: 0.95 })).toEqual({
      threshold: 94.5,
      n: 100,
      alerts: 5,
      alertsPer1000: 50,
    });
    expect(chooseThreshold(scores, undefined, { by: "quantile", quantile: 1 })).toMatchObject({ threshold: 99, alerts: 0 });
    expect(chooseThreshold(scores, undefined, { by: "quantile", quantile: 0 })).toMatchObject({ threshold: -1, alerts: 100 });
  });

  it("never parts equal scores, and has fewest alerts of equally good ones", () => {
    expect(chooseThreshold([3, 3, 3, 3], [1, 0, 0, 0], { by: "alertBudget", per1000: 500 })).toMatchObject({
      alerts: 0,
      threshold: 3,
    });
    // F1 of 2 / 3 with one alert and with four.
    expect(chooseThreshold([4, 3, 2, 1], [1, 0, 0, 1], { by: "f1" })).toMatchObject({ alerts: 1, f1: 2 / 3, threshold: 3.5 });
  });

  it("alerts all where that is best, also of scores that lie next to each other", () => {
    const close = [1, 1 + Number.EPSILON];
    expect(chooseThreshold(close, [0, 1], { by: "f1" })).toMatchObject({ alerts: 1 });
    for (const scores of [close, [7, 7], [1e300, 1e300], [0, 0]]) {
      const { threshold } = chooseThreshold(scores, [1, 1], { by: "f1" });
      expect(scores.every((score) => score > threshold)).toBe(true);
      expect(Number.isFinite(threshold)).toBe(true);
    }
  });

  it("refuses what it cannot be chosen on", () => {
    expect(() => chooseThreshold([], [], { by: "f1" })).toThrow(/OST_TARGET/);
    expect(() => chooseThreshold([1], [0], { by: "f1" })).toThrow(/OST_TARGET/);
    expect(() => chooseThreshold([1], undefined, { by: "f1" })).toThrow(/OST_TARGET/);
    expect(() => chooseThreshold([Number.NaN], [1], { by: "f1" })).toThrow(/OST_NAN/);
    expect(() => chooseThreshold([1], [1], { by: "alertBudget", per1000: -1 })).toThrow(/OST_RANGE/);
    expect(() => chooseThreshold([1], [1], { by: "quantile", quantile: 2 })).toThrow(/OST_RANGE/);
    expect(() => chooseThreshold([1], [1], { by: "precision", precision: 0 })).toThrow(/OST_RANGE/);
  });
});

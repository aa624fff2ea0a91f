import { describe, expect, it } from "vitest";
import type { Comparison } from "./bootstrap.js";
import { type Rival, verdict } from "./verdict.js";

const MSE = { label: "MSE", higherIsBetter: false };
const ACCURACY = { label: "accuracy", higherIsBetter: true, share: true };

function rival(
  name: string,
  value: number,
  difference: number,
  interval95: [number, number] | null,
  more: Partial<Rival> = {},
): Rival {
  const comparison: Comparison = { difference, interval95, n: 100, clusters: 1, unit: "block", resamples: 2000 };
  return { name, kind: "baseline", value, comparison, ...more };
}

describe("verdict", () => {
  it("ships the baseline that wins, with its margin and speed", () => {
    const rivals = [
      rival("ridge(96)", 0.296, 0.031, [0.018, 0.044], { microsecondsPerStep: 0.4 }),
      rival("seasonalNaive(24)", 0.424, -0.097, [-0.12, -0.08]),
    ];
    const result = verdict({ name: "LSTM 64", value: 0.327 }, MSE, rivals);
    expect(result.ship).toBe("ridge(96)");
    expect(result.text).toBe(
      "Verdict: ship ridge(96). It beats LSTM 64 by 0.031 MSE (95 % interval 0.018 to 0.044) and runs in 0.4 us a step.",
    );
    expect(result).toMatchObject({ beats: ["seasonalNaive(24)"], loses: ["ridge(96)"], ties: [] });
  });

  it("ships the model that beats all, named against the best baseline, and values the cheaper model", () => {
    const rivals = [
      rival("majority", 0.31, 0.604, [0.55, 0.65]),
      rival("logistic(10)", 0.861, 0.053, [0.031, 0.074]),
      rival("GRU 12", 0.899, 0.015, [0.004, 0.026], { kind: "model", cheaper: true }),
    ];
    const result = verdict({ name: "GRU 48", value: 0.914 }, ACCURACY, rivals);
    expect(result.ship).toBe("GRU 48");
    expect(result.text).toBe(
      "Verdict: ship GRU 48. It beats the best baseline, logistic(10), by 5.3 points of accuracy (95 % interval 3.1 to 7.4). " +
        "GRU 12 is cheaper and loses 1.5 points of accuracy (95 % interval 0.4 to 2.6): if latency matters, take GRU 12.",
    );
  });

  it("ships the simpler of two that cannot be told apart", () => {
    const result = verdict({ name: "GRU 48", value: 0.3 }, MSE, [
      rival("ridge(96)", 0.303, -0.003, [-0.02, 0.01]),
      rival("drift", 0.9, -0.6, [-0.7, -0.5]),
    ]);
    expect(result.ship).toBe("ridge(96)");
    expect(result.text).toContain("cannot be told apart");
    expect(result.text).toContain("0.003 MSE (95 % interval -0.010 to 0.020)");
    expect(result.text).toContain("simpler");
    expect(result.text).toContain("does beat drift by 0.600 MSE");
    expect(result).toMatchObject({ beats: ["drift"], loses: [], ties: ["ridge(96)"] });
  });

  it("ships the simplest of several that tie, in an order known beforehand, and names all of them", () => {
    const network = { kind: "model" as const, cheaper: true };
    const ties = [
      rival("GRU 16", 0.2, 0.1, [-0.1, 0.3], network),
      rival("MLP window 8", 0.21, 0.09, [-0.1, 0.3], network),
      rival("logistic(10)", 0.22, 0.08, [-0.1, 0.3]),
      rival("ridge(96)", 0.25, 0.05, [-0.1, 0.2]),
      rival("movingAverage(3)", 0.26, 0.04, [-0.1, 0.2]),
      rival("drift", 0.27, 0.03, [-0.1, 0.2]),
      rival("seasonalNaive(24)", 0.28, 0.02, [-0.1, 0.2]),
      rival("persistence", 0.29, 0.01, [-0.1, 0.2]),
    ];
    for (let left = ties.length; left > 0; left--) {
      const result = verdict({ name: "GRU 64", value: 0.3 }, MSE, ties.slice(0, left));
      expect(result.ship).toBe(ties[left - 1].name);
      for (const { name } of ties.slice(0, left)) expect(result.text).toContain(name);
    }
    expect(verdict({ name: "GRU 64", value: 0.3 }, MSE, ties).text).toMatch(
      /the simplest of the 8 that tie: .* and persistence\./,
    );
  });

  it("ships nothing that breaks the budget, and names what does", () => {
    const recall = { label: 'recall of "fault"', higherIsBetter: true, share: true };
    const over = { overBudget: "raises 945.0 alerts per 1,000 against 20" };
    const loud = rival("logistic", 0.99, -0.5, [-0.6, -0.4], over);
    const quiet = rival("majority", 0, 0.49, [0.4, 0.6]);
    const kept = verdict({ name: "GRU", value: 0.49 }, recall, [quiet, loud]);
    expect(kept).toMatchObject({ ship: "GRU", beats: ["majority"], loses: [], overBudget: ["logistic"] });
    expect(kept.text).toContain("logistic raises 945.0 alerts per 1,000 against 20: over the budget, not to be shipped.");
    const better = rival("MLP window 8", 0.3, 0.6, [0.5, 0.7], { kind: "model", cheaper: true });
    const fallen = verdict({ name: "GRU", value: 0.9, ...over }, recall, [quiet, better, loud]);
    expect(fallen).toMatchObject({ ship: "MLP window 8", beats: [], ties: [], overBudget: ["GRU", "logistic"] });
    expect(fallen.text).toContain('keeps to the budget, best of the 2 that do: recall of "fault" 30.0 %');
    const none = verdict({ name: "GRU", value: 0.9, ...over }, recall, [loud]);
    expect(none.ship).toBe("none");
    expect(none.text).toMatch(/ship none of them\. GRU raises.*, logistic raises/);
  });

  it("claims no win without an interval", () => {
    const result = verdict({ name: "GRU", value: 0.1 }, MSE, [
      rival("drift", 9, -8.9, null),
      { ...rival("ridge", 1, 0, null), comparison: null },
    ]);
    expect(result.beats).toEqual([]);
    expect(result.ties).toEqual(["drift", "ridge"]);
    expect(result.text).toContain("too few units");
  });

  it("keeps the model where only a rival that is not cheaper ties with it", () => {
    const result = verdict({ name: "GRU", value: 0.5 }, MSE, [
      rival("LSTM", 0.5, 0, [-0.1, 0.1], { kind: "model", cheaper: false }),
      rival("drift", 0.9, -0.4, [-0.5, -0.3]),
    ]);
    expect(result.ship).toBe("GRU");
    expect(result.text).toContain("It beats drift by 0.400 MSE");
    expect(result.text).toContain("cannot be told apart from LSTM");
  });

  it("says that nothing was compared where there is no baseline", () => {
    expect(verdict({ name: "GRU", value: 0.5 }, MSE, []).text).toContain("no baseline");
  });
});

import { describe, expect, it } from "vitest";
import { seed as seeded } from "../core/rng.js";
import { argmax, topIndices } from "../core/top-index.js";
import { logAdd, logSumExp } from "./log-sum-exp.js";

const NEVER = Number.NEGATIVE_INFINITY;

describe("sums of probabilities by their logarithms", () => {
  it("equal the sums of the probabilities", () => {
    const rng = seeded(2);
    for (let i = 0; i < 200; i++) {
      const p = Array.from({ length: 1 + (i % 5) }, () => rng.uniform(0, 3));
      const total = p.reduce((a, b) => a + b, 0);
      expect(logSumExp(p.map(Math.log))).toBeCloseTo(Math.log(total), 12);
      expect(p.map(Math.log).reduce(logAdd, NEVER)).toBeCloseTo(Math.log(total), 12);
    }
  });

  it("neither overflow nor vanish", () => {
    expect(logSumExp([1000, 1000])).toBeCloseTo(1000 + Math.LN2, 9);
    expect(logAdd(-1000, -1000)).toBeCloseTo(-1000 + Math.LN2, 9);
    expect(logAdd(0, -800)).toBe(0);
  });

  it("take -Infinity as a probability of zero", () => {
    expect(logSumExp([])).toBe(NEVER);
    expect(logSumExp([NEVER, NEVER])).toBe(NEVER);
    expect([logAdd(NEVER, NEVER), logAdd(-3, NEVER), logAdd(NEVER, -3)]).toEqual([NEVER, -3, -3]);
  });
});

describe("the best of many scores", () => {
  it("equal the head of a sorted list, ties by index, whatever the order they come in", () => {
    for (let seed = 0; seed < 200; seed++) {
      const rng = seeded(seed);
      const scores = Array.from({ length: seed % 50 }, (_, i) =>
        rng.uniform() < 0.1 ? NEVER : [rng.integer(6), i, -i][seed % 3],
      );
      const sorted = scores.map((_, i) => i).filter((i) => scores[i] > NEVER);
      sorted.sort((a, b) => scores[b] - scores[a] || a - b);
      for (const count of [1, 2, 5, 49, 1e9]) expect(topIndices(scores, count)).toEqual(sorted.slice(0, count));
      expect(argmax(scores)).toBe(sorted[0] ?? -1);
    }
  });
});

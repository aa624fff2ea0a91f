import { describe, expect, it } from "vitest";
import { seed as seeded } from "../core/rng.js";
import { ctcBeam } from "./ctc-beam.js";
import { ctcGreedy } from "./ctc-greedy.js";
import { logSumExp } from "./log-sum-exp.js";

/** Frames in which each class of a path has the probability beside it, and the others share the rest. */
function path(steps: [token: number, probability: number][], classes: number): Float32Array {
  return Float32Array.from(
    steps.flatMap(([token, p]) => Array.from({ length: classes }, (_, c) => Math.log(c === token ? p : (1 - p) / (classes - 1)))),
  );
}

describe("CTC best-path decoding", () => {
  it("collapses repeats, drops blanks, keeps tokens that a blank parts, and says where each token stood", () => {
    const scores = path(
      [
        [3, 0.9],
        [1, 0.6],
        [1, 0.9],
        [1, 0.8],
        [3, 0.9],
        [1, 0.5],
        [2, 0.7],
        [3, 0.9],
      ],
      4,
    );
    const { tokens, spans, logProbability } = ctcGreedy(scores, { classes: 4 });
    expect(tokens).toEqual([1, 1, 2]);
    expect(spans.map(({ token, start, end, peak }) => [token, start, end, peak])).toEqual([
      [1, 1, 4, 2],
      [1, 5, 6, 5],
      [2, 6, 7, 6],
    ]);
    [0.9, 0.5, 0.7].forEach((p, i) => {
      expect(spans[i].confidence).toBeCloseTo(p, 6);
    });
    expect(logProbability).toBeCloseTo(Math.log(0.9 * 0.6 * 0.9 * 0.8 * 0.9 * 0.5 * 0.7 * 0.9), 5);
  });

  it("takes any class as the blank", () => {
    expect(
      ctcGreedy(
        path(
          [
            [0, 0.9],
            [1, 0.9],
            [0, 0.9],
            [1, 0.9],
            [2, 0.9],
          ],
          3,
        ),
        { classes: 3, blank: 0 },
      ).tokens,
    ).toEqual([1, 1, 2]);
  });

  it("claims no more than its labelling has over all paths", () => {
    for (let seed = 0; seed < 50; seed++) {
      const rng = seeded(seed);
      const rows = Array.from({ length: 5 }, () => {
        const raw = [rng.normal(), rng.normal(), rng.normal()];
        return raw.map((score) => score - logSumExp(raw));
      });
      const scores = Float64Array.from(rows.flat());
      const { tokens, logProbability } = ctcGreedy(scores, { classes: 3 });
      const all = ctcBeam(scores, { classes: 3, width: 1000 });
      const same = all.find((other) => other.tokens.join() === tokens.join());
      expect(logProbability).toBeLessThanOrEqual((same?.logProbability ?? Number.NaN) + 1e-12);
      expect(same?.logProbability).toBeLessThanOrEqual(all[0].logProbability);
    }
  });

  it("defines no frames and a blank alone, and refuses NaN by its frame and frames without a class", () => {
    expect(ctcGreedy(new Float32Array(0), { classes: 3 })).toEqual({ tokens: [], spans: [], logProbability: 0 });
    expect(ctcGreedy(new Float32Array(3), { classes: 1 })).toEqual({ tokens: [], spans: [], logProbability: 0 });
    const bad = (value: number) => Float32Array.from([-1, -1, value, value]);
    expect(() => ctcGreedy(bad(Number.NaN), { classes: 2 })).toThrow(/OST_NAN .*frame 2/);
    expect(() => ctcGreedy(bad(Number.NEGATIVE_INFINITY), { classes: 2 })).toThrow(/OST_NAN .*frame 2/);
    expect(() => ctcGreedy(bad(-1), { classes: 3 })).toThrow(/OST_SHAPE/);
    expect(() => ctcGreedy(bad(-1), { classes: 2, blank: 2 })).toThrow(/OST_RANGE/);
  });
});

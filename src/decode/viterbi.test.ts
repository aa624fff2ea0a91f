import { describe, expect, it } from "vitest";
import { seed as seeded } from "../core/rng.js";
import { viterbi } from "./viterbi.js";

const NEVER = Number.NEGATIVE_INFINITY;

function drawn(count: number, seed: number, zeros = 0): Float64Array {
  const rng = seeded(seed);
  return Float64Array.from({ length: count }, () => (rng.uniform() < zeros ? NEVER : rng.normal()));
}

interface Case {
  classes: number;
  steps: number;
  emissions: Float64Array;
  transitions: Float64Array;
  start: Float64Array;
  end: Float64Array;
}

/** The score of every path, by the formula. */
function enumerate({ classes, steps, emissions, transitions, start, end }: Case): { path: number[]; score: number }[] {
  return Array.from({ length: classes ** steps }, (_, code) => {
    const path = Array.from({ length: steps }, (_, t) => Math.floor(code / classes ** t) % classes);
    let score = start[path[0]] + end[path[steps - 1]];
    path.forEach((c, t) => {
      score += emissions[t * classes + c] + (t > 0 ? transitions[path[t - 1] * classes + c] : 0);
    });
    return { path, score };
  });
}

const CASES = Array.from({ length: 60 }, (_, i): Case => {
  const [classes, steps, zeros] = [1 + (i % 4), 1 + (i % 5), i % 3 === 0 ? 0.35 : 0];
  return {
    classes,
    steps,
    emissions: drawn(classes * steps, 5 * i, zeros),
    transitions: drawn(classes * classes, 5 * i + 1, zeros),
    start: drawn(classes, 5 * i + 2, zeros),
    end: drawn(classes, 5 * i + 3, zeros),
  };
});

describe("viterbi", () => {
  it("equals the best of all paths, and refuses where all are forbidden", () => {
    let refused = 0;
    for (const each of CASES) {
      const all = enumerate(each);
      const best = all.reduce((a, b) => (b.score > a.score ? b : a));
      if (best.score === NEVER) {
        expect(() => viterbi(each.emissions, each)).toThrow(/OST_RANGE .*step \d/);
        refused++;
        continue;
      }
      const { classes, score } = viterbi(each.emissions, each);
      expect(score).toBeCloseTo(best.score, 10);
      expect(Array.from(classes)).toEqual(best.path);
    }
    expect(refused).toBeGreaterThan(3);
    expect(refused).toBeLessThan(30);
  });

  it("without a chain takes the likeliest class of each step, the lowest of equal ones", () => {
    const emissions = [0, 3, 1, 2, 2, -1, NEVER, NEVER, -50];
    expect(viterbi(emissions, { classes: 3 })).toEqual({ classes: Int32Array.of(1, 0, 2), score: -45 });
  });

  it("takes the lowest last class of equal paths, and so on backwards", () => {
    expect(viterbi(new Float64Array(8), { classes: 2 }).classes).toEqual(new Int32Array(4));
    const transitions = [NEVER, 0, 0, NEVER];
    expect(viterbi(new Float64Array(6), { classes: 2, transitions }).classes).toEqual(Int32Array.of(0, 1, 0));
  });

  it("names the step at which the last path ends", () => {
    const emissions = [0, 0, 0, 0, NEVER, NEVER, 0, 0];
    expect(() => viterbi(emissions, { classes: 2 })).toThrow(/step 3: every path/);
    expect(() => viterbi([0, 0], { classes: 2, start: [NEVER, NEVER] })).toThrow(/step 1/);
    expect(() => viterbi([0, 0], { classes: 2, end: [NEVER, NEVER] })).toThrow(/step 1: no path may end/);
    expect(() => viterbi([0, 0, 0, 0], { classes: 2, transitions: new Array(4).fill(NEVER) })).toThrow(/step 2/);
  });

  it("defines no steps, and refuses NaN by its step, Infinity and sizes that disagree", () => {
    expect(viterbi([], { classes: 3, start: [NEVER, NEVER, NEVER] })).toEqual({ classes: new Int32Array(0), score: 0 });
    expect(() => viterbi([0, 0, Number.NaN, 0], { classes: 2 })).toThrow(/OST_NAN .*step 2, class 0/);
    expect(() => viterbi([0, Number.POSITIVE_INFINITY], { classes: 2 })).toThrow(/OST_NAN .*step 1, class 1/);
    expect(() => viterbi([0, 0], { classes: 2, transitions: [0, 0, 0, Number.NaN] })).toThrow(/OST_NAN .*transition 1 to 1/);
    expect(() => viterbi([0, 0], { classes: 2, end: [0, Number.NaN] })).toThrow(/OST_NAN .*end, class 1/);
    expect(() => viterbi([0, 0, 0], { classes: 2 })).toThrow(/OST_SHAPE/);
    expect(() => viterbi([0, 0], { classes: 2, transitions: [0] })).toThrow(/OST_SHAPE/);
    expect(() => viterbi([0, 0], { classes: 2, start: [0] })).toThrow(/OST_SHAPE/);
    expect(() => viterbi([], { classes: 0 })).toThrow(/OST_RANGE/);
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  exponentialDecay,
  inverseSigmoidDecay,
  linearDecay,
  SAMPLING_KINDS,
  type SamplingOptions,
  scheduledSampling,
} from "./scheduled-sampling.js";

describe("scheduled sampling", () => {
  it("goes from one probability to the other, never back, and stays", () => {
    const probability = fc.double({ min: 0, max: 1, noNaN: true });
    const kinds = fc.constantFrom(...SAMPLING_KINDS.filter((kind) => kind !== "constant"));
    fc.assert(
      fc.property(kinds, probability, probability, fc.integer({ min: 1, max: 100_000 }), (kind, from, to, steps) => {
        const schedule = scheduledSampling({ kind, from, to, steps });
        expect(schedule(0)).toBe(from);
        expect([schedule(steps), schedule(steps + 1), schedule(1e9)]).toEqual([to, to, to]);
        const at = [0, 0.1, 0.3, 0.5, 0.7, 0.9, 1].map((share) => schedule(Math.round(share * steps)));
        const way = Math.sign(to - from);
        for (let i = 1; i < at.length; i++) expect(way * (at[i] - at[i - 1])).toBeGreaterThanOrEqual(-1e-12);
        for (const one of at) expect(one >= Math.min(from, to) - 1e-12 && one <= Math.max(from, to) + 1e-12).toBe(true);
      }),
    );
  });

  it("is straight, steep at first, or slow at both ends", () => {
    const at = (kind: SamplingOptions["kind"], share: number) => scheduledSampling({ kind, to: 1, steps: 1000 })(1000 * share);
    expect(at("linear", 0.25)).toBeCloseTo(0.25, 12);
    // 1 - 0.01^(1/2) of the way that ends with 1 % left.
    expect(at("exponential", 0.5)).toBeCloseTo((1 - 0.1) / 0.99, 12);
    expect(at("inverseSigmoid", 0.1)).toBeLessThan(0.05);
    const middle = [...Array(1000).keys()].find(
      (step) => scheduledSampling({ kind: "inverseSigmoid", to: 1, steps: 1000 })(step) > 0.5,
    )!;
    expect(middle).toBeGreaterThan(400);
    expect(middle).toBeLessThan(700);
    expect(scheduledSampling({ kind: "constant", to: 0.3 })(0)).toBe(0.3);
  });

  it("rests on the paper's curves", () => {
    expect(linearDecay(30, { slope: 0.01 })).toBeCloseTo(0.7, 12);
    expect(linearDecay(1000, { slope: 0.01, floor: 0.2 })).toBe(0.2);
    expect(exponentialDecay(2, { k: 0.9 })).toBeCloseTo(0.81, 12);
    const k = 12;
    expect(inverseSigmoidDecay(0, { k })).toBeCloseTo(k / (k + 1), 12);
    expect(inverseSigmoidDecay(k * Math.log(k), { k })).toBeCloseTo(0.5, 12);
    // Too far for e^(i/k) to be a number.
    expect(inverseSigmoidDecay(1e6, { k })).toBe(0);
  });

  it("refuses what is no probability, no schedule, no number of updates", () => {
    const good: SamplingOptions = { kind: "linear", steps: 10 };
    const bad: object[] = [
      { from: -0.1 },
      { to: 1.1 },
      { to: Number.NaN },
      { steps: 0 },
      { steps: 1.5 },
      { steps: undefined },
      { kind: "cosine" },
    ];
    for (const one of bad) expect(() => scheduledSampling({ ...good, ...one }), JSON.stringify(one)).toThrow(/OST_RANGE/);
  });
});

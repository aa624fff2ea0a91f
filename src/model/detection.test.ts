import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Detection, eventRank, LEAST_DEVIATION, scoreOf, valueError, watch } from "./detection.js";

const alarm = (more: Partial<Detection> = {}) => ({ smooth: 1, threshold: 3, off: 3, steps: 1, quiet: 0, ...more });
const marks = (alerts: Uint8Array) => [...alerts].map((alert) => (alert ? "!" : ".")).join("");

describe("the rank of an event", () => {
  it("is its place among those sorted by likelihood, behind all as likely as itself", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 2, maxLength: 12 }), fc.nat(), (logits, drawn) => {
        const code = 1 + (drawn % (logits.length - 1));
        const others = logits.slice(1).sort((a, b) => b - a);
        expect(eventRank([9, ...logits], 1, logits.length, code)).toBe(others.lastIndexOf(logits[code]) + 1);
      }),
    );
  });

  it("is the last of an event that training never saw, which is no candidate either", () => {
    expect(eventRank([99, 3, 2, 1], 0, 4, 0)).toBe(4);
    expect([1, 2, 3].map((code) => eventRank([99, 3, 2, 1], 0, 4, code))).toEqual([1, 2, 3]);
  });
});

describe("the score of an error", () => {
  const measure = { by: "residual" as const, mean: [1, 0], std: [2, 0.5] };

  it("is the sum of squared standardised errors of the targets that are there", () => {
    expect(scoreOf([5, 1], measure)).toBe(4 + 4);
    expect(scoreOf([Number.NaN, 1], measure)).toBe(4);
    expect(scoreOf([Number.NaN, Number.NaN], measure)).toBeNull();
  });

  it("stays a finite float32 whatever the error", () => {
    expect(scoreOf([1e300, 0], measure)).toBe(Math.fround(3.4028234e38));
    fc.assert(
      fc.property(fc.double({ noNaN: true }), fc.double({ noNaN: true }), (a, b) => {
        const score = scoreOf([a, b], measure) as number;
        expect(Number.isFinite(score)).toBe(true);
        expect(Math.fround(score)).toBe(score);
      }),
    );
  });

  it("of a Gaussian is in its own deviations", () => {
    const raw = 0.7;
    const deviation = Math.log1p(Math.exp(raw)) + 1e-6;
    expect(valueError([2, raw], 5)).toBeCloseTo(3 / deviation, 9);
    expect(valueError([2, -50], 5)).toBeCloseTo(3 / LEAST_DEVIATION, 6);
    expect(valueError([2], 5)).toBe(3);
  });
});

describe("an alarm", () => {
  const scores = [1, 4, 1, 4, 4, 2.5, 2.5, 1, 4, 1, 1, 4];

  it("alerts above its threshold, ends at the lower one, waits for enough steps and is quiet after an alert", () => {
    expect(marks(watch(scores, alarm()).alerts)).toBe(".!.!!...!..!");
    expect(marks(watch(scores, alarm({ off: 2 })).alerts)).toBe(".!.!!!!.!..!");
    expect(marks(watch(scores, alarm({ steps: 2 })).alerts)).toBe("....!.......");
    expect(marks(watch(scores, alarm({ quiet: 2 })).alerts)).toBe(".!......!...");
    expect(marks(watch([4, 1, 4, 4, 4], alarm({ quiet: 1, steps: 1 })).alerts)).toBe("!..!!");
  });

  it("holds the mean of the latest scores against its threshold", () => {
    const { scores: means, alerts } = watch([2, 4, 8, 0], alarm({ smooth: 2 }));
    expect(means).toEqual([2, 3, 5.5, 2.75]);
    expect(marks(alerts)).toBe("..!.");
    expect(watch([7, 1, 4], alarm({ smooth: 100 })).scores).toEqual([7, 4, 4]);
  });

  it("passes over a step without a score: it is no alert, and the steps around it are as if it were not there", () => {
    const score = fc.option(fc.integer({ min: 0, max: 6 }), { nil: null });
    const options = fc.record({
      smooth: fc.integer({ min: 1, max: 4 }),
      off: fc.integer({ min: 1, max: 3 }),
      steps: fc.integer({ min: 1, max: 3 }),
      quiet: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(score, { maxLength: 30 }), options, (drawn, more) => {
        const { scores: means, alerts } = watch(drawn, alarm(more));
        const there = drawn.flatMap((one, t) => (one === null ? [] : [t]));
        const dense = watch(
          there.map((t) => drawn[t]),
          alarm(more),
        );
        expect(there.map((t) => [means[t], alerts[t]])).toEqual(there.map((_, i) => [dense.scores[i], dense.alerts[i]]));
        drawn.forEach((one, t) => {
          if (one === null) expect([means[t], alerts[t]]).toEqual([null, 0]);
        });
      }),
    );
  });

  it("says of a step what it would say if nothing came after it", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 30 }), fc.nat(30), (drawn, cut) => {
        const options = alarm({ smooth: 2, off: 2, steps: 2, quiet: 1 });
        const [whole, begun] = [watch(drawn, options), watch(drawn.slice(0, cut), options)];
        expect([...begun.alerts]).toEqual([...whole.alerts.slice(0, cut)]);
        expect(begun.scores).toEqual(whole.scores.slice(0, cut));
      }),
    );
  });
});

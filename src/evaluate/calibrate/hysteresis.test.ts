import { describe, expect, it } from "vitest";
import { seed } from "../../core/rng.js";
import { chooseHysteresis, Hysteresis, hysteresisAlerts } from "./hysteresis.js";

const begun = (alerts: ArrayLike<number>) => Array.from(alerts).filter((on, t) => on && !(t > 0 && alerts[t - 1])).length;

describe("hysteresis", () => {
  it("begins above one threshold and ends at or below another", () => {
    const scores = [0, 5, 3, 2, 3, 5, 4, 1, 5];
    expect([...hysteresisAlerts(scores, { on: 4, off: 2 })]).toEqual([0, 1, 1, 0, 0, 1, 1, 0, 1]);
    expect([...hysteresisAlerts(scores, { on: 4 })]).toEqual([0, 1, 0, 0, 0, 1, 0, 0, 1]);
  });

  it("waits for its minimum duration, and stays quiet after an alert where asked to", () => {
    const scores = [5, 0, 5, 5, 5, 0, 5, 5, 5, 5];
    expect([...hysteresisAlerts(scores, { on: 4, minimumDuration: 2 })]).toEqual([0, 0, 0, 1, 1, 0, 0, 1, 1, 1]);
    expect([...hysteresisAlerts(scores, { on: 4, quiet: 3 })]).toEqual([1, 0, 0, 0, 1, 0, 0, 0, 1, 1]);
  });

  it("raises no more alerts the lower `off` lies, and as a plain threshold where both are one", () => {
    const rng = seed(1);
    const scores = Array.from({ length: 500 }, () => rng.normal());
    let before = Number.POSITIVE_INFINITY;
    for (const off of [1, 0.5, 0, -1]) {
      const count = begun(hysteresisAlerts(scores, { on: 1, off }));
      expect(count).toBeLessThanOrEqual(before);
      before = count;
    }
    expect([...hysteresisAlerts(scores, { on: 1 })]).toEqual(scores.map((score) => (score > 1 ? 1 : 0)));
  });

  it("answers each step from the steps up to it", () => {
    const rng = seed(2);
    const scores = Array.from({ length: 100 }, () => rng.normal());
    const whole = hysteresisAlerts(scores, { on: 0.5, off: 0, minimumDuration: 2 });
    const alarm = new Hysteresis({ on: 0.5, off: 0, minimumDuration: 2 });
    scores.forEach((score, t) => {
      expect(alarm.step(score)).toBe(whole[t] === 1);
    });
  });

  it("refuses thresholds upside down, durations that are none, and scores that are no number", () => {
    expect(() => new Hysteresis({ on: 1, off: 2 })).toThrow(/OST_RANGE/);
    expect(() => new Hysteresis({ on: Number.NaN })).toThrow(/OST_RANGE/);
    expect(() => new Hysteresis({ on: 1, minimumDuration: 0 })).toThrow(/OST_RANGE/);
    expect(() => new Hysteresis({ on: 1, quiet: -1 })).toThrow(/OST_RANGE/);
    expect(() => new Hysteresis({ on: 1 }).step(Number.NaN)).toThrow(/OST_NAN/);
  });
});

describe("choosing hysteresis", () => {
  it("keeps to the budget on the scores it was chosen on, and spends as much as a threshold there is", () => {
    const rng = seed(3);
    for (let trial = 0; trial < 10; trial++) {
      const series = [300, 200].map((n) => Array.from({ length: n }, () => rng.normal()));
      const { on, off, alerts, minimumDuration } = chooseHysteresis(series, { per1000: 20, minimumDuration: 1 + (trial % 3) });
      const found = series.reduce((sum, scores) => sum + begun(hysteresisAlerts(scores, { on, off, minimumDuration })), 0);
      expect(found).toBe(alerts);
      expect(alerts).toBeLessThanOrEqual(10);
      expect(off).toBeLessThanOrEqual(on);
      const all = series.flat();
      const next = Math.max(...all.filter((score) => score < on));
      const median = all
        .sort((a, b) => a - b)
        .slice(249, 251)
        .reduce((sum, score) => sum + score / 2, 0);
      const more = { on: next, off: Math.min(next, (median + next) / 2), minimumDuration };
      expect(series.reduce((sum, scores) => sum + begun(hysteresisAlerts(scores, more)), 0)).toBeGreaterThan(10);
    }
  });

  it("raises none on a budget of none, and counts series apart", () => {
    const series = [
      [1, 9],
      [9, 1],
    ];
    expect(chooseHysteresis(series, { per1000: 0 })).toMatchObject({ on: 9, alerts: 0 });
    expect(chooseHysteresis(series, { per1000: 500, off: (on) => on })).toMatchObject({
      on: 1,
      off: 1,
      alerts: 2,
      alertsPer1000: 500,
    });
    expect(chooseHysteresis(series, { per1000: 499 })).toMatchObject({ on: 9, alerts: 0 });
  });

  it("tries few thresholds of very many scores, still within the budget", () => {
    const rng = seed(4);
    const scores = Array.from({ length: 20_000 }, () => rng.normal());
    const { alertsPer1000 } = chooseHysteresis([scores], { per1000: 10 });
    expect(alertsPer1000).toBeLessThanOrEqual(10);
    expect(alertsPer1000).toBeGreaterThan(9);
  });

  it("refuses no scores, and budgets that are none", () => {
    expect(() => chooseHysteresis([], { per1000: 1 })).toThrow(/OST_TARGET/);
    expect(() => chooseHysteresis([[1]], { per1000: 1001 })).toThrow(/OST_RANGE/);
    expect(() => chooseHysteresis([[1, Number.NaN]], { per1000: 1 })).toThrow(/OST_NAN/);
  });
});

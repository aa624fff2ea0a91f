import { describe, expect, it } from "vitest";
import { seed } from "../../core/rng.js";
import { averagePrecision } from "./average-precision.js";
import { reliability } from "./calibration.js";
import { EventSums, eventMetrics, windowsOf } from "./event.js";
import { FrameSums } from "./frame.js";
import { operatingPoints } from "./operating-point.js";
import { rocAuc } from "./roc-auc.js";

/** Scores from a few values, so that many tie. */
function tied(value: number, n: number) {
  const rng = seed(value);
  const positive = Array.from({ length: n }, () => (rng.uniform() < 0.3 ? 1 : 0));
  const scores = positive.map((label) => rng.integer(5) + label);
  return { scores, positive };
}

describe("average precision and ROC-AUC", () => {
  it("equal scikit-learn's example", () => {
    const [scores, positive] = [
      [0.1, 0.4, 0.35, 0.8],
      [0, 0, 1, 1],
    ];
    expect(averagePrecision(scores, positive)).toBeCloseTo(0.8333333333, 9);
    expect(rocAuc(scores, positive)).toBeCloseTo(0.75, 12);
  });

  it("of a score that says nothing are the share of positives and a half", () => {
    expect(averagePrecision(new Array(10).fill(1), [1, 0, 0, 0, 0, 0, 0, 0, 1, 0])).toBeCloseTo(0.2, 12);
    expect(rocAuc(new Array(10).fill(1), [1, 0, 0, 0, 0, 0, 0, 0, 1, 0])).toBe(0.5);
  });

  it("AUC is the share of pairs that are won, ties half", () => {
    for (let trial = 0; trial < 20; trial++) {
      const { scores, positive } = tied(trial, 40);
      let [won, pairs] = [0, 0];
      for (let i = 0; i < 40; i++) {
        for (let j = 0; j < 40; j++) {
          if (!positive[i] || positive[j]) continue;
          pairs++;
          won += scores[i] > scores[j] ? 1 : scores[i] === scores[j] ? 0.5 : 0;
        }
      }
      expect(rocAuc(scores, positive)).toBeCloseTo(won / pairs, 12);
    }
  });

  it("AP sums precision over the steps of recall, one step to each distinct score", () => {
    const { scores, positive } = tied(7, 60);
    const total = positive.filter(Boolean).length;
    let sum = 0;
    let before = 0;
    for (const cut of [...new Set(scores)].sort((a, b) => b - a)) {
      const called = positive.filter((_, i) => scores[i] >= cut);
      const hits = called.filter(Boolean).length;
      sum += ((hits - before) / total) * (hits / called.length);
      before = hits;
    }
    expect(averagePrecision(scores, positive)).toBeCloseTo(sum, 12);
  });

  it("do not depend on the order of the examples, nor on a rising map of the scores", () => {
    const { scores, positive } = tied(9, 50);
    const order = seed(1).shuffle([...scores.keys()]);
    const moved = order.map((i) => Math.exp(scores[i]));
    const labels = order.map((i) => positive[i]);
    expect(averagePrecision(moved, labels)).toBe(averagePrecision(scores, positive));
    expect(rocAuc(moved, labels)).toBe(rocAuc(scores, positive));
  });

  it("are null where they mean nothing, and refuse what is no score", () => {
    expect([averagePrecision([1, 2], [0, 0]), rocAuc([1, 2], [0, 0]), rocAuc([1, 2], [1, 1]), rocAuc([], [])]).toEqual([
      null,
      null,
      null,
      null,
    ]);
    expect(averagePrecision([1, 2], [1, 1])).toBe(1);
    expect(() => rocAuc([1, Number.NaN], [0, 1])).toThrow(/OST_NAN/);
    expect(() => rocAuc([1], [0, 1])).toThrow(/OST_SHAPE/);
  });

  it("count -0 and 0 as one score", () => {
    expect(operatingPoints([0, -0], [1, 0])).toEqual([{ score: 0, truePositives: 1, falsePositives: 1 }]);
  });
});

describe("event metrics", () => {
  const flags = (text: string) => [...text].map((mark) => (mark === "!" ? 1 : 0));
  //             0123456789012345
  const alerts = "..!!...!....!.!.";
  const windows = [
    { start: 1, end: 4 },
    { start: 9, end: 11 },
    { start: 12, end: 16 },
  ];

  it("equal values worked by hand", () => {
    expect(eventMetrics(flags(alerts), windows)).toEqual({
      points: 16,
      outside: 7,
      events: 3,
      found: 2,
      recall: 2 / 3,
      alarms: 4,
      falseAlarms: 1,
      precision: 3 / 4,
      f1: (2 * (2 / 3) * (3 / 4)) / (2 / 3 + 3 / 4),
      falsePoints: 1,
      falsePointsPer1000: 1000 / 7,
      falseAlarmsPer1000: 1000 / 7,
      meanDelay: (1 + 0) / 2,
    });
  });

  it("count a window once however often it is hit, and a run of alerts outside as one alarm of several points", () => {
    const { found, alarms, falseAlarms, falsePoints } = eventMetrics(flags("!!!.!!!"), [{ start: 4, end: 7 }]);
    expect([found, alarms, falseAlarms, falsePoints]).toEqual([1, 2, 1, 3]);
  });

  it("judge nothing before the detector has settled", () => {
    const { points, events, found, falsePoints } = eventMetrics(
      flags("!!...!.."),
      [
        { start: 0, end: 2 },
        { start: 1, end: 6 },
      ],
      {
        from: 3,
      },
    );
    expect([points, events, found, falsePoints]).toEqual([5, 1, 1, 0]);
  });

  it("are null, never NaN, where there is nothing to be found or nothing was", () => {
    expect(eventMetrics(flags("...."), [])).toMatchObject({ recall: null, precision: null, f1: null, falsePointsPer1000: 0 });
    expect(eventMetrics(flags("...."), [{ start: 0, end: 4 }])).toMatchObject({
      recall: 0,
      precision: null,
      falsePointsPer1000: 0,
    });
    expect(eventMetrics([], [])).toMatchObject({ points: 0, recall: null });
  });

  it("give point-adjusted figures with their warning: one lucky step finds a whole window", () => {
    const { pointAdjusted } = eventMetrics(flags(".....!....!"), [{ start: 0, end: 10 }], { pointAdjusted: true });
    expect(pointAdjusted).toMatchObject({ precision: 10 / 11, recall: 1 });
    expect(pointAdjusted?.warning).toContain("random scores");
    expect(eventMetrics(flags("!"), []).pointAdjusted).toBeUndefined();
  });

  it("add up over series as over one", () => {
    const sums = new EventSums();
    sums.add(flags("!.."), [{ start: 0, end: 1 }]);
    sums.add(flags("..!"), [{ start: 0, end: 1 }]);
    expect(sums.result()).toMatchObject({ points: 6, events: 2, found: 1, alarms: 2, falseAlarms: 1 });
  });

  it("refuse windows outside the series and read windows from labels", () => {
    expect(() => eventMetrics([0, 0], [{ start: 1, end: 3 }])).toThrow(/OST_RANGE/);
    expect(() => eventMetrics([0, 0], [{ start: 1, end: 1 }])).toThrow(/OST_RANGE/);
    expect(windowsOf(flags("!!..!"))).toEqual([
      { start: 0, end: 2 },
      { start: 4, end: 5 },
    ]);
    expect(windowsOf([])).toEqual([]);
  });
});

describe("reliability", () => {
  it("lists the bins that hold something, with their means", () => {
    const { bins, ece, n } = reliability([0.9, 0.9, 0.3, 0.5], [1, 0, 0, 1], { bins: 2 });
    expect(bins).toEqual([
      { from: 0, to: 0.5, n: 2, confidence: 0.4, accuracy: 0.5 },
      { from: 0.5, to: 1, n: 2, confidence: 0.9, accuracy: 0.5 },
    ]);
    expect(ece).toBeCloseTo((2 * 0.1 + 2 * 0.4) / 4, 12);
    expect(n).toBe(4);
  });

  it("with adaptive bins holds about as many in each, equal confidences together, whatever the order", () => {
    const rng = seed(4);
    const confidences = Array.from({ length: 100 }, () => Math.round(50 + 50 * rng.uniform()) / 100);
    const right = confidences.map((confidence) => (rng.uniform() < confidence ? 1 : 0));
    const found = reliability(confidences, right, { bins: 5, adaptive: true });
    expect(found.bins.reduce((sum, { n }) => sum + n, 0)).toBe(100);
    expect(found.bins.length).toBe(5);
    for (const { n } of found.bins) expect(Math.abs(n - 20)).toBeLessThanOrEqual(6);
    found.bins.slice(1).forEach(({ from }, i) => {
      expect(from).toBeGreaterThan(found.bins[i].to);
    });
    const order = rng.shuffle([...confidences.keys()]);
    const moved = reliability(
      order.map((i) => confidences[i]),
      order.map((i) => right[i]),
      { bins: 5, adaptive: true },
    );
    expect(moved.bins.map(({ from, to, n }) => [from, to, n])).toEqual(found.bins.map(({ from, to, n }) => [from, to, n]));
    expect(moved.ece).toBeCloseTo(found.ece, 12);
  });

  it("puts one value into one bin, and refuses what is no probability", () => {
    expect(reliability([0.7, 0.7, 0.7], [1, 1, 0], { adaptive: true }).bins.length).toBe(1);
    expect(() => reliability([1.2], [1])).toThrow(/OST_NAN/);
    expect(() => reliability([], [])).toThrow(/OST_TARGET/);
    expect(() => reliability([0.5], [])).toThrow(/OST_SHAPE/);
    expect(() => reliability([0.5], [1], { bins: 0 })).toThrow(/OST_RANGE/);
  });
});

describe("frame metrics", () => {
  it("leave true negatives out", () => {
    const sums = new FrameSums();
    for (const [predicted, truth] of [
      [1, 1],
      [1, 0],
      [0, 1],
      [1, 1],
      [0, 0],
    ])
      sums.add(predicted === 1, truth === 1);
    expect(sums.result()).toMatchObject({ accuracy: 2 / 4, precision: 2 / 3, recall: 2 / 3, f1: 4 / 6 });
    const silence = new FrameSums();
    silence.add(false, false);
    expect(silence.result()).toMatchObject({ accuracy: 1, f1: 1 });
    silence.add(true, false);
    expect(silence.result()).toMatchObject({ accuracy: 0, precision: 0, recall: 0, f1: 0 });
  });
});

import { describe, expect, it } from "vitest";
import { tokenDivergence, valueDivergence } from "./divergence.js";

describe("divergence of codes", () => {
  it("puts free-running beside teacher-forced, by steps ahead", () => {
    const found = tokenDivergence([
      { truth: [1, 2, 3], freeRunning: [1, 2, 9], teacherForced: [1, 2, 3] },
      { truth: [4, 5], freeRunning: [0, 5], teacherForced: [4, 0] },
    ]);
    expect(found).toEqual({
      n: 2,
      accuracy: { freeRunning: 3 / 5, teacherForced: 4 / 5 },
      byStep: [
        { step: 1, n: 2, freeRunning: 0.5, teacherForced: 1 },
        { step: 2, n: 2, freeRunning: 1, teacherForced: 0.5 },
        { step: 3, n: 1, freeRunning: 0, teacherForced: 1 },
      ],
      firstDivergence: {
        n: 2,
        diverged: 2,
        mean: 2,
        median: 2,
        histogram: [
          { from: 1, to: 1, n: 1 },
          { from: 3, to: 4, n: 1 },
        ],
      },
    });
  });

  it("takes what ends too early for wrong from there, and looks no farther than the truth", () => {
    const { accuracy, firstDivergence } = tokenDivergence([
      { truth: [1, 2, 3, 4], freeRunning: [1, 2] },
      { truth: [1, 2], freeRunning: [1, 2, 7, 7] },
    ]);
    expect(accuracy).toEqual({ freeRunning: 4 / 6 });
    expect(firstDivergence).toMatchObject({ diverged: 1, mean: 3 });
  });

  it("leaves teacher-forced figures out unless all have them", () => {
    const { accuracy, byStep } = tokenDivergence([
      { truth: [1], freeRunning: [1], teacherForced: [1] },
      { truth: [1], freeRunning: [2] },
    ]);
    expect(accuracy).toEqual({ freeRunning: 0.5 });
    expect(byStep).toEqual([{ step: 1, n: 2, freeRunning: 0.5 }]);
  });

  it("refuses nothing at all and lists that do not fit", () => {
    expect(() => tokenDivergence([])).toThrow(/OST_TARGET/);
    expect(() => tokenDivergence([{ truth: [], freeRunning: [1] }])).toThrow(/OST_TARGET/);
    expect(() => tokenDivergence([{ truth: [1, 2], freeRunning: [1, 2], teacherForced: [1] }])).toThrow(/OST_SHAPE/);
  });
});

describe("divergence of values", () => {
  it("gives errors by steps ahead and the first one beyond the tolerance", () => {
    const found = valueDivergence(
      [
        { truth: [1, 2, 3], freeRunning: [1, 2.5, 5], teacherForced: [1, 2, 3.5] },
        { truth: [0, Number.NaN, 0], freeRunning: [0.25, 9, 0.25], teacherForced: [0, 0, 0] },
      ],
      { tolerance: 0.5 },
    );
    expect(found.mae.freeRunning).toBeCloseTo((0.5 + 2 + 0.25 + 0.25) / 5, 12);
    expect(found.mae.teacherForced).toBeCloseTo(0.5 / 5, 12);
    expect(found.byStep.map(({ step, n, freeRunning }) => [step, n, freeRunning.mae])).toEqual([
      [1, 2, 0.125],
      [2, 1, 0.5],
      [3, 2, 1.125],
    ]);
    expect(found.byStep[2].freeRunning.rmse).toBeCloseTo(Math.sqrt((4 + 0.0625) / 2), 12);
    expect(found.firstDivergence).toMatchObject({ n: 2, diverged: 1, mean: 3 });
  });

  it("refuses continuations that are too short, no numbers, or have nothing to be held against", () => {
    expect(() => valueDivergence([{ truth: [1, 2], freeRunning: [1] }], { tolerance: 1 })).toThrow(/OST_SHAPE/);
    expect(() => valueDivergence([{ truth: [1], freeRunning: [Number.NaN] }], { tolerance: 1 })).toThrow(/OST_NAN/);
    expect(() => valueDivergence([{ truth: [Number.NaN], freeRunning: [1] }], { tolerance: 1 })).toThrow(/OST_TARGET/);
    expect(() => valueDivergence([{ truth: [1], freeRunning: [1] }], { tolerance: -1 })).toThrow(/OST_RANGE/);
  });
});

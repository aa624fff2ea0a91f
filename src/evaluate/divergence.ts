/**
 * @file What becomes of a model that reads its own output: true continuations beside the free-running ones it makes of the same beginnings, and
 * beside the teacher-forced predictions it makes of the truth. A model is only ever trained on the truth, so the two part (exposure bias: Ranzato
 * et al. 2016, ICLR); where they first do, and how fast the error grows, says how long its output can be trusted.
 */
import { OstinatoError } from "../core/errors.js";
import { DivergenceSums, type FirstDivergence, firstDifference } from "./metrics/first-divergence.js";
import { RegressionSums } from "./metrics/regression.js";

/** One beginning, gone on with. All lists start at the first step after it. */
export interface Continuation {
  truth: ArrayLike<number>;
  /** What the model makes when it reads its own output. */
  freeRunning: ArrayLike<number>;
  /** What it predicts at each step when it reads the truth. */
  teacherForced?: ArrayLike<number>;
}

export interface TokenDivergence {
  /** Continuations. */
  n: number;
  /** Share of steps whose token is right; teacher-forced where all continuations have that. */
  accuracy: { freeRunning: number; teacherForced?: number };
  /** By steps ahead, from 1. */
  byStep: { step: number; n: number; freeRunning: number; teacherForced?: number }[];
  firstDivergence: FirstDivergence;
}

export interface ValueDivergence {
  n: number;
  mae: { freeRunning: number; teacherForced?: number };
  byStep: {
    step: number;
    n: number;
    freeRunning: { mae: number; rmse: number };
    teacherForced?: { mae: number; rmse: number };
  }[];
  /** The first step whose free-running error is above the tolerance. */
  firstDivergence: FirstDivergence;
}

/**
 * Continuations of codes. Steps are compared as far as the truth goes; where the free-running one ends before, it is wrong.
 *
 * @throws OST_TARGET if there is nothing to compare. @throws OST_SHAPE if a teacher-forced list has not one entry per true step.
 */
export function tokenDivergence(continuations: readonly Continuation[]): TokenDivergence {
  const forced = prepare(continuations);
  const divergence = new DivergenceSums();
  const steps: { n: number; free: number; forced: number }[] = [];
  for (const { truth, freeRunning, teacherForced } of continuations) {
    const asLong = Array.prototype.slice.call(freeRunning, 0, truth.length) as number[];
    divergence.add(firstDifference(truth, asLong));
    for (let t = 0; t < truth.length; t++) {
      steps[t] ??= { n: 0, free: 0, forced: 0 };
      steps[t].n++;
      if (freeRunning[t] === truth[t]) steps[t].free++;
      if (teacherForced && teacherForced[t] === truth[t]) steps[t].forced++;
    }
  }
  const total = steps.reduce(
    (sum, step) => ({ n: sum.n + step.n, free: sum.free + step.free, forced: sum.forced + step.forced }),
    { n: 0, free: 0, forced: 0 },
  );
  return {
    n: continuations.length,
    accuracy: { freeRunning: total.free / total.n, ...(forced && { teacherForced: total.forced / total.n }) },
    byStep: steps.map((step, t) => ({
      step: t + 1,
      n: step.n,
      freeRunning: step.free / step.n,
      ...(forced && { teacherForced: step.forced / step.n }),
    })),
    firstDivergence: divergence.result(),
  };
}

/**
 * Continuations of numbers. True values of NaN are not compared.
 *
 * @param tolerance an error above this is a divergence; in the units of the values
 * @throws OST_TARGET if there is nothing to compare. @throws OST_SHAPE if a list is shorter than the truth. @throws OST_NAN if a predicted value is
 * not finite. @throws OST_RANGE unless the tolerance is at least 0.
 */
export function valueDivergence(continuations: readonly Continuation[], { tolerance }: { tolerance: number }): ValueDivergence {
  if (!(tolerance >= 0)) {
    throw new OstinatoError("OST_RANGE", {
      what: "a tolerance is an error that is still accepted",
      expected: "0 or more",
      got: String(tolerance),
      where: "divergence",
    });
  }
  const forced = prepare(continuations);
  const divergence = new DivergenceSums();
  const steps: { free: RegressionSums; forced: RegressionSums }[] = [];
  const total = { free: new RegressionSums(), forced: new RegressionSums() };
  for (const { truth, freeRunning, teacherForced } of continuations) {
    if (freeRunning.length < truth.length) throw tooShort("free-running", truth.length, freeRunning.length);
    let first = -1;
    for (let t = 0; t < truth.length; t++) {
      steps[t] ??= { free: new RegressionSums(), forced: new RegressionSums() };
      for (const sums of [steps[t], total]) {
        sums.free.add(freeRunning[t], truth[t]);
        if (teacherForced) sums.forced.add(teacherForced[t], truth[t]);
      }
      if (first < 0 && Math.abs(freeRunning[t] - truth[t]) > tolerance) first = t;
    }
    divergence.add(first);
  }
  if (total.free.n === 0) throw nothing();
  const errors = (sums: RegressionSums) => {
    const { mae, rmse } = sums.result();
    return { mae, rmse };
  };
  return {
    n: continuations.length,
    mae: { freeRunning: errors(total.free).mae, ...(forced && { teacherForced: errors(total.forced).mae }) },
    byStep: steps.flatMap((sums, t) =>
      sums.free.n === 0
        ? []
        : [
            {
              step: t + 1,
              n: sums.free.n,
              freeRunning: errors(sums.free),
              ...(forced && { teacherForced: errors(sums.forced) }),
            },
          ],
    ),
    firstDivergence: divergence.result(),
  };
}

/** Whether all have teacher-forced predictions. */
function prepare(continuations: readonly Continuation[]): boolean {
  if (!continuations.some(({ truth }) => truth.length > 0)) throw nothing();
  for (const { truth, teacherForced } of continuations) {
    if (teacherForced && teacherForced.length !== truth.length)
      throw tooShort("teacher-forced", truth.length, teacherForced.length);
  }
  return continuations.every(({ teacherForced }) => teacherForced !== undefined);
}

function tooShort(which: string, expected: number, got: number): OstinatoError {
  return new OstinatoError("OST_SHAPE", {
    what: `a ${which} continuation does not go with its truth`,
    expected: `${expected} steps`,
    got: String(got),
    where: "divergence",
  });
}

function nothing(): OstinatoError {
  return new OstinatoError("OST_TARGET", {
    what: "there is nothing to compare",
    expected: "at least one true step",
    got: "none",
    where: "divergence",
  });
}

/**
 * @file The best path through a linear chain (Viterbi 1967).
 *
 *     score(y) = start(y_1) + sum_t emission(t, y_t) + sum_t transition(y_t, y_t+1) + end(y_T)
 *
 * Scores are logarithms up to a constant: of a conditional random field, of a hidden Markov model, or of each step alone with transitions of 0 and
 * -Infinity that only forbid.
 */
import { OstinatoError } from "../core/errors.js";
import { checkWhole } from "./step-scorer.js";

/** Scores of a linear chain; -Infinity forbids. All default to 0. */
export interface Chain {
  /** [classes, classes]: from the row's class to the column's class. */
  transitions?: ArrayLike<number>;
  /** [classes]: score of beginning with a class, and of ending with it. */
  start?: ArrayLike<number>;
  end?: ArrayLike<number>;
}

export interface ViterbiOptions extends Chain {
  classes: number;
}

export interface ViterbiPath {
  /** One class per step. */
  classes: Int32Array;
  score: number;
}

/**
 * The path of the highest score; of equal ones that with the lowest last class, then the lowest class before it, and so on backwards.
 *
 * @param emissions [steps, classes], any finite scale, -Infinity legal. No steps give an empty path of score 0.
 * @throws OST_SHAPE; OST_NAN naming the step, for NaN or Infinity; OST_RANGE naming the step at which every path is forbidden.
 */
export function viterbi(emissions: ArrayLike<number>, options: ViterbiOptions): ViterbiPath {
  const { classes } = options;
  checkWhole("the number of classes", classes, { least: 1, where: WHERE });
  checkSize("emissions", emissions.length % classes === 0, `[steps, ${classes}]`, emissions.length);
  const { transitions, start, end } = checkChain(options);
  for (let i = 0; i < emissions.length; i++)
    checkScore(emissions[i], `step ${Math.floor(i / classes) + 1}, class ${i % classes}`);
  const steps = emissions.length / classes;
  if (steps === 0) return { classes: new Int32Array(0), score: 0 };

  let best = Float64Array.from({ length: classes }, (_, c) => start(c) + emissions[c]);
  const from = new Int32Array(steps * classes);
  for (let t = 1; t < steps; t++) {
    checkAlive(best, t);
    const next = new Float64Array(classes);
    for (let c = 0; c < classes; c++) {
      let top = Number.NEGATIVE_INFINITY;
      for (let before = 0; before < classes; before++) {
        const score = best[before] + transitions(before, c);
        if (score <= top) continue;
        top = score;
        from[t * classes + c] = before;
      }
      next[c] = top + emissions[t * classes + c];
    }
    best = next;
  }
  checkAlive(best, steps);
  best = best.map((score, c) => score + end(c));
  const score = checkAlive(best, steps, "no path may end");
  const path = new Int32Array(steps);
  path[steps - 1] = best.indexOf(score);
  for (let t = steps - 1; t > 0; t--) path[t - 1] = from[t * classes + path[t]];
  return { classes: path, score };
}

const WHERE = "viterbi";

/** The chain's scores as functions, checked. */
function checkChain({ classes, transitions, start, end }: ViterbiOptions) {
  if (transitions) {
    checkSize("transitions", transitions.length === classes * classes, `[${classes}, ${classes}]`, transitions.length);
    for (let i = 0; i < transitions.length; i++)
      checkScore(transitions[i], `transition ${Math.floor(i / classes)} to ${i % classes}`);
  }
  for (const [name, scores] of Object.entries({ start, end })) {
    if (!scores) continue;
    checkSize(name, scores.length === classes, `[${classes}]`, scores.length);
    for (let c = 0; c < classes; c++) checkScore(scores[c], `${name}, class ${c}`);
  }
  return {
    transitions: (before: number, c: number) => (transitions ? transitions[before * classes + c] : 0),
    start: (c: number) => start?.[c] ?? 0,
    end: (c: number) => end?.[c] ?? 0,
  };
}

function checkSize(name: string, fits: boolean, expected: string, got: number): void {
  if (fits) return;
  throw new OstinatoError("OST_SHAPE", {
    what: `${name} disagree with the number of classes`,
    expected,
    got: `${got} numbers`,
    where: WHERE,
  });
}

function checkScore(value: number, place: string): void {
  if (value < Number.POSITIVE_INFINITY) return;
  throw new OstinatoError("OST_NAN", {
    what: "a score is not a number",
    expected: "a finite number or -Infinity",
    got: String(value),
    where: `${WHERE}, ${place}`,
  });
}

/** @returns the best score. @throws OST_RANGE where it is -Infinity. */
function checkAlive(best: Float64Array, step: number, what = "every path is forbidden"): number {
  const top = best.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (top > Number.NEGATIVE_INFINITY) return top;
  throw new OstinatoError("OST_RANGE", {
    what,
    expected: "at least one path without -Infinity",
    where: `${WHERE}, step ${step}`,
    repair: "permit a transition that leads there, or a class at that step; a chain may have no legal path of some lengths",
  });
}

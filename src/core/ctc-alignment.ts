/**
 * @file Connectionist temporal classification on plain numbers: the sum over all alignments of a target with the steps of its input
 * (Graves, Fernandez, Gomez & Schmidhuber 2006, section 4), in log space and float64.
 *
 * An alignment names one class per step; dropping repeats and then blanks gives the target. With blanks put around and between the tokens,
 * l' = (blank, l_1, blank, ..., l_U, blank) of 2U + 1 states, and y_t(k) the probability of class k at step t,
 *
 *     alpha_t(s) = (alpha_{t-1}(s) + alpha_{t-1}(s-1) [+ alpha_{t-1}(s-2) if l'_s is a token other than l'_{s-2}]) y_t(l'_s)
 *     beta_t(s)  = the same backward in time, without the factor of step t
 *     p(l)       = alpha_T(2U) + alpha_T(2U - 1)
 *     gradient of -log p(l) by the logit of class k at step t = y_t(k) - sum over {s: l'_s = k} of alpha_t(s) beta_t(s) / p(l)
 */
import { OstinatoError } from "./errors.js";

/** Log-probabilities at or below this are impossible: the numbers that customarily stand for minus infinity. */
const IMPOSSIBLE = -1e29;

/** The steps a target needs at the least: one per token, and a blank between two equal neighbours. */
export function ctcSteps(tokens: ArrayLike<number>): number {
  let steps = tokens.length;
  for (let i = 1; i < tokens.length; i++) if (tokens[i] === tokens[i - 1]) steps++;
  return steps;
}

export interface CtcLogProbabilityOptions {
  /** C: the width of a row of `logProbabilities`. */
  classes: number;
  /** The target without blanks; may be empty. */
  tokens: ArrayLike<number>;
  /** Index of the blank; default the last class. */
  blank?: number;
}

/**
 * log p(tokens) of one sequence in nats; -Infinity where no alignment exists or all have probability 0. NaN among the inputs gives NaN.
 *
 * @param logProbabilities [T, C] row-major, every row a log-softmax; T may be 0
 * @throws OST_SHAPE, OST_RANGE, OST_TARGET
 */
export function ctcLogProbability(
  logProbabilities: ArrayLike<number>,
  { classes, tokens, blank = classes - 1 }: CtcLogProbabilityOptions,
): number {
  const time = logProbabilities.length / classes;
  if (!Number.isInteger(time)) {
    throw new OstinatoError("OST_SHAPE", {
      what: "log-probabilities are whole rows of classes",
      expected: `a multiple of ${classes} numbers`,
      got: String(logProbabilities.length),
      where: "ctcLogProbability",
    });
  }
  checkCtcTokens(tokens, { classes, blank, where: "ctcLogProbability" });
  return new CtcAlignment(tokens, blank).logProbability(Float64Array.from(logProbabilities), time, classes);
}

/** @throws OST_RANGE for a blank or a token that is no class, OST_TARGET for a blank among the tokens. */
export function checkCtcTokens(
  tokens: ArrayLike<number>,
  { classes, blank, where }: { classes: number; blank: number; where: string },
): void {
  const isClass = (index: number) => Number.isInteger(index) && index >= 0 && index < classes;
  if (!isClass(blank)) {
    throw new OstinatoError("OST_RANGE", {
      what: "the blank is one of the classes",
      expected: `0 .. ${classes - 1}`,
      got: String(blank),
      where,
    });
  }
  for (let i = 0; i < tokens.length; i++) {
    if (!isClass(tokens[i])) {
      throw new OstinatoError("OST_RANGE", {
        what: "no such class",
        expected: `0 .. ${classes - 1} without the blank, ${blank}`,
        got: `${tokens[i]} as token ${i}`,
        where,
      });
    }
    if (tokens[i] === blank) {
      throw new OstinatoError("OST_TARGET", {
        what: "a target holds no blanks: they stand between tokens by themselves",
        expected: `tokens other than ${blank}`,
        got: `the blank as token ${i}`,
        where,
        repair: "leave blanks out of the targets, or name another class as blank",
      });
    }
  }
}

/** The lattice of one target: its states, and the two passes over them. Tokens must be checked before. */
export class CtcAlignment {
  /** l' of the file's head. */
  readonly #states: Int32Array;
  readonly #minimum: number;

  constructor(tokens: ArrayLike<number>, blank: number) {
    this.#states = new Int32Array(2 * tokens.length + 1).fill(blank);
    for (let i = 0; i < tokens.length; i++) this.#states[2 * i + 1] = tokens[i];
    this.#minimum = ctcSteps(tokens);
  }

  /** log p(l) of log-probabilities [time, classes] in nats. Costs time * U. */
  logProbability(logs: Float64Array, time: number, classes: number): number {
    if (time < this.#minimum) return Number.NEGATIVE_INFINITY;
    if (time === 0) return 0;
    const count = this.#states.length;
    let [now, before] = [new Float64Array(count), new Float64Array(count)];
    this.#start(logs, now);
    for (let t = 1; t < time; t++) {
      [now, before] = [before, now];
      this.#forward(logs, t, time, classes, before, now);
    }
    return this.#end(now, 0);
  }

  /**
   * log p(l), and in `gradient` [time, classes] that of -log p(l) by the logits: zeros where p(l) is 0.
   *
   * @param logs [time, classes], every row a log-softmax without NaN
   */
  gradient(logs: Float64Array, time: number, classes: number, gradient: Float64Array): number {
    gradient.fill(0, 0, time * classes);
    if (time < this.#minimum) return Number.NEGATIVE_INFINITY;
    if (time === 0) return 0;
    const states = this.#states;
    const count = states.length;
    const alpha = new Float64Array(time * count);
    this.#start(logs, alpha);
    for (let t = 1; t < time; t++) {
      this.#forward(
        logs,
        t,
        time,
        classes,
        alpha.subarray((t - 1) * count, t * count),
        alpha.subarray(t * count, (t + 1) * count),
      );
    }
    const total = this.#end(alpha, (time - 1) * count);
    if (total === Number.NEGATIVE_INFINITY || Number.isNaN(total)) return total;

    let [now, after] = [new Float64Array(count), new Float64Array(count)];
    now.fill(Number.NEGATIVE_INFINITY);
    now[count - 1] = 0;
    if (count > 1) now[count - 2] = 0;
    for (let t = time - 1; ; t--) {
      const row = t * classes;
      for (let k = 0; k < classes; k++) gradient[row + k] = Math.exp(logs[row + k]);
      for (let s = 0; s < count; s++) gradient[row + states[s]] -= Math.exp(alpha[t * count + s] + now[s] - total);
      if (t === 0) return total;
      [now, after] = [after, now];
      this.#backward(logs, row, after, now);
    }
  }

  /** alpha of step 0: only the first blank and the first token can begin. */
  #start(logs: Float64Array, alpha: Float64Array): void {
    alpha.fill(Number.NEGATIVE_INFINITY, 0, this.#states.length);
    alpha[0] = possible(logs[this.#states[0]]);
    if (this.#states.length > 1) alpha[1] = possible(logs[this.#states[1]]);
  }

  /** alpha of step t from that of t - 1; states from which the end is out of reach are left out. */
  #forward(logs: Float64Array, t: number, time: number, classes: number, before: Float64Array, now: Float64Array): void {
    const states = this.#states;
    const count = states.length;
    now.fill(Number.NEGATIVE_INFINITY);
    const last = Math.min(count - 1, 2 * t + 1);
    for (let s = Math.max(0, count - 2 * (time - t)); s <= last; s++) {
      const stay = before[s];
      const step = s > 0 ? before[s - 1] : Number.NEGATIVE_INFINITY;
      const skip = this.#skips(s) ? before[s - 2] : Number.NEGATIVE_INFINITY;
      now[s] = logSum(stay, step, skip) + possible(logs[t * classes + states[s]]);
    }
  }

  /** beta of a step from that of the step after it, whose log-probabilities begin at `row`. */
  #backward(logs: Float64Array, row: number, after: Float64Array, now: Float64Array): void {
    const states = this.#states;
    const count = states.length;
    for (let s = 0; s < count; s++) {
      const stay = after[s] + possible(logs[row + states[s]]);
      const step = s + 1 < count ? after[s + 1] + possible(logs[row + states[s + 1]]) : Number.NEGATIVE_INFINITY;
      const skips = s + 2 < count && this.#skips(s + 2);
      const skip = skips ? after[s + 2] + possible(logs[row + states[s + 2]]) : Number.NEGATIVE_INFINITY;
      now[s] = logSum(stay, step, skip);
    }
  }

  /** Whether state s may follow s - 2: the blank between two tokens can be left out unless they are equal. */
  #skips(s: number): boolean {
    return s % 2 === 1 && s > 1 && this.#states[s] !== this.#states[s - 2];
  }

  #end(alpha: Float64Array, row: number): number {
    const count = this.#states.length;
    return logSum(
      alpha[row + count - 1],
      count > 1 ? alpha[row + count - 2] : Number.NEGATIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
    );
  }
}

function possible(log: number): number {
  return log <= IMPOSSIBLE ? Number.NEGATIVE_INFINITY : log;
}

/** log(e^a + e^b + e^c) */
function logSum(a: number, b: number, c: number): number {
  const most = Math.max(a, b, c);
  if (most === Number.NEGATIVE_INFINITY) return most;
  return most + Math.log(Math.exp(a - most) + Math.exp(b - most) + Math.exp(c - most));
}

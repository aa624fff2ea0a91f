/**
 * @file Sums over all label sequences of a linear chain, and their gradients.
 *
 *     score(y | x) = start_{y_1} + sum_t e_{t, y_t} + sum_t transition_{y_t, y_t+1} + end_{y_T}
 *     alpha_{1, j} = start_j + e_{1, j}             alpha_{t, j} = e_{t, j} + log sum_i exp(alpha_{t-1, i} + transition_{i, j})
 *     beta_{T, i}  = end_i                          beta_{t, i}  = log sum_j exp(transition_{i, j} + e_{t+1, j} + beta_{t+1, j})
 *     log Z        = log sum_j exp(alpha_{T, j} + end_j)
 *     p(y_t = j)                  = exp(alpha_{t, j} + beta_{t, j} - log Z)
 *     p(y_t = i, y_t+1 = j)       = exp(alpha_{t, i} + transition_{i, j} + e_{t+1, j} + beta_{t+1, j} - log Z)
 *
 * Everything is computed in float64, whatever the engine's float type. The gradient of log Z by a score is the probability of what it scores.
 * Sources: Lafferty, McCallum & Pereira 2001; the forward-backward algorithm: Rabiner 1989.
 *
 * Legend: B batch, T time, C classes.
 */
import { OstinatoError } from "../../core/errors.js";
import { describeShape } from "../../core/shape.js";
import { type Op, type RawBuffer, wantFloat } from "../op.js";

/** The scores of a chain beside its emissions, as plain numbers; -Infinity where a label or a pair of labels is forbidden. */
export interface ChainScores {
  /** From row i to column j, [C, C]. */
  transitions: Float64Array;
  /** [C] */
  start: Float64Array;
  /** [C] */
  end: Float64Array;
}

/** Labels and pairs that are permitted (0) or forbidden (-Infinity), as numbers that are added to scores; what is absent permits everything. */
export interface ChainConstraint {
  /** Whether label j may follow label i, [C, C], row i. */
  transitions?: ArrayLike<number>;
  /** Whether a sequence may begin with a label, [C]. */
  start?: ArrayLike<number>;
  /** Whether a sequence may end with a label, [C]. */
  end?: ArrayLike<number>;
}

export interface LinearChainAttrs {
  /** [B, T]: 0 .. C-1, or -1 for a step whose label is not known, over which is summed. */
  targets: Int32Array;
  /** [B], 0 <= lengths[b] <= T */
  lengths: Int32Array;
  constraint: ChainConstraint;
}

/**
 * inputs:  emissions [B, T, C], transitions [C, C], start [C], end [C]
 * outputs: -log p(known labels | x) of every row, [B], in nats; 0 for a row without any
 */
export const linearChain: Op<LinearChainAttrs> = {
  name: "linearChain",
  shapes(inputs, { targets, lengths }) {
    for (const input of inputs) wantFloat(input, "linearChain");
    const [{ shape }, transitions] = inputs;
    const [batch, time, classes] = shape;
    if (shape.length !== 3 || transitions.shape[0] !== classes || targets.length !== batch * time || lengths.length !== batch) {
      throw new OstinatoError("OST_SHAPE", {
        what: "emissions, labels and lengths do not fit",
        expected: `emissions [B, T, ${transitions.shape[0]}], one label per step, one length per row`,
        got: `emissions ${describeShape(shape)}, ${targets.length} labels, ${lengths.length} lengths`,
        where: "linearChain",
      });
    }
    return [[batch]];
  },
  forward(_, [losses], [emissions, ...parameters], __, attrs) {
    const out = losses.floats();
    const chain = new Chain(scoresOf(parameters, attrs.constraint));
    eachRow(emissions, attrs, (b, e, targets, known) => {
      out[b] = known === 0 ? 0 : chain.normalizer(chain.forward(e), b) - labelScore(chain, e, targets, known, b);
    });
  },
  backward(_, [dEmissions, ...dParameters], [dLosses], [emissions, ...parameters], __, ___, attrs) {
    if (!dLosses) return;
    const scores = scoresOf(parameters, attrs.constraint);
    const chain = new Chain(scores);
    const [slopes, dE] = [dLosses.floats(), dEmissions?.floats()];
    const [, time, classes] = emissions.shape;
    const total = emptyGradient(classes);
    eachRow(emissions, attrs, (b, e, targets, known) => {
      if (known === 0) return;
      const at = b * time * classes;
      chain.expect(e, slopes[b], total, (i, share) => {
        if (dE) dE[at + i] += share;
      });
      if (known === targets.length) {
        countLabels(targets, classes, -slopes[b], total);
        if (dE) for (let t = 0; t < targets.length; t++) dE[at + t * classes + targets[t]] -= slopes[b];
      } else {
        chain.expect(clamped(e, targets, classes), -slopes[b], total, (i, share) => {
          if (dE) dE[at + i] += share;
        });
      }
    });
    [total.transitions, total.start, total.end].forEach((gradient, p) => {
      const to = dParameters[p]?.floats();
      if (to) for (let i = 0; i < gradient.length; i++) to[i] += gradient[i];
    });
  },
};

/** Scores with what is forbidden at -Infinity. */
export function scoresOf([transitions, start, end]: readonly RawBuffer[], constraint: ChainConstraint): ChainScores {
  const bound = (values: RawBuffer, added?: ArrayLike<number>) =>
    Float64Array.from(values.floats(), (value, i) => value + (added?.[i] ?? 0));
  return {
    transitions: bound(transitions, constraint.transitions),
    start: bound(start, constraint.start),
    end: bound(end, constraint.end),
  };
}

/** Below this a sum of products of exponentials may have lost terms to underflow, and is found again from the logarithms. */
const SMALLEST = 1e-250;
/** A factor above this may stand against products that have underflowed. */
const LARGEST = 1e200;

/** The forward-backward algorithm over one row at a time; rows are emissions [length, C]. */
export class Chain {
  readonly classes: number;
  /** exp(transition - top), so that most of the work is products and sums. */
  readonly #exps: Float64Array;
  readonly #top: number;
  readonly #sums: Float64Array;
  readonly #shares: Float64Array;

  constructor(readonly scores: ChainScores) {
    const { transitions, start } = scores;
    this.classes = start.length;
    const top = transitions.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    this.#top = top === Number.NEGATIVE_INFINITY ? 0 : top;
    this.#exps = transitions.map((value) => Math.exp(value - this.#top));
    this.#sums = new Float64Array(this.classes);
    this.#shares = new Float64Array(this.classes);
  }

  /** alpha, [length, C]. */
  forward(e: Float64Array): Float64Array {
    const { classes: C, scores } = this;
    const [sums, shares, exps] = [this.#sums, this.#shares, this.#exps];
    const alpha = new Float64Array(e.length);
    for (let j = 0; j < C && e.length > 0; j++) alpha[j] = scores.start[j] + e[j];
    for (let at = C; at < e.length; at += C) {
      const before = at - C;
      const top = relativeTo(alpha, before, C, shares);
      sums.fill(0);
      for (let i = 0; i < C; i++) {
        const share = shares[i];
        if (share === 0) continue;
        for (let j = 0, k = i * C; j < C; j++, k++) sums[j] += share * exps[k];
      }
      for (let j = 0; j < C; j++) {
        const sum =
          sums[j] < SMALLEST
            ? logSumExp(C, (i) => alpha[before + i] + scores.transitions[i * C + j])
            : top + this.#top + Math.log(sums[j]);
        alpha[at + j] = sum + e[at + j];
      }
    }
    return alpha;
  }

  /** beta, [length, C]. */
  backward(e: Float64Array): Float64Array {
    const { classes: C, scores } = this;
    const [shares, exps] = [this.#shares, this.#exps];
    const beta = new Float64Array(e.length);
    beta.set(scores.end.subarray(0, Math.min(C, e.length)), Math.max(0, e.length - C));
    const next = new Float64Array(C);
    for (let at = e.length - 2 * C; at >= 0; at -= C) {
      for (let j = 0; j < C; j++) next[j] = e[at + C + j] + beta[at + C + j];
      const top = relativeTo(next, 0, C, shares);
      for (let i = 0; i < C; i++) {
        let sum = 0;
        for (let j = 0, k = i * C; j < C; j++, k++) sum += shares[j] * exps[k];
        beta[at + i] =
          sum < SMALLEST ? logSumExp(C, (j) => scores.transitions[i * C + j] + next[j]) : top + this.#top + Math.log(sum);
      }
    }
    return beta;
  }

  /**
   * log Z of a row of at least one step, from its alpha.
   *
   * @param row for the message. @throws OST_CONFIG where the constraint leaves no sequence of its length.
   */
  normalizer(alpha: Float64Array, row: number): number {
    const logZ = this.#logSum(alpha);
    if (logZ !== Number.NEGATIVE_INFINITY) return logZ;
    throw new OstinatoError("OST_CONFIG", {
      what: "the constraint allows no sequence of labels of this length",
      got: `${alpha.length / this.classes} steps`,
      where: `row ${row}`,
      repair: "allow at least one way through",
    });
  }

  /** The same of labels of which some are known: -Infinity where they cannot be. */
  knownScore(e: Float64Array, targets: Int32Array): number {
    return this.#logSum(this.forward(clamped(e, targets, this.classes)));
  }

  #logSum(alpha: Float64Array): number {
    const last = alpha.length - this.classes;
    return logSumExp(this.classes, (j) => alpha[last + j] + this.scores.end[j]);
  }

  /**
   * Adds `slope` times the probability of every label and pair of labels: to `total`, and per step and label through `visit(index, share)`.
   */
  expect(e: Float64Array, slope: number, total: ChainScores, visit: (index: number, share: number) => void): void {
    const { classes: C, scores } = this;
    const [alpha, beta] = [this.forward(e), this.backward(e)];
    const logZ = this.#logSum(alpha);
    const last = e.length - C;
    for (let i = 0; i < e.length; i++) {
      const share = slope * Math.exp(alpha[i] + beta[i] - logZ);
      visit(i, share);
      if (i < C) total.start[i] += share;
      if (i >= last) total.end[i - last] += share;
    }
    const [from, to] = [new Float64Array(C), new Float64Array(C)];
    const next = new Float64Array(C);
    for (let at = C; at < e.length; at += C) {
      for (let j = 0; j < C; j++) next[j] = e[at + j] + beta[at + j];
      const factor = Math.exp(relativeTo(alpha, at - C, C, from) + relativeTo(next, 0, C, to) + this.#top - logZ);
      for (let i = 0; i < C; i++) {
        const row = i * C;
        if (factor > LARGEST) {
          const before = alpha[at - C + i] - logZ;
          for (let j = 0; j < C; j++)
            total.transitions[row + j] += slope * Math.exp(before + scores.transitions[row + j] + next[j]);
          continue;
        }
        const share = slope * factor * from[i];
        if (share === 0) continue;
        for (let j = 0; j < C; j++) total.transitions[row + j] += share * this.#exps[row + j] * to[j];
      }
    }
  }
}

/** exp(values - their largest) into `shares`; gives the largest, or 0 where all are -Infinity. */
function relativeTo(values: Float64Array, at: number, count: number, shares: Float64Array): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) top = Math.max(top, values[at + i]);
  if (top === Number.NEGATIVE_INFINITY) top = 0;
  for (let i = 0; i < count; i++) shares[i] = Math.exp(values[at + i] - top);
  return top;
}

function logSumExp(count: number, value: (i: number) => number): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) top = Math.max(top, value(i));
  if (top === Number.NEGATIVE_INFINITY) return top;
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Math.exp(value(i) - top);
  return top + Math.log(sum);
}

/** Visits the rows: (row, emissions of its steps, their targets, how many of them are known). */
function eachRow(
  emissions: RawBuffer,
  { targets, lengths }: LinearChainAttrs,
  visit: (b: number, e: Float64Array, targets: Int32Array, known: number) => void,
): void {
  const [batch, time, classes] = emissions.shape;
  const values = emissions.floats();
  for (let b = 0; b < batch; b++) {
    const row = targets.subarray(b * time, b * time + lengths[b]);
    const e = Float64Array.from(values.subarray(b * time * classes, (b * time + lengths[b]) * classes));
    visit(
      b,
      e,
      row,
      row.reduce((count, target) => count + (target >= 0 ? 1 : 0), 0),
    );
  }
}

/** The score of the known labels, the others summed over. @throws OST_TARGET where the constraint forbids them. */
function labelScore(chain: Chain, e: Float64Array, targets: Int32Array, known: number, b: number): number {
  const { classes, scores } = chain;
  let score: number;
  if (known < targets.length) score = chain.knownScore(e, targets);
  else {
    score = scores.start[targets[0]] + scores.end[targets[targets.length - 1]];
    for (let t = 0; t < targets.length; t++) {
      score += e[t * classes + targets[t]];
      if (t > 0) score += scores.transitions[targets[t - 1] * classes + targets[t]];
    }
  }
  if (score !== Number.NEGATIVE_INFINITY) return score;
  throw new OstinatoError("OST_TARGET", {
    what: "the labels break the constraint, so that their probability is 0",
    got: forbidden(scores, targets) ?? "known labels between which no allowed labels fit",
    where: `row ${b}`,
    repair: "mend the labels, or allow what they do",
  });
}

function forbidden({ transitions, start, end }: ChainScores, targets: Int32Array): string | undefined {
  const classes = start.length;
  const last = targets.length - 1;
  if (start[targets[0]] === Number.NEGATIVE_INFINITY) return `class ${targets[0]} at the beginning`;
  for (let t = 1; t <= last; t++) {
    if (targets[t - 1] < 0 || targets[t] < 0 || transitions[targets[t - 1] * classes + targets[t]] !== Number.NEGATIVE_INFINITY)
      continue;
    return `class ${targets[t]} after class ${targets[t - 1]}, step ${t}`;
  }
  return end[targets[last]] === Number.NEGATIVE_INFINITY ? `class ${targets[last]} at the end` : undefined;
}

/** Emissions with every label but the known one impossible. */
function clamped(e: Float64Array, targets: Int32Array, classes: number): Float64Array {
  const result = e.slice();
  targets.forEach((target, t) => {
    if (target < 0) return;
    for (let c = 0; c < classes; c++) if (c !== target) result[t * classes + c] = Number.NEGATIVE_INFINITY;
  });
  return result;
}

function countLabels(targets: Int32Array, classes: number, slope: number, total: ChainScores): void {
  total.start[targets[0]] += slope;
  total.end[targets[targets.length - 1]] += slope;
  for (let t = 1; t < targets.length; t++) total.transitions[targets[t - 1] * classes + targets[t]] += slope;
}

function emptyGradient(classes: number): ChainScores {
  return {
    transitions: new Float64Array(classes * classes),
    start: new Float64Array(classes),
    end: new Float64Array(classes),
  };
}

/**
 * @file A linear-chain conditional random field over the outputs of a network: labels that are decided together.
 *
 *     p(y | e) = exp(start_{y_1} + sum_t e_{t, y_t} + sum_t transitions_{y_t, y_t+1} + end_{y_T}) / Z(e)
 *
 * Parameters: transitions [C, C] (from row to column), start [C], end [C], uniform in +-0.1 at first. A constraint makes scores -Infinity
 * for good: what it forbids has probability 0, and no gradient.
 *
 * The best sequence is searched for in `decode`, from {@link ConditionalRandomField.scores}.
 *
 * Sources: Lafferty, McCallum & Pereira 2001; over a bidirectional LSTM: Lample et al. 2016 (arXiv 1603.01360).
 */
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import { describeShape } from "../core/shape.js";
import type { Kernels } from "../kernels/index.js";
import { apply, type Parameter, parameter, type Tensor } from "../tensor/index.js";
import { Chain, type ChainConstraint, type ChainScores, linearChain, scoresOf } from "../tensor/ops/linear-chain.js";
import { uniformInit } from "./init.js";
import { Module } from "./module.js";
import { resolveLengths } from "./recurrent-op.js";

export type { ChainConstraint, ChainScores } from "../tensor/ops/linear-chain.js";

export interface CrfOptions {
  /** What is permitted (0) and what is forbidden (-Infinity), as `tagConstraint` of `decode` gives it; default everything is permitted. */
  constraint?: ChainConstraint;
  rng: Rng;
  engine?: Kernels;
}

export class ConditionalRandomField extends Module {
  readonly classes: number;
  /** [C, C], from row to column. */
  readonly transitions: Parameter;
  /** [C] */
  readonly start: Parameter;
  /** [C] */
  readonly end: Parameter;
  readonly #constraint: ChainConstraint;

  /** @throws OST_RANGE unless there is a class, or for a constraint of other numbers. @throws OST_SHAPE if a part of it has another size. */
  constructor(classes: number, { constraint = {}, rng, engine }: CrfOptions) {
    super();
    if (!(Number.isInteger(classes) && classes >= 1)) {
      throw new OstinatoError("OST_RANGE", {
        what: "classes is a count",
        expected: "an integer of at least 1",
        got: String(classes),
        where: "crf",
      });
    }
    for (const [name, count] of [
      ["transitions", classes * classes],
      ["start", classes],
      ["end", classes],
    ] as const) {
      const given = Array.from(constraint[name] ?? []);
      if (constraint[name] !== undefined && given.length !== count) {
        throw new OstinatoError("OST_SHAPE", {
          what: `the constraint's ${name} do not fit ${classes} classes`,
          expected: `${count} entries`,
          got: String(given.length),
          where: "crf",
        });
      }
      const odd = given.find((value) => value !== 0 && value !== Number.NEGATIVE_INFINITY);
      if (odd === undefined) continue;
      throw new OstinatoError("OST_RANGE", {
        what: `the constraint's ${name} say neither yes nor no`,
        expected: "0, which permits, or -Infinity, which forbids",
        got: String(odd),
        where: "crf",
      });
    }
    this.classes = classes;
    this.#constraint = { ...constraint };
    const draw = (...shape: number[]) =>
      parameter(
        uniformInit(
          rng,
          shape.reduce((a, b) => a * b),
          0.1,
        ),
        shape,
        { engine },
      );
    this.transitions = draw(classes, classes);
    this.start = draw(classes);
    this.end = draw(classes);
  }

  /**
   * -log p(labels | emissions) of every row, in nats.
   *
   * A step within its row whose label is -1 is not observed: all its labels are summed over. A row of length 0, or without any label, costs
   * nothing.
   *
   * @param emissions [B, T, C], scores before any normalisation; steps at or after a row's length are not read
   * @param targets   [B, T]: 0 .. C-1, or -1
   * @param lengths   int32 [B], default all T
   * @returns [B]; divide its sum by the number of labels, or of rows, for a mean
   * @throws OST_SHAPE, OST_LENGTH; OST_TARGET for a label that is no class or that the constraint forbids; OST_CONFIG where the constraint
   *         leaves no sequence of a row's length.
   */
  negativeLogLikelihood(emissions: Tensor, targets: Int32Array, lengths?: Tensor): Tensor {
    this.#wantEmissions(emissions);
    const valid = resolveLengths(emissions, lengths).ints().slice();
    const time = emissions.shape[1];
    valid.forEach((length, b) => {
      for (let t = 0; t < length; t++) {
        const target = targets[b * time + t];
        if (target === undefined || (target >= -1 && target < this.classes)) continue;
        throw new OstinatoError("OST_TARGET", {
          what: "no such class",
          expected: `-1 .. ${this.classes - 1}`,
          got: String(target),
          where: `row ${b}, step ${t}`,
        });
      }
    });
    const inputs = [emissions, this.transitions, this.start, this.end];
    // A copy: what the caller does with the array later does not reach the backward pass.
    return apply(linearChain, inputs, { targets: Int32Array.from(targets), lengths: valid, constraint: this.#constraint });
  }

  /**
   * log p(y_t = c | emissions) of every step, given the whole row.
   *
   * @param emissions [B, T, C]; @param lengths int32 [B], default all T
   * @returns [B, T, C] in nats, -Infinity for what is impossible, 0 at padded steps
   * @throws OST_SHAPE, OST_LENGTH; OST_CONFIG where the constraint leaves no sequence of a row's length.
   */
  marginals(emissions: Tensor, lengths?: Tensor): Float64Array {
    this.#wantEmissions(emissions);
    const [batch, time, classes] = emissions.shape;
    const valid = resolveLengths(emissions, lengths).ints().slice();
    const values = emissions.floats();
    const chain = new Chain(this.scores());
    const result = new Float64Array(values.length);
    for (let b = 0; b < batch; b++) {
      if (valid[b] === 0) continue;
      const at = b * time * classes;
      const e = Float64Array.from(values.subarray(at, at + valid[b] * classes));
      const [alpha, beta] = [chain.forward(e), chain.backward(e)];
      const logZ = chain.normalizer(alpha, b);
      for (let i = 0; i < e.length; i++) result[at + i] = Math.min(alpha[i] + beta[i] - logZ, 0);
    }
    return result;
  }

  /** The scores as they are now, -Infinity where something is forbidden. */
  scores(): ChainScores {
    return scoresOf([this.transitions, this.start, this.end], this.#constraint);
  }

  #wantEmissions({ shape, dtype }: Tensor): void {
    if (shape.length === 3 && shape[2] === this.classes && dtype === "float") return;
    throw new OstinatoError("OST_SHAPE", {
      what: "emissions do not fit",
      expected: `[batch, time, ${this.classes}]`,
      got: `${dtype} ${describeShape(shape)}`,
      where: "crf",
    });
  }
}

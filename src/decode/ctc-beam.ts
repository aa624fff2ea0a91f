/**
 * @file Prefix beam search over the output of connectionist temporal classification (Hannun, Maas, Jurafsky & Ng 2014, algorithm 1).
 *
 * Of every prefix in the beam it keeps p_b and p_n, the probability of all paths so far that read as the prefix and end in a blank, or do not:
 *
 *     stays      p_b' = (p_b + p_n) y(blank)        p_n' = p_n y(last)
 *     by c       p_n'(prefix + c) += y(c) (p_b + p_n), or y(c) p_b where c repeats the last token
 *
 * Prefixes are ranked by log(p_b + p_n) + weight * log p_fusion(prefix) + insertionBonus * |prefix|. With a beam as wide as there are prefixes, and
 * without fusion, p_b + p_n is the exact sum over all alignments.
 */
import { OstinatoError } from "../core/errors.js";
import { topIndices } from "../core/top-index.js";
import { type CtcOptions, checkCtc, ctcFrames } from "./ctc-greedy.js";
import { logAdd } from "./log-sum-exp.js";
import { checkWeight, checkWhole } from "./step-scorer.js";

/** A model of token sequences that votes on prefixes, such as an n-gram model. Its states are values. */
export interface FusionModel<L> {
  /** Tokens 0 .. vocabSize - 1; all classes but the blank must be among them. */
  readonly vocabSize: number;
  readonly initial: L;
  /** log p(token | state) in nats, at most 0; -Infinity rules the token out. */
  advance(state: L, token: number): { logProbability: number; state: L };
  /** log p(end | state): counts when hypotheses are complete. Default: none. */
  end?(state: L): number;
}

export interface CtcFusion<L> {
  model: FusionModel<L>;
  /** >= 0. 0 leaves the model out. */
  weight: number;
  /** Added per token, in nats, default 0: makes up for the model's dislike of long sequences. */
  insertionBonus?: number;
}

export interface CtcBeamOptions<L> extends CtcOptions {
  /** Prefixes kept after each frame, >= 1. It may exceed the number of classes. */
  width: number;
  fusion?: CtcFusion<L>;
}

/** A prefix, with the log-probabilities of its paths. */
export interface CtcPrefix<L> {
  readonly tokens: readonly number[];
  /** log p_b and log p_n. */
  readonly blank: number;
  readonly nonBlank: number;
  /** What fusion adds to its score, and the state of the fusion's model. */
  readonly bonus: number;
  readonly language: L | undefined;
}

/** What is known after some frames: a value, which later frames leave as it is. */
export interface CtcBeamState<L> {
  readonly frames: number;
  /** Best first. */
  readonly prefixes: readonly CtcPrefix<L>[];
}

export interface CtcHypothesis {
  tokens: number[];
  /** log of the summed probability of the paths found, in nats: at most that of the labelling. */
  logProbability: number;
  /** What hypotheses are ranked by: with fusion, if any. */
  score: number;
}

/**
 * A decoder. Frames may come in chunks: chunks give the result of the whole, bit for bit.
 *
 *     const decoder = new CtcBeam({ classes: 29, width: 32 });
 *     let state = decoder.initial;
 *     for (const chunk of chunks) state = decoder.advance(state, chunk);
 *     const [best] = decoder.hypotheses(state);
 */
export class CtcBeam<L = never> {
  readonly #classes: number;
  readonly #blank: number;
  readonly #width: number;
  readonly #fusion: CtcFusion<L> | undefined;
  /** Answers of the fusion's model, asked once per prefix and token while the prefix stays in the beam. */
  readonly #answers = new WeakMap<readonly number[], Map<number, { bonus: number; state: L }>>();

  /** @throws OST_RANGE */
  constructor(options: CtcBeamOptions<L>) {
    this.#classes = options.classes;
    this.#blank = checkCtc(options, WHERE);
    this.#width = options.width;
    checkWhole("the beam's width", options.width, { least: 1, where: WHERE });
    if (options.fusion) checkFusion(options.fusion, this.#blank === options.classes - 1 ? options.classes - 1 : options.classes);
    this.#fusion = options.fusion;
  }

  /** Before the first frame: the empty prefix, with certainty. */
  get initial(): CtcBeamState<L> {
    const language = this.#fusion?.model.initial;
    return { frames: 0, prefixes: [{ tokens: [], blank: 0, nonBlank: Number.NEGATIVE_INFINITY, bonus: 0, language }] };
  }

  /**
   * Reads the next frames.
   *
   * @param logProbabilities [frames, classes]; none are legal.
   * @throws OST_SHAPE; OST_RANGE where fusion rules out every prefix; OST_NAN naming the frame, for NaN and for a frame without a possible class.
   */
  advance(state: CtcBeamState<L>, logProbabilities: Float32Array | Float64Array): CtcBeamState<L> {
    const size = this.#classes;
    const scores = ctcFrames(logProbabilities, { classes: size, first: state.frames, where: WHERE });
    let { frames, prefixes } = state;
    for (let start = 0; start < scores.length; start += size) {
      frames++;
      prefixes = this.#frame(prefixes, scores.subarray(start, start + size), frames);
    }
    return { frames, prefixes };
  }

  /**
   * The hypotheses after the frames so far, best first: prefixes as complete sequences. Without frames: the empty one, of log-probability 0.
   *
   * @throws OST_RANGE where fusion lets no prefix end.
   */
  hypotheses(state: CtcBeamState<L>, nBest = this.#width): CtcHypothesis[] {
    checkWhole("nBest", nBest, { least: 1, where: WHERE });
    const found = state.prefixes.map(({ tokens, blank, nonBlank, bonus, language }): CtcHypothesis => {
      const logProbability = logAdd(blank, nonBlank);
      return { tokens: [...tokens], logProbability, score: logProbability + bonus + this.#endBonus(language as L) };
    });
    const order = topIndices(
      Float64Array.from(found, ({ score }) => score),
      nBest,
    );
    if (order.length === 0) throw ruledOut(`${WHERE}, after frame ${state.frames}`);
    return order.map((i) => found[i]);
  }

  /** The tokens that all prefixes of the beam begin with: no later frame can change them. */
  settled({ prefixes }: CtcBeamState<L>): number[] {
    const [first, ...others] = prefixes.map(({ tokens }) => tokens);
    let length = first.length;
    for (const other of others) {
      let same = 0;
      while (same < length && other[same] === first[same]) same++;
      length = same;
    }
    return first.slice(0, length);
  }

  #frame(before: readonly CtcPrefix<L>[], row: Float32Array | Float64Array, frame: number): CtcPrefix<L>[] {
    const size = this.#classes;
    const children = childrenOf(before);
    // Candidates: the prefixes of the beam, then every extension of each by a token.
    const count = before.length;
    const blanks = new Float64Array(count);
    const nonBlanks = new Float64Array(count * (size + 1)).fill(Number.NEGATIVE_INFINITY);
    before.forEach(({ tokens, blank, nonBlank }, i) => {
      blanks[i] = logAdd(blank, nonBlank) + row[this.#blank];
      if (tokens.length > 0) nonBlanks[i] = nonBlank + row[tokens[tokens.length - 1]];
    });
    before.forEach(({ tokens, blank, nonBlank }, i) => {
      const total = logAdd(blank, nonBlank);
      const last = tokens.length > 0 ? tokens[tokens.length - 1] : -1;
      for (let token = 0; token < size; token++) {
        if (token === this.#blank) continue;
        const extended = (token === last ? blank : total) + row[token];
        if (extended === Number.NEGATIVE_INFINITY) continue;
        const child = children[i].get(token);
        if (child === undefined) nonBlanks[count + i * size + token] = extended;
        else nonBlanks[child] = logAdd(nonBlanks[child], extended);
      }
    });
    const scores = nonBlanks.slice();
    before.forEach((prefix, i) => {
      scores[i] = logAdd(blanks[i], nonBlanks[i]) + prefix.bonus;
      for (let token = 0; this.#fusion && token < size; token++) {
        const at = count + i * size + token;
        if (scores[at] > Number.NEGATIVE_INFINITY) scores[at] += this.#extend(prefix, token).bonus;
      }
    });
    const kept = topIndices(scores, this.#width);
    if (kept.length === 0) throw ruledOut(`${WHERE}, frame ${frame}`);
    return kept.map((at) => {
      if (at < count) return { ...before[at], blank: blanks[at], nonBlank: nonBlanks[at] };
      const parent = before[Math.floor((at - count) / size)];
      const token = (at - count) % size;
      const { bonus, state } = this.#fusion ? this.#extend(parent, token) : { bonus: 0, state: undefined };
      return {
        tokens: lengthen(parent.tokens, token),
        blank: Number.NEGATIVE_INFINITY,
        nonBlank: nonBlanks[at],
        bonus,
        language: state,
      };
    });
  }

  /** What fusion says of a prefix with one more token: the whole bonus, and the state behind it. */
  #extend({ tokens, bonus, language }: CtcPrefix<L>, token: number): { bonus: number; state: L } {
    const { model, weight, insertionBonus = 0 } = this.#fusion as CtcFusion<L>;
    const known = this.#answers.get(tokens) ?? new Map<number, { bonus: number; state: L }>();
    this.#answers.set(tokens, known);
    const answer = known.get(token);
    if (answer) return answer;
    const { logProbability, state } = model.advance(language as L, token);
    const fresh = {
      bonus: bonus + weighted(weight, logProbability, `token ${token} behind [${tokens.join(", ")}]`) + insertionBonus,
      state,
    };
    known.set(token, fresh);
    return fresh;
  }

  #endBonus(language: L): number {
    if (!this.#fusion?.model.end) return 0;
    return weighted(this.#fusion.weight, this.#fusion.model.end(language), "the end");
  }
}

/** The hypotheses of all frames, [frames, classes], best first; `nBest` default all that the beam holds. Errors as of {@link CtcBeam}. */
export function ctcBeam<L = never>(
  logProbabilities: Float32Array | Float64Array,
  options: CtcBeamOptions<L> & { nBest?: number },
): CtcHypothesis[] {
  const decoder = new CtcBeam<L>(options);
  return decoder.hypotheses(decoder.advance(decoder.initial, logProbabilities), options.nBest);
}

const WHERE = "CtcBeam";

/** Per prefix the prefixes of the beam that are one token longer, by that token. */
function childrenOf<L>(prefixes: readonly CtcPrefix<L>[]): Map<number, number>[] {
  const children = prefixes.map(() => new Map<number, number>());
  const index = new Map(prefixes.map(({ tokens }, i) => [namesOf(tokens).own, i]));
  prefixes.forEach(({ tokens }, i) => {
    const parent = tokens.length > 0 ? index.get(namesOf(tokens).parent) : undefined;
    if (parent !== undefined) children[parent].set(tokens[tokens.length - 1], i);
  });
  return children;
}

/** A prefix stays in the beam for many frames, the same array of tokens each time: its names are written once. */
const names = new WeakMap<readonly number[], { own: string; parent: string }>();

function namesOf(tokens: readonly number[]): { own: string; parent: string } {
  const known = names.get(tokens);
  if (known) return known;
  const fresh = { own: tokens.join(), parent: tokens.slice(0, -1).join() };
  names.set(tokens, fresh);
  return fresh;
}

function lengthen(tokens: readonly number[], token: number): number[] {
  const longer = [...tokens, token];
  const parent = namesOf(tokens).own;
  names.set(longer, { own: tokens.length > 0 ? `${parent},${token}` : `${token}`, parent });
  return longer;
}

/** @throws OST_NAN */
function weighted(weight: number, logProbability: number, what: string): number {
  if (!(logProbability <= 0)) {
    throw new OstinatoError("OST_NAN", {
      what: `the fusion's model gives no log-probability for ${what}`,
      expected: "at most 0, or -Infinity",
      got: String(logProbability),
      where: WHERE,
    });
  }
  return weight === 0 ? 0 : weight * logProbability;
}

function ruledOut(where: string): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: "no hypothesis is left: each has probability zero",
    expected: "at least one that frames and fusion both permit",
    where,
    repair: "widen the beam, or smooth the fusion's model so that it rules nothing out",
  });
}

function checkFusion({ model, weight, insertionBonus = 0 }: CtcFusion<unknown>, tokens: number): void {
  checkWeight("the weight of fusion", weight, WHERE);
  if (!Number.isFinite(insertionBonus)) {
    throw new OstinatoError("OST_RANGE", {
      what: "insertionBonus does not fit",
      expected: "a finite number",
      got: String(insertionBonus),
      where: WHERE,
    });
  }
  if (model.vocabSize >= tokens) return;
  throw new OstinatoError("OST_SHAPE", {
    what: "the fusion's model lacks tokens",
    expected: `a vocabulary of at least ${tokens}`,
    got: String(model.vocabSize),
    where: WHERE,
    repair: "fit it on the vocabulary of the network",
  });
}

/**
 * @file Beam search: several hypotheses are extended side by side, and the best complete ones are kept.
 *
 *     score(Y) = log p(Y) / lp(Y) + cp(Y)
 *     lp(Y)    = ((5 + |Y|) / 6)^alpha                                       length penalty
 *     cp(Y)    = beta * sum_i log min(1, sum_j attention of step j at i)     coverage penalty, over the positions i of the source
 *
 * with |Y| in steps, the end token included (Wu et al. 2016, equation 14). Penalties rank complete hypotheses; while searching, hypotheses of one
 * length compete by their log-probability. A coverage below 1e-10 counts as 1e-10, so that a position never looked at has a finite price.
 *
 * Two ways to choose which extensions go on:
 *
 *     monotonic  slot i of the beam takes the best extension, not yet taken, of the hypotheses in slots 1 .. i (Lemons, Linares López, Holte & Ruml
 *                2022). What a beam of width k expands, one of width k + 1 expands too: a wider beam never returns a worse score, and no beam a worse
 *                one than greedy decoding, whose sequence is slot 1.
 *     global     the `width` best extensions of all hypotheses, the textbook form. A wider beam can then return a WORSE score: the extensions of a
 *                further hypothesis may crowd out the beginning of the sequence that a narrower beam had found. On models drawn at random
 *                beams of 2 to 4 find slightly better sequences so; from 8 on there is no difference.
 *
 * Both are exact once the beam is at least as wide as there are complete hypotheses. A hypothesis that ends takes up a slot in the step in which it
 * ends, and none after it.
 */
import { OstinatoError } from "../core/errors.js";
import { topIndices } from "../core/top-index.js";
import { checkGeneration, type GenerationOptions } from "./generation.js";
import {
  advanceRows,
  checkWeight,
  checkWhole,
  type SequenceStart,
  type StepScorer,
  type StepScores,
  startsOf,
} from "./step-scorer.js";

export interface BeamOptions<S> extends GenerationOptions<S> {
  /** Hypotheses that go on at each step, >= 1. It may exceed the vocabulary: the first step then has only as many as there are tokens. */
  width: number;
  /** Hypotheses returned per sequence, >= 1, default 1; fewer where fewer were found. It changes nothing about the best ones. */
  nBest?: number;
  /** alpha >= 0, default 0: none. */
  lengthPenalty?: number;
  /** beta >= 0, default 0: none. Wants a scorer that gives attention. */
  coveragePenalty?: number;
  /**
   * No n-gram of this size occurs twice among the tokens of a hypothesis (Paulus, Xiong & Socher 2018). Default 0: any may. The end token, which
   * is not among them, is never blocked.
   */
  blockNgram?: number;
  /** Default monotonic. */
  pruning?: "monotonic" | "global";
}

export interface BeamHypothesis {
  /** Without the token that began the sequence and without the end token. */
  tokens: number[];
  /** log p of the tokens, and of the end token where it was reached, in nats. */
  logProbability: number;
  /** What hypotheses are ranked by: `logProbability` with penalties. */
  score: number;
  /** False where the hypothesis was cut at maxLength, or n-gram blocking left it no token. */
  finished: boolean;
}

interface Live<S> {
  tokens: readonly number[];
  logProbability: number;
  state: S;
  last: number;
  /** Attention gathered so far, [source]; null without coverage penalty. */
  coverage: Float64Array | null;
}

/** Where a hypothesis came from, how it may go on, and which of its extensions comes next. */
interface Parent<S> {
  from: Live<S>;
  slot: number;
  state: S;
  row: Float32Array | Float64Array;
  coverage: Float64Array | null;
  order: number[];
  next: number;
}

/**
 * The best hypotheses of each start, best score first; hypotheses that were cut compete with those that ended. Equal scores stay in the order of
 * being found. Searching stops early only where nothing found later could enter the list. With maxLength 0: one empty hypothesis of log-probability 0.
 *
 * @throws OST_RANGE, OST_SHAPE; OST_NAN naming the step, if the scorer gives NaN or leaves no token possible; OST_CONFIG for a coverage penalty
 *         without attention.
 */
export function beamSearch<S>(scorer: StepScorer<S>, options: BeamOptions<S>): BeamHypothesis[][] {
  const { maxLength, end } = options;
  const starts = startsOf(scorer, options, WHERE);
  checkGeneration({ maxLength, end }, scorer.vocabSize, WHERE);
  checkBeam(options);
  const searches = starts.map((start) => new Search<S>(start, scorer.vocabSize, options));
  for (let step = 0; step < maxLength; step++) {
    const rows = { states: [] as S[], tokens: [] as number[], sequences: [] as number[] };
    searches.forEach((search, sequence) => {
      for (const live of search.slots) {
        if (!live) continue;
        rows.states.push(live.state);
        rows.tokens.push(live.last);
        rows.sequences.push(sequence);
      }
    });
    if (rows.tokens.length === 0) break;
    const scores = advanceRows(scorer, rows, { step, where: WHERE });
    if (options.coveragePenalty) checkAttention(scores, { rows: rows.tokens.length, step });
    let row = 0;
    for (const search of searches) row = search.extend(scores, row);
  }
  return searches.map((search) => search.finish());
}

const WHERE = "beamSearch";

/** The search of one sequence. */
class Search<S> {
  /** Hypotheses that go on, in the order of the beam; a slot whose hypothesis has ended is empty. */
  slots: (Live<S> | undefined)[];
  readonly #found: BeamHypothesis[] = [];
  readonly #sourceLength: number | undefined;

  constructor(
    { state, token, sourceLength }: SequenceStart<S>,
    readonly vocabSize: number,
    readonly options: BeamOptions<S>,
  ) {
    this.slots = [{ tokens: [], logProbability: 0, state, last: token, coverage: null }];
    this.#sourceLength = sourceLength;
  }

  /** Takes the rows of its hypotheses, from `row` on, and moves one step. @returns the row behind them. */
  extend(scores: StepScores<S>, row: number): number {
    const parents: Parent<S>[] = [];
    this.slots.forEach((from, slot) => {
      if (from) parents.push(this.#parent({ from, slot }, scores, row++));
    });
    if (parents.length === 0) return row;
    for (const { from, order } of parents) {
      if (order.length === 0) this.#keep(from, { steps: from.tokens.length, finished: false });
    }
    const { width, pruning = "monotonic" } = this.options;
    const slots: typeof this.slots = [];
    for (let slot = 0; slot < width; slot++) {
      const parent = bestParent(parents, pruning === "global" ? Number.POSITIVE_INFINITY : slot);
      if (parent) slots[slot] = this.#take(parent);
      else if (slot >= parents[parents.length - 1].slot) break;
      else slots[slot] = undefined;
    }
    this.slots = this.#settled(slots) ? [] : slots;
    return row;
  }

  /** The hypotheses found, best first. */
  finish(): BeamHypothesis[] {
    for (const live of this.slots) if (live) this.#keep(live, { steps: live.tokens.length, finished: false });
    this.slots = [];
    return this.#found;
  }

  #parent({ from, slot }: { from: Live<S>; slot: number }, scores: StepScores<S>, row: number): Parent<S> {
    const { width, blockNgram = 0 } = this.options;
    let scored = scores.logProbabilities.subarray(row * this.vocabSize, (row + 1) * this.vocabSize);
    if (blockNgram > 0) {
      const blocked = repeats(from.tokens, blockNgram);
      if (blocked.length > 0) scored = scored.slice();
      for (const token of blocked) scored[token] = Number.NEGATIVE_INFINITY;
    }
    return {
      from,
      slot,
      state: scores.states[row],
      row: scored,
      coverage: this.options.coveragePenalty
        ? this.#cover(from.coverage, scores.attention as Float32Array, { row, rows: scores.states.length })
        : null,
      order: topIndices(scored, width),
      next: 0,
    };
  }

  /** Coverage after one more step; padding behind the source does not count. */
  #cover(before: Float64Array | null, attention: Float32Array, { row, rows }: { row: number; rows: number }): Float64Array {
    const source = attention.length / rows;
    const length = this.#sourceLength ?? source;
    if (length > source || (before && before.length !== length)) {
      throw new OstinatoError("OST_SHAPE", {
        what: "the attention does not cover the source",
        expected: `${before?.length ?? length} positions`,
        got: String(source),
        where: WHERE,
        repair: "give sourceLength of each start, and attention over all its positions at every step",
      });
    }
    const after = new Float64Array(length);
    for (let i = 0; i < length; i++) after[i] = (before?.[i] ?? 0) + attention[row * source + i];
    return after;
  }

  /** The next extension of a parent: a hypothesis that goes on, or undefined where it ended and was kept. */
  #take(parent: Parent<S>): Live<S> | undefined {
    const { from, state, row, coverage, order } = parent;
    const token = order[parent.next++];
    const logProbability = from.logProbability + row[token];
    if (token !== this.options.end) return { tokens: [...from.tokens, token], logProbability, state, last: token, coverage };
    this.#keep({ tokens: from.tokens, logProbability, coverage }, { steps: from.tokens.length + 1, finished: true });
    return undefined;
  }

  /** Enters a complete hypothesis into the list, behind those of the same score. */
  #keep(
    { tokens, logProbability, coverage }: Pick<Live<S>, "tokens" | "logProbability" | "coverage">,
    { steps, finished }: { steps: number; finished: boolean },
  ): void {
    const { nBest = 1, coveragePenalty = 0 } = this.options;
    let score = logProbability / this.#lengthPenalty(steps);
    if (coverage) score += coveragePenalty * coverageLoss(coverage);
    let rank = this.#found.length;
    while (rank > 0 && this.#found[rank - 1].score < score) rank--;
    if (rank >= nBest) return;
    this.#found.splice(rank, 0, { tokens: [...tokens], logProbability, score, finished });
    this.#found.length = Math.min(this.#found.length, nBest);
  }

  #lengthPenalty(steps: number): number {
    const { lengthPenalty = 0 } = this.options;
    return lengthPenalty === 0 ? 1 : ((5 + steps) / 6) ** lengthPenalty;
  }

  /**
   * True where no hypothesis that goes on can enter the list. Its log-probability can only fall and its penalty for coverage at best vanish, so it
   * never scores above its log-probability over the largest length penalty.
   */
  #settled(slots: readonly (Live<S> | undefined)[]): boolean {
    const { nBest = 1, maxLength } = this.options;
    if (this.#found.length < nBest) return false;
    const bar = this.#found[nBest - 1].score;
    const largest = this.#lengthPenalty(maxLength);
    return slots.every((live) => !live || live.logProbability / largest <= bar);
  }
}

/** Of the parents in slots 0 .. `limit` the one whose next extension is the likeliest; of equal ones the first. */
function bestParent<S>(parents: readonly Parent<S>[], limit: number): Parent<S> | undefined {
  let best: Parent<S> | undefined;
  let top = Number.NEGATIVE_INFINITY;
  for (const parent of parents) {
    if (parent.slot > limit) break;
    if (parent.next >= parent.order.length) continue;
    const score = parent.from.logProbability + parent.row[parent.order[parent.next]];
    if (best && score <= top) continue;
    best = parent;
    top = score;
  }
  return best;
}

/** Tokens that would complete an n-gram that the sequence holds already. */
function repeats(tokens: readonly number[], n: number): number[] {
  const found: number[] = [];
  const tail = tokens.length - (n - 1);
  if (tail < 0) return found;
  for (let start = 0; start + n <= tokens.length; start++) {
    let same = true;
    for (let i = 0; same && i < n - 1; i++) same = tokens[start + i] === tokens[tail + i];
    if (same) found.push(tokens[start + n - 1]);
  }
  return found;
}

/** Attention below this counts as this. */
const LEAST_COVERAGE = 1e-10;

function coverageLoss(coverage: Float64Array): number {
  let loss = 0;
  for (const seen of coverage) loss += Math.log(Math.min(1, Math.max(LEAST_COVERAGE, seen)));
  return loss;
}

function checkBeam(options: Omit<BeamOptions<unknown>, "starts">): void {
  const { width, nBest = 1, lengthPenalty = 0, coveragePenalty = 0, blockNgram = 0 } = options;
  checkWhole("the beam's width", width, { least: 1, where: WHERE });
  checkWhole("nBest", nBest, { least: 1, where: WHERE });
  checkWeight("lengthPenalty", lengthPenalty, WHERE);
  checkWeight("coveragePenalty", coveragePenalty, WHERE);
  checkWhole("blockNgram", blockNgram, { least: 0, where: WHERE });
}

function checkAttention({ attention }: StepScores<unknown>, { rows, step }: { rows: number; step: number }): void {
  const where = `${WHERE}, step ${step + 1}`;
  if (!attention) {
    throw new OstinatoError("OST_CONFIG", {
      what: "a coverage penalty needs attention weights, and the scorer gives none",
      where,
      repair: "leave out coveragePenalty, or use a model with attention",
    });
  }
  if (attention.length % rows !== 0) {
    throw new OstinatoError("OST_SHAPE", {
      what: "attention has one row for each row of tokens",
      expected: `[${rows}, source]`,
      got: `${attention.length} numbers`,
      where,
    });
  }
  if (attention.every((weight) => weight >= 0)) return;
  throw new OstinatoError("OST_NAN", { what: "an attention weight is NaN or negative", expected: "at least 0", where });
}

/**
 * @file Interpolated Witten-Bell estimates from the counts of n-grams, as a scorer of sequences: what an n-gram baseline, the fusion of a
 * transcription and the generation of text have in common.
 *
 *     P(w | h) = (c(h w) + T(h) P(w | h')) / (c(h) + T(h))          h' is h without its oldest code; P(w) above it is 1 / V
 *
 * c(h w) is how often w followed h, c(h) the sum over all w, T(h) how many different codes followed h (Witten & Bell 1991, IEEE Transactions
 * on Information Theory 37(4), method C; interpolation as in Chen & Goodman 1999, Computer Speech & Language 13(4)).
 */
import type { Batch } from "../core/batch.js";
import { CodeStream, NGramCounts } from "./ngram-counts.js";

/** Distributions over the next code, row by row: what decoding asks of a model. */
export interface NextCodeScorer<S> {
  readonly vocabSize: number;
  /** Before anything was read. */
  readonly initial: S;
  /**
   * Reads one code per row, each 0 .. vocabSize - 1, or vocabSize, which begins a sequence.
   *
   * @returns natural logarithms [rows, vocabSize] of what comes next, and the states after the codes. Rows do not influence each other.
   */
  advance(states: readonly S[], tokens: readonly number[]): { logProbabilities: Float64Array; states: S[] };
}

/** One code after another, each with its own log-probability: what the fusion of a transcription asks. */
export interface CodeScorer<S> {
  readonly vocabSize: number;
  readonly initial: S;
  /** The log-probability in nats of `token` in `state`, and the state after it. */
  advance(state: S, token: number): { logProbability: number; state: S };
}

export class WittenBell {
  readonly counts: NGramCounts;
  readonly #root: Float64Array;

  constructor(counts: NGramCounts) {
    this.counts = counts;
    const { vocabSize } = counts;
    const [total, types] = [counts.total(0), counts.types(0)];
    this.#root = new Float64Array(vocabSize).fill(1 / vocabSize);
    if (total === 0) return;
    this.#root.fill(types / vocabSize / (total + types));
    counts.forEachFollower(0, (code, count) => void (this.#root[code] += count / (total + types)));
  }

  /**
   * Learned from target sequences: `batch.tokens` of whole batches. Every sequence begins with a mark of its own, so that its first code
   * has a distribution too.
   *
   * @param options `order`: greatest order, >= 1; default 3
   */
  static fromTokens(
    batches: Iterable<Pick<Batch, "batchSize" | "tokens" | "tokenLengths">>,
    { vocabSize, order = 3 }: { vocabSize: number; order?: number },
  ): WittenBell {
    const stream = new CodeStream();
    for (const { batchSize, tokens, tokenLengths } of batches) {
      if (!tokens || !tokenLengths) continue;
      const most = tokens.length / Math.max(1, batchSize);
      for (let row = 0; row < batchSize; row++) {
        let input = vocabSize;
        for (let u = 0; u < tokenLengths[row]; u++) {
          stream.push(input, tokens[row * most + u], u === 0);
          input = tokens[row * most + u];
        }
      }
    }
    return new WittenBell(NGramCounts.count(stream, { vocabSize, contextSize: vocabSize + 1, order }));
  }

  /** The context before anything was read: the mark of a beginning where there is one. */
  get initial(): number {
    const { counts } = this;
    return counts.contextSize > counts.vocabSize ? counts.advance(0, counts.vocabSize) : 0;
  }

  /** P(code | context) by contexts of at most `order` - 1 codes. */
  probability(context: number, code: number): number {
    const { counts } = this;
    let rest = 1;
    let sum = 0;
    for (let node = context; node > 0; node = counts.shorter(node)) {
      const total = counts.total(node);
      if (total === 0) continue;
      const types = counts.types(node);
      sum += (rest * counts.countOf(node, code)) / (total + types);
      rest *= types / (total + types);
    }
    return sum + rest * this.#root[code];
  }

  /** Writes log P(. | context) of every code to `out` from `at` on. */
  write(context: number, out: Float32Array | Float64Array, at: number): void {
    const { counts } = this;
    const { vocabSize } = counts;
    let rest = 1;
    const seen = this.#seen;
    seen.fill(0);
    for (let node = context; node > 0; node = counts.shorter(node)) {
      const total = counts.total(node);
      if (total === 0) continue;
      const types = counts.types(node);
      const share = rest / (total + types);
      counts.forEachFollower(node, (code, count) => void (seen[code] += share * count));
      rest *= types / (total + types);
    }
    for (let code = 0; code < vocabSize; code++) out[at + code] = Math.log(seen[code] + rest * this.#root[code]);
  }

  get #seen(): Float64Array {
    this.#scratch ??= new Float64Array(this.counts.vocabSize);
    return this.#scratch;
  }
  #scratch: Float64Array | undefined;

  /** For generation. */
  nextCodeScorer(): NextCodeScorer<number> {
    const { vocabSize } = this.counts;
    return {
      vocabSize,
      initial: this.initial,
      advance: (states, tokens) => {
        const after = states.map((state, row) => this.counts.advance(state, tokens[row]));
        const logProbabilities = new Float64Array(states.length * vocabSize);
        after.forEach((state, row) => {
          this.write(state, logProbabilities, row * vocabSize);
        });
        return { logProbabilities, states: after };
      },
    };
  }

  /** For fusion. */
  codeScorer(): CodeScorer<number> {
    return {
      vocabSize: this.counts.vocabSize,
      initial: this.initial,
      advance: (state, token) => ({
        logProbability: Math.log(this.probability(state, token)),
        state: this.counts.advance(state, token),
      }),
    };
  }
}

/** @file How probable given sequences are under a model of next tokens. */
import { OstinatoError } from "../core/errors.js";
import { advanceRows, checkWhole, type SequenceStart, type StartOptions, type StepScorer, startsOf } from "./step-scorer.js";

export interface LikelihoodOptions<S> extends StartOptions<S> {
  /** Where given, each sequence is also asked how probable it is to end behind its tokens: one step more. */
  end?: number;
}

export interface SequenceLikelihood<S> {
  /** log p of each token given those before it, in nats; with an end token one more, for it. -Infinity where the model rules a token out. */
  stepLogProbabilities: number[];
  /** 1 + how many tokens were more probable than the given one, at each step: 1 is the model's own choice. */
  ranks: number[];
  /** Their sum; 0 for an empty sequence without an end token. */
  logProbability: number;
  /** Where the sequence stands behind its tokens (not the end token): a start for generating on from it. */
  after: SequenceStart<S>;
}

/**
 * Scores given tokens, each predicted from those before it (teacher forcing). Sequences are read together, a row each.
 *
 * @param sequences tokens 0 .. vocabSize - 1, one list per start, or any number of lists where no starts are given. May be empty.
 * @throws OST_RANGE for a token outside the vocabulary; OST_SHAPE; OST_NAN naming the step, if the scorer gives NaN or leaves no token possible.
 */
export function sequenceLikelihoods<S>(
  scorer: StepScorer<S>,
  sequences: readonly ArrayLike<number>[],
  options: LikelihoodOptions<S> = {},
): SequenceLikelihood<S>[] {
  const where = "sequenceLikelihoods";
  const { vocabSize, initial } = scorer;
  const { end } = options;
  const starts = startsOf(
    scorer,
    { starts: options.starts ?? sequences.map(() => ({ state: initial, token: vocabSize })) },
    where,
  );
  check(sequences, { starts: starts.length, vocabSize, end, where });
  const results = starts.map(
    (start): SequenceLikelihood<S> => ({ stepLogProbabilities: [], ranks: [], logProbability: 0, after: start }),
  );
  const longest = sequences.reduce((most, { length }) => Math.max(most, length), 0);
  for (let step = 0; step < longest + (end === undefined ? 0 : 1); step++) {
    const live = results
      .map((_, i) => i)
      .filter((i) => step < sequences[i].length || (step === sequences[i].length && end !== undefined));
    const rows = {
      states: live.map((i) => results[i].after.state),
      tokens: live.map((i) => results[i].after.token),
      sequences: live,
    };
    const { logProbabilities, states } = advanceRows(scorer, rows, { step, where });
    live.forEach((i, row) => {
      const result = results[i];
      const given = step < sequences[i].length ? sequences[i][step] : (end as number);
      const scores = logProbabilities.subarray(row * vocabSize, (row + 1) * vocabSize);
      result.stepLogProbabilities.push(scores[given]);
      result.logProbability += scores[given];
      result.ranks.push(rankOf(scores, given));
      if (step < sequences[i].length) result.after = { ...result.after, state: states[row], token: given };
    });
  }
  return results;
}

function rankOf(scores: Float32Array | Float64Array, token: number): number {
  let rank = 1;
  for (let v = 0; v < scores.length; v++) if (scores[v] > scores[token]) rank++;
  return rank;
}

function check(
  sequences: readonly ArrayLike<number>[],
  { starts, vocabSize, end, where }: { starts: number; vocabSize: number; end: number | undefined; where: string },
): void {
  if (starts !== sequences.length) {
    throw new OstinatoError("OST_SHAPE", {
      what: "one start for each sequence is wanted",
      expected: `${sequences.length} starts`,
      got: String(starts),
      where,
    });
  }
  if (end !== undefined) checkWhole("the end token", end, { least: 0, most: vocabSize - 1, where });
  sequences.forEach((tokens, i) => {
    for (let step = 0; step < tokens.length; step++) {
      checkWhole("a token", tokens[step], {
        least: 0,
        most: vocabSize - 1,
        where: `${where}, sequence ${i + 1}, step ${step + 1}`,
      });
    }
  });
}

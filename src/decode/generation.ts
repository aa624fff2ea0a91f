/** @file Token after token: each step one token is chosen from the distribution of the next one, and read in its turn. */
import { advanceRows, checkWhole, type StartOptions, type StepScorer, startsOf } from "./step-scorer.js";

export interface GenerationOptions<S> extends StartOptions<S> {
  /** Steps at most, the one that gives the end token included. 0 gives empty sequences of log-probability 0. */
  maxLength: number;
  /** The token that ends a sequence. Default none: every sequence has maxLength tokens. */
  end?: number;
}

export interface GeneratedSequence {
  /** Without the token that began the sequence and without the end token. */
  tokens: number[];
  /** log p of the tokens, and of the end token where the sequence has ended, by the model, in nats. */
  logProbability: number;
  /** The terms of `logProbability`: one per token, and one for the end token where the sequence has ended. */
  stepLogProbabilities: number[];
  /** True if the end token was chosen, false if the sequence was cut at maxLength. */
  finished: boolean;
}

/** Picks one token of a row of log-probabilities, [vocabSize]; it must have positive probability. */
export type TokenChoice = (row: Float32Array | Float64Array, sequence: number) => number;

/** @throws OST_RANGE */
export function checkGeneration({ maxLength, end }: GenerationOptions<never>, vocabSize: number, where: string): void {
  checkWhole("maxLength", maxLength, { least: 0, where });
  if (end !== undefined) checkWhole("the end token", end, { least: 0, most: vocabSize - 1, where });
}

/** One sequence per start. Sequences are read together, a row each; those that have ended drop out. */
export function generate<S>(
  scorer: StepScorer<S>,
  options: GenerationOptions<S>,
  { choose, where }: { choose: TokenChoice; where: string },
): GeneratedSequence[] {
  const { vocabSize } = scorer;
  const { maxLength, end } = options;
  const starts = startsOf(scorer, options, where);
  checkGeneration({ maxLength, end }, vocabSize, where);
  const results = starts.map(
    (): GeneratedSequence => ({
      tokens: [],
      logProbability: 0,
      stepLogProbabilities: [],
      finished: false,
    }),
  );
  let live = starts.map(({ state, token }, sequence) => ({ state, token, sequence }));
  for (let step = 0; step < maxLength && live.length > 0; step++) {
    const rows = {
      states: live.map(({ state }) => state),
      tokens: live.map(({ token }) => token),
      sequences: live.map(({ sequence }) => sequence),
    };
    const { logProbabilities, states } = advanceRows(scorer, rows, { step, where });
    const next: typeof live = [];
    live.forEach(({ sequence }, i) => {
      const row = logProbabilities.subarray(i * vocabSize, (i + 1) * vocabSize);
      const token = choose(row, sequence);
      const result = results[sequence];
      result.logProbability += row[token];
      result.stepLogProbabilities.push(row[token]);
      if (token === end) {
        result.finished = true;
        return;
      }
      result.tokens.push(token);
      next.push({ state: states[i], token, sequence });
    });
    live = next;
  }
  return results;
}

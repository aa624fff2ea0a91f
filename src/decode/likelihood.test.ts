import { describe, expect, it } from "vitest";
import { greedy } from "./greedy.js";
import { sequenceLikelihoods } from "./likelihood.js";
import type { StepScorer } from "./step-scorer.js";

/** Probabilities by the token before; the begin token is 3. */
const TABLE = [
  [0.5, 0.3, 0.2],
  [0.1, 0.9, 0],
  [0.25, 0.25, 0.5],
  [0.6, 0.3, 0.1],
];
const chain: StepScorer<number> = {
  vocabSize: 3,
  initial: 0,
  advance: (states, tokens) => ({
    logProbabilities: Float64Array.from(tokens.flatMap((token) => TABLE[token].map(Math.log))),
    states: states.map((steps) => steps + 1),
  }),
};

describe("scoring sequences", () => {
  it("adds up the log-probability of each token given those before it, and ranks it", () => {
    const [{ stepLogProbabilities, logProbability, ranks, after }] = sequenceLikelihoods(chain, [[1, 1, 0, 2]]);
    expect(stepLogProbabilities).toEqual([0.3, 0.9, 0.1, 0.2].map(Math.log));
    expect(logProbability).toBeCloseTo(Math.log(0.3 * 0.9 * 0.1 * 0.2), 12);
    expect(ranks).toEqual([2, 1, 2, 3]);
    expect(after).toEqual({ state: 4, token: 2 });
  });

  it("asks for the end behind the last token, and does not read it", () => {
    const [{ stepLogProbabilities, after }] = sequenceLikelihoods(chain, [Int32Array.of(0)], { end: 2 });
    expect(stepLogProbabilities).toEqual([Math.log(0.6), Math.log(0.2)]);
    expect(after).toEqual({ state: 1, token: 0 });
  });

  it("gives the lowest rank of equally likely tokens to all of them", () => {
    expect(
      sequenceLikelihoods(chain, [
        [2, 0],
        [2, 1],
      ]).map(({ ranks }) => ranks),
    ).toEqual([
      [3, 2],
      [3, 2],
    ]);
  });

  it("gives -Infinity where the model rules a token out", () => {
    const [score] = sequenceLikelihoods(chain, [[1, 2, 2]]);
    expect(score.stepLogProbabilities).toEqual([Math.log(0.3), Number.NEGATIVE_INFINITY, Math.log(0.5)]);
    expect(score.logProbability).toBe(Number.NEGATIVE_INFINITY);
  });

  it("gives a sequence the same numbers alone and among longer and shorter ones, bit for bit", () => {
    const sequences = [[0, 1, 1], [], [2], [1, 0, 0, 2, 2]];
    const together = sequenceLikelihoods(chain, sequences, { end: 0 });
    sequences.forEach((tokens, i) => {
      expect(sequenceLikelihoods(chain, [tokens], { end: 0 })).toEqual([together[i]]);
    });
  });

  it("of two parts adds up to the score of the whole", () => {
    const [whole] = sequenceLikelihoods(chain, [[0, 2, 1, 1]]);
    const [head] = sequenceLikelihoods(chain, [[0, 2]]);
    const [tail] = sequenceLikelihoods(chain, [[1, 1]], { starts: [head.after] });
    expect([...head.stepLogProbabilities, ...tail.stepLogProbabilities]).toEqual(whole.stepLogProbabilities);
    expect(tail.after).toEqual(whole.after);
  });

  it("confirms what greedy decoding says of itself, and finds every token of it ranked first", () => {
    const [found] = greedy(chain, { maxLength: 7 });
    expect(found.tokens).toEqual([0, 0, 0, 0, 0, 0, 0]);
    const [score] = sequenceLikelihoods(chain, [found.tokens]);
    expect(score.stepLogProbabilities).toEqual(found.stepLogProbabilities);
    expect(score.ranks).toEqual(found.tokens.map(() => 1));
  });

  it("defines no sequences and empty ones", () => {
    expect(sequenceLikelihoods(chain, [])).toEqual([]);
    expect(sequenceLikelihoods(chain, [[]])).toEqual([
      { stepLogProbabilities: [], ranks: [], logProbability: 0, after: { state: 0, token: 3 } },
    ]);
  });

  it("refuses tokens outside the vocabulary by their place, and starts that do not match", () => {
    expect(() => sequenceLikelihoods(chain, [[0], [1, 3]])).toThrow(/OST_RANGE .*sequence 2, step 2/);
    expect(() => sequenceLikelihoods(chain, [[-1]])).toThrow(/OST_RANGE/);
    expect(() => sequenceLikelihoods(chain, [[0]], { end: 3 })).toThrow(/OST_RANGE/);
    expect(() => sequenceLikelihoods(chain, [[0], [1]], { starts: [{ state: 0, token: 3 }] })).toThrow(/OST_SHAPE/);
  });
});

describe("greedy decoding", () => {
  it("takes the likeliest token of each step, stops at the end token, and counts it", () => {
    const starts = [
      { state: 0, token: 3 },
      { state: 0, token: 2 },
      { state: 0, token: 1 },
    ];
    const [first, second, third] = greedy(chain, { starts, maxLength: 2, end: 2 });
    expect(first).toEqual({
      tokens: [0, 0],
      finished: false,
      stepLogProbabilities: [0.6, 0.5].map(Math.log),
      logProbability: Math.log(0.6) + Math.log(0.5),
    });
    expect(second).toEqual({ tokens: [], finished: true, stepLogProbabilities: [Math.log(0.5)], logProbability: Math.log(0.5) });
    expect(third.tokens).toEqual([1, 1]);
  });

  it("gives a sequence the same numbers alone and among others, and defines no steps", () => {
    const starts = [0, 1, 2, 3].map((token) => ({ state: 0, token }));
    const together = greedy(chain, { starts, maxLength: 4, end: 2 });
    starts.forEach((start, i) => {
      expect(greedy(chain, { starts: [start], maxLength: 4, end: 2 })).toEqual([together[i]]);
    });
    expect(greedy(chain, { maxLength: 0 })).toEqual([
      { tokens: [], finished: false, stepLogProbabilities: [], logProbability: 0 },
    ]);
    expect(greedy(chain, { starts: [], maxLength: 3 })).toEqual([]);
  });

  it("takes a log-probability that rounding lifted above 0 as 0, and changes nothing of the scorer's", () => {
    const given = Float32Array.of(1e-7, -20);
    const lifted: StepScorer<null> = {
      vocabSize: 2,
      initial: null,
      advance: () => ({ logProbabilities: given, states: [null] }),
    };
    expect(greedy(lifted, { maxLength: 1 })[0].logProbability).toBe(0);
    expect(given[0]).toBeGreaterThan(0);
  });
});

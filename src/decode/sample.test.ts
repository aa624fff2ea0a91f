import { describe, expect, it } from "vitest";
import { seed as seeded } from "../core/rng.js";
import { greedy } from "./greedy.js";
import { sequenceLikelihoods } from "./likelihood.js";
import { logSumExp } from "./log-sum-exp.js";
import { type DrawOptions, drawToken, sample } from "./sample.js";
import { sequenceRng } from "./sequence-rng.js";
import type { StepScorer } from "./step-scorer.js";

/** A Markov chain with a drawn table; `zero` is a token that is never possible. */
function chainScorer(vocabSize: number, { zero }: { zero?: number } = {}): StepScorer<null> {
  const rng = seeded(vocabSize);
  const table = Array.from({ length: vocabSize + 1 }, () => {
    const raw = Array.from({ length: vocabSize }, (_, v) => (v === zero ? Number.NEGATIVE_INFINITY : rng.normal()));
    const total = logSumExp(raw);
    return raw.map((score) => score - total);
  });
  return {
    vocabSize,
    initial: null,
    advance: (states, tokens) => ({
      logProbabilities: Float32Array.from(tokens.flatMap((token) => table[token])),
      states: [...states],
    }),
  };
}

/** Pearson's statistic of counts against shares; shares of 0 must have counts of 0. */
function chiSquare(counts: number[], shares: number[]): { statistic: number; freedom: number } {
  const n = counts.reduce((a, b) => a + b, 0);
  let statistic = 0;
  let freedom = -1;
  shares.forEach((share, v) => {
    if (share === 0) {
      expect(counts[v]).toBe(0);
      return;
    }
    statistic += (counts[v] - n * share) ** 2 / (n * share);
    freedom++;
  });
  return { statistic, freedom };
}

/** Upper 0.1 % points of the chi-square distribution, by degrees of freedom from 1. */
const CRITICAL = [10.828, 13.816, 16.266, 18.467, 20.515];

const P = [0.4, 0.05, 0.3, 0, 0.15, 0.1];
const LOG_P = P.map(Math.log);
const normalise = (weights: number[]) => weights.map((w) => w / weights.reduce((a, b) => a + b, 0));

describe("drawing a token", () => {
  const cases: [name: string, options: DrawOptions, shares: number[]][] = [
    ["plainly", {}, P],
    ["sharpened", { temperature: 0.5 }, normalise(P.map((p) => p ** 2))],
    ["flattened", { temperature: 2 }, normalise(P.map((p) => p ** 0.5))],
    ["of the 2 likeliest", { topK: 2 }, [4 / 7, 0, 3 / 7, 0, 0, 0]],
    ["of the nucleus of 0.8", { topP: 0.8 }, normalise([0.4, 0, 0.3, 0, 0.15, 0])],
    ["of a nucleus of less than the likeliest", { topP: 0.01 }, [1, 0, 0, 0, 0, 0]],
    ["of the nucleus of what top-k left", { topK: 3, topP: 0.8 }, [4 / 7, 0, 3 / 7, 0, 0, 0]],
    ["sharpened, then cut to a nucleus", { temperature: 0.5, topP: 0.85 }, [16 / 25, 0, 9 / 25, 0, 0, 0]],
  ];
  it.each(cases)("%s has the frequencies of its probabilities", (_, options, shares) => {
    const rng = seeded(11);
    const counts = P.map(() => 0);
    for (let i = 0; i < 20_000; i++) counts[drawToken(LOG_P, rng, options)]++;
    const { statistic, freedom } = chiSquare(counts, shares);
    expect(statistic).toBeLessThan(freedom > 0 ? CRITICAL[freedom - 1] : 1e-9);
  });

  it("with top-k of all and top-p of 1 equals drawing plainly", () => {
    for (const options of [{ topK: P.length }, { topK: 1000 }, { topP: 1 }, { topK: P.length, topP: 1, temperature: 1 }]) {
      const [a, b] = [seeded(3), seeded(3)];
      for (let i = 0; i < 500; i++) expect(drawToken(LOG_P, a, options)).toBe(drawToken(LOG_P, b));
    }
  });

  it("of a nucleus of hundreds draws each of its tokens, and no other", () => {
    const p = normalise(Array.from({ length: 300 }, (_, v) => 1 + ((v * 7) % 300) / 300));
    const order = p.map((_, v) => v).sort((a, b) => p[b] - p[a]);
    let mass = 0;
    const nucleus = order.filter((v) => {
      const wanted = mass < 0.61;
      mass += p[v];
      return wanted;
    });
    const rng = seeded(9);
    const drawn = new Set(Array.from({ length: 10_000 }, () => drawToken(p.map(Math.log), rng, { topP: 0.61 })));
    expect(nucleus.length).toBeGreaterThan(100);
    expect([...drawn].sort()).toEqual([...nucleus].sort());
  });

  it("keeps the lowest of equally likely tokens", () => {
    const even = [Math.log(0.25), Math.log(0.25), Math.log(0.25), Math.log(0.25)];
    const drawn = new Set(Array.from({ length: 200 }, (_, i) => drawToken(even, seeded(i), { topK: 2 })));
    expect([...drawn].sort()).toEqual([0, 1]);
  });

  it("does not depend on a constant added to the scores", () => {
    for (let i = 0; i < 100; i++) {
      expect(
        drawToken(
          LOG_P.map((score) => score + 512),
          seeded(i),
          { topP: 0.9 },
        ),
      ).toBe(drawToken(LOG_P, seeded(i), { topP: 0.9 }));
    }
  });

  it("refuses NaN, Infinity, nothing possible, and options outside their range", () => {
    const rng = seeded(1);
    for (const row of [[Number.NaN, 0], [Number.POSITIVE_INFINITY, 0], [Number.NEGATIVE_INFINITY], []]) {
      expect(() => drawToken(row, rng)).toThrow(/OST_NAN/);
    }
    for (const options of [
      { temperature: -1 },
      { temperature: Number.NaN },
      { topK: 0 },
      { topK: 1.5 },
      { topP: 0 },
      { topP: 1.1 },
    ]) {
      expect(() => drawToken([0], rng, options)).toThrow(/OST_RANGE/);
    }
  });
});

describe("sampling sequences", () => {
  const scorer = chainScorer(5);
  const start = { state: null, token: 5 };
  const options = { maxLength: 12, end: 4, seed: 7 };

  it("gives a sequence the same tokens and numbers alone and among others, bit for bit", () => {
    const together = sample(scorer, { ...options, starts: [start, start, start, start] });
    for (let i = 0; i < 4; i++) expect(sample(scorer, { ...options, starts: [start], first: i })).toEqual([together[i]]);
    expect(new Set(together.map(({ tokens }) => tokens.join())).size).toBeGreaterThan(1);
  });

  it("is its seed's: the same again, another with another seed", () => {
    expect(sample(scorer, options)).toEqual(sample(scorer, options));
    const drawn = Array.from({ length: 10 }, (_, seed) => sample(scorer, { ...options, seed })[0].tokens.join());
    expect(new Set(drawn).size).toBeGreaterThan(1);
  });

  it("of temperature 0, and of top-k 1, equals greedy decoding", () => {
    for (const draw of [{ temperature: 0 }, { topK: 1 }]) {
      expect(sample(scorer, { ...options, ...draw })).toEqual(greedy(scorer, options));
    }
  });

  it("reports the model's own log-probability, whatever the temperature", () => {
    for (const { tokens, logProbability, stepLogProbabilities, finished } of sample(scorer, {
      ...options,
      temperature: 3,
      starts: [start, start, start],
    })) {
      const [score] = sequenceLikelihoods(scorer, [tokens], finished ? { end: 4 } : {});
      expect(stepLogProbabilities).toEqual(score.stepLogProbabilities);
      expect(logProbability).toBe(score.logProbability);
    }
  });

  it("has the frequencies of whole sequences", () => {
    const small = chainScorer(2);
    const starts = Array.from({ length: 8000 }, () => ({ state: null, token: 2 }));
    const words = [
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ];
    const drawn = sample(small, { maxLength: 2, seed: 21, starts });
    const counts = words.map((word) => drawn.filter(({ tokens }) => tokens.join() === word.join()).length);
    const shares = sequenceLikelihoods(small, words).map(({ logProbability }) => Math.exp(logProbability));
    const { statistic, freedom } = chiSquare(counts, shares);
    expect(statistic).toBeLessThan(CRITICAL[freedom - 1]);
  });

  it("never draws what is impossible", () => {
    const drawn = sample(chainScorer(3, { zero: 0 }), { maxLength: 200, seed: 1 })[0];
    expect(drawn.tokens).toHaveLength(200);
    expect(drawn.tokens).not.toContain(0);
    expect(drawn.logProbability).toBeGreaterThan(Number.NEGATIVE_INFINITY);
  });

  it("defines no steps, no sequences and one token", () => {
    const nothing = { tokens: [], logProbability: 0, stepLogProbabilities: [], finished: false };
    expect(sample(scorer, { ...options, maxLength: 0 })).toEqual([nothing]);
    expect(sample(scorer, { ...options, starts: [] })).toEqual([]);
    expect(sample(chainScorer(1), { maxLength: 2, seed: 1 })[0].tokens).toEqual([0, 0]);
  });

  it("refuses NaN by its step, and options outside their range", () => {
    const broken: StepScorer<number> = {
      vocabSize: 2,
      initial: 0,
      advance: (states) => ({
        logProbabilities: Float64Array.from(states.flatMap((step) => [step === 3 ? Number.NaN : Math.log(0.5), Math.log(0.5)])),
        states: states.map((step) => step + 1),
      }),
    };
    expect(() => sample(broken, { maxLength: 9, seed: 1 })).toThrow(/OST_NAN .*sequence 1, step 4/);
    expect(() => greedy(broken, { maxLength: 9 })).toThrow(/OST_NAN .*sequence 1, step 4/);
    expect(() => sample(scorer, { ...options, topP: 2 })).toThrow(/OST_RANGE/);
    expect(() => sample(scorer, { ...options, maxLength: 1.5 })).toThrow(/OST_RANGE/);
    expect(() => sample(scorer, { ...options, starts: [{ state: null, token: -1 }] })).toThrow(/OST_RANGE/);
  });
});

describe("the generators of sequences", () => {
  it("differ by seed and by index, also where both are the same integer", () => {
    const streams = new Set<string>();
    for (let seed = 0; seed < 40; seed++)
      for (let index = 0; index < 40; index++) streams.add(sequenceRng(seed, index).state.join());
    expect(streams.size).toBe(1600);
  });

  it("are uniform across sequences at the same draw", () => {
    const counts = new Array(4).fill(0);
    for (let index = 0; index < 8000; index++) counts[Math.floor(4 * sequenceRng(5, index).uniform())]++;
    expect(chiSquare(counts, [0.25, 0.25, 0.25, 0.25]).statistic).toBeLessThan(CRITICAL[2]);
  });
});

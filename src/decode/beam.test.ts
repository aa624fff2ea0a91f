import { describe, expect, it } from "vitest";
import { seed as seeded } from "../core/rng.js";
import { type BeamHypothesis, type BeamOptions, beamSearch } from "./beam.js";
import { greedy } from "./greedy.js";
import { sequenceLikelihoods } from "./likelihood.js";
import { logSumExp } from "./log-sum-exp.js";
import type { StepScorer } from "./step-scorer.js";

/** A model whose next token depends on everything before it, by a table drawn per history: nothing about it is regular. */
function historyScorer(vocabSize: number, seed: number, { zeros = 0, source = 0 } = {}): StepScorer<string> {
  return {
    vocabSize,
    initial: "",
    advance(states, tokens) {
      const histories = states.map((state, i) => `${state},${tokens[i]}`);
      const drawn = histories.map((history) => {
        const rng = seeded([...history].reduce((hash, c) => (Math.imul(hash, 31) + c.charCodeAt(0)) | 0, seed));
        const raw = Array.from({ length: vocabSize }, () => 2 * rng.normal());
        for (let v = 1; v < vocabSize; v++) if (rng.uniform() < zeros) raw[v] = Number.NEGATIVE_INFINITY;
        const total = logSumExp(raw);
        const looks = Array.from({ length: source }, () => rng.uniform());
        const all = looks.reduce((a, b) => a + b, 0);
        return { row: raw.map((score) => score - total), looks: looks.map((look) => look / all) };
      });
      return {
        logProbabilities: Float64Array.from(drawn.flatMap(({ row }) => row)),
        states: histories,
        ...(source > 0 && { attention: Float32Array.from(drawn.flatMap(({ looks }) => looks)) }),
      };
    },
  };
}

/** Every complete hypothesis: all token lists of maxLength, and, with an end token, all shorter ones that end. */
function enumerate(scorer: StepScorer<string>, { maxLength, end, lengthPenalty = 0 }: BeamOptions<string>): BeamHypothesis[] {
  const found: BeamHypothesis[] = [];
  const visit = (tokens: number[], before: { state: string; token: number }, logProbability: number) => {
    const keep = (steps: number, logP: number, finished: boolean) => {
      if (logP === Number.NEGATIVE_INFINITY) return;
      found.push({ tokens, logProbability: logP, score: logP / ((5 + steps) / 6) ** lengthPenalty, finished });
    };
    if (tokens.length === maxLength) {
      keep(maxLength, logProbability, false);
      return;
    }
    const { logProbabilities, states } = scorer.advance([before.state], [before.token]);
    logProbabilities.forEach((logP, token) => {
      if (token === end) keep(tokens.length + 1, logProbability + logP, true);
      else visit([...tokens, token], { state: states[0], token }, logProbability + logP);
    });
  };
  visit([], { state: scorer.initial, token: scorer.vocabSize }, 0);
  return found.sort((a, b) => b.score - a.score);
}

const TOYS = Array.from({ length: 40 }, (_, i) => ({
  scorer: historyScorer(3 + (i % 2), i, { zeros: i % 3 === 0 ? 0.3 : 0 }),
  maxLength: 1 + (i % 5),
  end: i % 4 === 3 ? undefined : i % 3,
  lengthPenalty: [0, 0.6, 1, 2][i % 4],
}));

describe("beam search", () => {
  it("of width 1 equals greedy decoding", () => {
    for (const { scorer, maxLength, end } of TOYS) {
      const [[found]] = beamSearch(scorer, { maxLength, end, width: 1 });
      const [{ tokens, logProbability, finished }] = greedy(scorer, { maxLength, end });
      expect(found).toEqual({ tokens, logProbability, finished, score: logProbability });
    }
  });

  it("as wide as the tree finds every hypothesis, in the order of their scores", () => {
    for (const { scorer, ...options } of TOYS) {
      const all = enumerate(scorer, { ...options, width: 1 });
      for (const pruning of ["monotonic", "global"] as const) {
        const [found] = beamSearch(scorer, { ...options, width: all.length, nBest: all.length + 5, pruning });
        expect(found.map(({ tokens, finished }) => [tokens, finished])).toEqual(
          all.map(({ tokens, finished }) => [tokens, finished]),
        );
        found.forEach((each, i) => {
          expect(each.score).toBeCloseTo(all[i].score, 12);
          expect(each.logProbability).toBeCloseTo(all[i].logProbability, 12);
        });
        const [[best]] = beamSearch(scorer, { ...options, width: all.length, pruning });
        expect(best).toEqual(found[0]);
      }
    }
  });

  it("never finds a worse score with a wider beam, whatever the penalties and blocks", () => {
    for (const [i, { scorer, ...options }] of TOYS.entries()) {
      const seen = historyScorer(scorer.vocabSize, i, { source: 3 });
      for (const extra of [{}, { blockNgram: 1 + (i % 2) }, { coveragePenalty: 0.4 }]) {
        const scores = Array.from({ length: 30 }, (_, w) => beamSearch(seen, { ...options, ...extra, width: w + 1 })[0][0].score);
        expect(scores).toEqual([...scores].sort((a, b) => a - b));
      }
    }
  });

  it("with global pruning can lose what a narrower beam found; monotonic pruning does not", () => {
    const third = 1 / 3;
    const table: Record<string, number[]> = {
      "": [0.51, 0.49, 0],
      "0": [0.34, 0.33, 0.33],
      "1": [0.5, 0.5, 0],
      "00": [1, 0, 0],
    };
    const scorer: StepScorer<string> = {
      vocabSize: 3,
      initial: "",
      advance(states, tokens) {
        const read = states.map((state, i) => (tokens[i] === 3 ? state : `${state}${tokens[i]}`));
        const rows = read.flatMap((history) => table[history] ?? [third, third, third]);
        return { logProbabilities: Float64Array.from(rows, Math.log), states: read };
      },
    };
    const best = (width: number, pruning: "monotonic" | "global") =>
      Math.exp(beamSearch(scorer, { maxLength: 3, width, pruning })[0][0].score);
    expect(best(1, "global")).toBeCloseTo(0.51 * 0.34, 12);
    expect(best(2, "global")).toBeCloseTo(0.49 * 0.5 * third, 12);
    expect(best(2, "monotonic")).toBeCloseTo(0.51 * 0.34, 12);
    expect(best(27, "global")).toBe(best(27, "monotonic"));
  });

  it("never beats the exact best, in either form", () => {
    for (const { scorer, ...options } of TOYS) {
      const exact = enumerate(scorer, { ...options, width: 1 })[0].score;
      for (const pruning of ["monotonic", "global"] as const) {
        for (const width of [1, 2, 3, 5]) {
          expect(beamSearch(scorer, { ...options, width, pruning })[0][0].score).toBeLessThanOrEqual(exact + 1e-12);
        }
      }
    }
  });

  it("stops early only where nothing better could come: the best of many is the best of one", () => {
    for (const { scorer, ...options } of TOYS) {
      for (const width of [1, 2, 3, 7]) {
        const [many] = beamSearch(scorer, { ...options, width, nBest: 1000 });
        expect(beamSearch(scorer, { ...options, width, nBest: 1 })[0]).toEqual(many.slice(0, 1));
        expect(beamSearch(scorer, { ...options, width, nBest: 3 })[0]).toEqual(many.slice(0, 3));
      }
    }
  });

  it("gives a sequence the same numbers alone and among others, bit for bit", () => {
    const scorer = historyScorer(4, 5, { source: 3 });
    const starts = Array.from({ length: 6 }, (_, i) => ({ state: `s${i}`, token: i, sourceLength: i % 4 }));
    for (const extra of [{}, { pruning: "global" as const }, { coveragePenalty: 0.2, lengthPenalty: 0.8, blockNgram: 2 }]) {
      const options = { maxLength: 6, end: 0, width: 3, nBest: 3, ...extra };
      const together = beamSearch(scorer, { ...options, starts });
      starts.forEach((start, i) => {
        expect(beamSearch(scorer, { ...options, starts: [start] })).toEqual([together[i]]);
      });
    }
  });

  it("gives log-probabilities that scoring the tokens confirms", () => {
    const scorer = historyScorer(4, 8);
    const [found] = beamSearch(scorer, { maxLength: 5, end: 0, width: 4, nBest: 4 });
    for (const { tokens, logProbability, finished } of found) {
      const [score] = sequenceLikelihoods(scorer, [tokens], finished ? { end: 0 } : {});
      expect(logProbability).toBe(score.logProbability);
    }
  });

  it("ranks by the length and coverage penalties of Wu et al. 2016", () => {
    const p = [0.5, 0.25];
    const scorer: StepScorer<number> = {
      vocabSize: 2,
      initial: 0,
      advance: (states) => ({
        logProbabilities: Float64Array.from(states.flatMap(() => p.map(Math.log))),
        states: states.map((step) => step + 1),
        attention: Float32Array.from(states.flatMap((step) => (step === 0 ? [0.75, 0.25, 0, 9] : [0.5, 0.5, 0, 9]))),
      }),
    };
    const starts = [{ state: 0, token: 2, sourceLength: 3 }];
    const options = { starts, maxLength: 2, end: 1, width: 9, nBest: 9, lengthPenalty: 0.7, coveragePenalty: 0.3 };
    const [found] = beamSearch(scorer, options);
    const nothing = 0.3 * Math.log(1e-10);
    const expected = [
      { tokens: [0, 0], finished: false, score: Math.log(0.25) / (7 / 6) ** 0.7 + 0.3 * Math.log(0.75) + nothing },
      { tokens: [], finished: true, score: Math.log(0.25) + 0.3 * (Math.log(0.75) + Math.log(0.25)) + nothing },
      { tokens: [0], finished: true, score: Math.log(0.125) / (7 / 6) ** 0.7 + 0.3 * Math.log(0.75) + nothing },
    ].sort((a, b) => b.score - a.score);
    expect(found.map(({ tokens, finished }) => ({ tokens, finished }))).toEqual(
      expected.map(({ tokens, finished }) => ({ tokens, finished })),
    );
    found.forEach(({ score }, i) => {
      expect(score).toBeCloseTo(expected[i].score, 6);
    });
  });

  it("with a length penalty prefers longer sequences than without", () => {
    const lengths = (lengthPenalty: number) =>
      TOYS.map(({ scorer }) => beamSearch(scorer, { maxLength: 5, end: 0, width: 200, lengthPenalty })[0][0].tokens.length);
    const total = (values: number[]) => values.reduce((a, b) => a + b, 0);
    expect(total(lengths(2))).toBeGreaterThan(total(lengths(0)));
  });

  it("repeats no n-gram that is blocked, and equals the best of the sequences without repeats", () => {
    for (const n of [1, 2, 3]) {
      for (const { scorer, end } of TOYS.slice(0, 8)) {
        const options = { maxLength: 5, end, width: 1024 };
        const repeated = (tokens: number[]) => {
          const grams = tokens.slice(n - 1).map((_, i) => tokens.slice(i, i + n).join());
          return new Set(grams).size < grams.length;
        };
        const [found] = beamSearch(scorer, { ...options, blockNgram: n, nBest: 1024 });
        const whole = found.filter(({ tokens, finished }) => finished || tokens.length === 5);
        const allowed = enumerate(scorer, options).filter(({ tokens }) => !repeated(tokens));
        expect(whole.map(({ tokens }) => tokens)).toEqual(allowed.map(({ tokens }) => tokens));
      }
    }
  });

  it("cuts a hypothesis that blocking leaves no token", () => {
    const scorer = historyScorer(1, 0);
    expect(beamSearch(scorer, { maxLength: 5, width: 2, blockNgram: 1 })).toEqual([
      [{ tokens: [0], logProbability: 0, score: 0, finished: false }],
    ]);
  });

  it("defines no steps, no sequences, one token, and a beam wider than the vocabulary", () => {
    const empty = { tokens: [], logProbability: 0, score: 0, finished: false };
    expect(beamSearch(historyScorer(3, 1), { maxLength: 0, width: 4, lengthPenalty: 1 })).toEqual([[empty]]);
    expect(beamSearch(historyScorer(3, 1), { starts: [], maxLength: 4, width: 4 })).toEqual([]);
    expect(beamSearch(historyScorer(1, 1), { maxLength: 3, width: 4, nBest: 4 })[0]).toEqual([{ ...empty, tokens: [0, 0, 0] }]);
    expect(beamSearch(historyScorer(3, 1), { maxLength: 1, width: 50, nBest: 50 })[0]).toHaveLength(3);
  });

  it("refuses NaN by its step, rows without a token, logits, and options outside their range", () => {
    const broken = (row: number[]): StepScorer<number> => ({
      vocabSize: 2,
      initial: 0,
      advance: (states) => ({
        logProbabilities: Float64Array.from(states.flatMap((step) => (step === 2 ? row : [-1, -2]))),
        states: states.map((step) => step + 1),
      }),
    });
    const search = (scorer: StepScorer<number>, extra: object = {}) => beamSearch(scorer, { maxLength: 5, width: 2, ...extra });
    expect(() => search(broken([Number.NaN, 0]))).toThrow(/OST_NAN .*sequence 1, step 3/);
    expect(() => search(broken([-0.1, Number.NaN]))).toThrow(/OST_NAN .*step 3.*token 1/);
    expect(() => search(broken([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]))).toThrow(
      /OST_NAN .*step 3.*no token is possible/,
    );
    expect(() => search(broken([2, 1]))).toThrow(/OST_RANGE .*log-softmax/s);
    expect(() => search(broken([-1]))).toThrow(/OST_SHAPE .*step 3/);
    const fine = broken([-1, -2]);
    for (const extra of [{ width: 0 }, { width: 1.5 }, { nBest: 0 }, { maxLength: -1 }, { maxLength: Number.NaN }, { end: 2 }]) {
      expect(() => search(fine, extra)).toThrow(/OST_RANGE/);
    }
    for (const extra of [{ lengthPenalty: -1 }, { coveragePenalty: Number.NaN }, { blockNgram: -1 }]) {
      expect(() => search(fine, extra)).toThrow(/OST_RANGE/);
    }
    expect(() => search(fine, { coveragePenalty: 1 })).toThrow(/OST_CONFIG .*attention/);
  });
});

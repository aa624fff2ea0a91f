import { describe, expect, it } from "vitest";
import { seed as seeded } from "../core/rng.js";
import { CtcBeam, ctcBeam, type FusionModel } from "./ctc-beam.js";
import { logSumExp } from "./log-sum-exp.js";

function frames(count: number, classes: number, seed: number, { zeros = 0 } = {}): Float64Array {
  const rng = seeded(seed);
  const rows = Array.from({ length: count }, () => {
    const raw = Array.from({ length: classes }, () => rng.normal());
    for (let c = 1; c < classes; c++) if (rng.uniform() < zeros) raw[c] = Number.NEGATIVE_INFINITY;
    const total = logSumExp(raw);
    return raw.map((score) => score - total);
  });
  return Float64Array.from(rows.flat());
}

/** The probability of every labelling: the sum over all classes^frames paths, each read by the definition of CTC. */
function enumerate(scores: Float64Array, { classes, blank }: { classes: number; blank: number }): Map<string, number> {
  const count = scores.length / classes;
  const sums = new Map<string, number>();
  for (let path = 0; path < classes ** count; path++) {
    const tokens: number[] = [];
    let logP = 0;
    let before = blank;
    for (let frame = 0, rest = path; frame < count; frame++, rest = Math.floor(rest / classes)) {
      const token = rest % classes;
      logP += scores[frame * classes + token];
      if (token !== blank && token !== before) tokens.push(token);
      before = token;
    }
    sums.set(tokens.join(), (sums.get(tokens.join()) ?? 0) + Math.exp(logP));
  }
  return sums;
}

/** A bigram model with a drawn table; its state is the token before. */
function bigram(vocabSize: number, seed: number): Required<FusionModel<number>> {
  const table = frames(vocabSize + 1, vocabSize + 1, seed);
  const read = (state: number, token: number) => table[state * (vocabSize + 1) + token];
  return {
    vocabSize,
    initial: vocabSize,
    advance: (state, token) => ({ logProbability: read(state, token), state: token }),
    end: (state) => read(state, vocabSize),
  };
}

const CASES = Array.from({ length: 30 }, (_, i) => {
  const classes = 2 + (i % 3);
  const blank = i % 2 === 0 ? classes - 1 : 0;
  return { classes, blank, scores: frames(i % 6, classes, i, { zeros: i % 4 === 0 ? 0.3 : 0 }) };
});

describe("CTC prefix beam search", () => {
  it("with a wide beam equals the sum over all alignments, for every labelling", () => {
    for (const { classes, blank, scores } of CASES) {
      const sums = enumerate(scores, { classes, blank });
      const found = ctcBeam(scores, { classes, blank, width: 2000 });
      const possible = [...sums].filter(([, p]) => p > 0).sort((a, b) => b[1] - a[1]);
      expect(found.map(({ tokens }) => tokens.join()).sort()).toEqual(possible.map(([key]) => key).sort());
      for (const { tokens, logProbability, score } of found) {
        expect(logProbability).toBeCloseTo(Math.log(sums.get(tokens.join()) as number), 10);
        expect(score).toBe(logProbability);
      }
      expect(found[0].tokens.join()).toBe(possible[0][0]);
      expect(logSumExp(found.map(({ logProbability }) => logProbability))).toBeCloseTo(0, 10);
    }
  });

  it("with a narrow beam never gives a labelling more than its exact probability", () => {
    for (const { classes, blank, scores } of CASES) {
      const sums = enumerate(scores, { classes, blank });
      for (const width of [1, 2, 3]) {
        const found = ctcBeam(scores, { classes, blank, width });
        expect(found.length).toBeLessThanOrEqual(width);
        for (const { tokens, logProbability } of found) {
          expect(logProbability).toBeLessThanOrEqual(Math.log(sums.get(tokens.join()) as number) + 1e-9);
        }
      }
    }
  });

  it("finds the labelling that the best path misses", () => {
    const scores = Float64Array.from([0.4, 0.6, 0.4, 0.6], Math.log);
    const [best, second] = ctcBeam(scores, { classes: 2, width: 4 });
    expect(best.tokens).toEqual([0]);
    expect(Math.exp(best.logProbability)).toBeCloseTo(0.64, 12);
    expect(second.tokens).toEqual([]);
  });

  it("adds fusion by its formula: the weighted model, its end, and a bonus per token", () => {
    for (const { classes, blank, scores } of CASES) {
      if (blank !== classes - 1) continue;
      const model = bigram(classes - 1, classes);
      const sums = enumerate(scores, { classes, blank });
      const fusion = { model, weight: 0.7, insertionBonus: 0.4 };
      const found = ctcBeam(scores, { classes, width: 2000, fusion });
      const expected = [...sums]
        .filter(([, p]) => p > 0)
        .map(([key, p]) => {
          const tokens = key === "" ? [] : key.split(",").map(Number);
          let language = 0;
          let state = model.initial;
          for (const token of tokens) {
            const step = model.advance(state, token);
            language += step.logProbability;
            state = step.state;
          }
          return { tokens, score: Math.log(p) + 0.7 * (language + model.end(state)) + 0.4 * tokens.length };
        })
        .sort((a, b) => b.score - a.score);
      expect(found.map(({ tokens }) => tokens)).toEqual(expected.map(({ tokens }) => tokens));
      found.forEach(({ score }, i) => {
        expect(score).toBeCloseTo(expected[i].score, 10);
      });
    }
  });

  it("with fusion of weight 0 equals no fusion, even of a model that rules everything out", () => {
    const never: FusionModel<null> = {
      vocabSize: 3,
      initial: null,
      advance: () => ({ logProbability: Number.NEGATIVE_INFINITY, state: null }),
    };
    const scores = frames(6, 4, 3);
    expect(ctcBeam(scores, { classes: 4, width: 5, fusion: { model: never, weight: 0 } })).toEqual(
      ctcBeam(scores, { classes: 4, width: 5 }),
    );
    expect(ctcBeam(scores, { classes: 4, width: 5, fusion: { model: never, weight: 1 } })).toMatchObject([{ tokens: [] }]);
  });

  it("of chunks equals that of the whole, bit for bit, and a state outlives what was read after it", () => {
    const scores = frames(24, 5, 9);
    for (const fusion of [undefined, { model: bigram(4, 2), weight: 0.5, insertionBonus: 0.2 }]) {
      const decoder = new CtcBeam({ classes: 5, width: 6, fusion });
      const whole = decoder.advance(decoder.initial, scores);
      for (const size of [1, 2, 5, 7, 24]) {
        let state = decoder.initial;
        const kept = [];
        for (let at = 0; at < 24; at += size) {
          kept.push({ state, copy: structuredClone(state), at });
          state = decoder.advance(state, scores.subarray(at * 5, (at + size) * 5));
          state = decoder.advance(state, new Float64Array(0));
        }
        expect(state).toEqual(whole);
        for (const { state: earlier, copy, at } of kept) {
          expect(earlier).toEqual(copy);
          expect(decoder.advance(copy, scores.subarray(at * 5))).toEqual(whole);
        }
      }
    }
  });

  it("settles only tokens that no later frame changes", () => {
    const scores = frames(40, 4, 12);
    const decoder = new CtcBeam({ classes: 4, width: 3 });
    let state = decoder.initial;
    const settled: number[][] = [];
    for (let frame = 0; frame < 40; frame++) {
      state = decoder.advance(state, scores.subarray(frame * 4, frame * 4 + 4));
      settled.push(decoder.settled(state));
    }
    const [{ tokens }] = decoder.hypotheses(state);
    for (const prefix of settled) expect(tokens.slice(0, prefix.length)).toEqual(prefix);
    expect(settled[39].length).toBeGreaterThan(3);
  });

  it("defines no frames, a blank alone, and a beam wider than the classes", () => {
    expect(ctcBeam(new Float32Array(0), { classes: 3, width: 2 })).toEqual([{ tokens: [], logProbability: 0, score: 0 }]);
    expect(ctcBeam(new Float32Array(4), { classes: 1, width: 2 })).toEqual([{ tokens: [], logProbability: 0, score: 0 }]);
    expect(ctcBeam(frames(1, 3, 1), { classes: 3, width: 100 })).toHaveLength(3);
    expect(ctcBeam(frames(4, 3, 1), { classes: 3, width: 100, nBest: 2 })).toHaveLength(2);
  });

  it("refuses NaN by its frame, frames without a class, logits, and what does not fit", () => {
    const bad = (value: number) => {
      const scores = frames(5, 3, 1);
      scores.fill(value, 9, 12);
      return scores;
    };
    const decoder = new CtcBeam({ classes: 3, width: 2 });
    const half = decoder.advance(decoder.initial, frames(2, 3, 1));
    expect(() => decoder.advance(half, bad(Number.NaN))).toThrow(/OST_NAN .*frame 6/);
    expect(() => ctcBeam(bad(Number.NEGATIVE_INFINITY), { classes: 3, width: 2 })).toThrow(/OST_NAN .*frame 4/);
    expect(() => ctcBeam(bad(3), { classes: 3, width: 2 })).toThrow(/OST_RANGE .*log-softmax/s);
    expect(() => ctcBeam(new Float64Array(4), { classes: 3, width: 2 })).toThrow(/OST_SHAPE/);
    expect(() => ctcBeam(bad(-1), { classes: 3, width: 0 })).toThrow(/OST_RANGE/);
    expect(() => ctcBeam(bad(-1), { classes: 3, width: 2, blank: 3 })).toThrow(/OST_RANGE/);
    const model = bigram(2, 1);
    expect(() => new CtcBeam({ classes: 4, width: 2, fusion: { model, weight: 1 } })).toThrow(/OST_SHAPE .*at least 3/);
    expect(() => new CtcBeam({ classes: 3, width: 2, fusion: { model, weight: -1 } })).toThrow(/OST_RANGE/);
    const broken = { ...model, advance: (state: number) => ({ logProbability: Number.NaN, state }) };
    expect(() => ctcBeam(frames(2, 3, 1), { classes: 3, width: 2, fusion: { model: broken, weight: 1 } })).toThrow(/OST_NAN/);
    const endless = { ...model, end: () => Number.NEGATIVE_INFINITY };
    expect(() => ctcBeam(frames(2, 3, 1), { classes: 3, width: 2, fusion: { model: endless, weight: 1 } })).toThrow(/OST_RANGE/);
  });
});

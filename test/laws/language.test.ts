/** @file Laws of language models, of codes and of frames, from the table to the report. */
import { describe, expect, it } from "vitest";
import { seed } from "../../src/core/rng.js";
import type { FreeRunningSteps } from "../../src/evaluate/index.js";
import {
  expectBatchesDoNotMatter,
  expectFileKeeps,
  expectGoesOn,
  expectResumes,
  expectWorkersRepeat,
  type Rows,
  ran,
  shuffled,
  type Trial,
  withSettings,
} from "../support/task-trial.js";

/** Mostly the letter after next, now and then any. */
function letters(steps: number, begin = 8): string[] {
  const rng = seed(begin);
  let at = 0;
  return Array.from({ length: steps }, () => {
    at = rng.uniform() < 0.9 ? (at * 3 + 1) % 7 : rng.integer(7);
    return "abcdefg"[at];
  });
}

const CODES: Trial = {
  input: {
    task: "language",
    data: {
      source: "letters",
      entity: "doc",
      categories: { letter: { kind: "vocabulary", as: "embedding", width: 5 } },
      target: "letter",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    },
    model: { cell: "lstm", hiddenSize: 10, dropout: 0.2 },
    train: { epochs: 4, batchSize: 3, learningRate: 0.02 },
    evaluation: { rivals: false, resamples: 100 },
  },
  rows: letters(800).map((letter, i) => ({ doc: `d${Math.floor(i / 40)}`, letter })),
};

const STREAM: Trial = {
  input: {
    ...CODES.input,
    mode: "streaming",
    data: { ...CODES.input.data, entity: null, split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 } },
    window: { length: 12 },
    train: { ...CODES.input.train, truncation: { k1: 4, k2: 12 }, averaging: { decay: 0.9 }, accumulate: 2 },
  },
  rows: letters(700).map((letter) => ({ letter })),
};

const FRAMES: Trial = {
  input: {
    ...CODES.input,
    data: {
      source: "chords",
      entity: "piece",
      categories: { keys: { kind: "set", range: [0, 5] } },
      target: "keys",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    },
    train: { epochs: 12, batchSize: 3, learningRate: 0.02 },
  },
  rows: chords(),
};

function chords(): Rows {
  const rng = seed(4);
  return Array.from({ length: 600 }, (_, i) => ({
    piece: `p${Math.floor(i / 25) + 10}`,
    keys: [[0, 3], [1, 4], [2, 5], [1]][i % 4].filter(() => rng.uniform() < 0.9).join(" "),
  }));
}

const TRIALS: [string, Trial, Rows][] = [
  ["codes", CODES, letters(800, 21).map((letter, i) => ({ doc: `e${Math.floor(i / 40)}`, letter }))],
  ["frames", FRAMES, chords().reverse()],
];

describe.each(TRIALS)("%s", (_, trial, others) => {
  it("killed and resumed equal never stopped", async () => {
    await expectResumes(withSettings(trial, { train: { averaging: { decay: 0.8 }, accumulate: 2 } }), [2, 5]);
  });

  it("do not depend on batch size and padding, and the file keeps what was judged", async () => {
    const result = await ran(trial);
    await expectBatchesDoNotMatter(trial, result);
    await expectFileKeeps(trial, result);
    await expectGoesOn(trial, result, others);
  });

  it("are learned alike by the same number of threads", async () => {
    await expectWorkersRepeat(withSettings(trial, { train: { epochs: 1 } }));
  });
});

describe("a stream of codes", () => {
  it("killed and resumed equals never stopped, with truncation, averaging and accumulation", async () => {
    await expectResumes(STREAM, [3, 9, 14]);
  });

  it("is learned alike by the same number of threads", async () => {
    await expectWorkersRepeat(withSettings(STREAM, { train: { epochs: 1 } }));
  });
});

describe("what cannot be learned", () => {
  it("is not: codes in an order of chance cost no less than by their frequencies", async () => {
    const letters = shuffled(CODES.rows.map(({ letter }) => letter));
    const { metrics, baselines } = await ran({ ...CODES, rows: CODES.rows.map((row, i) => ({ ...row, letter: letters[i] })) });
    const { logLoss } = metrics.test as { logLoss: number };
    expect(logLoss).toBeGreaterThan((baselines.unigram as { logLoss: number }).logLoss - 0.02);
  });

  it("is not: frames in an order of chance cost no less than by how often each key is on", async () => {
    const frames = shuffled(FRAMES.rows.map(({ keys }) => keys));
    const { metrics, baselines } = await ran({ ...FRAMES, rows: FRAMES.rows.map((row, i) => ({ ...row, keys: frames[i] })) });
    const { nll } = metrics.test as { nll: number };
    expect(nll).toBeGreaterThan((baselines.keyFrequency as { nll: number }).nll - 0.05);
  });
});

it("frames are predicted one ahead, whatever the horizon of windows says", async () => {
  const settings = { window: { length: 4, horizon: 3 }, train: { epochs: 1, maxSteps: 2 } };
  const { report } = await ran(withSettings(FRAMES, settings));
  expect(report.lengthShift?.trainingLength).toBe(4);
});

it("a report of language tells what the model makes of its own output", async () => {
  const found = (await ran(CODES)).report.freeRunning as FreeRunningSteps;
  const [{ byStep, forced, free, firstDivergence }] = found.rows;
  expect(byStep[0].free).toEqual(byStep[0].forced);
  expect(forced.right).toBeGreaterThan(0.7);
  expect(free.right).toBeLessThan(forced.right);
  expect(firstDivergence.n).toBe(found.places);
});

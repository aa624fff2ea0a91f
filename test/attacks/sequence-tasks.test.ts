/** @file Bad input of the tasks that predict sequences: each a clear error that says what, where and how to mend it, or documented behaviour. */
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../../src/core/errors.js";
import { seed } from "../../src/core/rng.js";
import { tableFromRecords } from "../../src/data/index.js";
import { greedy } from "../../src/decode/index.js";
import { renderReportHtml, renderReportText, type SequenceMetrics } from "../../src/evaluate/index.js";
import { languageScorer, openModel } from "../../src/model/index.js";
import {
  type ExperimentConfigInput,
  type ExperimentEvent,
  type ExperimentResult,
  parseConfig,
  runExperiment,
} from "../../src/tasks/index.js";

type Input = Record<string, unknown>;
type Cells = Record<string, string | number | null>;
/** What of a row is not as it should be; nothing of most rows. */
type Change = (index: number) => Partial<Cells>;

const COMMON = {
  model: { hiddenSize: 4 },
  train: { epochs: 1, batchSize: 8 },
  evaluation: { rivals: false, resamples: 100 },
};
const split = { by: "column:part" };
const partOf = (series: number) => ["train", "train", "train", "validation", "test"][series % 5];

/** Every test series is the fourth of five. */
const TESTED = 4;

async function run(input: Input, rows: Cells[], onEvent?: (event: ExperimentEvent) => void): Promise<ExperimentResult> {
  const config = parseConfig({ ...COMMON, ...input } as unknown as ExperimentConfigInput);
  return (await runExperiment(config, tableFromRecords(rows), { onEvent })) as ExperimentResult;
}

/** The error of a run, which must be one of Ostinato's and come before any network is made. */
async function refusal(input: Input, rows: Cells[]): Promise<string> {
  let trained = false;
  const error = await run(input, rows, ({ kind }) => {
    trained ||= kind === "progress";
  }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(OstinatoError);
  expect(trained).toBe(false);
  const { detail, message } = error as OstinatoError;
  expect(detail.where).toBeTruthy();
  expect(detail.repair).toBeTruthy();
  return message;
}

/** Every number of a result, in its report and in words, is one. */
function expectNumbers({ report, metrics, baselines }: ExperimentResult): void {
  const odd: string[] = [];
  JSON.stringify({ report, metrics, baselines }, (key, value) => {
    if (typeof value === "number" && !Number.isFinite(value)) odd.push(key);
    return value;
  });
  expect(odd).toEqual([]);
  expect(renderReportText(report) + renderReportHtml(report)).not.toMatch(/NaN|Infinity|undefined|\[object/);
}

const rng = seed(1);
const TRANSCRIBE = {
  task: "transcribe",
  mode: "offline",
  data: { source: "x", entity: "file", features: ["a"], target: "said", targetTokens: "characters", split },
};
const recordings = (change: (series: number) => { steps?: number; said?: string | null }): Cells[] =>
  Array.from({ length: 20 }, (_, s) => {
    const { steps = 4, said = "xy" } = change(s);
    return Array.from({ length: steps }, () => ({ file: `f${s}`, part: partOf(s), a: rng.normal(), said }));
  }).flat();

const TRANSLATE = {
  task: "translate",
  mode: "offline",
  data: {
    source: "x",
    entity: "line",
    categories: { command: { kind: "words", as: "embedding", width: 4 } },
    target: "actions",
    targetTokens: "vocabulary",
    split,
  },
};
const commands = (change: Change): Cells[] =>
  Array.from({ length: 20 }, (_, s) => ({ line: `l${s}`, part: partOf(s), command: "one two", actions: "1 2", ...change(s) }));

const LANGUAGE = {
  task: "language",
  data: { source: "x", entity: "doc", categories: { w: { kind: "vocabulary", as: "embedding", width: 4 } }, target: "w", split },
};
const letters = (change: Change): Cells[] =>
  Array.from({ length: 100 }, (_, i) => {
    const series = Math.floor(i / 5);
    return { doc: `d${series}`, part: partOf(series), w: "abc"[i % 3], ...change(i) };
  });

const FRAMES = {
  task: "language",
  data: { source: "x", entity: "doc", categories: { keys: { kind: "set", range: [0, 3] } }, target: "keys", split },
};
const chords = (change: Change): Cells[] => letters((i) => ({ keys: ["1 2", "2", "", "3"][i % 4], n: i % 4, ...change(i) }));

const FORECAST = {
  task: "forecast",
  data: {
    source: "x",
    features: ["v"],
    target: "v",
    scale: "none",
    split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
  },
  window: { length: 6, horizon: 2 },
};
const values = (change: Change): Cells[] => Array.from({ length: 100 }, (_, i) => ({ v: 1 + (i % 5), u: i % 3, ...change(i) }));

const TAG = { task: "tag", mode: "offline", data: { source: "x", entity: "s", features: ["a"], target: "tag", split } };
const tags = (change: Change): Cells[] =>
  Array.from({ length: 120 }, (_, i) => {
    const series = Math.floor(i / 6);
    return { s: `s${series}`, part: partOf(series), a: rng.normal(), tag: ["O", "B-X", "I-X"][i % 3], ...change(i) };
  });

const none = () => ({});
const COUNTS = { ...FORECAST, forecast: { distribution: "negativeBinomial" } };

const REFUSED: [string, Input, Cells[], RegExp][] = [
  [
    "a transcription longer than its recording",
    TRANSCRIBE,
    recordings((s) => (s === TESTED ? { steps: 3, said: "xyxy" } : {})),
    /OST_TARGET.*series "f4".*at least 4 steps.*got 3 steps/s,
  ],
  [
    "a transcription whose repeated letter leaves no room for a blank",
    TRANSCRIBE,
    recordings((s) => (s === 0 ? { steps: 4, said: "xxx" } : {})),
    /OST_TARGET.*series "f0".*at least 5 steps/s,
  ],
  [
    "transcriptions of nothing at all",
    TRANSCRIBE,
    recordings(() => ({ said: "" })),
    /OST_TARGET.*every training series is empty/s,
  ],
  [
    "a text that changes within its recording",
    TRANSCRIBE,
    recordings(none).map((row, i) => (i === 5 ? { ...row, said: "yx" } : row)),
    /OST_TARGET.*row 6.*"f1" is not constant/s,
  ],
  [
    "frames that are NaN",
    TRANSCRIBE,
    recordings(none).map((row, i) => (i === 3 ? { ...row, a: Number.NaN } : row)),
    /OST_MISSING.*row 4.*"a"/s,
  ],
  ["translations of nothing at all", TRANSLATE, commands(() => ({ actions: "" })), /OST_TARGET.*every training series is empty/s],
  ["a translation cut into windows", { ...TRANSLATE, window: { length: 3 } }, commands(none), /OST_CONFIG.*window.length/s],
  [
    "a target text without codes",
    { ...TRANSLATE, data: { ...TRANSLATE.data, targetTokens: null } },
    commands(none),
    /OST_CONFIG.*data.targetTokens/s,
  ],
  [
    "a beam wider than is kept",
    { ...TRANSLATE, decoding: { method: "beam", width: 2000 } },
    commands(none),
    /OST_CONFIG.*decoding.width/s,
  ],
  ["a beam of none", { ...TRANSLATE, decoding: { method: "beam", width: 0 } }, commands(none), /OST_CONFIG.*decoding.width/s],
  [
    "sampling without steps",
    { ...TRANSLATE, train: { sampling: { kind: "linear" } } },
    commands(none),
    /OST_CONFIG.*train.sampling.steps/s,
  ],
  [
    "sampling above 1",
    { ...TRANSLATE, train: { sampling: { to: 1.5, steps: 3 } } },
    commands(none),
    /OST_CONFIG.*train.sampling.to/s,
  ],
  [
    "sequences of one step, which nothing follows",
    LANGUAGE,
    letters((i) => ({ doc: `x${i}` })),
    /OST_WINDOW.*"train".*longest series has 1/s,
  ],
  [
    "a test part of sequences of one step",
    LANGUAGE,
    letters((i) => (partOf(Math.floor(i / 5)) === "test" ? { doc: `x${i}` } : {})),
    /OST_TARGET.*the part "test" has no target/s,
  ],
  [
    "a language of what is no category",
    { ...LANGUAGE, data: { ...LANGUAGE.data, categories: {}, features: ["n"] } },
    letters((i) => ({ n: i })),
    /OST_TARGET.*data.categories/s,
  ],
  [
    "tied weights without an embedding",
    {
      ...LANGUAGE,
      model: { hiddenSize: 4, tieWeights: true },
      data: { ...LANGUAGE.data, categories: { w: { kind: "vocabulary", as: "oneHot" } } },
    },
    letters(none),
    /OST_CONFIG.*model.tieWeights.*no embedding/s,
  ],
  [
    "tied weights with a second embedding",
    {
      ...LANGUAGE,
      model: { hiddenSize: 4, tieWeights: true },
      data: {
        ...LANGUAGE.data,
        categories: { v: { kind: "vocabulary", as: "embedding", width: 3 }, ...LANGUAGE.data.categories },
      },
    },
    letters((i) => ({ v: "pq"[i % 2] })),
    /OST_CONFIG.*model.tieWeights.*embeddings of 3, 4 codes/s,
  ],
  ["tied weights of frames", { ...FRAMES, model: { tieWeights: true } }, chords(none), /OST_CONFIG.*model.tieWeights/s],
  ["threads where nothing can start them", { ...LANGUAGE, train: { workers: 2 } }, letters(none), /OST_RANGE.*train.workers: 2/s],
  [
    "gradients that reach less far than an update",
    { ...LANGUAGE, mode: "streaming", window: { length: 4 }, train: { truncation: { k1: 4, k2: 2 } } },
    letters(none),
    /OST_CONFIG.*train.truncation.k2.*at least k1, 4/s,
  ],
  [
    "truncation where nothing is carried",
    { ...LANGUAGE, train: { truncation: { k1: 2, k2: 4 } } },
    letters(none),
    /OST_CONFIG.*mode: streaming/s,
  ],
  [
    "a language read both ways",
    { ...LANGUAGE, mode: "offline", model: { bidirectional: true } },
    letters(none),
    /OST_CAUSAL.*must not have read it/s,
  ],
  ["a member that no set holds", FRAMES, chords((i) => (i === 22 ? { keys: "1 9" } : {})), /OST_TARGET.*row 23.*"9"/s],
  ["NaN among the members of a set", FRAMES, chords((i) => (i === 22 ? { keys: "NaN" } : {})), /OST_TARGET.*row 23.*"NaN"/s],
  [
    "NaN beside a set",
    { ...FRAMES, data: { ...FRAMES.data, features: ["n"] } },
    chords((i) => (i === 22 ? { n: Number.NaN } : {})),
    /OST_MISSING.*row 23.*"n"/s,
  ],
  ["a horizon of 0", { ...FORECAST, window: { length: 6, horizon: 0 } }, values(none), /OST_CONFIG.*window.horizon/s],
  [
    "levels out of order",
    { ...FORECAST, forecast: { distribution: "quantiles", levels: [0.5, 0.1] } },
    values(none),
    /OST_CONFIG.*forecast.levels.*rising/s,
  ],
  [
    "a level twice",
    { ...FORECAST, forecast: { distribution: "quantiles", levels: [0.5, 0.5] } },
    values(none),
    /OST_CONFIG.*forecast.levels.*rising/s,
  ],
  [
    "a level of 0",
    { ...FORECAST, forecast: { distribution: "quantiles", levels: [0, 0.5] } },
    values(none),
    /OST_CONFIG.*forecast.levels.0/s,
  ],
  [
    "a negative count in training",
    COUNTS,
    values((i) => (i === 30 ? { v: -1 } : {})),
    /OST_TARGET.*row 31.*"v" is no count.*got -1/s,
  ],
  ["a negative count in the test part", COUNTS, values((i) => (i === 95 ? { v: -1 } : {})), /OST_TARGET.*row 96.*got -1/s],
  ["a count and a half", COUNTS, values((i) => (i === 30 ? { v: 1.5 } : {})), /OST_TARGET.*row 31.*got 1.5/s],
  [
    "counts that are scaled",
    { ...COUNTS, data: { ...COUNTS.data, scale: "standard" } },
    values(none),
    /OST_TARGET.*no count.*data.scale: none/s,
  ],
  [
    "a recursive forecast that reads what it does not predict",
    { ...FORECAST, data: { ...FORECAST.data, features: ["v", "u"] }, forecast: { strategy: "recursive" } },
    values(none),
    /OST_CONFIG.*data.features.*got u/s,
  ],
  [
    "a recursive forecast of a stream",
    { ...FORECAST, mode: "streaming", forecast: { strategy: "recursive" } },
    values(none),
    /OST_CONFIG.*forecast.strategy/s,
  ],
  [
    "a recursive forecast that reads both ways",
    { ...FORECAST, mode: "offline", model: { bidirectional: true }, forecast: { strategy: "recursive" } },
    values(none),
    /OST_CONFIG.*model.bidirectional/s,
  ],
  [
    "sample paths of quantiles",
    { ...FORECAST, forecast: { strategy: "recursive", distribution: "quantiles" } },
    values(none),
    /OST_CONFIG.*can be sampled/s,
  ],
  [
    "a rollout longer than the part",
    { ...FORECAST, forecast: { strategy: "recursive" }, train: { rollout: 200 } },
    values(none),
    /OST_WINDOW.*200 target steps/s,
  ],
  [
    "a rollout of a direct forecast",
    { ...FORECAST, train: { rollout: 2 } },
    values(none),
    /OST_CONFIG.*forecast.strategy: recursive/s,
  ],
  ["a value that is NaN", FORECAST, values((i) => (i === 30 ? { v: Number.NaN } : {})), /OST_MISSING.*row 31.*"v"/s],
  ["a value without end", FORECAST, values((i) => (i === 30 ? { v: Number.POSITIVE_INFINITY } : {})), /OST_VALUE.*row 31.*"v"/s],
  [
    "a tag that training never saw",
    TAG,
    tags((i) => (i === 25 ? { tag: "B-Q" } : {})),
    /OST_TARGET.*row 26.*"B-Q".*is "B-X" meant/s,
  ],
  [
    "tags of two schemes",
    { ...TAG, data: { ...TAG.data, tagScheme: "BIO2" } },
    tags((i) => (i === 13 ? { tag: "S-X" } : {})),
    /OST_TARGET.*row 14, series "s2".*BIO2 has no S/s,
  ],
  [
    "tags of another scheme",
    { ...TAG, data: { ...TAG.data, tagScheme: "BIOES" } },
    tags(none),
    /OST_TARGET.*row 3, series "s0".*must end with E-X/s,
  ],
  [
    "a tag of no scheme",
    { ...TAG, data: { ...TAG.data, tagScheme: "BIO2" } },
    tags((i) => (i === 13 ? { tag: "PER" } : {})),
    /OST_TARGET.*row 14.*"PER" is no tag/s,
  ],
  ["a scheme that there is not", { ...TAG, data: { ...TAG.data, tagScheme: "BIO9" } }, tags(none), /OST_CONFIG.*data.tagScheme/s],
  [
    "a scheme of tags for what are none",
    { ...TAG, task: "classify", data: { ...TAG.data, tagScheme: "BIO2" } },
    tags(none),
    /OST_CONFIG.*data.tagScheme.*task: tag/s,
  ],
  [
    "a field over a stream",
    { ...TAG, mode: "streaming", window: { length: 4 }, model: { crf: true } },
    tags(none),
    /OST_CONFIG.*model.crf/s,
  ],
  ["a field of what are no tags", { ...TRANSLATE, model: { crf: true } }, commands(none), /OST_CONFIG.*model.crf.*task: tag/s],
  [
    "a field with the loss of single tags",
    { ...TAG, model: { crf: true }, train: { loss: "focal" } },
    tags(none),
    /OST_CONFIG.*train.loss/s,
  ],
  [
    "a class that training never saw",
    { ...TAG, task: "classify" },
    tags((i) => ({ tag: Math.floor(i / 6) === TESTED ? "new" : Math.floor(i / 6) % 2 ? "odd" : "even" })),
    /OST_TARGET.*row 25.*"new"/s,
  ],
  ["one class alone", { ...TAG, task: "classify" }, tags(() => ({ tag: "k" })), /OST_TARGET.*at least two classes/s],
];

describe("refused, before anything is trained:", () => {
  it.each(REFUSED)("%s", async (_, input, rows, expected) => {
    expect(await refusal(input, rows)).toMatch(expected);
  });
});

describe("documented:", () => {
  const TAKEN: [string, Input, Cells[]][] = [
    ["a recording in which nothing is said", TRANSCRIBE, recordings((s) => (s % 5 === TESTED || s === 0 ? { said: "" } : {}))],
    ["a text of one letter in a recording of one frame", TRANSCRIBE, recordings((s) => (s < 5 ? { steps: 1, said: "x" } : {}))],
    ["an empty source", TRANSLATE, commands((s) => (s === 0 || s === TESTED ? { command: "" } : {}))],
    ["an empty target", TRANSLATE, commands((s) => (s === 0 || s === TESTED ? { actions: "" } : {}))],
    ["a source of unknown words", TRANSLATE, commands((s) => (s === TESTED ? { command: "nine ten" } : {}))],
    ["a sequence of one step among others", LANGUAGE, letters((i) => (i === 22 ? { doc: "lone" } : {}))],
    ["a letter that training never saw", LANGUAGE, letters((i) => (i === 22 ? { w: "q" } : {}))],
    ["a missing letter", LANGUAGE, letters((i) => (i % 40 === 22 ? { w: null } : {}))],
    ["the empty set", FRAMES, chords((i) => (i % 2 ? { keys: "" } : { keys: null }))],
    ["nothing but empty sets", FRAMES, chords(() => ({ keys: "" }))],
    ["sets that never change", FRAMES, chords(() => ({ keys: "0 1" }))],
    ["a frame alone", FRAMES, chords((i) => (i === 22 ? { doc: "lone" } : {}))],
    ["a field over windows", { ...TAG, window: { length: 4 }, model: { crf: true } }, tags(none)],
    [
      "one level, one path",
      { ...FORECAST, forecast: { strategy: "recursive", distribution: "gaussian", paths: 1, levels: [0.5] } },
      values(none),
    ],
    [
      "counts of nothing",
      { ...COUNTS, forecast: { ...COUNTS.forecast, strategy: "recursive", paths: 3 } },
      values(() => ({ v: 0 })),
    ],
    ["a value that never changes", { ...FORECAST, forecast: { strategy: "recursive" } }, values(() => ({ v: 3 }))],
  ];

  it.each(TAKEN)("%s leaves no figure that is none", async (_, input, rows) => {
    expectNumbers(await run(input, rows));
  });

  it.each([
    ["translation", { ...TRANSLATE, decoding: { method: "beam", width: 1000 } }, commands(none)],
    ["transcription", { ...TRANSCRIBE, decoding: { method: "beam", width: 1000 } }, recordings(none)],
  ])("a beam wider than the vocabulary finds what a wider one finds: %s", async (_, input, rows) => {
    const wide = await run(input, rows);
    const wider = await run({ ...input, decoding: { method: "beam", width: 1024 } }, rows);
    expectNumbers(wide);
    expect(wider.metrics.test).toEqual(wide.metrics.test);
  });

  it("a target token that training never saw is never right, teacher-forced and free-running", async () => {
    const unseen = commands((s) => (partOf(s) === "test" ? { actions: "9 9 9" } : {}));
    const translated = (await run(TRANSLATE, unseen)).metrics.test as SequenceMetrics;
    expect(translated).toMatchObject({ exactMatch: 0, bleu: 0, tokenAccuracy: { teacherForced: 0, freeRunning: 0 } });
    expect(translated.tokenErrorRate).toBeGreaterThanOrEqual(1);
    const heard = (
      await run(
        TRANSCRIBE,
        recordings((s) => (partOf(s) === "test" ? { said: "q" } : {})),
      )
    ).metrics.test as SequenceMetrics;
    expect(heard).toMatchObject({ exactMatch: 0, tokenAccuracy: { freeRunning: 0 } });
  });

  it("no token is made twice, greedily too, where none is to be", async () => {
    const once = { method: "greedy", noRepeat: 1, maxLength: 20 };
    const { file } = await run(
      { ...TRANSLATE, decoding: once },
      commands((s) => ({ actions: "1 1 1", command: `one ${s}` })),
    );
    const model = await openModel(file);
    const lengths = Int32Array.of(2, 2);
    const shape = { batchSize: 2, time: 2, features: 1, x: Float32Array.of(1, 2, 2, 1), lengths };
    const places = { example: lengths, series: lengths, start: lengths };
    const batch = { ...shape, ...places, targetKind: "tokens" as const, everyStep: false, horizon: 0, targets: 0 };
    for (const { tokens } of model.predictor.decode!(batch)) expect(new Set(tokens).size).toBe(tokens.length);
  });
});

describe("a prompt", () => {
  it("of characters that training never saw is refused by the first of them; an empty one is nothing", async () => {
    const text = Array.from({ length: 20 }, (_, s) => ({ doc: `d${s}`, part: partOf(s), text: "abcabcab" }));
    const categories = { text: { kind: "characters", as: "embedding", width: 4 } };
    const { file } = await run({ ...LANGUAGE, data: { ...LANGUAGE.data, categories, target: "text" } }, text);
    const scorer = languageScorer(await openModel(file));
    expect(() => scorer.encode("abq")).toThrow(/OST_VALUE.*token 3.*never seen.*got "q"/s);
    expect(() => scorer.encode("\u{1f600}")).toThrow(/OST_VALUE.*token 1/s);
    expect(scorer.encode("")).toEqual([]);
    const [token] = scorer.encode("a");
    expect(greedy(scorer, { starts: [{ state: scorer.initial, token }], maxLength: 0 })[0].tokens).toEqual([]);
    expect(greedy(scorer, { starts: [{ state: scorer.initial, token }], maxLength: 5 })[0].tokens).toHaveLength(5);
  });

  it("is refused by a model that predicts no next code", async () => {
    const model = await openModel((await run(TRANSLATE, commands(none))).file);
    expect(() => languageScorer(model)).toThrow(/OST_CONFIG.*predicts no next code/s);
  });
});

/** @file Laws of transcription by connectionist temporal classification, from the table to the report. */
import { describe, expect, it } from "vitest";
import { seed } from "../../src/core/rng.js";
import { renderReportHtml, renderReportText } from "../../src/evaluate/index.js";
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

/** Each letter is a few frames of its own level, with silence between. */
function recordings(count: number, begin: number, scale = 1): Rows {
  const rng = seed(begin);
  return Array.from({ length: count }, (_, i) => {
    const word = Array.from({ length: 1 + rng.integer(3) }, () => rng.integer(3));
    const levels = word.flatMap((letter) => [...Array.from({ length: 2 + rng.integer(2) }, () => letter + 1), 0, 0]);
    return levels.map((level) => ({
      file: `${begin}-${i}`,
      a: scale * (level + 0.1 * rng.normal()),
      b: scale * ((level === 2 ? 1 : 0) + 0.1 * rng.normal()),
      said: word.map((letter) => "xyz"[letter]).join(""),
    }));
  }).flat();
}

const TRANSCRIBE: Trial = {
  input: {
    task: "transcribe",
    mode: "offline",
    data: {
      source: "recordings",
      entity: "file",
      features: ["a", "b"],
      target: "said",
      targetTokens: "characters",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    },
    model: { cell: "gru", hiddenSize: 10, bidirectional: true, dropout: 0.1 },
    train: { epochs: 6, batchSize: 8, learningRate: 0.03 },
    evaluation: { rivals: false, resamples: 100 },
  },
  rows: recordings(80, 2),
};

describe("transcription", () => {
  it("killed and resumed equals never stopped, with averaging and accumulation", async () => {
    await expectResumes(withSettings(TRANSCRIBE, { train: { averaging: { decay: 0.8 }, accumulate: 2 } }), [2, 7]);
  });

  it.each([
    ["greedily", {}],
    ["by a beam", { method: "beam" as const, width: 4 }],
  ])("does not depend on batch size and padding, and the file keeps what was judged: %s", async (_, decoding) => {
    const trial = { ...TRANSCRIBE, input: { ...TRANSCRIBE.input, decoding } };
    const result = await ran(trial);
    await expectBatchesDoNotMatter(trial, result);
    await expectFileKeeps(trial, result);
  });

  it("goes on from a model, with its scaling and vocabulary", async () => {
    await expectGoesOn(TRANSCRIBE, await ran(TRANSCRIBE), recordings(40, 5, 3));
  });

  it("is learned alike by the same number of threads", async () => {
    await expectWorkersRepeat(withSettings(TRANSCRIBE, { train: { epochs: 1 } }));
  });

  it("of texts that belong to other recordings makes as many errors as always saying the same", async () => {
    const files = [...new Set(TRANSCRIBE.rows.map(({ file }) => file))];
    const texts = new Map(TRANSCRIBE.rows.map(({ file, said }) => [file, said]));
    const order = shuffled(files);
    // Texts of the same length change places, so that none becomes longer than its recording.
    const lengthOf = (file: string | number | null) => String(texts.get(file)).length;
    const exchanged = new Map(files.map((file) => [file, ""]));
    for (const length of [1, 2, 3]) {
      const from = order.filter((file) => lengthOf(file) === length);
      files
        .filter((file) => lengthOf(file) === length)
        .forEach((file, i) => void exchanged.set(file, String(texts.get(from[i]))));
    }
    const rows = TRANSCRIBE.rows.map((row) => ({ ...row, said: exchanged.get(row.file) as string }));
    const control = await ran({ ...TRANSCRIBE, rows });
    const [own, before] = [control.metrics.test, (await ran(TRANSCRIBE)).metrics.test] as { tokenErrorRate: number }[];
    expect(own.tokenErrorRate).toBeGreaterThan(0.5);
    expect(before.tokenErrorRate).toBeLessThan(own.tokenErrorRate - 0.2);
  });

  it("is reported with what the target costs and with what is written, side by side", async () => {
    const { report, metrics, name } = await ran(withSettings(TRANSCRIBE, { train: { epochs: 12 } }));
    const own = metrics.test as { nll: number; nllPerSequence: number; n: number; referenceLength: number };
    // The mean over the tokens of all targets: an alignment has no token of its own for the end.
    expect(own.nll * own.referenceLength).toBeCloseTo(own.nllPerSequence * own.n, 4);
    const text = renderReportText(report, { width: 10_000 });
    expect(text).toMatch(/teacher-forced [\d.]+ nats per character; free-running [\d.]+ % CER/);
    expect(renderReportHtml(report)).toContain("By length of the source");
    expect(JSON.parse(JSON.stringify(report)).metrics[name].firstDivergence).toBeDefined();
  });
});

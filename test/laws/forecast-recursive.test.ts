/** @file Laws of recursive and probabilistic forecasts, from the table to the report. */
import { describe, expect, it } from "vitest";
import { seed } from "../../src/core/rng.js";
import { batches, tableFromRecords } from "../../src/data/index.js";
import { type FreeRunningForecast, renderReportHtml, renderReportText } from "../../src/evaluate/index.js";
import { buildNetwork } from "../../src/model/index.js";
import { batchObjective } from "../../src/tasks/batch-objective.js";
import { parseConfig, prepareExperiment } from "../../src/tasks/index.js";
import { taskOf } from "../../src/tasks/task.js";
import { scope } from "../../src/tensor/index.js";
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

function waves(steps: number, begin: number, scale = 1): Rows {
  const rng = seed(begin);
  return Array.from({ length: steps }, (_, i) => ({
    v: scale * (Math.sin(i / 4) + 0.2 * rng.normal()),
    u: scale * (Math.cos(i / 4) + 0.1 * rng.normal()),
  }));
}

const POINT: Trial = {
  input: {
    task: "forecast",
    data: {
      source: "waves",
      features: ["v", "u"],
      target: ["v", "u"],
      split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
    },
    window: { length: 8, horizon: 4 },
    forecast: { strategy: "recursive" },
    model: { cell: "gru", hiddenSize: 8, dropout: 0.1 },
    train: { epochs: 2, batchSize: 16, learningRate: 0.02, rollout: 3, sampling: { kind: "linear", from: 0, to: 1, steps: 12 } },
    evaluation: { rivals: false, resamples: 100, period: 25 },
  },
  rows: waves(260, 5),
};

const GAUSSIAN: Trial = withSettings(POINT, { forecast: { distribution: "gaussian", levels: [0.1, 0.5, 0.9], paths: 30 } });

const COUNTS: Trial = {
  input: {
    ...POINT.input,
    data: {
      source: "counts",
      features: ["n"],
      target: "n",
      scale: "none",
      split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
    },
    forecast: { strategy: "direct", distribution: "negativeBinomial" },
    train: { epochs: 2, batchSize: 16, learningRate: 0.02 },
  },
  rows: waves(260, 6).map(({ v }) => ({ n: Math.max(0, Math.round(3 + 2 * Number(v))) })),
};

const QUANTILES: Trial = {
  ...POINT,
  input: {
    ...POINT.input,
    forecast: { strategy: "direct", distribution: "quantiles", levels: [0.1, 0.5, 0.9] },
    window: { length: 8, horizon: 4, normalize: "meanStd" },
    train: { epochs: 2, batchSize: 16, learningRate: 0.02 },
  },
};

const STUDENT: Trial = withSettings(QUANTILES, { forecast: { distribution: "studentT" } });

describe.each([
  ["recursive points", POINT],
  ["recursive sample paths", GAUSSIAN],
  ["counts", COUNTS],
  ["quantiles in normalised windows", QUANTILES],
  ["Student's t in normalised windows", STUDENT],
])("%s", (_, trial) => {
  it("killed and resumed equal never stopped, with averaging and accumulation", async () => {
    await expectResumes(withSettings(trial, { train: { averaging: { decay: 0.8 }, accumulate: 2 } }), [2, 7]);
  });

  it("do not depend on batch size and padding, and the file keeps what was judged", async () => {
    const result = await ran(trial);
    await expectBatchesDoNotMatter(trial, result);
    await expectFileKeeps(trial, result);
  });
});

describe("a recursive forecast", () => {
  it("goes on from a model, with its scaling", async () => {
    await expectGoesOn(POINT, await ran(POINT), waves(200, 9, 5));
  });

  it("is learned alike by the same number of threads, paths of chance and all", async () => {
    await expectWorkersRepeat(withSettings(GAUSSIAN, { train: { epochs: 1 } }));
  });

  it.each([
    ["an input that is not predicted", { features: ["v", "u"], target: ["v"] }, /OST_CONFIG.*inputs are not predicted.*u/s],
    ["a value that is not read", { features: ["v"], target: ["v", "u"] }, /OST_CONFIG.*are no inputs.*u/s],
  ])("refuses %s", async (_, columns, message) => {
    const data = { ...POINT.input.data, ...columns };
    await expect(ran({ ...POINT, input: { ...POINT.input, data } })).rejects.toThrow(message);
  });

  it("learns what was measured, in the window and beyond, and no value that was filled in", () => {
    const config = parseConfig(POINT.input);
    const rows = POINT.rows.map((row, i) => (i % 5 === 0 ? { ...row, u: null } : row));
    const gappy = { ...config, data: { ...config.data, missing: "forwardFill" as const } };
    const { prepared, spec } = prepareExperiment(gappy, tableFromRecords(rows));
    const network = buildNetwork(taskOf(gappy).architecture(spec), { rng: seed(1) });
    const objective = batchObjective(network, { config: gappy, spec, options: { classWeights: null, costs: null } });
    const [batch] = batches(taskOf(gappy).examples(prepared, "train"), { batchSize: 16 });
    const weight = scope(() => objective(batch, { rng: seed(2), step: 0 }).weight);
    // Of the rows after the first of a window of 8, and of 3 beyond: v always, u in four rows of five.
    const measured = (row: number) => 1 + Math.sign(row % 5);
    const learned = Array.from(batch.start, (start) => Array.from({ length: 10 }, (_, i) => measured(start + 1 + i))).flat();
    expect(weight).toBe(learned.reduce((sum, count) => sum + count, 0));
    expect(weight).toBeLessThan(16 * 10 * 2);
  });

  it("of values in an order of chance is no better than the mean, or a ridge regression", async () => {
    const { rows } = POINT;
    const control = await ran({ ...withSettings(POINT, { train: { epochs: 6 } }), rows: shuffled(rows) });
    const [own, ridge] = [control.metrics.test, control.baselines["ridge(8)"]] as { mse: number }[];
    // The targets are scaled by the training part, so that foretelling its mean costs their variance, about 1.
    expect(own.mse).toBeGreaterThan(0.9);
    expect(own.mse).toBeGreaterThan(ridge.mse * 0.95);
  });

  it.each([POINT, GAUSSIAN])(
    "is reported by steps ahead: reading what was measured, its own predictions, and naive forecasts",
    async (trial) => {
      const { report, metrics } = await ran(trial);
      const found = report.freeRunning as FreeRunningForecast;
      const { byHorizon } = metrics.test as { byHorizon: { step: number; mse: number }[] };
      expect(found.byStep.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
      // There are few windows, all of them are read: what is free-running is what was judged.
      found.byStep.forEach(({ free }, p) => {
        expect(free).toBeCloseTo(byHorizon[p].mse, 4);
      });
      expect(found.naive.map(({ name }) => name)).toContain("persistence");
      expect(renderReportText(report, { width: 10_000 })).toMatch(
        /MSE [\d.]+ reading what was measured, [\d.]+ reading its own predictions/,
      );
      expect(renderReportHtml(report)).toContain("By step of the horizon, scaled");
    },
  );
});

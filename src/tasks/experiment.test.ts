import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { tableFromRecords } from "../data/index.js";
import { maseScale } from "../evaluate/index.js";
import { networkPredictor, openModel, openSession, type RawRecord } from "../model/index.js";
import { type ExperimentConfigInput, parseConfig } from "./config.js";
import { evaluationBatches } from "./evaluation-batches.js";
import { type ExperimentEvent, prepareExperiment, runExperiment, VERSION } from "./experiment.js";
import { fitNetwork } from "./fit-network.js";
import { judgeEntrants } from "./judgement.js";
import { scoringOptions } from "./scoring.js";

type Cells = Record<string, string | number | null>;

/** A tag that is told by the sign of a sum over the last steps, so that a fresh state knows less than a full window. */
function tagged(runs: number, length: number): Cells[] {
  const rng = seed(5);
  return Array.from({ length: runs * length }, (_, i) => {
    const run = Math.floor(i / length);
    const fast = Math.floor((i % length) / 12) % 2 === run % 2;
    return {
      run: `r${run}`,
      plant: `p${Math.floor(run / 2)}`,
      a: (fast ? 0.5 : -0.5) + rng.normal(),
      kind: fast ? "fast" : "slow",
    };
  });
}

const TAGS: ExperimentConfigInput = {
  task: "tag",
  data: {
    source: "x",
    entity: "run",
    features: ["a"],
    target: "kind",
    split: { by: "entity", train: 0.5, validation: 0.25, test: 0.25 },
  },
  window: { length: 10 },
  model: { hiddenSize: 8 },
  train: { epochs: 2, batchSize: 8 },
  evaluation: { rivals: false, resamples: 100 },
};

const wave = (rows: number, value: (i: number) => number | null = (i) => Math.sin(i / 3)): Cells[] =>
  Array.from({ length: rows }, (_, i) => ({ v: value(i), w: Math.cos(i / 3) }));

const FORECAST: ExperimentConfigInput = {
  task: "forecast",
  data: {
    source: "x",
    features: ["w"],
    target: "v",
    split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
    missing: "forwardFill",
  },
  window: { length: 6, horizon: 2 },
  model: { hiddenSize: 8 },
  train: { epochs: 1 },
  evaluation: { rivals: false, resamples: 100 },
};

describe("an experiment that cannot end well", () => {
  const begun = async (input: ExperimentConfigInput, rows: Cells[]): Promise<{ message: string; trained: boolean }> => {
    const events: ExperimentEvent["kind"][] = [];
    const message = await runExperiment(parseConfig(input), tableFromRecords(rows), {
      onEvent: ({ kind }) => events.push(kind),
    }).then(
      () => "no error",
      (error) => String(error),
    );
    return { message, trained: events.includes("network") };
  };

  it("ends before a network is trained: decisions, baselines and scales that do not fit", async () => {
    const cases: [Partial<ExperimentConfigInput>, RegExp][] = [
      [{ decision: { metric: "accuracy" } }, /OST_CONFIG.*"accuracy"/],
      [{ decision: { costs: { a: { b: 1 } } } }, /OST_CONFIG.*between classes/],
      [{ evaluation: { ...FORECAST.evaluation, lags: 7 } }, /OST_WINDOW.*shorter than the lags/],
      [
        { decision: { metric: "mase" }, evaluation: { ...FORECAST.evaluation, period: 90 } },
        /OST_WINDOW.*shorter than one period/,
      ],
    ];
    for (const [more, expected] of cases) {
      const { message, trained } = await begun({ ...FORECAST, ...more }, wave(100));
      expect(message).toMatch(expected);
      expect(trained).toBe(false);
    }
  });

  it("ends before a network is trained: parts without examples or targets", async () => {
    const windowed = await begun({ ...FORECAST, window: { length: 50, horizon: 20 } }, wave(90));
    expect(windowed).toMatchObject({ message: expect.stringMatching(/OST_WINDOW/), trained: false });
    const hollow = wave(100, (i) => (i >= 60 && i < 80 ? null : i % 7));
    for (const mode of ["causal", "streaming"] as const) {
      const { message, trained } = await begun({ ...FORECAST, mode }, hollow);
      expect(message).toMatch(/OST_TARGET.*"validation" has no target/);
      expect(trained).toBe(false);
    }
    const unlabelled: Cells[] = tagged(4, 24).map((row) => ({ ...row, kind: row.run === "r1" ? "NA" : row.kind }));
    const parts = ["train", "validation", "test", "train"];
    const rows = unlabelled.map((row) => ({ ...row, part: parts[Number(String(row.run).slice(1))] }));
    const input = { ...TAGS, data: { ...TAGS.data, split: { by: "column:part" as const }, missing: "forwardFill" as const } };
    for (const length of [10, undefined]) {
      const { message, trained } = await begun({ ...input, window: { length } }, rows);
      expect(message).toMatch(/OST_TARGET.*"validation" has no target/);
      expect(trained).toBe(false);
    }
  });
});

describe("tags from windows", () => {
  const rows = tagged(8, 50);
  const config = parseConfig(TAGS);
  const table = tableFromRecords(rows);

  it("are scored as a stream says them, and the baselines on the same steps", async () => {
    const result = await runExperiment(config, table);
    const model = await openModel(result!.file);
    expect(model.header).toMatchObject({ streaming: "windowed", windowLength: 10 });
    const { prepared } = prepareExperiment(config, table);
    let right = 0;
    let steps = 0;
    for (const { entity, part } of prepared.series) {
      if (part[0] !== 3) continue;
      const session = openSession(model, { owner: "test" });
      for (const { run: _, kind, plant: __, ...record } of rows.filter(({ run }) => run === entity)) {
        const [said] = session.push(record as RawRecord);
        if (said.label === kind) right++;
        steps++;
      }
    }
    expect(steps).toBe(100);
    expect(result!.metrics.test).toMatchObject({ n: steps, accuracy: right / steps });
    for (const metrics of Object.values(result!.baselines)) expect(metrics.n).toBe(steps);
  });

  it("are validated in training on evenly spaced steps, at least a thousand where there are so many, and tested on all", () => {
    const long = prepareExperiment(config, tableFromRecords(tagged(8, 900))).prepared;
    const count = (batches: ReturnType<typeof evaluationBatches>) => {
      let labels = 0;
      let read = 0;
      for (const { classes, lengths } of batches) {
        for (const index of classes!) if (index >= 0) labels++;
        for (const length of lengths) read += length;
      }
      return [labels, read];
    };
    expect(count(evaluationBatches(config, long, "test"))[0]).toBe(1800);
    expect(count(evaluationBatches(config, long, "validation", { thinned: 1000 }))[0]).toBe(1800);
    const [labels, read] = count(evaluationBatches(config, long, "validation", { thinned: 100 }));
    expect(labels).toBe(600);
    expect(read).toBeLessThanOrEqual(4 * 1800);
  });

  it("that look ahead are scored window by window, as they are predicted", () => {
    const offline = parseConfig({ ...TAGS, mode: "offline" });
    const { prepared } = prepareExperiment(offline, table);
    const lengths = [...evaluationBatches(offline, prepared, "test")].flatMap((batch) => [...batch.lengths]);
    expect(lengths).toEqual(Array(10).fill(10));
  });
});

describe("judging", () => {
  const contender = { name: "GRU 6", kind: "model" as const, cheaper: false };

  async function judged(input: ExperimentConfigInput, rows: Cells[]) {
    const config = parseConfig(input);
    const data = prepareExperiment(config, tableFromRecords(rows));
    const architecture = { type: "windowMLP" as const, window: 2, inputSize: 1, hiddenSize: 4, outputSize: 2 };
    const { network } = await fitNetwork(config, data.prepared, data.spec, architecture);
    const predictor = networkPredictor("p", network, data.spec);
    const judgement = await judgeEntrants(config, data, [
      { ...contender, predictor },
      { ...contender, name: "GRU 2", predictor },
    ]);
    return judgement!.report;
  }

  it("knows groups as the independent units, and how the test part lies to training", async () => {
    const grouped = {
      ...TAGS,
      data: { ...TAGS.data, split: { by: "group:plant" as const, train: 0.4, validation: 0.1, test: 0.5 } },
      train: { epochs: 1, maxSteps: 1 },
    };
    const report = await judged(grouped, tagged(36, 6));
    expect(report.comparisons["GRU 2"]).toMatchObject({ unit: "group", clusters: 9 });
    expect(report.separation).toBe("series");
    const timed = { ...grouped, data: { ...TAGS.data, split: { by: "time" as const, train: 0.5, validation: 0.2, test: 0.3 } } };
    const later = await judged(timed, tagged(6, 40));
    expect([later.separation, later.comparisons["GRU 2"].unit]).toEqual(["later", "block"]);
    const parts = ["test", "train", "validation", "test"];
    const torn = tagged(2, 40).map((row, i) => ({ ...row, part: parts[Math.floor((i % 40) / 10)] }));
    const byColumn = { ...grouped, data: { ...TAGS.data, split: { by: "column:part" as const } } };
    expect((await judged(byColumn, torn)).separation).toBe("interleaved");
  });

  it("notes that a split by time learns from one series later than it tests another", async () => {
    const rows = (offset: number) =>
      ["early", "late"].flatMap((run, s) =>
        Array.from({ length: 60 }, (_, i) => ({
          at: new Date(Date.UTC(2024, 0, 1 + i + s * offset)).toISOString(),
          run,
          v: Math.sin(i / 3),
          w: Math.cos(i / 3),
        })),
      );
    const input: ExperimentConfigInput = {
      ...FORECAST,
      data: { ...FORECAST.data, time: "at", entity: "run" },
      train: { epochs: 1, maxSteps: 1 },
    };
    const notes: (string[] | undefined)[] = [];
    const onEvent = (event: ExperimentEvent) => event.kind === "data" && notes.push(event.notes);
    const apart = await runExperiment(parseConfig(input), tableFromRecords(rows(30)), { onEvent });
    await runExperiment(parseConfig(input), tableFromRecords(rows(0)), { onEvent });
    expect(notes).toEqual([
      [expect.stringMatching(/rows of "late" go on to 2024-03-18T.*rows of "early" begin at 2024-02-18T/)],
      [],
    ]);
    expect(apart!.report.notes).toEqual(expect.arrayContaining(notes[0]!));
    const byEntity = { ...input.data, split: { by: "column:part" as const } };
    const named = rows(30).map((row, i) => ({ ...row, part: i % 60 < 36 ? "train" : i % 60 < 48 ? "validation" : "test" }));
    await runExperiment(parseConfig({ ...input, data: byEntity }), tableFromRecords(named), { onEvent });
    expect(notes[2]).toEqual([]);
  });

  it("ends at a signal between two comparisons", async () => {
    const config = parseConfig(TAGS);
    const data = prepareExperiment(config, tableFromRecords(tagged(8, 20)));
    const architecture = { type: "windowMLP" as const, window: 2, inputSize: 1, hiddenSize: 4, outputSize: 2 };
    const { network } = await fitNetwork(config, data.prepared, data.spec, architecture);
    const predictor = networkPredictor("p", network, data.spec);
    const stop = new AbortController();
    const judging = judgeEntrants(
      config,
      data,
      [
        { ...contender, predictor },
        {
          ...contender,
          name: "b",
          predictor: {
            ...predictor,
            predict(batch) {
              stop.abort();
              return predictor.predict(batch);
            },
          },
        },
      ],
      { signal: stop.signal },
    );
    expect(await judging).toBeNull();
  });

  it("bounds the number of resamples, so that a judgement ends", () => {
    for (const resamples of [99, 100_001, 1e9]) {
      expect(() => parseConfig({ ...TAGS, evaluation: { resamples } })).toThrow(/OST_CONFIG.*resamples/s);
    }
    expect(parseConfig({ ...TAGS, evaluation: { resamples: 100_000 } }).evaluation.resamples).toBe(100_000);
  });

  it("scales MASE by changes within runs of training rows alone", () => {
    const parts = ["train", "train", "train", "validation", "test", "test", "train", "train", "validation", "test"];
    const rows = Array.from({ length: 40 }, (_, i) => ({ v: i * i, w: 1 + (i % 3), part: parts[i % 10] }));
    const input = { ...FORECAST, data: { ...FORECAST.data, split: { by: "column:part" as const }, scale: "none" as const } };
    const config = parseConfig(input);
    const { prepared } = prepareExperiment(config, tableFromRecords(rows));
    const runs: number[][] = [];
    rows.forEach(({ v, part }, i) => {
      if (part !== "train") return;
      if (rows[i - 1]?.part === "train") runs[runs.length - 1].push(v);
      else runs.push([v]);
    });
    expect(scoringOptions(config, prepared)).toMatchObject({ maseScales: [maseScale(runs, { period: 1 })] });
  });
});

it("the validation loss does not depend on where batches are cut, with class weights", async () => {
  // Two classes, of which the rare one lies in the last sequences: batches of 256 sequences have different shares of it.
  const rows = Array.from({ length: 1400 }, (_, i) => {
    const run = Math.floor(i / 2);
    const rare = run >= 650 || run % 97 === 0;
    return { run, a: (rare ? 1 : -1) + Math.sin(i * 37), kind: rare ? "rare" : "common", part: "" };
  });
  const order = rows.map((_, i) => Math.floor(i / 2));
  rows.forEach((row, i) => {
    row.part = order[i] < 300 ? (row.kind === "rare" || order[i] % 2 ? "train" : "test") : order[i] % 9 ? "validation" : "test";
  });
  const losses: number[] = [];
  for (const sorted of [rows, [...rows].sort((a, b) => (a.kind === b.kind ? a.run - b.run : a.kind === "rare" ? -1 : 1))]) {
    const config = parseConfig({
      ...TAGS,
      task: "classify",
      data: { ...TAGS.data, split: { by: "column:part" } },
      window: {},
      train: { epochs: 1, batchSize: 512, classWeights: "balanced", maxSteps: 1, learningRate: 1e-9 },
    });
    const { prepared, spec } = prepareExperiment(config, tableFromRecords(sorted));
    const { result } = await fitNetwork(config, prepared, spec, {
      type: "windowMLP",
      window: 1,
      inputSize: 1,
      hiddenSize: 4,
      outputSize: 2,
    });
    losses.push(result.best!.validation);
  }
  expect(losses[1]).toBeCloseTo(losses[0], 5);
});

describe("the narrow rival", () => {
  const names = async (model: ExperimentConfigInput["model"], mode: "causal" | "offline" = "causal") => {
    const found: [string, unknown][] = [];
    const result = await runExperiment(
      parseConfig({ ...TAGS, mode, model, train: { epochs: 1, maxSteps: 1 }, evaluation: { resamples: 100 } }),
      tableFromRecords(tagged(8, 20)),
      { onEvent: (event) => event.kind === "network" && found.push([event.name, event.architecture]) },
    );
    return { names: found.map(([name]) => name), notes: result!.report.notes.join(" ") };
  };

  it("is a GRU of a quarter of the width, whatever the cell", async () => {
    expect((await names({ cell: "lstm", hiddenSize: 32 })).names).toEqual(["LSTM 32", "GRU 8", "MLP window 8"]);
    expect((await names({ cell: "rnn", hiddenSize: 8 })).names).toEqual(["RNN 8", "GRU 4", "MLP window 8"]);
    const offline = await names({ cell: "lstm", hiddenSize: 16, bidirectional: true }, "offline");
    expect(offline.names[1]).toBe("GRU 4 bidirectional");
    expect(offline.notes).not.toMatch(/narrower/);
  });

  it("is none below eight units, and the report says so", async () => {
    const small = await names({ hiddenSize: 7 });
    expect(small.names).toEqual(["GRU 7", "MLP window 8"]);
    expect(small.notes).toMatch(/No narrower network was tried: a quarter of 7 units is fewer than 4\./);
  });
});

it("the version in model files is the package's", () => {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  expect(VERSION).toBe(version);
});

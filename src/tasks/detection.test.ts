import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { applyPreprocessing, type RawRecord, tableFromRecords } from "../data/index.js";
import { type DetectionMetrics, hysteresisAlerts, renderReportHtml, renderReportText } from "../evaluate/index.js";
import {
  checkBatchInvariance,
  decodeModel,
  encodeModel,
  type LoadedModel,
  openModel,
  openSession,
  toStream,
  watch,
} from "../model/index.js";
import { detectRows } from "./detect-rows.js";
import { scoresOf, surprisesOf } from "./detection.js";
import { evaluationBatches } from "./evaluation-batches.js";
import { type ExperimentConfigInput, type ExperimentResult, parseConfig, prepareExperiment, runExperiment } from "./index.js";

type Rows = Record<string, string | number>[];
interface Trial {
  input: ExperimentConfigInput;
  rows: Rows;
}

const LENGTH = 120;
const ANOMALIES = [95, 110];

/** A few noisy waves; in the test part some values are off. */
function waves({ detect = {}, data = {}, ...more }: Record<string, object> = {}): Trial {
  const rng = seed(5);
  const rows = [0, 1, 2].flatMap((device) =>
    Array.from({ length: LENGTH }, (_, t) => ({
      device: `d${device}`,
      value: Math.sin(t / 3 + device) + 0.1 * rng.normal() + (ANOMALIES.includes(t) ? 4 : 0),
      other: Math.cos(t / 5) + 0.1 * rng.normal(),
      truth: ANOMALIES.includes(t) ? "bad" : "good",
    })),
  );
  return {
    rows,
    input: {
      task: "detect",
      data: {
        source: "memory",
        entity: "device",
        features: ["value", "other"],
        target: ["value", "other"],
        anomaly: { column: "truth", normal: ["good"] },
        split: { by: "time", train: 0.5, validation: 0.25, test: 0.25 },
        ...data,
      } as ExperimentConfigInput["data"],
      detect: { by: "residual", margin: 1.5, ...detect },
      model: { cell: "gru", hiddenSize: 8 },
      train: { epochs: 6, batchSize: 4, learningRate: 0.02 },
      evaluation: { rivals: false, resamples: 100 },
      ...more,
    },
  };
}

/** Sessions in which events follow each other in a ring; the last ones of the test part jump. */
function sessions({ detect = {}, ...more }: Record<string, object> = {}): Trial {
  const rng = seed(3);
  const names = ["a", "b", "c", "d", "e"];
  const rows = Array.from({ length: 40 }, (_, s) => {
    const part = s < 20 ? "train" : s < 28 ? "validation" : "test";
    const bad = s >= 34;
    const length = s === 33 || s === 39 ? 2 : 6 + rng.integer(6);
    let at = rng.integer(5);
    return Array.from({ length }, (_, t) => {
      at = (at + (bad && t === 3 ? 3 : 1)) % 5;
      return {
        session: `s${s}`,
        event: bad && t === 4 ? "never" : names[at],
        part,
        truth: bad && (t === 3 || t === 4 || length === 2) ? "bad" : "good",
      };
    });
  }).flat();
  return {
    rows,
    input: {
      task: "detect",
      data: {
        source: "memory",
        entity: "session",
        categories: { event: { kind: "vocabulary", as: "embedding", width: 4 } },
        target: "event",
        anomaly: { column: "truth", normal: ["good"] },
        split: { by: "column:part" },
      },
      detect: { by: "nextEvent", rank: 2, ...detect },
      model: { cell: "gru", hiddenSize: 12 },
      train: { epochs: 20, batchSize: 4, learningRate: 0.02 },
      evaluation: { rivals: false, resamples: 100 },
      ...more,
    },
  };
}

async function ran({ input, rows }: Trial): Promise<ExperimentResult> {
  return (await runExperiment(parseConfig(input), tableFromRecords(rows))) as ExperimentResult;
}

const weights = (file: Uint8Array) => Object.entries(decodeModel(file).arrays).map(([name, { data }]) => [name, [...data]]);
const detectionOf = (file: Uint8Array) => decodeModel(file).header.detection;
const foundIn = (loaded: LoadedModel, rows: Rows) => [
  ...detectRows(loaded, applyPreprocessing(tableFromRecords(rows), loaded.preprocessing, { target: "optional" })),
];

/** What a stream per series says, record by record. */
function streamed(loaded: LoadedModel, rows: Rows, column: string) {
  const open = new Map<unknown, ReturnType<typeof openSession>>();
  return rows.map((row) => {
    const name = row[column];
    const session = (open.get(name) ?? openSession(loaded, { owner: String(name) })) as { push(record: RawRecord): unknown[] };
    open.set(name, session as never);
    return session.push(row);
  });
}

const KINDS: Record<string, () => Trial> = {
  "next events of whole sessions": () => sessions(),
  "next events of windows": () => sessions({ window: { length: 4 } }),
  "residuals of whole series": () => waves({ detect: { smooth: 3, hold: { off: 0.5, steps: 1, quiet: 2 } } }),
  "residuals of windows": () => waves({ window: { length: 8 } }),
};

describe.each(Object.entries(KINDS))("a detector by %s", (_, make) => {
  let trial: Trial;
  let result: ExperimentResult;
  let loaded: LoadedModel;
  const column = () => trial.input.data.entity as string;

  beforeAll(async () => {
    trial = make();
    result = await ran(trial);
    loaded = await openModel(result.file);
  });

  it("says of a file what it says record by record, to the bit, and so does every rival", async () => {
    for (const file of [result.file, ...result.rivalFiles.values()]) {
      const one = await openModel(file);
      const found = foundIn(one, trial.rows);
      const told = streamed(one, trial.rows, column());
      expect(found).toHaveLength(trial.rows.length);
      found.forEach(({ score, anomaly, row }, i) => {
        expect(row).toBe(i + 1);
        const expected = score === null ? [] : [{ time: null, score, anomaly: anomaly === 1 }];
        expect(told[i], `${one.header.name}, row ${row}`).toEqual(expected);
      });
      expect(found.some(({ score }) => score !== null)).toBe(true);
    }
  });

  it("goes on from a snapshot as if it had never stopped, and keeps every stream to itself", () => {
    const own = trial.rows.filter((row) => row[column()] === trial.rows[0][column()]);
    const whole = streamed(loaded, own, column());
    const stream = toStream(loaded);
    expect([stream.outputSize, stream.classes, stream.targets]).toEqual([2, [], []]);
    let session = openSession(stream, { owner: "x" });
    own.forEach((row, t) => {
      expect(session.push(row)).toEqual(whole[t]);
      session = openSession(stream, { owner: "x", snapshot: session.snapshot() });
    });
    if (stream.textColumns.length === 0) expect(checkBatchInvariance(stream)).toBe(true);
  });

  it("says of a row what it would say whatever came after it", () => {
    const own = trial.rows.filter((row) => row[column()] === trial.rows[0][column()]);
    const before = foundIn(loaded, own);
    for (const cut of [1, 3, own.length - 1]) {
      const changed = own.map((row, t) =>
        t < cut ? row : "value" in row ? { ...row, value: 99, other: -99 } : { ...row, event: "never" },
      );
      expect(foundIn(loaded, changed).slice(0, cut)).toEqual(before.slice(0, cut));
    }
  });

  it("is trained, measured and thresholded without a look at test rows or at labels", async () => {
    const isTest = (row: Rows[number], i: number) => ("part" in row ? row.part === "test" : i % LENGTH >= 0.75 * LENGTH);
    const otherLabels = trial.rows.map((row) => ({ ...row, truth: row.truth === "good" ? "bad" : "good" }));
    const otherTest = trial.rows.map((row, i) =>
      !isTest(row, i) ? row : "value" in row ? { ...row, value: Number(row.value) * 3, other: 7 } : { ...row, event: "a" },
    );
    for (const rows of [otherLabels, otherTest]) {
      const other = await ran({ ...trial, rows });
      expect(weights(other.file)).toEqual(weights(result.file));
      expect(detectionOf(other.file)).toEqual(detectionOf(result.file));
      for (const [name, file] of result.rivalFiles) {
        expect(detectionOf(other.rivalFiles.get(name) as Uint8Array), name).toEqual(detectionOf(file));
      }
    }
  });

  it("finds what was planted, and its report says how", () => {
    const { report } = result;
    const metrics = report.metrics[report.rows[0].name] as DetectionMetrics;
    expect(metrics.labelled).toBe(true);
    expect(metrics.recall).toBeGreaterThan(0.2);
    expect(metrics.rocAuc).toBeGreaterThan(0.7);
    expect(report.verdict.text).toMatch(/^Verdict: ship/);
    const text = renderReportText(report);
    expect(text.replace(/\s+/g, " ")).toMatch(/alert where the .* of the (event|row) that came is above [\d.]+/);
    expect(renderReportHtml(report)).toContain("By events");
  });
});

describe("surprises", () => {
  it("are scored once per row, at the row that came, and alerts are those of the hysteresis", () => {
    const { input, rows } = waves({ window: { length: 8 } });
    const config = parseConfig(input);
    const { prepared, spec } = prepareExperiment(config, tableFromRecords(rows));
    const asked: number[] = [];
    const predict = (batch: Parameters<Parameters<typeof surprisesOf>[0]>[0]) => {
      asked.push(batch.batchSize);
      return new Float32Array(batch.batchSize * batch.time * 2);
    };
    const surprises = surprisesOf(predict, evaluationBatches(config, prepared, "test"), spec);
    const measure = { by: "residual" as const, mean: [0, 0], std: [1, 1] };
    prepared.series.forEach(({ values, part, length }, s) => {
      const scores = scoresOf(surprises, s, length, measure);
      const expected = Array.from(part, (code, t) => {
        const [a, b] = [0, 1].map((k) => (values as Float32Array)[2 * t + k]);
        // What predicts the first row of a part lies in the part before.
        return code === 3 && part[t - 1] === 3 ? Math.fround(a ** 2 + b ** 2) : null;
      });
      expect(scores).toEqual(expected);
      const there = scores.filter((score) => score !== null);
      const options = { smooth: 1, threshold: 2, off: 1, steps: 2, quiet: 0 };
      expect([...watch(there, options).alerts]).toEqual([...hysteresisAlerts(there, { on: 2, off: 1, minimumDuration: 2 })]);
    });
    expect(asked.length).toBeGreaterThan(0);
  });

  it("of rebuilt windows are those of each row, once, and no stream can have them", async () => {
    const trial = waves({ detect: { by: "reconstruction" }, window: { length: 10 } });
    const result = await ran(trial);
    const loaded = await openModel(result.file);
    expect(loaded.header.streaming).toBeNull();
    expect(() => toStream(loaded)).toThrow(/OST_CAUSAL/);
    const found = foundIn(loaded, trial.rows);
    expect(found.every(({ score }) => score !== null)).toBe(true);
    expect(result.report.units).toBe(3 * 30);
    expect(result.report.rows.map(({ name }) => name)).toContain("columnMean");
    expect([...result.rivalFiles.keys()]).toEqual(["columnMean"]);
    const mean = await openModel(result.rivalFiles.get("columnMean") as Uint8Array);
    expect(foundIn(mean, trial.rows).some(({ anomaly }) => anomaly === 1)).toBe(true);
  });
});

describe("sessions", () => {
  const metricsOf = ({ report }: ExperimentResult) => report.metrics[report.rows[0].name] as DetectionMetrics;

  it("too short to be judged by their events are judged by rule, and the report says so", async () => {
    const detect = { unit: "series", shortest: 3 };
    const flagged = await ran(sessions({ detect: { ...detect, short: "anomalous" } }));
    const passed = await ran(sessions({ detect: { ...detect, short: "normal" } }));
    const [a, b] = [metricsOf(flagged), metricsOf(passed)];
    expect([a.n, a.short, b.short]).toEqual([
      12,
      { below: 3, countsAs: "anomalous", series: 2 },
      { below: 3, countsAs: "normal", series: 2 },
    ]);
    // One of the two is normal and one anomalous.
    expect((a.truePositives as number) - (b.truePositives as number)).toBe(1);
    expect((a.falsePositives as number) - (b.falsePositives as number)).toBe(1);
    expect([a.rocAuc, a.averagePrecision]).toEqual([b.rocAuc, b.averagePrecision]);
    expect(flagged.report.notes.join(" ")).toMatch(/fewer than 3 steps counts as anomalous/);
    expect(renderReportText(flagged.report)).toMatch(/^test, 12 series/);
  });

  it("of one event have no score and are normal", async () => {
    const trial = sessions({ detect: { unit: "series" } });
    const lonely = [{ session: "alone", event: "a", part: "test", truth: "good" }];
    const [before, after] = [await ran(trial), await ran({ ...trial, rows: [...trial.rows, ...lonely] })].map(metricsOf);
    expect([after.n - before.n, after.trueNegatives]).toEqual([1, (before.trueNegatives as number) + 1]);
  });

  it("have the threshold that their labels or a budget ask for", async () => {
    const budget = await ran(sessions({ detect: { rank: undefined, threshold: { per1000: 100 }, unit: "series" } }));
    const chosen = detectionOf(budget.file);
    expect([chosen?.n, chosen?.rule]).toEqual([8, "at most 100 of 1,000 validation series above it"]);
    expect(budget.report.notes.join(" ")).toMatch(/chosen on 8 validation scores/);
    const noLabels = sessions({ detect: { rank: undefined, threshold: { metric: "f1" }, unit: "series" } });
    await expect(ran(noLabels)).rejects.toThrow(/OST_TARGET/);
    const rows = noLabels.rows.map((row) =>
      row.session === "s39" || row.session === "s38" ? { ...row, part: "validation" } : row,
    );
    const byF1 = detectionOf((await ran({ ...noLabels, rows })).file);
    expect([byF1?.n, byF1?.rule]).toEqual([10, "the best F1 on the validation part"]);
    const unlabelled = rows.map((row) => (row.part === "test" ? { ...row, truth: "" } : row));
    expect(detectionOf((await ran({ ...noLabels, rows: unlabelled })).file)).toEqual(byF1);
  });
});

describe("a test part", () => {
  it("without labels has alert rates and no verdict", async () => {
    const trial = waves();
    const rows = trial.rows.map((row) => ({ ...row, truth: "" }));
    const { report } = await ran({ ...trial, rows, input: { ...trial.input, decision: { metric: "recall" } } });
    expect(report.verdict).toMatchObject({ ship: "none", beats: [], loses: [], ties: [] });
    expect(report.verdict.text).toMatch(/No row of the test part is labelled/);
    expect(report.columns.map(({ key }) => key)).toEqual(["alertsPer1000"]);
    expect(report.rows.every(({ values }) => typeof values.alertsPer1000 === "number")).toBe(true);
    expect(() => renderReportHtml(report)).not.toThrow();
  });

  it("without an anomaly is judged by its false alarms", async () => {
    const trial = waves();
    const rows = trial.rows.map((row) => ({ ...row, truth: "good" }));
    const { report } = await ran({ ...trial, rows, input: { ...trial.input, decision: { metric: "f1" } } });
    expect(report.comparedBy).toBe("false positive rate");
    expect(report.notes.join(" ")).toMatch(/F1 is not defined on these alerts/);
  });
});

describe("the state of a detector", () => {
  it("is gone on from by another model only if the two mean the same by it", async () => {
    const [a, b, smooth] = await Promise.all(
      [waves(), waves({ detect: { margin: 3 } }), waves({ detect: { smooth: 4 } })].map(async (trial) =>
        openModel((await ran(trial)).file),
      ),
    );
    const schema = (loaded: LoadedModel) => toStream(loaded).stateSchema;
    expect(schema(b)).toBe(schema(a));
    expect(schema(smooth)).not.toBe(schema(a));
    const { detection: _, ...header } = a.header;
    expect(schema({ ...a, header: { ...header, task: "forecast" } })).not.toBe(schema(a));
  });
});

describe("the header of a detector", () => {
  it("is read only if everything in it can be", async () => {
    const { file } = await ran(waves());
    const { header, arrays } = decodeModel(file);
    const detection = header.detection as NonNullable<typeof header.detection>;
    const broken: object[] = [
      { threshold: "high" },
      { off: detection.threshold + 1 },
      { steps: 0 },
      { smooth: 0.5 },
      { quiet: -1 },
      { mean: [0] },
      { std: [1, 0] },
      { std: [1, null] },
      { by: "nextEvent" },
      { unit: "row" },
      { short: "perhaps" },
    ];
    for (const wrong of broken) {
      const bytes = encodeModel({ ...header, detection: { ...detection, ...wrong } } as typeof header, arrays);
      await expect(openModel(bytes), JSON.stringify(wrong)).rejects.toThrow(/OST_MODEL_FILE/);
    }
    const { detection: _, ...without } = header;
    await expect(openModel(encodeModel(without as typeof header, arrays))).rejects.toThrow(/OST_MODEL_FILE/);
    expect(decodeModel(encodeModel(header, arrays)).header.detection).toEqual(detection);
  });

  it("says that no stream can hold values against what was expected where gaps are filled unseen", async () => {
    const trial = waves({ data: { missing: { policy: "forwardFill" } } });
    const rows = trial.rows.map((row, i) => (i % 17 === 3 ? { ...row, value: "" } : row));
    expect(decodeModel((await ran({ ...trial, rows })).file).header.streaming).toBeNull();
    const flagged = waves({ data: { missing: { policy: "forwardFill", flag: true } } });
    const result = await ran({ ...flagged, rows });
    const loaded = await openModel(result.file);
    const found = foundIn(loaded, rows);
    const told = streamed(loaded, rows, "device");
    found.forEach(({ score, anomaly }, i) => {
      expect(told[i]).toEqual(score === null ? [] : [{ time: null, score, anomaly: anomaly === 1 }]);
    });
  });
});

describe("scores of alarms", () => {
  it("never end up as something else than numbers, whatever the data hold", () => {
    fc.assert(
      fc.property(fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 20 }), (scores) => {
        const { scores: means } = watch(scores.map(Math.abs), { smooth: 3, threshold: 1, off: 1, steps: 1, quiet: 0 });
        expect(means.every((mean) => Number.isFinite(mean))).toBe(true);
      }),
    );
  });
});

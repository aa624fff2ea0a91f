import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { seed } from "../core/rng.js";
import { batches, partCode, tableFromRecords } from "../data/index.js";
import { type FreeRunningForecast, type FreeRunningSteps, renderReportHtml, renderReportText } from "../evaluate/index.js";
import {
  buildNetwork,
  describeArchitecture,
  forwardBatch,
  networkPredictor,
  type Predictor,
  sequenceModel,
} from "../model/index.js";
import { type ExperimentConfigInput, parseConfig } from "./config.js";
import { prepareExperiment, runExperiment } from "./experiment.js";
import { freeRunning } from "./free-running.js";
import { placesOf } from "./free-running-places.js";
import { taskOf } from "./task.js";

const rng = seed(8);
/** Mostly a -> b -> c -> d -> a. */
let at = 0;
const letters = Array.from({ length: 900 }, () => {
  at = rng.uniform() < 0.85 ? (at + 1) % 4 : Math.floor(rng.uniform() * 4);
  return { doc: "one", w: "abcd"[at], n: rng.normal() };
});
const LETTERS: ExperimentConfigInput = {
  task: "language",
  mode: "streaming",
  data: {
    source: "x",
    categories: { w: { kind: "vocabulary", as: "embedding", width: 6 } },
    target: "w",
    split: { by: "time", train: 0.5, validation: 0.1, test: 0.4 },
  },
  window: { length: 20 },
  model: { hiddenSize: 8 },
  train: { epochs: 1, batchSize: 4 },
  evaluation: { rivals: false, resamples: 100 },
};

function entrantOf(predictor: Predictor) {
  return { name: predictor.name, kind: "model" as const, cheaper: false, predictor };
}

function untrained(input: ExperimentConfigInput, rows: Record<string, string | number | null>[]) {
  const config = parseConfig(input);
  const data = prepareExperiment(config, tableFromRecords(rows));
  const architecture = taskOf(config).architecture(data.spec);
  const network = sequenceModel(buildNetwork(architecture, { rng: seed(2) }));
  const predictor = networkPredictor(describeArchitecture(architecture), network, data.spec);
  return { config, data, network, predictor };
}

describe("the places that are gone on from", () => {
  const { data } = untrained(LETTERS, letters);

  it("are evenly spaced, lie in the test part with what is read and foretold, and have as many steps as there are", () => {
    const places = placesOf(data.prepared, data.spec, { most: 10, steps: 30, history: 40 })!;
    const { part } = data.prepared.series[0];
    const starts: number[] = [];
    for (let i = 0; i < places.examples.count; i++) {
      const { start, length } = places.examples.at(i);
      starts.push(start);
      expect(places.reads[i]).toBe(40);
      expect(length).toBe(40 + 30 - 1);
      for (let step = start; step <= start + length; step++) expect(part[step]).toBe(partCode("test"));
    }
    const gaps = starts.slice(1).map((start, i) => start - starts[i]);
    expect(starts).toHaveLength(10);
    expect(Math.max(...gaps) - Math.min(...gaps)).toBeLessThanOrEqual(1);
  });

  it("of short sequences lie anywhere with a step on either side", () => {
    const rows = Array.from({ length: 60 }, (_, i) => ({ doc: `d${Math.floor(i / 3)}`, w: "abc"[i % 3] }));
    const split = { by: "entity" as const, train: 0.4, validation: 0.2, test: 0.4 };
    const { data: short } = untrained(
      { ...LETTERS, mode: "causal", window: {}, data: { ...LETTERS.data, entity: "doc", split } },
      rows,
    );
    const places = placesOf(short.prepared, short.spec, { most: 1000, steps: 30, history: 40 })!;
    const found = Array.from({ length: places.examples.count }, (_, i) => [places.reads[i], places.examples.at(i).length]);
    // Eight sequences of three steps, each gone on from after its first and after its second.
    expect(found).toEqual(
      Array.from({ length: 8 }, () => [
        [1, 2],
        [2, 2],
      ]).flat(),
    );
  });
});

describe("codes", () => {
  /** Every step foretold by reading all from the first true step afresh. */
  function naive(predictor: Predictor, { classes }: ExampleSpec, batch: Batch, reads: number, isFree: boolean): number[] {
    const V = classes.length;
    const F = batch.features;
    const x = batch.x.slice();
    const said: number[] = [];
    for (let step = 0; reads + step <= batch.time; step++) {
      const length = reads + step;
      const seen = { ...batch, time: length, x: x.slice(0, length * F), lengths: Int32Array.of(length) };
      const logits = predictor.predict(seen).slice(-V);
      said.push(logits.indexOf(Math.max(...logits)));
      if (!isFree || length === batch.time) continue;
      if (F === 1) x[length] = said[step];
      else x.fill(0, length * F, (length + 1) * F)[length * F + said[step]] = 1;
    }
    return said;
  }

  it.each(["embedding", "oneHot"] as const)(
    "carried on are those of a model that reads everything afresh (%s)",
    (as) => {
      const w = { kind: "vocabulary" as const, as };
      const { config, data, predictor } = untrained({ ...LETTERS, data: { ...LETTERS.data, categories: { w } } }, letters);
      const found = freeRunning(config, data, [entrantOf(predictor)], { contenders: [] }) as FreeRunningSteps;
      expect(found).toMatchObject({ kind: "codes", unitName: "code", places: 64, steps: 64, history: 256 });
      const places = placesOf(data.prepared, data.spec, { most: 64, steps: 64, history: 256 })!;
      const right = { free: new Array(64).fill(0), forced: new Array(64).fill(0) };
      const first: number[] = [];
      for (const batch of batches(places.examples, { batchSize: 1 })) {
        const reads = places.reads[batch.example[0]];
        const truth = batch.classes!.slice(reads - 1);
        for (const way of ["free", "forced"] as const) {
          const said = naive(predictor, data.spec, batch, reads, way === "free");
          truth.forEach((code, step) => {
            if (code === said[step]) right[way][step]++;
          });
          if (way === "free") first.push(1 + [...truth].findIndex((code, step) => code !== said[step]));
        }
      }
      const [row] = found.rows;
      expect(row.byStep.map(({ free }) => free.right)).toEqual(right.free.map((n) => n / 64));
      expect(row.byStep.map(({ forced }) => forced.right)).toEqual(right.forced.map((n) => n / 64));
      expect(row.firstDivergence.diverged).toBe(first.filter((step) => step > 0).length);
      expect(row.byStep[0].free).toEqual(row.byStep[0].forced);
      expect(row.free.nll).not.toBe(row.forced.nll);
    },
    60_000,
  );

  it("of the best n-gram stand beside the model's, in the report, its text and its page", async () => {
    const result = await runExperiment(
      parseConfig({ ...LETTERS, window: { length: 12 }, mode: "causal" }),
      tableFromRecords(letters),
    );
    const { report } = result!;
    const found = report.freeRunning as FreeRunningSteps;
    expect(found.rows).toHaveLength(2);
    expect(found.history).toBe(12);
    const best = report.rows
      .filter(({ kind }) => kind === "baseline")
      .sort((a, b) => a.values.logLoss! - b.values.logLoss!)[0].name;
    expect(found.rows[1].name).toBe(best);
    expect(JSON.parse(JSON.stringify(found))).toEqual(found);
    const text = renderReportText(report, { width: 10_000 });
    expect(text).toMatch(
      /from 64 places on, up to 64 codes each: teacher-forced .* of codes right and .* nats per code; free-running/,
    );
    expect(text).toContain(`${best}: teacher-forced`);
    const page = renderReportHtml(report);
    expect(page).toContain("Reading the truth, and reading its own output");
    expect(page.match(/<polyline/g)).toHaveLength(4);
  });

  it("are not gone on with where the target is no input, or the network reads both ways", () => {
    const { config, data, predictor } = untrained(LETTERS, letters);
    const { reader: _, ...fixed } = predictor;
    expect(freeRunning(config, data, [entrantOf(fixed)], { contenders: [] })).toBeUndefined();
    const other = { ...data, spec: { ...data.spec, features: ["other"] } };
    expect(freeRunning(config, other, [entrantOf(predictor)], { contenders: [] })).toBeUndefined();
  });
});

describe("frames", () => {
  const chords = Array.from({ length: 400 }, (_, i) => ({
    piece: `p${Math.floor(i / 20)}`,
    keys: [[1, 3], [2, 4], [1, 5], [2]][i % 4].filter(() => rng.uniform() < 0.9).join(" "),
  }));
  const CHORDS: ExperimentConfigInput = {
    ...LETTERS,
    mode: "causal",
    window: {},
    data: {
      source: "x",
      entity: "piece",
      categories: { keys: { kind: "set", range: [0, 6] } },
      target: "keys",
      split: { by: "entity", train: 0.4, validation: 0.2, test: 0.4 },
    },
  };

  it("are fed back thresholded, and cost what a model that reads everything afresh pays", () => {
    const { config, data, network, predictor } = untrained(CHORDS, chords);
    const found = freeRunning(config, data, [entrantOf(predictor)], { contenders: [] }) as FreeRunningSteps;
    expect(found).toMatchObject({ kind: "frames", unitName: "frame" });
    const { most, steps, history } = { most: 64, steps: 64, history: 256 };
    const places = placesOf(data.prepared, data.spec, { most, steps, history })!;
    const K = 7;
    const nll = { free: 0, forced: 0 };
    let n = 0;
    for (const batch of batches(places.examples, { batchSize: 1 })) {
      const reads = places.reads[batch.example[0]];
      for (const way of ["free", "forced"] as const) {
        const x = batch.x.slice();
        for (let length = reads; length <= batch.time; length++) {
          const seen = { ...batch, time: length, x: x.slice(0, length * K), lengths: Int32Array.of(length) };
          const odds = forwardBatch(network, data.spec, seen).prediction.toArray().slice(-K) as Float32Array;
          for (let k = 0; k < K; k++) {
            const truth = batch.values![(length - 1) * K + k];
            if (length < batch.time && way === "forced") expect(batch.x[length * K + k]).toBe(truth);
            const p = 1 / (1 + Math.exp(-odds[k]));
            nll[way] -= Math.log(truth === 1 ? p : 1 - p);
            if (way === "free" && length < batch.time) x[length * K + k] = p > 0.5 ? 1 : 0;
          }
          if (way === "free") n++;
        }
      }
    }
    expect(found.rows[0].free.nll).toBeCloseTo(nll.free / n, 4);
    expect(found.rows[0].forced.nll).toBeCloseTo(nll.forced / n, 4);
    expect(found.rows[0].byStep.reduce((sum, step) => sum + step.n, 0)).toBe(n);
  }, 60_000);
});

describe("recursive forecasts", () => {
  const waves = Array.from({ length: 300 }, (_, i) => ({ v: Math.sin(i / 4) + 0.1 * rng.normal(), u: Math.cos(i / 4) }));
  const WAVES: ExperimentConfigInput = {
    task: "forecast",
    data: {
      source: "x",
      features: ["u", "v"],
      target: ["v", "u"],
      split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
    },
    window: { length: 8, horizon: 5 },
    forecast: { strategy: "recursive" },
    model: { hiddenSize: 6 },
    train: { epochs: 1 },
    evaluation: { rivals: false, resamples: 100, period: 25 },
  };

  it("free-running are the model's own, and forced are forecasts of one step from a longer window", () => {
    const { config, data, network, predictor } = untrained(WAVES, waves);
    const found = freeRunning(config, data, [entrantOf(predictor)], { contenders: [] }) as FreeRunningForecast;
    const examples = taskOf(config).examples(data.prepared, "test", { served: true });
    expect(found.windows).toBe(examples.count);
    const free = new Float64Array(5);
    const forced = new Float64Array(5);
    const one = { ...data.spec, recursive: undefined, horizon: 1 };
    for (const batch of batches(examples, { batchSize: 1 })) {
      predictor.predict(batch).forEach((value, i) => {
        free[i >> 1] += (value - batch.values![i]) ** 2;
      });
      // Features are u, v and targets v, u.
      const x = [...batch.x];
      for (let p = 0; p < 5; p++) {
        const time = x.length / 2;
        const longer = { ...batch, time, lengths: Int32Array.of(time), x: Float32Array.from(x) };
        const said = forwardBatch(network, one, longer).prediction.toArray();
        for (const k of [0, 1]) forced[p] += (said[k] - batch.values![2 * p + k]) ** 2;
        x.push(batch.values![2 * p + 1], batch.values![2 * p]);
      }
    }
    found.byStep.forEach((step, p) => {
      expect(step).toMatchObject({ step: p + 1, n: 2 * examples.count });
      expect(step.free).toBeCloseTo(free[p] / (2 * examples.count), 5);
      expect(step.forced).toBeCloseTo(forced[p] / (2 * examples.count), 5);
    });
    expect(found.byStep[0].free).toBeCloseTo(found.byStep[0].forced, 6);
  });

  it("are the same with normalised windows undone, and say where naive forecasts are better", async () => {
    for (const normalize of ["none", "meanStd"] as const) {
      const config = parseConfig({ ...WAVES, window: { length: 8, horizon: 5, normalize } });
      const { report } = (await runExperiment(config, tableFromRecords(waves)))!;
      const found = report.freeRunning as FreeRunningForecast;
      const own = report.metrics[report.rows[0].name] as { byHorizon: { mse: number }[] };
      found.byStep.forEach(({ free }, p) => {
        expect(free).toBeCloseTo(own.byHorizon[p].mse, 5);
      });
      expect(found.byStep[0].free).toBeCloseTo(found.byStep[0].forced, 5);
      const [naive] = found.naive;
      expect(naive.name).toBe("persistence");
      const first = found.byStep.findIndex(({ free }, p) => free > naive.mse[p]);
      expect(naive.worseFrom).toBe(first < 0 ? null : first + 1);
      expect(renderReportText(report, { width: 10_000 })).toMatch(/reading what was measured, .* reading its own predictions/);
      expect(renderReportHtml(report)).toContain("MSE, free");
    }
  }, 60_000);

  it("leave out what a missing value keeps from being read", () => {
    const gap = waves.map((row, i) => (i === 270 ? { ...row, v: null } : row));
    const { config, data, predictor } = untrained({ ...WAVES, data: { ...WAVES.data, missing: "forwardFill" } }, gap);
    const found = freeRunning(config, data, [entrantOf(predictor)], { contenders: [] }) as FreeRunningForecast;
    expect(Number.isFinite(found.mse.free) && Number.isFinite(found.mse.forced)).toBe(true);
    expect(found.byStep[4].n).toBeLessThan(found.byStep[0].n);
  });
});

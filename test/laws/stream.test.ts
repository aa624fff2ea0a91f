/** @file Laws of the stream: raw records pushed one by one give, bit for bit, what the batch pipeline and the batched model give. */
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../../src/core/index.js";
import { seed } from "../../src/core/rng.js";
import { applyPreprocessing, tableFromRecords } from "../../src/data/index.js";
import {
  type Advance,
  checkBatchInvariance,
  givesDistribution,
  type LoadedModel,
  openModel,
  openSession,
  type Prediction,
  pointsOf,
  probabilities,
  type RawRecord,
  type StreamModel,
  toStream,
} from "../../src/model/index.js";
import {
  type ExperimentConfig,
  type ExperimentConfigInput,
  evaluationBatches,
  parseConfig,
  runExperiment,
} from "../../src/tasks/index.js";
import { syntheticRecords } from "../synthetic.js";

const FEATURES = ["a", "b"];

const SPLIT = { by: "entity" as const, train: 0.5, validation: 0.17, test: 0.33 };
const MISSING = { policy: "forwardFill" as const, flag: true, sinceSeen: true };
const TRAIN = { epochs: 2, batchSize: 4 };

const CASES: Record<string, { config: ExperimentConfigInput; regular?: boolean; missing?: number }> = {
  "tags, carried": {
    config: {
      task: "tag",
      data: {
        source: "x",
        time: "time",
        entity: "run",
        features: FEATURES,
        target: "kind",
        split: SPLIT,
        missing: MISSING,
        difference: ["a"],
      },
      mode: "streaming",
      window: { length: 16 },
      model: { cell: "gru", hiddenSize: 9 },
      train: TRAIN,
    },
  },
  "forecasts at every step, carried, two LSTM layers": {
    config: {
      task: "forecast",
      data: { source: "x", time: "time", entity: "run", features: FEATURES, target: ["a"], split: SPLIT, missing: MISSING },
      mode: "streaming",
      window: { length: 16, horizon: 3 },
      model: { cell: "lstm", hiddenSize: 7, numLayers: 2 },
      train: TRAIN,
    },
  },
  "forecasts from windows, each normalised": {
    config: {
      task: "forecast",
      data: {
        source: "x",
        time: "time",
        entity: "run",
        features: FEATURES,
        target: FEATURES,
        split: SPLIT,
        missing: "forwardFill",
      },
      window: { length: 12, horizon: 4, normalize: "meanStd" },
      model: { cell: "lstm", hiddenSize: 8 },
      train: TRAIN,
    },
  },
  "sample paths that read themselves, each window normalised": {
    config: {
      task: "forecast",
      data: {
        source: "x",
        time: "time",
        entity: "run",
        features: FEATURES,
        target: FEATURES,
        split: SPLIT,
        missing: "forwardFill",
      },
      window: { length: 8, horizon: 3, normalize: "meanStd" },
      forecast: { strategy: "recursive", distribution: "gaussian", levels: [0.1, 0.5, 0.9], paths: 9 },
      // What only an LSTM has must not keep its narrower rival, a GRU, from being made.
      model: { cell: "lstm", hiddenSize: 8, cellZoneout: 0.1 },
      train: TRAIN,
    },
  },
  "forecasts on a resampled grid": {
    config: {
      task: "forecast",
      data: {
        source: "x",
        time: "time",
        entity: "run",
        features: FEATURES,
        target: ["b"],
        split: SPLIT,
        missing: "forwardFill",
        resample: { everyMs: 3000, aggregate: "mean" },
      },
      window: { length: 8, horizon: 2, normalize: "last" },
      model: { cell: "rnn", hiddenSize: 8 },
      train: TRAIN,
    },
  },
  "classes of whole sequences": {
    config: {
      task: "classify",
      data: {
        source: "x",
        time: "time",
        entity: "run",
        features: FEATURES,
        target: "group",
        split: { ...SPLIT, train: 0.4, validation: 0.3, test: 0.3 },
        missing: MISSING,
      },
      model: { cell: "gru", hiddenSize: 6, resetAfter: false },
      train: TRAIN,
    },
  },
};

interface Built {
  config: ExperimentConfig;
  rows: RawRecord[];
  loaded: LoadedModel;
  rivals: LoadedModel[];
}

async function build(name: string): Promise<Built> {
  const { config: input, regular, missing } = CASES[name];
  const config = parseConfig({ ...input, evaluation: { resamples: 100 } });
  const rows = syntheticRecords(seed(3), { regular, missing });
  const result = await runExperiment(
    config,
    tableFromRecords(rows as Record<string, unknown>[], { text: ["run", "kind", "group"] }),
  );
  if (result === null) throw new Error("aborted");
  const loaded = await openModel(result.file);
  const rivals = await Promise.all([...result.rivalFiles.values()].map((file) => openModel(file)));
  return { config, rows, loaded, rivals };
}

/** Predictions of the batch pipeline for one series, by the time of the last step read. */
function batchPredictions({ config, loaded }: Pick<Built, "config" | "loaded">, rows: RawRecord[]): Map<number, number[]> {
  const table = tableFromRecords(rows as Record<string, unknown>[], { text: ["run", "kind", "group"] });
  const prepared = applyPreprocessing(table, loaded.preprocessing);
  const { spec } = loaded.header;
  const found = new Map<number, number[]>();
  for (const batch of evaluationBatches(config, prepared, "test")) {
    const output = loaded.predictor.predict(batch);
    const perStep = spec.everyStep || spec.targetKind === "tags";
    const width = output.length / (batch.batchSize * (perStep ? batch.time : 1));
    for (let b = 0; b < batch.batchSize; b++) {
      const { time } = prepared.series[batch.series[b]];
      const length = batch.lengths[b];
      for (let t = perStep ? 0 : length - 1; t < length; t++) {
        const at = perStep ? b * batch.time + t : b;
        const raw = output.subarray(at * width, (at + 1) * width);
        const values = givesDistribution(loaded) ? pointsOf(spec.distribution, raw) : raw;
        const decoded =
          spec.targetKind === "values" ? [...loaded.preprocessing.unscaleTarget(values)] : probabilities(values, 0, width);
        found.set((time as Float64Array)[batch.start[b] + t], decoded);
      }
    }
  }
  return found;
}

function numbersOf({ header: { spec } }: LoadedModel, prediction: Prediction): number[] {
  if (prediction.probabilities) return spec.classes.map((name) => (prediction.probabilities as Record<string, number>)[name]);
  return Array.from({ length: spec.horizon }, (_, p) =>
    spec.targets.map((name) => (prediction.forecast as Record<string, number[]>)[name][p]),
  ).flat();
}

/** What each record gives when no other stream runs. */
function advancedAlone(stream: StreamModel, records: RawRecord[]): (Advance | OstinatoError)[] {
  let state = stream.initialState();
  return records.map((record) => {
    const [result] = stream.advance([{ row: stream.readRecord(record), state }]);
    if (!(result instanceof OstinatoError)) state = result.state;
    return result;
  });
}

const bySeries = (rows: RawRecord[], run: string) => rows.filter((row) => row.run === run);

for (const name of Object.keys(CASES)) {
  describe(`a stream of ${name}`, async () => {
    const built = await build(name);
    const { config, rows, loaded, rivals } = built;
    const one = bySeries(rows, "s1");

    it("equals the batch pipeline bit for bit, for every series", () => {
      let compared = 0;
      for (const run of ["s0", "s1", "s5"]) {
        const series = bySeries(rows, run);
        const expected = batchPredictions({ config, loaded }, series);
        const session = openSession(loaded, { owner: "test" });
        const got = series.flatMap((record) => session.push(record));
        for (const prediction of got) {
          const wanted = expected.get(prediction.time as number);
          if (wanted === undefined) continue;
          expect(numbersOf(loaded, prediction)).toEqual(wanted);
          compared++;
        }
        expect(expected.size).toBeLessThanOrEqual(got.length);
      }
      expect(compared).toBeGreaterThan(config.task === "classify" ? 2 : 30);
    });

    it("interleaved with another equals running alone", () => {
      const other = bySeries(rows, "s4");
      const alone = one.map((record) => push(record, solo));
      const [first, second] = [openSession(loaded, { owner: "x" }), openSession(loaded, { owner: "y" })];
      const mixed = one.map((record, i) => {
        const got = first.push(record);
        if (other[i]) second.push(other[i]);
        return got;
      });
      expect(mixed).toEqual(alone);
    });
    const solo = openSession(loaded, { owner: "alone" });
    const push = (record: RawRecord, session: typeof solo) => session.push(record);

    it("restored from a snapshot equals never stopped", () => {
      const straight = openSession(loaded, { owner: "a" });
      let session = openSession(loaded, { owner: "a" });
      one.forEach((record, i) => {
        if (i % 7 === 3) session = openSession(loaded, { owner: "a", snapshot: session.snapshot() });
        expect(session.push(record)).toEqual(straight.push(record));
      });
      expect(session.steps).toBe(one.length);
    });

    it("leaves the given state as it is, whether a push succeeds or fails", () => {
      const stream = toStream(loaded);
      let state = stream.initialState();
      for (const record of one.slice(0, 20)) state = stream.push(record, state).state;
      const before = stream.snapshot(state, "o");
      stream.push(one[20], state);
      expect(stream.snapshot(state, "o")).toEqual(before);
      for (const bad of [
        { ...one[20], a: "what" },
        { time: one[20].time },
        { ...one[20], time: one[0].time },
        {},
        { ...one[20], a: 1e300 },
      ]) {
        expect(() => stream.push(bad as RawRecord, state)).toThrow(OstinatoError);
        expect(stream.snapshot(state, "o")).toEqual(before);
      }
    });

    it("refuses snapshots that are corrupt, of another owner or of another model", () => {
      const session = openSession(loaded, { owner: "a" });
      for (const record of one.slice(0, 10)) session.push(record);
      const snapshot = session.snapshot();
      expect(() => openSession(loaded, { owner: "b", snapshot })).toThrow(/OST_SNAPSHOT.*another owner/);
      expect(() => openSession(rivals[0], { owner: "a", snapshot })).toThrow(/OST_SNAPSHOT.*another model/);
      for (let i = 0; i < snapshot.length; i += 3) {
        const corrupt = snapshot.slice();
        corrupt[i] ^= 0x40;
        expect(() => openSession(loaded, { owner: "a", snapshot: corrupt })).toThrow(/OST_SNAPSHOT/);
        expect(() => openSession(loaded, { owner: "a", snapshot: snapshot.subarray(0, i) })).toThrow(/OST_SNAPSHOT/);
      }
    });

    it("advanced with others in one call equals each by itself, whatever the others hold", () => {
      for (const model of [loaded, ...rivals]) {
        const stream = toStream(model);
        const runs = ["s0", "s1", "s4", "s5"].map((run) => bySeries(rows, run).slice(0, 40));
        const alone = runs.map((records) => advancedAlone(stream, records));
        const hostile: RawRecord = { ...one[0], a: 1e38, b: -1e38 };
        let states = runs.map(() => stream.initialState());
        for (let t = 0; t < 40; t++) {
          const items = states.map((state, k) => ({ row: stream.readRecord(runs[k][t]), state }));
          const beside = [
            { row: { ...stream.readRecord(hostile), time: items[0].row.time }, state: states[0] },
            { row: { ...items[1].row, time: Number.NaN }, state: states[1] },
          ];
          const together = stream.advance([beside[0], items[0], items[1], beside[1], items[2], items[3], beside[0]]);
          expect(together[3]).toBeInstanceOf(OstinatoError);
          const mine = [1, 2, 4, 5].map((place) => together[place]);
          mine.forEach((result, k) => {
            expect(result).toEqual(alone[k][t]);
          });
          states = mine.map((result) => (result as Advance).state);
        }
      }
    });

    it("does not feel how many rows are computed together", () => {
      for (const model of [loaded, ...rivals]) expect(checkBatchInvariance(toStream(model)), model.header.name).toBe(true);
    });

    it("takes rows of numbers as it takes records", () => {
      const stream = toStream(loaded);
      expect(stream.columns).toEqual(["time", ...FEATURES]);
      let [named, numbered] = [stream.initialState(), stream.initialState()];
      for (const record of one.slice(0, 30)) {
        const row = stream.readRecord(record);
        const numbers = [7, row.time, ...FEATURES.map((name) => (record[name] as number | null) ?? Number.NaN)];
        const [a] = stream.advance([{ row, state: named }]) as Advance[];
        const [b] = stream.advance([{ row: stream.readValues(numbers, 1), state: numbered }]) as Advance[];
        expect(b.predictions).toEqual(a.predictions);
        expect(b.gapMs).toBe(a.gapMs);
        [named, numbered] = [a.state, b.state];
        for (const { values } of a.predictions) expect(values.length).toBe(stream.outputSize);
        expect([a.state.preprocessing.length, a.state.model.length]).toEqual([
          stream.stateSize.preprocessing,
          stream.stateSize.model,
        ]);
      }
      for (const bad of [
        [Number.NaN, 1, 2],
        [0, Number.POSITIVE_INFINITY, 1],
        [0, 1],
      ]) {
        expect(() => stream.readValues(bad)).toThrow(/OST_RECORD/);
      }
    });

    it("serves every baseline and rival through the same interface", () => {
      expect(rivals.length).toBeGreaterThanOrEqual(3);
      for (const rival of rivals) {
        const session = openSession(rival, { owner: "a" });
        const got = one.flatMap((record) => session.push(record));
        expect(got.length, rival.header.name).toBeGreaterThan(0);
        for (const prediction of got) for (const value of numbersOf(rival, prediction)) expect(Number.isFinite(value)).toBe(true);
      }
    });
  });
}

describe("a session", () => {
  it("belongs to one series from its first record on, until it is reset, and after a restore", async () => {
    const { rows, loaded } = await build("tags, carried");
    const [one, other] = [bySeries(rows, "s1"), bySeries(rows, "s4")];
    let session = openSession(loaded, { owner: "a" });
    session.push(one[0]);
    session = openSession(loaded, { owner: "a", snapshot: session.snapshot() });
    const before = session.snapshot();
    expect(() => session.push(other[50])).toThrow(/OST_RECORD.*another series/);
    expect(session.snapshot()).toEqual(before);
    session.push({ ...one[1], run: null });
    session.reset();
    session.push(other[0]);
  });

  it("says how to repair a stream whose clock once ran ahead", async () => {
    const { rows, loaded } = await build("tags, carried");
    const stream = toStream(loaded);
    const [first, second] = bySeries(rows, "s1");
    const ahead = stream.push({ ...first, time: 4e12 }, stream.initialState()).state;
    expect(() => stream.push(second, ahead)).toThrow(/OST_ORDER.*does not come after.*reset the session/s);
  });

  it("goes on from the states of a model trained again, and of no model whose states mean something else", async () => {
    const { config: input } = CASES["tags, carried"];
    const schemaOf = async (more: Partial<ExperimentConfigInput>, value = 3) => {
      const config = parseConfig({ ...input, ...more, evaluation: { rivals: false, resamples: 100 } } as ExperimentConfigInput);
      const records = syntheticRecords(seed(value)) as Record<string, unknown>[];
      const result = await runExperiment(config, tableFromRecords(records, { text: ["run", "kind", "group"] }));
      return toStream(await openModel((result as NonNullable<typeof result>).file)).stateSchema;
    };
    const schema = await schemaOf({});
    expect(schema).toMatch(/^[0-9a-f]{64}$/);
    expect(await schemaOf({ train: { ...TRAIN, learningRate: 0.03 } }, 4)).toBe(schema);
    const others = await Promise.all([
      schemaOf({ model: { cell: "gru", hiddenSize: 10 } }),
      schemaOf({ model: { cell: "rnn", hiddenSize: 9 } }),
      schemaOf({ model: { cell: "gru", hiddenSize: 9, resetAfter: false } }),
      schemaOf({ mode: "causal" }),
      schemaOf({ data: { ...input.data, difference: ["b"] } }),
      schemaOf({ data: { ...input.data, features: ["b", "a"] } }),
    ]);
    expect(new Set([schema, ...others]).size).toBe(7);
  });

  it("needs an owner", async () => {
    const { loaded } = await build("classes of whole sequences");
    expect(() => openSession(loaded, { owner: "" })).toThrow(/OST_OWNER/);
  });

  it("of a model that looks ahead is refused", async () => {
    const { config: input } = CASES["tags, carried"];
    const config = parseConfig({
      ...input,
      mode: "offline",
      model: { bidirectional: true, hiddenSize: 4 },
      evaluation: { rivals: false, resamples: 100 },
    });
    const rows = syntheticRecords(seed(5));
    const result = await runExperiment(config, tableFromRecords(rows as Record<string, unknown>[], { text: ["run", "kind"] }));
    const loaded = await openModel((result as NonNullable<typeof result>).file);
    expect(() => openSession(loaded, { owner: "a" })).toThrow(/OST_CAUSAL/);
  });
});

/** @file Law: where a marker, a changed column, silence or length cuts the sessions of a file, a stream of the same records begins afresh. */
import { describe, expect, it } from "vitest";
import { seed } from "../../src/core/rng.js";
import { applyPreprocessing, tableFromRecords, tableFromTexts } from "../../src/data/index.js";
import {
  decodeModel,
  encodeModel,
  type LoadedModel,
  openModel,
  probabilities,
  type RawRecord,
  toStream,
} from "../../src/model/index.js";
import { readProfile } from "../../src/monitor/index.js";
import {
  type ExperimentConfig,
  type ExperimentConfigInput,
  evaluationBatches,
  parseConfig,
  prepareExperiment,
  runExperiment,
} from "../../src/tasks/index.js";

const IDLE_MS = 60_000;
const MOST_STEPS = 12;

/** Trips of cars: `parity` tells whether `load` was above 0 an odd number of times since the trip began. Trips begin as the rules say. */
function trips(cars: number, length: number, value = 5): RawRecord[] {
  const rng = seed(value);
  const rows: RawRecord[] = [];
  for (let car = 0; car < cars; car++) {
    let [time, steps, odd, driver, badge] = [Date.UTC(2026, 0, 1) + car, 0, false, "d0", 1];
    for (let t = 0; t < length; t++) {
      const silent = rng.uniform() < 0.03;
      time += silent ? 2 * IDLE_MS : 500 + rng.integer(3000);
      const ignition = rng.uniform() < 0.06 ? "on" : rng.uniform() < 0.1 ? null : "running";
      const before = `${driver} ${badge}`;
      if (rng.uniform() < 0.04) driver = `d${rng.integer(4)}`;
      if (rng.uniform() < 0.04) badge = 9007199254740900 + rng.integer(50);
      if (silent || ignition === "on" || before !== `${driver} ${badge}` || steps === MOST_STEPS) [steps, odd] = [0, false];
      steps++;
      const load = rng.normal();
      if (load > 0) odd = !odd;
      rows.push({
        when: new Date(time).toISOString(),
        car: `c${car}`,
        ignition,
        driver,
        badge,
        load,
        parity: odd ? "odd" : "even",
      });
    }
  }
  return rows;
}

const CASES: Record<string, Partial<ExperimentConfigInput>> = {
  "carried GRU": { mode: "streaming", window: { length: 12 }, model: { cell: "gru", hiddenSize: 6 } },
  "windowed LSTM": { window: { length: 6 }, model: { cell: "lstm", hiddenSize: 6 } },
};

const configOf = (more: Partial<ExperimentConfigInput>): ExperimentConfig =>
  parseConfig({
    task: "tag",
    data: {
      source: "x",
      time: "when",
      entity: "car",
      sessions: {
        idleMs: IDLE_MS,
        maxSteps: MOST_STEPS,
        marker: { column: "ignition", value: "on" },
        changed: ["driver", "badge"],
      },
      features: ["load"],
      target: "parity",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
      timeDelta: {},
      position: true,
    },
    train: { epochs: 1, batchSize: 16 },
    evaluation: { resamples: 100, rivals: false },
    ...more,
  } as ExperimentConfigInput);

const tableOf = (rows: RawRecord[]) => tableFromRecords(rows as Record<string, unknown>[], { text: ["car", "parity"] });

/** The same rows as a file holds them: cells of text, numbers written in other ways. */
function fileOf(rows: RawRecord[]) {
  const names = Object.keys(rows[0]);
  const cells = names.map((name) =>
    rows.map((row, i) =>
      row[name] === null ? ["", "NA"][i % 2] : name === "badge" && i % 3 === 0 ? `${row[name]}.0` : String(row[name]),
    ),
  );
  return tableFromTexts([{ source: "trips.csv", names, cells }], { text: ["car", "parity"] });
}

/** Class probabilities of the batch pipeline by time, and the first rows of its sessions. */
function ofFile(config: ExperimentConfig, { header, preprocessing, predictor }: LoadedModel, rows: RawRecord[]) {
  const prepared = applyPreprocessing(fileOf(rows), preprocessing);
  const classes = header.spec.classes.length;
  const found = new Map<number, number[]>();
  for (const batch of evaluationBatches(config, prepared, "test")) {
    const output = predictor.predict(batch);
    for (let b = 0; b < batch.batchSize; b++) {
      const time = prepared.series[batch.series[b]]?.time as Float64Array;
      for (let t = 0; t < batch.lengths[b]; t++) {
        if (batch.classes?.[b * batch.time + t] === -1) continue;
        found.set(time[batch.start[b] + t], probabilities(output, (b * batch.time + t) * classes, classes));
      }
    }
  }
  return { found, begins: new Set(prepared.series.map(({ row }) => row[0] - 1)) };
}

describe.each(Object.entries(CASES))("a %s on trips", async (_, more) => {
  const config = configOf(more);
  const result = await runExperiment(config, tableOf(trips(12, 150)));
  if (result === null) throw new Error("aborted");
  const loaded = await openModel(result.file);
  const stream = toStream(loaded);

  it("is cut as its file is, by every rule, and says the same bits", () => {
    const rows = trips(4, 400, 23);
    const { found, begins } = ofFile(config, loaded, rows);
    const reasons = new Map<string, number>();
    let state = stream.initialState();
    rows.forEach((record, i) => {
      if (i > 0 && record.car !== rows[i - 1].car) state = stream.initialState();
      if (i % 7 === 3) state = stream.restore(stream.snapshot(state, "o"), "o");
      const before = state.steps;
      const [advance] = stream.advance([{ row: stream.readRecord(record), state }]);
      if (advance instanceof Error) throw advance;
      state = advance.state;
      expect([i, state.steps === 1]).toEqual([i, begins.has(i)]);
      expect([i, advance.boundary === null]).toEqual([i, before === 0 || !begins.has(i)]);
      if (advance.boundary) reasons.set(advance.boundary, (reasons.get(advance.boundary) ?? 0) + 1);
      const [{ time, values }] = advance.predictions;
      expect([...values]).toEqual(found.get(time));
    });
    expect([...reasons.keys()].sort()).toEqual(["changed_column", "length", "marker", "time_gap"]);
    for (const count of reasons.values()) expect(count).toBeGreaterThan(3);
  });

  it("wants the columns that cut it in every record, though they are no inputs", () => {
    const [record] = trips(1, 1);
    for (const column of ["ignition", "driver", "badge"]) {
      const { [column]: __, ...without } = record;
      expect(() => stream.readRecord(without), column).toThrow(new RegExp(`OST_RECORD.*"${column}"`));
    }
  });

  it("carries its rules and the profile of its training rows in the file", () => {
    expect(stream.boundaries).toEqual({
      timeGapMs: IDLE_MS,
      marker: { column: "ignition", value: "on" },
      changed: ["driver", "badge"],
      maxSteps: MOST_STEPS,
    });
    const profile = readProfile(loaded.header.profile);
    expect(profile?.rows).toBe(result.split.train);
    expect(profile?.features.map(({ name }) => name)).toEqual(["load"]);
    expect(profile?.gapMs?.max).toBeLessThanOrEqual(3500);
    expect(profile?.length?.max).toBeLessThanOrEqual(MOST_STEPS);
    expect(profile?.confidence?.reduce((a, b) => a + b)).toBe(result.split.validation);
    expect(JSON.stringify(loaded.header.profile).length).toBeLessThan(4096);
  });

  it("opens from a file of the time before rules and profiles, and not with a profile that is no object", async () => {
    const { header, arrays } = decodeModel(result.file);
    const { profile: _profile, ...old } = header;
    const preprocessing = structuredClone(header.preprocessing) as { derived: { sessions: Record<string, unknown> } };
    delete preprocessing.derived.sessions.marker;
    delete preprocessing.derived.sessions.changed;
    const opened = await openModel(encodeModel({ ...old, preprocessing }, arrays));
    expect(toStream(opened).boundaries).toEqual({ timeGapMs: IDLE_MS, marker: null, changed: [], maxSteps: MOST_STEPS });
    expect(readProfile(opened.header.profile)).toBeNull();
    for (const profile of [3, null, []]) {
      await expect(openModel(encodeModel({ ...header, profile }, arrays))).rejects.toThrow(/OST_MODEL_FILE.*profile/);
    }
    const broken = structuredClone(header.preprocessing) as { derived: { sessions: Record<string, unknown> } };
    broken.derived.sessions.marker = { column: "ignition", value: 1 };
    await expect(openModel(encodeModel({ ...header, preprocessing: broken }, arrays))).rejects.toThrow(/OST_MODEL_FILE.*marker/);
  });
});

describe("rules in a configuration", () => {
  const of = (sessions: object) => configOf({ data: { ...configOf({}).data, sessions } as ExperimentConfigInput["data"] });

  it("may say a number or a switch, which cells are compared with as text", () => {
    for (const [value, text] of [
      [1, "1"],
      [true, "true"],
      ["1.0", "1"],
      [" LOGIN ", "LOGIN"],
    ] as const) {
      const { sessions } = prepareExperiment(of({ marker: { column: "ignition", value } }), tableOf(trips(6, 12))).prepared
        .preprocessing.derived;
      expect(sessions).toMatchObject({ by: ["car"], marker: { column: "ignition", value: text }, changed: [] });
    }
  });

  it("are refused by name", () => {
    expect(() => of({ marker: { column: "ignition" } })).toThrow(/OST_CONFIG.*data\.sessions\.marker\.value/s);
    expect(() => of({ marker: "ignition" })).toThrow(/OST_CONFIG.*data\.sessions\.marker/s);
    expect(() => of({ changes: ["driver"] })).toThrow(/OST_CONFIG.*"changes".*did you mean "changed"/s);
    const prepared = (sessions: object) => () => prepareExperiment(of(sessions), tableOf(trips(6, 12)));
    expect(prepared({ marker: { column: "ignition", value: "NA" } })).toThrow(/OST_RANGE/);
    expect(prepared({ changed: ["drivr"] })).toThrow(/OST_COLUMN.*"drivr".*"driver"/s);
    expect(prepared({ changed: ["parity"] })).toThrow(/OST_TARGET.*"parity"/s);
  });
});

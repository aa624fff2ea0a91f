/** @file Laws of a stream of events: codes and sessions of pushed records are those of a file, bit for bit, and a network learns from codes alone. */
import { describe, expect, it } from "vitest";
import { seed } from "../../src/core/rng.js";
import { applyPreprocessing, tableFromRecords } from "../../src/data/index.js";
import { decodeModel } from "../../src/model/file.js";
import {
  type Advance,
  checkBatchInvariance,
  encodeModel,
  type LoadedModel,
  openModel,
  openSession,
  probabilities,
  type RawRecord,
  toStream,
} from "../../src/model/index.js";
import {
  type ExperimentConfig,
  type ExperimentConfigInput,
  evaluationBatches,
  parseConfig,
  runExperiment,
} from "../../src/tasks/index.js";

const IDLE_MS = 60_000;
const MOST_STEPS = 25;
const OTHERS = ["view", "search", "scroll", "ping"];

/**
 * Users whose sessions are cut by silence and by length. `door` says whether "enter" or "leave" came last in the session (at first "out"):
 * which events there were does not tell, only their order does. `load` is noise.
 */
function events(users: number, length: number, value = 7): RawRecord[] {
  const rng = seed(value);
  const rows: RawRecord[] = [];
  for (let u = 0; u < users; u++) {
    let [time, steps, inside] = [Date.UTC(2026, 0, 1) + u, 0, false];
    for (let t = 0; t < length; t++) {
      const gap = rng.uniform() < 0.04 ? 2 * IDLE_MS : rng.uniform() < 0.05 ? IDLE_MS : 500 + rng.integer(3000);
      time += gap;
      if (gap > IDLE_MS || steps === MOST_STEPS) [steps, inside] = [0, false];
      steps++;
      const event = rng.uniform() < 0.3 ? (rng.uniform() < 0.5 ? "enter" : "leave") : OTHERS[rng.integer(OTHERS.length)];
      if (event === "enter") inside = true;
      if (event === "leave") inside = false;
      const when = new Date(time).toISOString();
      rows.push({ when, user: `u${u}`, site: u % 2, event, load: rng.normal(), door: inside ? "in" : "out" });
    }
  }
  return rows;
}

const CASES: Record<string, Partial<ExperimentConfigInput>> = {
  "carried GRU": { mode: "streaming", window: { length: 25 }, model: { cell: "gru", hiddenSize: 12 } },
  "windowed LSTM": { window: { length: 12 }, model: { cell: "lstm", hiddenSize: 12 } },
};

const configOf = (more: Partial<ExperimentConfigInput>): ExperimentConfig =>
  parseConfig({
    task: "tag",
    data: {
      source: "x",
      time: "when",
      entity: "user",
      sessions: { by: ["user", "site"], idleMs: IDLE_MS, maxSteps: MOST_STEPS },
      features: ["load"],
      categories: { event: { kind: "vocabulary", as: "embedding", width: 4 } },
      target: "door",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
      timeDelta: {},
    },
    train: { epochs: 25, batchSize: 8, learningRate: 0.02 },
    evaluation: { resamples: 100 },
    ...more,
  } as ExperimentConfigInput);

const tableOf = (rows: RawRecord[]) =>
  tableFromRecords(rows as Record<string, unknown>[], { text: ["user", "site", "event", "door"] });

/** Class probabilities of the batch pipeline by time. */
function batchPredictions(config: ExperimentConfig, { header, preprocessing, predictor }: LoadedModel, rows: RawRecord[]) {
  const prepared = applyPreprocessing(tableOf(rows), preprocessing);
  const classes = header.spec.classes.length;
  const found = new Map<number, number[]>();
  for (const batch of evaluationBatches(config, prepared, "test")) {
    const output = predictor.predict(batch);
    for (let b = 0; b < batch.batchSize; b++) {
      // An empty lane is of no series.
      const time = prepared.series[batch.series[b]]?.time as Float64Array;
      for (let t = 0; t < batch.lengths[b]; t++) {
        // Windows overlap: of a step's predictions the one at the end of its window is what a stream says.
        if (batch.classes?.[b * batch.time + t] === -1) continue;
        const values = probabilities(output, (b * batch.time + t) * classes, classes);
        found.set(time[batch.start[b] + t], values);
      }
    }
  }
  return { found, sessions: prepared.series.length };
}

describe.each(Object.entries(CASES))("a %s on embedded events", async (_, more) => {
  const config = configOf(more);
  const rows = events(16, 120);
  const result = await runExperiment(config, tableOf(rows));
  if (result === null) throw new Error("aborted");
  const loaded = await openModel(result.file);
  const rivals = await Promise.all([...result.rivalFiles.values()].map((file) => openModel(file)));

  it("learns what only codes tell, where the majority does not know", () => {
    const { accuracy } = result.metrics.test as { accuracy: number };
    const majority = result.baselines.majority as unknown as { accuracy: number };
    expect(accuracy).toBeGreaterThan(0.95);
    expect(accuracy).toBeGreaterThan(majority.accuracy + 0.2);
    expect(loaded.header.architecture).toMatchObject({ embeddings: [{ size: loaded.preprocessing.codes[0].size, width: 4 }] });
    expect(rivals.map(({ header }) => header.name)).toEqual(expect.arrayContaining([expect.stringMatching(/MLP.*embeddings/)]));
  });

  it("says of pushed records what the batch pipeline says, cut into the same sessions", () => {
    const fresh = events(3, 150, 11);
    const { found, sessions } = batchPredictions(config, loaded, fresh);
    expect(sessions).toBeGreaterThan(15);
    let [compared, begun] = [0, 0];
    for (const user of ["u0", "u1", "u2"]) {
      let session = openSession(loaded, { owner: user });
      for (const record of fresh.filter((row) => row.user === user)) {
        if (compared % 7 === 3) session = openSession(loaded, { owner: user, snapshot: session.snapshot() });
        const [prediction] = session.push(record);
        if (session.steps === 1) begun++;
        const wanted = found.get(prediction.time as number);
        const got = loaded.header.spec.classes.map((name) => (prediction.probabilities as Record<string, number>)[name]);
        expect(got).toEqual(wanted);
        compared++;
      }
    }
    expect(compared).toBe(fresh.length);
    expect(begun).toBe(sessions);
  });

  it("wants the columns of texts in a record, and takes a text it never saw", () => {
    const stream = toStream(loaded);
    expect(stream.columns).toEqual(["when", "load", "event"]);
    const [record] = events(1, 1);
    const { event: __, ...without } = record;
    expect(() => stream.push(without, stream.initialState())).toThrow(/OST_RECORD.*"event"/);
    const unseen = stream.push({ ...record, event: "never seen" }, stream.initialState()).predictions;
    expect(unseen).toEqual(stream.push({ ...record, event: null }, stream.initialState()).predictions);
  });

  it("stays with the keys of its sessions, and with a state left as it was", () => {
    const stream = toStream(loaded);
    const [first, second, third] = events(1, 3);
    const { state } = stream.push(first, stream.initialState());
    const before = stream.snapshot(state, "o");
    expect(() => stream.push({ ...second, site: 1 }, state)).toThrow(/OST_RECORD.*another series/);
    const late = { ...third, when: new Date(Date.parse(String(first.when)) + IDLE_MS + 1).toISOString() };
    const afresh = stream.push(late, state);
    expect(afresh.state.steps).toBe(1);
    expect(afresh.predictions).toEqual(stream.push(late, stream.initialState()).predictions);
    const still = { ...third, when: new Date(Date.parse(String(first.when)) + IDLE_MS).toISOString() };
    expect(stream.push(still, state).state.steps).toBe(2);
    expect(() => stream.push({ ...late, load: "what" }, state)).toThrow(/OST_RECORD/);
    expect(stream.snapshot(state, "o")).toEqual(before);
  });

  it("advances many as it advances each, and does not feel their number", () => {
    const stream = toStream(loaded);
    expect(checkBatchInvariance(stream)).toBe(true);
    const records = events(5, 40, 17);
    const runs = ["u0", "u1", "u2", "u3", "u4"].map((user) => records.filter((row) => row.user === user));
    let [together, alone] = [0, 1].map(() => runs.map(() => stream.initialState()));
    for (let t = 0; t < 40; t++) {
      const many = stream.advance(together.map((state, k) => ({ row: stream.readRecord(runs[k][t]), state })));
      const each = alone.map((state, k) => stream.advance([{ row: stream.readRecord(runs[k][t]), state }])[0]);
      expect(many).toEqual(each);
      [together, alone] = [many, each].map((results) => results.map((advance) => (advance as Advance).state));
    }
    expect(() => stream.readValues([0, 1, 2])).toThrow(/OST_RECORD.*"event"/);
    expect(stream.textColumns).toEqual(["event"]);
  });

  it("refuses numbers for keys where several ids have the same", () => {
    const stream = toStream(loaded);
    const [record] = events(1, 1);
    const state = stream.initialState();
    for (const user of [2 ** 53, -(2 ** 60), Number.POSITIVE_INFINITY]) {
      expect(() => stream.push({ ...record, user }, state)).toThrow(/OST_RECORD.*too large.*as text/s);
    }
    for (const user of [2 ** 53 - 1, "9007199254740993", 17]) expect(stream.push({ ...record, user }, state).state.steps).toBe(1);
    const one = stream.push({ ...record, user: "9007199254740992" }, state).state;
    expect(() => stream.push({ ...record, user: "9007199254740993" }, one)).toThrow(/another series/);
  });

  it("opens from its file with the same bits, and not with tables too small for its codes", async () => {
    const { header, arrays } = decodeModel(result.file);
    const again = await openModel(encodeModel(header, arrays));
    expect(again.network?.stateDict()).toEqual(loaded.network?.stateDict());
    const [record] = events(1, 1);
    const [one, other] = [loaded, again].map((model) => openSession(model, { owner: "a" }).push(record));
    expect(one).toEqual(other);
    const [code] = loaded.preprocessing.codes;
    for (const wrong of [
      { ...code, size: code.size - 1 },
      { ...code, column: 0 },
    ]) {
      const table = { shape: [wrong.size, wrong.width], data: new Float32Array(wrong.size * wrong.width) };
      const architecture = { ...header.architecture, embeddings: [wrong] } as typeof header.architecture;
      const file = encodeModel({ ...header, architecture }, { ...arrays, "embedding.0.weight": table });
      await expect(openModel(file)).rejects.toThrow(/OST_MODEL_FILE.*disagree/);
    }
  });

  it("serves every rival and baseline, codes and all", () => {
    const records = events(1, 40, 13);
    for (const rival of rivals) {
      const session = openSession(rival, { owner: "a" });
      const said = records.flatMap((record) => session.push(record));
      expect(said.length, rival.header.name).toBeGreaterThan(30);
    }
  });
});

describe("a stream of a model whose sessions are cut by every rule", async () => {
  const [base] = Object.values(CASES);
  const config = parseConfig({
    ...configOf(base),
    data: {
      ...configOf(base).data,
      sessions: {
        by: ["user"],
        idleMs: IDLE_MS,
        maxSteps: MOST_STEPS,
        marker: { column: "event", value: "enter" },
        changed: ["site", "firmware"],
      },
    },
    train: { ...base.train, epochs: 1 },
    evaluation: { rivals: false, resamples: 100 },
  } as ExperimentConfigInput);
  /** Now and then the site changes, and the firmware, which is not always said. */
  const marked = (users: number, length: number, value: number): RawRecord[] =>
    events(users, length, value).map((record, i) => ({
      ...record,
      event: i % 40 === 7 || record.event !== "enter" ? record.event : "walk",
      site: Math.floor((i % length) / 67),
      firmware: i % 3 === 0 ? null : `v${Math.floor((i % length) / 91)}`,
    }));
  const result = await runExperiment(config, tableOf(marked(12, 100, 5)));
  if (result === null) throw new Error("aborted");
  const loaded = await openModel(result.file);
  const stream = toStream(loaded);

  it("begins afresh where the file's sessions begin, and says by which rule", () => {
    const fresh = marked(3, 200, 11);
    const { found, sessions } = batchPredictions(config, loaded, fresh);
    const reasons = new Map<string | null, number>();
    let compared = 0;
    for (const user of ["u0", "u1", "u2"]) {
      let state = stream.initialState();
      let last = Number.NaN;
      for (const record of fresh.filter((row) => row.user === user)) {
        if (compared % 7 === 3) state = stream.restore(stream.snapshot(state, user), user);
        const row = stream.readRecord(record);
        const [advance] = stream.advance([{ row, state }]) as Advance[];
        expect(advance.gapMs).toBe(row.time - last);
        expect(advance.state.steps).toBe(advance.boundary === null ? state.steps + 1 : 1);
        expect([...advance.predictions[0].values]).toEqual(found.get(row.time));
        reasons.set(advance.boundary, (reasons.get(advance.boundary) ?? 0) + 1);
        [state, last] = [advance.state, row.time];
        compared++;
      }
    }
    expect(compared).toBe(fresh.length);
    expect([...reasons.keys()].map(String).sort()).toEqual(["changed_column", "length", "marker", "null", "time_gap"]);
    expect(compared - (reasons.get(null) as number) + 3).toBe(sessions);
    expect(stream.boundaries).toEqual({
      timeGapMs: IDLE_MS,
      maxSteps: MOST_STEPS,
      marker: { column: "event", value: "enter" },
      changed: ["site", "firmware"],
    });
  });

  it("still belongs to one user, and refuses rows of numbers, which cannot say what it reads", () => {
    const [first, second] = marked(1, 2, 3);
    const { state } = stream.push(first, stream.initialState());
    expect(() => stream.push({ ...second, user: "u9", site: 5 }, state)).toThrow(/OST_RECORD.*another series/);
    expect(() => stream.readValues([0, 1, 2])).toThrow(/OST_RECORD.*"event", "site", "firmware"/);
    const { site: _, ...without } = second;
    expect(() => stream.push(without, state)).toThrow(/OST_RECORD.*"site"/);
  });

  it("refuses a snapshot whose series is not of its kind", () => {
    const state = { ...stream.initialState(), steps: 1 };
    for (const entity of ["u1", "[]", '["u1","a"]', '["u1",1,2]', "{}"]) {
      expect(() => stream.restore(stream.snapshot({ ...state, entity }, "o"), "o")).toThrow(/OST_SNAPSHOT.*series/);
    }
    const entity = '["u1","a","b"]';
    expect(stream.restore(stream.snapshot({ ...state, entity }, "o"), "o").entity).toBe(entity);
  });
});

describe("a stream scaled by its entity", () => {
  it("is scaled so for records that leave the entity out, once one named it", async () => {
    const config = parseConfig({
      task: "forecast",
      data: {
        source: "x",
        time: "when",
        entity: "user",
        features: ["load", "heat"],
        categories: { event: "oneHot" },
        target: "load",
        split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
        perEntity: true,
      },
      window: { length: 4, horizon: 1 },
      model: { hiddenSize: 4 },
      train: { epochs: 1 },
      evaluation: { rivals: false, resamples: 100 },
    });
    const rows: RawRecord[] = events(3, 80).map((row) => ({ ...row, heat: Number(row.load) * (row.user === "u1" ? 100 : 1) }));
    const loaded = await openModel((await runExperiment(config, tableOf(rows)))!.file);
    const one = rows.filter(({ user }) => user === "u1");
    const [named, once] = [openSession(loaded, { owner: "a" }), openSession(loaded, { owner: "b" })];
    const anonymous = openSession(loaded, { owner: "c" });
    const said = one.map((record, i) => {
      const expected = named.push(record);
      expect(once.push(i === 0 ? record : { ...record, user: null })).toEqual(expected);
      const without = anonymous.push({ ...record, user: null });
      return JSON.stringify(without) === JSON.stringify(expected);
    });
    expect(said.slice(4)).toContain(false);
  });
});

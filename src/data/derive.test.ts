import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseTime } from "./cell.js";
import { aheadName, type DerivedColumns, deriveColumns, derivedFromJSON, SESSION, sessionColumns } from "./derive.js";
import { boundaryTexts, Sessionizer, sessionKey } from "./events/index.js";
import { applyPreprocessing, type DataOptions, prepare } from "./prepare.js";
import { Preprocessing } from "./preprocessing.js";
import { columnOf, numbersOf, tableFromRecords } from "./table.js";

const rows = fc.array(
  fc.record({
    gap: fc.constantFrom(0.5, 1, 5, 10, 10.5, 100),
    user: fc.constantFrom("u0", "u1", " u1", "u1 ", "a|b", "a\\"),
    site: fc.constantFrom("x", "b|x", "|"),
    plan: fc.oneof(fc.integer({ min: -9, max: 9 }), fc.constant(null)),
  }),
  { minLength: 1, maxLength: 40 },
);
const sessions = fc.record({
  by: fc.constantFrom(["user"], ["user", "site"], ["site"], []),
  idleMs: fc.constantFrom(null, 0, 5000, 10_000),
  maxSteps: fc.constantFrom(null, 1, 3),
  marker: fc.constantFrom(null, { column: "plan", value: "1" }, { column: "site", value: "b|x" }),
  changed: fc.constantFrom([], ["plan"], ["site", "plan"]),
});

function tableOf(drawn: readonly { gap: number; user: string; site: string; plan: number | null }[]) {
  let time = 1.6e9;
  const records = drawn.map(({ gap, ...row }) => ({ ...row, time: (time += gap) }));
  return { records, table: tableFromRecords(records, { text: ["user", "site"] }) };
}

const UNTOUCHED: DerivedColumns = { sessions: null, ahead: null };

describe("sessions in a file", () => {
  it("are those of the sessionizer, pushed row by row", () => {
    fc.assert(
      fc.property(rows, sessions, (drawn, options) => {
        const { records, table } = tableOf(drawn);
        const derived = deriveColumns(table, { time: "time", entity: null }, { ...UNTOUCHED, sessions: options });
        const sessionizer = new Sessionizer(options);
        const wanted = records.map((record) => {
          const cells = options.by.map((name) => record[name as "user"].trim());
          const key = cells.length === 0 ? "all" : sessionKey(cells);
          return sessionizer.push(key, parseTime(record.time) as number, boundaryTexts(options, record)).session;
        });
        expect(columnOf(derived, SESSION).texts).toEqual(wanted);
        expect(sessionizer.forgotten).toBe(0);
      }),
    );
  });

  it("are never cut for want of room, however many keys there are", () => {
    const keys = 1_000_002;
    const texts = Array.from({ length: keys + 1 }, (_, i) => `k${i % keys}`);
    const table = { source: "t", rows: texts.length, files: [], columns: [{ name: "user", numbers: null, texts }] };
    const { texts: made } = columnOf(
      deriveColumns(table, { time: null, entity: null }, { ...UNTOUCHED, sessions: { by: ["user"] } }),
      SESSION,
    );
    expect([made?.[0], made?.at(-1)]).toEqual(["k0#0", "k0#0"]);
  });

  it("need times for silence, a key in every row, and a name that is free", () => {
    const table = tableFromRecords(
      [
        { user: "a", time: 1 },
        { user: "NA", time: 2 },
      ],
      { text: ["user"] },
    );
    const cut = (options: NonNullable<DerivedColumns["sessions"]>, time: string | null = "time", of = table) =>
      deriveColumns(of, { time, entity: "user" }, { ...UNTOUCHED, sessions: options });
    expect(() => cut({ idleMs: 5 }, null)).toThrow(/OST_CONFIG.*idle gap needs times/);
    expect(() => cut({})).toThrow(/OST_MISSING.*records row 2.*without a key/);
    expect(() => cut({ by: ["usr"] })).toThrow(/OST_COLUMN.*"usr".*\n.*"user"/);
    expect(() => cut({ by: [] }, "time", tableFromRecords([{ session: 1, time: 1 }]))).toThrow(/OST_COLUMN.*"session"/);
    expect(cut({ by: [] }).columns.at(-1)?.texts).toEqual(["all#0", "all#0"]);
  });
});

describe("a column known ahead", () => {
  it("is exactly the value so many rows later in the same series, and the last one at its end", () => {
    fc.assert(
      fc.property(rows, fc.option(sessions, { nil: null }), fc.integer({ min: 1, max: 4 }), (drawn, cut, steps) => {
        const { records, table } = tableOf(drawn);
        const entity = cut ? null : "user";
        const derived = deriveColumns(table, { time: "time", entity }, { sessions: cut, ahead: { columns: ["plan"], steps } });
        const series = cut ? (columnOf(derived, SESSION).texts as string[]) : records.map(({ user }) => user.trim());
        const found = numbersOf(derived, aheadName("plan"), "test");
        records.forEach((_, i) => {
          const later = series.flatMap((name, k) => (k > i && name === series[i] ? [k] : []));
          expect(found[i]).toBe(records[later[steps - 1] ?? later.at(-1) ?? i].plan ?? Number.NaN);
        });
      }),
    );
  });

  it("is taken from the data where they say it themselves, as a stream does", () => {
    const table = tableFromRecords([
      { plan: 1, "plan.ahead": 5 },
      { plan: 2, "plan.ahead": 6 },
    ]);
    const derived = deriveColumns(
      table,
      { time: null, entity: null },
      { sessions: null, ahead: { columns: ["plan"], steps: 1 } },
    );
    expect([...numbersOf(derived, "plan.ahead", "test")]).toEqual([5, 6]);
  });

  it("needs no value behind the end of a series, though missing values are refused", () => {
    const records = Array.from({ length: 30 }, (_, i) => ({ time: 60 * (i + 1), id: `s${i % 3}`, load: i, plan: 100 + i }));
    const options: DataOptions = {
      targetKind: "values",
      time: "time",
      entity: "id",
      features: ["load"],
      target: "load",
      known: { columns: ["plan"], steps: 2 },
      split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
      scale: "none",
    };
    const table = tableFromRecords(records);
    const { series, preprocessing } = prepare(table, options);
    expect(preprocessing.featureNames).toEqual(["load", "plan.ahead"]);
    const own = (s: number) => Array.from(series[s].x).filter((_, i) => i % 2 === 1);
    expect(own(0)).toEqual([106, 109, 112, 115, 118, 121, 124, 127, 127, 127]);
    expect(own(1).at(0)).toBe(107);
    const again = applyPreprocessing(table, preprocessing);
    expect(again.series.map(({ x }) => x)).toEqual(series.map(({ x }) => x));
  });
});

it("what is derived comes back from its JSON, and nothing else does", () => {
  const ahead = { columns: ["plan"], steps: 3 };
  for (const one of [
    UNTOUCHED,
    { sessions: { by: ["u"], idleMs: 5, maxSteps: null, marker: null, changed: ["car", "driver"] }, ahead },
    { sessions: { by: null, idleMs: null, maxSteps: 2, marker: { column: "ignition", value: "on" }, changed: [] }, ahead: null },
  ]) {
    expect(derivedFromJSON(JSON.parse(JSON.stringify(one)), "d")).toEqual(one);
  }
  const old = { sessions: { by: ["u"], idleMs: 5, maxSteps: null }, ahead: null };
  expect(derivedFromJSON(old, "d").sessions).toEqual({ ...old.sessions, marker: null, changed: [] });
  for (const wrong of [
    { marker: "on" },
    { marker: { column: "a" } },
    { marker: { column: "a", value: "" } },
    { changed: "a" },
    { changed: ["a", "a"] },
  ]) {
    expect(() => derivedFromJSON({ ...old, sessions: { ...old.sessions, ...wrong } }, "d"), JSON.stringify(wrong)).toThrow(
      /OST_MODEL_FILE/,
    );
  }
  expect(derivedFromJSON(undefined, "d")).toEqual(UNTOUCHED);
  for (const wrong of [null, [], { sessions: 3, ahead: null }, { sessions: null, ahead: { columns: [1], steps: 1 } }]) {
    expect(() => derivedFromJSON(wrong, "d")).toThrow(/OST_MODEL_FILE/);
  }
  const steps = [0, -1, "2", 1e9, null];
  for (const one of steps)
    expect(() => derivedFromJSON({ sessions: null, ahead: { ...ahead, steps: one } }, "d")).toThrow(/OST_MODEL_FILE/);
});

describe("columns that cut sessions", () => {
  const trips = ["off", "on", "on", "off", "on", null, "off"].map((ignition, i) => ({
    time: i + 1,
    car: 1,
    ignition,
    load: i,
    door: "in",
  }));

  it("begin one where a marker stands, and where they change, whether they are inputs or not", () => {
    const cut = (options: NonNullable<DerivedColumns["sessions"]>) =>
      columnOf(
        deriveColumns(tableFromRecords(trips), { time: "time", entity: "car" }, { ...UNTOUCHED, sessions: options }),
        SESSION,
      ).texts;
    const names = (...numbers: number[]) => numbers.map((n) => `1#${n}`);
    expect(cut({ marker: { column: "ignition", value: "on" } })).toEqual(names(0, 1, 2, 2, 3, 3, 3));
    expect(cut({ changed: ["ignition"] })).toEqual(names(0, 1, 1, 2, 3, 3, 4));
    expect(cut({ changed: ["load"], maxSteps: 3 })).toEqual(names(0, 1, 2, 3, 4, 5, 6));
    expect(() => cut({ changed: ["ignitoin"] })).toThrow(/OST_COLUMN.*"ignitoin".*\n.*"ignition"/);
    expect(() => cut({ marker: { column: "ignition", value: "NA" } })).toThrow(/OST_RANGE/);
    expect(sessionColumns({ by: ["car"], marker: { column: "ignition", value: "on" }, changed: ["driver", "car"] })).toEqual([
      "car",
      "driver",
      "ignition",
    ]);
  });

  it("are kept with the preprocessing, and never the label", () => {
    const options: DataOptions = {
      targetKind: "tags",
      time: "time",
      entity: "car",
      features: ["load"],
      target: "door",
      sessions: { marker: { column: "ignition", value: " on " } },
      split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
    };
    const records = [...trips, ...trips.map((trip) => ({ ...trip, time: trip.time + 7, door: "out" }))];
    const kinds = { ...options, targetKind: "values", target: "load", scale: "none" } as const;
    const { preprocessing, series } = prepare(tableFromRecords(records), {
      ...kinds,
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    });
    expect(preprocessing.derived.sessions).toEqual({
      by: ["car"],
      idleMs: null,
      maxSteps: null,
      marker: { column: "ignition", value: "on" },
      changed: [],
    });
    const again = Preprocessing.fromJSON(JSON.parse(JSON.stringify(preprocessing.toJSON())));
    expect(applyPreprocessing(tableFromRecords(records), again).series.map(({ entity, length }) => [entity, length])).toEqual(
      series.map(({ entity, length }) => [entity, length]),
    );
    expect(series.map(({ length }) => length)).toEqual([1, 1, 2, 4, 1, 2, 3]);
    expect(() => prepare(tableFromRecords(records), { ...options, sessions: { changed: ["door"] } })).toThrow(
      /OST_TARGET.*label/,
    );
  });
});

describe("options that do not go together", () => {
  const records = Array.from({ length: 30 }, (_, i) => ({
    time: 60 * (i + 1),
    id: `s${i % 3}`,
    load: i,
    "load.log": 2,
    plan: i,
  }));
  const base: DataOptions = {
    targetKind: "values",
    entity: "id",
    features: ["load"],
    target: "load",
    split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
  };
  const refuse = (options: Partial<DataOptions>, message: RegExp) =>
    expect(() => prepare(tableFromRecords(records), { ...base, ...options })).toThrow(message);

  it("are refused, each by its name in the configuration", () => {
    refuse({ timeDelta: {} }, /OST_CONFIG.*data\.timeDelta.*needs times/);
    refuse({ calendar: { parts: ["hourOfDay"] } }, /OST_CONFIG.*data\.calendar.*need times/);
    refuse({ resample: { everyMs: 5 } }, /OST_CONFIG.*data\.resample.*needs times/);
    refuse({ perEntity: true, sessions: { maxSteps: 5 } }, /OST_CONFIG.*data\.perEntity/);
    refuse({ features: ["load", "load.log"], log: ["load"] }, /OST_COLUMN.*"load\.log" twice/);
  });
});

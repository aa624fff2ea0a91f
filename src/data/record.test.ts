import { describe, expect, it } from "vitest";
import { parseNumber, parseTime } from "./cell.js";
import { recordToRow } from "./record.js";
import { toSeries } from "./series.js";
import { columnOf, rowName, tableFromRecords, tableFromTexts } from "./table.js";

const roles = { time: "t", entity: null, features: ["a"], target: ["a"], split: null };

it("a label, entity or split cell is missing by the same rule as a number", () => {
  const table = tableFromRecords(
    ["x", " NA ", "null", "NaN", ""].map((label, i) => ({ id: "e", a: i, label, part: i < 2 ? "train" : label })),
    { text: ["label", "part"] },
  );
  const read = { time: null, entity: "id", features: ["a"], target: ["label"], split: "part" };
  const [{ labels, split }] = toSeries(table, read, { target: "label" });
  expect(labels).toEqual(["x", "", "", "", ""]);
  expect(split).toEqual(["train", "train", "", "", ""]);
  const nameless = tableFromRecords([
    { id: "e", a: 1 },
    { id: "NA", a: 2 },
  ]);
  expect(() => toSeries(nameless, { ...read, split: null }, { target: "none" })).toThrow(/OST_MISSING.*row 2/);
});

describe("a cell", () => {
  it("is a finite decimal number, missing, or neither", () => {
    expect(["1", " -2.5e3 ", ".5", "+7.", "", "NaN", "na", "NULL"].map(parseNumber)).toEqual([
      1,
      -2500,
      0.5,
      7,
      NaN,
      NaN,
      NaN,
      NaN,
    ]);
    for (const text of ["1,5", "0x10", "Infinity", "1e999", "abc", "1 2", "-", "."]) expect(parseNumber(text)).toBeUndefined();
  });

  it("has no sign if it is zero, in a file as in a record, because JSON loses it", () => {
    expect(parseNumber("-0.0")).toBe(0);
    expect(recordToRow({ a: -0, b: "-0" }, { time: null, features: ["a", "b"] }).values).toEqual(Float64Array.of(0, 0));
  });

  it("is a time in ISO 8601, in UTC unless it says otherwise, or a number of seconds or milliseconds", () => {
    const noon = Date.UTC(2024, 1, 29, 12, 0, 0);
    for (const text of [
      "2024-02-29T12:00:00Z",
      "2024-02-29 12:00:00",
      "2024-02-29 12:00",
      "2024-02-29T14:30:00+02:30",
      "2024-02-29T10:00:00-0200",
      noon / 1000,
      noon,
      String(noon),
    ]) {
      expect(parseTime(text), String(text)).toBe(noon);
    }
    expect(parseTime("2024-02-29")).toBe(Date.UTC(2024, 1, 29));
    expect(parseTime("2024-02-29 12:00:00.25")).toBe(noon + 250);
    for (const text of ["2023-02-29", "2024-13-01", "2024-01-01 24:00:00", "yesterday", "", "NaN", NaN, 1e20, "-1e300"])
      expect(parseTime(text)).toBeUndefined();
  });
});

describe("a table", () => {
  it("types a column as numbers only if every cell is one or missing, and keeps the texts asked for", () => {
    const table = tableFromTexts(
      [
        {
          source: "x.csv",
          names: ["n", "s", "id"],
          cells: [
            ["1", "", "NA"],
            ["1", "x", ""],
            ["01", "02", "03"],
          ],
        },
      ],
      { text: ["id"] },
    );
    expect(table.columns.map(({ numbers, texts }) => [numbers && [...numbers], texts])).toEqual([
      [[1, NaN, NaN], null],
      [null, ["1", "x", ""]],
      [
        [1, 2, 3],
        ["01", "02", "03"],
      ],
    ]);
  });

  it("names a row by its file", () => {
    const part = (source: string, cells: string[]) => ({ source, names: ["a"], cells: [cells] });
    const table = tableFromTexts([part("one.csv", ["1", "2"]), part("two.csv", ["3"])]);
    expect([rowName(table, 2), rowName(table, 3)]).toEqual(["one.csv row 2", "two.csv row 1"]);
    expect([...columnOf(table, "a").numbers!]).toEqual([1, 2, 3]);
  });

  it("refuses files of different columns, a column twice and nested values", () => {
    const part = (names: string[]) => ({ source: "x.csv", names, cells: names.map(() => ["1"]) });
    expect(() => tableFromTexts([part(["a"]), part(["b"])])).toThrow(/OST_COLUMN.*different columns/);
    expect(() => tableFromTexts([part(["a", "a"])])).toThrow(/OST_COLUMN.*"a" twice/s);
    expect(() => tableFromRecords([{ a: 1 }, { a: { b: 1 } }])).toThrow(/OST_VALUE.*row 2.*flat/);
  });
});

describe("series", () => {
  it("follow the order of first appearance and remember their source rows", () => {
    const table = tableFromRecords([
      { id: "b", t: 1, a: 10 },
      { id: "a", t: 1, a: 20 },
      { id: "b", t: 2, a: 30 },
    ]);
    const series = toSeries(table, { ...roles, entity: "id" }, { target: "values" });
    expect(series.map(({ entity, row, features, time }) => [entity, [...row], [...features], [...time!]])).toEqual([
      ["b", [1, 3], [10, 30], [1000, 2000]],
      ["a", [2], [20], [1000]],
    ]);
  });

  it("name both rows of a duplicated or backward time, in every series", () => {
    const rows = (times: number[]) => tableFromRecords(times.map((t, i) => ({ id: i < 2 ? "x" : "y", t, a: 1 })));
    const cut = (times: number[]) => () => toSeries(rows(times), { ...roles, entity: "id" }, { target: "values" });
    expect(cut([1, 2, 1, 2])).not.toThrow();
    expect(cut([1, 2, 3, 3])).toThrow(/OST_ORDER.*records row 4.*series "y" have the same time.*records row 3/);
    expect(cut([2, 1, 3, 4])).toThrow(/OST_ORDER.*records row 2.*series "x" go backwards.*records row 1/);
  });

  it("name an unknown column with the nearest, and text in a numeric column with its cell", () => {
    const table = tableFromRecords([
      { t: 1, load: 1 },
      { t: 2, load: "high" },
    ]);
    expect(() => toSeries(table, { ...roles, features: ["laod"] }, { target: "none" })).toThrow(
      /OST_COLUMN.*"laod".*\n.*did you mean "load"/,
    );
    expect(() => toSeries(table, { ...roles, features: ["load"] }, { target: "none" })).toThrow(
      /OST_VALUE.*row 2 column "load".*"high"/,
    );
    expect(() => toSeries(tableFromRecords([{ t: "noon", a: 1 }]), roles, { target: "none" })).toThrow(
      /OST_VALUE.*not a time.*noon/,
    );
    expect(() =>
      toSeries(tableFromRecords([{ t: 1, a: 1 }]), { ...roles, entity: "t", features: ["a", "a"] }, { target: "none" }),
    ).toThrow(/OST_COLUMN.*twice/);
  });

  it("refuse a label that is also a feature", () => {
    const table = tableFromRecords([{ t: 1, a: 1 }]);
    expect(() => toSeries(table, roles, { target: "label" })).toThrow(/OST_TARGET/);
  });
});

describe("a pushed record", () => {
  it("is read as a row of a file is", () => {
    const row = recordToRow(
      { t: "1970-01-01 00:00:01", b: "2.5", a: null, more: "ignored" },
      { time: "t", features: ["a", "b"] },
    );
    expect([row.time, ...row.values]).toEqual([1000, NaN, 2.5]);
    expect(recordToRow({ a: 1 }, { time: null, features: ["a"] }).time).toBeNaN();
  });

  it("is refused if a field is absent, of the wrong type or inherited", () => {
    const read = (record: unknown) => () => recordToRow(record as Record<string, number>, { time: "t", features: ["a"] });
    expect(read({ t: 1, A: 1 })).toThrow(/OST_RECORD.*lacks the field "a".*\n.*"A" meant/);
    expect(read({ a: 1 })).toThrow(/OST_RECORD.*lacks the field "t"/);
    for (const a of ["x", true, [1], {}, Infinity]) expect(read({ t: 1, a })).toThrow(/OST_RECORD.*not a number/);
    for (const t of [null, "noon", {}]) expect(read({ t, a: 1 })).toThrow(/OST_RECORD.*not a time/);
    for (const record of [null, 3, [1]]) expect(read(record)).toThrow(/OST_RECORD.*not a record/);
    expect(() => recordToRow({ a: 1 }, { time: null, features: ["constructor"] })).toThrow(/OST_RECORD/);
  });
});

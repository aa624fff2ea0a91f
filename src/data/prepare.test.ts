import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { batches } from "./batch.js";
import { applyPreprocessing, type DataOptions, prepare } from "./prepare.js";
import { Preprocessing } from "./preprocessing.js";
import { readTable } from "./read/index.js";
import type { RawRecord } from "./record.js";
import { tableFromRecords } from "./table.js";
import { sequences, windows } from "./window.js";

const wave = (rows: number, more: (i: number) => Record<string, unknown> = () => ({})) =>
  tableFromRecords(
    Array.from({ length: rows }, (_, i) => ({
      time: i * 60,
      load: Math.sin(i) * 10 + 50,
      heat: i % 7,
      label: i % 3 ? "on" : "off",
      ...more(i),
    })),
  );
const options: DataOptions = {
  targetKind: "values",
  time: "time",
  features: ["load", "heat"],
  target: ["heat", "load"],
  split: { by: "time", rows: [60, 20, 20] },
};

describe("prepared data", () => {
  it("have features and targets scaled alike by the training rows alone", () => {
    const { series, preprocessing, split } = prepare(wave(110), options);
    const [{ x, values, length }] = series;
    expect([length, preprocessing.featureNames, preprocessing.spec({ length: 9, horizon: 2 }).targetFeature]).toEqual([
      110,
      ["load", "heat"],
      [1, 0],
    ]);
    for (let i = 0; i < length; i++) expect([values![2 * i], values![2 * i + 1]]).toEqual([x[2 * i + 1], x[2 * i]]);
    expect(split).toMatchObject({ train: 60, unused: 10, unusedRanges: ["rows 101-110 of 1 series"] });
    const mean = Array.from({ length: 60 }, (_, i) => x[2 * i]).reduce((sum, value) => sum + value, 0) / 60;
    expect(mean).toBeCloseTo(0, 6);
  });

  it("know no target feature where the feature is changed, and keep the scales equal where cells are missing", () => {
    const holes = wave(110, (i) => (i % 5 === 3 ? { load: null } : {}));
    const { series, preprocessing } = prepare(holes, {
      ...options,
      missing: { policy: "forwardFill", flag: true },
      difference: ["heat"],
    });
    expect(preprocessing.featureNames).toEqual(["load", "heat.difference", "load.missing", "heat.missing"]);
    expect(preprocessing.spec({ length: 9 }).targetFeature).toEqual([-1, 0]);
    const [{ x, values }] = series;
    for (let i = 0; i < 110; i++) {
      if (i % 5 === 3) expect(values![2 * i + 1]).toBeNaN();
      else expect(values![2 * i + 1]).toBe(x[4 * i]);
    }
  });

  it("equal what a stream of the same records gives, and what the frozen preprocessing gives on new data", () => {
    const records: RawRecord[] = Array.from({ length: 110 }, (_, i) => ({
      time: i * 60 + (i % 4),
      load: i % 6 ? i * 0.3 : null,
      heat: 1 / (i + 1),
      label: "x",
    }));
    const more: DataOptions = {
      ...options,
      missing: { policy: "forwardFill", flag: true, sinceSeen: true },
      log: ["heat"],
      difference: ["load"],
    };
    const made = prepare(tableFromRecords(records), more);
    const frozen = Preprocessing.fromJSON(JSON.parse(JSON.stringify(made.preprocessing)));
    const state = frozen.initialState();
    const pushed = records.flatMap((record) => frozen.push(record, state).flatMap(({ x }) => [...x]));
    expect(pushed).toEqual([...made.series[0].x]);
    const again = applyPreprocessing(tableFromRecords(records), frozen);
    expect([again.series[0].x, again.series[0].values]).toEqual([made.series[0].x, made.series[0].values]);
    expect(again.split).toMatchObject({ test: 110, train: 0, unused: 0 });
  });

  it("may lack the target when they are for prediction", () => {
    const { preprocessing } = prepare(wave(110), { ...options, target: "label", targetKind: "tags" });
    const bare = tableFromRecords([{ time: 1, load: 2, heat: 3 }]);
    expect([...applyPreprocessing(bare, preprocessing, { target: "optional" }).series[0].classes!]).toEqual([-1]);
    expect(() => applyPreprocessing(bare, preprocessing)).toThrow(/OST_COLUMN.*target.*"label"/);
  });

  it("are split after resampling, and their source rows are known", () => {
    const { series } = prepare(wave(210), {
      ...options,
      split: { by: "time", rows: [60, 20, 20] },
      resample: { everyMs: 120_000, aggregate: "last" },
    });
    expect([series[0].length, [...series[0].row.slice(0, 3)], series[0].time![0]]).toEqual([104, [2, 4, 6], 120_000]);
    expect(series[0].part.filter((code) => code === 1)).toHaveLength(60);
  });
});

describe("prepare refuses", () => {
  const refuse = (table: ReturnType<typeof wave>, more: Partial<DataOptions>, message: RegExp) =>
    expect(() => prepare(table, { ...options, ...more })).toThrow(message);

  it("missing features, targets and labels, naming the first and the count", () => {
    const holes = wave(110, (i) => (i >= 40 && i < 43 ? { load: null } : {}));
    refuse(holes, {}, /OST_MISSING.*records row 41.*"load" is missing, the first of 3 missing values/);
    refuse(holes, { features: ["heat"], target: "load" }, /OST_MISSING.*records row 41.*"load"/);
    refuse(
      wave(110, (i) => (i === 5 ? { label: "" } : {})),
      { target: "label", targetKind: "tags" },
      /OST_MISSING.*records row 6.*"label"/,
    );
    const gap = tableFromRecords([0, 1, 2, 5, 6, 7, 8].map((time) => ({ time, load: 1, heat: time })));
    refuse(gap, { resample: { everyMs: 1000 }, split: { by: "time", rows: [1, 1, 1] } }, /OST_MISSING.*row 3/);
  });

  it("a class that changes within its entity, and one that training never saw", () => {
    refuse(
      wave(110),
      { target: "label", targetKind: "class" },
      /OST_TARGET.*records row 2.*"all" is not constant.*"off".*got "on"/,
    );
    refuse(
      wave(110, (i) => (i === 70 ? { label: "late" } : {})),
      { target: "label", targetKind: "tags" },
      /OST_TARGET.*records row 71.*"late"/,
    );
    refuse(
      wave(110, () => ({ label: "same" })),
      { target: "label", targetKind: "tags" },
      /OST_TARGET.*same label/,
    );
  });

  it("a series on both sides of a split, when its one class is the target", () => {
    const two = (part: (i: number) => string) =>
      tableFromRecords(
        Array.from({ length: 40 }, (_, i) => ({
          load: i,
          id: `s${Math.floor(i / 10)}`,
          kind: i < 20 ? "x" : "y",
          part: part(i),
        })),
      );
    const of: Partial<DataOptions> = { time: null, entity: "id", features: ["load"], target: "kind", targetKind: "class" };
    const apart = two((i) => (i < 10 || i >= 30 ? "train" : i < 20 ? "validation" : "test"));
    refuse(
      apart,
      { ...of, split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 } },
      /OST_SPLIT.*series "s0" has rows in two parts.*train from records row 1, validation from records row 7.*\n.*by: entity/,
    );
    const byColumn: DataOptions = { ...options, ...of, split: { by: "column:part" } };
    expect(prepare(apart, byColumn).split.series).toEqual({ train: 2, validation: 1, test: 1 });
    const torn = two((i) => (i === 29 ? "train" : i < 10 || i >= 30 ? "train" : i < 20 ? "validation" : "test"));
    refuse(torn, byColumn, /OST_SPLIT.*"s2".*train from records row 30/);
    expect(prepare(torn, { ...byColumn, targetKind: "tags" }).split.train).toBe(21);
  });

  it("know their group, where the split is by group", () => {
    const rows = Array.from({ length: 60 }, (_, i) => ({ v: i, id: `s${Math.floor(i / 10)}`, plant: `p${Math.floor(i / 20)}` }));
    const by: Partial<DataOptions> = { time: null, entity: "id", features: ["v"], target: "v" };
    const split = { by: "group:plant" as const, train: 0.34, validation: 0.33, test: 0.33 };
    const grouped = prepare(tableFromRecords(rows), { ...options, ...by, split });
    expect(grouped.series.map(({ group }) => group)).toEqual(["p0", "p0", "p1", "p1", "p2", "p2"]);
    expect(prepare(wave(110), options).series[0].group).toBeNull();
  });

  it("resampling without times, transforms of unknown columns, unknown options", () => {
    refuse(wave(110), { time: null, resample: { everyMs: 1000 } }, /OST_CONFIG.*needs times/);
    refuse(wave(110), { resample: { everyMs: 0 } }, /OST_RANGE/);
    refuse(wave(110), { log: ["haet"] }, /OST_COLUMN.*data\.log.*"haet".*\n.*"heat"/);
    refuse(wave(110), { missing: "guess" as "refuse" }, /OST_RANGE.*data\.missing/);
    refuse(wave(110), { scale: "zscore" as "none" }, /OST_RANGE.*data\.scale/);
    refuse(wave(110), { missing: { policy: "forwardFill", limit: 0 } }, /OST_RANGE/);
  });

  it("values beyond float32 outside training, naming the row", () => {
    refuse(
      wave(110, (i) => (i === 80 ? { load: 1e300 } : {})),
      {},
      /OST_VALUE.*records row 81/,
    );
    refuse(
      wave(110, (i) => (i === 80 ? { load: 1e300 } : {})),
      { features: ["heat"] },
      /OST_VALUE.*records row 81.*beyond 3.4e38.*"load"/,
    );
    refuse(
      wave(110, (i) => (i === 8 ? { load: 1e300 } : {})),
      {},
      /OST_VALUE.*records row 9.*beyond 3.4e38/,
    );
  });
});

const data = process.env.OSTINATO_DATA ?? fileURLToPath(new URL("../../../shared/data", import.meta.url));
const etth1 = join(data, "forecast-etth1", "ETTh1.csv");
it.skipIf(!existsSync(etth1))(
  "ETTh1: 2,857 test windows, and repeating yesterday has the known error of 0.424 (needs OSTINATO_DATA or ../shared/data)",
  async () => {
    const names = ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"];
    const prepared = prepare(await readTable(etth1), {
      targetKind: "values",
      time: "date",
      features: names,
      target: names,
      split: { by: "time", rows: [8640, 2880, 2880] },
    });
    const test = windows(prepared, { length: 96, horizon: 24, part: "test" });
    expect(test.count).toBe(2857);
    let sum = 0;
    let count = 0;
    for (const { batchSize, x, values } of batches(test, { batchSize: 256 })) {
      for (let b = 0; b < batchSize; b++) {
        for (let j = 0; j < 24 * 7; j++) {
          sum += (values![b * 24 * 7 + j] - x[(b * 96 + 72) * 7 + j]) ** 2;
          count++;
        }
      }
    }
    expect(sum / count).toBeCloseTo(0.424, 3);
  },
);

const vowels = join(data, "class-japanese-vowels");
it.skipIf(!existsSync(vowels))(
  "JapaneseVowels: the official parts, with validation taken from training speakers evenly (needs OSTINATO_DATA or ../shared/data)",
  async () => {
    const table = await readTable(
      { train: join(vowels, "JapaneseVowels_TRAIN.ts"), test: join(vowels, "JapaneseVowels_TEST.ts") },
      { text: ["label"] },
    );
    const prepared = prepare(table, {
      targetKind: "class",
      entity: "sequence",
      features: Array.from({ length: 12 }, (_, d) => `dim${d + 1}`),
      target: "label",
      split: { by: "column:part", validation: 0.15, seed: 7 },
    });
    const count = (part: "train" | "validation" | "test") => sequences(prepared, { part }).count;
    expect([count("train"), count("validation"), count("test")]).toEqual([229, 41, 370]);
    expect(prepared.preprocessing.classes).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
  },
);

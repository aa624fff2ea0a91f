import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Part } from "../core/batch.js";
import { batches, collate } from "./batch.js";
import type { Examples } from "./examples.js";
import { type DataOptions, prepare } from "./prepare.js";
import { partCode } from "./split.js";
import { tableFromRecords } from "./table.js";
import { describeWindow, sequences, trailingWindows, type WindowOptions, windows } from "./window.js";

const PART = ["", "train", "validation", "test"];

/** One series per list of part codes; the value of a step is 1000 * series + step, unscaled. */
function preparedOf(
  parts: number[][],
  more: Partial<DataOptions> = {},
  value: (s: number, i: number) => number | null = (s, i) => 1000 * s + i,
) {
  const records = parts.flatMap((codes, s) =>
    codes.map((code, i) => ({ id: `s${s}`, v: value(s, i), kind: `k${s % 2}`, tag: `t${i % 3}`, part: PART[code] })),
  );
  return prepare(tableFromRecords(records), {
    targetKind: "values",
    entity: "id",
    features: ["v"],
    target: "v",
    scale: "none",
    missing: "forwardFill",
    split: { by: "column:part" },
    ...more,
  });
}

const repeat = (code: number, count: number) => Array<number>(count).fill(code);
const list = ({ runs }: Examples) => [...runs].map(({ series, start, length }) => [series, start, length]);
const parts = fc
  .array(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 30 }), { minLength: 0, maxLength: 3 })
  .map((more) => [[1, 2, 3], [1, 1, 1, 2, 2, 2, 3, 3, 3], ...more]);

describe("forecast windows", () => {
  it("of ETTh1's sizes are 2,857 for test and 8,521 for training", () => {
    const table = tableFromRecords(Array.from({ length: 17420 }, (_, i) => ({ v: i % 24 })));
    const prepared = prepare(table, {
      targetKind: "values",
      features: ["v"],
      target: "v",
      split: { by: "time", rows: [8640, 2880, 2880] },
    });
    const count = (part: Part) => windows(prepared, { length: 96, horizon: 24, part }).count;
    expect([count("train"), count("validation"), count("test")]).toEqual([8640 - 96 - 24 + 1, 2857, 2857]);
    const test = windows(prepared, { length: 96, horizon: 24, part: "test" });
    expect([test.at(0).start, test.at(2856).start + 96 + 24]).toEqual([11520 - 96, 14400]);
  });

  it("predict only steps of their part, and read nothing of a later part", () => {
    fc.assert(
      fc.property(
        parts,
        fc.constantFrom<Part>("train", "validation", "test"),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 3 }),
        (codes, part, length, horizon) => {
          const prepared = preparedOf(codes);
          let made: Examples | undefined;
          try {
            made = windows(prepared, { length, horizon, part });
          } catch (error) {
            expect(String(error)).toMatch(/OST_WINDOW/);
          }
          const expected: number[][] = [];
          codes.forEach((of, s) => {
            for (let start = 0; start + length + horizon <= of.length; start++) {
              const input = of.slice(start, start + length);
              const target = of.slice(start + length, start + length + horizon);
              if (target.every((code) => code === partCode(part)) && input.every((code) => code <= partCode(part)))
                expected.push([s, start, length]);
            }
          });
          expect(made ? list(made) : []).toEqual(expected);
          if (!made) return;
          const batch = collate(made, [...Array(made.count).keys()]);
          expected.forEach(([s, start], b) => {
            for (let t = 0; t < length; t++) expect(batch.x[b * length + t]).toBe(1000 * s + start + t);
            for (let p = 0; p < horizon; p++) expect(batch.values![b * horizon + p]).toBe(1000 * s + start + length + p);
          });
        },
      ),
    );
  });

  it("step by their stride and reach back over a gap", () => {
    const made = windows(preparedOf([[...repeat(1, 6), 0, 0, 2, 3, 3, 3, 3, 3]]), {
      length: 3,
      horizon: 2,
      stride: 2,
      part: "test",
    });
    expect(list(made)).toEqual([
      [0, 6, 3],
      [0, 8, 3],
    ]);
  });

  it("without a single target value are dropped and counted, but kept for prediction", () => {
    const prepared = preparedOf([[...repeat(1, 8), 2, 3, 3, 3]], {}, (_, i) => (i >= 3 && i <= 5 ? null : i));
    const options: WindowOptions = { length: 2, horizon: 2, part: "train" };
    const made = windows(prepared, options);
    expect([list(made).map(([, start]) => start), made.dropped]).toEqual([[0, 3, 4], { noTarget: 2, tooShort: 0 }]);
    const test = windows(prepared, { ...options, part: "test", keepUnscored: true });
    expect(list(test).map(([, start]) => start)).toEqual([7, 8, 9, 10]);
    expect([...collate(test, [2, 3]).values!]).toEqual([11, NaN, NaN, NaN]);
  });

  it("may predict from every step; earlier steps learn nothing from outside the part", () => {
    const made = windows(preparedOf([[1, 1, 1, 1, 2, 2, 2, 3, 3, 3]]), { length: 3, horizon: 2, part: "test", everyStep: true });
    expect(list(made)).toEqual([
      [0, 4, 3],
      [0, 5, 3],
    ]);
    const batch = collate(made, [0, 1]);
    expect([batch.everyStep, batch.time, batch.horizon, batch.targets]).toEqual([true, 3, 2, 1]);
    expect([...batch.values!]).toEqual([NaN, NaN, NaN, 7, 7, 8, NaN, 7, 7, 8, 8, 9]);
  });

  it("that fit nowhere are an error, and a number of steps is whole and positive", () => {
    const prepared = preparedOf([[1, 1, 2, 2, 3, 3]]);
    expect(() => windows(prepared, { length: 4, horizon: 3, part: "test" })).toThrow(
      /OST_WINDOW.*"test".*4 input steps and 3 target steps/,
    );
    for (const wrong of [{ length: 0 }, { horizon: 0 }, { stride: 1.5 }]) {
      expect(() => windows(prepared, { length: 1, horizon: 1, part: "test", ...wrong })).toThrow(/OST_RANGE/);
    }
    expect(() => sequences(prepared, { part: "test" })).toThrow(/OST_RANGE.*windows/);
  });
});

describe("windows of tags", () => {
  it("cover every step of the part exactly once, the last of a stretch shorter", () => {
    fc.assert(
      fc.property(parts, fc.integer({ min: 1, max: 5 }), (codes, length) => {
        const prepared = preparedOf(codes, { targetKind: "tags", target: "tag", missing: "refuse" });
        const seen = new Map<string, number>();
        for (const [s, start, steps] of list(windows(prepared, { length, part: "train" }))) {
          for (let i = start; i < start + steps; i++) seen.set(`${s} ${i}`, (seen.get(`${s} ${i}`) ?? 0) + 1);
        }
        const expected = new Map(
          codes.flatMap((of, s) => of.flatMap((code, i) => (code === 1 ? [[`${s} ${i}`, 1] as const] : []))),
        );
        expect(new Map([...seen].sort())).toEqual(new Map([...expected].sort()));
      }),
    );
  });
});

describe("trailing windows", () => {
  const codes = [3, 3, 1, 1, 1, 2, 2, 3, 3];
  const parted = [codes, [1, 2, 3]];

  it("of tags end at every step of the part, reach back but never into a later part, and count their last step alone", () => {
    const prepared = preparedOf(parted, { targetKind: "tags", target: "tag", missing: "refuse" });
    const of = (part: Part) => list(trailingWindows(prepared, { length: 3, part }));
    expect(of("train")).toEqual([
      [0, 2, 1],
      [0, 2, 2],
      [0, 2, 3],
      [1, 0, 1],
    ]);
    expect(of("validation")).toEqual([
      [0, 3, 3],
      [0, 4, 3],
      [1, 0, 2],
    ]);
    expect(of("test").slice(0, 3)).toEqual([
      [0, 0, 1],
      [0, 0, 2],
      [0, 5, 3],
    ]);
    const batch = collate(trailingWindows(prepared, { length: 3, part: "train" }), [0, 1, 2]);
    const classes = prepared.series[0].classes as Int32Array;
    expect([...batch.classes!]).toEqual([classes[2], -1, -1, -1, classes[3], -1, -1, -1, classes[4]]);
    expect([...batch.x]).toEqual([2, 0, 0, 2, 3, 0, 2, 3, 4]);
  });

  it("of tags leave out steps without a class, and step by their stride", () => {
    const prepared = preparedOf(parted, { targetKind: "tags", target: "tag", missing: "refuse" });
    (prepared.series[0].classes as Int32Array)[3] = -1;
    const made = trailingWindows(prepared, { length: 2, part: "train" });
    expect([list(made), made.dropped.noTarget]).toEqual([
      [
        [0, 2, 1],
        [0, 3, 2],
        [1, 0, 1],
      ],
      1,
    ]);
    expect(list(trailingWindows(prepared, { length: 2, part: "train", stride: 2 }))).toEqual([
      [0, 2, 1],
      [0, 3, 2],
      [1, 0, 1],
    ]);
  });

  it("of forecasts wait for the shortest history and are kept to the end", () => {
    const made = trailingWindows(preparedOf([[1, 2, 3, 3, 3]]), { length: 3, shortest: 2, part: "test", horizon: 2 });
    expect(list(made)).toEqual([
      [0, 0, 3],
      [0, 1, 3],
      [0, 2, 3],
    ]);
    expect(() => trailingWindows(preparedOf([[1, 2, 3]]), { length: 0, part: "test" })).toThrow(/OST_RANGE/);
    expect(() => trailingWindows(preparedOf([[1, 2, 3]]), { length: 3, part: "test", shortest: 9, horizon: 1 })).toThrow(
      /OST_WINDOW/,
    );
  });
});

describe("classes", () => {
  const whole = [repeat(1, 4), repeat(1, 2), repeat(2, 3), repeat(3, 5)];
  const prepared = preparedOf(whole, { targetKind: "class", target: "kind" });

  it("of whole sequences have one class each and are padded with zeros", () => {
    const train = sequences(prepared, { part: "train" });
    expect(list(train)).toEqual([
      [0, 0, 4],
      [1, 0, 2],
    ]);
    const [batch] = batches(train, { batchSize: 9 });
    expect([batch.time, [...batch.lengths], [...batch.classes!]]).toEqual([4, [4, 2], [0, 1]]);
    expect([...batch.x]).toEqual([0, 1, 2, 3, 1000, 1001, 0, 0]);
  });

  it("of windows are full windows", () => {
    const train = windows(prepared, { length: 3, part: "train" });
    expect([list(train), train.dropped.tooShort]).toEqual([
      [
        [0, 0, 3],
        [0, 1, 3],
      ],
      1,
    ]);
  });
});

it("a description names the source rows of input and target", () => {
  const table = tableFromRecords(
    Array.from({ length: 20 }, (_, i) => ({ t: i * 3600, v: i })),
    { source: "load.csv" },
  );
  const prepared = prepare(table, {
    targetKind: "values",
    time: "t",
    features: ["v"],
    target: "v",
    split: { by: "time", rows: [10, 4, 4] },
  });
  expect(describeWindow(windows(prepared, { length: 5, horizon: 2, part: "test" }), 1)).toBe(
    [
      'example 2 of 3 (test), series "all"',
      "  input   load.csv row 11 to load.csv row 15, 1970-01-01T10:00:00.000Z to 1970-01-01T14:00:00.000Z (5 steps of v)",
      "  target  load.csv row 16 to load.csv row 17, 1970-01-01T15:00:00.000Z to 1970-01-01T16:00:00.000Z (2 steps of v)",
    ].join("\n"),
  );
});

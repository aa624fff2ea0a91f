import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { runsOf, type SplitOptions, type SplitSeries, splitColumn, splitSeries } from "./split.js";

const series = (rows: number, more: Partial<SplitSeries> = {}): SplitSeries => ({
  entity: "x",
  rows,
  labels: null,
  split: null,
  ...more,
});
const many = (count: number, more: (i: number) => Partial<SplitSeries> = () => ({})) =>
  Array.from({ length: count }, (_, i) => series(3, { entity: `e${i}`, ...more(i) }));
const shares = { train: 0.6, validation: 0.2, test: 0.2 };
const ofSeries = (part: Uint8Array[]) => part.map((codes) => codes[0]);

describe("by time", () => {
  it("cuts rows in order and names those of no part", () => {
    const { part, summary } = splitSeries([series(17420)], { by: "time", rows: [8640, 2880, 2880] });
    expect([runsOf(part[0], 1), runsOf(part[0], 2), runsOf(part[0], 3)]).toEqual([
      [[0, 8640]],
      [[8640, 11520]],
      [[11520, 14400]],
    ]);
    expect(summary).toMatchObject({
      train: 8640,
      validation: 2880,
      test: 2880,
      unused: 3020,
      unusedRanges: ["rows 14401-17420 of 1 series"],
    });
  });

  it("leaves a gap between the parts of every series", () => {
    const { part, summary } = splitSeries([series(14), series(14)], { by: "time", ...shares, gap: 2 });
    expect([...part[0]]).toEqual([1, 1, 1, 1, 1, 1, 0, 0, 2, 2, 0, 0, 3, 3]);
    expect(summary.unusedRanges).toEqual(["rows 7-8, rows 11-12 of 2 series"]);
  });

  it("uses every row when the shares add up to one", () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 500 }), (rows) => {
        const { part, summary } = splitSeries([series(rows)], { by: "time", train: 0.7, validation: 0.15, test: 0.15 });
        expect(summary.unused).toBe(0);
        expect([...part[0]]).toEqual([...part[0]].sort());
      }),
    );
  });
});

describe("by entity and group", () => {
  it("never puts an entity or a group into two parts", () => {
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 60 }), fc.integer(), fc.boolean(), (count, seed, byEntity) => {
        const list = many(count, (i) => ({ split: Array(3).fill(`g${i % Math.max(4, count >> 1)}`) }));
        const { part } = splitSeries(list, { by: byEntity ? "entity" : "group:g", ...shares, seed });
        const owner = new Map<string, number>();
        part.forEach((codes, s) => {
          const key = byEntity ? list[s].entity : list[s].split![0];
          for (const code of codes) {
            expect(owner.get(key) ?? code).toBe(code);
            owner.set(key, code);
          }
        });
        expect(new Set(owner.values())).toEqual(new Set([1, 2, 3]));
      }),
    );
  });

  it("gives each part its share of every label", () => {
    const { part } = splitSeries(
      many(100, (i) => ({ labels: Array(3).fill(i % 10 === 0 ? "rare" : "common") })),
      { by: "entity", ...shares, seed: 3 },
    );
    const rare = ofSeries(part).filter((_, i) => i % 10 === 0);
    expect([1, 2, 3].map((code) => rare.filter((other) => other === code).length)).toEqual([6, 2, 2]);
  });

  it("draws the same with the same seed and otherwise with another", () => {
    const draw = (seed: number) => ofSeries(splitSeries(many(40), { by: "entity", ...shares, seed }).part);
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });
});

describe("by column", () => {
  it("follows the cells, and an empty cell is of no part", () => {
    const { part, summary } = splitSeries([series(5, { split: ["train", "train", "", "validation", "test"] })], {
      by: "column:part",
    });
    expect([...part[0]]).toEqual([1, 1, 0, 2, 3]);
    expect(summary.unusedRanges).toEqual(["row 3 of 1 series"]);
  });

  it("takes a stratified share of the training series for validation, and leaves test alone", () => {
    const list = many(110, (i) => ({
      split: Array(3).fill(i < 90 ? "train" : "test"),
      labels: Array(3).fill(`speaker ${i % 9}`),
    }));
    const { part } = splitSeries(list, { by: "column:part", validation: 0.2, seed: 7 });
    const codes = ofSeries(part);
    expect(codes.slice(90)).toEqual(Array(20).fill(3));
    for (let label = 0; label < 9; label++) {
      const taken = codes.slice(0, 90).filter((code, i) => i % 9 === label && code === 2).length;
      expect(taken).toBeGreaterThanOrEqual(1);
      expect(taken).toBeLessThanOrEqual(3);
    }
    expect(codes.filter((code) => code === 2)).toHaveLength(18);
  });

  it("knows the column it reads", () => {
    expect([splitColumn({ by: "group:run id" }), splitColumn({ by: "column:part" }), splitColumn({ by: "time" })]).toEqual([
      "run id",
      "part",
      null,
    ]);
  });
});

it("refuses what cannot be divided", () => {
  const refused = (list: SplitSeries[], options: unknown, message: RegExp) =>
    expect(() => splitSeries(list, options as SplitOptions)).toThrow(message);
  refused([series(10)], { by: "time", rows: [8, 2, 2] }, /OST_SPLIT.*rows that do not exist.*at least 12.*got 10/);
  refused([series(10)], { by: "time", rows: [8, 0, 2] }, /OST_SPLIT.*row counts/);
  refused([series(10)], { by: "time", train: 0.9, validation: 0.2, test: 0.1 }, /OST_SPLIT.*shares/);
  refused([series(10)], { by: "time", train: 0.9, test: 0.1 }, /OST_SPLIT.*shares/);
  refused([series(4)], { by: "time", train: 0.8, validation: 0.1, test: 0.1 }, /OST_SPLIT.*"validation" has no rows/);
  refused(many(2), { by: "entity", ...shares }, /OST_SPLIT.*too few series.*got 2/);
  refused(many(9), { by: "entity", ...shares, gap: 1 }, /OST_SPLIT.*gap/);
  refused([series(2, { split: ["a", "b"] })], { by: "group:g", ...shares }, /OST_SPLIT.*two groups/);
  refused([series(2, { split: ["train", "testing"] })], { by: "column:part" }, /OST_SPLIT.*row 2.*"testing"/);
  refused(
    [series(2, { split: ["train", "test"] })],
    { by: "column:part" },
    /OST_SPLIT.*"validation" has no rows.*\n.*validation: 0\.15/,
  );
  refused([series(2, { split: ["train", "test"] })], { by: "column:part", validation: 0.2 }, /OST_SPLIT.*no validation series/);
  refused([series(9)], { by: "magic", ...shares }, /OST_SPLIT.*unknown split/);
});

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

/** Series of irregular times that begin and end at different moments. */
const timed = fc
  .array(
    fc.record({
      start: fc.integer({ min: 0, max: 2000 }),
      steps: fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 20, maxLength: 120 }),
    }),
    { minLength: 1, maxLength: 6 },
  )
  .map((list) =>
    list.map(({ start, steps }, i) => {
      let at = start;
      return series(steps.length, { entity: `e${i}`, time: Float64Array.from(steps, (step) => (at += step)) });
    }),
  );
const hourly = (rows: number, start = "2018-01-01") =>
  series(rows, { time: Float64Array.from({ length: rows }, (_, i) => Date.parse(start) + i * 3_600_000) });
const total = (list: readonly SplitSeries[]) => list.reduce((sum, { rows }) => sum + rows, 0);
/** The split, or null where the drawn series are too short for a row in every part. */
const attempt = (list: readonly SplitSeries[], options: SplitOptions) => {
  try {
    return splitSeries(list, options);
  } catch (error) {
    if (/has no rows/.test(String(error))) return null;
    throw error;
  }
};

describe("by time at one instant", () => {
  it("cuts all series at the named instants, the gap taken from the earlier part", () => {
    const list = [hourly(24 * 90), hourly(24 * 30, "2018-02-15"), hourly(24 * 10, "2018-01-05")];
    const { part, summary } = splitSeries(list, {
      by: "time",
      from: { validation: "2018-02-01", test: "2018-03-01" },
      gapMs: 3 * 3_600_000,
    });
    expect([runsOf(part[0], 1), runsOf(part[0], 2), runsOf(part[0], 3)]).toEqual([
      [[0, 24 * 31 - 3]],
      [[24 * 31, 24 * 59 - 3]],
      [[24 * 59, 24 * 90]],
    ]);
    expect([runsOf(part[1], 2), runsOf(part[1], 3)]).toEqual([[[0, 24 * 14 - 3]], [[24 * 14, 24 * 30]]]);
    expect(new Set(part[2])).toEqual(new Set([1]));
    expect(summary.from).toEqual({ validation: "2018-02-01T00:00:00.000Z", test: "2018-03-01T00:00:00.000Z" });
    const bounded = splitSeries(list, {
      by: "time",
      from: { train: "2018-01-10", validation: "2018-02-01", test: "2018-03-01", end: "2018-03-02" },
    });
    expect(runsOf(bounded.part[0], 0)).toEqual([
      [0, 24 * 9],
      [24 * 60, 24 * 90],
    ]);
  });

  it("takes away as much for a gap of g rows as for one of g steps in milliseconds", () => {
    const list = [hourly(100)];
    for (const at of ["series", "instant"] as const) {
      const inMs = splitSeries(list, { by: "time", ...shares, at, gapMs: 5 * 3_600_000 });
      expect(runsOf(inMs.part[0], 0).map(([from, to]) => to - from)).toEqual([5, 5]);
    }
    const inRows = splitSeries(list, { by: "time", ...shares, at: "instant", gap: 5 });
    expect(inRows.part).toEqual(splitSeries(list, { by: "time", ...shares, at: "instant", gapMs: 5 * 3_600_000 }).part);
  });

  it("never learns from one series later than it tests another, and keeps both gaps", () => {
    const gaps = fc.record({ gap: fc.integer({ min: 0, max: 4 }), gapMs: fc.integer({ min: 0, max: 120 }) });
    let made = 0;
    fc.assert(
      fc.property(timed, gaps, (list, gap) => {
        const split = attempt(list, { by: "time", ...shares, at: "instant", ...gap });
        if (!split) return;
        made++;
        const latest = [0, 0, 0, 0].fill(Number.NEGATIVE_INFINITY);
        const earliest = [0, 0, 0, 0].fill(Number.POSITIVE_INFINITY);
        split.part.forEach((codes, s) => {
          codes.forEach((code, i) => {
            latest[code] = Math.max(latest[code], list[s].time![i]);
            earliest[code] = Math.min(earliest[code], list[s].time![i]);
          });
          expectApart(codes, list[s].time!, gap);
        });
        expect(latest[1] + gap.gapMs).toBeLessThan(earliest[2]);
        expect(latest[2] + gap.gapMs).toBeLessThan(earliest[3]);
        const { train, validation, test, unused } = split.summary;
        expect(train + validation + test + unused).toBe(total(list));
      }),
    );
    expect(made).toBeGreaterThan(20);
  });

  it("has every part's share of all rows, to the rows of one instant", () => {
    fc.assert(
      fc.property(timed, (list) => {
        const split = attempt(list, { by: "time", ...shares, at: "instant" });
        if (!split) return;
        const n = total(list);
        expect(split.summary.unused).toBe(0);
        expect(Math.abs(split.summary.train - 0.6 * n)).toBeLessThanOrEqual(list.length);
        expect(Math.abs(split.summary.test - 0.2 * n)).toBeLessThanOrEqual(list.length + 1);
      }),
    );
  });

  it("keeps the order and both gaps of each series where each is cut by its own rows", () => {
    let made = 0;
    fc.assert(
      fc.property(timed, fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 120 }), (list, gap, gapMs) => {
        const split = attempt(list, { by: "time", ...shares, gap, gapMs });
        if (!split) return;
        made++;
        split.part.forEach((codes, s) => {
          expectApart(codes, list[s].time!, { gap, gapMs });
          const used = codes.filter((code) => code > 0);
          expect([...used]).toEqual([...used].sort());
        });
      }),
    );
    expect(made).toBeGreaterThan(20);
  });
});

/** Between two rows of different parts lie at least `gap` rows and more than `gapMs`, whichever way around. */
function expectApart(codes: Uint8Array, time: Float64Array, { gap, gapMs }: { gap: number; gapMs: number }): void {
  for (let last = -1, i = 0; i < codes.length; i++) {
    if (codes[i] === 0) continue;
    if (last >= 0 && codes[last] !== codes[i]) {
      expect(i - last).toBeGreaterThan(gap);
      if (gapMs > 0) expect(time[i] - time[last]).toBeGreaterThan(gapMs);
    }
    last = i;
  }
}

describe("by series and time at once", () => {
  const list = Array.from({ length: 10 }, (_, i) => ({ ...hourly(100), entity: `e${i}`, split: Array(100).fill(`g${i % 5}`) }));

  it("tests held-out series in the held-out period only, and counts the rest of the cross", () => {
    const whole = splitSeries(list, { by: "entity", ...shares, seed: 4 });
    const { part, summary } = splitSeries(list, { by: "entity", ...shares, seed: 4, time: { ...shares } });
    const period = (i: number) => (i < 60 ? 1 : i < 80 ? 2 : 3);
    part.forEach((codes, s) => {
      codes.forEach((code, i) => {
        expect(code).toBe(period(i) === whole.part[s][0] ? period(i) : 0);
      });
    });
    expect(summary).toMatchObject({ train: 6 * 60, validation: 2 * 20, test: 2 * 20, unused: 560, crossed: 560 });
    expect(summary.from).toEqual({ validation: "2018-01-03T12:00:00.000Z", test: "2018-01-04T08:00:00.000Z" });
  });

  it("holds for groups, with a gap in time, and for folds of groups", () => {
    const { part, summary } = splitSeries(list, { by: "group:g", folds: 5, fold: 2, time: { ...shares, gap: 2 } });
    expect(summary).toMatchObject({ train: 6 * 58, validation: 2 * 18, test: 2 * 20 });
    const groupOf = (code: number) => new Set(list.filter((_, s) => part[s].includes(code)).map(({ split }) => split[0]));
    expect([groupOf(1).size, groupOf(2).size, groupOf(3).size]).toEqual([3, 1, 1]);
    expect(new Set([...groupOf(1), ...groupOf(2), ...groupOf(3)]).size).toBe(5);
    const untimed = list.map((one) => ({ ...one, time: null }));
    expect(splitSeries(untimed, { by: "entity", ...shares, time: { ...shares, at: "series" } }).summary.test).toBe(40);
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

describe("by remainder", () => {
  const numbered = (cells: readonly string[]) =>
    cells.map((cell, i) => series(2, { entity: `e${i}`, split: [cell, cell], labels: ["a", "a"] }));

  it("gives each series the part of the number its cell ends in", () => {
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 9 }), fc.constantFrom("", "Arabic.txt-", "1-", "-"), (divisor, prefix) => {
        const cells = Array.from({ length: 3 * divisor }, (_, i) => `${prefix}${i + 1}`);
        const { part, summary } = splitSeries(numbered(cells), { by: "modulo:line", divisor, test: [1], validation: [0] });
        const wanted = cells.map((_, i) => ((i + 1) % divisor === 1 ? 3 : (i + 1) % divisor === 0 ? 2 : 1));
        expect(ofSeries(part)).toEqual(wanted);
        expect(summary.series.test).toBe(3);
      }),
    );
  });

  it("is exact beyond 2^53, draws validation by share, and takes beginnings for a part", () => {
    const cells = [
      "9007199254740993",
      "9007199254740995",
      ...Array.from({ length: 20 }, (_, i) => `n-${2 * i}`),
      "abnormal-7",
      "abnormal-8",
    ];
    const options = {
      by: "modulo:id",
      divisor: 4,
      test: [1],
      begins: { test: ["abnormal-"] },
      validation: 0.25,
      seed: 3,
    } as const;
    const { part, summary } = splitSeries(numbered(cells), options);
    expect([part[0][0], part[1][0] < 3]).toEqual([3, true]);
    expect(ofSeries(part).slice(-2)).toEqual([3, 3]);
    expect([summary.series.validation, summary.series.train, summary.series.test]).toEqual([5, 16, 3]);
    expect(splitSeries(numbered(cells), options).part).toEqual(part);
  });

  it("refuses numbers that change or are none, remainders that cannot be, and beginnings that no cell has", () => {
    const by = { by: "modulo:id", divisor: 3, test: [0], validation: [1] } as const;
    const list = numbered(["1", "2", "3"]);
    expect(() => splitSeries([...list, series(2, { split: ["4", "5"] })], by)).toThrow(
      /OST_SPLIT.*several numbers.*"5" in its row 2/s,
    );
    expect(() => splitSeries([...list, ...numbered(["x"])], by)).toThrow(/OST_SPLIT.*no number.*"x"/s);
    for (const wrong of [
      { divisor: 1 },
      { divisor: 2.5 },
      { test: [3] },
      { test: [0, 0] },
      { test: [1] },
      { validation: [-1] },
    ]) {
      expect(() => splitSeries(list, { ...by, ...wrong })).toThrow(/OST_SPLIT.*data.split/s);
    }
    expect(() => splitSeries(list, { ...by, begins: { test: ["ab"] } })).toThrow(/OST_SPLIT.*begins.*"ab"/s);
    expect(() => splitSeries(list, { ...by, test: [] })).toThrow(/OST_SPLIT.*"test" has no rows/s);
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

  it("gives listed values to their parts, row by row, and the rest to training", () => {
    const list = [series(5, { split: ["7", "0", "3", "", "0"] }), series(2, { split: ["2", "2"] })];
    const { part } = splitSeries(list, { by: "column:index", parts: { test: ["0", "2"], validation: ["3"] } });
    expect(part.map((codes) => [...codes])).toEqual([
      [1, 3, 2, 0, 3],
      [3, 3],
    ]);
    const named = splitSeries(list, { by: "column:index", parts: { test: ["0"], validation: ["3"], train: ["2", ""] } });
    expect(named.part.map((codes) => [...codes])).toEqual([
      [0, 3, 2, 1, 3],
      [1, 1],
    ]);
  });

  it("takes the validation series from the rest, where no value is given to validation", () => {
    const list = many(20, (i) => ({ split: Array(3).fill(String(i % 10)) }));
    const { part } = splitSeries(list, { by: "column:index", parts: { test: ["0", "1"] }, validation: 0.25 });
    expect([1, 2, 3].map((code) => ofSeries(part).filter((other) => other === code).length)).toEqual([12, 4, 4]);
    expect(ofSeries(part).every((code, i) => (code === 3) === i % 10 < 2)).toBe(true);
  });

  it("knows the column it reads", () => {
    expect(splitColumn({ by: "modulo:line no" })).toBe("line no");
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
  const parts = (lists: object) => ({ by: "column:k", parts: lists });
  refused([series(2, { split: ["a", "b"] })], parts({ test: ["a"], train: ["a"] }), /OST_SPLIT.*given to train and to test/);
  refused([series(2, { split: ["anna", "b"] })], parts({ test: ["ana"] }), /OST_SPLIT.*does not occur.*did you mean "anna"/);
  refused([series(9)], { by: "time", ...shares, at: "instant" }, /OST_SPLIT.*needs times.*\n.*data\.time/);
  refused([series(9)], { by: "time", ...shares, gapMs: 5 }, /OST_SPLIT.*milliseconds needs times/);
  refused([hourly(9)], { by: "time", ...shares, gapMs: -5 }, /OST_SPLIT.*no duration/);
  refused([hourly(9)], { by: "time", ...shares, at: "once" }, /OST_SPLIT.*contradict.*at: "once"/);
  refused([hourly(9)], { by: "time", rows: [3, 3, 3], at: "instant" }, /OST_SPLIT.*contradict/);
  const from = (instants: object, more: object = {}) => ({ by: "time", from: instants, ...more });
  refused(
    [hourly(9)],
    from({ validation: "2018-02-30", test: "2018-03-01" }),
    /OST_SPLIT.*from\.validation: not an instant.*2018-02-30/,
  );
  refused([hourly(9)], from({ validation: "2018-03-01", test: "2018-02-01" }), /OST_SPLIT.*out of order/);
  refused([hourly(9)], from({ validation: "2018-02-01" }), /OST_SPLIT.*out of order/);
  refused([hourly(9)], from({ validation: "2018-02-01", test: "2018-03-01" }, { train: 0.5 }), /OST_SPLIT.*contradict/);
  refused(many(9), { by: "entity", ...shares, at: "instant" }, /OST_SPLIT.*"at" means nothing between whole series/);
  refused(many(9), { by: "time", ...shares, time: { ...shares } }, /OST_SPLIT.*"time"/);
  refused([series(9)], { by: "magic", ...shares }, /OST_SPLIT.*unknown split/);
});

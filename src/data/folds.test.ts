import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { kFold, rollingOrigin } from "./folds.js";
import { type DataOptions, prepare } from "./prepare.js";
import { runsOf, type SplitOptions, type SplitSeries, splitSeries } from "./split.js";
import { tableFromRecords } from "./table.js";

const series = (rows: number, more: Partial<SplitSeries> = {}): SplitSeries => ({
  entity: "x",
  rows,
  labels: null,
  split: null,
  time: Float64Array.from({ length: rows }, (_, i) => i * 1000),
  ...more,
});
const many = (count: number, more: (i: number) => Partial<SplitSeries> = () => ({})) =>
  Array.from({ length: count }, (_, i) => series(3, { entity: `e${i}`, ...more(i) }));
const stretches = (codes: Uint8Array) => [1, 2, 3].map((code) => runsOf(codes, code));

describe("rolling origin", () => {
  it("tests the last blocks in turn, trained on all that lies before", () => {
    const folds = rollingOrigin([series(100)], { folds: 3, test: 10, validation: 0.05, gap: 2 });
    expect(folds.map(({ part }) => stretches(part[0]))).toEqual([
      [[[0, 61]], [[63, 68]], [[70, 80]]],
      [[[0, 71]], [[73, 78]], [[80, 90]]],
      [[[0, 81]], [[83, 88]], [[90, 100]]],
    ]);
  });

  it("slides with as many training rows as the first fold has", () => {
    const folds = rollingOrigin([series(100)], { folds: 3, test: 0.1, train: "sliding" });
    expect(folds.map(({ part }) => stretches(part[0])[0])).toEqual([[[0, 60]], [[10, 70]], [[20, 80]]]);
  });

  it("trains on both sides of a block, purged by the gap", () => {
    const folds = rollingOrigin([series(100)], { folds: 4, both: true, validation: 10, gap: 3 });
    expect(folds.map(({ part }) => stretches(part[0]))).toEqual([
      [[[41, 100]], [[28, 38]], [[0, 25]]],
      [
        [
          [0, 9],
          [53, 100],
        ],
        [[12, 22]],
        [[25, 50]],
      ],
      [
        [
          [0, 34],
          [78, 100],
        ],
        [[37, 47]],
        [[50, 75]],
      ],
      [[[0, 59]], [[62, 72]], [[75, 100]]],
    ]);
  });

  it("cuts all series at the same instants on request", () => {
    const late = series(50, { entity: "late", time: Float64Array.from({ length: 50 }, (_, i) => (i + 50) * 1000) });
    const [first, second] = rollingOrigin([series(100), late], { folds: 2, test: 10, at: "instant", gapMs: 2000 });
    expect([stretches(first.part[0]), stretches(first.part[1])]).toEqual([
      [[[0, 68]], [[70, 78]], [[80, 90]]],
      [[[0, 18]], [[20, 28]], [[30, 40]]],
    ]);
    expect(second.part[1].lastIndexOf(3)).toBe(49);
    expect(second.summary.from).toEqual({ validation: "1970-01-01T00:01:20.000Z", test: "1970-01-01T00:01:30.000Z" });
  });

  it("keeps order and gaps, tests rows once, and ends with the data", () => {
    const options = fc.record({
      folds: fc.integer({ min: 2, max: 5 }),
      test: fc.oneof(fc.integer({ min: 2, max: 8 }), fc.double({ min: 0.05, max: 0.1, noNaN: true })),
      validation: fc.oneof(fc.integer({ min: 2, max: 8 }), fc.double({ min: 0.05, max: 0.1, noNaN: true })),
      gap: fc.integer({ min: 0, max: 4 }),
      train: fc.constantFrom("expanding" as const, "sliding" as const),
      at: fc.constantFrom("series" as const, "instant" as const),
    });
    fc.assert(
      fc.property(options, fc.array(fc.integer({ min: 70, max: 150 }), { minLength: 1, maxLength: 4 }), (made, rows) => {
        const list = rows.map((count, i) => series(count, { entity: `e${i}` }));
        if (made.at === "instant" && made.gap > 0) list.length = 1;
        const folds = rollingOrigin(list, { ...made, validation: Math.max(made.validation, made.at === "instant" ? 6 : 0) });
        const tested = list.map((one) => new Uint8Array(one.rows));
        for (const { part } of folds) {
          part.forEach((codes, s) => {
            const used = [...codes].filter((code) => code > 0);
            expect(used).toEqual([...used].sort());
            for (const code of [1, 2]) {
              const end = codes.lastIndexOf(code);
              const next = codes.indexOf(code + 1);
              if (end >= 0 && next >= 0) expect(next - end).toBeGreaterThan(made.gap);
            }
            codes.forEach((code, i) => {
              if (code === 3) tested[s][i]++;
            });
          });
        }
        for (const counts of tested) expect(Math.max(...counts)).toBeLessThanOrEqual(1);
        const longest = rows.indexOf(Math.max(...list.map((one) => one.rows)));
        expect(folds.at(-1)!.part[longest].at(-1)).toBe(3);
      }),
    );
  });

  it("covers everything once as test, with the gap on both sides, where training rows may follow", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 60, max: 200 }),
        fc.integer({ min: 2, max: 5 }),
        fc.integer({ min: 0, max: 3 }),
        (rows, n, gap) => {
          const folds = rollingOrigin([series(rows)], { folds: n, both: true, validation: 5, gap });
          const tested = new Uint8Array(rows);
          for (const { part, summary } of folds) {
            const [codes] = part;
            for (let last = -1, i = 0; i < rows; i++) {
              if (codes[i] === 3) tested[i]++;
              if (codes[i] === 0) continue;
              if (last >= 0 && codes[last] !== codes[i]) expect(i - last).toBe(gap + 1);
              last = i;
            }
            expect(summary.train + summary.validation + summary.test + summary.unused).toBe(rows);
          }
          expect(new Set(tested)).toEqual(new Set([1]));
        },
      ),
    );
  });

  it("keeps what is learned after the test block away from it by the embargo, in every series and over all", () => {
    const steps = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 60, maxLength: 90 });
    const both = fc.record({
      folds: fc.integer({ min: 2, max: 4 }),
      gapMs: fc.integer({ min: 1, max: 60 }),
      at: fc.constantFrom("series" as const, "instant" as const),
    });
    fc.assert(
      fc.property(fc.array(steps, { minLength: 1, maxLength: 3 }), both, (drawn, options) => {
        const list = drawn.map((lengths, i) => {
          let at = 0;
          return series(lengths.length, { entity: `e${i}`, time: Float64Array.from(lengths, (step) => (at += step)) });
        });
        for (const { part } of rollingOrigin(list, { ...options, both: true, validation: 0.2 })) {
          const timesOf = (code: number, s: number) => [...list[s].time!].filter((_, i) => part[s][i] === code);
          const pools =
            options.at === "series"
              ? list.map((_, s) => [1, 2, 3].map((code) => timesOf(code, s)))
              : [[1, 2, 3].map((code) => list.flatMap((_, s) => timesOf(code, s)))];
          for (const [train, validation, test] of pools) {
            for (const [one, other] of [
              [train, test],
              [validation, test],
              [train, validation],
            ]) {
              for (const a of one) for (const b of other) if (Math.abs(a - b) <= options.gapMs) throw new Error(`${a} and ${b}`);
            }
          }
        }
      }),
      { numRuns: 25 },
    );
  });
});

describe("k folds", () => {
  it("test every unit once, put none into two parts, and are drawn by the seed", () => {
    const sizes = fc.integer({ min: 6, max: 40 });
    fc.assert(
      fc.property(
        sizes,
        fc.integer({ min: 2, max: 5 }),
        fc.integer(),
        fc.boolean(),
        fc.boolean(),
        (count, folds, seed, byGroup, stratified) => {
          const list = many(count, (i) => ({ split: Array(3).fill(`g${i % 6}`) }));
          const made = kFold(list, { by: byGroup ? "group:g" : "entity", folds, seed, stratified, validation: 0.2 });
          const tested = new Map<string, number>();
          for (const { part } of made) {
            const owner = new Map<string, number>();
            part.forEach((codes, s) => {
              const unit = byGroup ? list[s].split![0] : list[s].entity;
              for (const code of codes) expect(code).toBe(owner.get(unit) ?? codes[0]);
              owner.set(unit, codes[0]);
            });
            expect(new Set(owner.values())).toEqual(new Set([1, 2, 3]));
            for (const [unit, code] of owner) if (code === 3) tested.set(unit, (tested.get(unit) ?? 0) + 1);
          }
          expect(tested.size).toBe(byGroup ? 6 : count);
          expect(new Set(tested.values())).toEqual(new Set([1]));
          expect(kFold(list, { by: byGroup ? "group:g" : "entity", folds, seed, stratified, validation: 0.2 })).toEqual(made);
        },
      ),
    );
  });

  it("give every part its share of each label, unless told otherwise", () => {
    const list = many(100, (i) => ({ labels: Array(3).fill(i % 10 === 0 ? "rare" : "common") }));
    const rare = (stratified: boolean) =>
      kFold(list, { by: "entity", folds: 5, seed: 2, stratified }).map(
        ({ part }) => part.filter((codes, s) => codes[0] === 3 && s % 10 === 0).length,
      );
    for (const count of rare(true)) expect([1, 2, 3]).toContain(count);
    expect(rare(true)).not.toEqual(rare(false));
    expect(rare(false).reduce((sum, count) => sum + count, 0)).toBe(10);
  });
});

describe("the statistics of a fold", () => {
  const record = (i: number, more = 0) => ({
    time: i * 60,
    unit: `u${i % 8}`,
    load: Math.sin(i) * 10 + more,
    heat: i % 7 ? i + more : null,
  });
  const rows = Array.from({ length: 160 }, (_, i) => record(i));
  const splits: SplitOptions[] = [
    { by: "time", folds: 3, fold: 1, test: 0.15 },
    { by: "time", folds: 3, fold: 2, test: 3, train: "sliding", gap: 1 },
    { by: "time", folds: 4, fold: 2, both: true, validation: 0.1, gap: 1 },
    { by: "time", folds: 3, fold: 3, test: 0.1, at: "instant" },
    { by: "entity", folds: 4, fold: 3, seed: 5 },
    { by: "entity", folds: 4, fold: 1, time: { train: 0.5, validation: 0.2, test: 0.3 } },
  ];

  it.each(splits)("do not change by a bit when every other row does: %j", (split) => {
    const options: DataOptions = {
      targetKind: "values",
      time: "time",
      entity: "unit",
      features: ["load", "heat"],
      target: "load",
      missing: { policy: "forwardFill", flag: true, sinceSeen: true },
      log: ["load"],
      difference: ["heat"],
      scale: "robust",
      split,
    };
    const made = prepare(tableFromRecords(rows), options);
    const training = new Set(made.series.flatMap(({ row, part }) => [...row].filter((_, i) => part[i] === 1)));
    expect(training.size).toBe(made.split.train);
    const perturbed = rows.map((_, i) => (training.has(i + 1) ? record(i) : record(i, 1000 + i)));
    const again = prepare(tableFromRecords(perturbed), options);
    expect(JSON.stringify(again.preprocessing)).toBe(JSON.stringify(made.preprocessing));
    const shifted = rows.map((_, i) => (training.has(i + 1) ? record(i, 1000 + i) : record(i)));
    const changed = prepare(tableFromRecords(shifted), options);
    expect(JSON.stringify(changed.preprocessing)).not.toBe(JSON.stringify(made.preprocessing));
  });
});

it("refuses folds that do not exist or leave a part empty", () => {
  const refused = (list: SplitSeries[], options: unknown, message: RegExp) =>
    expect(() => splitSeries(list, options as SplitOptions)).toThrow(message);
  refused([series(50)], { by: "time", folds: 3, fold: 0, test: 5 }, /OST_SPLIT.*no such fold.*fold 0 of 3/);
  refused([series(50)], { by: "time", folds: 3, fold: 4, test: 5 }, /OST_SPLIT.*no such fold/);
  refused([series(50)], { by: "time", folds: 1, fold: 1, test: 5 }, /OST_SPLIT.*at least 2 folds/);
  refused([series(50)], { by: "time", folds: 3, fold: 1 }, /OST_SPLIT.*size of the test block/);
  refused([series(50)], { by: "time", folds: 3, fold: 1, test: 1.5 }, /OST_SPLIT.*size of the test block/);
  refused([series(50)], { by: "time", folds: 3, fold: 1, test: 5, train: 0.7 }, /OST_SPLIT.*contradict.*train: 0\.7/);
  refused([series(50)], { by: "time", folds: 3, fold: 1, test: 20 }, /OST_SPLIT.*"train" has no rows/);
  refused(many(4), { by: "entity", folds: 5, fold: 1 }, /OST_SPLIT.*too few series.*at least 5/);
  refused(many(4), { by: "entity", folds: 2, fold: 1 }, /OST_SPLIT.*too few series/);
  refused(many(9), { by: "entity", folds: 3, fold: 1, validation: 2 }, /OST_SPLIT.*share for validation/);
  expect(() => rollingOrigin([series(50)], { folds: 0, test: 5 })).toThrow(/OST_SPLIT.*fold/);
  expect(() => kFold(many(9), { folds: 0, by: "entity" })).toThrow(/OST_SPLIT.*fold/);
});

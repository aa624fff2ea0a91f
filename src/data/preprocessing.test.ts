import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MISSING_POLICIES } from "./impute.js";
import { gridOf, Preprocessing } from "./preprocessing.js";
import type { PreprocessingOptions } from "./preprocessing-options.js";
import type { RawRecord } from "./record.js";
import { AGGREGATES } from "./resample.js";
import { SCALES } from "./scale.js";
import type { Series } from "./series.js";

const FEATURES = ["a", "b", "c"];

interface Case {
  series: Series;
  part: Uint8Array;
  options: PreprocessingOptions;
}

/** A series of irregular times with holes, random parts, and any combination of transforms; `causal` leaves out interpolation. */
const cases = ({ causal = true } = {}): fc.Arbitrary<Case> =>
  fc
    .record({
      policy: fc.constantFrom(...MISSING_POLICIES.filter((policy) => !causal || policy !== "interpolate")),
      limit: fc.option(fc.integer({ min: 1, max: 3 })),
      value: fc.option(fc.double({ min: -5, max: 5, noNaN: true })),
      flag: fc.boolean(),
      sinceSeen: fc.boolean(),
      scale: fc.constantFrom(...SCALES),
      log: fc.subarray(FEATURES),
      difference: fc.subarray(FEATURES),
      aggregate: fc.constantFrom(null, ...AGGREGATES),
      timed: fc.boolean(),
      rows: fc.array(
        fc.record({
          gapMs: fc.integer({ min: 1, max: 4000 }),
          values: fc.tuple(
            ...FEATURES.map(() =>
              fc.oneof({ weight: 4, arbitrary: fc.double({ min: -1e3, max: 1e3, noNaN: true }) }, fc.constant(NaN)),
            ),
          ),
          part: fc.integer({ min: 0, max: 3 }),
        }),
        { minLength: 1, maxLength: 40 },
      ),
    })
    .map(({ policy, limit, value, flag, sinceSeen, scale, log, difference, aggregate, timed, rows }) => {
      // Under `refuse` there are neither holes nor empty intervals.
      const refuse = policy === "refuse";
      let time = 1_700_000_000_123;
      const times = rows.map(({ gapMs }) => (time += refuse ? 1 + (gapMs % 900) : gapMs));
      const resample = timed && aggregate ? { everyMs: 1000, aggregate } : null;
      const series: Series = {
        entity: "x",
        rows: rows.length,
        row: Int32Array.from(rows, (_, i) => i + 1),
        time: timed ? Float64Array.from(times) : null,
        features: Float64Array.from(
          rows.flatMap(({ values }) => values.map((cell) => (refuse && Number.isNaN(cell) ? 0 : cell + 0))),
        ),
        target: null,
        labels: null,
        split: null,
      };
      const options: PreprocessingOptions = {
        missing: { policy, limit, value, flag, sinceSeen },
        scale,
        log,
        difference,
        resample,
        mode: "offline",
      };
      return { series, part: Uint8Array.from(rows, ({ part }) => part), options };
    });

/** The case with its parts in their order, as a split by time gives them. */
const inOrder = (one: Case): Case => ({ ...one, part: one.part.slice().sort() });

function prepared({ series, part, options }: Case): { preprocessing: Preprocessing; grid: Series; part: Uint8Array } {
  const roles = { time: series.time ? "t" : null, entity: null, features: FEATURES, target: [] };
  const grid = gridOf(series, { ...options, roles });
  const onGrid = part.subarray(0, grid.rows);
  return { preprocessing: Preprocessing.fit([grid], { ...options, roles, targetKind: "values" }, [onGrid]), grid, part: onGrid };
}

function recordOf(series: Series, i: number): RawRecord {
  const record: RawRecord = { t: series.time ? series.time[i] : "no time" };
  FEATURES.forEach((name, c) => {
    const value = series.features[i * FEATURES.length + c];
    record[name] = Number.isNaN(value) ? null : value;
  });
  return record;
}

/** All steps, flat, and how many had come out after each record. */
function stream(preprocessing: Preprocessing, series: Series): { x: Float32Array; time: number[]; after: number[] } {
  const state = preprocessing.initialState();
  const steps = [];
  const after: number[] = [];
  for (let i = 0; i < series.rows; i++) {
    steps.push(...preprocessing.push(recordOf(series, i), state));
    after.push(steps.length);
  }
  return { x: Float32Array.from(steps.flatMap(({ x }) => [...x])), time: steps.map(({ time }) => time), after };
}

const bits = (x: Float32Array) => [...new Uint32Array(x.slice().buffer)];

describe("laws of preprocessing", () => {
  it("records pushed one by one equal the batch pipeline bit for bit, with any transforms, holes and irregular times", () => {
    fc.assert(
      fc.property(cases(), (one) => {
        const { preprocessing, grid, part } = prepared(inOrder(one));
        const { x, time } = stream(preprocessing, one.series);
        expect(bits(x)).toEqual(bits(preprocessing.transform(grid, { part })));
        if (grid.time) expect(time).toEqual([...grid.time]);
      }),
      { numRuns: 400 },
    );
  });

  it("no change of the future changes an earlier step, for every causal transform", () => {
    fc.assert(
      fc.property(cases(), fc.nat(), fc.double({ min: -1e3, max: 1e3, noNaN: true }), (one, at, other) => {
        const { preprocessing, grid } = prepared(one);
        expect(preprocessing.lookAhead).toBe(0);
        const from = at % one.series.rows;
        const features = one.series.features.map((value, j) => (j >= from * FEATURES.length ? value * 0.5 + other : value));
        const changed = preprocessing.grid({ ...one.series, features });
        const known = (from === 0 ? 0 : stream(preprocessing, one.series).after[from - 1]) * preprocessing.featureNames.length;
        expect(bits(preprocessing.transform(changed).subarray(0, known))).toEqual(
          bits(preprocessing.transform(grid).subarray(0, known)),
        );
      }),
      { numRuns: 200 },
    );
  });

  it("no row outside training moves a statistic", () => {
    fc.assert(
      fc.property(cases({ causal: false }), fc.double({ min: -1e6, max: 1e6, noNaN: true }), (one, other) => {
        const { preprocessing, grid, part } = prepared(one);
        const changed = grid.features.map((value, j) => (part[Math.floor(j / FEATURES.length)] === 1 ? value : value + other));
        const refit = prepared({
          ...one,
          series: { ...grid, features: changed },
          part,
          options: { ...one.options, resample: null },
        });
        const fitted = (p: Preprocessing) => p.toJSON().transforms.filter(({ transform }) => transform !== "resample");
        expect(fitted(refit.preprocessing)).toEqual(fitted(preprocessing));
      }),
      { numRuns: 200 },
    );
  });

  it("a state restored from its bytes in the middle of a stream, into preprocessing read from JSON, goes on bit for bit", () => {
    fc.assert(
      fc.property(cases(), fc.nat(), (one, at) => {
        const { preprocessing } = prepared(one);
        const restored = Preprocessing.fromJSON(JSON.parse(JSON.stringify(preprocessing)));
        expect(restored.featureNames).toEqual(preprocessing.featureNames);
        const cut = at % one.series.rows;
        let state = preprocessing.initialState();
        let current = preprocessing;
        const steps: number[] = [];
        for (let i = 0; i < one.series.rows; i++) {
          if (i === cut) {
            state = new Float64Array(new Uint8Array(state.buffer).slice().buffer);
            current = restored;
          }
          for (const { x } of current.push(recordOf(one.series, i), state)) steps.push(...x);
        }
        expect(bits(Float32Array.from(steps))).toEqual(bits(stream(preprocessing, one.series).x));
      }),
      { numRuns: 200 },
    );
  });

  it("no row of a later part, wherever it lies, changes what an earlier part may read", () => {
    fc.assert(
      fc.property(
        cases({ causal: false }),
        fc.integer({ min: 2, max: 3 }),
        fc.double({ min: -1e3, max: 1e3, noNaN: true }),
        (one, later, other) => {
          const { preprocessing, grid, part } = prepared(one);
          const width = preprocessing.featureNames.length;
          const changed = grid.features.map((value, j) =>
            part[Math.floor(j / FEATURES.length)] >= later ? value + other : value,
          );
          const before = preprocessing.transform(grid, { part });
          const after = preprocessing.transform({ ...grid, features: changed }, { part });
          for (let i = 0; i < grid.rows; i++) {
            if (part[i] === 0 || part[i] >= later) continue;
            // Its windows read back as far as no later part intervenes.
            for (let j = i; j >= 0 && part[j] < later; j--) {
              const [from, to] = [j * width, (j + 1) * width];
              expect(bits(after.subarray(from, to))).toEqual(bits(before.subarray(from, to)));
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it("interpolation fills no step from a later part", () => {
    fc.assert(
      fc.property(cases({ causal: false }), fc.double({ min: -1e3, max: 1e3, noNaN: true }), (one, other) => {
        const sorted = {
          ...one,
          part: one.part.slice().sort(),
          options: { ...one.options, missing: { policy: "interpolate" as const, flag: true } },
        };
        const { preprocessing, grid, part } = prepared(sorted);
        const later = part.findIndex((code) => code > 1);
        fc.pre(later > 0);
        const changed = grid.features.map((value, j) => (j >= later * FEATURES.length ? value + other : value));
        const before = later * preprocessing.featureNames.length;
        expect(bits(preprocessing.transform({ ...grid, features: changed }, { part }).subarray(0, before))).toEqual(
          bits(preprocessing.transform(grid, { part }).subarray(0, before)),
        );
      }),
    );
  });
});

function simple(
  values: (number | null)[],
  options: PreprocessingOptions,
  everyMs = 1000,
): { preprocessing: Preprocessing; grid: Series; raw: Series } {
  const raw: Series = {
    entity: "x",
    rows: values.length,
    row: Int32Array.from(values, (_, i) => i + 1),
    time: Float64Array.from(values, (_, i) => i * everyMs),
    features: Float64Array.from(values, (value) => value ?? NaN),
    target: Float64Array.from(values, (value) => value ?? NaN),
    labels: null,
    split: null,
  };
  const roles = { time: "t", entity: null, features: ["a"], target: ["a"] };
  const grid = gridOf(raw, { ...options, roles });
  const part = new Uint8Array(grid.rows).fill(1);
  return { preprocessing: Preprocessing.fit([grid], { ...options, roles, targetKind: "values" }, [part]), grid, raw };
}

const columns = ({ preprocessing, grid }: { preprocessing: Preprocessing; grid: Series }) => {
  const x = preprocessing.transform(grid);
  const width = preprocessing.featureNames.length;
  return Object.fromEntries(
    preprocessing.featureNames.map((name, c) => [name, Array.from({ length: grid.rows }, (_, i) => x[i * width + c])]),
  );
};

describe("missing values", () => {
  const scale = "none" as const;

  it("are filled forward up to the limit, then and before the first by the training mean, and flagged", () => {
    const missing = { policy: "forwardFill" as const, limit: 2, flag: true, sinceSeen: true };
    const made = columns(simple([null, 2, null, null, null, 6], { missing, scale }));
    expect(made.a).toEqual([4, 2, 2, 2, 4, 6]);
    expect(made["a.missing"]).toEqual([1, 0, 1, 1, 1, 0]);
    expect(made["a.sinceSeen"]).toEqual([0, 0, 1, 2, 3, 0].map((seconds) => Math.fround(Math.log1p(seconds))));
  });

  it("are filled by a value, by the mean, or along the line in time", () => {
    expect(columns(simple([null, 2, 4], { missing: { policy: "value", value: -1 }, scale })).a).toEqual([-1, 2, 4]);
    expect(columns(simple([null, 2, 4], { missing: "value", scale })).a).toEqual([3, 2, 4]);
    expect(columns(simple([null, 0, null, null, 9, null], { missing: "interpolate", scale, mode: "offline" })).a).toEqual([
      0, 0, 3, 6, 9, 9,
    ]);
  });

  it("may be all there is: the column is 0 and its flag 1", () => {
    const made = columns(simple([null, null], { missing: { policy: "forwardFill", flag: true } }));
    expect(made).toEqual({ a: [0, 0], "a.missing": [1, 1] });
  });

  it("are refused in a stream by default, and interpolated only offline and never in a stream", () => {
    const { preprocessing } = simple([1, 2], {});
    expect(() => preprocessing.push({ t: 0, a: null }, preprocessing.initialState())).toThrow(/OST_MISSING.*"a"/);
    expect(() => simple([1, 2], { missing: "interpolate" })).toThrow(/OST_CAUSAL/);
    const offline = simple([1, 2], { missing: "interpolate", mode: "offline" }).preprocessing;
    expect(offline.lookAhead).toBe(Number.POSITIVE_INFINITY);
    expect(() => offline.push({ t: 0, a: 1 }, offline.initialState())).toThrow(/OST_CAUSAL/);
  });
});

describe("transforms", () => {
  it("take the signed logarithm and the change, and say so in the name", () => {
    const made = columns(simple([-3, 3, 10], { log: ["a"], difference: ["a"], scale: "none" }));
    const log = [-Math.log1p(3), Math.log1p(3), Math.log1p(10)];
    expect(made["a.log.difference"]).toEqual([0, log[1] - log[0], log[2] - log[1]].map(Math.fround));
  });

  it("aggregate the complete intervals of the grid, at their ends", () => {
    const values = [1, 3, null, 5, 7, 9, 11];
    const grid = (aggregate: "mean" | "last" | "sum" | "count") =>
      columns(simple(values, { resample: { everyMs: 2000, aggregate }, missing: "forwardFill", scale: "none" })).a;
    expect(grid("mean")).toEqual([2, 5, 8]);
    expect(grid("last")).toEqual([3, 5, 9]);
    expect(grid("sum")).toEqual([4, 5, 16]);
    expect(grid("count")).toEqual([2, 1, 2]);
    const { grid: series } = simple(values, { resample: { everyMs: 2000 }, missing: "forwardFill" });
    expect([[...series.time!], [...series.row], [...series.target!]]).toEqual([
      [2000, 4000, 6000],
      [2, 4, 6],
      [2, 5, 8],
    ]);
  });

  it("put out a row for each silent interval, which a mean fills as missing, but refuse a silence without end", () => {
    const options = {
      resample: { everyMs: 1000, maxGap: 10 },
      missing: { policy: "forwardFill" as const, flag: true },
      scale: "none" as const,
    };
    const { preprocessing } = simple([1, 2, 3], options);
    const state = preprocessing.initialState();
    expect(preprocessing.push({ t: 0, a: 5 }, state)).toEqual([]);
    const steps = preprocessing.push({ t: "1970-01-01T00:00:03Z", a: 6 }, state);
    expect(steps.map(({ x, time }) => [time, ...x])).toEqual([
      [1000, 5, 0],
      [2000, 5, 1],
      [3000, 5, 1],
    ]);
    const before = state.slice();
    expect(() => preprocessing.push({ t: 3_000_000, a: 6 }, state)).toThrow(/OST_RECORD.*silence/);
    expect(state).toEqual(before);
  });

  it("never put out rows without end, with however fine a grid or long a silence permitted", () => {
    expect(() => simple([1, 2], { resample: { everyMs: 1000, maxGap: 100_001 } })).toThrow(/OST_RANGE.*100000/);
    const { preprocessing } = simple([1, 2], { resample: { everyMs: 1000, maxGap: 100_000 }, missing: "forwardFill" });
    const state = preprocessing.initialState();
    preprocessing.push({ t: 0, a: 5 }, state);
    expect(() => preprocessing.push({ t: "2026-01-01T00:00:00Z", a: 6 }, state)).toThrow(/OST_RECORD.*100000 empty intervals/);
    const json = JSON.parse(JSON.stringify(preprocessing));
    // Beyond 2^53 intervals a number plus one is the same number.
    json.transforms[0].everyMs = 1e-5;
    const fine = Preprocessing.fromJSON(json);
    const other = fine.initialState();
    fine.push({ t: 1_700_000_000_000, a: 5 }, other);
    const made = fine.push({ t: 1_700_000_000_000.5, a: 6 }, other).length;
    expect(Math.abs(made - 50_000)).toBeLessThan(100);
  });

  it("bring a grid row that holds rows of two parts into the later one", () => {
    const { raw } = simple([1, 2, 3, 4, 5, 6, 7], {});
    const split = ["test", "train", "train", "train", "train", "validation", "validation"];
    const roles = { time: "t", entity: null, features: ["a"], target: ["a"] };
    expect(gridOf({ ...raw, split }, { roles, resample: { everyMs: 2000 } }).split).toEqual(["test", "train", "validation"]);
  });
});

describe("a stream", () => {
  it("is left as it was by a record that is refused", () => {
    const { preprocessing } = simple([1, 2, 3], { difference: ["a"] });
    const state = preprocessing.initialState();
    preprocessing.push({ t: 5, a: 1 }, state);
    const before = state.slice();
    for (const [record, code] of [
      [{ t: 5, a: 2 }, /OST_ORDER.*does not come after/],
      [{ t: 4, a: 2 }, /OST_ORDER.*does not come after/],
      [{ t: 6 }, /OST_RECORD/],
      [{ t: 6, a: null }, /OST_MISSING/],
      [{ t: 6, a: 1e300 }, /OST_RECORD.*"a" is not a number/],
    ] as const) {
      expect(() => preprocessing.push(record as unknown as RawRecord, state)).toThrow(code);
      expect(state).toEqual(before);
    }
    expect(() => preprocessing.push({ t: 6, a: 1 }, new Float64Array(1))).toThrow(/OST_SHAPE/);
    const row = { time: Number.NaN, values: Float64Array.of(1) };
    expect(() => preprocessing.pushRow(row, preprocessing.initialState())).toThrow(/OST_ORDER.*got NaN/);
  });

  it("cannot be disturbed by its neighbour: two interleaved states equal two streams", () => {
    const { preprocessing } = simple([1, 5, 3], { missing: "forwardFill", difference: ["a"] });
    const push = (state: Float64Array, t: number, a: number | null) => [...preprocessing.push({ t, a }, state)[0].x];
    const [one, two] = [preprocessing.initialState(), preprocessing.initialState()];
    const mixed = [push(one, 1, 1), push(two, 1, 9), push(one, 2, null), push(two, 2, 7), push(one, 3, 4), push(two, 3, null)];
    const alone = preprocessing.initialState();
    expect([push(alone, 1, 1), push(alone, 2, null), push(alone, 3, 4)]).toEqual([mixed[0], mixed[2], mixed[4]]);
  });
});

describe("targets", () => {
  it("are scaled by the training values and scaled back, and stay missing where they are missing", () => {
    const { preprocessing } = simple([1, null, 3, 5], { missing: "forwardFill" });
    const scaled = preprocessing.scaleTarget([1, NaN, 3, 5]);
    expect([...scaled].map((value) => Math.round(value * 1e4) / 1e4)).toEqual([-1.2247, NaN, 0, 1.2247]);
    expect([...preprocessing.unscaleTarget(scaled)][3]).toBeCloseTo(5, 5);
  });

  it("of classes are a sorted vocabulary of the training labels", () => {
    const labelled = (labels: string[], part: number[]) => {
      const series = { ...simple([1, 2, 3, 4].slice(0, labels.length), {}).raw, target: null, labels };
      const roles = { time: "t", entity: null, features: ["a"], target: ["y"] };
      return Preprocessing.fit([series], { roles, targetKind: "tags" }, [Uint8Array.from(part)]);
    };
    const preprocessing = labelled(["10", "9", "", "11"], [1, 1, 1, 2]);
    expect(preprocessing.classes).toEqual(["9", "10"]);
    expect([preprocessing.classIndex("10"), preprocessing.classIndex("")]).toEqual([1, -1]);
    expect(() => preprocessing.classIndex("11")).toThrow(/OST_TARGET.*"11" does not occur in training/);
    expect(() => labelled(["a", "a", "b"], [1, 1, 3])).toThrow(/OST_TARGET.*same label/);
    expect(() => labelled(["", "", "b"], [1, 1, 3])).toThrow(/OST_TARGET.*no training row/);
  });
});

it("refuses frozen JSON that is not its own", () => {
  const { preprocessing } = simple([1, 2, 3], { log: ["a"], resample: { everyMs: 500 }, missing: "forwardFill" });
  const good = JSON.parse(JSON.stringify(preprocessing));
  expect(Preprocessing.fromJSON(good).toJSON()).toEqual(good);
  const spoil = (change: (json: typeof good) => void) => () => {
    const json = structuredClone(good);
    change(json);
    return Preprocessing.fromJSON(json);
  };
  const changes: ((json: typeof good) => void)[] = [
    (json) => delete json.roles,
    (json) => (json.roles.features = [1]),
    (json) => (json.roles.time = 3),
    (json) => (json.targetKind = "values?"),
    (json) => (json.transforms = null),
    (json) => (json.transforms[0].everyMs = -1),
    (json) => (json.transforms[0].maxGap = 1e300),
    (json) => (json.transforms[1].fill = [null]),
    (json) => (json.transforms[1].fill = []),
    (json) => (json.transforms[1].limit = "2"),
    (json) => (json.transforms[2].columns = ["z"]),
    (json) => (json.transforms[3].scale = [0]),
    (json) => (json.transforms[3].transform = "eval"),
    (json) => json.transforms.push(json.transforms[1]),
    (json) => json.transforms.reverse(),
    (json) => (json.targetScaler = null),
    (json) => (json.classes = "ab"),
  ];
  for (const change of changes) expect(spoil(change), String(change)).toThrow(/OST_MODEL_FILE/);
  for (const json of [null, [], 3, "x"]) expect(() => Preprocessing.fromJSON(json)).toThrow(/OST_MODEL_FILE/);
});

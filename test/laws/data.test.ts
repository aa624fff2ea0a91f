/**
 * @file Laws of preprocessing as a whole, with every option at random: a file and a stream give the same bits, nothing of the future comes
 * through, nothing is fitted on more than training rows, and preparing on disk is preparing in memory.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import type { OstinatoError } from "../../src/core/index.js";
import { type Rng, seed } from "../../src/core/rng.js";
import { deriveColumns } from "../../src/data/derive.js";
import { prepareOnDisk } from "../../src/data/disk/prepare-on-disk.js";
import {
  applyPreprocessing,
  Preprocessing,
  partCode,
  type RawRecord,
  type Series,
  type TableChunk,
  tableFromRecords,
  toSeries,
} from "../../src/data/index.js";
import { type DataOptions, derivedOf, type PreparedData, type PreparedSeries, prepare, rolesOf } from "../../src/data/prepare.js";
import { forwardStretches } from "../../src/data/preprocessing.js";
import { readChunks, readTable } from "../../src/data/read/index.js";
import { sliceSeries } from "../../src/data/series.js";
import { openModel, probabilities, toStream } from "../../src/model/index.js";
import { type ExperimentConfigInput, evaluationBatches, parseConfig, runExperiment } from "../../src/tasks/index.js";

const EVENTS = ["open", "close", "Read", "écrire", "a,b"];
const WORDS = ["the", "pump", "failed", "température", "3.5", "don't", "!", "日本"];
const TOKENIZER = {
  model: { type: "WordLevel", vocab: { "[UNK]": 0, the: 1, pump: 2, failed: 3, "!": 4 }, unk_token: "[UNK]" },
  pre_tokenizer: { type: "Whitespace" },
};
/** The columns whose cells stand for themselves. */
const TEXT = ["machine", "user", "event", "line", "note", "state", "kind", "part", "plant"];

/** What becomes of the raw records: the options of a configuration, and the kind of data they are for. */
interface Case {
  number: number;
  rows: number;
  machines: number;
  missing: number;
  options: DataOptions;
}

function textOf(rng: Rng): string {
  const length = rng.integer(5);
  return Array.from({ length }, () => WORDS[rng.integer(WORDS.length)]).join(rng.uniform() < 0.5 ? " " : "  ");
}

/** Records of machines in any mixture. Times increase over all; `rank`, `kind` and `plant` are constant within a machine. */
function recordsOf({
  number,
  rows,
  machines,
  missing,
  blanks = true,
}: Omit<Case, "options"> & { blanks?: boolean }): RawRecord[] {
  const rng = seed(number);
  const sometimes = (value: number | string) => (rng.uniform() < missing ? null : value);
  let clock = 1.6e12;
  return Array.from({ length: rows }, (_, i) => {
    // The first rows go round, so that every machine has some.
    const m = i < 4 * machines ? i % machines : rng.integer(machines);
    clock += 1 + rng.integer(rng.uniform() < 0.1 ? 90_000 : 4000);
    return {
      time: i % 2 ? clock : new Date(clock).toISOString(),
      // Blanks around a cell are none of its name, in a file as in a record.
      machine: blanks && i % 9 === 8 ? ` m${m} ` : `m${m}`,
      user: `u${rng.integer(2)}`,
      a: sometimes(Number((rng.normal() * 10).toFixed(3))),
      b: sometimes(rng.integer(4) - 1),
      c: sometimes(Number(Math.exp(8 * rng.uniform()).toPrecision(6))),
      plan: rng.integer(50),
      rank: m,
      event: rng.uniform() < 0.1 ? null : EVENTS[rng.integer(EVENTS.length)],
      line: `unit ${rng.integer(3)} ${rng.uniform() < 0.5 ? "started" : "stopped"} after ${rng.integer(1000)} ms`,
      note: rng.uniform() < 0.15 ? [null, " ", "\t"][rng.integer(3)] : textOf(rng),
      state: i < 4 * machines ? ["idle", "busy"][Math.floor(i / machines) % 2] : ["idle", "busy"][rng.integer(2)],
      kind: m % 2 ? "odd" : "even",
      part: ["train", "validation", "test", ""][
        [0, 0, 0, 1, 2, 3][i < 4 * machines ? [0, 3, 4, 0][Math.floor(i / machines)] : rng.integer(6)]
      ],
      plant: `p${m % 4}`,
    };
  });
}

const tableOf = (records: readonly RawRecord[]) => tableFromRecords(records as Record<string, unknown>[], { text: TEXT });

const pick = <T>(...values: T[]) => fc.constantFrom(...values);
const some = <T>(...values: T[]) => fc.subarray(values);
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

const encoding = fc.record({ as: pick("oneHot", "embedding"), width: pick(null, 3) }) as fc.Arbitrary<{
  as: "oneHot" | "embedding";
  width: number | null;
}>;
const markers = fc.record({ begin: fc.boolean(), end: fc.boolean() });
const tokenizer = fc.oneof(
  fc.record({ kind: fc.constant("characters" as const), unit: pick("codePoint" as const, "grapheme" as const), markers }),
  fc.record({ kind: fc.constant("words" as const), lowerCase: fc.boolean(), minCount: pick(1, 3), markers }),
  fc.record({ kind: fc.constant("bytePair" as const), maxSize: pick(300, 280), markers }),
  fc.constant({ kind: "tokenizerJson" as const, json: TOKENIZER }),
);
const categoriesOf = fc.record(
  {
    event: fc.tuple(fc.record({ kind: fc.constant("vocabulary" as const), minCount: pick(1, 4) }), encoding),
    line: fc.tuple(fc.constant({ kind: "templates" as const }), encoding),
    note: fc.tuple(tokenizer, encoding),
  },
  { requiredKeys: [] },
);

/** The cases are drawn alike in every run: what they cover is counted, and a run that covered nothing would prove nothing. */
const DRAWN = 41;

/** Every option at random; those that exclude each other are made to fit. */
const cases: fc.Arbitrary<Case> = fc
  .record({
    number: fc.nat(1e6),
    rows: fc.integer({ min: 60, max: 140 }),
    machines: fc.integer({ min: 4, max: 6 }),
    timed: fc.boolean(),
    single: fc.boolean(),
    targetKind: pick("values" as const, "tags" as const, "class" as const),
    by: pick("time", "entity", "column", "group"),
    gap: pick(0, 1),
    features: some("a", "b", "c", "rank"),
    categories: categoriesOf,
    policy: pick("refuse" as const, "forwardFill" as const, "value" as const, "interpolate" as const),
    limit: pick(null, 1, 2),
    value: pick(null, -7),
    flag: fc.boolean(),
    sinceSeen: fc.boolean(),
    scale: pick("standard" as const, "robust" as const, "minMax" as const, "none" as const),
    perEntity: fc.boolean(),
    log: some("a", "c"),
    difference: some("a", "b", "c"),
    counts: some("a", "b", "event", "line", "note"),
    calendar: maybe(
      fc.record({
        parts: fc.subarray(["minuteOfHour", "hourOfDay", "dayOfWeek", "dayOfMonth", "dayOfYear", "isWeekend"] as const, {
          minLength: 1,
        }),
        zone: pick("UTC", "Europe/Berlin"),
      }),
    ),
    timeDelta: maybe(fc.record({ bins: pick(0, 2, 5), firstEdge: pick(0.5, 2) })),
    position: fc.boolean(),
    resample: maybe(
      fc.record({
        everyMs: pick(5000, 20_000, 2500.5),
        maxGap: fc.constant(5000),
        aggregate: pick("mean" as const, "last" as const, "sum" as const, "count" as const),
      }),
    ),
    sessions: maybe(fc.record({ by: pick(null, ["machine", "user"]), idleMs: pick(null, 0, 40_000), maxSteps: pick(null, 7) })),
    known: maybe(pick(1, 3)),
    hide: fc.boolean(),
  })
  .map((drawn): Case => {
    const { number, rows, targetKind, policy, limit, value, flag, sinceSeen, scale } = drawn;
    const whole = targetKind === "class";
    const entity = drawn.single && !whole && drawn.by !== "entity" && drawn.by !== "group" ? null : "machine";
    const time = drawn.timed ? "time" : null;
    const resample = time ? drawn.resample : undefined;
    const categories = resample
      ? {}
      : (Object.fromEntries(
          Object.entries(drawn.categories).flatMap(([name, parts]) =>
            parts && !(name === "note" && targetKind === "values") ? [[name, Object.assign({}, ...parts)]] : [],
          ),
        ) as DataOptions["categories"]);
    const texts = Object.keys(categories as object);
    const sessions =
      drawn.sessions && entity !== null ? { ...drawn.sessions, idleMs: time ? drawn.sessions.idleMs : null } : undefined;
    const refuses = policy === "refuse";
    const known = drawn.known !== undefined && !(resample && !refuses) ? { columns: ["plan"], steps: drawn.known } : undefined;
    const hides = drawn.hide && !refuses;
    const needsOne = hides || (drawn.features.length + texts.length === 0 && !known);
    const features = needsOne && !drawn.features.includes("a") ? ["a", ...drawn.features] : drawn.features;
    const shares = { train: 0.6, validation: 0.2, test: 0.2 };
    const by = whole && (drawn.by === "time" || drawn.by === "column") ? "entity" : drawn.by;
    const split: DataOptions["split"] =
      by === "time"
        ? { by, ...shares, gap: drawn.gap }
        : by === "column"
          ? { by: "column:part" }
          : by === "group"
            ? { by: "group:plant", ...shares, stratified: false }
            : { by: "entity", ...shares, stratified: false };
    const has = (name: string) => features.includes(name) || texts.includes(name);
    return {
      number,
      rows,
      machines: drawn.machines,
      missing: refuses ? 0 : 0.2,
      options: {
        targetKind,
        time,
        entity,
        features,
        target: targetKind === "values" ? ["a", "plan"] : targetKind === "tags" ? "state" : "kind",
        split,
        ...(texts.length > 0 && { categories }),
        missing: refuses ? "refuse" : { policy, limit, value, flag, sinceSeen },
        ...(policy === "interpolate" && { mode: "offline" as const }),
        scale,
        perEntity: drawn.perEntity && !sessions,
        log: drawn.log.filter(has),
        difference: drawn.difference.filter(has),
        counts: drawn.counts.filter(has),
        calendar: time ? drawn.calendar : undefined,
        timeDelta: time ? drawn.timeDelta : undefined,
        position: drawn.position,
        ...(resample && !refuses && { resample }),
        sessions,
        known,
        ...(entity && features.includes("rank") && { static: ["rank"] }),
        ...(hides && { hide: [["a"]] }),
      },
    };
  });

/** Prepares, unless the data happen to be too few for their split or have one class only in training. */
function prepared({ options, ...data }: Case): { records: RawRecord[]; made: PreparedData<PreparedSeries> } {
  const records = recordsOf(data);
  return { records, made: unlessTooFew(() => prepare(tableOf(records), options)) };
}

function unlessTooFew<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    const { code, message } = error as OstinatoError;
    fc.pre(!(code === "OST_SPLIT" && /has no rows|too few/.test(message)));
    fc.pre(!(code === "OST_TARGET" && /same label|no training row/.test(message)));
    fc.pre(!(code === "OST_RANGE" && /complete interval/.test(message)));
    throw error;
  }
}

/** The raw series of a table with the columns that are made of others. */
function rawSeries(records: readonly RawRecord[], options: DataOptions): Series[] {
  const roles = rolesOf(options);
  const table = deriveColumns(tableOf(records), { time: roles.time, entity: options.entity ?? null }, derivedOf(options));
  return toSeries(table, roles, { target: options.targetKind === "values" ? "values" : "label" });
}

/** The records of a series as a device sends them, with what is known ahead. */
function pushedRecords(records: readonly RawRecord[], { row }: Pick<Series, "row">, { known }: DataOptions): RawRecord[] {
  return Array.from(row, (place, k) => {
    const record = { ...records[place - 1] };
    for (const column of known?.columns ?? []) {
      const later = row[Math.min(k + (known?.steps ?? 0), row.length - 1)];
      record[`${column}.ahead`] = records[later - 1][column];
    }
    return record;
  });
}

const bits = (values: ArrayLike<number>) => Buffer.from(Float32Array.from(values).buffer).toString("hex");
const bits64 = (values: ArrayLike<number>) => Buffer.from(Float64Array.from(values).buffer).toString("hex");
const again = (preprocessing: Preprocessing) => Preprocessing.fromJSON(JSON.parse(JSON.stringify(preprocessing)));

describe("a file and a stream", () => {
  it("give the same bits with every option, also restored at any record, also from the frozen file", () => {
    let [steps, refused] = [0, 0];
    fc.assert(
      fc.property(cases, fc.nat(1000), (one, stop) => {
        const { records, made } = prepared(one);
        const frozen = again(made.preprocessing);
        expect(JSON.stringify(frozen)).toBe(JSON.stringify(made.preprocessing));
        const applied = applyPreprocessing(tableOf(records), frozen);
        const byName = new Map(applied.series.map((series) => [series.entity, series]));
        for (const raw of rawSeries(records, one.options)) {
          const pushed = pushedRecords(records, raw, one.options);
          if (frozen.lookAhead > 0) {
            expect(() => frozen.push(pushed[0], frozen.initialState())).toThrow(/OST_CAUSAL/);
            refused++;
            continue;
          }
          let state = frozen.initialState();
          const got = pushed.flatMap((record, i) => {
            // A copied state goes on as the one it is a copy of, whatever becomes of that.
            if (i === stop % pushed.length) {
              const copy = state.slice();
              made.preprocessing.push(record, state);
              state = copy;
            }
            return (i % 2 ? frozen : made.preprocessing).push(record, state);
          });
          const series = byName.get(raw.entity);
          expect(got.length).toBe(series?.length ?? 0);
          expect(bits(got.flatMap(({ x }) => [...x]))).toBe(series ? bits(series.x) : "");
          expect(got.map(({ time }) => time)).toEqual(series?.time ? [...series.time] : got.map(() => Number.NaN));
          steps += got.length;
        }
        expect(applied.series.length + (applied.empty?.series ?? 0)).toBe(rawSeries(records, one.options).length);
      }),
      { numRuns: 50, seed: DRAWN },
    );
    expect(steps).toBeGreaterThan(2000);
    expect(refused).toBeGreaterThan(5);
  });

  it("give the same bits within a prepared split, where memory starts afresh behind rows of a later part", () => {
    let [restarts, copies] = [0, 0];
    fc.assert(
      fc.property(cases, (one) => {
        fc.pre(!one.options.resample && one.options.time !== null);
        const { records, made } = prepared(one);
        const { preprocessing } = made;
        fc.pre(preprocessing.lookAhead === 0);
        const width = preprocessing.featureNames.length;
        const raw = new Map(rawSeries(records, one.options).map((series) => [series.entity, series]));
        for (const series of made.series) {
          // A training copy is its original on a machine that does not offer the hidden column.
          const hidden: RawRecord = series.copy ? { a: null } : {};
          const rows = raw.get(series.copy ? series.entity.replace(/ without a$/, "") : series.entity) as Series;
          const sent = pushedRecords(records, rows, one.options).map((record) => ({ ...record, ...hidden }));
          copies += Number(series.copy);
          const stretches = forwardStretches(series.part, series.length);
          restarts += stretches.length - 1;
          const places = series.row.subarray(0, series.length);
          for (const [from, to] of stretches) {
            const state = preprocessing.initialState();
            const mine = new Set(places.slice(from, to));
            const got = sent.filter((_, k) => mine.has(rows.row[k])).flatMap((record) => preprocessing.push(record, state));
            expect(bits(got.flatMap(({ x }) => [...x]))).toBe(bits(series.x.subarray(from * width, to * width)));
          }
        }
      }),
      { numRuns: 40, seed: DRAWN },
    );
    expect(restarts).toBeGreaterThan(5);
    expect(copies).toBeGreaterThan(3);
  });
});

/** The rows from `from` on, changed in every input there is. */
function futureChanged(series: Series, from: number, rng: Rng, refuses: boolean): Series {
  const width = series.features.length / series.rows;
  const features = series.features.map((value, i) =>
    i < from * width ? value : !refuses && rng.uniform() < 0.3 ? Number.NaN : 1e4 * rng.normal(),
  );
  const texts = series.texts?.map((cells) =>
    cells.map((cell, i) => (i < from ? cell : ["", "unseen", ...EVENTS, textOf(rng)][rng.integer(8)])),
  );
  return { ...series, features, ...(texts && { texts }) };
}

describe("nothing of the future comes through", () => {
  it("changing or removing what follows a row changes no step up to it", () => {
    let compared = 0;
    fc.assert(
      fc.property(cases, fc.nat(1000), (one, place) => {
        fc.pre(one.options.missing === "refuse" || (one.options.missing as { policy: string }).policy !== "interpolate");
        const { records, made } = prepared(one);
        const { preprocessing } = made;
        const steps = (series: Series) => preprocessing.transform(preprocessing.grid(series));
        for (const raw of rawSeries(records, one.options)) {
          const to = 1 + (place % raw.rows);
          const short = steps(sliceSeries(raw, 0, to));
          const other = futureChanged(raw, to, seed(place), one.options.missing === "refuse");
          for (const long of [steps(raw), steps(other)]) expect(bits(long.subarray(0, short.length))).toBe(bits(short));
          compared += short.length;
        }
      }),
      { numRuns: 35, seed: DRAWN },
    );
    expect(compared).toBeGreaterThan(5000);
  });

  it("changing rows outside training changes no byte that was fitted, and the parts no more", () => {
    let changed = 0;
    fc.assert(
      fc.property(cases, fc.nat(1000), (one, number) => {
        const { records, made } = prepared(one);
        const { targetKind, missing, split } = one.options;
        const train = partCode("train");
        const used = new Set<number>();
        const raw = new Map(rawSeries(records, one.options).map((series) => [series.entity, series]));
        for (const series of made.series.filter(({ copy }) => !copy)) {
          const rows = raw.get(series.entity) as Series;
          const trained = series.row.subarray(0, series.length).filter((_, i) => series.part[i] === train);
          if (one.options.resample) for (const place of rows.row) if (place <= Math.max(...trained)) used.add(place - 1);
          for (const place of trained) used.add(place - 1);
        }
        const rng = seed(number);
        const hole = missing !== "refuse" && rng.uniform() < 0.5;
        const other = records.map((record, i) => {
          if (used.has(i)) return record;
          changed++;
          return {
            ...record,
            a: hole && i % 3 === 0 ? null : 1e5 * rng.normal(),
            b: rng.integer(9),
            c: hole ? null : 1e9 * rng.uniform(),
            event: ["never seen before", null, "open"][rng.integer(3)],
            line: `other words ${rng.integer(9)}`,
            note: ["\u{1f600} unseen", "", "the the the", null][rng.integer(4)],
            ...(targetKind === "tags" && { state: record.state === "idle" ? "busy" : "idle" }),
          } as RawRecord;
        });
        const remade = unlessTooFew(() => prepare(tableOf(other), one.options));
        expect(JSON.stringify(remade.preprocessing)).toBe(JSON.stringify(made.preprocessing));
        if (!one.options.categories?.["note"]) expect(remade.split).toEqual(made.split);
        expect(split.by).toBe(one.options.split.by);
      }),
      { numRuns: 45, seed: DRAWN },
    );
    expect(changed).toBeGreaterThan(500);
  });
});

describe("a later part", () => {
  it("reaches no step of an earlier one, also where gaps are interpolated", () => {
    let [compared, lines] = [0, 0];
    fc.assert(
      fc.property(cases, pick("validation" as const, "test" as const), fc.nat(1000), (one, from, number) => {
        const { split, resample, missing } = one.options;
        // On a grid a row of one part may lie in an interval of another.
        fc.pre(split.by !== "column:part" || !resample);
        const { records, made } = prepared(one);
        const first = partCode(from);
        const later = new Set<number>();
        const raw = new Map(rawSeries(records, one.options).map((series) => [series.entity, series]));
        for (const series of made.series.filter(({ copy }) => !copy)) {
          const places = series.row.subarray(0, series.length);
          if (!resample) {
            for (const [i, place] of places.entries()) if (series.part[i] >= first) later.add(place - 1);
            continue;
          }
          // An empty interval of a later part names the row before it, which is an earlier one's.
          const earlier = Math.max(0, ...places.filter((_, i) => series.part[i] < first));
          for (const place of (raw.get(series.entity) as Series).row) if (place > earlier) later.add(place - 1);
        }
        const rng = seed(number);
        const hole = missing !== "refuse";
        const other = records.map((record, i): RawRecord => {
          if (!later.has(i)) return record;
          const a = hole && rng.uniform() < 0.3 ? null : 1e4 * rng.normal();
          return { ...record, a, b: rng.integer(9), c: 1e6 * rng.uniform(), event: "open", line: "new words", note: textOf(rng) };
        });
        const remade = unlessTooFew(() => prepare(tableOf(other), one.options));
        const earlierSteps = ({ series, preprocessing }: typeof made) =>
          series.map(({ x, part, length }) => {
            const width = preprocessing.featureNames.length;
            const steps = Array.from({ length }, (_, i) => i).filter((i) => part[i] > 0 && part[i] < first);
            compared += steps.length;
            return steps.map((i) => bits(x.subarray(i * width, (i + 1) * width)));
          });
        expect(earlierSteps(remade)).toEqual(earlierSteps(made));
        lines += Number(made.preprocessing.lookAhead > 0);
      }),
      { numRuns: 40, seed: DRAWN },
    );
    expect(compared).toBeGreaterThan(1000);
    expect(lines).toBeGreaterThan(0);
  });
});

const folders: string[] = [];
function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "ostinato-laws-"));
  folders.push(made);
  return made;
}
afterAll(() => {
  for (const made of folders) rmSync(made, { recursive: true, force: true });
});

const quoted = (cell: RawRecord[string]) => {
  const text = cell === null ? "" : String(cell);
  return /[",\n\t ]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const csvOf = (records: readonly RawRecord[]) =>
  [Object.keys(records[0]).join(), ...records.map((record) => Object.values(record).map(quoted).join())].join("\n");

function flat({ series, split, preprocessing, empty }: PreparedData<PreparedSeries>) {
  return {
    split,
    empty,
    preprocessing: JSON.stringify(preprocessing),
    series: series.map(({ entity, length, group, copy, part, x, values, classes, time, row }) => ({
      entity,
      length,
      group,
      copy,
      part: [...part],
      x: bits(x.subarray(0, x.length)),
      values: values && bits(values.subarray(0, values.length)),
      classes: classes && [...classes.subarray(0, classes.length)],
      time: time && bits64(time.subarray(0, time.length)),
      row: [...row.subarray(0, row.length)],
    })),
  };
}

/** What disk storage supports of the options: that which needs one block of rows at a time. */
function forDisk({ options, ...data }: Case): Case {
  const { sessions: _, known: __, static: ___, hide: ____, missing, categories = {}, ...rest } = options;
  const kept = Object.entries(categories).filter(([name]) => name !== "note");
  const names = kept.map(([name]) => name);
  const none = kept.length + (rest.features?.length ?? 0) === 0;
  const policy =
    typeof missing === "object" && missing.policy === "interpolate" ? { ...missing, policy: "value" as const } : missing;
  const { mode: _____, ...causal } = rest;
  return {
    ...data,
    options: {
      ...causal,
      features: none ? ["a"] : rest.features,
      ...(kept.length > 0 && { categories: Object.fromEntries(kept) }),
      counts: rest.counts?.filter((name) => names.includes(name) || rest.features?.includes(name)),
      missing: policy,
    },
  };
}

describe("preparing on disk", () => {
  it("gives the bits of preparing in memory, whatever the chunks", async () => {
    let series = 0;
    const sizes = fc.record({
      chunkRows: fc.integer({ min: 1, max: 60 }),
      blockBytes: fc.integer({ min: 1, max: 5000 }),
      bufferBytes: fc.integer({ min: 1, max: 20_000 }),
    });
    await fc.assert(
      fc.asyncProperty(cases.map(forDisk), sizes, async ({ options, ...data }, { bufferBytes, ...chunking }) => {
        const records = recordsOf(data);
        const path = join(folder(), "data.csv");
        writeFileSync(path, csvOf(records));
        const table = await readTable(path, { text: TEXT });
        const wanted = flat(unlessTooFew(() => prepare(table, options)));
        expect(flat(prepare(tableOf(records), options))).toEqual(wanted);
        const disk = { folder: folder(), fingerprint: "a", bufferBytes };
        expect(flat(await prepareOnDisk(() => readChunks(path, { text: TEXT, ...chunking }), options, disk))).toEqual(wanted);
        series += wanted.series.length;
      }),
      { numRuns: 20, seed: DRAWN },
    );
    expect(series).toBeGreaterThan(20);
  });

  it("holds across the blocks that a long series is read in, also where parts go back and memory starts afresh", async () => {
    const rng = seed(5);
    const rows = 70_000;
    const part = (i: number) => ["train", "validation", "train", "test"][Math.floor(i / 9000) % 4];
    const records = Array.from({ length: rows }, (_, i): RawRecord => {
      return { a: rng.uniform() < 0.2 ? null : rng.integer(1000), event: EVENTS[rng.integer(5)], part: part(i) };
    });
    const options: DataOptions = {
      targetKind: "values",
      features: ["a"],
      target: "a",
      categories: { event: { kind: "vocabulary", as: "embedding", width: 2 } },
      split: { by: "column:part" },
      missing: { policy: "forwardFill", limit: 3, flag: true, sinceSeen: true },
      difference: ["a"],
      counts: ["event"],
      position: true,
    };
    const memory = prepare(tableOf(records), options);
    const [{ part: codes, length }] = memory.series;
    expect([length, forwardStretches(codes, length).length]).toEqual([rows, 4]);
    async function* chunks(): AsyncGenerator<TableChunk> {
      for (let from = 0; from < rows; from += 9999) {
        const some = records.slice(from, from + 9999);
        const columns = [
          { name: "a", cells: Float64Array.from(some, ({ a }) => (a === null ? Number.NaN : Number(a))) },
          { name: "event", cells: some.map(({ event }) => String(event)) },
          { name: "part", cells: some.map(({ part: name }) => String(name)) },
        ];
        yield { source: "records", firstRow: from + 1, rows: some.length, columns, skipped: [] };
      }
    }
    const disk = await prepareOnDisk(chunks, options, { folder: folder(), fingerprint: "a" });
    expect(flat(disk)).toEqual(flat(memory));
  });

  it("leaves out and counts the series that are shorter than an interval of the grid, as in memory", async () => {
    const lines = ["time,machine,a"];
    for (let i = 0; i < 120; i++) lines.push(`${1.6e9 + i},m${i % 3},${i}`);
    lines.push("1600001000,brief,1", "1600001000.5,brief,2");
    const path = join(folder(), "data.csv");
    writeFileSync(path, lines.join("\n"));
    const options: DataOptions = {
      targetKind: "values",
      time: "time",
      entity: "machine",
      features: ["a"],
      target: "a",
      split: { by: "entity", train: 0.34, validation: 0.33, test: 0.33 },
      missing: "forwardFill",
      resample: { everyMs: 10_000 },
    };
    const memory = prepare(await readTable(path), options);
    expect(memory.empty).toEqual({ series: 1, first: ["brief"] });
    expect(memory.series.map(({ entity }) => entity)).toEqual(["m0", "m1", "m2"]);
    const settings = { folder: folder(), fingerprint: "a" };
    for (let times = 0; times < 2; times++) {
      expect(flat(await prepareOnDisk(() => readChunks(path), options, settings))).toEqual(flat(memory));
    }
    const coarse = { ...options, resample: { everyMs: 1e9 } };
    expect(() => prepare(tableOf([{ time: 1, machine: "x", a: 1 }]), coarse)).toThrow(
      /OST_RANGE.*no series has a complete interval/,
    );
    await expect(prepareOnDisk(() => readChunks(path), coarse, { folder: folder(), fingerprint: "a" })).rejects.toThrow(
      /OST_RANGE.*no series has a complete interval/,
    );
  });
});

const NOTES: Record<string, Partial<ExperimentConfigInput["data"]>> = {
  "every kind of feature": {
    features: ["a", "c"],
    categories: {
      event: { kind: "vocabulary", as: "embedding", width: 3 },
      line: { kind: "templates", as: "oneHot" },
      note: { kind: "words", as: "embedding", width: 4 },
    },
    missing: { policy: "forwardFill", limit: 2, flag: true, sinceSeen: true },
    perEntity: true,
    log: ["c"],
    difference: ["a"],
    counts: ["event", "a"],
    calendar: { parts: ["hourOfDay", "isWeekend"], zone: "Europe/Berlin" },
    timeDelta: { bins: 3 },
    position: true,
  },
  "sessions of byte pairs": {
    features: ["b"],
    categories: { note: { kind: "bytePair", maxSize: 290, markers: { begin: true, end: true }, as: "embedding", width: 4 } },
    missing: { policy: "value", value: 0 },
    sessions: { by: ["machine"], idleMs: 60_000, maxSteps: 9 },
    timeDelta: {},
  },
  "a grid": {
    features: ["a", "b"],
    missing: { policy: "forwardFill", flag: true },
    resample: { everyMs: 5000, aggregate: "mean" },
    scale: "robust",
  },
};

describe.each(Object.entries(NOTES))("a model file of %s", async (_, data) => {
  const config = parseConfig({
    task: "tag",
    mode: "streaming",
    window: { length: 16 },
    data: {
      source: "x",
      time: "time",
      entity: "machine",
      target: "state",
      split: { by: "entity", train: 0.5, validation: 0.25, test: 0.25 },
      ...data,
    },
    model: { cell: "gru", hiddenSize: 6 },
    train: { epochs: 1, batchSize: 4 },
    evaluation: { resamples: 100, rivals: false },
  } as ExperimentConfigInput);
  const result = await runExperiment(
    config,
    tableOf(recordsOf({ number: 3, rows: 400, machines: 6, missing: 0.1, blanks: false })),
  );
  const loaded = await openModel((result as NonNullable<typeof result>).file);

  it("says of pushed records what it says of a table", () => {
    const fresh = recordsOf({ number: 4, rows: 260, machines: 5, missing: 0.1, blanks: false });
    const table = applyPreprocessing(tableOf(fresh), loaded.preprocessing);
    const { classes } = loaded.header.spec;
    const wanted: Record<string, number[][]> = {};
    for (const batch of evaluationBatches(config, table, "test")) {
      const output = loaded.predictor.predict(batch);
      for (let b = 0; b < batch.batchSize; b++) {
        const { entity } = table.series[batch.series[b]] ?? {};
        if (entity === undefined) continue;
        for (let t = 0; t < batch.lengths[b]; t++) {
          const at = (b * batch.time + t) * classes.length;
          (wanted[entity] ??= [])[batch.start[b] + t] = probabilities(output, at, classes.length);
        }
      }
    }
    const stream = toStream(loaded);
    let compared = 0;
    for (const raw of rawSeries(fresh, { ...config.data, known: undefined, targetKind: "tags" } as unknown as DataOptions)) {
      let state = stream.initialState();
      const said = Array.from(raw.row, (place) => {
        const pushed = stream.push(fresh[place - 1], state);
        state = stream.restore(stream.snapshot(pushed.state, "o"), "o");
        return pushed.predictions;
      }).flat();
      const expected = wanted[raw.entity] ?? [];
      expect(said.length).toBe(expected.length);
      const shares = said.map((one) => classes.map((name) => (one.probabilities as Record<string, number>)[name]));
      expect(shares).toEqual(expected);
      compared += said.length;
    }
    expect(compared).toBeGreaterThan(100);
  });
});

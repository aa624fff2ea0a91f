/**
 * @file Laws of data read by configuration alone: the same rows in any dialect and format are the same data to the bit, and what cannot be
 * read is an error with its place, or left out and counted.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readExperimentFiles } from "../../src/cli/data-file.js";
import { OstinatoError } from "../../src/core/errors.js";
import { applyPreprocessing, type Table } from "../../src/data/index.js";
import { type MemorySeries, type PreparedData, prepare } from "../../src/data/prepare.js";
import { dataOptions, parseConfig } from "../../src/tasks/index.js";

let folder: string;
let files = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ostinato-config-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, `${files++}-${name}`);
  writeFileSync(path, content);
  return path;
}

const THIRDS = { train: 0.34, validation: 0.33, test: 0.33 };

/** The data of a configuration, as a training run reads them. */
async function prepareFile(
  source: string,
  data: object = {},
  task = "forecast",
): Promise<{ table: Table; prepared: PreparedData<MemorySeries> }> {
  const config = parseConfig({
    task,
    data: { source, time: "time", entity: "id", features: ["a"], target: "a", split: { by: "entity", ...THIRDS }, ...data },
    window: { length: 2, horizon: 1 },
  });
  const { table, tokenizers } = await readExperimentFiles(config);
  return { table, prepared: prepare(table, dataOptions(config, tokenizers)) };
}

async function refusal(source: string, data: object = {}, task?: string): Promise<string> {
  return prepareFile(source, data, task).then(
    () => expect.unreachable("the data were taken"),
    (error) => {
      if (!(error instanceof OstinatoError)) throw error;
      expect(error.detail.where).toBeTruthy();
      return error.message;
    },
  );
}

const bits = (values: ArrayLike<number>) => Buffer.from(Float64Array.from(values).buffer).toString("hex");

function flat({ series, preprocessing }: PreparedData<MemorySeries>) {
  return {
    frozen: JSON.stringify(preprocessing),
    series: series.map(({ entity, x, values, classes, time, row, part }) => ({
      entity,
      x: bits(x),
      values: values && bits(values),
      classes: classes && [...classes],
      time: time && bits(time),
      row: [...row],
      part: [...part],
    })),
  };
}

interface Cells {
  time: number;
  id: bigint;
  a: number | null;
  event: string | null;
  state: string;
}

/** Ids that are one and the same float64. */
const IDS = [9_007_199_254_740_992n, 9_007_199_254_740_993n, 9_223_372_036_854_775_806n, 9_223_372_036_854_775_807n];

const text = fc.oneof(
  fc.constantFrom("NA", "null", "a,b", 'say "no"', "two\nlines", "tab\there", "07", "1e3", "naïve — 東京", " blank "),
  fc.stringMatching(/^[a-z]{1,8}$/),
  fc.constant(null),
);
/** No smaller than what a scale can divide by and stay within float32. */
const number = fc.double({ min: -1e9, max: 1e9, noNaN: true }).map((value) => (Math.abs(value) < 1e-9 ? 0 : value));
const rows: fc.Arbitrary<Cells[]> = fc
  .array(
    fc.record({
      a: fc.oneof(fc.integer(), number, fc.constant(null)),
      event: text,
      state: fc.constantFrom("on", "off", "0", "00"),
    }),
    { minLength: 16, maxLength: 30 },
  )
  .map((drawn) =>
    drawn.map((row, i) => ({ ...row, time: 1.6e12 + 500 * i, id: IDS[i % 4], state: i < 8 ? ["on", "off"][i >> 2] : row.state })),
  );

const quote = (cell: string) => `"${cell.replaceAll('"', '""')}"`;

function delimited(list: readonly Cells[], by: string, line: string, quoteAll: boolean): string {
  const cell = (value: Cells[keyof Cells]) => {
    const written = value === null ? "" : String(value);
    return quoteAll || /[",\t\n\r ]/.test(written) ? quote(written) : written;
  };
  const lines = list.map(({ time, id, a, event, state }) => [time, id, a, event, state].map(cell).join(by));
  return ["time,id,a,event,state".replaceAll(",", by), ...lines].join(line);
}

/** The rows in many dialects. JSON.stringify knows no bigint: the ids go in as bare digits. */
function dialects(list: readonly Cells[]): Record<string, string | Uint8Array> {
  const ndjson = list.map(({ id, ...row }) => JSON.stringify({ ...row, id: "#" }).replace('"#"', String(id)));
  const csv = delimited(list, ",", "\n", false);
  const column = <K extends keyof Cells>(name: K) => list.map((row) => row[name]);
  const parquet = parquetWriteBuffer({
    columnData: [
      { name: "time", data: column("time"), type: "DOUBLE" },
      { name: "id", data: column("id"), type: "INT64" },
      { name: "a", data: column("a"), type: "DOUBLE", nullable: true },
      { name: "event", data: column("event"), type: "STRING", nullable: true },
      { name: "state", data: column("state"), type: "STRING" },
    ],
    rowGroupSize: 7,
  });
  return {
    "plain.csv": csv,
    "mark.csv": `\ufeff${csv}`,
    "windows.csv": delimited(list, ",", "\r\n", true),
    "tabs.tsv": delimited(list, "\t", "\n", true),
    "lines.ndjson": ndjson.join("\n"),
    "windows.ndjson": `\ufeff${ndjson.join("\r\n")}\r\n`,
    "packed.csv.gz": gzipSync(csv),
    "typed.parquet": new Uint8Array(parquet),
  };
}

describe("the same rows in any format", () => {
  it("are the same data to the bit, and four ids that differ in the last digit stay four", async () => {
    const data = {
      categories: { event: { kind: "vocabulary", as: "embedding" } },
      target: "state",
      split: { by: "time", ...THIRDS, at: "instant" },
      missing: { policy: "forwardFill", flag: true, sinceSeen: true },
      perEntity: true,
      counts: ["event"],
      timeDelta: {},
    };
    await fc.assert(
      fc.asyncProperty(rows, async (list) => {
        // Of a class that only later rows have, there is nothing to prepare.
        const known = list.map((row, i) => (i < 8 || row.state.startsWith("o") ? row : { ...row, state: "on" }));
        let wanted: ReturnType<typeof flat> | undefined;
        for (const [name, content] of Object.entries(dialects(known))) {
          const { prepared } = await prepareFile(file(name, content), data, "tag");
          const found = flat(prepared);
          wanted ??= found;
          expect(found, name).toEqual(wanted);
          expect(prepared.series.map(({ entity }) => entity)).toEqual(IDS.map(String));
        }
      }),
      { numRuns: 12 },
    );
  });

  it("keep labels apart that are one number", async () => {
    const lines = Array.from({ length: 12 }, (_, i) => `${60 * i},x${i % 3},${i},${["0", "00"][i % 2]}`);
    const path = file("labels.csv", ["time,id,a,state", ...lines].join("\n"));
    const { prepared } = await prepareFile(path, { target: "state" }, "tag");
    expect(prepared.preprocessing.classes).toEqual(["0", "00"]);
  });
});

/** Nine good rows of three series; `change` writes line i (from 2, the header being line 1). */
function csv(change: (line: number) => string | undefined = () => undefined, header = "time,id,a"): string {
  const good = (i: number) => `${new Date(Date.UTC(2026, 0, 1 + i)).toISOString()},m${i % 3},${i}.5`;
  return [header, ...Array.from({ length: 9 }, (_, i) => change(i + 2) ?? good(i))].join("\n");
}

describe("a row that cannot be read", () => {
  const skip = { read: { bad: "skip" } };

  it("with too few or too many cells is an error with its line, or left out and counted", async () => {
    const ragged = file(
      "ragged.csv",
      csv((line) => (line === 4 ? "2026-01-03,m2" : line === 7 ? "2026-01-06,m2,1,2" : undefined)),
    );
    expect(await refusal(ragged)).toMatch(/OST_FORMAT.*ragged\.csv line 4.*expected 3.*got 2/);
    const { table, prepared } = await prepareFile(ragged, skip);
    expect(table.skipped).toMatchObject({ rows: 2, first: [expect.stringMatching(/line 4/), expect.stringMatching(/line 7/)] });
    expect(prepared.series.map(({ length }) => length)).toEqual([3, 3, 1]);
  });

  it("does not move the names of the rows behind it", async () => {
    const path = file(
      "order.csv",
      csv((line) => (line === 4 ? "short" : line === 10 ? "2020-01-01,m2,1" : undefined)),
    );
    expect(await refusal(path, skip)).toMatch(/OST_ORDER.*order\.csv row 9.*row 6/s);
  });

  it("has a text for a number, a number beyond float32 or one of another country", async () => {
    for (const [cell, message] of [
      ["twelve", /OST_VALUE.*text\.csv row 4.*"a".*"twelve"/s],
      ["1e39", /OST_VALUE.*row 4.*beyond 3\.4e38/s],
      ['"1,5"', /OST_VALUE.*row 4.*"1,5".*decimal: ","/s],
      ['"1.234,5"', /OST_VALUE.*row 4.*decimal: ",".*thousands: "\."/s],
      ["0x10", /OST_VALUE.*row 4/s],
      ["Infinity", /OST_VALUE.*row 4/s],
    ] as const) {
      const path = file(
        "text.csv",
        csv((line) => (line === 5 ? `2026-01-04,m0,${cell}` : undefined)),
      );
      expect(await refusal(path)).toMatch(message);
      const { table, prepared } = await prepareFile(path, skip);
      expect([table.skipped?.rows, prepared.series[0].length]).toEqual([1, 2]);
    }
  });

  it("has a time that is none: year and month exist, and no clock goes there", async () => {
    for (const time of [
      "",
      "NA",
      "soon",
      "2026-02-30",
      "2026-13-01",
      "2026-01-04T25:00",
      "1e20",
      "01/04/2026",
      "99999999999999999",
    ]) {
      const path = file(
        "time.csv",
        csv((line) => (line === 5 ? `${time},m0,1` : undefined)),
      );
      expect(await refusal(path), time).toMatch(/OST_VALUE.*time\.csv row 4 column "time": not a time/);
    }
  });

  it("belongs to no series: an empty group, also where it is blank or says so", async () => {
    for (const id of ["", "  ", "NA", "null"]) {
      const path = file(
        "group.csv",
        csv((line) => (line === 6 ? `2026-01-05,${id},1` : undefined)),
      );
      expect(await refusal(path), JSON.stringify(id)).toMatch(/OST_MISSING.*group\.csv row 5.*belongs to no entity/);
    }
  });

  it("is twice there, or late", async () => {
    const twice = file(
      "twice.csv",
      csv((line) => (line === 5 ? "2026-01-01,m0,1" : undefined)),
    );
    expect(await refusal(twice)).toMatch(/OST_ORDER.*twice\.csv row 4.*same time.*row 1/s);
  });
});

describe("numbers of another country", () => {
  it("are read where the configuration says how they are written", async () => {
    const plain = await prepareFile(
      file(
        "en.csv",
        csv((line) => `2026-01-${9 + line},m${line % 3},${1000 * line}.25`),
      ),
    );
    const german = csv((line) => `2026-01-${9 + line};m${line % 3};${line}.000,25`, "time;id;a");
    const read = { delimiter: ";", decimal: ",", thousands: "." };
    const { prepared } = await prepareFile(file("de.csv", german), { read });
    expect(flat(prepared)).toEqual(flat(plain.prepared));
    expect(await refusal(file("de.csv", german))).toMatch(/OST_FORMAT.*";"|OST_COLUMN/);
  });
});

describe("data without anything in them", () => {
  it("are refused, whatever their format", async () => {
    for (const [name, content] of [
      ["empty.csv", ""],
      ["blank.csv", "\n\r\n\n"],
      ["header.csv", "time,id,a\n"],
      ["none.ndjson", "\n\n"],
      ["none.txt", ""],
    ] as const) {
      expect(await refusal(file(name, content)), name).toMatch(/OST_FILE|OST_FORMAT/);
    }
    const all = file("all.csv", "time,id,a\n2026-01-01,m0,x\n2026-01-02,m1,y\n");
    expect(await refusal(all, { read: { bad: "skip" } })).toMatch(/OST_FILE.*no row.*2 rows left out.*row 1/s);
  });

  it("have no sequence of length zero: an archive's empty case is an error, and blank lines of text are steps of a missing text", async () => {
    const head = "@problemName T\n@timeStamps false\n@univariate true\n@equalLength false\n@classLabel true x y\n@data\n";
    const archive = file("cases.ts", `${head}1,2:x\n:y\n3:x\n4:y\n`);
    const data = { time: null, entity: "sequence", features: ["dim1"], target: "label", split: { by: "entity", ...THIRDS } };
    expect(await refusal(archive, data, "classify")).toMatch(/OST_FORMAT.*cases\.ts line 8/);
    const notes = ["one two", "", "  ", "two one three", "one", ""].map((note, i) => `${quote(note)},s${i},${"xy"[i % 2]}`);
    const path = file("notes.csv", ["note,id,label", ...notes].join("\n"));
    const words = { time: null, features: [], categories: { note: { kind: "words" } }, target: "label" };
    const { prepared } = await prepareFile(path, words, "classify");
    expect(prepared.series.map(({ length }) => length)).toEqual([2, 1, 1, 3, 1, 1]);
    expect(prepared.series.every(({ classes }) => classes?.every((index) => index >= 0))).toBe(true);
  });

  it("on a grid: a series within one interval is left out and counted, in new data too", async () => {
    const lines = Array.from({ length: 60 }, (_, i) => `${1.6e9 + 20 * i},m${i % 3},${i}`);
    const path = file("grid.csv", ["time,id,a", ...lines, "1700000000,brief,1", "1700000001,brief,2"].join("\n"));
    const { table, prepared } = await prepareFile(path, { resample: { everyMs: 60_000 }, missing: "forwardFill" });
    expect(prepared.empty).toEqual({ series: 1, first: ["brief"] });
    expect(applyPreprocessing(table, prepared.preprocessing).empty).toEqual(prepared.empty);
    expect(await refusal(path, { resample: { everyMs: 1e12 }, missing: "forwardFill" })).toMatch(
      /OST_RANGE.*data\.resample.*4 series that lie within one interval/s,
    );
  });
});

it("features of time need a column of times, and say which setting asked for it", async () => {
  const path = file("still.csv", csv());
  const still = { time: null };
  expect(await refusal(path, { ...still, timeDelta: {} })).toMatch(/OST_CONFIG.*data\.timeDelta/);
  expect(await refusal(path, { ...still, calendar: ["hourOfDay"] })).toMatch(/OST_CONFIG.*data\.calendar/);
  expect(await refusal(path, { ...still, resample: { everyMs: 5 } })).toMatch(/OST_CONFIG.*data\.resample/);
  expect(await refusal(path, { ...still, sessions: { idleMs: 5 } })).toMatch(/OST_CONFIG.*sessions\.idleMs/);
});

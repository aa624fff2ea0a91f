import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parse } from "csv-parse/sync";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { OstinatoError } from "../../core/errors.js";
import { columnOf, numbersOf, rowName, type TableChunk, textsOf } from "../table.js";
import { tableOf } from "./file-chunks.js";
import { type ReadChunksOptions, type ReadOptions, readChunks, readTable } from "./index.js";

vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ostinato-csv-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

async function refusal(
  name: string,
  content: string | Uint8Array,
  read: ReadOptions = {},
  options: ReadChunksOptions = {},
): Promise<string> {
  return tableOf(await file(name, content), { ...options, read }).then(
    () => expect.unreachable("the file was read"),
    (error) => {
      expect(error).toBeInstanceOf(OstinatoError);
      return error.message;
    },
  );
}

async function texts(name: string, content: string | Uint8Array, read: ReadOptions = {}): Promise<Record<string, string[]>> {
  const table = await readTable(await file(name, content), { read });
  return Object.fromEntries(table.columns.map(({ name, texts, numbers }) => [name, texts ?? Array.from(numbers!, String)]));
}

const cell = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 20 }),
  fc.string({ unit: fc.constantFrom('"', ",", "\n", "\r\n", "a", "é", "漢", "😀", " ", ";", "\t"), maxLength: 12 }),
  fc.double().map(String),
);
const sheet = fc.integer({ min: 1, max: 5 }).chain((width) =>
  fc.record({
    width: fc.constant(width),
    rows: fc.array(fc.array(cell, { minLength: width, maxLength: width }), { minLength: 1, maxLength: 30 }),
  }),
);

function written(text: string, always: boolean): string {
  return always || text === "" || /[",\n\r;\t]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

describe("any cells", () => {
  it("that are written as CSV read back, whatever the blocks, the chunks and the line ends", async () => {
    await fc.assert(
      fc.asyncProperty(
        sheet,
        fc.boolean(),
        fc.constantFrom("\n", "\r\n"),
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 1, max: 12 }),
        async ({ width, rows }, always, end, blockBytes, chunkRows) => {
          const names = Array.from({ length: width }, (_, c) => `n${c}`);
          const lines = [names, ...rows].map((row) => row.map((one) => written(one, always)).join(","));
          const path = await file("any.csv", lines.join(end) + end);
          const table = await tableOf(path, { text: names, blockBytes, chunkRows });
          expect(table.rows).toBe(rows.length);
          expect(table.columns.map((column) => column.texts)).toEqual(names.map((_, c) => rows.map((row) => row[c])));
        },
      ),
      { numRuns: 150 },
    );
  });

  it("are read as csv-parse reads them", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: fc.constantFrom('"', ",", "\n", "a", "1", " "), maxLength: 40 }), async (body) => {
        let expected: string[][] | null;
        try {
          expected = parse(`x,y\n${body}`, { skip_empty_lines: true }) as string[][];
          if (expected.length < 2) expected = null;
        } catch {
          expected = null;
        }
        const read = await readTable(await file("oracle.csv", `x,y\n${body}`), { text: ["x", "y"] }).then(
          (table) => table.columns.map(({ texts }) => texts),
          (error) => {
            expect(error).toBeInstanceOf(OstinatoError);
            return null;
          },
        );
        expect(read).toEqual(expected && ["x", "y"].map((_, c) => expected!.slice(1).map((row) => row[c])));
      }),
      { numRuns: 300 },
    );
  });

  it("make the same table in chunks of any size", async () => {
    const column = fc.constantFrom("1", "2.5", "", "NA", "x", "007", "9007199254740993", "-0", "1e3");
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(column, column), { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 10 }),
        fc.integer({ min: 1, max: 30 }),
        async (rows, chunkRows, blockBytes) => {
          const path = await file("chunks.csv", `a,b\n${rows.map((row) => row.join(",")).join("\n")}`);
          expect(await tableOf(path, { chunkRows, blockBytes })).toEqual(await readTable(path));
          let next = 1;
          for await (const chunk of readChunks(path, { chunkRows, blockBytes })) {
            expect(chunk.firstRow).toBe(next);
            expect(chunk.rows).toBeLessThanOrEqual(chunkRows);
            next += chunk.rows;
          }
          expect(next).toBe(rows.length + 1);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe("chunks", () => {
  it("give numbers as numbers and, once a column held a text, texts", async () => {
    const path = await file("types.csv", "a,b,c\n1,2,\n2,x,\n3,4,z\n");
    const chunks: TableChunk[] = [];
    for await (const chunk of readChunks(path, { chunkRows: 1 })) chunks.push(chunk);
    expect(
      chunks.map(({ columns }) => columns.map(({ cells }) => (Array.isArray(cells) ? "text" : "numbers")).join(" ")),
    ).toEqual(["numbers numbers numbers", "numbers text numbers", "numbers text text"]);
    const { columns } = await tableOf(path, { chunkRows: 1 });
    expect(columns.map(({ texts, numbers }) => texts ?? [...numbers!])).toEqual([
      [1, 2, 3],
      ["2", "x", "4"],
      ["", "", "z"],
    ]);
  });

  it("keep the columns that are asked for only, and are bounded by the size of their text", async () => {
    const path = await file("wide.csv", `a,b\n${`${"x".repeat(1000)},1\n`.repeat(50)}`);
    const sizes: number[] = [];
    for await (const { rows, columns } of readChunks(path, { chunkBytes: 10_000, only: ["b"] })) {
      expect(columns.map(({ name }) => name)).toEqual(["b"]);
      sizes.push(rows);
    }
    expect(sizes).toEqual([10, 10, 10, 10, 10]);
  });

  it("tell how far they are, at most ten times a second and at the end, and stop on a signal", async () => {
    const path = await file("long.csv", `a\n${"1\n".repeat(200_000)}`);
    const told: number[] = [];
    const seen: unknown[] = [];
    const stop = new AbortController();
    await readTable(path, {
      onProgress: (progress) => {
        told.push(performance.now());
        seen.push(progress);
      },
    });
    expect(seen.at(-1)).toEqual({ bytes: 400_002, totalBytes: 400_002, rows: 200_000, file: "long.csv" });
    for (let i = 1; i < told.length - 1; i++) expect(told[i] - told[i - 1]).toBeGreaterThanOrEqual(99);
    await expect(readTable(path, { signal: stop.signal, onProgress: () => stop.abort(new Error("enough")) })).rejects.toThrow(
      /enough|abort/,
    );
  });
});

describe("ids", () => {
  it("of 64 bits keep every digit, asked for or not, first seen in a late chunk or not", async () => {
    const path = await file("ids.csv", "id,x\n007,1\n9007199254740992,2\n9007199254740993,3\n");
    const table = await tableOf(path, { chunkRows: 1 });
    expect(textsOf(table, "id", "entity")).toEqual(["007", "9007199254740992", "9007199254740993"]);
    expect(columnOf(table, "x").texts).toBeNull();
    expect(numbersOf(table, "id", "feature")[0]).toBe(7);
  });
});

describe("gzip", () => {
  it("is decompressed, members one behind the other", async () => {
    const bytes = Buffer.concat([gzipSync("a,b\n1,2\n"), gzipSync("3,4\n")]);
    expect(await texts("two.csv.gz", bytes)).toEqual({ a: ["1", "3"], b: ["2", "4"] });
  });

  it("that is cut off or none is refused", async () => {
    const whole = gzipSync(`a,b\n${Array.from({ length: 5000 }, (_, i) => `${i},${Math.sin(i)}`).join("\n")}\n`);
    expect(await refusal("cut.csv.gz", whole.subarray(0, whole.length - 9))).toMatch(/OST_FORMAT.*cut\.csv\.gz.*cut off/);
    expect(await refusal("plain.csv.gz", "a,b\n1,2\n")).toMatch(/OST_FORMAT.*not well-formed gzip/);
    expect(await refusal("bent.csv.gz", whole.fill(7, 200, 300))).toMatch(/OST_FORMAT.*gzip/);
    expect(await refusal("none.csv.gz", "")).toMatch(/OST_FILE.*empty|OST_FORMAT/);
    expect(await refusal("unnamed.csv", gzipSync("a\n1\n"))).toMatch(/OST_FORMAT.*gzip data.*\n.*\.gz/);
  });
});

describe("encodings", () => {
  const text = "name,x\ncafé,1\n漢字,2\n";

  it("are told by a byte order mark, or set", async () => {
    const expected = { name: ["café", "漢字"], x: ["1", "2"] };
    expect(await texts("utf8.csv", text)).toEqual(expected);
    expect(await texts("bom.csv", `\ufeff${text}`)).toEqual(expected);
    const wide = Buffer.from(`\ufeff${text}`, "utf16le");
    expect(await texts("utf16le.csv", wide)).toEqual(expected);
    expect(await texts("utf16be.csv", Buffer.from(wide).swap16())).toEqual(expected);
    expect(await texts("plain16.csv", wide.subarray(2), { encoding: "utf-16le" })).toEqual(expected);
    const latin = Buffer.from("name,x\ncafé,1\n", "latin1");
    expect(await texts("latin.csv", latin, { encoding: "latin1" })).toEqual({ name: ["café"], x: ["1"] });
    expect(await texts("cp.csv", new Uint8Array([...Buffer.from("n\n"), 0x80, 10]), { encoding: "windows-1252" })).toEqual({
      n: ["€"],
    });
  });

  it("that are mixed are refused with line, offset and the likely one, wherever a block ends", async () => {
    const before = "name,x\n漢字,2\nab";
    const bytes = Buffer.concat([Buffer.from(before), Buffer.from("é,1\n", "latin1"), Buffer.from("漢,3\n")]);
    const offset = Buffer.byteLength(before);
    for (let blockBytes = 1; blockBytes < 40; blockBytes++) {
      expect(await refusal("mixed.csv", bytes, {}, { blockBytes })).toMatch(
        new RegExp(`OST_FORMAT.*mixed\\.csv line 3.*0xe9 at offset ${offset}, likely latin1`),
      );
    }
    expect(await refusal("smart.csv", new Uint8Array([...Buffer.from("a\n"), 0x93, 120, 0x94, 10]))).toMatch(/windows-1252/);
    expect(await refusal("bare16.csv", Buffer.from("a,b\n1,2\n", "utf16le"))).toMatch(/OST_FORMAT.*utf-16le/);
    expect(await refusal("odd16.csv", Buffer.from("\ufeffa\n1\n2", "utf16le").subarray(0, 11))).toMatch(/OST_FORMAT.*utf-16le/);
    expect(await refusal("end.csv", Buffer.from("a\n漢").subarray(0, 4))).toMatch(/OST_FORMAT.*line 2.*offset 2/);
  });
});

describe("settings", () => {
  it("read files without a header, of other separators, with comments, quotes that mean nothing and old line ends", async () => {
    expect(await texts("bare.csv", "1,x\n2,y\n", { header: false })).toEqual({ column1: ["1", "2"], column2: ["x", "y"] });
    expect(await texts("named.csv", "1,x\n", { header: false, columns: ["n", "s"] })).toEqual({ n: ["1"], s: ["x"] });
    expect(await texts("pipe.csv", "a||b\n1||2\n", { delimiter: "||" })).toEqual({ a: ["1"], b: ["2"] });
    expect(await texts("note.csv", '# made "here\na\n# and\n1\n', { comment: "#" })).toEqual({ a: ["1"] });
    expect(await texts("inch.tsv", 'a\tb\n5"\t"x\n', { quote: null })).toEqual({ a: ['5"'], b: ['"x'] });
    expect(await texts("mac.csv", "a,b\r1,2\r3,4")).toEqual({ a: ["1", "3"], b: ["2", "4"] });
  });

  it("read numbers as a country writes them", async () => {
    const numbers = async (content: string, read: ReadOptions) => [
      ...numbersOf(await readTable(await file("local.csv", content), { read }), "x", "feature"),
    ];
    expect(await numbers("x;y\n1,5;a\n-2;b\n;c\n", { delimiter: ";", decimal: "," })).toEqual([1.5, -2, NaN]);
    expect(await numbers('x,y\n"1,234",a\n"12,345,678.5",b\n', { thousands: "," })).toEqual([1234, 12345678.5]);
    expect(await numbers("x;y\n1.234,5;a\n", { delimiter: ";", decimal: ",", thousands: "." })).toEqual([1234.5]);
    expect(await numbers("x,y\n1 234.5,a\n1\u00a0234,b\n", { thousands: " " })).toEqual([1234.5, 1234]);
  });

  it("are named where a local number is met without them, or where they contradict each other", async () => {
    const need = { numeric: ["x"] };
    expect(await refusal("ambiguous.csv", 'x,y\n1,2\n"1,234",a\n', {}, need)).toMatch(
      /OST_VALUE.*ambiguous\.csv row 2 column "x".*"1,234".*\n.*data\.read\.thousands.*data\.read\.decimal/,
    );
    expect(await refusal("comma.csv", "x;y\n1,5;2\n", { delimiter: ";" }, need)).toMatch(/data\.read\.decimal: ","/);
    expect(await refusal("both.csv", "x;y\n1.234.567,5;2\n", { delimiter: ";" }, need)).toMatch(
      /decimal: "," and data\.read\.thousands: "\."/,
    );
    const table = await readTable(await file("late.csv", 'x,y\n"1,234",a\n'));
    expect(() => numbersOf(table, "x", "feature")).toThrow(/OST_VALUE.*late\.csv row 1.*\n.*data\.read\.thousands/);
    for (const read of [
      { thousands: "." },
      { thousands: "x" },
      { delimiter: "" },
      { quote: "''" },
      { comment: "" },
    ] as ReadOptions[]) {
      expect(await refusal("any.csv", "x\n1\n", { decimal: ".", ...read })).toMatch(/OST_CONFIG.*data\.read/);
    }
  });
});

describe("bad rows", () => {
  const content = 'id,x\n1,10\n2\n3,"a\n4,4"0\n5,50\n6,six\n7,"7"0\n8,80\n';

  it("are refused with line and column", async () => {
    expect(await refusal("ragged.csv", "a,b\n1,2\n3,4,5\n")).toMatch(/OST_FORMAT.*line 3 column 3.*expected 2.*got 3 cells/);
    expect(await refusal("mid.csv", 'a,b\n1,x"y\n')).toMatch(
      /OST_FORMAT.*line 2 column 2.*quote inside a cell.*\n.*data\.read\.quote/,
    );
    expect(await refusal("after.csv", 'a,b\n"1"2,3\n')).toMatch(/OST_FORMAT.*line 2.*closing quote/);
    expect(await refusal("open.csv", 'a,b\n1,2\n3,"4\n5,6\n')).toMatch(/OST_FORMAT.*line 3 column 2.*never closed/);
    expect(await refusal("lines.csv", 'a,b\n"1\n2",3\n4\n')).toMatch(/OST_FORMAT.*line 4/);
    expect(await refusal("unnumbered.csv", "x,y\n1,2\n\nx,3\n", {}, { numeric: ["x"] })).toMatch(
      /OST_VALUE.*row 2 column "x".*"x"/,
    );
    expect(await refusal("large.csv", "x\n1e39\n", {}, { numeric: ["x"] })).toMatch(/OST_VALUE.*beyond 3\.4e38/);
    expect(await refusal("twice.csv", "a,a\n1,2\n")).toMatch(/OST_COLUMN.*"a" twice/);
  });

  it("are left out, counted and reported where that is allowed, and the others keep their places", async () => {
    for (const chunkRows of [1, 2, 3, 100]) {
      const table = await tableOf(await file("bad.csv", content), { read: { bad: "skip" }, numeric: ["x"], chunkRows });
      expect([...columnOf(table, "id").numbers!]).toEqual([1, 5, 8]);
      expect(table.skipped!.rows).toBe(4);
      expect(table.skipped!.first).toHaveLength(4);
      expect(table.skipped!.first.join("\n")).toMatch(/line 3.*\n.*line 4 .*closing quote/);
      expect([1, 2, 3].map((row) => rowName(table, row))).toEqual(["bad.csv row 1", "bad.csv row 4", "bad.csv row 7"]);
    }
  });

  it("must not be all there are", async () => {
    expect(await refusal("all.csv", "a,b\n1\n2\n", { bad: "skip" })).toMatch(/OST_FILE.*no row.*2 rows left out.*line 2/);
  });
});

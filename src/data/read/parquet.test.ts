import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { OstinatoError } from "../../core/errors.js";
import { tableOf } from "./file-chunks.js";
import { type ReadTableOptions, readChunks, readTable } from "./index.js";
import { decimalText, isoTime } from "./parquet.js";

type ColumnData = Parameters<typeof parquetWriteBuffer>[0]["columnData"];

vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ostinato-parquet-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(
  name: string,
  columnData: ColumnData,
  options: { rowGroupSize?: number; codec?: "SNAPPY" | "UNCOMPRESSED" } = {},
): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, new Uint8Array(parquetWriteBuffer({ columnData, ...options })));
  return path;
}

async function refusal(path: string, options: ReadTableOptions = {}): Promise<string> {
  return readTable(path, options).then(
    () => expect.unreachable("the file was read"),
    (error) => {
      expect(error).toBeInstanceOf(OstinatoError);
      return error.message;
    },
  );
}

describe("parquet", () => {
  it("gives numbers, texts, times, booleans and missing values, and every digit of whole numbers", async () => {
    const path = await file("kinds.parquet", [
      { name: "d", data: [1.5, null, -0.25], type: "DOUBLE" },
      { name: "i", data: [1, 2, 3], type: "INT32" },
      { name: "id", data: [9007199254740993n, 9007199254740992n, 7n], type: "INT64" },
      { name: "small", data: [1n, null, 3n], type: "INT64" },
      { name: "s", data: ["é", "", null], type: "STRING" },
      { name: "t", data: [new Date("2024-01-01T12:00:00.250Z"), new Date(0), null], type: "TIMESTAMP" },
      { name: "b", data: [true, false, null], type: "BOOLEAN" },
    ]);
    const { columns } = await readTable(path);
    expect(columns.map(({ name, texts, numbers }) => [name, texts ?? [...numbers!]])).toEqual([
      ["d", [1.5, NaN, -0.25]],
      ["i", [1, 2, 3]],
      ["id", ["9007199254740993", "9007199254740992", "7"]],
      ["small", [1, NaN, 3]],
      ["s", ["é", "", ""]],
      ["t", ["2024-01-01T12:00:00.25Z", "1970-01-01T00:00:00Z", ""]],
      ["b", ["true", "false", ""]],
    ]);
    const [only] = (await readTable(path, { only: ["i"], text: ["i"] })).columns;
    expect(only).toEqual({ name: "i", numbers: Float64Array.of(1, 2, 3), texts: ["1", "2", "3"] });
  });

  it("reads group after group, in chunks that do not change the table", async () => {
    const data = Array.from({ length: 2500 }, (_, i) => Math.sin(i));
    const path = await file("groups.parquet", [{ name: "x", data, type: "DOUBLE" }], { rowGroupSize: 1000 });
    const rows: [number, number][] = [];
    for await (const chunk of readChunks(path, { chunkRows: 400 })) rows.push([chunk.firstRow, chunk.rows]);
    expect(rows.reduce((sum, [, count]) => sum + count, 0)).toBe(2500);
    for (const [, count] of rows) expect(count).toBeLessThanOrEqual(400);
    expect(await tableOf(path, { chunkRows: 7 })).toEqual(await readTable(path));
    expect([...(await readTable(path)).columns[0].numbers!]).toEqual(data);
  });

  it("writes decimals and times with all their digits", () => {
    expect(decimalText(-12345678901234567890n, 2)).toBe("-123456789012345678.90");
    expect(decimalText(5, 3)).toBe("0.005");
    expect(decimalText(12n, -2)).toBe("1200");
    expect(decimalText(Uint8Array.of(0xff, 0xfe), 1)).toBe("-0.2");
    expect(isoTime(1_704_067_200_123_456_789n, 9)).toBe("2024-01-01T00:00:00.123456789Z");
    expect(isoTime(-1n, 6)).toBe("1969-12-31T23:59:59.999999Z");
    expect(isoTime(10n ** 30n, 9)).toBe(String(10n ** 30n));
  });

  it("that is nested, binary, empty, cut off or none is refused", async () => {
    const nested = join(folder, "nested.parquet");
    const list = parquetWriteBuffer({
      columnData: [
        { name: "x", data: [1, 2] },
        { name: "j", data: [[1], [2, 3]] },
      ],
      schema: [
        { name: "root", num_children: 2 },
        { name: "x", type: "INT32", repetition_type: "REQUIRED" },
        { name: "j", repetition_type: "OPTIONAL", num_children: 1, converted_type: "LIST" },
        { name: "list", repetition_type: "REPEATED", num_children: 1 },
        { name: "element", type: "INT32", repetition_type: "OPTIONAL" },
      ],
    });
    await writeFile(nested, new Uint8Array(list));
    expect(await refusal(nested)).toMatch(/OST_FORMAT.*nested\.parquet column "j".*nested.*LIST/);
    expect((await readTable(nested, { only: ["x"] })).rows).toBe(2);
    const binary = await file("binary.parquet", [{ name: "b", data: [Uint8Array.of(0xff, 0xfe)], type: "BYTE_ARRAY" }]);
    expect(await refusal(binary)).toMatch(/OST_FORMAT.*binary\.parquet row 1 column "b".*binary data/);
    const whole = new Uint8Array(parquetWriteBuffer({ columnData: [{ name: "x", data: [1, 2, 3], type: "DOUBLE" }] }));
    const cut = join(folder, "cut.parquet");
    await writeFile(cut, whole.subarray(0, whole.length - 20));
    expect(await refusal(cut)).toMatch(/OST_FORMAT.*cut\.parquet.*cannot be read/);
    await writeFile(cut, "no parquet at all");
    expect(await refusal(cut)).toMatch(/OST_FORMAT.*cut\.parquet/);
    await writeFile(cut, "");
    expect(await refusal(cut)).toMatch(/OST_FILE.*empty/);
    expect(await refusal(join(folder, "none.parquet"))).toMatch(/OST_FILE.*does not exist/);
    expect(await refusal(await file("norows.parquet", [{ name: "x", data: [], type: "DOUBLE" }]))).toMatch(/OST_FILE.*no rows/);
  });

  it("with bytes changed or missing fails with an OstinatoError or not at all", async () => {
    const whole = new Uint8Array(
      parquetWriteBuffer({
        columnData: [
          { name: "x", data: Array.from({ length: 50 }, (_, i) => i / 7), type: "DOUBLE" },
          { name: "s", data: Array.from({ length: 50 }, (_, i) => `text ${i % 5}`), type: "STRING" },
        ],
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), fc.boolean(), async (at, byte, cut) => {
        const bytes = cut ? whole.slice(0, at) : whole.slice();
        if (!cut) bytes[at] = byte;
        const path = join(folder, "bent.parquet");
        await writeFile(path, bytes);
        await readTable(path).catch((error) => expect(error, error.stack).toBeInstanceOf(OstinatoError));
      }),
      { numRuns: 150, seed: 4 },
    );
  });
});

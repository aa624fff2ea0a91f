import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { OstinatoError } from "../../core/errors.js";
import type { TableChunk } from "../table.js";
import { type DataFiles, querySql, type ReadTableOptions, readTable } from "./index.js";

vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ostinato-sql-test-"));
  await mkdir(join(folder, "days"));
  const files: [string, string | Uint8Array][] = [
    ["readings.csv", "device,at,load\na,2024-01-01 00:00:10,1.5\na,2024-01-01 00:00:20,NA\nb,2024-01-01 00:00:30,3\n"],
    [
      "settings.ndjson.gz",
      gzipSync('{"device":"a","at":"2024-01-01 00:00:00","mode":"x"}\n{"device":"a","at":"2024-01-01 00:00:15","mode":"y"}\n'),
    ],
    [
      "sites.parquet",
      new Uint8Array(
        parquetWriteBuffer({
          columnData: [
            { name: "device", data: ["a", "b"] },
            { name: "serial", data: [9007199254740993n, 9007199254740992n] },
          ],
        }),
      ),
    ],
    ["keys.txt", "5 22\n9\n"],
    ["wide.csv", "id,x\n12345678901234567890,1\n12345678901234567891,2.5\n"],
    ["local.csv", "id;x\n1;1,5\n2;2,5\n3\n"],
    ["days/1.csv", "x\n1\n2\n"],
    ["days/2.csv", "x\n3\n"],
  ];
  for (const [name, content] of files) await writeFile(join(folder, name), content);
});
afterAll(() => rm(folder, { recursive: true }));

const at = (name: string) => join(folder, name);

async function rows(sql: string, files: DataFiles, options: ReadTableOptions = {}): Promise<unknown[][]> {
  const { columns, rows } = await readTable(files, { ...options, sql });
  return Array.from({ length: rows }, (_, i) => columns.map(({ texts, numbers }) => (texts ? texts[i] : numbers![i])));
}

async function refusal(sql: string, files: DataFiles = at("readings.csv"), options: ReadTableOptions = {}): Promise<string> {
  return readTable(files, { ...options, sql }).then(
    () => expect.unreachable("the query ran"),
    (error) => {
      expect(error, error.stack).toBeInstanceOf(OstinatoError);
      return error.message;
    },
  );
}

describe("a query", () => {
  it("joins files of several formats", async () => {
    const sql = `SELECT r.device, load, serial FROM readings r JOIN sites s USING (device) ORDER BY r.at`;
    expect(await rows(sql, [at("readings.csv"), at("sites.parquet")])).toEqual([
      ["a", 1.5, "9007199254740993"],
      ["a", NaN, "9007199254740993"],
      ["b", 3, "9007199254740992"],
    ]);
  });

  it("joins as of a time", async () => {
    const sql = `SELECT r.device, r.at, load, mode
      FROM r ASOF LEFT JOIN m ON r.device = m.device AND r.at >= m.at::TIMESTAMP ORDER BY r.at`;
    expect(await rows(sql, { r: at("readings.csv"), m: at("settings.ndjson.gz") })).toEqual([
      ["a", "2024-01-01T00:00:10Z", 1.5, "x"],
      ["a", "2024-01-01T00:00:20Z", NaN, "y"],
      ["b", "2024-01-01T00:00:30Z", 3, ""],
    ]);
  });

  it("reads formats that DuckDB does not, folders, and files of settings of their own", async () => {
    expect(
      await rows("SELECT symbol, count(*) AS n FROM keys GROUP BY symbol ORDER BY symbol", at("keys.txt"), {
        read: { format: "sequences" },
      }),
    ).toEqual([
      [22, 1],
      [5, 1],
      [9, 1],
    ]);
    expect(
      await rows("SELECT file, label, sum(x) AS s FROM days GROUP BY ALL ORDER BY file", at("days"), { read: { label: "name" } }),
    ).toEqual([
      ["1.csv", 1, 3],
      ["2.csv", 2, 3],
    ]);
    const read = { delimiter: ";", decimal: ",", bad: "skip" } as const;
    const table = await readTable(at("local.csv"), { sql: "SELECT sum(x) AS s FROM local", read });
    expect([...table.columns[0].numbers!]).toEqual([4]);
    expect(table.skipped).toEqual({ rows: 1, first: [expect.stringMatching(/local\.csv line 4/)] });
  });

  it("keeps all digits, and gives times and dates as ISO 8601", async () => {
    expect(await rows("SELECT id, x FROM wide ORDER BY x", at("wide.csv"))).toEqual([
      ["12345678901234567890", 1],
      ["12345678901234567891", 2.5],
    ]);
    const sql = `SELECT 170141183460469231731687303715884105727 AS h, 0.1::DECIMAL(30,20) AS d, DATE '2024-02-29' AS day,
      TIMESTAMP_NS '2024-01-01 00:00:00.123456789' AS ns, TIMESTAMPTZ '2024-01-01 02:00:00+02' AS tz, true AS b, NULL AS n, 'NaN'::DOUBLE AS nan`;
    const table = await readTable(at("readings.csv"), { sql, text: ["d"] });
    expect(table.columns.map(({ name, texts, numbers }) => [name, texts?.[0] ?? numbers![0]])).toEqual([
      ["h", "170141183460469231731687303715884105727"],
      ["d", "0.10000000000000000000"],
      ["day", "2024-02-29"],
      ["ns", "2024-01-01T00:00:00.123456789Z"],
      ["tz", "2024-01-01T00:00:00Z"],
      ["b", "true"],
      ["n", NaN],
      ["nan", NaN],
    ]);
  });

  it("streams its result in chunks", async () => {
    const chunks: TableChunk[] = [];
    for await (const chunk of querySql("SELECT i FROM range(10000) t(i)", { files: ["readings.csv"], folder, chunkRows: 3000 }))
      chunks.push(chunk);
    expect(chunks.map(({ firstRow, rows }) => [firstRow, rows])).toEqual([
      [1, 3000],
      [3001, 3000],
      [6001, 3000],
      [9001, 1000],
    ]);
  });

  it("is refused with its line and column", async () => {
    expect(await refusal("SELECT *\nFRM readings")).toMatch(/OST_CONFIG.*data\.sql line 2 column \d.*syntax error/);
    expect(await refusal("SELECT laod FROM readings")).toMatch(/OST_COLUMN.*data\.sql line 1 column 8.*"laod".*\n.*"load"/);
    expect(await refusal("SELECT * FROM nothing")).toMatch(/OST_COLUMN.*readings.*nothing/);
    expect(await refusal("SELECT 1; SELECT 2")).toMatch(/OST_CONFIG.*2 statements/);
    expect(await refusal("DROP VIEW readings")).toMatch(/OST_CONFIG.*one SELECT/);
    expect(await refusal("SELECT [1, 2] AS l")).toMatch(/OST_FORMAT.*"l".*INTEGER\[\]/);
    expect(await refusal("SELECT device::INTEGER AS d FROM readings")).toMatch(/OST_VALUE.*Could not convert.*'a'/);
    expect(await refusal("SELECT 1 AS a, 2 AS a")).toMatch(/OST_COLUMN.*"a" twice/);
    expect(await refusal("SELECT load FROM readings WHERE false")).toMatch(/OST_FILE.*no rows/);
    expect(await refusal("SELECT 1", [at("days/1.csv"), at("days/../days/1.csv")])).toMatch(/OST_CONFIG.*same name/);
    expect(await refusal("SELECT 1", at("none.csv"))).toMatch(/OST_FILE.*does not exist/);
    await writeFile(at("ragged.csv"), "a,b\n1,2\n3\n");
    expect(await refusal("SELECT sum(a) AS s FROM ragged", at("ragged.csv"))).toMatch(/OST_\w+.*ragged\.csv|OST_/);
  });

  it("reads nothing but its sources and writes nothing", async () => {
    expect(await refusal(`SELECT * FROM read_csv('${at("wide.csv")}')`)).toMatch(/OST_CONFIG.*Permission Error/);
    expect(await refusal(`COPY (SELECT 1) TO '${at("out.csv")}'`)).toMatch(/OST_CONFIG/);
    expect(await refusal("SET threads = 8")).toMatch(/OST_CONFIG/);
  });

  it("says what to install where DuckDB is absent", async () => {
    vi.doMock("@duckdb/node-api", () => {
      throw new Error("Cannot find package");
    });
    expect(await refusal("SELECT 1")).toMatch(/OST_FORMAT.*\n.*npm install @duckdb\/node-api/);
    vi.doUnmock("@duckdb/node-api");
  });
});

/**
 * @file Queries over files with DuckDB, which is optional: `npm install @duckdb/node-api`.
 *
 * Every source is a view. CSV, TSV, NDJSON and Parquet files are read by DuckDB as the query needs them; every other format, and settings
 * that DuckDB has no equal for, are read by the readers here and loaded as a table first. The query can read nothing but these files, and
 * write nothing.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import type { DuckDBConnection, DuckDBResult, DuckDBType, DuckDBValue } from "@duckdb/node-api";
import { OstinatoError } from "../../core/errors.js";
import { numberReader } from "../number-format.js";
import type { Table, TableChunk } from "../table.js";
import { type ReadChunksOptions, tableOf } from "./file-chunks.js";
import { isGlob, splitGlob } from "./glob.js";
import { type ReadOptions, resolveRead } from "./options.js";
import { ProgressMeter } from "./progress.js";
import { type Cell, Sheet } from "./sheet.js";
import { type DataFiles, isByPart, type SourceFile, sourceFiles, stemOf } from "./source-file.js";
import { taken } from "./text-reader.js";

export interface QueryOptions extends Omit<ReadChunksOptions, "sql"> {
  /** By the names of their views, or in a list, where a view has the name of its file or folder without extension. */
  files: DataFiles;
  /** What relative paths are relative to; default the working folder. */
  folder?: string;
  /** What DuckDB may hold in memory before it uses temporary files. Default "512MB". */
  memoryLimit?: string;
}

type DuckDB = typeof import("@duckdb/node-api");

/** Texts that DuckDB shall take as missing, as every reader here does. */
const NULLS = ["", "NA", "na", "Na", "nA", "NaN", "nan", "NAN", "Nan", "null", "NULL", "Null"];
const NATIVE = new Set(["csv", "tsv", "ndjson", "parquet"]);
const BATCH = 2048;

/**
 * The result of one SELECT over files, in chunks. Whole numbers and decimals keep all their digits, times are ISO 8601 (UTC where they
 * have no zone), NULL is missing. The order of rows is that of the query; without ORDER BY it is that of the files where DuckDB keeps it.
 *
 * @throws OST_FORMAT if DuckDB is not installed, or a result column is a list or a structure.
 * @throws OST_CONFIG if the query is no single SELECT or not well-formed; its line and column are named.
 * @throws OST_COLUMN if it names what is not there, or two result columns have one name. @throws OST_VALUE if it fails on a value.
 */
export async function* querySql(sql: string, options: QueryOptions): AsyncGenerator<TableChunk> {
  const { folder = ".", memoryLimit = "512MB", signal } = options;
  const read = resolveRead(options.read);
  const duckdb = await loadDuckDB();
  const scratch = await mkdtemp(join(tmpdir(), "ostinato-sql-"));
  const instance = await duckdb.DuckDBInstance.create(":memory:", {
    threads: "2",
    memory_limit: memoryLimit,
    temp_directory: scratch,
    autoinstall_known_extensions: "false",
  });
  const connection = await instance.connect();
  const interrupt = () => connection.interrupt();
  signal?.addEventListener("abort", interrupt);
  try {
    await connection.run("SET TimeZone = 'UTC'");
    const sources = await viewSources(options.files, folder, read);
    const meter = new ProgressMeter(
      options.onProgress,
      sources.flatMap(({ files }) => files).reduce((sum, { bytes }) => sum + bytes, 0),
    );
    const views: string[] = [];
    for (const source of sources) {
      signal?.throwIfAborted();
      meter.begin(source.name);
      yield* createView(duckdb, connection, source, read, views);
      views.push(source.name);
    }
    await confine(connection, sources);
    meter.begin("data.sql");
    const result = await select(duckdb, connection, sql, views);
    for await (const chunk of resultChunks(duckdb, result, options, read)) {
      signal?.throwIfAborted();
      meter.addRows(chunk.rows);
      yield chunk;
    }
    meter.end();
  } finally {
    signal?.removeEventListener("abort", interrupt);
    connection.closeSync();
    instance.closeSync();
    await rm(scratch, { recursive: true, force: true });
  }
}

async function loadDuckDB(): Promise<DuckDB> {
  try {
    return await import("@duckdb/node-api");
  } catch (cause) {
    throw new OstinatoError(
      "OST_FORMAT",
      {
        what: "queries need DuckDB, which is not installed",
        expected: "the package @duckdb/node-api",
        where: "data.sql",
        repair: "npm install @duckdb/node-api",
      },
      { cause },
    );
  }
}

interface ViewSource {
  name: string;
  path: string;
  files: SourceFile[];
}

async function viewSources(files: DataFiles, folder: string, read: Required<ReadOptions>): Promise<ViewSource[]> {
  const named: [string, string][] = isByPart(files)
    ? Object.entries(files)
    : (typeof files === "string" ? [files] : files).map((path) => [viewName(path), path]);
  const twice = named.find(([name], i) => named.findIndex(([other]) => other.toLowerCase() === name.toLowerCase()) !== i);
  if (twice) {
    throw new OstinatoError("OST_CONFIG", {
      what: "two sources would be views of the same name",
      expected: "names that differ, whatever their case",
      got: `"${twice[0]}" twice`,
      where: "data.source",
      repair: "name them: source: { first: a/data.csv, second: b/data.csv }",
    });
  }
  const sources: ViewSource[] = [];
  for (const [name, relative] of named) {
    const path = resolve(folder, relative);
    sources.push({ name, path, files: (await sourceFiles(path, read)).files });
  }
  return sources;
}

function viewName(path: string): string {
  return isGlob(path) ? basename(resolve(splitGlob(path).folder)) : stemOf(resolve(path));
}

/** Makes the view of a source. Gives out no rows, only what rows of a file that was read here were left out. */
async function* createView(
  duckdb: DuckDB,
  connection: DuckDBConnection,
  source: ViewSource,
  read: Required<ReadOptions>,
  views: readonly string[],
): AsyncGenerator<TableChunk> {
  if (source.files.every((file) => isNative(file, read))) {
    try {
      const scan = await scanOf(connection, source.files, read);
      await connection.run(`CREATE VIEW ${identifier(source.name)} AS ${withFixed(source.files, scan)}`);
    } catch (cause) {
      throw unreadableBy(cause, source.path);
    }
    return;
  }
  const table = await tableOf(source.path, { read });
  await load(duckdb, connection, source.name, table, views);
  for (const { name, skipped = [] } of table.files) {
    if (skipped.length === 0) continue;
    const first = table.skipped?.first ?? [];
    const reasons = skipped.map((row, i) => ({ row, why: first[i] ?? "" }));
    yield { source: name, firstRow: 1, rows: 0, columns: [], skipped: reasons };
  }
}

/** Whether DuckDB reads the file as the readers here would. */
function isNative({ format }: SourceFile, read: Required<ReadOptions>): boolean {
  if (!NATIVE.has(format) || read.encoding !== "utf-8" || read.bad !== "refuse") return false;
  const plain = read.decimal === "." && read.thousands === null && read.comment === null;
  return plain && (read.delimiter === null || read.delimiter.length === 1);
}

/** The column of a scan of several files that holds their paths. */
const PATH = "ostinato path";

/** DuckDB's reader over files of one format. */
async function scanOf(connection: DuckDBConnection, files: readonly SourceFile[], read: Required<ReadOptions>): Promise<string> {
  const [{ format, path: first }] = files;
  const settings = [`[${files.map(({ path }) => text(path)).join(", ")}]`];
  if (files.some(({ fixed }) => fixed.length > 0)) settings.push(`filename = ${text(PATH)}`);
  if (files.length > 1) settings.push("union_by_name = true");
  if (format === "parquet") return `read_parquet(${settings.join(", ")})`;
  settings.push("sample_size = -1");
  const packed = files.filter(({ path }) => /\.gz$/i.test(path)).length;
  if (packed === 0 || packed === files.length) settings.push(`compression = ${/\.gz$/i.test(first) ? "'gzip'" : "'none'"}`);
  if (format === "ndjson") {
    return `read_json(${settings.join(", ")}, format = 'newline_delimited', convert_strings_to_integers = false)`;
  }
  settings.push(
    `delim = ${text(read.delimiter ?? (format === "tsv" ? "\t" : ","))}`,
    `quote = ${text(read.quote ?? "")}`,
    `escape = ${text(read.quote ?? "")}`,
    `header = ${read.header}`,
    `nullstr = [${NULLS.map(text).join(", ")}]`,
  );
  if (!read.header && read.columns) settings.push(`names = [${read.columns.map(text).join(", ")}]`);
  const wide = await wideColumns(connection, `read_csv(${settings.join(", ")})`);
  if (wide.length > 0) settings.push(`types = {${wide.map((name) => `${text(name)}: 'VARCHAR'`).join(", ")}}`);
  return `read_csv(${settings.join(", ")})`;
}

/** A query for the rows of a scan with the columns that hold one value throughout a file. */
function withFixed(files: readonly SourceFile[], scan: string): string {
  const names = files[0].fixed.map(([name]) => identifier(name));
  if (names.length === 0) return `SELECT * FROM ${scan}`;
  const path = identifier(PATH);
  const values = files.map(({ path: full, fixed }) => `(${[full, ...fixed.map(([, value]) => value)].map(text).join(", ")})`);
  const known = `(VALUES ${values.join(", ")}) AS known(${[path, ...names].join(", ")})`;
  return `SELECT rows.* EXCLUDE (${path}), ${names.map((name) => `known.${name}`).join(", ")} FROM ${scan} AS rows JOIN ${known} USING (${path})`;
}

/** Columns of numbers that go beyond 64 bits: DuckDB would take such ids for floats and make two of them one. */
async function wideColumns(connection: DuckDBConnection, scan: string): Promise<string[]> {
  const described = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${scan}`);
  const floats = described.getRows().flatMap(([name, type]) => (type === "DOUBLE" ? [String(name)] : []));
  if (floats.length === 0) return [];
  const largest = floats.map((name) => `max(abs(${identifier(name)})) FILTER (isfinite(${identifier(name)})) >= 9.2e18`);
  const [wide] = (await connection.runAndReadAll(`SELECT ${largest.join(", ")} FROM ${scan}`)).getRows();
  return floats.filter((_, i) => wide[i] === true);
}

async function load(
  duckdb: DuckDB,
  connection: DuckDBConnection,
  name: string,
  { columns, rows }: Table,
  views: readonly string[],
): Promise<void> {
  const kept = columns.map(({ numbers, texts }) => {
    if (texts) return { type: duckdb.VARCHAR as DuckDBType, at: (i: number): DuckDBValue => (texts[i] === "" ? null : texts[i]) };
    const whole = numbers!.every((value) => Number.isNaN(value) || Number.isSafeInteger(value));
    return {
      type: (whole ? duckdb.BIGINT : duckdb.DOUBLE) as DuckDBType,
      at: (i: number): DuckDBValue => (Number.isNaN(numbers![i]) ? null : whole ? BigInt(numbers![i]) : numbers![i]),
    };
  });
  const definitions = columns.map((column, c) => `${identifier(column.name)} ${kept[c].type}`);
  try {
    await connection.run(`CREATE TABLE ${identifier(name)} (${definitions.join(", ")})`);
  } catch (cause) {
    throw sqlError(cause, "", views);
  }
  const appender = await connection.createAppender(name);
  const types = kept.map(({ type }) => type);
  for (let from = 0; from < rows; from += BATCH) {
    const count = Math.min(BATCH, rows - from);
    const chunk = duckdb.DuckDBDataChunk.create(types, count);
    chunk.setColumns(kept.map(({ at }) => Array.from({ length: count }, (_, i) => at(from + i))));
    appender.appendDataChunk(chunk);
  }
  appender.closeSync();
}

/** From here on the connection reads the sources' files only, and no setting changes that. */
async function confine(connection: DuckDBConnection, sources: readonly ViewSource[]): Promise<void> {
  const paths = sources.flatMap(({ files }) => files.map(({ path }) => text(path)));
  await connection.run(`SET allowed_paths = [${paths.join(", ")}]`);
  await connection.run("SET enable_external_access = false");
  await connection.run("SET lock_configuration = true");
}

async function select(
  duckdb: DuckDB,
  connection: DuckDBConnection,
  sql: string,
  views: readonly string[],
): Promise<DuckDBResult> {
  const refuse = (got: string) =>
    new OstinatoError("OST_CONFIG", {
      what: "data.sql is no single query",
      expected: "one SELECT",
      got,
      where: "data.sql",
      repair: "use WITH for steps on the way",
    });
  try {
    const statements = await connection.extractStatements(sql);
    if (statements.count !== 1) throw refuse(`${statements.count} statements`);
    const prepared = await statements.prepare(0);
    if (prepared.statementType !== duckdb.StatementType.SELECT) throw refuse("a statement of another kind");
    return await prepared.stream();
  } catch (cause) {
    throw sqlError(cause, sql, views);
  }
}

async function* resultChunks(
  duckdb: DuckDB,
  result: DuckDBResult,
  { text: asText = [], only, numeric = [], chunkRows = 8192, chunkBytes = 1 << 22 }: QueryOptions,
  read: Required<ReadOptions>,
): AsyncGenerator<TableChunk> {
  const names = result.columnNames();
  const types = result.columnTypes();
  const sheet = new Sheet("data.sql", {
    only: only ? new Set(only) : null,
    text: new Set(asText),
    numeric: new Set(numeric),
    parse: numberReader(".", null),
    bad: read.bad,
    chunkRows,
    chunkBytes,
  });
  sheet.addColumns(names);
  const cells = types.map((type, c) => cellReader(duckdb, type, names[c]));
  for (;;) {
    const fetched = await result.fetchChunk().catch((cause) => {
      throw sqlError(cause, "", []);
    });
    if (!fetched || fetched.rowCount === 0) break;
    const columns = fetched.getColumns();
    for (let r = 0; r < fetched.rowCount; r++) {
      let size = 0;
      const row = columns.map((column, c) => {
        const cell = cells[c](column[r]);
        size += typeof cell === "string" ? cell.length : 8;
        return cell;
      });
      sheet.row(row, size);
      if (sheet.full) yield* taken(sheet);
    }
  }
  yield* taken(sheet);
}

/** How the values of a type become cells. @throws OST_FORMAT for a type that is no single value. */
function cellReader(duckdb: DuckDB, type: DuckDBType, name: string): (value: DuckDBValue) => Cell {
  const id = duckdb.DuckDBTypeId;
  switch (type.typeId) {
    case id.LIST:
    case id.STRUCT:
    case id.MAP:
    case id.ARRAY:
    case id.UNION:
    case id.BLOB:
    case id.GEOMETRY:
    case id.VARIANT:
      throw new OstinatoError("OST_FORMAT", {
        what: `the result column "${name}" is no single value`,
        expected: "numbers, texts, booleans, dates or times",
        got: String(type),
        where: "data.sql",
        repair: `take one value of it, or leave it out of the SELECT`,
      });
    case id.TIMESTAMP:
    case id.TIMESTAMP_S:
    case id.TIMESTAMP_MS:
    case id.TIMESTAMP_NS:
    case id.TIMESTAMP_TZ:
      return (value) => (value === null ? "" : String(value).replace(/^(\S+) ([\d:.]+)(?:\+00)?$/, "$1T$2Z"));
    default:
      return (value) => {
        if (value === null) return "";
        return typeof value === "number" || typeof value === "bigint" ? value : String(value);
      };
  }
}

function unreadableBy(cause: unknown, path: string): OstinatoError {
  return new OstinatoError(
    "OST_FORMAT",
    {
      what: "the file cannot be read",
      expected: "a file of its format",
      got: firstLine(cause),
      where: path,
      repair: "check the file and data.read",
    },
    { cause },
  );
}

/** DuckDB's message as ours, with the place in the query where it says one. */
function sqlError(cause: unknown, sql: string, views: readonly string[]): unknown {
  if (cause instanceof OstinatoError || !(cause instanceof Error)) return cause;
  const what = firstLine(cause);
  const [, line, shown = ""] = /^LINE (\d+): (.*)$/m.exec(cause.message) ?? [];
  const caret = /^( *)\^/m.exec(cause.message)?.[1].length ?? -1;
  const before = `LINE ${line}: `.length;
  const column = line !== undefined && caret >= before && !shown.startsWith("...") ? caret - before + 1 : null;
  const where = line === undefined ? "data.sql" : `data.sql line ${line}${column === null ? "" : ` column ${column}`}`;
  const candidates = /^(?:Candidate bindings|Did you mean)[^\n]*/m.exec(cause.message)?.[0];
  const missing = /^(?:Catalog|Binder) Error: (?:Referenced|Table|.*does not exist|.*not found)/.test(cause.message);
  const running = /^(?:Conversion|Out of Range|Invalid Input|Constraint) Error/.test(cause.message);
  return new OstinatoError(
    missing ? "OST_COLUMN" : running ? "OST_VALUE" : "OST_CONFIG",
    {
      what: missing ? "the query names what is not there" : running ? "the query fails on a value" : "the query cannot be run",
      expected: missing && views.length > 0 ? `the views ${views.join(", ")} and their columns` : undefined,
      got: what,
      where,
      repair: candidates ?? (sql === "" ? "use TRY_CAST where a cell may be unreadable" : "correct data.sql"),
    },
    { cause },
  );
}

function firstLine(cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).split("\n")[0];
}

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

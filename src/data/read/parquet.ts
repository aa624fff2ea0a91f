/**
 * @file Parquet, row group by row group and column by column, page by page where the file has an index of its pages.
 *
 * Whole numbers and decimals keep all their digits, times become ISO 8601 in UTC with the fraction they have. A column of lists, maps or
 * structures has no single value per row and is refused.
 */
import { type FileHandle, open } from "node:fs/promises";
import {
  type AsyncBuffer,
  type FileMetaData,
  type ParquetParsers,
  parquetMetadataAsync,
  parquetScan,
  type SchemaElement,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { OstinatoError } from "../../core/errors.js";
import type { TableChunk } from "../table.js";
import { unreadable } from "./bytes.js";
import { checkPages } from "./parquet-page.js";
import type { Cell, Sheet } from "./sheet.js";
import { noRows, taken } from "./text-reader.js";

export interface ParquetOptions {
  onBytes?: (count: number) => void;
  signal?: AbortSignal;
}

/** Rows of a group read at once where its pages are indexed. */
const STRETCH = 1 << 16;

/**
 * @throws OST_FILE if the file cannot be read or has no rows. @throws OST_FORMAT if it is cut off, damaged or holds nested columns.
 */
export async function* readParquet(
  path: string,
  sheet: Sheet,
  { onBytes, signal }: ParquetOptions = {},
): AsyncGenerator<TableChunk> {
  const handle = await open(path, "r").catch((cause) => {
    throw unreadable(path, cause);
  });
  try {
    const file = await bufferOf(handle, path, onBytes);
    const metadata = await attempt(() => parquetMetadataAsync(file, { geoparquet: false }), sheet.source, "its footer");
    const schema = flatColumns(metadata, sheet);
    const names = [...schema.keys()];
    const scales = new Map(names.map((name) => [name, decimalScale(schema.get(name)!)]));
    sheet.addColumns(names);
    if (metadata.num_rows === 0n) throw noRows(sheet.source, "at least one row", "a schema only");
    const wanted = names.filter((name) => sheet.plan.only?.has(name) ?? true);
    const scan = await attempt(
      () => parquetScan({ file, metadata, columns: wanted, compressors, utf8: false, parsers: PARSERS, geoparquet: false }),
      sheet.source,
      "its footer",
    );
    const quiet = await bufferOf(handle, path);
    await attempt(() => checkGroups(quiet, metadata, wanted), sheet.source, "its pages");
    const indexed = metadata.row_groups.every(({ columns }) => columns.every(({ offset_index_offset }) => offset_index_offset));
    const empty = names.map(() => "");
    for (const range of scan.ranges) {
      const step = indexed ? STRETCH : range.rowEnd - range.rowStart;
      for (let rowStart = range.rowStart; rowStart < range.rowEnd; rowStart += step) {
        const rowEnd = Math.min(rowStart + step, range.rowEnd);
        const columns: ArrayLike<unknown>[] = [];
        for (const column of wanted) {
          signal?.throwIfAborted();
          const where = `rows ${rowStart + 1} to ${rowEnd} of column "${column}"`;
          const values = await attempt(() => scan.readColumn({ column, rowStart, rowEnd }), sheet.source, where);
          if (values.length !== rowEnd - rowStart) throw damaged(sheet.source, where, `${values.length} values`);
          columns.push(values);
        }
        const places = wanted.map((name) => names.indexOf(name));
        for (let r = 0; r < rowEnd - rowStart; r++) {
          const row: Cell[] = empty.slice();
          let size = 0;
          for (let c = 0; c < columns.length; c++) {
            const cell = cellOf(columns[c][r], scales.get(wanted[c])!, wanted[c], sheet.source, rowStart + r + 1);
            row[places[c]] = cell;
            size += typeof cell === "string" ? cell.length : 8;
          }
          sheet.row(row, size);
          if (sheet.full) yield* taken(sheet);
        }
      }
    }
    yield* taken(sheet);
  } finally {
    await handle.close();
  }
}

async function bufferOf(handle: FileHandle, path: string, onBytes?: (count: number) => void): Promise<AsyncBuffer> {
  const info = await handle.stat();
  if (info.isDirectory()) throw unreadable(path, Object.assign(new Error("a folder"), { code: "EISDIR" }));
  const byteLength = info.size;
  if (byteLength === 0) {
    throw new OstinatoError("OST_FILE", { what: "the file is empty", expected: "data", got: "0 bytes", where: path });
  }
  return {
    byteLength,
    async slice(start, end = byteLength) {
      const from = start < 0 ? Math.max(0, byteLength + start) : start;
      const length = Math.min(end, byteLength) - from;
      if (!(length >= 0)) throw new RangeError(`bytes ${from} to ${end} of ${byteLength}`);
      const bytes = new Uint8Array(length);
      let got = 0;
      while (got < length) {
        const { bytesRead } = await handle.read(bytes, got, length - got, from + got);
        if (bytesRead === 0) throw new RangeError(`the file ends at byte ${from + got}`);
        got += bytesRead;
      }
      onBytes?.(length);
      return bytes.buffer;
    },
  };
}

/** Nothing that the footer or a page says is followed before it is known to lie within the file. */
async function checkGroups(
  file: AsyncBuffer,
  { row_groups: groups, num_rows: rows }: FileMetaData,
  wanted: readonly string[],
): Promise<void> {
  const sum = groups.reduce((total, group) => total + group.num_rows, 0n);
  if (sum !== rows || rows > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error(`${rows} rows, and ${sum} in its groups`);
  for (const { columns, num_rows: count } of groups) {
    if (count < 0n) throw new Error(`a group of ${count} rows`);
    if (count === 0n) continue;
    for (const { meta_data: meta } of columns) {
      if (meta && wanted.includes(meta.path_in_schema[0])) await checkPages(file, meta, Number(count));
    }
  }
}

/** The top-level columns by name; decimals stripped of their annotation, so that their digits arrive as they are stored. */
function flatColumns({ schema }: FileMetaData, sheet: Sheet): Map<string, SchemaElement> {
  const columns = new Map<string, SchemaElement>();
  for (let i = 1; i < schema.length; ) {
    const element = schema[i];
    const nested = (element.num_children ?? 0) > 0 || element.repetition_type === "REPEATED";
    if (nested && (sheet.plan.only?.has(element.name) ?? true)) {
      throw new OstinatoError("OST_FORMAT", {
        what: `the column "${element.name}" is nested`,
        expected: "one value per row",
        got: element.logical_type?.type ?? element.converted_type ?? "a structure",
        where: `${sheet.source} column "${element.name}"`,
        repair: "leave the column out, or flatten it with data.sql",
      });
    }
    columns.set(element.name, { ...element });
    if (element.converted_type === "DECIMAL" || element.logical_type?.type === "DECIMAL") {
      element.converted_type = undefined;
      element.logical_type = undefined;
    }
    i += size(schema, i);
  }
  return columns;
}

/** Entries of the schema that an element takes with all below it. */
function size(schema: readonly SchemaElement[], at: number): number {
  let left = schema[at].num_children ?? 0;
  let next = at + 1;
  for (; left > 0 && next < schema.length; next++) left += (schema[next].num_children ?? 0) - 1;
  return next - at;
}

function decimalScale({ converted_type: converted, logical_type: logical, scale }: SchemaElement): number | null {
  if (logical?.type === "DECIMAL") return logical.scale;
  return converted === "DECIMAL" ? (scale ?? 0) : null;
}

const strict = new TextDecoder("utf-8", { fatal: true });

const PARSERS: Partial<ParquetParsers> = {
  timestampFromMilliseconds: (value) => isoTime(value, 3),
  timestampFromMicroseconds: (value) => isoTime(value, 6),
  timestampFromNanoseconds: (value) => isoTime(value, 9),
  dateFromDays: (days) => (days === undefined || days === null ? days : isoTime(BigInt(days) * 86_400n, 0).slice(0, -10)),
  jsonFromBytes: (bytes) => bytes && strict.decode(bytes),
};

/** A count of 10^-digits seconds since 1970 as ISO 8601; years beyond what a Date holds stay numbers. */
export function isoTime(count: bigint, digits: number): string {
  if (count === undefined || count === null) return "";
  const unit = 10n ** BigInt(digits);
  const fraction = ((count % unit) + unit) % unit;
  const seconds = (count - fraction) / unit;
  if (seconds > 253_402_300_799n || seconds < -62_135_596_800n) return String(count);
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, -5);
  return fraction === 0n ? `${whole}Z` : `${whole}.${String(fraction).padStart(digits, "0").replace(/0+$/, "")}Z`;
}

function cellOf(value: unknown, scale: number | null, column: string, source: string, row: number): Cell {
  if (value === null || value === undefined) return "";
  if (scale !== null) return decimalText(value as number | bigint | Uint8Array, scale);
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "string") return value;
  if (typeof value === "boolean") return String(value);
  if (value instanceof Uint8Array) {
    try {
      return strict.decode(value);
    } catch {
      // Falls through: bytes that are no text are no cell.
    }
  }
  throw new OstinatoError("OST_FORMAT", {
    what: `the column "${column}" holds binary data`,
    expected: "numbers, texts, booleans, dates or times",
    got: value instanceof Uint8Array ? `${value.length} bytes that are no text` : "a value of another kind",
    where: `${source} row ${row} column "${column}"`,
    repair: "leave the column out",
  });
}

/** A decimal with all its digits. */
export function decimalText(value: number | bigint | Uint8Array, scale: number): string {
  const whole = value instanceof Uint8Array ? signed(value) : BigInt(value);
  if (scale <= 0) return String(whole * 10n ** BigInt(-scale));
  const digits = String(whole < 0n ? -whole : whole).padStart(scale + 1, "0");
  return `${whole < 0n ? "-" : ""}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

function signed(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return BigInt.asIntN(bytes.length * 8, value);
}

async function attempt<T>(work: () => Promise<T> | T, source: string, where: string): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof OstinatoError) throw cause;
    throw damaged(source, where, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function damaged(source: string, where: string, got: string, cause?: unknown): OstinatoError {
  return new OstinatoError(
    "OST_FORMAT",
    {
      what: "the Parquet file cannot be read",
      expected: "a whole file, with its footer at the end",
      got,
      where: `${source}: ${where}`,
      repair: "the file may be cut off or damaged: fetch it again",
    },
    { cause },
  );
}

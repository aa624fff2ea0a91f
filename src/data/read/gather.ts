/**
 * @file A table out of chunks.
 */
import { OstinatoError } from "../../core/errors.js";
import type { NumberReader } from "../number-format.js";
import { type Column, fileOfChunk, type Table, type TableChunk, type TableFile } from "../table.js";

/** A table, or the columns of which texts are wanted that the chunks gave as numbers. */
export type Gathered = { table: Table; texts: null } | { table: null; texts: string[] };

interface Gathering {
  name: string;
  parts: { rows: number; cells: readonly string[] | Float64Array; blank: boolean }[];
  /** Whether a chunk held texts, and whether one held numbers that may have been written in another way. */
  texts: boolean;
  numbers: boolean;
  verbatim: boolean;
}

const FIRST = 5;
/** Files of a folder that are named one by one. */
const NAMED = 8;

/**
 * Puts chunks below each other. A column that some chunks give as texts and others as numbers must be read again as text, since what was
 * written cannot be told from the numbers.
 *
 * @throws OST_FILE if there is no row.
 */
export async function gather(chunks: AsyncIterable<TableChunk>, parse: NumberReader, where: string): Promise<Gathered> {
  const columns = new Map<string, Gathering>();
  const files: TableFile[] = [];
  const skipped = { rows: 0, first: [] as string[] };
  let rows = 0;
  let again = false;
  for await (const chunk of chunks) {
    const file = fileOfChunk(files, chunk);
    for (const { row, why } of chunk.skipped) {
      skipped.rows++;
      if (why !== "" && skipped.first.length < FIRST) skipped.first.push(why);
      (file.skipped ??= []).push(row);
    }
    file.rows += chunk.rows;
    if (chunk.rows === 0) continue;
    const given = new Set(chunk.columns.map(({ name }) => name));
    for (const { name, cells, blank = false, verbatim = false } of chunk.columns) {
      let column = columns.get(name);
      if (!column) columns.set(name, (column = { name, parts: [], texts: false, numbers: false, verbatim }));
      if (column.parts.length === 0 && rows > 0) column.parts.push(absent(rows));
      column.parts.push({ rows: chunk.rows, cells, blank });
      if (Array.isArray(cells)) column.texts = true;
      else if (!blank) column.numbers = true;
      again ||= column.texts && column.numbers;
    }
    for (const column of columns.values()) if (!given.has(column.name)) column.parts.push(absent(chunk.rows));
    rows += chunk.rows;
    if (again) for (const column of columns.values()) column.parts = [];
  }
  if (rows === 0) throw nothingRead(skipped, where);
  const mixed = [...columns.values()].filter(({ texts, numbers }) => texts && numbers).map(({ name }) => name);
  if (mixed.length > 0) return { table: null, texts: [...columns.values()].filter(({ texts }) => texts).map(({ name }) => name) };
  const table: Table = { source: sourceName(files), rows, columns: [], files };
  for (const column of columns.values()) {
    table.columns.push(joined(column, rows, parse));
    column.parts = [];
  }
  if (skipped.rows > 0) table.skipped = skipped;
  return { table, texts: null };
}

/** What messages call several files. */
function sourceName(files: readonly TableFile[]): string {
  const names = files.slice(0, NAMED).map(({ name }) => name);
  return names.join(" + ") + (files.length > NAMED ? ` + ${files.length - NAMED} more` : "");
}

/** Cells of a column before its first chunk, or in a chunk that lacks it. */
function absent(rows: number): Gathering["parts"][number] {
  return { rows, cells: new Float64Array(rows).fill(Number.NaN), blank: true };
}

function joined({ name, parts, texts, verbatim }: Gathering, rows: number, parse: NumberReader): Column {
  const numbers = new Float64Array(rows);
  if (!texts) {
    let at = 0;
    for (const { cells } of parts) {
      numbers.set(cells as Float64Array, at);
      at += cells.length;
    }
    return { name, numbers, texts: null };
  }
  const all: string[] = [];
  for (const { cells, rows: count } of parts) {
    if (Array.isArray(cells)) for (const cell of cells) all.push(cell);
    else for (let i = 0; i < count; i++) all.push("");
  }
  let numeric = true;
  for (let i = 0; i < all.length && numeric; i++) {
    const value = parse(all[i]);
    if (value === undefined) numeric = false;
    else numbers[i] = value;
  }
  const column: Column = { name, numbers: numeric ? numbers : null, texts: all };
  return verbatim ? { ...column, verbatim } : column;
}

function nothingRead({ rows, first }: { rows: number; first: string[] }, where: string): OstinatoError {
  return new OstinatoError("OST_FILE", {
    what: rows > 0 ? "no row of the data can be read" : "the data have no rows",
    expected: "at least one row",
    got: rows > 0 ? `${rows} rows left out, the first because of: ${first[0]}` : "none",
    where,
    repair: rows > 0 ? "check data.read" : undefined,
  });
}

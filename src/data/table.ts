/**
 * @file A table of columns: raw records, typed, with the place of every row for messages.
 */
import { nearest, OstinatoError } from "../core/errors.js";
import { listCell, MISSING, NUMBER, parseNumber, parseTime } from "./cell.js";
import { localSetting } from "./number-format.js";

/** One column. A numeric column holds `numbers` (NaN = missing); any other, and one that was asked for as text, holds `texts`. */
export interface Column {
  name: string;
  numbers: Float64Array | null;
  texts: string[] | null;
  /** Whether its texts stand for themselves, so that "NA" and "null" are words and only "" is missing. */
  verbatim?: boolean;
}

export interface Table {
  /** What messages call it. */
  source: string;
  rows: number;
  columns: Column[];
  /** The files it was joined from, in order, so that a message can name a row of a file. */
  files: TableFile[];
  /** Rows that could not be read and were left out, and why the first of them were. */
  skipped?: { rows: number; first: string[] };
  /** Entries of a folder that are of no known format, or whose names do not fit the pattern. */
  ignoredFiles?: number;
}

export interface TableFile {
  name: string;
  rows: number;
  /** Rows of the file before the first of the table, where the table begins in its midst. */
  from?: number;
  /** The rows of the file that were left out, ascending, 1-based among all its rows. */
  skipped?: number[];
}

/** One column of a chunk: numbers (NaN = missing), or the texts of cells. */
export interface ChunkColumn {
  name: string;
  cells: readonly string[] | Float64Array;
  /** Set where every cell of numbers is an empty one, so that the column may yet turn out to hold texts. */
  blank?: boolean;
  verbatim?: boolean;
}

/** Some thousand rows of one file. A table is the concatenation of its chunks. */
export interface TableChunk {
  /** What messages call the file. */
  source: string;
  /** The place of the first row in its file, 1-based, rows left out included. */
  firstRow: number;
  rows: number;
  columns: ChunkColumn[];
  /** Rows of the file, up to this chunk's last, that could not be read and were left out; `why` is "" after the first few of a file. */
  skipped: readonly { row: number; why: string }[];
}

/** A chunk as a table of its own; its messages name the rows of the file. */
export function tableFromChunk({ source, firstRow, rows, columns }: TableChunk): Table {
  return {
    source,
    rows,
    columns: columns.map(({ name, cells }) =>
      cells instanceof Float64Array ? { name, numbers: cells, texts: null } : { name, numbers: null, texts: cells as string[] },
    ),
    files: [{ name: source, rows, from: firstRow - 1 }],
  };
}

/** The file a chunk goes on with, or a new one: another name, or rows that begin anew. */
export function fileOfChunk(files: TableFile[], { source, firstRow }: Pick<TableChunk, "source" | "firstRow">): TableFile {
  const last = files.at(-1);
  if (last?.name === source && firstRow > last.rows + (last.skipped?.length ?? 0)) return last;
  const file: TableFile = { name: source, rows: 0 };
  files.push(file);
  return file;
}

/** A table before its columns are typed: the cells of each column as text. */
export interface TextTable {
  source: string;
  names: string[];
  /** One array of cells per name. */
  cells: string[][];
}

/**
 * Holds the columns of a file against those of the first; while it is not `whole`, some may still be to come.
 *
 * @throws OST_COLUMN naming the odd one.
 */
export function wantSameColumns(
  first: { source: string; names: readonly string[] },
  { source, names }: { source: string; names: readonly string[] },
  { whole = true }: { whole?: boolean } = {},
): void {
  const odd =
    names.find((name) => !first.names.includes(name)) ?? (whole ? first.names.find((name) => !names.includes(name)) : undefined);
  if (odd === undefined) return;
  throw new OstinatoError("OST_COLUMN", {
    what: "the files have different columns",
    expected: `the columns of ${first.source}: ${first.names.join(", ")}`,
    got: `${names.join(", ")} ("${odd}" is in one only)`,
    where: source,
    repair: "bring the files to the same columns",
  });
}

/**
 * Types the columns of one or more text tables with the same columns, one below the other.
 *
 * @param options `text`: columns whose texts are kept although they are numeric (labels, entities).
 * @throws OST_COLUMN if a name occurs twice, or the tables differ in their columns.
 */
export function tableFromTexts(parts: readonly TextTable[], { text = [] }: { text?: readonly string[] } = {}): Table {
  const [first] = parts;
  for (const { names, source } of parts) {
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) {
      throw new OstinatoError("OST_COLUMN", {
        what: "two columns have the same name",
        got: `"${twice}" twice`,
        where: source,
        repair: "rename one of them",
      });
    }
    wantSameColumns(first, { source, names });
  }
  const columns = first.names.map((name) => {
    const cells =
      parts.length === 1 ? first.cells[first.names.indexOf(name)] : parts.flatMap((part) => part.cells[part.names.indexOf(name)]);
    return typed(name, cells, text.includes(name));
  });
  const files = parts.map(({ source, cells }) => ({ name: source, rows: cells[0]?.length ?? 0 }));
  return {
    source: files.map(({ name }) => name).join(" + "),
    rows: files.reduce((sum, { rows }) => sum + rows, 0),
    columns,
    files,
  };
}

function typed(name: string, cells: string[], keepTexts: boolean): Column {
  const numbers = new Float64Array(cells.length);
  let exact = true;
  for (let i = 0; i < cells.length; i++) {
    const value = parseNumber(cells[i]);
    if (value === undefined) return { name, numbers: null, texts: cells };
    numbers[i] = value;
    exact &&= Math.abs(value) <= Number.MAX_SAFE_INTEGER || Number.isNaN(value) || !WHOLE.test(cells[i]);
  }
  return { name, numbers, texts: keepTexts || !exact ? cells : null };
}

/** A whole number; beyond 2^53 its digits are kept as text too, since two ids must never become one. */
const WHOLE = /^\s*[+-]?\d+\s*$/;

/**
 * A table from records in memory. A column is every key that occurs; a record without it has a missing cell there.
 *
 * @throws OST_VALUE if a value is neither a number, a text, a boolean nor null.
 */
export function tableFromRecords(
  records: readonly Record<string, unknown>[],
  { source = "records", text }: { source?: string; text?: readonly string[] } = {},
): Table {
  return tableFromTexts([textsFromRecords(records, source, (i) => `${source} row ${i + 1}`)], { text });
}

/** The cells of records as text; `where` names record i in a message. */
export function textsFromRecords(
  records: readonly Record<string, unknown>[],
  source: string,
  where: (i: number) => string,
): TextTable {
  const columns = new Map<string, string[]>();
  for (let i = 0; i < records.length; i++) {
    for (const [name, value] of Object.entries(records[i])) {
      let cells = columns.get(name);
      if (!cells) columns.set(name, (cells = new Array<string>(records.length).fill("")));
      if (value === null || value === undefined) continue;
      const list = Array.isArray(value) ? listCell(value) : undefined;
      if (list !== undefined) {
        cells[i] = list;
        continue;
      }
      if (typeof value === "object" || typeof value === "function" || typeof value === "symbol") {
        throw new OstinatoError("OST_VALUE", {
          what: "a record must be flat",
          expected: "a number, a text, a boolean, null, or a list of numbers and of texts without blanks",
          got: `${Array.isArray(value) ? "a list of others" : `a value of type ${typeof value}`} in "${name}"`,
          where: where(i),
          repair: "give each inner value a column of its own",
        });
      }
      cells[i] = String(value);
    }
  }
  return { source, names: [...columns.keys()], cells: [...columns.values()] };
}

/** The name of a row (1-based over the whole table) for messages: its file and its row there. */
export function rowName(table: Pick<Table, "source" | "files">, row: number): string {
  let before = 0;
  for (const { name, rows, from = 0, skipped = [] } of table.files) {
    if (row <= before + rows) {
      let place = row - before + from;
      for (const one of skipped) {
        if (one > place) break;
        place++;
      }
      return `${name} row ${place}`;
    }
    before += rows;
  }
  return `${table.source} row ${row}`;
}

/**
 * The column of that name.
 * @throws OST_COLUMN if there is none, naming the nearest.
 */
export function columnOf(table: Table, name: string, role = "column"): Column {
  const column = table.columns.find((candidate) => candidate.name === name);
  if (column) return column;
  const names = table.columns.map((candidate) => candidate.name);
  const near = nearest(name, names);
  throw new OstinatoError("OST_COLUMN", {
    what: `there is no column for the ${role}`,
    expected: `one of ${names.join(", ")}`,
    got: `"${name}"`,
    where: table.source,
    repair: near === undefined ? "correct the name in data" : `did you mean "${near}"?`,
  });
}

/** The numbers of a column, or OST_VALUE with the first cell that is none. */
export function numbersOf(table: Table, name: string, role: string): Float64Array {
  const { numbers, texts } = columnOf(table, name, role);
  if (numbers) return numbers;
  const bad = texts!.findIndex((text) => parseNumber(text) === undefined);
  throw new OstinatoError("OST_VALUE", {
    what: `${NUMBER.test(texts![bad].trim()) ? "a number beyond 3.4e38" : "text"} in the numeric column "${name}" (${role})`,
    expected: 'a number of float32 range, or an empty cell, "NaN", "NA" or "null" where it is missing',
    got: JSON.stringify(texts![bad]),
    where: `${rowName(table, bad + 1)} column "${name}"`,
    repair: localSetting(texts![bad]) ?? "correct the cell, or leave the column out of features and target",
  });
}

/** The cells of a column without blanks around them; "" where one is missing. */
export function textsOf(table: Table, name: string, role: string): string[] {
  const { numbers, texts, verbatim } = columnOf(table, name, role);
  if (!texts) return Array.from(numbers!, (value) => (Number.isNaN(value) ? "" : String(value)));
  if (verbatim) return texts;
  return texts.map((text) => {
    const cell = text.trim();
    return MISSING.test(cell) ? "" : cell;
  });
}

/** The cells of a column as they were written: a text may be the word "null", and its blanks may mean something. Only "" is missing. */
export function cellsOf(table: Table, name: string, role: string): readonly string[] {
  const { numbers, texts } = columnOf(table, name, role);
  return texts ?? Array.from(numbers!, (value) => (Number.isNaN(value) ? "" : String(value)));
}

export function timesOf(table: Table, name: string): Float64Array {
  const { numbers, texts } = columnOf(table, name, "time");
  const times = new Float64Array(table.rows);
  for (let i = 0; i < table.rows; i++) {
    const value = parseTime(texts ? texts[i] : numbers![i]);
    if (value === undefined) {
      throw new OstinatoError("OST_VALUE", {
        what: "not a time",
        expected: "ISO 8601, YYYY-MM-DD HH:MM:SS, or seconds or milliseconds since 1970",
        got: JSON.stringify(texts ? texts[i] : String(numbers![i])),
        where: `${rowName(table, i + 1)} column "${name}"`,
        repair: "correct the cell, or write the times as ISO 8601",
      });
    }
    times[i] = value;
  }
  return times;
}

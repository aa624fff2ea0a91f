/**
 * @file Raw records: a table of columns, its cut into one series per entity, and a single pushed record.
 *
 * One set of rules reads a cell, whether it comes from a file or is pushed into a session: an empty cell, "NaN", "NA" and "null" (in any
 * case) are missing; anything else in a numeric column must be a finite decimal number.
 */
import { nearest, OstinatoError } from "../core/errors.js";

/** One column. A numeric column holds `numbers` (NaN = missing); any other, and one that was asked for as text, holds `texts`. */
export interface Column {
  name: string;
  numbers: Float64Array | null;
  texts: string[] | null;
}

export interface Table {
  /** What messages call it. */
  source: string;
  rows: number;
  columns: Column[];
  /** The files it was joined from, in order, so that a message can name a row of a file. */
  files: { name: string; rows: number }[];
}

/** A table before its columns are typed: the cells of each column as text. */
export interface TextTable {
  source: string;
  names: string[];
  /** One array of cells per name. */
  cells: string[][];
}

/** Which column plays which role. */
export interface Roles {
  /** Column of times, or null where rows are equally spaced steps. */
  time: string | null;
  /** Column that tells series apart, or null for one series. */
  entity: string | null;
  features: string[];
  target: string[];
  /** Column the split reads (the part's name, or a group), or null. */
  split: string | null;
}

/** The rows of one entity, in their order in the table. F features, K targets. */
export interface Series {
  entity: string;
  rows: number;
  /** Row of the table each came from, 1-based and not counting a header. [rows] */
  row: Int32Array;
  /** Milliseconds since 1970 UTC, strictly increasing; null without a time column. [rows] */
  time: Float64Array | null;
  /** NaN = missing. [rows, F] */
  features: Float64Array;
  /** NaN = missing. [rows, K] */
  target: Float64Array | null;
  /** "" = missing. [rows] */
  labels: string[] | null;
  /** Cells of the column the split reads. [rows] */
  split: string[] | null;
}

/** What a session is pushed, and one line of NDJSON. */
export type RawRecord = Record<string, number | string | null>;

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const MISSING = /^(?:nan|na|null)?$/i;
const TIME = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)([.,]\d{1,9})?)?\s?(Z|[+-]\d\d(?::?\d\d)?)?)?$/i;

/** The last millisecond a Date can hold, in the year 275760. */
const LAST_MS = 8.64e15;

/** The largest magnitude a value may have: models compute in float32, and a value accepted once must never fail later. */
const LARGEST = 3.4028234e38;

/** The number in a cell: NaN where it is missing, undefined where it is no decimal number of float32's range. Zero has no sign: JSON would lose it. */
export function parseNumber(text: string): number | undefined {
  const cell = text.trim();
  if (NUMBER.test(cell)) {
    const value = Number(cell) + 0;
    return Math.abs(value) <= LARGEST ? value : undefined;
  }
  return MISSING.test(cell) ? Number.NaN : undefined;
}

/**
 * Milliseconds since 1970 UTC, or undefined where the value is no time.
 *
 * Reads ISO 8601 and "YYYY-MM-DD HH:MM[:SS[.fff]]" (UTC unless an offset is given), and numbers: below 10^11 in size they are seconds,
 * from there on milliseconds.
 */
export function parseTime(value: string | number): number | undefined {
  const number = typeof value === "number" ? value : parseNumber(value);
  if (number !== undefined) {
    const ms = Math.abs(number) < 1e11 ? number * 1000 : number;
    return Math.abs(ms) <= LAST_MS ? ms : undefined;
  }
  const match = TIME.exec((value as string).trim());
  if (!match) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((digits) => Number(digits ?? 0));
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  date.setUTCFullYear(year);
  const exists = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hour < 24 && minute < 60 && second < 60;
  if (!exists) return undefined;
  const fraction = match[7] ? Number(`0.${match[7].slice(1)}`) * 1000 : 0;
  return date.getTime() + fraction - offsetMs(match[8]);
}

/** A time for messages: ISO 8601 in UTC. */
export function timeName(ms: number): string {
  return Math.abs(ms) <= LAST_MS ? new Date(ms).toISOString() : String(ms);
}

function offsetMs(zone: string | undefined): number {
  if (!zone || zone.toUpperCase() === "Z") return 0;
  const digits = zone.slice(1).replace(":", "");
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2) || 0);
  return (zone[0] === "-" ? -1 : 1) * minutes * 60_000;
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
    const odd = names.find((name) => !first.names.includes(name)) ?? first.names.find((name) => !names.includes(name));
    if (odd !== undefined) {
      throw new OstinatoError("OST_COLUMN", {
        what: "the files have different columns",
        expected: `the columns of ${first.source}: ${first.names.join(", ")}`,
        got: `${names.join(", ")} ("${odd}" is in one only)`,
        where: source,
        repair: "bring the files to the same columns",
      });
    }
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
  for (let i = 0; i < cells.length; i++) {
    const value = parseNumber(cells[i]);
    if (value === undefined) return { name, numbers: null, texts: cells };
    numbers[i] = value;
  }
  return { name, numbers, texts: keepTexts ? cells : null };
}

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
      if (typeof value === "object" || typeof value === "function" || typeof value === "symbol") {
        throw new OstinatoError("OST_VALUE", {
          what: "a record must be flat",
          expected: "a number, a text, a boolean or null",
          got: `${Array.isArray(value) ? "a list" : `a value of type ${typeof value}`} in "${name}"`,
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
  for (const { name, rows } of table.files) {
    if (row <= before + rows) return `${name} row ${row - before}`;
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
function numbersOf(table: Table, name: string, role: string): Float64Array {
  const { numbers, texts } = columnOf(table, name, role);
  if (numbers) return numbers;
  const bad = texts!.findIndex((text) => parseNumber(text) === undefined);
  throw new OstinatoError("OST_VALUE", {
    what: `${NUMBER.test(texts![bad].trim()) ? "a number beyond 3.4e38" : "text"} in the numeric column "${name}" (${role})`,
    expected: 'a number of float32 range, or an empty cell, "NaN", "NA" or "null" where it is missing',
    got: JSON.stringify(texts![bad]),
    where: `${rowName(table, bad + 1)} column "${name}"`,
    repair: "correct the cell, or leave the column out of features and target",
  });
}

/** The cells of a column without blanks around them; "" where one is missing. */
function textsOf(table: Table, name: string, role: string): string[] {
  const { numbers, texts } = columnOf(table, name, role);
  if (!texts) return Array.from(numbers!, (value) => (Number.isNaN(value) ? "" : String(value)));
  return texts.map((text) => {
    const cell = text.trim();
    return MISSING.test(cell) ? "" : cell;
  });
}

function timesOf(table: Table, name: string): Float64Array {
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

/**
 * Cuts a table into one series per entity, in order of first appearance, and checks it.
 *
 * @param options `target`: what the target columns hold; "none" where the table need not have them.
 * @throws OST_COLUMN  if a role names a column that is not there, or a feature occurs twice.
 * @throws OST_VALUE   if a numeric column holds text, or a time cannot be read.
 * @throws OST_MISSING if a row has no entity.
 * @throws OST_ORDER   if the times of a series do not strictly increase; both rows are named.
 * @throws OST_TARGET  if a label is also a feature.
 */
export function toSeries(table: Table, roles: Roles, { target }: { target: "values" | "label" | "none" }): Series[] {
  checkRoles(roles, target);
  const features = roles.features.map((name) => numbersOf(table, name, "feature"));
  const targets = target === "values" ? roles.target.map((name) => numbersOf(table, name, "target")) : null;
  const labels = target === "label" ? textsOf(table, roles.target[0], "target") : null;
  const times = roles.time === null ? null : timesOf(table, roles.time);
  const split = roles.split === null ? null : textsOf(table, roles.split, "split");

  const series: Series[] = [];
  for (const [entity, rows] of rowsByEntity(table, roles.entity)) {
    const pick = (columns: Float64Array[]) => {
      const picked = new Float64Array(rows.length * columns.length);
      for (let i = 0; i < rows.length; i++) {
        for (let c = 0; c < columns.length; c++) picked[i * columns.length + c] = columns[c][rows[i]];
      }
      return picked;
    };
    const time = times && pick([times]);
    if (time) checkOrder(table, entity, time, rows);
    series.push({
      entity,
      rows: rows.length,
      row: Int32Array.from(rows, (row) => row + 1),
      time,
      features: pick(features),
      target: targets && pick(targets),
      labels: labels && rows.map((row) => labels[row]),
      split: split && rows.map((row) => split[row]),
    });
  }
  return series;
}

function checkRoles({ features, target: targets }: Roles, target: "values" | "label" | "none"): void {
  if (features.length === 0) {
    throw new OstinatoError("OST_COLUMN", { what: "no features", expected: "at least one column", where: "data.features" });
  }
  for (const [list, where] of [
    [features, "data.features"],
    [targets, "data.target"],
  ] as const) {
    const twice = list.find((name, i) => list.indexOf(name) !== i);
    if (twice !== undefined) {
      throw new OstinatoError("OST_COLUMN", {
        what: "a column is named twice",
        got: `"${twice}"`,
        where,
        repair: "name it once",
      });
    }
  }
  if (target === "none") return;
  if (target === "values" ? targets.length === 0 : targets.length !== 1) {
    throw new OstinatoError("OST_COLUMN", {
      what: "wrong number of target columns",
      expected: target === "values" ? "at least one" : "exactly one column of labels",
      got: String(targets.length),
      where: "data.target",
    });
  }
  if (target === "label" && features.includes(targets[0])) {
    throw new OstinatoError("OST_TARGET", {
      what: "the label is also a feature, so the model would be told the answer",
      got: `"${targets[0]}" in both`,
      where: "data.features",
      repair: `remove "${targets[0]}" from data.features`,
    });
  }
}

function rowsByEntity(table: Table, column: string | null): Map<string, number[]> {
  if (column === null) return new Map([["all", Array.from({ length: table.rows }, (_, i) => i)]]);
  const texts = textsOf(table, column, "entity");
  const groups = new Map<string, number[]>();
  for (let i = 0; i < table.rows; i++) {
    const entity = texts[i];
    if (entity === "") {
      throw new OstinatoError("OST_MISSING", {
        what: "a row belongs to no entity",
        expected: `a value in "${column}"`,
        where: rowName(table, i + 1),
        repair: "fill in the cell or remove the row",
      });
    }
    const rows = groups.get(entity);
    if (rows) rows.push(i);
    else groups.set(entity, [i]);
  }
  return groups;
}

function checkOrder(table: Table, entity: string, time: Float64Array, rows: readonly number[]): void {
  for (let i = 1; i < time.length; i++) {
    if (time[i] > time[i - 1]) continue;
    const same = time[i] === time[i - 1];
    throw new OstinatoError("OST_ORDER", {
      what: same ? `two rows of series "${entity}" have the same time` : `the times of series "${entity}" go backwards`,
      expected: `a time after ${timeName(time[i - 1])} (${rowName(table, rows[i - 1] + 1)})`,
      got: timeName(time[i]),
      where: rowName(table, rows[i] + 1),
      repair: same
        ? "remove one of the rows, or set data.entity to the column that tells the series apart"
        : "sort the rows by time, or set data.entity to the column that tells the series apart",
    });
  }
}

/** One row on its way through preprocessing: milliseconds, and a value per column (NaN = missing). */
export interface Row {
  time: number;
  values: Float64Array;
}

/**
 * Reads a pushed record by the rules of a file. Fields that no role names are ignored.
 *
 * @returns `time` is NaN without a time column.
 * @throws OST_RECORD if a field is absent (a missing value is null), or is no number or no time.
 */
export function recordToRow(record: RawRecord, { time: timeField, features }: Pick<Roles, "time" | "features">): Row {
  if (record === null || typeof record !== "object" || Array.isArray(record)) {
    throw new OstinatoError("OST_RECORD", {
      what: "not a record",
      expected: "an object of fields",
      got: JSON.stringify(record) ?? "nothing",
    });
  }
  const values = new Float64Array(features.length);
  for (let c = 0; c < features.length; c++) values[c] = numberOfField(record, features[c]);
  if (timeField === null) return { time: Number.NaN, values };
  const value = fieldOf(record, timeField);
  const time = typeof value === "number" || typeof value === "string" ? parseTime(value) : undefined;
  if (time === undefined) {
    throw new OstinatoError("OST_RECORD", {
      what: `the field "${timeField}" is not a time`,
      expected: "ISO 8601, YYYY-MM-DD HH:MM:SS, or seconds or milliseconds since 1970",
      got: JSON.stringify(value),
    });
  }
  return { time, values };
}

function fieldOf(record: RawRecord, name: string): unknown {
  if (Object.hasOwn(record, name)) return record[name];
  const near = nearest(name, Object.keys(record));
  throw new OstinatoError("OST_RECORD", {
    what: `the record lacks the field "${name}"`,
    expected: "every feature and the time; null where a value is missing",
    got: `the fields ${Object.keys(record).join(", ") || "of an empty record"}`,
    repair: near === undefined ? `add "${name}", or null if it is missing` : `is "${near}" meant to be "${name}"?`,
  });
}

function numberOfField(record: RawRecord, name: string): number {
  const value = fieldOf(record, name);
  if (value === null || Number.isNaN(value)) return Number.NaN;
  const number = typeof value === "string" ? parseNumber(value) : value;
  if (typeof number === "number" && (Math.abs(number) <= LARGEST || Number.isNaN(number))) return number + 0;
  throw new OstinatoError("OST_RECORD", {
    what: `the field "${name}" is not a number`,
    expected: "a finite number of at most 3.4e38, or null where it is missing",
    got: typeof value === "number" ? String(value) : JSON.stringify(value),
  });
}

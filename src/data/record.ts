/**
 * @file One pushed record, read by the rules of a file.
 */
import { nearest, OstinatoError } from "../core/errors.js";
import { LARGEST, listCell, MISSING, parseNumber, parseTime } from "./cell.js";
import type { Roles } from "./series.js";

/** What a session is pushed, and one line of NDJSON. */
export type RawRecord = Record<string, number | string | null>;

/** One row on its way through preprocessing: milliseconds, and a value per column (NaN = missing). */
export interface Row {
  time: number;
  values: Float64Array;
  /** Per category column its text, until it is encoded; "" = missing. */
  texts?: readonly string[];
  /** The series it belongs to, where that is known. */
  entity?: string;
}

/**
 * Reads a pushed record by the rules of a file. Fields that no role names are ignored.
 *
 * @returns `time` is NaN without a time column.
 * @throws OST_RECORD if a field is absent (a missing value is null), or is no number or no time.
 */
export function recordToRow(
  record: RawRecord,
  { time: timeField, entity: entityField = null, features, categories = [] }: RecordRoles,
): Row {
  if (record === null || typeof record !== "object" || Array.isArray(record)) {
    throw new OstinatoError("OST_RECORD", {
      what: "not a record",
      expected: "an object of fields",
      got: JSON.stringify(record) ?? "nothing",
    });
  }
  const values = new Float64Array(features.length);
  for (let c = 0; c < features.length; c++) values[c] = numberOfField(record, features[c]);
  const row: Row = { time: Number.NaN, values };
  if (categories.length > 0) row.texts = categories.map((name) => textOfField(record, name));
  if (entityField !== null && Object.hasOwn(record, entityField)) row.entity = entityOfField(record, entityField);
  if (timeField === null) return row;
  const value = fieldOf(record, timeField);
  const time = typeof value === "number" || typeof value === "string" ? parseTime(value) : undefined;
  if (time === undefined) {
    throw new OstinatoError("OST_RECORD", {
      what: `the field "${timeField}" is not a time`,
      expected: "ISO 8601, YYYY-MM-DD HH:MM:SS, or seconds or milliseconds since 1970",
      got: JSON.stringify(value),
    });
  }
  row.time = time;
  return row;
}

/** What a record is read by. */
export type RecordRoles = Pick<Roles, "time" | "features" | "categories"> & { entity?: string | null };

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

/** Read as a cell of a file's entity column is: without blanks around it, and "" where it is missing. */
function entityOfField(record: RawRecord, name: string): string {
  const cell = String(record[name] ?? "").trim();
  return MISSING.test(cell) ? "" : cell;
}

function textOfField(record: RawRecord, name: string): string {
  const value = fieldOf(record, name);
  if (value === null || Number.isNaN(value)) return "";
  if (typeof value === "string" || typeof value === "boolean" || typeof value === "number") return String(value);
  const list = Array.isArray(value) ? listCell(value) : undefined;
  if (list !== undefined) return list;
  throw new OstinatoError("OST_RECORD", {
    what: `the field "${name}" is not a text`,
    expected: "a text, a list of numbers and of texts without blanks, or null where it is missing",
    got: Array.isArray(value) ? "a list of others" : typeof value,
  });
}

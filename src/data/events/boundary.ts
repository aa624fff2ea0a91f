/**
 * @file Where a session of a key ends and the next begins: one rule for the rows of files and the records of streams.
 *
 * A row begins a new session for the first of these that holds, in this order:
 *
 *     time_gap        it comes more than `idleMs` after the latest row of the session
 *     marker          its `marker.column` holds `marker.value` ("ignition" = "on", "event" = "LOGIN")
 *     changed_column  one of its `changed` columns holds another value than before
 *     length          the session has `maxSteps` rows
 *
 * Cells are compared by {@link boundaryText}. A missing cell marks nothing and changes nothing: the value before it stays the one to compare
 * with. The first value after missing ones at the beginning of a session is no change, for what came before is not known.
 */
import { OstinatoError } from "../../core/errors.js";
import { MISSING, NUMBER } from "../cell.js";

/** A whole number as its digits. */
const DIGITS = /^[+-]?\d+$/;

/** What ends a session, beside its key. Each is off by default. */
export interface SessionRules {
  /** Silence in ms that ends a session, >= 0: a gap of exactly `idleMs` does not. Default null: no silence does. */
  idleMs?: number | null;
  /** Most rows of a session, >= 1; default null: no limit. */
  maxSteps?: number | null;
  /** A row whose column holds this value begins a session. Default null: none does. */
  marker?: { readonly column: string; readonly value: string } | null;
  /** A row in which one of these columns changes begins a session. Default none. */
  changed?: readonly string[];
}

/** Why a row begins a session of a key that had one before. */
export type BoundaryReason = "time_gap" | "marker" | "changed_column" | "length";

/** A row, and what its key's session holds so far. */
export interface BoundaryRow {
  /** Rows of the session so far. Without any, nothing can end. */
  steps: number;
  /** ms since the latest row; NaN where rows have no time. */
  sinceMs: number;
  /** The row's cells in the columns of {@link boundaryColumns}, in that order, as {@link boundaryText} writes them. */
  texts: readonly string[];
  /** What {@link laterTexts} gave for the row before; [] at the beginning of a session. */
  lastTexts: readonly string[];
}

/** The columns that a row must have for the rules: the `changed` ones, then the marker's where it is none of them. */
export function boundaryColumns({ marker, changed = [] }: SessionRules): readonly string[] {
  return marker && !changed.includes(marker.column) ? [...changed, marker.column] : changed;
}

/** Whether a row begins a new session, and why; null where it goes on. */
export function boundaryOf(rules: SessionRules, { steps, sinceMs, texts, lastTexts }: BoundaryRow): BoundaryReason | null {
  const { idleMs, maxSteps, marker, changed = [] } = rules;
  if (steps === 0) return null;
  if (typeof idleMs === "number" && sinceMs > idleMs) return "time_gap";
  if (marker) {
    const at = changed.indexOf(marker.column);
    if (texts[at < 0 ? changed.length : at] === marker.value) return "marker";
  }
  for (let k = 0; k < changed.length; k++) {
    if (texts[k] !== "" && (lastTexts[k] ?? "") !== "" && texts[k] !== lastTexts[k]) return "changed_column";
  }
  return typeof maxSteps === "number" && steps >= maxSteps ? "length" : null;
}

/** What must be remembered of a row for the next one: per `changed` column the latest value that was not missing. [changed] */
export function laterTexts(
  { changed = [] }: SessionRules,
  { texts, lastTexts }: Pick<BoundaryRow, "texts" | "lastTexts">,
): string[] {
  return changed.map((_, k) => texts[k] || (lastTexts[k] ?? ""));
}

/**
 * A cell as the rules compare it, whether a file or a record holds it: without blanks around it, "" where it is missing ("NA", "null"), and a
 * number in its shortest form, so that "1.0", "01" and 1 are the same. Whole numbers beyond 2^53 keep their digits.
 *
 * @throws OST_RECORD for a number of a record that several whole numbers are rounded to, or no cell at all.
 */
export function boundaryText(cell: unknown, column = "a boundary column"): string {
  if (typeof cell === "string") {
    const text = cell.trim();
    if (MISSING.test(text)) return "";
    if (!NUMBER.test(text)) return text;
    const value = Number(text);
    return isExact(value) || !DIGITS.test(text) ? String(value + 0) : text;
  }
  if (cell === null || cell === undefined || Number.isNaN(cell)) return "";
  if (typeof cell === "boolean" || (typeof cell === "number" && isExact(cell)))
    return String(typeof cell === "number" ? cell + 0 : cell);
  throw new OstinatoError("OST_RECORD", {
    what: `the value in "${column}" cannot be compared with another one`,
    expected: `a text, true, false, null, or a number of at most ${Number.MAX_SAFE_INTEGER}`,
    got: typeof cell === "number" ? String(cell) : Array.isArray(cell) ? "a list" : typeof cell,
    repair: "send it as text, in quotes: a JSON number of this size is rounded",
  });
}

/** Whether no two whole numbers are rounded to it. */
function isExact(value: number): boolean {
  return Math.abs(value) <= Number.MAX_SAFE_INTEGER;
}

/**
 * The cells of a record that the rules compare, in the order of {@link boundaryColumns}.
 *
 * @throws OST_RECORD if the record lacks one of the columns; a missing value is null.
 */
export function boundaryTexts(rules: SessionRules, record: Readonly<Record<string, unknown>>): string[] {
  return boundaryColumns(rules).map((column) => {
    if (Object.hasOwn(record, column)) return boundaryText(record[column], column);
    throw new OstinatoError("OST_RECORD", {
      what: `the record lacks the field "${column}", by which sessions are cut`,
      expected: "every column of data.sessions.marker and data.sessions.changed; null where a value is missing",
      got: `the fields ${Object.keys(record).join(", ") || "of an empty record"}`,
      repair: `add "${column}", or null if it is missing`,
    });
  });
}

/** The rules with every one said, and the marker's value as cells are compared. @throws OST_RANGE for rules that cannot be followed. */
export function checkedRules({
  idleMs = null,
  maxSteps = null,
  marker = null,
  changed = [],
}: SessionRules): Required<SessionRules> {
  const value = marker === null || typeof marker.value !== "string" ? "" : boundaryText(marker.value);
  const fits =
    (idleMs === null || (Number.isFinite(idleMs) && idleMs >= 0)) &&
    (maxSteps === null || (Number.isSafeInteger(maxSteps) && maxSteps >= 1)) &&
    (marker === null || (value !== "" && marker.column !== "")) &&
    changed.every((column, k) => column !== "" && changed.indexOf(column) === k);
  if (fits) return { idleMs, maxSteps, marker: marker && { column: marker.column, value }, changed: [...changed] };
  throw new OstinatoError("OST_RANGE", {
    what: "sessions cannot be cut so",
    expected:
      "idleMs >= 0 or null, maxSteps a whole number from 1 or null, a marker with a column and a value, distinct changed columns",
    got: JSON.stringify({ idleMs, maxSteps, marker, changed }),
    where: "sessions",
  });
}

/**
 * @file What a cell means, whether it comes from a file or is pushed into a session: an empty cell, "NaN", "NA" and "null" (in any case) are
 * missing; anything else in a numeric column must be a finite decimal number.
 */

export const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
export const MISSING = /^(?:nan|na|null)?$/i;
const TIME = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)([.,]\d{1,9})?)?\s?(Z|[+-]\d\d(?::?\d\d)?)?)?$/i;

/** The last millisecond a Date can hold, in the year 275760. */
const LAST_MS = 8.64e15;

/** The largest magnitude a value may have: models compute in float32, and a value accepted once must never fail later. */
export const LARGEST = 3.4028234e38;

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

/** The cell of a list, of a record or a line of JSON: numbers and texts without blanks, apart by spaces. Undefined for a list of anything else. */
export function listCell(list: readonly unknown[]): string | undefined {
  const fits = list.every(
    (item) => (typeof item === "number" && Number.isFinite(item)) || (typeof item === "string" && /^\S+$/u.test(item)),
  );
  return fits ? list.join(" ") : undefined;
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

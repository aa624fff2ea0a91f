/**
 * @file Numbers as a country writes them: 1.234,5 or 1,234.5 or 1 234,5.
 */
import { MISSING, NUMBER, parseNumber } from "./cell.js";

/** The number in a cell: NaN where it is missing, undefined where it is none. */
export type NumberReader = (text: string) => number | undefined;

/** A reader of numbers with that decimal mark and that mark between groups of three digits. */
export function numberReader(decimal: "." | ",", thousands: string | null): NumberReader {
  if (decimal === "." && thousands === null) return parseNumber;
  const group = thousands === null ? null : thousands === " " ? "[ \u00a0\u202f]" : escaped(thousands);
  const whole = group === null ? "\\d+" : `(?:\\d{1,3}(?:${group}\\d{3})+|\\d+)`;
  const mark = escaped(decimal);
  const number = new RegExp(`^[+-]?(?:${whole}(?:${mark}\\d*)?|${mark}\\d+)(?:[eE][+-]?\\d+)?$`);
  const marks = group === null ? null : new RegExp(group, "g");
  return (text) => {
    const cell = text.trim();
    if (!number.test(cell)) return MISSING.test(cell) ? Number.NaN : undefined;
    const plain = marks ? cell.replace(marks, "") : cell;
    return parseNumber(decimal === "," ? plain.replace(",", ".") : plain);
  };
}

/** The setting that would make a number of this cell, for messages; undefined if none would. */
export function localSetting(text: string): string | undefined {
  const cell = text.trim();
  if (NUMBER.test(cell)) return undefined;
  if (/^[+-]?\d{1,3},\d{3}$/.test(cell)) {
    return 'set data.read.thousands: "," if it means thousands, or data.read.decimal: "," if it means a fraction';
  }
  for (const [decimal, thousands] of [
    [",", null],
    [".", ","],
    [",", "."],
    [".", " "],
    [",", " "],
    [".", "'"],
  ] as const) {
    const value = numberReader(decimal, thousands)(cell);
    if (value === undefined || Number.isNaN(value)) continue;
    const settings = [decimal === "," && 'data.read.decimal: ","', thousands && `data.read.thousands: "${thousands}"`];
    return `set ${settings.filter(Boolean).join(" and ")}`;
  }
  return undefined;
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

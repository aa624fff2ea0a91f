/**
 * @file Facts about the order, the clock and the gaps of every series, in one pass over its rows. Facts only: whether a gap is a fault is
 * for the reader to say.
 *
 * The frequency of a series is the commonest step between two rows. Months, quarters and years count as one step each, whatever their
 * days. Clock changes are steps of the frequency, an hour more or less, at the moments where daylight saving begins or ends: what remains
 * when local time was written without its offset, or when days were counted at local midnight.
 */
import { timeName } from "./cell.js";
import type { Series } from "./series.js";

/** How often something occurs, and the row of the table (1-based) where it does first; 0 where it does not. */
export interface Occurrence {
  count: number;
  row: number;
}

/** A step that looks like the beginning or end of daylight saving. */
export interface ClockChange {
  /** Row of the table after the step, 1-based. */
  row: number;
  /** The time of that row, ISO 8601. */
  at: string;
  /** Minutes the step is longer than the frequency: 60 or -60. */
  minutes: number;
  region: string;
}

export interface TimeCheck {
  /** The earliest and the latest time, in ms. */
  first: number;
  last: number;
  /** Rows at a time that the series has already. */
  duplicates: Occurrence;
  /** Rows earlier than the row before them. */
  backward: Occurrence;
  /** The commonest step; null where there are fewer than two times. */
  frequency: { ms: number; name: string } | null;
  /** Share of the steps forward that differ from the frequency by more than the tolerance. */
  offFrequency: number;
  /** Steps that leave out at least one row of the frequency; `row` is the row after the first. */
  gaps: Occurrence & {
    /** Rows of the frequency that are left out, of all gaps. */
    missingRows: number;
    /** The longest, in ms, and the row after it; 0 where there is none. */
    longestMs: number;
    longestRow: number;
  };
  clockChanges: {
    count: number;
    /** The first ten. */
    steps: ClockChange[];
    /** Steps of the same lengths at other moments: many of them make a clock change an unlikely cause. */
    elsewhere: number;
  };
  /** Rows whose time is 1000 or 10^6 times that of the row before, or the reverse: two units in one column. */
  unitJumps: Occurrence;
  /** Rows later than `now`; none where it is not given. */
  future: Occurrence;
  /** Rows before 1980, as from a clock that was never set, or times that count from 0. */
  before1980: Occurrence;
  /** Rows after the year 2200, as from microseconds read as milliseconds. */
  after2200: Occurrence;
}

export interface SeriesCheck {
  entity: string;
  rows: number;
  /** Null without a time column. */
  time: TimeCheck | null;
  /** Per feature the share of the rows where it is missing. [F] */
  missing: number[];
  /** Features with one and the same value wherever they are observed, at least twice. */
  constant: string[];
  /** Features without a value. */
  empty: string[];
}

export interface SeriesCheckOptions {
  /** Names of the feature columns. */
  features: readonly string[];
  /** The present, in ms since 1970 UTC. */
  now?: number;
  /** How far a step may lie from the frequency, as a share of it. Default 0.01. */
  tolerance?: number;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const Y1980 = Date.UTC(1980, 0, 1);
const Y2200 = Date.UTC(2200, 0, 1);

/** Checks every series. Their times need not be in order. O(rows) */
export function checkSeries(series: readonly Series[], options: SeriesCheckOptions): SeriesCheck[] {
  return series.map((one) => ({
    entity: one.entity,
    rows: one.rows,
    time: one.time && checkTimes(one.time, one.row, options),
    ...checkFeatures(one, options.features),
  }));
}

function checkFeatures(
  { rows, features }: Series,
  names: readonly string[],
): Pick<SeriesCheck, "missing" | "constant" | "empty"> {
  const width = names.length;
  const first = new Float64Array(width).fill(Number.NaN);
  const observed = new Int32Array(width);
  const varies = new Uint8Array(width);
  for (let i = 0, at = 0; i < rows; i++) {
    for (let c = 0; c < width; c++, at++) {
      const value = features[at];
      if (Number.isNaN(value)) continue;
      if (observed[c]++ === 0) first[c] = value;
      else if (value !== first[c]) varies[c] = 1;
    }
  }
  return {
    missing: Array.from(observed, (count) => (rows === 0 ? 0 : (rows - count) / rows)),
    constant: names.filter((_, c) => observed[c] > 1 && varies[c] === 0),
    empty: names.filter((_, c) => observed[c] === 0),
  };
}

function checkTimes(time: Float64Array, row: Int32Array, { now, tolerance = 0.01 }: SeriesCheckOptions): TimeCheck {
  const check: TimeCheck = {
    first: Number.POSITIVE_INFINITY,
    last: Number.NEGATIVE_INFINITY,
    duplicates: none(),
    backward: none(),
    frequency: null,
    offFrequency: 0,
    gaps: { ...none(), missingRows: 0, longestMs: 0, longestRow: 0 },
    clockChanges: { count: 0, steps: [], elsewhere: 0 },
    unitJumps: none(),
    future: none(),
    before1980: none(),
    after2200: none(),
  };
  for (let i = 0; i < time.length; i++) {
    const at = time[i];
    check.first = Math.min(check.first, at);
    check.last = Math.max(check.last, at);
    if (now !== undefined && at > now) occurs(check.future, row[i]);
    if (at < Y1980) occurs(check.before1980, row[i]);
    if (at >= Y2200) occurs(check.after2200, row[i]);
    if (i === 0) continue;
    if (at < time[i - 1]) occurs(check.backward, row[i]);
    if (isUnitJump(time[i - 1], at)) occurs(check.unitJumps, row[i]);
  }
  countDuplicates(check, time, row);
  const frequency = commonestStep(time, tolerance);
  if (frequency !== null) checkSteps(check, time, row, spanOf(frequency, tolerance));
  return check;
}

function none(): Occurrence {
  return { count: 0, row: 0 };
}

function occurs(occurrence: Occurrence, row: number): void {
  if (occurrence.count++ === 0) occurrence.row = row;
}

function countDuplicates({ duplicates, backward }: TimeCheck, time: Float64Array, row: Int32Array): void {
  const seen = backward.count > 0 ? new Set<number>() : null;
  for (let i = 0; i < time.length; i++) {
    if (seen ? seen.has(time[i]) : i > 0 && time[i] === time[i - 1]) occurs(duplicates, row[i]);
    seen?.add(time[i]);
  }
}

/** Two times that far apart in their size are no two times of one clock, unless both are near its zero. */
function isUnitJump(before: number, after: number): boolean {
  const small = Math.min(Math.abs(before), Math.abs(after));
  const large = Math.max(Math.abs(before), Math.abs(after));
  if (large < 1e11 || small === 0) return false;
  return [1e3, 1e6].some((factor) => Math.abs(large / small / factor - 1) < 0.01);
}

/** The commonest step forward: of steps that are equal within the tolerance the most, and of those the commonest of all, to the ms. */
function commonestStep(time: Float64Array, tolerance: number): number | null {
  const width = Math.log1p(Math.max(tolerance, 1e-9));
  const counts = new Map<number, number>();
  for (let i = 1; i < time.length; i++) {
    const step = time[i] - time[i - 1];
    if (step > 0) add(counts, Math.round(Math.log(step) / width));
  }
  if (counts.size === 0) return null;
  const near = (bucket: number) => (counts.get(bucket - 1) ?? 0) + (counts.get(bucket) ?? 0) + (counts.get(bucket + 1) ?? 0);
  let best = Number.NaN;
  for (const bucket of counts.keys()) if (Number.isNaN(best) || near(bucket) > near(best)) best = bucket;
  const exact = new Map<number, number>();
  let sum = 0;
  let members = 0;
  for (let i = 1; i < time.length; i++) {
    const step = time[i] - time[i - 1];
    if (!(step > 0) || Math.abs(Math.round(Math.log(step) / width) - best) > 1) continue;
    add(exact, Math.round(step));
    sum += step;
    members++;
  }
  let commonest = 0;
  for (const [step, count] of exact) if (count > (exact.get(commonest) ?? 0)) commonest = step;
  return (exact.get(commonest) ?? 0) * 2 >= members && commonest > 0 ? commonest : sum / members;
}

function add(counts: Map<number, number>, key: number): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** A frequency and the steps that count as one of it, [least, most] in ms. */
interface Span {
  ms: number;
  name: string;
  least: number;
  most: number;
}

const CALENDAR = [
  ["1 month", 28, 31],
  ["1 quarter", 90, 92],
  ["1 year", 365, 366],
] as const;

function spanOf(ms: number, tolerance: number): Span {
  const days = ms / DAY;
  const calendar = CALENDAR.find(([, least, most]) => days >= least && days <= most);
  if (!calendar) return { ms, name: durationName(ms), least: ms * (1 - tolerance), most: ms * (1 + tolerance) };
  const [name, least, most] = calendar;
  return { ms, name, least: (least - 0.1) * DAY, most: (most + 0.1) * DAY };
}

function checkSteps(check: TimeCheck, time: Float64Array, row: Int32Array, span: Span): void {
  const { ms, least, most } = span;
  const { gaps, clockChanges } = check;
  let steps = 0;
  let off = 0;
  for (let i = 1; i < time.length; i++) {
    const step = time[i] - time[i - 1];
    checkClock(clockChanges, time[i - 1], time[i], ms, row[i]);
    if (!(step > 0)) continue;
    steps++;
    if (step >= least && step <= most) continue;
    off++;
    if (step < Math.max(most, 1.5 * ms)) continue;
    occurs(gaps, row[i]);
    gaps.missingRows += Math.round(step / ms) - 1;
    if (step > gaps.longestMs) {
      gaps.longestMs = step;
      gaps.longestRow = row[i];
    }
  }
  check.frequency = { ms, name: span.name };
  check.offFrequency = off / steps;
}

function checkClock(changes: TimeCheck["clockChanges"], before: number, after: number, frequency: number, row: number): void {
  const excess = after - before - frequency;
  if (Math.abs(Math.abs(excess) - HOUR) > MINUTE || frequency > DAY + MINUTE) return;
  const minutes = excess > 0 ? 60 : -60;
  const region = clockChangeRegion(Math.min(before, after), Math.max(before, after), minutes);
  if (region === null) {
    changes.elsewhere++;
    return;
  }
  changes.count++;
  if (changes.steps.length < 10) changes.steps.push({ row, at: timeName(after), minutes, region });
}

/**
 * Daylight saving by region: month (0 = January) and which Sunday of it, -1 the last; `minutes` of a local clock. The rules since 1996
 * (Europe) and 2007 (North America); Australia since 2008, New Zealand since 2007, in one.
 */
const RULES = [
  { region: "Europe", minutes: 60, month: 2, sunday: -1 },
  { region: "Europe", minutes: -60, month: 9, sunday: -1 },
  { region: "North America", minutes: 60, month: 2, sunday: 2 },
  { region: "North America", minutes: -60, month: 10, sunday: 1 },
  { region: "Australia and New Zealand", minutes: 60, month: 8, sunday: -1 },
  { region: "Australia and New Zealand", minutes: 60, month: 9, sunday: 1 },
  { region: "Australia and New Zealand", minutes: -60, month: 3, sunday: 1 },
] as const;

/**
 * The region whose clock changed between two times, or null. Local time without an offset jumps forward in spring; days counted at local
 * midnight but written in UTC are an hour short then, and an hour long in autumn.
 */
function clockChangeRegion(from: number, to: number, minutes: number): string | null {
  const daily = to - from > 12 * HOUR;
  const year = new Date(from).getUTCFullYear();
  const found = RULES.find(({ minutes: local, month, sunday }) => {
    if ((daily ? -local : local) !== minutes) return false;
    const day = sundayOf(year, month, sunday);
    return daily ? to > day - 9 * HOUR && from < day + 12 * HOUR : to >= day && from <= day + 4 * HOUR;
  });
  return found?.region ?? null;
}

/** Midnight of the n-th Sunday of a month, or of the last. */
function sundayOf(year: number, month: number, n: number): number {
  if (n < 0) {
    const last = Date.UTC(year, month + 1, 0);
    return last - new Date(last).getUTCDay() * DAY;
  }
  const first = Date.UTC(year, month, 1);
  return first + (((7 - new Date(first).getUTCDay()) % 7) + 7 * (n - 1)) * DAY;
}

const UNITS = [
  ["week", 7 * DAY],
  ["d", DAY],
  ["h", HOUR],
  ["min", MINUTE],
  ["s", 1000],
  ["ms", 1],
] as const;

/** A duration for messages: in the largest unit that divides it, else to three digits: "15 min", "90 s", "1.43 h". */
export function durationName(ms: number): string {
  const whole = UNITS.find(([, size]) => ms >= size && Number.isInteger(ms / size) && ms / size < 1000);
  const [unit, size] = whole ?? UNITS.find(([, least]) => ms >= least) ?? UNITS[UNITS.length - 1];
  const count = whole ? ms / size : Number((ms / size).toPrecision(3));
  return `${count} ${unit}${unit === "week" && count !== 1 ? "s" : ""}`;
}

/**
 * @file What clock and calendar say of a row's time: how far each period has gone, as a point on a circle, and whether it is weekend.
 *
 *     calendar.<period>.sin, calendar.<period>.cos   sine and cosine of 2 pi * phase
 *     calendar.isWeekend                             1 on Saturday and Sunday
 *
 *     minuteOfHour   phase of the hour      0 on the hour, 0.5 at half past
 *     hourOfDay      phase of the day       0 at midnight, 0.5 at noon
 *     dayOfWeek      phase of the week      0 at midnight before Monday
 *     dayOfMonth     phase of the month     0 at midnight before the 1st, by the month's own length
 *     dayOfYear      phase of the year      0 at midnight before 1 January, by the year's own length
 *
 * Phases go by the clock on the wall of the time zone, with its daylight saving time as the run time's time zone data has it: an hour that
 * occurs twice has the same phases twice. A row whose time is NaN or beyond a Date has 0 in every column, which no time has: sine and
 * cosine are never both 0. Where rows have no times of their own, do not use it: a count of rows is no calendar.
 *
 * No state: the offsets it remembers only save asking again.
 */
import { OstinatoError } from "../core/errors.js";
import { appendedNames, appendedRow } from "./events/appended.js";
import type { Row } from "./record.js";
import { type FrozenTransform, frozen, type Transform } from "./transform.js";

export const CALENDAR_PARTS = ["minuteOfHour", "hourOfDay", "dayOfWeek", "dayOfMonth", "dayOfYear", "isWeekend"] as const;
export type CalendarPart = (typeof CALENDAR_PARTS)[number];

export interface CalendarOptions {
  /** At least one; default hourOfDay, dayOfWeek, dayOfYear and isWeekend. */
  parts?: readonly CalendarPart[];
  /** "UTC" (the default) or the IANA name of a time zone, such as "Europe/Berlin". */
  zone?: string;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;
/** 1 January 1970 was a Thursday. */
const MONDAY_MS = 4 * DAY_MS;
/** The last millisecond a Date can hold, less two days, so that local times are dates, too. */
const LAST_MS = 8.64e15 - 2 * DAY_MS;
const LONGEST_ZONE = 64;

export class Calendar implements Transform {
  readonly name = "calendar";
  readonly lookAhead = 0;
  readonly stateSize = 0;
  readonly outputs: readonly string[];
  readonly parts: readonly CalendarPart[];
  readonly zone: string;
  readonly #added: number;
  readonly #offset: (time: number) => number;

  /**
   * @throws OST_RANGE  if there is no such part or time zone.
   * @throws OST_COLUMN if a column of that name is there already.
   */
  constructor(
    inputs: readonly string[],
    { parts = ["hourOfDay", "dayOfWeek", "dayOfYear", "isWeekend"], zone = "UTC" }: CalendarOptions = {},
  ) {
    if (parts.length === 0 || !parts.every((part, i) => CALENDAR_PARTS.includes(part) && parts.indexOf(part) === i)) {
      throw new OstinatoError("OST_RANGE", {
        what: "no such columns of the calendar",
        expected: `one or more of ${CALENDAR_PARTS.join(", ")}, each once`,
        got: JSON.stringify(parts),
        where: "calendar.parts",
      });
    }
    this.parts = [...parts];
    this.zone = zone;
    this.#offset = zone === "UTC" ? () => 0 : zoneOffset(zone);
    const names = parts.flatMap((part) =>
      part === "isWeekend" ? ["calendar.isWeekend"] : [`calendar.${part}.sin`, `calendar.${part}.cos`],
    );
    this.#added = names.length;
    this.outputs = appendedNames(inputs, names, "calendar");
  }

  /** @throws OST_MODEL_FILE if the JSON is not what `toJSON` writes. */
  static fromJSON(json: Record<string, unknown>, inputs: readonly string[]): Calendar {
    const parts = frozen.names(json.parts, CALENDAR_PARTS, "calendar.parts") as CalendarPart[];
    const [zone] = frozen.texts([json.zone], "calendar.zone");
    if (parts.length === 0) frozen.fail("calendar.parts", "at least one", parts);
    if (zone !== "UTC" && !formatOf(zone)) frozen.fail("calendar.zone", "a time zone that this run time knows", zone);
    return new Calendar(inputs, { parts, zone });
  }

  toJSON(): FrozenTransform {
    return { transform: this.name, parts: [...this.parts], zone: this.zone };
  }

  initialize(): void {}

  push(row: Row): Row[] {
    const made = appendedRow(row, this.#added);
    if (!(Math.abs(row.time) <= LAST_MS)) return [made];
    const local = row.time + this.#offset(row.time);
    let next = row.values.length;
    for (const part of this.parts) {
      if (part === "isWeekend") {
        made.values[next++] = phaseOf(local, WEEK_MS, MONDAY_MS) >= 5 / 7 ? 1 : 0;
        continue;
      }
      const angle = 2 * Math.PI * PHASES[part](local);
      made.values[next++] = Math.sin(angle);
      made.values[next++] = Math.cos(angle);
    }
    return [made];
  }
}

const PHASES: Record<Exclude<CalendarPart, "isWeekend">, (local: number) => number> = {
  minuteOfHour: (local) => phaseOf(local, HOUR_MS, 0),
  hourOfDay: (local) => phaseOf(local, DAY_MS, 0),
  dayOfWeek: (local) => phaseOf(local, WEEK_MS, MONDAY_MS),
  dayOfMonth: (local) => {
    const date = new Date(local);
    const first = dateMs(date.getUTCFullYear(), date.getUTCMonth());
    return (local - first) / (dateMs(date.getUTCFullYear(), date.getUTCMonth() + 1) - first);
  },
  dayOfYear: (local) => {
    const year = new Date(local).getUTCFullYear();
    const first = dateMs(year, 0);
    return (local - first) / (dateMs(year + 1, 0) - first);
  },
};

/** In [0, 1): how far the period that began at `origin` or a whole number of periods from it has gone. */
function phaseOf(local: number, period: number, origin: number): number {
  const rest = (local - origin) % period;
  return (rest < 0 ? rest + period : rest) / period;
}

/** Midnight before the first of a month, as if in UTC. `Date.UTC` would take the years 0 .. 99 for 1900 .. 1999. */
function dateMs(year: number, month: number): number {
  return new Date(0).setUTCFullYear(year, month, 1);
}

/** The most days whose offsets are remembered. */
const MOST_DAYS = 4096;

/**
 * Milliseconds the clocks of a zone are ahead of UTC, as a function of time.
 *
 * Asking the run time is slow, so offsets are remembered at the ends of days of UTC: where both ends have the same, so has all between, for
 * no clock is put forward and back within a day. On a day of change the run time is asked for each time.
 */
function zoneOffset(zone: string): (time: number) => number {
  const format = formatOf(zone);
  if (!format) {
    throw new OstinatoError("OST_RANGE", {
      what: "no such time zone",
      expected: '"UTC" or an IANA name such as "Europe/Berlin" or "America/New_York"',
      got: JSON.stringify(zone),
      where: "calendar.zone",
      repair: "correct the name; a run time without full time zone data may know only UTC",
    });
  }
  const known = new Map<number, number>();
  const atDay = (day: number): number => {
    let offset = known.get(day);
    if (offset === undefined) {
      offset = offsetAt(format, day * DAY_MS);
      if (known.size >= MOST_DAYS) known.clear();
      known.set(day, offset);
    }
    return offset;
  };
  return (time) => {
    const day = Math.floor(time / DAY_MS);
    const offset = atDay(day);
    return offset === atDay(day + 1) ? offset : offsetAt(format, time);
  };
}

function offsetAt(format: Intl.DateTimeFormat, time: number): number {
  const whole = Math.floor(time / 1000) * 1000;
  const field: Record<string, string> = {};
  for (const { type, value } of format.formatToParts(whole)) field[type] = value;
  const year = field.era.startsWith("B") ? 1 - Number(field.year) : Number(field.year);
  const midnight = new Date(0).setUTCFullYear(year, Number(field.month) - 1, Number(field.day));
  const clock = (Number(field.hour) * 60 + Number(field.minute)) * 60 + Number(field.second);
  return midnight + clock * 1000 - whole;
}

function formatOf(zone: string): Intl.DateTimeFormat | undefined {
  if (zone.length > LONGEST_ZONE) return undefined;
  try {
    return new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      calendar: "gregory",
      numberingSystem: "latn",
      hourCycle: "h23",
      era: "short",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  } catch {
    return undefined;
  }
}

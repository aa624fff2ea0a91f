/**
 * @file Times: in order, each once, in a plausible range, all of one zone, and without a jump of daylight saving. The facts come from
 * `checkSeries` (series-check.ts), for every series.
 *
 * A row out of order or at a time that its series has already is a fault: what a window calls the past then is not. Times before 1980, after
 * 2200 or after now, and rows a thousand times the time of the row before (seconds among milliseconds) are warnings; all rows before 1980 are a
 * note, since times that count from a start begin at 1970. A change of the offset written in the file that comes and goes with the season (two
 * offsets an hour apart) is what a local clock does and is noted; any other mixture is a warning. Steps of the frequency, an hour more or
 * less, at the moments when clocks change are a warning where the file has no offsets and there are no more such steps at other moments.
 */

import { parseTime, timeName } from "../cell.js";
import { checkSeries, durationName, type Occurrence, type TimeCheck } from "../series-check.js";
import type { AuditContext } from "./context.js";
import { type Finding, finding } from "./finding.js";

const OFFSET = /(?:T|\s)\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?\s?(Z|[+-]\d\d(?::?\d\d)?)?$/i;

export function checkTime(audit: AuditContext): Finding[] {
  const { subject, options } = audit;
  const rows = subject.series.reduce((sum, one) => sum + one.rows, 0);
  const checks = checkSeries(subject.series, { features: subject.roles.features, now: options.now }).flatMap(
    ({ time }) => time ?? [],
  );
  if (checks.length === 0) {
    return [
      finding("time-order", "pass", "order", {
        detail: "no time column: rows are steps, in the order of the file",
        evidence: { rows },
      }),
    ];
  }
  return [
    ...checkOrder(audit, checks, rows),
    ...checkRange(audit, checks, rows),
    ...checkZones(audit),
    ...checkJumps(audit, checks),
  ];
}

/** One kind of occurrence over all series. */
function total(checks: readonly TimeCheck[], of: (check: TimeCheck) => Occurrence): Occurrence {
  const found = checks.map(of).filter(({ count }) => count > 0);
  return { count: found.reduce((sum, { count }) => sum + count, 0), row: found[0]?.row ?? 0 };
}

/** A row of the table and its time, as they are. */
function timed(audit: AuditContext, row: number): string {
  for (const { time, row: rows } of audit.subject.series) {
    const i = rows.indexOf(row);
    if (i >= 0 && time)
      return `${audit.whereInTable(row)} is ${timeName(time[i])}${i > 0 ? `, after ${timeName(time[i - 1])} in the row before` : ""}`;
  }
  return audit.whereInTable(row);
}

function checkOrder(audit: AuditContext, checks: readonly TimeCheck[], rows: number): Finding[] {
  const back = total(checks, ({ backward }) => backward);
  const twice = total(checks, ({ duplicates }) => duplicates);
  const gaps = total(checks, (check) => check.gaps);
  if (back.count + twice.count > 0) {
    return [
      finding("time-order", "fault", back.count > 0 ? "times go backwards" : "times occur twice", {
        detail: `${back.count} rows lie before the row above them, ${twice.count} at a time that their series has already: what is called the past is not`,
        evidence: { backwards: back.count, twice: twice.count, rows, threshold: 0 },
        example: timed(audit, back.count > 0 ? back.row : twice.row),
        repair:
          "sort each series by time and keep one row per time, or set data.entity to the column that tells the series apart",
      }),
    ];
  }
  const frequencies = [
    ...new Set(checks.flatMap(({ frequency, offFrequency }) => (frequency && offFrequency < 0.1 ? [frequency.name] : []))),
  ];
  const every =
    frequencies.length === 1
      ? `, every ${frequencies[0]}`
      : frequencies.length === 0
        ? ", unequal steps"
        : `, ${frequencies.length} frequencies`;
  const series = checks.length === 1 ? "one series" : `${checks.length.toLocaleString("en")} series`;
  return [
    finding("time-order", "pass", "order, duplicates, frequency", {
      detail: `${rows.toLocaleString("en")} rows, ${series}${every}${gaps.count > 0 ? `, ${gaps.count.toLocaleString("en")} gaps` : ""}`,
      evidence: {
        rows,
        series: checks.length,
        gaps: gaps.count,
        longestGapMs: Math.max(...checks.map((check) => check.gaps.longestMs)),
      },
    }),
    ...(frequencies.length > 1
      ? [
          finding("time-order", "note", "series have different frequencies", {
            detail: `${frequencies.slice(0, 5).join(", ")}: a step does not mean the same everywhere`,
            evidence: { frequencies: frequencies.length },
            repair: `bring them to one grid: --set 'data.resample={everyMs: ${Math.round(Math.max(...checks.map(({ frequency }) => frequency?.ms ?? 0)))}}'`,
          }),
        ]
      : []),
  ];
}

function checkRange(audit: AuditContext, checks: readonly TimeCheck[], rows: number): Finding[] {
  const kinds = {
    "times lie in the future": total(checks, ({ future }) => future),
    "times lie after the year 2200": total(checks, ({ after2200 }) => after2200),
    "times lie before 1980": total(checks, ({ before1980 }) => before1980),
    "times change their unit": total(checks, ({ unitJumps }) => unitJumps),
  };
  const [worst] = Object.entries(kinds).filter(([, { count }]) => count > 0);
  if (!worst) return [];
  const [title, { count, row }] = worst;
  const counted = title === "times lie before 1980" && count === rows;
  return [
    finding("time-range", counted ? "note" : "warning", title, {
      detail: counted
        ? "all of them do: they seem to count from a start, so that hours and days mean nothing"
        : `${count.toLocaleString("en")} of ${rows.toLocaleString("en")} rows`,
      evidence: Object.fromEntries([...Object.entries(kinds).map(([name, one]) => [name, one.count]), ["rows", rows]]),
      example: timed(audit, row),
      repair: counted ? null : "check the unit (seconds or milliseconds since 1970) and the century of these rows",
    }),
  ];
}

function timeTexts({ subject }: AuditContext): readonly string[] | null {
  const column = subject.table?.columns.find(({ name }) => name === subject.roles.time);
  return column?.texts ?? null;
}

function checkZones(audit: AuditContext): Finding[] {
  const texts = timeTexts(audit);
  if (!texts) return [];
  const seen = new Map<string, { count: number; row: number }>();
  for (let row = 0; row < texts.length; row++) {
    const match = OFFSET.exec(texts[row].trim());
    if (!match) continue;
    const zone = offsetName(match[1]);
    const one = seen.get(zone);
    if (one) one.count++;
    else seen.set(zone, { count: 1, row });
  }
  if (seen.size < 2) return [];
  const zones = [...seen];
  const minutes = zones.map(([zone]) => offsetMinutes(zone));
  const seasonal = zones.length === 2 && !seen.has("none") && Math.abs(minutes[0] - minutes[1]) === 60;
  const file = (row: number) => audit.whereInTable(row + 1);
  return [
    finding(
      "time-zone",
      seasonal ? "note" : "warning",
      seasonal ? "the offset of the times changes by an hour" : "times of several zones are mixed",
      {
        detail: seasonal
          ? "as local clocks do with the season; the order is right, but an hour of the day is not always the same hour"
          : `the offsets ${zones.map(([zone, { count }]) => `${zone} (${count.toLocaleString("en")} rows)`).join(", ")} occur; times without one are read as UTC`,
        evidence: Object.fromEntries(zones.map(([zone, { count }]) => [zone, count])),
        example: zones
          .slice(0, 2)
          .map(([, { row }]) => `${file(row)}: "${texts[row].trim()}"`)
          .join("; "),
        repair: "write all times in UTC",
      },
    ),
  ];
}

function offsetName(zone: string | undefined): string {
  if (!zone) return "none";
  if (/^z$/i.test(zone) || /^[+-]00(?::?00)?$/.test(zone)) return "Z";
  const digits = zone.slice(1).replace(":", "").padEnd(4, "0");
  return `${zone[0]}${digits.slice(0, 2)}:${digits.slice(2)}`;
}

function offsetMinutes(zone: string): number {
  if (zone === "none" || zone === "Z") return 0;
  return (zone[0] === "-" ? -1 : 1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4)));
}

function checkJumps(audit: AuditContext, checks: readonly TimeCheck[]): Finding[] {
  if (timeTexts(audit)?.some((text) => OFFSET.exec(text.trim())?.[1] !== undefined && parseTime(text) !== undefined)) return [];
  const count = checks.reduce((sum, { clockChanges }) => sum + clockChanges.count, 0);
  const elsewhere = checks.reduce((sum, { clockChanges }) => sum + clockChanges.elsewhere, 0);
  if (count === 0 || elsewhere > count) return [];
  const { clockChanges, frequency } = checks.find((check) => check.clockChanges.count > 0)!;
  const [step] = clockChanges.steps;
  return [
    finding(
      "daylight-saving",
      "warning",
      `${step.minutes > 0 ? "an hour is missing" : "an hour comes twice"} where clocks change for daylight saving`,
      {
        detail: `as in ${step.region}: the times look like local times without their offset, so that hours of the day are wrong by one for half of the year`,
        evidence: {
          changes: count,
          elsewhere,
          minutes: step.minutes,
          everyMs: frequency?.ms ?? 0,
          frequency: durationName(frequency?.ms ?? 0),
        },
        example: timed(audit, step.row),
        repair: "write the times in UTC, or with their offset",
      },
    ),
  ];
}

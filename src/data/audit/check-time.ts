/**
 * @file Times: in order, each once, in a plausible range, all of one zone, and without a jump of daylight saving.
 *
 * Order and range are facts. A change of the offset written in the file that comes and goes with the season (two offsets an hour apart) is what
 * a local clock does and is noted; any other mixture is a warning. A jump is reported where equally spaced local times (no offset written)
 * miss or repeat one hour on a Sunday in March, April, October or November.
 */
import { timeName } from "../cell.js";
import type { AuditContext } from "./context.js";
import { type Finding, finding } from "./finding.js";

const HOUR = 3_600_000;
/** Before personal computers kept clocks, a time usually is a unit mistaken. */
const EARLIEST = Date.UTC(1971, 0, 1);
const LATEST = Date.UTC(2100, 0, 1);
const OFFSET = /(?:T|\s)\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?\s?(Z|[+-]\d\d(?::?\d\d)?)?$/i;

export function checkTime(audit: AuditContext): Finding[] {
  const { subject } = audit;
  if (subject.roles.time === null && subject.series.every(({ time }) => time === null)) {
    return [
      finding("time-order", "pass", "order", {
        detail: "no time column: rows are steps, in the order of the file",
        evidence: { rows: totalRows(audit) },
      }),
    ];
  }
  return [...checkOrder(audit), ...checkRange(audit), ...checkZones(audit), ...checkJumps(audit)];
}

function totalRows({ subject }: AuditContext): number {
  return subject.series.reduce((sum, { rows }) => sum + rows, 0);
}

function checkOrder(audit: AuditContext): Finding[] {
  const { subject } = audit;
  let back = 0;
  let twice = 0;
  let example: string | null = null;
  const steps = new Map<number, number>();
  let gaps = 0;
  subject.series.forEach(({ time, rows }, s) => {
    if (!time) return;
    for (let i = 1; i < rows; i++) {
      const step = time[i] - time[i - 1];
      if (!(step > 0)) {
        if (step === 0) twice++;
        else back++;
        example ??= `${audit.where(s, i)} is ${timeName(time[i])}, after ${timeName(time[i - 1])} in ${audit.where(s, i - 1)}`;
      } else steps.set(step, (steps.get(step) ?? 0) + 1);
    }
  });
  const count = [...steps.values()].reduce((sum, one) => sum + one, 0);
  const [usual, times] = [...steps].reduce((best, one) => (one[1] > best[1] ? one : best), [0, 0]);
  if (times > 0.5 * count) for (const [step, n] of steps) if (step > 1.5 * usual) gaps += n;
  if (back + twice > 0) {
    return [
      finding("time-order", "fault", back > 0 ? "times go backwards" : "times occur twice", {
        detail: `${back} rows lie before the row above them, ${twice} at the same time: what is called the past then is not`,
        evidence: { backwards: back, twice },
        example,
        repair:
          "sort each series by time and keep one row per time, or set data.entity to the column that tells the series apart",
      }),
    ];
  }
  const regular = count === 0 ? "" : times > 0.9 * count ? `, every ${duration(usual)}` : ", unequal steps";
  const parts = `${totalRows(audit).toLocaleString("en")} rows, ${subject.series.length === 1 ? "one series" : `${subject.series.length.toLocaleString("en")} series`}`;
  return [
    finding("time-order", "pass", "order, duplicates, frequency", {
      detail: `${parts}${regular}${gaps > 0 ? `, ${gaps.toLocaleString("en")} gaps` : ""}`,
      evidence: { rows: totalRows(audit), usualStepMs: usual, gaps },
    }),
  ];
}

export function duration(ms: number): string {
  for (const [unit, size] of [
    ["day", 24 * HOUR],
    ["hour", HOUR],
    ["minute", 60_000],
    ["second", 1000],
  ] as const) {
    if (ms >= size && (ms / size) % 1 < 1e-9) return ms === size ? unit : `${ms / size} ${unit}s`;
  }
  return `${Number((ms / 1000).toPrecision(4))} s`;
}

function checkRange(audit: AuditContext): Finding[] {
  const { subject, options } = audit;
  const { now = Number.POSITIVE_INFINITY } = options;
  let early = 0;
  let late = 0;
  let future = 0;
  let example: string | null = null;
  subject.series.forEach(({ time, rows }, s) => {
    if (!time) return;
    for (let i = 0; i < rows; i++) {
      const odd = time[i] < EARLIEST ? early++ : time[i] > LATEST ? late++ : time[i] > now ? future++ : -1;
      if (odd >= 0) example ??= `${audit.where(s, i)} is ${timeName(time[i])}`;
    }
  });
  if (early + late + future === 0) return [];
  // Times of a simulation or counted from a start often begin at 1970: all of them early is a convention, some of them a mistake.
  const all = early === totalRows(audit);
  return [
    finding("time-range", all ? "note" : "warning", future + late > 0 ? "times lie in the future" : "times lie before 1971", {
      detail: `${(early + late + future).toLocaleString("en")} rows: ${early} before 1971, ${future} after now, ${late} after 2100`,
      evidence: { early, future, late, rows: totalRows(audit) },
      example,
      repair: "check the unit (seconds or milliseconds since 1970) and the century of these rows",
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

function checkJumps(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const texts = timeTexts(audit);
  if (texts?.some((text) => OFFSET.exec(text.trim())?.[1] !== undefined)) return [];
  const findings: Finding[] = [];
  for (const [s, { time, rows }] of subject.series.entries()) {
    if (!time || rows < 10) continue;
    const step = usualStep(time, rows);
    if (step === null || step > HOUR) continue;
    for (let i = 1; i < rows && findings.length === 0; i++) {
      const change = time[i] - time[i - 1] - step;
      if (Math.abs(Math.abs(change) - HOUR) > step / 2 || !sundayOfChange(time[i - 1], time[i])) continue;
      findings.push(
        finding(
          "daylight-saving",
          "warning",
          change > 0 ? "an hour is missing where clocks change to daylight saving" : "an hour occurs twice where clocks change",
          {
            detail:
              "the times look like local times: differences of time and hours of the day are wrong by an hour for half of the year",
            evidence: { stepMs: step, jumpMs: time[i] - time[i - 1] },
            example: `${audit.where(s, i - 1)} is ${timeName(time[i - 1])}, ${audit.where(s, i)} is ${timeName(time[i])}`,
            repair: "write the times in UTC, or with their offset",
          },
        ),
      );
    }
  }
  return findings.slice(0, 1);
}

/** The step between rows that more than nine of ten have, or null. */
function usualStep(time: Float64Array, rows: number): number | null {
  const steps = new Map<number, number>();
  for (let i = 1; i < rows; i++) steps.set(time[i] - time[i - 1], (steps.get(time[i] - time[i - 1]) ?? 0) + 1);
  const [step, count] = [...steps].reduce((best, one) => (one[1] > best[1] ? one : best), [0, 0]);
  return step > 0 && count > 0.9 * (rows - 1) ? step : null;
}

/** A Sunday early in the day in one of the months in which clocks are changed. */
function sundayOfChange(before: number, after: number): boolean {
  return [before, after].some((ms) => {
    const date = new Date(ms);
    return date.getUTCDay() === 0 && date.getUTCHours() <= 4 && [2, 3, 8, 9, 10].includes(date.getUTCMonth());
  });
}

/** @file What a table looks like to someone who has to configure it: time, series, labels, steps, gaps. */
import { type Column, parseTime, type Table } from "../data/index.js";
import { counted, thousands } from "./terminal.js";

/** What a table looks like to someone who has to configure it. */
export interface DataSketch {
  rows: number;
  time: string | null;
  entity: string | null;
  series: number;
  /** Rows of the shortest series. */
  shortest: number;
  /** Columns of numbers; time, entity, labels and mere counts of the rows left out. */
  numeric: string[];
  /** Columns of texts, or of numbers named like a label, with few distinct values; the likeliest label last. */
  labels: { name: string; values: number; constant: boolean }[];
  /** A column that names the parts of a split. */
  part: string | null;
  missing: number;
  /** Median step between two rows of a series, or null without times. */
  stepMs: number | null;
  first: number | null;
  last: number | null;
  /** Places where a step is longer than one and a half of the median. */
  gaps: number;
}

const MAX_LABELS = 100;
/** Names under which whole numbers are classes. */
const LABEL_NAME = /^(label|class|category|target_class)$/i;
/** Names of columns that tell series apart, alone or as the last word of a longer name. */
const ENTITY_NAME =
  /(^|[^a-z])(id|device|run|entity|unit|machine|series|session|sequence|user|sensor|subject|patient|vehicle)(_?id)?$/i;
const CAMEL_ID = /[a-z](Id|ID)$/;
const PARTS = new Set(["train", "validation", "test", ""]);
const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Looks at every column of a table. */
export function sketchData(table: Table): DataSketch {
  const time = table.columns.find(isTime)?.name ?? null;
  const rest = table.columns.filter(({ name }) => name !== time);
  const part =
    rest.find(({ texts }) => texts !== null && new Set(texts).size > 1 && texts.every((text) => PARTS.has(text.trim())))?.name ??
    null;
  const texts = rest.filter((column): column is Column & { texts: string[] } => column.texts !== null && column.name !== part);
  const times = time === null ? null : timesOf(table, time);
  const entity = findEntity(table, rest, texts, times);
  const groups = groupRows(table, entity);
  const isIndex = (cells: Float64Array) =>
    groups.every(
      (rows) => cells[rows[0]] <= 1 && cells[rows[0]] >= 0 && rows.every((row, i) => cells[row] === cells[rows[0]] + i),
    );
  const labels = rest
    .filter(({ name, numbers }) => name !== entity && name !== part && (numbers === null || LABEL_NAME.test(name)))
    .map(({ name, numbers, texts: own }) => ({ name, cells: own ?? Array.from(numbers as Float64Array) }))
    .filter(({ cells }) => distinct(cells) >= 2 && distinct(cells) <= Math.min(MAX_LABELS, table.rows / 4))
    .map(({ name, cells }) => ({
      name,
      values: distinct(cells),
      constant: entity !== null && groups.every((rows) => rows.every((row) => cells[row] === cells[rows[0]])),
    }));
  const labelled = new Set(labels.map(({ name }) => name));
  const numeric = rest
    .filter(({ name, numbers }) => numbers !== null && name !== entity && !labelled.has(name))
    .filter(({ numbers }) => table.rows === groups.length || !isIndex(numbers as Float64Array))
    .map(({ name }) => name);
  const measured = new Set(numeric);
  const steps = times ? groups.flatMap((rows) => rows.slice(1).map((row, i) => times[row] - times[rows[i]])) : [];
  const sorted = Float64Array.from(steps).sort();
  const stepMs = sorted.length > 0 ? sorted[sorted.length >> 1] : null;
  return {
    rows: table.rows,
    time,
    entity,
    series: groups.length,
    shortest: groups.reduce((least, rows) => Math.min(least, rows.length), table.rows),
    numeric,
    labels,
    part,
    missing: rest.reduce(
      (sum, { name, numbers }) =>
        sum + (numbers && measured.has(name) ? numbers.reduce((n, value) => n + (Number.isNaN(value) ? 1 : 0), 0) : 0),
      0,
    ),
    stepMs,
    first: times ? times.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY) : null,
    last: times ? times.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY) : null,
    gaps: stepMs === null ? 0 : steps.filter((step) => step > 1.5 * stepMs).length,
  };
}

/** Texts that are all times, or numbers that are named like one and rise. */
function isTime({ name, numbers, texts }: Column): boolean {
  if (texts && !numbers) return texts.every((text) => parseTime(text) !== undefined && !Number.isNaN(parseTime(text) as number));
  return /^(time|timestamp|date|datetime|ts)$/i.test(name) && (numbers as Float64Array).every((value) => Number.isFinite(value));
}

function timesOf(table: Table, name: string): Float64Array {
  const { numbers, texts } = table.columns.find((column) => column.name === name) as Column;
  return Float64Array.from(
    { length: table.rows },
    (_, i) => parseTime(texts ? texts[i] : (numbers as Float64Array)[i]) as number,
  );
}

function distinct(cells: ArrayLike<unknown>): number {
  return new Set(Array.from(cells)).size;
}

/**
 * The column within whose values time rises: needed where times repeat or go back, and else only where a name says so. A column of texts,
 * or of whole numbers that is named like one: any measurement whose values are rare enough would part the rows in the same way.
 */
function findEntity(
  table: Table,
  rest: readonly Column[],
  texts: readonly (Column & { texts: string[] })[],
  times: Float64Array | null,
): string | null {
  const candidates = rest.filter(
    ({ name, numbers }) =>
      (ENTITY_NAME.test(name) || CAMEL_ID.test(name)) && (numbers === null || numbers.every(Number.isInteger)),
  );
  const rises = (rows: readonly number[][]) =>
    times === null || rows.every((group) => group.every((row, i) => i === 0 || times[row] > times[group[i - 1]]));
  const tells = (name: string) => {
    const groups = groupRows(table, name);
    return groups.length >= 2 && groups.length <= table.rows / 2 && rises(groups);
  };
  const named = candidates.find(({ name }) => tells(name));
  if (named) return named.name;
  if (times === null || rises([Array.from({ length: table.rows }, (_, i) => i)])) return null;
  return texts.find(({ name }) => tells(name))?.name ?? null;
}

export function groupRows(table: Table, name: string | null): number[][] {
  if (name === null) return [Array.from({ length: table.rows }, (_, i) => i)];
  const { numbers, texts } = table.columns.find((column) => column.name === name) as Column;
  const groups = new Map<unknown, number[]>();
  for (let i = 0; i < table.rows; i++) {
    const key = texts ? texts[i] : (numbers as Float64Array)[i];
    const rows = groups.get(key);
    if (rows) rows.push(i);
    else groups.set(key, [i]);
  }
  return [...groups.values()];
}

export function describeSketch({
  rows,
  stepMs,
  first,
  last,
  gaps,
  numeric,
  entity,
  series,
  labels,
  missing,
}: DataSketch): string {
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  return [
    counted(rows, "row"),
    entity === null ? null : `${thousands(series)} series by ${entity}`,
    stepMs === null ? null : describeStep(stepMs),
    first === null || last === null ? null : `${day(first)} to ${day(last)}`,
    stepMs === null ? null : gaps === 0 ? "no gaps" : counted(gaps, "gap"),
    counted(numeric.length, "numeric column"),
    missing > 0 ? counted(missing, "missing value") : null,
    ...labels.map(({ name, values }) => `${name} with ${counted(values, "label")}`),
  ]
    .filter(Boolean)
    .join(", ");
}

/** "hourly", "every 15 min", "every 250 ms" */
function describeStep(ms: number): string {
  if (ms === HOUR) return "hourly";
  if (ms === DAY) return "daily";
  if (ms === 7 * DAY) return "weekly";
  if (ms > 27 * DAY && ms < 32 * DAY) return "monthly";
  for (const [unit, size] of [
    ["d", DAY],
    ["h", HOUR],
    ["min", MINUTE],
    ["s", 1000],
  ] as const) {
    if (ms >= size) return `every ${Number((ms / size).toFixed(2))} ${unit}`;
  }
  return `every ${ms} ms`;
}

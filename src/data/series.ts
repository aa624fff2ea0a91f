/**
 * @file Which column plays which role, and the cut of a table into one series per entity.
 */
import { OstinatoError } from "../core/errors.js";
import { type AnomalyOptions, anomalyCodes } from "./anomaly.js";
import { timeName } from "./cell.js";
import { cellsOf, numbersOf, rowName, type Table, textsOf, timesOf } from "./table.js";

/** Which column plays which role. */
export interface Roles {
  /** Column of times, or null where rows are equally spaced steps. */
  time: string | null;
  /** Column that tells series apart, or null for one series. */
  entity: string | null;
  features: string[];
  /** Columns of texts that become codes; default none. */
  categories?: readonly string[];
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
  /** Without a time column, the number of the pushed record each row came from, from 0; default the row's own. [rows] */
  tick?: Int32Array;
  /** NaN = missing. [rows, F] */
  features: Float64Array;
  /** NaN = missing. [rows, K] */
  target: Float64Array | null;
  /** Per category column its cells, as they were written; "" = missing. [C][rows] */
  texts?: readonly (readonly string[])[];
  /** The codes of the category columns, once codebooks are fitted. [rows, C] */
  codes?: Float64Array;
  /** "" = missing. [rows] */
  labels: string[] | null;
  /** Cells of the column the split reads. [rows] */
  split: string[] | null;
  /** The text that is to be predicted of the whole series, where the target is one. */
  targetText?: string;
  /** What is known of each row's being anomalous: 0 normal, 1 anomalous, 255 unknown. Never an input, never fitted on. [rows] */
  anomaly?: Uint8Array;
}

/**
 * What the target columns hold: numbers, one label per row, one text per series; "none" where they are read as inputs alone, or the table need
 * not have them.
 */
export type TargetCells = "values" | "label" | "text" | "none";

/**
 * Cuts a table into one series per entity, in order of first appearance, and checks it.
 *
 * @param options `anomaly`: the column that says which rows are anomalous, read where the table has it.
 * @throws OST_COLUMN  if a role names a column that is not there, or a feature occurs twice.
 * @throws OST_VALUE   if a numeric column holds text, or a time cannot be read.
 * @throws OST_MISSING if a row has no entity.
 * @throws OST_ORDER   if the times of a series do not strictly increase; both rows are named.
 * @throws OST_TARGET  if a label is also a feature, or the text of a series is not the same in all of its rows.
 */
export function toSeries(
  table: Table,
  roles: Roles,
  { target, anomaly }: { target: TargetCells; anomaly?: AnomalyOptions | null },
): Series[] {
  checkRoles(roles, target);
  const features = roles.features.map((name) => numbersOf(table, name, "feature"));
  const targets = target === "values" ? roles.target.map((name) => numbersOf(table, name, "target")) : null;
  const labels = target === "label" ? textsOf(table, roles.target[0], "target") : null;
  const written = target === "text" ? cellsOf(table, roles.target[0], "target") : null;
  const known = anomaly ? anomalyCodes(table, anomaly) : null;
  const texts = (roles.categories ?? []).map((name) => cellsOf(table, name, "category"));
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
      ...(texts.length > 0 && { texts: texts.map((cells) => rows.map((row) => cells[row])) }),
      labels: labels && rows.map((row) => labels[row]),
      split: split && rows.map((row) => split[row]),
      ...(written && { targetText: oneText(table, entity, written, rows, roles.target[0]) }),
      ...(known && { anomaly: Uint8Array.from(rows, (row) => known[row]) }),
    });
  }
  return series;
}

/** The text of a series, which all of its rows hold. */
function oneText(table: Table, entity: string, cells: readonly string[], rows: readonly number[], column: string): string {
  const odd = rows.find((row) => cells[row] !== cells[rows[0]]);
  if (odd === undefined) return cells[rows[0]] ?? "";
  throw new OstinatoError("OST_TARGET", {
    what: `the text to be predicted of series "${entity}" is not constant`,
    expected: `${JSON.stringify(cells[rows[0]].slice(0, 60))} in every row, as in ${rowName(table, rows[0] + 1)}`,
    got: JSON.stringify(cells[odd].slice(0, 60)),
    where: `${rowName(table, odd + 1)} column "${column}"`,
    repair: "set data.entity to the column that names the sequence, such as line",
  });
}

function checkRoles({ features, categories = [], target: targets }: Roles, target: TargetCells): void {
  if (features.length + categories.length === 0) {
    throw new OstinatoError("OST_COLUMN", {
      what: "no features",
      expected: "at least one column in data.features or data.categories",
      where: "data.features",
    });
  }
  for (const [list, where] of [
    [[...features, ...categories], "data.features and data.categories"],
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
      expected:
        target === "values"
          ? "at least one"
          : target === "label"
            ? "exactly one column of labels"
            : "exactly one column of texts",
      got: String(targets.length),
      where: "data.target",
    });
  }
  if (target !== "values" && [...features, ...categories].includes(targets[0])) {
    throw new OstinatoError("OST_TARGET", {
      what: `the ${target} to be predicted is also a feature, so the model would be told the answer`,
      got: `"${targets[0]}" in both`,
      where: "data.features",
      repair: `remove "${targets[0]}" from data.features and data.categories`,
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
  const at = (i: number) => ({ time: time[i], place: rowName(table, rows[i] + 1) });
  for (let i = 1; i < time.length; i++) if (!(time[i] > time[i - 1])) throw outOfOrder(entity, at(i - 1), at(i));
}

/** The error of a row whose time does not come after that of the row before it in its series. */
export function outOfOrder(
  entity: string,
  before: { time: number; place: string },
  now: { time: number; place: string },
): OstinatoError {
  const same = now.time === before.time;
  return new OstinatoError("OST_ORDER", {
    what: same ? `two rows of series "${entity}" have the same time` : `the times of series "${entity}" go backwards`,
    expected: `a time after ${timeName(before.time)} (${before.place})`,
    got: timeName(now.time),
    where: now.place,
    repair: same
      ? "remove one of the rows, or set data.entity to the column that tells the series apart"
      : "sort the rows by time, or set data.entity to the column that tells the series apart",
  });
}

/** Rows [from, to) of a series, as a view. */
export function sliceSeries(series: Series, from: number, to: number): Series {
  const { rows, row, time, tick, features, texts, codes, target, labels, split, anomaly } = series;
  if (from === 0 && to === rows) return series;
  const view = (values: Float64Array) => {
    const width = values.length / Math.max(1, rows);
    return values.subarray(from * width, to * width);
  };
  return {
    ...series,
    rows: to - from,
    row: row.subarray(from, to),
    time: time?.subarray(from, to) ?? null,
    tick: tick?.subarray(from, to) ?? Int32Array.from({ length: to - from }, (_, i) => from + i),
    features: view(features),
    ...(texts && { texts: texts.map((cells) => cells.slice(from, to)) }),
    ...(codes && { codes: view(codes) }),
    target: target && view(target),
    labels: labels?.slice(from, to) ?? null,
    split: split?.slice(from, to) ?? null,
    ...(anomaly && { anomaly: anomaly.subarray(from, to) }),
  };
}

/** A series in consecutive pieces: one in memory, several from disk. */
export interface SeriesBlocks {
  entity: string;
  rows: number;
  /** Called afresh for every pass. */
  blocks(): Iterable<Series>;
}

export function blocksOf(series: Series): SeriesBlocks {
  return { entity: series.entity, rows: series.rows, blocks: () => [series] };
}

/**
 * @file Divides prepared rows into train, validation and test, in a way that no later or foreign knowledge crosses over.
 *
 *     time              each series is cut by its own order; a gap of rows between two parts belongs to none
 *     entity            whole series are drawn
 *     group:<column>    whole groups of series are drawn
 *     column:<column>   the data says it row by row
 *
 * Draws are stratified by label where every series has one constant label: each part gets its share of every class.
 */
import { PARTS, type Part } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { seed as seeded } from "../core/rng.js";

export type SplitOptions =
  | { by: "time"; rows: readonly [train: number, validation: number, test: number]; gap?: number }
  | { by: "time" | "entity" | `group:${string}`; train: number; validation: number; test: number; gap?: number; seed?: number }
  | { by: `column:${string}`; validation?: number; seed?: number };

/** What the split sees of a series; `split` holds the cells of the column it reads. */
export interface SplitSeries {
  entity: string;
  rows: number;
  labels: readonly string[] | null;
  split: readonly string[] | null;
}

export interface SplitSummary {
  /** Rows in each part. */
  train: number;
  validation: number;
  test: number;
  /** Rows of no part, and where they lie: "rows 14401-17420 of 1 series" (counted from 1 within the series). */
  unused: number;
  unusedRanges: string[];
  /** Series with at least one row in each part. */
  series: { train: number; validation: number; test: number };
}

export interface Split {
  /** Per series the part of each row: 0 none, else {@link partCode}. */
  part: Uint8Array[];
  summary: SplitSummary;
}

/** The number of a part in a `part` array: 1 train, 2 validation, 3 test; 0 is none. */
export function partCode(part: Part): number {
  return PARTS.indexOf(part) + 1;
}

/** The column a split reads, or null. */
export function splitColumn({ by }: { by: string }): string | null {
  return /^(?:group|column):(.+)$/s.exec(by)?.[1] ?? null;
}

/** @throws OST_SPLIT if a part would be empty, more is wanted than there is, or the options contradict each other. */
export function splitSeries(series: readonly SplitSeries[], options: SplitOptions): Split {
  const part = assign(series, options);
  const summary = summarize(part);
  const empty = PARTS.find((name) => summary[name] === 0);
  if (empty) {
    throw new OstinatoError("OST_SPLIT", {
      what: `the part "${empty}" has no rows`,
      expected: "rows in train, validation and test",
      got: `${summary.train}, ${summary.validation} and ${summary.test} of ${series.reduce((sum, { rows }) => sum + rows, 0)} rows`,
      where: "data.split",
      repair:
        options.by.startsWith("column:") && empty === "validation"
          ? "add validation: 0.15 to take that share of the training series"
          : "change the sizes in data.split",
    });
  }
  return { part, summary };
}

function assign(series: readonly SplitSeries[], options: SplitOptions): Uint8Array[] {
  const by: string = options.by;
  if (by.startsWith("column:")) return byColumn(series, by.slice(7), options as { validation?: number; seed?: number });
  if (by === "time")
    return "rows" in options ? byRows(series, options.rows, options.gap ?? 0) : byTime(series, fractions(options));
  if (by === "entity" || by.startsWith("group:")) return byGroup(series, by, fractions(options));
  throw new OstinatoError("OST_SPLIT", {
    what: "unknown split",
    expected: "by: time, entity, group:<column> or column:<column>",
    got: `by: ${by}`,
    where: "data.split.by",
  });
}

interface Fractions {
  train: number;
  validation: number;
  test: number;
  gap: number;
  seed: number;
}

function fractions(options: SplitOptions): Fractions {
  const { train, validation, test, gap = 0, seed = 0 } = options as Partial<Fractions>;
  const shares = [train, validation, test];
  const sum = shares.reduce<number>((total, share) => total + (share ?? Number.NaN), 0);
  if (!shares.every((share) => share! > 0) || !(sum <= 1 + 1e-9)) {
    throw new OstinatoError("OST_SPLIT", {
      what: "the shares do not fit",
      expected: "train, validation and test each above 0, together at most 1",
      got: `${train}, ${validation} and ${test}`,
      where: "data.split",
    });
  }
  checkGap(gap);
  return { train: train!, validation: validation!, test: test!, gap, seed };
}

function checkGap(gap: number): void {
  if (Number.isInteger(gap) && gap >= 0) return;
  throw new OstinatoError("OST_SPLIT", {
    what: "the gap is no number of rows",
    expected: "a whole number >= 0",
    got: String(gap),
    where: "data.split.gap",
  });
}

function byRows(series: readonly SplitSeries[], counts: readonly number[], gap: number): Uint8Array[] {
  checkGap(gap);
  if (counts.length !== 3 || !counts.every((count) => Number.isInteger(count) && count > 0)) {
    throw new OstinatoError("OST_SPLIT", {
      what: "the row counts do not fit",
      expected: "three whole numbers above 0: train, validation, test",
      got: `[${counts.join(", ")}]`,
      where: "data.split.rows",
    });
  }
  const wanted = counts[0] + counts[1] + counts[2] + 2 * gap;
  return series.map(({ entity, rows }) => {
    if (wanted > rows) {
      throw new OstinatoError("OST_SPLIT", {
        what: "the split names rows that do not exist",
        expected: `at least ${wanted} rows (${counts.join(" + ")}${gap ? ` + 2 gaps of ${gap}` : ""})`,
        got: `${rows} rows in series "${entity}"`,
        where: "data.split.rows",
        repair: "use smaller counts, or shares: { by: time, train: 0.7, validation: 0.15, test: 0.15 }",
      });
    }
    return cut(rows, counts, gap);
  });
}

function byTime(series: readonly SplitSeries[], { train, validation, test, gap }: Fractions): Uint8Array[] {
  return series.map(({ rows }) => {
    const usable = Math.max(0, rows - 2 * gap);
    const trained = Math.floor(usable * train + 1e-9);
    const validated = Math.floor(usable * validation + 1e-9);
    const all = train + validation + test >= 1 - 1e-9;
    return cut(rows, [trained, validated, all ? usable - trained - validated : Math.floor(usable * test + 1e-9)], gap);
  });
}

function cut(rows: number, counts: readonly number[], gap: number): Uint8Array {
  const part = new Uint8Array(rows);
  let at = 0;
  counts.forEach((count, p) => {
    part.fill(p + 1, at, at + count);
    at += count + gap;
  });
  return part;
}

/** Units that must stay together, with the label they are stratified by. */
interface Unit {
  series: number[];
  label: string;
}

function byGroup(series: readonly SplitSeries[], by: string, { train, validation, test, gap, seed }: Fractions): Uint8Array[] {
  if (gap > 0) {
    throw new OstinatoError("OST_SPLIT", {
      what: "a gap means nothing between whole series",
      expected: "gap: 0",
      got: `gap: ${gap} with by: ${by}`,
      where: "data.split.gap",
    });
  }
  const units = by === "entity" ? series.map((_, s) => [s]) : groups(series, by);
  const noun = by === "entity" ? "series" : "groups";
  const n = units.length;
  const validated = Math.max(1, Math.round(validation * n));
  const tested = Math.max(1, Math.round(test * n));
  const all = train + validation + test >= 1 - 1e-9;
  const trained = all ? n - validated - tested : Math.min(n - validated - tested, Math.max(1, Math.round(train * n)));
  if (trained < 1) {
    throw new OstinatoError("OST_SPLIT", {
      what: `too few ${noun} to divide`,
      expected: `at least 3 ${noun}`,
      got: String(n),
      where: "data.split",
      repair: n === 1 ? "split by: time, or set data.entity" : "add data, or split by: time",
    });
  }
  const order = stratified(
    units.map((members) => ({ series: members, label: commonLabel(series, members) })),
    seed,
  );
  const part = series.map(({ rows }) => new Uint8Array(rows));
  order.forEach((unit, i) => {
    const code = i < trained ? 1 : i < trained + validated ? 2 : i < trained + validated + tested ? 3 : 0;
    for (const s of unit.series) part[s].fill(code);
  });
  return part;
}

function groups(series: readonly SplitSeries[], by: string): number[][] {
  const members = new Map<string, number[]>();
  series.forEach(({ entity, split }, s) => {
    const group = split![0] ?? "";
    const other = split!.find((cell) => cell !== group);
    if (other !== undefined) {
      throw new OstinatoError("OST_SPLIT", {
        what: "a series belongs to two groups",
        expected: "one group per series",
        got: `"${group}" and "${other}" in series "${entity}"`,
        where: "data.split.by",
        repair: `set data.entity to a column that is constant within ${by}`,
      });
    }
    const list = members.get(group);
    if (list) list.push(s);
    else members.set(group, [s]);
  });
  return [...members.values()];
}

function commonLabel(series: readonly SplitSeries[], members: readonly number[]): string {
  const label = series[members[0]].labels?.[0] ?? "";
  return members.every((s) => series[s].labels?.every((other) => other === label)) ? label : "";
}

/** An order of which every consecutive stretch holds nearly its share of each label: jittered ranks within each label, merged. */
function stratified(units: readonly Unit[], seed: number): Unit[] {
  const rng = seeded(seed);
  const byLabel = new Map<string, Unit[]>();
  for (const unit of units) {
    const list = byLabel.get(unit.label);
    if (list) list.push(unit);
    else byLabel.set(unit.label, [unit]);
  }
  const keyed: { unit: Unit; key: number }[] = [];
  for (const list of byLabel.values()) {
    rng.shuffle(list).forEach((unit, i) => {
      keyed.push({ unit, key: (i + rng.uniform()) / list.length });
    });
  }
  return keyed.sort((a, b) => a.key - b.key).map(({ unit }) => unit);
}

function byColumn(
  series: readonly SplitSeries[],
  column: string,
  { validation, seed = 0 }: { validation?: number; seed?: number },
): Uint8Array[] {
  const part = series.map(({ entity, split }) =>
    Uint8Array.from(split!, (cell, i) => {
      const code = cell === "" ? 0 : PARTS.indexOf(cell as Part) + 1;
      if (cell !== "" && code === 0) {
        throw new OstinatoError("OST_SPLIT", {
          what: `the column "${column}" names no part`,
          expected: "train, validation, test, or an empty cell for a row of no part",
          got: JSON.stringify(cell),
          where: `row ${i + 1} of series "${entity}"`,
          repair: "correct the cell, or choose another column in data.split.by",
        });
      }
      return code;
    }),
  );
  if (validation === undefined || validation === null) return part;
  const inTrain = part.flatMap((codes, s) => (codes.includes(1) ? [s] : []));
  if (!(validation > 0 && validation < 1) || inTrain.length < 2 || part.some((codes) => codes.includes(2))) {
    throw new OstinatoError("OST_SPLIT", {
      what: "no validation series can be taken from training",
      expected: "a share between 0 and 1, at least two training series, and no validation rows in the column",
      got: `validation: ${validation}, ${inTrain.length} training series`,
      where: "data.split.validation",
      repair: "mark the validation rows in the column itself, and remove data.split.validation",
    });
  }
  const count = Math.min(inTrain.length - 1, Math.max(1, Math.round(validation * inTrain.length)));
  const order = stratified(
    inTrain.map((s) => ({ series: [s], label: commonLabel(series, [s]) })),
    seed,
  );
  for (const unit of order.slice(0, count)) {
    const codes = part[unit.series[0]];
    codes.forEach((code, i) => {
      if (code === 1) codes[i] = 2;
    });
  }
  return part;
}

/** The runs [from, to) of consecutive rows of one part. */
export function runsOf(part: Uint8Array, code: number): [from: number, to: number][] {
  const runs: [number, number][] = [];
  for (let from = part.indexOf(code); from >= 0; ) {
    let to = from + 1;
    while (to < part.length && part[to] === code) to++;
    runs.push([from, to]);
    from = to < part.length ? part.indexOf(code, to) : -1;
  }
  return runs;
}

function summarize(part: readonly Uint8Array[]): SplitSummary {
  const rows = [0, 0, 0, 0];
  const series = [0, 0, 0, 0];
  const ranges = new Map<string, number>();
  for (const codes of part) {
    const here = [0, 0, 0, 0];
    for (const code of codes) here[code]++;
    here.forEach((count, code) => {
      rows[code] += count;
      if (count > 0) series[code]++;
    });
    if (here[0] === 0) continue;
    const range = runsOf(codes, 0)
      .map(([from, to]) => (to - from === 1 ? `row ${to}` : `rows ${from + 1}-${to}`))
      .join(", ");
    ranges.set(range, (ranges.get(range) ?? 0) + 1);
  }
  const listed = [...ranges].map(([range, count]) => `${range} of ${count} series`);
  return {
    train: rows[1],
    validation: rows[2],
    test: rows[3],
    unused: rows[0],
    unusedRanges: listed.length > 10 ? [...listed.slice(0, 10), `and ${listed.length - 10} more`] : listed,
    series: { train: series[1], validation: series[2], test: series[3] },
  };
}

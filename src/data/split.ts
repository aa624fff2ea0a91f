/**
 * @file Divides prepared rows into train, validation and test, in a way that no later or foreign knowledge crosses over.
 *
 *     time              along time, each series by its own rows or all at the same instants (time-cut.ts)
 *     entity            whole series are drawn (unit-draw.ts)
 *     group:<column>    whole groups of series are drawn
 *     column:<column>   the data says it row by row: the name of the part, or a value that `parts` gives to one
 *     modulo:<column>   the remainder of a whole number that each series has, such as the number of its line in a file
 *
 * An entity or group split with `time` is both at once: a row belongs to a part if its series and its time do. The rest of the cross, such
 * as training series in the test period, belongs to none, so that the test asks for new series at new times.
 *
 * Time, entity and group also come as folds: `folds: 5, fold: 2`. A fold is a split like any other, so what is fitted for it is fitted on
 * its training rows.
 */
import { PARTS, type Part } from "../core/batch.js";
import { nearest, OstinatoError } from "../core/errors.js";
import { timeName } from "./cell.js";
import { type TimeCutOptions, type TimedSeries, timeCut } from "./time-cut.js";
import { commonLabel, type DrawnSeries, stratified, type UnitDrawOptions, unitDraw } from "./unit-draw.js";

/** Along time, such as `{ by: "time", train: 0.7, validation: 0.15, test: 0.15, at: "instant", gap: 24 }`. */
export type TimeSplitOptions = { by: "time" } & TimeCutOptions;

/** Whole series or groups; with `time` only within the period of the same part, cut at instants unless it says `at: series`. */
export type UnitSplitOptions = { by: "entity" | `group:${string}`; time?: TimeCutOptions } & UnitDrawOptions;

export interface ColumnSplitOptions {
  by: `column:${string}`;
  /**
   * The values of the column that belong to each part. Without `train`, every value not listed is of the training part. Rows with an empty
   * cell are of no part, unless "" is listed. Without `parts` the cells are the names of the parts.
   */
  parts?: Partial<Record<Part, readonly string[]>>;
  /** Share of the training series for validation, where the column gives it none. */
  validation?: number;
  seed?: number;
}

/**
 * By the remainder of the whole number that a cell ends in ("17", "Arabic.txt-17"): `{ by: "modulo:line", divisor: 5, test: [1] }`. Lines,
 * sentences and sequences of a file are numbered from 1: every fifth one from the first has remainder 1.
 */
export interface ModuloSplitOptions {
  by: `modulo:${string}`;
  /** 2 or more. */
  divisor: number;
  /** Remainders, 0 .. divisor - 1, of the part; all others are of the training part. */
  test: readonly number[];
  /** Remainders of the validation part, or a share of the training series drawn for it. */
  validation: readonly number[] | number;
  /** Beginnings of cells that are of a part whatever their number, such as those of another file: `{ test: ["abnormal-"] }`. */
  begins?: Partial<Record<Part, readonly string[]>>;
  seed?: number;
}

export type SplitOptions = TimeSplitOptions | UnitSplitOptions | ColumnSplitOptions | ModuloSplitOptions;

/** What the split sees of a series; `split` holds the cells of the column it reads. */
export interface SplitSeries extends TimedSeries, DrawnSeries {}

export interface SplitSummary {
  /** What was counted and cut where it was not rows: the characters of a text that predicts itself. */
  unit?: "characters";
  /** Rows in each part. */
  train: number;
  validation: number;
  test: number;
  /** Rows of no part, and where they lie: "rows 14401-17420 of 1 series" (counted from 1 within the series). */
  unused: number;
  unusedRanges: string[];
  /** Series with at least one row in each part. */
  series: { train: number; validation: number; test: number };
  /** Where all series were cut at the same instants: when validation and test begin. */
  from?: { validation: string; test: string };
  /** Of a split by unit and time: rows unused because their series and their time belong to two different parts. */
  crossed?: number;
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
  return /^(?:group|column|modulo):(.+)$/s.exec(by)?.[1] ?? null;
}

/** @throws OST_SPLIT if a part would be empty, more is wanted than there is, or the options contradict each other. */
export function splitSeries(series: readonly SplitSeries[], options: SplitOptions): Split {
  const { part, ...facts } = assign(series, options);
  const summary = { ...summarizeParts(part), ...facts };
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

function assign(
  series: readonly SplitSeries[],
  options: SplitOptions,
): { part: Uint8Array[] } & Pick<SplitSummary, "from" | "crossed"> {
  if (isColumn(options)) return { part: byColumn(series, options) };
  if (isModulo(options)) return { part: byModulo(series, options) };
  if (options.by === "time") {
    refuse(options, ["time"], "names the series of a part with by: entity or group:<column>");
    const { part, from } = timeCut(series, options);
    return { part, ...startsOf(from) };
  }
  if (isUnit(options)) {
    refuse(options, ["gap", "gapMs", "at", "from", "rows"], "means nothing between whole series; within time: { ... } it does");
    const drawn = unitDraw(series, options.by, options);
    if (!options.time) return { part: series.map(({ rows }, s) => new Uint8Array(rows).fill(drawn[s])) };
    const { part, from } = timeCut(series, options.time, { at: "instant" });
    return { part, ...startsOf(from), crossed: cross(part, drawn) };
  }
  throw new OstinatoError("OST_SPLIT", {
    what: "unknown split",
    expected: "by: time, entity, group:<column>, column:<column> or modulo:<column>",
    got: `by: ${(options as { by: string }).by}`,
    where: "data.split.by",
  });
}

function isColumn(options: SplitOptions): options is ColumnSplitOptions {
  return options.by.startsWith("column:");
}

function isModulo(options: SplitOptions): options is ModuloSplitOptions {
  return options.by.startsWith("modulo:");
}

function isUnit(options: TimeSplitOptions | UnitSplitOptions): options is UnitSplitOptions {
  return options.by === "entity" || options.by.startsWith("group:");
}

/** Options of another kind of split; a gap of 0 says nothing and passes. */
function refuse(options: SplitOptions, names: readonly string[], why: string): void {
  const given: { [name: string]: unknown } = { ...options };
  const name = names.find((other) => given[other]);
  if (name === undefined) return;
  throw new OstinatoError("OST_SPLIT", {
    what: `the option "${name}" ${why}`,
    expected: `no ${name} with by: ${options.by}`,
    got: `${name}: ${JSON.stringify(given[name])}`,
    where: `data.split.${name}`,
    repair: "remove it, or choose another by",
  });
}

function startsOf(from: { validation: number; test: number } | undefined): Pick<SplitSummary, "from"> {
  if (!from || !Number.isFinite(from.validation) || !Number.isFinite(from.test)) return {};
  return { from: { validation: timeName(from.validation), test: timeName(from.test) } };
}

/** Leaves each row its part of time only where its series was drawn for the same one; returns how many other parts that ended. */
function cross(part: readonly Uint8Array[], drawn: Uint8Array): number {
  let crossed = 0;
  part.forEach((codes, s) => {
    for (let i = 0; i < codes.length; i++) {
      if (codes[i] === 0 || codes[i] === drawn[s]) continue;
      if (drawn[s] > 0) crossed++;
      codes[i] = 0;
    }
  });
  return crossed;
}

function byColumn(series: readonly SplitSeries[], options: ColumnSplitOptions): Uint8Array[] {
  const { validation, seed = 0 } = options;
  const column = options.by.slice(7);
  const part = options.parts ? byValues(series, column, options.parts) : byNames(series, column);
  if (validation === undefined || validation === null) return part;
  return withValidation(series, part, { validation, seed });
}

/** Takes a share of the training series for validation. */
function withValidation(
  series: readonly SplitSeries[],
  part: Uint8Array[],
  { validation, seed }: { validation: number; seed: number },
): Uint8Array[] {
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

function byModulo(series: readonly SplitSeries[], options: ModuloSplitOptions): Uint8Array[] {
  const { divisor, test, validation, begins = {}, seed = 0 } = options;
  const column = options.by.slice("modulo:".length);
  const refused = (what: string, expected: string, got: string, where: string) =>
    new OstinatoError("OST_SPLIT", { what, expected, got, where: `data.split.${where}` });
  if (!(Number.isSafeInteger(divisor) && divisor >= 2)) {
    throw refused("the divisor is none", "a whole number from 2", String(divisor), "divisor");
  }
  const held = typeof validation === "number" ? [] : validation;
  for (const [name, remainders] of [
    ["test", test],
    ["validation", held],
  ] as const) {
    const wrong = remainders.find((r, i) => !(Number.isInteger(r) && r >= 0 && r < divisor) || remainders.indexOf(r) !== i);
    const twice = name === "validation" ? remainders.find((r) => test.includes(r)) : undefined;
    if (wrong === undefined && twice === undefined) continue;
    const expected = `distinct remainders, 0 .. ${divisor - 1}, each of one part`;
    throw refused("the remainders do not fit", expected, remainders.join(", "), name);
  }
  const beginnings = PARTS.flatMap((name) => (begins[name] ?? []).map((text) => ({ text, code: partCode(name), seen: false })));
  const part = series.map(({ entity, rows, split }) => {
    const cells = split as readonly string[];
    const odd = cells.findIndex((cell) => cell !== cells[0]);
    if (odd >= 0) {
      const what = `series "${entity}" has several numbers, and would lie in several parts`;
      throw refused(what, `"${cells[0]}" in every row of "${column}"`, `"${cells[odd]}" in its row ${odd + 1}`, "by");
    }
    const own = beginnings.find(({ text }) => cells[0].startsWith(text));
    if (own) {
      own.seen = true;
      return new Uint8Array(rows).fill(own.code);
    }
    const digits = /\d+$/.exec(cells[0])?.[0];
    if (digits === undefined) {
      const what = `the column "${column}" holds no number`;
      throw refused(what, "a whole number, or a cell that ends in one", `"${cells[0]}" in series "${entity}"`, "by");
    }
    const remainder = Number(BigInt(digits) % BigInt(divisor));
    const code = test.includes(remainder) ? "test" : held.includes(remainder) ? "validation" : "train";
    return new Uint8Array(rows).fill(partCode(code));
  });
  const unseen = beginnings.find(({ seen }) => !seen);
  if (unseen) throw refused(`no cell of "${column}" begins so`, "beginnings of cells", JSON.stringify(unseen.text), "begins");
  return typeof validation === "number" ? withValidation(series, part, { validation, seed }) : part;
}

function byNames(series: readonly SplitSeries[], column: string): Uint8Array[] {
  return series.map(({ entity, split }) =>
    Uint8Array.from(split!, (cell, i) => {
      const code = cell === "" ? 0 : PARTS.indexOf(cell as Part) + 1;
      if (cell !== "" && code === 0) {
        throw new OstinatoError("OST_SPLIT", {
          what: `the column "${column}" names no part`,
          expected: "train, validation, test, or an empty cell for a row of no part",
          got: JSON.stringify(cell),
          where: `row ${i + 1} of series "${entity}"`,
          repair: `correct the cell, or say which values belong to which part: parts: { test: [${JSON.stringify(cell)}] }`,
        });
      }
      return code;
    }),
  );
}

function byValues(series: readonly SplitSeries[], column: string, parts: NonNullable<ColumnSplitOptions["parts"]>): Uint8Array[] {
  const codes = new Map<string, number>();
  for (const name of PARTS) {
    for (const value of parts[name] ?? []) {
      const other = codes.get(String(value));
      if (other !== undefined)
        throw wrongValue(column, value, `is given to ${PARTS[other - 1]} and to ${name}`, "one part per value");
      codes.set(String(value), partCode(name));
    }
  }
  const rest = parts.train ? 0 : 1;
  const seen = new Set<string>();
  const part = series.map(({ split }) =>
    Uint8Array.from(split!, (cell) => {
      seen.add(cell);
      return codes.get(cell) ?? (cell === "" ? 0 : rest);
    }),
  );
  for (const value of codes.keys()) {
    if (seen.has(value)) continue;
    const near = nearest(value, [...seen]);
    throw wrongValue(column, value, "does not occur", near === undefined ? "values of the column" : `did you mean "${near}"?`);
  }
  return part;
}

function wrongValue(column: string, value: string, what: string, expected: string): OstinatoError {
  return new OstinatoError("OST_SPLIT", {
    what: `a value of the column "${column}" ${what}`,
    expected,
    got: JSON.stringify(value),
    where: "data.split.parts",
    repair: "correct the lists in data.split.parts",
  });
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

/** How many rows each part has, and which have none. */
export function summarizeParts(part: readonly Uint8Array[]): SplitSummary {
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

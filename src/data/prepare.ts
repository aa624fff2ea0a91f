/**
 * @file From a table to prepared series: cut into series, resampled, split, preprocessing fitted on training rows and applied to all.
 */
import { PARTS, type TargetKind } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { aheadName, type DerivedColumns, deriveColumns, SESSION, type SessionOptions } from "./derive.js";
import { boundaryColumns, checkedRules } from "./events/index.js";
import { type HiddenGroups, hiddenCopies } from "./hide.js";
import { refused } from "./impute.js";
import { gridOf, Preprocessing } from "./preprocessing.js";
import { checkTarget, type PreprocessingOptions, targetCellsOf } from "./preprocessing-options.js";
import { partsOfRows, type RawProfile, RawProfiler } from "./raw-profile.js";
import { type Roles, type Series, toSeries } from "./series.js";
import type { Slices } from "./slices.js";
import { partCode, type Split, type SplitOptions, type SplitSummary, splitColumn, splitSeries } from "./split.js";
import { rowName, type Table } from "./table.js";
import type { TargetTokens } from "./target-tokens.js";
import { cutsText, cutTexts, type TextCodebook } from "./text-cut.js";

/** The `data` block of a configuration, less its source. */
export interface DataOptions extends PreprocessingOptions {
  /** What the target is: future values, one class per series or per step, the next code of a column, or a text per series. */
  targetKind: TargetKind;
  time?: string | null;
  entity?: string | null;
  /** Numeric input columns; may be left out where there are categories. */
  features?: readonly string[];
  /**
   * Columns of values, or the one column of labels, of codes ("next": one of `categories`; "values": one of kind set) or of texts ("tokens"). May
   * be left out with `anomaly`: what is predicted then are all features, or the one column of codes.
   */
  target?: string | readonly string[];
  split: SplitOptions;
  /** Column of the times at which labels became known, for the audit. */
  labelKnown?: string | null;
  /** Inputs known so many rows ahead; each is read as `<column>.ahead`. */
  known?: { columns: readonly string[]; steps: number };
  /** Cuts rows into sessions, which become the series. */
  sessions?: SessionOptions | null;
  /** Adds training copies in which these groups of features are missing throughout (see hide.ts). */
  hide?: HiddenGroups;
}

/** A series as a model reads it. F features, K targets. */
export interface PreparedSeries {
  entity: string;
  length: number;
  /** [length, F] */
  x: Slices<Float32Array>;
  /** Scaled; NaN = missing. Null unless the target is values. [length, K] */
  values: Slices<Float32Array> | null;
  /** -1 = missing. Null unless the target is a class of the series or of each step. [length] */
  classes: Slices<Int32Array> | null;
  /** The codes of the text to be predicted of the whole series; absent or null unless the target is one. */
  tokens?: Int32Array | null;
  /** What is known of each step's being anomalous: 0 normal, 1 anomalous, 255 unknown. Absent without such a column. [length] */
  anomaly?: Uint8Array;
  /** Milliseconds since 1970 UTC, or null without a time column. [length] */
  time: Slices<Float64Array> | null;
  /** Row of the table, 1-based; the last of its interval after resampling. [length] */
  row: Slices<Int32Array>;
  /** 0 none, 1 train, 2 validation, 3 test. [length] */
  part: Uint8Array;
  /** The independent unit it belongs to, where the split is by group; else null. */
  group: string | null;
  /** A copy with columns hidden: an example in training, and nothing else. */
  copy: boolean;
}

/** A prepared series that is held in memory. */
export interface MemorySeries extends PreparedSeries {
  x: Float32Array;
  values: Float32Array | null;
  classes: Int32Array | null;
  tokens?: Int32Array | null;
  time: Float64Array | null;
  row: Int32Array;
}

export interface PreparedData<S extends PreparedSeries = PreparedSeries> {
  source: string;
  files: Table["files"];
  series: S[];
  preprocessing: Preprocessing;
  split: SplitSummary;
  /** Rows that could not be read and were left out, where they were counted on the way. */
  skipped?: Table["skipped"];
  /** Series that were left out because they have no step, being shorter than an interval of the grid; absent if there were none. */
  empty?: EmptySeries;
  /** What the training rows held before preprocessing; absent where nothing was fitted. */
  profile?: RawProfile;
  /** What a reader must know of how the data were prepared. */
  notes?: string[];
}

export interface PrepareOptions extends DataOptions {
  /**
   * A preprocessing that is taken as it is: nothing is fitted, and of the other options only the split and `hide` count. For training on with a model
   * that exists.
   */
  frozen?: Preprocessing;
}

export interface EmptySeries {
  series: number;
  /** The names of the first few. */
  first: string[];
}

/**
 * Prepares a table for training and evaluation.
 *
 * @throws OST_COLUMN OST_VALUE OST_ORDER OST_SPLIT OST_MISSING OST_TARGET OST_CAUSAL OST_RANGE, each naming the row or the option.
 */
export function prepare(source: Table, options: PrepareOptions): PreparedData<MemorySeries> {
  const { split, frozen } = options;
  const targetKind = frozen?.targetKind ?? options.targetKind;
  const roles = frozen ? { ...frozen.roles, split: splitColumn(split) } : rolesOf(options);
  const derived = frozen?.derived ?? derivedOf(options);
  if (derived.ahead && options.resample) {
    throw new OstinatoError("OST_CONFIG", {
      what: "how far ahead a column is known is counted in rows, and a grid has others than the data",
      expected: "data.known or data.resample, not both",
      where: "data.known",
      repair: "bring the data onto the grid first, with data.sql",
    });
  }
  if (!frozen) checkTarget({ ...options, roles });
  const entity = frozen ? (derived.sessions ? null : roles.entity) : (options.entity ?? null);
  const table = deriveColumns(source, { time: roles.time, entity }, derived);
  const target = frozen?.targetCells ?? targetCellsOf({ ...options, roles });
  const anomaly = frozen ? presentAnomaly(table, frozen) : options.anomaly;
  const raw = toSeries(table, roles, { target, anomaly });
  const policy = typeof options.missing === "object" ? options.missing.policy : (options.missing ?? "refuse");
  const refuses = frozen ? frozen.refuses : policy === "refuse";
  if (refuses) checkComplete(table, raw, roles);
  if (targetKind === "class") checkConstant(table, raw, roles.target[0]);
  const { split: _, ...kept } = roles;
  const where = (series: Series) => (i: number) => rowName(table, series.row[i]);
  const { series: grids, empty } = withSteps(
    raw.map((series) =>
      frozen ? frozen.resampled(series, where(series)) : gridOf(series, { ...options, roles: kept }, where(series)),
    ),
  );
  if (empty && grids.length === 0) throw nothingOnGrid(table.source, empty);
  if (refuses && (frozen ? grids[0] !== raw[0] : options.resample)) {
    checkComplete(table, grids, { features: roles.features, target: [] });
  }
  const {
    series: cut,
    part,
    summary,
  } = splitGrids(grids, {
    split,
    roles,
    codebook: targetKind !== "next" ? null : (frozen?.targetCodebook ?? options.categories?.[roles.target[0]] ?? null),
  });
  if (targetKind === "class" || targetKind === "tokens") checkApart(table, cut, part);
  checkStatic(table, raw, roles, frozen ? [] : (options.static ?? []));
  const preprocessing = frozen ?? Preprocessing.fit(cut, { ...options, derived, roles: kept, targetKind }, part);
  const encoded = cut.map((grid) => preprocessing.encode(grid));
  const steps = encoded.map(({ series }) => series);
  const stepParts = encoded.map(({ source }, s) => (source ? Uint8Array.from(source, (i) => part[s][i]) : part[s]));
  const copies = hiddenCopies(steps, stepParts, {
    groups: options.hide ?? [],
    features: roles.features,
    refuses: preprocessing.refuses,
  });
  const parts = [...stepParts, ...copies.part];
  // A copy is scaled as its original is, whatever it is called.
  const originals = steps.filter((_, s) => stepParts[s].includes(partCode("train")));
  const entities = [...steps, ...originals].map(({ entity }) => entity);
  const series = [...steps, ...copies.series].map((grid, s) => {
    const group = split.by.startsWith("group:") ? (grid.split?.[0] ?? null) : null;
    const made = preparedSeries(table, { ...grid, entity: entities[s] }, preprocessing, parts[s], { target: true });
    return { ...made, entity: grid.entity, group, copy: s >= steps.length };
  });
  const notes = [...(frozen ? [FROZEN_NOTE] : []), ...unknownNotes(table, series, preprocessing)];
  return {
    source: table.source,
    files: table.files,
    series,
    preprocessing,
    split: summary,
    profile: rawProfile(summary.unit ? cut : raw, cut, part, roles.features),
    ...empty,
    ...(notes.length > 0 && { notes }),
  };
}

const FROZEN_NOTE =
  "scales, vocabularies and classes are those of the model that training goes on from, fitted on its own training rows and not on these";

/**
 * How many targets outside training no code stands for, where training had a code for all of its own: they can only be predicted wrongly.
 */
function unknownNotes(
  table: Pick<Table, "source" | "files">,
  series: readonly MemorySeries[],
  { targetKind }: Preprocessing,
): string[] {
  if (targetKind !== "next" && targetKind !== "tokens") return [];
  const found = { unknown: 0, all: 0, first: "" };
  for (const { tokens, classes, part, row } of series) {
    const whole = targetKind === "tokens";
    const codes = (whole ? tokens : classes) ?? [];
    for (let i = 0; i < codes.length; i++) {
      const of = part[whole ? 0 : i];
      if (of === 0 || codes[i] < 0) continue;
      if (of === 1 && codes[i] === 0) return [];
      if (of === 1) continue;
      found.all++;
      if (codes[i] !== 0) continue;
      found.unknown++;
      found.first ||= rowName(table, row[whole ? 0 : i + 1]);
    }
  }
  if (found.unknown === 0) return [];
  const { unknown, all, first } = found;
  return [
    `${unknown} of ${all} target tokens of validation and test do not occur in training (the first in ${first}) and can only be predicted wrongly`,
  ];
}

/**
 * The parts of series on their grid; where text that predicts itself is cut along time, of the rows that it is cut into.
 *
 * @param options `codebook`: of the column that predicts itself, else null.
 */
export function splitGrids(
  grids: readonly Series[],
  { split, roles, codebook }: { split: SplitOptions; roles: Roles; codebook: TextCodebook | null },
): Split & { series: readonly Series[] } {
  if (!codebook || !cutsText(codebook, split)) return { series: grids, ...splitSeries(grids, split) };
  return cutTexts(grids, { column: (roles.categories ?? []).indexOf(roles.target[0]), codebook, split });
}

/** The column that says what is anomalous, where a table has it. */
function presentAnomaly(table: Table, { anomaly }: Preprocessing): Preprocessing["anomaly"] {
  return anomaly && table.columns.some(({ name }) => name === anomaly.column) ? anomaly : null;
}

/** @param grids those of the series that have a step, in the same order; the series themselves where there is no grid. */
function rawProfile(
  raw: readonly Series[],
  grids: readonly Series[],
  part: readonly Uint8Array[],
  features: readonly string[],
): RawProfile {
  const profiler = new RawProfiler(features);
  const originals = new Map(raw.map((series) => [series.entity, series]));
  grids.forEach((grid, s) => {
    const series = originals.get(grid.entity) ?? grid;
    profiler.begin();
    profiler.add(series, series === grid ? part[s] : partsOfRows(series.row, grid.row, part[s]));
  });
  return profiler.finish();
}

/**
 * Applies a frozen preprocessing to new data, all of it as the part "test".
 *
 * @param options `target`: "optional" where the table need not have the target, as for predictions; its values are then missing.
 */
export function applyPreprocessing(
  source: Table,
  preprocessing: Preprocessing,
  { target = "required" }: { target?: "required" | "optional" } = {},
): PreparedData<MemorySeries> {
  const { roles, targetKind, derived } = preprocessing;
  const entity = derived.sessions ? null : roles.entity;
  const table = deriveColumns(source, { time: roles.time, entity }, derived);
  const has = target === "required" || roles.target.every((name) => table.columns.some((column) => column.name === name));
  const kind = has ? preprocessing.targetCells : "none";
  const raw = toSeries(table, { ...roles, split: null }, { target: kind, anomaly: presentAnomaly(table, preprocessing) });
  if (preprocessing.refuses) checkComplete(table, raw, roles);
  if (has && targetKind === "class") checkConstant(table, raw, roles.target[0]);
  const { series: grids, empty } = withSteps(raw.map((one) => preprocessing.grid(one, (i) => rowName(table, one.row[i]))));
  const series = grids.map((grid) =>
    preparedSeries(table, grid, preprocessing, new Uint8Array(grid.rows).fill(partCode("test")), {
      target: target === "required",
    }),
  );
  const rows = series.reduce((sum, { length }) => sum + length, 0);
  const split: SplitSummary = {
    train: 0,
    validation: 0,
    test: rows,
    unused: 0,
    unusedRanges: [],
    series: { train: 0, validation: 0, test: series.length },
  };
  return { source: table.source, files: table.files, series, preprocessing, split, ...empty };
}

/** Names that a count of series left out gives. */
const NAMED = 5;

/** The series that have a step; nothing can be learnt or said of the others, which would still be drawn into parts. */
function withSteps(series: readonly Series[]): { series: Series[]; empty?: Pick<PreparedData, "empty"> } {
  const kept = series.filter(({ rows }) => rows > 0);
  if (kept.length === series.length) return { series: kept };
  return { series: kept, empty: emptySeries(series.filter(({ rows }) => rows === 0)) };
}

export function emptySeries(series: readonly Pick<Series, "entity">[]): Pick<PreparedData, "empty"> {
  return { empty: { series: series.length, first: series.slice(0, NAMED).map(({ entity }) => entity) } };
}

export function nothingOnGrid(source: string, { empty }: Pick<PreparedData, "empty">): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: "no series has a complete interval of the grid",
    expected: "series that are longer than data.resample.everyMs",
    got: `${empty?.series} series that lie within one interval each`,
    where: `data.resample, ${source}`,
    repair: "lower data.resample.everyMs, or remove data.resample",
  });
}

/** What the columns of the options mean. */
export function rolesOf({
  time = null,
  entity = null,
  features = [],
  categories = {},
  target,
  split,
  sessions,
  known,
  targetKind,
  anomaly,
}: DataOptions): Roles {
  const texts = Object.keys(categories);
  const named = target === undefined ? [] : [target].flat();
  const predicted = named.length > 0 || !anomaly ? named : targetKind === "values" ? [...features] : texts;
  return {
    time,
    entity: sessions ? SESSION : entity,
    features: [...features, ...(known?.columns ?? []).map(aheadName)],
    ...(texts.length > 0 && { categories: texts }),
    target: predicted,
    split: splitColumn(split),
  };
}

/**
 * What {@link deriveColumns} adds; a session's keys are named, whatever the entity column was.
 *
 * @throws OST_TARGET if the label cuts sessions. @throws OST_RANGE for rules that cannot be followed.
 */
export function derivedOf({ entity = null, sessions = null, known, target, targetKind }: DataOptions): DerivedColumns {
  const label = targetKind === "values" || targetKind === "next" ? [] : [target ?? []].flat();
  const told = sessions && boundaryColumns(sessions).find((column) => label.includes(column));
  if (told) {
    throw new OstinatoError("OST_TARGET", {
      what: "sessions are cut by the label, so the model would be told where it changes",
      expected: "data.sessions.marker and data.sessions.changed without the target",
      got: `"${told}" in both`,
      where: "data.sessions",
      repair: `remove "${told}" from data.sessions`,
    });
  }
  return {
    sessions: sessions && { by: sessions.by ?? (entity === null ? [] : [entity]), ...checkedRules(sessions) },
    ahead: known && known.columns.length > 0 ? known : null,
  };
}

/** @throws OST_VALUE if an input that should be static changes within a series. @throws OST_COLUMN if it is no input. */
export function checkStatic(table: Table, series: readonly Series[], roles: Roles, names: readonly string[]): void {
  const { features, categories = [] } = roles;
  for (const name of names) {
    const [c, k] = [features.indexOf(name), categories.indexOf(name)];
    if (c < 0 && k < 0) {
      throw new OstinatoError("OST_COLUMN", {
        what: "a static column is no input",
        expected: `names among ${[...features, ...categories].join(", ")}`,
        got: `"${name}"`,
        where: "data.static",
        repair: "name it in data.features or data.categories too",
      });
    }
    for (const { entity, rows, row, features: values, texts } of series) {
      const at = (i: number) => (c >= 0 ? values[i * features.length + c] : (texts?.[k][i] as string));
      for (let i = 1; i < rows; i++) {
        if (Object.is(at(i), at(0))) continue;
        throw new OstinatoError("OST_VALUE", {
          what: `the static column "${name}" changes within series "${entity}"`,
          expected: `${at(0)}, as in ${rowName(table, row[0])}`,
          got: String(at(i)),
          where: rowName(table, row[i]),
          repair: "remove it from data.static, or set data.entity to what it is constant for",
        });
      }
    }
  }
}

function preparedSeries(
  table: Table,
  grid: Series,
  preprocessing: Preprocessing,
  part: Uint8Array,
  { target: wanted }: { target: boolean },
): MemorySeries {
  const where = (i: number) => rowName(table, grid.row[i]);
  const { rows: length, entity, time, row, anomaly } = grid;
  return {
    entity,
    length,
    x: preprocessing.transform(grid, { part, where }),
    ...targetsOf(grid, preprocessing, part, { where, wanted }),
    time,
    row,
    part,
    group: null,
    copy: false,
    ...(anomaly && { anomaly }),
  };
}

/** @param options `wanted`: whether a target that has no code is an error. */
function targetsOf(
  grid: Series,
  preprocessing: Preprocessing,
  part: Uint8Array,
  { where, wanted }: { where: (i: number) => string; wanted: boolean },
): Pick<MemorySeries, "values" | "classes" | "tokens"> {
  const { targetKind, targetColumns, targetIsInput, targetTokens } = preprocessing;
  const { rows, target, labels, targetText } = grid;
  if (targetKind === "values") {
    const values = targetIsInput
      ? preprocessing.memberValues(grid, wanted ? where : undefined)
      : target
        ? scaledTargets(target, preprocessing, where)
        : new Float32Array(rows * targetColumns.length).fill(Number.NaN);
    return { values, classes: null };
  }
  if (targetKind === "tokens") {
    const tokens = targetText === undefined ? null : Int32Array.from((targetTokens as TargetTokens).encode(targetText));
    return { values: null, classes: null, tokens };
  }
  if (targetKind === "next") return { values: null, classes: preprocessing.nextCodes(grid, part) };
  return { values: null, classes: labels ? classesOf(labels, part, preprocessing, where) : new Int32Array(rows).fill(-1) };
}

export function scaledTargets(target: Float64Array, preprocessing: Preprocessing, where: (i: number) => string): Float32Array {
  const values = preprocessing.scaleTarget(target);
  const bad = values.findIndex((value) => Math.abs(value) === Number.POSITIVE_INFINITY);
  if (bad < 0) return values;
  const names = preprocessing.roles.target;
  throw new OstinatoError("OST_VALUE", {
    what: `the target "${names[bad % names.length]}" is not finite once scaled`,
    expected: "a value within the range of float32 (3.4e38)",
    got: String(target[bad]),
    where: where(Math.floor(bad / names.length)),
    repair: "check the unit of the column",
  });
}

export function classesOf(
  labels: readonly string[],
  part: Uint8Array,
  preprocessing: Preprocessing,
  where: (i: number) => string,
): Int32Array {
  return Int32Array.from(labels, (label, i) => {
    if (part[i] === 0) return preprocessing.classes.indexOf(label);
    try {
      return preprocessing.classIndex(label);
    } catch (error) {
      if (!(error instanceof OstinatoError)) throw error;
      throw new OstinatoError(error.code, { ...error.detail, where: where(i) }, { cause: error });
    }
  });
}

/** Refuses missing values before anything is fitted, with the first and the count of all. */
function checkComplete(table: Table, series: readonly Series[], roles: Pick<Roles, "features" | "target">): void {
  let count = 0;
  let first: { column: string; row: number } | undefined;
  const missing = (column: string, row: number) => {
    count++;
    if (!first || row < first.row) first = { column, row };
  };
  for (const { rows, row, features, target, labels } of series) {
    for (let i = 0; i < rows; i++) {
      roles.features.forEach((name, c) => {
        if (Number.isNaN(features[i * roles.features.length + c])) missing(name, row[i]);
      });
      roles.target.forEach((name, k) => {
        const absent = labels ? labels[i] === "" : target !== null && Number.isNaN(target[i * roles.target.length + k]);
        if (absent && (labels || !roles.features.includes(name))) missing(name, row[i]);
      });
    }
  }
  if (first) throw refused(first.column, rowName(table, first.row), count > 1 ? `, the first of ${count} missing values` : "");
}

/** A class that is constant within its series is known from any of its rows: a series on two sides would be no test. */
export function checkApart(table: Pick<Table, "source" | "files">, series: readonly Series[], part: readonly Uint8Array[]): void {
  series.forEach(({ entity, row }, s) => {
    const first = part[s].findIndex((code) => code > 0);
    const other = part[s].findIndex((code) => code > 0 && code !== part[s][first]);
    if (other < 0) return;
    const [here, there] = [first, other].map((i) => PARTS[part[s][i] - 1]);
    throw new OstinatoError("OST_SPLIT", {
      what: `series "${entity}" has rows in two parts but one target for all, which the other part would tell`,
      expected: "each series in one part, when its class or text is the target",
      got: `${here} from ${rowName(table, row[first])}, ${there} from ${rowName(table, row[other])}`,
      where: "data.split",
      repair: "split by: entity or by: group:<column>, so that whole series are drawn; or use task: tag for a class that changes",
    });
  });
}

export function checkConstant(table: Pick<Table, "source" | "files">, series: readonly Series[], column: string): void {
  for (const { entity, labels, row } of series) {
    const odd = labels!.findIndex((label) => label !== labels![0]);
    if (odd < 0) continue;
    throw new OstinatoError("OST_TARGET", {
      what: `the class of series "${entity}" is not constant`,
      expected: `"${labels![0]}" in every row, as in ${rowName(table, row[0])}`,
      got: `"${labels![odd]}"`,
      where: `${rowName(table, row[odd])} column "${column}"`,
      repair: "set data.entity to the column that names the sequence, or use task: tag for a class that changes",
    });
  }
}

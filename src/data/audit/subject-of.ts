/**
 * @file The subject of an audit from a table and a configuration, made by the code that prepares data for training.
 *
 * What cannot be prepared is audited as far as it came: the error becomes a finding (`faults`).
 */
import { isPerStep, PARTS, type Part } from "../../core/batch.js";
import { OstinatoError } from "../../core/errors.js";
import { deriveColumns } from "../derive.js";
import type { Examples } from "../examples.js";
import { type DataOptions, derivedOf, type PreparedData, prepare, rolesOf, splitGrids } from "../prepare.js";
import { gridOf, Preprocessing } from "../preprocessing.js";
import { targetCellsOf } from "../preprocessing-options.js";
import { type Series, toSeries } from "../series.js";
import { rowName, type Table } from "../table.js";
import { describeWindow, sequences, trailingWindows, windows } from "../window.js";
import type { AuditSubject, Pipeline, PipelineOutput, WindowRows } from "./subject.js";

export interface SubjectWindow {
  /** Input steps; left out for whole sequences. */
  length?: number;
  /** Steps predicted; forecasts only. Default 1. */
  horizon?: number;
  /** Steps from one training window to the next. Default 1, for tags and next codes the length. */
  stride?: number;
}

/** What a configuration makes of a table, ready to be audited. Throws nothing that a table or a configuration can cause: see `faults`. */
export function subjectOf(source: Table, options: DataOptions, window: SubjectWindow = {}): AuditSubject {
  const { targetKind, split } = options;
  const { length = 0, horizon = 1, stride = isPerStep(targetKind) ? Math.max(1, length) : 1 } = window;
  const roles = rolesOf(options);
  const { split: _, ...kept } = roles;
  const subject: AuditSubject = {
    source: source.source,
    files: source.files,
    table: source,
    roles,
    targetKind,
    series: [],
    parts: [],
    splitBy: split.by,
    pipeline: configured(options, kept),
    windows: () => [],
    length,
    horizon: targetKind === "values" ? horizon : 0,
    stride,
    ...(options.labelKnown && { knownAt: Object.fromEntries(roles.target.map((name) => [name, options.labelKnown as string])) }),
    faults: [],
  };
  try {
    const table = deriveColumns(source, { time: roles.time, entity: options.entity ?? null }, derivedOf(options));
    subject.table = table;
    const raw = toSeries(table, roles, { target: targetCellsOf({ ...options, roles }) });
    subject.series = raw;
    subject.parts = raw.map(({ rows }) => new Uint8Array(rows));
    subject.series = raw.map((one) => gridOf(one, { ...options, roles: kept }, (i) => rowName(table, one.row[i])));
    subject.parts = subject.series.map(({ rows }) => new Uint8Array(rows));
    const codebook = targetKind === "next" ? (options.categories?.[roles.target[0]] ?? null) : null;
    const cutSeries = splitGrids(subject.series, { split, roles, codebook });
    subject.series = cutSeries.series;
    subject.parts = cutSeries.part;
    const prepared = prepare(source, options);
    const sources = subject.series.map((one) => prepared.preprocessing.encode(one).source);
    subject.steps = sources.map((source, s) => source?.length ?? subject.series[s].rows);
    const cut = { length, horizon, stride, served: options.mode !== "offline" };
    subject.windows = () => windowRows(prepared, sources, cut);
    subject.describe = (part, count) => described(prepared, part, cut, count);
    // A part without a window is an error of the configuration.
    for (const part of PARTS) examplesOf(prepared, part, cut);
  } catch (error) {
    if (!(error instanceof OstinatoError)) throw error;
    subject.faults = [error];
    // What cannot be cut into windows for one part is audited without.
    subject.windows = () => [];
    subject.describe = () => [];
  }
  return subject;
}

interface Cut {
  length: number;
  horizon: number;
  stride: number;
  /** Tags are judged from the trailing window of every step. */
  served: boolean;
}

function examplesOf(prepared: PreparedData, part: Part, { length, horizon, stride, served }: Cut): Examples {
  const { targetKind } = prepared.preprocessing;
  if (targetKind === "values" && length === 0) return sequences(prepared, { part, horizon });
  if (targetKind === "values") return windows(prepared, { length, horizon, stride: part === "train" ? stride : 1, part });
  if (length === 0) return sequences(prepared, { part });
  if (targetKind === "class") return windows(prepared, { length, stride: part === "train" ? stride : 1, part });
  if (part !== "train" && served) return trailingWindows(prepared, { length, part });
  return windows(prepared, { length, stride: part === "train" ? stride : length, part });
}

/** Windows as rows of the series on their grid: where a row became several steps, the rows those came from. */
function* windowRows(prepared: PreparedData, sources: readonly (Int32Array | null)[], cut: Cut): Generator<WindowRows> {
  const { targetKind } = prepared.preprocessing;
  for (const part of PARTS) {
    const examples = examplesOf(prepared, part, cut);
    for (const { series, start, length } of examples.runs) {
      // Training copies with hidden columns lie behind the series and add no rows.
      if (series >= sources.length) continue;
      const source = sources[series];
      const rows = (from: number, to: number) => (source ? ([source[from], source[to - 1] + 1] as const) : ([from, to] as const));
      const end = start + length;
      const input = rows(start, end);
      const target =
        targetKind === "values" && cut.length > 0
          ? rows(end, end + cut.horizon)
          : targetKind === "class" || targetKind === "tokens" || targetKind === "values"
            ? ([input[1], input[1]] as const)
            : examples.lastStep
              ? rows(end - 1, end)
              : input;
      yield { part, series, input, target };
    }
  }
}

function described(prepared: PreparedData, part: Part, cut: Cut, count: number): string[] {
  const examples = examplesOf(prepared, part, cut);
  const shown = Math.min(count, examples.count);
  // The first, the last, and evenly spaced ones between: the borders of a part are where windows go wrong.
  return Array.from({ length: shown }, (_, k) => {
    const index = shown === 1 ? 0 : Math.round((k * (examples.count - 1)) / (shown - 1));
    return describeWindow(examples, index);
  });
}

/** The preprocessing of a configuration as a pipeline. */
function configured(options: DataOptions, roles: Parameters<typeof Preprocessing.fit>[1]["roles"]): Pipeline {
  const policy = typeof options.missing === "object" ? options.missing.policy : options.missing;
  return {
    name: "the configured preprocessing",
    declaredLookAhead: policy === "interpolate" ? Number.POSITIVE_INFINITY : 0,
    fit(series, parts) {
      const preprocessing = Preprocessing.fit(series, { ...options, derived: derivedOf(options), roles }, parts);
      const known = new Map(series.map((one, s) => [one.entity, { one, part: parts[s] }]));
      return (one) => {
        const { series: steps, source } = preprocessing.encode(one);
        const fitted = known.get(one.entity);
        const part = fitted ? partsOf(one, fitted.one, fitted.part) : null;
        const x = preprocessing.transform(steps, { part: part && source ? Uint8Array.from(source, (i) => part[i]) : part });
        return source ? byRow(one, x, preprocessing.featureNames, source) : { names: preprocessing.featureNames, values: x };
      };
    },
  };
}

/** The parts of a stretch of a series, found by where its rows lie in memory, or else by the first of them. */
function partsOf(one: Series, whole: Series, part: Uint8Array): Uint8Array | null {
  if (one.row.buffer === whole.row.buffer) {
    const from = (one.row.byteOffset - whole.row.byteOffset) / Int32Array.BYTES_PER_ELEMENT;
    if (from >= 0 && from + one.rows <= whole.rows) return part.subarray(from, from + one.rows);
  }
  let offset = 0;
  while (
    offset + one.rows <= whole.rows &&
    !(whole.row[offset] === one.row[0] && (!whole.time || !one.time || whole.time[offset] === one.time[0]))
  )
    offset++;
  return offset + one.rows <= whole.rows ? part.subarray(offset, offset + one.rows) : null;
}

/** Where a row became several steps: its last step's inputs, and one number that any change of any of its steps changes. */
function byRow({ rows }: Series, x: Float32Array, names: readonly string[], source: Int32Array): PipelineOutput {
  const width = names.length;
  const values = new Float64Array(rows * (width + 1)).fill(Number.NaN);
  const bits = new Int32Array(x.buffer, x.byteOffset, x.length);
  const sums = new Int32Array(rows).fill(0x811c9dc5);
  source.forEach((row, t) => {
    for (let c = 0; c < width; c++) {
      values[row * (width + 1) + c] = x[t * width + c];
      sums[row] = Math.imul(sums[row] ^ bits[t * width + c], 0x01000193);
    }
  });
  for (let row = 0; row < rows; row++) values[row * (width + 1) + width] = sums[row] >>> 0;
  return { names: [...names, STEPS_OF_A_ROW], values };
}

/** The column {@link byRow} adds. */
export const STEPS_OF_A_ROW = "steps of the row";

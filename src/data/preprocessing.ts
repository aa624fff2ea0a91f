/**
 * @file From raw records to what a model reads: the same frozen transforms for a file, a batch and a stream.
 *
 *     record -> resample -> impute -> log -> difference -> scale -> x
 *
 * Everything fitted was fitted on training rows, each run of consecutive ones on its own, so that not even the row before a run matters.
 * All memory of a stream is one Float64Array of fixed length: `slice` clones it, its bytes are the snapshot.
 */
import type { ExampleSpec, TargetKind } from "../core/batch.js";
import { nearest, OstinatoError } from "../core/errors.js";
import { parseNumber, timeName } from "./cell.js";
import { Difference } from "./difference.js";
import { Impute, type MissingOptions, type MissingPolicy, refused } from "./impute.js";
import { LogTransform } from "./log-transform.js";
import { type RawRecord, type Row, recordToRow } from "./record.js";
import { Resample, type ResampleOptions, resampleSeries } from "./resample.js";
import { Scale, type ScaleKind, Scaler } from "./scale.js";
import type { Roles, Series } from "./series.js";
import { partCode, runsOf } from "./split.js";
import {
  type FrozenTransform,
  frozen,
  located,
  type Rows,
  runTransform,
  type TrainingRows,
  type Transform,
} from "./transform.js";

export interface PreprocessingOptions {
  /** What becomes of missing values; default "refuse". */
  missing?: MissingPolicy | MissingOptions;
  /** How features and target values are scaled; default "standard". */
  scale?: ScaleKind;
  /** Features to take the signed logarithm of. */
  log?: readonly string[];
  /** Features to take the change of. */
  difference?: readonly string[];
  /** Brings records onto a regular grid first. */
  resample?: ResampleOptions | null;
  /** "offline" permits what looks ahead; default "causal". */
  mode?: "streaming" | "causal" | "offline";
}

/** One row a model reads. */
export interface Step {
  /** [F] */
  x: Float32Array;
  /** Milliseconds since 1970 UTC; NaN without a time column. */
  time: number;
}

/** Names of the columns in new data; null where there is none. */
export type PreprocessingRoles = Pick<Roles, "time" | "entity" | "features" | "target">;

interface Frozen {
  roles: PreprocessingRoles;
  targetKind: TargetKind;
  transforms: Transform[];
  targetScaler: Scaler | null;
  classes: string[];
}

/** The milliseconds a row counts for where there is no time column. */
const STEP_MS = 1000;

export class Preprocessing {
  readonly roles: PreprocessingRoles;
  readonly targetKind: TargetKind;
  /** Names of the columns of x. */
  readonly featureNames: readonly string[];
  /** The first so many columns of x are the features; the rest are flags and times since seen, which no window normalises. */
  readonly valueFeatures: number;
  /** Rows ahead that a row of x depends on; above 0 it cannot be streamed. */
  readonly lookAhead: number;
  readonly stateSize: number;
  /** Scales target values ("values"), else null. */
  readonly targetScaler: Scaler | null;
  /** Names of the classes, sorted: as numbers if all are, else by code unit ("class", "tags"); else empty. */
  readonly classes: readonly string[];
  readonly transforms: readonly Transform[];
  /** True when a missing value is an error. */
  readonly refuses: boolean;
  /** Where in the state each transform's slice begins. The clock is at 0: time of the last row, or the number of rows. */
  readonly #at: readonly number[];

  constructor({ roles, targetKind, transforms, targetScaler, classes }: Frozen) {
    this.roles = roles;
    this.targetKind = targetKind;
    this.transforms = transforms;
    this.targetScaler = targetScaler;
    this.classes = classes;
    this.featureNames = transforms.length > 0 ? transforms[transforms.length - 1].outputs : roles.features;
    this.valueFeatures = roles.features.length;
    this.lookAhead = Math.max(0, ...transforms.map(({ lookAhead }) => lookAhead));
    this.refuses = transforms.some((transform) => transform instanceof Impute && transform.policy === "refuse");
    let at = 1;
    this.#at = transforms.map(({ stateSize }) => (at += stateSize) - stateSize);
    this.stateSize = at;
  }

  /**
   * Fits every statistic on the training rows.
   *
   * @param series  raw series; on the grid already (see {@link gridOf}) if the options resample.
   * @param options the transforms, and what the columns mean.
   * @param parts   per series the part of each row (split.ts).
   * @throws OST_COLUMN if `log` or `difference` names no feature.
   * @throws OST_CAUSAL if interpolation is asked for outside `mode: offline`.
   * @throws OST_TARGET if the training rows have fewer than two classes.
   */
  static fit(
    series: readonly Series[],
    options: PreprocessingOptions & { roles: PreprocessingRoles; targetKind: TargetKind },
    parts: readonly Uint8Array[],
  ): Preprocessing {
    const {
      roles,
      targetKind,
      missing = "refuse",
      scale = "standard",
      log = [],
      difference = [],
      resample,
      mode = "causal",
    } = options;
    const policy = typeof missing === "string" ? { policy: missing } : missing;
    if (policy.policy === "interpolate" && mode !== "offline") {
      throw new OstinatoError("OST_CAUSAL", {
        what: "interpolation fills a gap from its future",
        expected: "mode: offline, or a causal policy",
        got: `missing: interpolate with mode: ${mode}`,
        where: "data.missing",
        repair: "use data.missing: forwardFill, or set mode: offline (such a model cannot be streamed)",
      });
    }
    checkFeatures(log, roles.features, "data.log");
    checkFeatures(difference, roles.features, "data.difference");

    const grid = resample ? [new Resample(roles.features, resample)] : [];
    let training = trainingRows(series, parts, roles.features.length);
    const fitted: Transform[] = [];
    const add = (make: (names: readonly string[]) => Transform) => {
      const transform = make(fitted.at(-1)?.outputs ?? roles.features);
      training = { ...training, runs: training.runs.map((rows) => runTransform(transform, rows, null)) };
      fitted.push(transform);
    };
    add((names) => Impute.fit(training, names, policy));
    if (log.length > 0) add((names) => new LogTransform(names, log));
    const changed = difference.map((name) => (log.includes(name) ? `${name}.log` : name));
    if (changed.length > 0) add((names) => new Difference(names, changed));
    if (scale !== "none") add((names) => Scale.fit(training, names, scale));
    return new Preprocessing({
      roles,
      targetKind,
      transforms: [...grid, ...fitted],
      targetScaler: targetKind === "values" ? Scaler.fit(trainingTargets(series, parts, roles.target.length), scale) : null,
      classes: targetKind === "values" ? [] : vocabulary(series, parts, roles.target[0]),
    });
  }

  /** @throws OST_MODEL_FILE if the JSON is not what `toJSON` writes. */
  static fromJSON(json: unknown): Preprocessing {
    const { roles, targetKind, transforms, targetScaler, classes } = frozen.object(json, "preprocessing");
    const read = frozen.object(roles, "preprocessing.roles");
    const name = (value: unknown, where: string) =>
      value === null || typeof value === "string" ? value : frozen.fail(where, "a name or null", value);
    const features = frozen.texts(read.features, "preprocessing.roles.features");
    const target = frozen.texts(read.target, "preprocessing.roles.target");
    const kind = frozen.choice(targetKind, ["values", "class", "tags"] as const, "preprocessing.targetKind");
    const made: Transform[] = [];
    for (const item of frozen.list(transforms, "preprocessing.transforms")) {
      made.push(readTransform(frozen.object(item, "preprocessing.transforms"), made, features));
    }
    return new Preprocessing({
      roles: {
        time: name(read.time, "preprocessing.roles.time"),
        entity: name(read.entity, "preprocessing.roles.entity"),
        features,
        target,
      },
      targetKind: kind,
      transforms: made,
      targetScaler: kind === "values" ? Scaler.fromJSON(targetScaler, target.length, "preprocessing.targetScaler") : null,
      classes: frozen.texts(classes, "preprocessing.classes"),
    });
  }

  toJSON() {
    return {
      roles: this.roles,
      targetKind: this.targetKind,
      transforms: this.transforms.map((transform): FrozenTransform => transform.toJSON()),
      targetScaler: this.targetScaler?.toJSON() ?? null,
      classes: [...this.classes],
    };
  }

  /** The state of a fresh stream. [stateSize] */
  initialState(): Float64Array {
    const state = new Float64Array(this.stateSize);
    if (this.roles.time !== null) state[0] = Number.NEGATIVE_INFINITY;
    this.transforms.forEach((transform, i) => {
      transform.initialize(state, this.#at[i]);
    });
    return state;
  }

  /**
   * Takes one raw record and returns the steps that are complete now: exactly one, but with `resample` none or several.
   *
   * @param state changed in place; left as it was if an error is thrown.
   * @throws OST_RECORD  if a field is absent or of the wrong type, or the time does not come after the one before.
   * @throws OST_MISSING if a value is missing and the policy is to refuse.
   * @throws OST_VALUE   if a value is too large for float32 once scaled.
   * @throws OST_CAUSAL  if a transform looks ahead.
   */
  push(record: RawRecord, state: Float64Array): Step[] {
    return this.pushRow(recordToRow(record, this.roles), state);
  }

  /** As {@link push}, for a row that is read already. */
  pushRow(row: Row, state: Float64Array): Step[] {
    if (state.length !== this.stateSize) {
      throw new OstinatoError("OST_SHAPE", {
        what: "this is not a state of this preprocessing",
        expected: `${this.stateSize} numbers`,
        got: String(state.length),
        where: "preprocessing.push",
        repair: "start from preprocessing.initialState()",
      });
    }
    const before = state.slice();
    try {
      const timed = this.roles.time !== null;
      const time = this.#tick(row.time, state);
      const gap = row.values.findIndex(Number.isNaN);
      if (gap >= 0 && this.refuses) throw refused(this.roles.features[gap]);
      let rows: Row[] = [{ time, values: row.values.slice() }];
      for (let i = 0; i < this.transforms.length; i++) {
        const transform = this.transforms[i];
        rows =
          rows.length === 1
            ? transform.push(rows[0], state, this.#at[i])
            : rows.flatMap((one) => transform.push(one, state, this.#at[i]));
      }
      return rows.map(({ time: at, values }) => {
        const x = new Float32Array(values);
        checkFinite(x, this.featureNames);
        return { x, time: timed ? at : Number.NaN };
      });
    } catch (error) {
      state.set(before);
      throw error;
    }
  }

  #tick(time: number, state: Float64Array): number {
    if (this.roles.time === null) return state[0]++ * STEP_MS;
    if (!(time > state[0])) {
      throw new OstinatoError("OST_RECORD", {
        what: "the time does not come after the one before",
        expected: `a time after ${timeName(state[0])}`,
        got: timeName(time),
        repair: "push records in the order of their times, each once; start another session for another series",
      });
    }
    state[0] = time;
    return time;
  }

  /** The series on the grid its steps will have: itself, unless the preprocessing resamples. */
  grid(series: Series, where?: (i: number) => string): Series {
    const [first] = this.transforms;
    return first instanceof Resample ? resampleSeries(series, first, where) : series;
  }

  /**
   * The steps of a whole series on its grid: x [rows, F].
   *
   * Bit for bit what pushing its raw rows one by one gives, where nothing looks ahead. Interpolation fills no row from a later part, and
   * where rows of an earlier part follow rows of a later one (never after a split by time) all memory starts afresh.
   */
  transform(
    grid: Series,
    { part = null, where }: { part?: Uint8Array | null; where?: (i: number) => string } = {},
  ): Float32Array {
    let rows = rowsOf(grid, this.roles.features.length);
    const stretches = part ? forwardStretches(part) : [[0, grid.rows] as const];
    for (const transform of this.transforms) {
      if (!(transform instanceof Resample)) rows = runStretches(transform, rows, { part, stretches, where });
    }
    const x = new Float32Array(rows.values);
    for (let i = 0; i < rows.count; i++) {
      located(() => checkFinite(x.subarray(i * rows.width, (i + 1) * rows.width), this.featureNames), where && (() => where(i)));
    }
    return x;
  }

  /** Target values in their own units, [..., K], to scaled ones; NaN stays NaN. */
  scaleTarget(values: ArrayLike<number>): Float32Array {
    const scaler = this.#valueScaler();
    return Float32Array.from(values, (value, i) => scaler.apply(value, i % scaler.offset.length));
  }

  /** Scaled target values, [..., K], back to their own units. */
  unscaleTarget(values: ArrayLike<number>): Float64Array {
    const scaler = this.#valueScaler();
    return Float64Array.from(values, (value, i) => scaler.invert(value, i % scaler.offset.length));
  }

  #valueScaler(): Scaler {
    if (this.targetScaler) return this.targetScaler;
    throw new OstinatoError("OST_TARGET", { what: "the target is a class, which has no scale", where: "preprocessing" });
  }

  /** The index of a class; -1 for a missing label (""). @throws OST_TARGET if training never saw it. */
  classIndex(label: string): number {
    if (label === "") return -1;
    const index = this.classes.indexOf(label);
    if (index >= 0) return index;
    const near = nearest(label, this.classes);
    throw new OstinatoError("OST_TARGET", {
      what: `the class ${JSON.stringify(label)} does not occur in training`,
      expected: `one of ${this.classes.join(", ")}`,
      got: JSON.stringify(label),
      repair:
        near === undefined
          ? "split so that every class occurs in training"
          : `is "${near}" meant? Else split so that every class occurs in training`,
    });
  }

  /** What a model or baseline must know of its examples. */
  spec({ length, horizon = 0, everyStep = false }: { length: number; horizon?: number; everyStep?: boolean }): ExampleSpec {
    const targets = this.targetKind === "values" ? [...this.roles.target] : [];
    return {
      features: [...this.featureNames],
      targetKind: this.targetKind,
      targets,
      classes: [...this.classes],
      horizon,
      everyStep,
      length,
      targetFeature: targets.map((name) => this.featureNames.indexOf(name)),
    };
  }
}

/** The series on the grid of the options: itself without `resample`. */
export function gridOf(
  series: Series,
  { roles, resample }: { roles: PreprocessingRoles; resample?: ResampleOptions | null },
  where?: (i: number) => string,
): Series {
  if (!resample) return series;
  if (roles.time === null) {
    throw new OstinatoError("OST_CONFIG", {
      what: "resampling needs times",
      expected: "a column in data.time",
      got: "data.time: null",
      where: "data.resample",
      repair: "set data.time, or remove data.resample",
    });
  }
  return resampleSeries(series, new Resample(roles.features, resample), where);
}

function rowsOf({ rows: count, time, features: values }: Series, width: number): Rows {
  return { count, width, time: time ?? Float64Array.from({ length: count }, (_, i) => i * STEP_MS), values };
}

/**
 * The stretches [from, to) within which parts only get later. A row of a part is never in a stretch behind a row of a later part, and
 * neither are the rows of no part just before it, which its windows may read.
 */
function forwardStretches(part: Uint8Array): (readonly [from: number, to: number])[] {
  const stretches: [number, number][] = [];
  let from = 0;
  let latest = 0;
  // Behind the last row that has a part.
  let behind = 0;
  for (let i = 0; i < part.length; i++) {
    if (part[i] === 0) continue;
    if (part[i] < latest) {
      stretches.push([from, behind]);
      from = behind;
    }
    latest = part[i];
    behind = i + 1;
  }
  return [...stretches, [from, part.length]];
}

/** Runs a transform that puts out a row per row over each stretch from its initial state. */
function runStretches(
  transform: Transform,
  rows: Rows,
  options: { part: Uint8Array | null; stretches: (readonly [number, number])[]; where?: (i: number) => string },
): Rows {
  const { part, stretches, where } = options;
  if (stretches.length === 1) return runTransform(transform, rows, part, where);
  const width = transform.outputs.length;
  const values = new Float64Array(rows.count * width);
  for (const [from, to] of stretches) {
    const stretch = {
      count: to - from,
      width: rows.width,
      time: rows.time.subarray(from, to),
      values: rows.values.subarray(from * rows.width, to * rows.width),
    };
    const made = runTransform(transform, stretch, part?.subarray(from, to) ?? null, where && ((i) => where(from + i)));
    values.set(made.values, from * width);
  }
  return { count: rows.count, width, time: rows.time, values };
}

function trainingRows(series: readonly Series[], parts: readonly Uint8Array[], features: number): TrainingRows {
  const runs = series.flatMap((one, s) => {
    const { width, time, values } = rowsOf(one, features);
    return runsOf(parts[s], partCode("train")).map(
      ([from, to]): Rows => ({
        count: to - from,
        width,
        time: time.subarray(from, to),
        values: values.subarray(from * width, to * width),
      }),
    );
  });
  return {
    runs,
    features,
    observed: runs.map(({ values }) => Uint8Array.from(values, (value) => (Number.isNaN(value) ? 0 : 1))),
  };
}

function trainingTargets(series: readonly Series[], parts: readonly Uint8Array[], targets: number): number[][] {
  const columns = Array.from({ length: targets }, (): number[] => []);
  series.forEach(({ target, rows }, s) => {
    for (let i = 0; i < rows; i++) {
      if (parts[s][i] !== partCode("train")) continue;
      for (let k = 0; k < targets; k++) columns[k].push(target![i * targets + k]);
    }
  });
  return columns;
}

function vocabulary(series: readonly Series[], parts: readonly Uint8Array[], column: string): string[] {
  const labels = new Set<string>();
  series.forEach((one, s) => {
    one.labels!.forEach((label, i) => {
      if (parts[s][i] === partCode("train") && label !== "") labels.add(label);
    });
  });
  const classes = [...labels];
  if (classes.length < 2) {
    throw new OstinatoError("OST_TARGET", {
      what:
        classes.length === 0
          ? "no training row has a label"
          : "all training rows have the same label, so there is nothing to learn",
      expected: "at least two classes",
      got: classes.map((label) => JSON.stringify(label)).join(", ") || "none",
      where: `column "${column}"`,
      repair: "choose another data.target, or split so that training holds every class",
    });
  }
  const numeric = classes.every((label) => Number.isFinite(parseNumber(label) ?? Number.NaN));
  return classes.sort((a, b) => (numeric && Number(a) !== Number(b) ? Number(a) - Number(b) : a < b ? -1 : 1));
}

function checkFeatures(names: readonly string[], features: readonly string[], where: string): void {
  const wrong = names.find((name, i) => !features.includes(name) || names.indexOf(name) !== i);
  if (wrong === undefined) return;
  const near = nearest(wrong, features);
  throw new OstinatoError("OST_COLUMN", {
    what: features.includes(wrong) ? "a column is named twice" : "not a feature",
    expected: `names among ${features.join(", ")}`,
    got: `"${wrong}"`,
    where,
    repair: near === undefined || near === wrong ? undefined : `did you mean "${near}"?`,
  });
}

function checkFinite(x: Float32Array, names: readonly string[]): void {
  for (let c = 0; c < x.length; c++) {
    if (Number.isFinite(x[c])) continue;
    throw new OstinatoError("OST_VALUE", {
      what: `the value of "${names[c]}" is not finite once scaled`,
      expected: "a value within the range of float32 (3.4e38)",
      got: String(x[c]),
      repair: "check the unit of the column, or bound it before it is pushed",
    });
  }
}

function readTransform(json: Record<string, unknown>, before: readonly Transform[], features: readonly string[]): Transform {
  const where = "preprocessing.transforms";
  const name = frozen.choice(json.transform, ["resample", "impute", "log", "difference", "scale"] as const, where);
  if (before.some((transform) => transform.name === name) || (name === "resample" && before.length > 0)) {
    return frozen.fail(where, "each transform at most once, and resample first", name);
  }
  const names = before.at(-1)?.outputs ?? features;
  switch (name) {
    case "resample":
      return Resample.fromJSON(json, names);
    case "impute":
      return Impute.fromJSON(json, names);
    case "log":
      return LogTransform.fromJSON(json, names);
    case "difference":
      return Difference.fromJSON(json, names);
    case "scale":
      return Scale.fromJSON(json, names, features.length);
  }
}

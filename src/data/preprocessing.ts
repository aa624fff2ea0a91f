/**
 * @file From raw records to what a model reads: the same frozen transforms for a file, a batch and a stream.
 *
 *     record -> encode -> resample -> counts -> impute -> log -> difference -> calendar -> time delta -> position -> scale -> one-hot -> x
 *
 * Everything fitted was fitted on training rows, each run of consecutive ones on its own, so that not even the row before a run matters.
 * All memory of a stream is one Float64Array of fixed length: `slice` clones it, its bytes are the snapshot.
 */
import type { CodeColumn, ExampleSpec, TargetKind } from "../core/batch.js";
import { nearest, OstinatoError } from "../core/errors.js";
import { type AnomalyOptions, anomalyFromJSON } from "./anomaly.js";
import { Calendar } from "./calendar.js";
import {
  type CategoryColumn,
  categoriesFromJSON,
  categoriesToJSON,
  categoryColumn,
  codeNames,
  encodedNames,
  encodedPlace,
  encodeRow,
  encodeSeries,
  fitCodebook,
} from "./category.js";
import { parseNumber, timeName } from "./cell.js";
import type { Codebook } from "./codebook.js";
import { type DerivedColumns, derivedFromJSON, NOTHING_DERIVED } from "./derive.js";
import { Difference } from "./difference.js";
import { Position, RunningCount, type RunningCountOptions, TimeDelta } from "./events/index.js";
import { Impute, refused } from "./impute.js";
import { LogTransform } from "./log-transform.js";
import { MemberSet } from "./member-set.js";
import { OneHot, type OneHotColumn } from "./one-hot.js";
import {
  cellsOfTarget,
  checkOptions,
  isCoded,
  isSetTarget,
  type PreprocessingOptions,
  type PreprocessingRoles,
} from "./preprocessing-options.js";
import { type RawRecord, type Row, recordToRow } from "./record.js";
import { Resample, type ResampleOptions, resampleSeries } from "./resample.js";
import { Scale, Scaler } from "./scale.js";
import { blocksOf, type Series, type SeriesBlocks, sliceSeries, type TargetCells } from "./series.js";
import { SpellingPart, spellingParts } from "./spelling.js";
import { partCode, runsOf } from "./split.js";
import { TargetTokens, type TargetTokensOptions } from "./target-tokens.js";
import type { Tokenizer } from "./text/index.js";
import {
  type FrozenTransform,
  frozen,
  located,
  type Rows,
  type TrainingRows,
  type Transform,
  TransformRun,
  transformed,
  type ValueScan,
} from "./transform.js";

/** One row a model reads. */
export interface Step {
  /** [F] */
  x: Float32Array;
  /** Milliseconds since 1970 UTC; NaN without a time column. */
  time: number;
}

interface Frozen {
  roles: PreprocessingRoles;
  targetKind: TargetKind;
  derived?: DerivedColumns;
  categories: CategoryColumn[];
  transforms: Transform[];
  targetScaler: Scaler | null;
  /** Labels ("class", "tags"); what other classes are follows from the codebooks. */
  classes: string[];
  targetTokens?: TargetTokens | null;
  anomaly?: AnomalyOptions | null;
}

/** A column of codes that is the target, and where its numbers stand among those of all. */
interface TargetColumn {
  column: CategoryColumn;
  at: number;
  width: number;
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
  /** How a table gets the columns that are made of others. */
  readonly derived: DerivedColumns;
  /** The category columns with their codebooks, in the order of their codes. */
  readonly categories: readonly CategoryColumn[];
  /** The columns of x that hold codes a network embeds. */
  readonly codes: readonly CodeColumn[];
  /**
   * Names of the classes, sorted: as numbers if all are, else by code unit ("class", "tags"); of the codes of the target column ("next") or of the
   * target text ("tokens"); else empty.
   */
  readonly classes: readonly string[];
  /** Names of the values that are predicted ("values"): the target columns, or the members of a set; else empty. */
  readonly targetColumns: readonly string[];
  /** The codes of the text to be predicted ("tokens"), else null. */
  readonly targetTokens: TargetTokens | null;
  /** The column that says which rows are anomalous, which no model reads. */
  readonly anomaly: AnomalyOptions | null;
  readonly transforms: readonly Transform[];
  /** True when a missing value is an error. */
  readonly refuses: boolean;
  /** Where in the state each transform's slice begins. The clock is at 0: time of the last row, or the number of rows. */
  readonly #at: readonly number[];
  /** What `advance` works on. */
  readonly #values: Float64Array;
  /** Null where the target is no column of codes. */
  readonly #target: TargetColumn | null;

  constructor({
    roles,
    targetKind,
    derived = NOTHING_DERIVED,
    categories,
    transforms,
    targetScaler,
    classes,
    targetTokens = null,
    anomaly = null,
  }: Frozen) {
    this.roles = roles;
    this.targetKind = targetKind;
    this.transforms = transforms;
    this.targetScaler = targetScaler;
    this.targetTokens = targetTokens;
    this.anomaly = anomaly;
    this.derived = derived;
    this.categories = categories;
    const target = isCoded(targetKind)
      ? categories.findIndex(({ column, of }) => of === undefined && column === roles.target[0])
      : -1;
    this.#target = target < 0 ? null : { column: categories[target], ...encodedPlace(categories, target) };
    const coded = this.#target?.column;
    this.classes = targetKind === "next" && coded ? codeNames(coded.codebook) : (targetTokens?.names ?? classes);
    this.targetColumns = targetKind !== "values" ? [] : coded ? encodedNames([coded]) : roles.target;
    this.featureNames = transforms.at(-1)?.outputs ?? inputNames(roles.features, categories);
    this.codes = categories
      .filter(({ as }) => as === "embedding")
      .map(({ column, width, codebook }) => ({ column: this.featureNames.indexOf(column), size: codebook.size, width }));
    this.valueFeatures = roles.features.length;
    this.#values = new Float64Array(roles.features.length);
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
   * @throws OST_CONFIG if options contradict each other or need a column of times that is not there.
   * @throws OST_TARGET if the training rows have fewer than two classes, or the target is not what its kind needs.
   */
  static fit(
    series: readonly Series[],
    options: PreprocessingOptions & { roles: PreprocessingRoles; targetKind: TargetKind },
    parts: readonly Uint8Array[],
  ): Preprocessing {
    const raw = series.map((one) => blocksOf(one));
    return Preprocessing.fitBlocks(raw, options, parts);
  }

  /** As {@link Preprocessing.fit}, on series too long for memory: they are read a few times over, block by block. */
  static fitBlocks(
    series: readonly SeriesBlocks[],
    options: PreprocessingOptions & { roles: PreprocessingRoles; targetKind: TargetKind },
    parts: readonly Uint8Array[],
  ): Preprocessing {
    const { roles, targetKind, derived, missing = "refuse", scale = "standard", resample } = options;
    const policy = typeof missing === "string" ? { policy: missing } : missing;
    checkOptions(options, policy);
    const categories = fitCategories(series, options, parts);
    const grid = resample ? [new Resample(roles.features, resample)] : [];
    let training = trainingRows(series, parts, { features: roles.features.length, categories });
    const fitted: Transform[] = [];
    const add = (make: (names: readonly string[]) => Transform) => {
      const transform = make(fitted.at(-1)?.outputs ?? inputNames(roles.features, categories));
      checkDistinct(transform);
      training = transformed(training, transform);
      fitted.push(transform);
    };
    const { log = [], difference = [], calendar, timeDelta, position, counts = [], perEntity } = options;
    if (counts.length > 0) add((names) => new RunningCount(names, countedColumns(counts, categories)));
    add((names) => Impute.fit(training, names, policy));
    if (log.length > 0) add((names) => new LogTransform(names, log));
    const changed = difference.map((name) => (log.includes(name) ? `${name}.log` : name));
    if (changed.length > 0) add((names) => new Difference(names, changed));
    if (calendar) add((names) => new Calendar(names, calendar));
    if (timeDelta) add((names) => new TimeDelta(names, timeDelta));
    if (position) add((names) => new Position(names));
    if (scale !== "none")
      add((names) =>
        Scale.fit(training, names, scale, {
          perEntity,
          shared: sharedColumns(options),
        }),
      );
    const oneHot = categories.filter(({ as, codebook }) => as === "oneHot" && !codebook.set);
    if (oneHot.length > 0) add((names) => new OneHot(names, oneHot.map(oneHotColumn)));
    const set = isSetTarget({ roles, targetKind, categories: options.categories });
    const members = set
      ? encodedNames(categories.filter(({ column, of }) => of === undefined && column === roles.target[0]))
      : [];
    return new Preprocessing({
      roles,
      targetKind,
      derived,
      categories,
      transforms: [...grid, ...fitted],
      targetScaler:
        targetKind !== "values"
          ? null
          : set
            ? Scaler.fitScan(() => {}, members.length, "none")
            : Scaler.fitScan(trainingTargets(series, parts, roles.target.length), roles.target.length, scale),
      classes: targetKind === "class" || targetKind === "tags" ? vocabulary(series, parts, roles.target[0]) : [],
      targetTokens: targetKind === "tokens" ? fitTarget(series, parts, options.targetTokens as TargetTokensOptions) : null,
      anomaly: options.anomaly ? { column: options.anomaly.column, normal: options.anomaly.normal.map(String) } : null,
    });
  }

  /** @throws OST_MODEL_FILE if the JSON is not what `toJSON` writes. */
  static fromJSON(json: unknown): Preprocessing {
    const { roles, targetKind, derived, categories, transforms, targetScaler, classes, targetTokens, anomaly } = frozen.object(
      json,
      "preprocessing",
    );
    const read = frozen.object(roles, "preprocessing.roles");
    const name = (value: unknown, where: string) =>
      value === null || typeof value === "string" ? value : frozen.fail(where, "a name or null", value);
    const features = frozen.texts(read.features, "preprocessing.roles.features");
    const target = frozen.texts(read.target, "preprocessing.roles.target");
    const kind = frozen.choice(targetKind, TARGET_KINDS, "preprocessing.targetKind");
    const encoded = categoriesFromJSON(categories, "preprocessing.categories");
    const columns = { features, categories: encoded };
    const own = encoded.filter(({ of }) => of === undefined);
    const distinct = inputNames(features, encoded);
    if (distinct.length === 0 || new Set(distinct).size !== distinct.length) {
      return frozen.fail("preprocessing.roles", "distinct inputs, at least one", distinct);
    }
    const made: Transform[] = [];
    for (const item of frozen.list(transforms, "preprocessing.transforms")) {
      made.push(readTransform(frozen.object(item, "preprocessing.transforms"), made, columns));
    }
    const coded = isCoded(kind) ? own.find(({ column }) => column === target[0]) : undefined;
    if ((kind === "next" && (target.length !== 1 || !coded)) || (kind === "values" && coded && !coded.codebook.set)) {
      return frozen.fail("preprocessing.roles.target", "a column of codes, or of a set of values", target);
    }
    const values = kind === "values" && coded ? coded.codebook.size : target.length;
    return new Preprocessing({
      derived: derivedFromJSON(derived, "preprocessing.derived"),
      categories: encoded,
      roles: {
        time: name(read.time, "preprocessing.roles.time"),
        entity: name(read.entity, "preprocessing.roles.entity"),
        features,
        ...(own.length > 0 && { categories: own.map(({ column }) => column) }),
        target,
      },
      targetKind: kind,
      transforms: made,
      targetScaler: kind === "values" ? Scaler.fromJSON(targetScaler, values, "preprocessing.targetScaler") : null,
      classes: frozen.texts(classes, "preprocessing.classes"),
      targetTokens: kind === "tokens" ? TargetTokens.fromJSON(targetTokens, "preprocessing.targetTokens") : null,
      anomaly: anomalyFromJSON(anomaly, "preprocessing.anomaly"),
    });
  }

  toJSON() {
    return {
      roles: this.roles,
      targetKind: this.targetKind,
      ...((this.derived.sessions || this.derived.ahead) && { derived: this.derived }),
      ...(this.categories.length > 0 && { categories: categoriesToJSON(this.categories) }),
      transforms: this.transforms.map((transform): FrozenTransform => transform.toJSON()),
      targetScaler: this.targetScaler?.toJSON() ?? null,
      classes: this.targetKind === "class" || this.targetKind === "tags" ? [...this.classes] : [],
      ...(this.targetTokens && { targetTokens: this.targetTokens.toJSON() }),
      ...(this.anomaly && { anomaly: this.anomaly }),
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
   * Takes one raw record and returns the steps that are complete now: exactly one, but with `resample` none or several, with a tokenizer one or several.
   *
   * @param state changed in place; left as it was if an error is thrown.
   * @throws OST_RECORD  if a field is absent or of the wrong type.
   * @throws OST_ORDER   if the time does not come after the one before.
   * @throws OST_MISSING if a value is missing and the policy is to refuse.
   * @throws OST_VALUE   if a value is too large for float32 once scaled.
   * @throws OST_CAUSAL  if a transform looks ahead.
   */
  push(record: RawRecord, state: Float64Array): Step[] {
    return this.pushRow(recordToRow(record, this.roles), state);
  }

  /** As {@link push}, for a row that is read already. */
  pushRow(row: Row, state: Float64Array): Step[] {
    const next = state.slice();
    const steps = this.advance(row, next);
    state.set(next);
    return steps;
  }

  /**
   * As {@link pushRow}, but the state is spoilt if an error is thrown: for one that works on a copy of its own.
   *
   * @param row stays as it is.
   */
  advance(row: Row, state: Float64Array): Step[] {
    if (state.length !== this.stateSize) {
      throw new OstinatoError("OST_SHAPE", {
        what: "this is not a state of this preprocessing",
        expected: `${this.stateSize} numbers`,
        got: String(state.length),
        where: "preprocessing.push",
        repair: "start from preprocessing.initialState()",
      });
    }
    if (this.lookAhead > 0) throw looksAhead(this.transforms);
    const timed = this.roles.time !== null;
    const time = this.#tick(row.time, state);
    if (this.refuses) this.#refuseGaps(row.values);
    let rows = this.categories.length === 0 ? [this.#taken(row, time)] : encodeRow({ ...row, time }, this.categories);
    for (let i = 0; i < this.transforms.length; i++) {
      const transform = this.transforms[i];
      rows =
        rows.length === 1
          ? transform.push(rows[0], state, this.#at[i])
          : rows.flatMap((one) => transform.push(one, state, this.#at[i]));
    }
    const steps = new Array<Step>(rows.length);
    for (let i = 0; i < rows.length; i++) {
      const x = new Float32Array(rows[i].values);
      checkFinite(x, this.featureNames);
      steps[i] = { x, time: timed ? rows[i].time : Number.NaN };
    }
    return steps;
  }

  /** The row with values that transforms may change: one array serves all rows, for none of them outlives its `advance`. */
  #taken({ values, entity }: Row, time: number): Row {
    if (values.length !== this.#values.length) {
      throw new OstinatoError("OST_SHAPE", {
        what: "the row has another number of values than the model has features",
        expected: String(this.#values.length),
        got: String(values.length),
        where: "preprocessing.push",
      });
    }
    this.#values.set(values);
    return { time, values: this.#values, entity };
  }

  #refuseGaps(values: Float64Array): void {
    for (let c = 0; c < values.length; c++) if (Number.isNaN(values[c])) throw refused(this.roles.features[c]);
  }

  #tick(time: number, state: Float64Array): number {
    if (this.roles.time === null) return state[0]++ * STEP_MS;
    if (!(time > state[0])) {
      throw new OstinatoError("OST_ORDER", {
        what: "the time does not come after the one before",
        expected: `a time after ${timeName(state[0])}`,
        got: timeName(time),
        repair:
          "push records in the order of their times, each once; start another session for another series. If the time before was wrong, " +
          "as of a clock that ran ahead, reset the session: until then it refuses every record before that time",
      });
    }
    state[0] = time;
    return time;
  }

  /** The series on the grid its steps will have, with its codes: itself, unless the preprocessing resamples or encodes. */
  grid(series: Series, where?: (i: number) => string): Series {
    return this.encode(this.resampled(series, where)).series;
  }

  /** The series on its grid, its texts not yet encoded. */
  resampled(series: Series, where?: (i: number) => string): Series {
    const [first] = this.transforms;
    return first instanceof Resample ? resampleSeries(series, first, where) : series;
  }

  /** The series with the codes of its texts, and per row of it the row it came from; null where they are the same. */
  encode(series: Series): { series: Series; source: Int32Array | null } {
    return encodeSeries(series, this.categories, { labels: this.targetKind === "tags" ? "first" : "every" });
  }

  /** What the target columns of a table hold. */
  get targetCells(): TargetCells {
    return cellsOfTarget(this.targetKind, this.#target !== null);
  }

  /** Whether the target is read as an input too, so that no table can lack it: codes of what comes next, members of a set. */
  get targetIsInput(): boolean {
    return this.#target !== null;
  }

  /** The codebook of the target: of the column that predicts itself ("next"), or of the text to be predicted ("tokens"); else null. */
  get targetCodebook(): Codebook | null {
    return this.targetKind === "next" ? (this.#target?.column.codebook ?? null) : (this.targetTokens?.codebook ?? null);
  }

  /**
   * The text of target codes ("next", "tokens"); names of a codebook that is no tokenizer are joined by spaces.
   *
   * @throws OST_TARGET for other targets.
   */
  decodeTarget(codes: Iterable<number>): string {
    const { targetCodebook: codebook } = this;
    if (!codebook) {
      throw new OstinatoError("OST_TARGET", { what: "the target is no text", got: this.targetKind, where: "preprocessing" });
    }
    const known = Array.from(codes).filter((code) => code >= 0 && code < codebook.size);
    if (!codebook.several) return known.map((code) => codebook.nameOf(code)).join(" ");
    return (codebook as Codebook & Pick<Tokenizer, "decode">).decode(known);
  }

  /** The code of row i of a series with codes in the target column ("next"). */
  targetCode({ rows, codes }: Series, i: number): number {
    const { at } = this.#target as TargetColumn;
    return (codes as Float64Array)[(i * (codes as Float64Array).length) / Math.max(1, rows) + at];
  }

  /** Of a series with codes the code of the row after each row, -1 where none of its part follows. [rows] */
  nextCodes(series: Series, part: Uint8Array): Int32Array {
    const { rows } = series;
    const next = new Int32Array(rows).fill(-1);
    for (let t = 0; t + 1 < rows; t++) if (part[t + 1] === part[t]) next[t] = this.targetCode(series, t + 1);
    return next;
  }

  /**
   * Of a series with codes the members of its target set, 0 or 1. [rows, K]
   *
   * @param where names row i; where given, a member without a column is an error.
   * @throws OST_TARGET
   */
  memberValues({ rows, codes, texts }: Series, where?: (i: number) => string): Float32Array {
    const { column, at, width: members } = this.#target as TargetColumn;
    const width = (codes as Float64Array).length / Math.max(1, rows);
    const values = new Float32Array(rows * members);
    const k = this.categories.indexOf(column);
    const { codebook } = column;
    for (let i = 0; i < rows; i++) {
      const unknown = where && texts && codebook instanceof MemberSet ? codebook.unknown(texts[k][i]) : undefined;
      if (unknown !== undefined) {
        throw new OstinatoError("OST_TARGET", {
          what: `the member "${unknown}" of "${column.column}" does not occur in training, so there is no value for it`,
          expected: `members among the ${codebook.size} that are known`,
          got: JSON.stringify(texts?.[k][i]),
          where: where?.(i),
          repair: `name all that may come: data.categories.${column.column}: { kind: set, range: [0, 127] } or members: [...]`,
        });
      }
      for (let m = 0; m < members; m++) values[i * members + m] = (codes as Float64Array)[i * width + at + m];
    }
    return values;
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
    const x = new Float32Array(grid.rows * this.featureNames.length);
    const stretches = part ? forwardStretches(part, grid.rows) : [[0, grid.rows] as const];
    const run = this.run();
    for (const [from, to] of stretches) {
      run.restart();
      const made = run.push(sliceSeries(grid, from, to), {
        part: part?.subarray(from, to) ?? null,
        where: where && ((i) => where(from + i)),
      });
      x.set(made, from * this.featureNames.length);
    }
    return x;
  }

  /** The transforms on their way through a series on its grid, block by block: what {@link transform} does, in pieces. */
  run(): PreprocessingRun {
    return new PreprocessingRun(this);
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
  spec({
    length,
    horizon = 0,
    everyStep = false,
    ahead = 1,
  }: {
    length: number;
    horizon?: number;
    everyStep?: boolean;
    ahead?: 0 | 1;
  }): ExampleSpec {
    const targets = [...this.targetColumns];
    return {
      features: [...this.featureNames],
      targetKind: this.targetKind,
      targets,
      classes: [...this.classes],
      horizon,
      everyStep,
      length,
      targetFeature: targets.map((name) => this.featureNames.indexOf(name)),
      ...(ahead === 0 && { ahead }),
      ...(this.codes.length > 0 && { codes: [...this.codes] }),
    };
  }
}

const TARGET_KINDS: readonly TargetKind[] = ["values", "class", "tags", "next", "tokens"];

/** Names of the columns of a row with its codes. */
function inputNames(features: readonly string[], categories: readonly CategoryColumn[]): string[] {
  return [...features, ...encodedNames(categories)];
}

/** A preprocessing on its way through one series on its grid. */
export class PreprocessingRun {
  readonly #runs: readonly TransformRun[];

  constructor(readonly preprocessing: Preprocessing) {
    this.#runs = preprocessing.transforms
      .filter((transform) => !(transform instanceof Resample))
      .map((transform) => new TransformRun(transform));
  }

  /** Forgets everything: what is pushed next begins a series. */
  restart(): void {
    for (const run of this.#runs) run.restart();
  }

  /** The steps of the next rows. [rows, F] */
  push(rows: Series, options: { part?: Uint8Array | null; where?: (i: number) => string } = {}): Float32Array {
    const { where } = options;
    const { roles, featureNames } = this.preprocessing;
    let made = rowsOf(rows, roles.features.length);
    for (const run of this.#runs) made = run.push(made, options);
    const x = new Float32Array(made.values);
    if (x.every(Number.isFinite)) return x;
    for (let i = 0; i < made.count; i++) {
      located(() => checkFinite(x.subarray(i * made.width, (i + 1) * made.width), featureNames), where && (() => where(i)));
    }
    return x;
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

/** The numbers of a series, then its codes. */
function rowsOf({ rows: count, time, tick, features, codes, entity }: Series, width: number): Rows {
  const times = time ?? Float64Array.from({ length: count }, (_, i) => (tick ? tick[i] : i) * STEP_MS);
  if (!codes) return { count, width, time: times, values: features, entity };
  const columns = codes.length / Math.max(1, count);
  const values = new Float64Array(count * (width + columns));
  for (let i = 0; i < count; i++) {
    values.set(features.subarray(i * width, (i + 1) * width), i * (width + columns));
    values.set(codes.subarray(i * columns, (i + 1) * columns), i * (width + columns) + width);
  }
  return { count, width: width + columns, time: times, values, entity };
}

/**
 * The stretches [from, to) within which parts only get later. A row of a part is never in a stretch behind a row of a later part, and
 * neither are the rows of no part just before it, which its windows may read.
 */
export function forwardStretches(part: Uint8Array, rows: number): (readonly [from: number, to: number])[] {
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
  return [...stretches, [from, rows]];
}

/** The training rows of series, with codes of zero. */
function trainingRows(
  series: readonly SeriesBlocks[],
  parts: readonly Uint8Array[],
  { features, categories }: { features: number; categories: readonly CategoryColumn[] },
): TrainingRows {
  return {
    features,
    *blocks() {
      // Codes take no part in any statistic.
      if (features === 0) return;
      for (const { rows: run, first } of trainingRuns(series, parts)) {
        // Numbers count once per row, however many tokens its text has.
        const rows = rowsOf({ ...run, codes: new Float64Array(run.rows * encodedNames(categories).length) }, features);
        const observed = new Uint8Array(rows.count * features);
        for (let i = 0; i < rows.count; i++) {
          for (let c = 0; c < features; c++) observed[i * features + c] = Number.isNaN(rows.values[i * rows.width + c]) ? 0 : 1;
        }
        yield { ...rows, first, observed };
      }
    },
  };
}

/** The runs of training rows, each in one block or several; `first` where a run begins. */
function* trainingRuns(
  series: readonly SeriesBlocks[],
  parts: readonly Uint8Array[],
): Generator<{ rows: Series; first: boolean }> {
  const code = partCode("train");
  for (let s = 0; s < series.length; s++) {
    let at = 0;
    for (const block of series[s].blocks()) {
      const part = parts[s].subarray(at, at + block.rows);
      for (const [from, to] of runsOf(part, code)) {
        yield { rows: sliceSeries(block, from, to), first: from > 0 || at === 0 || parts[s][at - 1] !== code };
      }
      at += block.rows;
    }
  }
}

function trainingTargets(series: readonly SeriesBlocks[], parts: readonly Uint8Array[], targets: number): ValueScan {
  return (visit) => {
    for (const { rows } of trainingRuns(series, parts)) {
      const values = rows.target ?? [];
      for (let i = 0; i < values.length; i++) if (!Number.isNaN(values[i])) visit(i % targets, values[i]);
    }
  };
}

function fitCategories(
  series: readonly SeriesBlocks[],
  {
    categories = {},
    spelling = {},
    roles,
  }: Pick<PreprocessingOptions, "categories" | "spelling"> & { roles: PreprocessingRoles },
  parts: readonly Uint8Array[],
): CategoryColumn[] {
  const columns = roles.categories ?? [];
  function* texts(k: number): Generator<string> {
    for (const { rows } of trainingRuns(series, parts)) yield* (rows.texts as readonly (readonly string[])[])[k];
  }
  const own = columns.map((column, k) => categoryColumn(column, categories[column], fitCodebook(categories[column], texts(k))));
  const spelled = Object.entries(spelling).flatMap(([column, options]) => {
    const of = columns.indexOf(column);
    const { minCount = 2, width } = options;
    return spellingParts(column, options).map(({ name, ...part }) => ({
      ...categoryColumn(name, { as: "embedding", width }, SpellingPart.fit(texts(of), { ...part, minCount })),
      of,
    }));
  });
  return [...own, ...spelled];
}

/** The codes of the targets of training series. */
function fitTarget(series: readonly SeriesBlocks[], parts: readonly Uint8Array[], options: TargetTokensOptions): TargetTokens {
  const code = partCode("train");
  const texts: string[] = [];
  for (let s = 0; s < series.length; s++) {
    if (!parts[s].includes(code)) continue;
    for (const { targetText } of series[s].blocks()) {
      if (targetText !== undefined) texts.push(targetText);
      break;
    }
  }
  return TargetTokens.fit(texts, options);
}

function vocabulary(series: readonly SeriesBlocks[], parts: readonly Uint8Array[], column: string): string[] {
  const labels = new Set<string>();
  for (const { rows } of trainingRuns(series, parts))
    for (const label of rows.labels as string[]) if (label !== "") labels.add(label);
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

function countedColumns(names: readonly string[], categories: readonly CategoryColumn[]): RunningCountOptions {
  const codes = categories.filter(({ column }) => names.includes(column));
  return {
    codes: codes.map(({ column, codebook }) => ({ column, size: codebook.size })),
    numbers: names.filter((name) => !codes.some(({ column }) => column === name)),
  };
}

function oneHotColumn({ column, codebook }: CategoryColumn): OneHotColumn {
  return { name: column, size: codebook.size, nameOf: (code) => codebook.nameOf(code) };
}

/**
 * Features that are scaled over all entities although `perEntity`: static ones, which have no spread within an entity, and targets, whose
 * inputs must be in the units of what is predicted.
 */
function sharedColumns({
  roles,
  static: fixed = [],
  targetKind,
}: {
  roles: PreprocessingRoles;
  static?: readonly string[];
  targetKind: TargetKind;
}) {
  const names = [...fixed, ...(targetKind === "values" ? roles.target : [])];
  return names.map((name) => roles.features.indexOf(name)).filter((column) => column >= 0);
}

/** The columns of a row that is not transformed yet. */
/** @throws OST_COLUMN where a transform's new name is a column's already: of two columns of one name, either could be read for the other. */
function checkDistinct({ name: where, outputs }: Transform): void {
  if (new Set(outputs).size === outputs.length) return;
  const twice = outputs.find((name, i) => outputs.indexOf(name) !== i);
  throw new OstinatoError("OST_COLUMN", {
    what: "two columns would have the same name",
    expected: "names that no column has yet",
    got: `"${twice}" twice`,
    where,
    repair: `rename the column "${twice}" in the data`,
  });
}

/** Said of the first record already: a grid may take a few before it hands one on. */
function looksAhead(transforms: readonly Transform[]): OstinatoError {
  return new OstinatoError("OST_CAUSAL", {
    what: "this preprocessing reads what comes after a row, which a stream does not have yet",
    expected: "transforms that read the past alone",
    got: transforms.flatMap(({ name, lookAhead }) => (lookAhead > 0 ? [name] : [])).join(", "),
    where: "preprocessing.push",
    repair: "train with data.missing: forwardFill to stream the model",
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

const TRANSFORMS = [
  "resample",
  "impute",
  "runningCount",
  "log",
  "difference",
  "calendar",
  "timeDelta",
  "position",
  "scale",
  "oneHot",
] as const;

function readTransform(
  json: Record<string, unknown>,
  before: readonly Transform[],
  { features, categories }: { features: readonly string[]; categories: readonly CategoryColumn[] },
): Transform {
  const where = "preprocessing.transforms";
  const name = frozen.choice(json.transform, TRANSFORMS, where);
  if (before.some((transform) => transform.name === name) || (name === "resample" && before.length > 0)) {
    return frozen.fail(where, "each transform at most once, and resample first", name);
  }
  const names = before.at(-1)?.outputs ?? inputNames(features, categories);
  switch (name) {
    case "resample":
      return categories.length > 0
        ? frozen.fail(where, "no grid, which codes cannot be brought onto", name)
        : Resample.fromJSON(json, names);
    case "impute":
      return Impute.fromJSON(json, names, features.length);
    case "log":
      return LogTransform.fromJSON(json, names);
    case "difference":
      return Difference.fromJSON(json, names);
    case "runningCount":
      return RunningCount.fromJSON(json, names);
    case "calendar":
      return Calendar.fromJSON(json, names);
    case "timeDelta":
      return TimeDelta.fromJSON(json, names);
    case "position":
      return Position.fromJSON(json, names);
    case "scale":
      return Scale.fromJSON(json, names, features.length);
    case "oneHot":
      return OneHot.fromJSON(json, names);
  }
}

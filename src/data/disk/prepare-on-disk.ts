/**
 * @file Prepares data larger than memory: the same steps as `prepare`, on rows that lie in files.
 *
 *     chunks -> raw spool -> (grid spool) -> split -> statistics, in passes -> prepared columns
 *
 * Memory holds a few blocks of rows, one byte per row (its part), and each different text once. The bits are those of `prepare`.
 *
 * The prepared columns stay in their folder with a manifest, so that a run that goes on need not make them again.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { OstinatoError } from "../../core/errors.js";
import { isTokenizer } from "../category.js";
import { refused } from "../impute.js";
import {
  checkApart,
  checkConstant,
  classesOf,
  type DataOptions,
  type EmptySeries,
  emptySeries,
  nothingOnGrid,
  type PreparedData,
  type PreparedSeries,
  type PrepareOptions,
  rolesOf,
  scaledTargets,
} from "../prepare.js";
import { forwardStretches, gridOf, Preprocessing } from "../preprocessing.js";
import { checkTarget, targetCellsOf } from "../preprocessing-options.js";
import { partsOfRows, type RawProfile, RawProfiler } from "../raw-profile.js";
import { outOfOrder, type Roles, type Series, type SeriesBlocks, sliceSeries, type TargetCells, toSeries } from "../series.js";
import { partCode, runsOf, type SplitSummary, splitSeries } from "../split.js";
import { fileOfChunk, rowName, type Table, type TableChunk, tableFromChunk } from "../table.js";
import { type ColumnType, ColumnWriter, closeColumns, digestOf, StoredColumn, type StoredColumnPlace } from "./column-file.js";
import { Spool, type SpooledSeries } from "./spool.js";

export interface DiskOptions {
  /** Where the prepared columns are kept; made if it does not exist. What another preparation left there is replaced; other files are refused. */
  folder: string;
  /** Names data and settings: prepared columns with the same name in the folder are taken as they are. */
  fingerprint: string;
  /** Memory for rows that wait to be written. Default 64 MiB. */
  bufferBytes?: number;
  onProgress?: (progress: DiskProgress) => void;
}

export interface DiskProgress {
  stage: "read" | "resample" | "fit" | "write";
  /** Rows so far in this stage, and how many it will be, where that is known. */
  rows: number;
  totalRows: number | null;
}

const MANIFEST = "prepared.json";
const COLUMN_FILES = ["x.bin", "values.bin", "classes.bin", "time.bin", "row.bin"];
const SPOOLS = ["raw.bin", "grid.bin"];
/** Reasons that are kept of rows left out. */
const REASONS = 5;
const VERSION = 3;

/** The most bytes of one series that may be held at once, where a step needs all of it. */
const LARGEST_SERIES_BYTES = 256 * 1024 * 1024;

/**
 * Prepares chunks of a table on disk.
 *
 * @param chunks called only where the folder does not hold the prepared columns yet.
 * @throws OST_CONFIG for options that need all rows in memory, and whatever `prepare` throws; OST_FILE where the folder cannot be written.
 */
export async function prepareOnDisk(
  chunks: () => AsyncIterable<TableChunk>,
  options: PrepareOptions,
  { folder, fingerprint, bufferBytes = 64 * 1024 * 1024, onProgress = () => {} }: DiskOptions,
): Promise<PreparedData> {
  checkPossible(options);
  const known = readManifest(folder, fingerprint);
  if (known) return known;
  checkOwn(folder);
  // Made beside it and moved there whole, so that two runs never write into one folder.
  const workshop = `${resolve(folder)}.${process.pid}.${Date.now().toString(36)}.tmp`;
  mkdirSync(workshop, { recursive: true });
  try {
    const manifest = await prepareIn(workshop, chunks(), options, { bufferBytes, onProgress });
    // Last, so that a folder with a manifest is whole.
    writeFileSync(join(workshop, MANIFEST), JSON.stringify({ version: VERSION, fingerprint, ...manifest } satisfies Manifest));
    closeColumns(folder);
    rmSync(folder, { recursive: true, force: true });
    renameSync(workshop, folder);
  } catch (error) {
    const other = readManifest(folder, fingerprint);
    if (other) return other;
    throw error;
  } finally {
    closeColumns(workshop);
    rmSync(workshop, { recursive: true, force: true });
  }
  return openPrepared(folder, JSON.parse(readFileSync(join(folder, MANIFEST), "utf8")));
}

/** @throws OST_FILE if the folder holds anything that no preparation wrote. */
function checkOwn(folder: string): void {
  const found = existsSync(folder) ? readdirSync(folder) : [];
  const foreign = found.find((name) => name !== MANIFEST && !COLUMN_FILES.includes(name));
  if (foreign === undefined) return;
  throw new OstinatoError("OST_FILE", {
    what: "the folder for prepared columns holds other files, and would be emptied",
    expected: "a folder of its own, or none",
    got: foreign,
    where: folder,
    repair: "name another folder",
  });
}

async function prepareIn(
  folder: string,
  chunks: AsyncIterable<TableChunk>,
  options: DataOptions,
  { bufferBytes, onProgress }: Omit<Collecting, "path">,
): Promise<Omit<Manifest, "version" | "fingerprint">> {
  const { files, raw, rows, skipped } = await collect(chunks, options, {
    path: join(folder, "raw.bin"),
    bufferBytes,
    onProgress,
  });
  const table = { source: [...new Set(files.map(({ name }) => name))].join(" + "), files };
  const grids = options.resample
    ? resampled(raw, options, { path: join(folder, "grid.bin"), bufferBytes, onProgress }, table)
    : raw;
  // A spool keeps no series without rows, and its series in the order they came.
  const onGrid = new Set(grids.map(({ entity }) => entity));
  const left = raw.length > grids.length ? emptySeries(raw.filter(({ entity }) => !onGrid.has(entity))) : {};
  if (grids.length === 0) throw nothingOnGrid(table.source, left);
  const { part, summary } = splitSeries(grids, options.split);
  if (options.targetKind === "class") for (const [s, one] of grids.entries()) checkApart(table, [sliceLabels(one)], [part[s]]);
  const { split: _, ...roles } = rolesOf(options);
  let scanned = 0;
  const watched = grids.map((one) =>
    watchedBlocks(one, (count) => {
      scanned += count;
      onProgress({ stage: "fit", rows: scanned, totalRows: null });
    }),
  );
  const preprocessing = Preprocessing.fitBlocks(watched, { ...options, roles, targetKind: options.targetKind }, part);
  const group = options.split.by.startsWith("group:");
  const profiler = new RawProfiler(roles.features);
  if (grids !== raw) profileRaw(profiler, raw, grids, part);
  const writer = new PreparedWriter(folder, preprocessing, table, grids === raw ? profiler : null);
  try {
    let written = 0;
    const series = grids.map((one, s) => {
      const { part: codes, ...made } = writer.add(one, part[s], (count) => {
        written += count;
        onProgress({ stage: "write", rows: written, totalRows: rows });
      });
      return { ...portable(made), group: group ? (firstSplit(one) ?? null) : null, runs: runsOfAll(codes) };
    });
    return {
      ...table,
      digests: writer.digests(),
      ...(skipped.rows > 0 && { skipped }),
      preprocessing: preprocessing.toJSON(),
      split: summary,
      profile: profiler.finish(),
      ...left,
      series,
    };
  } finally {
    writer.close();
    for (const name of SPOOLS) {
      closeColumns(join(folder, name));
      rmSync(join(folder, name), { force: true });
    }
  }
}

/** @throws OST_CONFIG */
function checkPossible({
  hide = [],
  known,
  sessions,
  static: fixed = [],
  categories = {},
  missing,
  resample,
  targetKind,
  anomaly,
  frozen,
}: PrepareOptions): void {
  const policy = typeof missing === "object" ? missing.policy : missing;
  const tokenized = Object.values(categories).some(({ kind }) => isTokenizer(kind));
  const needs: [boolean, string][] = [
    [hide.length > 0, "data.hide"],
    [(known?.columns.length ?? 0) > 0, "data.known"],
    [sessions !== null && sessions !== undefined, "data.sessions"],
    [fixed.length > 0, "data.static"],
    [tokenized, "data.categories with a tokenizer"],
    [targetKind === "tokens", "a target of texts"],
    [anomaly !== null && anomaly !== undefined, "data.anomaly"],
    [frozen !== undefined, "training on with a model"],
    [policy === "interpolate", "data.missing: interpolate"],
    [Object.keys(categories).length > 0 && resample !== null && resample !== undefined, "data.categories with data.resample"],
  ];
  const named = needs.flatMap(([needed, name]) => (needed ? [name] : []));
  if (named.length === 0) return;
  throw new OstinatoError("OST_CONFIG", {
    what: "these settings need all rows in memory",
    expected: "data without them, to be prepared on disk",
    got: named.join(", "),
    where: "data.storage",
    repair: "set data.storage: memory, or prepare those columns with data.sql",
  });
}

interface Collecting {
  path: string;
  bufferBytes: number;
  onProgress: (progress: DiskProgress) => void;
}

async function collect(
  chunks: AsyncIterable<TableChunk>,
  options: DataOptions,
  { path, bufferBytes, onProgress }: Collecting,
): Promise<{ files: Table["files"]; raw: SpooledSeries[]; rows: number; skipped: NonNullable<Table["skipped"]> }> {
  const { targetKind, missing = "refuse" } = options;
  const roles = rolesOf(options);
  const refuses = (typeof missing === "object" ? missing.policy : missing) === "refuse";
  checkTarget({ ...options, roles });
  const cells = targetCellsOf({ ...options, roles });
  const spool = new Spool(path, shapeOf(roles, cells), bufferBytes);
  const labelOf = new Map<string, { label: string; place: string }>();
  const files: Table["files"] = [];
  const skipped: NonNullable<Table["skipped"]> = { rows: 0, first: [] };
  let rows = 0;
  for await (const chunk of chunks) {
    const file = fileOfChunk(files, chunk);
    const table = tableFromChunk(chunk);
    file.rows += chunk.rows;
    for (const { row, why } of chunk.skipped) {
      skipped.rows++;
      if (why !== "" && skipped.first.length < REASONS) skipped.first.push(why);
      (file.skipped ??= []).push(row);
    }
    if (chunk.rows === 0) continue;
    const named = { source: chunk.source, files };
    for (const piece of toSeries(table, roles, { target: cells })) {
      const moved = { ...piece, row: piece.row.map((row) => row + rows) };
      checkGoesOn(moved, spool, named);
      if (refuses) checkComplete(moved, roles, named);
      if (targetKind === "class") checkOneClass(moved, labelOf, named, roles.target[0]);
      spool.append(moved);
    }
    rows += chunk.rows;
    onProgress({ stage: "read", rows, totalRows: null });
  }
  if (rows === 0) throw new OstinatoError("OST_FILE", { what: "the sources have no rows", where: "data.source" });
  return { files, raw: spool.done(), rows, skipped };
}

function shapeOf({ time, features, categories = [], target, split }: Roles, cells: TargetCells) {
  return {
    features: features.length,
    targets: cells === "values" ? target.length : 0,
    categories: categories.length,
    timed: time !== null,
    labelled: cells === "label",
    split: split !== null,
  };
}

type Named = Pick<Table, "source" | "files">;

/** The rows of a series must go on where the chunk before ended. */
function checkGoesOn({ entity, time, row }: Series, spool: Spool, table: Named): void {
  const last = spool.last(entity);
  if (!last || !time || time[0] > last.time) return;
  const before = { time: last.time, place: rowName(table, last.row) };
  throw outOfOrder(entity, before, { time: time[0], place: rowName(table, row[0]) });
}

function checkComplete({ rows, row, features, target, labels }: Series, roles: Roles, table: Named): void {
  const width = roles.features.length;
  const gap = features.findIndex(Number.isNaN);
  if (gap >= 0) throw refused(roles.features[gap % width], rowName(table, row[Math.floor(gap / width)]));
  for (let i = 0; i < rows; i++) {
    const k = labels
      ? labels[i] === ""
        ? 0
        : -1
      : roles.target.findIndex((_, t) => Number.isNaN(target?.[i * roles.target.length + t]));
    if (k >= 0) throw refused(roles.target[k], rowName(table, row[i]));
  }
}

/** One class per series, over all chunks. */
function checkOneClass(piece: Series, known: Map<string, { label: string; place: string }>, table: Named, column: string): void {
  checkConstant(table, [piece], column);
  const label = (piece.labels as string[])[0];
  const before = known.get(piece.entity);
  if (!before) known.set(piece.entity, { label, place: rowName(table, piece.row[0]) });
  else if (before.label !== label) {
    throw new OstinatoError("OST_TARGET", {
      what: `the class of series "${piece.entity}" is not constant`,
      expected: `"${before.label}" in every row, as in ${before.place}`,
      got: `"${label}"`,
      where: `${rowName(table, piece.row[0])} column "${column}"`,
      repair: "set data.entity to the column that names the sequence, or use task: tag for a class that changes",
    });
  }
}

function resampled(
  raw: readonly SpooledSeries[],
  options: DataOptions,
  { path, bufferBytes, onProgress }: Collecting,
  table: Named,
): SpooledSeries[] {
  const { split: _, ...roles } = rolesOf(options);
  const spool = new Spool(path, shapeOf(rolesOf(options), targetCellsOf({ ...options, roles })), bufferBytes);
  let rows = 0;
  for (const one of raw) {
    const bytes = one.rows * (roles.features.length + roles.target.length + 2) * 8;
    if (bytes > LARGEST_SERIES_BYTES) {
      throw new OstinatoError("OST_MEMORY", {
        what: `series "${one.entity}" is too long to be resampled: that needs all of its rows at once`,
        expected: `at most ${LARGEST_SERIES_BYTES / 2 ** 20} MiB`,
        got: `${Math.round(bytes / 2 ** 20)} MiB`,
        where: "data.resample",
        repair: "cut it into several series with data.entity, or bring it onto the grid with data.sql",
      });
    }
    const series = one.load();
    spool.append(gridOf(series, { roles, resample: options.resample }, (i) => rowName(table, series.row[i])));
    rows += one.rows;
    onProgress({ stage: "resample", rows, totalRows: null });
  }
  return spool.done();
}

/** The rows that went into a grid, each as part of its step. */
function profileRaw(
  profiler: RawProfiler,
  raw: readonly SpooledSeries[],
  grids: readonly SpooledSeries[],
  part: readonly Uint8Array[],
): void {
  const originals = new Map(raw.map((series) => [series.entity, series]));
  grids.forEach((grid, s) => {
    const gridRow = sliceLabels(grid).row;
    profiler.begin();
    for (const block of originals.get(grid.entity)?.blocks() ?? []) {
      profiler.add(block, partsOfRows(block.row, gridRow, part[s]));
    }
  });
}

function watchedBlocks(series: SeriesBlocks, onRows: (count: number) => void): SeriesBlocks {
  return {
    entity: series.entity,
    rows: series.rows,
    *blocks() {
      for (const block of series.blocks()) {
        yield block;
        onRows(block.rows);
      }
    },
  };
}

/** As much of a series as tells its class and its parts. */
function sliceLabels(series: SpooledSeries): Series {
  const row = new Int32Array(series.rows);
  let at = 0;
  for (const block of series.blocks()) {
    row.set(block.row, at);
    at += block.rows;
  }
  return {
    entity: series.entity,
    rows: series.rows,
    row,
    time: null,
    features: new Float64Array(0),
    target: null,
    labels: null,
    split: null,
  };
}

function firstSplit(series: SpooledSeries): string | undefined {
  for (const { split } of series.blocks()) return split?.[0];
  return undefined;
}

type StoredSeries = Omit<PreparedSeries, "x" | "values" | "classes" | "time" | "row"> & {
  x: StoredColumnPlace<"float32">;
  values: StoredColumnPlace<"float32"> | null;
  classes: StoredColumnPlace<"int32"> | null;
  time: StoredColumnPlace<"float64"> | null;
  row: StoredColumnPlace<"int32">;
};

/** Writes prepared series one after the other. */
class PreparedWriter {
  readonly #x: ColumnWriter<"float32">;
  readonly #values: ColumnWriter<"float32"> | null;
  readonly #classes: ColumnWriter<"int32"> | null;
  readonly #time: ColumnWriter<"float64"> | null;
  readonly #row: ColumnWriter<"int32">;

  constructor(
    folder: string,
    readonly preprocessing: Preprocessing,
    readonly table: Named,
    /** Sees the rows on their way, where they are not of a grid. */
    readonly profiler: RawProfiler | null,
  ) {
    const writer = <T extends ColumnType>(name: string, type: T) => new ColumnWriter(join(folder, `${name}.bin`), type);
    const values = preprocessing.targetKind === "values";
    this.#x = writer("x", "float32");
    this.#values = values ? writer("values", "float32") : null;
    this.#classes = values ? null : writer("classes", "int32");
    this.#time = preprocessing.roles.time === null ? null : writer("time", "float64");
    this.#row = writer("row", "int32");
  }

  add(series: SpooledSeries, part: Uint8Array, onRows: (count: number) => void): StoredSeries {
    const { preprocessing, table } = this;
    const starts = [this.#x, this.#values, this.#classes, this.#time, this.#row].map((writer) => writer?.length ?? 0);
    const stretches = forwardStretches(part, series.rows);
    const begins = new Set(stretches.map(([from]) => from));
    const run = preprocessing.run();
    let at = 0;
    /** The step before a block: what comes next of it is in the block. */
    let before: { part: number } | null = null;
    this.profiler?.begin();
    for (const raw of series.blocks()) {
      this.profiler?.add(raw, part.subarray(at, at + raw.rows));
      const block = preprocessing.encode(raw).series;
      const codes = part.subarray(at, at + block.rows);
      const where = (i: number) => rowName(table, block.row[i]);
      const cuts = [0, ...stretches.map(([from]) => from - at).filter((from) => from > 0 && from < block.rows), block.rows];
      for (let k = 0; k + 1 < cuts.length; k++) {
        const [from, to] = [cuts[k], cuts[k + 1]];
        if (begins.has(at + from)) run.restart();
        this.#x.append(run.push(sliceSeries(block, from, to), { part: codes.subarray(from, to), where: (i) => where(from + i) }));
      }
      this.#values?.append(
        preprocessing.targetIsInput
          ? preprocessing.memberValues(block, where)
          : scaledTargets(block.target as Float64Array, preprocessing, where),
      );
      if (preprocessing.targetKind === "next") {
        if (before) this.#classes?.append(Int32Array.of(before.part === codes[0] ? preprocessing.targetCode(block, 0) : -1));
        this.#classes?.append(preprocessing.nextCodes(block, codes).subarray(0, block.rows - 1));
        before = { part: codes[block.rows - 1] };
      } else this.#classes?.append(classesOf(block.labels as string[], codes, preprocessing, where));
      if (block.time) this.#time?.append(block.time);
      this.#row.append(block.row);
      at += block.rows;
      onRows(block.rows);
    }
    if (before) this.#classes?.append(Int32Array.of(-1));
    const [x, values, classes, time, row] = starts;
    return {
      entity: series.entity,
      length: series.rows,
      part,
      group: null,
      copy: false,
      x: this.#x.place(x),
      values: this.#values?.place(values) ?? null,
      classes: this.#classes?.place(classes) ?? null,
      time: this.#time?.place(time) ?? null,
      row: this.#row.place(row),
    };
  }

  /** The hash of each file, by its name. */
  digests(): Record<string, string> {
    const writers = [this.#x, this.#values, this.#classes, this.#time, this.#row].filter((writer) => writer !== null);
    return Object.fromEntries(writers.map((writer) => [basename(writer.path), writer.digest()]));
  }

  close(): void {
    for (const writer of [this.#x, this.#values, this.#classes, this.#time, this.#row]) writer?.close();
  }
}

interface Manifest {
  version: number;
  fingerprint: string;
  source: string;
  files: Table["files"];
  /** SHA-256 of each column file, by its name. */
  digests: Record<string, string>;
  preprocessing: unknown;
  split: SplitSummary;
  skipped?: Table["skipped"];
  empty?: EmptySeries;
  profile: RawProfile;
  series: (Omit<StoredSeries, "part"> & { runs: [code: number, from: number, to: number][] })[];
}

/** With file names in place of paths: the folder may be moved. */
function portable<S extends Omit<StoredSeries, "part">>(series: S): S {
  const named = <P extends StoredColumnPlace | null>(place: P): P => place && { ...place, path: basename(place.path) };
  const { x, values, classes, time, row } = series;
  return { ...series, x: named(x), values: named(values), classes: named(classes), time: named(time), row: named(row) };
}

function runsOfAll(part: Uint8Array): [code: number, from: number, to: number][] {
  return (["train", "validation", "test"] as const).flatMap((name) =>
    runsOf(part, partCode(name)).map(([from, to]): [number, number, number] => [partCode(name), from, to]),
  );
}

/** The prepared columns of a folder; null unless they are whole and of that name. */
function readManifest(folder: string, fingerprint: string): PreparedData | null {
  const path = join(folder, MANIFEST);
  if (!existsSync(path)) return null;
  let manifest: Manifest;
  try {
    manifest = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return null;
  }
  if (manifest?.version !== VERSION || manifest.fingerprint !== fingerprint) return null;
  // Columns that were removed or changed are made again.
  for (const [name, digest] of Object.entries(manifest.digests)) {
    const column = join(folder, basename(name));
    if (!existsSync(column) || digestOf(column) !== digest) return null;
  }
  return openPrepared(folder, manifest);
}

function openPrepared(folder: string, manifest: Manifest): PreparedData {
  const { source, files, split, preprocessing, empty, skipped, profile } = manifest;
  const open = <T extends ColumnType>(place: StoredColumnPlace<T>) =>
    new StoredColumn({ ...place, path: join(folder, place.path) });
  return {
    source,
    files,
    split,
    ...(skipped && { skipped }),
    ...(empty && { empty }),
    profile,
    preprocessing: Preprocessing.fromJSON(preprocessing),
    series: manifest.series.map(({ runs, x, values, classes, time, row, ...one }) => {
      const part = new Uint8Array(one.length);
      for (const [code, from, to] of runs) part.fill(code, from, to);
      return {
        ...one,
        part,
        x: open(x),
        values: values && open(values),
        classes: classes && open(classes),
        time: time && open(time),
        row: open(row),
      };
    }),
  };
}

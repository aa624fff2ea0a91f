/**
 * @file Batches made ahead, so that a trainer never waits for them: what a worker is told, and what it answers.
 *
 * A recipe holds all that a batch depends on but the epoch's generator, in a form that another thread can be given: columns in shared memory,
 * or, where they are on disk, how to open them again. The batches are the same, bit for bit, wherever they are made.
 */
import type { Batch } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { Rng, RngState } from "../core/rng.js";
import { Augmentation, type AugmentOptions } from "./augment.js";
import { type BatchOptions, batches, type Rows, type SeriesRows } from "./batch.js";
import type { AsyncBatchSequence, BatchSequence } from "./batch-sequence.js";
import { type RunData, RunList } from "./examples.js";
import { type LaneData, type LaneOptions, lanes } from "./lane.js";
import type { ReopenableSlices, Slices } from "./slices.js";

/** What the batches of any epoch are made from. */
export type BatchRecipe =
  | { kind: "batches"; rows: Rows; options: Omit<BatchOptions, "rng"> }
  | { kind: "lanes"; data: LaneData; options: Omit<LaneOptions, "rng"> };

/** Makes the batches of one epoch in this thread. */
export function makeBatches(recipe: BatchRecipe, rng: Rng): BatchSequence {
  return recipe.kind === "batches"
    ? batches(recipe.rows, { ...recipe.options, rng })
    : lanes(recipe.data, { ...recipe.options, rng });
}

export interface PrefetchOptions {
  /** Batches made ahead at most, >= 1. Default 4. */
  ahead?: number;
}

/** Makes the batches of a recipe somewhere else, epoch by epoch. */
export interface Prefetched {
  /** The batches of one epoch; ends those of the epoch before. */
  batches(rng: Rng): AsyncBatchSequence;
  /** Ends the worker. */
  close(): Promise<void>;
}

/** Starts what makes batches ahead; the one of Node is `workerPrefetcher`. */
export type Prefetcher = (recipe: BatchRecipe, options?: PrefetchOptions) => Prefetched;

/** Whether a worker pays: reading from disk and varying examples take time that a step of training need not wait for. */
export function worthPrefetching(recipe: BatchRecipe): boolean {
  if (recipe.kind === "batches" && recipe.rows.augmentation) return true;
  const { series } = recipe.kind === "batches" ? recipe.rows.prepared : recipe.data;
  return series.some(({ x }) => !ArrayBuffer.isView(x));
}

type Column = Slices<Float32Array> | Slices<Int32Array>;
type FrozenColumn = Float32Array | Int32Array | { module: string; description: unknown };

interface FrozenSeries {
  x: FrozenColumn;
  values: FrozenColumn | null;
  classes: FrozenColumn | null;
  tokens: Int32Array | null;
  length: number;
  part: Uint8Array;
  entity: string | undefined;
  copy: boolean;
}

/** A recipe that a thread can be sent. */
export interface FrozenRecipe {
  series: FrozenSeries[];
  made:
    | {
        kind: "batches";
        spec: Rows["spec"];
        part: Rows["part"];
        lastStep: boolean;
        runs: RunData;
        augment: AugmentOptions | null;
        valueFeatures: number;
        options: Omit<BatchOptions, "rng">;
      }
    | {
        kind: "lanes";
        source: string;
        targetKind: LaneData["preprocessing"]["targetKind"];
        spec: Rows["spec"];
        options: Omit<LaneOptions, "rng">;
      };
}

/** Copies what lies in memory into shared memory, once. @throws OST_RANGE if a column can neither be shared nor opened again. */
export function freezeRecipe(recipe: BatchRecipe): FrozenRecipe {
  const series = freezeSeries(recipe.kind === "batches" ? recipe.rows.prepared.series : recipe.data.series);
  if (recipe.kind === "lanes") {
    const { source, preprocessing } = recipe.data;
    const { targetKind } = preprocessing;
    const forecast = targetKind === "values";
    const spec = preprocessing.spec({ length: 0, horizon: forecast ? (recipe.options.horizon ?? 1) : 0, everyStep: forecast });
    return { series, made: { kind: "lanes", source, targetKind, spec, options: recipe.options } };
  }
  const { spec, part, lastStep, runs, augmentation, prepared } = recipe.rows;
  return {
    series,
    made: {
      kind: "batches",
      spec,
      part,
      lastStep,
      runs: runs.data,
      augment: augmentation?.options ?? null,
      valueFeatures: prepared.preprocessing.valueFeatures,
      options: recipe.options,
    },
  };
}

/** @param open opens columns that are not in memory, as `ReopenableSlices` says. */
export function thawRecipe(
  { series: frozen, made }: FrozenRecipe,
  open: (column: { module: string; description: unknown }) => Column,
): BatchRecipe {
  const thaw = <A>(column: FrozenColumn | null) =>
    (column === null || ArrayBuffer.isView(column) ? column : open(column)) as Slices<A>;
  const series = frozen.map((one) => ({
    ...one,
    x: thaw<Float32Array>(one.x),
    values: one.values && thaw<Float32Array>(one.values),
    classes: one.classes && thaw<Int32Array>(one.classes),
  }));
  if (made.kind === "lanes") {
    const { source, targetKind, spec, options } = made;
    return { kind: "lanes", data: { source, series, preprocessing: { targetKind, spec: () => spec } }, options };
  }
  const { spec, part, lastStep, runs, augment, valueFeatures, options } = made;
  return {
    kind: "batches",
    rows: {
      spec,
      part,
      lastStep,
      runs: new RunList(runs),
      augmentation: augment && new Augmentation(augment, spec.targetKind),
      prepared: { series, preprocessing: { valueFeatures } },
    },
    options,
  };
}

/** Shared memory holds all columns one after another, each at a multiple of so many bytes. */
const ALIGNMENT = 8;

function freezeSeries(series: readonly (SeriesRows & { entity?: string; copy?: boolean })[]): FrozenSeries[] {
  const columns = series.flatMap(({ x, values, classes, tokens, part }) =>
    [x, values, classes, tokens, part].filter((one): one is Float32Array => ArrayBuffer.isView(one)),
  );
  const spaceOf = ({ byteLength }: ArrayBufferView) => Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;
  const memory = new SharedArrayBuffer(columns.reduce((sum, column) => sum + spaceOf(column), 0));
  let at = 0;
  const share = <A extends Float32Array | Int32Array | Uint8Array>(column: A): A => {
    const Kind = column.constructor as new (memory: SharedArrayBuffer, at: number, length: number) => A;
    const shared = new Kind(memory, at, column.length);
    shared.set(column);
    at += spaceOf(column);
    return shared;
  };
  const freeze = (column: Column): FrozenColumn => {
    if (ArrayBuffer.isView(column)) return share(column as Float32Array | Int32Array);
    const { reopen } = column as Partial<ReopenableSlices<unknown>>;
    if (reopen) return { module: reopen.module, description: reopen.description };
    throw new OstinatoError("OST_RANGE", {
      what: "a column can be read by this thread alone",
      expected: "a typed array, or a column that says how to open it again",
      got: "neither",
      where: "train.prefetch",
      repair: "set train.prefetch: off",
    });
  };
  return series.map(({ x, values, classes, tokens, length, part, entity, copy = false }) => ({
    x: freeze(x),
    values: values && freeze(values),
    classes: classes && freeze(classes),
    tokens: tokens ? share(tokens) : null,
    length,
    part: share(part),
    entity,
    copy,
  }));
}

/** What a worker is told. `epoch` numbers the sequences that were begun; answers to an older one are left unread. */
export type PrefetchRequest =
  | { kind: "begin"; epoch: number; rng: RngState; skip: number; ahead: number }
  | { kind: "more"; epoch: number };

export type PrefetchReply =
  | { kind: "ready" }
  | { kind: "batch"; epoch: number; batch: Batch }
  | { kind: "end"; epoch: number }
  | { kind: "error"; epoch: number; error: CarriedError };

/** An error as it crosses a thread's border. */
export interface CarriedError {
  code: string | null;
  detail: unknown;
  message: string;
  stack: string | undefined;
}

export function carryError(error: unknown): CarriedError {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return error instanceof OstinatoError
    ? { code: error.code, detail: error.detail, message, stack }
    : { code: null, detail: null, message, stack };
}

/** @param fault what an error without a code says. */
export function landError(
  { code, detail, message, stack }: CarriedError,
  fault: { what: string; where: string } = { what: "the worker that makes batches failed", where: "prefetch" },
): OstinatoError {
  const cause = new Error(message);
  cause.stack = stack;
  if (code !== null) return new OstinatoError(code as OstinatoError["code"], detail as OstinatoError["detail"], { cause });
  return new OstinatoError("OST_INTERNAL", { ...fault, got: message }, { cause });
}

/** The buffers of a batch, which can change threads without being copied. */
export function buffersOf(batch: Batch): ArrayBuffer[] {
  const { x, lengths, values, classes, tokens, tokenLengths, normalization, reset, example, series, start } = batch;
  const { offset, scale } = normalization ?? {};
  const arrays = [x, lengths, values, classes, tokens, tokenLengths, offset, scale, reset, example, series, start];
  return [...new Set(arrays.flatMap((array) => (array ? [array.buffer as ArrayBuffer] : [])))];
}

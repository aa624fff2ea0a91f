/**
 * @file What threads that train together are told and answer, and which rows each gets.
 *
 * A worker's share is decided by numbers alone: rows floor(B w / W) to floor(B (w + 1) / W) of every batch, so that a lane stays with its
 * worker, and a generator that is made of the seed of the run, the update, the batch within it and the worker. Nothing is kept from one job
 * to the next: the carried state comes with the batch and goes back with the gradient, so that a checkpoint knows all there is.
 */
import type { Batch } from "../core/batch.js";
import { type Rng, type RngState, seed as seedRng } from "../core/rng.js";
import type { CarriedError } from "../data/prefetch.js";
import { type FloatType, type Kernels, NativeKernels, ReferenceKernels, WasmKernels } from "../kernels/index.js";
import type { Objective, ObjectiveContext, PlainState, Trainable } from "../train/index.js";

/** A network like the one that trains, and its loss, in a thread of its own. */
export interface Replica {
  network: Trainable;
  /** As of `train`; `weight` must be what the loss is a mean over, so that shares of a batch join to its loss. */
  objective(batch: Batch, context: ObjectiveContext): Objective;
}

/**
 * What a worker imports by name from the module that it is given: builds the replica from a description, which may hold whatever
 * `structuredClone` can copy. The weights it is built with do not matter, their names and shapes must be the network's.
 */
export type BuildReplica = (description: unknown, options: { engine: Kernels }) => Replica | Promise<Replica>;

/** What computes; every thread has its own. */
export interface EngineChoiceData {
  name: string;
  isa: string;
  floatType: FloatType;
}

export interface GradientWorkerData {
  /** Exports `buildReplica`. */
  module: string;
  description: unknown;
  engine: EngineChoiceData;
  /** Names and sizes of all parameters in order. */
  parameters: readonly (readonly [string, number])[];
  /** All parameters one after another, and this worker's gradients likewise, in the engine's float type. */
  weights: SharedArrayBuffer;
  gradient: SharedArrayBuffer;
}

export interface GradientRequest {
  /** Grows with every change of the weights. */
  revision: number;
  batch: Batch;
  state?: PlainState;
  rng: RngState;
  step: number;
}

export type GradientReply =
  | { kind: "ready" }
  | { kind: "share"; loss: number; weight: number; state?: PlainState }
  | { kind: "error"; error: CarriedError };

/** An engine that computes the same bits as another, with a single thread. */
export function engineLike({ name, isa, floatType }: EngineChoiceData): Kernels {
  if (name === "reference") return new ReferenceKernels(floatType);
  if (name === "native") return NativeKernels.create({ isa });
  return WasmKernels.create({ variant: isa === "simd128" ? "simd128" : "relaxed" });
}

/** Rows of worker `index` out of `count`. */
export function shareOf(rows: number, index: number, count: number): { from: number; to: number } {
  return { from: Math.floor((rows * index) / count), to: Math.floor((rows * (index + 1)) / count) };
}

/** Rows from .. to - 1 of a batch, copied; padding stays as it is. Every array of a batch has its rows as axis 0. */
export function rowsOf<B extends Batch>(batch: B, from: number, to: number): B {
  const { batchSize } = batch;
  const cut = (value: unknown): unknown => {
    if (ArrayBuffer.isView(value)) {
      const list = value as Float32Array;
      const width = list.length / batchSize;
      return list.slice(from * width, to * width);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, cut(part)]));
  };
  return { ...(cut(batch) as B), batchSize: to - from };
}

/** Rows from .. to - 1 of a carried state. */
export function stateRows(state: PlainState, from: number, to: number): PlainState {
  return Object.fromEntries(
    Object.entries(state).map(([name, { shape, data }]) => {
      const width = data.length / shape[0];
      return [name, { shape: [to - from, ...shape.slice(1)], data: data.slice(from * width, to * width) }];
    }),
  );
}

/** The states of rows that follow one another, as one; undefined where none is carried. */
export function joinStates(states: readonly (PlainState | undefined)[]): PlainState | undefined {
  const present = states.filter((state) => state !== undefined);
  if (present.length === 0) return undefined;
  return Object.fromEntries(
    Object.entries(present[0]).map(([name, { shape, data }]) => {
      const parts = present.map((state) => state[name]);
      const rows = parts.reduce((sum, part) => sum + part.shape[0], 0);
      const joined = new (data.constructor as Float32ArrayConstructor)((rows * data.length) / shape[0]);
      let at = 0;
      for (const part of parts) {
        joined.set(part.data, at);
        at += part.data.length;
      }
      return [name, { shape: [rows, ...shape.slice(1)], data: joined }];
    }),
  );
}

/** The generator of one worker's dropout for one batch. */
export function shareRng(seed: number, step: number, part: number, worker: number): Rng {
  let mixed = Math.imul(seed ^ 0x2545f491, 0x9e3779b1);
  for (const number of [step, part, worker]) {
    mixed = Math.imul(mixed ^ (mixed >>> 15) ^ (number + 1), 0x85ebca6b);
    mixed ^= mixed >>> 13;
  }
  return seedRng(mixed >>> 0);
}

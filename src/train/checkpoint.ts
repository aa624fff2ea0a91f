/**
 * @file Everything a stopped run needs to continue as if it never stopped: weights, optimizer, generator, data cursor, carried state.
 *
 * A checkpoint is one safetensors file. `CheckpointStore` says where it lies; writing must be atomic: after a crash or a full disk either
 * the old or the new one is there, whole.
 */
import { crc32 } from "../core/bytes.js";
import { OstinatoError } from "../core/errors.js";
import type { RngState } from "../core/rng.js";
import { arithmeticOf, type Kernels } from "../kernels/index.js";
import { floatEntry, floatsOf } from "../model/float-entry.js";
import { readSafetensors, writeSafetensors } from "../model/safetensors.js";

export interface CheckpointStore {
  /** The last whole checkpoint, or null. */
  load(): Promise<Uint8Array | null>;
  /** Replaces the checkpoint atomically. */
  save(bytes: Uint8Array): Promise<void>;
}

/** The numbers of a checkpoint; JSON-safe. */
export interface CheckpointProgress {
  /** Names the run: configuration and data. A checkpoint of another run is refused. */
  fingerprint: string;
  /** What computed the run, by `arithmeticOf`, in order; more than one where it was told to go on elsewhere. */
  engines: readonly string[];
  /** Epoch in progress, from 0, and how many of its batches are done. */
  epoch: number;
  cursor: number;
  step: number;
  seconds: number;
  rng: RngState;
  learningRate: number;
  optimizerStep: number;
  schedule: Record<string, number>;
  best: { validation: number; epoch: number } | null;
  waited: number;
  epochLoss: { total: number; count: number; clipped: number };
  finished: boolean;
  /** Updates that the averaged weights have seen; absent where nothing is averaged. */
  averaged?: number;
}

/**
 * Holds that a run goes on where it was computed last: another engine rounds differently. Threads do not matter.
 *
 * @throws OST_CHECKPOINT
 */
export function wantSameEngine({ engines }: Pick<CheckpointProgress, "engines">, engine: Kernels, where?: string): void {
  const [last, own] = [engines.at(-1) ?? "unknown", arithmeticOf(engine)];
  if (last === own) return;
  throw new OstinatoError("OST_CHECKPOINT", {
    what: "the run was computed on another engine, so what follows would not be bit for bit the same run",
    expected: `engine ${last}`,
    got: `engine ${own}`,
    where,
    repair: "choose that engine with OSTINATO_ENGINE and OSTINATO_ISA, or go on all the same with --other-engine (otherEngine)",
  });
}

type Arrays = ReadonlyMap<string, Float32Array | Float64Array>;

export interface Checkpoint {
  progress: CheckpointProgress;
  model: Arrays;
  optimizer: Arrays;
  /** Weights of the best epoch so far; empty before the first validation. */
  best: Arrays;
  /** Sums of the averaged weights; absent or empty where nothing is averaged. */
  average?: Arrays;
  /** Carried state of the lanes, in the order and with the width of its tensors; empty when nothing is carried. */
  carried: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array | Float64Array }>;
}

const FORMAT = "ostinato-checkpoint";

export function encodeCheckpoint({ progress, model, optimizer, best, average = new Map(), carried }: Checkpoint): Uint8Array {
  const tensors = new Map<string, ReturnType<typeof floatEntry>>();
  for (const [prefix, arrays] of Object.entries({ model, optimizer, best, average })) {
    for (const [name, data] of arrays) tensors.set(`${prefix}.${name}`, floatEntry(data, [data.length]));
  }
  for (const [name, { shape, data }] of carried) tensors.set(`carried.${name}`, floatEntry(data, shape));
  const text = JSON.stringify(progress);
  return writeSafetensors({
    metadata: { format: FORMAT, version: "1", progress: text, checksum: checksumOf(text, tensors) },
    tensors,
  });
}

/** Guards what the file's structure does not: a flipped bit in a weight or a number. */
function checksumOf(progress: string, tensors: ReadonlyMap<string, { data: Uint8Array }>): string {
  const parts = [...tensors].map(([name, { data }]) => `${name} ${crc32(data)}`).sort();
  return String(crc32(new TextEncoder().encode([progress, ...parts].join("\n"))));
}

/** @throws OST_CHECKPOINT for anything but a whole checkpoint of this version. */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  try {
    const { metadata, tensors } = readSafetensors(bytes);
    if (metadata.format !== FORMAT || metadata.version !== "1") throw new Error(`format ${metadata.format} ${metadata.version}`);
    if (metadata.checksum !== checksumOf(metadata.progress, tensors)) throw new Error("a wrong checksum");
    const groups = { model: new Map(), optimizer: new Map(), best: new Map(), average: new Map(), carried: new Map() };
    for (const [name, entry] of tensors) {
      const dot = name.indexOf(".");
      const group = name.slice(0, dot) as keyof typeof groups;
      const data = floatsOf(entry);
      groups[group].set(name.slice(dot + 1), group === "carried" ? { shape: entry.shape, data } : data);
    }
    return { progress: JSON.parse(metadata.progress), ...groups };
  } catch (cause) {
    throw new OstinatoError(
      "OST_CHECKPOINT",
      {
        what: "the checkpoint cannot be read",
        got: cause instanceof Error ? cause.message.split("\n")[0] : String(cause),
        repair: "start the run anew without --resume",
      },
      { cause },
    );
  }
}

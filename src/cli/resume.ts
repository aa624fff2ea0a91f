/** @file Going on with a run: its checkpoint must be of the same run on the same engine, and its log holds every step once. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { OstinatoError } from "../core/errors.js";
import type { Kernels } from "../kernels/index.js";
import type { CheckpointProgress } from "../train/checkpoint.js";
import { checkpointFile } from "../train/checkpoint-file.js";
import { decodeCheckpoint, type RunLogEntry, wantSameEngine } from "../train/index.js";
import { writeWhole } from "./output-file.js";
import { RUN_FILES } from "./run-folder.js";

export interface TakeUpOptions {
  /** Of configuration and data. */
  fingerprint: string;
  engine: Kernels;
  /** Takes up the run of another engine too. */
  otherEngine?: boolean;
}

/**
 * Makes a run folder ready to go on: refuses the checkpoint of another run, and drops from the log what the checkpoint does not hold, since
 * those steps are made again. Without a checkpoint every step is.
 *
 * @returns the engine that computed the checkpoint, or null without one.
 * @throws OST_CHECKPOINT for another configuration, other data or another engine; the folder stays as it is.
 */
export async function takeUpRun(
  folder: string,
  { fingerprint, engine, otherEngine = false }: TakeUpOptions,
): Promise<string | null> {
  const path = join(folder, RUN_FILES.checkpoint);
  const bytes = await checkpointFile(path).load();
  const progress = bytes ? decodeCheckpoint(bytes).progress : null;
  if (progress) {
    if (progress.fingerprint !== fingerprint) {
      throw new OstinatoError("OST_CHECKPOINT", {
        what: "the checkpoint belongs to another run: another configuration or other data",
        expected: `run ${fingerprint.slice(0, 12)}`,
        got: `run ${progress.fingerprint.slice(0, 12)}`,
        where: path,
        repair: "resume with the same configuration and data, or choose another --out",
      });
    }
    if (!otherEngine) wantSameEngine(progress, engine, path);
  }
  await trimLog(join(folder, RUN_FILES.log), progress ?? { step: 0, epoch: 0 });
  return progress ? (progress.engines.at(-1) ?? "unknown") : null;
}

/** Cuts a log where the checkpoint ends, and a last line that was cut off itself. Entries are in the order of the steps. */
async function trimLog(path: string, { step, epoch }: Pick<CheckpointProgress, "step" | "epoch">): Promise<void> {
  if (!existsSync(path)) return;
  const text = readFileSync(path, "utf8");
  const kept: string[] = [];
  for (const line of text.split("\n")) {
    const entry = entryOf(line);
    if (!entry || (entry.kind === "epoch" ? entry.epoch >= epoch : entry.step >= step)) break;
    kept.push(`${line}\n`);
  }
  const trimmed = kept.join("");
  if (trimmed !== text) await writeWhole(path, trimmed);
}

function entryOf(line: string): RunLogEntry | undefined {
  try {
    return JSON.parse(line) as RunLogEntry;
  } catch {
    return undefined;
  }
}

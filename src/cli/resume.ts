/** @file Going on with a run: its checkpoint must be of the same run on the same engine, and its log holds every step once. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { OstinatoError } from "../core/errors.js";
import type { Kernels } from "../kernels/index.js";
import type { CheckpointProgress } from "../train/checkpoint.js";
import { checkpointFile } from "../train/checkpoint-file.js";
import { decodeCheckpoint, type RunLogEntry } from "../train/index.js";
import { describeEngine } from "./experiment-view.js";
import { writeWhole } from "./output-file.js";
import { RUN_FILES } from "./run-folder.js";

type Engine = Pick<Kernels, "name" | "detail">;

/** What a checkpoint is named by: the run's fingerprint and the engine, because another engine rounds differently. */
export function checkpointName(fingerprint: string, engine: Engine): string {
  return `${fingerprint} ${describeEngine(engine)}`;
}

/**
 * Makes a run folder ready to go on: refuses the checkpoint of another run, and drops from the log what the checkpoint does not hold, since
 * those steps are made again. Without a checkpoint every step is.
 *
 * @returns whether there is a checkpoint to go on from.
 * @throws OST_CHECKPOINT for another configuration, other data or another engine; the folder stays as it is.
 */
export async function takeUpRun(
  folder: string,
  { fingerprint, engine }: { fingerprint: string; engine: Engine },
): Promise<boolean> {
  const path = join(folder, RUN_FILES.checkpoint);
  const bytes = await checkpointFile(path).load();
  const progress = bytes ? decodeCheckpoint(bytes).progress : null;
  if (progress) wantSameRun(progress.fingerprint, { fingerprint, engine, where: path });
  await trimLog(join(folder, RUN_FILES.log), progress ?? { step: 0, epoch: 0 });
  return progress !== null;
}

function wantSameRun(name: string, own: { fingerprint: string; engine: Engine; where: string }): void {
  const space = name.indexOf(" ");
  const [fingerprint, engine] = space < 0 ? [name, "unknown"] : [name.slice(0, space), name.slice(space + 1)];
  if (fingerprint !== own.fingerprint) {
    throw new OstinatoError("OST_CHECKPOINT", {
      what: "the checkpoint belongs to another run: another configuration or other data",
      expected: `run ${own.fingerprint.slice(0, 12)}`,
      got: `run ${fingerprint.slice(0, 12)}`,
      where: own.where,
      repair: "resume with the same configuration and data, or choose another --out",
    });
  }
  if (engine !== describeEngine(own.engine)) {
    throw new OstinatoError("OST_CHECKPOINT", {
      what: "the run was begun on another engine, so what follows would not be bit for bit the same run",
      expected: `engine ${engine}`,
      got: `engine ${describeEngine(own.engine)}`,
      where: own.where,
      repair: "go on with a machine of that kind, choose the engine with OSTINATO_ENGINE, or start anew with another --out",
    });
  }
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

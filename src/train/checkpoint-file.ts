/** @file A checkpoint as a file, replaced atomically: written beside, flushed to disk, then renamed over the old one. */
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { OstinatoError } from "../core/errors.js";
import type { CheckpointStore } from "./checkpoint.js";

export function checkpointFile(path: string): CheckpointStore {
  return {
    async load() {
      try {
        return await readFile(path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
        throw error;
      }
    },
    save: (bytes) => writeAtomically(path, bytes),
  };
}

/**
 * Writes a file so that a crash, a full disk or a killed process leaves the old file or the new one, never a part.
 *
 * @throws OST_CHECKPOINT when the disk is full or the folder cannot be written; the old file is intact.
 */
export async function writeAtomically(path: string, bytes: Uint8Array | string): Promise<void> {
  const beside = `${path}.${process.pid}.partial`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(beside, "w");
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (cause) {
    await rm(beside, { force: true }).catch(() => {});
    const { code = "unknown" } = cause as NodeJS.ErrnoException;
    throw new OstinatoError(
      "OST_CHECKPOINT",
      {
        what: code === "ENOSPC" ? "the disk is full" : `the file could not be written (${code})`,
        where: path,
        repair: "free some space or choose another --out; the previous file is intact",
      },
      { cause },
    );
  }
}

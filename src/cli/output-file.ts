/** @file Files a command writes: whole or not at all, and one error wherever one cannot be written. */
import { accessSync, constants, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { OstinatoError } from "../core/errors.js";
import { writeAtomically } from "../train/checkpoint-file.js";

/** The error of every command for a path it cannot write, from what the system said. */
export function unwritable(path: string, cause: unknown): OstinatoError {
  const { code = "unknown" } = (cause ?? {}) as NodeJS.ErrnoException;
  const reason = REASONS[code];
  return new OstinatoError(
    "OST_FILE",
    {
      what: `it cannot be written${reason ? `: ${reason}` : ""} (${code})`,
      where: path,
      repair: code === "ENOSPC" || code === "EDQUOT" ? "free some space, or write elsewhere" : "write to a folder of your own",
    },
    { cause },
  );
}

const REASONS: Record<string, string> = {
  EACCES: "this user may not write there",
  EPERM: "this user may not write there",
  EROFS: "the file system is read-only",
  ENOTDIR: "a part of the path is a file, not a folder",
  EEXIST: "a part of the path is a file, not a folder",
  EISDIR: "it is a folder",
  ENOSPC: "the disk is full",
  EDQUOT: "the quota is used up",
  ENAMETOOLONG: "the name is too long",
};

/** Runs something that writes at a path. @throws OST_FILE where the system refuses. */
export function writing<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw fileError(path, cause);
  }
}

/** A fault of the system as the error of a command; others as they are. */
export function fileError(path: string, cause: unknown): unknown {
  if (cause instanceof OstinatoError || (cause as NodeJS.ErrnoException)?.syscall === undefined) return cause;
  return unwritable(path, cause);
}

/** Makes the folder of a file to be written later, so that a path that cannot be written is told before the work. @throws OST_FILE */
export function wantWritable(path: string): void {
  writing(path, () => {
    const folder = dirname(path);
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    const old = statSync(path, { throwIfNoEntry: false });
    if (old?.isDirectory()) throw unwritable(path, { code: "EISDIR" });
    if (old && !old.isFile()) {
      throw new OstinatoError("OST_FILE", {
        what: "it is a device or a pipe, which cannot be replaced",
        where: path,
        repair: "name a file",
      });
    }
  });
}

/** Replaces a file as a whole: the old one or the new one is there, never a part. @throws OST_FILE */
export async function writeWhole(path: string, bytes: Uint8Array | string): Promise<void> {
  wantWritable(path);
  try {
    await writeAtomically(path, bytes);
  } catch (error) {
    throw unwritable(path, (error as Error).cause ?? error);
  }
}

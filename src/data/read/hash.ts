/** @file The hashes of sources, for provenance, and their sizes. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { OstinatoError } from "../../core/errors.js";
import { unreadable } from "./bytes.js";
import { type ReadOptions, resolveRead } from "./options.js";
import { type DataFiles, sourceFiles } from "./source-file.js";

/** The SHA-256 of a file in hexadecimal, for provenance. @throws OST_FILE if it cannot be read. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(path), hash);
  } catch (cause) {
    throw unreadable(path, cause);
  }
  return hash.digest("hex");
}

/**
 * The SHA-256 of a source: of the file, or for a folder or a glob of the lines "<hash>  <path below the folder>" of the files that are read.
 * @throws OST_FILE
 */
export async function hashSource(path: string, read: ReadOptions = {}): Promise<string> {
  const isFile = await stat(path).then(
    (info) => info.isFile(),
    () => false,
  );
  if (isFile) return hashFile(path);
  const { files } = await sourceFiles(path, resolveRead(read));
  const hash = createHash("sha256");
  for (const { path: file, name } of files) hash.update(`${await hashFile(file)}  ${name}\n`);
  return hash.digest("hex");
}

/** Bytes of all files of a source that would be read, as they lie on disk; 0 for one that is not there. */
export async function sourceBytes(files: DataFiles, read: ReadOptions = {}): Promise<number> {
  try {
    const { files: found } = await sourceFiles(files, resolveRead(read));
    return found.reduce((sum, { bytes }) => sum + bytes, 0);
  } catch (error) {
    // What is wrong with a source is told where it is read.
    if (error instanceof OstinatoError) return 0;
    throw error;
  }
}

/**
 * @file Reads data: files of many formats, folders of them and queries over them, in chunks of bounded size or into one table.
 */
import type { Table, TableChunk } from "../table.js";
import { type ReadChunksOptions, type ReadTableOptions, readFileChunks, tableOf } from "./file-chunks.js";
import type { DataFiles } from "./source-file.js";
import { querySql } from "./sql.js";

export type { ReadChunksOptions, ReadTableOptions } from "./file-chunks.js";
export { hashFile, hashSource, sourceBytes } from "./hash.js";
export {
  ENCODINGS,
  type Encoding,
  FORMATS,
  type Format,
  READ_DEFAULTS,
  type ReadOptions,
  type RecordingOptions,
  TEXT_UNITS,
  type TextUnit,
} from "./options.js";
export type { ReadProgress } from "./progress.js";
export type { DataFiles } from "./source-file.js";
export { type QueryOptions, querySql } from "./sql.js";
export { sampleRateOf } from "./wav.js";

/**
 * Reads files chunk by chunk, their rows one below the other; no more than a few chunks are held.
 *
 * A column is given as numbers in a chunk where all its cells there are numbers or missing, unless it is one of `text`; once it was given
 * as texts it always is. With a record of part -> path a column `part` holds the key. In folders and globs, a column `file` holds the path
 * below the folder. The `sequence`, `sentence`, `line`, `paragraph` and `document` numbers of several files are made unique by a prefix: the part,
 * else the number of the source, and in a folder the file's path.
 *
 * @throws OST_FILE   if a file is missing, unreadable or empty, or no file of a folder fits.
 * @throws OST_FORMAT if a file is not what its extension or `read` says; the line is named.
 * @throws OST_COLUMN if a name occurs twice, or the files have different columns.
 * @throws OST_VALUE  if a column of `numeric` holds something else; row and column are named.
 */
export async function* readChunks(files: DataFiles, options: ReadChunksOptions = {}): AsyncGenerator<TableChunk> {
  if (options.sql) yield* querySql(options.sql, { ...options, files });
  else yield* readFileChunks(files, options);
}

/**
 * Reads files into one table: the concatenation of their chunks (see {@link readChunks}). Texts of numeric columns are not kept, unless
 * asked for or where they are whole numbers of which a float would lose digits. Where a column turns out to hold texts only after some
 * chunks, the files are read a second time.
 *
 * @throws as `readChunks` does, and OST_FILE if no row is left.
 */
export async function readTable(files: DataFiles, options: ReadTableOptions = {}): Promise<Table> {
  return tableOf(files, options, readChunks);
}

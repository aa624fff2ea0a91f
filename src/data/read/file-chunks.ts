/**
 * @file Reads files chunk by chunk and puts chunks together: the reader of each format, the folders and parts of a source, progress.
 */
import { numberReader } from "../number-format.js";
import { type Table, type TableChunk, wantSameColumns } from "../table.js";
import { readBytes } from "./bytes.js";
import { conllReader } from "./conll.js";
import { csvReader } from "./csv.js";
import { decodeText } from "./decode.js";
import { gather } from "./gather.js";
import { ndjsonReader } from "./ndjson.js";
import { type Format, type ReadOptions, resolveRead } from "./options.js";
import { readParquet } from "./parquet.js";
import { ProgressMeter, type ReadProgress } from "./progress.js";
import { Sheet, type SheetPlan } from "./sheet.js";
import { type DataFiles, type SourceFile, sourceFiles } from "./source-file.js";
import { sequenceReader, textReader } from "./text.js";
import type { ReaderOptions, TextReader } from "./text-reader.js";
import { tsReader } from "./ts.js";
import { Recordings, readWav } from "./wav.js";

export interface ReadTableOptions {
  /** Columns to keep as text although they look numeric, such as labels and entities. */
  text?: readonly string[];
  /** Columns to keep; the others are dropped while reading. Default all. */
  only?: readonly string[] | null;
  /** Columns that must hold numbers: a cell that does not is an error, or with `read.bad: "skip"` its row is left out. */
  numeric?: readonly string[];
  /** The settings of `data.read`. */
  read?: ReadOptions;
  /** A query over the files, which are views named by their keys, or by their names without extension. See `querySql`. */
  sql?: string | null;
  /** Called at most ten times a second, and once at the end. */
  onProgress?: (progress: ReadProgress) => void;
  signal?: AbortSignal;
}

export interface ReadChunksOptions extends ReadTableOptions {
  /** Most rows of a chunk. Default 8192. */
  chunkRows?: number;
  /** About the most text of a chunk. Default 4 MiB. */
  chunkBytes?: number;
  /** Size of the blocks a file is read in. Default 1 MiB. */
  blockBytes?: number;
}

const TEXT_READERS: Record<Exclude<Format, "parquet" | "wav">, (sheet: Sheet, options: ReaderOptions) => TextReader> = {
  csv: csvReader,
  tsv: csvReader,
  ndjson: ndjsonReader,
  ts: tsReader,
  text: textReader,
  sequences: sequenceReader,
  conll: conllReader,
  conllu: conllReader,
};

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
export async function* readFileChunks(files: DataFiles, options: ReadChunksOptions = {}): AsyncGenerator<TableChunk> {
  const read = resolveRead(options.read);
  const plan = planOf(options, read);
  const { files: found } = await sourceFiles(files, read);
  const meter = new ProgressMeter(
    options.onProgress,
    found.reduce((sum, { bytes }) => sum + bytes, 0),
  );
  const recordings = new Recordings(read.audio);
  const { blockBytes = 1 << 20, signal } = options;
  let first: { source: string; names: string[] } | null = null;
  for (const file of found) {
    meter.begin(file.name);
    const sheet = new Sheet(file.name, plan, file.fixed);
    const bytes = { blockBytes, onBytes: (count: number) => meter.addBytes(count), signal };
    for await (const chunk of chunksOf(
      file,
      sheet,
      { read: { ...read, format: file.format }, prefix: prefixOf(file, found) },
      recordings,
      bytes,
    )) {
      signal?.throwIfAborted();
      if (first && chunk.rows > 0) wantSameColumns(first, { source: file.name, names: sheet.names }, { whole: false });
      meter.addRows(chunk.rows);
      yield chunk;
    }
    if (sheet.width === 0) continue;
    if (first) wantSameColumns(first, { source: file.name, names: sheet.names }, { whole: true });
    else first = { source: file.name, names: sheet.names };
  }
  meter.end();
}

/** The table of chunks, which are read a second time where a column turns out to hold texts. It does not depend on their sizes. */
export async function tableOf(
  files: DataFiles,
  options: ReadChunksOptions,
  chunks: (files: DataFiles, options: ReadChunksOptions) => AsyncGenerator<TableChunk> = readFileChunks,
): Promise<Table> {
  const read = resolveRead(options.read);
  const parse = numberReader(read.decimal, read.thousands);
  const where = typeof files === "string" ? files : Object.values(files).join(", ");
  let text = options.text ?? [];
  for (;;) {
    const { table, texts } = await gather(chunks(files, { ...options, text }), parse, where);
    if (table === null) {
      text = [...text, ...texts];
      continue;
    }
    const { ignored } = await sourceFiles(files, read);
    return ignored > 0 ? { ...table, ignoredFiles: ignored } : table;
  }
}

function planOf(
  { text = [], only, numeric = [], chunkRows = 8192, chunkBytes = 1 << 22 }: ReadChunksOptions,
  read: Required<ReadOptions>,
): SheetPlan {
  return {
    only: only ? new Set(only) : null,
    text: new Set(text),
    numeric: new Set(numeric),
    parse: numberReader(read.decimal, read.thousands),
    bad: read.bad,
    chunkRows,
    chunkBytes,
  };
}

function chunksOf(
  file: SourceFile,
  sheet: Sheet,
  options: ReaderOptions,
  recordings: Recordings,
  bytes: { blockBytes: number; onBytes: (count: number) => void; signal?: AbortSignal },
): AsyncGenerator<TableChunk> {
  if (file.format === "parquet") return readParquet(file.path, sheet, bytes);
  if (file.format === "wav") return readWav(file.path, sheet, recordings, bytes);
  const reader = TEXT_READERS[file.format](sheet, options);
  return textChunks(reader, decodeText(readBytes(file.path, bytes), options.read.encoding, file.path));
}

async function* textChunks(reader: TextReader, blocks: AsyncIterable<string>): AsyncGenerator<TableChunk> {
  for await (const block of blocks) yield* reader.take(block, false);
  yield* reader.take("", true);
}

/** What goes before the numbers of a file's sequences. */
function prefixOf(file: SourceFile, found: readonly SourceFile[]): string {
  if (found.length === 1) return "";
  const alone = found.filter(({ key }) => key === file.key).length === 1;
  return alone ? file.key : file.name;
}

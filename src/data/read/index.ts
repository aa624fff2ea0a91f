/**
 * @file Reads data files into tables, by the file's extension: .csv, .tsv, .ndjson, .jsonl, .ts.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, extname } from "node:path";
import { pipeline } from "node:stream/promises";
import { OstinatoError } from "../../core/errors.js";
import { type Table, type TextTable, tableFromTexts } from "../table.js";
import { readCsv } from "./csv.js";
import { readNdjson } from "./ndjson.js";
import { readTs } from "./ts.js";

export { readCsv } from "./csv.js";
export { readNdjson } from "./ndjson.js";
export { readTs } from "./ts.js";

const READERS: Record<string, (text: string, source: string) => TextTable> = {
  ".csv": readCsv,
  ".tsv": (text, source) => readCsv(text, source, { delimiter: "\t" }),
  ".ndjson": readNdjson,
  ".jsonl": readNdjson,
  ".ts": readTs,
};

/** One file, several with the same columns, or one per part of the split. */
export type DataFiles = string | readonly string[] | Readonly<Record<string, string>>;

/**
 * Reads files into one table, their rows one below the other.
 *
 * With a record of part -> path a column `part` holds the key. The `sequence` numbers of several .ts files are made unique by a prefix:
 * the part, else the number of the file.
 *
 * @param options `text`: columns to keep as text although they look numeric, such as labels and entities.
 * @throws OST_FILE   if a file is missing, unreadable or empty.
 * @throws OST_FORMAT if a file is not what its extension says; the line is named.
 * @throws OST_COLUMN if the files have different columns.
 */
export async function readTable(files: DataFiles, { text = [] }: { text?: readonly string[] } = {}): Promise<Table> {
  const named = typeof files === "object" && !Array.isArray(files);
  const paths: [key: string, path: string][] =
    typeof files === "string"
      ? [["1", files]]
      : Object.entries(files).map(([key, path]) => [named ? key : String(Number(key) + 1), path]);
  if (paths.length === 0)
    throw new OstinatoError("OST_FILE", { what: "no file is named", expected: "at least one path", where: "data.source" });
  const tables: TextTable[] = [];
  for (const [key, path] of paths) {
    const table = await readTexts(path);
    if (paths.length > 1 && extname(path).toLowerCase() === ".ts") prefixSequences(table, key);
    if (named) addPart(table, key);
    tables.push(table);
  }
  return tableFromTexts(tables, { text: [...text, "sequence"] });
}

async function readTexts(path: string): Promise<TextTable> {
  const source = basename(path);
  const extension = extname(path).toLowerCase();
  const read = READERS[extension];
  if (!read) {
    throw new OstinatoError("OST_FORMAT", {
      what: "the extension says no known format",
      expected: Object.keys(READERS).join(", "),
      got: extension || "no extension",
      where: path,
      repair: "rename or convert the file",
    });
  }
  const bytes = await readBytes(path);
  if (bytes.length === 0) {
    throw new OstinatoError("OST_FILE", { what: "the file is empty", expected: "data", got: "0 bytes", where: path });
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new OstinatoError(
      "OST_FORMAT",
      {
        what: "the file is not UTF-8 text",
        expected: "UTF-8",
        got: "other bytes",
        where: path,
        repair: "save the file as UTF-8",
      },
      { cause },
    );
  }
  return read(text, source);
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function unreadable(path: string, cause: unknown): OstinatoError {
  const code = (cause as NodeJS.ErrnoException).code;
  return new OstinatoError(
    "OST_FILE",
    {
      what: code === "ENOENT" ? "the file does not exist" : "the file cannot be read",
      expected: "a readable file",
      got: code ?? String(cause),
      where: path,
      repair: "check the path; paths in a configuration are relative to its own folder",
    },
    { cause },
  );
}

function prefixSequences({ names, cells }: TextTable, prefix: string): void {
  const c = names.indexOf("sequence");
  cells[c] = cells[c].map((sequence) => `${prefix}-${sequence}`);
}

function addPart(table: TextTable, part: string): void {
  if (table.names.includes("part")) {
    throw new OstinatoError("OST_COLUMN", {
      what: 'the file has a column "part" already',
      expected: 'no such column, since "part" will hold the name of the file\'s part',
      where: table.source,
      repair: "rename the column, or name the files as a list",
    });
  }
  table.names.push("part");
  table.cells.push(new Array<string>(table.cells[0].length).fill(part));
}

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

/**
 * @file How files are read: the settings of a configuration's `data.read`, and the format a file's name says it has.
 */
import { extname } from "node:path";
import { OstinatoError } from "../../core/errors.js";
import type { AudioOptions } from "../audio/option.js";
import { linePattern } from "./pattern.js";

export const FORMATS = ["csv", "tsv", "ndjson", "parquet", "ts", "text", "sequences", "conll", "conllu", "wav"] as const;
export type Format = (typeof FORMATS)[number];

export const ENCODINGS = ["utf-8", "utf-16le", "utf-16be", "latin1", "windows-1252"] as const;
export type Encoding = (typeof ENCODINGS)[number];

export const TEXT_UNITS = ["line", "paragraph", "document"] as const;
export type TextUnit = (typeof TEXT_UNITS)[number];

/** Features of recordings. */
export interface RecordingOptions extends AudioOptions {
  /** What every recording must have, 1 .. 1,000,000; default what the first one has. */
  sampleRateHz?: number;
}

export interface ReadOptions {
  /** Default: by the file's extension, a ".gz" left off. */
  format?: Format | null;
  /** csv, tsv: whether the first line names the columns. */
  header?: boolean;
  /** csv, tsv: the names where there is no header; conll: the names of a plain file's columns. Default column1, column2 ... */
  columns?: readonly string[] | null;
  /** What stands between two cells; default "," in csv, a tab in tsv, any blanks in sequences and conll. */
  delimiter?: string | null;
  /** csv, tsv: what a cell may be enclosed in; null: nothing is. */
  quote?: string | null;
  /** csv, tsv, text, sequences, conll: lines that begin with this are left out. */
  comment?: string | null;
  /** The decimal mark of numbers. */
  decimal?: "." | ",";
  /** What stands between groups of three digits, if anything: ",", ".", " ", "'" or "_". */
  thousands?: string | null;
  /** A byte order mark in the file is believed first. */
  encoding?: Encoding;
  /** What a row that cannot be read does: end the reading, or be left out and counted. */
  bad?: "refuse" | "skip";
  /** text: what one row is. */
  unit?: TextUnit;
  /** text: what a line says, such as "IN: {command} OUT: {actions}"; each field becomes a column of texts in place of `text`. unit: line only. */
  line?: string | null;
  /** Folders and globs: what a file's name says, such as "{digit}_{speaker}_{index}.wav"; each field becomes a column of texts. */
  pattern?: string | null;
  /** Folders and globs: a column `label` from the folder a file lies in, or from its name without extension. */
  label?: "folder" | "name" | null;
  /** wav: which features its frames become; null: log mel energies with their defaults. */
  audio?: RecordingOptions | null;
}

export const READ_DEFAULTS: Readonly<Required<ReadOptions>> = {
  format: null,
  header: true,
  columns: null,
  delimiter: null,
  quote: '"',
  comment: null,
  decimal: ".",
  thousands: null,
  encoding: "utf-8",
  bad: "refuse",
  unit: "line",
  line: null,
  pattern: null,
  label: null,
  audio: null,
};

const EXTENSIONS: Readonly<Record<string, Format>> = {
  ".csv": "csv",
  ".tsv": "tsv",
  ".tab": "tsv",
  ".ndjson": "ndjson",
  ".jsonl": "ndjson",
  ".parquet": "parquet",
  ".ts": "ts",
  ".txt": "text",
  ".log": "text",
  ".conll": "conll",
  ".conllu": "conllu",
  ".wav": "wav",
};

/** The format of a file by its name, or undefined. */
export function formatOf(path: string): Format | undefined {
  return EXTENSIONS[extensionOf(path)];
}

/** Whether a file of a folder is one of that format: by its name, and where lines of text are read in another way, by being text. */
export function mayHold(path: string, format: Format): boolean {
  const named = formatOf(path);
  return named === format || (named === "text" && (format === "sequences" || format === "conll" || format === "conllu"));
}

/** The extension in lower case, a ".gz" left off. */
export function extensionOf(path: string): string {
  return extname(path.replace(/\.gz$/i, "")).toLowerCase();
}

/** @throws OST_FORMAT if neither the setting nor the name says it. */
export function requireFormat(path: string, format: Format | null): Format {
  const found = format ?? formatOf(path);
  if (found !== undefined) return found;
  throw new OstinatoError("OST_FORMAT", {
    what: "the extension says no known format",
    expected: `${Object.keys(EXTENSIONS).join(", ")}, each with .gz too`,
    got: extensionOf(path) || "no extension",
    where: path,
    repair: `rename or convert the file, or set data.read.format: one of ${FORMATS.join(", ")}`,
  });
}

/** Fills in the defaults. @throws OST_CONFIG where settings contradict each other. */
export function resolveRead(read: ReadOptions = {}): Required<ReadOptions> {
  const given = Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined));
  const all = { ...READ_DEFAULTS, ...given } as Required<ReadOptions>;
  const refuse = (key: string, expected: string, got: string) =>
    new OstinatoError("OST_CONFIG", { what: `data.read.${key} does not fit`, expected, got, where: "data.read" });
  if (all.thousands !== null && (all.thousands === all.decimal || !/^[,.' _\u00a0\u202f]$/.test(all.thousands))) {
    throw refuse("thousands", `one of "," "." " " "'" "_", and not the decimal mark`, JSON.stringify(all.thousands));
  }
  if (all.delimiter !== null && (all.delimiter === "" || /[\n\r"]/.test(all.delimiter))) {
    throw refuse("delimiter", "at least one character, no line break and no quote", JSON.stringify(all.delimiter));
  }
  if (all.quote !== null && (all.quote.length !== 1 || all.quote === "\n" || all.quote === all.delimiter)) {
    throw refuse("quote", "one character other than the delimiter, or null", JSON.stringify(all.quote));
  }
  if (all.line !== null && all.unit !== "line")
    throw refuse("line", "unit: line, since a pattern is held against lines", all.unit);
  if (all.line !== null) linePattern(all.line);
  if (all.comment === "") throw refuse("comment", "at least one character, or null", '""');
  return all;
}

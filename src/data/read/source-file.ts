/**
 * @file Which files a source names: a file, several, one per part, or those of a folder or a glob.
 */
import { stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { OstinatoError } from "../../core/errors.js";
import { unreadable } from "./bytes.js";
import { filesBelow, globMatcher, isGlob, splitGlob } from "./glob.js";
import { extensionOf, type Format, formatOf, mayHold, type ReadOptions, requireFormat } from "./options.js";
import { filePattern } from "./pattern.js";

/** One file, several with the same columns, or one per part of the split; each a path, a folder or a glob. */
export type DataFiles = string | readonly string[] | Readonly<Record<string, string>>;

/** One file to be read. */
export interface SourceFile {
  path: string;
  /** What messages call it: its name, or its path below the folder it was found in. */
  name: string;
  /** The key of its source: the part, or the number of the source from 1. */
  key: string;
  bytes: number;
  format: Format;
  /** Columns that hold one value throughout the file: part, file, label, the fields of the pattern. */
  fixed: [name: string, value: string][];
}

export interface SourceFiles {
  files: SourceFile[];
  /** Entries of folders that were left out: of no known format, or whose names do not fit the pattern. */
  ignored: number;
}

/** Whether the files are named by part. */
export function isByPart(files: DataFiles): files is Readonly<Record<string, string>> {
  return typeof files === "object" && !Array.isArray(files);
}

/** @throws OST_FILE if a path does not exist or nothing matches. @throws OST_FORMAT if the formats cannot be told. */
export async function sourceFiles(files: DataFiles, read: Required<ReadOptions>): Promise<SourceFiles> {
  const byPart = isByPart(files);
  const sources: [key: string, path: string][] =
    typeof files === "string"
      ? [["1", files]]
      : Object.entries(files).map(([key, path]) => [byPart ? key : String(Number(key) + 1), path]);
  if (sources.length === 0) {
    throw new OstinatoError("OST_FILE", { what: "no file is named", expected: "at least one path", where: "data.source" });
  }
  const found: SourceFiles = { files: [], ignored: 0 };
  for (const [key, path] of sources) {
    const part: [string, string][] = byPart ? [["part", key]] : [];
    const info = await stat(path).catch((cause) => {
      if (cause.code === "ENOENT" && isGlob(path)) return null;
      throw unreadable(path, cause);
    });
    if (info && !info.isDirectory()) {
      const format = requireFormat(path, read.format);
      found.files.push({ path, name: basename(path), key, bytes: info.size, format, fixed: part });
      continue;
    }
    const below = await folderFiles(path, info !== null, read);
    found.ignored += below.ignored;
    for (const { fixed, ...file } of below.files) found.files.push({ ...file, key, fixed: [...part, ...fixed] });
  }
  return found;
}

interface FolderFile extends Omit<SourceFile, "key"> {}

async function folderFiles(
  path: string,
  isFolder: boolean,
  read: Required<ReadOptions>,
): Promise<{ files: FolderFile[]; ignored: number }> {
  const { folder, rest } = isFolder ? { folder: path, rest: null } : splitGlob(path);
  const all = await filesBelow(folder);
  const pattern = read.pattern === null ? null : filePattern(read.pattern);
  const matches = rest === null ? null : globMatcher(rest);
  const candidates = matches ? all.filter(matches) : all;
  const readable = candidates.filter((name) =>
    read.format === null ? formatOf(name) !== undefined : matches !== null || mayHold(name, read.format),
  );
  const fitting = readable.filter((name) => pattern === null || pattern.read(name) !== null);
  if (fitting.length === 0) throw nothingFits(path, read, rest === null ? all : candidates.length > 0 ? candidates : all);
  const formats = new Map<Format, string>();
  for (const name of fitting) formats.set(read.format ?? formatOf(name)!, name);
  if (formats.size > 1) {
    throw new OstinatoError("OST_FORMAT", {
      what: "the folder holds files of several formats",
      expected: "files of one format",
      got: [...formats].map(([format, name]) => `${format} (such as ${name})`).join(", "),
      where: path,
      repair: `set data.read.format, or name the files by a glob such as "${path}/**/*${extensionOf(fitting[0])}"`,
    });
  }
  const files: FolderFile[] = [];
  for (const name of fitting) {
    const full = join(folder, name);
    const info = await stat(full).catch((cause) => {
      throw unreadable(full, cause);
    });
    const fixed: [string, string][] = [["file", name]];
    const values = pattern?.read(name) ?? [];
    for (const [i, value] of values.entries()) fixed.push([pattern!.fields[i], value]);
    if (read.label !== null) fixed.push(["label", labelOf(name, folder, read.label)]);
    const twice = fixed.find(([field], i) => fixed.findIndex(([other]) => other === field) !== i);
    if (twice) {
      throw new OstinatoError("OST_CONFIG", {
        what: `two things would be the column "${twice[0]}"`,
        expected: 'fields of the pattern other than "file", and no "label" beside data.read.label',
        where: "data.read.pattern",
        repair: "rename the field",
      });
    }
    files.push({ path: full, name, bytes: info.size, format: requireFormat(full, read.format), fixed });
  }
  return { files, ignored: candidates.length - fitting.length };
}

function labelOf(name: string, folder: string, label: "folder" | "name"): string {
  const parts = name.split("/");
  if (label === "folder") return parts.length > 1 ? parts[parts.length - 2] : basename(folder);
  return stemOf(name);
}

/** The name of a file without its folder, extension and ".gz". */
export function stemOf(path: string): string {
  const name = basename(path.replace(/\.gz$/i, ""));
  const dot = name.lastIndexOf(".");
  return dot > 0 ? name.slice(0, dot) : name;
}

function nothingFits(path: string, { pattern, format }: Required<ReadOptions>, seen: readonly string[]): OstinatoError {
  const examples = seen.slice(0, 3).join(", ");
  return new OstinatoError("OST_FILE", {
    what: pattern === null ? "there is no file to read" : "no file's name fits the pattern",
    expected:
      pattern === null ? `files of ${format === null ? "a known format" : `the format ${format}`}` : JSON.stringify(pattern),
    got: seen.length === 0 ? "an empty folder" : `${examples}${seen.length > 3 ? ` and ${seen.length - 3} more` : ""}`,
    where: path,
    repair: pattern === null ? "check the path and data.read.format" : "correct data.read.pattern",
  });
}

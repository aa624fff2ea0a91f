/** @file Files of many lines that a command writes one after the other: whole or not at all. */
import { once } from "node:events";
import { createWriteStream, existsSync, realpathSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { extname } from "node:path";
import { OstinatoError } from "../core/errors.js";
import { fileError, wantWritable } from "./output-file.js";

export interface LineFileOptions {
  /** Extensions that say a format, such as ".csv". */
  formats: readonly string[];
  /** Replaces the file. */
  force?: boolean;
  /** Files that it must not replace. */
  inputs?: readonly string[];
}

/** Checks `--out` before the work. @returns the extension. @throws OST_USAGE, OST_FILE */
export function wantLineFile(out: string, { formats, force = false, inputs = [] }: LineFileOptions): string {
  const format = extname(out).toLowerCase();
  if (!formats.includes(format)) {
    const shown = formats.filter((one) => one !== ".jsonl");
    throw new OstinatoError("OST_USAGE", {
      what: "the extension says no format that can be written",
      expected: shown.join(" or "),
      got: format || "no extension",
      where: `--out ${out}`,
      repair: `for example: --out predictions${shown[0]}`,
    });
  }
  if (existsSync(out) && !force) {
    throw new OstinatoError("OST_USAGE", {
      what: "the file exists, and nothing is overwritten",
      where: `--out ${out}`,
      repair: "choose another --out, or add --force",
    });
  }
  if (existsSync(out) && inputs.some((input) => existsSync(input) && realpathSync(input) === realpathSync(out))) {
    throw new OstinatoError("OST_USAGE", {
      what: "the output would replace what it is made from",
      expected: "another file than the data and the model",
      got: out,
      where: `--out ${out}`,
      repair: "choose another --out",
    });
  }
  wantWritable(out);
  return format;
}

export function csvLine(cells: readonly (string | number | null)[]): string {
  return cells
    .map((cell) => {
      const text = cell === null ? "" : String(cell);
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    })
    .join(",");
}

/** Writes beside the file and renames, so that nobody reads a part of it. @returns the lines. @throws OST_FILE */
export async function writeLines(
  path: string,
  lines: Iterable<string>,
  onLines: (count: number) => void = () => {},
): Promise<number> {
  const beside = `${path}.${process.pid}.partial`;
  let count = 0;
  const file = createWriteStream(beside);
  try {
    await once(file, "open");
    const failed = once(file, "error").then(([error]) => Promise.reject(error));
    failed.catch(() => {});
    let block: string[] = [];
    const flush = async () => {
      const text = block.map((line) => `${line}\n`).join("");
      block = [];
      if (!file.write(text)) await Promise.race([once(file, "drain"), failed]);
      onLines(count);
    };
    for (const line of lines) {
      block.push(line);
      count++;
      if (block.length === 4096) await flush();
    }
    await flush();
    file.end();
    await Promise.race([once(file, "finish"), failed]);
    await rename(beside, path);
    return count;
  } catch (cause) {
    file.destroy();
    await rm(beside, { force: true });
    throw fileError(path, cause);
  }
}

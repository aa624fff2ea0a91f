/**
 * @file What reads text as it arrives in blocks, and the kind that reads it line by line.
 */
import { OstinatoError } from "../../core/errors.js";
import type { TableChunk } from "../table.js";
import type { ReadOptions } from "./options.js";
import type { Sheet } from "./sheet.js";

/** What a reader of a file is given. */
export interface ReaderOptions {
  read: Required<ReadOptions>;
  /** Goes before the names of the file's sequences, since they are numbered from 1 in every file; "" where there is one file only. */
  prefix: string;
}

/** Reads the text of one file into a sheet. */
export interface TextReader {
  /** Takes the next block, the last of which may be empty, and gives out what chunks are full. */
  take(block: string, last: boolean): Iterable<TableChunk>;
}

/** Takes lines one by one, without their ends; a line is numbered from 1. */
export interface LineTaker {
  line(text: string, number: number): void;
  end(): void;
}

/** No cell, line or record is longer than this many characters: what is, is no data of this kind. */
export const LONGEST_LINE = 1 << 26;

/** A reader by lines, which end with a line feed or a carriage return and a line feed. */
export function byLines(taker: LineTaker, sheet: Sheet): TextReader {
  let rest = "";
  let number = 0;
  return {
    *take(block, last) {
      const text = rest + block;
      let from = 0;
      for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", from)) {
        const to = at > from && text.charCodeAt(at - 1) === 13 ? at - 1 : at;
        taker.line(text.slice(from, to), ++number);
        from = at + 1;
        if (sheet.full) yield* taken(sheet);
      }
      rest = text.slice(from);
      if (rest.length > LONGEST_LINE) throw tooLong(`${sheet.source} line ${number + 1}`);
      if (!last) return;
      if (rest !== "") taker.line(rest.endsWith("\r") ? rest.slice(0, -1) : rest, ++number);
      taker.end();
      yield* taken(sheet);
    },
  };
}

export function* taken(sheet: Sheet): Generator<TableChunk> {
  const chunk = sheet.take();
  if (chunk) yield chunk;
}

export function tooLong(where: string): OstinatoError {
  return new OstinatoError("OST_FORMAT", {
    what: "a line has no end",
    expected: `at most ${LONGEST_LINE} characters`,
    got: "more",
    where,
    repair: "check the format, and for an unclosed quote",
  });
}

export function noRows(source: string, expected: string, got?: string): OstinatoError {
  return new OstinatoError("OST_FILE", { what: "the file has no rows", expected, got, where: source });
}

/** A line for messages. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text);
}

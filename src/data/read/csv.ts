/**
 * @file Comma-separated (RFC 4180) and tab-separated text, record by record.
 */
import { CsvError, type Options, parse } from "csv-parse/sync";
import { OstinatoError } from "../../core/errors.js";
import { parseNumber } from "../cell.js";
import type { TableChunk } from "../table.js";
import type { Sheet } from "./sheet.js";
import { LONGEST_LINE, noRows, type ReaderOptions, type TextReader, taken, tooLong } from "./text-reader.js";

const LINE_FEED = 10;

/**
 * Reads records; blank lines between them are skipped.
 *
 * @throws OST_FORMAT if a record has another number of cells than the header, a quote is not closed or stands inside a cell, or the first
 *                    line names no columns. @throws OST_FILE if there is no row. @throws OST_COLUMN if a name occurs twice.
 */
export function csvReader(sheet: Sheet, { read }: ReaderOptions): TextReader {
  const { header, columns, quote, comment } = read;
  const delimiter = read.delimiter ?? (read.format === "tsv" ? "\t" : ",");
  const full: TableChunk[] = [];
  /** The text from the first record that was not taken. */
  let rest = "";
  /** How long `rest` must be to be parsed. It doubles, so that a record of many blocks is not parsed anew for each of them. */
  let wanted = 0;
  /** The text being parsed, and the offsets in it where the parser began, the last record ended, and lines were counted to. */
  let bytes: Buffer = Buffer.alloc(0);
  let begun = 0;
  let ended = 0;
  let counted = 0;
  let line = 1;
  let width = 0;

  const strict: Options = {
    delimiter,
    quote,
    escape: quote,
    comment,
    comment_no_infix: true,
    record_delimiter: ["\r\n", "\n"],
    skip_empty_lines: true,
  };
  const located: Options<string[]> = {
    ...strict,
    relax_column_count: true,
    on_record(cells, { bytes: end }) {
      take(cells);
      ended = begun + end;
      return null;
    },
  };

  if (!header && columns) begin(columns);

  function begin(names: readonly string[]): void {
    width = names.length;
    sheet.addColumns(names);
  }

  function take(cells: string[]): void {
    if (width === 0) {
      if (header) {
        begin(namesOf(cells, delimiter, where(nextRecord(ended))));
        return;
      }
      begin(cells.map((_, c) => `column${c + 1}`));
    }
    if (cells.length !== width) sheet.bad(ragged(cells.length, width, where(nextRecord(ended)), header));
    else {
      let size = width;
      for (const cell of cells) size += cell.length;
      sheet.row(cells, size);
    }
    if (sheet.full) full.push(...taken(sheet));
  }

  /** Takes the records up to `end`, unless the last of them goes on behind it. */
  function takeTo(end: number, last: boolean): void {
    const records = wellFormed(end);
    if (records) {
      for (const cells of records) take(cells);
      ended = end;
    }
    while (ended < end) {
      begun = ended;
      try {
        parse(bytes.subarray(begun, end), located);
        ended = end;
      } catch (error) {
        if (!(error instanceof CsvError)) throw error;
        if (error.code === "CSV_QUOTE_NOT_CLOSED" && !last) return;
        leaveOut(error);
      }
    }
  }

  /** The records up to `end` if nothing is wrong with them, and else null. The parser takes half the time if it need not tell places. */
  function wellFormed(end: number): string[][] | null {
    try {
      const records = parse(bytes.subarray(0, end), strict);
      return width === 0 || records.length === 0 || records[0].length === width ? records : null;
    } catch (error) {
      if (error instanceof CsvError) return null;
      throw error;
    }
  }

  /** Goes on behind the line in which the parser failed, which tells the cell it failed in, but not the place. */
  function leaveOut({ code, column, bytes: end }: CsvError): void {
    const index = Number(column);
    const record = nextRecord(ended);
    const cell = index > 0 ? begun + Number(end) + Buffer.byteLength(delimiter) : record;
    const mark = Buffer.from(quote ?? "");
    let wrong = "a quote that is never closed";
    let at = record;
    if (code === "INVALID_OPENING_QUOTE") {
      wrong = "a quote inside a cell that does not begin with one";
      at = bytes.indexOf(mark, cell);
    } else if (code === "CSV_INVALID_CLOSING_QUOTE") {
      wrong = "text between a closing quote and the next cell";
      at = bytes.indexOf(mark, cell + mark.length);
      while (bytes.indexOf(mark, at + mark.length) === at + mark.length) at = bytes.indexOf(mark, at + 2 * mark.length);
    }
    sheet.bad(malformed(wrong, index + 1, where(record)));
    ended = lineEnd(at);
    if (sheet.full) full.push(...taken(sheet));
  }

  /** Where the first record from `at` on begins, behind blank lines and comments. */
  function nextRecord(at: number): number {
    for (let from = at; ; ) {
      const end = lineEnd(from);
      const text = bytes.toString("utf8", from, end);
      if (end === bytes.length || !(/^\r?\n$/.test(text) || (comment !== null && text.startsWith(comment)))) return from;
      from = end;
    }
  }

  function lineEnd(at: number): number {
    const end = bytes.indexOf(LINE_FEED, at);
    return end < 0 ? bytes.length : end + 1;
  }

  /** The line of an offset no smaller than the last one asked for. */
  function where(at: number): string {
    for (let next = bytes.indexOf(LINE_FEED, counted); next >= 0 && next < at; next = bytes.indexOf(LINE_FEED, next + 1)) line++;
    counted = at;
    return `${sheet.source} line ${line}`;
  }

  return {
    *take(block, last) {
      rest += block;
      if (last && rest.endsWith("\r")) rest += "\n";
      if (rest.length >= wanted || last) {
        bytes = Buffer.from(rest);
        begun = ended = counted = 0;
        try {
          takeTo(last ? bytes.length : bytes.lastIndexOf(LINE_FEED) + 1, last);
        } finally {
          yield* full.splice(0);
        }
        where(ended);
        rest = bytes.toString("utf8", ended);
        wanted = Math.min(2 * rest.length, LONGEST_LINE);
      }
      if (rest.length > LONGEST_LINE) throw tooLong(`${sheet.source} line ${line}`);
      if (!last) return;
      if (sheet.met === 0) {
        throw header
          ? noRows(sheet.source, "a header line and at least one row below it", width > 0 ? "a header only" : "an empty file")
          : noRows(sheet.source, "at least one row", "an empty file");
      }
      yield* taken(sheet);
    },
  };
}

function namesOf(header: readonly string[], delimiter: string, where: string): string[] {
  const names = header.map((name) => name.trim());
  const numeric = names.every((name) => Number.isFinite(parseNumber(name) ?? Number.NaN));
  const other = [";", "\t", ",", "|"].find((mark) => mark !== delimiter && header.length === 1 && header[0].includes(mark));
  if (!numeric && !names.includes("") && !other) return names;
  throw new OstinatoError("OST_FORMAT", {
    what: other ? `the cells are separated by ${JSON.stringify(other)}` : "the first line names no columns",
    expected: other
      ? `cells separated by ${JSON.stringify(delimiter)} (tab in a .tsv file, comma in a .csv file)`
      : "a header line with a name for each column",
    got: JSON.stringify(header.join(delimiter).slice(0, 60)),
    where,
    repair: other
      ? `set data.read.delimiter: ${JSON.stringify(other)}, or save the file with the other separator`
      : "add a header line, or set data.read.header: false and name the columns in data.read.columns",
  });
}

function ragged(got: number, expected: number, where: string, header: boolean): OstinatoError {
  return new OstinatoError("OST_FORMAT", {
    what: `a line has another number of cells than the ${header ? "header" : "first line or data.read.columns"}`,
    expected: String(expected),
    got: `${got} cells`,
    where: got < expected ? where : `${where} column ${expected + 1}`,
    repair: "the file may be cut off there, or a text with a comma lacks its quotes; data.read.bad: skip leaves such lines out",
  });
}

function malformed(what: string, column: number, where: string): OstinatoError {
  return new OstinatoError("OST_FORMAT", {
    what: "not well-formed CSV",
    expected: "cells as RFC 4180 describes them",
    got: what,
    where: `${where} column ${column}`,
    repair: "check the quotes near that line, or set data.read.quote: null if quotes mean nothing in this file",
  });
}

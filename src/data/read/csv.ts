/**
 * @file Comma-separated (RFC 4180) and tab-separated text, record by record.
 */
import { OstinatoError } from "../../core/errors.js";
import { parseNumber } from "../cell.js";
import type { Sheet } from "./sheet.js";
import { LONGEST_LINE, noRows, type ReaderOptions, type TextReader, taken, tooLong } from "./text-reader.js";

/** A record that begins at some place of the text: its cells, or what is wrong with it, and where the next begins. */
interface CsvRecord {
  cells: string[];
  wrong: string | null;
  next: number;
}

/**
 * Reads records; blank lines between them are skipped.
 *
 * @throws OST_FORMAT if a record has another number of cells than the header, a quote is not closed or stands inside a cell, or the first
 *                    line names no columns. @throws OST_FILE if there is no row. @throws OST_COLUMN if a name occurs twice.
 */
export function csvReader(sheet: Sheet, { read }: ReaderOptions): TextReader {
  const { header, columns, quote, comment } = read;
  const delimiter = read.delimiter ?? (read.format === "tsv" ? "\t" : ",");
  let text = "";
  let from = 0;
  let line = 1;
  let width = 0;

  if (!header && columns) begin(columns);

  function begin(names: readonly string[]): void {
    width = names.length;
    sheet.addColumns(names);
  }

  function take(cells: string[], size: number): void {
    if (width === 0) {
      if (header) {
        begin(namesOf(cells, delimiter, `${sheet.source} line ${line}`));
        return;
      }
      begin(cells.map((_, c) => `column${c + 1}`));
    }
    if (cells.length === width) sheet.row(cells, size);
    else sheet.bad(ragged(cells.length, width, `${sheet.source} line ${line}`, header));
  }

  /** The record at `from`, or null where the text ends before it does. */
  function quoted(last: boolean): CsvRecord | null {
    const mark = quote as string;
    const cells: string[] = [];
    let at = from;
    for (;;) {
      if (text[at] !== mark) {
        const end = endOfLine(at);
        if (end < 0 && !last) return null;
        const stop = end < 0 ? text.length : end;
        const next = text.indexOf(delimiter, at);
        const cut = next >= 0 && next < stop;
        const cell = cut ? text.slice(at, next) : withoutReturn(text.slice(at, stop));
        if (cell.includes(mark)) return { cells, wrong: "a quote inside a cell that does not begin with one", next: stop + 1 };
        cells.push(cell);
        if (!cut) return { cells, wrong: null, next: stop + 1 };
        at = next + delimiter.length;
        continue;
      }
      let cell = "";
      let begun = at + 1;
      for (;;) {
        const close = text.indexOf(mark, begun);
        if (close < 0 || (close + 1 === text.length && !last)) {
          if (!last) return null;
          const end = endOfLine(from);
          return { cells, wrong: "a quote that is never closed", next: (end < 0 ? text.length : end) + 1 };
        }
        cell += text.slice(begun, close);
        begun = close + 1;
        if (text[begun] !== mark) break;
        cell += mark;
        begun++;
      }
      cells.push(cell);
      at = begun;
      if (at >= text.length) return { cells, wrong: null, next: at + 1 };
      if (text.startsWith(delimiter, at)) {
        at += delimiter.length;
        continue;
      }
      const end = endOfLine(at);
      if (end < 0 && !last) return null;
      const stop = end < 0 ? text.length : end;
      const clean = withoutReturn(text.slice(at, stop)) === "";
      return { cells, wrong: clean ? null : "text between a closing quote and the next cell", next: stop + 1 };
    }
  }

  function endOfLine(at: number): number {
    return text.indexOf("\n", at);
  }

  return {
    *take(block, last) {
      text = text.slice(from) + block;
      from = 0;
      let nextQuote = quote === null ? -1 : text.indexOf(quote);
      while (from < text.length) {
        const end = endOfLine(from);
        if (end < 0 && !last) break;
        const stop = end < 0 ? text.length : end;
        if (nextQuote >= 0 && nextQuote < from) nextQuote = text.indexOf(quote as string, from);
        const isComment = comment !== null && text.startsWith(comment, from);
        if (isComment || nextQuote < 0 || nextQuote > stop) {
          const record = withoutReturn(text.slice(from, stop));
          if (record !== "" && !isComment) take(record.split(delimiter), record.length);
          from = stop + 1;
          line++;
        } else {
          const record = quoted(last);
          if (!record) break;
          const { cells, wrong, next } = record;
          if (wrong === null) take(cells, next - from);
          else sheet.bad(malformed(wrong, cells.length + 1, `${sheet.source} line ${line}`));
          for (let at = text.indexOf("\n", from); at >= 0 && at < next; at = text.indexOf("\n", at + 1)) line++;
          from = next;
        }
        if (sheet.full) yield* taken(sheet);
      }
      if (text.length - from > LONGEST_LINE) throw tooLong(`${sheet.source} line ${line}`);
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

function withoutReturn(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
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

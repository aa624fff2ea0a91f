/**
 * @file Comma-separated (RFC 4180) and tab-separated text with a header line.
 */
import { CsvError, parse } from "csv-parse/sync";
import { OstinatoError } from "../../core/errors.js";
import { parseNumber } from "../cell.js";
import type { TextTable } from "../table.js";

/**
 * The cells of CSV text. Blank lines are skipped.
 *
 * @throws OST_FORMAT if a line has another number of cells than the header, a quote is not closed, or there is no header.
 * @throws OST_FILE   if there is no row below the header.
 */
export function readCsv(text: string, source: string, { delimiter = "," }: { delimiter?: string } = {}): TextTable {
  let lines: string[][];
  try {
    lines = parse(text, { delimiter, bom: true, skip_empty_lines: true });
  } catch (error) {
    throw formatError(error, source);
  }
  const [header, ...rows] = lines;
  if (!header || rows.length === 0) {
    throw new OstinatoError("OST_FILE", {
      what: "the file has no rows",
      expected: "a header line and at least one row below it",
      got: header ? "a header only" : "an empty file",
      where: source,
    });
  }
  const names = header.map((name) => name.trim());
  const numeric = names.every((name) => Number.isFinite(parseNumber(name) ?? Number.NaN));
  const other = [";", "\t", ","].find((mark) => mark !== delimiter && header.length === 1 && header[0].includes(mark));
  if (numeric || names.includes("") || other) {
    throw new OstinatoError("OST_FORMAT", {
      what: other ? `the cells are separated by ${JSON.stringify(other)}` : "the first line names no columns",
      expected: other
        ? `cells separated by ${JSON.stringify(delimiter)} (tab in a .tsv file, comma in a .csv file)`
        : "a header line with a name for each column",
      got: JSON.stringify(header.join(delimiter).slice(0, 60)),
      where: `${source} line 1`,
      repair: other ? "save the file with that separator, or rename it" : "add a header line",
    });
  }
  return { source, names, cells: names.map((_, c) => rows.map((row) => row[c])) };
}

function formatError(error: unknown, source: string): unknown {
  if (!(error instanceof CsvError)) return error;
  const { code, lines, record, columns } = error as unknown as {
    code: string;
    lines?: number;
    record?: unknown[];
    columns?: unknown;
  };
  const where = lines === undefined ? source : `${source} line ${lines}`;
  if (code === "CSV_RECORD_INCONSISTENT_FIELDS_LENGTH" || code === "CSV_RECORD_INCONSISTENT_COLUMNS") {
    return new OstinatoError(
      "OST_FORMAT",
      {
        what: "a line has another number of cells than the header",
        expected: /expect (\d+)/.exec(error.message)?.[0].replace("expect ", "") ?? String(columns ?? "as many as the header"),
        got: `${record?.length ?? "another number of"} cells`,
        where,
        repair: "the file may be cut off there, or a text with a comma lacks its quotes",
      },
      { cause: error },
    );
  }
  return new OstinatoError(
    "OST_FORMAT",
    {
      what: "not well-formed CSV",
      expected: "cells as RFC 4180 describes them",
      got: error.message,
      where,
      repair: "check the quotes near that line",
    },
    { cause: error },
  );
}

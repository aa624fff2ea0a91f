/**
 * @file Newline-delimited JSON: one flat object per line. Whole numbers keep all their digits. A list of numbers and texts is one cell, in which
 * they stand apart by spaces: a set, or symbols in a row.
 */
import { OstinatoError } from "../../core/errors.js";
import { listCell } from "../cell.js";
import type { Cell, Sheet } from "./sheet.js";
import { byLines, noRows, type TextReader } from "./text-reader.js";

/**
 * A field that a line lacks is missing there. Blank lines are skipped.
 *
 * @throws OST_FORMAT if a line is no JSON object. @throws OST_VALUE if an object is not flat. @throws OST_FILE if there is no line.
 */
export function ndjsonReader(sheet: Sheet): TextReader {
  return byLines(
    {
      line(text, number) {
        if (text.trim() === "") return;
        const where = `${sheet.source} line ${number}`;
        let value: unknown;
        try {
          value = JSON.parse(text);
        } catch (error) {
          sheet.bad(malformed(where, text, error));
          return;
        }
        if (value === null || typeof value !== "object" || Array.isArray(value)) {
          sheet.bad(malformed(where, text));
          return;
        }
        const fields = Object.entries(/\d{16}/.test(text) ? JSON.parse(quoteWide(text)) : value);
        const lists = new Map(fields.flatMap(([name, cell]) => (Array.isArray(cell) ? [[name, listCell(cell)] as const] : [])));
        const nested = fields.find(
          ([name, cell]) => cell !== null && typeof cell === "object" && typeof lists.get(name) !== "string",
        );
        if (nested) {
          sheet.bad(notFlat(nested, where));
          return;
        }
        const unknown = fields.filter(([name]) => sheet.indexOf(name) === undefined).map(([name]) => name);
        if (unknown.length > 0) sheet.addColumns(unknown);
        for (const name of lists.keys()) sheet.plan.text.add(name);
        const row = new Array<Cell>(sheet.width).fill("");
        for (const [name, cell] of fields) {
          if (cell === null) continue;
          row[sheet.indexOf(name) as number] = typeof cell === "number" ? cell : (lists.get(name) ?? String(cell));
        }
        sheet.row(row, text.length);
      },
      end() {
        if (sheet.met === 0) throw noRows(sheet.source, "one JSON object per line");
      },
    },
    sheet,
  );
}

/** Valid JSON with quotes around every whole number of which a float would lose digits. */
function quoteWide(json: string): string {
  return json.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (token) =>
    /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"${token}"` : token,
  );
}

function notFlat([name, value]: [string, unknown], where: string): OstinatoError {
  return new OstinatoError("OST_VALUE", {
    what: "a record must be flat",
    expected: "a number, a text, a boolean, null, or a list of numbers and of texts without blanks",
    got: `${Array.isArray(value) ? "a list of others" : "an object"} in "${name}"`,
    where: `${where} column "${name}"`,
    repair: "give each inner value a column of its own",
  });
}

function malformed(where: string, got: string, cause?: unknown): OstinatoError {
  return new OstinatoError(
    "OST_FORMAT",
    {
      what: "a line is no JSON object",
      expected: 'one object per line, such as {"time": "2026-01-01T00:00:00Z", "value": 1}',
      got: got.length > 60 ? `${got.slice(0, 60)}...` : got,
      where,
      repair: "the file may be cut off there, or hold one JSON list instead of lines",
    },
    { cause },
  );
}

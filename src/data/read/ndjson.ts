/**
 * @file Newline-delimited JSON: one flat object per line.
 */
import { OstinatoError } from "../../core/errors.js";
import { type TextTable, textsFromRecords } from "../table.js";

/**
 * The cells of NDJSON text; a field that a line lacks is missing there. Blank lines are skipped.
 *
 * @throws OST_FORMAT if a line is no JSON object. @throws OST_VALUE if an object is not flat. @throws OST_FILE if there is no line.
 */
export function readNdjson(text: string, source: string): TextTable {
  const records: Record<string, unknown>[] = [];
  const lines: number[] = [];
  text.split("\n").forEach((line, i) => {
    if (line.trim() === "") return;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw malformed(source, i + 1, line, error);
    }
    if (value === null || typeof value !== "object" || Array.isArray(value)) throw malformed(source, i + 1, line);
    records.push(value as Record<string, unknown>);
    lines.push(i + 1);
  });
  if (records.length === 0) {
    throw new OstinatoError("OST_FILE", { what: "the file has no rows", expected: "one JSON object per line", where: source });
  }
  return textsFromRecords(records, source, (i) => `${source} line ${lines[i]}`);
}

function malformed(source: string, line: number, got: string, cause?: unknown): OstinatoError {
  return new OstinatoError(
    "OST_FORMAT",
    {
      what: "a line is no JSON object",
      expected: 'one object per line, such as {"time": "2026-01-01T00:00:00Z", "value": 1}',
      got: got.length > 60 ? `${got.slice(0, 60)}...` : got,
      where: `${source} line ${line}`,
      repair: "the file may be cut off there, or hold one JSON list instead of lines",
    },
    { cause },
  );
}

/**
 * @file Plain text: a row per line (columns line, text), per paragraph (paragraph, text) or for the whole document (document, text). With a
 * pattern of lines, a row per line with a column per field of it in place of `text`.
 */
import { OstinatoError } from "../../core/errors.js";
import { linePattern } from "./pattern.js";
import type { Sheet } from "./sheet.js";
import { byLines, LONGEST_LINE, noRows, type ReaderOptions, shown, type TextReader, tooLong } from "./text-reader.js";

/**
 * Blank lines separate paragraphs and are no rows of their own. Line ends become line feeds.
 *
 * @throws OST_FILE if there is nothing but blank lines. @throws OST_FORMAT if a paragraph or document is beyond 64 million characters, or a
 * line does not fit the pattern.
 */
export function textReader(sheet: Sheet, { read: { unit, comment, line: written }, prefix }: ReaderOptions): TextReader {
  const pattern = written === null ? null : linePattern(written);
  const texts = pattern?.fields ?? ["text"];
  sheet.addColumns([unit, ...texts], { text: unit === "line" && prefix === "" ? [] : [unit], verbatim: texts });
  const named = (name: string) => (prefix === "" ? name : `${prefix}-${name}`);
  let lines: string[] = [];
  let size = 0;
  let rows = 0;

  function close(): void {
    while (lines.length > 0 && lines.at(-1) === "") lines.pop();
    if (lines.length > 0) sheet.row([named(String(++rows)), lines.join("\n")], size);
    lines = [];
    size = 0;
  }

  return byLines(
    {
      line(text, number) {
        if (comment !== null && text.startsWith(comment)) return;
        const blank = text.trim() === "";
        if (unit === "line") {
          if (blank) return;
          const cells = pattern ? pattern.read(text) : [text];
          if (cells) sheet.row([prefix === "" ? number : named(String(number)), ...cells], text.length);
          else sheet.bad(misfit(`${sheet.source} line ${number}`, written as string, text));
          return;
        }
        if (blank && unit === "paragraph") {
          close();
          return;
        }
        lines.push(text);
        size += text.length + 1;
        if (size > LONGEST_LINE) throw tooLong(`${sheet.source} line ${number}`);
      },
      end() {
        if (unit === "document" && lines.every((line) => line.trim() === "")) lines = [];
        if (unit !== "line") close();
        if (sheet.met === 0) throw noRows(sheet.source, "text", "blank lines only");
      },
    },
    sheet,
  );
}

function misfit(where: string, pattern: string, text: string): OstinatoError {
  return new OstinatoError("OST_FORMAT", {
    what: "a line does not fit the pattern",
    expected: JSON.stringify(pattern),
    got: shown(text),
    where,
    repair: "correct data.read.line, or set data.read.bad: skip to leave such lines out",
  });
}

/**
 * Sequences of symbols, one per line: a row per symbol with the columns `sequence` (the number of its line), `position` (from 0), `symbol`.
 *
 * @throws OST_FORMAT if a blank line, which is a sequence of nothing, stands between others. @throws OST_FILE if there is no symbol.
 */
export function sequenceReader(sheet: Sheet, { read: { delimiter, comment }, prefix }: ReaderOptions): TextReader {
  sheet.addColumns(["sequence", "position", "symbol"], { text: ["sequence"], verbatim: ["symbol"] });
  let blanks: number[] = [];
  return byLines(
    {
      line(text, number) {
        if (comment !== null && text.startsWith(comment)) return;
        const line = text.trim();
        if (line === "") {
          blanks.push(number);
          return;
        }
        for (const blank of blanks) sheet.bad(emptySequence(`${sheet.source} line ${blank}`, "a blank line"));
        blanks = [];
        const symbols = (delimiter === null ? line.split(/\s+/) : text.split(delimiter)).map((symbol) => symbol.trim());
        const hole = symbols.indexOf("");
        if (hole >= 0) {
          sheet.bad(emptySequence(`${sheet.source} line ${number}`, `nothing at position ${hole}`));
          return;
        }
        const sequence = prefix === "" ? String(number) : `${prefix}-${number}`;
        for (let i = 0; i < symbols.length; i++) sheet.row([sequence, i, symbols[i]], symbols[i].length + 1);
      },
      end() {
        if (sheet.met === 0) throw noRows(sheet.source, "a sequence of symbols per line", "blank lines only");
      },
    },
    sheet,
  );
}

function emptySequence(where: string, got: string): OstinatoError {
  return new OstinatoError("OST_FORMAT", {
    what: "a sequence lacks its symbols",
    expected: "at least one symbol, none of them empty",
    got,
    where,
    repair: "remove the line, or set data.read.bad: skip to leave it out",
  });
}

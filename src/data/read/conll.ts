/**
 * @file Annotated sentences: CoNLL-U (https://universaldependencies.org/format.html) and plain CoNLL, a token and its tags per line.
 * A blank line ends a sentence; `sentence` is its number in the file, from 1.
 *
 * CoNLL-U becomes the columns sentence, id, form, lemma, upos, xpos, feats, head, deprel; lines of multiword tokens (1-2) and of empty
 * nodes (8.1) are left out, for they annotate no word of their own. A plain file becomes sentence, token, (column2 ..,) tag: the tag is
 * the last column; "-DOCSTART-" lines are left out.
 */
import { OstinatoError } from "../../core/errors.js";
import type { Sheet } from "./sheet.js";
import { byLines, noRows, type ReaderOptions, shown, type TextReader } from "./text-reader.js";

const UNIVERSAL = ["id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel"];
const FIELDS = 10;
/** Fields in which a lone underscore means that there is no value. */
const UNDERSCORE_IS_MISSING = new Set([3, 4, 5, 6, 7]);

/**
 * @throws OST_FORMAT if a line has another number of fields than the first, or, in CoNLL-U, no number for an id or ids out of order.
 * @throws OST_FILE   if there is no token.
 */
export function conllReader(sheet: Sheet, { read, prefix }: ReaderOptions): TextReader {
  let universal: boolean | null = read.format === "conllu" ? true : null;
  let width = 0;
  let sentence = 1;
  let tokens = 0;
  const name = () => (prefix === "" ? String(sentence) : `${prefix}-${sentence}`);

  function begin(fields: readonly string[]): void {
    if (universal) {
      width = FIELDS;
      sheet.addColumns(["sentence", ...UNIVERSAL], {
        text: ["sentence", "upos", "xpos", "feats", "deprel"],
        verbatim: ["form", "lemma"],
      });
      return;
    }
    width = read.columns?.length ?? fields.length;
    const between = Array.from({ length: Math.max(0, width - 2) }, (_, i) => `column${i + 2}`);
    const names = read.columns ?? ["token", ...between, ...(width > 1 ? ["tag"] : [])];
    sheet.addColumns(["sentence", ...names], { text: ["sentence", ...names], verbatim: [names[0]] });
  }

  return byLines(
    {
      line(text, number) {
        if (text.trim() === "") {
          if (tokens > 0) sentence++;
          tokens = 0;
          return;
        }
        if (read.comment !== null && text.startsWith(read.comment)) return;
        if (universal === null) {
          universal = isUniversal(text);
          if (universal === null) return;
        }
        if (universal && text.startsWith("#")) return;
        const where = `${sheet.source} line ${number}`;
        const fields = fieldsOf(text, universal, read.delimiter);
        if (!universal && fields[0] === "-DOCSTART-") return;
        if (width === 0) begin(fields);
        const wrong =
          fields.length !== width
            ? malformed(where, "another number of fields than expected", `${width}`, `${fields.length} in ${shown(text)}`)
            : universal
              ? wrongId(fields[0], tokens, where)
              : null;
        if (wrong) {
          sheet.bad(wrong);
          if (universal) tokens++;
          return;
        }
        if (universal && !/^\d+$/.test(fields[0])) return;
        tokens++;
        const cells = universal
          ? fields.slice(0, UNIVERSAL.length).map((field, i) => (field === "_" && UNDERSCORE_IS_MISSING.has(i) ? "" : field))
          : fields;
        sheet.row([name(), ...cells], text.length);
      },
      end() {
        if (sheet.met === 0) throw noRows(sheet.source, "a token and its tags per line", "none");
      },
    },
    sheet,
  );
}

/** Whether the first line that says so is of CoNLL-U; null where it may be a comment of it. */
function isUniversal(line: string): boolean | null {
  const fields = line.split("\t");
  if (fields.length === FIELDS && /^\d+(?:[-.]\d+)?$/.test(fields[0])) return true;
  return fields.length === 1 && /^# ?[\w:]+ ?=|^# (?:newdoc|newpar)/.test(line) ? null : false;
}

function fieldsOf(line: string, universal: boolean, delimiter: string | null): string[] {
  if (delimiter !== null) return line.split(delimiter);
  if (universal || line.includes("\t")) return line.split("\t");
  return line.trim().split(/\s+/);
}

/** What is wrong with the id of a CoNLL-U line that follows that many words of its sentence. */
function wrongId(id: string, words: number, where: string): OstinatoError | null {
  if (/^\d+[-.]\d+$/.test(id)) return null;
  if (id === String(words + 1)) return null;
  return malformed(where, "the ids of a sentence are not 1, 2, 3 ...", String(words + 1), shown(id));
}

function malformed(where: string, what: string, expected: string, got: string): OstinatoError {
  return new OstinatoError("OST_FORMAT", {
    what,
    expected,
    got,
    where,
    repair: "a blank line may be missing between two sentences, or the file is damaged there",
  });
}

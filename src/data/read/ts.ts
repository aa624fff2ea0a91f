/**
 * @file The .ts format of the UCR and UEA archives of time series classification (Bagnall et al. 2018): a header of `@` lines, then one
 * case per line, its dimensions separated by ":", their values by ",", its class or target last. "?" and "NaN" are missing values.
 * With @timeStamps true a value is written (time,value).
 *
 * A case becomes rows of the columns `sequence` (its number, from 1), `step` (from 0), with time stamps `time`, `dim1` .. `dimN` and, if
 * there is one, `label`.
 */
import { OstinatoError } from "../../core/errors.js";
import type { Sheet } from "./sheet.js";
import { byLines, type ReaderOptions, type TextReader } from "./text-reader.js";

interface Header {
  dimensions: number | null;
  timeStamps: boolean;
  equalLength: boolean;
  /** The length that the header or the first case says all cases have. */
  length: number | null;
  labelled: boolean;
  /** Names of the classes; empty where the header lists none. */
  classes: string[];
}

interface Case {
  /** [dimensions][steps] */
  dims: string[][];
  times: string[] | null;
  label: string | null;
}

/**
 * @throws OST_FORMAT if a line is malformed, the dimensions of a case differ in length or in their time stamps, or a case has no values;
 *                    the line is named.
 * @throws OST_FILE   if there is no case.
 */
export function tsReader(sheet: Sheet, { prefix }: ReaderOptions): TextReader {
  const header: Header = { dimensions: null, timeStamps: false, equalLength: false, length: null, labelled: false, classes: [] };
  let inData = false;
  let cases = 0;

  function take({ dims, times, label }: Case): void {
    if (sheet.width === 0) {
      const names = ["sequence", "step", ...(times ? ["time"] : []), ...dims.map((_, d) => `dim${d + 1}`)];
      sheet.addColumns([...names, ...(label === null ? [] : ["label"])], { text: ["sequence"] });
    }
    const sequence = prefix === "" ? String(cases) : `${prefix}-${cases}`;
    for (let t = 0; t < dims[0].length; t++) {
      const row: (string | number)[] = [sequence, t];
      if (times) row.push(times[t]);
      for (const values of dims) row.push(values[t]);
      if (label !== null) row.push(label);
      sheet.row(row, 8 * row.length);
    }
  }

  return byLines(
    {
      line(text, number) {
        const line = text.trim();
        if (line === "" || line.startsWith("#")) return;
        const where = `${sheet.source} line ${number}`;
        if (!inData) {
          inData = readHeaderLine(line, header, where);
          return;
        }
        cases++;
        let one: Case;
        try {
          one = readCase(line, header, where);
        } catch (error) {
          sheet.bad(error as OstinatoError);
          return;
        }
        header.dimensions ??= one.dims.length;
        take(one);
      },
      end() {
        if (cases > 0) return;
        throw new OstinatoError("OST_FILE", {
          what: "the file has no cases",
          expected: "lines below @data",
          got: inData ? "nothing below @data" : "no @data line",
          where: sheet.source,
          repair: "the file may be cut off: fetch it again",
        });
      },
    },
    sheet,
  );
}

/** Takes one line of the header; true when the data begin. */
function readHeaderLine(line: string, header: Header, where: string): boolean {
  const [word, ...rest] = line.split(/\s+/);
  const value = rest[0]?.toLowerCase();
  switch (word.toLowerCase()) {
    case "@data":
      return true;
    case "@timestamps":
      header.timeStamps = value === "true";
      return false;
    case "@dimensions":
    case "@dimension":
      header.dimensions = positive(value, where, "no number of dimensions", "@dimensions N", line);
      return false;
    case "@univariate":
      if (value === "true") header.dimensions ??= 1;
      return false;
    case "@equallength":
      header.equalLength = value === "true";
      return false;
    case "@serieslength":
      header.length = positive(value, where, "no length of the series", "@seriesLength N", line);
      return false;
    case "@classlabel":
    case "@targetlabel":
      header.labelled = value === "true";
      header.classes = word.toLowerCase() === "@classlabel" ? rest.slice(1) : [];
      return false;
    default:
      if (word.startsWith("@")) return false;
      throw malformed(where, "a line that is no header before @data", "a line that begins with @ or #", line);
  }
}

function positive(value: string | undefined, where: string, what: string, expected: string, line: string): number {
  const number = Number(value);
  if (Number.isInteger(number) && number >= 1) return number;
  throw malformed(where, what, expected, line);
}

function readCase(line: string, header: Header, where: string): Case {
  const { dimensions, labelled, classes, timeStamps } = header;
  const fields = timeStamps ? stampedFields(line) : line.split(":");
  const label = labelled ? fields.pop()!.trim() : null;
  const expected = dimensions ?? fields.length;
  if (fields.length !== expected || fields.length === 0) {
    throw malformed(
      where,
      "wrong number of dimensions",
      `${expected}${labelled ? " and a class" : ""}`,
      `${fields.length}${labelled ? " and a class" : ""}`,
    );
  }
  if (label !== null && (label === "" || (classes.length > 0 && !classes.includes(label)))) {
    throw malformed(
      where,
      "unknown class",
      classes.length > 0 ? `one of ${classes.join(", ")}` : "a class",
      JSON.stringify(label.slice(0, 40)),
    );
  }
  if (fields.every((field) => field.trim() === "")) {
    throw malformed(where, "a case has no values", "at least one value, or ? where it is missing", "a sequence of length zero");
  }
  const pairs = timeStamps ? fields.map((field) => stamped(field, where)) : null;
  const dims = pairs ? pairs.map(({ values }) => values) : fields.map((field) => field.split(",").map(cellOf));
  const odd = dims.findIndex((values) => values.length !== dims[0].length);
  if (odd >= 0) {
    throw malformed(
      where,
      "the dimensions of a case differ in length",
      `${dims[0].length} values as in dimension 1`,
      `${dims[odd].length} in dimension ${odd + 1}`,
    );
  }
  const times = pairs ? pairs[0].times : null;
  const apart = pairs?.findIndex((pair) => pair.times.some((time, t) => time !== times![t])) ?? -1;
  if (apart >= 0) {
    throw malformed(
      where,
      "the dimensions of a case have different time stamps",
      "the times of dimension 1",
      `others in dimension ${apart + 1}`,
      "write the dimensions as CSV files of their own and join them by time",
    );
  }
  if (header.equalLength) {
    header.length ??= dims[0].length;
    if (dims[0].length !== header.length) {
      throw malformed(where, "the header promises equal lengths", `${header.length} values`, `${dims[0].length} values`);
    }
  }
  return { dims, times, label };
}

function cellOf(text: string): string {
  const cell = text.trim();
  return cell === "?" ? "" : cell;
}

/** The fields of a case with time stamps: a ":" inside brackets belongs to a time. */
function stampedFields(line: string): string[] {
  const fields: string[] = [];
  let from = 0;
  let depth = 0;
  for (let i = 0; i < line.length; i++) {
    const mark = line[i];
    if (mark === "(") depth++;
    else if (mark === ")") depth--;
    else if (mark === ":" && depth === 0) {
      fields.push(line.slice(from, i));
      from = i + 1;
    }
  }
  fields.push(line.slice(from));
  return fields;
}

/** The pairs (time,value) of one dimension. */
function stamped(field: string, where: string): { times: string[]; values: string[] } {
  const times: string[] = [];
  const values: string[] = [];
  const pair = /\s*\(([^(),]*),([^(),]*)\)\s*(,|$)/y;
  while (pair.lastIndex < field.length) {
    const at = pair.lastIndex;
    const match = pair.exec(field);
    const dangling = match?.[3] === "," && pair.lastIndex === field.length;
    if (!match || match[1].trim() === "" || dangling) {
      throw malformed(where, "a value without its time stamp", "(time,value),(time,value)...", field.slice(at));
    }
    times.push(match[1].trim());
    values.push(cellOf(match[2]));
  }
  return { times, values };
}

function malformed(where: string, what: string, expected: string, got: string, repair?: string): OstinatoError {
  const short = got.length > 60 ? `${got.slice(0, 60)}...` : got;
  return new OstinatoError("OST_FORMAT", {
    what,
    expected,
    got: short,
    where,
    repair: repair ?? "the file may be cut off or damaged there: fetch it again",
  });
}

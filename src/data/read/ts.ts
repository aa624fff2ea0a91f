/**
 * @file The .ts format of the UCR and UEA archives of time series classification (Bagnall et al. 2018): a header of `@` lines, then one
 * case per line, its dimensions separated by ":", their values by ",", its class last. "?" is a missing value.
 *
 * A case becomes rows of the columns `sequence` (its number, from 1), `step` (from 0), `dim1` .. `dimN` and, if there is one, `label`.
 */
import { OstinatoError } from "../../core/errors.js";
import type { TextTable } from "../table.js";

interface Header {
  dimensions: number | null;
  equalLength: boolean;
  labelled: boolean;
  /** Names of the classes; empty where the header lists none. */
  classes: string[];
}

/**
 * @throws OST_FORMAT if a line is malformed, the dimensions of a case differ in length, or the format has time stamps; the line is named.
 * @throws OST_FILE   if there is no case.
 */
export function readTs(text: string, source: string): TextTable {
  const header: Header = { dimensions: null, equalLength: false, labelled: false, classes: [] };
  const columns: { sequence: string[]; step: string[]; label: string[]; dims: string[][] } = {
    sequence: [],
    step: [],
    label: [],
    dims: [],
  };
  let inData = false;
  let cases = 0;
  let firstLength: number | null = null;
  text.split("\n").forEach((raw, i) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) return;
    const where = `${source} line ${i + 1}`;
    if (!inData) {
      inData = readHeaderLine(line, header, where);
      return;
    }
    cases++;
    const { dims, label } = readCase(line, header, where);
    header.dimensions ??= dims.length;
    firstLength ??= dims[0].length;
    if (header.equalLength && dims[0].length !== firstLength) {
      throw malformed(where, "the header promises equal lengths", `${firstLength} values`, `${dims[0].length} values`);
    }
    for (let t = 0; t < dims[0].length; t++) {
      columns.sequence.push(String(cases));
      columns.step.push(String(t));
      if (label !== null) columns.label.push(label);
      dims.forEach((values, d) => {
        const cell = values[t].trim();
        (columns.dims[d] ??= []).push(cell === "?" ? "" : cell);
      });
    }
  });
  if (cases === 0) {
    throw new OstinatoError("OST_FILE", {
      what: "the file has no cases",
      expected: "lines below @data",
      got: inData ? "nothing below @data" : "no @data line",
      where: source,
      repair: "the file may be cut off: fetch it again",
    });
  }
  return {
    source,
    names: ["sequence", "step", ...columns.dims.map((_, d) => `dim${d + 1}`), ...(header.labelled ? ["label"] : [])],
    cells: [columns.sequence, columns.step, ...columns.dims, ...(header.labelled ? [columns.label] : [])],
  };
}

/** Takes one line of the header; true when the data begin. */
function readHeaderLine(line: string, header: Header, where: string): boolean {
  const [word, ...rest] = line.split(/\s+/);
  const value = rest[0]?.toLowerCase();
  switch (word.toLowerCase()) {
    case "@data":
      return true;
    case "@timestamps":
      if (value === "true") {
        throw malformed(
          where,
          "time stamps inside cases are not read",
          "@timeStamps false",
          line,
          "convert the file to CSV with a time column",
        );
      }
      return false;
    case "@dimensions":
    case "@dimension":
      header.dimensions = Number(value);
      if (!(Number.isInteger(header.dimensions) && header.dimensions >= 1))
        throw malformed(where, "no number of dimensions", "@dimensions N", line);
      return false;
    case "@univariate":
      if (value === "true") header.dimensions ??= 1;
      return false;
    case "@equallength":
      header.equalLength = value === "true";
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

function readCase(
  line: string,
  { dimensions, labelled, classes }: Header,
  where: string,
): { dims: string[][]; label: string | null } {
  const fields = line.split(":");
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
  const dims = fields.map((field) => field.split(","));
  const odd = dims.findIndex((values) => values.length !== dims[0].length);
  if (odd >= 0) {
    throw malformed(
      where,
      "the dimensions of a case differ in length",
      `${dims[0].length} values as in dimension 1`,
      `${dims[odd].length} in dimension ${odd + 1}`,
    );
  }
  return { dims, label };
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

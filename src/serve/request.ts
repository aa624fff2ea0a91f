/**
 * @file What a request may say: every body is checked by hand into a plain value before anything uses it.
 *
 * Unknown keys are refused with the nearest known one, so that a misspelt `seq` never turns a safe retry into a second step.
 */
import { StringDecoder } from "node:string_decoder";
import { nearest, OstinatoError } from "../core/errors.js";
import type { RawRecord } from "../model/stream.js";
import type { ModelVersion } from "./engine.js";
import type { StepInput } from "./operation.js";
import { numberId, textId } from "./session-key.js";
import type { CreateOptions } from "./sessions.js";

export interface StepsRequest {
  input: StepInput;
  seq?: number;
  incarnation?: number;
  end?: boolean;
}

const MAX_LINE_BYTES = 1_048_576;
const MAX_LIST = 1000;
const MAX_PIECES = 4096;

export function parseCreate(body: unknown): CreateOptions {
  const given = object(body ?? {}, ["id", "snapshot", "durability", "ttlSeconds", "attributes"]);
  const { id, snapshot, durability, ttlSeconds, attributes } = given;
  if (durability !== undefined && typeof durability !== "string") throw refusal("durability", "a string", durability);
  if (ttlSeconds !== undefined && typeof ttlSeconds !== "number") throw refusal("ttlSeconds", "a number", ttlSeconds);
  if (
    attributes !== undefined &&
    !(isObject(attributes) && Object.values(attributes).every((value) => typeof value === "string"))
  ) {
    throw refusal("attributes", "an object of strings", attributes);
  }
  return {
    id: id === undefined ? undefined : parseId(id),
    durability,
    ttlSeconds,
    attributes: attributes as Record<string, string> | undefined,
    snapshot: snapshot === undefined ? undefined : base64(snapshot),
  };
}

/** A text, or `{ "number": "18446744073709551615" }`: a JSON number above 2^53 would be another one by the time it is read. */
function parseId(id: unknown) {
  if (typeof id === "string") return textId(id);
  if (isObject(id) && typeof id.number === "string" && Object.keys(id).length === 1) return numberId(id.number);
  throw refusal("id", 'a string, or { "number": "digits" }', id, "quote it: numbers above 2^53 do not survive JSON");
}

export function parseIncarnation(body: unknown): { incarnation?: number } {
  if (body === undefined || body === null) return {};
  const { incarnation } = isObject(body) ? body : object(body, ["incarnation"]);
  if (incarnation === undefined) return {};
  // A query holds a text. An object may have a `valueOf` that is no function, which `Number` would stumble over.
  const value = typeof incarnation === "string" && /^\d{1,16}$/.test(incarnation) ? Number(incarnation) : incarnation;
  if (!(typeof value === "number" && Number.isSafeInteger(value) && value >= 1))
    throw refusal("incarnation", "an integer from 1", incarnation);
  return { incarnation: value };
}

/** Where a list goes on, and how many it may hold. */
export function parseCursor({ after, limit = "100" }: Record<string, string | undefined>): { after?: string; limit: number } {
  const count = Number(limit);
  if (!(Number.isInteger(count) && count >= 1 && count <= MAX_LIST)) throw refusal("limit", `1 .. ${MAX_LIST}`, limit);
  return { after, limit: count };
}

/** The number of a step by its field, or by the header that says the same. */
export function wantSeq(seq: number | undefined, header: string | string[] | undefined): number | undefined {
  if (seq !== undefined || header === undefined) {
    if (seq === undefined || (Number.isSafeInteger(seq) && seq >= 1)) return seq;
    throw refusal("seq", "an integer from 1", seq);
  }
  const value = Number(String(header).replace(/^"(.*)"$/, "$1"));
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw refusal("header Idempotency-Key", 'the number of the first record, as "7"', String(header).slice(0, 80));
}

/** Records of NDJSON, so many at a time. @throws OST_REQUEST for a line that is no record, behind the records before it. */
export async function* recordLines(source: AsyncIterable<Uint8Array>, most: number): AsyncGenerator<RawRecord[]> {
  const decoder = new StringDecoder("utf8");
  const rest = new LineRest();
  let line = 0;
  let records: RawRecord[] = [];
  const take = (text: string) => {
    line++;
    if (text.trim() !== "") records.push(parseLine(text, line));
  };
  for await (const chunk of source) {
    // Only what is new is searched: a sender may cut a line into as many pieces as it has bytes.
    const lines = decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)).split("\n");
    const last = lines.pop() as string;
    if (lines.length > 0) lines[0] = rest.take() + lines[0];
    rest.add(last);
    if (rest.length > MAX_LINE_BYTES) throw refusal(`line ${line + lines.length + 1}`, "at most 1 MiB", "a longer line");
    for (const text of lines) {
      try {
        take(text);
      } catch (error) {
        if (records.length > 0) yield records;
        throw error;
      }
      if (records.length < most) continue;
      yield records;
      records = [];
    }
    if (records.length > 0) {
      yield records;
      records = [];
    }
  }
  rest.add(decoder.end());
  const end = rest.take();
  if (end !== "") take(end);
  if (records.length > 0) yield records;
}

/** A line that has not ended yet, in pieces: many small ones are made one now and then, so that they take little memory. */
class LineRest {
  #whole = "";
  #pieces: string[] = [];
  length = 0;

  add(text: string): void {
    if (text === "") return;
    this.length += text.length;
    if (this.#pieces.push(text) >= MAX_PIECES) this.#whole = this.#join();
  }

  take(): string {
    const text = this.#join();
    this.#whole = "";
    this.length = 0;
    return text;
  }

  #join(): string {
    const text = this.#whole + this.#pieces.join("");
    this.#pieces = [];
    return text;
  }
}

function parseLine(text: string, line: number): RawRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refusal(`line ${line}`, "one JSON object", "something else", undefined, "OST_RECORD");
  }
  return parseRecord(value, `line ${line}`);
}

export function parseRestore(body: unknown): { snapshot: Uint8Array } {
  const { snapshot } = object(body, ["snapshot", "session", "model", "steps"]);
  return { snapshot: base64(snapshot) };
}

/** @param model names the columns of `rows`. */
export function parseSteps(body: unknown, { columns }: ModelVersion): StepsRequest {
  const { record, records, rows, seq, incarnation, end } = object(body, [
    "record",
    "records",
    "rows",
    "seq",
    "incarnation",
    "end",
  ]);
  const given = [record, records, rows].filter((each) => each !== undefined).length;
  if (given !== 1) {
    throw new OstinatoError("OST_REQUEST", {
      what: "a step needs its record",
      expected: "either record, records or rows",
      got: given === 0 ? "none of them" : "several",
      where: "body",
      repair: '{ "record": { "column": 1.5 } }',
    });
  }
  if (records !== undefined && !Array.isArray(records)) throw refusal("records", "an array of records", records);
  if (rows !== undefined && !Array.isArray(rows)) throw refusal("rows", "an array of arrays of numbers", rows);
  if (seq !== undefined && !(Number.isSafeInteger(seq) && (seq as number) >= 1)) throw refusal("seq", "an integer from 1", seq);
  if (end !== undefined && typeof end !== "boolean") throw refusal("end", "true or false", end);
  return { input: inputOf(), seq: seq as number | undefined, ...parseIncarnation({ incarnation }), end };

  function inputOf(): StepInput {
    if (rows !== undefined) return { rows: numbersOf(rows as unknown[], columns), count: (rows as unknown[]).length };
    if (records === undefined) return { records: [parseRecord(record, "record")] };
    return { records: (records as unknown[]).map((each, i) => parseRecord(each, `records[${i}]`)) };
  }
}

/** Rows of numbers in the order of the columns, one after another; null is a missing value. */
function numbersOf(rows: readonly unknown[], columns: readonly string[]): Float64Array {
  const numbers = new Float64Array(rows.length * columns.length);
  rows.forEach((row, i) => {
    if (!Array.isArray(row) || row.length !== columns.length) {
      const got = Array.isArray(row) ? `${row.length} values` : kind(row);
      throw new OstinatoError("OST_RECORD", {
        what: "a row of another width",
        expected: `${columns.length} numbers: ${columns.join(", ").slice(0, 200)}`,
        got,
        where: `rows[${i}]`,
      });
    }
    row.forEach((cell, c) => {
      if (cell !== null && !(typeof cell === "number" && Number.isFinite(cell)))
        throw refusal(`rows[${i}]: column "${columns[c]}"`, "a number or null", cell, undefined, "OST_RECORD");
      numbers[i * columns.length + c] = cell ?? Number.NaN;
    });
  });
  return numbers;
}

/** A copy without a prototype, so that a column named "toString" is missing where it is missing. */
function parseRecord(value: unknown, where: string): RawRecord {
  if (!isObject(value)) throw refusal(where, "an object of columns", value, undefined, "OST_RECORD");
  for (const [column, cell] of Object.entries(value)) {
    if (cell !== null && typeof cell !== "number" && typeof cell !== "string") {
      const name = column.length > 80 ? `${column.slice(0, 77)}...` : column;
      throw refusal(`${where}: column "${name}"`, "a number, a string or null", cell, undefined, "OST_RECORD");
    }
    if (typeof cell === "number" && !Number.isFinite(cell)) {
      throw refusal(`${where}: column "${column}"`, "a finite number", cell, "send null for a missing value", "OST_RECORD");
    }
  }
  return Object.assign(Object.create(null), value) as RawRecord;
}

function object(body: unknown, known: readonly string[]): Record<string, unknown> {
  if (!isObject(body)) throw refusal("body", "a JSON object", body, "send it with Content-Type: application/json");
  for (const key of Object.keys(body)) {
    if (known.includes(key)) continue;
    const near = nearest(key, known);
    throw new OstinatoError("OST_REQUEST", {
      what: "an unknown key",
      expected: known.join(", "),
      got: key.length > 80 ? `${key.slice(0, 77)}...` : key,
      where: "body",
      repair: near ? `did you mean "${near}"?` : undefined,
    });
  }
  return body;
}

function base64(value: unknown): Uint8Array {
  if (typeof value === "string" && value.length > 0) {
    const bytes = Buffer.from(value, "base64");
    if (bytes.toString("base64") === value) return new Uint8Array(bytes);
  }
  throw new OstinatoError("OST_SNAPSHOT", {
    what: "the snapshot is not base64",
    expected: "the text of the field snapshot, whole and unchanged",
    got: typeof value === "string" ? `${value.length} characters` : kind(value),
    where: "snapshot",
    repair: "take it from GET /v1/models/MODEL/sessions/SESSION/snapshot",
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function kind(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "number" ? String(value) : `a value of type ${typeof value}`;
}

function refusal(
  where: string,
  expected: string,
  got: unknown,
  repair?: string,
  code: "OST_REQUEST" | "OST_RECORD" = "OST_REQUEST",
): OstinatoError {
  return new OstinatoError(code, { what: "something of the wrong type", expected, got: kind(got), where, repair });
}

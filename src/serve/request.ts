/**
 * @file What a request may say: every body is checked by hand into a plain value before anything uses it.
 *
 * Unknown keys are refused with the nearest known one, so that a misspelt `seq` never turns a safe retry into a second step.
 */
import { nearest, OstinatoError } from "../core/errors.js";
import type { RawRecord } from "../model/stream.js";

export interface CreateRequest {
  id?: string;
  snapshot?: Uint8Array;
}

export interface StepsRequest {
  records: RawRecord[];
  seq?: number;
}

/** The key of `Authorization: Bearer KEY`, or undefined. */
export function bearerKey(header: string | undefined): string | undefined {
  return header === undefined ? undefined : /^Bearer +(\S+) *$/i.exec(header)?.[1];
}

export function parseCreate(body: unknown): CreateRequest {
  const { id, snapshot } = object(body ?? {}, ["id", "snapshot"]);
  if (id !== undefined && typeof id !== "string") {
    throw refusal("id", "a string", id, "quote it: numbers above 2^53 do not survive JSON");
  }
  return { id, snapshot: snapshot === undefined ? undefined : base64(snapshot) };
}

export function parseRestore(body: unknown): { snapshot: Uint8Array } {
  const { snapshot } = object(body, ["snapshot", "session", "model", "steps"]);
  return { snapshot: base64(snapshot) };
}

export function parseSteps(body: unknown): StepsRequest {
  const { record, records, seq } = object(body, ["record", "records", "seq"]);
  if ((record === undefined) === (records === undefined)) {
    throw new OstinatoError("OST_REQUEST", {
      what: "a step needs its record",
      expected: "either record or records",
      got: record === undefined ? "neither" : "both",
      where: "body",
      repair: '{ "record": { "column": 1.5 } }',
    });
  }
  if (records !== undefined && !Array.isArray(records)) throw refusal("records", "an array of records", records);
  if (seq !== undefined && !(Number.isSafeInteger(seq) && (seq as number) >= 1)) throw refusal("seq", "an integer from 1", seq);
  const list =
    records === undefined
      ? [parseRecord(record, "record")]
      : (records as unknown[]).map((each, i) => parseRecord(each, `records[${i}]`));
  return { records: list, seq: seq as number | undefined };
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
    repair: "take it from GET /v1/sessions/SESSION/snapshot",
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

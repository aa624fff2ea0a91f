/**
 * @file The HTTP bodies of the Open Inference Protocol: JSON, behind which tensors may follow as bytes (the binary tensor data extension).
 *
 * Integers keep all their digits: JavaScript's own parser would read 1706549649780891136 and ...200 as one number.
 */
import { parse as parseLossless } from "lossless-json";
import { OstinatoError } from "../core/errors.js";
import type { InferAnswer, InferRequest, Parameter } from "./oip-infer.js";
import { type InputTensor, type OutputTensor, tensorBytes } from "./oip-tensor.js";

/** Which outputs are wanted, and how. */
export interface OutputWish {
  /** Default of all. */
  binary: boolean;
  /** By name, where a request says otherwise. */
  byName: ReadonlyMap<string, boolean>;
}

export const BINARY_HEADER = "inference-header-content-length";

const MAX_DEPTH = 32;
/** 256 steps of 512 columns. Each takes many times its bytes. */
const MAX_VALUES = 131_072;
const MAX_TENSORS = 1024;
/** Longer whole numbers are no ids; turning them to bigints would take time that grows with the square of their length. */
const MAX_DIGITS = 24;

const refuse = (what: string, where: string, facts: { expected?: string; got?: string; repair?: string } = {}) =>
  new OstinatoError("OST_REQUEST", { what, where, ...facts });

type Fields = Record<string, unknown>;

const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);

/** Never a name that an object has by its nature. */
const fieldOf = (fields: Fields, name: string): unknown => (Object.hasOwn(fields, name) ? fields[name] : undefined);

/**
 * Parses JSON; whole numbers that a number would round become bigints.
 *
 * @throws OST_REQUEST malformed, not UTF-8, nested more than 32 deep, or of more than 131,072 values.
 */
export function parseJson(bytes: Uint8Array): unknown {
  let body: string;
  try {
    body = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw refuse("the body is not valid UTF-8", "body");
  }
  checkExtent(bytes);
  try {
    // Fifteen digits are always exact.
    if (!/\d{16}/.test(body)) return JSON.parse(body);
    return parseLossless(body, undefined, { parseNumber: exactNumber, onDuplicateKey: ({ newValue }) => newValue });
  } catch (error) {
    if (error instanceof OstinatoError) throw error;
    throw refuse("failed to parse the request JSON buffer", "body", {
      got: error instanceof Error ? error.message.slice(0, 120) : "",
      repair: "send one JSON object; missing values are null",
    });
  }
}

function exactNumber(digits: string): number | bigint {
  const number = Number(digits);
  return Number.isSafeInteger(number) || digits.length > MAX_DIGITS || !/^-?\d+$/.test(digits) ? number : BigInt(digits);
}

function checkExtent(bytes: Uint8Array): void {
  let depth = 0;
  let values = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === 0x22) {
      for (i++; i < bytes.length && bytes[i] !== 0x22; i++) if (bytes[i] === 0x5c) i++;
    } else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > MAX_DEPTH) throw refuse("the JSON is nested too deep", "body", { expected: `at most ${MAX_DEPTH} levels` });
    } else if (byte === 0x5d || byte === 0x7d) depth--;
    else if (byte === 0x2c && ++values > MAX_VALUES) {
      const repair = "send tensors as bytes: Inference-Header-Content-Length";
      throw refuse("the JSON holds too many values", "body", { expected: `at most ${MAX_VALUES}`, repair });
    }
  }
}

/**
 * Reads the body of an inference.
 *
 * @param headerLength of `Inference-Header-Content-Length`: bytes of JSON, behind which the binary tensors follow in the order of the inputs.
 * @throws OST_REQUEST.
 */
export function readInferBody(
  body: Uint8Array,
  { model, version, headerLength }: { model: string; version: string; headerLength: string | undefined },
): { ask: InferRequest; wish: OutputWish } {
  const length = headerLength === undefined ? body.length : /^\d{1,10}$/.test(headerLength) ? Number(headerLength) : Number.NaN;
  if (!(length <= body.length)) {
    throw refuse("the header length is no length of this body", "Inference-Header-Content-Length", {
      expected: `0 .. ${body.length}`,
      got: String(headerLength).slice(0, 40),
    });
  }
  const json = parseJson(length === body.length ? body : body.subarray(0, length));
  if (!isFields(json)) throw refuse("not an inference request", "body", { expected: "a JSON object with inputs" });
  const id = fieldOf(json, "id") ?? "";
  if (typeof id !== "string") throw refuse("an id that is no text", "id", { expected: "a text", got: typeof id });
  const parameters = readParameters(fieldOf(json, "parameters"), "parameters");
  const inputs = listOf(fieldOf(json, "inputs"), "inputs");
  const tail = new Tail(body.subarray(length));
  const tensors = inputs.map((input, i) => readTensor(input, `inputs[${i}]`, tail));
  tail.checkEnd();
  const wish = { binary: parameters.get("binary_data_output") === true, byName: new Map<string, boolean>() };
  const asked = fieldOf(json, "outputs");
  const outputs = asked === undefined || asked === null ? [] : listOf(asked, "outputs");
  const names = outputs.map((output, i) => {
    const name = fieldOf(output, "name");
    if (typeof name !== "string") throw refuse("an output without a name", `outputs[${i}]`);
    const own = readParameters(fieldOf(output, "parameters"), `outputs[${i}].parameters`);
    refuseForeign(own, `outputs[${i}].parameters`);
    const binary = own.get("binary_data");
    if (typeof binary === "boolean") wish.byName.set(name, binary);
    return name;
  });
  return {
    ask: { model, version, id, parameters, inputs: () => tensors, ...(names.length > 0 ? { outputs: names } : {}) },
    wish,
  };
}

function listOf(value: unknown, where: string): Fields[] {
  if (Array.isArray(value) && value.length <= MAX_TENSORS && value.every(isFields)) return value;
  throw refuse("not a list of tensors", where, { expected: `a list of at most ${MAX_TENSORS} objects` });
}

function readParameters(value: unknown, where: string): Map<string, Parameter> {
  if (value === undefined || value === null) return new Map();
  if (!isFields(value)) throw refuse("parameters that are no object", where, { expected: "an object" });
  return new Map(
    Object.entries(value).map(([name, held]) => {
      if (typeof held === "boolean" || typeof held === "number" || typeof held === "bigint" || typeof held === "string")
        return [name, held];
      throw refuse(`the parameter '${name.slice(0, 60)}' does not fit`, where, { expected: "a text, a number, true or false" });
    }),
  );
}

/** What would silently change the meaning of a tensor. */
function refuseForeign(parameters: ReadonlyMap<string, Parameter>, where: string): void {
  for (const name of ["shared_memory_region", "classification"]) {
    if (parameters.has(name)) throw refuse(`this server does not have the extension of '${name}'`, where);
  }
}

/** The bytes behind the JSON, given out from the front. */
class Tail {
  #at = 0;

  constructor(readonly bytes: Uint8Array) {}

  take(size: number, where: string): Uint8Array {
    if (size > this.bytes.length - this.#at) {
      throw refuse("the body ends before the tensor's data", where, {
        expected: `${size} bytes`,
        got: `${this.bytes.length - this.#at}`,
        repair: "set Inference-Header-Content-Length to the bytes of JSON",
      });
    }
    this.#at += size;
    return this.bytes.subarray(this.#at - size, this.#at);
  }

  checkEnd(): void {
    if (this.#at === this.bytes.length) return;
    throw refuse("bytes behind the last tensor's data", "body", { expected: `${this.#at} bytes`, got: `${this.bytes.length}` });
  }
}

function readTensor(fields: Fields, where: string, tail: Tail): InputTensor {
  const [name, datatype, shape, data] = ["name", "datatype", "shape", "data"].map((field) => fieldOf(fields, field));
  if (typeof name !== "string" || typeof datatype !== "string") throw refuse("a tensor without a name or a datatype", where);
  if (!Array.isArray(shape) || !shape.every((axis) => typeof axis === "number")) {
    throw refuse("a tensor without a shape", where, { expected: "a list of whole numbers" });
  }
  const parameters = readParameters(fieldOf(fields, "parameters"), `${where}.parameters`);
  refuseForeign(parameters, `${where}.parameters`);
  const size = parameters.get("binary_data_size");
  if (size === undefined) {
    if (!Array.isArray(data)) throw refuse("a tensor without data", where, { expected: "a list of values, or binary_data_size" });
    return { name, datatype, shape, data: { values: flat(data) } };
  }
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
    throw refuse("no size", where, { got: String(size).slice(0, 40) });
  if (data !== undefined) throw refuse("a tensor with both data and binary_data_size", where);
  return { name, datatype, shape, data: { raw: tail.take(size, where) } };
}

/** Data may be nested as the shape is, or flat. */
function flat(data: unknown[]): unknown[] {
  return data.some(Array.isArray) ? (data.flat(MAX_DEPTH) as unknown[]) : data;
}

/** A body: JSON alone, or with bytes behind it; `headerLength` says how much of it is JSON then. */
export interface InferBody {
  body: string | Buffer;
  headerLength: number | null;
}

export function writeInferBody({ model, version, id, parameters, outputs }: InferAnswer, wish: OutputWish): InferBody {
  const tail: Buffer[] = [];
  const tensors = outputs.map((tensor) => {
    const { name, datatype, shape } = tensor;
    const head = `{"name":${JSON.stringify(name)},"datatype":"${datatype}","shape":[${shape.join(",")}]`;
    if (!(wish.byName.get(name) ?? wish.binary)) return `${head},"data":[${values(tensor)}]}`;
    const bytes = tensorBytes(tensor);
    tail.push(bytes);
    return `${head},"parameters":{"binary_data_size":${bytes.length}}}`;
  });
  const facts = [`"model_name":${JSON.stringify(model)}`, `"model_version":${JSON.stringify(version)}`];
  if (id !== "") facts.push(`"id":${JSON.stringify(id)}`);
  // A bigint's own digits, which JSON.stringify would refuse to write.
  const said = [...parameters].map(
    ([key, held]) => `${JSON.stringify(key)}:${typeof held === "bigint" ? held : JSON.stringify(held)}`,
  );
  if (said.length > 0) facts.push(`"parameters":{${said.join(",")}}`);
  const json = `{${facts.join(",")},"outputs":[${tensors.join(",")}]}`;
  if (tail.length === 0) return { body: json, headerLength: null };
  const header = Buffer.from(json, "utf8");
  return { body: Buffer.concat([header, ...tail]), headerLength: header.length };
}

/** JSON has no NaN. */
function values({ values }: OutputTensor): string {
  if (values instanceof Float32Array || values instanceof Float64Array) {
    return Array.from(values, (value) => (Number.isFinite(value) ? String(value) : "null")).join(",");
  }
  return values.map((text) => JSON.stringify(text)).join(",");
}

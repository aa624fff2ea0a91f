/**
 * @file The safetensors format: named tensors behind a small JSON header, read strictly and written deterministically.
 *
 *     bytes 0..7        N, the header's length, unsigned 64-bit little-endian, at most 100,000,000
 *     bytes 8..8+N      the header: UTF-8 JSON that starts with "{", padded at its end with spaces
 *     bytes 8+N..end    the data: tensors back to back, little-endian, row-major; offsets count from here
 *
 * The header maps each name to `{ dtype, shape, data_offsets: [begin, end] }`, and `__metadata__` to strings. The tensors tile the data
 * without holes, overlaps or trailing bytes. The header has its own parser because `JSON.parse` keeps the last of two equal keys
 * silently; this one knows the only legal shape, so nothing nests deeper than three levels and the time is linear in the file.
 *
 * Source: the format description of the safetensors project (Hugging Face, 2022).
 */
import { OstinatoError } from "../core/errors.js";

/** Bytes per element. The sub-byte types of the format (F4, F6) are refused as unknown. */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
  C64: 8,
} as const;

export type SafetensorsDtype = keyof typeof DTYPE_BYTES;

/** One tensor as it lies in the file. `data` starts at a multiple of the element's size, so a typed array can be laid over it. */
export interface SafetensorsTensor {
  dtype: SafetensorsDtype;
  shape: number[];
  /** Row-major, little-endian; its length is the product of the shape times the element's bytes. */
  data: Uint8Array;
}

export interface SafetensorsFile {
  metadata: Record<string, string>;
  tensors: Map<string, SafetensorsTensor>;
}

const LENGTH_BYTES = 8;
const MAX_HEADER_BYTES = 100_000_000;
const METADATA = "__metadata__";
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * Reads a whole file.
 *
 * @param bytes the file. Aligned tensors are views of it, so it must not change afterwards.
 * @returns tensors in the order of the header.
 * @throws OST_MODEL_FILE for every departure from the format, with the byte offset or the tensor's name.
 */
export function readSafetensors(bytes: Uint8Array): SafetensorsFile {
  const dataStart = LENGTH_BYTES + headerLength(bytes);
  const header = new HeaderParser(decodeHeader(bytes.subarray(LENGTH_BYTES, dataStart))).parse();
  checkTiling(header.tensors, bytes.length - dataStart);
  const tensors = new Map<string, SafetensorsTensor>();
  for (const [name, { dtype, shape, begin, end }] of header.tensors) {
    const view = bytes.subarray(dataStart + begin, dataStart + end);
    const data = view.byteOffset % DTYPE_BYTES[dtype] === 0 ? view : new Uint8Array(view);
    tensors.set(name, { dtype, shape, data });
  }
  return { metadata: Object.fromEntries(header.metadata), tensors };
}

/**
 * Writes a file: equal content gives equal bytes, whatever the order of insertion.
 *
 * Tensors lie by falling element size, then by name, which keeps each one aligned; metadata keys are sorted; the header is padded with
 * spaces to a multiple of 8 bytes.
 *
 * @throws OST_MODEL_FILE if a tensor's bytes disagree with its shape, or a name cannot be written.
 */
export function writeSafetensors({
  metadata = {},
  tensors,
}: {
  metadata?: Record<string, string>;
  tensors: ReadonlyMap<string, SafetensorsTensor>;
}): Uint8Array {
  const order = [...tensors.entries()].sort(
    ([nameA, a], [nameB, b]) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype] || (nameA < nameB ? -1 : nameA > nameB ? 1 : 0),
  );
  const entries: string[] = [];
  const pairs = Object.keys(metadata)
    .sort()
    .map((key) => `${quote(key)}:${quote(metadata[key])}`);
  if (pairs.length > 0) entries.push(`"${METADATA}":{${pairs.join(",")}}`);
  let offset = 0;
  for (const [name, { dtype, shape, data }] of order) {
    if (name === METADATA)
      throw refusal({ what: "a tensor has the reserved name", where: METADATA, repair: "rename the tensor" });
    if (!Object.hasOwn(DTYPE_BYTES, dtype))
      throw refusal({ what: "unknown dtype", expected: KNOWN_DTYPES, got: String(dtype), where: `tensor "${name}"` });
    const wanted = byteLength(dtype, shape, `tensor "${name}"`);
    if (data.length !== wanted) {
      throw refusal({
        what: "a tensor's bytes disagree with its shape",
        expected: `${wanted} bytes for ${dtype} [${shape.join(", ")}]`,
        got: `${data.length} bytes`,
        where: `tensor "${name}"`,
      });
    }
    entries.push(
      `${quote(name)}:{"dtype":"${dtype}","shape":[${shape.join(",")}],"data_offsets":[${offset},${offset + data.length}]}`,
    );
    offset += data.length;
  }
  const text = new TextEncoder().encode(`{${entries.join(",")}}`);
  const padded = Math.ceil(text.length / LENGTH_BYTES) * LENGTH_BYTES;
  if (padded > MAX_HEADER_BYTES) {
    throw refusal({
      what: "the header is too large",
      expected: `at most ${MAX_HEADER_BYTES} bytes`,
      got: `${padded} bytes`,
      where: "header",
    });
  }
  const bytes = new Uint8Array(LENGTH_BYTES + padded + offset);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(text, LENGTH_BYTES);
  bytes.fill(0x20, LENGTH_BYTES + text.length, LENGTH_BYTES + padded);
  let at = LENGTH_BYTES + padded;
  for (const [, { data }] of order) {
    bytes.set(data, at);
    at += data.length;
  }
  return bytes;
}

const KNOWN_DTYPES = Object.keys(DTYPE_BYTES).join(", ");

interface HeaderTensor {
  dtype: SafetensorsDtype;
  shape: number[];
  begin: number;
  end: number;
}

/** The header's length, known to lie within the file. */
function headerLength(bytes: Uint8Array): number {
  if (bytes.length < LENGTH_BYTES) {
    throw refusal({
      what: bytes.length === 0 ? "the file is empty" : "the file is too short",
      expected: `at least ${LENGTH_BYTES} bytes`,
      got: `${bytes.length} bytes`,
      where: "byte 0",
      repair: "copy the file again; it was cut off",
    });
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw refusal({
      what: "the header is too large",
      expected: `at most ${MAX_HEADER_BYTES} bytes`,
      got: `${length} bytes`,
      where: "byte 0",
      repair: "check that this is a safetensors file",
    });
  }
  if (LENGTH_BYTES + Number(length) > bytes.length) {
    throw refusal({
      what: "the file ends within its header",
      expected: `${LENGTH_BYTES + Number(length)} bytes or more`,
      got: `${bytes.length} bytes`,
      where: "byte 0",
      repair: "copy the file again; it was cut off",
    });
  }
  return Number(length);
}

function decodeHeader(header: Uint8Array): string {
  if (header[0] !== 0x7b) {
    throw refusal({
      what: "the header does not start with {",
      expected: "byte 0x7b",
      got: header.length === 0 ? "an empty header" : `byte 0x${header[0].toString(16).padStart(2, "0")}`,
      where: `byte ${LENGTH_BYTES}`,
      repair: "check that this is a safetensors file",
    });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(header);
  } catch {
    throw refusal({ what: "the header is not valid UTF-8", where: `bytes ${LENGTH_BYTES}..${LENGTH_BYTES + header.length}` });
  }
}

/** The tensors must tile the data from its first to its last byte. */
function checkTiling(tensors: Map<string, HeaderTensor>, dataBytes: number): void {
  const byOffset = [...tensors.entries()].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const [name, { begin, end }] of byOffset) {
    if (begin !== covered) {
      throw refusal({
        what: begin < covered ? "tensors overlap" : "there is a hole between tensors",
        expected: `data_offsets that begin at ${covered}`,
        got: String(begin),
        where: `tensor "${shorten(name)}"`,
      });
    }
    covered = end;
  }
  if (covered !== dataBytes) {
    throw refusal({
      what: covered < dataBytes ? "there are bytes after the last tensor" : "the file ends within its data",
      expected: `${covered} bytes of data`,
      got: `${dataBytes}`,
      where: byOffset.length > 0 ? `tensor "${shorten(byOffset[byOffset.length - 1][0])}"` : "data",
      repair: covered < dataBytes ? undefined : "copy the file again; it was cut off",
    });
  }
}

/** @throws OST_MODEL_FILE if a size is not a safe integer or the product overflows. */
function byteLength(dtype: SafetensorsDtype, shape: readonly number[], where: string): number {
  let elements = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw refusal({ what: "a shape holds something that is no size", expected: "integers >= 0", got: String(size), where });
    }
    elements *= size;
    if (!Number.isSafeInteger(elements * DTYPE_BYTES[dtype])) {
      throw refusal({
        what: "a shape overflows",
        expected: "at most 2^53 bytes",
        got: `[${shape.slice(0, 8).join(", ")}]`,
        where,
      });
    }
  }
  return elements * DTYPE_BYTES[dtype];
}

/** A parser of exactly the header's grammar; it moves forward only and nests by construction, not by recursion. */
class HeaderParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): { metadata: Map<string, string>; tensors: Map<string, HeaderTensor> } {
    let metadata: Map<string, string> | undefined;
    const tensors = new Map<string, HeaderTensor>();
    this.#object("header", (name, keyAt) => {
      if (name === METADATA) {
        if (metadata) throw this.#duplicate(name, keyAt);
        metadata = this.#metadata();
      } else {
        if (tensors.has(name)) throw this.#duplicate(name, keyAt);
        tensors.set(name, this.#tensor(name));
      }
    });
    this.#space();
    if (this.#at < this.#text.length) throw this.#unexpected("only spaces after the header's }");
    return { metadata: metadata ?? new Map(), tensors };
  }

  #metadata(): Map<string, string> {
    const pairs = new Map<string, string>();
    this.#object(METADATA, (key, keyAt) => {
      if (pairs.has(key)) throw this.#duplicate(key, keyAt);
      pairs.set(key, this.#string(`a string as the value of "${shorten(key)}" in ${METADATA}`));
    });
    return pairs;
  }

  #tensor(name: string): HeaderTensor {
    const where = `tensor "${shorten(name)}"`;
    const seen = new Set<string>();
    let dtype: SafetensorsDtype | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    this.#object(where, (key, keyAt) => {
      if (seen.has(key)) throw this.#duplicate(key, keyAt);
      seen.add(key);
      if (key === "dtype") {
        const text = this.#string(`the dtype of ${where}`);
        if (!Object.hasOwn(DTYPE_BYTES, text))
          throw refusal({ what: "unknown dtype", expected: KNOWN_DTYPES, got: shorten(text), where });
        dtype = text as SafetensorsDtype;
      } else if (key === "shape") {
        shape = this.#integers(`the shape of ${where}`);
      } else if (key === "data_offsets") {
        offsets = this.#integers(`the data_offsets of ${where}`);
      } else {
        throw refusal({
          what: "unknown key",
          expected: "dtype, shape, data_offsets",
          got: shorten(key),
          where: `${where}, byte ${this.#byte(keyAt)}`,
        });
      }
    });
    if (!dtype || !shape || !offsets) {
      throw refusal({
        what: "a tensor lacks a key",
        expected: "dtype, shape, data_offsets",
        got: [...seen].join(", ") || "none",
        where,
      });
    }
    if (offsets.length !== 2 || offsets[0] > offsets[1]) {
      throw refusal({
        what: "data_offsets is no range",
        expected: "[begin, end] with begin <= end",
        got: `[${offsets.slice(0, 4).join(", ")}]`,
        where,
      });
    }
    const [begin, end] = offsets;
    const wanted = byteLength(dtype, shape, where);
    if (end - begin !== wanted) {
      throw refusal({
        what: "a tensor's bytes disagree with its shape",
        expected: `${wanted} bytes for ${dtype} [${shape.slice(0, 8).join(", ")}]`,
        got: `${end - begin} bytes`,
        where,
      });
    }
    return { dtype, shape, begin, end };
  }

  #object(what: string, member: (key: string, keyAt: number) => void): void {
    this.#expect("{", `{ of ${what}`);
    if (this.#accept("}")) return;
    do {
      this.#space();
      const keyAt = this.#at;
      const key = this.#string(`a key of ${what}`);
      this.#expect(":", `: after "${shorten(key)}"`);
      member(key, keyAt);
    } while (this.#accept(","));
    this.#expect("}", `, or } in ${what}`);
  }

  #integers(what: string): number[] {
    const values: number[] = [];
    this.#expect("[", `[ of ${what}`);
    if (this.#accept("]")) return values;
    do values.push(this.#integer(what));
    while (this.#accept(","));
    this.#expect("]", `, or ] in ${what}`);
    return values;
  }

  #integer(what: string): number {
    this.#space();
    const start = this.#at;
    while (isDigit(this.#text.charCodeAt(this.#at))) this.#at++;
    const digits = this.#text.slice(start, this.#at);
    if (digits === "" || (digits.length > 1 && digits[0] === "0")) {
      this.#at = start;
      throw this.#unexpected(`an integer >= 0 in ${what}`);
    }
    const value = digits.length > 16 ? Number.POSITIVE_INFINITY : Number(digits);
    if (!Number.isSafeInteger(value)) {
      throw refusal({
        what: "a number is too large",
        expected: "below 2^53",
        got: shorten(digits),
        where: `${what}, byte ${this.#byte(start)}`,
      });
    }
    return value;
  }

  #string(what: string): string {
    this.#space();
    const start = this.#at;
    if (this.#text[start] !== '"') throw this.#unexpected(what);
    let end = start + 1;
    for (;;) {
      const code = this.#text.charCodeAt(end);
      if (Number.isNaN(code)) throw refusal({ what: "a string does not end", expected: '"', where: `byte ${this.#byte(start)}` });
      if (code === 0x22) break;
      end += code === 0x5c ? 2 : 1;
    }
    this.#at = end + 1;
    let value: string | undefined;
    try {
      value = JSON.parse(this.#text.slice(start, end + 1)) as string;
    } catch {
      value = undefined;
    }
    if (value === undefined || LONE_SURROGATE.test(value)) {
      throw refusal({ what: "a string is not valid JSON", expected: what, where: `byte ${this.#byte(start)}` });
    }
    return value;
  }

  #expect(character: string, what: string): void {
    if (!this.#accept(character)) throw this.#unexpected(what);
  }

  #accept(character: string): boolean {
    this.#space();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #unexpected(expected: string): OstinatoError {
    const got =
      this.#at < this.#text.length ? JSON.stringify(this.#text.slice(this.#at, this.#at + 12)) : "the end of the header";
    return refusal({
      what: "the header is not the JSON of a safetensors file",
      expected,
      got,
      where: `byte ${this.#byte(this.#at)}`,
    });
  }

  #duplicate(key: string, keyAt: number): OstinatoError {
    return refusal({
      what: "a key occurs twice",
      expected: "each key once",
      got: `"${shorten(key)}"`,
      where: `byte ${this.#byte(keyAt)}`,
    });
  }

  /** The file's byte offset of a position in the decoded text. */
  #byte(position: number): number {
    return LENGTH_BYTES + new TextEncoder().encode(this.#text.slice(0, position)).length;
  }
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function quote(text: string): string {
  if (typeof text !== "string" || LONE_SURROGATE.test(text)) {
    throw refusal({
      what: "a name or a metadata value cannot be written",
      expected: "a well-formed string",
      got: typeof text,
      where: "header",
    });
  }
  return JSON.stringify(text);
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function refusal(detail: { what: string; expected?: string; got?: string; where?: string; repair?: string }): OstinatoError {
  return new OstinatoError("OST_MODEL_FILE", detail);
}

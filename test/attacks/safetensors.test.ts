import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../../src/core/errors.js";
import { readSafetensors, writeSafetensors } from "../../src/model/safetensors.js";

/** A file from a header text (or raw header bytes) and data, with the length field right unless one is given. */
function file(header: string | Uint8Array, data: Uint8Array | number = 0, length?: bigint): Uint8Array {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const body = typeof data === "number" ? new Uint8Array(data) : data;
  const bytes = new Uint8Array(8 + text.length + body.length);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(body, 8 + text.length);
  return bytes;
}

const entry = (shape: string, begin: number, end: number, dtype = "F32") =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;
const utf8 = (text: string) => new TextEncoder().encode(text);
const deep = (open: string, close: string) => open.repeat(100_000) + close.repeat(100_000);

const attacks: [name: string, bytes: Uint8Array, says: RegExp][] = [
  ["an empty file", new Uint8Array(0), /empty/],
  ["a file shorter than the length field", new Uint8Array(7), /too short/],
  ["a length beyond the file", file("{}", 0, 3n), /ends within its header/],
  ["a length above the cap", file("{}", 0, 100_000_001n), /too large/],
  ["a length of 2^63", file("{}", 0, 1n << 63n), /too large/],
  ["a length of 2^64 - 1", file("{}", 0, (1n << 64n) - 1n), /too large/],
  ["a length that overflows 32 bits to a small one", file("{}", 0, (1n << 32n) + 2n), /too large/],
  ["an empty header", file("", 0), /does not start/],
  ["a header that starts with a space", file(" {}"), /does not start/],
  ["a header that starts with a byte order mark", file("\ufeff{}"), /does not start/],
  ["a header that is an array", file("[]"), /does not start/],
  ["a header in UTF-16", file(new Uint8Array([0x7b, 0, 0x7d, 0])), /not the JSON/],
  ["invalid UTF-8", file(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d])), /UTF-8/],
  ["an overlong UTF-8 form", file(new Uint8Array([0x7b, 0x22, 0xc0, 0xa2, 0x22, 0x7d])), /UTF-8/],
  ["an escaped lone surrogate", file(`{"\\ud800":${entry("[1]", 0, 4)}}`, 4), /not valid JSON/],
  ["a control character in a string", file(`{"a\u0001":${entry("[1]", 0, 4)}}`, 4), /not valid JSON/],
  ["an unknown escape", file(`{"\\x41":${entry("[1]", 0, 4)}}`, 4), /not valid JSON/],
  ["a string without an end", file('{"a'), /does not end/],
  ["a string that ends in a backslash", file('{"a\\'), /does not end/],
  ["an object without an end", file("{"), /not the JSON/],
  ["a trailing comma", file(`{"a":${entry("[1]", 0, 4)},}`, 4), /a key of header/],
  ["text after the header", file("{} x"), /only spaces after/],
  ["two headers", file("{}{}"), /only spaces after/],
  ["a zero byte as padding", file("{}\0"), /only spaces after/],
  ["single quotes", file("{'a':1}"), /not the JSON/],
  ["a comment", file("{/**/}"), /not the JSON/],
  ["a duplicate tensor", file(`{"a":${entry("[1]", 0, 4)},"a":${entry("[1]", 4, 8)}}`, 8), /occurs twice/],
  ["a duplicate tensor by escape", file(`{"a":${entry("[1]", 0, 4)},"\\u0061":${entry("[1]", 4, 8)}}`, 8), /occurs twice/],
  ["a duplicate dtype", file('{"a":{"dtype":"F32","dtype":"F64","shape":[],"data_offsets":[0,4]}}', 4), /occurs twice/],
  ["duplicate metadata", file('{"__metadata__":{},"__metadata__":{}}'), /occurs twice/],
  ["a duplicate key within metadata", file('{"__metadata__":{"k":"1","k":"2"}}'), /occurs twice/],
  ["a number in metadata", file('{"__metadata__":{"k":1}}'), /a string as the value/],
  ["an object in metadata", file('{"__metadata__":{"k":{}}}'), /a string as the value/],
  ["null as metadata", file('{"__metadata__":null}'), /__metadata__/],
  ["a tensor named as metadata", file(`{"__metadata__":${entry("[1]", 0, 4)}}`, 4), /a string as the value/],
  ["a tensor that is null", file('{"a":null}'), /tensor "a"/],
  ["an unknown dtype", file(`{"a":${entry("[1]", 0, 4, "F33")}}`, 4), /F33/],
  ["a dtype that every object has", file(`{"a":${entry("[1]", 0, 4, "constructor")}}`, 4), /unknown dtype/],
  ["a dtype in lower case", file(`{"a":${entry("[1]", 0, 4, "f32")}}`, 4), /unknown dtype/],
  ["a missing dtype", file('{"a":{"shape":[1],"data_offsets":[0,4]}}', 4), /lacks a key/],
  ["a missing shape", file('{"a":{"dtype":"F32","data_offsets":[0,4]}}', 4), /lacks a key/],
  ["missing offsets", file('{"a":{"dtype":"F32","shape":[1]}}', 4), /lacks a key/],
  ["an unknown key", file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"strides":[1]}}', 4), /strides/],
  ["a negative size", file(`{"a":${entry("[-1]", 0, 4)}}`, 4), /an integer >= 0/],
  ["two negative sizes whose product is right", file(`{"a":${entry("[-1,-1]", 0, 4)}}`, 4), /an integer >= 0/],
  ["a fractional size", file(`{"a":${entry("[1.5]", 0, 4)}}`, 4), /shape/],
  ["a size with an exponent", file(`{"a":${entry("[1e0]", 0, 4)}}`, 4), /shape/],
  ["a size with a leading zero", file(`{"a":${entry("[01]", 0, 4)}}`, 4), /shape/],
  ["a size as a string", file(`{"a":${entry('["1"]', 0, 4)}}`, 4), /shape/],
  ["a size of a million digits", file(`{"a":${entry(`[${"9".repeat(1_000_000)}]`, 0, 4)}}`, 4), /too large/],
  ["a size of 2^53", file(`{"a":${entry("[9007199254740992]", 0, 4)}}`, 4), /too large/],
  ["a shape whose product overflows", file(`{"a":${entry("[4294967296,4294967296]", 0, 4)}}`, 4), /overflows/],
  ["a shape that overflows before its zero", file(`{"a":${entry("[4294967296,4294967296,0]", 0, 0)}}`), /overflows/],
  ["a shape that overflows 64 bits to the right size", file(`{"a":${entry("[4611686018427387905]", 0, 4)}}`, 4), /too large/],
  ["fewer bytes than the shape", file(`{"a":${entry("[2]", 0, 4)}}`, 4), /disagree/],
  ["more bytes than the shape", file(`{"a":${entry("[1]", 0, 8)}}`, 8), /disagree/],
  ["a negative offset", file(`{"a":${entry("[1]", -4, 0)}}`, 4), /data_offsets/],
  ["offsets in reverse", file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', 4), /no range/],
  ["three offsets", file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}', 4), /no range/],
  ["no offsets", file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[]}}', 4), /no range/],
  ["a hole at the start", file(`{"a":${entry("[1]", 4, 8)}}`, 8), /hole/],
  ["a hole in the middle", file(`{"a":${entry("[1]", 0, 4)},"b":${entry("[1]", 8, 12)}}`, 12), /hole/],
  ["an overlap", file(`{"a":${entry("[2]", 0, 8)},"b":${entry("[2]", 4, 12)}}`, 12), /overlap/],
  ["the same bytes twice", file(`{"a":${entry("[1]", 0, 4)},"b":${entry("[1]", 0, 4)}}`, 4), /overlap/],
  ["an empty tensor beyond the data", file(`{"a":${entry("[0]", 8, 8)}}`), /hole/],
  ["data cut short", file(`{"a":${entry("[2]", 0, 8)}}`, 7), /ends within its data/],
  ["bytes after the last tensor", file(`{"a":${entry("[1]", 0, 4)}}`, 5), /after the last tensor/],
  ["data without a tensor", file("{}", 1), /after the last tensor/],
  ["deep arrays as a shape", file(`{"a":{"dtype":"F32","shape":${deep("[", "]")},"data_offsets":[0,4]}}`, 4), /shape/],
  ["deep objects as metadata", file(`{"__metadata__":${deep('{"a":', "}")}}`), /a string as the value/],
  ["deep objects as a tensor", file(deep('{"a":', "}")), /unknown key/],
];

describe("a malformed file is refused with OST_MODEL_FILE", () => {
  it.each(attacks)("%s", (_name, bytes, says) => {
    const error = caught(bytes);
    expect(error).toBeInstanceOf(OstinatoError);
    expect((error as OstinatoError).code).toBe("OST_MODEL_FILE");
    expect((error as OstinatoError).message).toMatch(says);
    expect((error as OstinatoError).detail.where).toBeTruthy();
  });

  it("names the byte where a key occurs twice, counted in bytes and not in characters", () => {
    const error = caught(file(`{"☃":${entry("[1]", 0, 4)},"☃":${entry("[1]", 4, 8)}}`, 8)) as OstinatoError;
    expect(error.detail.where).toBe(`byte ${8 + utf8(`{"☃":${entry("[1]", 0, 4)},`).length}`);
  });

  it("keeps its message short however long the names in the file are", () => {
    const error = caught(file(`{"${"n".repeat(100_000)}":${entry("[1]", 4, 8)}}`, 8)) as OstinatoError;
    expect(error.message.length).toBeLessThan(500);
  });
});

describe("unusual files that the format allows are read", () => {
  it.each([
    ["spaces, tabs and line breaks", file(`{ \n\t"a" :\r${entry("[ 1 , 1 ]", 0, 4)} }   `, 4), ["a"]],
    ["tensors out of the order of their data", file(`{"b":${entry("[1]", 4, 8)},"a":${entry("[1]", 0, 4)}}`, 8), ["b", "a"]],
    ["an empty name", file(`{"":${entry("[]", 0, 4)}}`, 4), [""]],
    [
      "empty tensors between others",
      file(`{"a":${entry("[1]", 0, 4)},"b":${entry("[0,9]", 4, 4)},"c":${entry("[1]", 4, 8)}}`, 8),
      ["a", "b", "c"],
    ],
  ])("%s", (_name, bytes, names) => {
    expect([...readSafetensors(bytes).tensors.keys()]).toEqual(names);
  });
});

describe("mutated files", () => {
  const sound = writeSafetensors({
    metadata: { format: "ostinato/1", task: "tag" },
    tensors: new Map([
      ["rnn.weight_ih_l0", { dtype: "F32" as const, shape: [4, 3], data: new Uint8Array(48).fill(7) }],
      ["rnn.bias_ih_l0", { dtype: "F32" as const, shape: [4], data: new Uint8Array(16) }],
      ["steps", { dtype: "I64" as const, shape: [], data: new Uint8Array(8) }],
    ]),
  });

  const readsOrRefuses = (bytes: Uint8Array) => {
    const start = performance.now();
    const error = caught(bytes);
    expect(performance.now() - start).toBeLessThan(1000);
    if (error !== undefined) {
      expect(error).toBeInstanceOf(OstinatoError);
      expect((error as OstinatoError).code).toBe("OST_MODEL_FILE");
    }
  };

  it("every truncation is refused", () => {
    for (let length = 0; length < sound.length; length++) {
      expect((caught(sound.subarray(0, length)) as OstinatoError).code).toBe("OST_MODEL_FILE");
    }
  });

  it("every byte set to every value reads or is refused, and never does anything else", () => {
    const bytes = sound.slice();
    for (let at = 0; at < sound.length; at++) {
      for (const value of [0x00, 0x20, 0x22, 0x2c, 0x2d, 0x39, 0x5b, 0x5c, 0x7b, 0x7d, 0x80, 0xff]) {
        bytes[at] = value;
        readsOrRefuses(bytes);
      }
      bytes[at] = sound[at];
    }
  });

  it("random edits read or are refused, and never do anything else", () => {
    const edit = fc.record({ at: fc.nat(sound.length - 1), remove: fc.nat(12), insert: fc.uint8Array({ maxLength: 12 }) });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        let bytes = [...sound];
        for (const { at, remove, insert } of edits) bytes = [...bytes.slice(0, at), ...insert, ...bytes.slice(at + remove)];
        readsOrRefuses(new Uint8Array(bytes));
      }),
      { numRuns: 400 },
    );
  });

  it("random header texts with a right length read or are refused, and never do anything else", () => {
    const token = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ":",
      ",",
      '"a"',
      '"dtype"',
      '"F32"',
      '"shape"',
      '"data_offsets"',
      '"__metadata__"',
      "0",
      "4",
      "-1",
      "null",
      " ",
    );
    fc.assert(
      fc.property(fc.array(token, { maxLength: 40 }), fc.nat(8), (tokens, data) =>
        readsOrRefuses(file(`{${tokens.join("")}`, data)),
      ),
      { numRuns: 400 },
    );
  });

  it("a header of ten megabytes is refused or read in bounded time", () => {
    const start = performance.now();
    readsOrRefuses(file(`{"__metadata__":{"k":"${"\\u0041".repeat(500_000)}"}}`));
    readsOrRefuses(file(`{${" ".repeat(3_000_000)}}`));
    readsOrRefuses(file(`{"a":${entry(`[${"1,".repeat(500_000)}1]`, 0, 4)}}`, 4));
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

function caught(bytes: Uint8Array): unknown {
  try {
    readSafetensors(bytes);
    return undefined;
  } catch (error) {
    return error;
  }
}

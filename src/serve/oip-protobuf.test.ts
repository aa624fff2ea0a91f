import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { inferencePackage } from "../../test/oip/grpc-client.js";
import { OstinatoError } from "../core/errors.js";
import { INFERENCE } from "./oip-message.js";
import { decodeMessage, encodeMessage, type Message, parseProto } from "./oip-protobuf.js";

const REQUEST = INFERENCE.message("ModelInferRequest");
/** protobufjs, of which the server uses nothing. */
const other = inferencePackage.GRPCInferenceService.service.ModelInfer;

const word = fc.string({ unit: "binary", maxLength: 30 }).filter((text) => text !== "");
const whole = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.integer().map(BigInt));
const unsigned = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat().map(BigInt));
const exact = (value: bigint) => (Number.isSafeInteger(Number(value)) ? Number(value) : value);

const parameter = fc.oneof(
  fc.boolean().map((value) => ({ own: { bool_param: value } as Message, theirs: { bool_param: value } as Message })),
  whole.map((value) => ({ own: { int64_param: exact(value) }, theirs: { int64_param: String(value) } })),
  word.map((value) => ({ own: { string_param: value }, theirs: { string_param: value } })),
  fc.double({ noNaN: true }).map((value) => ({ own: { double_param: value }, theirs: { double_param: value } })),
  unsigned.map((value) => ({ own: { uint64_param: exact(value) }, theirs: { uint64_param: String(value) } })),
);

const request = fc
  .record({
    model: word,
    id: word,
    names: fc.uniqueArray(word, { maxLength: 4 }),
    parameters: fc.array(parameter, { minLength: 4, maxLength: 4 }),
    shape: fc.array(whole, { minLength: 1, maxLength: 4 }),
    raw: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    floats: fc.array(fc.float({ noNaN: true }), { minLength: 1, maxLength: 9 }),
  })
  .map(({ model, id, names, parameters, shape, raw, floats }) => ({
    own: {
      model_name: model,
      id,
      ...(names.length > 0 ? { parameters: new Map(names.map((name, i) => [name, parameters[i].own])) } : {}),
      inputs: [{ name: "x", shape: shape.map(exact), contents: { fp32_contents: floats } }],
      raw_input_contents: [Buffer.from(raw)],
    } as Message,
    theirs: {
      model_name: model,
      id,
      parameters: Object.fromEntries(names.map((name, i) => [name, parameters[i].theirs])),
      inputs: [{ name: "x", shape: shape.map(String), contents: { fp32_contents: floats } }],
      raw_input_contents: [Buffer.from(raw)],
    },
  }));

describe("messages", () => {
  it("are read as another library wrote them, and the reverse", () => {
    fc.assert(
      fc.property(request, ({ own, theirs }) => {
        const written: Buffer = other.requestSerialize(theirs);
        expect(decodeMessage(REQUEST, written)).toEqual(own);
        const read = other.requestDeserialize(encodeMessage(REQUEST, own));
        expect(other.requestSerialize(read).equals(written)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it("of any bytes are read or refused", () => {
    const started = performance.now();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeMessage(REQUEST, Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(OstinatoError);
        }
      }),
      { numRuns: 20_000 },
    );
    expect(performance.now() - started).toBeLessThan(30_000);
  });

  it("that were changed in a byte or cut are read or refused", () => {
    fc.assert(
      fc.property(request, fc.nat(), fc.nat({ max: 255 }), fc.boolean(), ({ own }, at, byte, isCut) => {
        const bytes = Buffer.from(encodeMessage(REQUEST, own));
        if (!isCut) bytes[at % bytes.length] = byte;
        try {
          decodeMessage(REQUEST, isCut ? bytes.subarray(0, at % bytes.length) : bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(OstinatoError);
        }
      }),
      { numRuns: 5000 },
    );
  });

  it("skip fields that the file does not have, and keep the last of a oneof", () => {
    const parameterType = INFERENCE.message("InferParameter");
    const bytes = Buffer.from([0x08, 0x01, 0x10, 0x05, 0x4a, 0x02, 0x61, 0x62, 0x3d, 1, 2, 3, 4]);
    expect(decodeMessage(parameterType, bytes)).toEqual({ int64_param: 5 });
  });

  it("with more parts than any request has are refused before they take memory", () => {
    const parts = Buffer.alloc(4 * 1024 * 1024);
    for (let i = 0; i < parts.length; i += 2) parts[i] = (5 << 3) | 2;
    expect(() => decodeMessage(REQUEST, parts)).toThrow(/parts/);
  });

  it("write false and zero where a choice was made of them", () => {
    const type = INFERENCE.message("InferParameter");
    expect([...encodeMessage(type, { bool_param: false })]).toEqual([0x08, 0]);
    expect([...encodeMessage(type, { int64_param: 0 })]).toEqual([0x10, 0]);
    expect([...encodeMessage(type, { int64_param: -1 })].length).toBe(11);
  });
});

describe("proto files", () => {
  it("are refused where they do not say what they mean", () => {
    const start = 'syntax = "proto3"; package p;';
    for (const text of [
      "",
      "message A {",
      "message A { Missing x = 1; }",
      "import x;",
      "service S { rpc A(B) returns (C) {} }",
    ]) {
      expect(() => parseProto(text === "" ? "" : `${start} ${text}`)).toThrow(OstinatoError);
    }
  });
});

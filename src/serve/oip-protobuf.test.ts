import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../core/errors.js";
import { INFERENCE } from "./oip-message.js";
import { decodeMessage, encodeMessage, type Message, parseProto } from "./oip-protobuf.js";

const REQUEST = INFERENCE.message("ModelInferRequest");
const PARAMETER = INFERENCE.message("InferParameter");

const word = fc.string({ unit: "binary", maxLength: 30 });
const whole = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.integer().map(BigInt));
const unsigned = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat().map(BigInt));
const exact = (value: bigint) => (Number.isSafeInteger(Number(value)) ? Number(value) : value);

const parameter = fc.oneof(
  fc.boolean().map((value): Message => ({ bool_param: value })),
  whole.map((value) => ({ int64_param: exact(value) })),
  word.map((value) => ({ string_param: value })),
  fc.double({ noNaN: true }).map((value) => ({ double_param: value })),
  unsigned.map((value) => ({ uint64_param: exact(value) })),
);

const request = fc.record({
  model_name: word,
  id: word,
  parameters: fc.dictionary(fc.oneof(word, fc.constant("__proto__")), parameter, { maxKeys: 4 }),
  inputs: fc.tuple(
    fc.record({
      name: word,
      shape: fc.array(whole.map(exact), { maxLength: 4 }),
      contents: fc.record({
        fp32_contents: fc.array(fc.float({ noNaN: true }), { maxLength: 9 }),
        uint64_contents: fc.array(unsigned.map(exact), { maxLength: 9 }),
      }),
    }),
  ),
  raw_input_contents: fc.array(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    { maxLength: 3 },
  ),
});

describe("messages", () => {
  it("come back as they were written, integers of 64 bits exactly", () => {
    fc.assert(
      fc.property(request, (written) => {
        const read = decodeMessage(REQUEST, encodeMessage(REQUEST, written));
        expect(read).toMatchObject({ model_name: written.model_name, id: written.id });
        expect(Object.keys(read.parameters as object).sort()).toEqual(Object.keys(written.parameters).sort());
        for (const [name, choice] of Object.entries(read.parameters as Record<string, Message>)) {
          expect(Object.entries(choice)).toEqual(Object.entries(written.parameters[name]));
          expect(choice.parameter_choice).toBe(Object.keys(choice)[0]);
        }
        const [{ name, shape, contents }] = written.inputs;
        expect((read.inputs as Message[])[0]).toMatchObject({ name, shape, contents });
        expect(read.raw_input_contents).toEqual(written.raw_input_contents);
      }),
      { numRuns: 1000 },
    );
  });

  it("hold their byte strings without copying them", () => {
    const bytes = encodeMessage(REQUEST, { raw_input_contents: [Buffer.alloc(40, 7)] });
    const [raw] = decodeMessage(REQUEST, bytes).raw_input_contents as Buffer[];
    expect(raw).toBeInstanceOf(Buffer);
    bytes.fill(9);
    expect(raw.every((byte) => byte === 9)).toBe(true);
  });

  it("of any bytes are read or refused", () => {
    const started = performance.now();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeMessage(REQUEST, Buffer.from(bytes));
        } catch (error) {
          expect(error).toMatchObject({ code: "OST_REQUEST" });
        }
      }),
      { numRuns: 20_000 },
    );
    expect(performance.now() - started).toBeLessThan(30_000);
  });

  it("that were changed in a byte or cut are read or refused", () => {
    fc.assert(
      fc.property(request, fc.nat(), fc.nat({ max: 255 }), fc.boolean(), (written, at, byte, isCut) => {
        const bytes = Buffer.from(encodeMessage(REQUEST, written));
        if (!isCut) bytes[at % bytes.length] = byte;
        try {
          decodeMessage(REQUEST, isCut ? bytes.subarray(0, at % bytes.length) : bytes);
        } catch (error) {
          expect(error).toMatchObject({ code: "OST_REQUEST" });
        }
      }),
      { numRuns: 5000 },
    );
  });

  it("cut within a field are refused, as are texts that are not UTF-8", () => {
    for (const bytes of [
      [0x0a, 5, 0x61],
      [0x0a, 2, 0x61],
      [0x0a, 1, 0xff],
      [0x0a],
      [0x22, 4, 0x0a, 1, 0xc0, 0],
      [0x2a, 2, 0x0a, 3, 0x61, 0x62, 0x63],
    ]) {
      expect(() => decodeMessage(REQUEST, Buffer.from(bytes)), String(bytes)).toThrow(OstinatoError);
    }
    for (let length = 1; length < 10; length++) {
      const bytes = Buffer.from([0x28, ...Array(length).fill(0x81)]);
      expect(() => decodeMessage(PARAMETER, bytes), `${length}`).toThrow(/malformed/);
    }
  });

  it("skip fields that the file does not have, and say which of a choice was made last", () => {
    const bytes = Buffer.from([0x08, 0x01, 0x10, 0x05, 0x4a, 0x02, 0x61, 0x62, 0x3d, 1, 2, 3, 4]);
    const { parameter_choice: choice, int64_param: value } = decodeMessage(PARAMETER, bytes);
    expect([choice, value]).toEqual(["int64_param", 5]);
  });

  it("with more parts than any request has are refused before they take memory", () => {
    for (const unit of [
      [0x2a, 0],
      [0x3a, 0],
      [0x2a, 2, 0x2a, 0],
      [0x2a, 2, 0x0a, 0],
      [0x2a, 4, 0x2a, 2, 0x42, 0],
    ]) {
      const bytes = Buffer.from(Array.from({ length: 4 * 1024 * 1024 }, (_, i) => unit[i % unit.length]));
      expect(() => decodeMessage(REQUEST, bytes), String(unit)).toThrow(/parts/);
    }
  });

  it("with groups within groups are refused, whatever their depth", () => {
    expect(() => decodeMessage(REQUEST, Buffer.alloc(4 * 1024 * 1024, (15 << 3) | 3))).toThrow(/nesting/);
  });

  it("write false and zero where a choice was made of them", () => {
    expect([...encodeMessage(PARAMETER, { bool_param: false })]).toEqual([0x08, 0]);
    expect([...encodeMessage(PARAMETER, { int64_param: 0 })]).toEqual([0x10, 0]);
    expect([...encodeMessage(PARAMETER, { int64_param: -1 })].length).toBe(11);
    expect([...encodeMessage(PARAMETER, { uint64_param: 2n ** 64n - 1n })].length).toBe(11);
  });
});

describe("proto files", () => {
  it("are refused where they do not say what they mean", () => {
    const start = 'syntax = "proto3"; package p;';
    for (const text of [
      "message A {}",
      `${start} message A {`,
      `${start} message A { Missing x = 1; }`,
      `${start} service S { rpc A(B) returns (C) {} }`,
    ]) {
      expect(() => parseProto(text), text).toThrow(Error);
    }
  });
});

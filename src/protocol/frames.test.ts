import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fuzzFrames, readEverything } from "../../test/support/fuzz-frames.js";
import { DTYPE, FLAG, FRAME, FrameReader, FrameWriter, HEADER_BYTES, readOpen } from "./frames.js";

function only(message: Uint8Array): FrameReader {
  const reader = new FrameReader();
  reader.begin(message);
  expect(reader.next()).toBe(true);
  return reader;
}

const heads = fc.record({
  stream: fc.nat(0xffffffff),
  request: fc.nat(0xffffffff),
  incarnation: fc.nat(0xffffffff),
  seq: fc.maxSafeNat(),
  flags: fc.nat(255),
});

describe("frames", () => {
  it("keep every field of a header, numbers up to 2^53 - 1 included", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(heads, fc.nat(1000)), { minLength: 1, maxLength: 40 }), (frames) => {
        const writer = new FrameWriter();
        for (const [head, count] of frames) writer.empty(FRAME.RESET, head, count);
        const reader = new FrameReader();
        reader.begin(writer.take());
        for (const [head, count] of frames) {
          expect(reader.next()).toBe(true);
          const { stream, request, incarnation, seq, flags } = reader;
          expect({ stream, request, incarnation, seq, flags }).toEqual(head);
          expect([reader.type, reader.count, reader.byteLength]).toEqual([FRAME.RESET, count, 0]);
        }
        expect(reader.next()).toBe(false);
        expect(reader.fault).toBeNull();
      }),
    );
  });

  it("carry rows of numbers bit for bit, times exactly also beside floats of four bytes", () => {
    const value = fc.oneof(fc.double(), fc.constant(Number.NaN), fc.constant(-0));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.boolean(),
        fc.boolean(),
        fc.array(value, { minLength: 5, maxLength: 60 }),
        (columns, timed, wide, values) => {
          const count = Math.floor(values.length / columns);
          const rows = Float64Array.from(values.slice(0, count * columns), (cell, i) =>
            timed && i % columns === 0 ? 1.7e12 + i : cell,
          );
          const writer = new FrameWriter();
          writer.rows({ stream: 1, request: 2 }, rows, { columns, timed, dtype: wide ? DTYPE.F64 : DTYPE.F32, count });
          const read = only(writer.take()).rows(columns, timed);
          const expected = rows.map((cell, i) => (wide || (timed && i % columns === 0) ? cell : Math.fround(cell)));
          expect(read).toEqual(expected);
        },
      ),
    );
  });

  it("carry predictions: one per record without times, several, none, and with times", () => {
    const write = (count: number, seq: number[], time: number[], values: number[], dtype: number) => {
      const writer = new FrameWriter();
      writer.output(
        { stream: 9, request: 3, seq: 2 ** 40, incarnation: 4, flags: FLAG.BOUNDARY },
        count,
        { count: seq.length, seq, time, values },
        dtype,
      );
      return only(writer.take());
    };
    const dense = write(2, [2 ** 40, 2 ** 40 + 1], [Number.NaN, Number.NaN], [0.1, 0.9, 0.2, 0.8], DTYPE.F64);
    expect(dense.flags).toBe(FLAG.BOUNDARY);
    expect(dense.byteLength).toBe(8 + 4 * 8);
    expect(dense.output()).toEqual({
      count: 2,
      outputSize: 2,
      seq: Float64Array.of(2 ** 40, 2 ** 40 + 1),
      time: Float64Array.of(Number.NaN, Number.NaN),
      values: Float64Array.of(0.1, 0.9, 0.2, 0.8),
    });
    const several = write(1, [2 ** 40, 2 ** 40, 2 ** 40], [1.7e12, 1.7e12 + 1, Number.NaN], [1, 2, 3], DTYPE.F32);
    expect(several.flags).toBe(FLAG.BOUNDARY | FLAG.TIMED | FLAG.SPARSE);
    expect(several.output()).toMatchObject({
      count: 3,
      seq: Float64Array.of(2 ** 40, 2 ** 40, 2 ** 40),
      values: Float32Array.of(1, 2, 3),
    });
    expect(write(5, [], [], [], DTYPE.F32).output()).toMatchObject({ count: 0 });
  });

  it("carry texts and records, and refuse records that are not flat", () => {
    const read = (value: unknown, count: number) => {
      const writer = new FrameWriter();
      writer.json(FRAME.STEP, { stream: 1, request: 1 }, value, count);
      return only(writer.take()).records();
    };
    expect(read([{ a: 1, b: "ü", c: null }], 1)).toEqual([{ a: 1, b: "ü", c: null }]);
    for (const value of [[{ a: [] }], [{ a: { b: 1 } }], [{ a: true }], [[]], [null], {}, 7, [{}, {}]])
      expect(read(value, 1)).toBeUndefined();
  });

  it("say why a message is none", () => {
    const writer = new FrameWriter();
    const spoiled = (change: (view: DataView) => void, cut = 0) => {
      writer.json(FRAME.OPEN, { stream: 1, request: 1 }, { model: "m" });
      const bytes = writer.take();
      change(new DataView(bytes.buffer));
      const reader = new FrameReader();
      reader.begin(bytes.subarray(0, bytes.length - cut));
      while (reader.next());
      return reader.fault;
    };
    expect(spoiled(() => {})).toBeNull();
    expect(spoiled(() => {}, 1)).toMatch(/payload/);
    expect(spoiled(() => {}, HEADER_BYTES)).toMatch(/header/);
    expect(spoiled((view) => view.setUint8(0, 0))).toMatch(/type/);
    expect(spoiled((view) => view.setUint8(0, 200))).toMatch(/type/);
    expect(spoiled((view) => view.setUint8(2, 9))).toMatch(/bits/);
    expect(spoiled((view) => view.setUint8(3, 1))).toMatch(/bits/);
    expect(spoiled((view) => view.setUint32(20, 1 << 21, true))).toMatch(/2\^53/);
    expect(spoiled((view) => view.setUint32(24, 65_537, true))).toMatch(/65536/);
    expect(spoiled((view) => view.setUint32(28, 0xffffffff, true))).toMatch(/payload/);
    const reader = new FrameReader();
    reader.begin(new Uint8Array(0));
    expect(reader.next()).toBe(false);
    expect(reader.fault).toMatch(/empty/);
  });

  it("check the fields of an OPEN", () => {
    expect(readOpen({ model: "m", id: { number: "18446744073709551615" }, mode: "restart", ttlSeconds: 1 })).toBeTypeOf("object");
    for (const wrong of [
      null,
      [],
      7,
      {},
      { model: 1 },
      { model: "m", id: 7 },
      { model: "m", id: { number: 7 } },
      { model: "m", mode: "x" },
      { model: "m", tenant: "other" },
      { model: "m", ttlSeconds: -1 },
      { model: "m", attributes: { a: 1 } },
    ]) {
      expect(readOpen(wrong)).toBeTypeOf("string");
    }
  });

  it("survive 20,000 hostile messages", () => {
    const whole = fuzzFrames(20_000, 5);
    expect(whole).toBeGreaterThan(2_000);
    expect(whole).toBeLessThan(18_000);
  });

  it("survive bytes that a search for faults draws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void readEverything(bytes)),
      { numRuns: 3_000 },
    );
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../core/errors.js";
import { Memory } from "./memory.js";

const sizes = fc.array(fc.integer({ min: 0, max: 300_000 }), { minLength: 1, maxLength: 40 });

describe("Memory", () => {
  it("hands out aligned blocks that do not overlap", () => {
    fc.assert(
      fc.property(sizes, (wanted) => {
        const memory = new Memory("float32");
        const blocks = wanted.map((bytes) => ({ start: memory.allocate(bytes), bytes })).sort((a, b) => a.start - b.start);
        for (const [i, { start }] of blocks.entries()) {
          expect(start % 64).toBe(0);
          expect(start).toBeGreaterThan(0);
          if (i > 0) expect(blocks[i - 1].start + blocks[i - 1].bytes).toBeLessThanOrEqual(start - 64);
        }
        const last = blocks[blocks.length - 1];
        expect(last.start + last.bytes).toBeLessThanOrEqual(memory.byteLength);
      }),
      { numRuns: 50 },
    );
  });

  it("keeps its size when the same sizes are taken and given back again and again, in any order", () => {
    fc.assert(
      fc.property(sizes, fc.infiniteStream(fc.boolean()), (wanted, flips) => {
        const memory = new Memory("float32");
        const round = () => {
          const blocks = wanted.map((bytes) => memory.allocate(bytes));
          for (const block of flips.next().value ? blocks : blocks.reverse()) memory.free(block);
        };
        round();
        const { byteLength } = memory;
        for (let i = 0; i < 20; i++) round();
        expect(memory.byteLength).toBe(byteLength);
        expect(memory.bytesInUse).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  it("refuses to free a block twice", () => {
    const memory = new Memory("float64");
    const block = memory.allocate(100);
    memory.free(block);
    expect(() => memory.free(block)).toThrow(OstinatoError);
    const again = memory.allocate(100);
    expect(again).toBe(block);
    memory.free(again);
  });

  it("keeps content and pointers when it grows", () => {
    const memory = new Memory("float64");
    const block = memory.allocate(80);
    memory.floatsAt(block, 10).fill(1.5);
    const before = memory.byteLength;
    memory.allocate(before);
    expect(memory.byteLength).toBeGreaterThan(before);
    expect([...memory.floatsAt(block, 10)]).toEqual(new Array(10).fill(1.5));
  });

  it("remembers its peak until it is reset", () => {
    const memory = new Memory("float32");
    const block = memory.allocate(1000);
    const peak = memory.peakBytesInUse;
    expect(peak).toBeGreaterThanOrEqual(1000);
    memory.free(block);
    expect(memory.peakBytesInUse).toBe(peak);
    memory.resetPeak();
    expect(memory.peakBytesInUse).toBe(0);
  });

  it("leaves the reserved bytes to the engine", () => {
    const memory = new Memory("float32", { reservedBytes: 70_001 });
    expect(memory.allocate(8)).toBeGreaterThanOrEqual(70_001);
  });
});

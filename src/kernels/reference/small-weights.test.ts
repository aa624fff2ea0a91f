import { describe, expect, it } from "vitest";
import { roundRowsToInt8, roundToBfloat16, roundToInt8 } from "./small-weights.js";

describe("bfloat16", () => {
  it("keeps 8 significant bits, ties to even", () => {
    const step = 2 ** -7;
    for (const exact of [0, 1, -1, 1 + step, 2 ** -100, -(2 ** 100) * (1 + 3 * step)]) expect(roundToBfloat16(exact)).toBe(exact);
    expect(roundToBfloat16(1 + step / 2)).toBe(1);
    expect(roundToBfloat16(1 + (3 * step) / 2)).toBe(1 + 2 * step);
    expect(roundToBfloat16(1 + step * 0.51)).toBe(1 + step);
    expect(roundToBfloat16(-1 - step * 0.49)).toBe(-1);
    expect(roundToBfloat16(Math.PI)).toBe(3.140625);
  });

  it("lets what is not finite pass, and overflows as rounding does", () => {
    expect(roundToBfloat16(Number.NaN)).toBeNaN();
    expect(roundToBfloat16(-Infinity)).toBe(-Infinity);
    expect(roundToBfloat16(3.4e38)).toBe(Infinity);
  });
});

describe("int8", () => {
  it("has 127 steps either side of zero up to the largest magnitude, ties to even", () => {
    expect([...roundToInt8(Float32Array.of(127, -127, 0.5, 1.5, -2.5, 63.4, 0))]).toEqual([127, -127, 0, 2, -2, 63, 0]);
    const [largest, smaller] = roundToInt8(Float32Array.of(-0.3, 0.1));
    expect(largest).toBeCloseTo(-0.3, 7);
    expect(smaller).toBeCloseTo((0.3 * 42) / 127, 7);
  });

  it("says NaN where one value is not finite, and nothing where all are next to nothing", () => {
    expect([...roundToInt8(Float32Array.of(1, Infinity))]).toEqual([Number.NaN, Number.NaN]);
    expect([...roundToInt8(Float32Array.of(1e-31, -1e-40))]).toEqual([0, 0]);
    expect([...roundToInt8(Float32Array.of())]).toEqual([]);
  });

  it("scales a matrix row by row", () => {
    expect([...roundRowsToInt8(Float32Array.of(127, 0.4, 1270, 4), 2)]).toEqual([127, 0, 1270, 0]);
  });
});

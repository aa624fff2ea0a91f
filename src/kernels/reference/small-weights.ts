/**
 * @file Small weights for recurrent forward passes: what is left of a weight, and with int8 of an activation, after rounding.
 *
 *     bfloat16: w' = w rounded to 8 significant bits, ties to even
 *     int8:     w' = a q, a = max |w| / 127 of its row, q = round(w / a); and x' = s p, s = max |x| / 127 of the vector, p = round(x / s)
 *
 * Source of bfloat16: Kalamkar et al. 2019, arXiv:1905.12322. What is rounded in float32 here is rounded in float32 by every engine, so that all
 * of them find the same integers.
 */
import type { FloatArray } from "../memory.js";

/** Below it a float32 engine may flush to zero. */
const TINY = Math.fround(1e-30);
/** Added to a float32 of at most 2^22, it leaves no bits behind the binary point. */
const ROUNDER = 1.5 * 2 ** 23;

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** The nearest number of 8 significant bits, ties to even; NaN stays. */
export function roundToBfloat16(value: number): number {
  float[0] = value;
  if (Number.isNaN(float[0])) return Number.NaN;
  word[0] = ((word[0] + 0x7fff + ((word[0] >>> 16) & 1)) >>> 16) << 16;
  return float[0];
}

/** Each value as its integer in -127 .. 127 times the scale of all of them; all NaN if one is not finite. */
export function roundToInt8(values: FloatArray): Float64Array {
  let largest = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) return new Float64Array(values.length).fill(Number.NaN);
    largest = Math.max(largest, Math.abs(value));
  }
  if (largest < TINY) return new Float64Array(values.length);
  const scale = Math.fround(largest / 127);
  const inverse = Math.fround(127 / largest);
  return Float64Array.from(values, (value) => scale * (Math.fround(Math.fround(value * inverse) + ROUNDER) - ROUNDER));
}

/** The same for a matrix, row by row. */
export function roundRowsToInt8(matrix: FloatArray, columns: number): Float64Array {
  const rounded = new Float64Array(matrix.length);
  for (let at = 0; at < matrix.length; at += columns) rounded.set(roundToInt8(matrix.subarray(at, at + columns)), at);
  return rounded;
}

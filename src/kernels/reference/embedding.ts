/** @file Rows of a table by index. A negative index stands for padding: zeros out, no gradient. */
import type { FloatArray } from "../memory.js";

/** output[row] = table[indices[row]], vectors of `size` values. */
export function embeddingForward(size: number, indices: Int32Array, table: FloatArray, output: FloatArray): void {
  for (let row = 0; row < indices.length; row++) {
    for (let j = 0; j < size; j++) output[row * size + j] = indices[row] < 0 ? 0 : table[indices[row] * size + j];
  }
}

/** dTable[indices[row]] += dOutput[row], rows in order. */
export function embeddingBackward(size: number, indices: Int32Array, dOutput: FloatArray, dTable: FloatArray): void {
  for (let row = 0; row < indices.length; row++) {
    if (indices[row] < 0) continue;
    for (let j = 0; j < size; j++) dTable[indices[row] * size + j] += dOutput[row * size + j];
  }
}

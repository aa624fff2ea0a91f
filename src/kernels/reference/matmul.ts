/**
 * @file Matrix product: C (+)= A B.
 *
 *     c_ij = sum_k a_ik b_kj        k in order, summed in float64
 */
import type { FloatArray } from "../memory.js";

/** A matrix read through strides: element (i, j) = values[offset + i * rowStride + j * columnStride]. */
export interface MatrixView {
  values: FloatArray;
  offset: number;
  rowStride: number;
  columnStride: number;
}

/** @param c [rows, columns], dense; with `accumulate` the sums begin with what stands in it. */
export function matmul(
  rows: number,
  columns: number,
  inner: number,
  a: MatrixView,
  b: MatrixView,
  c: FloatArray,
  accumulate: boolean,
): void {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = accumulate ? c[i * columns + j] : 0;
      for (let k = 0; k < inner; k++) {
        sum +=
          a.values[a.offset + i * a.rowStride + k * a.columnStride] * b.values[b.offset + k * b.rowStride + j * b.columnStride];
      }
      c[i * columns + j] = sum;
    }
  }
}

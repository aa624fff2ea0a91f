/** @file Cholesky factorisation A = L L' of a symmetric positive definite matrix, in float64, and the solution of A X = B with it. */

/**
 * Factors the symmetric matrix `a` [n, n] in place: its lower triangle becomes L. Only the lower triangle is read.
 *
 * @returns false, with `a` spoilt, if the matrix is not numerically positive definite.
 */
export function cholesky(a: Float64Array, n: number): boolean {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j];
      for (let k = 0; k < j; k++) sum -= a[i * n + k] * a[j * n + k];
      if (i > j) a[i * n + j] = sum / a[j * n + j];
      else if (!(sum > 0)) return false;
      else a[i * n + i] = Math.sqrt(sum);
    }
  }
  return true;
}

/** Solves L L' X = B in place of `b` [n, columns], with L from `cholesky`. */
export function choleskySolve(l: Float64Array, n: number, b: Float64Array, columns: number): void {
  const subtract = (from: number, row: number, factor: number) => {
    if (factor === 0) return;
    const target = from * columns;
    const source = row * columns;
    for (let c = 0; c < columns; c++) b[target + c] -= factor * b[source + c];
  };
  const divide = (row: number, by: number) => {
    for (let c = 0; c < columns; c++) b[row * columns + c] /= by;
  };
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) subtract(i, j, l[i * n + j]);
    divide(i, l[i * n + i]);
  }
  for (let i = n - 1; i >= 0; i--) {
    divide(i, l[i * n + i]);
    for (let j = 0; j < i; j++) subtract(j, i, l[i * n + j]);
  }
}

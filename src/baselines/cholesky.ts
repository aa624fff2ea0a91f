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
  const factors = new Float64Array(n);
  for (const [from, width] of tiles(columns)) {
    const tile = { rows: b, columns, from, width };
    const solveRow = (i: number, first: number, last: number) => {
      const at = i * columns + from;
      addRows(b, at, tile, { factors, first, last, sign: -1 });
      for (let c = at; c < at + width; c++) b[c] /= l[i * n + i];
    };
    for (let i = 0; i < n; i++) {
      factors.set(l.subarray(i * n, i * n + i));
      solveRow(i, 0, i);
    }
    for (let i = n - 1; i >= 0; i--) {
      for (let k = i + 1; k < n; k++) factors[k] = l[k * n + i];
      solveRow(i, i + 1, n);
    }
  }
}

/** Columns that are worked on together: a few hundred rows of them stay in the processor's cache. */
const TILE = 64;

/** First column and width of each tile. */
export function tiles(columns: number): [from: number, width: number][] {
  return Array.from({ length: Math.ceil(columns / TILE) }, (_, i) => [i * TILE, Math.min(TILE, columns - i * TILE)]);
}

/** Columns [from, from + width) of a matrix with rows of `columns`. */
export interface Tile {
  rows: Float64Array;
  columns: number;
  from: number;
  width: number;
}

/** out[at + c] += sign * sum of factors[k] * rows[k][from + c] over first <= k < last, four rows at a time. */
export function addRows(
  out: Float64Array,
  at: number,
  { rows, columns, from, width }: Tile,
  { factors, first, last, sign = 1 }: { factors: ArrayLike<number>; first: number; last: number; sign?: number },
): void {
  let k = first;
  for (; k + 4 <= last; k += 4) {
    const [f0, f1, f2, f3] = [sign * factors[k], sign * factors[k + 1], sign * factors[k + 2], sign * factors[k + 3]];
    let p = k * columns + from;
    for (let c = at; c < at + width; c++, p++) {
      out[c] += f0 * rows[p] + f1 * rows[p + columns] + f2 * rows[p + 2 * columns] + f3 * rows[p + 3 * columns];
    }
  }
  for (; k < last; k++) {
    const factor = sign * factors[k];
    let p = k * columns + from;
    for (let c = at; c < at + width; c++, p++) out[c] += factor * rows[p];
  }
}

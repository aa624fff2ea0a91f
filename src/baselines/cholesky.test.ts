import { expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { cholesky, choleskySolve } from "./cholesky.js";

it("factors and solves a system worked by hand", () => {
  const a = Float64Array.of(4, 0, 0, 12, 37, 0, -16, -43, 98);
  expect(cholesky(a, 3)).toBe(true);
  expect([a[0], a[3], a[4], a[6], a[7], a[8]]).toEqual([2, 6, 1, -8, 5, 3]);
  // A x = b for x = (1, 2, 3) and, in the second column, x = (0, 1, 0).
  const b = Float64Array.of(-20, 12, -43, 37, 192, -43);
  choleskySolve(a, 3, b, 2);
  [1, 0, 2, 1, 3, 0].forEach((value, i) => void expect(b[i]).toBeCloseTo(value, 10));
});

it("solves many columns at once as one by one", () => {
  const n = 11;
  const columns = 150;
  const rng = seed(4);
  const half = Float64Array.from({ length: n * n }, () => rng.normal());
  const a = Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    let sum = i === j ? 1 : 0;
    for (let k = 0; k < n; k++) sum += half[i * n + k] * half[j * n + k];
    return sum;
  });
  const b = Float64Array.from({ length: n * columns }, () => rng.normal());
  const factor = a.slice();
  cholesky(factor, n);
  const x = b.slice();
  choleskySolve(factor, n, x, columns);
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < columns; c++) {
      let product = 0;
      for (let k = 0; k < n; k++) product += a[i * n + k] * x[k * columns + c];
      expect(product).toBeCloseTo(b[i * columns + c], 9);
    }
  }
});

it("says that a matrix is not positive definite", () => {
  expect(cholesky(Float64Array.of(1, 0, 2, 1), 2)).toBe(false);
});

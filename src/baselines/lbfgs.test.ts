import { expect, it } from "vitest";
import { minimize } from "./lbfgs.js";

it("finds the minimum of an ill-conditioned quadratic", () => {
  const scales = [1, 10, 100, 1000];
  const x = Float64Array.of(5, -3, 2, 1);
  const { value } = minimize(
    (at, gradient) => {
      scales.forEach((scale, i) => {
        gradient[i] = scale * (at[i] - i);
      });
      return at.reduce((sum, v, i) => sum + (scales[i] / 2) * (v - i) ** 2, 0);
    },
    x,
    { tolerance: 1e-8 },
  );
  expect(value).toBeLessThan(1e-14);
  x.forEach((v, i) => void expect(v).toBeCloseTo(i, 7));
});

it("follows the valley of Rosenbrock's function to its end", () => {
  const x = Float64Array.of(-1.2, 1);
  minimize(
    ([a, b], gradient) => {
      gradient[0] = -2 * (1 - a) - 400 * a * (b - a * a);
      gradient[1] = 200 * (b - a * a);
      return (1 - a) ** 2 + 100 * (b - a * a) ** 2;
    },
    x,
    { tolerance: 1e-9 },
  );
  expect(x[0]).toBeCloseTo(1, 6);
  expect(x[1]).toBeCloseTo(1, 6);
});

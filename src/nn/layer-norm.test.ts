/** @file Layer norm against its equation, its gradients against differences, and rows and padding independent. */
import { expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { ReferenceKernels } from "../kernels/index.js";
import { apply, integers, parameter, scope, tensor } from "../tensor/index.js";
import { checkOp } from "../testing/check-gradient.js";
import { LayerNorm, layerNorm } from "./layer-norm.js";

const engine = new ReferenceKernels("float64");

it("of two known vectors is what a calculator gives", () => {
  const norm = new LayerNorm(4, { engine });
  norm.weight.assign([1, 2, 1, 1]);
  norm.bias.assign([0, 0, 0, 10]);
  const y = norm.forward(tensor([1, 2, 3, 4, -7, -7, -7, -7], [2, 4], { engine })).toArray();
  const unit = 1 / Math.sqrt(1.25 + 1e-5);
  const expected = [-1.5 * unit, 2 * -0.5 * unit, 0.5 * unit, 1.5 * unit + 10, 0, 0, 0, 10];
  for (const [i, value] of expected.entries()) expect(y[i]).toBeCloseTo(value, 14);
});

it("has the gradients of central differences, with and without lengths", () => {
  checkOp((x, weight, bias) => apply(layerNorm, [x, weight, bias], {}), [{ shape: [3, 2, 5] }, { shape: [5] }, { shape: [5] }]);
  checkOp(
    (x, weight, bias) => apply(layerNorm, [x, weight, bias], { lengths: integers([2, 0, 3], [3], { engine: x.engine }) }),
    [{ shape: [3, 3, 4] }, { shape: [4] }, { shape: [4] }],
  );
});

it("reads no padding, and gives zeros there; a vector's result is that it has alone", () => {
  const norm = new LayerNorm(3, { engine });
  norm.bias.assign([1, 2, 3]);
  const rng = seed(1);
  const values = Float64Array.from({ length: 2 * 3 * 3 }, () => rng.normal());
  const bad = values.slice();
  bad.fill(Number.NaN, 3);
  const x = parameter(
    bad.map((value, i) => (i >= 9 ? values[i] : value)),
    [2, 3, 3],
    { engine },
  );
  const lengths = integers([1, 3], [2], { engine });
  scope(() => {
    const y = norm.forward(x, lengths);
    expect([...y.slice(0, 0, 1).slice(1, 1, 3).toArray()]).toEqual(new Array(6).fill(0));
    for (const [b, t] of [
      [0, 0],
      [1, 2],
    ]) {
      const alone = norm.forward(tensor(x.toArray().slice((b * 3 + t) * 3, (b * 3 + t + 1) * 3), [1, 3], { engine }));
      expect([
        ...y
          .slice(0, b, b + 1)
          .slice(1, t, t + 1)
          .toArray(),
      ]).toEqual([...alone.toArray()]);
    }
    y.sum().backward();
  });
  expect(norm.weight.grad!.floats().every(Number.isFinite)).toBe(true);
  expect([...x.grad!.floats().slice(3, 9)]).toEqual(new Array(6).fill(0));
});

it("refuses vectors of another width", () => {
  expect(() => new LayerNorm(3, { engine }).forward(tensor([1, 2], [1, 2], { engine }))).toThrow(/OST_SHAPE.*3.*\[1, 2\]/s);
});

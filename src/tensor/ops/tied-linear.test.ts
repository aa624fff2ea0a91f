import { describe, expect, it } from "vitest";
import { checkOp } from "../../testing/index.js";
import { apply, tensor } from "../index.js";
import { tiedLinear } from "./tied-linear.js";

describe("tiedLinear", () => {
  it("is the linear layer of the first rows of its table", () => {
    const [x, bias] = [tensor([0.5, -1, 2, 0.25], [2, 2]), tensor([1, -1])];
    const rows = [0.5, 1, -2, 3];
    const expected = x.linear(tensor(rows, [2, 2]), bias).toArray();
    expect(apply(tiedLinear, [x, tensor([...rows, 9, 9], [3, 2]), bias], { outputs: 2, packed: null }).toArray()).toEqual(
      expected,
    );
  });

  it("has the gradients of finite differences; rows that are no outputs have none", () => {
    const compute = (x: ReturnType<typeof tensor>, table: typeof x, bias: typeof x) =>
      apply(tiedLinear, [x, table, bias], { outputs: 3, packed: null });
    const report = checkOp(compute, [{ shape: [2, 2, 4] }, { shape: [5, 4] }, { shape: [3] }]);
    expect(report.checks).toBe(16 + 20 + 3);
  });

  it("wants a table of enough rows", () => {
    const run = () =>
      apply(tiedLinear, [tensor([1, 2], [1, 2]), tensor([1, 2], [1, 2]), tensor([0, 0])], { outputs: 2, packed: null });
    expect(run).toThrow(/OST_SHAPE.*too few rows/);
  });
});

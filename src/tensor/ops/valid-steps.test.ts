import { describe, expect, it } from "vitest";
import { checkOp } from "../../testing/index.js";
import { apply, integers, tensor } from "../index.js";
import { validSteps } from "./valid-steps.js";

describe("validSteps", () => {
  it("keeps the steps of every row and gives zeros behind them, whatever lies there", () => {
    const x = tensor([1, 2, 3, 4, 5, Number.NaN, Number.NaN, Number.NaN, 7, 8, Number.NaN, 9], [3, 2, 2]);
    expect([...apply(validSteps, [x], { lengths: integers([2, 0, 1]) }).floats()]).toEqual([1, 2, 3, 4, 0, 0, 0, 0, 7, 8, 0, 0]);
  });

  it("passes on the gradients of finite differences", () => {
    const report = checkOp(
      (x) => apply(validSteps, [x], { lengths: integers([2, 0, 1], [3], { engine: x.engine }) }),
      [{ shape: [3, 2, 2] }],
    );
    expect(report.checks).toBe(12);
  });

  it("wants one length per row", () => {
    expect(() => apply(validSteps, [tensor([1, 2], [1, 2])], { lengths: integers([1, 1]) })).toThrow(/OST_SHAPE/);
  });
});

import { expect, it } from "vitest";
import { logSoftmax } from "./log-softmax.js";

it("gives the logarithms of probabilities that add up to 1, whatever is added to all logits", () => {
  const out = new Float64Array(3);
  for (const shift of [0, 1000, -1000]) {
    expect(logSoftmax([9, 1 + shift, 2 + shift, Number.NEGATIVE_INFINITY], 1, out)).toBe(true);
    expect(Math.exp(out[0]) + Math.exp(out[1])).toBeCloseTo(1, 14);
    expect(out[1] - out[0]).toBeCloseTo(1, 12);
    expect(out[2]).toBe(Number.NEGATIVE_INFINITY);
  }
});

it("says where there is none", () => {
  const out = new Float64Array(2);
  const { NaN: none, POSITIVE_INFINITY: most, NEGATIVE_INFINITY: least } = Number;
  for (const logits of [
    [none, 1],
    [most, 1],
    [least, least],
  ]) {
    expect(logSoftmax(logits, 0, out)).toBe(false);
    expect(out.some(Number.isNaN)).toBe(true);
  }
});

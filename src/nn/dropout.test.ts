/** @file Masks of dropout and zoneout: per value, per sequence, per row of a table; their shares, bits and gradients. */
import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { ReferenceKernels } from "../kernels/index.js";
import { filled, integers, tensor } from "../tensor/index.js";
import { checkOp } from "../testing/check-gradient.js";
import { dropout, dropoutMask, lockedDropout, rowDropout } from "./dropout.js";
import { clearPadding } from "./padding.js";
import { zoneout } from "./zoneout.js";

const engine = new ReferenceKernels("float64");
const ones = (...shape: number[]) => filled(shape, 1, { engine });

describe("dropout", () => {
  it("keeps a value where 32 bits are at least its share of 2^32, and divides it by what is kept", () => {
    const rng = seed(3);
    const expected = Array.from({ length: 50 }, () => (rng.bits() >= 0.3 * 2 ** 32 ? 1 / (1 - 0.3) : 0));
    expect([...dropout(ones(5, 10), 0.3, seed(3)).toArray()]).toEqual(expected);
    expect(new Set(expected).size).toBe(2);
  });

  it("locked to a sequence drops alike at every step, and in a call with one", () => {
    const mask = dropoutMask(2 * 3, 0.5, seed(1));
    expect([...mask.kept].some((kept) => kept === 0)).toBe(true);
    const steps = [...lockedDropout(ones(2, 4, 3), mask).toArray()];
    const last = [...lockedDropout(ones(2, 3), mask).toArray()];
    const row = (b: number) => last.slice(3 * b, 3 * b + 3);
    expect(steps).toEqual([0, 1].flatMap((b) => [0, 1, 2, 3].flatMap(() => row(b))));
    expect(last).toEqual([...mask.kept].map((kept) => 2 * kept));
    expect(() => lockedDropout(ones(3, 3), mask)).toThrow(/OST_SHAPE/);
  });

  it("of a table drops whole rows", () => {
    const values = [...rowDropout(ones(20, 3), 0.5, seed(1)).toArray()];
    const rows = Array.from({ length: 20 }, (_, r) => values.slice(3 * r, 3 * r + 3));
    for (const row of rows) expect(new Set(row).size).toBe(1);
    expect(new Set(rows.map(([first]) => first))).toEqual(new Set([0, 2]));
  });

  it("is a share", () => {
    for (const share of [-0.1, 1, Number.NaN]) {
      expect(() => dropout(ones(2), share, seed(1))).toThrow(/OST_RANGE/);
      expect(() => dropoutMask(2, share, seed(1))).toThrow(/OST_RANGE/);
      expect(() => rowDropout(ones(2, 2), share, seed(1))).toThrow(/OST_RANGE/);
    }
  });

  it("has the gradients of central differences", () => {
    checkOp((x) => dropout(x, 0.4, seed(1)), [{ shape: [3, 4] }]);
    checkOp((x) => lockedDropout(x, dropoutMask(2 * 5, 0.4, seed(1))), [{ shape: [2, 3, 5] }]);
    checkOp((x) => rowDropout(x, 0.4, seed(1)), [{ shape: [6, 3] }]);
    checkOp((x) => clearPadding(x, integers([2, 0, 3], [3], { engine: x.engine })), [{ shape: [3, 3, 2] }]);
    checkOp((x, y) => zoneout(x, y, 0.4), [{ shape: [3, 4] }, { shape: [3, 4] }]);
    checkOp((x, y) => zoneout(x, y, 0.4, seed(1)), [{ shape: [3, 4] }, { shape: [3, 4] }]);
  });

  it("of nothing is nothing", () => {
    expect(dropout(ones(0, 3), 0.5, seed(1)).shape).toEqual([0, 3]);
    expect(lockedDropout(ones(2, 0, 3), dropoutMask(6, 0.5, seed(1))).shape).toEqual([2, 0, 3]);
  });
});

describe("zoneout", () => {
  const next = tensor([1, 2, 3, 4], [2, 2], { engine });
  const before = tensor([10, 20, 30, 40], [2, 2], { engine });

  it("takes the value before with its share, and its expectation without a generator", () => {
    const rng = seed(9);
    const expected = [0, 1, 2, 3].map((i) => (rng.bits() >= 0.5 * 2 ** 32 ? i + 1 : 10 * (i + 1)));
    expect([...zoneout(next, before, 0.5, seed(9)).toArray()]).toEqual(expected);
    expect([...zoneout(next, before, 0.25).toArray()]).toEqual([3.25, 6.5, 9.75, 13]);
    expect(zoneout(next, before, 0)).toBe(next);
  });
});

import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import type { PreparedSeries } from "./prepare.js";
import { elementAt, stretches } from "./slices.js";
import { hasTarget, TargetScan } from "./target-scan.js";

/** A long series with few targets, of two columns of values or of classes; its columns count how much was read. */
function sparse(kind: "values" | "classes", length = 50_000) {
  const rng = seed(2);
  const has = Uint8Array.from({ length }, (_, i) => (rng.uniform() < (i > 20_000 && i < 45_000 ? 0 : 0.01) ? 1 : 0));
  const values = new Float32Array(2 * length).fill(Number.NaN);
  const classes = new Int32Array(length).fill(-1);
  has.forEach((one, i) => {
    if (one === 0) return;
    values[2 * i + (i % 2)] = i;
    classes[i] = 0;
  });
  const read = { elements: 0 };
  const counted = <A extends Float32Array | Int32Array>(column: A) => ({
    length: column.length,
    subarray(from: number, to: number) {
      read.elements += to - from;
      return column.subarray(from, to) as A;
    },
  });
  const series = {
    length,
    values: kind === "values" ? counted(values) : null,
    classes: kind === "classes" ? counted(classes) : null,
  } as PreparedSeries;
  return { series, has, read };
}

describe("the scan for targets", () => {
  for (const kind of ["values", "classes"] as const) {
    it(`finds the last one before every end, in one pass: ${kind}`, () => {
      const { series, has, read } = sparse(kind);
      for (const [width, stride] of [
        [1, 1],
        [7, 3],
        [50, 200],
      ]) {
        const scan = new TargetScan(series);
        for (let from = 0; from + width <= series.length; from += stride) {
          const last = has.subarray(from, from + width).lastIndexOf(1);
          const found = scan.lastBefore(from + width, from);
          if (last < 0) expect(found).toBeLessThan(from);
          else expect(found).toBe(from + last);
        }
        expect(read.elements).toBeLessThanOrEqual(series.length * (kind === "values" ? 2 : 1) + 2 * width);
        read.elements = 0;
      }
    });

    it(`says whether a stretch has any: ${kind}`, () => {
      const { series, has } = sparse(kind);
      expect(hasTarget(series, 20_001, 45_000)).toBe(false);
      expect(hasTarget(series, 0, 50_000)).toBe(true);
      const first = has.indexOf(1);
      expect([hasTarget(series, 0, first), hasTarget(series, first, first + 1)]).toEqual([false, true]);
    });
  }
});

describe("columns", () => {
  it("are walked in stretches that hold every element once", () => {
    const column = Int32Array.from({ length: 20 }, (_, i) => i);
    expect([...stretches(column, { from: 3, to: 17, size: 5 })].map((some) => [...some])).toEqual([
      [3, 4, 5, 6, 7],
      [8, 9, 10, 11, 12],
      [13, 14, 15, 16],
    ]);
    expect([...stretches(new Float64Array(0))]).toEqual([]);
    expect([elementAt(column, 19), elementAt(column, 20)]).toEqual([19, undefined]);
  });
});

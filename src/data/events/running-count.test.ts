import { describe, expect, it } from "vitest";
import { runTransform } from "../transform.js";
import { RunningCount, type RunningCountOptions } from "./running-count.js";

const run = (options: RunningCountOptions, cells: [number: number, code: number][]) => {
  const transform = new RunningCount(["n", "e"], options);
  const { values } = runTransform(
    transform,
    { count: cells.length, width: 2, time: new Float64Array(cells.length), values: Float64Array.from(cells.flat()) },
    null,
  );
  const width = transform.outputs.length;
  return cells.map((_, i) => [...values.subarray(i * width + 2, (i + 1) * width)]);
};
const log = Math.log1p;

describe("RunningCount", () => {
  it("counts earlier rows of the same code, and flags a code from its first row on", () => {
    const options = { codes: [{ column: "e", size: 3, seen: [{ code: 2, name: "halt" }] }] };
    expect(new RunningCount(["n", "e"], options).outputs).toEqual(["n", "e", "e.count", "e.seen=halt"]);
    const rows: [number, number][] = [1, 1, 2, 1, 2, 0].map((code) => [0, code]);
    expect(run(options, rows)).toEqual([
      [0, 0],
      [log(1), 0],
      [0, 1],
      [log(2), 1],
      [log(1), 1],
      [0, 1],
    ]);
  });

  it("counts numbers that are neither 0 nor missing, this row's included", () => {
    const rows: [number, number][] = [3, 0, Number.NaN, -1, -0].map((number) => [number, 0]);
    expect(run({ numbers: ["n"] }, rows)).toEqual([[log(1)], [log(1)], [log(1)], [log(2)], [log(2)]]);
  });

  it("does not count a code outside its range", () => {
    const rows: [number, number][] = [2, 2, -1, 0.5, Number.NaN, 1].map((code) => [0, code]);
    const options = { codes: [{ column: "e", size: 2, seen: [{ code: 1, name: "one" }] }] };
    expect(run(options, rows)).toEqual([...new Array(5).fill([0, 0]), [0, 1]]);
  });

  it("refuses what it cannot count", () => {
    const make = (options: RunningCountOptions) => () => new RunningCount(["n", "e"], options);
    expect(make({ codes: [{ column: "x", size: 2 }] })).toThrow(/OST_COLUMN/);
    expect(make({ numbers: ["x"] })).toThrow(/OST_COLUMN/);
    expect(make({ numbers: ["n", "n"] })).toThrow(/OST_COLUMN/);
    expect(make({ codes: [{ column: "e", size: 0 }] })).toThrow(/OST_RANGE/);
    expect(make({ codes: [{ column: "e", size: 2.5 }] })).toThrow(/OST_RANGE/);
    expect(make({ codes: [{ column: "e", size: 70_000 }] })).toThrow(/OST_RANGE/);
    expect(make({ codes: [{ column: "e", size: 2, seen: [{ code: 2, name: "x" }] }] })).toThrow(/OST_RANGE/);
  });
});

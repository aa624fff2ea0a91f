import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Example, RunList, RunListBuilder } from "./examples.js";
import type { PreparedData } from "./prepare.js";
import { windows } from "./window.js";

const example = fc.record({
  series: fc.integer({ min: 0, max: 2 }),
  start: fc.integer({ min: 0, max: 6 }),
  length: fc.integer({ min: 1, max: 3 }),
});

describe("examples as runs", () => {
  it("give back every example, in order and by number", () => {
    fc.assert(
      fc.property(fc.array(example, { minLength: 1, maxLength: 60 }), (given) => {
        const runs = RunList.of(given);
        expect([...runs]).toEqual(given);
        expect(runs.count).toBe(given.length);
        const lengths = given.map(({ length }) => length);
        expect([runs.shortest, runs.longest]).toEqual([Math.min(...lengths), Math.max(...lengths)]);
        for (let index = given.length - 1; index >= 0; index--) {
          expect(runs.at(index)).toEqual(given[index]);
          expect(runs.lengthAt(index)).toBe(given[index].length);
        }
        expect([...new RunList(runs.data)]).toEqual(given);
      }),
    );
  });

  it("need one run per rhythm, whether starts or lengths go on", () => {
    const of = (examples: Example[]) => RunList.of(examples).runs;
    expect(of(Array.from({ length: 50 }, (_, i) => ({ series: 0, start: 3 * i, length: 4 })))).toBe(1);
    expect(of(Array.from({ length: 50 }, (_, i) => ({ series: 0, start: 7, length: 1 + i })))).toBe(1);
    expect(of([0, 1, 2, 4, 5].map((start) => ({ series: 0, start, length: 2 })))).toBe(2);
    expect(of([0, 1].flatMap((series) => [5, 6, 7].map((start) => ({ series, start, length: 2 }))))).toBe(2);
  });

  it("refuse a number that is none of theirs", () => {
    const runs = RunList.of([{ series: 0, start: 0, length: 1 }]);
    for (const index of [-1, 1, Number.NaN]) expect(() => runs.at(index)).toThrow(/OST_RANGE/);
  });

  it("take a run each for the windows of a long series", () => {
    const steps = 20_000;
    const zeros = { length: steps, subarray: (from: number, to: number) => new Float32Array(to - from) };
    const one = { values: zeros, classes: null, length: steps, part: new Uint8Array(steps).fill(1), copy: false };
    const prepared = {
      series: Array.from({ length: 100 }, () => one),
      preprocessing: { targetKind: "values", spec: () => ({}) },
    } as unknown as PreparedData;
    const made = windows(prepared, { length: 96, horizon: 24, part: "train" });
    expect([made.count, made.runs.runs]).toEqual([100 * (steps - 96 - 24 + 1), 100]);
    expect(made.at(made.count - 1)).toEqual({ series: 99, start: steps - 120, length: 96 });
    const { fields, before } = made.runs.data;
    expect(fields.byteLength + before.byteLength).toBeLessThan(5_000);
  });

  it("are counted while they are collected", () => {
    const builder = new RunListBuilder();
    builder.add(0, 0, 1);
    builder.add(0, 1, 1);
    expect([builder.count, builder.done().count]).toEqual([2, 2]);
  });
});

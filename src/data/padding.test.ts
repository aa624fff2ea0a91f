import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { RunList } from "./examples.js";
import { describePadding, paddingWaste } from "./padding.js";

describe("the padding report", () => {
  it("counts what a reader would count", () => {
    const { inOrder, examples } = paddingWaste([1, 3, 2, 2, 5], { batchSize: 2 });
    expect(examples).toBe(5);
    expect(inOrder).toEqual({ batches: 3, valid: 13, padded: 2, waste: 2 / 15 });
  });

  it("shows that examples of like length waste least, and none where all are as long", () => {
    const rng = seed(1);
    const lengths = Array.from({ length: 2000 }, () => 1 + rng.integer(100));
    const { shuffled, bucketed } = paddingWaste(lengths, { batchSize: 32 });
    expect(shuffled.valid).toBe(bucketed.valid);
    expect(shuffled.waste).toBeGreaterThan(0.4);
    expect(bucketed.waste).toBeLessThan(0.05);
    const equal = paddingWaste(new Int32Array(100).fill(7), { batchSize: 8, maxTokens: 28 });
    expect(equal.bucketed).toEqual({ batches: 25, valid: 700, padded: 0, waste: 0 });
  });

  it("takes the runs of examples for the lengths they have", () => {
    const lengths = [3, 1, 4, 1, 5];
    const runs = RunList.of(lengths.map((length, series) => ({ series, start: 0, length })));
    expect(paddingWaste(runs, { batchSize: 2 })).toEqual(paddingWaste(lengths, { batchSize: 2 }));
  });

  it("reads as three lines", () => {
    expect(describePadding(paddingWaste([1, 3], { batchSize: 2 })).split("\n")).toEqual([
      "in order  1 batch, 4 steps of data, 2 of padding (33.3%)",
      "shuffled  1 batch, 4 steps of data, 2 of padding (33.3%)",
      "bucketed  1 batch, 4 steps of data, 2 of padding (33.3%)",
    ]);
  });
});

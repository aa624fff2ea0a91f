import { expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { spanTagger } from "./span-tagger.js";

const spec = { classes: ["O", "B-x", "I-x"], tagScheme: "BIO2" } as unknown as ExampleSpec;
const batch = { batchSize: 1, time: 2, lengths: Int32Array.of(2) } as unknown as Batch;

it("a prediction is made anew, labels from what was predicted last, whatever became of it", () => {
  let made = 0;
  // The likeliest tags, O and I-x, are no path: the first time B-x I-x is the best one, from then on O O.
  const tagger = spanTagger(() => Float32Array.of(1, made++ === 0 ? 0.9 : -9, 0, 0.5, 0, 1), spec, null);
  const first = tagger.predict(batch);
  expect([...tagger.labels(batch, first)]).toEqual([1, 2]);
  first.fill(0);
  expect([...tagger.labels(batch, first)]).toEqual([1, 2]);
  expect(made).toBe(1);
  const second = tagger.predict(batch);
  expect(second[1]).toBe(-9);
  expect([...tagger.labels(batch, second)]).toEqual([0, 0]);
  expect(made).toBe(2);
});

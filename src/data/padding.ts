/** @file What padding costs: valid and padded steps of an epoch's batches, for each way of putting examples together. */
import { seed } from "../core/rng.js";
import { BatchPlan, type BatchPlanOptions, type Lengths } from "./batch-plan.js";
import type { RunList } from "./examples.js";

export interface PaddingCount {
  batches: number;
  /** Steps that hold data. */
  valid: number;
  /** Steps of padding. */
  padded: number;
  /** Padded steps over all steps, in [0, 1). */
  waste: number;
}

export interface PaddingReport {
  examples: number;
  inOrder: PaddingCount;
  shuffled: PaddingCount;
  bucketed: PaddingCount;
}

/** Examples that are looked at; of more, so many from the front. */
const SAMPLE = 200_000;

/**
 * Steps and padding of one epoch in order, shuffled, and shuffled with examples of like length put together.
 *
 * @param source the runs of examples, or the length of each example in steps.
 * @throws OST_RANGE if an option lies outside its range.
 */
export function paddingWaste(
  source: Pick<RunList, "count" | "lengthAt"> | ArrayLike<number>,
  { batchSize, maxTokens, seed: of = 0 }: Pick<BatchPlanOptions, "batchSize" | "maxTokens"> & { seed?: number },
): PaddingReport {
  const all = "lengthAt" in source ? source.count : source.length;
  const lengthAt = (index: number) => ("lengthAt" in source ? source.lengthAt(index) : source[index]);
  const lengths: Lengths = { count: Math.min(SAMPLE, all), varies: true, lengthAt };
  const count = (options: Pick<BatchPlanOptions, "rng" | "bucket">) =>
    countPadding(new BatchPlan(lengths, { batchSize, maxTokens, ...options }), lengthAt);
  return {
    examples: lengths.count,
    inOrder: count({ bucket: false }),
    shuffled: count({ rng: seed(of), bucket: false }),
    bucketed: count({ rng: seed(of), bucket: true }),
  };
}

function countPadding(plan: BatchPlan, lengthAt: (index: number) => number): PaddingCount {
  let [batches, valid, cells] = [0, 0, 0];
  for (let batch = plan.next(); batch; batch = plan.next()) {
    let longest = 0;
    for (const index of batch) {
      const length = lengthAt(index);
      valid += length;
      longest = Math.max(longest, length);
    }
    cells += longest * batch.length;
    batches++;
  }
  return { batches, valid, padded: cells - valid, waste: cells > 0 ? (cells - valid) / cells : 0 };
}

/** One line per way of batching. */
export function describePadding({ inOrder, shuffled, bucketed }: PaddingReport): string {
  const line = (name: string, { batches, valid, padded, waste }: PaddingCount) =>
    `${name}  ${batches} ${batches === 1 ? "batch" : "batches"}, ${valid} steps of data, ${padded} of padding (${(100 * waste).toFixed(1)}%)`;
  return [line("in order", inOrder), line("shuffled", shuffled), line("bucketed", bucketed)].join("\n");
}

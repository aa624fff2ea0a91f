/** @file How many targets of a batch are there to be learned or scored. */
import type { Batch } from "../core/batch.js";

/** Number of targets of a batch that count. */
export function countTargets({ values, classes, tokens, batchSize }: Batch): number {
  let count = tokens ? batchSize : 0;
  if (values) for (let i = 0; i < values.length; i++) if (!Number.isNaN(values[i])) count++;
  if (classes) for (let i = 0; i < classes.length; i++) if (classes[i] >= 0) count++;
  return count;
}

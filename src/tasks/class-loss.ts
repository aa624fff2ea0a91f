/** @file Cross-entropy against the classes of a batch, one per sequence or one per step. */
import type { Batch } from "../core/batch.js";
import { crossEntropy } from "../losses/index.js";
import { integers, type Tensor, tensor } from "../tensor/index.js";
import type { LossOptions } from "./task.js";

/** What the loss of a batch is a mean over: the summed weights of its classes, so that the means of several batches can be joined. */
export function classLossWeight({ classes = new Int32Array(0) }: Batch, { classWeights }: LossOptions): number {
  let sum = 0;
  for (const index of classes) if (index >= 0) sum += classWeights ? classWeights[index] : 1;
  return sum;
}

export function classLoss(
  logits: Tensor,
  { classes = new Int32Array(0) }: Batch,
  { labelSmoothing, classWeights }: LossOptions,
): Tensor {
  const { engine } = logits;
  return crossEntropy(logits, integers(classes, logits.shape.slice(0, -1), { engine }), {
    smoothing: labelSmoothing,
    classWeights: classWeights ? tensor(classWeights, undefined, { engine }) : undefined,
  });
}

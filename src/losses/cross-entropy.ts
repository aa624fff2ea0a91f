/**
 * @file Softmax cross-entropy for one class out of several.
 *
 *     loss_row = sum_c q_c * weight_c * -log softmax(logits)_c,     q_c = (1 - s) [c = target] + s / C
 *
 * Averages over the rows whose target is not -1, weighted by the weight of each row's target class (as PyTorch does); over nothing it is 0.
 * Label smoothing s: Szegedy et al. 2016 (arXiv 1512.00567).
 */
import { OstinatoError } from "../core/errors.js";
import { NULL } from "../kernels/index.js";
import { apply, type Op, type Tensor } from "../tensor/index.js";
import { totalWeight } from "./class-target.js";

export interface CrossEntropyOptions {
  /** One weight per class, for rare classes; default all 1. */
  classWeights?: Tensor;
  /** 0 <= smoothing < 1, default 0. */
  smoothing?: number;
}

/**
 * @param logits  [..., classes], before softmax
 * @param targets int32 [...], 0 .. classes-1, or -1 for a row to leave out (padding)
 * @throws OST_SHAPE, OST_RANGE
 */
export function crossEntropy(logits: Tensor, targets: Tensor, { classWeights, smoothing = 0 }: CrossEntropyOptions = {}): Tensor {
  if (!(smoothing >= 0 && smoothing < 1)) {
    throw new OstinatoError("OST_RANGE", {
      what: "smoothing is a share",
      expected: "0 <= smoothing < 1",
      got: String(smoothing),
      where: "crossEntropy",
    });
  }
  const total = totalWeight(logits, targets, classWeights, "crossEntropy");
  const inputs = classWeights ? [logits, targets, classWeights] : [logits, targets];
  return apply(rowLosses, inputs, { smoothing })
    .sum()
    .multiply(total > 0 ? 1 / total : 0);
}

const rowLosses: Op<{ smoothing: number }> = {
  name: "crossEntropy",
  shapes: ([, targets]) => [targets.shape],
  forward(engine, [losses], [logits, targets, weights], _, { smoothing }) {
    engine.crossEntropyForward({
      rows: targets.size,
      classes: logits.shape[logits.shape.length - 1],
      logits: logits.pointer,
      targets: targets.pointer,
      classWeights: weights?.pointer ?? NULL,
      smoothing,
      losses: losses.pointer,
    });
  },
  backward(engine, [dLogits], [dLosses], [logits, targets, weights], _, __, { smoothing }) {
    if (!dLogits || !dLosses) return;
    engine.crossEntropyBackward({
      rows: targets.size,
      classes: logits.shape[logits.shape.length - 1],
      logits: logits.pointer,
      targets: targets.pointer,
      classWeights: weights?.pointer ?? NULL,
      smoothing,
      dLosses: dLosses.pointer,
      dLogits: dLogits.pointer,
    });
  },
};

/**
 * @file Expected cost of deciding by chance with the predicted probabilities, for mistakes that cost differently (Elkan 2001). Zero costs on
 * the diagonal and 1 elsewhere give the expected error rate.
 *
 *     loss_row = sum_j softmax(logits)_j * cost(target, j)
 */
import { OstinatoError } from "../core/errors.js";
import type { Tensor } from "../tensor/index.js";
import { meanClassCost } from "./class-target.js";

/**
 * Averages over the rows whose target is not -1; over nothing it is 0.
 *
 * @param logits  [..., C], before the softmax
 * @param targets int32 [...], 0 .. C-1, or -1 for a row to leave out
 * @param costs   [C, C] row-major: of true class i decided as j at i * C + j; finite, in any unit
 * @throws OST_SHAPE, OST_RANGE
 */
export function costLoss(logits: Tensor, targets: Tensor, costs: ArrayLike<number>): Tensor {
  const classes = logits.shape[logits.shape.length - 1];
  if (costs.length !== classes * classes) {
    throw new OstinatoError("OST_SHAPE", {
      what: "one cost per true and decided class is wanted",
      expected: `[${classes}, ${classes}]`,
      got: `${costs.length} costs`,
      where: "costLoss",
    });
  }
  for (let i = 0; i < costs.length; i++) {
    if (Number.isFinite(costs[i])) continue;
    const cell = `${costs[i]} for true class ${Math.floor(i / classes)} decided as ${i % classes}`;
    throw new OstinatoError("OST_RANGE", { what: "costs are finite numbers", got: cell, where: "costLoss" });
  }
  const expected = (logs: Float64Array, target: number) => {
    let sum = 0;
    for (let k = 0; k < classes; k++) sum += Math.exp(logs[k]) * costs[target * classes + k];
    return sum;
  };
  return meanClassCost(
    "costLoss",
    {
      cost: expected,
      slopes(logs, target, slopes) {
        const mean = expected(logs, target);
        for (let k = 0; k < classes; k++) slopes[k] = Math.exp(logs[k]) * (costs[target * classes + k] - mean);
      },
    },
    logits,
    targets,
  );
}

/** @file What losses against one class per row share: the checks of targets and weights, and losses computed from log-probabilities. */

import { OstinatoError } from "../core/errors.js";
import { logSoftmax } from "../core/log-softmax.js";
import { describeShape } from "../core/shape.js";
import { apply, type Op, type Tensor } from "../tensor/index.js";
import { wantFloat } from "../tensor/op.js";

/**
 * What a mean over the rows is divided by: the summed weights of their target classes, each 1 without weights. Rows of target -1 do not count.
 *
 * @throws OST_SHAPE, OST_RANGE
 */
export function totalWeight(logits: Tensor, targets: Tensor, classWeights: Tensor | undefined, where: string): number {
  const classes = logits.shape[logits.shape.length - 1];
  if (targets.size * classes !== logits.size || targets.dtype !== "int32") {
    throw new OstinatoError("OST_SHAPE", {
      what: "one int32 target per row of logits is wanted",
      expected: `int32 ${describeShape(logits.shape.slice(0, -1))}`,
      got: `${targets.dtype} ${describeShape(targets.shape)}`,
      where,
    });
  }
  if (classWeights && classWeights.size !== classes) {
    throw new OstinatoError("OST_SHAPE", {
      what: "one weight per class is wanted",
      expected: `[${classes}]`,
      got: describeShape(classWeights.shape),
      where,
    });
  }
  const weights = classWeights?.floats();
  let total = 0;
  for (const target of targets.ints()) {
    if (target >= classes || target < -1) {
      throw new OstinatoError("OST_RANGE", {
        what: "no such class",
        expected: `-1 .. ${classes - 1}`,
        got: `${target}`,
        where,
      });
    }
    if (target >= 0) total += weights ? weights[target] : 1;
  }
  return total;
}

/** What a row costs, given its log-probabilities [C], and the derivatives of that by its logits. */
export interface ClassCost {
  cost(logs: Float64Array, target: number): number;
  slopes(logs: Float64Array, target: number, slopes: Float64Array): void;
}

/**
 * Mean cost over the rows whose target is not -1, weighted by the weight of each row's target class, computed in float64; over nothing 0.
 *
 * @param logits  [..., C], before the softmax
 * @param targets int32 [...]
 * @throws OST_SHAPE, OST_RANGE, OST_DTYPE
 */
export function meanClassCost(name: string, cost: ClassCost, logits: Tensor, targets: Tensor, classWeights?: Tensor): Tensor {
  wantFloat(logits, name);
  const total = totalWeight(logits, targets, classWeights, name);
  return apply({ ...mean, name }, [logits, targets], {
    cost,
    weights: classWeights ? Float64Array.from(classWeights.floats()) : null,
    factor: total > 0 ? 1 / total : 0,
  });
}

const mean: Op<{ cost: ClassCost; weights: Float64Array | null; factor: number }> = {
  name: "classCost",
  shapes: () => [[]],
  forward(engine, [y], [logits, targets], _, { cost, weights, factor }) {
    const [floats, wanted] = [engine.memory.floats, targets.ints()];
    const logs = new Float64Array(logits.shape[logits.shape.length - 1]);
    let total = 0;
    for (let row = 0; row < wanted.length; row++) {
      if (wanted[row] < 0) continue;
      logSoftmax(floats, logits.offset + row * logs.length, logs);
      total += (weights ? weights[wanted[row]] : 1) * cost.cost(logs, wanted[row]);
    }
    floats[y.offset] = factor === 0 ? 0 : total * factor;
  },
  backward(engine, [dLogits], [dY], [logits, targets], _, __, { cost, weights, factor }) {
    if (!dLogits || !dY || factor === 0) return;
    const [floats, wanted] = [engine.memory.floats, targets.ints()];
    const logs = new Float64Array(logits.shape[logits.shape.length - 1]);
    const slopes = new Float64Array(logs.length);
    for (let row = 0; row < wanted.length; row++) {
      if (wanted[row] < 0) continue;
      logSoftmax(floats, logits.offset + row * logs.length, logs);
      cost.slopes(logs, wanted[row], slopes);
      const weight = floats[dY.offset] * factor * (weights ? weights[wanted[row]] : 1);
      for (let k = 0; k < logs.length; k++) floats[dLogits.offset + row * logs.length + k] += weight * slopes[k];
    }
  },
};

/** @file The common shape of losses that compare numbers one by one and average over those the mask keeps. */
import { OstinatoError } from "../core/errors.js";
import { describeShape } from "../core/shape.js";
import { apply, type Op, type Tensor } from "../tensor/index.js";
import { wantFloat } from "../tensor/op.js";

export interface PointwiseOptions {
  /** One entry per element, 0 leaves it out (padding, missing target). Default keeps all. */
  mask?: ArrayLike<number>;
}

interface PointwiseAttrs {
  mask: ArrayLike<number> | null;
  value(prediction: number, target: number): number;
  slope(prediction: number, target: number): number;
}

/** Mean of `value(prediction, target)` over the kept elements; over nothing it is 0. Targets get no gradient. @throws OST_SHAPE, OST_DTYPE */
export function pointwise(
  name: string,
  prediction: Tensor,
  target: Tensor,
  { mask }: PointwiseOptions,
  value: PointwiseAttrs["value"],
  slope: PointwiseAttrs["slope"],
): Tensor {
  if (prediction.size !== target.size || (mask && mask.length !== target.size)) {
    throw new OstinatoError("OST_SHAPE", {
      what: "prediction, target and mask have one shape",
      expected: describeShape(prediction.shape),
      got: `target ${describeShape(target.shape)}${mask ? `, mask of ${mask.length}` : ""}`,
      where: name,
    });
  }
  wantFloat(prediction, name);
  wantFloat(target, name);
  return apply({ ...mean, name }, [prediction, target], { mask: mask ?? null, value, slope });
}

const mean: Op<PointwiseAttrs> = {
  name: "pointwise",
  shapes: () => [[]],
  forward(engine, [y], [prediction, target], _, { mask, value }) {
    const values = engine.memory.floats;
    const [p, t] = [prediction.offset, target.offset];
    let total = 0;
    let count = 0;
    for (let i = 0; i < target.size; i++) {
      if (mask !== null && !mask[i]) continue;
      total += value(values[p + i], values[t + i]);
      count++;
    }
    values[y.offset] = count > 0 ? total / count : 0;
  },
  backward(engine, [dPrediction], [dY], [prediction, target], _, __, { mask, slope }) {
    if (!dPrediction || !dY) return;
    const values = engine.memory.floats;
    const [d, p, t] = [dPrediction.offset, prediction.offset, target.offset];
    let count = 0;
    for (let i = 0; i < target.size; i++) if (mask === null || mask[i]) count++;
    if (count === 0) return;
    const factor = values[dY.offset] / count;
    for (let i = 0; i < target.size; i++) {
      if (mask === null || mask[i]) values[d + i] += factor * slope(values[p + i], values[t + i]);
    }
  },
};

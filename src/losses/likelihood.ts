/** @file The common shape of losses that read several raw outputs per target: a mean over the kept targets of what each costs. */
import { OstinatoError } from "../core/errors.js";
import { describeShape } from "../core/shape.js";
import type { FloatArray } from "../kernels/index.js";
import { apply, type Op, type Tensor } from "../tensor/index.js";
import { wantFloat } from "../tensor/op.js";
import type { PointwiseOptions } from "./pointwise.js";

/** What one target costs, given its raw outputs `raw[at] .. raw[at + outputs - 1]`, and the derivatives of that by them. */
export interface Likelihood {
  readonly outputs: number;
  /** What a target must be, where not every finite number will do. */
  readonly accepts?: { test(target: number): boolean; expected: string; repair: string };
  cost(raw: FloatArray, at: number, target: number): number;
  slopes(raw: FloatArray, at: number, target: number, slopes: Float64Array): void;
}

/**
 * Mean cost over the kept targets, computed in float64; over nothing it is 0. Targets get no gradient; one that is left out may be NaN.
 *
 * @param raw     [..., M]
 * @param targets [...]
 * @throws OST_SHAPE, OST_DTYPE; OST_TARGET for a kept target that is not finite or that the distribution does not have
 */
export function meanCost(name: string, likelihood: Likelihood, raw: Tensor, targets: Tensor, { mask }: PointwiseOptions): Tensor {
  const { outputs, accepts } = likelihood;
  if (raw.size !== targets.size * outputs || (mask && mask.length !== targets.size)) {
    throw new OstinatoError("OST_SHAPE", {
      what: "raw outputs are those of the targets, and a mask has one entry per target",
      expected: `${outputs} outputs for each of ${targets.size} targets ${describeShape(targets.shape)}`,
      got: `${describeShape(raw.shape)}${mask ? `, mask of ${mask.length}` : ""}`,
      where: name,
    });
  }
  wantFloat(raw, name);
  wantFloat(targets, name);
  const values = targets.floats();
  for (let i = 0; i < values.length; i++) {
    if (mask && !mask[i]) continue;
    if (Number.isFinite(values[i]) && (accepts?.test(values[i]) ?? true)) continue;
    const wanted = accepts && Number.isFinite(values[i]) ? accepts : null;
    throw new OstinatoError("OST_TARGET", {
      what: "a target cannot be learned",
      expected: wanted?.expected ?? "a finite number",
      got: `${values[i]} as target ${i}`,
      where: name,
      repair: wanted?.repair ?? "leave missing targets out with the mask",
    });
  }
  return apply({ ...mean, name }, [raw, targets], { mask: mask ?? null, likelihood });
}

const mean: Op<{ mask: ArrayLike<number> | null; likelihood: Likelihood }> = {
  name: "likelihood",
  shapes: () => [[]],
  forward(engine, [y], [raw, targets], _, { mask, likelihood }) {
    const values = engine.memory.floats;
    let total = 0;
    let count = 0;
    for (let i = 0; i < targets.size; i++) {
      if (mask !== null && !mask[i]) continue;
      total += likelihood.cost(values, raw.offset + i * likelihood.outputs, values[targets.offset + i]);
      count++;
    }
    values[y.offset] = count > 0 ? total / count : 0;
  },
  backward(engine, [dRaw], [dY], [raw, targets], _, __, { mask, likelihood }) {
    if (!dRaw || !dY) return;
    const values = engine.memory.floats;
    const { outputs } = likelihood;
    const slopes = new Float64Array(outputs);
    let count = 0;
    for (let i = 0; i < targets.size; i++) if (mask === null || mask[i]) count++;
    if (count === 0) return;
    const factor = values[dY.offset] / count;
    for (let i = 0; i < targets.size; i++) {
      if (mask !== null && !mask[i]) continue;
      likelihood.slopes(values, raw.offset + i * outputs, values[targets.offset + i], slopes);
      for (let m = 0; m < outputs; m++) values[dRaw.offset + i * outputs + m] += factor * slopes[m];
    }
  },
};

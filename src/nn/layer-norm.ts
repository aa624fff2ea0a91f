/**
 * @file Layer normalisation over the last axis, each vector by its own mean and variance.
 *
 *     y = (x - mean) / sqrt(variance + epsilon) * weight + bias       variance: the mean of squares about the mean
 *
 * Source: Ba, Kiros & Hinton 2016 (arXiv 1607.06450). Parameters are named as in PyTorch: weight [size] ones, bias [size] zeros at first.
 * A vector's result depends on no other vector, bit for bit.
 */
import { OstinatoError } from "../core/errors.js";
import { describeShape } from "../core/shape.js";
import type { Kernels } from "../kernels/index.js";
import { apply, type Op, type Parameter, parameter, type RawBuffer, type Tensor } from "../tensor/index.js";
import { wantFloat } from "../tensor/op.js";
import { Module } from "./module.js";
import { eachValidRun } from "./padding.js";

/** Added to the variance, as in PyTorch. */
const EPSILON = 1e-5;

export class LayerNorm extends Module {
  /** [size] */
  readonly weight: Parameter;
  /** [size] */
  readonly bias: Parameter;

  constructor(size: number, { engine }: { engine?: Kernels } = {}) {
    super();
    this.weight = parameter(new Float64Array(size).fill(1), [size], { engine });
    this.bias = parameter(new Float64Array(size), [size], { engine });
  }

  /**
   * @param x       [..., size]; with `lengths` [batch, time, size]
   * @param lengths int32 [batch], checked by the caller: steps at or after a row's length are not read and give zeros
   * @throws OST_SHAPE if x has another width.
   */
  forward(x: Tensor, lengths?: Tensor): Tensor {
    return apply(layerNorm, [x, this.weight, this.bias], { lengths });
  }
}

/** x [..., W], weight [W], bias [W] to [..., W]. Kept for the backward pass: 1 / sqrt(variance + epsilon) of each vector. */
export const layerNorm: Op<{ lengths?: RawBuffer }> = {
  name: "layerNorm",
  shapes([x, weight, bias]) {
    for (const input of [x, weight, bias]) wantFloat(input, "layerNorm");
    const width = x.shape.at(-1);
    if (width !== weight.size || width !== bias.size) {
      throw new OstinatoError("OST_SHAPE", {
        what: `the norm wants vectors of ${weight.size}`,
        got: `x ${describeShape(x.shape)}`,
        where: "layerNorm",
      });
    }
    return [x.shape];
  },
  saved([x, weight]) {
    return [[x.size / Math.max(1, weight.size)]];
  },
  forward(engine, [y], [x, weight, bias], saved, { lengths }) {
    const values = engine.memory.floats;
    const width = weight.size;
    const [xo, yo, wo, bo] = [x.offset, y.offset, weight.offset, bias.offset];
    const so = saved ? saved[0].offset : -1;
    if (lengths) y.floats().fill(0);
    eachValidRun(x, lengths, (first, end) => {
      for (let row = first; row < end; row++) {
        const [from, to] = [xo + row * width, yo + row * width];
        let mean = 0;
        for (let i = 0; i < width; i++) mean += values[from + i];
        mean /= width;
        let variance = 0;
        for (let i = 0; i < width; i++) variance += (values[from + i] - mean) ** 2;
        const scale = 1 / Math.sqrt(variance / width + EPSILON);
        for (let i = 0; i < width; i++) values[to + i] = (values[from + i] - mean) * scale * values[wo + i] + values[bo + i];
        if (so >= 0) values[so + row] = scale;
      }
    });
  },
  backward(engine, [dX, dWeight, dBias], [dY], [x, weight], _, [scales], { lengths }) {
    if (!dY) return;
    const values = engine.memory.floats;
    const width = weight.size;
    const [xo, wo, go, so] = [x.offset, weight.offset, dY.offset, scales.offset];
    const [dxo, dwo, dbo] = [dX, dWeight, dBias].map((gradient) => gradient?.offset ?? -1);
    eachValidRun(x, lengths, (first, end) => {
      for (let row = first; row < end; row++) {
        const [at, from] = [xo + row * width, go + row * width];
        const scale = values[so + row];
        let mean = 0;
        for (let i = 0; i < width; i++) mean += values[at + i];
        mean /= width;
        // Means of d = dY * weight, and of d times the normalised value.
        let [sum, product] = [0, 0];
        for (let i = 0; i < width; i++) {
          const d = values[from + i] * values[wo + i];
          sum += d;
          product += d * (values[at + i] - mean) * scale;
        }
        sum /= width;
        product /= width;
        for (let i = 0; i < width; i++) {
          const gradient = values[from + i];
          const normal = (values[at + i] - mean) * scale;
          if (dxo >= 0) values[dxo + row * width + i] += (gradient * values[wo + i] - sum - normal * product) * scale;
          if (dwo >= 0) values[dwo + i] += gradient * normal;
          if (dbo >= 0) values[dbo + i] += gradient;
        }
      }
    });
  },
};

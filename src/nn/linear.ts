/** @file The affine layer y = x W^T + b, with PyTorch's names: weight [outputSize, inputSize], bias [outputSize]. */
import type { Rng } from "../core/rng.js";
import type { Kernels, Pointer } from "../kernels/index.js";
import { apply, type Parameter, parameter, type Tensor } from "../tensor/index.js";
import { linear } from "../tensor/ops/matmul.js";
import { PackedMatrix } from "../tensor/packed-matrix.js";
import { uniformInit } from "./init.js";
import { Module } from "./module.js";

export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;
  readonly #packed = new PackedMatrix();

  /**
   * Weights and bias start uniform in +-1/sqrt(inputSize).
   *
   * @param options `weight`: another part's parameter [outputSize, inputSize], used in place of one of its own.
   */
  constructor(
    inputSize: number,
    outputSize: number,
    { rng, bias = true, engine, weight }: { rng: Rng; bias?: boolean; engine?: Kernels; weight?: Parameter },
  ) {
    super();
    const bound = 1 / Math.sqrt(inputSize);
    this.weight = weight ?? parameter(uniformInit(rng, inputSize * outputSize, bound), [outputSize, inputSize], { engine });
    this.bias = bias ? parameter(uniformInit(rng, outputSize, bound), [outputSize], { engine }) : null;
  }

  /** x [..., inputSize] to [..., outputSize]. @throws OST_SHAPE */
  forward(x: Tensor): Tensor {
    return apply(linear, this.bias ? [x, this.weight, this.bias] : [x, this.weight], { packed: this.packed });
  }

  /** The weight in the engine's own layout, as it is now: what `linearForward` takes. */
  get packed(): Pointer {
    return this.#packed.refresh(this.weight);
  }
}

/** @file A learned vector per token: weight [vocabSize, embeddingSize], standard normal at first, as in PyTorch. */
import type { Rng } from "../core/rng.js";
import type { Kernels } from "../kernels/index.js";
import { type Parameter, parameter, type Tensor } from "../tensor/index.js";
import { Module } from "./module.js";

export class Embedding extends Module {
  readonly weight: Parameter;

  constructor(vocabSize: number, embeddingSize: number, { rng, engine }: { rng: Rng; engine?: Kernels }) {
    super();
    const values = new Float64Array(vocabSize * embeddingSize);
    for (let i = 0; i < values.length; i++) values[i] = rng.normal();
    this.weight = parameter(values, [vocabSize, embeddingSize], { engine });
  }

  /** indices int32 [...] to [..., embeddingSize]; a negative index stands for padding and gives zeros. @throws OST_RANGE, OST_DTYPE */
  forward(indices: Tensor): Tensor {
    return this.weight.gather(indices);
  }
}

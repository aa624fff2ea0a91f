/** @file A recurrent layer and a linear head: the network behind every built-in task. */
import type { Rng } from "../core/rng.js";
import type { Kernels } from "../kernels/index.js";
import type { Tensor } from "../tensor/index.js";
import { dropout } from "./dropout.js";
import { GRU } from "./gru.js";
import { Linear } from "./linear.js";
import { LSTM } from "./lstm.js";
import type { ForwardOptions, ForwardResult, SequenceModel } from "./model.js";
import { Module } from "./module.js";
import type { RecurrentInit, RecurrentLayer } from "./recurrent-layer.js";
import type { Recompute } from "./recurrent-segment.js";
import { type Nonlinearity, RNN } from "./rnn.js";
import type { State, StateSpec } from "./state.js";

export type RecurrentCellName = "rnn" | "lstm" | "gru";

/** A network as data: what a model file holds to build it again. */
export interface RecurrentNetworkSpec {
  type: "recurrent";
  cell: RecurrentCellName;
  inputSize: number;
  hiddenSize: number;
  outputSize: number;
  numLayers: number;
  bidirectional: boolean;
  /** Between layers and before the head. */
  dropout: number;
  init: RecurrentInit;
  /** LSTM only; null leaves the initial bias as the init draws it. */
  forgetBias: number | null;
  /** GRU only. */
  resetAfter: boolean;
  /** RNN only. */
  nonlinearity: Nonlinearity;
}

export class RecurrentNetwork extends Module implements SequenceModel {
  readonly recurrent: RecurrentLayer;
  readonly head: Linear;
  /** Before the head; between layers it is the layer's own. */
  readonly dropout: number;

  /** @param options `recompute`: as {@link RecurrentLayer.recompute}. */
  constructor(spec: RecurrentNetworkSpec, { rng, engine, recompute }: { rng: Rng; engine?: Kernels; recompute?: Recompute }) {
    super();
    const { cell, inputSize, hiddenSize, outputSize, numLayers, bidirectional, init, resetAfter, nonlinearity } = spec;
    const options = { rng, engine, numLayers, bidirectional, dropout: spec.dropout, init, recompute };
    if (cell === "lstm")
      this.recurrent = new LSTM(inputSize, hiddenSize, { ...options, forgetBias: spec.forgetBias ?? undefined });
    else if (cell === "gru") this.recurrent = new GRU(inputSize, hiddenSize, { ...options, resetAfter });
    else this.recurrent = new RNN(inputSize, hiddenSize, { ...options, nonlinearity });
    this.head = new Linear(this.recurrent.outputSize, outputSize, { rng, engine });
    this.dropout = spec.dropout;
  }

  get causal(): boolean {
    return this.recurrent.causal;
  }

  get stateSpec(): StateSpec {
    return this.recurrent.stateSpec;
  }

  initialState(batchSize: number): State {
    return this.recurrent.initialState(batchSize);
  }

  /** The head runs only on what is read: `output` and `last` are computed at first use. Output at padded steps means nothing. */
  forward(x: Tensor, options: ForwardOptions = {}): ForwardResult {
    const { output, last, state } = this.recurrent.forward(x, options);
    const { rng } = options;
    const decide = (hidden: Tensor) => this.head.forward(rng && this.dropout > 0 ? dropout(hidden, this.dropout, rng) : hidden);
    return lazyResult(
      () => decide(output),
      () => decide(last),
      state,
    );
  }
}

/** A forward result whose parts are computed at first use. */
export function lazyResult(output: () => Tensor, last: () => Tensor, state: State): ForwardResult {
  let outputValue: Tensor | undefined;
  let lastValue: Tensor | undefined;
  return {
    get output() {
      outputValue ??= output();
      return outputValue;
    },
    get last() {
      lastValue ??= last();
      return lastValue;
    },
    state,
  };
}

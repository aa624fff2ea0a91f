/** @file A recurrent layer and a linear head, behind a look-up where the input holds codes: the network of every built-in task. */
import type { CodeColumn } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import { describeShape } from "../core/shape.js";
import type { Kernels } from "../kernels/index.js";
import type { Tensor } from "../tensor/index.js";
import { dropout } from "./dropout.js";
import { type EmbeddedColumns, embeddingFront } from "./embedded-columns.js";
import { GRU } from "./gru.js";
import { Linear } from "./linear.js";
import { LSTM } from "./lstm.js";
import type { ForwardOptions, ForwardResult, SequenceModel } from "./model.js";
import { Module } from "./module.js";
import type { RecurrentInit, RecurrentLayer } from "./recurrent-layer.js";
import { resolveLengths } from "./recurrent-op.js";
import type { Recompute } from "./recurrent-segment.js";
import { type Nonlinearity, RNN } from "./rnn.js";
import type { State, StateSpec } from "./state.js";

export type RecurrentCellName = "rnn" | "lstm" | "gru";

/** A network as data: what a model file holds to build it again. */
export interface RecurrentNetworkSpec {
  type: "recurrent";
  cell: RecurrentCellName;
  /** Columns of x, codes included. */
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
  /** Columns of x that hold codes, which become learned vectors; default none. */
  embeddings?: readonly CodeColumn[];
}

export class RecurrentNetwork extends Module implements SequenceModel {
  /** Null where x holds numbers only. */
  readonly embedding: EmbeddedColumns | null;
  readonly recurrent: RecurrentLayer;
  readonly head: Linear;
  /** Before the head; between layers it is the layer's own. */
  readonly dropout: number;

  /** @param options `recompute`: as {@link RecurrentLayer.recompute}. */
  constructor(spec: RecurrentNetworkSpec, { rng, engine, recompute }: { rng: Rng; engine?: Kernels; recompute?: Recompute }) {
    super();
    this.embedding = embeddingFront(spec.inputSize, spec.embeddings, { rng, engine });
    const inputSize = this.embedding?.outputSize ?? spec.inputSize;
    const { cell, hiddenSize, outputSize, numLayers, bidirectional, init, resetAfter, nonlinearity } = spec;
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

  /**
   * x: [batch, time, inputSize], with codes as whole numbers in the columns that are embedded. As {@link RecurrentLayer.forward} otherwise.
   *
   * The head runs only on what is read: `output` and `last` are computed at first use. Output at padded steps means nothing.
   *
   * @throws OST_SHAPE, OST_LENGTH. @throws OST_RANGE if a code is no row of its table.
   */
  forward(x: Tensor, options: ForwardOptions = {}): ForwardResult {
    const { output, last, state } = this.embedding
      ? this.#embedded(this.embedding, x, options)
      : this.recurrent.forward(x, options);
    const { rng } = options;
    const decide = (hidden: Tensor) => this.head.forward(rng && this.dropout > 0 ? dropout(hidden, this.dropout, rng) : hidden);
    return lazyResult(
      () => decide(output),
      () => decide(last),
      state,
    );
  }

  #embedded(embedding: EmbeddedColumns, x: Tensor, options: ForwardOptions): ForwardResult {
    if (x.shape.length !== 3) {
      throw new OstinatoError("OST_SHAPE", {
        what: "the network wants [batch, time, features]",
        got: `x ${describeShape(x.shape)}`,
        where: "network.forward",
      });
    }
    const lengths = resolveLengths(x, options.lengths);
    return this.recurrent.forward(embedding.forward(x, lengths), { ...options, lengths });
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

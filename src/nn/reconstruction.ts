/**
 * @file A sequence autoencoder: one recurrent layer reads a sequence into a single vector, another writes the sequence again from it.
 *
 *     z   = last hidden state of encoder(x_1 .. x_T)               H numbers, whatever T
 *     s_0 = final state of the encoder                             of every layer
 *     s_k = decoder(z, s_{k-1})                                    k = 1 .. T
 *     y_t = W s_k + b                                              k = T + 1 - t when reversed, else t
 *
 * What it was trained on comes back; where it does not, the sequence is unlike that. Written backwards, what was read last comes first, so
 * that the way from reading a step to writing it is short for some of them.
 *
 * Sources: Srivastava, Mansimov & Salakhutdinov 2015 (arXiv 1502.04681); for anomalies Malhotra et al. 2016 (arXiv 1607.00148).
 */
import type { CodeColumn } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import { describeShape } from "../core/shape.js";
import type { Kernels } from "../kernels/index.js";
import { integers, type Tensor } from "../tensor/index.js";
import { dropout } from "./dropout.js";
import { type EmbeddedColumns, embeddingFront } from "./embedded-columns.js";
import { GRU } from "./gru.js";
import { Linear } from "./linear.js";
import { LSTM } from "./lstm.js";
import type { ForwardOptions, ForwardResult, SequenceModel } from "./model.js";
import { Module } from "./module.js";
import { lazyResult, type RecurrentCellName } from "./network.js";
import type { RecurrentInit, RecurrentLayer } from "./recurrent-layer.js";
import { resolveLengths } from "./recurrent-op.js";
import { RNN } from "./rnn.js";
import type { State, StateSpec } from "./state.js";

/** A sequence autoencoder as data: what a model file holds to build it again. */
export interface ReconstructionSpec {
  type: "reconstruction";
  cell: RecurrentCellName;
  /** Columns of x, codes included. */
  inputSize: number;
  /** Columns of x that hold codes, which become learned vectors; default none. */
  embeddings?: readonly CodeColumn[];
  /** H, width of the vector in the middle. */
  hiddenSize: number;
  /** Of the encoder and of the decoder. */
  numLayers: number;
  /** Numbers that are given back per step. */
  outputSize: number;
  /** Whether the decoder writes the last step first. */
  reversed: boolean;
  /** Between layers and before the head. */
  dropout: number;
  init: RecurrentInit;
  /** LSTM only; null leaves the initial bias as the init draws it. */
  forgetBias: number | null;
}

/** A spec with every choice made; what is left out takes its default. */
export function reconstructionSpec(
  choices: Pick<ReconstructionSpec, "cell" | "inputSize" | "hiddenSize" | "outputSize"> & Partial<ReconstructionSpec>,
): ReconstructionSpec {
  return {
    numLayers: 1,
    reversed: true,
    dropout: 0,
    init: "uniform",
    forgetBias: null,
    ...choices,
    type: "reconstruction",
  };
}

export class ReconstructionNetwork extends Module implements SequenceModel {
  /** Null where x holds numbers only. */
  readonly embedding: EmbeddedColumns | null;
  readonly encoder: RecurrentLayer;
  readonly decoder: RecurrentLayer;
  readonly head: Linear;
  readonly spec: ReconstructionSpec;
  /** Every step is written from the whole sequence. */
  readonly causal = false;

  constructor(spec: ReconstructionSpec, { rng, engine }: { rng: Rng; engine?: Kernels }) {
    super();
    this.spec = spec;
    this.embedding = embeddingFront(spec.inputSize, spec.embeddings, { rng, engine });
    this.encoder = recurrentLayer(spec, this.embedding?.outputSize ?? spec.inputSize, { rng, engine });
    this.decoder = recurrentLayer(spec, spec.hiddenSize, { rng, engine });
    this.head = new Linear(spec.hiddenSize, spec.outputSize, { rng, engine });
  }

  /** Of the encoder. */
  get stateSpec(): StateSpec {
    return this.encoder.stateSpec;
  }

  initialState(batchSize: number): State {
    return this.encoder.initialState(batchSize);
  }

  /**
   * @param x       [batch, time, inputSize], codes as whole numbers in the columns that are embedded
   * @param options as for recurrent layers; `state` is the encoder's
   * @returns `output` [batch, time, outputSize], every step given back; `last`: that of each row's last step; `state`: the encoder's.
   *          Output at padded steps means nothing.
   * @throws OST_SHAPE, OST_LENGTH. @throws OST_RANGE if a code is no row of its table.
   */
  forward(x: Tensor, { state, lengths, rng }: ForwardOptions = {}): ForwardResult {
    if (x.shape.length !== 3) {
      throw new OstinatoError("OST_SHAPE", {
        what: "the network wants [batch, time, features]",
        got: `x ${describeShape(x.shape)}`,
        where: "reconstruction.forward",
      });
    }
    const { hiddenSize, reversed } = this.spec;
    const { engine } = x;
    const [batch, time] = x.shape;
    const checked = resolveLengths(x, lengths);
    const valid = checked.ints().slice();
    const embedded = this.embedding ? this.embedding.forward(x, checked) : x;
    const read = this.encoder.forward(embedded, { state, lengths: checked, rng });
    // The same vector at every step that there is; -1 gives zeros behind the end.
    const repeated = Int32Array.from({ length: batch * time }, (_, i) =>
      i % time < valid[Math.floor(i / time)] ? Math.floor(i / time) : -1,
    );
    const middle = read.last.gather(integers(repeated, [batch, time], { engine }));
    const written = this.decoder.forward(middle, { state: read.state, lengths: checked, rng }).output;
    const rows = written.reshape([batch * time, hiddenSize]);
    /** Where the decoder wrote step t of row b. */
    const place = (b: number, t: number) => (t < valid[b] ? b * time + (reversed ? valid[b] - 1 - t : t) : -1);
    const { spec, head } = this;
    const decide = (places: ArrayLike<number>, shape: number[]) => {
      const hidden = rows.gather(integers(places, shape, { engine }));
      return head.forward(rng && spec.dropout > 0 ? dropout(hidden, spec.dropout, rng) : hidden);
    };
    const all = Int32Array.from({ length: batch * time }, (_, i) => place(Math.floor(i / time), i % time));
    const ends = Int32Array.from({ length: batch }, (_, b) => (valid[b] > 0 ? place(b, valid[b] - 1) : -1));
    return lazyResult(
      () => decide(all, [batch, time]),
      () => decide(ends, [batch]),
      read.state,
    );
  }
}

function recurrentLayer(
  { cell, hiddenSize, numLayers, dropout, init, forgetBias }: ReconstructionSpec,
  inputSize: number,
  { rng, engine }: { rng: Rng; engine?: Kernels },
): RecurrentLayer {
  const options = { rng, engine, numLayers, dropout, init };
  if (cell === "lstm") return new LSTM(inputSize, hiddenSize, { ...options, forgetBias: forgetBias ?? undefined });
  return cell === "gru" ? new GRU(inputSize, hiddenSize, options) : new RNN(inputSize, hiddenSize, options);
}

/** @file A recurrent layer and a linear head, behind a look-up where the input holds codes: the network of every built-in task. */
import type { CodeColumn } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import { describeShape } from "../core/shape.js";
import type { Kernels } from "../kernels/index.js";
import type { Parameter, Tensor } from "../tensor/index.js";
import { ConditionalRandomField } from "./crf.js";
import { type DropoutMask, dropout, dropoutMask, lockedDropout } from "./dropout.js";
import { type EmbeddedColumns, embeddingFront } from "./embedded-columns.js";
import { GRU } from "./gru.js";
import { Highway, type HighwaySpec } from "./highway.js";
import { Linear } from "./linear.js";
import { LSTM } from "./lstm.js";
import type { ForwardOptions, ForwardResult, SequenceModel } from "./model.js";
import { Module } from "./module.js";
import type { RecurrentInit, RecurrentLayer } from "./recurrent-layer.js";
import { resolveLengths } from "./recurrent-op.js";
import type { Recompute } from "./recurrent-segment.js";
import { type RecurrentVariant, SHARES } from "./recurrent-variant.js";
import { type Nonlinearity, RNN } from "./rnn.js";
import type { State, StateSpec } from "./state.js";

export type RecurrentCellName = "rnn" | "lstm" | "gru";

/** A network as data: what a model file holds to build it again. */
export interface RecurrentNetworkSpec extends RecurrentVariant {
  type: "recurrent";
  cell: RecurrentCellName;
  /** Columns of x, codes included. */
  inputSize: number;
  hiddenSize: number;
  outputSize: number;
  numLayers: number;
  bidirectional: boolean;
  /** Between layers and before the head, drawn for every value; `lockedDropout` acts in the same places. */
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
  /** Share of codes whose vectors are zero in a training call, wherever they stand (Gal & Ghahramani 2016); default 0. */
  embeddingDropout?: number;
  /**
   * The head's weight is the table of the one embedded column, whose codes are the outputs: "head.weight" is then no parameter of its own.
   * Where the widths differ a projection without bias lies between, "headProjection.weight" (Inan et al. 2017; Press & Wolf 2017). Default false.
   */
  tieWeights?: boolean;
  /** Labels of a sequence are decided together: a conditional random field whose emissions the outputs are. Default false. */
  crf?: boolean;
  /** A linear path from the latest inputs to `last`, past the recurrent layer; default none. */
  highway?: HighwaySpec;
}

export class RecurrentNetwork extends Module implements SequenceModel {
  /** Null where x holds numbers only. */
  readonly embedding: EmbeddedColumns | null;
  readonly recurrent: RecurrentLayer;
  /** Between the recurrent layer and a tied head of another width, else null. */
  readonly headProjection: Linear | null;
  readonly head: Linear;
  /** Over the outputs, which are its emissions; null where each output stands for itself. */
  readonly crf: ConditionalRandomField | null;
  /** Past the recurrent layer, to `last`; null where there is none. */
  readonly highway: Highway | null;
  /** Before the head; between layers it is the layer's own. */
  readonly dropout: number;
  /** Share of codes whose vectors are zero in a training call. */
  readonly embeddingDropout: number;

  /**
   * @param options `recompute`: as {@link RecurrentLayer.recompute}.
   * @throws OST_RANGE if a size or share is out of its range, a choice does not go with the cell, or weights are tied that do not fit.
   */
  constructor(spec: RecurrentNetworkSpec, { rng, engine, recompute }: { rng: Rng; engine?: Kernels; recompute?: Recompute }) {
    super();
    this.embedding = embeddingFront(spec.inputSize, spec.embeddings, { rng, engine });
    const inputSize = this.embedding?.outputSize ?? spec.inputSize;
    const { cell, hiddenSize, outputSize, numLayers, bidirectional, init, resetAfter, nonlinearity } = spec;
    const { layerSizes, projection, merge, residual, layerNorm, learnedState } = spec;
    const variant = { layerSizes, projection, merge, residual, layerNorm, learnedState };
    const shares = Object.fromEntries(SHARES.map((key) => [key, spec[key]]));
    const options = { rng, engine, numLayers, bidirectional, dropout: spec.dropout, init, recompute, ...variant, ...shares };
    if (cell === "lstm")
      this.recurrent = new LSTM(inputSize, hiddenSize, { ...options, forgetBias: spec.forgetBias ?? undefined });
    else if (cell === "gru") this.recurrent = new GRU(inputSize, hiddenSize, { ...options, resetAfter });
    else this.recurrent = new RNN(inputSize, hiddenSize, { ...options, nonlinearity });
    const { embeddingDropout = 0 } = spec;
    if (embeddingDropout !== 0 && !(embeddingDropout > 0 && embeddingDropout < 1 && this.embedding)) {
      throw new OstinatoError("OST_RANGE", {
        what: "embeddingDropout is a share of the codes of embedded columns",
        expected: this.embedding ? "0 <= embeddingDropout < 1" : "0 where no column is embedded",
        got: String(embeddingDropout),
        where: "network",
      });
    }
    const width = this.recurrent.outputSize;
    const tied = spec.tieWeights ? tiedWeight(this.embedding, outputSize) : undefined;
    const headSize = tied?.shape[1] ?? width;
    this.headProjection = headSize === width ? null : new Linear(width, headSize, { rng, bias: false, engine });
    this.head = new Linear(headSize, outputSize, { rng, engine, weight: tied });
    this.crf = spec.crf ? new ConditionalRandomField(outputSize, { rng, engine }) : null;
    this.highway = spec.highway ? new Highway(spec.highway, { engine }) : null;
    this.dropout = spec.dropout;
    this.embeddingDropout = embeddingDropout;
  }

  get causal(): boolean {
    return this.recurrent.causal;
  }

  /** The linear maps on top of the recurrent layer, from its output up. */
  get heads(): readonly Linear[] {
    return this.headProjection ? [this.headProjection, this.head] : [this.head];
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
    const { lockedDropout: locked = 0 } = this.recurrent.variant;
    // One for output and last: drawn by whichever is read first.
    let mask: DropoutMask | undefined;
    const dropped = (hidden: Tensor) => {
      if (!rng) return hidden;
      const kept = this.dropout > 0 ? dropout(hidden, this.dropout, rng) : hidden;
      if (locked === 0) return kept;
      mask ??= dropoutMask(hidden.shape[0] * this.recurrent.outputSize, locked, rng);
      return lockedDropout(kept, mask);
    };
    const decide = (hidden: Tensor) => this.heads.reduce((value, head) => head.forward(value), dropped(hidden));
    const { highway } = this;
    const past = highway
      ? (value: Tensor) => highway.forward(value, x, resolveLengths(x, options.lengths))
      : (value: Tensor) => value;
    return lazyResult(
      () => decide(output),
      () => past(decide(last)),
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
    const { rng } = options;
    const share = this.embeddingDropout;
    const vectors = embedding.forward(x, lengths, rng && share > 0 ? { share, rng } : undefined);
    return this.recurrent.forward(vectors, { ...options, lengths });
  }
}

/**
 * The table [outputSize, width] that look-up and head share. It is scaled to a standard deviation of 1 / sqrt(width), so that the head's first
 * outputs are as large as those of a head of its own.
 */
function tiedWeight(embedding: EmbeddedColumns | null, outputSize: number): Parameter {
  const tables = embedding?.weights ?? [];
  if (tables.length !== 1 || tables[0].shape[0] !== outputSize) {
    throw new OstinatoError("OST_RANGE", {
      what: "tied weights want one embedded column whose codes are the outputs",
      expected: `one table of ${outputSize} rows`,
      got: tables.map(({ shape }) => `${shape[0]} rows`).join(", ") || "no embedded column",
      where: "tieWeights",
    });
  }
  const [table] = tables;
  const scale = 1 / Math.sqrt(table.shape[1]);
  table.assign(table.floats().map((value) => value * scale));
  return table;
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

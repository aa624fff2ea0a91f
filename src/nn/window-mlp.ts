/**
 * @file A two-layer perceptron on the last few steps: the small non-recurrent rival a recurrent model has to beat.
 *
 *     y_t = W_2 relu(W_1 [x_{t-W+1}; ...; x_t] + b_1) + b_2
 *
 * It is a sequence model like the others: its state is the window of past inputs (zeros before the first), so it streams exactly.
 * Codes lie in that window as they are, and each look at it looks them up.
 */
import type { CodeColumn } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import { describeShape } from "../core/shape.js";
import type { Kernels } from "../kernels/index.js";
import { type Tensor, tensor } from "../tensor/index.js";
import { wantFloat } from "../tensor/op.js";
import { type EmbeddedColumns, embeddingFront } from "./embedded-columns.js";
import { Linear } from "./linear.js";
import type { ForwardOptions, ForwardResult, SequenceModel } from "./model.js";
import { Module } from "./module.js";
import { lazyResult } from "./network.js";
import { resolveLengths } from "./recurrent-op.js";
import { type State, type StateSpec, wantState, zeroState } from "./state.js";

export interface WindowMLPSpec {
  type: "windowMLP";
  /** Steps the network sees, the current one included. */
  window: number;
  /** Columns of x, codes included. */
  inputSize: number;
  hiddenSize: number;
  outputSize: number;
  /** Columns of x that hold codes, which become learned vectors; default none. */
  embeddings?: readonly CodeColumn[];
}

export class WindowMLP extends Module implements SequenceModel {
  /** Null where x holds numbers only. */
  readonly embedding: EmbeddedColumns | null;
  readonly hidden: Linear;
  readonly head: Linear;
  readonly causal = true;
  readonly #window: number;
  readonly #inputSize: number;

  constructor(spec: WindowMLPSpec, { rng, engine }: { rng: Rng; engine?: Kernels }) {
    super();
    const { window, inputSize, hiddenSize, outputSize, embeddings } = spec;
    this.embedding = embeddingFront(inputSize, embeddings, { rng, engine });
    this.#window = window;
    this.#inputSize = inputSize;
    this.hidden = new Linear(window * (this.embedding?.outputSize ?? inputSize), hiddenSize, { rng, engine });
    this.head = new Linear(hiddenSize, outputSize, { rng, engine });
  }

  get stateSpec(): StateSpec {
    return { window: this.#window * this.#inputSize };
  }

  initialState(batchSize: number): State {
    return zeroState(this.stateSpec, batchSize, this.engine);
  }

  /** @param x [batch, time, inputSize]; no gradient flows into it. Lengths and state as in recurrent layers. @throws OST_SHAPE, OST_LENGTH, OST_RANGE */
  forward(x: Tensor, { state, lengths }: ForwardOptions = {}): ForwardResult {
    const width = this.#inputSize;
    if (x.shape.length !== 3 || x.shape[2] !== width) {
      throw new OstinatoError("OST_SHAPE", {
        what: `the network wants features ${width}`,
        got: `x ${describeShape(x.shape, ["batch", "time", "features"])}`,
        where: "windowMLP.forward",
      });
    }
    wantFloat(x, "windowMLP.forward");
    const [batch, time] = x.shape;
    const valid = resolveLengths(x, lengths).ints().slice();
    const initial = state ?? this.initialState(batch);
    wantState(this.stateSpec, initial, batch, "windowMLP.forward");
    const past = initial.window.floats();
    const values = x.floats();
    const span = this.#window * width;
    // history[b] is the carried window followed by the row's inputs: the window of step t starts at element (t + 1) * width of it.
    const history = Array.from({ length: batch }, (_, b) => {
      const row = new Float32Array(span + time * width);
      row.set(past.subarray(b * span, (b + 1) * span));
      row.set(values.subarray(b * time * width, (b * time + valid[b]) * width), span);
      return row;
    });
    const carried = new Float32Array(batch * span);
    for (const [b, row] of history.entries()) carried.set(row.subarray(valid[b] * width, valid[b] * width + span), b * span);
    const decide = (rows: Float32Array, shape: number[]) => {
      const { embedding, hidden, head } = this;
      const windows = embedding
        ? embedding
            .forward(tensor(rows, [...shape, this.#window, width], { engine: x.engine }))
            .reshape([...shape, this.#window * embedding.outputSize])
        : tensor(rows, [...shape, span], { engine: x.engine });
      return head.forward(hidden.forward(windows).relu());
    };
    const unfolded = () => {
      const rows = new Float32Array(batch * time * span);
      history.forEach((row, b) => {
        for (let t = 0; t < valid[b]; t++) rows.set(row.subarray((t + 1) * width, (t + 1) * width + span), (b * time + t) * span);
      });
      return decide(rows, [batch, time]);
    };
    return lazyResult(unfolded, () => decide(carried, [batch]), { window: tensor(carried, [batch, span], { engine: x.engine }) });
  }
}

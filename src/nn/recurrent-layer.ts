/**
 * @file What RNN, LSTM and GRU layers share: stacking, two directions, dropout between layers, and PyTorch's parameter names.
 *
 *     weight_ih_l{k}{_reverse} [G*H, I_k]   weight_hh_l{k}{_reverse} [G*H, H]   bias_ih_l{k}{_reverse}, bias_hh_l{k}{_reverse} [G*H]
 *
 * I_0 is inputSize, I_k the output width of layer k - 1: H, or 2H for two directions.
 */
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import { describeShape } from "../core/shape.js";
import { type CellKind, type Kernels, type RecurrentForward, WEIGHT_TYPES, type WeightType } from "../kernels/index.js";
import { applyAll, concatenate, type Parameter, parameter, type Tensor } from "../tensor/index.js";
import { dropout } from "./dropout.js";
import { glorotInit, orthogonalInit, uniformInit } from "./init.js";
import type { ForwardOptions, ForwardResult, SequenceModel } from "./model.js";
import { Module } from "./module.js";
import { PackedWeights, recurrent, resolveLengths } from "./recurrent-op.js";
import type { Recompute } from "./recurrent-segment.js";
import { type State, type StateSpec, wantState, zeroState } from "./state.js";

/**
 * "uniform": everything in +-1/sqrt(hiddenSize), as PyTorch. "orthogonal": recurrent matrices orthogonal per gate, input matrices Glorot,
 * biases zero, as Keras.
 */
export type RecurrentInit = "uniform" | "orthogonal";

export interface RecurrentOptions {
  rng: Rng;
  /** Default 1. */
  numLayers?: number;
  /** Default false. True reads each sequence in both directions: offline use only. */
  bidirectional?: boolean;
  /** Between layers only, 0 <= dropout < 1; default 0. */
  dropout?: number;
  /** Default true. */
  bias?: boolean;
  /** Default "uniform". */
  init?: RecurrentInit;
  /** As {@link RecurrentLayer.recompute}. */
  recompute?: Recompute;
  engine?: Kernels;
}

export abstract class RecurrentLayer extends Module implements SequenceModel {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly bidirectional: boolean;
  readonly dropout: number;
  readonly bias: boolean;
  readonly cell: CellKind;
  readonly stateSpec: StateSpec;
  /** By suffix and type of weights, made when they are first needed. */
  readonly #packed = new Map<string, PackedWeights>();
  #recompute: Recompute | undefined;
  #weights: WeightType = "float32";

  protected constructor(cell: CellKind, gates: number, inputSize: number, hiddenSize: number, options: RecurrentOptions) {
    super();
    const { rng, numLayers = 1, bidirectional = false, dropout = 0, bias = true, init = "uniform", recompute, engine } = options;
    wantCount("inputSize", inputSize);
    wantCount("hiddenSize", hiddenSize);
    wantCount("numLayers", numLayers);
    if (!(dropout >= 0 && dropout < 1)) {
      throw new OstinatoError("OST_RANGE", {
        what: "dropout is a share",
        expected: "0 <= dropout < 1",
        got: String(dropout),
        where: cell,
      });
    }
    this.cell = cell;
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.numLayers = numLayers;
    this.bidirectional = bidirectional;
    this.dropout = dropout;
    this.bias = bias;
    this.recompute = recompute;
    const own = this as unknown as Record<string, Parameter>;
    const spec: Record<string, number> = {};
    const rows = gates * hiddenSize;
    const bound = 1 / Math.sqrt(hiddenSize);
    for (const [suffix, width] of this.#directions()) {
      const blocks = (make: () => Float64Array) => Array.from({ length: gates }, () => [...make()]).flat();
      const [ih, hh] =
        init === "orthogonal"
          ? [blocks(() => glorotInit(rng, hiddenSize, width)), blocks(() => orthogonalInit(rng, hiddenSize))]
          : [uniformInit(rng, rows * width, bound), uniformInit(rng, rows * hiddenSize, bound)];
      own[`weight_ih${suffix}`] = parameter(ih, [rows, width], { engine });
      own[`weight_hh${suffix}`] = parameter(hh, [rows, hiddenSize], { engine });
      if (bias) {
        const first = () => (init === "orthogonal" ? new Float64Array(rows) : uniformInit(rng, rows, bound));
        own[`bias_ih${suffix}`] = parameter(first(), [rows], { engine });
        own[`bias_hh${suffix}`] = parameter(first(), [rows], { engine });
      }
      spec[`h${suffix}`] = hiddenSize;
      if (cell === "lstm") spec[`c${suffix}`] = hiddenSize;
    }
    this.stateSpec = spec;
  }

  /**
   * Training in less memory: instead of gates and cells of every step, the backward pass finds the states between segments of this many
   * steps (at least 1; "auto": the square root of the sequence's steps) and computes each segment again. Outputs are the same bits, weight
   * gradients the same sums in another order, and an update takes one more forward pass. Undefined keeps everything. It belongs to the
   * run and not to the model: it may be changed between calls and is not saved.
   *
   * @throws OST_RANGE for anything else.
   */
  get recompute(): Recompute | undefined {
    return this.#recompute;
  }

  set recompute(value: Recompute | undefined) {
    if (value !== undefined && value !== "auto") wantCount("recompute", value);
    this.#recompute = value;
  }

  /**
   * How inference reads the weights: "bfloat16" and "int8" take a half and a quarter of the bytes, which is what a single row waits for, and
   * round them (see `WeightType`). The parameters stay as they are, and a recorded call wants "float32", the default. Like `recompute` it
   * belongs to the run and not to the model.
   *
   * @throws OST_RANGE for anything else, and for int8 where more than 131,072 products would be summed.
   */
  get weights(): WeightType {
    return this.#weights;
  }

  set weights(value: WeightType) {
    wantWeights(value, Math.max(this.inputSize, this.outputSize));
    this.#weights = value;
  }

  get causal(): boolean {
    return !this.bidirectional;
  }

  /** Width of the output: hiddenSize, or twice that for two directions. */
  get outputSize(): number {
    return this.hiddenSize * (this.bidirectional ? 2 : 1);
  }

  initialState(batchSize: number): State {
    return zeroState(this.stateSpec, batchSize, this.engine);
  }

  /**
   * Runs the stacked layer over whole sequences.
   *
   * Steps at or after `lengths[b]` leave that row's state unchanged and output zero; a row of length 0 returns its initial state.
   *
   * @param x       [batch, time, inputSize]
   * @param options `state`: carried from an earlier call, default zeros. `lengths`: int32 [batch], 0 <= lengths[b] <= time, default all
   *                `time`. `rng`: turns dropout on; absent means no dropout.
   * @returns `output` [batch, time, outputSize]; `last` [batch, outputSize]; `state`: "h_l{k}" (and "c_l{k}"), each [batch, hiddenSize].
   * @throws OST_SHAPE  if an axis of x or of the state disagrees with the layer.
   * @throws OST_LENGTH if a length lies outside 0 .. time.
   */
  forward(x: Tensor, options: ForwardOptions = {}): ForwardResult {
    if (x.shape.length !== 3 || x.shape[2] !== this.inputSize) {
      throw new OstinatoError("OST_SHAPE", {
        what: `the layer wants features ${this.inputSize}`,
        got: `x ${describeShape(x.shape, ["batch", "time", "features"])}`,
        where: `${this.cell}.forward`,
        repair: "did the column list change after training?",
      });
    }
    const batch = x.shape[0];
    const state = options.state ?? this.initialState(batch);
    wantState(this.stateSpec, state, batch, `${this.cell}.forward`);
    const lengths = resolveLengths(x, options.lengths);
    const next: Record<string, Tensor> = {};
    let input = x;
    let last = x;
    for (let layer = 0; layer < this.numLayers; layer++) {
      if (layer > 0 && options.rng && this.dropout > 0) input = dropout(input, this.dropout, options.rng);
      const suffixes = this.bidirectional ? [`_l${layer}`, `_l${layer}_reverse`] : [`_l${layer}`];
      const outputs = suffixes.map((suffix) => this.#direction(suffix, input, state, lengths, next));
      input = outputs.length === 1 ? outputs[0] : concatenate(outputs, 2);
      const finals = suffixes.map((suffix) => next[`h${suffix}`]);
      last = finals.length === 1 ? finals[0] : concatenate(finals, 1);
    }
    return { output: input, last, state: next };
  }

  /** What `recurrentForward` wants to know of one layer's forward direction: sizes, and the weights as they are now. */
  stepArgs(layer: number): Pick<RecurrentForward, "cell" | "weights" | "inputSize" | "hiddenSize" | "packed"> {
    const own = this as unknown as Record<string, Parameter>;
    const suffix = `_l${layer}`;
    const { cell, bias, weights, hiddenSize } = this;
    const packed = this.#packedWeights(suffix).refresh(this.engine, this, {
      weightIh: own[`weight_ih${suffix}`],
      weightHh: own[`weight_hh${suffix}`],
      biasIh: bias ? own[`bias_ih${suffix}`] : null,
      biasHh: bias ? own[`bias_hh${suffix}`] : null,
    });
    return { cell, weights, inputSize: layer === 0 ? this.inputSize : hiddenSize, hiddenSize, packed };
  }

  #direction(suffix: string, x: Tensor, state: State, lengths: Tensor, next: Record<string, Tensor>): Tensor {
    const own = this as unknown as Record<string, Parameter>;
    const weights = [own[`weight_ih${suffix}`], own[`weight_hh${suffix}`]];
    if (this.bias) weights.push(own[`bias_ih${suffix}`], own[`bias_hh${suffix}`]);
    const carried = [`h${suffix}`, ...(this.cell === "lstm" ? [`c${suffix}`] : [])];
    const [output, ...finals] = applyAll(recurrent, [x, ...weights, ...carried.map((name) => state[name])], {
      cell: this.cell,
      bias: this.bias,
      reverse: suffix.endsWith("_reverse"),
      lengths,
      packed: this.#packedWeights(suffix),
      recompute: this.#recompute,
    });
    carried.forEach((name, i) => {
      next[name] = finals[i];
    });
    return output;
  }

  #packedWeights(suffix: string): PackedWeights {
    const key = `${suffix} ${this.#weights}`;
    let packed = this.#packed.get(key);
    if (packed === undefined) {
      packed = new PackedWeights(this.#weights);
      this.#packed.set(key, packed);
    }
    return packed;
  }

  /** Suffix and input width of every direction of every layer, in PyTorch's order. */
  *#directions(): Generator<[suffix: string, inputSize: number]> {
    for (let layer = 0; layer < this.numLayers; layer++) {
      const width = layer === 0 ? this.inputSize : this.outputSize;
      yield [`_l${layer}`, width];
      if (this.bidirectional) yield [`_l${layer}_reverse`, width];
    }
  }
}

/** Products that a sum of the int8 kernels may have (kernels/int8.c). */
const MAX_INT8_PRODUCTS = 131_072;

function wantWeights(weights: WeightType, products: number): void {
  const known = WEIGHT_TYPES.includes(weights);
  if (known && (weights !== "int8" || products <= MAX_INT8_PRODUCTS)) return;
  throw new OstinatoError("OST_RANGE", {
    what: known ? "the layer is too wide for int8 weights" : "no such type of weights",
    expected: known ? `at most ${MAX_INT8_PRODUCTS} inputs and hidden units` : WEIGHT_TYPES.join(", "),
    got: known ? String(products) : String(weights),
    where: "weights",
  });
}

function wantCount(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new OstinatoError("OST_RANGE", {
      what: `${name} is a count`,
      expected: "an integer of at least 1",
      got: String(value),
      where: "layer",
    });
  }
}

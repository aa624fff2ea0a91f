/**
 * @file What RNN, LSTM and GRU layers share: stacking, two directions, what lies between layers, and PyTorch's parameter names.
 *
 *     weight_ih_l{k}{_reverse} [G*H, I_k]   weight_hh_l{k}{_reverse} [G*H, R]   bias_ih_l{k}{_reverse}, bias_hh_l{k}{_reverse} [G*H]
 *     weight_hr_l{k}{_reverse} [R, H] with a projection, norm_l{k}.weight and .bias with layer norm, initial_h_l{k}{_reverse} [R] and
 *     initial_c_l{k}{_reverse} [H] with a learned initial state
 *
 * I_0 is inputSize, I_k the output width of layer k - 1. R, the width of h, is H without a projection.
 */
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import { describeShape } from "../core/shape.js";
import { type CellKind, type Kernels, type RecurrentForward, WEIGHT_TYPES, type WeightType } from "../kernels/index.js";
import { applyAll, concatenate, Parameter, parameter, type Tensor } from "../tensor/index.js";
import { dropout, dropoutMask, lockedDropout } from "./dropout.js";
import { glorotInit, orthogonalInit, uniformInit } from "./init.js";
import { LayerNorm } from "./layer-norm.js";
import type { ForwardOptions, ForwardResult, SequenceModel } from "./model.js";
import { Module } from "./module.js";
import { PackedWeights, recurrent, resolveLengths } from "./recurrent-op.js";
import type { Recompute } from "./recurrent-segment.js";
import { type DirectionWeights, recurrentSteps, stepsAreFused } from "./recurrent-steps.js";
import { type LayerSizes, type Merge, type RecurrentVariant, stackLayout, wantVariant } from "./recurrent-variant.js";
import { type State, type StateSpec, wantState, zeroState } from "./state.js";

/**
 * "uniform": everything in +-1/sqrt(hiddenSize), as PyTorch. "orthogonal": recurrent matrices orthogonal per gate, input matrices Glorot,
 * biases zero, as Keras.
 */
export type RecurrentInit = "uniform" | "orthogonal";

export interface RecurrentOptions extends RecurrentVariant {
  rng: Rng;
  /** Default 1, or as many as `layerSizes` names. */
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
  /** What it has beyond a plain stack, as chosen. */
  readonly variant: RecurrentVariant;
  /** The sizes of every layer, from the input up. */
  readonly layout: readonly LayerSizes[];
  /** By suffix and type of weights, made when they are first needed. */
  readonly #packed = new Map<string, PackedWeights>();
  #recompute: Recompute | undefined;
  #weights: WeightType = "float32";

  protected constructor(cell: CellKind, gates: number, inputSize: number, hiddenSize: number, options: RecurrentOptions) {
    super();
    const { rng, bidirectional = false, dropout = 0, bias = true, init = "uniform", recompute, engine } = options;
    const { layerSizes, projection, merge, residual, layerNorm, learnedState } = options;
    const { inputDropout, lockedDropout, recurrentDropout, weightDropout, zoneout, cellZoneout } = options;
    const { numLayers = layerSizes?.length ?? 1 } = options;
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
    this.variant = {
      layerSizes,
      projection,
      merge,
      residual,
      layerNorm,
      learnedState,
      inputDropout,
      lockedDropout,
      recurrentDropout,
      weightDropout,
      zoneout,
      cellZoneout,
    };
    wantVariant(this.variant, { isLstm: cell === "lstm", hiddenSize, numLayers });
    this.layout = stackLayout({ inputSize, hiddenSize, numLayers, bidirectional, layerSizes, projection, merge, residual });
    this.cell = cell;
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.numLayers = numLayers;
    this.bidirectional = bidirectional;
    this.dropout = dropout;
    this.bias = bias;
    this.recompute = recompute;
    const own = this as unknown as Record<string, Parameter | LayerNorm>;
    const spec: Record<string, number> = {};
    for (const [suffix, sizes] of this.#directions()) {
      const { inputSize: width, hiddenSize: size, stateSize } = sizes;
      const rows = gates * size;
      const bound = 1 / Math.sqrt(size);
      const blocks = (make: () => Float64Array) => Array.from({ length: gates }, () => [...make()]).flat();
      const [ih, hh] =
        init === "orthogonal"
          ? [blocks(() => glorotInit(rng, size, width)), blocks(() => recurrentInit(rng, size, stateSize))]
          : [uniformInit(rng, rows * width, bound), uniformInit(rng, rows * stateSize, bound)];
      own[`weight_ih${suffix}`] = parameter(ih, [rows, width], { engine });
      own[`weight_hh${suffix}`] = parameter(hh, [rows, stateSize], { engine });
      if (bias) {
        const first = () => (init === "orthogonal" ? new Float64Array(rows) : uniformInit(rng, rows, bound));
        own[`bias_ih${suffix}`] = parameter(first(), [rows], { engine });
        own[`bias_hh${suffix}`] = parameter(first(), [rows], { engine });
      }
      if (projection !== undefined) {
        const hr = init === "orthogonal" ? glorotInit(rng, stateSize, size) : uniformInit(rng, stateSize * size, bound);
        own[`weight_hr${suffix}`] = parameter(hr, [stateSize, size], { engine });
      }
      spec[`h${suffix}`] = stateSize;
      if (cell === "lstm") spec[`c${suffix}`] = size;
    }
    if (layerNorm) {
      for (const [k, { outputSize }] of this.layout.entries()) own[`norm_l${k}`] = new LayerNorm(outputSize, { engine });
    }
    if (learnedState) {
      for (const [name, width] of Object.entries(spec)) {
        own[`initial_${name}`] = parameter(new Float64Array(width), [width], { engine });
      }
    }
    this.stateSpec = spec;
  }

  /**
   * Training in less memory: instead of gates and cells of every step, the backward pass finds the states between segments of this many
   * steps (at least 1; "auto": the square root of the sequence's steps) and computes each segment again. Outputs are the same bits, weight
   * gradients the same sums in another order, and an update takes one more forward pass. Undefined keeps everything. It belongs to the
   * run and not to the model: it may be changed between calls and is not saved.
   *
   * @throws OST_RANGE for anything else, and for a layer that trains step by step (projection, zoneout, recurrent dropout).
   */
  get recompute(): Recompute | undefined {
    return this.#recompute;
  }

  set recompute(value: Recompute | undefined) {
    if (value !== undefined && value !== "auto") wantCount("recompute", value);
    if (value !== undefined && this.trainsInSteps) {
      throw new OstinatoError("OST_RANGE", {
        what: "a layer that trains step by step (projection, zoneout, recurrent dropout) has no segments to compute again",
        expected: "no recompute",
        got: String(value),
        where: "recompute",
      });
    }
    this.#recompute = value;
  }

  /**
   * How inference reads the weights: "bfloat16" and "int8" take a half and a quarter of the bytes, which is what a single row waits for, and
   * round them (see `WeightType`). The parameters stay as they are, and a recorded call wants "float32", the default. Like `recompute` it
   * belongs to the run and not to the model.
   *
   * @throws OST_RANGE for anything else, for int8 where more than 131,072 products would be summed, and for a projection.
   */
  get weights(): WeightType {
    return this.#weights;
  }

  set weights(value: WeightType) {
    const widths = this.layout.flatMap(({ inputSize, hiddenSize }) => [inputSize, hiddenSize]);
    wantWeights(value, Math.max(...widths, this.outputSize));
    if (value !== "float32" && this.variant.projection !== undefined) throw notSmall(value);
    this.#weights = value;
  }

  get causal(): boolean {
    return !this.bidirectional;
  }

  /** Width of the output: that of h in the last layer, or twice that for two directions side by side. */
  get outputSize(): number {
    return this.layout[this.numLayers - 1].outputSize;
  }

  /** Whether its layers run step by step, slower than whole sequences: with a projection or zoneout. */
  get runsInSteps(): boolean {
    const { projection, zoneout, cellZoneout } = this.variant;
    return projection !== undefined || Boolean(zoneout) || Boolean(cellZoneout);
  }

  /** Whether a call with a generator runs step by step: with recurrent dropout too. */
  get trainsInSteps(): boolean {
    return this.runsInSteps || Boolean(this.variant.recurrentDropout);
  }

  /** Whether inference is one fused call per layer and direction, each on the output of the one below, and nothing between them. */
  get fused(): boolean {
    return !this.runsInSteps && !this.variant.layerNorm && !this.layout.some(({ residual }) => residual);
  }

  /** Zeros, or the learned values in every row, through which gradients flow. */
  initialState(batchSize: number): State {
    const nothing = zeroState(this.stateSpec, batchSize, this.engine);
    if (!this.variant.learnedState) return nothing;
    const own = this as unknown as Record<string, Parameter>;
    return Object.fromEntries(Object.entries(nothing).map(([name, value]) => [name, value.add(own[`initial_${name}`])]));
  }

  /**
   * Runs the stacked layer over whole sequences.
   *
   * Steps at or after `lengths[b]` leave that row's state unchanged and output zero; a row of length 0 returns its initial state.
   *
   * @param x       [batch, time, inputSize]
   * @param options `state`: carried from an earlier call, default the initial state. `lengths`: int32 [batch], 0 <= lengths[b] <= time,
   *                default all `time`. `rng`: turns every dropout on, and zoneout's draws; absent means none of them.
   * @returns `output` [batch, time, outputSize]; `last` [batch, outputSize]; `state`: "h_l{k}" (and "c_l{k}"), [batch, width in stateSpec].
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
    const { rng } = options;
    const norms = this as unknown as Record<string, LayerNorm>;
    let input = x;
    let last = x;
    for (const [layer, { residual }] of this.layout.entries()) {
      const shown = rng ? this.#dropped(input, layer, rng) : input;
      const suffixes = this.bidirectional ? [`_l${layer}`, `_l${layer}_reverse`] : [`_l${layer}`];
      let output = this.#merged(
        suffixes.map((suffix) => this.#direction(suffix, shown, state, lengths, next, rng)),
        2,
      );
      let final = this.#merged(
        suffixes.map((suffix) => next[`h${suffix}`]),
        1,
      );
      if (this.variant.layerNorm) {
        const norm = norms[`norm_l${layer}`];
        [output, final] = [norm.forward(output, lengths), norm.forward(final)];
      }
      if (residual) [output, final] = [output.add(input), final.add(last)];
      [input, last] = [output, final];
    }
    return { output: input, last, state: next };
  }

  /** What `recurrentForward` wants to know of one fused layer's forward direction: sizes, and the weights as they are now. */
  stepArgs(layer: number): Pick<RecurrentForward, "cell" | "weights" | "inputSize" | "hiddenSize" | "packed"> {
    const own = this as unknown as Record<string, Parameter>;
    const suffix = `_l${layer}`;
    const { cell, bias, weights } = this;
    const { inputSize, hiddenSize } = this.layout[layer];
    const packed = this.#packedWeights(suffix).refresh(this.engine, this, {
      weightIh: own[`weight_ih${suffix}`],
      weightHh: own[`weight_hh${suffix}`],
      biasIh: bias ? own[`bias_ih${suffix}`] : null,
      biasHh: bias ? own[`bias_hh${suffix}`] : null,
    });
    return { cell, weights, inputSize, hiddenSize, packed };
  }

  #direction(
    suffix: string,
    x: Tensor,
    state: State,
    lengths: Tensor,
    next: Record<string, Tensor>,
    rng: Rng | undefined,
  ): Tensor {
    const own = this as unknown as Record<string, Parameter>;
    const { weightDropout = 0 } = this.variant;
    const hh = own[`weight_hh${suffix}`];
    const recurrentWeight = rng && weightDropout > 0 ? dropout(hh, weightDropout, rng) : hh;
    const weights: DirectionWeights = {
      ih: own[`weight_ih${suffix}`],
      hh: recurrentWeight,
      bias: this.bias ? { ih: own[`bias_ih${suffix}`], hh: own[`bias_hh${suffix}`] } : null,
      hr: own[`weight_hr${suffix}`] ?? null,
    };
    if (rng ? this.trainsInSteps : this.runsInSteps) return this.#steps(suffix, x, weights, state, lengths, next, rng);
    const inputs = [x, weights.ih, weights.hh];
    if (weights.bias) inputs.push(weights.bias.ih, weights.bias.hh);
    const carried = [`h${suffix}`, ...(this.cell === "lstm" ? [`c${suffix}`] : [])];
    const [output, ...finals] = applyAll(recurrent, [...inputs, ...carried.map((name) => state[name])], {
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

  #steps(
    suffix: string,
    x: Tensor,
    weights: DirectionWeights,
    state: State,
    lengths: Tensor,
    next: Record<string, Tensor>,
    rng: Rng | undefined,
  ): Tensor {
    const { recurrentDropout = 0, zoneout = 0, cellZoneout = zoneout, projection } = this.variant;
    const masked = rng !== undefined && recurrentDropout > 0;
    if (this.#weights !== "float32" && !stepsAreFused(this.cell, { projected: projection !== undefined, masked })) {
      throw notSmall(this.#weights);
    }
    const [h, c] = [state[`h${suffix}`], state[`c${suffix}`] ?? null];
    const computed = weights.hh instanceof Parameter ? null : new PackedWeights(this.#weights, { once: true });
    const result = recurrentSteps(
      x,
      weights,
      { h, c },
      {
        cell: this.cell,
        reverse: suffix.endsWith("_reverse"),
        packed: computed ?? this.#packedWeights(suffix),
        lengths,
        recurrentMask: masked ? dropoutMask(h.size, recurrentDropout, rng) : null,
        zoneout: { hidden: zoneout, cell: cellZoneout },
        rng,
      },
    );
    computed?.release();
    next[`h${suffix}`] = result.h;
    if (result.c) next[`c${suffix}`] = result.c;
    return result.output;
  }

  /** What a layer reads of its input in training. */
  #dropped(input: Tensor, layer: number, rng: Rng): Tensor {
    const x = layer > 0 && this.dropout > 0 ? dropout(input, this.dropout, rng) : input;
    const locked = (layer > 0 ? this.variant.lockedDropout : this.variant.inputDropout) ?? 0;
    return locked > 0 ? lockedDropout(x, dropoutMask(x.shape[0] * x.shape[2], locked, rng)) : x;
  }

  #merged(directions: readonly Tensor[], axis: number): Tensor {
    if (directions.length === 1) return directions[0];
    const merge: Merge = this.variant.merge ?? "concat";
    if (merge === "concat") return concatenate(directions, axis);
    const sum = directions[0].add(directions[1]);
    return merge === "sum" ? sum : sum.multiply(0.5);
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

  /** Suffix and sizes of every direction of every layer, in PyTorch's order. */
  *#directions(): Generator<[suffix: string, sizes: LayerSizes]> {
    for (const [layer, sizes] of this.layout.entries()) {
      yield [`_l${layer}`, sizes];
      if (this.bidirectional) yield [`_l${layer}_reverse`, sizes];
    }
  }
}

/** [size, stateSize]: orthogonal where it is square. */
function recurrentInit(rng: Rng, size: number, stateSize: number): Float64Array {
  return size === stateSize ? orthogonalInit(rng, size) : glorotInit(rng, size, stateSize);
}

function notSmall(weights: WeightType): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: "steps that are not fused, of a projection or of a GRU with recurrent dropout, have no small weights",
    expected: "weights float32",
    got: weights,
    where: "weights",
  });
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

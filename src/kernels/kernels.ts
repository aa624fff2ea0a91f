/**
 * @file The seam between tensors and compute: what an engine must be able to do.
 *
 * Every pointer is a byte offset into the engine's one `Memory`; `NULL` (0) stands for "absent". Arrays are dense and row-major unless a
 * stride is named; strides and sizes count elements. Integer arrays are int32, all others have the memory's float type.
 *
 * Laws every engine obeys (held by `checkKernels` in `ostinato/testing`):
 * - Rows are independent: a batch of B gives, bit for bit, what B calls with batch 1 give, and a sequence gives what its steps or chunks give.
 *   Each output element of a forward pass sums its inner products in one fixed order that depends on no other size: bias, then inputs in
 *   order, then hidden units in order.
 * - Steps at or after `lengths[b]` are never computed: they leave row b's state as it is, and their outputs and saved values are zero.
 *   A row of length 0 ends in its initial state.
 * - `NaN` and infinities pass through; nothing traps. Values below 1e-30 in magnitude may be flushed to zero. With int8 weights any input or
 *   state that is not finite makes its row NaN from that step on.
 * - Gradients marked "+=" are added to what is there; all other outputs are overwritten.
 * - A kernel may make the memory grow: take views after a call. Its scratch is not counted in `bytesInUse`.
 *
 * Legend: B batch, T time, I inputSize, H hiddenSize, G gates per cell (RNN 1, GRU 3, LSTM 4).
 */
import type { Memory } from "./memory.js";

/** A byte offset into the engine's memory. */
export type Pointer = number;
export const NULL: Pointer = 0;

export type CellKind = "rnnTanh" | "rnnRelu" | "lstm" | "gru" | "gruResetBefore";

/**
 * How a recurrent layer's weights are stored for its forward pass. "bfloat16" and "int8" are for inference: they read a half and a quarter
 * of the bytes, which is what one row and one step wait for. See kernels/bfloat16.c and kernels/int8.c for what they compute.
 */
export const WEIGHT_TYPES = ["float32", "bfloat16", "int8"] as const;
export type WeightType = (typeof WEIGHT_TYPES)[number];

/** C [rows, columns] (+)= A [rows, inner] * B [inner, columns]; A and B are read through strides, so that transposes cost no copy. */
export interface Matmul {
  rows: number;
  columns: number;
  inner: number;
  a: Pointer;
  aRowStride: number;
  aColumnStride: number;
  b: Pointer;
  bRowStride: number;
  bColumnStride: number;
  /** [rows, columns], dense. */
  c: Pointer;
  /** True adds to what stands in c. */
  accumulate: boolean;
}

export interface RecurrentPack {
  cell: CellKind;
  /** Default "float32": the engine's own float type, nothing rounded. */
  weights?: WeightType;
  inputSize: number;
  hiddenSize: number;
  /** [G*H, I], gates in PyTorch's order: LSTM i f g o, GRU r z n. */
  weightIh: Pointer;
  /** [G*H, H] */
  weightHh: Pointer;
  /** [G*H] or NULL */
  biasIh: Pointer;
  /** [G*H] or NULL */
  biasHh: Pointer;
  /** Where the engine's own layout goes: `packedBytes(cell, I, H, weights)` bytes. */
  packed: Pointer;
}

/** One layer in one direction over whole sequences. */
export interface RecurrentForward {
  cell: CellKind;
  /** What `packed` was packed as; default "float32". No backward pass follows any other. */
  weights?: WeightType;
  batch: number;
  time: number;
  inputSize: number;
  hiddenSize: number;
  /** True reads row b from step lengths[b]-1 down to 0; outputs stay at the step they belong to. */
  reverse: boolean;
  /** int32 [B], 0 <= lengths[b] <= T. */
  lengths: Pointer;
  /** [B, T, I] */
  x: Pointer;
  /** Made by `recurrentPack` from the same weights. */
  packed: Pointer;
  /** [B, H] */
  h0: Pointer;
  /** [B, H]; LSTM only, else NULL. */
  c0: Pointer;
  /** Row (b, t) starts at element (b*T + t) * outputStride and holds H values. */
  output: Pointer;
  /** H, or 2H where two directions share one output. */
  outputStride: number;
  /** [B, H] */
  hN: Pointer;
  /** [B, H]; LSTM only, else NULL. */
  cN: Pointer;
  /** True computes the input projection of many steps ahead as one product, false within each step: the same bits, another speed. Default:
   *  as it pays for the shape. For benchmarks and tests; engines may ignore it. */
  hoist?: boolean;
  /** Kept for the backward pass, or NULL when none will follow. LSTM [B, T, 4H]: i f g o after activation. GRU [B, T, 4H]: r z n after
   *  activation, then q = W_hn h + b_hn (reset after) or q = r*h (reset before). RNN: NULL. */
  gates: Pointer;
  /** Kept for the backward pass, or NULL. LSTM [B, T, H]: c_t. Others NULL. */
  cells: Pointer;
}

export interface RecurrentBackward extends Omit<RecurrentForward, "weights" | "packed" | "hN" | "cN" | "hoist"> {
  /** [G*H, I] */
  weightIh: Pointer;
  /** [G*H, H] */
  weightHh: Pointer;
  /** Gradient of the loss by `output`, in the same strided layout; what lies at padded steps is ignored. NULL when nothing used it. */
  dOutput: Pointer;
  /** [B, H] or NULL */
  dHN: Pointer;
  /** [B, H] or NULL */
  dCN: Pointer;
  /** Scratch [B, T, S*H]: gradients by the pre-activations; S = 1 RNN, 4 LSTM, 4 GRU. May be the same memory as `gates`. */
  dGates: Pointer;
  /** [B, T, I], += , or NULL */
  dX: Pointer;
  /** [G*H, I], += , or NULL */
  dWeightIh: Pointer;
  /** [G*H, H], += , or NULL */
  dWeightHh: Pointer;
  /** [G*H], += , or NULL */
  dBiasIh: Pointer;
  /** [G*H], += , or NULL */
  dBiasHh: Pointer;
  /** [B, H], overwritten; must not be NULL (it carries the recurrence). */
  dH0: Pointer;
  /** [B, H], overwritten; LSTM only, else NULL. */
  dC0: Pointer;
}

/** Softmax and cross-entropy of each row at once; a target of -1 leaves the row out (loss 0, gradient 0). */
export interface CrossEntropy {
  rows: number;
  classes: number;
  /** [rows, classes] */
  logits: Pointer;
  /** int32 [rows], -1 .. classes-1 */
  targets: Pointer;
  /** [classes], or NULL for all ones. A row's loss is sum_c q_c * weight_c * -log p_c, as in PyTorch. */
  classWeights: Pointer;
  /** Share of the target's mass spread evenly over all classes, 0 <= s < 1 (Szegedy et al. 2016). */
  smoothing: number;
}

export interface CrossEntropyForward extends CrossEntropy {
  /** [rows] */
  losses: Pointer;
}

export interface CrossEntropyBackward extends CrossEntropy {
  /** [rows] */
  dLosses: Pointer;
  /** [rows, classes], += */
  dLogits: Pointer;
}

export interface Embedding {
  rows: number;
  /** Width of one vector. */
  size: number;
  /** int32 [rows]; a negative index stands for padding: zeros out, no gradient. */
  indices: Pointer;
}

/** y [rows, outputs] = x [rows, inputs] W^T + b, from weights packed once by `linearPack`. */
export interface LinearForward {
  rows: number;
  inputs: number;
  outputs: number;
  x: Pointer;
  /** Made by `linearPack` from weight [outputs, inputs]. */
  packed: Pointer;
  /** [outputs] or NULL */
  bias: Pointer;
  y: Pointer;
}

/** One parameter of an Adam update; four arrays of `count` values, none overlapping another. */
export interface AdamParameter {
  count: number;
  parameter: Pointer;
  gradient: Pointer;
  firstMoment: Pointer;
  secondMoment: Pointer;
}

/** One AdamW update (Kingma & Ba 2015; decoupled decay: Loshchilov & Hutter 2019) of several parameters in place. */
export interface AdamStep {
  parameters: readonly AdamParameter[];
  /** Gradients are read as gradient * gradientScale (clipping without a pass of its own). */
  gradientScale: number;
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Decoupled: parameter -= learningRate * weightDecay * parameter. */
  weightDecay: number;
  /** 1 - beta1^t and 1 - beta2^t. */
  correction1: number;
  correction2: number;
}

/** Kernel calls that were recorded: the same pointers, every time it runs. */
export interface Program {
  run(): void;
  /** Gives the memory of the recorded calls back; it cannot run any more. */
  free(): void;
}

export interface Kernels {
  /** "reference", "wasm" or "native". */
  readonly name: string;
  /** The instruction set the kernels were built for: "avx512vnni", "avx512", "avx2", "x86-64", "neon", "relaxed-simd", "simd128"; "none" for
   *  the reference. */
  readonly isa: string;
  /** What it runs on and why no faster engine does, for the log: for example "avx512, 2 threads" or "relaxed-simd; native
   *  not built: ostinato build-native". */
  readonly detail: string;
  readonly memory: Memory;
  /** Most threads one call may use, the caller's included. No bit of any result depends on it. Engines without threads keep it at 1. */
  threads: number;

  matmul(args: Matmul): void;
  /** Bytes that `linearPack` writes. */
  linearPackedBytes(inputs: number, outputs: number): number;
  /** weight [outputs, inputs] in the engine's own layout. */
  linearPack(args: { inputs: number; outputs: number; weight: Pointer; packed: Pointer }): void;
  /** Each element is one chain: bias, then the inputs in order. */
  linearForward(args: LinearForward): void;
  /** y = tanh(x), elementwise; y may be x. */
  tanh(count: number, x: Pointer, y: Pointer): void;
  /** y = 1 / (1 + exp(-x)), elementwise; y may be x. */
  sigmoid(count: number, x: Pointer, y: Pointer): void;
  /** y += x, elementwise. */
  add(count: number, x: Pointer, y: Pointer): void;
  /** y [columns] += the sum of x [rows, columns] over its rows, in order. */
  addColumnSums(rows: number, columns: number, x: Pointer, y: Pointer): void;
  /** Sum of x*x over all arrays, in float64 and in a fixed order. */
  sumOfSquares(arrays: readonly { count: number; pointer: Pointer }[]): number;
  /** The int32 at `result` becomes 1 if every value of x is finite, else 0. */
  allFinite(count: number, x: Pointer, result: Pointer): void;

  /** Bytes that `recurrentPack` writes. */
  packedBytes(cell: CellKind, inputSize: number, hiddenSize: number, weights?: WeightType): number;
  recurrentPack(args: RecurrentPack): void;
  recurrentForward(args: RecurrentForward): void;
  recurrentBackward(args: RecurrentBackward): void;

  crossEntropyForward(args: CrossEntropyForward): void;
  crossEntropyBackward(args: CrossEntropyBackward): void;
  /** output [rows, size] = table[indices]; table [vocabSize, size]. */
  embeddingForward(args: Embedding & { table: Pointer; output: Pointer }): void;
  /** dTable[indices] += dOutput, rows in order. */
  embeddingBackward(args: Embedding & { dTable: Pointer; dOutput: Pointer }): void;
  adamStep(args: AdamStep): void;

  /**
   * Notes the calls that `calls` makes instead of running them. A fast engine then runs all of them in one crossing, and nothing about them
   * is worked out again. Only for calls that overwrite their results: a program may run a part of itself twice.
   */
  record(calls: () => void): Program;
}

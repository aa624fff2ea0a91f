/**
 * @file The walk over a sequence that all cells share, one row and one step at a time.
 *
 * Row b runs its steps 0 .. lengths[b]-1, forward in time or, in reverse, from lengths[b]-1 down to 0. Padded steps are never visited;
 * what is kept for them is zero. The backward pass visits the same steps in the opposite order and carries the gradients by h and c
 * (backpropagation through time: Werbos 1990, Proceedings of the IEEE 78(10)).
 */
import type { FloatArray } from "../memory.js";

/** The weights of one cell in PyTorch's layout, G gates. */
export interface CellWeights {
  inputSize: number;
  hiddenSize: number;
  /** [G*H, I] */
  weightIh: FloatArray;
  /** [G*H, H] */
  weightHh: FloatArray;
  /** [G*H] */
  biasIh: FloatArray;
  /** [G*H] */
  biasHh: FloatArray;
  /** What the products see of a vector of inputs or hidden units, where that is not the vector itself. */
  quantize?: (values: FloatArray) => FloatArray;
}

/** One row at one step. */
export interface CellStep {
  /** [I] */
  x: FloatArray;
  /** [H], before the step. */
  h: FloatArray;
  /** [H], before the step; empty where the cell has none. */
  c: FloatArray;
  /** [H], after the step. */
  output: FloatArray;
  /** [H], c after the step; may be the same array as `c`. */
  cell: FloatArray;
  /** [saved * H], what the backward pass needs, or a throwaway array. */
  gates: FloatArray;
}

/** Gradients around one step. */
export interface CellGradients {
  /** [H]. In: by h after the step. Out: by h before it. */
  h: Float64Array;
  /** [H]. In: by c after the step. Out: by c before it. */
  c: Float64Array;
  /** [G*H], out: by the input products W_ih x + b_ih. */
  input: Float64Array;
  /** [G*H], out: by the hidden products W_hh h + b_hh. */
  hidden: Float64Array;
}

export interface Cell {
  /** Weight blocks G. */
  readonly gates: number;
  /** Values kept per unit: 0 or 4. */
  readonly saved: number;
  forward(weights: CellWeights, step: CellStep): void;
  backward(weights: CellWeights, step: CellStep, gradients: CellGradients): void;
  /** What the rows of gate `gate` in W_hh were multiplied with; h unless said otherwise. */
  hiddenOperand?(step: CellStep, gate: number): FloatArray;
}

/** Everything of one layer and direction, as whole arrays; see `RecurrentForward` for the shapes. */
export interface SequenceViews {
  batch: number;
  time: number;
  reverse: boolean;
  lengths: Int32Array;
  x: FloatArray;
  h0: FloatArray;
  c0: FloatArray | undefined;
  /** From the first row's first value on. */
  output: FloatArray;
  outputStride: number;
  gates: FloatArray | undefined;
  cells: FloatArray | undefined;
}

export interface SequenceGradients {
  dOutput: FloatArray | undefined;
  dHN: FloatArray | undefined;
  dCN: FloatArray | undefined;
  dX: FloatArray | undefined;
  dWeightIh: FloatArray | undefined;
  dWeightHh: FloatArray | undefined;
  dBiasIh: FloatArray | undefined;
  dBiasHh: FloatArray | undefined;
  dH0: FloatArray;
  dC0: FloatArray | undefined;
}

/** A vector of inputs or hidden units as the products see it. */
export function operand({ quantize }: CellWeights, values: FloatArray): FloatArray {
  return quantize ? quantize(values) : values;
}

/** W_ih x + b_ih + b_hh + W_hh h of one weight row: biases, then inputs, then hidden units, in order. @param x, h operands */
export function preActivation(weights: CellWeights, row: number, x: FloatArray, h: FloatArray): number {
  const sum = weights.biasIh[row] + weights.biasHh[row];
  return product(weights.weightHh, row, h, product(weights.weightIh, row, x, sum));
}

/** `sum` + row `row` of `matrix` times `vector`. */
export function product(matrix: FloatArray, row: number, vector: FloatArray, sum: number): number {
  const start = row * vector.length;
  for (let k = 0; k < vector.length; k++) sum += matrix[start + k] * vector[k];
  return sum;
}

/** out += matrix' * gradient, for the rows first .. first+count of a [., out.length] matrix. */
export function addTransposed(
  matrix: FloatArray,
  first: number,
  count: number,
  gradient: Float64Array,
  out: Float64Array | FloatArray,
): void {
  for (let row = first; row < first + count; row++) {
    for (let k = 0; k < out.length; k++) out[k] += gradient[row] * matrix[row * out.length + k];
  }
}

/** @param hN [B, H] @param cN [B, H] where the cell has one */
export function forwardSequence(
  cell: Cell,
  weights: CellWeights,
  s: SequenceViews,
  hN: FloatArray,
  cN: FloatArray | undefined,
): void {
  const H = weights.hiddenSize;
  // Rounded like gates that are kept, so that keeping them changes no result.
  const throwaway = s.x instanceof Float32Array ? new Float32Array(cell.saved * H) : new Float64Array(cell.saved * H);
  for (let b = 0; b < s.batch; b++) {
    const length = s.lengths[b];
    for (let t = length; t < s.time; t++) {
      outputAt(s, H, b, t).fill(0);
      s.gates?.fill(0, (b * s.time + t) * cell.saved * H, (b * s.time + t + 1) * cell.saved * H);
      s.cells?.fill(0, (b * s.time + t) * H, (b * s.time + t + 1) * H);
    }
    const carried = cN?.subarray(b * H, (b + 1) * H);
    if (s.c0 && carried) carried.set(s.c0.subarray(b * H, (b + 1) * H));
    for (let step = 0; step < length; step++) {
      const views = stepAt(cell, s, weights, b, step, carried, throwaway);
      cell.forward(weights, views);
      if (carried && views.cell !== carried) carried.set(views.cell);
    }
    hN.set(hiddenBefore(s, H, b, length), b * H);
  }
}

export function backwardSequence(cell: Cell, weights: CellWeights, s: SequenceViews, g: SequenceGradients): void {
  const { inputSize: I, hiddenSize: H } = weights;
  const gradients: CellGradients = {
    h: new Float64Array(H),
    c: new Float64Array(H),
    input: new Float64Array(cell.gates * H),
    hidden: new Float64Array(cell.gates * H),
  };
  for (let b = 0; b < s.batch; b++) {
    for (let j = 0; j < H; j++) {
      gradients.h[j] = g.dHN ? g.dHN[b * H + j] : 0;
      gradients.c[j] = g.dCN ? g.dCN[b * H + j] : 0;
    }
    for (let step = s.lengths[b] - 1; step >= 0; step--) {
      const at = b * s.time + timeOf(s, b, step);
      const views = stepAt(cell, s, weights, b, step, undefined, undefined);
      if (g.dOutput) for (let j = 0; j < H; j++) gradients.h[j] += g.dOutput[at * s.outputStride + j];
      cell.backward(weights, views, gradients);
      if (g.dX) addTransposed(weights.weightIh, 0, cell.gates * H, gradients.input, g.dX.subarray(at * I, (at + 1) * I));
      for (let row = 0; row < cell.gates * H; row++) {
        if (g.dWeightIh) addScaled(gradients.input[row], views.x, g.dWeightIh.subarray(row * I, (row + 1) * I));
        const operand = cell.hiddenOperand?.(views, Math.floor(row / H)) ?? views.h;
        if (g.dWeightHh) addScaled(gradients.hidden[row], operand, g.dWeightHh.subarray(row * H, (row + 1) * H));
        if (g.dBiasIh) g.dBiasIh[row] += gradients.input[row];
        if (g.dBiasHh) g.dBiasHh[row] += gradients.hidden[row];
      }
    }
    g.dH0.set(gradients.h, b * H);
    g.dC0?.set(gradients.c, b * H);
  }
}

function addScaled(scale: number, from: FloatArray, to: FloatArray): void {
  for (let k = 0; k < from.length; k++) to[k] += scale * from[k];
}

function timeOf(s: SequenceViews, b: number, step: number): number {
  return s.reverse ? s.lengths[b] - 1 - step : step;
}

function outputAt(s: SequenceViews, H: number, b: number, t: number): FloatArray {
  const start = (b * s.time + t) * s.outputStride;
  return s.output.subarray(start, start + H);
}

function hiddenBefore(s: SequenceViews, H: number, b: number, step: number): FloatArray {
  return step === 0 ? s.h0.subarray(b * H, (b + 1) * H) : outputAt(s, H, b, timeOf(s, b, step - 1));
}

function stepAt(
  cell: Cell,
  s: SequenceViews,
  { inputSize: I, hiddenSize: H }: CellWeights,
  b: number,
  step: number,
  carried: FloatArray | undefined,
  throwaway: FloatArray | undefined,
): CellStep {
  const at = b * s.time + timeOf(s, b, step);
  const none = new Float64Array(0);
  const kept = s.cells?.subarray(at * H, (at + 1) * H);
  const before = b * s.time + timeOf(s, b, step - 1);
  const c = step === 0 ? s.c0?.subarray(b * H, (b + 1) * H) : s.cells?.subarray(before * H, (before + 1) * H);
  return {
    x: s.x.subarray(at * I, (at + 1) * I),
    h: hiddenBefore(s, H, b, step),
    c: (kept ? c : carried) ?? none,
    output: s.output.subarray(at * s.outputStride, at * s.outputStride + H),
    cell: kept ?? carried ?? none,
    gates: s.gates?.subarray(at * cell.saved * H, (at + 1) * cell.saved * H) ?? throwaway ?? none,
  };
}

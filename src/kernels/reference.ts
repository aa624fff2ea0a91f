/**
 * @file The reference engine: every kernel as plain loops, written to be read and to judge the fast engines.
 *
 * In float64 it is the oracle of `checkKernels` and precise enough for finite differences. In float32 it reads and stores float32 and
 * sums in float64; it is what runs where WebAssembly cannot.
 */
import {
  type AdamStep,
  type CellKind,
  type CrossEntropyBackward,
  type CrossEntropyForward,
  type Embedding,
  type Kernels,
  type LinearForward,
  type Matmul,
  NULL,
  type Pointer,
  type Program,
  type RecurrentBackward,
  type RecurrentForward,
  type RecurrentPack,
  type WeightType,
} from "./kernels.js";
import { type FloatArray, type FloatType, Memory } from "./memory.js";
import { activate, sigmoid, sumOfSquares } from "./reference/activation.js";
import { adamStep } from "./reference/adam.js";
import { crossEntropy, crossEntropyGradient } from "./reference/cross-entropy.js";
import { embeddingBackward, embeddingForward } from "./reference/embedding.js";
import { gru, gruResetBefore } from "./reference/gru.js";
import { lstm } from "./reference/lstm.js";
import { matmul } from "./reference/matmul.js";
import {
  backwardSequence,
  type Cell,
  type CellWeights,
  forwardSequence,
  product,
  type SequenceViews,
} from "./reference/recurrent.js";
import { rnnRelu, rnnTanh } from "./reference/rnn.js";
import { roundRowsToInt8, roundToBfloat16, roundToInt8 } from "./reference/small-weights.js";

const CELLS: Record<CellKind, Cell> = { rnnTanh, rnnRelu, lstm, gru, gruResetBefore };

export class ReferenceKernels implements Kernels {
  readonly name = "reference";
  readonly isa = "none";
  readonly detail: string;
  readonly memory: Memory;
  /** Calls of the program that is being recorded, or null. */
  #recording: (() => void)[] | null = null;

  /** @param reason why this engine stands in for a faster one; goes into `detail`. */
  constructor(floatType: FloatType = "float64", reason?: string) {
    this.detail = reason ? `${floatType}, ${reason}` : floatType;
    this.memory = new Memory(floatType);
  }

  /** Always 1, whatever is set: plain loops. */
  get threads(): number {
    return 1;
  }

  set threads(_: number) {}

  matmul(args: Matmul): void {
    const { rows, columns, inner } = args;
    const values = this.memory.floats;
    const offset = (pointer: Pointer) => pointer / this.memory.bytesPerFloat;
    const a = { values, offset: offset(args.a), rowStride: args.aRowStride, columnStride: args.aColumnStride };
    const b = { values, offset: offset(args.b), rowStride: args.bRowStride, columnStride: args.bColumnStride };
    matmul(rows, columns, inner, a, b, this.#floats(args.c, rows * columns), args.accumulate);
  }

  /** The packed layout is a plain copy. */
  linearPackedBytes(inputs: number, outputs: number): number {
    return inputs * outputs * this.memory.bytesPerFloat;
  }

  linearPack({ inputs, outputs, weight, packed }: { inputs: number; outputs: number; weight: Pointer; packed: Pointer }): void {
    this.#floats(packed, inputs * outputs).set(this.#floats(weight, inputs * outputs));
  }

  linearForward(args: LinearForward): void {
    if (this.#later(() => this.linearForward(args))) return;
    const { rows, inputs, outputs } = args;
    const [x, weight, y] = [
      this.#floats(args.x, rows * inputs),
      this.#floats(args.packed, inputs * outputs),
      this.#floats(args.y, rows * outputs),
    ];
    const bias = this.#optional(args.bias, outputs);
    for (let row = 0; row < rows; row++) {
      for (let o = 0; o < outputs; o++) {
        y[row * outputs + o] = product(weight, o, x.subarray(row * inputs, (row + 1) * inputs), bias?.[o] ?? 0);
      }
    }
  }

  tanh(count: number, x: Pointer, y: Pointer): void {
    activate(Math.tanh, this.#floats(x, count), this.#floats(y, count));
  }

  sigmoid(count: number, x: Pointer, y: Pointer): void {
    activate(sigmoid, this.#floats(x, count), this.#floats(y, count));
  }

  add(count: number, x: Pointer, y: Pointer): void {
    const [from, to] = [this.#floats(x, count), this.#floats(y, count)];
    for (let i = 0; i < count; i++) to[i] += from[i];
  }

  addColumnSums(rows: number, columns: number, x: Pointer, y: Pointer): void {
    const [from, to] = [this.#floats(x, rows * columns), this.#floats(y, columns)];
    for (let row = 0; row < rows; row++) for (let j = 0; j < columns; j++) to[j] += from[row * columns + j];
  }

  sumOfSquares(arrays: readonly { count: number; pointer: Pointer }[]): number {
    return arrays.reduce((total, { count, pointer }) => total + sumOfSquares(this.#floats(pointer, count)), 0);
  }

  allFinite(count: number, x: Pointer, result: Pointer): void {
    if (this.#later(() => this.allFinite(count, x, result))) return;
    this.memory.ints[result / 4] = this.#floats(x, count).every(Number.isFinite) ? 1 : 0;
  }

  /** The same for every type of weights: they are rounded, and not stored in less. */
  packedBytes(cell: CellKind, inputSize: number, hiddenSize: number, _weights?: WeightType): number {
    return CELLS[cell].gates * hiddenSize * (inputSize + hiddenSize + 2) * this.memory.bytesPerFloat;
  }

  /** The packed layout is a plain copy, rounded where the weights are small: weightIh, weightHh, biasIh, biasHh. */
  recurrentPack(args: RecurrentPack): void {
    const { cell, weights = "float32", inputSize, hiddenSize, weightIh, weightHh, biasIh, biasHh, packed } = args;
    const to = this.#packedWeights(cell, inputSize, hiddenSize, packed);
    const rows = CELLS[cell].gates * hiddenSize;
    to.weightIh.set(rounded(this.#floats(weightIh, rows * inputSize), inputSize, weights));
    to.weightHh.set(rounded(this.#floats(weightHh, rows * hiddenSize), hiddenSize, weights));
    to.biasIh.set(this.#optional(biasIh, rows) ?? new Float64Array(rows));
    to.biasHh.set(this.#optional(biasHh, rows) ?? new Float64Array(rows));
  }

  recurrentForward(args: RecurrentForward): void {
    if (this.#later(() => this.recurrentForward(args))) return;
    const { cell, batch, inputSize, hiddenSize } = args;
    const weights = this.#packedWeights(cell, inputSize, hiddenSize, args.packed);
    if (args.weights === "int8") weights.quantize = roundToInt8;
    const hN = this.#floats(args.hN, batch * hiddenSize);
    forwardSequence(CELLS[cell], weights, this.#sequence(args), hN, this.#optional(args.cN, batch * hiddenSize));
  }

  recurrentBackward(args: RecurrentBackward): void {
    const { cell, batch, time, inputSize, hiddenSize, outputStride } = args;
    const rows = CELLS[cell].gates * hiddenSize;
    const states = batch * hiddenSize;
    const weights: CellWeights = {
      inputSize,
      hiddenSize,
      weightIh: this.#floats(args.weightIh, rows * inputSize),
      weightHh: this.#floats(args.weightHh, rows * hiddenSize),
      biasIh: new Float64Array(0),
      biasHh: new Float64Array(0),
    };
    backwardSequence(CELLS[cell], weights, this.#sequence(args), {
      dOutput: this.#optional(args.dOutput, stridedCount(batch * time, outputStride, hiddenSize)),
      dHN: this.#optional(args.dHN, states),
      dCN: this.#optional(args.dCN, states),
      dX: this.#optional(args.dX, batch * time * inputSize),
      dWeightIh: this.#optional(args.dWeightIh, rows * inputSize),
      dWeightHh: this.#optional(args.dWeightHh, rows * hiddenSize),
      dBiasIh: this.#optional(args.dBiasIh, rows),
      dBiasHh: this.#optional(args.dBiasHh, rows),
      dH0: this.#floats(args.dH0, states),
      dC0: this.#optional(args.dC0, states),
    });
  }

  crossEntropyForward({ rows, classes, logits, targets, classWeights, smoothing, losses }: CrossEntropyForward): void {
    const out = this.#floats(losses, rows);
    const wanted = this.memory.intsAt(targets, rows);
    const weights = this.#optional(classWeights, classes);
    const x = this.#floats(logits, rows * classes);
    for (let row = 0; row < rows; row++) {
      out[row] = crossEntropy(x.subarray(row * classes, (row + 1) * classes), wanted[row], weights, smoothing);
    }
  }

  crossEntropyBackward({
    rows,
    classes,
    logits,
    targets,
    classWeights,
    smoothing,
    dLosses,
    dLogits,
  }: CrossEntropyBackward): void {
    const slopes = this.#floats(dLosses, rows);
    const wanted = this.memory.intsAt(targets, rows);
    const weights = this.#optional(classWeights, classes);
    const x = this.#floats(logits, rows * classes);
    const dX = this.#floats(dLogits, rows * classes);
    for (let row = 0; row < rows; row++) {
      const [from, to] = [row * classes, (row + 1) * classes];
      crossEntropyGradient(x.subarray(from, to), wanted[row], weights, smoothing, slopes[row], dX.subarray(from, to));
    }
  }

  embeddingForward({ rows, size, indices, table, output }: Embedding & { table: Pointer; output: Pointer }): void {
    embeddingForward(size, this.memory.intsAt(indices, rows), this.#rest(table), this.#floats(output, rows * size));
  }

  embeddingBackward({ rows, size, indices, dTable, dOutput }: Embedding & { dTable: Pointer; dOutput: Pointer }): void {
    embeddingBackward(size, this.memory.intsAt(indices, rows), this.#floats(dOutput, rows * size), this.#rest(dTable));
  }

  adamStep({ parameters, ...options }: AdamStep): void {
    for (const { count, parameter, gradient, firstMoment, secondMoment } of parameters) {
      const [p, g, m, v] = [parameter, gradient, firstMoment, secondMoment].map((pointer) => this.#floats(pointer, count));
      adamStep(p, g, m, v, options);
    }
  }

  record(calls: () => void): Program {
    const recorded: (() => void)[] = [];
    this.#recording = recorded;
    try {
      calls();
    } finally {
      this.#recording = null;
    }
    return {
      run: () => {
        for (const call of recorded) call();
      },
      free: () => {
        recorded.length = 0;
      },
    };
  }

  /** True if the call was noted for a program instead. */
  #later(call: () => void): boolean {
    this.#recording?.push(call);
    return this.#recording !== null;
  }

  #floats(pointer: Pointer, count: number): FloatArray {
    return this.memory.floatsAt(pointer, count);
  }

  #optional(pointer: Pointer, count: number): FloatArray | undefined {
    return pointer === NULL ? undefined : this.memory.floatsAt(pointer, count);
  }

  /** From a pointer to the end of the memory, for a table whose number of rows the seam does not name. */
  #rest(pointer: Pointer): FloatArray {
    return this.memory.floats.subarray(pointer / this.memory.bytesPerFloat);
  }

  #sequence(args: Omit<RecurrentForward, "packed" | "hN" | "cN">): SequenceViews {
    const { cell, batch, time, inputSize, hiddenSize, outputStride } = args;
    return {
      batch,
      time,
      reverse: args.reverse,
      lengths: this.memory.intsAt(args.lengths, batch),
      x: this.#floats(args.x, batch * time * inputSize),
      h0: this.#floats(args.h0, batch * hiddenSize),
      c0: this.#optional(args.c0, batch * hiddenSize),
      output: this.#floats(args.output, stridedCount(batch * time, outputStride, hiddenSize)),
      outputStride,
      gates: this.#optional(args.gates, batch * time * CELLS[cell].saved * hiddenSize),
      cells: this.#optional(args.cells, batch * time * hiddenSize),
    };
  }

  #packedWeights(cell: CellKind, inputSize: number, hiddenSize: number, packed: Pointer): CellWeights {
    const rows = CELLS[cell].gates * hiddenSize;
    const all = this.#floats(packed, rows * (inputSize + hiddenSize + 2));
    let start = 0;
    const next = (count: number) => all.subarray(start, (start += count));
    return {
      inputSize,
      hiddenSize,
      weightIh: next(rows * inputSize),
      weightHh: next(rows * hiddenSize),
      biasIh: next(rows),
      biasHh: next(rows),
    };
  }
}

/** A weight matrix as a type of weights holds it. */
function rounded(matrix: FloatArray, columns: number, weights: WeightType): FloatArray {
  if (weights === "int8") return roundRowsToInt8(matrix, columns);
  return weights === "bfloat16" ? matrix.map(roundToBfloat16) : matrix;
}

/** Floats from the first value of the first row to the last value of the last. */
function stridedCount(rows: number, stride: number, width: number): number {
  return rows === 0 ? 0 : (rows - 1) * stride + width;
}

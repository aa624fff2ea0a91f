/**
 * @file The kernels of kernels/*.c, however they were compiled: writes a call's arguments as a block of 32-bit words into the engine's memory
 * and hands its place over. WebAssembly and native code read the same blocks and work in place on the same memory.
 */
import {
  type AdamStep,
  type CellKind,
  type CrossEntropy,
  type CrossEntropyBackward,
  type CrossEntropyForward,
  type Embedding,
  type Kernels,
  type LinearForward,
  type Matmul,
  type Pointer,
  type Program,
  type RecurrentBackward,
  type RecurrentForward,
  type RecurrentPack,
  WEIGHT_TYPES,
  type WeightType,
} from "./kernels.js";
import type { Memory } from "./memory.js";
import { countThreads } from "./thread-count.js";

/** In the order of kernels/kernels.h; a kernel's number is its place. */
export const KERNELS = [
  "program",
  "matmul",
  "linear_pack",
  "linear_forward",
  "activation_tanh",
  "activation_sigmoid",
  "sum_of_squares",
  "add",
  "add_column_sums",
  "all_finite",
  "recurrent_pack",
  "recurrent_forward",
  "recurrent_backward",
  "cross_entropy_forward",
  "cross_entropy_backward",
  "embedding_forward",
  "embedding_backward",
  "adam_step",
  "multiply_add_peak",
  "shared_calls",
] as const;
type Kernel = (typeof KERNELS)[number];
const NUMBER = Object.fromEntries(KERNELS.map((name, i) => [name, i])) as Record<Kernel, number>;

/** In the order of CELLS in kernels/recurrent.c. */
const CELLS: readonly CellKind[] = ["rnnTanh", "rnnRelu", "lstm", "gru", "gruResetBefore"];
const CELL = Object.fromEntries(CELLS.map((cell, i) => [cell, i])) as Record<CellKind, number>;

/** As SMALL_WEIGHTS in kernels/small-weights.c, where float32 is none. */
const WEIGHTS = Object.fromEntries(WEIGHT_TYPES.map((type, i) => [type, i])) as Record<WeightType, number>;

/** Enough for the longest block, `recurrent_backward`. */
const BLOCK_BYTES = 256;
/** Words of the context: scratch, bytes of it, threads; the rest is room for a result. */
const CONTEXT_BYTES = 64;
const [SCRATCH, SCRATCH_BYTES, THREADS, RESULT] = [0, 1, 2, 4];

/** The two words of a double. */
const double = new Float64Array(1);
const words = new Int32Array(double.buffer);

export abstract class CompiledKernels implements Kernels {
  abstract readonly name: string;
  abstract readonly isa: string;
  abstract readonly detail: string;
  readonly memory: Memory;
  readonly #block: Pointer;
  readonly #context: Pointer;
  /** Blocks of the program that is being recorded, or null. */
  #recording: Pointer[] | null = null;
  #threads = 1;

  protected constructor(memory: Memory) {
    this.memory = memory;
    this.#block = memory.allocate(BLOCK_BYTES);
    this.#context = memory.allocate(CONTEXT_BYTES);
    memory.ints.fill(0, this.#context >>> 2, (this.#context + CONTEXT_BYTES) >>> 2);
    this.threads = 1;
  }

  /** Runs the call of a block; returns 0, or the bytes of scratch it wants first. */
  protected abstract run(block: Pointer, context: Pointer): number;

  /** Called before so many threads, more than one, are set; native code makes them by itself. @throws OST_ENGINE where they cannot be. */
  protected wantThreads(_count: number): void {}

  get threads(): number {
    return this.#threads;
  }

  /** @throws OST_RANGE outside 1 .. 64. @throws OST_ENGINE where there cannot be so many. */
  set threads(count: number) {
    countThreads(count, "kernels.threads");
    if (count > 1) this.wantThreads(count);
    this.#threads = count;
    this.memory.ints[(this.#context >>> 2) + THREADS] = count;
  }

  matmul({ rows, columns, inner, a, aRowStride, aColumnStride, b, bRowStride, bColumnStride, c, accumulate }: Matmul): void {
    const strides = [a, aRowStride, aColumnStride, b, bRowStride, bColumnStride];
    this.#call(NUMBER.matmul, [rows, columns, inner, ...strides, c, accumulate ? 1 : 0]);
  }

  linearPackedBytes(inputs: number, outputs: number): number {
    // The widest vectors have 16 floats; a narrower engine needs no more.
    return inputs * Math.ceil(outputs / 16) * 16 * 4;
  }

  linearPack({ inputs, outputs, weight, packed }: { inputs: number; outputs: number; weight: Pointer; packed: Pointer }): void {
    this.#call(NUMBER.linear_pack, [inputs, outputs, weight, packed]);
  }

  linearForward({ rows, inputs, outputs, x, packed, bias, y }: LinearForward): void {
    this.#call(NUMBER.linear_forward, [rows, inputs, outputs, x, packed, bias, y]);
  }

  tanh(count: number, x: Pointer, y: Pointer): void {
    this.#call(NUMBER.activation_tanh, [count, x, y]);
  }

  sigmoid(count: number, x: Pointer, y: Pointer): void {
    this.#call(NUMBER.activation_sigmoid, [count, x, y]);
  }

  add(count: number, x: Pointer, y: Pointer): void {
    this.#call(NUMBER.add, [count, x, y]);
  }

  addColumnSums(rows: number, columns: number, x: Pointer, y: Pointer): void {
    this.#call(NUMBER.add_column_sums, [rows, columns, x, y]);
  }

  sumOfSquares(arrays: readonly { count: number; pointer: Pointer }[]): number {
    const counted: number[] = [];
    for (const { count, pointer } of arrays) counted.push(count, pointer);
    const list = this.#list(counted);
    const result = this.#context + 4 * RESULT;
    this.#call(NUMBER.sum_of_squares, [arrays.length, list, result]);
    this.memory.free(list);
    const { ints } = this.memory;
    words[0] = ints[result >>> 2];
    words[1] = ints[(result >>> 2) + 1];
    return double[0];
  }

  allFinite(count: number, x: Pointer, result: Pointer): void {
    this.#call(NUMBER.all_finite, [count, x, result]);
  }

  packedBytes(cell: CellKind, inputSize: number, hiddenSize: number, weights: WeightType = "float32"): number {
    const result = this.#context + 4 * RESULT;
    this.#call(NUMBER.recurrent_pack, [CELL[cell], WEIGHTS[weights], inputSize, hiddenSize, result]);
    return this.memory.ints[result >>> 2] >>> 0;
  }

  recurrentPack({ cell, weights = "float32", inputSize, hiddenSize, ...arrays }: RecurrentPack): void {
    const { weightIh, weightHh, biasIh, biasHh, packed } = arrays;
    const sizes = [CELL[cell], WEIGHTS[weights], inputSize, hiddenSize];
    this.#call(NUMBER.recurrent_pack, [...sizes, 0, weightIh, weightHh, biasIh, biasHh, packed]);
  }

  recurrentForward(args: RecurrentForward): void {
    const { cell, weights = "float32", packed, hN, cN, hoist } = args;
    const block = [CELL[cell], WEIGHTS[weights]];
    pushSequence(block, args);
    block.push(packed, hN, cN, hoist === undefined ? 0 : hoist ? 2 : 1);
    this.#call(NUMBER.recurrent_forward, block);
  }

  recurrentBackward(args: RecurrentBackward): void {
    const { weightIh, weightHh, dOutput, dHN, dCN, dGates, dX, dWeightIh, dWeightHh, dBiasIh, dBiasHh, dH0, dC0 } = args;
    const block = [CELL[args.cell]];
    pushSequence(block, args);
    block.push(weightIh, weightHh, dOutput, dHN, dCN, dGates, dX, dWeightIh, dWeightHh, dBiasIh, dBiasHh, dH0, dC0);
    this.#call(NUMBER.recurrent_backward, block);
  }

  crossEntropyForward(args: CrossEntropyForward): void {
    this.#call(NUMBER.cross_entropy_forward, [...crossEntropy(args), args.losses]);
  }

  crossEntropyBackward(args: CrossEntropyBackward): void {
    this.#call(NUMBER.cross_entropy_backward, [...crossEntropy(args), args.dLosses, args.dLogits]);
  }

  embeddingForward({ rows, size, indices, table, output }: Embedding & { table: Pointer; output: Pointer }): void {
    this.#call(NUMBER.embedding_forward, [rows, size, indices, table, output]);
  }

  embeddingBackward({ rows, size, indices, dTable, dOutput }: Embedding & { dTable: Pointer; dOutput: Pointer }): void {
    this.#call(NUMBER.embedding_backward, [rows, size, indices, dOutput, dTable]);
  }

  adamStep(args: AdamStep): void {
    const { parameters, gradientScale, learningRate, beta1, beta2, epsilon, weightDecay, correction1, correction2 } = args;
    const places: number[] = [];
    for (const { count, parameter, gradient, firstMoment, secondMoment } of parameters) {
      places.push(count, parameter, gradient, firstMoment, secondMoment);
    }
    const list = this.#list(places);
    const block: number[] = [];
    for (const rate of [gradientScale, learningRate, beta1, beta2, epsilon, weightDecay, correction1, correction2]) {
      block.push(...doubleWords(rate));
    }
    block.push(parameters.length, list);
    this.#call(NUMBER.adam_step, block);
    this.memory.free(list);
  }

  /**
   * Floating point operations per second of the widest multiply-add on data in registers: what shares of the peak refer to.
   *
   * @param seconds how long to measure, at least.
   */
  multiplyAddPeak(seconds = 0.2): number {
    const result = this.#context + 4 * RESULT;
    const floats = this.memory.floats;
    let operations = 0;
    const start = performance.now();
    const rounds = 1_000_000;
    while (performance.now() - start < 1000 * seconds) {
      floats[result >>> 2] = 0.5;
      this.#call(NUMBER.multiply_add_peak, [rounds, result]);
      operations += rounds * floats[result >>> 2];
    }
    return operations / ((performance.now() - start) / 1000);
  }

  /**
   * How many calls several threads have shared so far (native: in the whole process), and how many threads took part in the last call that
   * several were invited to. For tests and benchmarks: results cannot tell.
   *
   * @param options `insist`: from now on such calls wait for every thread, however long, instead of for a moment. Default false.
   */
  sharedCalls({ insist = false }: { insist?: boolean } = {}): { calls: number; threads: number } {
    const result = this.#context + 4 * RESULT;
    this.#call(NUMBER.shared_calls, [result, insist ? 1 : 0]);
    const [calls, threads] = this.memory.intsAt(result, 2);
    return { calls, threads };
  }

  record(calls: () => void): Program {
    const { memory } = this;
    const blocks: Pointer[] = [];
    this.#recording = blocks;
    try {
      calls();
    } finally {
      this.#recording = null;
    }
    const program = memory.allocate(4 * (2 + blocks.length));
    memory.ints.set([NUMBER.program, blocks.length, ...blocks], program >>> 2);
    return {
      run: () => this.#run(program),
      free: () => {
        for (const block of blocks.splice(0)) memory.free(block);
        memory.free(program);
      },
    };
  }

  #call(kernel: number, args: readonly number[]): void {
    const recorded = this.#recording;
    const block = recorded ? this.memory.allocate(BLOCK_BYTES) : this.#block;
    recorded?.push(block);
    const { ints } = this.memory;
    const first = block >>> 2;
    ints[first] = kernel;
    for (let i = 0; i < args.length; i++) ints[first + 1 + i] = args[i];
    if (recorded === null) this.#run(block);
  }

  #run(block: Pointer): void {
    for (;;) {
      const wanted = this.run(block, this.#context);
      if (wanted === 0) return;
      const scratch = this.memory.scratch(wanted);
      const context = this.#context >>> 2;
      this.memory.ints[context + SCRATCH] = scratch;
      this.memory.ints[context + SCRATCH_BYTES] = this.memory.scratchBytes;
    }
  }

  /** A list of words for the length of a call. */
  #list(values: readonly number[]): Pointer {
    const list = this.memory.allocate(4 * values.length);
    this.memory.ints.set(values, list >>> 2);
    return list;
  }
}

/** The fields of `Sequence` in kernels/recurrent.h, in order, behind what is in the block. */
function pushSequence(block: number[], args: Omit<RecurrentForward, "packed" | "hN" | "cN">): void {
  const { batch, time, inputSize, hiddenSize, reverse, outputStride, lengths, x, h0, c0, output, gates, cells } = args;
  block.push(batch, time, inputSize, hiddenSize, reverse ? 1 : 0, outputStride, lengths, x, h0, c0, output, gates, cells);
}

function crossEntropy({ rows, classes, logits, targets, classWeights, smoothing }: CrossEntropy): number[] {
  return [rows, classes, logits, targets, classWeights, ...doubleWords(smoothing)];
}

function doubleWords(value: number): [number, number] {
  double[0] = value;
  return [words[0], words[1]];
}

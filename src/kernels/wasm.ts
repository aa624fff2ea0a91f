/**
 * @file The WebAssembly engine: the kernels of kernels/*.c, compiled to two modules.
 *
 * `simd128` runs wherever WebAssembly SIMD does; `relaxed` uses the fused multiply-add of relaxed SIMD where the runtime has it. Both are
 * committed as base64 (rebuilt and compared by `node kernels/build.mjs --check`), so that creating an engine needs no file and no wait.
 *
 * The module keeps its constants and stack in the first bytes of the memory; scratch comes from the same memory for the length of one
 * call, so a call may grow the memory: take views after it, not before.
 */
import { prepareWasm } from "#platform";
import { OstinatoError } from "../core/errors.js";
import type {
  AdamStep,
  CellKind,
  CrossEntropyBackward,
  CrossEntropyForward,
  Embedding,
  Kernels,
  Matmul,
  Pointer,
  RecurrentBackward,
  RecurrentForward,
  RecurrentPack,
} from "./kernels.js";
import { Memory } from "./memory.js";
import relaxed from "./wasm/relaxed.js";
import simd128 from "./wasm/simd128.js";

export type WasmVariant = "simd128" | "relaxed";

/** Enough for the longest argument block, `Backward` of kernels/recurrent.h. */
const ARGUMENT_BYTES = 128;
const INITIAL_PAGES = 64;
const MAX_PAGES = 65536;

/** What kernels/*.c export; every parameter is a number, pointers are byte offsets. */
type Exports = Record<string, (...args: number[]) => number> & { __heap_base: WebAssembly.Global };

/** The C name of each cell, and what its functions take after the argument block. */
const CELLS: Record<CellKind, { prefix: "rnn" | "lstm" | "gru"; flag: number[] }> = {
  rnnTanh: { prefix: "rnn", flag: [0] },
  rnnRelu: { prefix: "rnn", flag: [1] },
  lstm: { prefix: "lstm", flag: [] },
  gru: { prefix: "gru", flag: [0] },
  gruResetBefore: { prefix: "gru", flag: [1] },
};

export class WasmKernels implements Kernels {
  readonly name = "wasm";
  readonly detail: string;
  readonly memory: Memory;
  readonly variant: WasmVariant;
  readonly #exports: Exports;
  readonly #arguments: Pointer;

  private constructor(variant: WasmVariant, module: WebAssembly.Module) {
    const wasm = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: MAX_PAGES });
    const instance = new WebAssembly.Instance(module, { env: { memory: wasm } });
    this.#exports = instance.exports as Exports;
    this.memory = new Memory("float32", { wasm, reservedBytes: this.#exports.__heap_base.value as number });
    this.#arguments = this.memory.allocate(ARGUMENT_BYTES);
    this.variant = variant;
    this.detail = variant === "relaxed" ? "relaxed SIMD" : "simd128";
  }

  /**
   * Compiles the kernels and gives them a memory of their own, at once (on a browser's main thread too: the modules are small).
   *
   * @param options `variant`: "auto" (the default) takes relaxed SIMD where the runtime validates it, else simd128.
   * @throws OST_ENGINE when the runtime does not have the variant.
   */
  static create({ variant = "auto" }: { variant?: WasmVariant | "auto" } = {}): WasmKernels {
    if (typeof WebAssembly === "undefined") {
      throw new OstinatoError("OST_ENGINE", { what: "this runtime has no WebAssembly", where: "WasmKernels.create" });
    }
    prepareWasm();
    const wanted: WasmVariant[] = variant === "auto" ? ["relaxed", "simd128"] : [variant];
    for (const candidate of wanted) {
      const bytes = decode(candidate === "relaxed" ? relaxed : simd128);
      if (WebAssembly.validate(bytes)) return new WasmKernels(candidate, new WebAssembly.Module(bytes));
    }
    throw new OstinatoError("OST_ENGINE", {
      what: "this runtime cannot run the WebAssembly kernels",
      expected: `WebAssembly with ${variant === "relaxed" ? "relaxed SIMD" : "SIMD"}`,
      where: "WasmKernels.create",
      repair: variant === "relaxed" ? 'use variant "auto"' : "use a newer runtime, or the reference engine",
    });
  }

  matmul({ rows, columns, inner, a, aRowStride, aColumnStride, b, bRowStride, bColumnStride, c, accumulate }: Matmul): void {
    const scratch = this.memory.allocate(this.#exports.matmul_scratch(rows, columns, inner) >>> 0);
    this.#exports.matmul(
      rows,
      columns,
      inner,
      a,
      aRowStride,
      aColumnStride,
      b,
      bRowStride,
      bColumnStride,
      c,
      accumulate ? 1 : 0,
      scratch,
    );
    this.memory.free(scratch);
  }

  tanh(count: number, x: Pointer, y: Pointer): void {
    this.#exports.activation_tanh(count, x, y);
  }

  sigmoid(count: number, x: Pointer, y: Pointer): void {
    this.#exports.activation_sigmoid(count, x, y);
  }

  sumOfSquares(count: number, x: Pointer): number {
    return this.#exports.activation_sum_of_squares(count, x);
  }

  packedBytes(cell: CellKind, inputSize: number, hiddenSize: number): number {
    const { prefix, flag } = CELLS[cell];
    // C counts bytes in 32 bits; read as unsigned they reach to the end of the memory.
    return this.#exports[`${prefix}_packed_bytes`](inputSize, hiddenSize, ...flag) >>> 0;
  }

  recurrentPack({ cell, inputSize, hiddenSize, weightIh, weightHh, biasIh, biasHh, packed }: RecurrentPack): void {
    const { prefix, flag } = CELLS[cell];
    this.#exports[`${prefix}_pack`](inputSize, hiddenSize, weightIh, weightHh, biasIh, biasHh, packed, ...flag);
  }

  recurrentForward(args: RecurrentForward): void {
    const { packed, hN, cN } = args;
    this.#run(args.cell, "forward", [...sequence(args), packed, hN, cN]);
  }

  recurrentBackward(args: RecurrentBackward): void {
    const { weightIh, weightHh, dOutput, dHN, dCN, dGates, dX, dWeightIh, dWeightHh, dBiasIh, dBiasHh, dH0, dC0 } = args;
    const gradients = [weightIh, weightHh, dOutput, dHN, dCN, dGates, dX, dWeightIh, dWeightHh, dBiasIh, dBiasHh, dH0, dC0];
    this.#run(args.cell, "backward", [...sequence(args), ...gradients]);
  }

  crossEntropyForward({ rows, classes, logits, targets, classWeights, smoothing, losses }: CrossEntropyForward): void {
    this.#exports.cross_entropy_forward(rows, classes, logits, targets, classWeights, smoothing, losses);
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
    this.#exports.cross_entropy_backward(rows, classes, logits, targets, classWeights, smoothing, dLosses, dLogits);
  }

  embeddingForward({ rows, size, indices, table, output }: Embedding & { table: Pointer; output: Pointer }): void {
    this.#exports.embedding_forward(rows, size, indices, table, output);
  }

  embeddingBackward({ rows, size, indices, dTable, dOutput }: Embedding & { dTable: Pointer; dOutput: Pointer }): void {
    this.#exports.embedding_backward(rows, size, indices, dOutput, dTable);
  }

  adamStep(args: AdamStep): void {
    const { count, parameter, gradient, firstMoment, secondMoment, gradientScale, learningRate } = args;
    const { beta1, beta2, epsilon, weightDecay, correction1, correction2 } = args;
    const options = [gradientScale, learningRate, beta1, beta2, epsilon, weightDecay, correction1, correction2];
    this.#exports.adam_step(count, parameter, gradient, firstMoment, secondMoment, ...options);
  }

  /** Fills the argument block, finds out how much scratch the call needs, and makes it. */
  #run(cell: CellKind, pass: "forward" | "backward", values: number[]): void {
    const { prefix, flag } = CELLS[cell];
    const block = this.#arguments >> 2;
    for (let i = 0; i < values.length; i++) this.memory.ints[block + i] = values[i];
    const scratch = this.memory.allocate(this.#exports[`${prefix}_${pass}_scratch`](this.#arguments, ...flag) >>> 0);
    this.memory.ints[block + values.length] = scratch;
    this.#exports[`${prefix}_${pass}`](this.#arguments, ...flag);
    this.memory.free(scratch);
  }
}

/** The fields of `Sequence` in kernels/recurrent.h, in order. */
function sequence(args: Omit<RecurrentForward, "packed" | "hN" | "cN">): number[] {
  const { batch, time, inputSize, hiddenSize, reverse, outputStride, lengths, x, h0, c0, output, gates, cells } = args;
  return [batch, time, inputSize, hiddenSize, reverse ? 1 : 0, outputStride, lengths, x, h0, c0, output, gates, cells];
}

function decode(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

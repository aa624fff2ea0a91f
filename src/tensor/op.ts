/** @file What an operation is: a pure function on raw buffers with a backward twin. Tensors and autograd are built on it, never the reverse. */
import { OstinatoError } from "../core/errors.js";
import { type Shape, sizeOf } from "../core/shape.js";
import type { FloatArray, Kernels, Pointer } from "../kernels/index.js";
import { allocate, type Storage } from "./storage.js";

/** "float" has the engine's float type (float32, or float64 on the reference engine). */
export type DType = "float" | "int32";

/** Values in engine memory with a shape: row-major and dense. */
export class RawBuffer {
  readonly size: number;

  constructor(
    readonly engine: Kernels,
    readonly storage: Storage,
    readonly shape: Shape,
    readonly dtype: DType,
  ) {
    this.size = sizeOf(shape);
  }

  get pointer(): Pointer {
    if (this.storage.released) {
      throw new OstinatoError("OST_MEMORY", {
        what: "a tensor was used after its scope ended",
        repair: "return it from the scope, or copy its values with toArray() inside",
      });
    }
    return this.storage.pointer;
  }

  /** Index of the first value in `engine.memory.floats` (or `.ints`). */
  get offset(): number {
    return this.pointer / bytesPerValue(this.engine, this.dtype);
  }

  /** A view of the values, valid until the next allocation. */
  floats(): FloatArray {
    return this.engine.memory.floatsAt(this.pointer, this.size);
  }

  /** A view of the values, valid until the next allocation. */
  ints(): Int32Array {
    return this.engine.memory.intsAt(this.pointer, this.size);
  }
}

export function bytesPerValue({ memory }: Kernels, dtype: DType): number {
  return dtype === "float" ? memory.bytesPerFloat : 4;
}

/** A buffer with arbitrary content, owned by the innermost scope. */
export function emptyBuffer(engine: Kernels, shape: Shape, { dtype = "float" as DType, persistent = false } = {}): RawBuffer {
  const bytes = sizeOf(shape) * bytesPerValue(engine, dtype);
  return new RawBuffer(engine, allocate(engine.memory, bytes, { persistent }), shape, dtype);
}

/** An operation with attributes A. */
export interface Op<A = undefined> {
  readonly name: string;
  /** Shapes of the float outputs. @throws OST_SHAPE, OST_DTYPE when the inputs do not fit. */
  shapes(inputs: readonly RawBuffer[], attrs: A): Shape[];
  /** Shapes of what the backward pass needs beyond inputs and outputs. Allocated only when the operation is recorded. */
  saved?(inputs: readonly RawBuffer[], attrs: A): Shape[];
  /** Fills `outputs` (and `saved`, when it is not null). */
  forward(
    engine: Kernels,
    outputs: readonly RawBuffer[],
    inputs: readonly RawBuffer[],
    saved: readonly RawBuffer[] | null,
    attrs: A,
  ): void;
  /**
   * Adds to every `dInputs[i]` that is not null. A null `dOutputs[i]` stands for zeros. `saved` may be overwritten: a recorded operation
   * runs backward once.
   */
  backward(
    engine: Kernels,
    dInputs: readonly (RawBuffer | null)[],
    dOutputs: readonly (RawBuffer | null)[],
    inputs: readonly RawBuffer[],
    outputs: readonly RawBuffer[],
    saved: readonly RawBuffer[],
    attrs: A,
  ): void;
}

/** @throws OST_DTYPE unless the input holds floats. */
export function wantFloat(input: RawBuffer, where: string): void {
  if (input.dtype !== "float") {
    throw new OstinatoError("OST_DTYPE", { what: "a float tensor is wanted", got: input.dtype, where });
  }
}

/** @throws OST_DTYPE unless the input holds int32. */
export function wantInts(input: RawBuffer, where: string): void {
  if (input.dtype !== "int32") {
    throw new OstinatoError("OST_DTYPE", { what: "an int32 tensor is wanted", got: input.dtype, where });
  }
}

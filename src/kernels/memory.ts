/**
 * @file The one memory an engine computes in: a `WebAssembly.Memory` with an allocator.
 *
 * Blocks come from free lists by size class (multiples of 64 bytes up to 4 KB, then four classes per power of two), so that a training step
 * that frees what it took leaves resident memory flat however its shapes vary. Every block is 64-byte aligned, behind a 64-byte header
 * holding its class. Views are made anew when the memory grows: never keep `floats` or `ints` across an allocation.
 */
import { OstinatoError } from "../core/errors.js";
import type { Pointer } from "./kernels.js";

export type FloatArray = Float32Array | Float64Array;
export type FloatType = "float32" | "float64";

const PAGE = 65536;
const ALIGNMENT = 64;
const SMALL = 4096;
const SMALL_CLASSES = SMALL / ALIGNMENT;
const MAX_PAGES = 65536;

export class Memory {
  readonly floatType: FloatType;
  readonly bytesPerFloat: 4 | 8;
  readonly wasm: WebAssembly.Memory;
  #floats!: FloatArray;
  #ints!: Int32Array;
  #top: number;
  #bytesInUse = 0;
  #peakBytesInUse = 0;
  readonly #free: Pointer[][] = [];
  #bytes!: Uint8Array;
  #scratch: Pointer = 0;
  #scratchBytes = 0;

  /** @param options `reservedBytes`: the first bytes, kept for the engine's own data and stack. */
  constructor(
    floatType: FloatType = "float32",
    { reservedBytes = ALIGNMENT, wasm }: { reservedBytes?: number; wasm?: WebAssembly.Memory } = {},
  ) {
    this.floatType = floatType;
    this.bytesPerFloat = floatType === "float32" ? 4 : 8;
    this.wasm = wasm ?? new WebAssembly.Memory({ initial: 64, maximum: MAX_PAGES });
    this.#top = Math.max(ALIGNMENT, roundUp(reservedBytes, ALIGNMENT));
    this.#refresh();
  }

  /** The whole memory as floats; element i lies at byte i * bytesPerFloat. */
  get floats(): FloatArray {
    return this.#floats;
  }

  /** The whole memory as int32; element i lies at byte 4i. */
  get ints(): Int32Array {
    return this.#ints;
  }

  /** The whole memory as bytes. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** A view of `count` floats at a pointer, valid until the next allocation. */
  floatsAt(pointer: Pointer, count: number): FloatArray {
    const start = pointer / this.bytesPerFloat;
    return this.#floats.subarray(start, start + count);
  }

  /** A view of `count` int32 at a pointer, valid until the next allocation. */
  intsAt(pointer: Pointer, count: number): Int32Array {
    return this.#ints.subarray(pointer / 4, pointer / 4 + count);
  }

  /** Bytes handed out and not yet given back (headers and rounding included). */
  get bytesInUse(): number {
    return this.#bytesInUse;
  }

  /** The most that was in use at once since the last `resetPeak`. */
  get peakBytesInUse(): number {
    return this.#peakBytesInUse;
  }

  /** Bytes the memory occupies, free blocks included. */
  get byteLength(): number {
    return this.wasm.buffer.byteLength;
  }

  /** Size of the block that kernels work in; kept from call to call, and apart from `bytesInUse`. */
  get scratchBytes(): number {
    return this.#scratchBytes;
  }

  /** The block kernels work in, at least so large; its content is lost when it has to move. */
  scratch(bytes: number): Pointer {
    if (bytes > this.#scratchBytes) {
      const inUse = this.#bytesInUse;
      const peak = this.#peakBytesInUse;
      if (this.#scratch !== 0) this.free(this.#scratch);
      this.#scratch = this.allocate(bytes);
      this.#scratchBytes = classBytes(classOf(bytes));
      this.#bytesInUse = inUse;
      this.#peakBytesInUse = peak;
    }
    return this.#scratch;
  }

  resetPeak(): void {
    this.#peakBytesInUse = this.#bytesInUse;
  }

  /** A block of at least `bytes` bytes with arbitrary content. @throws OST_MEMORY when 4 GiB are spent. @throws OST_RANGE for no size. */
  allocate(bytes: number): Pointer {
    if (!(Number.isInteger(bytes) && bytes >= 0)) {
      throw new OstinatoError("OST_RANGE", {
        what: "a block has a size",
        expected: "whole bytes",
        got: String(bytes),
        where: "memory.allocate",
      });
    }
    const sizeClass = classOf(bytes);
    const size = classBytes(sizeClass) + ALIGNMENT;
    const reused = this.#free[sizeClass]?.pop();
    if (reused !== undefined) {
      this.#count(size);
      this.#ints[(reused - ALIGNMENT) / 4] = sizeClass;
      return reused;
    }
    const pointer = this.#top + ALIGNMENT;
    const end = this.#top + size;
    if (end > this.byteLength) this.#grow(end);
    this.#count(size);
    this.#top = end;
    this.#ints[(pointer - ALIGNMENT) / 4] = sizeClass;
    return pointer;
  }

  /** Gives a block back. @throws OST_MEMORY when the block is not in use. */
  free(pointer: Pointer): void {
    const header = (pointer - ALIGNMENT) / 4;
    const sizeClass = this.#ints[header];
    if (sizeClass < 0) throw new OstinatoError("OST_MEMORY", { what: "a block was freed twice", where: "memory.free" });
    this.#ints[header] = -1;
    this.#bytesInUse -= classBytes(sizeClass) + ALIGNMENT;
    let list = this.#free[sizeClass];
    if (list === undefined) list = this.#free[sizeClass] = [];
    list.push(pointer);
  }

  #count(size: number): void {
    this.#bytesInUse += size;
    if (this.#bytesInUse > this.#peakBytesInUse) this.#peakBytesInUse = this.#bytesInUse;
  }

  #grow(end: number): void {
    const pages = Math.ceil((end - this.byteLength) / PAGE);
    const ahead = Math.ceil(this.byteLength / PAGE / 2);
    try {
      const room = MAX_PAGES - this.byteLength / PAGE;
      this.wasm.grow(Math.min(Math.max(pages, ahead), Math.max(room, pages)));
    } catch (cause) {
      throw new OstinatoError(
        "OST_MEMORY",
        {
          what: "the engine's memory cannot grow",
          expected: "at most 4 GiB in all",
          got: `${Math.round(end / 2 ** 20)} MiB wanted`,
          repair: "use a smaller batch, a shorter sequence or a smaller model",
        },
        { cause },
      );
    }
    this.#refresh();
  }

  #refresh(): void {
    const buffer = this.wasm.buffer;
    this.#floats = this.floatType === "float32" ? new Float32Array(buffer) : new Float64Array(buffer);
    this.#ints = new Int32Array(buffer);
    this.#bytes = new Uint8Array(buffer);
  }
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

function classOf(bytes: number): number {
  if (bytes <= SMALL) return Math.max(1, Math.ceil(bytes / ALIGNMENT)) - 1;
  const exponent = 31 - Math.clz32(bytes - 1);
  const quarter = Math.floor((bytes - 1 - 2 ** exponent) / 2 ** (exponent - 2));
  return SMALL_CLASSES + (exponent - 12) * 4 + quarter;
}

function classBytes(sizeClass: number): number {
  if (sizeClass < SMALL_CLASSES) return (sizeClass + 1) * ALIGNMENT;
  const exponent = 12 + ((sizeClass - SMALL_CLASSES) >> 2);
  const quarter = (sizeClass - SMALL_CLASSES) & 3;
  return 2 ** exponent + (quarter + 1) * 2 ** (exponent - 2);
}

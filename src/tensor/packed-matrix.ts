/** @file The weight of a linear layer in the engine's own layout, made once for many products. */
import type { Pointer } from "../kernels/index.js";
import type { RawBuffer } from "./op.js";
import { allocate, type Storage } from "./storage.js";

/** A weight [outputs, inputs], packed anew only after it changed. */
export class PackedMatrix {
  #storage: Storage | null = null;
  #weight: RawBuffer | null = null;
  #version = -1;

  /** Where the weight lies packed, as it is now. */
  refresh(weight: RawBuffer & { version: number }): Pointer {
    if (this.#storage === null || this.#weight !== weight) {
      this.#storage = allocate(weight.engine.memory, packedBytes(weight), { persistent: true });
      this.#weight = weight;
      this.#version = -1;
    }
    const { pointer } = this.#storage;
    if (this.#version !== weight.version) pack(weight, pointer);
    this.#version = weight.version;
    return pointer;
  }
}

/** A copy for one product; the innermost scope owns it. */
export function packOnce(weight: RawBuffer): Storage {
  const storage = allocate(weight.engine.memory, packedBytes(weight));
  pack(weight, storage.pointer);
  return storage;
}

function packedBytes({ engine, shape: [outputs, inputs] }: RawBuffer): number {
  return engine.linearPackedBytes(inputs, outputs);
}

function pack({ engine, shape: [outputs, inputs], pointer }: RawBuffer, packed: Pointer): void {
  engine.linearPack({ inputs, outputs, weight: pointer, packed });
}

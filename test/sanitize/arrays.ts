/** @file The arrays of one kernel call: inputs drawn by chance, results that have to be numbers afterwards. */
import type { Rng } from "../../src/core/rng.js";
import type { Kernels, Pointer } from "../../src/kernels/kernels.js";

export class Arrays {
  readonly #kernels: Kernels;
  readonly #rng: Rng;
  readonly #blocks: Pointer[] = [];
  readonly #results: [Pointer, number][] = [];

  constructor(kernels: Kernels, rng: Rng) {
    this.#kernels = kernels;
    this.#rng = rng;
  }

  readonly bytes = (count: number): Pointer => {
    const pointer = this.#kernels.memory.allocate(count);
    this.#blocks.push(pointer);
    return pointer;
  };

  readonly values = (count: number): Pointer => {
    const pointer = this.bytes(4 * count);
    const floats = this.#kernels.memory.floatsAt(pointer, count);
    for (let i = 0; i < count; i++) floats[i] = this.#rng.uniform(-1, 1);
    return pointer;
  };

  readonly integers = (count: number, value: () => number): Pointer => {
    const pointer = this.bytes(4 * count);
    const ints = this.#kernels.memory.intsAt(pointer, count);
    for (let i = 0; i < count; i++) ints[i] = value();
    return pointer;
  };

  /** To be written whole: NaN until then. */
  readonly results = (count: number): Pointer => {
    const pointer = this.bytes(4 * count);
    this.#results.push([pointer, count]);
    return pointer;
  };

  /** To be added to. */
  readonly zeros = (count: number): Pointer => {
    const pointer = this.results(count);
    this.#kernels.memory.floatsAt(pointer, count).fill(0);
    return pointer;
  };

  /** @throws Error naming a result that holds what nobody computed. */
  finish(what: string): void {
    const { memory } = this.#kernels;
    for (const [pointer, count] of this.#results) {
      const at = memory.floatsAt(pointer, count).findIndex((value) => Number.isNaN(value));
      if (at >= 0) throw new Error(`${what}: element ${at} of a result was not written, or came from what was not`);
    }
    for (const pointer of this.#blocks) memory.free(pointer);
  }
}

/**
 * @file The order in which an epoch visits its examples: deterministic, in bounded memory, and to be entered anywhere.
 *
 * Up to `buffer` examples are shuffled as one (Fisher-Yates). More are cut into blocks of buffer / 64 consecutive examples; the blocks are
 * shuffled, 64 at a time make a pool, and each pool is shuffled as one. So every example comes exactly once in an epoch, its block is
 * equally likely to come anywhere, and within a pool every order is equally likely; but two examples of one block are never further apart
 * than a pool. What is held is one pool and one number per block. Blocks are read almost in order, which suits a disk.
 */
import { OstinatoError } from "../core/errors.js";
import { type Rng, seed } from "../core/rng.js";

/** Examples that are shuffled as one, unless told otherwise. */
export const SHUFFLE_BUFFER = 2 ** 20;

const BLOCKS_PER_POOL = 64;

export interface ExampleOrderOptions {
  /** Absent keeps the order. Advanced by construction only, so that what follows may draw from it. */
  rng?: Rng;
  /** Examples shuffled as one, a whole number >= 1; default 2^20. */
  buffer?: number;
}

/** The numbers 0 .. count - 1 in the order of an epoch, each once. */
export class ExampleOrder {
  readonly count: number;
  #at = 0;
  /** The examples from #from on; null where the order is kept. */
  #pool: Int32Array | null = null;
  #from = 0;
  readonly #blocks: Int32Array | null = null;
  readonly #blockSize: number = 1;
  readonly #perPool: number = 1;
  readonly #key: number = 0;
  #poolNumber = -1;

  /** @throws OST_RANGE if the buffer is no whole number >= 1, or there are more than 2^31 - 1 examples. */
  constructor(count: number, { rng, buffer = SHUFFLE_BUFFER }: ExampleOrderOptions = {}) {
    if (!(Number.isInteger(buffer) && buffer >= 1)) throw outOfRange("shuffleBuffer", "a whole number >= 1", buffer);
    if (!(count < 2 ** 31)) throw outOfRange("examples", "at most 2^31 - 1", count);
    this.count = count;
    if (!rng) return;
    if (count <= buffer) {
      this.#pool = rng.shuffle(Int32Array.from({ length: count }, (_, i) => i));
      return;
    }
    this.#blockSize = Math.max(1, Math.floor(buffer / BLOCKS_PER_POOL));
    this.#perPool = Math.floor(buffer / this.#blockSize);
    this.#blocks = rng.shuffle(Int32Array.from({ length: Math.ceil(count / this.#blockSize) }, (_, i) => i));
    this.#key = rng.bits();
    this.#pool = new Int32Array(0);
  }

  get left(): number {
    return this.count - this.#at;
  }

  /** The next examples, `size` of them or as many as are left. */
  next(size: number): Int32Array {
    const taken = new Int32Array(Math.min(size, this.left));
    let filled = 0;
    while (filled < taken.length) {
      const some = this.#stretch(taken.length - filled);
      taken.set(some, filled);
      filled += some.length;
    }
    return taken;
  }

  /** Passes over examples; costs one shuffle of a pool at most. */
  skip(size: number): void {
    this.#at = Math.min(this.count, this.#at + size);
  }

  /** A stretch of at most `size` examples from here on. */
  #stretch(size: number): Int32Array {
    if (!this.#pool) {
      const from = this.#at;
      this.#at = Math.min(this.count, from + size);
      return Int32Array.from({ length: this.#at - from }, (_, i) => from + i);
    }
    while (this.#at >= this.#from + this.#pool.length) this.#nextPool();
    const from = this.#at - this.#from;
    const some = this.#pool.subarray(from, Math.min(this.#pool.length, from + size));
    this.#at += some.length;
    return some;
  }

  #nextPool(): void {
    this.#from += this.#pool!.length;
    this.#poolNumber++;
    const first = this.#poolNumber * this.#perPool;
    const blocks = this.#blocks!.subarray(first, first + this.#perPool);
    const sizeOf = (block: number) => Math.min(this.#blockSize, this.count - block * this.#blockSize);
    const size = blocks.reduce((sum, block) => sum + sizeOf(block), 0);
    if (this.#at >= this.#from + size) {
      this.#pool = new Int32Array(0);
      this.#from += size;
      return;
    }
    const pool = new Int32Array(size);
    let filled = 0;
    for (const block of blocks) for (let i = 0; i < sizeOf(block); i++) pool[filled++] = block * this.#blockSize + i;
    this.#pool = seed(this.#key + this.#poolNumber).shuffle(pool);
  }
}

function outOfRange(name: string, expected: string, got: number): OstinatoError {
  return new OstinatoError("OST_RANGE", { what: `${name} lies outside its range`, expected, got: String(got), where: "shuffle" });
}

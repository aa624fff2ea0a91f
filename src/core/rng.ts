/**
 * @file Seeded random numbers: xoshiro128** 1.1 (Blackman & Vigna 2018), seeded through splitmix32.
 *
 * Randomness is an argument everywhere: nothing in the system reads a global generator. The state is four 32-bit words, so that a
 * checkpoint can hold it and a resumed run continues the same stream. Only integer arithmetic feeds the stream, hence the same
 * bits on every platform.
 */
import { OstinatoError } from "./errors.js";

/** The whole state of a generator, as JSON-safe numbers. */
export type RngState = readonly [number, number, number, number];

export class Rng {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(state: RngState) {
    [this.#a, this.#b, this.#c, this.#d] = state.map((word) => word >>> 0);
    if ((this.#a | this.#b | this.#c | this.#d) === 0) {
      throw new OstinatoError("OST_RANGE", { what: "a generator state of four zeros never leaves zero", where: "rng" });
    }
  }

  /** The next 32 random bits, as an integer in [0, 2^32). */
  bits(): number {
    const scrambled = Math.imul(rotate(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = rotate(this.#d, 11);
    return scrambled;
  }

  /** Uniform in [low, high), with 53 random bits. */
  uniform(low = 0, high = 1): number {
    const unit = ((this.bits() >>> 5) * 67108864 + (this.bits() >>> 6)) / 9007199254740992;
    return low + (high - low) * unit;
  }

  /** A standard normal deviate (Box & Muller 1958; the second of the pair is dropped, so that the state is only the four words). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** An integer in [0, limit), without modulo bias. */
  integer(limit: number): number {
    if (!(limit >= 1 && limit <= 2 ** 32)) {
      throw new OstinatoError("OST_RANGE", {
        what: "an integer needs a limit",
        expected: "1 .. 2^32",
        got: String(limit),
        where: "rng.integer",
      });
    }
    const ceiling = 2 ** 32 - (2 ** 32 % limit);
    for (;;) {
      const bits = this.bits();
      if (bits < ceiling) return bits % limit;
    }
  }

  /** Shuffles in place (Fisher & Yates 1938, Durstenfeld's form) and returns the same array. */
  shuffle<T extends { length: number; [index: number]: unknown }>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const kept = items[i];
      items[i] = items[j];
      items[j] = kept;
    }
    return items;
  }

  /** A new generator seeded from this one; the two streams are independent for every practical purpose. */
  split(): Rng {
    return seed(this.bits());
  }

  get state(): RngState {
    return [this.#a >>> 0, this.#b >>> 0, this.#c >>> 0, this.#d >>> 0];
  }
}

/** A generator from one integer; equal integers give equal streams. */
export function seed(value: number): Rng {
  let z = value >>> 0;
  const next = () => {
    z = (z + 0x9e3779b9) >>> 0;
    let t = z ^ (z >>> 16);
    t = Math.imul(t, 0x21f0aaad);
    t ^= t >>> 15;
    t = Math.imul(t, 0x735a2d97);
    return (t ^ (t >>> 15)) >>> 0;
  };
  return new Rng([next(), next(), next(), next()]);
}

function rotate(word: number, count: number): number {
  return (word << count) | (word >>> (32 - count));
}

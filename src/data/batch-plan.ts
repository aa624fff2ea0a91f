/** @file Which examples share a batch: by number, by length, by a budget of padded steps. It knows lengths alone, and no data. */
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import { ExampleOrder } from "./shuffle.js";

export interface BatchPlanOptions {
  /** Rows of a batch at most, a whole number >= 1. */
  batchSize: number;
  /**
   * Steps of a batch at most, padding included: rows x longest. Batches are smaller where sequences are longer; an example that is longer by
   * itself is an error. Default: no limit.
   */
  maxTokens?: number;
  /** Shuffles; absent keeps the order of the examples. */
  rng?: Rng;
  /** Puts examples of like length together, within pools of 50 batches. Default: when lengths vary and an rng is given. */
  bucket?: boolean;
  /** Examples that are shuffled as one, >= 1; see shuffle.ts. Default 2^20. */
  shuffleBuffer?: number;
}

/** The lengths of examples, in steps. */
export interface Lengths {
  count: number;
  varies: boolean;
  lengthAt(index: number): number;
  /** How messages call an example. */
  nameOf?(index: number): string;
}

/** Batches whose examples are sorted by length together. */
const POOL_BATCHES = 50;

/** The batches of an epoch as numbers of examples; each example once. */
export class BatchPlan {
  readonly #lengths: Lengths;
  readonly #order: ExampleOrder;
  readonly #batchSize: number;
  readonly #maxTokens: number;
  readonly #bucket: boolean;
  readonly #rng: Rng | undefined;
  /** Drawn from the order, and not yet in a batch; and, bucketed, the batches it was cut into. */
  #held: Int32Array = new Int32Array(0);
  #cuts: { from: number; to: number }[] = [];
  #next = 0;

  /** @throws OST_RANGE if an option lies outside its range. */
  constructor(lengths: Lengths, { batchSize, maxTokens, rng, bucket, shuffleBuffer }: BatchPlanOptions) {
    wantCount("train.batchSize", "not a batch size", batchSize);
    if (maxTokens !== undefined) wantCount("train.maxTokens", "not a number of steps", maxTokens);
    this.#lengths = lengths;
    this.#batchSize = batchSize;
    this.#maxTokens = maxTokens ?? Number.POSITIVE_INFINITY;
    this.#bucket = bucket ?? (lengths.varies && rng !== undefined);
    this.#order = new ExampleOrder(lengths.count, { rng, buffer: shuffleBuffer });
    this.#rng = rng;
  }

  /** The examples of the next batch; null at the end. @throws OST_RANGE naming an example that is longer than `maxTokens`. */
  next(): Int32Array | null {
    if (this.#bucket) return this.#nextBucketed();
    if (this.#maxTokens === Number.POSITIVE_INFINITY) return this.#order.left > 0 ? this.#order.next(this.#batchSize) : null;
    if (this.#held.length < this.#batchSize && this.#order.left > 0) {
      const more = this.#order.next(POOL_BATCHES * this.#batchSize);
      const joined = new Int32Array(this.#held.length + more.length);
      joined.set(this.#held);
      joined.set(more, this.#held.length);
      this.#held = joined;
    }
    if (this.#held.length === 0) return null;
    const batch = this.#held.subarray(0, this.#cut(this.#held, 0));
    this.#held = this.#held.subarray(batch.length);
    return batch;
  }

  /** Passes over batches, or all that are left; as cheap as their lengths let it be. @returns over how many. */
  skip(batches: number): number {
    if (!this.#bucket && this.#maxTokens === Number.POSITIVE_INFINITY) {
      const skipped = Math.min(batches, Math.ceil(this.#order.left / this.#batchSize));
      this.#order.skip(skipped * this.#batchSize);
      return skipped;
    }
    for (let i = 0; i < batches; i++) if (!this.next()) return i;
    return batches;
  }

  #nextBucketed(): Int32Array | null {
    if (this.#next === this.#cuts.length) {
      if (this.#order.left === 0) return null;
      this.#held = this.#sortedByLength(this.#order.next(POOL_BATCHES * this.#batchSize));
      this.#cuts = [];
      this.#next = 0;
      for (let from = 0; from < this.#held.length; ) {
        const to = this.#cut(this.#held, from);
        this.#cuts.push({ from, to });
        from = to;
      }
      this.#rng?.shuffle(this.#cuts);
    }
    const { from, to } = this.#cuts[this.#next++];
    return this.#held.subarray(from, to);
  }

  #sortedByLength(pool: Int32Array): Int32Array {
    const steps = pool.map((index) => this.#lengths.lengthAt(index));
    return Int32Array.from(
      Array.from(pool, (_, i) => i).sort((a, b) => steps[a] - steps[b]),
      (i) => pool[i],
    );
  }

  /** Where the batch that begins at `from` ends. */
  #cut(indexes: Int32Array, from: number): number {
    const end = Math.min(indexes.length, from + this.#batchSize);
    if (this.#maxTokens === Number.POSITIVE_INFINITY) return end;
    let longest = 0;
    for (let to = from; to < end; to++) {
      longest = Math.max(longest, this.#lengths.lengthAt(indexes[to]));
      if ((to - from + 1) * longest <= this.#maxTokens) continue;
      if (to === from) throw this.#tooLong(indexes[from], longest);
      return to;
    }
    return end;
  }

  #tooLong(index: number, length: number): OstinatoError {
    return new OstinatoError("OST_RANGE", {
      what: `example ${index + 1} is longer than a batch may be`,
      expected: `at most ${this.#maxTokens} steps`,
      got: `${length} steps`,
      where: this.#lengths.nameOf?.(index) ?? "train.maxTokens",
      repair: `raise train.maxTokens to ${length} or more, or cut sequences with window.length`,
    });
  }
}

function wantCount(where: string, what: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new OstinatoError("OST_RANGE", { what, expected: "a whole number >= 1", got: String(value), where });
}

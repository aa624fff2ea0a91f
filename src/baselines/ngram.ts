/** @file The n-gram: the next code from the latest few, by interpolated Witten-Bell estimates (witten-bell.ts). */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { type Baseline, type BaselineArrays, type BaselineJson, requireArray, requireBatch, unfitted } from "./baseline.js";
import { classInput, type ReadCode, requireClassInput } from "./code-input.js";
import { nextCodes } from "./code-stream.js";
import { LaneMemory } from "./lane-memory.js";
import { NGramCounts } from "./ngram-counts.js";
import { type CodeScorer, type NextCodeScorer, WittenBell } from "./witten-bell.js";

export interface NGramOptions {
  /** Codes of an n-gram, the predicted one among them, >= 1: one order, or those of which the validation part picks. Default 1 .. 6. */
  order?: number | readonly number[];
  /** At most so many n-grams are kept; orders that would have more are left out. Default 8,000,000. */
  maxEntries?: number;
}

/** What the fit chose and why. */
export interface NGramChoice {
  order: number;
  /** Different n-grams of each order from 1 on. */
  sizes: number[];
  /** Mean negative log-likelihood in nats on the validation part, per candidate order; empty where it has no targets. */
  validation: { order: number; nll: number }[];
}

const ORDERS = [1, 2, 3, 4, 5, 6];
const MOST_ORDER = 16;
const NAMES = ["", "unigram", "bigram", "trigram"];

/**
 * The next code given the latest `order` - 1, [B, T, V] log-probabilities. A context reaches back to the beginning of its row; in chunks of
 * lanes (`batch.reset`), asked for one after another, to the beginning of the lane.
 *
 * @throws OST_TARGET if the target is not the next code of a column among the features, or no training step has a target.
 * @throws OST_RANGE  if an order is not a whole number 1 .. 16.
 */
export class NGram implements Baseline {
  readonly kind = "ngram";
  readonly streaming = "windowed";
  readonly spec: ExampleSpec;
  readonly #read: ReadCode;
  readonly #orders: readonly number[];
  readonly #maxEntries: number | undefined;
  #choice: NGramChoice | undefined;
  #estimate: WittenBell | undefined;
  #memory: LaneMemory | undefined;

  static applies(spec: ExampleSpec): boolean {
    return spec.targetKind === "next" && classInput(spec) !== undefined;
  }

  constructor(spec: ExampleSpec, { order = ORDERS, maxEntries }: NGramOptions = {}) {
    this.#read = requireClassInput(spec, "ngram").read;
    const orders = typeof order === "number" ? [order] : [...order].sort((a, b) => a - b);
    if (!(orders.length > 0 && orders.every((one) => Number.isInteger(one) && one >= 1 && one <= MOST_ORDER))) {
      throw new OstinatoError("OST_RANGE", {
        what: "the order of an n-gram",
        expected: `whole numbers 1 .. ${MOST_ORDER}`,
        got: orders.join(", ") || "none",
        where: "ngram",
      });
    }
    this.spec = spec;
    this.#orders = orders;
    this.#maxEntries = maxEntries;
  }

  get name(): string {
    const order = this.#choice?.order ?? (this.#orders.length === 1 ? this.#orders[0] : undefined);
    return order === undefined ? "ngram" : (NAMES[order] ?? `ngram(${order})`);
  }

  get history(): number {
    return Math.max(1, this.choice.order - 1);
  }

  /** What the fit chose. @throws OST_RANGE before `fit`. */
  get choice(): NGramChoice {
    return this.#choice ?? unfitted(this.name);
  }

  fit(train: () => Iterable<Batch>, validation: () => Iterable<Batch>): void {
    const { spec } = this;
    const most = this.#orders[this.#orders.length - 1];
    const stream = nextCodes(train(), spec, { read: this.#read, reach: most - 1, where: this.name });
    const counts = NGramCounts.count(stream, { vocabSize: spec.classes.length, order: most, maxEntries: this.#maxEntries });
    const kept = this.#orders.filter((order) => order <= counts.order);
    const orders = kept.length > 0 ? kept : [counts.order];
    const report = orders.length > 1 ? this.#score(validation(), counts, orders) : [];
    let order = orders[report.length > 0 ? 0 : orders.length - 1];
    let lowest = Number.POSITIVE_INFINITY;
    for (const one of report) {
      if (one.nll >= lowest) continue;
      lowest = one.nll;
      order = one.order;
    }
    this.#keep(counts.truncated(order), report);
  }

  #keep(counts: NGramCounts, validation: NGramChoice["validation"]): void {
    this.#choice = { order: counts.order, sizes: counts.sizes, validation };
    this.#estimate = new WittenBell(counts);
    this.#memory = new LaneMemory(this.#read, counts.order - 1);
  }

  /** The mean negative log-likelihood of each order; one pass gives all. */
  #score(batches: Iterable<Batch>, counts: NGramCounts, orders: readonly number[]): NGramChoice["validation"] {
    const sums = new Float64Array(counts.order + 1);
    const memory = new LaneMemory(this.#read, counts.order - 1);
    const vocabSize = this.spec.classes.length;
    const chain = new Int32Array(counts.order);
    let n = 0;
    for (const batch of batches) {
      const past = memory.past(batch);
      forEachContext(batch, counts, past, this.#read, (context, position) => {
        const target = batch.classes?.[position] ?? -1;
        if (target < 0) return;
        n++;
        let depth = 0;
        for (let node = context; node > 0; node = counts.shorter(node)) chain[++depth] = node;
        let probability = 1 / vocabSize;
        for (let order = 1; order <= counts.order; order++) {
          // The context of one code is the last of the chain.
          const node = order === 1 ? 0 : depth >= order - 1 ? chain[depth - order + 2] : -1;
          const total = node < 0 ? 0 : counts.total(node);
          if (total > 0) {
            const types = counts.types(node);
            probability = (counts.countOf(node, target) + types * probability) / (total + types);
          }
          sums[order] -= Math.log(probability);
        }
      });
    }
    return n === 0 ? [] : orders.map((order) => ({ order, nll: sums[order] / n }));
  }

  predict(batch: Batch): Float32Array {
    requireBatch(batch, this.spec, this.name);
    const estimate = this.#estimate ?? unfitted(this.name);
    const V = this.spec.classes.length;
    const out = new Float32Array(batch.batchSize * batch.time * V);
    const past = (this.#memory as LaneMemory).past(batch);
    forEachContext(batch, estimate.counts, past, this.#read, (context, position) => estimate.write(context, out, position * V));
    return out;
  }

  /** The fitted n-gram as a model of text, for generation. */
  nextCodeScorer(): NextCodeScorer<number> {
    return (this.#estimate ?? unfitted(this.name)).nextCodeScorer();
  }

  /** The fitted n-gram as what a transcription is fused with. */
  codeScorer(): CodeScorer<number> {
    return (this.#estimate ?? unfitted(this.name)).codeScorer();
  }

  toJSON(): BaselineJson {
    return { kind: this.kind, spec: this.spec, options: { ...this.choice } };
  }

  /** codes, counts [N] of the n-grams sorted order by order, and children [contexts]: see ngram-counts.ts. */
  arrays(): BaselineArrays {
    return countArrays((this.#estimate ?? unfitted(this.name)).counts);
  }

  static restore(spec: ExampleSpec, options: NGramChoice, arrays: BaselineArrays): NGram {
    const ngram = new NGram(spec, { order: options.order });
    ngram.#keep(restoreCounts(spec, options, arrays, "ngram"), options.validation);
    return ngram;
  }
}

/** The counts of n-grams as arrays of a model file. */
export function countArrays(counts: NGramCounts): BaselineArrays {
  const { codes, counts: seen, children } = counts.arrays();
  return {
    codes: { shape: [codes.length], data: codes },
    counts: { shape: [seen.length], data: seen },
    children: { shape: [children.length], data: children },
  };
}

/** @throws OST_MODEL_FILE if the arrays are not those of n-grams of the given sizes. */
export function restoreCounts(
  spec: ExampleSpec,
  { order, sizes }: { order: number; sizes: readonly number[] },
  arrays: BaselineArrays,
  where: string,
): NGramCounts {
  if (!(Array.isArray(sizes) && sizes.length === order && sizes.every((size) => Number.isInteger(size) && size >= 0))) {
    throw new OstinatoError("OST_MODEL_FILE", {
      what: "the sizes of the n-grams do not fit their order",
      expected: `${order} whole numbers`,
      got: JSON.stringify(sizes) ?? "none",
      where,
      repair: "save the baseline again",
    });
  }
  const N = sizes.reduce((sum, size) => sum + size, 0);
  const contexts = 1 + N - sizes[order - 1];
  return NGramCounts.restore(
    sizes,
    {
      codes: requireArray(arrays, "codes", [N], where),
      counts: requireArray(arrays, "counts", [N], where),
      children: requireArray(arrays, "children", [contexts], where),
    },
    { vocabSize: spec.classes.length },
  );
}

/** Visits each valid step with the longest known context that ends there. */
export function forEachContext(
  batch: Batch,
  counts: NGramCounts,
  past: readonly (readonly number[])[],
  read: ReadCode,
  visit: (context: number, position: number, row: number, step: number) => void,
): void {
  for (let row = 0; row < batch.batchSize; row++) {
    let context = 0;
    for (const code of past[row]) context = counts.advance(context, code);
    for (let step = 0; step < batch.lengths[row]; step++) {
      context = counts.advance(context, read(batch, row, step));
      visit(context, row * batch.time + step, row, step);
    }
  }
}

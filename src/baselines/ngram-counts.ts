/**
 * @file How often each n-gram was seen, for every order up to a greatest one, in sorted arrays.
 *
 * The n-grams form a tree: the children of a node are the codes that may follow it. Nodes are numbered order by order and, within an
 * order, parent by parent and code by code; the children of a node then stand side by side and are found by bisection:
 *
 *     node     0      1 2 3     4 5    6    7 ...
 *     n-gram   empty  a b c     aa ab  ba   ca ...
 *
 * A node may have count 0: it was seen before a code, never as one that was to be predicted.
 */
import { OstinatoError } from "../core/errors.js";

/** Codes in the order of their sequences: `inputs[t]` was read, `targets[t]` came after it. -1: none. */
export class CodeStream {
  inputs = new Int32Array(1024);
  targets = new Int32Array(1024);
  /** 1 where a sequence begins. */
  begins = new Uint8Array(1024);
  length = 0;

  push(input: number, target: number, begins: boolean): void {
    if (this.length === this.inputs.length) {
      this.inputs = grown(this.inputs, new Int32Array(2 * this.length));
      this.targets = grown(this.targets, new Int32Array(2 * this.length));
      this.begins = grown(this.begins, new Uint8Array(2 * this.length));
    }
    this.inputs[this.length] = input;
    this.targets[this.length] = target;
    this.begins[this.length++] = begins ? 1 : 0;
  }
}

function grown<A extends Int32Array | Uint8Array>(from: A, to: A): A {
  to.set(from);
  return to;
}

/** Counts as a model file holds them. All are whole numbers; counts above 2^24 are rounded to float32. */
export interface NGramArrays {
  /** The last code of each n-gram, [N] in the order of the nodes, without the empty one. */
  codes: Float32Array;
  /** [N] */
  counts: Float32Array;
  /** How many children each node has that is shorter than the greatest order, the empty one first. */
  children: Float32Array;
}

export interface NGramCountOptions {
  /** Codes are 0 .. vocabSize - 1; a context may also hold codes up to `contextSize` - 1. */
  vocabSize: number;
  /** Default `vocabSize`. */
  contextSize?: number;
  /** Greatest order, >= 1. */
  order: number;
  /** At most so many n-grams are kept: orders that would have more are left out. Default 8,000,000. */
  maxEntries?: number;
}

const MAX_ENTRIES = 8_000_000;

interface Level {
  /** parent * contextSize + code of each node, rising; parents counted from the first node of the order below. */
  keys: Float64Array;
  counts: Float32Array;
}

export class NGramCounts {
  readonly vocabSize: number;
  readonly contextSize: number;
  /** The greatest order: contexts have at most `order` - 1 codes. */
  readonly order: number;
  /** First node of each order, `order` + 2 long: node 0 is the empty n-gram. */
  readonly #offsets: readonly number[];
  readonly #codes: Int32Array;
  readonly #counts: Float32Array;
  /** First child of each node that has children; one entry more than there are such nodes. */
  readonly #first: Int32Array;
  /** The node without its oldest code, of each node that may be a context. */
  readonly #suffix: Int32Array;
  /** Of each node that may be a context: how often a code was to be predicted after it, and how many different ones were. */
  readonly #totals: Float64Array;
  readonly #types: Int32Array;

  private constructor(
    { vocabSize, contextSize }: { vocabSize: number; contextSize: number },
    offsets: readonly number[],
    { codes, counts, first }: { codes: Int32Array; counts: Float32Array; first: Int32Array },
  ) {
    this.vocabSize = vocabSize;
    this.contextSize = contextSize;
    this.order = offsets.length - 2;
    this.#offsets = offsets;
    this.#codes = codes;
    this.#counts = counts;
    this.#first = first;
    const contexts = offsets[this.order];
    this.#totals = new Float64Array(contexts);
    this.#types = new Int32Array(contexts);
    this.#suffix = new Int32Array(contexts);
    for (let node = 0; node < contexts; node++) {
      for (let child = first[node]; child < first[node + 1]; child++) {
        this.#totals[node] += counts[child];
        if (counts[child] > 0) this.#types[node]++;
        if (node === 0 || child >= contexts) continue;
        const suffix = this.#child(this.#suffix[node], codes[child]);
        if (suffix < 0) throw broken("an n-gram whose shorter form is absent");
        this.#suffix[child] = suffix;
      }
    }
  }

  /** Counts every n-gram of the stream. */
  static count(
    stream: CodeStream,
    { vocabSize, contextSize = vocabSize, order, maxEntries = MAX_ENTRIES }: NGramCountOptions,
  ): NGramCounts {
    const levels: Level[] = [];
    const { length } = stream;
    let before: Int32Array = new Int32Array(length);
    let entries = 0;
    for (let k = 1; k <= order; k++) {
      const level = countLevel(stream, before, contextSize, { k, contexts: k < order });
      if (k > 1 && entries + level.keys.length > maxEntries) break;
      levels.push(level);
      entries += level.keys.length;
      if (k < order) before = contextsOf(stream, before, level, contextSize, k);
    }
    return NGramCounts.#join(levels, { vocabSize, contextSize });
  }

  static #join(levels: readonly Level[], sizes: { vocabSize: number; contextSize: number }): NGramCounts {
    const offsets = [0, 1];
    for (const { keys } of levels) offsets.push(offsets[offsets.length - 1] + keys.length);
    const N = offsets[offsets.length - 1];
    const codes = new Int32Array(N);
    const counts = new Float32Array(N);
    const first = new Int32Array(offsets[levels.length] + 1);
    codes[0] = -1;
    levels.forEach(({ keys, counts: own }, k) => {
      const [below, at] = [offsets[k], offsets[k + 1]];
      counts.set(own, at);
      keys.forEach((key, i) => {
        const parent = Math.floor(key / sizes.contextSize);
        codes[at + i] = key - parent * sizes.contextSize;
        first[below + parent + 1]++;
      });
    });
    first[0] = 1;
    for (let node = 1; node < first.length; node++) first[node] += first[node - 1];
    return new NGramCounts(sizes, offsets, { codes, counts, first });
  }

  /** The same counts, without the orders above `order`. */
  truncated(order: number): NGramCounts {
    if (order >= this.order) return this;
    const offsets = this.#offsets.slice(0, order + 2);
    const N = offsets[order + 1];
    return new NGramCounts(this, offsets, {
      codes: this.#codes.slice(0, N),
      counts: this.#counts.slice(0, N),
      first: this.#first.slice(0, offsets[order] + 1),
    });
  }

  /** n-grams of each order from 1 on. */
  get sizes(): number[] {
    return Array.from({ length: this.order }, (_, k) => this.#offsets[k + 2] - this.#offsets[k + 1]);
  }

  arrays(): NGramArrays {
    const contexts = this.#offsets[this.order];
    return {
      codes: Float32Array.from(this.#codes.subarray(1)),
      counts: this.#counts.slice(1),
      children: Float32Array.from({ length: contexts }, (_, node) => this.#first[node + 1] - this.#first[node]),
    };
  }

  /** @throws OST_MODEL_FILE if the arrays do not hold counts of these orders. */
  static restore(sizes: readonly number[], arrays: NGramArrays, of: { vocabSize: number; contextSize?: number }): NGramCounts {
    const { vocabSize, contextSize = vocabSize } = of;
    const offsets = [0, 1];
    for (const size of sizes) offsets.push(offsets[offsets.length - 1] + size);
    const codes = new Int32Array(arrays.codes.length + 1);
    codes[0] = -1;
    codes.set(arrays.codes, 1);
    const counts = new Float32Array(arrays.counts.length + 1);
    counts.set(arrays.counts, 1);
    const first = new Int32Array(arrays.children.length + 1);
    first[0] = 1;
    arrays.children.forEach((children, node) => {
      if (!(Number.isInteger(children) && children >= 0)) throw broken("a number of children that is no whole number");
      first[node + 1] = first[node] + children;
    });
    for (let k = 0; k < sizes.length; k++) {
      if (first[offsets[k]] !== offsets[k + 1] || first[offsets[k + 1]] !== offsets[k + 2]) throw broken("orders that overlap");
    }
    for (let node = 0; node + 1 < first.length; node++) {
      for (let child = first[node]; child < first[node + 1]; child++) {
        const code = arrays.codes[child - 1];
        if (!(Number.isInteger(code) && code >= 0 && code < contextSize)) throw broken("a code outside the vocabulary");
        if (child > first[node] && code <= codes[child - 1]) throw broken("codes that do not rise");
        if (!(counts[child] >= 0 && Number.isFinite(counts[child]))) throw broken("a count that is no whole number");
        if (counts[child] > 0 && code >= vocabSize) throw broken("a count of a code that is never predicted");
      }
    }
    return new NGramCounts({ vocabSize, contextSize }, offsets, { codes, counts, first });
  }

  /** The longest known context after one more code; 0 is the empty one. A code of -1 ends every context. */
  advance(context: number, code: number): number {
    if (code < 0) return 0;
    const contexts = this.#offsets[this.order];
    for (let node = context; ; node = this.#suffix[node]) {
      const child = this.#child(node, code);
      if (child >= 0 && child < contexts) return child;
      if (node === 0) return 0;
    }
  }

  /** The context without its oldest code. */
  shorter(context: number): number {
    return this.#suffix[context];
  }

  /** How many codes a context has. */
  lengthOf(context: number): number {
    let length = 0;
    while (context >= this.#offsets[length + 1]) length++;
    return length;
  }

  /** How often some code was to be predicted after the context. */
  total(context: number): number {
    return this.#totals[context];
  }

  /** How many different codes were. */
  types(context: number): number {
    return this.#types[context];
  }

  countOf(context: number, code: number): number {
    const child = this.#child(context, code);
    return child < 0 ? 0 : this.#counts[child];
  }

  /** Visits the codes that followed the context, rising. */
  forEachFollower(context: number, visit: (code: number, count: number) => void): void {
    for (let child = this.#first[context]; child < this.#first[context + 1]; child++) {
      if (this.#counts[child] > 0) visit(this.#codes[child], this.#counts[child]);
    }
  }

  #child(node: number, code: number): number {
    let low = this.#first[node];
    let high = this.#first[node + 1] - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const found = this.#codes[middle];
      if (found === code) return middle;
      if (found < code) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }
}

/**
 * The nodes of one order: what was to be predicted after each context of the order below, and, where `contexts`, what was read after it.
 *
 * @param before per position the context that ends there, counted within its order, or -1
 */
function countLevel(
  { inputs, targets, begins, length }: CodeStream,
  before: Int32Array,
  size: number,
  { k, contexts }: { k: number; contexts: boolean },
): Level {
  const events = new Float64Array(length);
  const reads: number[] = [];
  let n = 0;
  for (let t = 0; t < length; t++) {
    if (targets[t] >= 0 && before[t] >= 0) events[n++] = before[t] * size + targets[t];
    if (!contexts || inputs[t] < 0) continue;
    const parent = parentOf(before, begins, t, k);
    if (parent >= 0 && (t === 0 || begins[t] === 1 || targets[t - 1] !== inputs[t])) reads.push(parent * size + inputs[t]);
  }
  const sorted = events.subarray(0, n).sort();
  const read = Float64Array.from(reads).sort();
  const keys = new Float64Array(n + read.length);
  const counts = new Float32Array(keys.length);
  let kept = -1;
  for (let i = 0, j = 0; i < n || j < read.length; ) {
    const event = j === read.length || (i < n && sorted[i] <= read[j]);
    const key = event ? sorted[i++] : read[j++];
    if (kept < 0 || keys[kept] !== key) keys[++kept] = key;
    if (event) counts[kept]++;
  }
  return { keys: keys.slice(0, kept + 1), counts: counts.slice(0, kept + 1) };
}

/** The context of `k` - 1 codes that ends one position earlier, or -1; without codes it is the empty one everywhere. */
function parentOf(before: Int32Array, begins: Uint8Array, t: number, k: number): number {
  if (k === 1) return 0;
  return t > 0 && begins[t] === 0 ? before[t - 1] : -1;
}

/** Per position the context of `k` codes that ends there, counted within its order, or -1. */
function contextsOf(
  { inputs, begins, length }: CodeStream,
  before: Int32Array,
  { keys }: Level,
  size: number,
  k: number,
): Int32Array {
  const after = new Int32Array(length).fill(-1);
  for (let t = 0; t < length; t++) {
    const parent = parentOf(before, begins, t, k);
    if (parent < 0 || inputs[t] < 0) continue;
    const key = parent * size + inputs[t];
    let low = 0;
    let high = keys.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (keys[middle] < key) low = middle + 1;
      else high = middle;
    }
    if (keys[low] === key) after[t] = low;
  }
  return after;
}

function broken(what: string): OstinatoError {
  return new OstinatoError("OST_MODEL_FILE", {
    what: `the counts of the n-grams do not hold together: ${what}`,
    expected: "sorted n-grams of each order",
    where: "ngram",
    repair: "save the baseline again",
  });
}

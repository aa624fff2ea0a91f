/**
 * @file Byte-pair encoding on symbols: learning which neighbours to merge, and merging them.
 *
 * Learning joins, again and again, the most frequent pair of neighbouring symbols into a new symbol (Gage 1994; for words: Sennrich, Haddow
 * & Birch 2016, "Neural Machine Translation of Rare Words with Subword Units", ACL). Symbols 0 .. alphabet - 1 are given; merge k makes
 * symbol alphabet + k. Among pairs equally frequent the one of the smaller left symbol comes first, then of the smaller right one, so that
 * the result depends on the words and their counts alone, not on their order.
 *
 * Both work on all symbols in one chain and touch only the places of the pair at hand: learning costs about n log n for n symbols of distinct
 * words rather than n for each merge, and merging a text of n bytes costs n log n, however long its words.
 */
import { Heap } from "./heap.js";

export type Merge = readonly [left: number, right: number];

/** Symbols are below this, so that a pair is one exact number. */
export const MOST_SYMBOLS = 1 << 21;

/** The left symbol weighs more: pairs in order of this number are in order of left, then right. */
export function pairKey(left: number, right: number): number {
  return left * MOST_SYMBOLS + right;
}

export interface LearnMergesOptions {
  /** Number of given symbols. */
  alphabet: number;
  /** Most merges. Learning stops before when no pair is left that is frequent enough. */
  merges: number;
  /** Least occurrences of a merged pair. Default 2. */
  minCount?: number;
  /** A merge that would make a symbol of more given symbols than this is not made. Default: any length. */
  longest?: number;
}

interface Pair {
  left: number;
  right: number;
  key: number;
  /** Occurrences, each weighted by the count of its word. Overlapping ones count: "aaa" holds two of (a, a). */
  count: number;
  /** Places of the left symbol, ascending. Some may be out of date: the chain tells. */
  places: number[];
}

/** @param words distinct words as symbols, with the number of times each occurs; the pairs of one word never reach into another. */
export function learnMerges(
  words: Iterable<readonly [symbols: ArrayLike<number>, count: number]>,
  options: LearnMergesOptions,
): Merge[] {
  const { alphabet, merges: most, minCount = 2, longest = Number.POSITIVE_INFINITY } = options;
  const chain = new Chain(words);
  const { symbols, next, previous, weight } = chain;
  const pairs = new Map<number, Pair>();
  const lengths: number[] = [];
  const lengthOf = (symbol: number) => (symbol < alphabet ? 1 : lengths[symbol - alphabet]);
  const heap = new Heap<{ pair: Pair; count: number }>(
    (a, b) => a.count > b.count || (a.count === b.count && a.pair.key < b.pair.key),
  );
  const queue = (pair: Pair) => {
    if (pair.count >= minCount) heap.push({ pair, count: pair.count });
  };

  let fresh: Pair[] = [];
  const add = (at: number) => {
    const left = symbols[at];
    const right = symbols[next[at]];
    const key = pairKey(left, right);
    let pair = pairs.get(key);
    if (!pair) {
      pair = { left, right, key, count: 0, places: [] };
      pairs.set(key, pair);
      fresh.push(pair);
    }
    pair.count += weight(at);
    pair.places.push(at);
  };
  const remove = (at: number) => {
    const pair = pairs.get(pairKey(symbols[at], symbols[next[at]])) as Pair;
    pair.count -= weight(at);
  };

  for (let at = 0; at < symbols.length; at++) if (next[at] >= 0) add(at);
  fresh.forEach(queue);

  const merges: Merge[] = [];
  while (merges.length < most) {
    const best = heap.pop();
    if (!best) break;
    const { pair } = best;
    // Counts of queued pairs only fall: an entry out of date stands too far ahead, never too far behind.
    if (pair.count !== best.count) {
      queue(pair);
      continue;
    }
    const { left, right } = pair;
    const length = lengthOf(left) + lengthOf(right);
    if (length > longest) continue;
    const made = alphabet + merges.length;
    merges.push([left, right]);
    lengths.push(length);
    fresh = [];
    for (const at of pair.places) {
      if (symbols[at] !== left || next[at] < 0 || symbols[next[at]] !== right) continue;
      if (previous[at] >= 0) remove(previous[at]);
      if (next[next[at]] >= 0) remove(next[at]);
      chain.merge(at, made);
      if (previous[at] >= 0) add(previous[at]);
      if (next[at] >= 0) add(at);
    }
    pairs.delete(pair.key);
    fresh.forEach(queue);
  }
  return merges;
}

/**
 * Merges neighbours in `symbols` by rank, the merge learned first before all others, leftmost first.
 *
 * @param rankOf the rank of a `pairKey`, or undefined where the pair is not merged; rank k makes symbol alphabet + k.
 */
export function applyMerges(symbols: ArrayLike<number>, rankOf: (key: number) => number | undefined, alphabet: number): number[] {
  const chain = new Chain([[symbols, 1]]);
  const { symbols: codes, next, previous } = chain;
  const rankAt = (at: number) => rankOf(pairKey(codes[at], codes[next[at]]));
  // Rank and place in one number: ranks first, then places. Exact, since MOST_SYMBOLS * 2^32 = 2^53.
  const heap = new Heap<number>((a, b) => a < b);
  const queue = (at: number) => {
    const rank = rankAt(at);
    if (rank !== undefined) heap.push(rank * 2 ** 32 + at);
  };
  for (let at = 0; at + 1 < codes.length; at++) queue(at);
  for (let first = heap.pop(); first !== undefined; first = heap.pop()) {
    const at = first % 2 ** 32;
    const rank = (first - at) / 2 ** 32;
    if (codes[at] < 0 || next[at] < 0 || rankAt(at) !== rank) continue;
    chain.merge(at, alphabet + rank);
    if (previous[at] >= 0) queue(previous[at]);
    if (next[at] >= 0) queue(at);
  }
  return Array.from(codes.filter((code) => code >= 0));
}

/** Words as one array of symbols, each linked to its neighbours in its word; a symbol merged into the one before it is -1. */
class Chain {
  readonly symbols: Int32Array;
  /** Place of the next symbol of the word, or -1. */
  readonly next: Int32Array;
  readonly previous: Int32Array;
  readonly #word: Int32Array;
  readonly #counts: Float64Array;

  constructor(words: Iterable<readonly [symbols: ArrayLike<number>, count: number]>) {
    const list = Array.from(words);
    const total = list.reduce((sum, [symbols]) => sum + symbols.length, 0);
    this.symbols = new Int32Array(total);
    this.next = new Int32Array(total);
    this.previous = new Int32Array(total);
    this.#word = new Int32Array(total);
    this.#counts = Float64Array.from(list, ([, count]) => count);
    let at = 0;
    list.forEach(([symbols], word) => {
      for (let i = 0; i < symbols.length; i++, at++) {
        this.symbols[at] = symbols[i];
        this.previous[at] = i === 0 ? -1 : at - 1;
        this.next[at] = i + 1 === symbols.length ? -1 : at + 1;
        this.#word[at] = word;
      }
    });
  }

  /** How often the word of this place occurs. */
  readonly weight = (at: number): number => this.#counts[this.#word[at]];

  /** Makes the symbol at a place and the next one a single symbol. */
  merge(at: number, symbol: number): void {
    const gone = this.next[at];
    this.symbols[at] = symbol;
    this.symbols[gone] = -1;
    this.next[at] = this.next[gone];
    if (this.next[at] >= 0) this.previous[this.next[at]] = at;
  }
}

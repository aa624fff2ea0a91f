/** @file The store that keeps nothing: for tests, for browsers, and for servers whose sessions need not outlive them. */
import {
  type CommitOutcome,
  type Store,
  type StoredRecord,
  type StoreEntry,
  StoreError,
  type StoreWrite,
} from "../protocol/store.js";
import { checkKey, checkWrites, compareKeys, matches } from "./store-write.js";

export class MemoryStore implements Store {
  readonly durability = "none";
  readonly #records = new Map<string, StoredRecord>();
  /** All keys in order, or null since one came or went. */
  #sorted: string[] | null = null;
  #closed = false;

  async load(keys: readonly string[]): Promise<(StoreEntry | null)[]> {
    this.#checkOpen();
    return keys.map((key) => {
      checkKey(key);
      return this.#records.get(key) ?? null;
    });
  }

  async commit(writes: readonly StoreWrite[]): Promise<CommitOutcome[]> {
    this.#checkOpen();
    checkWrites(writes);
    return writes.map(({ key, expected, record }) => {
      const held = this.#records.get(key) ?? null;
      if (!matches(expected, held)) return "conflict";
      if ((held === null) !== (record === null)) this.#sorted = null;
      if (record === null) this.#records.delete(key);
      else this.#records.set(key, { incarnation: record.incarnation, seq: record.seq, bytes: new Uint8Array(record.bytes) });
      return "applied";
    });
  }

  async scan({ prefix, after, limit }: { prefix: string; after?: string; limit: number }) {
    this.#checkOpen();
    this.#sorted ??= [...this.#records.keys()].sort(compareKeys);
    const found: { key: string; record: StoreEntry }[] = [];
    const start = after !== undefined && compareKeys(after, prefix) >= 0 ? after : prefix;
    for (let i = firstAtLeast(this.#sorted, start); i < this.#sorted.length && found.length < limit; i++) {
      const key = this.#sorted[i];
      if (!key.startsWith(prefix)) break;
      if (key !== after) found.push({ key, record: this.#records.get(key) as StoredRecord });
    }
    return found;
  }

  async count(): Promise<number> {
    this.#checkOpen();
    return this.#records.size;
  }

  async flush(): Promise<void> {
    this.#checkOpen();
    throw new StoreError("no", { what: "sessions in memory cannot be made to last", repair: "choose a store with a folder" });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#records.clear();
    this.#sorted = null;
  }

  #checkOpen(): void {
    if (this.#closed) throw new StoreError("no", { what: "the store is closed", repair: "open it again" });
  }
}

function firstAtLeast(sorted: readonly string[], key: string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(sorted[middle], key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

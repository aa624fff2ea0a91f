/**
 * @file The seam to whatever keeps sessions: records by key, and a commit that compares before it sets.
 *
 * The store is the truth and a server's memory a cache of it. Correctness never depends on who is alive, on clocks or on routing: a write
 * names the version it was made from, and one made from any other version than the stored one is refused as a conflict.
 *
 * Deleting is a write without a record. Keys are texts of 1 to 480 bytes of UTF-8 without lone surrogates; a store compares and orders them
 * by their bytes.
 *
 * A record whose bytes changed on the disk is never given out, nor taken for absent: it is a `DamagedRecord`, and hinders no other.
 */
import { type ErrorDetail, OstinatoError } from "../core/errors.js";

/** Which state a record holds: `incarnation` is a new one whenever a request begins a state afresh, `seq` with every applied step. */
export interface RecordVersion {
  /** 1 .. 2^32 - 1 */
  incarnation: number;
  /** 0 .. 2^53 - 1 */
  seq: number;
}

export interface StoredRecord extends RecordVersion {
  /** Opaque to the store. Whoever reads it must not change it, and copies what it keeps. */
  bytes: Uint8Array;
}

/** What is left of a record that no longer fits its checksum. */
export interface DamagedRecord {
  /** What does not fit, for people. */
  damage: string;
}

/** What a store holds under a key. */
export type StoreEntry = StoredRecord | DamagedRecord;

export function isDamaged(entry: StoreEntry | null): entry is DamagedRecord {
  return entry !== null && "damage" in entry;
}

export interface StoreWrite {
  key: string;
  /** What the write was made from: a version; null: the key must be absent; "damaged": it must hold a damaged record, given up by this. */
  expected: RecordVersion | "damaged" | null;
  /** What it holds afterwards; null deletes it. The store copies the bytes. */
  record: StoredRecord | null;
}

export type CommitOutcome = "applied" | "conflict";

/** Where the longest key ends, in bytes of UTF-8. */
export const MAX_KEY_BYTES = 480;

/** OST_STORE, and what became of the commit that met it. */
export class StoreError extends OstinatoError {
  /** "no": the store is as before. "unknown": the disk would not say; the next `load` does. */
  readonly applied: "no" | "unknown";

  constructor(applied: "no" | "unknown", detail: ErrorDetail, options?: ErrorOptions) {
    super("OST_STORE", detail, options);
    this.applied = applied;
  }
}

/** What a commit outlives: nothing; the end of the process; a power cut (where the disk honours a flush). */
export type StoreDurability = "none" | "process" | "durable";

/**
 * Laws, each held by `checkStore` of `ostinato/testing`:
 * - a commit is one transaction: all writes that do not conflict are there together, or none is; a conflict does not hinder the others;
 * - when the promise of `commit` resolves, the writes outlive what `durability` says; when it rejects, the store is as before (or, with an
 *   error whose `applied` is "unknown", the next `load` says which);
 * - a load after a commit sees it; loads never see a part of one;
 * - two writes of one commit never have the same key (refused with OST_RANGE).
 */
export interface Store {
  readonly durability: StoreDurability;
  /** One entry per key, in the order asked; null where there is none. @throws OST_STORE if the store cannot be read. */
  load(keys: readonly string[]): Promise<(StoreEntry | null)[]>;
  /**
   * One outcome per write, in the order given.
   * @throws OST_STORE (a `StoreError`, which says whether it was applied) if it could not be written.
   * @throws OST_RANGE for a key twice, a key that is none, or a version outside its range.
   */
  commit(writes: readonly StoreWrite[]): Promise<CommitOutcome[]>;
  /** Records whose key begins with `prefix`, in the order of keys, after the key `after` if it is given. */
  scan(options: { prefix: string; after?: string; limit: number }): Promise<{ key: string; record: StoreEntry }[]>;
  /** Records there are, damaged ones among them. */
  count(): Promise<number>;
  /** Everything committed so far outlives a power cut, whatever `durability` says. @throws OST_STORE if it cannot, as in a store in memory. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

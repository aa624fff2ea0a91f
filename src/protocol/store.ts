/**
 * @file The seam to whatever keeps sessions: records by key, and a commit that compares before it sets.
 *
 * The store is the truth and a server's memory a cache of it. Correctness never depends on who is alive, on clocks or on routing: a write
 * names the version it was made from, and one made from any other version than the stored one is refused as a conflict.
 *
 * Deleting is a write without a record. Keys are texts of at most 480 bytes of UTF-8; a store compares and orders them by their bytes.
 */

/** Which state a record holds: `incarnation` grows whenever a state begins afresh, `seq` with every applied step. */
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

export interface StoreWrite {
  key: string;
  /** The version that the write was made from; null: the key must be absent. */
  expected: RecordVersion | null;
  /** What it holds afterwards; null deletes it. The store copies the bytes. */
  record: StoredRecord | null;
}

export type CommitOutcome = "applied" | "conflict";

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
  /** One entry per key, in the order asked; null where there is none. @throws OST_STORE if the store cannot be read or a record is damaged. */
  load(keys: readonly string[]): Promise<(StoredRecord | null)[]>;
  /** One outcome per write, in the order given. @throws OST_STORE if nothing could be written. */
  commit(writes: readonly StoreWrite[]): Promise<CommitOutcome[]>;
  /** Records whose key begins with `prefix`, in the order of keys, after the key `after` if it is given. */
  scan(options: { prefix: string; after?: string; limit: number }): Promise<{ key: string; record: StoredRecord }[]>;
  /** Records there are. */
  count(): Promise<number>;
  /** Everything committed so far outlives a power cut, whatever `durability` says. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

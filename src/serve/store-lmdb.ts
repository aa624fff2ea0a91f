/**
 * @file The store in a folder of this machine: LMDB, with a journal in front of its table.
 *
 * A commit writes one journal value for all its records, which costs the disk one wait and the tree one key; puts of single records would
 * cost twenty times that. Memory holds the latest record of every key in the journal. When the journal outgrows its limit, each commit
 * also folds the oldest batches into the table, in the same transaction: of them only those records that no later batch replaced. Opening
 * reads the journal back, which its limit bounds.
 */
import { randomBytes } from "node:crypto";
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import {
  type CommitOutcome,
  type Store,
  type StoredRecord,
  type StoreEntry,
  StoreError,
  type StoreWrite,
} from "../protocol/store.js";
import { type BatchRecord, decodeBatch, decodeRecord, encodeBatch, encodeRecord } from "./store-batch.js";
import { checkStoreFile } from "./store-check.js";
import { isFull, StoreFile, storeError } from "./store-file.js";
import { FolderLock } from "./store-lock.js";
import { checkKey, checkWrites, compareKeys, matches } from "./store-write.js";

export interface LmdbStoreOptions {
  /** Made if it is missing, for this user alone. Not on a network file system. */
  folder: string;
  /** "durable": a commit waits for the disk. "process": it does not, and a power cut may cost the whole store. */
  durability: "durable" | "process";
  /** The file never grows past this. Default: as the disk permits. */
  maxBytes?: number;
  /** Where folding begins; memory holds as much, and opening reads it. Default 64 MiB; four times that is never passed. */
  journalBytes?: number;
  /** Whether opening reads the whole file for damage before LMDB trusts it; default true. Some seconds per million records. */
  check?: boolean;
}

interface Held {
  batch: number;
  /** null: deleted, and perhaps still in the table. */
  entry: StoreEntry | null;
}

interface JournalBatch {
  number: number;
  bytes: number;
  keys: string[];
}

const FORMAT = "ostinato sessions 1";
const [FORMAT_KEY, EPOCH_KEY] = [Buffer.from("format"), Buffer.from("epoch")];
const JOURNAL_BYTES = 64 * 2 ** 20;
const JOURNAL_BATCHES = 20_000;
/** A commit folds twice what it adds and a little more, so that the journal shrinks back however it was filled. */
const FOLD_AT_LEAST = 64;
/** A file that cannot grow has room for small steps only; all of the journal is folded by them, for that gives its room back. */
const FOLD_WHEN_TIGHT = 8;
/** Past this many times its limit, a commit folds without bound. */
const HARD_LIMIT = 4;

export class LmdbStore implements Store {
  readonly durability: "durable" | "process";
  readonly #options: LmdbStoreOptions;
  readonly #path: string;
  readonly #lock: FolderLock;
  /** Names this opening: whoever opens the folder later writes another, and we stop. */
  readonly #epoch = randomBytes(16);
  #file: StoreFile | null = null;
  /** The latest of every key in the journal. */
  readonly #latest = new Map<string, Held>();
  #journal: JournalBatch[] = [];
  #journalBytes = 0;
  #number = 0;
  #count = 0;
  #damaged = 0;
  /** Whether our epoch is in the file; on a full disk the first commit that fits brings it there. */
  #claimed = false;
  #closed = false;
  /** Operations run one after another. */
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(options: LmdbStoreOptions, lock: FolderLock) {
    this.durability = options.durability;
    this.#options = options;
    this.#path = join(options.folder, "sessions.mdb");
    this.#lock = lock;
  }

  /** @throws OST_STORE if the folder is in use, cannot be read or written, or its file is damaged beyond single records. */
  static async open(options: LmdbStoreOptions): Promise<LmdbStore> {
    await mkdir(options.folder, { recursive: true, mode: 0o700 }).catch((error: Error) => {
      throw storeError("no", error, options.folder);
    });
    const lock = await FolderLock.take(options.folder);
    const store = new LmdbStore(options, lock);
    try {
      await store.#openFile();
      return store;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  load(keys: readonly string[]): Promise<(StoreEntry | null)[]> {
    return this.#inTurn((file) => {
      for (const key of keys) checkKey(key);
      return keys.map((key) => this.#find(file, key));
    });
  }

  commit(writes: readonly StoreWrite[]): Promise<CommitOutcome[]> {
    return this.#inTurn(async (file) => {
      checkWrites(writes);
      let count = this.#count;
      const accepted: BatchRecord<StoredRecord>[] = [];
      const outcomes = writes.map(({ key, expected, record }): CommitOutcome => {
        const held = this.#find(file, key);
        if (!matches(expected, held)) return "conflict";
        if (held === null && record === null) return "applied";
        count += Number(record !== null) - Number(held !== null);
        accepted.push({ key, entry: record });
        return "applied";
      });
      if (accepted.length > 0) await this.#write(file, accepted, count);
      return outcomes;
    });
  }

  scan({
    prefix,
    after,
    limit,
  }: {
    prefix: string;
    after?: string;
    limit: number;
  }): Promise<{ key: string; record: StoreEntry }[]> {
    return this.#inTurn((file) => {
      const found: { key: string; record: StoreEntry }[] = [];
      const add = (key: string, record: StoreEntry | null) => {
        if (record !== null && found.length < limit) found.push({ key, record });
      };
      const start = after !== undefined && compareKeys(after, prefix) >= 0 ? after : prefix;
      const wanted = (key: string, { entry }: Held) =>
        entry !== null && key.startsWith(prefix) && key !== after && compareKeys(key, start) >= 0;
      const recent = firstKeys(this.#latest, { wanted, limit });
      let next = 0;
      for (const { key: bytes, value } of file.records.getRange({ start: Buffer.from(start) })) {
        const key = Buffer.from(bytes).toString("utf8");
        if (!key.startsWith(prefix) || found.length >= limit) break;
        while (next < recent.length && compareKeys(recent[next], key) < 0) {
          add(recent[next], this.#latest.get(recent[next])?.entry ?? null);
          next++;
        }
        if (key !== after && !this.#latest.has(key)) add(key, decodeRecord(bytes, value));
      }
      for (; next < recent.length && found.length < limit; next++)
        add(recent[next], this.#latest.get(recent[next])?.entry ?? null);
      return found;
    });
  }

  count(): Promise<number> {
    return this.#inTurn(() => this.#count);
  }

  flush(): Promise<void> {
    return this.#inTurn((file) => file.sync());
  }

  /** What is not folded into the table yet. */
  get journal(): { bytes: number; batches: number } {
    return { bytes: this.#journalBytes, batches: this.#journal.length };
  }

  /** Damaged records that opening found in the table. */
  get damaged(): number {
    return this.#damaged;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#queue;
    await this.#file?.close();
    this.#file = null;
    await this.#lock.release();
  }

  /** Runs `action` after all before it, with the file open: one that had to be given up is opened again first. */
  #inTurn<T>(action: (file: StoreFile) => T | Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new StoreError("no", { what: "the store is closed", where: this.#path }));
    const result = this.#queue.then(async () => action(this.#file ?? (await this.#openFile())));
    this.#queue = result.catch(() => undefined);
    return result;
  }

  #find(file: StoreFile, key: string): StoreEntry | null {
    const held = this.#latest.get(key);
    if (held) return held.entry;
    const bytes = Buffer.from(key, "utf8");
    const value = readBytes(() => file.records.getBinary(bytes), this.#path);
    return value ? decodeRecord(bytes, value) : null;
  }

  async #write(file: StoreFile, accepted: BatchRecord<StoredRecord>[], count: number): Promise<void> {
    const number = this.#number + 1;
    const { value, records } = encodeBatch({ number, count, records: accepted });
    const fold = this.#planFold(value.length, accepted.length, file.tight);
    try {
      file.transact(
        value.length + fold.bytes,
        accepted.every(({ entry }) => entry === null),
        () => {
          if (this.#claimed) this.#checkEpoch(file);
          else this.#writeEpoch(file);
          file.journal.put(numberKey(number), value);
          for (const { key, entry } of fold.records) {
            const bytes = Buffer.from(key, "utf8");
            if (entry === null) file.records.remove(bytes);
            else file.records.put(bytes, encodeRecord(bytes, entry));
          }
          for (const batch of fold.batches) file.journal.remove(numberKey(batch.number));
        },
      );
    } catch (error) {
      if (error instanceof StoreError) throw error;
      // The file was opened again and the journal read: it holds the batch, or not.
      if (await this.#outcome(error as Error, number)) return;
    }
    this.#journal.splice(0, fold.batches.length);
    for (const { key } of fold.records) this.#latest.delete(key);
    this.#journalBytes += value.length - fold.batches.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#journal.push({ number, bytes: value.length, keys: records.map(({ key }) => key) });
    for (const { key, entry } of records) this.#latest.set(key, { batch: number, entry });
    this.#number = number;
    this.#count = count;
    this.#claimed = true;
  }

  /** What to fold with a commit that adds so much: whole batches from the oldest on, and their records that nothing replaced. */
  #planFold(addedBytes: number, addedRecords: number, tight: boolean) {
    const limit = tight ? 0 : (this.#options.journalBytes ?? JOURNAL_BYTES);
    const most = tight ? FOLD_WHEN_TIGHT : FOLD_AT_LEAST + 2 * addedRecords;
    const batches: JournalBatch[] = [];
    const records: BatchRecord<StoreEntry>[] = [];
    let [left, bytes] = [this.#journalBytes + addedBytes, 0];
    for (const batch of this.#journal) {
      const over = left > limit || this.#journal.length - batches.length >= JOURNAL_BATCHES;
      if (!over || (records.length >= most && (tight || left <= HARD_LIMIT * limit))) break;
      for (const key of batch.keys) {
        const held = this.#latest.get(key);
        if (held?.batch !== batch.number) continue;
        records.push({ key, entry: held.entry });
        bytes += 64 + key.length + (held.entry && "bytes" in held.entry ? held.entry.bytes.length : 0);
      }
      batches.push(batch);
      left -= batch.bytes;
    }
    return { batches, records, bytes: bytes * 2 };
  }

  #checkEpoch(file: StoreFile): void {
    if (file.state.getBinary(EPOCH_KEY)?.equals(this.#epoch)) return;
    throw new StoreError("no", {
      what: "another server took over the folder",
      where: this.#path,
      repair: "stop one of the two; this one writes no more",
    });
  }

  /** After LMDB gave a transaction up: whether it stands after all. @throws OST_STORE with what became of it. */
  async #outcome(error: Error, number: number): Promise<boolean> {
    const full = isFull(error);
    const file = this.#file;
    this.#file = null;
    await file?.close();
    try {
      await this.#openFile();
    } catch {
      throw storeError(full ? "no" : "unknown", error, this.#path);
    }
    if (this.#number >= number) return true;
    // Our epoch went through to the disk behind the failed transaction, which so cannot come back; one without room never went there.
    throw storeError(this.#claimed || full ? "no" : "unknown", error, this.#path);
  }

  async #openFile(): Promise<StoreFile> {
    const { durability, maxBytes = Number.POSITIVE_INFINITY, check = true } = this.#options;
    const size = await stat(this.#path).then(
      (found) => found.size,
      () => 0,
    );
    if (check && size > 0) this.#damaged = checkStoreFile(this.#path).damaged;
    const file = await StoreFile.open({ path: this.#path, sync: durability === "durable", maxBytes });
    try {
      this.#replay(file);
      this.#claimed = this.#claim(file);
    } catch (error) {
      await file.close();
      throw storeError("no", error as Error, this.#path);
    }
    this.#file = file;
    return file;
  }

  /** Whether the file took our epoch; without room it can be read all the same. */
  #claim(file: StoreFile): boolean {
    try {
      file.transact(0, true, () => this.#writeEpoch(file));
      return true;
    } catch (error) {
      const cause = error instanceof StoreError ? (error.cause ?? error) : error;
      if (isFull(cause as Error) || file.tight) return false;
      throw error;
    }
  }

  #writeEpoch(file: StoreFile): void {
    file.state.put(FORMAT_KEY, Buffer.from(FORMAT));
    file.state.put(EPOCH_KEY, this.#epoch);
  }

  #replay(file: StoreFile): void {
    const format = file.state.getBinary(FORMAT_KEY)?.toString("utf8");
    if (format !== undefined && format !== FORMAT) {
      throw new StoreError("no", { what: "a store of another format", expected: FORMAT, got: format, where: this.#path });
    }
    this.#latest.clear();
    this.#journal = [];
    this.#journalBytes = 0;
    this.#count = (file.records.getStats() as { entryCount: number }).entryCount;
    for (const { key, value } of file.journal.getRange({})) {
      const batch = decodeBatch(value);
      const expected = this.#journal.length > 0 ? this.#number + 1 : batch?.number;
      if (!batch || batch.number !== expected || numberKey(batch.number).compare(key) !== 0) {
        throw new StoreError("no", {
          what: "the store's journal is damaged",
          got: `batch ${Buffer.from(key).toString("hex")}, whose records cannot be told`,
          where: this.#path,
          repair: "restore the folder from a copy",
        });
      }
      for (const record of batch.records) this.#latest.set(record.key, { batch: batch.number, entry: record.entry });
      this.#journal.push({ number: batch.number, bytes: value.length, keys: batch.records.map((record) => record.key) });
      this.#journalBytes += value.length;
      this.#number = batch.number;
      this.#count = batch.count;
    }
  }
}

/** The first keys in order, `limit` at most, without bringing all of them into order. */
function firstKeys(
  latest: ReadonlyMap<string, Held>,
  { wanted, limit }: { wanted(key: string, held: Held): boolean; limit: number },
): string[] {
  const first: string[] = [];
  let last: string | null = null;
  for (const [key, held] of latest) {
    if ((last !== null && compareKeys(key, last) >= 0) || !wanted(key, held)) continue;
    first.push(key);
    if (first.length < 2 * limit + 2) continue;
    first.sort(compareKeys).splice(limit + 1);
    last = first[limit];
  }
  return first.sort(compareKeys).slice(0, limit);
}

/** Numbers in the order of bytes. */
function numberKey(number: number): Buffer {
  const key = Buffer.allocUnsafe(8);
  key.writeBigUInt64BE(BigInt(number));
  return key;
}

function readBytes(read: () => Buffer | undefined, path: string): Buffer | undefined {
  try {
    const value = read();
    return value && Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  } catch (error) {
    throw storeError("no", error as Error, path);
  }
}

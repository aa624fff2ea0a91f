/**
 * @file One LMDB environment: three tables, transactions that wait for the disk, and room made before it is needed.
 *
 * Durability, read in the source of lmdb 3.5 and seen with strace: with `overlappingSync: false` a synchronous transaction writes its
 * pages, calls fdatasync, and writes the new meta page through a descriptor opened with O_DSYNC before it returns. With `noSync` both
 * waits are left out; the pages are then in the kernel's hands, where the end of the process does not touch them.
 *
 * The file is grown here, by zeros, before LMDB needs the room: a full disk is met outside its transactions, where nothing can be torn.
 */
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";
import type { Database, RootDatabase } from "lmdb";
import { StoreError } from "../protocol/store.js";
import { countFreePages } from "./store-check.js";

export interface StoreFileOptions {
  path: string;
  /** Whether transactions wait for the disk. */
  sync: boolean;
  /** The file never grows past this. */
  maxBytes: number;
}

export type Table = Database<Buffer, Buffer>;

/** What a small transaction may need beside its own bytes: copies of tree pages, and its list of free ones. */
const HEADROOM = 512 * 1024;
/** What of it is kept when there is no more room, so that sessions can still be ended. */
const LAST_HEADROOM = 128 * 1024;
const GROWTH = 4 * 2 ** 20;
/** Address space, not disk; LMDB widens it when a file outgrows it. */
const MAP_BYTES = 64 * 2 ** 30;

export class StoreFile {
  readonly records: Table;
  readonly journal: Table;
  readonly state: Table;
  readonly #root: RootDatabase;
  readonly #options: StoreFileOptions;
  readonly #descriptor: number;
  #size: number;
  #tight = false;

  private constructor(root: RootDatabase, options: StoreFileOptions) {
    this.#root = root;
    this.#options = options;
    const table = (name: string): Table => root.openDB(name, { keyEncoding: "binary", encoding: "binary" });
    this.records = table("records");
    this.journal = table("journal");
    this.state = table("state");
    this.#descriptor = openSync(options.path, "r+");
    this.#size = fstatSync(this.#descriptor).size;
  }

  /** @throws OST_STORE if lmdb has no build for this platform, or the file cannot be opened. */
  static async open(options: StoreFileOptions): Promise<StoreFile> {
    const { open } = await import("lmdb").catch((cause: Error) => {
      throw new StoreError(
        "no",
        {
          what: "the package lmdb cannot be loaded",
          got: cause.message,
          repair: "install it for this platform, or keep sessions in memory",
        },
        { cause },
      );
    });
    try {
      const { path, sync } = options;
      closeSync(openSync(path, "a+", 0o600));
      // The types lack the permissions.
      const settings = {
        path,
        noSubdir: true,
        maxDbs: 4,
        mapSize: MAP_BYTES,
        overlappingSync: false,
        noSync: !sync,
        permissionsMode: 0o600,
      };
      return new StoreFile(open(settings), options);
    } catch (cause) {
      throw storeError("no", cause as Error, options.path);
    }
  }

  /**
   * All that `action` writes, or nothing of it; durable on return if the file is opened so.
   * @param bytes about what it writes
   * @param last whether it may take the room that is kept for ending sessions
   * @throws what `action` throws; OST_STORE, applied "no", for want of room; and LMDB's own errors, whose outcome the caller must look up.
   */
  transact(bytes: number, last: boolean, action: () => void): void {
    this.#makeRoom(bytes, last);
    this.#root.transactionSync(action);
  }

  /** Waits until all of it is on the disk. */
  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: Error) => (error ? reject(storeError("unknown", error, this.#options.path)) : resolve());
      // Of the methods of RootDatabase this one lacks a type.
      (this.#root as unknown as { sync(done: (error?: Error) => void): void }).sync(settle);
    });
  }

  async close(): Promise<void> {
    closeSync(this.#descriptor);
    await this.#root.close();
  }

  /** Whether the file was last found unable to grow. */
  get tight(): boolean {
    return this.#tight;
  }

  /** Grows the file, or finds the room in pages that are free. */
  #makeRoom(bytes: number, last: boolean): void {
    const { lastPageNumber, pageSize } = this.#root.getStats() as { lastPageNumber: number; pageSize: number };
    const used = (lastPageNumber + 1) * pageSize;
    const headroom = last ? LAST_HEADROOM : HEADROOM;
    const wanted = used + Math.ceil(bytes * 1.25) + headroom;
    if (wanted <= this.#size) return;
    try {
      this.#grow(Math.ceil(wanted / GROWTH) * GROWTH);
      this.#tight = false;
    } catch (error) {
      this.#tight = true;
      if (wanted <= this.#size || countFreePages(this.#options.path) * pageSize >= bytes * 2 + headroom) return;
      throw storeError("no", error as Error, this.#options.path);
    }
  }

  #grow(target: number): void {
    const { path, maxBytes } = this.#options;
    const end = Math.min(target, maxBytes);
    const zeros = Buffer.alloc(Math.max(0, Math.min(GROWTH, end - this.#size)));
    while (this.#size < end) {
      this.#size += writeSync(this.#descriptor, zeros, 0, Math.min(zeros.length, end - this.#size), this.#size);
    }
    if (end === target) return;
    throw new StoreError("no", {
      what: "the store is full",
      expected: `at most ${maxBytes} bytes`,
      where: path,
      repair: "end sessions that are done, or raise the limit",
    });
  }
}

/** What LMDB and the system say, in our terms. */
export function storeError(applied: "no" | "unknown", cause: Error, where: string): StoreError {
  if (cause instanceof StoreError) return cause;
  const [what, repair] = explain(String((cause as { code?: unknown }).code ?? ""));
  return new StoreError(applied, { what, got: cause.message, where, repair }, { cause });
}

/** Errors that say there is no room, so that nothing was written. */
export function isFull(error: Error): boolean {
  return /^(28|27|122|-30792|-30788|ENOSPC|EFBIG|EDQUOT)$/.test(String((error as { code?: unknown }).code ?? ""));
}

function explain(code: string): [what: string, repair: string] {
  if (isFull({ code } as unknown as Error)) return ["the disk is full", "make room; commits work again as soon as there is some"];
  if (/^(13|30|1|EACCES|EROFS|EPERM)$/.test(code))
    return ["the store cannot be written", "make its folder writable for this user"];
  if (/^(5|EIO)$/.test(code)) return ["the disk fails", "look at the system's log; restore the store from a copy if it goes on"];
  if (/^-307\d\d$/.test(code)) return ["the store's file is damaged", "restore the folder from a copy"];
  return ["the store cannot be used", "see the cause"];
}

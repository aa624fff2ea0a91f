/**
 * @file Reads an LMDB file page by page, without LMDB, before LMDB is let near it.
 *
 * LMDB trusts its pages: a wrong page number ends the process, a wrong key hides its neighbours, a wrong list of free pages overwrites
 * records. So everything it will trust is looked at first: both meta pages, every page of every tree with its place, its owner, its bounds
 * and the order of its keys, the numbers of pages and entries, and that no page is used twice or is free while it is used. Bytes of
 * records are left to their checksums, save that a record must be under its own key.
 *
 * The layout is that of data version 2 as lmdb 3.5 compiles it: page headers of 24 bytes, little-endian, offsets counted from their end.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { StoreError } from "../protocol/store.js";
import { recordKey } from "./store-batch.js";

export interface StoreReport {
  pageSize: number;
  /** Where the last page ends; what follows it in the file is room. */
  usedBytes: number;
  /** Entries of every table by its name. */
  tables: Map<string, number>;
  /** Records whose bytes fail their checksum; they are told by name when they are loaded. */
  damaged: number;
  freePages: number;
}

const [HEADER, NODE] = [24, 8];
const [BRANCH, LEAF, OVERFLOW, META] = [1, 2, 4, 8];
const [BIG_DATA, SUB_DATA] = [1, 2];
const MAGIC = 0xbeefc0de;
const NO_ROOT = 2n ** 64n - 1n;
/** As lmdb writes their names, with the zero of C. */
const TABLES = ["records\0", "journal\0", "state\0"];

interface Tree {
  flags: number;
  depth: number;
  branchPages: number;
  leafPages: number;
  overflowPages: number;
  entries: number;
  root: number | null;
}

interface Meta {
  txnid: number;
  pageSize: number;
  lastPage: number;
  free: Tree;
  main: Tree;
}

type Visit = (key: Buffer, value: Buffer, flags: number) => void;

/** @throws OST_STORE naming the first thing that does not fit. Reads the whole file: some seconds per million records. */
export function checkStoreFile(path: string): StoreReport {
  return withWalk(path, (walk) => walk.run());
}

/** Pages that no tree uses, by the list of them alone. @throws OST_STORE if it is damaged. */
export function countFreePages(path: string): number {
  return withWalk(path, (walk) => walk.freePages());
}

function withWalk<T>(path: string, read: (walk: Walk) => T): T {
  const descriptor = openSync(path, "r");
  try {
    return read(new Walk(path, descriptor));
  } catch (error) {
    // Offsets that lead out of a page.
    if (error instanceof RangeError) throw damaged(path, error.message);
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

class Walk {
  readonly #path: string;
  readonly #descriptor: number;
  readonly #meta: Meta;
  /** Whether a tree uses a page, or the list of free ones names it. */
  readonly #seen: Uint8Array;
  readonly #leaf: Buffer;

  constructor(path: string, descriptor: number) {
    this.#path = path;
    this.#descriptor = descriptor;
    this.#meta = this.#readMeta();
    const { size } = fstatSync(descriptor);
    this.#that(
      (this.#meta.lastPage + 1) * this.#meta.pageSize <= size,
      `the file ends before its last page, ${this.#meta.lastPage}`,
    );
    this.#seen = new Uint8Array(this.#meta.lastPage + 1);
    this.#seen.fill(1, 0, 2);
    this.#leaf = Buffer.alloc(this.#meta.pageSize);
  }

  run(): StoreReport {
    const { main, pageSize, lastPage } = this.#meta;
    const tables = new Map<string, number>();
    const trees = new Map<string, Tree>();
    this.#walk(main, byteOrder, (key, value, flags) => {
      const name = key.toString("latin1");
      this.#that(
        TABLES.includes(name) && flags === SUB_DATA && value.length === 48,
        `a table that is none of ours: ${JSON.stringify(name)}`,
      );
      trees.set(name, readTree(value, 0));
    });
    let damagedRecords = 0;
    for (const [name, tree] of trees) {
      this.#that(tree.flags === 0, `the table ${name} has flags`);
      tables.set(name.slice(0, -1), tree.entries);
      this.#walk(tree, byteOrder, (key, value) => {
        if (name !== TABLES[0]) return;
        const own = recordKey(value);
        if (own === null) damagedRecords++;
        else if (!own.equals(key)) this.#fail(`a record is under the key of another: ${key.toString("hex").slice(0, 100)}`);
      });
    }
    return { pageSize, usedBytes: (lastPage + 1) * pageSize, tables, damaged: damagedRecords, freePages: this.freePages() };
  }

  freePages(): number {
    let pages = 0;
    this.#walk(this.#meta.free, numberOrder, (key, value) => {
      this.#that(key.length === 8, "a list of free pages without a number");
      pages += this.#takeFree(value);
    });
    return pages;
  }

  #readMeta(): Meta {
    const first = this.#read(0, 512);
    const pageSize = first.readUInt32LE(HEADER + 24);
    this.#that(pageSize >= 512 && pageSize <= 65_536 && (pageSize & (pageSize - 1)) === 0, "the first page is no meta page");
    const metas = [first, this.#read(pageSize, 512)].map((page, i) => {
      const isMeta =
        page.readUInt16LE(18) === META && page.readUInt32LE(HEADER) === MAGIC && page.readUInt32LE(HEADER + 24) === pageSize;
      this.#that(isMeta && page.readBigUInt64LE(0) === BigInt(i), `meta page ${i} is none`);
      const free = readTree(page, HEADER + 24);
      const main = readTree(page, HEADER + 72);
      this.#that((free.flags & 0xff) === 8 && main.flags === 0, `meta page ${i} has wrong flags`);
      return { free, main, pageSize, lastPage: number(page, HEADER + 120), txnid: number(page, HEADER + 128) };
    });
    const [even, odd] = metas.map(({ txnid }) => txnid);
    const inOrder = even % 2 === 0 && (odd % 2 === 1 ? Math.abs(even - odd) === 1 : odd === 0 && even === 0);
    this.#that(inOrder, `the meta pages are of transactions ${even} and ${odd}, which do not follow each other`);
    return metas[odd > even ? 1 : 0];
  }

  /** Every node of a tree in its order; what the tree says of itself must be what is found. */
  #walk(tree: Tree, order: (a: Buffer, b: Buffer) => number, visit: Visit): void {
    const found = { branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0 };
    let last: Buffer | null = null;
    const descend = (page: number, depth: number, low: Buffer | null): void => {
      const isLeaf = depth === tree.depth;
      const bytes = this.#take(page, 1, isLeaf ? LEAF : BRANCH, isLeaf ? this.#leaf : undefined);
      const nodes = this.#nodes(bytes, page);
      if (depth < tree.depth) {
        found.branchPages++;
        this.#that(nodes.length >= 2, `page ${page} has too few branches`);
        for (const [i, { key, low32, flags }] of nodes.entries()) {
          const bound = i === 0 ? low : key;
          if (i > 0 && low) this.#that(order(low, key) < 0, `page ${page} is out of order`);
          descend(low32 + flags * 2 ** 32, depth + 1, bound);
          const next = nodes[i + 1]?.key;
          if (next && last) this.#that(order(last, next) < 0, `page ${page} divides its keys wrongly`);
        }
        return;
      }
      found.leafPages++;
      for (const { key, low32, flags, at } of nodes) {
        if ((last && order(last, key) >= 0) || (low && order(low, key) > 0)) this.#fail(`page ${page} is out of order`);
        found.entries++;
        let value = bytes.subarray(at, at + low32);
        if (flags & BIG_DATA) {
          const [first, pages] = [number(bytes, at), number(bytes, at + 16)];
          this.#that(pages === Math.ceil((HEADER + low32) / this.#meta.pageSize), `page ${page} gives a record ${pages} pages`);
          value = this.#take(first, pages, OVERFLOW).subarray(HEADER, HEADER + low32);
          found.overflowPages += pages;
        }
        visit(key, value, flags & ~BIG_DATA);
        last = key;
      }
      // The next leaf is read into the same bytes.
      if (last) last = Buffer.from(last);
    };
    if (tree.root !== null) descend(tree.root, 1, null);
    for (const [name, count] of Object.entries(found)) {
      this.#that(
        tree[name as keyof typeof found] === count,
        `a tree counts ${tree[name as keyof typeof found]} ${name}, and has ${count}`,
      );
    }
  }

  #nodes(bytes: Buffer, page: number) {
    const [lower, upper] = [bytes.readUInt16LE(20), bytes.readUInt16LE(22)];
    const room = this.#meta.pageSize - HEADER;
    this.#that(lower % 2 === 0 && lower <= upper && upper <= room, `page ${page} has wrong bounds`);
    const isLeaf = bytes.readUInt16LE(18) === LEAF;
    let [taken, lowest] = [0, room];
    const nodes = Array.from({ length: lower / 2 }, (_, i) => {
      const offset = bytes.readUInt16LE(HEADER + 2 * i);
      const start = HEADER + offset;
      const low32 = bytes.readUInt32LE(start);
      const [flags, keyLength] = [bytes.readUInt16LE(start + 4), bytes.readUInt16LE(start + 6)];
      const at = start + NODE + keyLength;
      const size = NODE + keyLength + (isLeaf ? (flags & BIG_DATA ? 24 : low32) : 0);
      const fits = offset >= upper && offset + size <= room && (!isLeaf || flags <= 3);
      if (!fits || (keyLength === 0 && (isLeaf || i > 0))) this.#fail(`page ${page} has a node that does not fit`);
      taken += size + (size & 1);
      lowest = Math.min(lowest, offset);
      return { key: bytes.subarray(start + NODE, at), low32, flags, at };
    });
    this.#that(taken === room - upper && lowest === upper, `page ${page} has gaps or overlaps`);
    return nodes;
  }

  /** The bytes of pages that nothing else uses, of the kind asked for. */
  #take(page: number, pages: number, kind: number, into?: Buffer): Buffer {
    this.#mark(page, pages);
    const { pageSize, txnid } = this.#meta;
    const bytes = this.#read(page * pageSize, pages * pageSize, into);
    const written = number(bytes, 8);
    this.#that(number(bytes, 0) === page, `page ${page} says it is another`);
    this.#that(written >= 1 && written <= txnid, `page ${page} is of transaction ${written}, which has not been`);
    this.#that(bytes.readUInt16LE(18) === kind, `page ${page} is of the wrong kind`);
    if (kind === OVERFLOW) this.#that(bytes.readUInt32LE(20) === pages, `page ${page} heads another number of pages`);
    return bytes;
  }

  /** A list: how many words, then page numbers, or minus a length before the first page of a run, or zero for nothing. */
  #takeFree(value: Buffer): number {
    const words = number(value, 0);
    this.#that((words + 1) * 8 <= value.length, "a list of free pages is longer than its room");
    let taken = 0;
    for (let i = 1; i <= words; i++) {
      const word = value.readBigInt64LE(i * 8);
      if (word === 0n) continue;
      const length = word < 0n ? Number(-word) : 1;
      this.#mark(word < 0n ? number(value, ++i * 8) : Number(word), length);
      taken += length;
    }
    return taken;
  }

  #mark(page: number, pages: number): void {
    this.#that(page >= 2 && pages >= 1 && page + pages <= this.#seen.length, `page ${page} lies outside of the file`);
    for (let i = page; i < page + pages; i++) {
      if (this.#seen[i] !== 0) this.#fail(`page ${i} is used twice`);
      this.#seen[i] = 1;
    }
  }

  #read(position: number, length: number, bytes: Buffer = Buffer.allocUnsafe(length)): Buffer {
    this.#that(readSync(this.#descriptor, bytes, 0, length, position) === length, `the file ends at byte ${position}`);
    return bytes;
  }

  #that(holds: boolean, what: string): void {
    if (!holds) this.#fail(what);
  }

  #fail(what: string): never {
    throw damaged(this.#path, what);
  }
}

function damaged(path: string, got: string): StoreError {
  return new StoreError("no", {
    what: "the store's file is damaged, or is none",
    got,
    where: path,
    repair: "restore the folder from a copy",
  });
}

function readTree(bytes: Buffer, at: number): Tree {
  const root = bytes.readBigUInt64LE(at + 40);
  return {
    flags: bytes.readUInt16LE(at + 4),
    depth: bytes.readUInt16LE(at + 6),
    branchPages: number(bytes, at + 8),
    leafPages: number(bytes, at + 16),
    overflowPages: number(bytes, at + 24),
    entries: number(bytes, at + 32),
    root: root === NO_ROOT ? null : Number(root),
  };
}

/** Numbers above 2^53 lose their end, and are out of every bound anyway. */
function number(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;
}

function byteOrder(a: Buffer, b: Buffer): number {
  return a.compare(b);
}

function numberOrder(a: Buffer, b: Buffer): number {
  return number(a, 0) - number(b, 0);
}

/**
 * @file Typed columns in files: written once from front to back, read in stretches.
 *
 * Nothing read is kept: the operating system's page cache holds what is used often, outside this process's memory.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { resolve, sep } from "node:path";
import { OstinatoError } from "../../core/errors.js";
import type { ReopenableSlices } from "../slices.js";

const COLUMN_TYPES = { float32: Float32Array, float64: Float64Array, int32: Int32Array } as const;
interface ColumnArrays {
  float32: Float32Array;
  float64: Float64Array;
  int32: Int32Array;
}
export type ColumnType = keyof ColumnArrays;
export type ColumnArray<T extends ColumnType> = ColumnArrays[T];

/** Where a stored column lies: elements [offset, offset + length) of a file. JSON-safe. */
export interface StoredColumnPlace<T extends ColumnType = ColumnType> {
  path: string;
  type: T;
  offset: number;
  length: number;
}

/** Appends to a file of one element type. */
export class ColumnWriter<T extends ColumnType> {
  readonly #file: number;
  readonly #hash = createHash("sha256");
  #open = true;
  /** Elements written. */
  length = 0;

  constructor(
    readonly path: string,
    readonly type: T,
  ) {
    this.#file = failing(path, () => openSync(path, "w"));
  }

  append(values: ColumnArray<T>): void {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    failing(this.path, () => {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
    });
    this.#hash.update(bytes);
    this.length += values.length;
  }

  /** The SHA-256 of all that was written, hex; asked for once, at the end. */
  digest(): string {
    return this.#hash.digest("hex");
  }

  /** The stretch from `offset` to what is written now. */
  place(offset: number): StoredColumnPlace<T> {
    return { path: this.path, type: this.type, offset, length: this.length - offset };
  }

  close(): void {
    if (this.#open) closeSync(this.#file);
    this.#open = false;
  }
}

/** Files that are open for reading, by path; one each, however many columns lie in it. */
const readers = new Map<string, Reader>();

/** A file that is open; null once it is closed, for the system gives its number to the next file. */
interface Reader {
  file: number | null;
}

/** A column that lies in a file. */
export class StoredColumn<T extends ColumnType> implements ReopenableSlices<ColumnArray<T>> {
  readonly length: number;
  readonly reopen: { module: string; description: StoredColumnPlace<T> };
  readonly #reader: Reader;

  constructor(readonly place: StoredColumnPlace<T>) {
    const { path, length } = place;
    this.length = length;
    this.reopen = { module: import.meta.url, description: place };
    const key = resolve(path);
    let reader = readers.get(key);
    if (!reader) readers.set(key, (reader = { file: failing(path, () => openSync(path, "r")) }));
    this.#reader = reader;
  }

  /** @throws OST_FILE if the file is cut short or gone. */
  subarray(from: number, to: number): ColumnArray<T> {
    const { path, type, offset } = this.place;
    const values = new COLUMN_TYPES[type](to - from) as ColumnArray<T>;
    const bytes = new Uint8Array(values.buffer as ArrayBuffer);
    const start = (offset + from) * values.BYTES_PER_ELEMENT;
    const { file } = this.#reader;
    if (file === null) {
      throw new OstinatoError("OST_FILE", {
        what: "the prepared data were closed: their folder was prepared anew",
        where: path,
        repair: "use what the new preparation returned",
      });
    }
    failing(path, () => {
      for (let at = 0; at < bytes.length; ) {
        const read = readSync(file, bytes, at, bytes.length - at, start + at);
        if (read === 0) {
          throw new OstinatoError("OST_FILE", {
            what: "a file of prepared data is cut short",
            expected: `${start + bytes.length} bytes at least`,
            got: String(start + at),
            where: path,
            repair: "remove its folder; it is made again from the sources",
          });
        }
        at += read;
      }
    });
    return values;
  }
}

/** The SHA-256 of a file, hex, read in pieces. @throws OST_FILE */
export function digestOf(path: string): string {
  return failing(path, () => {
    const file = openSync(path, "r");
    try {
      const hash = createHash("sha256");
      const piece = new Uint8Array(1 << 20);
      for (let read = readSync(file, piece); read > 0; read = readSync(file, piece)) hash.update(piece.subarray(0, read));
      return hash.digest("hex");
    } finally {
      closeSync(file);
    }
  });
}

/** The column that another thread described. */
export function openColumn(place: StoredColumnPlace): StoredColumn<ColumnType> {
  return new StoredColumn(place);
}

/** Closes the file of that path, or those below the folder; a column that reads from one is at its end. */
export function closeColumns(folder: string): void {
  const below = resolve(folder);
  for (const [path, reader] of readers) {
    if (path !== below && !path.startsWith(below + sep)) continue;
    if (reader.file !== null) closeSync(reader.file);
    reader.file = null;
    readers.delete(path);
  }
}

function failing<R>(path: string, action: () => R): R {
  try {
    return action();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === undefined || cause instanceof OstinatoError) throw cause;
    throw new OstinatoError(
      "OST_FILE",
      {
        what: code === "ENOSPC" ? "the disk is full" : "a file of prepared data cannot be used",
        got: code,
        where: path,
        repair:
          code === "ENOSPC"
            ? "free some space; prepared data take about as much as the sources"
            : "check the folder's permissions",
      },
      { cause },
    );
  }
}

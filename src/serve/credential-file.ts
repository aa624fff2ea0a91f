/** @file A file that decides who may come in: read anew when it changes, kept as it was when the change cannot be read. */
import { readFileSync, statSync } from "node:fs";
import { OstinatoError } from "../core/errors.js";

export interface CredentialFileOptions {
  /** Told once of every change that could not be taken. */
  onFault?: (error: unknown) => void;
  /** The file is looked at this often at most. Default 250 ms. */
  intervalMs?: number;
}

const MAX_BYTES = 8 * 1024 * 1024;

export class CredentialFile<T> {
  readonly path: string;
  readonly #parse: (text: string, path: string) => T;
  readonly #onFault: (error: unknown) => void;
  readonly #intervalMs: number;
  #value: T;
  #seen: string;
  #lookedAt: number;

  /** Reads the file. @throws OST_FILE if it cannot be read or anybody may write it; what `parse` throws. */
  constructor(path: string, parse: (text: string, path: string) => T, { onFault, intervalMs = 250 }: CredentialFileOptions = {}) {
    this.path = path;
    this.#parse = parse;
    this.#onFault = onFault ?? (() => {});
    this.#intervalMs = intervalMs;
    this.#seen = fingerprint(path);
    this.#value = this.#read();
    this.#lookedAt = performance.now();
  }

  /** What the file says; after a change that cannot be read, what it said before. */
  get value(): T {
    const now = performance.now();
    if (now - this.#lookedAt < this.#intervalMs) return this.#value;
    this.#lookedAt = now;
    const seen = fingerprint(this.path);
    if (seen === this.#seen) return this.#value;
    this.#seen = seen;
    try {
      this.#value = this.#read();
    } catch (error) {
      this.#onFault(error);
    }
    return this.#value;
  }

  #read(): T {
    let text: string;
    try {
      const { mode, size } = statSync(this.path);
      if (process.platform !== "win32" && (mode & 0o002) !== 0) {
        throw fault(this.path, "anybody on this machine may write it", `chmod o-w ${this.path}`);
      }
      if (size > MAX_BYTES) throw fault(this.path, `it is larger than ${MAX_BYTES} bytes`, "check the path");
      text = readFileSync(this.path, "utf8");
    } catch (error) {
      if (error instanceof OstinatoError) throw error;
      const { code = "unknown" } = error as NodeJS.ErrnoException;
      throw fault(
        this.path,
        code === "ENOENT" ? "there is no such file" : `it cannot be read (${code})`,
        "check the path",
        error,
      );
    }
    return this.#parse(text, this.path);
  }
}

function fault(where: string, what: string, repair: string, cause?: unknown): OstinatoError {
  return new OstinatoError("OST_FILE", { what, where, repair }, { cause });
}

/** Changes with every replacement or edit of the file that a file system tells of. */
function fingerprint(path: string): string {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "unknown";
  }
}

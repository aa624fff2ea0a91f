/**
 * @file The audit log: what became of every state, as lines of JSON of which each holds the hash of the one before.
 *
 * `<log>` is written to; full files lie beside it as `<log>.<number of their first line>`; `<log>.head` names the last line that is on the disk.
 * Lines reach the disk in the order of `append`, many in one write, and the head follows them: a head never names a line that a power cut
 * could take away. A line behind the head was therefore never waited for, and one at or before it is missing only if somebody took it.
 */
import { type FileHandle, mkdir, open, readFile, rename, stat, truncate, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { OstinatoError } from "../core/errors.js";
import { type AuditEntry, type AuditHead, GENESIS, MAX_LINE_BYTES, writeAuditLine } from "./audit-line.js";
import { archivePath, auditFiles, followChain, headPath, type LinePlace, readHead } from "./audit-verify.js";
import type { Observer } from "./observer.js";
import { parseSessionKey } from "./session-key.js";

export interface AuditLogOptions {
  /** A file that reaches so many bytes is put aside and a new one begun. Default 64 MiB. */
  maxBytes?: number;
  /** Whether `flushed` waits for the disk: lines then outlive a power cut. Default true. */
  durable?: boolean;
  /** Lines that may wait to be written. Default 65536. */
  maxPending?: number;
  /** Hears of the first write that fails after one that did not. */
  onFault?: (error: unknown) => void;
  /** ms since 1970. */
  now?: () => number;
}

/** The actor of what the log itself does. */
const SELF = "audit-log";

export class AuditLog {
  readonly path: string;
  readonly #maxBytes: number;
  readonly #durable: boolean;
  readonly #maxPending: number;
  readonly #onFault: (error: unknown) => void;
  readonly #now: () => number;
  #file: FileHandle;
  /** Bytes of the present file that are known to be whole lines. */
  #size: number;
  /** Number of the first line of the present file. */
  #firstLine: number;
  /** Of the last line appended; of the last one written. */
  #head: AuditHead;
  #written: AuditHead;
  #pending: { text: string; head: AuditHead }[] = [];
  #writing: Promise<void> | null = null;
  #closed = false;
  /** The last write failed: nothing but `flushed` or the next line tries again. */
  #failed = false;
  /** Bytes behind `#size` may be of a write of ours that failed. */
  #dirty = false;
  /** The full file is put aside and the next one not begun. */
  #aside = false;

  private constructor(
    path: string,
    file: FileHandle,
    place: { size: number; firstLine: number; head: AuditHead },
    options: AuditLogOptions,
  ) {
    const { maxBytes = 64 * 1024 * 1024, durable = true, maxPending = 65536, onFault = () => {}, now = Date.now } = options;
    this.path = path;
    this.#file = file;
    this.#size = place.size;
    this.#firstLine = place.firstLine;
    this.#head = this.#written = place.head;
    this.#maxBytes = maxBytes;
    this.#durable = durable;
    this.#maxPending = maxPending;
    this.#onFault = onFault;
    this.#now = now;
  }

  /**
   * Opens a log to go on after its last line, or begins one.
   *
   * What a crash left behind the head was confirmed to nobody. Whole lines of it stay, and a line says which; half a line is moved to
   * `<log>.torn-<line>`, and a line says so.
   * Only the newest file is read.
   *
   * @throws OST_AUDIT if lines up to the head are missing or changed. @throws OST_FILE if it cannot be read or written.
   */
  static async open(path: string, options: AuditLogOptions = {}): Promise<AuditLog> {
    try {
      await mkdir(dirname(path), { recursive: true });
      const found = await recover(path);
      const file = await open(path, "a", 0o640);
      const log = new AuditLog(path, file, found, options);
      if (found.begun) {
        await log.#writeHead(GENESIS);
        if (log.#durable) await syncFolder(path);
      }
      const { confirmed, head, torn } = found;
      const recovered = (reason: string) => log.append({ ...NOTHING, actor: SELF, event: "recovered", reason });
      if (confirmed < head.n) recovered(`unconfirmed:${confirmed + 1}-${head.n}`);
      if (torn !== null) recovered(`torn:${basename(torn)}`);
      await log.flushed();
      return log;
    } catch (cause) {
      throw unusable(path, cause);
    }
  }

  /** The last line appended. */
  get head(): AuditHead {
    return this.#head;
  }

  /** Takes a line; it is written soon, in order. @throws OST_CAPACITY if too many wait, because the disk does not take them. */
  append(entry: AuditEntry): AuditHead {
    if (this.#closed) throw new OstinatoError("OST_FILE", { what: "the audit log is closed", where: this.path });
    if (this.#pending.length >= this.#maxPending) {
      const repair = "free some space where the audit log lies";
      throw new OstinatoError("OST_CAPACITY", { what: "the audit log cannot be written fast enough", where: this.path, repair });
    }
    const line = writeAuditLine(entry, this.#head, this.#now());
    this.#head = line.head;
    this.#pending.push(line);
    // Lines of one turn of the event loop share one write.
    if (!this.#writing) void this.#begin().catch(() => {});
    return line.head;
  }

  /** Resolves when all lines appended so far are on the disk. @throws OST_FILE, OST_AUDIT if they cannot be: they wait, and are tried again at the next call. */
  async flushed(): Promise<void> {
    const { n } = this.#head;
    while (this.#written.n < n) await (this.#writing ?? this.#begin());
  }

  /** Writes what waits. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.flushed();
    } finally {
      await this.#file.close();
    }
  }

  #begin(): Promise<void> {
    const writing = (async () => {
      await new Promise((resolve) => setImmediate(resolve));
      await this.#writeBatch();
    })().finally(() => {
      if (this.#writing === writing) this.#writing = null;
      if (this.#written.n < this.#head.n && !this.#failed) void this.#begin().catch(() => {});
    });
    this.#writing = writing;
    return writing;
  }

  async #writeBatch(): Promise<void> {
    try {
      await this.#write();
      this.#failed = false;
    } catch (cause) {
      const error = unusable(this.path, cause);
      if (!this.#failed) this.#onFault(error);
      this.#failed = true;
      throw error;
    }
  }

  async #write(): Promise<void> {
    const { size } = await this.#file.stat();
    // Bytes too many are the rest of a write that failed, or lines of another process.
    if (size < this.#size || (size > this.#size && !this.#dirty)) throw changedBelow(this.path);
    if (size > this.#size) await this.#file.truncate(this.#size);
    this.#dirty = false;
    if (this.#size >= this.#maxBytes) await this.#rotate();
    const batch = this.#takeBatch();
    const bytes = Buffer.from(batch.map(({ text }) => `${text}\n`).join(""));
    this.#dirty = true;
    await this.#file.writeFile(bytes);
    if (this.#durable) await this.#file.datasync();
    const last = batch[batch.length - 1].head;
    await this.#writeHead(last);
    this.#dirty = false;
    this.#size += bytes.length;
    this.#pending.splice(0, batch.length);
    this.#written = last;
  }

  /** As many waiting lines as the present file takes, one at least. */
  #takeBatch(): { text: string; head: AuditHead }[] {
    let size = this.#size;
    const upTo = this.#pending.findIndex(({ text }) => (size += Buffer.byteLength(text) + 1) >= this.#maxBytes);
    return this.#pending.slice(0, upTo < 0 ? this.#pending.length : upTo + 1);
  }

  async #rotate(): Promise<void> {
    if (!this.#aside) await rename(this.path, archivePath(this.path, this.#firstLine));
    this.#aside = true;
    const next = await open(this.path, "ax", 0o640);
    this.#aside = false;
    await this.#file.close();
    this.#file = next;
    this.#size = 0;
    this.#firstLine = this.#written.n + 1;
    if (this.#durable) await syncFolder(this.path);
  }

  async #writeHead(head: AuditHead): Promise<void> {
    const beside = `${headPath(this.path)}.partial`;
    const file = await open(beside, "w", 0o640);
    try {
      await file.writeFile(`${JSON.stringify(head)}\n`);
      if (this.#durable) await file.datasync();
    } finally {
      await file.close();
    }
    await rename(beside, headPath(this.path));
  }
}

const NOTHING: AuditEntry = {
  actor: "",
  tenant: "",
  key: null,
  event: "",
  reason: null,
  from: null,
  to: null,
  seq: null,
  version: null,
};

/**
 * An observer that writes every change of a session's life and of the models; `flushed` of the log says when it is on the disk.
 *
 * Lines that the log does not take, because the disk is full, are counted, and a line says how many once there is room again.
 */
export function auditObserver(log: AuditLog): Pick<Observer, "lifecycle" | "model"> {
  let lost = 0;
  const append = (entry: AuditEntry) => {
    try {
      if (lost > 0) log.append({ ...NOTHING, actor: SELF, event: "lost", reason: `lines:${lost}` });
      lost = 0;
      log.append(entry);
    } catch {
      lost++;
    }
  };
  return {
    lifecycle({ kind, key, version, incarnation, seq, reason }, actor) {
      const { tenant } = parseSessionKey(key);
      append({ actor, tenant, key, event: kind, reason, from: incarnation.from, to: incarnation.to, seq, version });
    },
    model(change, { name, version, policy, actor }) {
      append({ ...NOTHING, actor, event: `model_${change}`, reason: policy === undefined ? name : `${name}:${policy}`, version });
    },
  };
}

interface Recovered {
  head: AuditHead;
  /** Number of the last line that the head file named. */
  confirmed: number;
  size: number;
  firstLine: number;
  /** No log was there. */
  begun: boolean;
  /** The file that holds what was cut off. */
  torn: string | null;
}

/** Finds the end of a log and cuts off what a crash left behind its head. @throws OST_AUDIT */
async function recover(path: string): Promise<Recovered> {
  const files = await auditFiles(path);
  const newest = files[files.length - 1];
  const head = await readHead(path);
  if (!head || files.length === 0) {
    // Only the very first opening can end between the making of the log and that of its head.
    if (head && head.n > 0) throw broken(path, "the log is gone and its head is not");
    if (files.length > 1 || (newest && (await stat(newest)).size > 0)) throw broken(path, "the head file is gone");
    return { head: GENESIS, confirmed: 0, size: 0, firstLine: 1, begun: true, torn: null };
  }
  // The newest file may not hold a whole line yet; the one before it does, and says what comes before.
  const recent = files.slice(-2);
  const since = await headBefore(recent[0]);
  let met = head.n === since.n && head.hash === since.hash;
  let inNewest = 0;
  const each = (line: AuditHead, { file }: LinePlace) => {
    met ||= line.n === head.n && line.hash === head.hash;
    if (file === newest) inNewest++;
  };
  const chain = await followChain({ files: recent, since, each });
  if (!met || (chain.at && chain.at.file !== newest))
    throw broken(
      path,
      chain.firstBad?.why ?? `lines up to ${head.n} were there, and now up to ${chain.head.n}`,
      chain.head.n + 1,
    );
  const torn = chain.at ? await cutOff(chain.at, `${path}.torn-${chain.head.n + 1}`) : null;
  const last = { head: chain.head, confirmed: head.n, begun: false, torn };
  // A crash between putting a full file aside and beginning the next one.
  if (newest !== path) return { ...last, size: 0, firstLine: chain.head.n + 1 };
  return { ...last, size: (await stat(newest)).size, firstLine: chain.head.n + 1 - inNewest };
}

/** What the first line of a file says that it follows. */
async function headBefore(file: string): Promise<AuditHead> {
  const handle = await open(file, "r");
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(MAX_LINE_BYTES), 0, MAX_LINE_BYTES, 0);
    const line = /^\{"n":(\d{1,15}),.*"previous":"([0-9a-f]{64})"/.exec(buffer.subarray(0, bytesRead).toString("latin1"));
    return line ? { n: Number(line[1]) - 1, hash: line[2] } : GENESIS;
  } finally {
    await handle.close();
  }
}

/** Moves the end of a file into one of its own. @returns its path. */
async function cutOff({ file, start }: LinePlace, aside: string): Promise<string> {
  const bytes = await readFile(file);
  await writeFile(aside, bytes.subarray(start), { mode: 0o640, flush: true });
  await truncate(file, start);
  return aside;
}

/** Makes names in a folder outlive a power cut, where the system lets a folder be flushed. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), "r").catch(() => null);
  try {
    await folder?.sync();
  } catch {
  } finally {
    await folder?.close();
  }
}

function broken(where: string, got: string, line?: number): OstinatoError {
  return new OstinatoError("OST_AUDIT", {
    what: "the audit log was changed or cut since it was written",
    got,
    where: line === undefined ? where : `${where} line ${line}`,
    repair: "keep the files as evidence: move the log, its head and its full files elsewhere, and a new log begins",
  });
}

function changedBelow(where: string): OstinatoError {
  return new OstinatoError("OST_AUDIT", {
    what: "the audit log was written or cut by somebody else while it was open",
    where,
    repair: "give every server a log of its own",
  });
}

function unusable(where: string, cause: unknown): unknown {
  if (cause instanceof OstinatoError) return cause;
  const { code = "unknown" } = cause as NodeJS.ErrnoException;
  const repair = code === "ENOSPC" ? "free some space" : "check the folder and who may write there";
  return new OstinatoError("OST_FILE", { what: `the audit log cannot be written (${code})`, where, repair }, { cause });
}

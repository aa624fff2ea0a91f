/** @file Reads an audit log and says whether anything was edited, dropped, reordered, inserted or cut off. */
import { createReadStream } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { OstinatoError } from "../core/errors.js";
import { type AuditHead, checkAuditLine, GENESIS, MAX_LINE_BYTES } from "./audit-line.js";

export interface AuditVerdict {
  ok: boolean;
  /** Lines that fit, from the first. */
  lines: number;
  /** The last of them. */
  head: AuditHead;
  /** The first that does not: number of the line over all files, from 1. */
  firstBad?: { line: number; why: string };
}

export interface VerifyOptions {
  /** Hash of a line that must be there: one that was noted elsewhere. */
  head?: string;
  /** Hash of the last line that was given up on purpose, with the older files: the log begins after it. */
  since?: string;
  /** Whether a file `<log>.head` must be there and fit. Default true without `head`. */
  headFile?: boolean;
}

/** The file that names the last line of a log. */
export function headPath(path: string): string {
  return `${path}.head`;
}

/** The name of a full file of a log: the number of its first line keeps the files in order. */
export function archivePath(path: string, firstLine: number): string {
  return `${path}.${String(firstLine).padStart(12, "0")}`;
}

/** The files of a log, oldest first: the full ones, then the one that is written to, which may not be there yet. */
export async function auditFiles(path: string): Promise<string[]> {
  const name = basename(path);
  const beside = await readdir(dirname(path)).catch(() => []);
  const full = beside.filter((one) => one.startsWith(`${name}.`) && /^\d{12}$/.test(one.slice(name.length + 1))).sort();
  const present = (await stat(path).catch(() => null)) ? [path] : [];
  return [...full.map((one) => join(dirname(path), one)), ...present];
}

/** @returns null where there is none. @throws OST_AUDIT if it cannot be read as one. */
export async function readHead(path: string): Promise<AuditHead | null> {
  let text: string;
  try {
    text = await readFile(headPath(path), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  try {
    const { n, hash } = JSON.parse(text);
    if (Number.isSafeInteger(n) && n >= 0 && /^[0-9a-f]{64}$/.test(hash)) return { n, hash };
  } catch {}
  throw new OstinatoError("OST_AUDIT", { what: "the head of the audit log is damaged", where: headPath(path) });
}

/** Where a line lies: in which file, and from which byte. */
export interface LinePlace {
  file: string;
  start: number;
}

export interface ChainOptions {
  files: readonly string[];
  since?: AuditHead;
  /** Called with every line that fits, and the byte after its end. */
  each?: (head: AuditHead, place: LinePlace & { end: number }) => void;
}

/** Follows the chain through the files to its end or to the first line that does not fit. */
export async function followChain({ files, since = GENESIS, each }: ChainOptions): Promise<AuditVerdict & { at?: LinePlace }> {
  let head = since;
  for (const file of files) {
    let start = 0;
    for await (const { bytes, ended } of linesOf(file)) {
      const result = ended ? checkAuditLine(bytes, head) : { why: "the line has no end: cut off, or half written in a crash" };
      if ("why" in result) {
        const line = head.n + 1;
        return { ok: false, lines: head.n - since.n, head, firstBad: { line, why: result.why }, at: { file, start } };
      }
      head = result;
      const end = start + bytes.length + 1;
      each?.(head, { file, start, end });
      start = end;
    }
  }
  return { ok: true, lines: head.n - since.n, head };
}

/**
 * Whether a log is as it was written.
 *
 * The chain finds every edit, drop, insertion and exchange of lines. That lines at the end are missing shows against the head: the file
 * `<log>.head`, or a hash noted elsewhere, which also holds against somebody who wrote the whole chain and its head anew.
 *
 * @param path the log, whose full files are found beside it; or all its files, oldest first.
 * @throws OST_FILE if a file cannot be read, or there is none.
 */
export async function verifyAuditLog(path: string | readonly string[], options: VerifyOptions = {}): Promise<AuditVerdict> {
  const { head: wanted, since, headFile = wanted === undefined } = options;
  const files = typeof path === "string" ? await auditFiles(path) : path;
  const log = typeof path === "string" ? path : path[path.length - 1];
  if (files.length === 0) {
    throw new OstinatoError("OST_FILE", { what: "there is no such audit log", where: String(log), repair: "check the path" });
  }
  let kept: AuditHead | null = null;
  let headFault: string | null = null;
  if (headFile) {
    try {
      kept = await readHead(log);
      if (!kept) headFault = "there is no head file, so lines at the end may be missing";
    } catch (error) {
      if (!(error instanceof OstinatoError)) throw error;
      headFault = "the head file is damaged, so lines at the end may be missing";
    }
  }
  const begin = since === undefined ? GENESIS : { n: await numberBefore(files[0]), hash: since };
  let keptFits = kept !== null && kept.n === begin.n && kept.hash === begin.hash;
  let wantedFits = wanted === undefined || wanted === begin.hash;
  const each = ({ n, hash }: AuditHead) => {
    keptFits ||= kept !== null && n === kept.n && hash === kept.hash;
    wantedFits ||= hash === wanted;
  };
  const { at: _at, ...chain } = await followChain({ files, since: begin, each });
  if (!chain.ok) return chain;
  const bad = (why: string) => ({ ...chain, ok: false, firstBad: { line: chain.head.n + 1, why } });
  if (headFault) return bad(headFault);
  if (kept && !keptFits) return bad(`lines at the end are missing or others: the head is line ${kept.n} with another hash`);
  if (kept && !(await coveredSoon(log, kept, chain.head.n)))
    return bad(
      `lines behind the head, which is line ${kept.n}: written in a crash and confirmed to nobody, or added by somebody else`,
    );
  if (!wantedFits) return bad("no line has the expected hash: lines at the end are missing, or all were written anew");
  return chain;
}

/** Whether the head names the last line: where a server writes just now, it does a moment later. */
async function coveredSoon(path: string, kept: AuditHead, last: number): Promise<boolean> {
  for (let i = 0; kept.n < last; i++) {
    if (i === 10) return false;
    await new Promise((resolve) => setTimeout(resolve, 50));
    kept = (await readHead(path).catch(() => null)) ?? kept;
  }
  return true;
}

/** The number that the first line of a file says, less one. */
async function numberBefore(file: string): Promise<number> {
  for await (const { bytes } of linesOf(file)) {
    const n = Number(/^\{"n":(\d{1,15}),/.exec(Buffer.from(bytes.subarray(0, 32)).toString("latin1"))?.[1] ?? 1);
    return n - 1;
  }
  return 0;
}

/** The lines of a file without their ends; one that is longer than any line of a log is given as not ended. */
async function* linesOf(file: string): AsyncGenerator<{ bytes: Uint8Array; ended: boolean }> {
  let rest: Buffer = Buffer.alloc(0);
  const stream = createReadStream(file, { highWaterMark: 256 * 1024 });
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let start = 0;
      for (let end = bytes.indexOf(10, start); end >= 0; end = bytes.indexOf(10, start)) {
        yield { bytes: bytes.subarray(start, end), ended: end - start < MAX_LINE_BYTES };
        start = end + 1;
      }
      rest = bytes.subarray(start);
      if (rest.length >= MAX_LINE_BYTES) yield { bytes: rest, ended: false };
    }
  } catch (cause) {
    const { code = "unknown" } = cause as NodeJS.ErrnoException;
    throw new OstinatoError("OST_FILE", { what: `the audit log cannot be read (${code})`, where: file }, { cause });
  }
  if (rest.length > 0) yield { bytes: rest, ended: false };
}

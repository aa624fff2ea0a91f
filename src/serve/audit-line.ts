/** @file One line of the audit log: its fields, its text, and the hash that ties it to the line before. */
import { createHash } from "node:crypto";

/** What happened to a state, or to a model. */
export interface AuditEntry {
  /** Name of the credential, see `Principal.subject`. */
  actor: string;
  tenant: string;
  /** As `sessionKey` writes it; null where no session is meant. The log holds its hash. */
  key: string | null;
  event: string;
  reason: string | null;
  /** Incarnations before and after. */
  from: number | null;
  to: number | null;
  seq: number | null;
  /** Hash of the model version. */
  version: string | null;
}

/** Number and hash of a line: whoever knows them can prove that nothing up to it was changed. */
export interface AuditHead {
  n: number;
  hash: string;
}

/** Before the first line. */
export const GENESIS: AuditHead = { n: 0, hash: "0".repeat(64) };

/** Bytes of the longest line that a log holds, its end included. */
export const MAX_LINE_BYTES = 8192;

const HASH_SUFFIX = /^,"hash":"([0-9a-f]{64})"\}$/;
const SUFFIX_BYTES = ',"hash":"'.length + 64 + '"}'.length;
/** Five such texts of six bytes a character still fit into a line. */
const LONGEST_TEXT = 250;

/** @param time ms since 1970. @returns the line without its end, and its head. */
export function writeAuditLine(entry: AuditEntry, previous: AuditHead, time: number): { text: string; head: AuditHead } {
  const { actor, tenant, key, event, reason, from, to, seq, version } = entry;
  const n = previous.n + 1;
  const bounded = (text: string) => (text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}...` : text);
  const canonical = JSON.stringify({
    n,
    time: new Date(time).toISOString(),
    actor: bounded(actor),
    tenant: bounded(tenant),
    key: key === null ? null : sha256(key).slice(0, 16),
    event: bounded(event),
    reason: reason === null ? null : bounded(reason),
    from,
    to,
    seq,
    version: version === null ? null : bounded(version),
    previous: previous.hash,
  });
  const hash = sha256(canonical);
  return { text: `${canonical.slice(0, -1)},"hash":"${hash}"}`, head: { n, hash } };
}

/** @param bytes a line without its end. @returns its head, or why it is not the line that follows `previous`. */
export function checkAuditLine(bytes: Uint8Array, previous: AuditHead): AuditHead | { why: string } {
  const line = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const hash = HASH_SUFFIX.exec(line.subarray(-SUFFIX_BYTES).toString("latin1"))?.[1];
  if (hash === undefined) return { why: "the line does not end with its hash" };
  // The bytes as they stand are hashed, not what they are parsed to, so that no writing of the same values passes for another.
  const canonical = createHash("sha256").update(line.subarray(0, -SUFFIX_BYTES)).update("}").digest("hex");
  if (canonical !== hash) return { why: "the line was changed: its hash does not fit" };
  let fields: { n?: unknown; previous?: unknown };
  try {
    fields = JSON.parse(line.toString("utf8"));
  } catch {
    return { why: "the line is no JSON" };
  }
  if (fields.n !== previous.n + 1)
    return { why: `line ${previous.n + 1} is missing, or not in its place: this one says ${String(fields.n)}` };
  if (fields.previous !== previous.hash) return { why: "the line does not follow the one before it" };
  return { n: previous.n + 1, hash };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

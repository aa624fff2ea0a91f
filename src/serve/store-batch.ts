/**
 * @file How records lie on the disk: a batch of the journal, and a record of the table. Little-endian throughout.
 *
 * Every checksum covers the key. In a batch an index of all keys, versions and lengths has one checksum and the bytes of each record their
 * own: damage to bytes costs that one record, by name, and damage to the index is known to touch any.
 */
import * as zlib from "node:zlib";
import { crc32 as portableCrc32 } from "../core/bytes.js";
import type { StoredRecord, StoreEntry } from "../protocol/store.js";

/** zlib's is many times faster, and absent before Node 20.15. */
const crc32: (bytes: Uint8Array) => number = (zlib as { crc32?: typeof zlib.crc32 }).crc32 ?? portableCrc32;

export interface BatchRecord<Entry> {
  key: string;
  /** null: deleted. */
  entry: Entry | null;
}

export interface Batch<Entry> {
  /** 1, 2, 3, … in the order of commits. */
  number: number;
  /** Records that the store holds after it. */
  count: number;
  records: BatchRecord<Entry>[];
}

const BATCH_HEADER = 32;
const INDEX_ENTRY = 22;
const DELETED = 0xffffffff;
const RECORD_HEADER = 18;

/** The batch as one value, and its records with their bytes as views into it. */
export function encodeBatch({ number, count, records }: Batch<StoredRecord>): {
  value: Buffer;
  records: BatchRecord<StoredRecord>[];
} {
  let bound = BATCH_HEADER;
  for (const { key, entry } of records) bound += INDEX_ENTRY + key.length * 3 + (entry?.bytes.length ?? 0);
  const value = Buffer.allocUnsafe(bound);
  let at = BATCH_HEADER;
  for (const { key, entry } of records) {
    value.writeUInt32LE(entry ? crc32(entry.bytes) : 0, at);
    value.writeUInt32LE(entry ? entry.bytes.length : DELETED, at + 4);
    value.writeUInt32LE(entry?.incarnation ?? 0, at + 8);
    value.writeDoubleLE(entry?.seq ?? 0, at + 12);
    const keyLength = value.write(key, at + INDEX_ENTRY, "utf8");
    value.writeUInt16LE(keyLength, at + 20);
    at += INDEX_ENTRY + keyLength;
  }
  const indexEnd = at;
  const kept = records.map(({ key, entry }) => {
    if (!entry) return { key, entry: null };
    value.set(entry.bytes, at);
    const bytes = value.subarray(at, at + entry.bytes.length);
    at += entry.bytes.length;
    return { key, entry: { incarnation: entry.incarnation, seq: entry.seq, bytes } };
  });
  value.writeUInt32LE(records.length, 4);
  value.writeDoubleLE(number, 8);
  value.writeDoubleLE(count, 16);
  value.writeUInt32LE(indexEnd, 24);
  value.writeUInt32LE(at, 28);
  value.writeUInt32LE(crc32(value.subarray(4, indexEnd)), 0);
  return { value: value.subarray(0, at), records: kept };
}

/** The batch with views into `value`; null if its index is damaged, so that nobody knows whose records it holds. */
export function decodeBatch(value: Buffer): Batch<StoreEntry> | null {
  if (value.length < BATCH_HEADER) return null;
  const indexEnd = value.readUInt32LE(24);
  if (indexEnd < BATCH_HEADER || indexEnd > value.length || value.readUInt32LE(28) !== value.length) return null;
  if (crc32(value.subarray(4, indexEnd)) !== value.readUInt32LE(0)) return null;
  const records: BatchRecord<StoreEntry>[] = [];
  let [at, bodyAt] = [BATCH_HEADER, indexEnd];
  for (let i = value.readUInt32LE(4); i > 0; i--) {
    if (at + INDEX_ENTRY > indexEnd) return null;
    const [crc, length] = [value.readUInt32LE(at), value.readUInt32LE(at + 4)];
    const [incarnation, seq] = [value.readUInt32LE(at + 8), value.readDoubleLE(at + 12)];
    const keyEnd = at + INDEX_ENTRY + value.readUInt16LE(at + 20);
    if (keyEnd > indexEnd) return null;
    const key = value.toString("utf8", at + INDEX_ENTRY, keyEnd);
    at = keyEnd;
    if (length === DELETED) {
      records.push({ key, entry: null });
      continue;
    }
    if (bodyAt + length > value.length) return null;
    const bytes = value.subarray(bodyAt, bodyAt + length);
    bodyAt += length;
    const entry = crc32(bytes) === crc ? { incarnation, seq, bytes } : { damage: "its bytes in the journal fail their checksum" };
    records.push({ key, entry });
  }
  return { number: value.readDoubleLE(8), count: value.readDoubleLE(16), records };
}

/** A record of the table. A damaged one stays damaged: its checksum is written wrong on purpose. */
export function encodeRecord(key: Uint8Array, entry: StoreEntry): Buffer {
  const record = "damage" in entry ? { incarnation: 0, seq: 0, bytes: new Uint8Array(0) } : entry;
  const value = Buffer.allocUnsafe(RECORD_HEADER + key.length + record.bytes.length);
  value.writeUInt32LE(record.incarnation, 4);
  value.writeDoubleLE(record.seq, 8);
  value.writeUInt16LE(key.length, 16);
  value.set(key, RECORD_HEADER);
  value.set(record.bytes, RECORD_HEADER + key.length);
  const crc = crc32(value.subarray(4));
  value.writeUInt32LE("damage" in entry ? ~crc >>> 0 : crc, 0);
  return value;
}

/** The key that a record of the table says it is of; null if its checksum fails. */
export function recordKey(value: Buffer): Buffer | null {
  if (value.length < RECORD_HEADER || crc32(value.subarray(4)) !== value.readUInt32LE(0)) return null;
  return value.subarray(RECORD_HEADER, RECORD_HEADER + value.readUInt16LE(16));
}

export function decodeRecord(key: Uint8Array, value: Buffer): StoreEntry {
  const own = recordKey(value);
  if (!own) return { damage: "it fails its checksum" };
  if (own.compare(key) !== 0) return { damage: "it is the record of another key" };
  return { incarnation: value.readUInt32LE(4), seq: value.readDoubleLE(8), bytes: value.subarray(RECORD_HEADER + key.length) };
}

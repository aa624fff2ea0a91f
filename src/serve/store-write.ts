/** @file What every store asks of keys and writes before it looks at them, and when a write conflicts. Free of node:*, for browsers. */
import { OstinatoError } from "../core/errors.js";
import { isDamaged, MAX_KEY_BYTES, type RecordVersion, type StoreEntry, type StoreWrite } from "../protocol/store.js";

const LONE_SURROGATE = /\p{Surrogate}/u;
const MAX_INCARNATION = 2 ** 32 - 1;
const MAX_RECORD_BYTES = 64 * 2 ** 20;
const encoder = new TextEncoder();

/** @throws OST_RANGE for a key twice, a key that is none, a version outside its range, or a record above 64 MiB. */
export function checkWrites(writes: readonly StoreWrite[]): void {
  const seen = new Set<string>();
  for (const { key, expected, record } of writes) {
    checkKey(key);
    if (seen.has(key)) throw outOfRange("two writes of one key in one commit", "each key once", JSON.stringify(key));
    seen.add(key);
    if (expected !== null && expected !== "damaged") checkVersion(expected);
    if (record === null) continue;
    checkVersion(record);
    if (record.bytes.length > MAX_RECORD_BYTES) {
      throw outOfRange("a record that is too large", `at most ${MAX_RECORD_BYTES} bytes`, `${record.bytes.length} bytes`);
    }
  }
}

export function checkKey(key: string): void {
  // Three bytes of UTF-8 per unit of UTF-16 at most, so most keys need not be encoded to be measured.
  const fits = key.length > 0 && (key.length * 3 <= MAX_KEY_BYTES || encoder.encode(key).length <= MAX_KEY_BYTES);
  if (!fits || LONE_SURROGATE.test(key)) {
    throw outOfRange(
      "a key that cannot be one",
      `1 to ${MAX_KEY_BYTES} bytes of UTF-8 without lone surrogates`,
      JSON.stringify(key),
    );
  }
}

/** Whether a write made from `expected` finds what it was made from. */
export function matches(expected: StoreWrite["expected"], held: StoreEntry | null): boolean {
  if (held === null || expected === null) return held === expected;
  if (isDamaged(held)) return expected === "damaged";
  return expected !== "damaged" && held.incarnation === expected.incarnation && held.seq === expected.seq;
}

/** Order of the bytes of UTF-8, which is that of code points; JavaScript's own order differs above U+D7FF. */
export function compareKeys(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Surrogates stand for code points above all others. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

function checkVersion({ incarnation, seq }: RecordVersion): void {
  if (!Number.isInteger(incarnation) || incarnation < 1 || incarnation > MAX_INCARNATION) {
    throw outOfRange("an incarnation out of range", `1 to ${MAX_INCARNATION}`, String(incarnation));
  }
  if (!Number.isSafeInteger(seq) || seq < 0) throw outOfRange("a seq out of range", "0 to 2^53 - 1", String(seq));
}

function outOfRange(what: string, expected: string, got: string): OstinatoError {
  return new OstinatoError("OST_RANGE", { what, expected, got, where: "store", repair: "mend the caller; nothing was written" });
}

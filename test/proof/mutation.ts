/**
 * @file Inputs spoiled on purpose: seeded mutations of valid bytes, texts and values, beside what has broken parsers of this kind before.
 *
 * Sources of the corpus: CWE-190, CWE-400, CWE-674, CWE-1321 and CWE-444, and the "Big List of Naughty Strings" in kind.
 */
import { type Rng, seed } from "../../src/core/rng.js";

export type Random = Rng;

/** The generator of one case, which can be made again from the seed and the case's number. */
export function caseRandom(seedNumber: number, index: number): Random {
  return seed((Math.imul(seedNumber, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) >>> 0);
}

export function pick<T>(rng: Random, list: readonly T[]): T {
  return list[rng.integer(list.length)];
}

/** Numbers at which lengths, shapes and counters turn over. */
export const EDGES: readonly number[] = [
  0,
  -0,
  1,
  -1,
  0.5,
  127,
  128,
  255,
  256,
  65_535,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 63,
  -(2 ** 63),
  2 ** 64,
  1e308,
  -1e308,
  5e-324,
  1e38,
  3.5e38,
];

/** As JSON writes a value, or as it must not. */
export const BAD_JSON: readonly string[] = [
  "NaN",
  "-Infinity",
  "1e999",
  "-1e999",
  "0x10",
  "01",
  "1.",
  "+1",
  "18446744073709551615",
  "18446744073709551616",
  "9223372036854775808",
  "-9223372036854775809",
  "9007199254740993",
  "1706549649780891136",
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\u0000"',
  '"\\r\\nX-Injected: 1"',
  '"e\\u0301"',
  '"\\u00e9"',
  '"__proto__"',
  '{"__proto__":{"polluted":1}}',
  '{"constructor":{"prototype":{"polluted":1}}}',
  '{"__proto__":"text"}',
  '{"toString":1,"valueOf":2,"hasOwnProperty":3}',
  '{"a":1,"a":2}',
  "[[[[]]]]",
  "[null,true,{}]",
  "{}",
  "[]",
  "null",
  "true",
  '""',
  '"NaN"',
  '"Infinity"',
  '"\u202e\ufeff"',
  '"../../etc/passwd"',
  '"%00"',
  '"${jndi:ldap://127.0.0.1/a}"',
  "undefined",
  "",
];

/** Longer ones, made once. */
export const HUGE_JSON: readonly string[] = [
  "9".repeat(100_000),
  `0.${"0".repeat(50_000)}1`,
  `1e${"9".repeat(5000)}`,
  `${"[".repeat(100_000)}${"]".repeat(100_000)}`,
  `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`,
  `"${"\\u0000".repeat(20_000)}"`,
  `"${"a".repeat(200_000)}"`,
  `"${"\\".repeat(99_999)}`,
  `{${Array.from({ length: 10_000 }, (_, i) => `"k${i}":1`).join()}}`,
];

const TEXTS: readonly string[] = [
  "",
  ".",
  "..",
  "../..",
  "a/b",
  "%2e%2e%2f",
  "%2F",
  "%00",
  "%",
  "%zz",
  "%ff",
  "%C0%80",
  "\u0000",
  "\n",
  "\r\nX-Injected: 1",
  "\ud800",
  "\u00e9",
  "e\u0301",
  "\u212a",
  "K",
  "\ufeffa",
  "a\u202eb",
  "__proto__",
  "constructor",
  "toString",
  "~",
  "!",
  "s",
  "u1",
  "0",
  "-1",
  "1e3",
  "18446744073709551615",
  "18446744073709551616",
  "9007199254740993",
  "x".repeat(255),
  "x".repeat(256),
  "x".repeat(257),
  "é".repeat(128),
  "é".repeat(129),
  "'; DROP TABLE sessions; --",
  '{"a":1}',
  "NaN",
  "a".repeat(5000),
];

/** A text that is seldom meant well. */
export function badText(rng: Random): string {
  if (rng.integer(3) > 0) return pick(rng, TEXTS);
  let text = "";
  for (let i = rng.integer(24); i > 0; i--)
    text += String.fromCharCode(rng.integer(4) ? rng.integer(0x180) : rng.integer(0x10000));
  return text;
}

/** Spoils bytes in one to four places; one time in sixteen there is nothing left of what they were. */
export function mutateBytes(rng: Random, input: Uint8Array): Uint8Array {
  if (rng.integer(16) === 0) return Uint8Array.from({ length: rng.integer(256) }, () => rng.integer(256));
  let bytes: Uint8Array = Uint8Array.from(input);
  for (let spoil = 1 + rng.integer(4); spoil > 0 && bytes.length > 0; spoil--) {
    const at = rng.integer(bytes.length);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    switch (rng.integer(9)) {
      case 0:
        bytes[at] ^= 1 << rng.integer(8);
        break;
      case 1:
        bytes[at] = pick(rng, [0, 1, 127, 128, 254, 255]);
        break;
      case 2:
        bytes = bytes.slice(0, at);
        break;
      case 3:
        bytes = joined(bytes.subarray(0, at), bytes.subarray(rng.integer(bytes.length)));
        break;
      case 4:
        bytes = joined(
          bytes.subarray(0, at),
          Uint8Array.from({ length: 1 + rng.integer(16) }, () => rng.integer(256)),
          bytes.subarray(at),
        );
        break;
      case 5:
        if (bytes.length >= at + 4) view.setUint32(at, pick(rng, [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, rng.bits()]), true);
        break;
      case 6:
        if (bytes.length >= at + 8) view.setBigUint64(at, pick(rng, [0n, 1n, 1n << 53n, 1n << 63n, (1n << 64n) - 1n]), true);
        break;
      case 7:
        if (bytes.length >= at + 8) view.setFloat64(at, pick(rng, [Number.NaN, Number.POSITIVE_INFINITY, ...EDGES]), true);
        break;
      default:
        bytes = joined(bytes, bytes.subarray(at));
    }
  }
  return bytes;
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

const VALUE = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null/g;

/** Spoils a JSON text: a value in it becomes another, or the text is spoiled as the characters that it is. */
export function mutateJson(rng: Random, text: string): string {
  let out = text;
  for (let spoil = 1 + rng.integer(2); spoil > 0; spoil--) {
    const kind = rng.integer(8);
    if (kind < 6) {
      const values = [...out.matchAll(VALUE)];
      if (values.length === 0) continue;
      const { index, 0: found } = pick(rng, values);
      out = `${out.slice(0, index)}${badValue(rng)}${out.slice(index + found.length)}`;
    } else out = mutateText(rng, out);
  }
  return out;
}

function badValue(rng: Random): string {
  const kind = rng.integer(2000);
  if (kind === 0) return pick(rng, HUGE_JSON);
  if (kind < 500) return String(pick(rng, EDGES));
  if (kind < 900) return JSON.stringify(badText(rng));
  return pick(rng, BAD_JSON);
}

/** Spoils a text character by character. */
export function mutateText(rng: Random, text: string): string {
  const at = rng.integer(text.length + 1);
  switch (rng.integer(5)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return text.slice(0, at) + badText(rng) + text.slice(at);
    case 2:
      return text.slice(0, at) + text.slice(rng.integer(text.length + 1));
    case 3:
      return text.slice(0, at) + String.fromCharCode(rng.integer(256)) + text.slice(at + 1);
    default:
      return (
        text.slice(0, at) +
        pick(rng, ["{", "}", "[", "]", '"', ",", ":", "\\", "\n", "\r\n", " ", "\t", "&a", "*a", "!!js"]) +
        text.slice(at)
      );
  }
}

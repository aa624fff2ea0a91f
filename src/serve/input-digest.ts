/**
 * @file Tells whether a repeated request holds the records it held before: 53 bits of a hash over its numbers or its text.
 *
 * It guards a client against its own mistakes, not against an adversary: whoever forges one confuses only a session of their own.
 * Source: the finalizer of MurmurHash3 (A. Appleby, 2011, public domain) over two interleaved lanes.
 */
import type { StepInput } from "./operation.js";

/** A whole number below 2^53, never 0. */
export function inputDigest(input: StepInput): number {
  let high = 0x9e3779b9;
  let low = 0x85ebca6b;
  if ("rows" in input) {
    const words = new Uint32Array(input.rows.buffer, input.rows.byteOffset, input.rows.length * 2);
    high ^= input.count;
    for (let i = 0; i < words.length; i++) {
      const word = words[i];
      high = Math.imul(high ^ word, 0x9e3779b1);
      low = Math.imul(low + word, 0x85ebca77) ^ (high >>> 13);
    }
  } else {
    const text = JSON.stringify(input.records);
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      high = Math.imul(high ^ unit, 0x9e3779b1);
      low = Math.imul(low + unit, 0x85ebca77) ^ (high >>> 13);
    }
  }
  high = finish(high);
  low = finish(low ^ high);
  return ((high & 0x1fffff) >>> 0) * 4294967296 + (low >>> 0) || 1;
}

function finish(value: number): number {
  let h = value ^ (value >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/**
 * @file Rows as numbers that are equal when the rows are: what exact duplicates are found by.
 *
 * Hash: FNV-1a (Fowler, Noll & Vo 1991) over the words of the cells. Equal hashes are only a hint; what is reported was compared cell by cell.
 */
import type { Series } from "../series.js";

const OFFSET = 0x811c9dc5;
const PRIME = 0x01000193;

/** One 32-bit number per row, of its feature values and texts. */
export function rowHashes({ rows, features, texts }: Series): Int32Array {
  const hashes = new Int32Array(rows).fill(OFFSET);
  const width = rows > 0 ? features.length / rows : 0;
  const words = new Int32Array(features.buffer, features.byteOffset, 2 * features.length);
  for (let i = 0; i < rows; i++) {
    let hash = OFFSET;
    for (let at = 2 * i * width; at < 2 * (i + 1) * width; at++) hash = mixed(hash, words[at]);
    hashes[i] = hash;
  }
  texts?.forEach((cells) => {
    for (let i = 0; i < rows; i++) hashes[i] = mixed(hashes[i], textHash(cells[i]));
  });
  return hashes;
}

/** The hash of rows [from, to). */
export function spanHash(hashes: Int32Array, from: number, to: number): number {
  let hash = mixed(OFFSET, to - from);
  for (let i = from; i < to; i++) hash = mixed(hash, hashes[i]);
  return hash;
}

/** Whether rows [a, a + count) of one series are those from b of another, cell by cell. */
export function equalRows(one: Series, a: number, other: Series, b: number, count: number): boolean {
  const width = one.rows > 0 ? one.features.length / one.rows : 0;
  for (let at = 0; at < count * width; at++) {
    const left = one.features[a * width + at];
    const right = other.features[b * width + at];
    if (left !== right && !(Number.isNaN(left) && Number.isNaN(right))) return false;
  }
  for (let c = 0; c < (one.texts?.length ?? 0); c++) {
    for (let i = 0; i < count; i++) if (one.texts![c][a + i] !== other.texts![c][b + i]) return false;
  }
  return true;
}

function mixed(hash: number, word: number): number {
  const folded = Math.imul(hash ^ word, PRIME);
  return folded ^ (folded >>> 15);
}

function textHash(text: string): number {
  let hash = OFFSET;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), PRIME);
  return hash;
}

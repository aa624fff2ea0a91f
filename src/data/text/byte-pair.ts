/**
 * @file Text as byte pairs: a tokenizer learned from text that knows every text.
 *
 * A text is cut into words, each word written as its UTF-8 bytes, and frequent neighbours are merged (see pair-merge.ts). Its alphabet are
 * the 256 bytes (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2), so that a character
 * never seen falls back to its bytes and nothing is unknown.
 *
 * Codes: 0 is never encoded; 1 .. 256 are the bytes 0 .. 255; 257 + k is merge k; then the markers.
 *
 * Law: decode(encode(text)) is the text, for every well-formed text; a lone surrogate, which UTF-8 cannot write, becomes U+FFFD.
 */
import { UNKNOWN } from "../../core/batch.js";
import { OstinatoError } from "../../core/errors.js";
import type { FrozenCodebook } from "../codebook.js";
import { frozen } from "../transform.js";
import { applyMerges, learnMerges, type Merge, pairKey } from "./pair-merge.js";
import { frozenMarkers, MarkerCodes, type Markers, type Piece, roomBesideMarkers, type Tokenizer } from "./tokenizer.js";
import { LARGEST_VOCABULARY } from "./vocabulary.js";

/** Code 0 and the bytes. */
export const BYTE_ALPHABET = 257;

/**
 * What no merge reaches across: letters, digits, other characters (each with one space before it, if there is one), white space. Together
 * the matches are the whole text. White space is Unicode's property rather than `\s`, whose meaning differs between languages.
 */
export const BYTE_PAIR_WORD =
  / ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{M}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** Bytes of the longest piece, which bounds what a few merges of a model file from a stranger can decode to. */
const LONGEST_PIECE = 128;
/** Words whose codes are remembered, and the UTF-16 units of the longest. */
const REMEMBERED_WORDS = 1 << 14;
const LONGEST_REMEMBERED = 64;
/** Distinct words that `fit` holds in memory. */
const MOST_DISTINCT = 1 << 22;

const utf8 = new TextEncoder();
/** A byte order mark is a character like any other. */
const fromUtf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const strictFromUtf8 = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

export interface BytePairOptions {
  /** The largest `size`: code 0, the bytes, the merges and the markers. 257 (and the markers) .. `LARGEST_VOCABULARY`, default 4096. */
  maxSize?: number;
  /** Least occurrences of a pair that is merged. Default 2. */
  minCount?: number;
  markers?: Markers;
}

export class BytePair implements Tokenizer {
  readonly kind = "bytePair";
  readonly several = true;
  readonly merges: readonly Merge[];
  readonly markers: MarkerCodes;
  /** Bytes of each piece, by code. */
  readonly #lengths: Uint8Array;
  readonly #ranks: ReadonlyMap<number, number>;
  readonly #remembered = new Map<string, readonly number[]>();

  private constructor(merges: readonly Merge[], markers: Markers) {
    this.merges = merges;
    this.markers = new MarkerCodes(BYTE_ALPHABET + merges.length, markers);
    this.#ranks = new Map(merges.map(([left, right], rank) => [pairKey(left, right), rank]));
    this.#lengths = pieceLengths(merges);
  }

  /**
   * Learns merges from `texts`, which must be of the training part only. The same texts in any order give the same merges.
   *
   * @throws OST_RANGE if an option lies outside its range, or the texts have more distinct words than memory is meant to hold.
   */
  static fit(texts: Iterable<string>, { maxSize = 4096, minCount = 2, markers = {} }: BytePairOptions = {}): BytePair {
    const room = roomBesideMarkers(maxSize, BYTE_ALPHABET, markers, "bytePair");
    if (!(Number.isInteger(minCount) && minCount >= 1)) {
      const what = "minCount is out of range";
      throw new OstinatoError("OST_RANGE", { what, expected: "a whole number from 1", got: String(minCount), where: "bytePair" });
    }
    const words = [...countWords(texts)].map(([word, count]) => [byteCodes(word), count] as const);
    const merges = learnMerges(words, {
      alphabet: BYTE_ALPHABET,
      merges: room - BYTE_ALPHABET,
      minCount,
      longest: LONGEST_PIECE,
    });
    return new BytePair(merges, markers);
  }

  /** @throws OST_MODEL_FILE unless `json` is what `toJSON` writes. */
  static fromJSON(json: Record<string, unknown>): BytePair {
    const where = "bytePair.merges";
    const list = frozen.list(json.merges, where);
    const most = LARGEST_VOCABULARY - BYTE_ALPHABET;
    if (list.length > most) frozen.fail(where, `at most ${most} merges`, list.length);
    const merges = list.map((pair, rank): Merge => {
      const [left, right] = frozen.numbers(pair, 2, where, { min: 1, max: BYTE_ALPHABET + rank - 1 });
      if (!Number.isInteger(left) || !Number.isInteger(right)) frozen.fail(where, "whole numbers", pair);
      return [left, right];
    });
    if (new Set(merges.map(([left, right]) => pairKey(left, right))).size < merges.length)
      frozen.fail(where, "distinct pairs", merges);
    return new BytePair(merges, frozenMarkers(json.markers, "bytePair.markers"));
  }

  get size(): number {
    return BYTE_ALPHABET + this.merges.length + this.markers.count;
  }

  encode(text: string): readonly number[] {
    const codes: number[] = [];
    for (const word of splitBytePairWords(text)) for (const code of this.#encodeWord(word)) codes.push(code);
    return this.markers.around(codes);
  }

  /** A piece that is part of a character only, some of its bytes, stands for that whole character. */
  pieces(text: string): Piece[] {
    const pieces: Piece[] = [];
    let wordStart = 0;
    for (const word of splitBytePairWords(text)) {
      const { starts, ends } = bytePlaces(word);
      let byte = 0;
      for (const code of this.#encodeWord(word)) {
        const last = byte + this.#lengths[code] - 1;
        pieces.push({ code, start: wordStart + starts[byte], end: wordStart + ends[last] });
        byte = last + 1;
      }
      wordStart += word.length;
    }
    return pieces;
  }

  decode(codes: Iterable<number>): string {
    const list = Array.from(codes);
    const bytes = new Uint8Array(list.reduce((sum, code) => sum + this.#byteCount(code), 0));
    let at = 0;
    for (const code of list) at = this.#write(code, bytes, at);
    return fromUtf8.decode(bytes);
  }

  /** The bytes of a piece; none for a marker, and those of U+FFFD for what stands for no piece. */
  bytesOf(code: number): Uint8Array {
    const bytes = new Uint8Array(this.#byteCount(code));
    this.#write(code, bytes, 0);
    return bytes;
  }

  /** The text of a piece, or its bytes as <0xC3><0xA9> where they are no whole characters. */
  nameOf(code: number): string {
    if (code <= 0 || code >= this.size) return UNKNOWN;
    const marker = this.markers.nameOf(code);
    if (marker) return marker;
    const bytes = this.bytesOf(code);
    try {
      return strictFromUtf8.decode(bytes);
    } catch {
      return Array.from(bytes, (byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`).join("");
    }
  }

  toJSON(): FrozenCodebook {
    return { transform: this.kind, merges: this.merges.map(([left, right]) => [left, right]), markers: this.markers.toJSON() };
  }

  /** Remembering changes no result: a word has the same codes wherever it stands. */
  #encodeWord(word: string): readonly number[] {
    const known = this.#remembered.get(word);
    if (known) return known;
    const codes = applyMerges(byteCodes(word), (key) => this.#ranks.get(key), BYTE_ALPHABET);
    if (word.length <= LONGEST_REMEMBERED) {
      if (this.#remembered.size >= REMEMBERED_WORDS) this.#remembered.clear();
      this.#remembered.set(word, codes);
    }
    return codes;
  }

  #byteCount(code: number): number {
    return this.markers.nameOf(code) ? 0 : (this.#lengths[code] ?? 0) || REPLACEMENT.length;
  }

  /** Writes the bytes of a code at `at` and returns where they end. A piece of n bytes is at most n merges deep. */
  #write(code: number, bytes: Uint8Array, at: number): number {
    if (code >= 1 && code < BYTE_ALPHABET) bytes[at] = code - 1;
    else if (this.merges[code - BYTE_ALPHABET]) {
      const [left, right] = this.merges[code - BYTE_ALPHABET];
      return this.#write(right, bytes, this.#write(left, bytes, at));
    } else if (!this.markers.nameOf(code)) bytes.set(REPLACEMENT, at);
    return at + this.#byteCount(code);
  }
}

const REPLACEMENT = utf8.encode("\ufffd");

/** The words that merges stay within. Joined they are the text. */
export function splitBytePairWords(text: string): string[] {
  return text.match(BYTE_PAIR_WORD) ?? [];
}

function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const { 0: word } of text.matchAll(BYTE_PAIR_WORD)) counts.set(word, (counts.get(word) ?? 0) + 1);
    if (counts.size > MOST_DISTINCT) {
      throw new OstinatoError("OST_RANGE", {
        what: "too many distinct words to learn byte pairs from",
        expected: `at most ${MOST_DISTINCT}`,
        where: "bytePair",
        repair: "fit on a sample of the training texts",
      });
    }
  }
  return counts;
}

function byteCodes(word: string): Int32Array {
  return Int32Array.from(utf8.encode(word), (byte) => byte + 1);
}

/** Bytes by code; 0 for code 0. @throws OST_MODEL_FILE where a piece is longer than learning makes one. */
function pieceLengths(merges: readonly Merge[]): Uint8Array {
  const lengths = new Uint8Array(BYTE_ALPHABET + merges.length).fill(1, 1);
  merges.forEach(([left, right], k) => {
    const length = lengths[left] + lengths[right];
    if (length > LONGEST_PIECE) frozen.fail("bytePair.merges", `pieces of at most ${LONGEST_PIECE} bytes`, [left, right]);
    lengths[BYTE_ALPHABET + k] = length;
  });
  return lengths;
}

/** For each byte of a word, where its character starts and ends, in UTF-16 units of the word. */
function bytePlaces(word: string): { starts: number[]; ends: number[] } {
  const starts: number[] = [];
  const ends: number[] = [];
  let start = 0;
  for (const character of word) {
    const point = character.codePointAt(0) as number;
    const bytes = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (let i = 0; i < bytes; i++) {
      starts.push(start);
      ends.push(start + character.length);
    }
    start += character.length;
  }
  return { starts, ends };
}

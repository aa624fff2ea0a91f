/**
 * @file The syntax of patterns: text to a tree of nodes. See pattern.ts for what it means.
 */
import { OstinatoError } from "../../core/errors.js";

/** Inclusive ranges of UTF-16 units. */
export interface CharSet {
  ranges: readonly (readonly [number, number])[];
  negated: boolean;
}

export type Assertion = "^" | "$" | "b" | "B";

export type PatternNode =
  | { kind: "set"; set: CharSet }
  | { kind: "assert"; at: Assertion }
  | { kind: "all"; items: PatternNode[] }
  | { kind: "any"; items: PatternNode[] }
  | { kind: "repeat"; item: PatternNode; min: number; max: number; lazy: boolean };

/** The longest pattern in characters; it bounds how deep groups lie in groups. */
const LONGEST_PATTERN = 500;

/** @throws OST_RANGE if the source is no pattern. */
export function parsePattern(source: string): PatternNode {
  if (source.length > LONGEST_PATTERN)
    throw malformed(source, `it has ${source.length} characters, more than ${LONGEST_PATTERN}`);
  return new Parser(source).parse();
}

const DIGITS: CharSet["ranges"] = [[48, 57]];
const WORD: CharSet["ranges"] = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
];
const SPACE: CharSet["ranges"] = [
  [9, 13],
  [32, 32],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const LINE_ENDS: CharSet["ranges"] = [
  [10, 10],
  [13, 13],
  [0x2028, 0x2029],
];
const CLASSES: Record<string, CharSet["ranges"]> = { d: DIGITS, w: WORD, s: SPACE };
const CONTROLS: Record<string, number> = { t: 9, n: 10, r: 13 };
const LAST_UNIT = 0xffff;

const IS_WORD = Uint8Array.from({ length: 128 }, (_, unit) => (WORD.some(([low, high]) => unit >= low && unit <= high) ? 1 : 0));

export function isWord(unit: number): boolean {
  return unit < 128 && IS_WORD[unit] === 1;
}

function complement(ranges: CharSet["ranges"]): [number, number][] {
  const out: [number, number][] = [];
  let next = 0;
  for (const [low, high] of ranges) {
    if (low > next) out.push([next, low - 1]);
    next = high + 1;
  }
  out.push([next, LAST_UNIT]);
  return out;
}

export function malformed(source: string, why: string): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: "a pattern cannot be used",
    expected: "characters, classes, groups, |, * + ? {m,n}, ^ $ \\b; no look-around, back references or flags",
    got: `${JSON.stringify(source.slice(0, 80))}: ${why}`,
    repair: "write the pattern without it",
  });
}

class Parser {
  #at = 0;

  constructor(readonly source: string) {}

  parse(): PatternNode {
    const node = this.#alternatives();
    if (this.#at < this.source.length) throw this.#error(`unexpected "${this.source[this.#at]}"`);
    return node;
  }

  #error(why: string): OstinatoError {
    return malformed(this.source, `${why} at character ${this.#at + 1}`);
  }

  #take(text: string): boolean {
    if (!this.source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #alternatives(): PatternNode {
    const items: PatternNode[] = [this.#sequence()];
    while (this.#take("|")) items.push(this.#sequence());
    return items.length === 1 ? items[0] : { kind: "any", items };
  }

  #sequence(): PatternNode {
    const items: PatternNode[] = [];
    while (this.#at < this.source.length && !"|)".includes(this.source[this.#at])) items.push(this.#repeated());
    return { kind: "all", items };
  }

  #repeated(): PatternNode {
    const item = this.#atom();
    const bounds = this.#bounds();
    if (!bounds) return item;
    if (item.kind === "assert") throw this.#error("nothing to repeat");
    const lazy = this.#take("?");
    if (this.#bounds()) throw this.#error("a repeat of a repeat");
    return { kind: "repeat", item, ...bounds, lazy };
  }

  #bounds(): { min: number; max: number } | undefined {
    if (this.#take("*")) return { min: 0, max: Number.POSITIVE_INFINITY };
    if (this.#take("+")) return { min: 1, max: Number.POSITIVE_INFINITY };
    if (this.#take("?")) return { min: 0, max: 1 };
    if (this.source[this.#at] !== "{") return undefined;
    const match = /^\{(\d{1,4})(,(\d{0,4}))?\}/.exec(this.source.slice(this.#at));
    if (!match) throw this.#error('"{" that begins no {m,n}; write \\{');
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[3] ? Number(match[3]) : Number.POSITIVE_INFINITY;
    if (max < min) throw this.#error("{m,n} with n below m");
    this.#at += match[0].length;
    return { min, max };
  }

  #atom(): PatternNode {
    if (this.#take("(")) {
      if (this.source[this.#at] === "?" && !this.#take("?:")) throw this.#error('no group "(?" but (?:');
      const node = this.#alternatives();
      if (!this.#take(")")) throw this.#error('a group without ")"');
      return node;
    }
    if (this.#take("[")) return { kind: "set", set: this.#charClass() };
    if (this.#take(".")) return { kind: "set", set: { ranges: LINE_ENDS, negated: true } };
    if (this.#take("^")) return { kind: "assert", at: "^" };
    if (this.#take("$")) return { kind: "assert", at: "$" };
    if (this.#take("\\b")) return { kind: "assert", at: "b" };
    if (this.#take("\\B")) return { kind: "assert", at: "B" };
    if ("*+?{}]".includes(this.source[this.#at]))
      throw this.#error(`"${this.source[this.#at]}" without its like; write \\ before it`);
    return { kind: "set", set: { ranges: this.#units(), negated: false } };
  }

  /** One character, or a class behind a backslash. */
  #units(): [number, number][] {
    if (!this.#take("\\")) {
      const unit = this.source.charCodeAt(this.#at++);
      return [[unit, unit]];
    }
    const letter = this.source[this.#at] ?? "";
    this.#at++;
    const ranges = CLASSES[letter.toLowerCase()];
    if (ranges) return letter >= "a" ? ranges.map(([low, high]) => [low, high]) : complement(ranges);
    const unit = CONTROLS[letter] ?? (/^[^0-9A-Za-z]$/.test(letter) ? letter.charCodeAt(0) : Number.NaN);
    if (Number.isNaN(unit)) throw this.#error(`"\\${letter}", which is not known here,`);
    return [[unit, unit]];
  }

  #charClass(): CharSet {
    const negated = this.#take("^");
    const ranges: [number, number][] = [];
    while (!this.#take("]")) {
      if (this.#at >= this.source.length) throw this.#error('"[" without "]"');
      const low = this.#units();
      const isRange = this.source[this.#at] === "-" && this.#at + 1 < this.source.length && this.source[this.#at + 1] !== "]";
      if (!isRange) {
        ranges.push(...low);
        continue;
      }
      this.#at++;
      const high = this.#units();
      if (
        low.length !== 1 ||
        high.length !== 1 ||
        low[0][0] !== low[0][1] ||
        high[0][0] !== high[0][1] ||
        high[0][0] < low[0][0]
      ) {
        throw this.#error("a range that is none");
      }
      ranges.push([low[0][0], high[0][0]]);
    }
    return { ranges, negated };
  }
}

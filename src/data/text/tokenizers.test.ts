import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../../core/errors.js";
import { Characters, splitCharacters } from "./characters.js";
import { Symbols } from "./symbols.js";
import { splitWords, Words } from "./words.js";

const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc.lorem(),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 }).map((units) => String.fromCharCode(...units)),
  fc.constantFrom("", "<unknown>", "<begin>", "İstanbul ẞ don't 3.14", "👩‍👩‍👧‍👦e\u0301", "\ud800"),
);
const markers = fc.record({ begin: fc.boolean(), end: fc.boolean() });

describe.each([
  ["characters by code point", (texts: string[], m = {}) => Characters.fit(texts, { markers: m }), Characters.fromJSON],
  [
    "characters by grapheme",
    (texts: string[], m = {}) => Characters.fit(texts, { unit: "grapheme", markers: m }),
    Characters.fromJSON,
  ],
  ["words", (texts: string[], m = {}) => Words.fit(texts, { markers: m }), Words.fromJSON],
  [
    "words in lower case",
    (texts: string[], m = {}) => Words.fit(texts, { lowerCase: true, markers: m, minCount: 2 }),
    Words.fromJSON,
  ],
  ["symbols", (texts: string[], m = {}) => Symbols.fit(texts, { markers: m, minCount: 2 }), Symbols.fromJSON],
] as const)("%s", (_, make, fromJSON) => {
  it("never throw, stay within their codes, and survive JSON", () => {
    fc.assert(
      fc.property(fc.array(anyText), anyText, markers, (seen, other, used) => {
        const tokenizer = make(seen, used);
        const thawed = fromJSON(JSON.parse(JSON.stringify(tokenizer)));
        expect(thawed.toJSON()).toEqual(tokenizer.toJSON());
        expect(thawed.size).toBe(tokenizer.size);
        for (const text of [...seen, other]) {
          const codes = tokenizer.encode(text);
          expect(codes.every((code) => Number.isInteger(code) && code >= 0 && code < tokenizer.size)).toBe(true);
          expect(codes[0] === tokenizer.markers.begin).toBe(used.begin);
          expect(codes.at(-1) === tokenizer.markers.end).toBe(used.end);
          expect(thawed.encode(text)).toEqual(codes);
        }
      }),
    );
  });

  it("place their pieces in order, without overlap, on all that is not white space", () => {
    fc.assert(
      fc.property(fc.array(anyText), anyText, (seen, text) => {
        const tokenizer = make(seen);
        const pieces = tokenizer.pieces(text);
        expect(pieces.map((piece) => piece.code)).toEqual(tokenizer.encode(text));
        let rest = "";
        let at = 0;
        for (const { start, end } of pieces) {
          expect(start >= at && end > start).toBe(true);
          rest += text.slice(at, start);
          at = end;
        }
        expect((rest + text.slice(at)).trim()).toBe("");
      }),
    );
  });
});

describe("characters", () => {
  it("decode what they encoded of characters they know", () => {
    fc.assert(
      fc.property(anyText, fc.constantFrom("codePoint" as const, "grapheme" as const), markers, (text, unit, used) => {
        const characters = Characters.fit([text], { unit, markers: used });
        expect(characters.decode(characters.encode(text))).toBe(text);
        expect(splitCharacters(text, { unit }).join("")).toBe(text);
      }),
    );
  });

  it("are code points, or what a reader sees as one", () => {
    expect(splitCharacters("e\u0301👍🏽")).toEqual(["e", "\u0301", "👍", "🏽"]);
    expect(splitCharacters("e\u0301👍🏽\r\n", { unit: "grapheme" })).toEqual(["e\u0301", "👍🏽", "\r\n"]);
  });

  it("set their markers behind the vocabulary and name them", () => {
    const characters = Characters.fit(["ba"], { markers: { begin: true, end: true }, maxSize: 4 });
    expect([0, 1, 2, 3].map((code) => characters.nameOf(code))).toEqual(["<unknown>", "a", "<begin>", "<end>"]);
    expect(characters.encode("ab")).toEqual([2, 1, 0, 3]);
    expect(characters.decode([2, 1, 0, 3])).toBe("a\ufffd");
  });

  it("refuse options out of range and malformed JSON", () => {
    expect(() => Characters.fit([], { maxSize: 1, markers: { end: true } })).toThrow(/OST_RANGE.*from 2 to/);
    const good = JSON.parse(JSON.stringify(Characters.fit(["a"])));
    for (const bad of [{ unit: "word" }, { markers: null }, { markers: { begin: 1, end: false } }, { vocabulary: [] }]) {
      expect(() => Characters.fromJSON({ ...good, ...bad })).toThrow(OstinatoError);
    }
  });
});

describe("words", () => {
  it("are runs of letters and digits, with punctuation apart", () => {
    expect(splitWords("Don't panic: it's 3.14, naïve_x “ok”… 東京!")).toEqual([
      "Don't",
      "panic",
      ":",
      "it's",
      "3.14",
      ",",
      "naïve_x",
      "“",
      "ok",
      "”",
      "…",
      "東京",
      "!",
    ]);
    expect(splitWords("'tis dogs' 1,000. e.g. a'1")).toEqual([
      "'",
      "tis",
      "dogs",
      "'",
      "1,000",
      ".",
      "e",
      ".",
      "g",
      ".",
      "a",
      "'",
      "1",
    ]);
  });

  it("keep their places when lowering changes a length", () => {
    const words = Words.fit(["İstanbul x"], { lowerCase: true });
    expect(words.pieces("İstanbul x").map(({ start, end }) => [start, end])).toEqual([
      [0, 8],
      [9, 10],
    ]);
    expect(splitWords("The THE", { lowerCase: true })).toEqual(["the", "the"]);
  });

  it("decode to words joined by spaces", () => {
    const words = Words.fit(["the  cat\nsat ."]);
    expect(words.decode(words.encode("the  cat\nsat . on"))).toBe("the cat sat . \ufffd");
  });

  it("refuse malformed JSON", () => {
    const good = JSON.parse(JSON.stringify(Words.fit(["a"])));
    for (const bad of [{ lowerCase: "yes" }, { vocabulary: { texts: ["a"] } }]) {
      expect(() => Words.fromJSON({ ...good, ...bad })).toThrow(OstinatoError);
    }
  });
});

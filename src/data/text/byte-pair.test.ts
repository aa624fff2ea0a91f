import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../../core/errors.js";
import { BYTE_ALPHABET, BytePair, splitBytePairWords } from "./byte-pair.js";
import { tokenizerJson } from "./byte-pair-export.js";
import { applyMerges, learnMerges, type Merge, pairKey } from "./pair-merge.js";
import { TokenizerJson } from "./tokenizer-json.js";

/** Learning as the definition says it: count all pairs anew, merge the first of the most frequent everywhere, left to right. */
function learnNaively(words: [number[], number][], alphabet: number, most: number, minCount: number): Merge[] {
  const merges: Merge[] = [];
  let current = words;
  while (merges.length < most) {
    const counts = new Map<number, [Merge, number]>();
    for (const [symbols, count] of current) {
      for (let i = 0; i + 1 < symbols.length; i++) {
        const key = pairKey(symbols[i], symbols[i + 1]);
        counts.set(key, [[symbols[i], symbols[i + 1]], (counts.get(key)?.[1] ?? 0) + count]);
      }
    }
    const sorted = [...counts].sort(([a, [, m]], [b, [, n]]) => n - m || a - b);
    if (sorted.length === 0 || sorted[0][1][1] < minCount) break;
    const [pair] = sorted[0][1];
    current = current.map(([symbols, count]) => [mergeNaively(symbols, pair, alphabet + merges.length), count]);
    merges.push(pair);
  }
  return merges;
}

function mergeNaively(symbols: number[], [left, right]: Merge, made: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) {
      out.push(made);
      i++;
    } else out.push(symbols[i]);
  }
  return out;
}

const smallWords = fc.array(
  fc.tuple(fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 14 }), fc.integer({ min: 1, max: 5 })) as fc.Arbitrary<
    [number[], number]
  >,
  { maxLength: 12 },
);

describe("learning merges", () => {
  it("agrees with the definition, runs of one symbol included", () => {
    fc.assert(
      fc.property(smallWords, fc.integer({ min: 0, max: 25 }), fc.integer({ min: 1, max: 4 }), (words, merges, minCount) => {
        expect(learnMerges(words, { alphabet: 3, merges, minCount })).toEqual(learnNaively(words, 3, merges, minCount));
      }),
      { numRuns: 500 },
    );
  });

  it("applied to the words it learned from, gives each word as learning left it", () => {
    fc.assert(
      fc.property(smallWords, (words) => {
        const merges = learnMerges(words, { alphabet: 3, merges: 20 });
        const ranks = new Map(merges.map(([left, right], rank) => [pairKey(left, right), rank]));
        for (const [symbols] of words) {
          const learned = merges.reduce((sofar, pair, rank) => mergeNaively(sofar, pair, 3 + rank), symbols);
          expect(applyMerges(symbols, (key) => ranks.get(key), 3)).toEqual(learned);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("joins the words of Sennrich et al. 2016, section 3.2: low 5, lower 2, newest 6, widest 3", () => {
    const letters = "wlnoeidrst·";
    const words = { low·: 5, lower·: 2, newest·: 6, widest·: 3 };
    const symbols = Object.entries(words).map(([word, count]) => [Array.from(word, (c) => letters.indexOf(c)), count] as const);
    const merges = learnMerges(symbols, { alphabet: letters.length, merges: 10 });
    const names = [...letters];
    for (const [left, right] of merges) names.push(names[left] + names[right]);
    const ranks = new Map(merges.map(([left, right], rank) => [pairKey(left, right), rank]));
    const pieces = symbols.map(([word]) =>
      applyMerges(word, (key) => ranks.get(key), letters.length)
        .map((code) => names[code])
        .join(" "),
    );
    expect(pieces).toEqual(["low·", "low e r ·", "newest·", "wi d est·"]);
    expect(merges).toHaveLength(10);
  });

  it("makes no symbol longer than allowed", () => {
    const merges = learnMerges([[new Array(64).fill(0), 3]], { alphabet: 1, merges: 9, longest: 8 });
    expect(merges).toEqual([
      [0, 0],
      [1, 1],
      [2, 2],
    ]);
  });
});

const wellFormed = fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }), fc.string(), fc.lorem());
const anyText = fc.oneof(
  wellFormed,
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 }).map((units) => String.fromCharCode(...units)),
);
const sample =
  "the cat sat on the mat. The café's naïve déjà vu — 東京 東京 北京, 1234 12345\r\n\t  the end 👍🏽👍🏽 the the\ufeff";
const fitted = BytePair.fit([sample, sample], { maxSize: 400, markers: { begin: true, end: true } });
const plain = BytePair.fit([sample, sample], { maxSize: 350 });

describe("byte pairs", () => {
  it("cuts a text into words that joined are the text", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(splitBytePairWords(text).join("")).toBe(text);
      }),
    );
    expect(splitBytePairWords("I've  42 cats,\n ok ")).toEqual(["I", "'", "ve", " ", " 42", " cats", ",", "\n", " ok", " "]);
  });

  it("decodes what it encoded, for every well-formed text", () => {
    fc.assert(
      fc.property(fc.array(wellFormed, { maxLength: 5 }), wellFormed, fc.integer({ min: 0, max: 60 }), (seen, text, merges) => {
        const codebook = BytePair.fit(seen, { maxSize: BYTE_ALPHABET + merges });
        for (const each of [...seen, text]) expect(codebook.decode(codebook.encode(each))).toBe(each);
      }),
    );
    expect(fitted.decode(fitted.encode(sample))).toBe(sample);
  });

  it("keeps a byte order mark", () => {
    expect(fitted.decode(fitted.encode("\ufeffthe"))).toBe("\ufeffthe");
    expect(BytePair.fit(["\ufeff \ufeff \ufeff"]).nameOf(BYTE_ALPHABET + 1)).toBe("\ufeff");
  });

  it("encodes alike before and after more words than it remembers", () => {
    const codebook = BytePair.fit([sample]);
    const codes = codebook.encode(sample);
    for (let i = 0; i < 40_000; i += 100) codebook.encode(Array.from({ length: 100 }, (_, k) => `${i + k}`).join(" "));
    expect(codebook.encode(sample)).toEqual(codes);
  });

  it("writes a lone surrogate as U+FFFD", () => {
    expect(fitted.decode(fitted.encode("a\ud800b\udc00"))).toBe("a\ufffdb\ufffd");
  });

  it("never throws, stays within its codes, never says unknown, and survives JSON", () => {
    const thawed = BytePair.fromJSON(JSON.parse(JSON.stringify(fitted)));
    expect(thawed.toJSON()).toEqual(fitted.toJSON());
    fc.assert(
      fc.property(anyText, (text) => {
        const codes = fitted.encode(text);
        expect(codes.every((code) => Number.isInteger(code) && code > 0 && code < fitted.size)).toBe(true);
        expect([codes[0], codes.at(-1)]).toEqual([fitted.markers.begin, fitted.markers.end]);
        expect(thawed.encode(text)).toEqual(codes);
      }),
    );
  });

  it("places each piece on the whole characters that its bytes belong to", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const pieces = plain.pieces(text);
        expect(pieces.map((piece) => piece.code)).toEqual(plain.encode(text));
        const reached = pieces.reduce((end, piece) => {
          expect(piece.start <= end && piece.end >= end && piece.end > piece.start).toBe(true);
          return piece.end;
        }, 0);
        expect(reached).toBe(text.length);
      }),
    );
    const placed = fitted.pieces("the ž").map(({ start, end }) => "the ž".slice(start, end));
    expect(placed).toEqual(["the", " ", "ž", "ž"]);
  });

  it("learns the same from the same texts in any order", () => {
    const texts = sample.split(" ");
    expect(BytePair.fit([...texts].reverse()).merges).toEqual(BytePair.fit(texts).merges);
  });

  it("names pieces by their text, and parts of a character by their bytes", () => {
    const [first] = BytePair.fit(["the the"]).merges.map((_, k) => k + BYTE_ALPHABET);
    expect(BytePair.fit(["the the"]).nameOf(first)).toBe("he");
    expect(plain.nameOf(0xc3 + 1)).toBe("<0xC3>");
    expect([fitted.nameOf(fitted.size - 2), fitted.nameOf(fitted.size - 1)]).toEqual(["<begin>", "<end>"]);
    expect([plain.nameOf(0), plain.nameOf(-1), plain.nameOf(plain.size)]).toEqual(["<unknown>", "<unknown>", "<unknown>"]);
    expect(plain.decode([0, 1e9, 98])).toBe("\ufffd\ufffda");
  });

  it("takes long words and long white space in good time", () => {
    const long = `${"ab".repeat(50_000)}${" ".repeat(100_000)}x`;
    const start = performance.now();
    expect(plain.decode(plain.encode(long))).toBe(long);
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  it("learns 2,000 merges from a megabyte in seconds", () => {
    const words = Array.from({ length: 20_000 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 0).toString(36));
    const text = Array.from({ length: 150_000 }, (_, i) => words[(i * i) % words.length]).join(" ");
    expect(text.length).toBeGreaterThan(1e6);
    const start = performance.now();
    expect(BytePair.fit([text], { maxSize: BYTE_ALPHABET + 2000 }).merges).toHaveLength(2000);
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  it.each([
    [{ merges: [[1, 257]], markers: {} }],
    [{ merges: [[1, 2]], markers: { begin: true } }],
    [{ merges: [[0, 1]], markers: { begin: true, end: false } }],
    [{ merges: [[1.5, 1]], markers: { begin: true, end: false } }],
    [
      {
        merges: [
          [1, 1],
          [1, 1],
        ],
        markers: { begin: true, end: false },
      },
    ],
    [
      {
        merges: Array.from({ length: 60 }, (_, k) => [k === 0 ? 1 : 256 + k, k === 0 ? 1 : 256 + k]),
        markers: { begin: false, end: false },
      },
    ],
    [{ merges: "ab", markers: { begin: false, end: false } }],
  ])("refuses malformed frozen byte pairs %#", (json) => {
    expect(() => BytePair.fromJSON(json)).toThrow(OstinatoError);
  });

  it("refuses options out of range", () => {
    expect(() => BytePair.fit([], { maxSize: 256 })).toThrow(/OST_RANGE/);
    expect(() => BytePair.fit([], { maxSize: 258, markers: { begin: true, end: true } })).toThrow(/OST_RANGE/);
    expect(() => BytePair.fit([], { minCount: 0 })).toThrow(/OST_RANGE/);
    expect(BytePair.fit([], { maxSize: 259, markers: { begin: true, end: true } }).size).toBe(259);
  });
});

describe("byte pairs as a tokenizer.json", () => {
  it.each([
    ["with markers", fitted],
    ["without", plain],
  ])("are the same codes through an independent library, %s", (_, own) => {
    const read = TokenizerJson.read(JSON.parse(JSON.stringify(tokenizerJson(own))));
    expect(read.size).toBe(own.size);
    const check = (text: string) => {
      const codes = own.encode(text);
      expect(read.encode(text)).toEqual(codes);
      expect(read.decode(codes)).toBe(text);
    };
    check(sample);
    fc.assert(fc.property(wellFormed, check), { numRuns: 500 });
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(..."the cat sat café\n 東京12 's👍🏽\u0085\u00a0\u2003"), { maxLength: 30 }),
        (letters) => check(letters.join("")),
      ),
      {
        numRuns: 500,
      },
    );
  });
});

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UNKNOWN } from "../../core/batch.js";
import { OstinatoError } from "../../core/errors.js";
import { LARGEST_VOCABULARY, Vocabulary } from "./vocabulary.js";

const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.constantFrom("", UNKNOWN, "__proto__", "constructor", "\ud800"),
);

describe("vocabulary", () => {
  it("orders by falling count, equal counts by code unit", () => {
    const vocabulary = Vocabulary.fit(["b", "é", "a", "c", "c", "Z"]);
    expect([0, 1, 2, 3, 4, 5].map((code) => vocabulary.nameOf(code))).toEqual([UNKNOWN, "c", "Z", "a", "b", "é"]);
    expect(vocabulary.counts).toEqual([0, 2, 1, 1, 1, 1]);
  });

  it("gives rare, missing and unseen texts code 0 and counts them there", () => {
    const vocabulary = Vocabulary.fit(["x", "x", "x", "y", "y", "z", "", UNKNOWN], { minCount: 2, maxSize: 2 });
    expect(vocabulary.size).toBe(2);
    expect(vocabulary.counts).toEqual([5, 3]);
    expect(["x", "y", "z", "", "never", UNKNOWN].map((text) => vocabulary.encode(text))).toEqual([[1], [0], [0], [0], [0], [0]]);
  });

  it("takes capitals and small letters for the same where it is told to", () => {
    const vocabulary = Vocabulary.fit(["The", "the", "THE", "", "<UNKNOWN>"], { lowerCase: true });
    expect([vocabulary.size, vocabulary.nameOf(1), vocabulary.counts]).toEqual([2, "the", [2, 3]]);
    const thawed = Vocabulary.fromJSON(JSON.parse(JSON.stringify(vocabulary)));
    for (const some of [vocabulary, thawed])
      expect([some.codeOf("tHe"), some.has("THE"), some.encode("a")]).toEqual([1, true, [0]]);
    expect(() => Vocabulary.fromJSON({ texts: ["a"], counts: [0, 1], lowerCase: 1 })).toThrow(OstinatoError);
  });

  it("knows nothing when it was fitted on nothing", () => {
    expect(Vocabulary.fit([]).size).toBe(1);
    expect(Vocabulary.fit([]).encode("a")).toEqual([0]);
  });

  it("never throws, stays within its codes, decodes what it knows, and survives JSON", () => {
    fc.assert(
      fc.property(fc.array(anyText), fc.array(anyText), fc.integer({ min: 1, max: 3 }), (seen, others, minCount) => {
        const vocabulary = Vocabulary.fit(seen, { minCount });
        const thawed = Vocabulary.fromJSON(JSON.parse(JSON.stringify(vocabulary)));
        expect(vocabulary.counts.reduce((a, b) => a + b)).toBe(seen.length);
        expect(thawed.toJSON()).toEqual(vocabulary.toJSON());
        for (const text of [...seen, ...others]) {
          const [code] = vocabulary.encode(text);
          expect(code >= 0 && code < vocabulary.size).toBe(true);
          expect(vocabulary.decode([code])[0]).toBe(vocabulary.has(text) ? text : UNKNOWN);
          expect(thawed.encode(text)).toEqual([code]);
        }
      }),
    );
  });

  it.each([
    [{}],
    [{ texts: ["a"], counts: [0] }],
    [{ texts: ["a", "a"], counts: [0, 1, 1] }],
    [{ texts: [""], counts: [0, 1] }],
    [{ texts: [UNKNOWN], counts: [0, 1] }],
    [{ texts: [1], counts: [0, 1] }],
    [{ texts: ["a"], counts: [0, -1] }],
    [{ texts: ["a"], counts: [0, 0.5] }],
    [{ texts: new Array(LARGEST_VOCABULARY).fill("a"), counts: [] }],
  ])("refuses a malformed frozen vocabulary %#", (json) => {
    expect(() => Vocabulary.fromJSON(json)).toThrow(OstinatoError);
  });

  it("refuses options out of range", () => {
    expect(() => Vocabulary.fit([], { minCount: 0 })).toThrow(/OST_RANGE/);
    expect(() => Vocabulary.fit([], { maxSize: LARGEST_VOCABULARY + 1 })).toThrow(/OST_RANGE/);
  });
});

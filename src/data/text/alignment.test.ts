import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { alignLabels, describeNextTokens, NO_LABEL, nextToken, wordLabels } from "./alignment.js";
import { BytePair } from "./byte-pair.js";
import { Characters } from "./characters.js";
import { Vocabulary } from "./vocabulary.js";

const codesOf = fc.array(fc.integer({ min: 1, max: 50 }));
const marker = fc.constantFrom(null, 90, 91);

describe("next-token alignment", () => {
  it("shifts by exactly one, and its indexes tell where each code came from", () => {
    fc.assert(
      fc.property(codesOf, marker, marker, (codes, begin, end) => {
        const { inputs, targets, inputIndex, targetIndex } = nextToken(codes, { begin, end });
        const at = (index: number) => (index < 0 ? begin : index === codes.length ? end : codes[index]);
        expect(inputs).toEqual(inputIndex.map(at));
        expect(targets).toEqual(targetIndex.map(at));
        expect(targetIndex).toEqual(inputIndex.map((index) => index + 1));
        expect(inputs).toHaveLength(Math.max(0, codes.length - 1 + Number(begin !== null) + Number(end !== null)));
        expect(inputs.slice(1)).toEqual(targets.slice(0, -1));
      }),
    );
  });

  it("prints its index map", () => {
    const characters = Characters.fit(["ab"], { markers: { begin: true, end: true } });
    const { begin, end } = characters.markers;
    const tokens = nextToken([1, 2], { begin, end });
    expect(describeNextTokens(tokens, characters)).toEqual([
      '0: [-1] "<begin>" -> [0] "a"',
      '1: [0] "a" -> [1] "b"',
      '2: [1] "b" -> [2] "<end>"',
    ]);
  });
});

describe("label alignment", () => {
  const words = fc.array(fc.tuple(fc.string({ unit: "grapheme", maxLength: 5 }), fc.integer({ min: 0, max: 4 })), {
    maxLength: 8,
  });
  const bytePair = BytePair.fit(["the cat, the hat"], { markers: { begin: true, end: true } });

  it("labels the first piece of every word, and word labels come back", () => {
    fc.assert(
      fc.property(words, fc.constantFrom("", " "), (pairs, between) => {
        const texts = pairs.map(([text]) => text);
        const labels = pairs.map(([, label]) => label);
        const aligned = alignLabels(texts, labels, bytePair, { between });
        expect(wordLabels(aligned.labels, aligned.wordIndex, texts.length)).toEqual(labels);
        expect(aligned.labels.filter((label) => label !== NO_LABEL)).toEqual(labels);
        const { begin, end } = bytePair.markers;
        expect(aligned.codes.filter((code) => code === begin || code === end)).toEqual([begin, end]);
        expect([aligned.wordIndex[0], aligned.wordIndex.at(-1)]).toEqual([-1, -1]);
        const inner = aligned.codes.filter((_, i) => aligned.wordIndex[i] >= 0 && aligned.codes[i] !== 0);
        expect(bytePair.decode(inner)).toBe(texts.map((text, i) => (i === 0 ? text : between + text)).join(""));
      }),
    );
  });

  it("labels every piece when asked", () => {
    const characters = Characters.fit(["ab"], { markers: { end: true } });
    expect(alignLabels(["ab", "", "b"], [3, 4, 5], characters, { pieces: "all" })).toEqual({
      codes: [1, 2, 0, 2, 3],
      labels: [3, 3, 4, 5, NO_LABEL],
      wordIndex: [0, 0, 1, 2, -1],
    });
    expect(alignLabels(["ab", "b"], [3, 5], characters).labels).toEqual([3, NO_LABEL, 5, NO_LABEL]);
  });

  it("gives one code per word with a vocabulary", () => {
    expect(alignLabels(["x", "y"], [0, 1], Vocabulary.fit(["x"]))).toEqual({ codes: [1, 0], labels: [0, 1], wordIndex: [0, 1] });
  });

  it("refuses labels that do not pair up", () => {
    expect(() => alignLabels(["a"], [], bytePair)).toThrow(/OST_LENGTH/);
  });
});

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { convertTags, detectScheme, repairTags, spans, TAG_SCHEMES, type TagScheme, validateTags } from "./bio.js";

/** A sentence as spans and gaps, written in a scheme by its definition, word by word. */
const layout = fc.array(
  fc.record({
    type: fc.constantFrom("PER", "LOC", ""),
    length: fc.integer({ min: 1, max: 4 }),
    gap: fc.integer({ min: 0, max: 2 }),
  }),
  { maxLength: 6 },
);
const scheme = fc.constantFrom(...TAG_SCHEMES);
const anyTag = fc.oneof(
  fc.constantFrom("O", "B-PER", "I-PER", "E-PER", "S-PER", "L-PER", "U-PER", "B-LOC", "I-LOC", "I", "B", "", "o", "B-", "PER"),
  fc.string(),
);

function written(parts: { type: string; length: number; gap: number }[], kept: TagScheme): string[] {
  const tags: string[] = [];
  let lastType: string | undefined;
  for (const { type, length, gap } of parts) {
    if (gap > 0) lastType = undefined;
    for (let i = 0; i < gap; i++) tags.push("O");
    for (let i = 0; i < length; i++) {
      const alone = length === 1;
      const end = i === length - 1;
      let mark = i === 0 ? "B" : "I";
      if (kept === "BIO1") mark = i === 0 && lastType === type ? "B" : "I";
      if (kept === "BIOES" && (alone || end)) mark = alone ? "S" : "E";
      if (kept === "BILOU" && (alone || end)) mark = alone ? "U" : "L";
      tags.push(type ? `${mark}-${type}` : mark);
    }
    lastType = type;
  }
  return tags;
}

function placed(parts: { type: string; length: number; gap: number }[]) {
  let at = 0;
  return parts.map(({ type, length, gap }) => {
    const start = at + gap;
    at = start + length;
    return { type, start, end: at };
  });
}

describe("tag schemes", () => {
  it("read the spans that were written, adjacent ones of one type apart, without a fault", () => {
    fc.assert(
      fc.property(layout, scheme, (parts, kept) => {
        const tags = written(parts, kept);
        expect(validateTags(tags, kept)).toEqual([]);
        expect(spans(tags, kept)).toEqual(placed(parts));
      }),
    );
  });

  it("keep their spans when converted, and come back as they were", () => {
    fc.assert(
      fc.property(layout, scheme, scheme, (parts, from, to) => {
        const tags = written(parts, from);
        const converted = convertTags(tags, from, to);
        expect(converted).toEqual(written(parts, to));
        expect(spans(converted, to)).toEqual(spans(tags, from));
        expect(convertTags(converted, to, from)).toEqual(tags);
      }),
    );
  });

  it("detect a scheme that every sequence keeps", () => {
    fc.assert(
      fc.property(fc.array(layout), scheme, (sentences, kept) => {
        const sequences = sentences.map((parts) => written(parts, kept));
        const found = detectScheme(sequences);
        sequences.forEach((tags, i) => {
          expect(spans(tags, found)).toEqual(placed(sentences[i]));
        });
      }),
    );
  });

  it("have no fault left once each is repaired as it says, whatever the tags were", () => {
    fc.assert(
      fc.property(fc.array(anyTag, { maxLength: 10 }), scheme, (tags, kept) => {
        const repaired = [...tags];
        for (const { position, tag, repair } of validateTags(tags, kept)) {
          expect(tag).toBe(tags[position]);
          expect(repair).not.toBe(tag);
          repaired[position] = repair;
        }
        expect(validateTags(repaired, kept)).toEqual([]);
        expect(repaired).toEqual(repairTags(tags, kept));
      }),
    );
  });

  it.each([
    ["BIO2", "O I-PER", 1, "I-PER after O: must begin with B-PER", "B-PER"],
    ["BIO2", "B-LOC I-PER", 1, "I-PER after B-LOC: must begin with B-PER", "B-PER"],
    ["BIO2", "I-PER", 0, "I-PER at the start: must begin with B-PER", "B-PER"],
    ["BIO1", "B-PER", 0, "B-PER at the start: B only parts two spans of one type: must be I-PER", "I-PER"],
    ["BIOES", "B-PER I-PER O", 1, "I-PER before O: must end with E-PER", "E-PER"],
    ["BIOES", "B-PER O", 0, "B-PER at the start and before O: a span of one word must be S-PER", "S-PER"],
    ["BIO2", "S-PER", 0, "S-PER: BIO2 has no S: must be B-PER", "B-PER"],
    ["BILOU", "B-PER E-PER", 1, "E-PER: BILOU has no E: must be L-PER", "L-PER"],
    ["BIO2", "PER", 0, '"PER" is no tag: O, or one of B I with a type, as B-PER', "O"],
  ] as const)("%s: %s", (kept, tags, position, fault, repair) => {
    expect(validateTags(tags.split(" "), kept)[0]).toEqual({ position, tag: tags.split(" ")[position], fault, repair });
  });

  it("say which sequence keeps another scheme", () => {
    const bio2 = ["B-PER", "I-PER", "O", "B-LOC"];
    expect(() => detectScheme([bio2, bio2, ["O", "I-PER"]])).toThrow(/mix schemes: sequence 3 keeps BIO1, most keep BIO2/);
    expect(() => detectScheme([["B-PER", "E-PER"], ["B-PER", "L-PER"], ["S-LOC"]])).toThrow(
      /sequence 2 keeps BILOU, most keep BIOES/,
    );
    expect(() => detectScheme([bio2, ["B-PER", "E-LOC", "x"]])).toThrow(/no scheme: nearest is BIO2 with 2 faults/);
  });

  it("refuse to read or convert tags with a fault", () => {
    expect(() => spans(["O", "I-PER"], "BIO2")).toThrow(/OST_FORMAT.*word 2/);
    expect(() => convertTags(["B-PER", "O"], "BIOES", "BIO2")).toThrow(/must be S-PER/);
  });
});

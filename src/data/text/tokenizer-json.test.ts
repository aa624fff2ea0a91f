import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OstinatoError } from "../../core/errors.js";
import { TokenizerJson } from "./tokenizer-json.js";
import { LARGEST_VOCABULARY } from "./vocabulary.js";

const special = (id: number, content: string) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});
const names = (list: string[]) => Object.fromEntries(list.map((name, id) => [name, id]));

/** Small tokenizers whose results follow from the format's definition by hand. */
const wordPiece = {
  version: "1.0",
  added_tokens: [special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")],
  normalizer: { type: "BertNormalizer", clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
  pre_tokenizer: { type: "BertPreTokenizer" },
  post_processor: {
    type: "TemplateProcessing",
    single: [
      { SpecialToken: { id: "[CLS]", type_id: 0 } },
      { Sequence: { id: "A", type_id: 0 } },
      { SpecialToken: { id: "[SEP]", type_id: 0 } },
    ],
    pair: [],
    special_tokens: {},
  },
  decoder: { type: "WordPiece", prefix: "##", cleanup: false },
  model: {
    type: "WordPiece",
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    vocab: names(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "the", ","]),
  },
};
const unigram = {
  added_tokens: [],
  pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always" },
  decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always" },
  model: {
    type: "Unigram",
    unk_id: 0,
    vocab: [
      ["<unk>", 0],
      ["▁", -2],
      ["a", -2],
      ["b", -2],
      ["ab", -1],
      ["▁ab", -1.5],
    ],
  },
};
const wordLevel = {
  added_tokens: [],
  pre_tokenizer: { type: "Whitespace" },
  model: { type: "WordLevel", unk_token: "?", vocab: names(["cat", "?", "sat"]) },
};
const all = { wordPiece, unigram, wordLevel };

describe("a tokenizer.json", () => {
  it("of WordPiece encodes to its ids plus one, the unknown to 0", () => {
    const tokenizer = TokenizerJson.read(wordPiece);
    expect(tokenizer.size).toBe(10);
    expect(tokenizer.encode("The unaffable, dog")).toEqual([3, 8, 5, 6, 7, 9, 0, 4]);
    expect(TokenizerJson.read(wordPiece, { specialTokens: false }).encode("the")).toEqual([8]);
    expect(tokenizer.decode([3, 8, 5, 6, 7, 9, 0, 4])).toBe("the unaffable ,");
    expect([tokenizer.nameOf(6), tokenizer.nameOf(0), tokenizer.nameOf(99)]).toEqual(["##aff", "<unknown>", "<unknown>"]);
  });

  it("of Unigram takes the likeliest pieces", () => {
    const tokenizer = TokenizerJson.read(unigram);
    expect(tokenizer.encode("ab abb ?")).toEqual([6, 6, 4, 2, 0]);
    expect(tokenizer.decode(tokenizer.encode("ab abb"))).toBe("ab abb");
  });

  it("of words looks them up", () => {
    expect(TokenizerJson.read(wordLevel).encode("cat dog sat")).toEqual([1, 0, 3]);
  });

  it.each(Object.entries(all))("never throws, stays within its codes, and survives JSON: %s", (_, content) => {
    const tokenizer = TokenizerJson.read(content);
    const thawed = TokenizerJson.fromJSON(JSON.parse(JSON.stringify(tokenizer)));
    const anyText = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.stringMatching(/^[ab ]*$/),
      fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 }).map((units) => String.fromCharCode(...units)),
    );
    fc.assert(
      fc.property(anyText, (text) => {
        const codes = tokenizer.encode(text);
        expect(codes.every((code) => Number.isInteger(code) && code >= 0 && code < tokenizer.size)).toBe(true);
        expect(thawed.encode(text)).toEqual(codes);
        expect(typeof tokenizer.decode(codes)).toBe("string");
      }),
    );
  });

  it("encodes a text too long for the library in sections", () => {
    const tokenizer = TokenizerJson.read(unigram);
    expect(tokenizer.encode("ab ".repeat(70_000))).toEqual([...new Array(70_000).fill(6), 2]);
  });

  it("is not changed by being read", () => {
    const before = JSON.stringify(wordPiece);
    TokenizerJson.read(wordPiece).encode("the");
    expect(JSON.stringify(wordPiece)).toBe(before);
  });

  it.each([
    [null],
    [[]],
    [{}],
    [{ model: {} }],
    [{ model: { type: "Magic", vocab: {} } }],
    [{ model: { type: "BPE", vocab: { a: 0 } } }],
    [{ model: { type: "BPE", vocab: { a: LARGEST_VOCABULARY }, merges: [] } }],
    [{ model: { type: "BPE", vocab: { a: 0.5 }, merges: [] } }],
    [{ model: { type: "Unigram", vocab: [["a", "high"]] } }],
    [{ ...wordLevel, added_tokens: [{ id: 1e9, content: "x" }] }],
    [{ ...wordLevel, pre_tokenizer: { type: "Magic" } }],
    [{ ...wordPiece, post_processor: { ...wordPiece.post_processor, single: [] } }],
    [{ ...wordLevel, pre_tokenizer: { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated", invert: false } }],
  ])("is refused when it is none: %#", (content) => {
    const caught = (action: () => unknown) => {
      try {
        action();
      } catch (error) {
        return error instanceof OstinatoError ? error.code : error;
      }
      return "nothing";
    };
    expect(caught(() => TokenizerJson.read(content))).toBe("OST_FORMAT");
    expect(caught(() => TokenizerJson.fromJSON({ specialTokens: true, content }))).toBe("OST_MODEL_FILE");
  });
});

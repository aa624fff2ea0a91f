/**
 * @file The text to be predicted of a whole series, as codes: the target of translating and transcribing.
 *
 * The codebook is fitted on the targets of training series alone, one text per series. Its codes have no markers: where a sequence begins and
 * ends is the network's to say, with codes of its own behind these.
 *
 * A token that training never saw is code 0, `<unknown>`, which no training target holds unless `minCount` or `maxSize` leave tokens out: such a
 * place can only be predicted wrongly. Byte pairs know every text.
 */
import { OstinatoError } from "../core/errors.js";
import { codeNames, restoreCodebook } from "./category.js";
import type { Codebook } from "./codebook.js";
import {
  BytePair,
  type BytePairOptions,
  Characters,
  type CharactersOptions,
  type MarkerCodes,
  Symbols,
  type SymbolsOptions,
  type Tokenizer,
  TokenizerJson,
  Words,
  type WordsOptions,
} from "./text/index.js";
import { frozen } from "./transform.js";

/** How target texts become codes. `vocabulary`: symbols between white space, such as phones, digits or actions. */
export type TargetTokensOptions =
  | ({ kind: "characters" } & Omit<CharactersOptions, "markers">)
  | ({ kind: "words" } & Omit<WordsOptions, "markers">)
  | ({ kind: "vocabulary" } & Omit<SymbolsOptions, "markers">)
  | ({ kind: "bytePair" } & Omit<BytePairOptions, "markers">)
  /** `json`: the content of a Hugging Face tokenizer.json. Special tokens are not set around the text. */
  | { kind: "tokenizerJson"; json?: unknown };

export const TARGET_TOKENS = ["characters", "words", "vocabulary", "bytePair", "tokenizerJson"] as const;

type TargetCodebook = (Tokenizer & { markers: MarkerCodes }) | TokenizerJson;

function isTokenized(codebook: Codebook): codebook is TargetCodebook {
  return codebook instanceof TokenizerJson || (codebook.several && "markers" in codebook && "decode" in codebook);
}

export class TargetTokens {
  /** Names of the codes, all different. */
  readonly names: readonly string[];

  private constructor(readonly codebook: TargetCodebook) {
    this.names = codeNames(codebook);
  }

  /** @param texts the target of each training series. @throws OST_TARGET if none of them has a token. */
  static fit(texts: Iterable<string>, options: TargetTokensOptions): TargetTokens {
    const all = [...texts];
    const made = new TargetTokens(fitted(all, options));
    if (all.some((text) => made.encode(text).length > 0)) return made;
    throw new OstinatoError("OST_TARGET", {
      what: all.length === 0 ? "no series is of the training part" : "the target of every training series is empty",
      expected: "at least one training series with a text to be predicted",
      where: "data.target",
      repair: "choose another data.target, or change data.split",
    });
  }

  /** @throws OST_MODEL_FILE unless `json` is what `toJSON` writes. */
  static fromJSON(json: unknown, where: string): TargetTokens {
    const codebook = restoreCodebook(json, where);
    const tokenizer = isTokenized(codebook) ? codebook : frozen.fail(where, "a tokenizer", codebook.kind);
    const marked = tokenizer instanceof TokenizerJson ? tokenizer.specialTokens : tokenizer.markers.count > 0;
    return marked ? frozen.fail(where, "a tokenizer without markers", codebook.kind) : new TargetTokens(tokenizer);
  }

  toJSON() {
    return this.codebook.toJSON();
  }

  /** Codes 0 .. size - 1. */
  get size(): number {
    return this.codebook.size;
  }

  /** The codes of a text; none for an empty one. */
  encode(text: string): readonly number[] {
    return text === "" ? [] : this.codebook.encode(text);
  }

  /** The text of codes. A code that stands for no known text is U+FFFD, one beyond the codes nothing. */
  decode(codes: Iterable<number>): string {
    return this.codebook.decode(Array.from(codes).filter((code) => code >= 0 && code < this.size));
  }
}

function fitted(texts: readonly string[], options: TargetTokensOptions): TargetCodebook {
  switch (options.kind) {
    case "characters":
      return Characters.fit(texts, { ...options, markers: {} });
    case "words":
      return Words.fit(texts, { ...options, markers: {} });
    case "vocabulary":
      return Symbols.fit(texts, { ...options, markers: {} });
    case "bytePair":
      return BytePair.fit(texts, { ...options, markers: {} });
    case "tokenizerJson":
      return TokenizerJson.read(options.json, { specialTokens: false });
  }
}

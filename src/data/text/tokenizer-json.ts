/**
 * @file A tokenizer of the Hugging Face `tokenizer.json` format (BPE, WordPiece, Unigram or WordLevel), as a codebook.
 *
 * Codes are the file's ids plus one, because code 0 is the unknown: the file's own unknown token has code 0 too. The file's content
 * travels in the model file. Normalising, splitting and merging are `@huggingface/tokenizers`', whose limits are this one's: the regular
 * expressions of the file run as they are, so a file from a stranger can be slow on a text made for it, and truncation and padding that the file
 * asks for are left to batching.
 */

import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { UNKNOWN } from "../../core/batch.js";
import { OstinatoError } from "../../core/errors.js";
import type { Codebook, FrozenCodebook } from "../codebook.js";
import { frozen } from "../transform.js";
import { LARGEST_VOCABULARY } from "./vocabulary.js";

const MODELS = ["BPE", "WordPiece", "Unigram", "WordLevel"] as const;

/** UTF-16 units of a text that is not cut further when the library fails on it: it is one unknown. */
const SHORTEST_SECTION = 1024;

/** Encoded once when a file is read: what does not fit together shows then and not in the middle of a stream. */
const PROBE = "A probe, 1 café: 東京 👍🏽\n\tend.";

export interface TokenizerJsonOptions {
  /** Whether `encode` adds the tokens the file sets around a text, such as [CLS] and [SEP]. Default true. */
  specialTokens?: boolean;
}

export class TokenizerJson implements Codebook {
  readonly kind = "tokenizerJson";
  readonly several = true;
  readonly size: number;
  readonly #tokenizer: LibraryTokenizer;
  readonly #unknown: number | undefined;
  /** Codes that the file sets before and after every text. */
  readonly #around: { before: readonly number[]; after: readonly number[] };

  private constructor(
    readonly content: Readonly<Record<string, unknown>>,
    readonly specialTokens: boolean,
  ) {
    const { size, unknown, unknownToken } = readVocabulary(content);
    this.size = size;
    this.#unknown = unknown;
    // The decoder of the file says how pieces join; tidying English punctuation after it would lose what was there.
    const settings = { clean_up_tokenization_spaces: false, unk_token: unknownToken };
    const whole = {
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      ...structuredClone(content),
    };
    this.#tokenizer = new LibraryTokenizer(whole, settings);
    const plain = this.#codes(PROBE, false);
    this.#around = specialTokens ? surroundings(this.#codes(PROBE, true), plain) : { before: [], after: [] };
    this.decode(plain);
  }

  /**
   * @param content the parsed content of a tokenizer.json.
   * @throws OST_FORMAT if it is not one, or asks for something the library does not know.
   */
  static read(content: unknown, { specialTokens = true }: TokenizerJsonOptions = {}): TokenizerJson {
    return TokenizerJson.#checked(content, specialTokens, "OST_FORMAT");
  }

  /** @throws OST_MODEL_FILE unless `json` is what `toJSON` writes. */
  static fromJSON(json: Record<string, unknown>): TokenizerJson {
    const specialTokens = frozen.boolean(json.specialTokens, "tokenizerJson.specialTokens");
    return TokenizerJson.#checked(json.content, specialTokens, "OST_MODEL_FILE");
  }

  static #checked(content: unknown, specialTokens: boolean, code: "OST_FORMAT" | "OST_MODEL_FILE"): TokenizerJson {
    try {
      return new TokenizerJson(frozen.object(content, "tokenizer.json"), specialTokens);
    } catch (error) {
      const detail =
        error instanceof OstinatoError ? error.detail : { got: error instanceof Error ? error.message : String(error) };
      throw new OstinatoError(
        code,
        {
          expected: "the content of a Hugging Face tokenizer.json",
          where: "tokenizer.json",
          ...detail,
          what: "the tokenizer cannot be read",
          repair: "is it the tokenizer.json of a fast tokenizer, rather than vocab.json or tokenizer_config.json?",
        },
        { cause: error },
      );
    }
  }

  encode(text: string): readonly number[] {
    const { before, after } = this.#around;
    return [...before, ...this.#sections(text).flat(), ...after];
  }

  /** The text of some codes, as far as the file's decoder restores it. Special tokens and unknown codes are nothing. */
  decode(codes: Iterable<number>): string {
    const ids = Array.from(codes, (code) => code - 1).filter((id) => this.#tokenizer.id_to_token(id) !== undefined);
    return ids.length === 0 ? "" : this.#tokenizer.decode(ids, { skip_special_tokens: true });
  }

  nameOf(code: number): string {
    return this.#tokenizer.id_to_token(code - 1) ?? UNKNOWN;
  }

  toJSON(): FrozenCodebook {
    return { transform: this.kind, specialTokens: this.specialTokens, content: this.content };
  }

  /** A text too long for the library, which takes all pieces of a word as arguments of one call, is cut where it has white space. */
  #sections(text: string): number[][] {
    try {
      return [this.#codes(text, false)];
    } catch {
      if (text.length < SHORTEST_SECTION) return [[0]];
      const cut = middle(text);
      return [...this.#sections(text.slice(0, cut)), ...this.#sections(text.slice(cut))];
    }
  }

  #codes(text: string, specialTokens: boolean): number[] {
    const { ids } = this.#tokenizer.encode(text, { add_special_tokens: specialTokens });
    return ids.map((id: number | undefined) => (id === undefined || id === this.#unknown ? 0 : id + 1));
  }
}

/** What stands around `plain` in `whole`. */
function surroundings(whole: readonly number[], plain: readonly number[]): { before: number[]; after: number[] } {
  for (let start = 0; plain.length > 0 && start + plain.length <= whole.length; start++) {
    if (!plain.every((code, i) => whole[start + i] === code)) continue;
    return { before: whole.slice(0, start), after: whole.slice(start + plain.length) };
  }
  return frozen.fail("post_processor", `codes of ${JSON.stringify(PROBE)} between the special tokens`, whole);
}

/** Where to cut a long text: before the last white space of its first half, else in the middle, never within a character. */
function middle(text: string): number {
  const half = text.length >> 1;
  const space = /\s\S*$/u.exec(text.slice(0, half))?.index ?? 0;
  if (space > 0) return space;
  // The middle of a surrogate pair lies behind a code point that takes two units.
  return (text.codePointAt(half - 1) as number) > 0xffff ? half - 1 : half;
}

/** Checks the parts of the content that bound the size of things; the rest is the library's to check. */
function readVocabulary(content: Record<string, unknown>): { size: number; unknown: number | undefined; unknownToken: unknown } {
  const model = frozen.object(content.model, "model");
  // Old files name no type of BPE or WordPiece models.
  if (model.type !== undefined) frozen.choice(model.type, MODELS, "model.type");
  const ids = new Map<unknown, number>();
  const enter = (token: unknown, id: unknown, where: string) => {
    if (typeof token !== "string") frozen.fail(where, "a text", token);
    if (!Number.isInteger(frozen.number(id, where, { min: 0, max: LARGEST_VOCABULARY - 2 })))
      frozen.fail(where, "a whole number", id);
    ids.set(token, id as number);
  };
  if (Array.isArray(model.vocab)) {
    model.vocab.forEach((entry, id) => {
      const [token, score] = frozen.list(entry, "model.vocab");
      frozen.number(score, "model.vocab");
      enter(token, id, "model.vocab");
    });
  } else {
    for (const [token, id] of Object.entries(frozen.object(model.vocab, "model.vocab"))) enter(token, id, "model.vocab");
  }
  for (const added of frozen.list(content.added_tokens ?? [], "added_tokens")) {
    const { content: token, id } = frozen.object(added, "added_tokens");
    enter(token, id, "added_tokens");
  }
  const unknownToken = Array.isArray(model.vocab)
    ? frozen.list(model.vocab[model.unk_id as number] ?? [], "unk_id")[0]
    : model.unk_token;
  let largest = -1;
  for (const id of ids.values()) largest = Math.max(largest, id);
  return { size: largest + 2, unknown: ids.get(unknownToken), unknownToken };
}

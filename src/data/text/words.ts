/**
 * @file Text as words: runs of letters, marks and digits; every other visible character is a token of its own, white space is none.
 *
 * An apostrophe between letters stays in its word (don't), and so does a point or comma between digits (3.14). The rule knows no language:
 * scripts without spaces (Chinese, Thai) become long words, for which characters or byte pairs are the better choice.
 */
import type { FrozenCodebook } from "../codebook.js";
import { frozen } from "../transform.js";
import { frozenMarkers, type Markers, roomBesideMarkers } from "./tokenizer.js";
import { LARGEST_VOCABULARY, Vocabulary, type VocabularyOptions } from "./vocabulary.js";
import { type Span, tokensOf, VocabularyTokenizer } from "./vocabulary-tokenizer.js";

/** A word, or one visible character with the marks on it. */
export const WORD_PATTERN =
  /[\p{L}\p{M}\p{N}_]+(?:(?:(?<=[\p{L}\p{M}])['\u2019](?=\p{L})|(?<=\p{N})[.,](?=\p{N}))[\p{L}\p{M}\p{N}_]+)*|\S\p{M}*/gu;

/** `maxSize` counts the markers too. */
export interface WordsOptions extends VocabularyOptions {
  /** Whether "The" and "the" are one word. Default false. */
  lowerCase?: boolean;
  markers?: Markers;
}

export class Words extends VocabularyTokenizer {
  readonly kind = "words";
  /** Decoded words are joined by spaces; the white space of the text is not kept. */
  protected readonly separator = " ";

  private constructor(
    vocabulary: Vocabulary,
    markers: Markers,
    readonly lowerCase: boolean,
  ) {
    super(vocabulary, markers);
  }

  /** @throws OST_RANGE if an option lies outside its range. */
  static fit(texts: Iterable<string>, options: WordsOptions = {}): Words {
    const { lowerCase = false, markers = {}, minCount = 1, maxSize = LARGEST_VOCABULARY } = options;
    const room = roomBesideMarkers(maxSize, 1, markers, "words");
    const vocabulary = Vocabulary.fit(
      tokensOf(texts, (text) => wordSpans(text, lowerCase)),
      { minCount, maxSize: room },
    );
    return new Words(vocabulary, markers, lowerCase);
  }

  /** @throws OST_MODEL_FILE unless `json` is what `toJSON` writes. */
  static fromJSON(json: Record<string, unknown>): Words {
    const vocabulary = Vocabulary.fromJSON(frozen.object(json.vocabulary, "words.vocabulary"));
    const markers = frozenMarkers(json.markers, "words.markers");
    return new Words(vocabulary, markers, frozen.boolean(json.lowerCase, "words.lowerCase"));
  }

  override toJSON(): FrozenCodebook {
    return { ...super.toJSON(), lowerCase: this.lowerCase };
  }

  protected spans(text: string): Iterable<Span> {
    return wordSpans(text, this.lowerCase);
  }
}

/** The words and single characters of a text, in order. */
export function splitWords(text: string, { lowerCase = false }: { lowerCase?: boolean } = {}): string[] {
  return Array.from(wordSpans(text, lowerCase), (span) => span.text);
}

/** Each word is lowered by itself, because lowering a whole text can move its characters: İ becomes two. */
function* wordSpans(text: string, lowerCase: boolean): Generator<Span> {
  for (const { 0: word, index } of text.matchAll(WORD_PATTERN)) {
    yield { text: lowerCase ? word.toLowerCase() : word, start: index, end: index + word.length };
  }
}

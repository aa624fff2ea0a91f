/**
 * @file Text as symbols: what stands between white space, whatever it is made of. For phones, keys, actions and other names that have
 * punctuation of their own.
 */
import { frozen } from "../transform.js";
import { frozenMarkers, type Markers, roomBesideMarkers } from "./tokenizer.js";
import { LARGEST_VOCABULARY, Vocabulary, type VocabularyOptions } from "./vocabulary.js";
import { type Span, tokensOf, VocabularyTokenizer } from "./vocabulary-tokenizer.js";

/** `maxSize` counts the markers too. */
export interface SymbolsOptions extends Pick<VocabularyOptions, "minCount" | "maxSize"> {
  markers?: Markers;
}

export class Symbols extends VocabularyTokenizer {
  readonly kind = "symbols";
  /** Decoded symbols are joined by spaces; the white space of the text is not kept. */
  protected readonly separator = " ";

  private constructor(vocabulary: Vocabulary, markers: Markers) {
    super(vocabulary, markers);
  }

  /** @throws OST_RANGE if an option lies outside its range. */
  static fit(texts: Iterable<string>, options: SymbolsOptions = {}): Symbols {
    const { markers = {}, minCount = 1, maxSize = LARGEST_VOCABULARY } = options;
    const room = roomBesideMarkers(maxSize, 1, markers, "symbols");
    return new Symbols(Vocabulary.fit(tokensOf(texts, symbolSpans), { minCount, maxSize: room }), markers);
  }

  /** @throws OST_MODEL_FILE unless `json` is what `toJSON` writes. */
  static fromJSON(json: Record<string, unknown>): Symbols {
    const vocabulary = Vocabulary.fromJSON(frozen.object(json.vocabulary, "symbols.vocabulary"));
    return new Symbols(vocabulary, frozenMarkers(json.markers, "symbols.markers"));
  }

  protected spans(text: string): Iterable<Span> {
    return symbolSpans(text);
  }
}

function* symbolSpans(text: string): Generator<Span> {
  for (const { 0: symbol, index } of text.matchAll(/\S+/gu)) yield { text: symbol, start: index, end: index + symbol.length };
}

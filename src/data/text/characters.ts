/**
 * @file Text as characters: one code per Unicode code point, or per grapheme (what a reader sees as one character).
 *
 * Graphemes follow Unicode Standard Annex 29 as the engine that runs them knows it: a newer Unicode version may cut an emoji otherwise.
 * Code points are the same everywhere and are the default.
 */
import type { FrozenCodebook } from "../codebook.js";
import { frozen } from "../transform.js";
import { frozenMarkers, type Markers, roomBesideMarkers } from "./tokenizer.js";
import { LARGEST_VOCABULARY, Vocabulary, type VocabularyOptions } from "./vocabulary.js";
import { type Span, tokensOf, VocabularyTokenizer } from "./vocabulary-tokenizer.js";

const UNITS = ["codePoint", "grapheme"] as const;
export type CharacterUnit = (typeof UNITS)[number];

/** `maxSize` counts the markers too. */
export interface CharactersOptions extends VocabularyOptions {
  /** Default "codePoint". */
  unit?: CharacterUnit;
  markers?: Markers;
}

export class Characters extends VocabularyTokenizer {
  readonly kind = "characters";
  protected readonly separator = "";

  private constructor(
    vocabulary: Vocabulary,
    markers: Markers,
    readonly unit: CharacterUnit,
  ) {
    super(vocabulary, markers);
  }

  /** @throws OST_RANGE if an option lies outside its range. */
  static fit(texts: Iterable<string>, options: CharactersOptions = {}): Characters {
    const { unit = "codePoint", markers = {}, minCount = 1, maxSize = LARGEST_VOCABULARY } = options;
    const room = roomBesideMarkers(maxSize, 1, markers, "characters");
    const vocabulary = Vocabulary.fit(
      tokensOf(texts, (text) => characterSpans(text, unit)),
      { minCount, maxSize: room },
    );
    return new Characters(vocabulary, markers, unit);
  }

  /** @throws OST_MODEL_FILE unless `json` is what `toJSON` writes. */
  static fromJSON(json: Record<string, unknown>): Characters {
    const vocabulary = Vocabulary.fromJSON(frozen.object(json.vocabulary, "characters.vocabulary"));
    const markers = frozenMarkers(json.markers, "characters.markers");
    return new Characters(vocabulary, markers, frozen.choice(json.unit, UNITS, "characters.unit"));
  }

  override toJSON(): FrozenCodebook {
    return { ...super.toJSON(), unit: this.unit };
  }

  protected spans(text: string): Iterable<Span> {
    return characterSpans(text, this.unit);
  }
}

/** The characters of a text, in order. Joined they are the text. */
export function splitCharacters(text: string, { unit = "codePoint" }: { unit?: CharacterUnit } = {}): string[] {
  return Array.from(characterSpans(text, unit), (span) => span.text);
}

function* characterSpans(text: string, unit: CharacterUnit): Generator<Span> {
  const characters = unit === "grapheme" ? graphemes(text) : text;
  let start = 0;
  for (const character of characters) {
    const end = start + character.length;
    yield { text: character, start, end };
    start = end;
  }
}

/** Of no locale, so that a model reads the same text alike everywhere. Made once, when first wanted. */
let segmenter: Intl.Segmenter | undefined;

function* graphemes(text: string): Generator<string> {
  segmenter ??= new Intl.Segmenter("und", { granularity: "grapheme" });
  for (const { segment } of segmenter.segment(text)) yield segment;
}

/**
 * @file What characters and words share: a text is split into spans, and each span is looked up in a vocabulary.
 *
 * Codes: 0 unknown, then the vocabulary, then the markers.
 */
import { UNKNOWN } from "../../core/batch.js";
import type { FrozenCodebook } from "../codebook.js";
import { MarkerCodes, type Markers, type Piece, type Tokenizer } from "./tokenizer.js";
import type { Vocabulary } from "./vocabulary.js";

/** A token and its place: `start` and `end` in UTF-16 units of the text, `text` what the vocabulary knows it by. */
export interface Span {
  text: string;
  start: number;
  end: number;
}

export abstract class VocabularyTokenizer implements Tokenizer {
  abstract readonly kind: string;
  readonly several = true;
  readonly markers: MarkerCodes;

  protected constructor(
    readonly vocabulary: Vocabulary,
    markers: Markers,
  ) {
    this.markers = new MarkerCodes(vocabulary.size, markers);
  }

  protected abstract spans(text: string): Iterable<Span>;
  /** What stands between two decoded tokens. */
  protected abstract readonly separator: string;

  get size(): number {
    return this.vocabulary.size + this.markers.count;
  }

  encode(text: string): readonly number[] {
    const codes: number[] = [];
    for (const span of this.spans(text)) codes.push(this.vocabulary.codeOf(span.text));
    return this.markers.around(codes);
  }

  pieces(text: string): Piece[] {
    return Array.from(this.spans(text), ({ text: token, start, end }) => ({ code: this.vocabulary.codeOf(token), start, end }));
  }

  decode(codes: Iterable<number>): string {
    const tokens: string[] = [];
    for (const code of codes) {
      if (this.markers.nameOf(code)) continue;
      const name = this.vocabulary.nameOf(code);
      tokens.push(name === UNKNOWN ? "\ufffd" : name);
    }
    return tokens.join(this.separator);
  }

  nameOf(code: number): string {
    return this.markers.nameOf(code) ?? this.vocabulary.nameOf(code);
  }

  toJSON(): FrozenCodebook {
    return { transform: this.kind, vocabulary: this.vocabulary.toJSON(), markers: this.markers.toJSON() };
  }
}

/** The texts of all spans of all texts, one at a time. */
export function* tokensOf(texts: Iterable<string>, spans: (text: string) => Iterable<Span>): Generator<string> {
  for (const text of texts) for (const span of spans(text)) yield span.text;
}

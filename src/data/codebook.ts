/**
 * @file How the text of a cell becomes codes: event types, log templates, words, characters, byte pairs.
 *
 * A codebook is frozen when it is made: what it knows of the data it learned from training rows. It travels inside the model file, and the
 * same `encode` serves a file and a stream.
 */
import type { FrozenTransform } from "./transform.js";

export interface Codebook {
  /** What `restoreCodebook` tells it by. */
  readonly kind: string;
  /** Codes are 0 .. size - 1; code 0 is a missing text or one that was never seen. */
  readonly size: number;
  /** True where one text may become several codes, or none: a tokenizer. A row then becomes as many steps. */
  readonly several: boolean;
  /** True where the codes of a text are a set at one step: a column of 0 and 1 for each code. Absent: false. */
  readonly set?: boolean;
  /** For messages, column names and reports: what a code stands for. */
  nameOf(code: number): string;
  /** Exactly one code, unless `several` or `set`. Never throws, whatever the text. */
  encode(text: string): readonly number[];
  toJSON(): FrozenCodebook;
}

/** A codebook's frozen description; `transform` is its kind. */
export type FrozenCodebook = FrozenTransform;

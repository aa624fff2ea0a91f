/** @file Rows as a model's training data might have held them, made of what its preprocessing remembers of those data. */
import type { Rng } from "../core/rng.js";
import { Impute, type Preprocessing, Resample, type Row, Scale } from "../data/index.js";

/** A stream without a rule of silence takes a row a minute. */
const MINUTE = 60_000;

export class RowSample {
  /** ms between two rows that a stream goes on over, and completes a step by where it resamples. */
  readonly gapMs: number;
  readonly #preprocessing: Preprocessing;
  /** Per feature its mean and spread in training, as far as they are known: else 0 and 1. */
  readonly #center: readonly number[];
  readonly #spread: readonly number[];

  constructor(preprocessing: Preprocessing) {
    const { roles, transforms, derived } = preprocessing;
    const find = <T>(kind: new (...args: never[]) => T) => transforms.find((one) => one instanceof kind) as T | undefined;
    const scale = find(Scale);
    const fill = find(Impute)?.fill ?? scale?.scaler.offset;
    this.#preprocessing = preprocessing;
    this.#center = roles.features.map((_, c) => fill?.[c] ?? 0);
    // Of a feature whose logarithm or change is scaled this is the spread of that: a row none the less.
    this.#spread = roles.features.map((_, c) => scale?.scaler.scale[c] ?? 1);
    const everyMs = find(Resample)?.everyMs ?? MINUTE;
    this.gapMs = Math.min(everyMs, derived.sessions?.idleMs || everyMs);
  }

  /** A row without a time; of a column of texts any text that it has a code for. */
  next(rng: Rng): Row {
    const { categories } = this.#preprocessing;
    const values = Float64Array.from(this.#center, (center, c) => center + this.#spread[c] * rng.normal());
    const texts = categories.map(({ codebook }) => codebook.nameOf(rng.integer(codebook.size)));
    return { time: Number.NaN, values, ...(texts.length > 0 && { texts }) };
  }
}

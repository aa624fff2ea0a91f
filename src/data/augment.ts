/**
 * @file Variations of training examples, drawn anew in every epoch. Never of validation or test: the types refuse it, and so does the call.
 *
 * What is drawn depends on the epoch's generator and the example's number alone, so neighbours, resuming and workers change no bit. Only the
 * first `valueFeatures` columns are altered; flags, codes and one-hot columns keep their values, and move as whole steps where time does.
 *
 * Applied in this order: slice, speed, timeWarp (which steps are read), scaling, jitter (values), window normalisation, masks.
 *
 *                 values  class  tags  next  tokens
 *     jitter        x       x     x     x      x    inputs + N(0, std)
 *     scaling               x     x     x      x    each column x N(1, std): a forecast's target would have to follow
 *     timeMask      x       x     x     x      x    stretches of steps set to 0, the mean of scaled inputs
 *     featureMask   x       x     x     x      x    columns set to 0
 *     slice                 x     x                 a stretch of the sequence instead of the whole
 *     speed                 x     x            x    read faster or slower, and so shorter or longer
 *     timeWarp              x     x            x    speed that varies within the sequence, whose length stays
 *
 * What comes next is no longer next where steps are dropped or repeated, and a text is that of all of its sequence.
 *
 * Where time is bent, a class or a text lets values be interpolated; tags take whole steps with their tags, so that an input never blends in the next.
 *
 * Sources: masks: Park et al. 2019, "SpecAugment"; jitter, scaling, time warp: Um et al. 2017, "Data augmentation of wearable sensor data for
 * Parkinson's disease monitoring"; slicing: Le Guennec et al. 2016, "Data augmentation for time series classification"; speed: Ko et al. 2015,
 * "Audio augmentation for speech recognition".
 */
import type { TargetKind } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { type Rng, seed } from "../core/rng.js";
import type { Example, Examples } from "./examples.js";

/** Absent methods are off. */
export interface AugmentOptions {
  /** Standard deviation of the noise, in units of the scaled inputs; > 0. */
  jitter?: number;
  /** Standard deviation of each column's factor about 1; > 0. */
  scaling?: number;
  /** `count` stretches (default 1) of 0 to `share` of the steps each; 0 < share < 1. */
  timeMask?: { share: number; count?: number };
  /** `count` groups (default 1) of 0 to `width` neighbouring columns each; width >= 1. */
  featureMask?: { width: number; count?: number };
  /** Share of the steps that is kept; 0 < slice < 1. */
  slice?: number;
  /** Lowest and highest factor; 0 < low <= high. */
  speed?: readonly [low: number, high: number];
  /** Standard deviation of the logarithm of the speed at each of `knots` places (default 4); std > 0. */
  timeWarp?: { std: number; knots?: number };
}

/** Target kinds each method leaves true. */
const ALLOWED: Record<keyof AugmentOptions, readonly TargetKind[]> = {
  jitter: ["values", "class", "tags", "next", "tokens"],
  scaling: ["class", "tags", "next", "tokens"],
  timeMask: ["values", "class", "tags", "next", "tokens"],
  featureMask: ["values", "class", "tags", "next", "tokens"],
  slice: ["class", "tags"],
  speed: ["class", "tags", "tokens"],
  timeWarp: ["class", "tags", "tokens"],
};

/**
 * The same training examples, varied anew in every epoch.
 *
 * @throws OST_RANGE if the examples are not of the training part, an option lies outside its range, or a method does not fit the target.
 */
export function augment(examples: Examples<"train">, options: AugmentOptions): Examples<"train"> {
  if ((examples.part as string) !== "train") {
    throw new OstinatoError("OST_RANGE", {
      what: "only training examples may be varied",
      expected: 'examples of the part "train"',
      got: `"${examples.part}"`,
      where: "augment",
      repair: "validate and test on the data as they are",
    });
  }
  const { targetKind } = examples.spec;
  for (const name of Object.keys(options) as (keyof AugmentOptions)[]) {
    if (options[name] === undefined) continue;
    if (!(name in ALLOWED)) throw wrong(name, `one of ${Object.keys(ALLOWED).join(", ")}`, name);
    if (!ALLOWED[name].includes(targetKind) || (examples.lastStep && name === "slice")) {
      throw new OstinatoError("OST_RANGE", {
        what: `${name} would make the target untrue`,
        expected: Object.entries(ALLOWED)
          .flatMap(([method, kinds]) => (kinds.includes(targetKind) ? [method] : []))
          .join(", "),
        got: `${name} for a target of ${targetKind}`,
        where: "train.augment",
        repair: `remove train.augment.${name}`,
      });
    }
  }
  checkRanges(options);
  return examples.with({ augmentation: new Augmentation(options, targetKind) });
}

function checkRanges({ jitter, scaling, timeMask, featureMask, slice, speed, timeWarp }: AugmentOptions): void {
  const want = (name: string, expected: string, value: number, holds: (value: number) => boolean) => {
    if (!(Number.isFinite(value) && holds(value))) throw wrong(name, expected, value);
  };
  const positive = (name: string, value?: number) =>
    value === undefined || want(name, "a number > 0", value, (given) => given > 0);
  const share = (name: string, value?: number) =>
    value === undefined || want(name, "a share above 0 and below 1", value, (given) => given > 0 && given < 1);
  const whole = (name: string, value?: number) =>
    value === undefined || want(name, "a whole number >= 1", value, (given) => Number.isInteger(given) && given >= 1);
  positive("jitter", jitter);
  positive("scaling", scaling);
  share("timeMask.share", timeMask?.share);
  whole("timeMask.count", timeMask?.count);
  whole("featureMask.width", featureMask?.width);
  whole("featureMask.count", featureMask?.count);
  share("slice", slice);
  if (speed) {
    positive("speed", speed[0]);
    want("speed", "low <= high", speed[1], (high) => high >= speed[0]);
  }
  positive("timeWarp.std", timeWarp?.std);
  whole("timeWarp.knots", timeWarp?.knots);
}

function wrong(name: string, expected: string, got: unknown): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: "an augmentation lies outside its range",
    expected,
    got: String(got),
    where: `train.augment.${name}`,
  });
}

/** What one example becomes in one epoch: the steps [start, start + read) of its series, read as `length` steps. */
export interface Variation {
  start: number;
  read: number;
  length: number;
  /** What is drawn from here on. */
  rng: Rng;
}

/** How a row of a batch lies in memory: `x` [steps, features], of which the first `length` are valid. */
export interface VariedRow {
  x: Float32Array;
  length: number;
  features: number;
  /** Leading columns that may be altered. */
  valueFeatures: number;
}

/** Made by `augment`; applied where a batch is put together. */
export class Augmentation {
  readonly options: AugmentOptions;
  readonly targetKind: TargetKind;

  constructor(options: AugmentOptions, targetKind: TargetKind) {
    this.options = options;
    this.targetKind = targetKind;
  }

  get changesLength(): boolean {
    return this.options.slice !== undefined || this.options.speed !== undefined;
  }

  /** Steps at most of what an example of so many steps becomes. */
  longest(length: number): number {
    return this.options.speed ? Math.max(1, Math.round(length / this.options.speed[0])) : length;
  }

  /** @param key drawn from the epoch's generator. */
  draw(key: number, index: number, { start, length }: Pick<Example, "start" | "length">): Variation {
    const { slice, speed } = this.options;
    const rng = seed(Math.imul(index ^ key, 0x9e3779b1));
    let [from, read] = [start, length];
    if (slice !== undefined) {
      read = Math.max(1, Math.ceil(slice * length));
      from += rng.integer(length - read + 1);
    }
    const varied = speed ? Math.max(1, Math.round(read / rng.uniform(speed[0], speed[1]))) : read;
    return { start: from, read, length: varied, rng };
  }

  /**
   * For each step of the varied example the step of the original that it stands at, in [0, read - 1], in order; null where they are the
   * same.
   */
  places({ read, length, rng }: Variation): Float64Array | null {
    const { timeWarp } = this.options;
    if (read === length && !timeWarp) return null;
    const places = new Float64Array(length);
    if (length === 1) return places;
    if (!timeWarp) return places.map((_, i) => (i * (read - 1)) / (length - 1));
    const knots = timeWarp.knots ?? 4;
    const speeds = Float64Array.from({ length: knots + 1 }, () => Math.exp(timeWarp.std * rng.normal()));
    for (let i = 1; i < length; i++) {
      const knot = ((i - 0.5) / (length - 1)) * knots;
      const low = Math.min(knots - 1, Math.floor(knot));
      places[i] = places[i - 1] + speeds[low] + (speeds[low + 1] - speeds[low]) * (knot - low);
    }
    const scale = (read - 1) / places[length - 1];
    return places.map((place) => Math.min(read - 1, place * scale));
  }

  /** Reads the row out of the original steps, [read, features]; `codes`, where there are tags, are moved alike. */
  move(
    places: Float64Array,
    from: Float32Array,
    { x, features, valueFeatures }: VariedRow,
    tags?: { from: Int32Array; to: Int32Array },
  ): void {
    const blends = this.targetKind === "class" || this.targetKind === "tokens";
    places.forEach((place, i) => {
      const nearest = Math.round(place);
      x.set(from.subarray(nearest * features, (nearest + 1) * features), i * features);
      if (tags) tags.to[i] = tags.from[nearest];
      if (!blends) return;
      const low = Math.floor(place);
      const share = place - low;
      if (share === 0) return;
      for (let c = 0; c < valueFeatures; c++) {
        const [a, b] = [from[low * features + c], from[(low + 1) * features + c]];
        x[i * features + c] = a + (b - a) * share;
      }
    });
  }

  /** Scaling and jitter, before a window is normalised. */
  alter({ x, length, features, valueFeatures }: VariedRow, rng: Rng): void {
    const { scaling, jitter } = this.options;
    if (scaling !== undefined) {
      for (let c = 0; c < valueFeatures; c++) {
        const factor = 1 + scaling * rng.normal();
        for (let t = 0; t < length; t++) x[t * features + c] *= factor;
      }
    }
    if (jitter === undefined) return;
    for (let t = 0; t < length; t++) for (let c = 0; c < valueFeatures; c++) x[t * features + c] += jitter * rng.normal();
  }

  /** Masks, after a window is normalised. */
  mask({ x, length, features, valueFeatures }: VariedRow, rng: Rng): void {
    const { timeMask, featureMask } = this.options;
    for (let i = 0; timeMask && i < (timeMask.count ?? 1); i++) {
      const width = rng.integer(Math.floor(timeMask.share * length) + 1);
      const from = rng.integer(length - width + 1);
      for (let t = from; t < from + width; t++) x.fill(0, t * features, t * features + valueFeatures);
    }
    for (let i = 0; featureMask && i < (featureMask.count ?? 1); i++) {
      const width = rng.integer(Math.min(featureMask.width, valueFeatures) + 1);
      const from = rng.integer(valueFeatures - width + 1);
      for (let t = 0; t < length; t++) x.fill(0, t * features + from, t * features + from + width);
    }
  }
}

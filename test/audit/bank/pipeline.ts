/**
 * @file Pipelines as a user writes them by hand: columns of numbers made from raw series.
 */
import type { Pipeline } from "../../../src/data/audit/subject.js";
import { partCode } from "../../../src/data/index.js";
import type { Series } from "../../../src/data/series.js";

/** What a hand-written transform makes of one series: a column per name. */
export type Derived = Record<string, ArrayLike<number>>;

/**
 * A pipeline of a user's own.
 *
 * @param learn gets the raw series and the part of each row, and returns the frozen transform.
 */
export function pipeline(
  name: string,
  learn: (series: readonly Series[], parts: readonly Uint8Array[]) => (series: Series) => Derived,
  declaredLookAhead = 0,
): Pipeline {
  return {
    name,
    declaredLookAhead,
    fit: (series, parts) => {
      const frozen = learn(series, parts);
      return (one) => {
        const derived = frozen(one);
        const names = Object.keys(derived);
        const values = new Float64Array(one.rows * names.length);
        names.forEach((column, c) => {
          for (let i = 0; i < one.rows; i++) values[i * names.length + c] = derived[column][i];
        });
        return { names, values };
      };
    },
  };
}

/** A transform without anything fitted. */
export function plain(name: string, derive: (series: Series) => Derived, declaredLookAhead = 0): Pipeline {
  return pipeline(name, () => derive, declaredLookAhead);
}

/** Feature c of a series. */
export function feature({ features, rows }: Series, c = 0): Float64Array {
  const width = features.length / rows;
  return Float64Array.from({ length: rows }, (_, i) => features[i * width + c]);
}

/** All features of a series by name, as they are. */
export function raw(series: Series, names: readonly string[]): Derived {
  return Object.fromEntries(names.map((name, c) => [name, feature(series, c)]));
}

/** The values of feature c in the rows of which `keep` holds, over all series; missing ones left out. */
export function gathered(
  series: readonly Series[],
  parts: readonly Uint8Array[],
  c: number,
  keep: (code: number) => boolean,
): number[] {
  return series.flatMap((one, s) => [...feature(one, c)].filter((value, i) => keep(parts[s][i]) && !Number.isNaN(value)));
}

export const TRAIN = partCode("train");
export const VALIDATION = partCode("validation");
export const TEST = partCode("test");

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

export function deviation(values: ArrayLike<number>): number {
  const middle = mean(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i] - middle) ** 2;
  return Math.sqrt(squares / values.length);
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/**
 * @file Intervals that should hold a share 1 - a of the values: how many they hold, how wide they are, and one score for both (Gneiting & Raftery
 * 2007, JASA, equation 43).
 *
 *     S = (u - l) + 2/a (l - y) [y < l] + 2/a (y - u) [y > u]              lower is better
 */
import { OstinatoError } from "../../core/errors.js";

export interface IntervalMetrics {
  /** The share that should lie within, 0 .. 1. */
  level: number;
  n: number;
  /** The share that does; the borders belong to the interval. */
  coverage: number;
  meanWidth: number;
  /** Mean interval score. */
  score: number;
}

/** The interval score of one value. @param level the share that should lie within, in (0, 1) */
export function intervalScore(target: number, lower: number, upper: number, level: number): number {
  const penalty = 2 / (1 - level);
  return upper - lower + penalty * Math.max(0, lower - target) + penalty * Math.max(0, target - upper);
}

/** Running sums of intervals of one level. */
export class IntervalSums {
  readonly level: number;
  n = 0;
  #within = 0;
  #width = 0;
  #score = 0;

  /** @throws OST_RANGE unless 0 < level < 1. */
  constructor(level: number) {
    if (!(level > 0 && level < 1)) {
      throw new OstinatoError("OST_RANGE", {
        what: "an interval holds a share of the values",
        expected: "a level between 0 and 1",
        got: String(level),
        where: "interval",
      });
    }
    this.level = level;
  }

  /** @throws OST_RANGE if the interval is upside down or not a number. */
  add(target: number, lower: number, upper: number): void {
    if (!(lower <= upper)) {
      throw new OstinatoError("OST_RANGE", {
        what: "an interval ends before it begins",
        expected: "lower <= upper",
        got: `${lower} .. ${upper}`,
        where: "interval",
        repair: "sort the quantiles of a forecast first",
      });
    }
    this.n++;
    if (target >= lower && target <= upper) this.#within++;
    this.#width += upper - lower;
    this.#score += intervalScore(target, lower, upper, this.level);
  }

  /** NaN throughout when nothing was added. */
  result(): IntervalMetrics {
    const { level, n } = this;
    return { level, n, coverage: this.#within / n, meanWidth: this.#width / n, score: this.#score / n };
  }
}

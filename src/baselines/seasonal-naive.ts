/** @file Seasonal naive: every future value equals the one a whole number of periods before it ("repeat yesterday"). */
import type { ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { ColumnForecast } from "./column-forecast.js";

export interface SeasonalNaiveOptions {
  /** Steps in a season, at least 1: 24 for hourly values with a daily rhythm. */
  period: number;
}

/**
 * y(t + p) = y(t + p - m * ceil(p / m)) with period m.
 *
 * Where a row holds less than one period, a value before its start is replaced by its last value.
 *
 * @throws OST_RANGE  if `period` is not a positive integer.
 * @throws OST_WINDOW if the window is shorter than the period.
 */
export class SeasonalNaive extends ColumnForecast {
  readonly kind = "seasonalNaive";
  readonly name: string;
  readonly period: number;

  static override applies(spec: ExampleSpec, { period }: SeasonalNaiveOptions = { period: 1 }): boolean {
    return ColumnForecast.applies(spec) && (spec.length === 0 || spec.length >= period);
  }

  constructor(spec: ExampleSpec, { period }: SeasonalNaiveOptions) {
    super(spec);
    if (!(Number.isInteger(period) && period >= 1)) {
      throw new OstinatoError("OST_RANGE", {
        what: "the period of a seasonal naive forecast",
        expected: "an integer of at least 1",
        got: String(period),
        where: "seasonalNaive",
      });
    }
    if (spec.length > 0 && spec.length < period) {
      throw new OstinatoError("OST_WINDOW", {
        what: "the window does not hold one period",
        expected: `a window of at least ${period} steps`,
        got: `${spec.length}`,
        where: `seasonalNaive(${period})`,
        repair: `set window.length to ${period} or more, or a shorter period`,
      });
    }
    this.period = period;
    this.name = `seasonalNaive(${period})`;
  }

  get history(): number {
    return this.period;
  }

  protected extend(past: Float64Array, count: number, future: Float64Array): void {
    for (let p = 0; p < future.length; p++) {
      const at = count - this.period + (p % this.period);
      future[p] = past[at >= 0 ? at : count - 1];
    }
  }

  protected options(): SeasonalNaiveOptions {
    return { period: this.period };
  }
}

/** @file Drift: the straight line through the first and the last value of the window, carried on. */
import { ColumnForecast } from "./column-forecast.js";

/**
 * y(t + p) = y(t) + p * (y(t) - y(t - n + 1)) / (n - 1), over the n steps of the window (Hyndman & Athanasopoulos 2021, section 5.2).
 * With one step seen it is persistence; with whole sequences the line starts at the first step.
 */
export class Drift extends ColumnForecast {
  readonly kind = "drift";
  readonly name = "drift";

  get history(): number {
    return this.spec.length || Number.POSITIVE_INFINITY;
  }

  protected extend(past: Float64Array, count: number, future: Float64Array): void {
    const last = past[count - 1];
    const slope = count > 1 ? (last - past[0]) / (count - 1) : 0;
    for (let p = 0; p < future.length; p++) future[p] = last + (p + 1) * slope;
  }

  protected options(): object {
    return {};
  }
}

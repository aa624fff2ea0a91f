/** @file Persistence: every future value equals the last one seen. */
import { ColumnForecast } from "./column-forecast.js";

/** y(t + p) = y(t) */
export class Persistence extends ColumnForecast {
  readonly kind = "persistence";
  readonly name = "persistence";
  readonly history = 1;

  protected extend(past: Float64Array, count: number, future: Float64Array): void {
    future.fill(past[count - 1]);
  }

  protected options(): object {
    return {};
  }
}

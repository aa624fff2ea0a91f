/**
 * @file Mean absolute scaled error (Hyndman & Koehler 2006, International Journal of Forecasting 22(4)).
 *
 *     MASE = MAE / ( mean over the training part of |y_t - y_{t-m}| )          m: the period, 1 for the plain naive forecast
 *
 * Below 1 the forecast is better than the in-sample one-step seasonal naive forecast. It does not depend on the units.
 */
import { OstinatoError } from "../../core/errors.js";

/**
 * The denominator of MASE: the in-sample mean absolute error of the seasonal naive forecast over one column of the training part.
 *
 * @param series one list of values per series; differences never cross from one into the next, and NaN values are left out
 * @throws OST_WINDOW if no series holds two values one period apart.
 * @throws OST_TARGET if the column repeats itself exactly, so that the scale is zero.
 */
export function maseScale(series: Iterable<ArrayLike<number>>, { period }: { period: number }): number {
  let sum = 0;
  let n = 0;
  for (const values of series) {
    for (let t = period; t < values.length; t++) {
      const change = Math.abs(values[t] - values[t - period]);
      if (Number.isNaN(change)) continue;
      sum += change;
      n++;
    }
  }
  const where = `mase(period ${period})`;
  if (n === 0) {
    throw new OstinatoError("OST_WINDOW", {
      what: "the training part is shorter than one period",
      expected: `two values ${period} steps apart`,
      got: "none",
      where,
      repair: "use a shorter period, or leave MASE out",
    });
  }
  if (sum === 0) {
    throw new OstinatoError("OST_TARGET", {
      what: "the column repeats itself exactly, so that no error can be scaled by its changes",
      expected: "a training part that changes",
      got: "none",
      where,
      repair: "leave MASE out for this target",
    });
  }
  return sum / n;
}

/** MAE in units of the scale. */
export function mase(meanAbsoluteError: number, scale: number): number {
  return meanAbsoluteError / scale;
}

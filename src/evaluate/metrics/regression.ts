/**
 * @file Errors of numeric predictions: mean squared, mean absolute, root mean squared and symmetric percentage error.
 *
 *     MSE = mean (y - f)^2     MAE = mean |y - f|     RMSE = sqrt MSE     sMAPE = mean 200 |y - f| / (|y| + |f|), 0 where both are 0
 *
 * sMAPE in per cent, 0 .. 200 (Makridakis 1993, in the form of the M4 competition); it means little on values centred on zero.
 */
import { OstinatoError } from "../../core/errors.js";

export interface RegressionMetrics {
  /** Values scored. */
  n: number;
  mse: number;
  mae: number;
  rmse: number;
  smape: number;
}

/** Running sums of one group of values. */
export class RegressionSums {
  n = 0;
  squared = 0;
  absolute = 0;
  #symmetric = 0;

  /** Scores one value; a target of NaN is not there and is skipped. @throws OST_NAN if the prediction is not finite. */
  add(predicted: number, target: number): void {
    if (Number.isNaN(target)) return;
    requireFinite(predicted);
    const error = Math.abs(target - predicted);
    this.n++;
    this.squared += error * error;
    this.absolute += error;
    if (error > 0) this.#symmetric += (200 * error) / (Math.abs(target) + Math.abs(predicted));
  }

  /** NaN throughout when nothing was scored. */
  result(): RegressionMetrics {
    const { n } = this;
    const mse = this.squared / n;
    return { n, mse, mae: this.absolute / n, rmse: Math.sqrt(mse), smape: this.#symmetric / n };
  }
}

/** All errors of a list of predictions. @throws OST_NAN if a prediction is not finite. */
export function regressionMetrics(predicted: ArrayLike<number>, target: ArrayLike<number>): RegressionMetrics {
  const sums = new RegressionSums();
  for (let i = 0; i < target.length; i++) sums.add(predicted[i], target[i]);
  return sums.result();
}

/** @throws OST_NAN: a prediction that is no number is a failure of the model, never a value to leave out. */
export function requireFinite(predicted: number): void {
  if (Number.isFinite(predicted)) return;
  throw new OstinatoError("OST_NAN", {
    what: "a prediction is not a finite number",
    expected: "finite predictions",
    got: String(predicted),
    where: "evaluate",
    repair: "look for the first NaN of the model; predictions are never skipped",
  });
}

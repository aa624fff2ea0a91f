/**
 * @file Average precision: the area under the curve of precision over recall, summed in steps and never interpolated.
 *
 *     AP = sum over thresholds of (R_n - R_{n-1}) P_n           one threshold per distinct score (Buckley & Voorhees 2000; as scikit-learn)
 *
 * A score that says nothing has the share of positives as its AP.
 */
import { type OperatingPoint, operatingPoints } from "./operating-point.js";

/** 0 .. 1, or null where nothing is positive. @throws OST_SHAPE, OST_NAN as `operatingPoints` does. */
export function averagePrecision(scores: ArrayLike<number>, positive: ArrayLike<number | boolean>): number | null {
  return averagePrecisionOf(operatingPoints(scores, positive));
}

/** The same from the operating points. */
export function averagePrecisionOf(points: readonly OperatingPoint[]): number | null {
  const positives = points[points.length - 1]?.truePositives ?? 0;
  if (positives === 0) return null;
  let sum = 0;
  let before = 0;
  for (const { truePositives, falsePositives } of points) {
    sum += ((truePositives - before) / positives) * (truePositives / (truePositives + falsePositives));
    before = truePositives;
  }
  return sum;
}

/**
 * @file The area under the receiver operating characteristic: how often a positive scores above a negative, ties counting half (Hanley &
 * McNeil 1982; the statistic of Mann & Whitney 1947).
 *
 *     AUC = ( pairs won + pairs tied / 2 ) / (positives x negatives)
 */
import { type OperatingPoint, operatingPoints } from "./operating-point.js";

/** 0 .. 1, 0.5 where the score says nothing; null unless both kinds are there. @throws OST_SHAPE, OST_NAN as `operatingPoints` does. */
export function rocAuc(scores: ArrayLike<number>, positive: ArrayLike<number | boolean>): number | null {
  return rocAucOf(operatingPoints(scores, positive));
}

/** The same from the operating points. */
export function rocAucOf(points: readonly OperatingPoint[]): number | null {
  const last = points[points.length - 1];
  if (!last || last.truePositives === 0 || last.falsePositives === 0) return null;
  let pairs = 0;
  let [won, lost] = [0, 0];
  for (const { truePositives, falsePositives } of points) {
    // The negatives of this score lose to every positive above it, and tie with those of the same score.
    pairs += (falsePositives - lost) * (won + (truePositives - won) / 2);
    [won, lost] = [truePositives, falsePositives];
  }
  return pairs / (last.truePositives * last.falsePositives);
}

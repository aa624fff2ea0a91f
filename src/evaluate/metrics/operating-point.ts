/**
 * @file What a threshold on a score gives: one operating point for each distinct score, from the highest down. Equal scores are never told
 * apart, so no figure made of these depends on the order of the examples.
 */
import { OstinatoError } from "../../core/errors.js";

export interface OperatingPoint {
  /** Everything that scores at least this much is called positive. */
  score: number;
  truePositives: number;
  falsePositives: number;
}

/**
 * @param scores higher means likelier to be positive; finite
 * @param positive true or 1 where an example is positive
 * @throws OST_SHAPE if the two differ in length. @throws OST_NAN if a score is not finite.
 */
export function operatingPoints(scores: ArrayLike<number>, positive: ArrayLike<number | boolean>): OperatingPoint[] {
  if (scores.length !== positive.length) {
    throw new OstinatoError("OST_SHAPE", {
      what: "every score needs to be known as positive or negative",
      expected: `${scores.length} labels`,
      got: String(positive.length),
      where: "operatingPoints",
    });
  }
  for (let i = 0; i < scores.length; i++) {
    if (Number.isFinite(scores[i])) continue;
    throw new OstinatoError("OST_NAN", {
      what: "a score is not a finite number",
      expected: "finite scores",
      got: `${scores[i]} at ${i}`,
      where: "operatingPoints",
    });
  }
  const highestFirst = (wanted: boolean) =>
    Float64Array.from(scores)
      .filter((_, i) => Boolean(positive[i]) === wanted)
      .sort()
      .reverse();
  const [hits, misses] = [highestFirst(true), highestFirst(false)];
  const points: OperatingPoint[] = [];
  let truePositives = 0;
  let falsePositives = 0;
  while (truePositives < hits.length || falsePositives < misses.length) {
    const score = Math.max(hits[truePositives] ?? Number.NEGATIVE_INFINITY, misses[falsePositives] ?? Number.NEGATIVE_INFINITY);
    while (hits[truePositives] === score) truePositives++;
    while (misses[falsePositives] === score) falsePositives++;
    points.push({ score, truePositives, falsePositives });
  }
  return points;
}

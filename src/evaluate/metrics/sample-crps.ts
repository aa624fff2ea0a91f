/**
 * @file Continuous ranked probability score of a forecast that is given as sample paths (Gneiting & Raftery 2007, JASA, equation 21).
 *
 *     CRPS = mean |x_i - y| - 1/2 mean |x_i - x_j|             of one sample: the absolute error
 *
 * The mean over pairs takes the pairs of a value with itself too, as the empirical distribution does; "fair" leaves them out, which makes it the
 * unbiased estimate of the score of the distribution that the samples came from (Ferro 2014).
 */
import { OstinatoError } from "../../core/errors.js";

/** In the units of the target. @throws OST_TARGET if there are too few samples. @throws OST_NAN if one is not finite. */
export function sampleCrps(samples: ArrayLike<number>, target: number, { fair = false }: { fair?: boolean } = {}): number {
  const m = samples.length;
  if (m < (fair ? 2 : 1)) {
    throw new OstinatoError("OST_TARGET", {
      what: "too few samples for a score",
      expected: fair ? "at least 2" : "at least 1",
      got: String(m),
      where: "sampleCrps",
    });
  }
  const sorted = Float64Array.from(samples).sort();
  let error = 0;
  let spread = 0;
  sorted.forEach((x, i) => {
    if (!Number.isFinite(x)) {
      throw new OstinatoError("OST_NAN", { what: "a sample is not a finite number", got: String(x), where: "sampleCrps" });
    }
    error += Math.abs(x - target);
    // Sorted, the sum over pairs of |x_i - x_j| is the sum of (2 i - m + 1) x_i, twice.
    spread += (2 * i - m + 1) * x;
  });
  return error / m - spread / (m * (fair ? m - 1 : m));
}

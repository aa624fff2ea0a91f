/** @file The statistics of a corpus: those of its sentences, added up. */
import { OstinatoError } from "../../core/errors.js";

/**
 * @param statistics of hypothesis i against its references, `width` numbers.
 * @returns their sums over all hypotheses. [width]
 * @throws OST_SHAPE if the lists differ in length.
 */
export function corpusSums<T>(
  hypotheses: readonly T[],
  references: readonly unknown[],
  { width, statistics, where }: { width: number; statistics: (hypothesis: T, i: number) => ArrayLike<number>; where: string },
): Float64Array {
  if (hypotheses.length !== references.length) {
    throw new OstinatoError("OST_SHAPE", {
      what: "every hypothesis needs its own references",
      expected: `${hypotheses.length} lists of references`,
      got: String(references.length),
      where,
    });
  }
  const sums = new Float64Array(width);
  hypotheses.forEach((hypothesis, i) => {
    const own = statistics(hypothesis, i);
    for (let at = 0; at < width; at++) sums[at] += own[at];
  });
  return sums;
}

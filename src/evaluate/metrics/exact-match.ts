/** @file Whether a sequence is right as a whole, and how many of a corpus are. */
import { OstinatoError } from "../../core/errors.js";

/** Same length and same units. Two empty sequences are equal. */
export function isExactMatch<T>(reference: ArrayLike<T>, hypothesis: ArrayLike<T>): boolean {
  if (reference.length !== hypothesis.length) return false;
  for (let i = 0; i < reference.length; i++) if (reference[i] !== hypothesis[i]) return false;
  return true;
}

/** The share of sequences that are right as a whole. @throws OST_SHAPE if the lists differ in length. @throws OST_TARGET if they are empty. */
export function exactMatch<T>(references: readonly ArrayLike<T>[], hypotheses: readonly ArrayLike<T>[]): number {
  const n = references.length;
  if (hypotheses.length !== n || n === 0) {
    throw new OstinatoError(n === 0 ? "OST_TARGET" : "OST_SHAPE", {
      what: n === 0 ? "there is nothing to score" : "every reference needs its own hypothesis",
      expected: n === 0 ? "at least one reference" : `${n} hypotheses`,
      got: String(hypotheses.length),
      where: "exactMatch",
    });
  }
  return references.reduce((sum, reference, i) => sum + (isExactMatch(reference, hypotheses[i]) ? 1 : 0), 0) / n;
}

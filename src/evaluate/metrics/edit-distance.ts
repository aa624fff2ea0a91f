/**
 * @file Edit distance (Levenshtein 1966), and the error rates made of it: word, character, phoneme, label error rate.
 *
 *     rate = (S + D + I) / N        over a corpus: all edits by all reference units, never the mean of the sentences' rates
 *
 * The distance is unique, its division into substitutions S, deletions D and insertions I is not. Of equally short ways the one is counted
 * that, read from the end, substitutes before it deletes and deletes before it inserts. D - I is the same for all of them.
 */

export interface Edits {
  /** S + D + I */
  distance: number;
  substitutions: number;
  /** Units of the reference that the hypothesis lacks. */
  deletions: number;
  /** Units of the hypothesis that the reference lacks. */
  insertions: number;
  referenceLength: number;
}

/**
 * The fewest edits that turn the reference into the hypothesis. Against an empty reference every unit of the hypothesis is an insertion.
 * Time N x M, memory M.
 */
export function editDistance<T>(reference: ArrayLike<T>, hypothesis: ArrayLike<T>): Edits {
  const [N, M] = [reference.length, hypothesis.length];
  // Substitutions of the best way to each cell; with the distance d and the lengths (i, j) they give D and I: d = S + D + I, i - j = D - I.
  let distance = Int32Array.from({ length: M + 1 }, (_, j) => j);
  let substituted = new Int32Array(M + 1);
  let nextDistance = new Int32Array(M + 1);
  let nextSubstituted = new Int32Array(M + 1);
  for (let i = 1; i <= N; i++) {
    nextDistance[0] = i;
    nextSubstituted[0] = 0;
    const unit = reference[i - 1];
    for (let j = 1; j <= M; j++) {
      const differs = unit === hypothesis[j - 1] ? 0 : 1;
      const diagonal = distance[j - 1] + differs;
      const deleted = distance[j] + 1;
      const inserted = nextDistance[j - 1] + 1;
      if (diagonal <= deleted && diagonal <= inserted) {
        nextDistance[j] = diagonal;
        nextSubstituted[j] = substituted[j - 1] + differs;
      } else if (deleted <= inserted) {
        nextDistance[j] = deleted;
        nextSubstituted[j] = substituted[j];
      } else {
        nextDistance[j] = inserted;
        nextSubstituted[j] = nextSubstituted[j - 1];
      }
    }
    [distance, nextDistance] = [nextDistance, distance];
    [substituted, nextSubstituted] = [nextSubstituted, substituted];
  }
  const total = distance[M];
  const substitutions = substituted[M];
  const deletions = (total - substitutions + N - M) / 2;
  return { distance: total, substitutions, deletions, insertions: total - substitutions - deletions, referenceLength: N };
}

/**
 * The error rate of a corpus. A corpus whose references are all empty counts as one unit long, so that nothing inserted is 0 and every
 * insertion is a whole unit; more insertions than reference units give a rate above 1.
 */
export function errorRate(edits: number, referenceLength: number): number {
  return edits / Math.max(1, referenceLength);
}

/** Sums over a corpus. */
export class EditSums implements Edits {
  distance = 0;
  substitutions = 0;
  deletions = 0;
  insertions = 0;
  referenceLength = 0;

  add(edits: Edits): void {
    this.distance += edits.distance;
    this.substitutions += edits.substitutions;
    this.deletions += edits.deletions;
    this.insertions += edits.insertions;
    this.referenceLength += edits.referenceLength;
  }

  get rate(): number {
    return errorRate(this.distance, this.referenceLength);
  }
}

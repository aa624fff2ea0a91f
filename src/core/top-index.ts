/** @file The best of many scores. */

/** Indices of the `count` highest scores, best first; of equal scores the lower index comes first. -Infinity is never among them. */
export function topIndices(scores: ArrayLike<number>, count: number): number[] {
  if (count === 1) {
    const best = argmax(scores);
    return best >= 0 ? [best] : [];
  }
  const order = (a: number, b: number) => scores[b] - scores[a] || a - b;
  const found: number[] = [];
  // Twice as many as wanted are kept before they are sorted out, which makes the work of one score constant in the mean.
  const room = Math.min(2 * count, scores.length) + 1;
  let threshold = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < scores.length; i++) {
    if (!(scores[i] > threshold)) continue;
    found.push(i);
    if (found.length < room || found.length <= count) continue;
    found.sort(order).length = count;
    threshold = scores[found[count - 1]];
  }
  found.sort(order);
  if (found.length > count) found.length = count;
  return found;
}

/** Index of the highest score, the first of equal ones; -1 if all are -Infinity. */
export function argmax(scores: ArrayLike<number>): number {
  let best = -1;
  let top = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < scores.length; i++) {
    if (scores[i] > top) {
      top = scores[i];
      best = i;
    }
  }
  return best;
}

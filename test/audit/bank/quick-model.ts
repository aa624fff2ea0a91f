/**
 * @file A model small enough for the control with permuted labels, and able to see what two inputs say only together: the best of all
 * pairs of inputs, each cut at its training mean, with the commonest class in each of the four cells.
 */
import type { QuickModel } from "../../../src/data/audit/index.js";

/** Of the inputs of an example only so many, the last ones, are paired. */
const INPUTS = 24;

export const quickModel: QuickModel = (train, x) => {
  const width = train.x[0].length;
  const from = Math.max(0, width - INPUTS);
  const means = Array.from({ length: width }, (_, c) => train.x.reduce((sum, row) => sum + row[c], 0) / train.x.length);
  const cellOf = (row: Float64Array, a: number, b: number) => (row[a] > means[a] ? 2 : 0) + (row[b] > means[b] ? 1 : 0);
  let best = { right: -1, a: from, b: from, says: [0, 0, 0, 0] };
  for (let a = from; a < width; a++) {
    for (let b = a; b < width; b++) {
      const votes = [0, 1, 2, 3].map(() => new Map<number, number>());
      train.x.forEach((row, i) => {
        const cell = votes[cellOf(row, a, b)];
        cell.set(train.y[i], (cell.get(train.y[i]) ?? 0) + 1);
      });
      const winners = votes.map((cell) => [...cell].sort(([, p], [, q]) => q - p)[0] ?? [0, 0]);
      const right = winners.reduce((sum, [, count]) => sum + count, 0);
      if (right > best.right) best = { right, a, b, says: winners.map(([value]) => value) };
    }
  }
  return x.map((row) => best.says[cellOf(row, best.a, best.b)]);
};

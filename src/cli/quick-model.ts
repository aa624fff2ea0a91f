/**
 * @file The quick model of an audit: ridge regression for values, multinomial logistic regression for classes, on what a window shows and, where that
 * is little, on the products of all pairs too, since an answer may be hidden so that no input alone tells it.
 */
import { cholesky, choleskySolve } from "../baselines/cholesky.js";
import { minimize } from "../baselines/lbfgs.js";
import { softmaxLoss } from "../baselines/logistic.js";
import type { QuickModel } from "../data/audit/index.js";

/** Inputs up to which their products are taken. */
const PAIRED = 24;
/** Penalties: of the squared weights, relative to the mean squared input of one; strong, since examples are few. */
const RIDGE = 0.1;
const LOGISTIC = 1e-2;

export const quickModel: QuickModel = ({ x, y, kind, classes }, asked) => {
  const known = x.map(withProducts);
  const unknown = asked.map(withProducts);
  return kind === "values" ? ridge(known, y, unknown) : logistic(known, y, classes, unknown);
};

function withProducts(row: Float64Array): Float64Array {
  if (row.length > PAIRED) return row;
  const products: number[] = [];
  for (let a = 0; a < row.length; a++) for (let b = 0; b < a; b++) products.push(row[a] * row[b]);
  return Float64Array.of(...row, ...products);
}

function ridge(x: readonly Float64Array[], y: Float64Array, asked: readonly Float64Array[]): Float64Array {
  const width = x[0].length;
  const mean = y.reduce((sum, value) => sum + value, 0) / y.length;
  const gram = new Float64Array(width * width);
  const weights = new Float64Array(width);
  x.forEach((row, r) => {
    for (let a = 0; a < width; a++) {
      weights[a] += row[a] * (y[r] - mean);
      for (let b = 0; b <= a; b++) gram[a * width + b] += row[a] * row[b];
    }
  });
  for (let a = 0; a < width; a++) gram[a * width + a] += RIDGE * x.length;
  cholesky(gram, width);
  choleskySolve(gram, width, weights, 1);
  return Float64Array.from(asked, (row) => row.reduce((sum, value, a) => sum + value * weights[a], mean));
}

function logistic(x: readonly Float64Array[], y: Float64Array, classes: number, asked: readonly Float64Array[]): Int32Array {
  const width = x[0].length;
  const rows = new Float64Array(x.length * width);
  x.forEach((row, r) => {
    rows.set(row, r * width);
  });
  const learned = { rows, labels: Int32Array.from(y), width };
  const parameters = new Float64Array(classes * (width + 1));
  minimize((at, gradient) => softmaxLoss(at, gradient, learned, classes, LOGISTIC), parameters, {
    maxIterations: 40,
    tolerance: 1e-3,
  });
  return Int32Array.from(asked, (row) => {
    let best = 0;
    let highest = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < classes; c++) {
      let score = parameters[classes * width + c];
      for (let a = 0; a < width; a++) score += parameters[c * width + a] * row[a];
      if (score > highest) [best, highest] = [c, score];
    }
    return best;
  });
}

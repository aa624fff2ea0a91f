/**
 * @file What is new in a series: its residual from a linear prediction by what was known before, by least squares.
 *
 * Two smooth series correlate at every lag; their innovations correlate only where one tells of the other (prewhitening: Box & Jenkins 1970).
 */

/** The residual of each row from the regression of `y` on the regressors and a constant; NaN where anything is missing. Null if singular. */
export function residuals(
  y: Float64Array,
  regressors: readonly ((row: number) => number)[],
): { values: Float64Array; explained: number } | null {
  const p = regressors.length + 1;
  const gram = new Float64Array(p * p);
  const moment = new Float64Array(p);
  const row = new Float64Array(p);
  const usable = new Uint8Array(y.length);
  const center = meanOf(y);
  let count = 0;
  for (let i = 0; i < y.length; i++) {
    if (Number.isNaN(y[i]) || !fill(row, regressors, i)) continue;
    usable[i] = 1;
    count++;
    for (let a = 0; a < p; a++) {
      moment[a] += row[a] * (y[i] - center);
      for (let b = 0; b <= a; b++) gram[a * p + b] += row[a] * row[b];
    }
  }
  if (count < 3 * p) return null;
  const weights = solve(gram, moment, p);
  const values = new Float64Array(y.length).fill(Number.NaN);
  let total = 0;
  let left = 0;
  for (let i = 0; i < y.length; i++) {
    if (!usable[i]) continue;
    fill(row, regressors, i);
    let predicted = center;
    for (let a = 0; a < p; a++) predicted += weights[a] * row[a];
    values[i] = y[i] - predicted;
    total += (y[i] - center) ** 2;
    left += values[i] ** 2;
  }
  return { values, explained: total > 0 ? 1 - left / total : 1 };
}

function meanOf(values: Float64Array): number {
  let sum = 0;
  let count = 0;
  for (const value of values) {
    if (Number.isNaN(value)) continue;
    sum += value;
    count++;
  }
  return count > 0 ? sum / count : 0;
}

function fill(row: Float64Array, regressors: readonly ((row: number) => number)[], i: number): boolean {
  row[0] = 1;
  for (let a = 0; a < regressors.length; a++) {
    const value = regressors[a](i);
    // A missing one is NaN, one before the beginning undefined.
    if (!(Math.abs(value) < Number.POSITIVE_INFINITY)) return false;
    row[a + 1] = value;
  }
  return true;
}

/** Solves the symmetric system by Cholesky with a ridge of 1e-9 of each diagonal element, so that equal regressors do no harm. */
function solve(gram: Float64Array, moment: Float64Array, p: number): Float64Array {
  const l = gram.slice();
  for (let a = 0; a < p; a++) l[a * p + a] += 1e-9 * l[a * p + a] + 1e-300;
  for (let i = 0; i < p; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = l[i * p + j];
      for (let k = 0; k < j; k++) sum -= l[i * p + k] * l[j * p + k];
      l[i * p + j] = i === j ? Math.sqrt(Math.max(sum, 1e-300)) : sum / l[j * p + j];
    }
  }
  const x = moment.slice();
  for (let i = 0; i < p; i++) {
    for (let k = 0; k < i; k++) x[i] -= l[i * p + k] * x[k];
    x[i] /= l[i * p + i];
  }
  for (let i = p - 1; i >= 0; i--) {
    for (let k = i + 1; k < p; k++) x[i] -= l[k * p + i] * x[k];
    x[i] /= l[i * p + i];
  }
  return x;
}

/** Pearson's correlation of a[i] and b[i + lag] over the rows where both are there. */
export function correlation(a: Float64Array, b: Float64Array, lag = 0): { r: number; count: number } {
  let count = 0;
  let meanA = 0;
  let meanB = 0;
  let squaresA = 0;
  let squaresB = 0;
  let products = 0;
  for (let i = Math.max(0, -lag); i < a.length && i + lag < b.length; i++) {
    const x = a[i];
    const y = b[i + lag];
    if (Number.isNaN(x) || Number.isNaN(y)) continue;
    count++;
    const dx = x - meanA;
    const dy = y - meanB;
    meanA += dx / count;
    meanB += dy / count;
    squaresA += dx * (x - meanA);
    squaresB += dy * (y - meanB);
    products += dx * (y - meanB);
  }
  const size = Math.sqrt(squaresA * squaresB);
  return { r: size > 0 ? products / size : 0, count };
}

/** Values replaced by the standard normal quantile of their mean rank, NaN kept: any monotone function of a series gives the same. */
export function normalScores(values: Float64Array): Float64Array {
  const order = Array.from(values.keys())
    .filter((i) => !Number.isNaN(values[i]))
    .sort((a, b) => values[a] - values[b]);
  const scores = new Float64Array(values.length).fill(Number.NaN);
  for (let from = 0; from < order.length; ) {
    let to = from + 1;
    while (to < order.length && values[order[to]] === values[order[from]]) to++;
    const score = normalQuantile((from + to) / 2 / order.length);
    for (let k = from; k < to; k++) scores[order[k]] = score;
    from = to;
  }
  return scores;
}

/** The standard normal quantile, by bisection on its distribution function: exact to 1e-6, which ranks need not more than. */
function normalQuantile(share: number): number {
  let low = -6;
  let high = 6;
  for (let step = 0; step < 30; step++) {
    const middle = (low + high) / 2;
    if (normalDistribution(middle) < share) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** The share of standard normal values below x, to 1e-7 (Abramowitz & Stegun 1964, 26.2.17). */
export function normalDistribution(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const series = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const upper = (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) * series;
  return x >= 0 ? 1 - upper : upper;
}

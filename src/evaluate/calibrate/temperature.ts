/**
 * @file Temperature scaling (Guo et al. 2017, ICML): one number that makes a classifier as sure as it should be and changes none of its labels.
 *
 *     p = softmax(z / T)        T that makes the negative log-likelihood of held-back examples least
 *
 * In b = 1 / T the likelihood is concave, so Newton's method between two bounds finds the one best value. T above 1: it was too sure.
 */
import { OstinatoError } from "../../core/errors.js";
import { CalibrationSums } from "../metrics/calibration.js";

export interface Temperature {
  temperature: number;
  /** Examples it was fitted on. */
  n: number;
  /** Mean negative log-likelihood in nats, and expected calibration error, at temperature 1 and at this one. */
  nll: { before: number; after: number };
  ece: { before: number; after: number };
  /** Whether the best value lies beyond the bounds 0.01 .. 100: the examples are all right, or the logits are worse than none. */
  bounded: boolean;
}

export interface TemperatureOptions {
  /** Logits or log-probabilities, [n, classes] */
  logits: ArrayLike<number>;
  /** True classes, [n]; -1 where there is none. */
  labels: ArrayLike<number>;
  classes: number;
}

const COLDEST = 0.01;
const HOTTEST = 100;

/**
 * @throws OST_SHAPE if the logits are not one row per label. @throws OST_RANGE for a label that is no class. @throws OST_NAN if a logit of a
 * labelled example is not finite. @throws OST_TARGET if no example has a label.
 */
export function fitTemperature({ logits, labels, classes }: TemperatureOptions): Temperature {
  const rows = check({ logits, labels, classes });
  const slope = (inverse: number) => {
    let [first, second] = [0, 0];
    for (const row of rows) {
      const { mean, variance } = moments(logits, row * classes, classes, inverse);
      first += mean - logits[row * classes + labels[row]];
      second += variance;
    }
    return { first: first / rows.length, second: second / rows.length };
  };
  // Equal logits say the same at every temperature.
  const flat = slope(1);
  const inverse = flat.first === 0 ? 1 : root(slope);
  const before = quality({ logits, labels, classes }, rows, 1);
  const after = quality({ logits, labels, classes }, rows, inverse);
  return {
    temperature: 1 / inverse,
    n: rows.length,
    nll: { before: before.nll, after: after.nll },
    ece: { before: before.ece, after: after.ece },
    bounded: inverse === 1 / COLDEST || inverse === 1 / HOTTEST,
  };
}

/** Logits at a temperature, or as they are at 1. @throws OST_RANGE unless it is above 0. */
export function applyTemperature(logits: ArrayLike<number>, temperature: number): Float32Array {
  if (!(temperature > 0 && temperature < Number.POSITIVE_INFINITY)) {
    throw new OstinatoError("OST_RANGE", {
      what: "a temperature divides logits",
      expected: "a number above 0",
      got: String(temperature),
      where: "applyTemperature",
    });
  }
  return Float32Array.from(logits, (logit) => logit / temperature);
}

/** Where the rising derivative is 0, or the bound nearest to it. Newton's steps that leave the bracket are halved into it. */
function root(slope: (inverse: number) => { first: number; second: number }): number {
  let [low, high] = [1 / HOTTEST, 1 / COLDEST];
  if (slope(low).first >= 0) return low;
  if (slope(high).first <= 0) return high;
  let inverse = 1;
  for (let step = 0; step < 100; step++) {
    const { first, second } = slope(inverse);
    if (first === 0) return inverse;
    if (first > 0) high = inverse;
    else low = inverse;
    const newton = inverse - first / second;
    const next = newton > low && newton < high ? newton : (low + high) / 2;
    if (Math.abs(next - inverse) <= 1e-12 * inverse) return next;
    inverse = next;
  }
  return inverse;
}

/** Mean and variance of a row's logits under its own probabilities: the derivatives of its log-normaliser. */
function moments(logits: ArrayLike<number>, from: number, classes: number, inverse: number) {
  let top = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < classes; c++) top = Math.max(top, logits[from + c]);
  let [total, mean] = [0, 0];
  for (let c = 0; c < classes; c++) {
    const share = Math.exp(inverse * (logits[from + c] - top));
    total += share;
    mean += share * logits[from + c];
  }
  mean /= total;
  let variance = 0;
  for (let c = 0; c < classes; c++) variance += Math.exp(inverse * (logits[from + c] - top)) * (logits[from + c] - mean) ** 2;
  return { mean, variance: variance / total, top, total };
}

function quality({ logits, labels, classes }: TemperatureOptions, rows: readonly number[], inverse: number) {
  const calibration = new CalibrationSums();
  let nll = 0;
  for (const row of rows) {
    const from = row * classes;
    const { top, total } = moments(logits, from, classes, inverse);
    nll += Math.log(total) - inverse * (logits[from + labels[row]] - top);
    let best = 0;
    for (let c = 1; c < classes; c++) if (logits[from + c] > logits[from + best]) best = c;
    calibration.add(1 / total, best === labels[row]);
  }
  return { nll: nll / rows.length, ece: calibration.result().ece };
}

function check({ logits, labels, classes }: TemperatureOptions): number[] {
  if (logits.length !== labels.length * classes) {
    throw new OstinatoError("OST_SHAPE", {
      what: "every label needs its row of logits",
      expected: `${labels.length} x ${classes} logits`,
      got: String(logits.length),
      where: "fitTemperature",
    });
  }
  const rows: number[] = [];
  for (let row = 0; row < labels.length; row++) {
    if (labels[row] < 0) continue;
    if (!(labels[row] < classes)) {
      throw new OstinatoError("OST_RANGE", {
        what: "a label is no class",
        expected: `0 .. ${classes - 1}`,
        got: String(labels[row]),
        where: "fitTemperature",
      });
    }
    for (let c = 0; c < classes; c++) {
      if (Number.isFinite(logits[row * classes + c])) continue;
      throw new OstinatoError("OST_NAN", {
        what: "a logit is not a finite number",
        expected: "finite logits",
        got: String(logits[row * classes + c]),
        where: `fitTemperature, example ${row}`,
      });
    }
    rows.push(row);
  }
  if (rows.length > 0) return rows;
  throw new OstinatoError("OST_TARGET", {
    what: "there is no labelled example to fit a temperature on",
    expected: "held-back examples with classes",
    got: "none",
    where: "fitTemperature",
    repair: "give the validation part some rows",
  });
}

/**
 * @file Multinomial logistic regression on pooled features: what can be told without a recurrent state.
 *
 *     loss = -(1/n) sum log softmax(W z + b)[label] + (penalty / 2) |W|^2          z: standardised pooled features
 *
 * Columns of codes count as bags: the share of each code, and which came last (code-bag.ts).
 *
 * The bias is not penalised. A class per sequence pools its valid steps and adds the logarithm of its length; a class per step pools
 * the trailing window that ends there, never a later step.
 */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import {
  type Baseline,
  type BaselineArrays,
  type BaselineJson,
  requireArray,
  requireBatch,
  strideFor,
  unfitted,
} from "./baseline.js";
import { CodeBag } from "./code-bag.js";
import { minimize } from "./lbfgs.js";
import { forEachLabel, hasClasses, requireClasses } from "./majority.js";
import { POOLED_PER_FEATURE, pooledFeatures } from "./pooled-features.js";

export interface LogisticOptions {
  /** "tags": trailing steps pooled at each step, or several to choose from on the validation part; default 10 and 30. */
  window?: number | readonly number[];
  /** Penalties to choose from on the validation part by log-loss; default 1e-5 .. 1e-1, one per power of ten, tried downwards until it worsens. */
  penalties?: readonly number[];
  /** At most so many training examples or steps are used, evenly spaced; default 6,000. */
  maxExamples?: number;
}

/** What the fit chose and why. */
export interface LogisticChoice {
  /** Trailing steps pooled ("tags"), or 0 for the whole sequence ("class"). */
  window: number;
  penalty: number;
  /** Training examples or steps used. */
  examples: number;
  /** Log-loss in nats on the validation part, the best of each window; empty where nothing there could be scored. */
  validation: { window: number; penalty: number; logLoss: number }[];
}

/** Labelled feature rows: z [n, width] row by row, and behind each what its bag holds. */
export interface LabelledRows {
  rows: Float64Array;
  labels: Int32Array;
  width: number;
  bag?: SparseRows;
}

/** Rows of mostly zeros: row r has `value[i]` at `index[i]` for i from start[r] up to start[r + 1]. */
export interface SparseRows {
  width: number;
  start: Int32Array;
  index: number[];
  value: number[];
}

/** A place of a bag that fewer training rows have than this tells nothing. */
const FEWEST_ROWS = 3;

const WINDOWS = [10, 30];
const PENALTIES = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5];
const PENALTY_UNSEEN = 1e-2;

/**
 * Multinomial logistic regression. A row of length zero is judged by the bias alone.
 *
 * @throws OST_TARGET if the targets are numbers, or no training label is present.
 * @throws OST_RANGE  if a window is not a positive integer.
 */
export class Logistic implements Baseline {
  readonly kind = "logistic";
  readonly streaming = "windowed";
  readonly spec: ExampleSpec;
  readonly #bag: CodeBag;
  readonly #windows: readonly number[];
  readonly #penalties: readonly number[];
  readonly #maxExamples: number;
  #choice: LogisticChoice | undefined;
  #mean: Float32Array = new Float32Array(0);
  #scale: Float32Array = new Float32Array(0);
  #weight: Float32Array = new Float32Array(0);
  #bias: Float32Array = new Float32Array(0);

  static applies(spec: ExampleSpec): boolean {
    return spec.targetKind !== "next" && hasClasses(spec);
  }

  constructor(spec: ExampleSpec, { window = WINDOWS, penalties = PENALTIES, maxExamples = 6_000 }: LogisticOptions = {}) {
    requireClasses(spec, "logistic");
    if (spec.targetKind === "next") {
      throw new OstinatoError("OST_TARGET", {
        what: "logistic regression predicts a class per sequence, or a tag per step",
        expected: "class or tags",
        got: "next",
        where: "logistic",
        repair: "use the ngram baseline for the next code",
      });
    }
    const windows = spec.targetKind === "class" ? [0] : typeof window === "number" ? [window] : window;
    if (spec.targetKind === "tags" && !(windows.length > 0 && windows.every((steps) => Number.isInteger(steps) && steps >= 1))) {
      throw new OstinatoError("OST_RANGE", {
        what: "the trailing window of a logistic regression",
        expected: "integers of at least 1",
        got: windows.join(", ") || "none",
        where: "logistic",
      });
    }
    this.spec = spec;
    this.#bag = new CodeBag(spec);
    this.#windows = windows;
    this.#penalties = [...penalties].sort((a, b) => b - a);
    this.#maxExamples = maxExamples;
  }

  get name(): string {
    const window = this.#choice?.window ?? (this.#windows.length === 1 ? this.#windows[0] : 0);
    return window > 0 ? `logistic(${window})` : "logistic";
  }

  get history(): number {
    return this.spec.targetKind === "class" ? this.spec.length || Number.POSITIVE_INFINITY : this.choice.window;
  }

  /** What the fit chose. @throws OST_RANGE before `fit`. */
  get choice(): LogisticChoice {
    return this.#choice ?? unfitted(this.name);
  }

  fit(train: () => Iterable<Batch>, validation: () => Iterable<Batch>): void {
    const C = this.spec.classes.length;
    const report: LogisticChoice["validation"] = [];
    let lowest = Number.POSITIVE_INFINITY;
    for (const window of this.#windows) {
      const learned = this.#rows(train, window);
      const examples = learned.labels.length;
      if (examples === 0) {
        throw new OstinatoError("OST_TARGET", {
          what: "no training example has a label",
          expected: "at least one",
          got: "none",
          where: this.name,
        });
      }
      const { mean, scale } = standardization(learned);
      standardize(learned, mean, scale);
      const held = this.#rows(validation, window);
      standardize(held, mean, scale);
      const scored = held.labels.length > 0;
      const D = this.#width;
      const parameters = new Float64Array(C * (D + 1));
      let windowBest = Number.POSITIVE_INFINITY;
      for (const penalty of scored ? this.#penalties : [PENALTY_UNSEEN]) {
        minimize((x, gradient) => softmaxLoss(x, gradient, learned, C, penalty), parameters, {
          maxIterations: 80,
          tolerance: 3e-4,
        });
        const logLoss = scored ? softmaxLoss(parameters, undefined, held, C, 0) : 0;
        if (logLoss >= windowBest) break;
        windowBest = logLoss;
        if (scored) report[this.#windows.indexOf(window)] = { window, penalty, logLoss };
        if (logLoss < lowest) {
          lowest = logLoss;
          this.#choice = { window, penalty, examples, validation: report };
          this.#mean = mean;
          this.#scale = scale;
          this.#weight = Float32Array.from(parameters.subarray(0, C * D));
          this.#bias = Float32Array.from(parameters.subarray(C * D));
        }
      }
    }
    if (lowest === Number.POSITIVE_INFINITY) {
      throw new OstinatoError("OST_NAN", {
        what: "the log-loss is not a number",
        expected: "finite inputs",
        where: this.name,
        repair: "set data.missing to fill the gaps",
      });
    }
  }

  /** Features of a row: pooled numbers, and the length where a sequence has one class. */
  get #dense(): number {
    return this.#bag.numbers.length * POOLED_PER_FEATURE + (this.spec.targetKind === "class" ? 1 : 0);
  }

  /** Those, then the bag of its codes. */
  get #width(): number {
    return this.#dense + this.#bag.width;
  }

  /** Features of the labelled examples of a part, at most `maxExamples` of them. */
  #rows(batches: () => Iterable<Batch>, window: number): LabelledRows {
    const width = this.#dense;
    let count = 0;
    for (const batch of batches()) forEachLabel(batch, (_, __, step) => void (step >= 0 && count++));
    const stride = strideFor(count, this.#maxExamples);
    const n = Math.ceil(count / stride);
    const rows = new Float64Array(n * width);
    const labels = new Int32Array(n);
    const bag: SparseRows | undefined =
      this.#bag.width > 0 ? { width: this.#bag.width, start: new Int32Array(n + 1), index: [], value: [] } : undefined;
    const features = new Float64Array(this.#width);
    let seen = 0;
    for (const batch of batches()) {
      requireBatch(batch, this.spec, this.name);
      forEachLabel(batch, (label, row, step) => {
        if (step < 0 || seen++ % stride !== 0) return;
        const at = (seen - 1) / stride;
        labels[at] = label;
        this.#features(batch, row, step, window, features);
        rows.set(features.subarray(0, width), at * width);
        if (!bag) return;
        for (let i = 0; i < bag.width; i++) {
          if (features[width + i] === 0) continue;
          bag.index.push(i);
          bag.value.push(features[width + i]);
        }
        bag.start[at + 1] = bag.index.length;
      });
    }
    return { rows, labels, width, bag };
  }

  #features(batch: Batch, row: number, step: number, window: number, out: Float64Array): void {
    const first = window > 0 ? Math.max(0, step - window + 1) : 0;
    const { numbers: columns, width } = this.#bag;
    const pooled = columns.length * POOLED_PER_FEATURE;
    pooledFeatures(batch, row, { first, last: step, columns }, out.subarray(0, pooled));
    if (batch.targetKind === "class") out[pooled] = Math.log(step + 1);
    if (width > 0) this.#bag.write(batch, row, first, step, out.subarray(out.length - width));
  }

  predict(batch: Batch): Float32Array {
    requireBatch(batch, this.spec, this.name);
    const { window } = this.choice;
    const C = this.#bias.length;
    const tags = batch.targetKind === "tags";
    const out = new Float32Array(batch.batchSize * (tags ? batch.time : 1) * C);
    const z = new Float64Array(this.#width);
    const logits = new Float64Array(C);
    const judge = (row: number, step: number, position: number) => {
      if (step >= 0) {
        this.#features(batch, row, step, window, z);
        for (let i = 0; i < z.length; i++) z[i] = (z[i] - this.#mean[i]) * this.#scale[i];
      } else z.fill(0);
      for (let c = 0; c < C; c++) {
        let sum = this.#bias[c];
        for (let i = 0; i < z.length; i++) sum += this.#weight[c * z.length + i] * z[i];
        logits[c] = sum;
      }
      const normalizer = logSumExp(logits);
      for (let c = 0; c < C; c++) out[position * C + c] = logits[c] - normalizer;
    };
    for (let row = 0; row < batch.batchSize; row++) {
      if (!tags) judge(row, batch.lengths[row] - 1, row);
      else for (let step = 0; step < batch.lengths[row]; step++) judge(row, step, row * batch.time + step);
    }
    return out;
  }

  toJSON(): BaselineJson {
    return { kind: this.kind, spec: this.spec, options: { ...this.choice } };
  }

  /** mean, scale [D]: the standardisation z = (features - mean) * scale; weight [C, D]; bias [C]. */
  arrays(): BaselineArrays {
    const D = this.#width;
    const C = this.spec.classes.length;
    return {
      mean: { shape: [D], data: this.#mean },
      scale: { shape: [D], data: this.#scale },
      weight: { shape: [C, D], data: this.#weight },
      bias: { shape: [C], data: this.#bias },
    };
  }

  static restore(spec: ExampleSpec, options: LogisticChoice, arrays: BaselineArrays): Logistic {
    const logistic = new Logistic(spec, spec.targetKind === "tags" ? { window: options.window } : {});
    const D = logistic.#width;
    const C = spec.classes.length;
    logistic.#choice = options;
    logistic.#mean = requireArray(arrays, "mean", [D], "logistic").slice();
    logistic.#scale = requireArray(arrays, "scale", [D], "logistic").slice();
    logistic.#weight = requireArray(arrays, "weight", [C, D], "logistic").slice();
    logistic.#bias = requireArray(arrays, "bias", [C], "logistic").slice();
    return logistic;
  }
}

/**
 * Mean and inverse standard deviation of each column; a column that never varies gets scale zero. Those of a bag are not centred, so that
 * zeros stay zero, and a place that hardly any row has gets scale zero too.
 */
function standardization({ rows, labels, width, bag }: LabelledRows): { mean: Float32Array; scale: Float32Array } {
  const n = labels.length;
  const mean = new Float32Array(width + (bag?.width ?? 0));
  const scale = new Float32Array(mean.length);
  for (let i = 0; i < width; i++) {
    let sum = 0;
    for (let r = 0; r < n; r++) sum += rows[r * width + i];
    let squares = 0;
    for (let r = 0; r < n; r++) squares += (rows[r * width + i] - sum / n) ** 2;
    const deviation = Math.sqrt(squares / n);
    mean[i] = sum / n;
    scale[i] = deviation > 1e-6 * Math.max(1, Math.abs(sum / n)) ? 1 / deviation : 0;
  }
  if (bag) bagScale(bag, n, scale.subarray(width));
  return { mean, scale };
}

function bagScale({ width, index, value }: SparseRows, n: number, scale: Float32Array): void {
  const sums = new Float64Array(width);
  const squares = new Float64Array(width);
  const rows = new Int32Array(width);
  index.forEach((at, i) => {
    sums[at] += value[i];
    squares[at] += value[i] ** 2;
    rows[at]++;
  });
  for (let at = 0; at < width; at++) {
    const variance = squares[at] / n - (sums[at] / n) ** 2;
    scale[at] = rows[at] >= FEWEST_ROWS && variance > 1e-12 ? 1 / Math.sqrt(variance) : 0;
  }
}

function standardize({ rows, width, bag }: LabelledRows, mean: Float32Array, scale: Float32Array): void {
  for (let at = 0; at < rows.length; at++) rows[at] = (rows[at] - mean[at % width]) * scale[at % width];
  bag?.index.forEach((at, i) => {
    bag.value[i] *= scale[width + at];
  });
}

/**
 * The penalised mean cross-entropy in nats, and its gradient.
 *
 * @param parameters weight [C, D] then bias [C]
 * @param gradient   written when given, same layout
 */
export function softmaxLoss(
  parameters: Float64Array,
  gradient: Float64Array | undefined,
  { rows, labels, width, bag }: LabelledRows,
  classes: number,
  penalty: number,
): number {
  const n = labels.length;
  const stride = width + (bag?.width ?? 0);
  const biasAt = classes * stride;
  const logits = new Float64Array(classes);
  let loss = 0;
  gradient?.fill(0);
  for (let r = 0; r < n; r++) {
    const from = r * width;
    for (let c = 0; c < classes; c++) {
      logits[c] = parameters[biasAt + c] + dot(parameters, c * stride, rows, from, width);
    }
    const [first, end] = bag ? [bag.start[r], bag.start[r + 1]] : [0, 0];
    for (let i = first; i < end; i++) {
      const { index, value } = bag as SparseRows;
      for (let c = 0; c < classes; c++) logits[c] += parameters[c * stride + width + index[i]] * value[i];
    }
    const normalizer = logSumExp(logits);
    loss += normalizer - logits[labels[r]];
    if (!gradient) continue;
    for (let c = 0; c < classes; c++) {
      const error = (Math.exp(logits[c] - normalizer) - (c === labels[r] ? 1 : 0)) / n;
      gradient[biasAt + c] += error;
      for (let i = 0; i < width; i++) gradient[c * stride + i] += error * rows[from + i];
      for (let i = first; i < end; i++) {
        const { index, value } = bag as SparseRows;
        gradient[c * stride + width + index[i]] += error * value[i];
      }
    }
  }
  loss /= n;
  for (let i = 0; i < biasAt && penalty > 0; i++) {
    loss += (penalty / 2) * parameters[i] ** 2;
    if (gradient) gradient[i] += penalty * parameters[i];
  }
  return loss;
}

/** Four sums side by side, so that one addition need not wait for the last. */
function dot(a: Float64Array, fromA: number, b: Float64Array, fromB: number, length: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let i = 0;
  for (; i + 3 < length; i += 4) {
    s0 += a[fromA + i] * b[fromB + i];
    s1 += a[fromA + i + 1] * b[fromB + i + 1];
    s2 += a[fromA + i + 2] * b[fromB + i + 2];
    s3 += a[fromA + i + 3] * b[fromB + i + 3];
  }
  for (; i < length; i++) s0 += a[fromA + i] * b[fromB + i];
  return s0 + s1 + (s2 + s3);
}

function logSumExp(values: Float64Array): number {
  let max = Number.NEGATIVE_INFINITY;
  for (const value of values) if (value > max) max = value;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - max);
  return max + Math.log(sum);
}

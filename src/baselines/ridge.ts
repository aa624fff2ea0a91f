/**
 * @file Ridge regression on lags: each future value is a penalised linear map of the window, solved in closed form.
 *
 *     W = argmin  (1/n) sum |y - W x - b|^2 + penalty * sum_i var(x_i) |W_i|^2          (Hoerl & Kennard 1970)
 *
 * The intercept b is not penalised, and weighting by each input's variance makes the penalty independent of units. Every step of the
 * horizon has its own map ("direct" forecasting). Three variants are solved and the validation part picks one, with its penalty:
 *
 *     all     every target from all lags of all features
 *     own     every target from the lags of its own column
 *     shared  as `own`, one map for all columns and an intercept for each
 *
 * `all` sees columns of codes as a bag, not lag by lag: the share of each code in the window, and which came last (code-bag.ts).
 * The last two are "channel independent": with few examples they often win, having F times fewer weights.
 * Sources: Hoerl & Kennard 1970, Technometrics 12(1); linear direct forecasts and shared maps: Zeng et al. 2023 (AAAI 37).
 */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import {
  type Baseline,
  type BaselineArrays,
  type BaselineJson,
  forEachOrigin,
  inputAt,
  requireArray,
  requireBatch,
  strideFor,
  unfitted,
} from "./baseline.js";
import { addRows, cholesky, choleskySolve, tiles } from "./cholesky.js";
import { CodeBag } from "./code-bag.js";
import { type Covariances, Moments, selectCovariances } from "./moments.js";

/** Which inputs a target is computed from. */
export type RidgeVariant = "all" | "own" | "shared";

export interface RidgeOptions {
  /** Latest steps to look at; default the window, or 24 for sequences of any length. Reduced where they would not fit `maxInputs`. */
  lags?: number;
  /** Penalties to choose from, relative to the inputs' variance; default six from 1e-6 to 1. */
  penalties?: readonly number[];
  /** Variants to choose from; default every one that applies. */
  variants?: readonly RidgeVariant[];
  /** At most so many training examples are used, evenly spaced; default 20,000. */
  maxExamples?: number;
  /** Largest number of lags times features solved for; default 1,536 (a float64 Gram matrix of 19 MB). */
  maxInputs?: number;
}

/** What the fit chose and why. */
export interface RidgeChoice {
  lags: number;
  variant: RidgeVariant;
  penalty: number;
  /** Training examples used. */
  examples: number;
  /** Mean squared error on the validation part, the best of each variant; empty where there was no validation example. */
  validation: Partial<Record<RidgeVariant, { mse: number; penalty: number }>>;
}

const PENALTIES = [1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1];
const PENALTY_UNSEEN = 1e-2;

/** Most places of codes: each is two inputs of the Gram matrix, which leaves most of `maxInputs` to the lags. */
const MOST_CODES = 256;

/**
 * Direct ridge regression, window -> horizon x targets.
 *
 * A window of fewer steps than `lags` is extended backwards with its first value. An example with a missing target is not learned from.
 *
 * @throws OST_TARGET if the targets are classes, or no training example is complete.
 * @throws OST_RANGE  if the lags are not a positive integer.
 * @throws OST_WINDOW if the window is shorter than the lags.
 */
export class Ridge implements Baseline {
  readonly kind = "ridge";
  readonly streaming = "windowed";
  readonly spec: ExampleSpec;
  readonly lags: number;
  readonly #bag: CodeBag;
  /** Where among the numbers of a step each target is, or -1. */
  readonly #own: readonly number[];
  readonly #penalties: readonly number[];
  readonly #variants: readonly RidgeVariant[];
  readonly #maxExamples: number;
  readonly #maxInputs: number;
  #choice: RidgeChoice | undefined;
  #weight: Float32Array = new Float32Array(0);
  #bias: Float32Array = new Float32Array(0);

  static applies(spec: ExampleSpec): boolean {
    return spec.targetKind === "values";
  }

  constructor(spec: ExampleSpec, options: RidgeOptions = {}) {
    if (!Ridge.applies(spec)) {
      throw new OstinatoError("OST_TARGET", {
        what: "ridge regression predicts numbers",
        expected: "numeric targets",
        got: spec.targetKind,
        where: "ridge",
        repair: "use the logistic baseline for classes",
      });
    }
    const bag = new CodeBag(spec, { most: MOST_CODES });
    const columns = Math.max(1, bag.numbers.length);
    const own = spec.targetFeature.map((feature) => bag.numbers.indexOf(feature));
    const wanted = options.lags ?? (spec.length || 24);
    if (!(Number.isInteger(wanted) && wanted >= 1)) {
      throw new OstinatoError("OST_RANGE", {
        what: "the lags of a ridge regression",
        expected: "an integer of at least 1",
        got: String(wanted),
        where: "ridge",
      });
    }
    if (spec.length > 0 && wanted > spec.length) {
      throw new OstinatoError("OST_WINDOW", {
        what: "the window is shorter than the lags",
        expected: `a window of at least ${wanted} steps`,
        got: `${spec.length}`,
        where: `ridge(${wanted})`,
        repair: `set window.length to ${wanted} or more, or use fewer lags`,
      });
    }
    const ownPast = own.every((feature) => feature >= 0);
    this.spec = spec;
    this.#bag = bag;
    this.#own = own;
    this.#maxExamples = options.maxExamples ?? 20_000;
    this.#maxInputs = options.maxInputs ?? 1536;
    this.#penalties = options.penalties ?? PENALTIES;
    this.lags = Math.max(1, Math.min(wanted, ownPast ? this.#maxInputs : Math.floor((this.#maxInputs - bag.width) / columns)));
    const possible: RidgeVariant[] = ownPast ? ["all", "own", "shared"] : ["all"];
    const fitting = possible.filter((variant) => variant !== "all" || !ownPast || this.#inputs <= this.#maxInputs);
    const asked = fitting.filter((variant) => options.variants?.includes(variant) ?? true);
    if (asked.length === 0) {
      throw new OstinatoError("OST_RANGE", {
        what: "no variant of ridge regression is possible",
        expected: `one of ${fitting.join(", ")}`,
        got: (options.variants ?? []).join(", ") || "none",
        where: `ridge(${this.lags})`,
        repair: "use fewer lags, or add the targets to the features",
      });
    }
    this.#variants = asked;
  }

  get name(): string {
    return `ridge(${this.lags})`;
  }

  /** Numbers of the window, [lags, numbers], then the bag of its codes. */
  get #inputs(): number {
    return this.lags * this.#bag.numbers.length + this.#bag.width;
  }

  get history(): number {
    return this.lags;
  }

  /** What the fit chose. @throws OST_RANGE before `fit`. */
  get choice(): RidgeChoice {
    return this.#choice ?? unfitted(this.name);
  }

  fit(train: () => Iterable<Batch>, validation: () => Iterable<Batch>): void {
    const learned = this.#covariances(train);
    if (!learned) {
      throw new OstinatoError("OST_TARGET", {
        what: "no training example has all its targets",
        expected: "at least one window without a missing target",
        got: "none",
        where: this.name,
        repair: "set data.missing to fill the gaps, or leave this baseline out",
      });
    }
    const held = this.#covariances(validation);
    let best: { variant: RidgeVariant; penalty: number; maps: Float64Array[]; mse: number } | undefined;
    const report: RidgeChoice["validation"] = {};
    for (const variant of this.#variants) {
      const parts = this.#split(learned, variant);
      const heldParts = held && this.#split(held, variant);
      for (const penalty of held ? this.#penalties : [PENALTY_UNSEEN]) {
        const maps = solve(parts, penalty, variant === "shared");
        if (!maps) continue;
        const mse = heldParts ? meanSquaredError(parts, heldParts, maps) : 0;
        const before = report[variant];
        if (held && (!before || mse < before.mse)) report[variant] = { mse, penalty };
        if (!best || mse < best.mse) best = { variant, penalty, maps, mse };
      }
    }
    if (!best) {
      throw new OstinatoError("OST_RANGE", {
        what: "no penalty makes the regression solvable",
        expected: "penalties above 0",
        got: this.#penalties.join(", "),
        where: this.name,
        repair: "add a larger penalty",
      });
    }
    this.#choice = {
      lags: this.lags,
      variant: best.variant,
      penalty: best.penalty,
      examples: learned[0].n,
      validation: report,
    };
    this.#store(best.variant, this.#split(learned, best.variant), best.maps);
  }

  /** One summary over all inputs, or, where that would be too large, one per target column over its own lags. Undefined without data. */
  #covariances(batches: () => Iterable<Batch>): Covariances[] | undefined {
    const { targets, horizon } = this.spec;
    const K = targets.length;
    const F = this.#bag.numbers.length;
    const stride = strideFor(countOrigins(batches()), this.#maxExamples);
    const whole = this.#variants.includes("all") || this.#inputs <= this.#maxInputs;
    const moments = whole ? [new Moments(this.#inputs, horizon * K)] : targets.map(() => new Moments(this.lags, horizon));
    const window = new Float64Array(this.#inputs);
    let seen = 0;
    for (const batch of batches()) {
      requireBatch(batch, this.spec, this.name);
      forEachOrigin(batch, (row, step, position) => {
        if (step < 0 || seen++ % stride !== 0) return;
        const from = position * horizon * K;
        const future = batch.values?.subarray(from, from + horizon * K);
        if (!future || future.some(Number.isNaN)) return;
        this.#window(batch, row, step, window);
        moments.forEach((summary, k) => {
          summary.add((x, y) => {
            if (whole) {
              x.set(window);
              y.set(future);
            } else {
              for (let lag = 0; lag < this.lags; lag++) x[lag] = window[lag * F + this.#own[k]];
              for (let p = 0; p < horizon; p++) y[p] = future[p * K + k];
            }
          });
        });
      });
    }
    return moments[0].n > 0 ? moments.map((summary) => summary.covariances()) : undefined;
  }

  /** The summaries a variant is solved from: one, or one per target column. */
  #split(summaries: Covariances[], variant: RidgeVariant): Covariances[] {
    const { targets, horizon } = this.spec;
    if (variant === "all" || summaries.length > 1 || summaries[0].inputs < this.#inputs) return summaries;
    return targets.map((_, k) => {
      const inputs = Array.from({ length: this.lags }, (_, lag) => lag * this.#bag.numbers.length + this.#own[k]);
      const outputs = Array.from({ length: horizon }, (_, p) => p * targets.length + k);
      return selectCovariances(summaries[0], inputs, outputs);
    });
  }

  #store(variant: RidgeVariant, parts: Covariances[], maps: Float64Array[]): void {
    const K = this.spec.targets.length;
    const { horizon } = this.spec;
    this.#bias = new Float32Array(horizon * K);
    parts.forEach((part, g) => {
      const bias = intercepts(part, maps[g]);
      bias.forEach((value, j) => {
        this.#bias[variant === "all" ? j : j * K + g] = value;
      });
    });
    const kept = variant === "shared" ? maps.slice(0, 1) : maps;
    const { inputs, outputs } = parts[0];
    this.#weight = new Float32Array(kept.length * outputs * inputs);
    kept.forEach((map, g) => {
      for (let j = 0; j < outputs; j++) {
        for (let i = 0; i < inputs; i++) this.#weight[(g * outputs + j) * inputs + i] = map[i * outputs + j];
      }
    });
  }

  /** The latest `lags` steps up to `step`, oldest first, extended backwards with the row's first step; then the bag of their codes. */
  #window(batch: Batch, row: number, step: number, window: Float64Array): void {
    const { numbers, width } = this.#bag;
    const F = numbers.length;
    for (let lag = 0; lag < this.lags; lag++) {
      const at = Math.max(0, step - this.lags + 1 + lag);
      for (let f = 0; f < F; f++) window[lag * F + f] = inputAt(batch, row, at, numbers[f]);
    }
    if (width > 0) this.#bag.write(batch, row, Math.max(0, step - this.lags + 1), step, window.subarray(window.length - width));
  }

  /** A row of length zero has no window: it gets the prediction for inputs that are all zero, the scaled mean. */
  predict(batch: Batch): Float32Array {
    requireBatch(batch, this.spec, this.name);
    const { variant } = this.choice;
    const { horizon, targets: K } = batch;
    const F = this.#bag.numbers.length;
    const out = new Float32Array(batch.batchSize * (batch.everyStep ? batch.time : 1) * horizon * K);
    const window = new Float64Array(this.#inputs);
    const weight = this.#weight;
    forEachOrigin(batch, (row, step, position) => {
      if (step < 0) window.fill(0);
      else this.#window(batch, row, step, window);
      const to = position * horizon * K;
      for (let p = 0; p < horizon; p++) {
        for (let k = 0; k < K; k++) {
          let sum = this.#bias[p * K + k];
          if (variant === "all") {
            const from = (p * K + k) * window.length;
            for (let i = 0; i < window.length; i++) sum += weight[from + i] * window[i];
          } else {
            const from = (variant === "own" ? k * horizon + p : p) * this.lags;
            for (let lag = 0; lag < this.lags; lag++) sum += weight[from + lag] * window[lag * F + this.#own[k]];
          }
          out[to + p * K + k] = sum;
        }
      }
    });
    return out;
  }

  toJSON(): BaselineJson {
    return { kind: this.kind, spec: this.spec, options: { ...this.choice } };
  }

  arrays(): BaselineArrays {
    const { weight, bias } = this.#shapes(this.choice);
    return { weight: { shape: weight, data: this.#weight }, bias: { shape: bias, data: this.#bias } };
  }

  static restore(spec: ExampleSpec, options: RidgeChoice, arrays: BaselineArrays): Ridge {
    const ridge = new Ridge(spec, { lags: options.lags, variants: [options.variant], maxInputs: Number.MAX_SAFE_INTEGER });
    const { weight, bias } = ridge.#shapes(options);
    ridge.#choice = options;
    ridge.#weight = requireArray(arrays, "weight", weight, ridge.name).slice();
    ridge.#bias = requireArray(arrays, "bias", bias, ridge.name).slice();
    return ridge;
  }

  /** weight: "all" [P, K, lags, F], with codes [P, K, inputs], "own" [K, P, lags], "shared" [P, lags]; bias [P, K]. */
  #shapes({ variant, lags }: RidgeChoice): { weight: number[]; bias: number[] } {
    const P = this.spec.horizon;
    const K = this.spec.targets.length;
    const inputs = this.#bag.width > 0 ? [this.#inputs] : [lags, this.spec.features.length];
    const weight = { all: [P, K, ...inputs], own: [K, P, lags], shared: [P, lags] }[variant];
    return { weight, bias: [P, K] };
  }
}

function countOrigins(batches: Iterable<Batch>): number {
  let count = 0;
  for (const batch of batches) forEachOrigin(batch, (_, step) => void (step >= 0 && count++));
  return count;
}

/** One map [inputs, outputs] per part, the same one for all parts when `shared`; undefined where the penalty is too small to solve. */
function solve(parts: Covariances[], penalty: number, shared: boolean): Float64Array[] | undefined {
  if (!shared) {
    const maps = parts.map((part) => solveOne(part.xx, part.xy, part.inputs, part.outputs, penalty));
    return maps.includes(undefined) ? undefined : (maps as Float64Array[]);
  }
  const mean = (pick: (part: Covariances) => Float64Array) => {
    const total = new Float64Array(pick(parts[0]).length);
    for (const part of parts) pick(part).forEach((value, i) => void (total[i] += value / parts.length));
    return total;
  };
  const map = solveOne(
    mean((part) => part.xx),
    mean((part) => part.xy),
    parts[0].inputs,
    parts[0].outputs,
    penalty,
  );
  return map && parts.map(() => map);
}

/** The ridge solution in correlation form, scaled back to the inputs' units. An input that never varies gets weight zero. */
function solveOne(
  xx: Float64Array,
  xy: Float64Array,
  inputs: number,
  outputs: number,
  penalty: number,
): Float64Array | undefined {
  const inverse = new Float64Array(inputs);
  for (let i = 0; i < inputs; i++) {
    const variance = xx[i * inputs + i];
    inverse[i] = variance > 1e-12 ? 1 / Math.sqrt(variance) : 0;
  }
  const system = new Float64Array(inputs * inputs);
  for (let i = 0; i < inputs; i++) {
    for (let j = 0; j < i; j++) system[i * inputs + j] = xx[i * inputs + j] * inverse[i] * inverse[j];
    system[i * inputs + i] = (inverse[i] > 0 ? 1 : 1 - penalty) + penalty;
  }
  if (!cholesky(system, inputs)) return undefined;
  const map = new Float64Array(inputs * outputs);
  for (let i = 0; i < inputs; i++) for (let j = 0; j < outputs; j++) map[i * outputs + j] = xy[i * outputs + j] * inverse[i];
  choleskySolve(system, inputs, map, outputs);
  for (let i = 0; i < inputs; i++) for (let j = 0; j < outputs; j++) map[i * outputs + j] *= inverse[i];
  return map;
}

function intercepts(part: Covariances, map: Float64Array): Float64Array {
  return part.meanY.map((mean, j) => {
    let value = mean;
    for (let i = 0; i < part.inputs; i++) value -= part.meanX[i] * map[i * part.outputs + j];
    return value;
  });
}

/** The mean squared error, on the data `held` summarises, of maps learned from `parts`. */
function meanSquaredError(parts: Covariances[], held: Covariances[], maps: Float64Array[]): number {
  let total = 0;
  let outputs = 0;
  held.forEach((summary, g) => {
    const { inputs, outputs: M, xx, xy, yy, meanX, meanY } = summary;
    const map = maps[g];
    const error = intercepts(parts[g], map).map((bias, j) => bias - meanY[j]);
    for (let j = 0; j < M; j++) total += yy[j];
    for (const [from, width] of tiles(M)) {
      const product = new Float64Array(width);
      for (let i = 0; i < inputs; i++) {
        product.fill(0);
        const factors = xx.subarray(i * inputs, (i + 1) * inputs);
        addRows(product, 0, { rows: map, columns: M, from, width }, { factors, first: 0, last: inputs });
        for (let j = 0; j < width; j++) {
          const at = i * M + from + j;
          error[from + j] += map[at] * meanX[i];
          total += map[at] * (product[j] - 2 * xy[at]);
        }
      }
    }
    for (let j = 0; j < M; j++) total += error[j] ** 2;
    outputs += M;
  });
  return total / outputs;
}

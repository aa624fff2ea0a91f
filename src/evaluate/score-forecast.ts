/** @file Scores forecasts batch by batch. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { mase } from "./metrics/mase.js";
import { RegressionSums } from "./metrics/regression.js";
import type { ForecastBreakdown, ForecastErrors, ForecastScore, ForecastUnits } from "./score.js";

export interface ScoreForecastOptions {
  /** A scaled value of target `k` in original units, an affine map; when given, every error is also reported there. */
  original?: (value: number, target: number) => number;
  /** The denominator of MASE for each target, on the scaled training part (`maseScale`). */
  maseScales?: readonly number[];
}

/** Takes batches with their predictions, then gives the score. */
export interface Scorer<S> {
  /** @throws OST_SHAPE if the prediction has another size than the batch asks for. @throws OST_NAN if one that is scored is not finite. */
  add(batch: Batch, prediction: ArrayLike<number>): void;
  /** @throws OST_TARGET if there was nothing to score. */
  result(): S;
}

/**
 * Scores predictions [B, P, K], or [B, T, P, K] where every step predicts, against the scaled targets of the batches.
 * Targets of NaN, padded steps and rows of length zero are not scored; `n` counts the values that are.
 */
export function scoreForecast(spec: ExampleSpec, { original, maseScales }: ScoreForecastOptions = {}): Scorer<ForecastScore> {
  const scaled = new Table(spec);
  const native = original && new Table(spec);
  const nativeScales = original && maseScales?.map((scale, k) => Math.abs(original(scale, k) - original(0, k)));
  const units: ForecastUnits = { series: [], position: [], count: [], squared: [], absolute: [] };
  const P = spec.horizon;
  const K = spec.targets.length;
  return {
    add(batch, prediction) {
      const { values } = batch;
      requireSize(prediction.length, values?.length ?? 0, "scoreForecast");
      if (!values) return;
      forEachUnit(batch, (row, step, at) => {
        const unit = new RegressionSums();
        for (let p = 0; p < P; p++) {
          for (let k = 0; k < K; k++) {
            const i = (at * P + p) * K + k;
            const target = values[i];
            if (Number.isNaN(target)) continue;
            unit.add(prediction[i], target);
            scaled.add(prediction[i], target, p, k);
            if (original) native?.add(original(prediction[i], k), original(target, k), p, k);
          }
        }
        if (unit.n === 0) return;
        units.series.push(batch.series[row]);
        units.position.push(batch.start[row] + step);
        units.count.push(unit.n);
        units.squared.push(unit.squared);
        units.absolute.push(unit.absolute);
      });
    },
    result() {
      if (units.count.length === 0) throw nothingScored("scoreForecast");
      const metrics = scaled.result(maseScales);
      return {
        kind: "forecast",
        metrics: native ? { ...metrics, original: native.result(nativeScales) } : metrics,
        units,
      };
    },
  };
}

/** Sums per step of the horizon and target. */
class Table {
  readonly #spec: ExampleSpec;
  readonly #all = new RegressionSums();
  readonly #horizon: RegressionSums[];
  readonly #target: RegressionSums[];
  /** Absolute errors by step and target, [P, K], and their counts: what MASE needs, whose scale differs by target. */
  readonly #absolute: Float64Array;
  readonly #counts: Float64Array;

  constructor(spec: ExampleSpec) {
    this.#spec = spec;
    this.#horizon = Array.from({ length: spec.horizon }, () => new RegressionSums());
    this.#target = spec.targets.map(() => new RegressionSums());
    this.#absolute = new Float64Array(spec.horizon * spec.targets.length);
    this.#counts = new Float64Array(spec.horizon * spec.targets.length);
  }

  add(predicted: number, target: number, p: number, k: number): void {
    this.#all.add(predicted, target);
    this.#horizon[p].add(predicted, target);
    this.#target[k].add(predicted, target);
    const at = p * this.#target.length + k;
    this.#absolute[at] += Math.abs(target - predicted);
    this.#counts[at]++;
  }

  result(scales: readonly number[] | undefined): ForecastBreakdown {
    const horizons = [...this.#horizon.keys()];
    const targets = [...this.#target.keys()];
    const errors = (sums: RegressionSums, steps: number[], columns: number[]): ForecastErrors => ({
      ...sums.result(),
      ...(scales && { mase: this.#mase(scales, steps, columns) }),
    });
    return {
      ...errors(this.#all, horizons, targets),
      byHorizon: horizons
        .filter((p) => this.#horizon[p].n > 0)
        .map((p) => ({ step: p + 1, ...errors(this.#horizon[p], [p], targets) })),
      byTarget: Object.fromEntries(
        targets.filter((k) => this.#target[k].n > 0).map((k) => [this.#spec.targets[k], errors(this.#target[k], horizons, [k])]),
      ),
    };
  }

  /** The mean of the absolute errors, each in units of its own target's scale. */
  #mase(scales: readonly number[], steps: number[], columns: number[]): number {
    let sum = 0;
    let n = 0;
    for (const p of steps) {
      for (const k of columns) {
        const at = p * this.#target.length + k;
        sum += mase(this.#absolute[at], scales[k]);
        n += this.#counts[at];
      }
    }
    return sum / n;
  }
}

/** Visits what is scored of a batch: each row once, or each valid step. Rows of length zero hold nothing to judge. */
export function forEachUnit(batch: Batch, visit: (row: number, step: number, at: number) => void): void {
  const everyStep = batch.everyStep || batch.targetKind === "tags";
  for (let row = 0; row < batch.batchSize; row++) {
    if (!everyStep) {
      if (batch.lengths[row] > 0) visit(row, 0, row);
      continue;
    }
    for (let step = 0; step < batch.lengths[row]; step++) visit(row, step, row * batch.time + step);
  }
}

/** @throws OST_SHAPE if a prediction has not the size its batch asks for. */
export function requireSize(got: number, expected: number, where: string): void {
  if (got === expected && expected > 0) return;
  throw new OstinatoError("OST_SHAPE", {
    what: "the prediction does not fit its batch",
    expected: expected > 0 ? `${expected} numbers` : "a batch with targets",
    got: `${got} numbers`,
    where,
    repair: "score predictions with the batch they were made for",
  });
}

export function nothingScored(where: string): OstinatoError {
  return new OstinatoError("OST_TARGET", {
    what: "there was nothing to score",
    expected: "at least one target that is present",
    got: "none",
    where,
    repair: "check the split, and that the target column is filled in this part",
  });
}

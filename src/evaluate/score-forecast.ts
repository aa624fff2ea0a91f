/** @file Scores forecasts batch by batch. */
import { type Batch, type ExampleSpec, isPerStep } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { outputsPerValue } from "../core/predictive-distribution.js";
import { askOf, certain, inOriginal, scoredOf } from "./asked-forecast.js";
import { DistributionSums, type ForecastQuestions, questionsOf, type ScoredForecast } from "./distribution-sums.js";
import { FrameNlls } from "./frame-nlls.js";
import { mase } from "./metrics/mase.js";
import { RegressionSums } from "./metrics/regression.js";
import type { ForecastBreakdown, ForecastErrors, ForecastMetrics, ForecastScore, ForecastUnits } from "./score.js";

export interface ScoreForecastOptions {
  /** A scaled value of target `k` in original units, an affine map; when given, every error is also reported there. */
  original?: (value: number, target: number) => number;
  /** The denominator of MASE for each target, on the scaled training part (`maseScale`). */
  maseScales?: readonly number[];
  /**
   * Whether predictions are raw outputs of `spec.distribution`, [.., P, K, M], or points, [.., P, K]. Default by their number; where a
   * distribution has one output per value, raw outputs.
   */
  distributional?: boolean;
}

/** Takes batches with their predictions, then gives the score. */
export interface Scorer<S> {
  /** @throws OST_SHAPE if the prediction has another size than the batch asks for. @throws OST_NAN if one that is scored is not finite. */
  add(batch: Batch, prediction: ArrayLike<number>): void;
  /** @throws OST_TARGET if there was nothing to score. */
  result(): S;
}

/**
 * Scores predictions [B, P, K], or [B, T, P, K] where every step predicts, against the scaled targets of the batches. Where the spec has a
 * distribution, predictions may be its raw outputs, M to a value; points are then scored as forecasts that are certain. Frames of a Bernoulli
 * distribution are scored as sets (see `ForecastMetrics`). Targets of NaN, padded steps and rows of length zero are not scored; `n` counts the
 * values that are.
 */
export function scoreForecast(
  spec: ExampleSpec,
  { original, maseScales, distributional }: ScoreForecastOptions = {},
): Scorer<ForecastScore> {
  const { distribution, horizon: P } = spec;
  const K = spec.targets.length;
  const questions = distribution && distribution.kind !== "bernoulli" ? questionsOf(distribution) : undefined;
  const scaled = new Table(spec, questions);
  const native = original && new Table(spec, questions);
  const slopes = original && spec.targets.map((_, k) => original(1, k) - original(0, k));
  const nativeScales = slopes && maseScales?.map((scale, k) => Math.abs(slopes[k]) * scale);
  const units: ForecastUnits = { series: [], position: [], count: [], squared: [], absolute: [] };
  if (questions) Object.assign(units, { crps: [], pinball: [] });
  const frames = distribution?.kind === "bernoulli" ? new FrameNlls(P, spec.targets) : undefined;
  if (frames) units.frames = [];
  let raw = distributional;
  return {
    add(batch, prediction) {
      const { values } = batch;
      const points = values?.length ?? 0;
      const M = outputsPerValue(distribution);
      raw ??= distribution !== undefined && prediction.length === M * points;
      if (raw && !distribution) throw noDistribution();
      requireSize(prediction.length, points * (raw ? M : 1), "scoreForecast");
      if (!values) return;
      forEachUnit(batch, (row, step, at) => {
        const unit = new RegressionSums();
        const worth = { crps: 0, pinball: 0, nll: 0, nlls: 0 };
        const before = frames?.open();
        for (let p = 0; p < P; p++) {
          for (let k = 0; k < K; k++) {
            const i = (at * P + p) * K + k;
            const target = values[i];
            if (Number.isNaN(target)) continue;
            // Plain points are by far the most; nothing is made for each of them.
            const asked = !distribution
              ? undefined
              : raw
                ? askOf(distribution, prediction, i * M)
                : certain(distribution, prediction[i]);
            const point = asked ? asked.point : prediction[i];
            unit.add(point, target);
            scaled.add(point, target, p, k);
            if (original) native?.add(original(point, k), original(target, k), p, k);
            if (!asked) continue;
            frames?.add(asked, target, k);
            if (!questions) continue;
            const forecast = scoredOf(asked, target, questions);
            worth.crps += forecast.crps;
            if (forecast.nll !== undefined) {
              worth.nll += forecast.nll;
              worth.nlls++;
            }
            worth.pinball += scaled.addForecast(forecast, p, k);
            if (original && slopes) native?.addForecast(inOriginal(forecast, asked, questions, original, slopes, k), p, k);
          }
          frames?.closeStep(p);
        }
        if (unit.n === 0) return;
        units.series.push(batch.series[row]);
        units.position.push(batch.start[row] + step);
        units.count.push(unit.n);
        units.squared.push(unit.squared);
        units.absolute.push(unit.absolute);
        units.crps?.push(worth.crps);
        units.pinball?.push(worth.pinball);
        if (frames && before) {
          const { nll, steps, counts } = frames.since(before);
          worth.nll = nll;
          worth.nlls = steps;
          units.frames?.push(...counts);
        }
        if (worth.nlls > 0) {
          units.nll ??= [];
          units.nllCount ??= [];
          units.nll.push(worth.nll);
          units.nllCount.push(worth.nlls);
        }
      });
    },
    result() {
      if (units.count.length === 0) throw nothingScored("scoreForecast");
      const breakdown = scaled.result(maseScales);
      const ninety = breakdown.intervals?.find(({ level }) => level === 0.9);
      const metrics: ForecastMetrics = {
        ...breakdown,
        ...(native && { original: native.result(nativeScales) }),
        ...(ninety && { coverage90: ninety.coverage }),
      };
      return { kind: "forecast", metrics: frames ? frames.complete(metrics) : metrics, units };
    },
  };
}

function noDistribution(): OstinatoError {
  return new OstinatoError("OST_CONFIG", {
    what: "predictions are said to be outputs of a distribution, and the data have none",
    expected: "an example spec with a distribution",
    got: "none",
    where: "scoreForecast",
  });
}

interface ForecastSums {
  all: DistributionSums;
  horizon: DistributionSums[];
  target: DistributionSums[];
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
  readonly #forecasts?: ForecastSums;

  constructor(spec: ExampleSpec, questions: ForecastQuestions | undefined) {
    this.#spec = spec;
    this.#horizon = Array.from({ length: spec.horizon }, () => new RegressionSums());
    this.#target = spec.targets.map(() => new RegressionSums());
    this.#absolute = new Float64Array(spec.horizon * spec.targets.length);
    this.#counts = new Float64Array(spec.horizon * spec.targets.length);
    if (!questions) return;
    const sums = () => new DistributionSums(questions);
    this.#forecasts = { all: sums(), horizon: this.#horizon.map(sums), target: this.#target.map(sums) };
  }

  /** @returns the mean pinball loss of this value. */
  addForecast(forecast: ScoredForecast, p: number, k: number): number {
    const sums = this.#forecasts as ForecastSums;
    sums.horizon[p].add(forecast);
    sums.target[k].add(forecast);
    return sums.all.add(forecast);
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
    const forecasts = this.#forecasts;
    const errors = (
      sums: RegressionSums,
      steps: number[],
      columns: number[],
      worth: DistributionSums | undefined,
    ): ForecastErrors => ({
      ...sums.result(),
      ...worth?.result(),
      ...(scales && { mase: this.#mase(scales, steps, columns) }),
    });
    return {
      ...errors(this.#all, horizons, targets, forecasts?.all),
      byHorizon: horizons
        .filter((p) => this.#horizon[p].n > 0)
        .map((p) => ({ step: p + 1, ...errors(this.#horizon[p], [p], targets, forecasts?.horizon[p]) })),
      byTarget: Object.fromEntries(
        targets
          .filter((k) => this.#target[k].n > 0)
          .map((k) => [this.#spec.targets[k], errors(this.#target[k], horizons, [k], forecasts?.target[k])]),
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
  const everyStep = batch.everyStep || isPerStep(batch.targetKind);
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

/** @file Scores forecasts batch by batch. */
import { type Batch, type ExampleSpec, isPerStep } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { type Distribution, outputsPerValue, predictiveDistribution } from "../core/predictive-distribution.js";
import { DistributionSums, type ForecastQuestions, questionsOf, type ScoredForecast } from "./distribution-sums.js";
import { FrameSums } from "./metrics/frame.js";
import { mase } from "./metrics/mase.js";
import { RegressionSums, requireFinite } from "./metrics/regression.js";
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
            const asked =
              raw && distribution ? askOf(distribution, outputs(prediction, i, M)) : certain(distribution, prediction[i]);
            unit.add(asked.point, target);
            scaled.add(asked.point, target, p, k);
            if (original) native?.add(original(asked.point, k), original(target, k), p, k);
            if (frames) frames.add(asked, target, k);
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

/** What is asked of a forecast of one value. */
interface Asked {
  point: number;
  spread: boolean;
  crps(target: number): number;
  nll(target: number): number | undefined;
  quantile(level: number): number;
  /** Whether `nll` is of a density, which another unit changes. */
  isDensity: boolean;
}

function askOf(distribution: Distribution, raw: ArrayLike<number>): Asked {
  const one = predictiveDistribution(distribution, raw);
  const { kind } = distribution;
  return {
    point: one.point,
    spread: true,
    crps: (target) => one.crps(target),
    nll(target) {
      if (kind === "quantiles") return undefined;
      const nll = -one.logProbability(target);
      if (nll === Number.POSITIVE_INFINITY) throw impossible(kind, target);
      return nll;
    },
    quantile: (level) => one.quantile(level),
    isDensity: kind === "gaussian" || kind === "studentT",
  };
}

/** A point, as a forecast that is certain. Of a thing that is there or not it is a probability, kept a little away from 0 and 1. */
function certain(distribution: Distribution | undefined, point: number): Asked {
  const isShare = distribution?.kind === "bernoulli";
  requireFinite(point);
  return {
    point,
    spread: false,
    crps: (target) => Math.abs(target - point),
    nll(target) {
      if (!isShare) return undefined;
      if (target !== 0 && target !== 1) throw impossible("bernoulli", target);
      const share = Math.min(1 - CERTAIN, Math.max(CERTAIN, point));
      return -Math.log(target === 1 ? share : 1 - share);
    },
    quantile: () => point,
    isDensity: false,
  };
}

/** A probability given as a point of 0 is read as this: a certainty that is wrong would otherwise cost without end. */
const CERTAIN = 1e-7;

function outputs(prediction: ArrayLike<number>, value: number, M: number): Float64Array {
  return Float64Array.from({ length: M }, (_, m) => prediction[value * M + m]);
}

function scoredOf(asked: Asked, target: number, { levels }: ForecastQuestions): ScoredForecast {
  const quantiles = levels.map((level) => asked.quantile(level));
  return { target, crps: asked.crps(target), nll: asked.nll(target), quantiles, spread: asked.spread };
}

function inOriginal(
  { target, crps, nll, quantiles, spread }: ScoredForecast,
  asked: Asked,
  { levels }: ForecastQuestions,
  original: (value: number, target: number) => number,
  slopes: readonly number[],
  k: number,
): ScoredForecast {
  const slope = slopes[k];
  // A falling map turns the order of the quantiles round.
  const own = slope > 0 ? quantiles : levels.map((level) => asked.quantile(1 - level));
  return {
    target: original(target, k),
    crps: Math.abs(slope) * crps,
    ...(nll !== undefined && { nll: asked.isDensity ? nll + Math.log(Math.abs(slope)) : nll }),
    quantiles: Array.from(own, (value) => original(value, k)),
    spread,
  };
}

/** Sets of things at each step: log-probability of the whole set, and what was found of it. */
class FrameNlls {
  readonly #found = new FrameSums();
  readonly #targets: readonly string[];
  readonly #byStep: { nll: number; steps: number }[];
  readonly #byTarget: { nll: number; n: number }[];
  #nll = 0;
  #steps = 0;
  #pending = 0;
  #anything = false;

  constructor(horizon: number, targets: readonly string[]) {
    this.#targets = targets;
    this.#byStep = Array.from({ length: horizon }, () => ({ nll: 0, steps: 0 }));
    this.#byTarget = targets.map(() => ({ nll: 0, n: 0 }));
  }

  add(asked: Asked, target: number, k: number): void {
    const nll = asked.nll(target) as number;
    this.#pending += nll;
    this.#anything = true;
    this.#byTarget[k].nll += nll;
    this.#byTarget[k].n++;
    this.#found.add(asked.point > 0.5, target === 1);
  }

  /** Ends a predicted step: the targets since the last one are one set. */
  closeStep(p: number): void {
    if (!this.#anything) return;
    this.#nll += this.#pending;
    this.#steps++;
    this.#byStep[p].nll += this.#pending;
    this.#byStep[p].steps++;
    this.#pending = 0;
    this.#anything = false;
  }

  open() {
    const { truePositives, falsePositives, falseNegatives } = this.#found;
    return { nll: this.#nll, steps: this.#steps, counts: [truePositives, falsePositives, falseNegatives] };
  }

  since({ nll, steps, counts }: ReturnType<FrameNlls["open"]>) {
    const now = this.open();
    return { nll: now.nll - nll, steps: now.steps - steps, counts: now.counts.map((count, i) => count - counts[i]) };
  }

  complete(metrics: ForecastMetrics): ForecastMetrics {
    const { accuracy, f1 } = this.#found.result();
    for (const row of metrics.byHorizon) row.nll = this.#byStep[row.step - 1].nll / this.#byStep[row.step - 1].steps;
    this.#targets.forEach((name, k) => {
      const { nll, n } = this.#byTarget[k];
      if (n > 0) metrics.byTarget[name].nll = nll / n;
    });
    return { ...metrics, nll: this.#nll / this.#steps, frameAccuracy: accuracy, frameF1: f1, frames: this.#steps };
  }
}

function impossible(kind: string, target: number): OstinatoError {
  return new OstinatoError("OST_TARGET", {
    what: `a target that a ${kind} distribution cannot give`,
    expected: kind === "bernoulli" ? "0 or 1" : "a whole number of at least 0",
    got: String(target),
    where: "scoreForecast",
    repair: "leave targets of this distribution unscaled, or choose another one",
  });
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

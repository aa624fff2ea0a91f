/**
 * @file Recursive forecasts of some windows read both ways: each step from what was measured before it, and each from the predictions before it,
 * beside naive forecasts of the same windows.
 */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { type Distribution, outputsPerValue, point } from "../core/predictive-distribution.js";
import { batches, type Examples, type Normalization } from "../data/index.js";
import type { FreeRunningForecast } from "../evaluate/index.js";
import { type Predictor, pointsOf, type StepReader, targetOfFeature } from "../model/index.js";

export interface ForecastContinuationOptions {
  examples: Examples;
  normalize: Normalization;
  /** Forecasts to be no worse than. */
  naive: readonly { name: string; predictor: Predictor }[];
}

/** Numbers of a batch of windows at most. */
const MOST_NUMBERS = 1 << 22;

/** Null where no window has a target. @param reader of the same network as the predictor */
export function forecastContinuations(
  { name, predictor, reader }: { name: string; predictor: Predictor; reader: StepReader },
  spec: ExampleSpec,
  { examples, normalize, naive }: ForecastContinuationOptions,
): FreeRunningForecast | null {
  const forced = new SquaredErrors(spec);
  const free = new SquaredErrors(spec);
  const rivals = naive.map(() => new SquaredErrors(spec));
  const rows = Math.floor(MOST_NUMBERS / Math.max(1, examples.longest * spec.features.length));
  for (const batch of batches(examples, { batchSize: Math.max(1, Math.min(64, rows)), normalize })) {
    const { values = new Float32Array(0) } = batch;
    const reached = forcedForecast(reader, spec, batch);
    // What reading the truth cannot reach, because a value before it is missing, is compared with nothing.
    const truth = values.map((value, i) => (Number.isNaN(reached[i]) ? Number.NaN : value));
    forced.add(reached, truth);
    free.add(pointForecast(predictor, spec, batch), truth);
    naive.forEach((one, i) => {
      rivals[i].add(pointForecast(one.predictor, spec, batch), truth);
    });
  }
  const steps = free.byStep.flatMap(({ n }, p) => (n > 0 ? [p] : []));
  if (steps.length === 0) return null;
  const worseFrom = (rival: SquaredErrors) => steps.find((p) => free.mse(p) > rival.mse(p));
  return {
    kind: "forecast",
    windows: examples.count,
    name,
    mse: { forced: forced.mse(), free: free.mse() },
    byStep: steps.map((p) => ({ step: p + 1, n: free.byStep[p].n, forced: forced.mse(p), free: free.mse(p) })),
    naive: naive.map((one, i) => {
      const worse = worseFrom(rivals[i]);
      return { name: one.name, mse: steps.map((p) => rivals[i].mse(p)), worseFrom: worse === undefined ? null : worse + 1 };
    }),
  };
}

class SquaredErrors {
  readonly byStep: { n: number; sum: number }[];
  readonly #targets: number;

  constructor({ horizon, targets }: ExampleSpec) {
    this.byStep = Array.from({ length: horizon }, () => ({ n: 0, sum: 0 }));
    this.#targets = targets.length;
  }

  /** @param predicted [B, P, K] @param truth NaN where there is none */
  add(predicted: Float32Array, truth: Float32Array): void {
    for (let i = 0; i < truth.length; i++) {
      if (Number.isNaN(truth[i])) continue;
      const sum = this.byStep[Math.floor(i / this.#targets) % this.byStep.length];
      sum.n++;
      sum.sum += (predicted[i] - truth[i]) ** 2;
    }
  }

  /** Of one step, counted from 0, or of all. */
  mse(step?: number): number {
    const sums = step === undefined ? this.byStep : [this.byStep[step]];
    return sums.reduce((total, { sum }) => total + sum, 0) / sums.reduce((total, { n }) => total + n, 0);
  }
}

/** [B, P, K] of a predictor that gives points or raw outputs of the spec's distribution. */
function pointForecast(predictor: Predictor, { distribution, horizon, targets }: ExampleSpec, batch: Batch): Float32Array {
  const raw = predictor.predict(batch);
  const size = batch.batchSize * horizon * targets.length;
  return raw.length === size ? raw : pointsOfAll(distribution as Distribution, raw);
}

function pointsOfAll(distribution: Distribution, raw: Float32Array): Float32Array {
  const per = outputsPerValue(distribution);
  return Float32Array.from({ length: raw.length / per }, (_, i) => point(distribution, raw.subarray(i * per, (i + 1) * per)));
}

/** [B, P, K]: each step from the measured values before it; NaN behind a value that is missing. */
function forcedForecast(reader: StepReader, spec: ExampleSpec, batch: Batch): Float32Array {
  const { horizon, targetFeature, recursive } = spec;
  const { batchSize, features, normalization, values = new Float32Array(0) } = batch;
  const K = targetFeature.length;
  const columns = targetOfFeature(spec);
  const found = new Float32Array(batchSize * horizon * K).fill(Number.NaN);
  const place = (b: number, k: number) => b * features + targetFeature[k];
  let active = reader.begin(batch).map((reading, b) => ({ b, reading }));
  for (let p = 0; p < horizon && active.length > 0; p++) {
    const goOn: { b: number; x: Float32Array; state: Float32Array }[] = [];
    for (const { b, reading } of active) {
      const at = (b * horizon + p) * K;
      pointsOf(recursive?.distribution, reading.output).forEach((value, k) => {
        const i = place(b, k);
        found[at + k] = normalization ? value * normalization.scale[i] + normalization.offset[i] : value;
      });
      const truth = values.subarray(at, at + K);
      if (p + 1 === horizon || truth.some(Number.isNaN)) continue;
      const own = truth.map((value, k) => {
        const i = place(b, k);
        return normalization ? (value - normalization.offset[i]) / normalization.scale[i] : value;
      });
      goOn.push({ b, x: Float32Array.from(columns, (k) => (k < 0 ? 0 : own[k])), state: reading.state });
    }
    const next = goOn.length > 0 ? reader.next(goOn) : [];
    active = goOn.map(({ b }, i) => ({ b, reading: next[i] }));
  }
  return found;
}

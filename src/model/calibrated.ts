/**
 * @file What `ostinato calibrate` fitted, applied: logits divided by a temperature (Guo et al. 2017), the second of two classes decided above a
 * threshold, intervals of a promised share around point forecasts (Vovk, Gammerman & Shafer 2005).
 *
 * A threshold decides labels and leaves probabilities as they are, so the label may be the less probable class.
 */
import type { Batch, ExampleSpec } from "../core/batch.js";
import type { Calibration, ModelHeader } from "./file.js";
import { type Predictor, probabilities } from "./predictor.js";
import type { StepReader, StepReading } from "./step-reader.js";

/** Intervals around forecasts in original units. */
export interface ForecastInterval {
  /** Share of the values they were fitted to hold. */
  coverage: number;
  /** Half of their width, [targets][horizon]. */
  halfWidth: readonly (readonly number[])[];
}

/** The predictor with temperature and threshold applied; itself where there is neither. */
export function calibratedPredictor(
  predictor: Predictor,
  { targetKind }: Pick<ExampleSpec, "targetKind">,
  { temperature, threshold }: Partial<Calibration> = {},
): Predictor {
  const decides = targetKind === "class" || targetKind === "tags" || targetKind === "next";
  if (!decides || (temperature === undefined && threshold === undefined)) return predictor;
  const { name, distributional, reader } = predictor;
  const together = predictor.labels?.bind(predictor);
  const labels =
    threshold === undefined ? together : (_: Batch, prediction: Float32Array) => thresholdLabels(prediction, threshold);
  return {
    name,
    ...(distributional !== undefined && { distributional }),
    predict: (batch) => tempered(predictor.predict(batch), temperature),
    ...(labels && { labels }),
    ...(reader && { reader: temperedReader(reader, temperature) }),
  };
}

function temperedReader(reader: StepReader, temperature: number | undefined): StepReader {
  const told = (readings: StepReading[]) => readings.map((one) => ({ ...one, output: tempered(one.output, temperature) }));
  return { begin: (batch) => told(reader.begin(batch)), next: (rows) => told(reader.next(rows)) };
}

/** Logits at a temperature; at none themselves. */
export function tempered<A extends Float32Array | Float64Array>(logits: A, temperature: number | undefined): A {
  return temperature === undefined || temperature === 1 ? logits : (logits.map((logit) => logit / temperature) as A);
}

/** 1 where the second of two classes is decided. @param logits [.., 2] */
function thresholdLabels(logits: Float32Array, threshold: number): Int32Array {
  return Int32Array.from({ length: logits.length / 2 }, (_, i) => (probabilities(logits, 2 * i, 2)[1] > threshold ? 1 : 0));
}

/** The class that is decided: the first of the likeliest, or of two the second above its threshold. */
export function decidedClass(shares: ArrayLike<number>, threshold: number | undefined): number {
  if (threshold !== undefined && shares.length === 2) return shares[1] > threshold ? 1 : 0;
  let best = 0;
  for (let c = 1; c < shares.length; c++) if (shares[c] > shares[best]) best = c;
  return best;
}

/** The intervals around a model's forecasts; undefined where none were fitted. @param scaler of the targets */
export function forecastInterval(
  { calibration, spec }: Pick<ModelHeader, "calibration" | "spec">,
  scaler: { invert(scaled: number, column: number): number },
): ForecastInterval | undefined {
  const conformal = calibration?.conformal;
  if (!conformal) return undefined;
  const { coverage, halfWidth } = conformal;
  const original = (width: number, k: number) => Math.abs(scaler.invert(width, k) - scaler.invert(0, k));
  return { coverage, halfWidth: spec.targets.map((_, k) => halfWidth.map((row) => original(row[k], k))) };
}

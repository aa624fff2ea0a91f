/** @file What calibration looks at: logits and their true classes of held-back batches, and the scores of a part, as plain lists. */
import type { Batch, ExampleSpec } from "../../core/batch.js";
import { OstinatoError } from "../../core/errors.js";
import { forEachUnit, requireSize } from "../score-forecast.js";
import type { TemperatureOptions } from "./temperature.js";

/**
 * Logits of every decision that has a class, for `fitTemperature`; one column of them, or its probability, for `chooseThreshold`.
 *
 * @param predict logits [B, C] or [B, T, C]
 * @throws OST_CONFIG unless classes are predicted. @throws OST_SHAPE if a prediction does not fit its batch.
 */
export function heldBackLogits(
  predict: (batch: Batch) => ArrayLike<number>,
  batches: Iterable<Batch>,
  spec: ExampleSpec,
): TemperatureOptions & { logits: Float32Array; labels: Int32Array } {
  if (spec.targetKind === "values" || spec.targetKind === "tokens") {
    throw new OstinatoError("OST_CONFIG", {
      what: "logits are of classes",
      expected: "class, tags or next",
      got: spec.targetKind,
      where: "calibrate",
      repair: spec.targetKind === "values" ? "fit conformal intervals to forecasts" : "calibrate a classifier",
    });
  }
  const C = spec.classes.length;
  const labels: number[] = [];
  const rows: Float32Array[] = [];
  for (const batch of batches) {
    const { classes } = batch;
    const prediction = predict(batch);
    requireSize(prediction.length, (classes?.length ?? 0) * C, "calibrate");
    if (!classes) continue;
    forEachUnit(batch, (_row, _step, at) => {
      if (classes[at] < 0) return;
      labels.push(classes[at]);
      rows.push(Float32Array.from({ length: C }, (_, c) => prediction[at * C + c]));
    });
  }
  const logits = new Float32Array(labels.length * C);
  rows.forEach((row, i) => {
    logits.set(row, i * C);
  });
  return { logits, labels: Int32Array.from(labels), classes: C };
}

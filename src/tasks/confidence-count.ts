/** @file How sure a predictor is of its classes, as the reference profile of a model file keeps it. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { probabilities } from "../model/index.js";
import { CONFIDENCE_BINS, confidenceBin } from "../monitor/index.js";

/** Counts predictions that have a class to be held against: of windows that overlap, each step once, as a stream predicts it. */
export class ConfidenceCount {
  /** By the probability of the likeliest class; all 0 for forecasts. [CONFIDENCE_BINS] */
  readonly counts = new Float64Array(CONFIDENCE_BINS);
  readonly #classes: number;

  constructor({ classes, targetKind }: Pick<ExampleSpec, "classes" | "targetKind">) {
    this.#classes = targetKind === "values" || targetKind === "tokens" ? 0 : classes.length;
  }

  /** @param prediction logits, [B, C] or [B, T, C]. */
  add({ classes = new Int32Array(0) }: Pick<Batch, "classes">, prediction: Float32Array): void {
    const width = this.#classes;
    if (width === 0) return;
    classes.forEach((index, i) => {
      if (index >= 0) this.counts[confidenceBin(Math.max(...probabilities(prediction, i * width, width)))]++;
    });
  }
}

/**
 * @file The column mean: every value is expected where its column lay on average over the training part. As a reconstruction it says nothing of
 * the row, so that what is anomalous by it is what is far from the average.
 */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { type Baseline, type BaselineArrays, type BaselineJson, requireArray, requireBatch } from "./baseline.js";

/** y = mean of the training values of the target. Reads no input, so the targets need not be among them. */
export class ColumnMean implements Baseline {
  readonly kind = "columnMean";
  readonly name = "columnMean";
  readonly streaming = "windowed";
  readonly history = 1;
  readonly spec: ExampleSpec;
  #means: Float32Array | undefined;

  static applies(spec: ExampleSpec): boolean {
    return spec.targetKind === "values";
  }

  /** @throws OST_TARGET unless values are predicted. */
  constructor(spec: ExampleSpec) {
    if (!ColumnMean.applies(spec)) {
      throw new OstinatoError("OST_TARGET", {
        what: "a mean is of values",
        expected: "numeric targets",
        got: spec.targetKind,
        where: "columnMean",
        repair: "leave this baseline out",
      });
    }
    this.spec = spec;
  }

  /** @throws OST_TARGET if no training row has a value. A target without any is expected at 0. */
  fit(train: () => Iterable<Batch>, _validation: () => Iterable<Batch>): void {
    const K = this.spec.targets.length;
    const sums = new Float64Array(K);
    const counts = new Float64Array(K);
    for (const batch of train()) {
      requireBatch(batch, this.spec, this.name);
      batch.values?.forEach((value, i) => {
        if (Number.isNaN(value)) return;
        sums[i % K] += value;
        counts[i % K]++;
      });
    }
    if (counts.every((count) => count === 0)) {
      throw new OstinatoError("OST_TARGET", {
        what: "the training part has no values",
        expected: "at least one",
        got: "none",
        where: this.name,
        repair: "leave this baseline out",
      });
    }
    this.#means = Float32Array.from(sums, (sum, k) => (counts[k] > 0 ? sum / counts[k] : 0));
  }

  predict(batch: Batch): Float32Array {
    requireBatch(batch, this.spec, this.name);
    const means = this.#fitted();
    const out = new Float32Array(batch.batchSize * (batch.everyStep ? batch.time : 1) * batch.horizon * batch.targets);
    const perRow = out.length / Math.max(1, batch.batchSize);
    const perStep = batch.horizon * batch.targets;
    for (let b = 0; b < batch.batchSize; b++) {
      const valid = batch.everyStep ? batch.lengths[b] * perStep : perStep;
      for (let i = 0; i < valid; i++) out[b * perRow + i] = means[i % means.length];
    }
    return out;
  }

  #fitted(): Float32Array {
    if (this.#means) return this.#means;
    throw new OstinatoError("OST_RANGE", {
      what: "this baseline has learned nothing yet",
      expected: "fit first",
      where: this.name,
    });
  }

  toJSON(): BaselineJson {
    return { kind: this.kind, spec: this.spec, options: {} };
  }

  arrays(): BaselineArrays {
    const data = this.#fitted();
    return { means: { shape: [data.length], data } };
  }

  static restore(spec: ExampleSpec, arrays: BaselineArrays): ColumnMean {
    const mean = new ColumnMean(spec);
    mean.#means = requireArray(arrays, "means", [spec.targets.length], "columnMean");
    return mean;
  }
}

/** @file Majority: the class shares of the training part, whatever the input. Its label is always the commonest class. */
import { type Batch, type ExampleSpec, isPerStep } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { type Baseline, type BaselineArrays, type BaselineJson, requireArray, requireBatch } from "./baseline.js";

/** log p(c) = log((n_c + 1) / (n + C)), Laplace's rule of succession, so that a class unseen in training keeps a finite loss. */
export class Majority implements Baseline {
  readonly kind = "majority";
  readonly name = "majority";
  readonly streaming = "windowed";
  readonly history = 1;
  readonly spec: ExampleSpec;
  #logPrior: Float32Array;

  static applies(spec: ExampleSpec): boolean {
    return hasClasses(spec);
  }

  constructor(spec: ExampleSpec) {
    requireClasses(spec, "majority");
    this.spec = spec;
    this.#logPrior = new Float32Array(spec.classes.length).fill(-Math.log(spec.classes.length));
  }

  fit(train: () => Iterable<Batch>, _validation: () => Iterable<Batch>): void {
    const counts = new Float64Array(this.spec.classes.length);
    let n = 0;
    for (const batch of train()) {
      requireBatch(batch, this.spec, this.name);
      forEachLabel(batch, (label) => {
        counts[label]++;
        n++;
      });
    }
    this.#logPrior = Float32Array.from(counts, (count) => Math.log((count + 1) / (n + counts.length)));
  }

  predict(batch: Batch): Float32Array {
    requireBatch(batch, this.spec, this.name);
    const classes = this.#logPrior.length;
    if (batch.targetKind === "class") {
      const out = new Float32Array(batch.batchSize * classes);
      for (let row = 0; row < batch.batchSize; row++) out.set(this.#logPrior, row * classes);
      return out;
    }
    const out = new Float32Array(batch.batchSize * batch.time * classes);
    for (let row = 0; row < batch.batchSize; row++) {
      for (let step = 0; step < batch.lengths[row]; step++) out.set(this.#logPrior, (row * batch.time + step) * classes);
    }
    return out;
  }

  toJSON(): BaselineJson {
    return { kind: this.kind, spec: this.spec, options: {} };
  }

  arrays(): BaselineArrays {
    return { logPrior: { shape: [this.#logPrior.length], data: this.#logPrior } };
  }

  static restore(spec: ExampleSpec, arrays: BaselineArrays): Majority {
    const majority = new Majority(spec);
    majority.#logPrior = requireArray(arrays, "logPrior", [spec.classes.length], "majority").slice();
    return majority;
  }
}

/** Whether there is one class per example or per step. */
export function hasClasses({ targetKind, classes }: ExampleSpec): boolean {
  return (targetKind === "class" || isPerStep(targetKind)) && classes.length > 0;
}

/** @throws OST_TARGET if the targets are numbers or sequences, or no class is named. */
export function requireClasses(spec: ExampleSpec, where: string): void {
  if (hasClasses(spec)) return;
  throw new OstinatoError("OST_TARGET", {
    what: "this baseline predicts classes",
    expected: "a class per sequence or per step",
    got: spec.targetKind === "values" ? "numeric targets" : spec.targetKind === "tokens" ? "target sequences" : "no classes",
    where,
    repair: spec.targetKind === "tokens" ? "leave this baseline out" : "use the ridge baseline for numbers",
  });
}

/** Visits the present labels of a batch; `step` is the last valid step where a row has one label. Padding is never visited. */
export function forEachLabel(batch: Batch, visit: (label: number, row: number, step: number) => void): void {
  const { classes } = batch;
  if (!classes) return;
  for (let row = 0; row < batch.batchSize; row++) {
    if (batch.targetKind === "class") {
      if (classes[row] >= 0) visit(classes[row], row, batch.lengths[row] - 1);
      continue;
    }
    for (let step = 0; step < batch.lengths[row]; step++) {
      const label = classes[row * batch.time + step];
      if (label >= 0) visit(label, row, step);
    }
  }
}

/**
 * @file Frames of 0 and 1, key by key: how often a key is on, and how often it is on after it was on or off in the latest frame.
 *
 *     keyFrequency   P(y = 1)      = (n + 1/2) / (N + 1)
 *     keyMarkov      P(y = 1 | x)  = (n(x) + 1/2) / (N(x) + 1)          x: whether the key was on at the step that predicts
 *
 * The half is Jeffreys' prior: a key that training never heard keeps a finite loss. Predictions are log-odds, the raw output of the
 * Bernoulli distribution.
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
  unfitted,
} from "./baseline.js";

abstract class KeyRate implements Baseline {
  abstract readonly kind: string;
  abstract readonly name: string;
  readonly streaming = "windowed";
  readonly distributional = true;
  readonly history = 1;
  readonly spec: ExampleSpec;
  /** Contexts per key: 1, or 2 for off and on. */
  protected abstract readonly contexts: 1 | 2;
  /** Log-odds, [P, K, contexts]. */
  #logOdds: Float32Array | undefined;
  /** Above it the input of a key counts as on, [K]. */
  #threshold: Float32Array = new Float32Array(0);

  constructor(spec: ExampleSpec, where: string, needsInput: boolean) {
    if (!isFrames(spec, needsInput)) {
      throw new OstinatoError("OST_TARGET", {
        what: "this baseline predicts frames of 0 and 1",
        expected: `values with the Bernoulli distribution${needsInput ? ", each among the features" : ""}`,
        got: spec.targetKind === "values" ? (spec.distribution?.kind ?? "values without a distribution") : spec.targetKind,
        where,
        repair: "leave this baseline out",
      });
    }
    this.spec = spec;
  }

  fit(train: () => Iterable<Batch>, _validation: () => Iterable<Batch>): void {
    const { horizon, targets } = this.spec;
    const K = targets.length;
    if (this.contexts === 2) this.#threshold = this.#thresholds(train());
    const size = horizon * K * this.contexts;
    const on = new Float64Array(size);
    const all = new Float64Array(size);
    for (const batch of train()) {
      requireBatch(batch, this.spec, this.name);
      const { values } = batch;
      if (!values) continue;
      forEachOrigin(batch, (row, step, position) => {
        for (let k = 0; k < K; k++) {
          const context = this.#context(batch, row, step, k);
          for (let p = 0; p < horizon; p++) {
            const value = values[(position * horizon + p) * K + k];
            if (Number.isNaN(value)) continue;
            const at = (p * K + k) * this.contexts + context;
            all[at]++;
            if (value > 0.5) on[at]++;
          }
        }
      });
    }
    if (!all.some((count) => count > 0)) {
      throw new OstinatoError("OST_TARGET", {
        what: "no training step has a target",
        expected: "at least one",
        got: "none",
        where: this.name,
        repair: "leave this baseline out",
      });
    }
    this.#logOdds = Float32Array.from(on, (count, i) => Math.log((count + 0.5) / (all[i] - count + 0.5)));
  }

  /** Half-way between the least and the greatest input of each key, so that scaled inputs are read as well. */
  #thresholds(batches: Iterable<Batch>): Float32Array {
    const { targetFeature } = this.spec;
    const low = new Float64Array(targetFeature.length).fill(Number.POSITIVE_INFINITY);
    const high = new Float64Array(targetFeature.length).fill(Number.NEGATIVE_INFINITY);
    for (const batch of batches) {
      requireBatch(batch, this.spec, this.name);
      for (let row = 0; row < batch.batchSize; row++) {
        for (let step = 0; step < batch.lengths[row]; step++) {
          targetFeature.forEach((feature, k) => {
            const value = inputAt(batch, row, step, feature);
            if (value < low[k]) low[k] = value;
            if (value > high[k]) high[k] = value;
          });
        }
      }
    }
    return Float32Array.from(low, (least, k) => (high[k] > least ? (least + high[k]) / 2 : 0.5));
  }

  #context(batch: Batch, row: number, step: number, key: number): number {
    if (this.contexts === 1 || step < 0) return 0;
    return inputAt(batch, row, step, this.spec.targetFeature[key]) > this.#threshold[key] ? 1 : 0;
  }

  /** Log-odds [B, P, K, 1], or [B, T, P, K, 1] where every step predicts. A row of length zero is read as one whose keys are off. */
  predict(batch: Batch): Float32Array {
    requireBatch(batch, this.spec, this.name);
    const { horizon, targets } = this.spec;
    const K = targets.length;
    const logOdds = this.#fitted();
    const out = new Float32Array(batch.batchSize * (batch.everyStep ? batch.time : 1) * horizon * K);
    forEachOrigin(batch, (row, step, position) => {
      for (let k = 0; k < K; k++) {
        const context = this.#context(batch, row, step, k);
        for (let p = 0; p < horizon; p++) {
          out[(position * horizon + p) * K + k] = logOdds[(p * K + k) * this.contexts + context];
        }
      }
    });
    return out;
  }

  #fitted(): Float32Array {
    return this.#logOdds ?? unfitted(this.name);
  }

  toJSON(): BaselineJson {
    this.#fitted();
    return { kind: this.kind, spec: this.spec, options: {} };
  }

  /** logOdds [P, K, contexts], and threshold [K] where inputs are read. */
  arrays(): BaselineArrays {
    const { horizon, targets } = this.spec;
    const logOdds = { shape: [horizon, targets.length, this.contexts], data: this.#fitted() };
    return this.contexts === 1 ? { logOdds } : { logOdds, threshold: { shape: [targets.length], data: this.#threshold } };
  }

  protected load(arrays: BaselineArrays): this {
    const { horizon, targets } = this.spec;
    this.#logOdds = requireArray(arrays, "logOdds", [horizon, targets.length, this.contexts], this.name).slice();
    if (this.contexts === 2) this.#threshold = requireArray(arrays, "threshold", [targets.length], this.name).slice();
    return this;
  }
}

function isFrames(spec: ExampleSpec, needsInput: boolean): boolean {
  const frames = spec.targetKind === "values" && spec.distribution?.kind === "bernoulli";
  return frames && (!needsInput || spec.targetFeature.every((feature) => feature >= 0));
}

/** Every key on its own, by how often it is on; it looks at no input. */
export class KeyFrequency extends KeyRate {
  readonly kind = "keyFrequency";
  readonly name = "keyFrequency";
  protected readonly contexts = 1;

  static applies(spec: ExampleSpec): boolean {
    return isFrames(spec, false);
  }

  constructor(spec: ExampleSpec) {
    super(spec, "keyFrequency", false);
  }

  static restore(spec: ExampleSpec, arrays: BaselineArrays): KeyFrequency {
    return new KeyFrequency(spec).load(arrays);
  }
}

/** Every key on its own, by whether it was on at the step that predicts: a first-order Markov chain per key and step ahead. */
export class KeyMarkov extends KeyRate {
  readonly kind = "keyMarkov";
  readonly name = "keyMarkov";
  protected readonly contexts = 2;

  static applies(spec: ExampleSpec): boolean {
    return isFrames(spec, true);
  }

  constructor(spec: ExampleSpec) {
    super(spec, "keyMarkov", true);
  }

  static restore(spec: ExampleSpec, arrays: BaselineArrays): KeyMarkov {
    return new KeyMarkov(spec).load(arrays);
  }
}

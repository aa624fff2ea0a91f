/** @file The most frequent target sequence of the training part, whatever the input. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { type Baseline, type BaselineArrays, type BaselineJson, type FoundSequence, requireBatch, unfitted } from "./baseline.js";

/**
 * The commonest whole target, the first seen among those as common. It has no log-probabilities: `predict` gives NaN.
 *
 * @throws OST_TARGET if the targets are not sequences, or training has none.
 */
export class MostFrequentSequence implements Baseline {
  readonly kind = "mostFrequentSequence";
  readonly name = "mostFrequentSequence";
  readonly streaming = "windowed";
  readonly history = 1;
  readonly spec: ExampleSpec;
  #tokens: number[] | undefined;

  static applies(spec: ExampleSpec): boolean {
    return spec.targetKind === "tokens";
  }

  constructor(spec: ExampleSpec) {
    requireTokens(spec, "mostFrequentSequence");
    this.spec = spec;
  }

  fit(train: () => Iterable<Batch>, _validation: () => Iterable<Batch>): void {
    const counts = new Map<string, number>();
    for (const batch of train()) {
      requireBatch(batch, this.spec, this.name);
      for (let row = 0; row < batch.batchSize; row++) {
        const key = targetOf(batch, row).join();
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    if (counts.size === 0) throw withoutTargets(this.name);
    let best = "";
    let most = 0;
    for (const [key, count] of counts) {
      if (count <= most) continue;
      most = count;
      best = key;
    }
    this.#tokens = best === "" ? [] : best.split(",").map(Number);
  }

  predict(batch: Batch): Float32Array {
    requireBatch(batch, this.spec, this.name);
    return new Float32Array(batch.batchSize).fill(Number.NaN);
  }

  decode(batch: Batch): FoundSequence[] {
    requireBatch(batch, this.spec, this.name);
    const tokens = this.#fitted();
    return Array.from({ length: batch.batchSize }, () => ({ tokens: [...tokens], logProbability: Number.NaN }));
  }

  #fitted(): number[] {
    return this.#tokens ?? unfitted(this.name);
  }

  toJSON(): BaselineJson {
    return { kind: this.kind, spec: this.spec, options: { tokens: this.#fitted() } };
  }

  arrays(): BaselineArrays {
    return {};
  }

  static restore(spec: ExampleSpec, { tokens }: { tokens: number[] }): MostFrequentSequence {
    const baseline = new MostFrequentSequence(spec);
    if (!tokens.every((code) => Number.isInteger(code) && code >= 0 && code < spec.classes.length)) {
      throw new OstinatoError("OST_MODEL_FILE", {
        what: "the sequence holds codes outside the vocabulary",
        expected: `0 .. ${spec.classes.length - 1}`,
        got: tokens.slice(0, 10).join(", "),
        where: "mostFrequentSequence",
        repair: "save the baseline again",
      });
    }
    baseline.#tokens = tokens;
    return baseline;
  }
}

/** @throws OST_TARGET if the targets are not sequences of codes. */
export function requireTokens(spec: ExampleSpec, where: string): void {
  if (spec.targetKind === "tokens") return;
  throw new OstinatoError("OST_TARGET", {
    what: "this baseline predicts a sequence per example",
    expected: "a target sequence",
    got: spec.targetKind,
    where,
    repair: "leave this baseline out",
  });
}

/** The target sequence of a row. */
export function targetOf({ tokens, tokenLengths, batchSize }: Batch, row: number): number[] {
  if (!tokens || !tokenLengths) return [];
  const most = tokens.length / Math.max(1, batchSize);
  return Array.from(tokens.subarray(row * most, row * most + tokenLengths[row]));
}

export function withoutTargets(where: string): OstinatoError {
  return new OstinatoError("OST_TARGET", {
    what: "no training example has a target sequence",
    expected: "at least one",
    got: "none",
    where,
    repair: "leave this baseline out",
  });
}

/**
 * @file The nearest source: the target of the training example whose input looks most alike.
 *
 * Alike is, first, the cosine between the counts of the inputs' codes; among the `candidates` of the largest cosine, then, the edit
 * distance between the inputs (Levenshtein 1966) divided by the longer length. What is equal is decided by the order of the examples.
 */
import type { Batch, CodeColumn, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import {
  type Baseline,
  type BaselineArrays,
  type BaselineJson,
  type FoundSequence,
  requireArray,
  requireBatch,
  strideFor,
  unfitted,
} from "./baseline.js";
import { columnReader, type ReadCode } from "./code-input.js";
import { requireTokens, targetOf, withoutTargets } from "./most-frequent-sequence.js";

export interface NearestSourceOptions {
  /** At most so many training examples are kept, evenly spaced; default 20,000. */
  maxExamples?: number;
  /** Examples of the largest cosine that are compared by edit distance, >= 1; default 32. */
  candidates?: number;
}

interface Example {
  source: Int32Array;
  target: Int32Array;
}

interface NearestSourceChoice {
  examples: number;
  candidates: number;
  /** Codes of all sources, and of all targets, together. */
  sourceCodes: number;
  targetCodes: number;
}

/**
 * A copy of a training target. It has no log-probabilities: `predict` gives NaN.
 *
 * @throws OST_TARGET if the targets are not sequences, no column holds codes, or training has no example.
 * @throws OST_RANGE  if an option is not a positive whole number.
 */
export class NearestSource implements Baseline {
  readonly kind = "nearestSource";
  readonly name = "nearestSource";
  readonly streaming = "windowed";
  readonly history = Number.POSITIVE_INFINITY;
  readonly spec: ExampleSpec;
  readonly #read: ReadCode;
  readonly #size: number;
  readonly #maxExamples: number;
  readonly #candidates: number;
  #examples: Example[] = [];
  #index: SourceIndex | undefined;

  static applies(spec: ExampleSpec): boolean {
    return spec.targetKind === "tokens" && (spec.codes?.length ?? 0) > 0;
  }

  constructor(spec: ExampleSpec, { maxExamples = 20_000, candidates = 32 }: NearestSourceOptions = {}) {
    requireTokens(spec, "nearestSource");
    if (!NearestSource.applies(spec)) {
      throw new OstinatoError("OST_TARGET", {
        what: "this baseline compares the codes of inputs",
        expected: "a column of codes among the features",
        got: "none",
        where: "nearestSource",
        repair: "leave this baseline out",
      });
    }
    for (const [name, value] of Object.entries({ maxExamples, candidates })) {
      if (Number.isInteger(value) && value >= 1) continue;
      throw new OstinatoError("OST_RANGE", {
        what: `${name} is no positive whole number`,
        expected: ">= 1",
        got: String(value),
        where: "nearestSource",
      });
    }
    const { column, size } = (spec.codes as CodeColumn[])[0];
    this.spec = spec;
    this.#size = size;
    this.#read = columnReader(column, size);
    this.#maxExamples = maxExamples;
    this.#candidates = candidates;
  }

  fit(train: () => Iterable<Batch>, _validation: () => Iterable<Batch>): void {
    let count = 0;
    for (const batch of train()) count += batch.batchSize;
    if (count === 0) throw withoutTargets(this.name);
    const stride = strideFor(count, this.#maxExamples);
    const examples: Example[] = [];
    let seen = 0;
    for (const batch of train()) {
      requireBatch(batch, this.spec, this.name);
      for (let row = 0; row < batch.batchSize; row++) {
        if (seen++ % stride === 0)
          examples.push({ source: this.#source(batch, row), target: Int32Array.from(targetOf(batch, row)) });
      }
    }
    this.#keep(examples);
  }

  #keep(examples: Example[]): void {
    this.#examples = examples;
    this.#index = new SourceIndex(
      examples.map(({ source }) => source),
      this.#size,
    );
  }

  /** The codes of a row's first code column; a number that is no code counts as the last one. */
  #source(batch: Batch, row: number): Int32Array {
    return Int32Array.from({ length: batch.lengths[row] }, (_, step) => {
      const code = this.#read(batch, row, step);
      return code < 0 ? this.#size - 1 : code;
    });
  }

  predict(batch: Batch): Float32Array {
    requireBatch(batch, this.spec, this.name);
    return new Float32Array(batch.batchSize).fill(Number.NaN);
  }

  decode(batch: Batch): FoundSequence[] {
    requireBatch(batch, this.spec, this.name);
    const index = this.#fitted();
    return Array.from({ length: batch.batchSize }, (_, row) => {
      const nearest = index.nearest(this.#source(batch, row), this.#candidates);
      return { tokens: Array.from(this.#examples[nearest].target), logProbability: Number.NaN };
    });
  }

  #fitted(): SourceIndex {
    return this.#index ?? unfitted(this.name);
  }

  toJSON(): BaselineJson {
    this.#fitted();
    const sum = (of: "source" | "target") => this.#examples.reduce((total, one) => total + one[of].length, 0);
    const options: NearestSourceChoice = {
      examples: this.#examples.length,
      candidates: this.#candidates,
      sourceCodes: sum("source"),
      targetCodes: sum("target"),
    };
    return { kind: this.kind, spec: this.spec, options };
  }

  /** The codes of all sources and of all targets, one after another, and how many each has. */
  arrays(): BaselineArrays {
    this.#fitted();
    const joined = (of: "source" | "target") => {
      const data = Float32Array.from(this.#examples.flatMap((one) => Array.from(one[of])));
      return { shape: [data.length], data };
    };
    const lengths = (of: "source" | "target") => {
      const data = Float32Array.from(this.#examples, (one) => one[of].length);
      return { shape: [data.length], data };
    };
    return {
      sources: joined("source"),
      sourceLengths: lengths("source"),
      targets: joined("target"),
      targetLengths: lengths("target"),
    };
  }

  static restore(spec: ExampleSpec, options: NearestSourceChoice, arrays: BaselineArrays): NearestSource {
    const { examples, candidates, sourceCodes, targetCodes } = options;
    const baseline = new NearestSource(spec, { candidates });
    const cut = (name: string, total: number, size: number) => {
      const codes = requireArray(arrays, `${name}s`, [total], "nearestSource");
      const lengths = requireArray(arrays, `${name}Lengths`, [examples], "nearestSource");
      let at = 0;
      const parts = Array.from(lengths, (length) => Int32Array.from(codes.subarray(at, (at += length))));
      const whole = lengths.every((length) => Number.isInteger(length) && length >= 0) && at === total;
      if (examples > 0 && whole && codes.every((code) => Number.isInteger(code) && code >= 0 && code < size)) return parts;
      throw new OstinatoError("OST_MODEL_FILE", {
        what: `the ${name}s of the examples do not hold together`,
        expected: `codes 0 .. ${size - 1} in ${examples} sequences`,
        where: "nearestSource",
        repair: "save the baseline again",
      });
    };
    const sources = cut("source", sourceCodes, baseline.#size);
    const targets = cut("target", targetCodes, spec.classes.length);
    baseline.#keep(sources.map((source, i) => ({ source, target: targets[i] })));
    return baseline;
  }
}

/** Which sources have a code, and how often. */
class SourceIndex {
  readonly #sources: readonly Int32Array[];
  /** Per code the sources that have it, and how often. */
  readonly #examples: number[][];
  readonly #counts: number[][];
  readonly #norms: Float64Array;

  constructor(sources: readonly Int32Array[], size: number) {
    this.#sources = sources;
    this.#examples = Array.from({ length: size }, () => []);
    this.#counts = Array.from({ length: size }, () => []);
    this.#norms = new Float64Array(sources.length);
    sources.forEach((source, i) => {
      let squares = 0;
      for (const [code, count] of countsOf(source)) {
        this.#examples[code].push(i);
        this.#counts[code].push(count);
        squares += count * count;
      }
      this.#norms[i] = Math.sqrt(squares);
    });
  }

  nearest(source: Int32Array, candidates: number): number {
    const cosines = new Float64Array(this.#sources.length);
    for (const [code, count] of countsOf(source)) {
      const [examples, counts] = [this.#examples[code], this.#counts[code]];
      for (let i = 0; i < examples.length; i++) cosines[examples[i]] += count * counts[i];
    }
    for (let i = 0; i < cosines.length; i++) if (this.#norms[i] > 0) cosines[i] /= this.#norms[i];
    let best = -1;
    let closest = Number.POSITIVE_INFINITY;
    for (const i of largest(cosines, candidates)) {
      const distance = editDistance(source, this.#sources[i]) / Math.max(1, source.length, this.#sources[i].length);
      if (distance < closest || (distance === closest && i < best)) {
        closest = distance;
        best = i;
      }
    }
    return best;
  }
}

function countsOf(codes: Int32Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
  return counts;
}

/** The places of the `count` largest values; of equal ones the first. */
function largest(values: Float64Array, count: number): number[] {
  if (values.length <= count) return Array.from(values.keys());
  const least = values.slice().sort()[values.length - count];
  const above: number[] = [];
  const equal: number[] = [];
  values.forEach((value, i) => {
    if (value > least) above.push(i);
    else if (value === least && equal.length < count) equal.push(i);
  });
  return [...above, ...equal.slice(0, count - above.length)];
}

/** The fewest insertions, deletions and replacements between two sequences. */
function editDistance(a: Int32Array, b: Int32Array): number {
  const row = Int32Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    let diagonal = row[0];
    row[0] = i;
    for (let j = 1; j <= b.length; j++) {
      const replaced = diagonal + (a[i - 1] === b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = Math.min(replaced, row[j] + 1, row[j - 1] + 1);
    }
  }
  return row[b.length];
}

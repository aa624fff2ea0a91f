/**
 * @file The most frequent tag: each code's own commonest class, whatever stands around it.
 *
 *     P(c | code) = (n(code, c) + q(c)) / (n(code) + 1)         q: the classes of codes that training never saw
 *
 * Adding q, which sums to one, changes no majority and decides ties. q is counted from the validation part's unseen codes, where it has
 * some, else from the codes that training saw once.
 */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { type Baseline, type BaselineArrays, type BaselineJson, requireArray, requireBatch, unfitted } from "./baseline.js";
import { columnReader } from "./code-input.js";
import { forEachLabel } from "./majority.js";

interface MostFrequentTagChoice {
  /** The column of x that holds the codes. */
  column: number;
  /** Codes seen in training. */
  known: number;
  /** Mean negative log-likelihood in nats on the validation part, per column of codes; empty where it has no labels. */
  validation: { column: number; nll: number }[];
}

/** The counts of one column of codes: the codes seen, rising, and per code its classes. */
interface TagTable {
  column: number;
  codes: Int32Array;
  /** [codes, C] */
  counts: Float32Array;
  /** [C] */
  unseen: Float64Array;
}

/** More counts than these are not held: 256 MB. */
const MOST_COUNTS = 67_108_864;

/**
 * [B, T, C] log-probabilities. With several columns of codes the validation part picks the one that says most.
 *
 * @throws OST_TARGET if the targets are not tags, no column holds codes, or no training step has a label.
 */
export class MostFrequentTag implements Baseline {
  readonly kind = "mostFrequentTag";
  readonly name = "mostFrequentTag";
  readonly streaming = "windowed";
  readonly history = 1;
  readonly spec: ExampleSpec;
  #choice: MostFrequentTagChoice | undefined;
  #table: TagTable | undefined;

  static applies(spec: ExampleSpec): boolean {
    return spec.targetKind === "tags" && spec.classes.length > 0 && (spec.codes?.length ?? 0) > 0;
  }

  constructor(spec: ExampleSpec) {
    if (!MostFrequentTag.applies(spec)) {
      throw new OstinatoError("OST_TARGET", {
        what: "this baseline knows each code's commonest tag",
        expected: "a tag per step, and a column of codes among the features",
        got: spec.targetKind === "tags" ? "no column of codes" : spec.targetKind,
        where: "mostFrequentTag",
        repair: "use the majority baseline",
      });
    }
    this.spec = spec;
  }

  fit(train: () => Iterable<Batch>, validation: () => Iterable<Batch>): void {
    const report: MostFrequentTagChoice["validation"] = [];
    let best: TagTable | undefined;
    let lowest = Number.POSITIVE_INFINITY;
    for (const { column, size } of this.spec.codes ?? []) {
      const table = this.#count(train(), column, size);
      const nll = this.#judge(validation, table, size);
      if (nll !== undefined) report.push({ column, nll });
      if (best && !(nll !== undefined && nll < lowest)) continue;
      best = table;
      lowest = nll ?? lowest;
    }
    const { column, codes } = best as TagTable;
    this.#table = best;
    this.#choice = { column, known: codes.length, validation: report };
  }

  #count(batches: Iterable<Batch>, column: number, size: number): TagTable {
    const C = this.spec.classes.length;
    const read = columnReader(column, size);
    const rows = new Map<number, Float32Array>();
    for (const batch of batches) {
      requireBatch(batch, this.spec, this.name);
      forEachLabel(batch, (label, row, step) => {
        const code = read(batch, row, step);
        if (code < 0) return;
        let own = rows.get(code);
        if (!own) {
          if ((rows.size + 1) * C > MOST_COUNTS) throw tooMany(rows.size + 1, C);
          own = new Float32Array(C);
          rows.set(code, own);
        }
        own[label]++;
      });
    }
    if (rows.size === 0) {
      throw new OstinatoError("OST_TARGET", {
        what: "no training step has a label",
        expected: "at least one",
        got: "none",
        where: this.name,
      });
    }
    const codes = Int32Array.from(rows.keys()).sort();
    const counts = new Float32Array(codes.length * C);
    const unseen = new Float64Array(C);
    codes.forEach((code, i) => {
      const own = rows.get(code) as Float32Array;
      counts.set(own, i * C);
      if (own.reduce((sum, count) => sum + count, 0) === 1) own.forEach((count, c) => void (unseen[c] += count));
    });
    return { column, codes, counts, unseen: shares(unseen) };
  }

  /** Counts the classes of the validation part's unseen codes into the table, and gives its mean negative log-likelihood there. */
  #judge(validation: () => Iterable<Batch>, table: TagTable, size: number): number | undefined {
    const C = this.spec.classes.length;
    const read = columnReader(table.column, size);
    const unseen = new Float64Array(C);
    let strange = 0;
    for (const batch of validation()) {
      forEachLabel(batch, (label, row, step) => {
        if (indexOf(table.codes, read(batch, row, step)) >= 0) return;
        unseen[label]++;
        strange++;
      });
    }
    if (strange > 0) table.unseen = shares(unseen);
    table.unseen = Float64Array.from(Float32Array.from(table.unseen));
    let sum = 0;
    let n = 0;
    for (const batch of validation()) {
      forEachLabel(batch, (label, row, step) => {
        sum -= Math.log(share(table, C, read(batch, row, step), label));
        n++;
      });
    }
    return n > 0 ? sum / n : undefined;
  }

  predict(batch: Batch): Float32Array {
    requireBatch(batch, this.spec, this.name);
    const table = this.#table ?? unfitted(this.name);
    const C = this.spec.classes.length;
    const read = columnReader(table.column, sizeOfColumn(this.spec, table.column));
    const out = new Float32Array(batch.batchSize * batch.time * C);
    for (let row = 0; row < batch.batchSize; row++) {
      for (let step = 0; step < batch.lengths[row]; step++) {
        const code = read(batch, row, step);
        for (let c = 0; c < C; c++) out[(row * batch.time + step) * C + c] = Math.log(share(table, C, code, c));
      }
    }
    return out;
  }

  toJSON(): BaselineJson {
    return { kind: this.kind, spec: this.spec, options: { ...(this.#choice ?? unfitted(this.name)) } };
  }

  /** codes [N], counts [N, C], unseen [C]. */
  arrays(): BaselineArrays {
    const { codes, counts, unseen } = this.#table ?? unfitted(this.name);
    const C = this.spec.classes.length;
    return {
      codes: { shape: [codes.length], data: Float32Array.from(codes) },
      counts: { shape: [codes.length, C], data: counts },
      unseen: { shape: [C], data: Float32Array.from(unseen) },
    };
  }

  static restore(spec: ExampleSpec, options: MostFrequentTagChoice, arrays: BaselineArrays): MostFrequentTag {
    const baseline = new MostFrequentTag(spec);
    const { column, known } = options;
    sizeOfColumn(spec, column);
    const C = spec.classes.length;
    const codes = Int32Array.from(requireArray(arrays, "codes", [known], "mostFrequentTag"));
    const counts = requireArray(arrays, "counts", [known, C], "mostFrequentTag").slice();
    const unseen = Float64Array.from(requireArray(arrays, "unseen", [C], "mostFrequentTag"));
    if (!codes.every((code, i) => i === 0 || code > codes[i - 1]) || ![...counts, ...unseen].every((value) => value >= 0)) {
      throw new OstinatoError("OST_MODEL_FILE", {
        what: "the counts of the tags do not hold together",
        expected: "rising codes, and counts of at least 0",
        where: "mostFrequentTag",
        repair: "save the baseline again",
      });
    }
    baseline.#choice = options;
    baseline.#table = { column, codes, counts, unseen };
    return baseline;
  }
}

function sizeOfColumn({ codes = [] }: ExampleSpec, column: number): number {
  const found = codes.find((one) => one.column === column);
  if (found) return found.size;
  throw new OstinatoError("OST_MODEL_FILE", {
    what: "the baseline reads a column that holds no codes",
    expected: codes.map((one) => one.column).join(", "),
    got: String(column),
    where: "mostFrequentTag",
    repair: "save the baseline again",
  });
}

/** Shares that sum to one, none of them 0. */
function shares(counts: Float64Array): Float64Array {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.map((count) => (count + 0.5) / (total + 0.5 * counts.length));
}

function share({ codes, counts, unseen }: TagTable, C: number, code: number, label: number): number {
  const at = indexOf(codes, code);
  if (at < 0) return unseen[label];
  let total = 0;
  for (let c = 0; c < C; c++) total += counts[at * C + c];
  return (counts[at * C + label] + unseen[label]) / (total + 1);
}

function indexOf(sorted: Int32Array, code: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle] === code) return middle;
    if (sorted[middle] < code) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

function tooMany(codes: number, classes: number): OstinatoError {
  return new OstinatoError("OST_TARGET", {
    what: "there are too many codes and tags for a table of counts",
    expected: `at most ${MOST_COUNTS} counts`,
    got: `more than ${codes} codes of ${classes} tags`,
    where: "mostFrequentTag",
    repair: "use fewer codes, or leave this baseline out",
  });
}

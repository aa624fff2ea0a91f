/**
 * @file The count table: how often each key followed the latest one or two, as a rule for anomalies in logs. The published reduced protocol
 * of the HDFS logs holds it beside a recurrent network.
 *
 *     rank of a key = 1 + how many keys followed these latest keys more often          never followed: no rank, an anomaly at any g
 *
 * As log-probabilities: (c(h w) + 1/V) / (c(h) + 1), which keeps that order. Latest keys that were never seen in training predict nothing:
 * every key that follows them is one that never followed.
 */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { type Baseline, type BaselineArrays, type BaselineJson, requireBatch, unfitted } from "./baseline.js";
import { classInput, type ReadCode, requireClassInput } from "./code-input.js";
import { nextCodes } from "./code-stream.js";
import { LaneMemory } from "./lane-memory.js";
import { countArrays, forEachContext, restoreCounts } from "./ngram.js";
import { NGramCounts } from "./ngram-counts.js";

export interface CountTableOptions {
  /** How many of the latest keys a row of the table stands for: 1 or 2. Default 1. */
  keys?: 1 | 2;
}

interface CountTableChoice {
  keys: 1 | 2;
  /** Different n-grams of each order from 1 on. */
  sizes: number[];
}

/**
 * A table of counts, [B, T, V] log-probabilities. Steps with fewer than `keys` keys before them, at the beginning of a row, use those there
 * are.
 *
 * @throws OST_TARGET if the target is not the next code of a column among the features, or no training step has a target.
 * @throws OST_RANGE  if `keys` is not 1 or 2.
 */
export class CountTable implements Baseline {
  readonly kind = "countTable";
  readonly name: string;
  readonly streaming = "windowed";
  readonly history: number;
  readonly spec: ExampleSpec;
  readonly keys: 1 | 2;
  readonly #read: ReadCode;
  #counts: NGramCounts | undefined;
  #memory: LaneMemory;

  static applies(spec: ExampleSpec): boolean {
    return spec.targetKind === "next" && classInput(spec) !== undefined;
  }

  constructor(spec: ExampleSpec, { keys = 1 }: CountTableOptions = {}) {
    this.#read = requireClassInput(spec, "countTable").read;
    if (keys !== 1 && keys !== 2) {
      throw new OstinatoError("OST_RANGE", {
        what: "the latest keys of a count table",
        expected: "1 or 2",
        got: String(keys),
        where: "countTable",
        repair: "use the ngram baseline for longer contexts",
      });
    }
    this.spec = spec;
    this.keys = keys;
    this.name = `countTable(${keys})`;
    this.history = keys;
    this.#memory = new LaneMemory(this.#read, keys);
  }

  fit(train: () => Iterable<Batch>, _validation: () => Iterable<Batch>): void {
    const { spec, keys } = this;
    const stream = nextCodes(train(), spec, { read: this.#read, reach: keys, where: this.name });
    this.#counts = NGramCounts.count(stream, {
      vocabSize: spec.classes.length,
      order: keys + 1,
      maxEntries: Number.POSITIVE_INFINITY,
    });
  }

  predict(batch: Batch): Float32Array {
    const V = this.spec.classes.length;
    const out = new Float32Array(batch.batchSize * batch.time * V);
    this.#forEach(batch, (node, position) => {
      const counts = this.#counts as NGramCounts;
      const total = node < 0 ? 0 : counts.total(node);
      const own = out.subarray(position * V, (position + 1) * V).fill(Math.log(1 / V / (total + 1)));
      if (node >= 0) counts.forEachFollower(node, (code, count) => void (own[code] = Math.log((count + 1 / V) / (total + 1))));
    });
    return out;
  }

  /**
   * The rank of each step's target among the keys that followed its latest ones, [B, T]: 1 the commonest; keys as common share the lowest
   * of their ranks. V + 1 for a key that never followed them, 0 where there is no target.
   */
  ranks(batch: Batch): Int32Array {
    const ranks = new Int32Array(batch.batchSize * batch.time);
    this.#forEach(batch, (node, position) => {
      const counts = this.#counts as NGramCounts;
      const target = batch.classes?.[position] ?? -1;
      if (target < 0) return;
      const own = node < 0 ? 0 : counts.countOf(node, target);
      ranks[position] = own === 0 ? this.spec.classes.length + 1 : 1;
      if (own > 0) counts.forEachFollower(node, (_, count) => void (ranks[position] += count > own ? 1 : 0));
    });
    return ranks;
  }

  /** Visits each valid step with the row of the table for its latest keys, or -1 where these were never seen together. */
  #forEach(batch: Batch, visit: (node: number, position: number) => void): void {
    requireBatch(batch, this.spec, this.name);
    const counts = this.#counts ?? unfitted(this.name);
    const past = this.#memory.past(batch);
    forEachContext(batch, counts, past, this.#read, (context, position, row, step) => {
      const known = counts.lengthOf(context) >= Math.min(this.keys, past[row].length + step + 1);
      visit(known && counts.total(context) > 0 ? context : -1, position);
    });
  }

  toJSON(): BaselineJson {
    const { sizes } = this.#counts ?? unfitted(this.name);
    return { kind: this.kind, spec: this.spec, options: { keys: this.keys, sizes } satisfies CountTableChoice };
  }

  /** As those of an n-gram. */
  arrays(): BaselineArrays {
    return countArrays(this.#counts ?? unfitted(this.name));
  }

  static restore(spec: ExampleSpec, options: CountTableChoice, arrays: BaselineArrays): CountTable {
    const table = new CountTable(spec, { keys: options.keys });
    table.#counts = restoreCounts(spec, { order: options.keys + 1, sizes: options.sizes }, arrays, "countTable");
    return table;
  }
}

/**
 * @file Examples as arithmetic runs: which steps of which series a model reads, in memory that does not grow with their number.
 *
 * Windows follow each other by a stride, so a run of them is seven numbers; only what interrupts the rhythm (another stretch of the part, a
 * window that was dropped) starts a new run. A hundred million windows over a thousand series are a thousand runs.
 */
import type { ExampleSpec, Part } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { Augmentation } from "./augment.js";
import type { PreparedData } from "./prepare.js";

/** One example: the steps [start, start + length) of a series. */
export interface Example {
  series: number;
  start: number;
  length: number;
}

/** A run list as plain arrays, which a worker can be sent. */
export interface RunData {
  fields: Float64Array;
  /** Examples before each run, and after the last: [runs + 1]. */
  before: Float64Array;
}

/** A run's numbers in `RunData.fields`: example i of it starts at START + i * STRIDE and has LENGTH + i * GROWTH steps. */
const [SERIES, START, STRIDE, LENGTH, GROWTH] = [0, 1, 2, 3, 4];
const FIELDS = 5;

/** A list of examples as runs. Random access costs a binary search over the runs. */
export class RunList {
  /** Examples, and the steps of the shortest and the longest. */
  readonly count: number;
  readonly shortest: number;
  readonly longest: number;
  readonly #fields: Float64Array;
  readonly #before: Float64Array;
  #recent = 0;

  /** Keeps the arrays; they are never written. */
  constructor({ fields, before }: RunData) {
    this.#fields = fields;
    this.#before = before;
    this.count = before[before.length - 1];
    let shortest = Number.POSITIVE_INFINITY;
    let longest = 0;
    for (let run = 0; run < this.runs; run++) {
      const first = fields[run * FIELDS + LENGTH];
      const last = first + (before[run + 1] - before[run] - 1) * fields[run * FIELDS + GROWTH];
      shortest = Math.min(shortest, first, last);
      longest = Math.max(longest, first, last);
    }
    this.shortest = this.count > 0 ? shortest : 0;
    this.longest = longest;
  }

  static of(examples: Iterable<Example>): RunList {
    const builder = new RunListBuilder();
    for (const { series, start, length } of examples) builder.add(series, start, length);
    return builder.done();
  }

  get runs(): number {
    return this.#before.length - 1;
  }

  /** @throws OST_RANGE outside 0 .. count - 1. */
  at(index: number): Example {
    const run = this.#runOf(index);
    const i = index - this.#before[run];
    const at = run * FIELDS;
    const fields = this.#fields;
    return {
      series: fields[at + SERIES],
      start: fields[at + START] + i * fields[at + STRIDE],
      length: fields[at + LENGTH] + i * fields[at + GROWTH],
    };
  }

  /** Steps of one example. */
  lengthAt(index: number): number {
    if (this.shortest === this.longest) return this.longest;
    const run = this.#runOf(index);
    return this.#fields[run * FIELDS + LENGTH] + (index - this.#before[run]) * this.#fields[run * FIELDS + GROWTH];
  }

  *[Symbol.iterator](): Generator<Example, void, undefined> {
    for (let index = 0; index < this.count; index++) yield this.at(index);
  }

  get data(): RunData {
    return { fields: this.#fields, before: this.#before };
  }

  #runOf(index: number): number {
    if (!(index >= 0 && index < this.count)) {
      throw new OstinatoError("OST_RANGE", {
        what: "there is no such example",
        expected: `0 .. ${this.count - 1}`,
        got: String(index),
        where: "examples.at",
      });
    }
    const before = this.#before;
    const recent = this.#recent;
    if (index >= before[recent] && index < before[recent + 1]) return recent;
    let low = 0;
    let high = before.length - 2;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (before[middle] <= index) low = middle;
      else high = middle - 1;
    }
    this.#recent = low;
    return low;
  }
}

/** Collects examples in order, and extends the last run while they keep its rhythm. */
export class RunListBuilder {
  readonly #fields: number[] = [];
  readonly #before: number[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(series: number, start: number, length: number): void {
    const fields = this.#fields;
    const at = fields.length - FIELDS;
    const size = this.#before.length > 0 ? this.#count - this.#before[this.#before.length - 1] : 0;
    this.#count++;
    if (size > 0 && fields[at + SERIES] === series) {
      if (size === 1) {
        fields[at + STRIDE] = start - fields[at + START];
        fields[at + GROWTH] = length - fields[at + LENGTH];
        return;
      }
      const follows =
        start === fields[at + START] + size * fields[at + STRIDE] && length === fields[at + LENGTH] + size * fields[at + GROWTH];
      if (follows) return;
    }
    this.#before.push(this.#count - 1);
    fields.push(series, start, 0, length, 0);
  }

  done(): RunList {
    return new RunList({ fields: Float64Array.from(this.#fields), before: Float64Array.from([...this.#before, this.#count]) });
  }
}

export interface ExamplesOptions<P extends Part> {
  prepared: PreparedData;
  spec: ExampleSpec;
  part: P;
  runs: RunList;
  lastStep?: boolean;
  dropped?: Examples["dropped"];
  augmentation?: Augmentation | null;
}

/** A list of examples of one part over prepared data. */
export class Examples<P extends Part = Part> {
  readonly prepared: PreparedData;
  readonly spec: ExampleSpec;
  readonly part: P;
  readonly runs: RunList;
  /** Tags: only the last step of an example counts; the steps before it are what the model reads first. */
  readonly lastStep: boolean;
  /** What made no example: windows without a single target, and stretches of the part that are too short for one. */
  readonly dropped: { readonly noTarget: number; readonly tooShort: number };
  /** How their inputs are varied from epoch to epoch; null for anything but training examples that `augment` made. */
  readonly augmentation: Augmentation | null;

  constructor({ prepared, spec, part, runs, lastStep = false, dropped, augmentation = null }: ExamplesOptions<P>) {
    this.prepared = prepared;
    this.spec = spec;
    this.part = part;
    this.runs = runs;
    this.lastStep = lastStep;
    this.dropped = dropped ?? { noTarget: 0, tooShort: 0 };
    this.augmentation = augmentation;
  }

  get count(): number {
    return this.runs.count;
  }

  /** Steps of the shortest and of the longest example. */
  get shortest(): number {
    return this.runs.shortest;
  }

  get longest(): number {
    return this.runs.longest;
  }

  /** @throws OST_RANGE outside 0 .. count - 1. */
  at(index: number): Example {
    return this.runs.at(index);
  }

  /** The same, but for what is given. */
  with(changes: Partial<Pick<ExamplesOptions<P>, "runs" | "augmentation">>): Examples<P> {
    return new Examples<P>({ ...this, ...changes });
  }
}

/** @file Where a series has targets, found in one pass over a column that may be larger than memory. */
import type { PreparedSeries } from "./prepare.js";
import { stretches } from "./slices.js";

/** Steps looked at ahead at a time. */
const AHEAD = 16_384;

/** A text to be predicted is the target of every step of its series, an empty one too; where there is none, no step has a target. */
type Targets = Pick<PreparedSeries, "values" | "classes" | "tokens" | "length">;

/** Answers, for ends that never go back, which step before them is the last with a target. */
export class TargetScan {
  readonly #series: Targets;
  readonly #width: number;
  /** Of the steps [#from, #from + #has.length): 1 where there is a target. */
  #has = new Uint8Array(0);
  #from = 0;
  #at = 0;
  #last = -1;

  constructor(series: Targets) {
    this.#series = series;
    this.#width = series.values && series.length > 0 ? series.values.length / series.length : 1;
  }

  /** The last step before `end` with a target, or a number below `from` if none of [from, end) has one. */
  lastBefore(end: number, from: number): number {
    if (this.#at < from) {
      this.#at = from;
      this.#last = -1;
    }
    for (; this.#at < end; this.#at++) {
      if (this.#at < this.#from || this.#at >= this.#from + this.#has.length) this.#read(this.#at);
      if (this.#has[this.#at - this.#from] === 1) this.#last = this.#at;
    }
    return this.#last;
  }

  #read(from: number): void {
    const { values, classes, tokens, length } = this.#series;
    const to = Math.min(length, from + AHEAD);
    const width = this.#width;
    this.#from = from;
    if (classes) {
      this.#has = Uint8Array.from(classes.subarray(from, to), (index) => (index >= 0 ? 1 : 0));
      return;
    }
    this.#has = new Uint8Array(to - from).fill(tokens ? 1 : 0);
    if (!values) return;
    const cells = values.subarray(from * width, to * width);
    for (let i = 0; i < cells.length; i++) if (!Number.isNaN(cells[i])) this.#has[Math.floor(i / width)] = 1;
  }
}

/** Whether any step of [from, to) has a target. */
export function hasTarget({ values, classes, tokens, length }: PreparedSeries, from: number, to: number): boolean {
  if (classes) {
    for (const some of stretches(classes, { from, to })) if (some.some((index) => index >= 0)) return true;
    return false;
  }
  if (!values) return Boolean(tokens) && to > from;
  const width = values.length / length;
  for (const some of stretches(values, { from: from * width, to: to * width }))
    if (some.some((value) => !Number.isNaN(value))) return true;
  return false;
}

/** @file Where a series has targets, found in one pass over a column that may be larger than memory. */
import type { PreparedSeries } from "./prepare.js";
import { stretches } from "./slices.js";

/** Steps looked at ahead at a time. */
const AHEAD = 16_384;

/** Answers, for ends that never go back, which step before them is the last with a target. */
export class TargetScan {
  readonly #series: Pick<PreparedSeries, "values" | "classes" | "length">;
  readonly #width: number;
  /** Of the steps [#from, #from + #has.length): 1 where there is a target. */
  #has = new Uint8Array(0);
  #from = 0;
  #at = 0;
  #last = -1;

  constructor(series: Pick<PreparedSeries, "values" | "classes" | "length">) {
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
    const { values, classes, length } = this.#series;
    const to = Math.min(length, from + AHEAD);
    const width = this.#width;
    this.#from = from;
    if (classes) {
      this.#has = Uint8Array.from(classes.subarray(from, to), (index) => (index >= 0 ? 1 : 0));
      return;
    }
    const cells = values!.subarray(from * width, to * width);
    this.#has = new Uint8Array(to - from);
    for (let i = 0; i < cells.length; i++) if (!Number.isNaN(cells[i])) this.#has[Math.floor(i / width)] = 1;
  }
}

/** Whether any step of [from, to) has a target. */
export function hasTarget({ values, classes, length }: PreparedSeries, from: number, to: number): boolean {
  if (classes) {
    for (const some of stretches(classes, { from, to })) if (some.some((index) => index >= 0)) return true;
    return false;
  }
  const width = values!.length / length;
  for (const some of stretches(values!, { from: from * width, to: to * width }))
    if (some.some((value) => !Number.isNaN(value))) return true;
  return false;
}

/**
 * @file The last two minutes of a session, as the page heard them.
 *
 * The newest step is the right edge of every picture, so that the page does not depend on the clock of the one who looks.
 */
import type { StepEvent, WirePrediction } from "../src/protocol/index.js";

/** The pictures widen as the history grows, up to two minutes. */
const SPANS_MS = [15_000, 30_000, 60_000, 120_000];
const LONGEST_MS = SPANS_MS[SPANS_MS.length - 1];
/** 20 steps a second fill the span; of a faster stream the newest steps are kept. */
const MAX_STEPS = 2400;
const LATENCIES = 1000;
/** A silence of so many usual intervals is drawn as a gap. */
const GAP_INTERVALS = 3;

export interface Mark {
  at: number;
  kind: "reset" | "restored" | "new session";
}

export class History {
  readonly steps: StepEvent[] = [];
  marks: Mark[] = [];
  #latencies: number[] = [];

  add(step: StepEvent): void {
    this.steps.push(step);
    const start = step.at - LONGEST_MS;
    let old = Math.max(0, this.steps.length - MAX_STEPS);
    while (this.steps[old].at < start) old++;
    if (old > 0) this.steps.splice(0, old);
    this.marks = this.marks.filter(({ at }) => at >= start);
    this.#latencies.push(step.latencyMs);
    if (this.#latencies.length > LATENCIES) this.#latencies.shift();
  }

  mark(kind: Mark["kind"], at: number): void {
    this.marks.push({ kind, at });
  }

  get end(): number {
    return this.steps.length > 0 ? this.steps[this.steps.length - 1].at : 0;
  }

  /** The time that the pictures show, up to the newest step. */
  get spanMs(): number {
    const known = this.steps.length > 0 ? this.end - this.steps[0].at : 0;
    return SPANS_MS.find((span) => span >= known) ?? LONGEST_MS;
  }

  /** Latency of the model's own work at a quantile, over the last 1000 steps. */
  latencyMs(quantile: number): number | undefined {
    if (this.#latencies.length === 0) return undefined;
    const sorted = [...this.#latencies].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))];
  }

  /** For each of `width` columns of the span the index of the step it shows, or -1 where nothing was heard. A step fills the time before it. */
  columns(width: number): Int32Array {
    const columns = new Int32Array(width).fill(-1);
    const limit = Math.max(this.#gapMs(), this.spanMs / width);
    const start = this.end - this.spanMs;
    let index = 0;
    for (let x = 0; x < width; x++) {
      const time = start + ((x + 0.5) / width) * this.spanMs;
      while (index < this.steps.length && this.steps[index].at < time) index++;
      if (index < this.steps.length && this.steps[index].at - time <= limit) columns[x] = index;
    }
    return columns;
  }

  /** Whether a line between this step and the one before would hide a silence. */
  gapBefore(index: number): boolean {
    return index > 0 && this.steps[index].at - this.steps[index - 1].at > this.#gapMs();
  }

  /** The step shown at a fraction 0..1 of the span, or the newest one without a fraction. */
  at(fraction: number | undefined): StepEvent | undefined {
    if (fraction === undefined) return this.steps[this.steps.length - 1];
    const time = this.end - (1 - fraction) * this.spanMs;
    let low = 0;
    let high = this.steps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle].at < time) low = middle + 1;
      else high = middle;
    }
    return this.steps[Math.min(low, this.steps.length - 1)];
  }

  /** Where a moment stands in the span: 0 at its left edge, 1 at the newest step. */
  fraction({ at }: { at: number }): number {
    return 1 - (this.end - at) / this.spanMs;
  }

  /** Three usual intervals, at least half a second; the usual one is the median of the last 50. */
  #gapMs(): number {
    const recent = this.steps.slice(-51);
    const intervals = recent.slice(1).map(({ at }, i) => at - recent[i].at);
    intervals.sort((a, b) => a - b);
    return Math.max(500, GAP_INTERVALS * (intervals[intervals.length >> 1] ?? 0));
  }
}

/** What a step says now: its last prediction, or none where its record completed no step. */
export function predictionOf(step: StepEvent): WirePrediction | undefined {
  return step.predictions[step.predictions.length - 1];
}

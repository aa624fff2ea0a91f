/** @file Evenly spaced places of the test part that predictors go on from, each with the true steps before it. */
import { type ExampleSpec, isPerStep } from "../core/batch.js";
import { type Examples, type PreparedData, partCode, RunList, runsOf, sequences } from "../data/index.js";

export interface PlaceOptions {
  /** Places at most. */
  most: number;
  /** Steps gone on with at most, and true steps read before at most. */
  steps: number;
  history: number;
}

/** Examples that read `history` true steps and then one step less than they go on with; `reads[i]`: the true steps of example i. */
export interface Places {
  examples: Examples;
  reads: Int32Array;
}

/**
 * From stretches that are long enough, places that all have as many steps before and behind them as can be; of shorter ones any place with
 * one step on either side. Undefined where no stretch has two steps.
 */
export function placesOf(prepared: PreparedData, spec: ExampleSpec, { most, steps, history }: PlaceOptions): Places | undefined {
  const code = partCode("test");
  const stretches: { series: number; from: number; to: number; low: number; count: number }[] = [];
  let total = 0;
  prepared.series.forEach(({ part, copy }, series) => {
    if (copy) return;
    for (const [from, to] of runsOf(part, code)) {
      const length = to - from;
      if (length < 2) continue;
      const low = length > steps + 1 ? from + Math.max(1, Math.min(history, Math.floor((length - steps) / 2))) : from + 1;
      const high = length > steps + 1 ? to - steps : to - 1;
      stretches.push({ series, from, to, low, count: high - low + 1 });
      total += high - low + 1;
    }
  });
  if (total === 0) return undefined;
  const chosen = Math.min(most, total);
  const runs: { series: number; start: number; length: number }[] = [];
  const reads: number[] = [];
  let before = 0;
  let next = 0;
  for (const { series, from, to, low, count } of stretches) {
    for (; next < chosen; next++) {
      // The middle of the next of equal shares of all places.
      const place = Math.floor(((next + 0.5) * total) / chosen) - before;
      if (place >= count) break;
      const at = low + place;
      const start = Math.max(from, at - history);
      runs.push({ series, start, length: Math.min(at + steps, to) - 1 - start });
      reads.push(at - start);
    }
    before += count;
  }
  const all = sequences(prepared, { part: "test", ...(isPerStep(spec.targetKind) ? {} : { horizon: 1 }) });
  return { examples: all.with({ runs: RunList.of(runs) }), reads: Int32Array.from(reads) };
}

/** @file Numbers of a model's outputs, and their names. */
import type { WirePrediction } from "../protocol/event.js";
import type { NamingFacts, OutputNumbers } from "../protocol/frames.js";

/** Names the numbers of every prediction, by the facts of the model that made them. */
export function describePredictions(
  { classes, targets, horizon }: NamingFacts,
  { count, outputSize, seq, time, values }: OutputNumbers,
): WirePrediction[] {
  return Array.from({ length: count }, (_, i) => {
    const own = values.subarray(i * outputSize, (i + 1) * outputSize);
    const base = { seq: seq[i], time: Number.isNaN(time[i]) ? null : time[i] };
    if (classes.length === 0) {
      const forecast = Object.fromEntries(
        targets.map((name, k) => [name, Array.from(own.subarray(k * horizon, (k + 1) * horizon))]),
      );
      return { ...base, forecast };
    }
    let best = 0;
    for (let k = 1; k < own.length; k++) if (own[k] > own[best]) best = k;
    const probabilities = Object.fromEntries(classes.map((name, k) => [name, own[k]]));
    return { ...base, label: classes[best], confidence: own[best], probabilities };
  });
}

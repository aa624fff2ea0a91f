/** @file Numbers of a model's outputs, and their names. */
import type { WirePrediction } from "../protocol/event.js";
import type { NamingFacts, OutputNumbers } from "../protocol/frames.js";

/** Names the numbers of every prediction, by the facts of the model that made them. */
export function describePredictions(
  { task, classes, targets, horizon, threshold, interval }: NamingFacts,
  { count, outputSize, seq, time, values }: OutputNumbers,
): WirePrediction[] {
  return Array.from({ length: count }, (_, i) => {
    const own = values.subarray(i * outputSize, (i + 1) * outputSize);
    const base = { seq: seq[i], time: Number.isNaN(time[i]) ? null : time[i] };
    if (task === "detect") return { ...base, score: own[0], anomaly: own[1] === 1 };
    if (classes.length === 0) {
      const byTarget = (pick: (value: number, k: number, p: number) => number) =>
        Object.fromEntries(
          targets.map((name, k) => [name, Array.from({ length: horizon }, (_, p) => pick(own[k * horizon + p], k, p))]),
        );
      const forecast = byTarget((value) => value);
      if (!interval) return { ...base, forecast };
      const { coverage, halfWidth } = interval;
      const lower = byTarget((value, k, p) => value - halfWidth[k][p]);
      const upper = byTarget((value, k, p) => value + halfWidth[k][p]);
      return { ...base, forecast, interval: { coverage, lower, upper } };
    }
    let best = 0;
    for (let k = 1; k < own.length; k++) if (own[k] > own[best]) best = k;
    if (threshold !== undefined && own.length === 2) best = own[1] > threshold ? 1 : 0;
    const probabilities = Object.fromEntries(classes.map((name, k) => [name, own[k]]));
    return { ...base, label: classes[best], confidence: own[best], probabilities };
  });
}

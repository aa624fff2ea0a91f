/**
 * @file How a predictor's surprise becomes a score, and scores become alerts. Files and streams compute it by the same few functions.
 *
 *     nextEvent                   the rank of the event that came: 1 + how many others were at least as likely           (Du et al. 2017)
 *     residual, reconstruction    sum over targets of ((y - expected - mean_k) / std_k)^2                              (Malhotra et al. 2015, 2016)
 *
 * mean_k and std_k are those of the errors on the validation part. A score is the same number in float32, in which states are kept.
 *
 *     quiet   -> alert   when the score has been above `threshold` for `steps` steps on end
 *     alert   -> quiet   when the score is at or below `off`; then nothing begins for `quiet` steps
 */
import { scaleOf } from "../core/predictive-distribution.js";

export const DETECTIONS = ["nextEvent", "residual", "reconstruction"] as const;
export type DetectionKind = (typeof DETECTIONS)[number];

/** Everything that turns predictions into alerts; `header.detection` of a model file. */
export interface Detection {
  by: DetectionKind;
  /** Whether steps are judged, or whole series: one is anomalous if any of its steps is. */
  unit: "step" | "series";
  /** Alert above this. */
  threshold: number;
  /** An alert ends at or below this; at most `threshold`. */
  off: number;
  /** Steps on end above the threshold before an alert begins, >= 1. */
  steps: number;
  /** Steps after an alert in which none begins. */
  quiet: number;
  /** Series: one of fewer steps is `short`, whatever its steps are; 1 judges all by their steps. */
  shortest: number;
  short: "anomalous" | "normal";
  /** Of the errors of each target on the validation part, scaled; empty for events. */
  mean: number[];
  std: number[];
  /** How the threshold was chosen, in words, and on how many validation scores; 0 where it was given. */
  rule: string;
  n: number;
}

/** Least deviation of errors, scaled: what a target that is always predicted exactly is measured in. */
export const LEAST_DEVIATION = 1e-3;

const LARGEST = 3.4028234e38;

/**
 * The rank of an event among those expected: 1 is the likeliest. Events as likely as it come before it, so that among many that were never
 * seen to follow all are last. The code 0, an event that training never saw or a missing one, is no candidate and ranks behind all.
 *
 * @param logits [classes] from `at` on
 */
export function eventRank(logits: ArrayLike<number>, at: number, classes: number, code: number): number {
  if (code === 0) return classes;
  const own = logits[at + code];
  let rank = 0;
  for (let c = 1; c < classes; c++) if (logits[at + c] >= own) rank++;
  return rank;
}

/**
 * The error of one value: its distance from what was expected; of a Gaussian in its own deviations.
 *
 * @param raw what the predictor gave for the value: [1] itself, or [2] the outputs of a Gaussian
 */
export function valueError(raw: ArrayLike<number>, value: number): number {
  return raw.length === 1 ? value - raw[0] : (value - raw[0]) / Math.max(LEAST_DEVIATION, scaleOf(raw[1]));
}

/**
 * The score of a step from its surprise: the rank itself, or the squared standardised errors summed over the targets that are there.
 *
 * @param surprise [1] rank, or [K] errors, NaN where there is no value
 * @returns null where there is nothing to score.
 */
export function scoreOf(surprise: ArrayLike<number>, { by, mean, std }: Pick<Detection, "by" | "mean" | "std">): number | null {
  if (by === "nextEvent") return surprise[0];
  let sum = 0;
  let there = 0;
  for (let k = 0; k < mean.length; k++) {
    if (Number.isNaN(surprise[k])) continue;
    sum += ((surprise[k] - mean[k]) / std[k]) ** 2;
    there++;
  }
  return there > 0 ? Math.fround(Math.min(LARGEST, sum)) : null;
}

/** Numbers of an alarm's state: steps above the threshold, whether there is an alert, quiet steps left. */
export const ALARM_SIZE = 3;

/** Advances an alarm, whose state lies from `at` on, by one score. @returns whether there is an alert at this step. */
export function advanceAlarm(
  state: Float32Array,
  at: number,
  score: number,
  { threshold, off, steps, quiet }: Pick<Detection, "threshold" | "off" | "steps" | "quiet">,
): boolean {
  if (state[at + 1] === 1) {
    if (score > off) return true;
    state[at] = 0;
    state[at + 1] = 0;
    state[at + 2] = quiet;
    return false;
  }
  if (state[at + 2] > 0) {
    state[at + 2]--;
    return false;
  }
  state[at] = score > threshold ? state[at] + 1 : 0;
  if (state[at] < steps) return false;
  state[at + 1] = 1;
  return true;
}

/** The alerts of a whole series: 1 where there is one. A step without a score leaves the alarm as it is and is no alert. */
export function alertsOf(scores: Iterable<number | null>, detection: Detection): Uint8Array {
  const state = new Float32Array(ALARM_SIZE);
  return Uint8Array.from(scores, (score) => (score !== null && advanceAlarm(state, 0, score, detection) ? 1 : 0));
}

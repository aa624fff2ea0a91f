/**
 * @file How a predictor's surprise becomes a score, and scores become alerts. Files and streams compute it by the same few functions.
 *
 *     nextEvent                   the rank of the event that came: 1 + how many others were at least as likely           (Du et al. 2017)
 *     residual, reconstruction    sum over targets of ((y - expected - mean_k) / std_k)^2                              (Malhotra et al. 2015, 2016)
 *
 * mean_k and std_k are those of the errors on the validation part. A score is the same number in float32, in which states are kept.
 *
 *     mean <- mean + (score - mean) / min(smooth, scores so far)
 *     quiet   -> alert   when the mean has been above `threshold` for `steps` steps on end
 *     alert   -> quiet   when the mean is at or below `off`; then nothing begins for `quiet` steps
 */
import { scaleOf } from "../core/predictive-distribution.js";

export const DETECTIONS = ["nextEvent", "residual", "reconstruction"] as const;
export type DetectionKind = (typeof DETECTIONS)[number];

/** Everything that turns predictions into alerts; `header.detection` of a model file. */
export interface Detection {
  by: DetectionKind;
  /** Whether steps are judged, or whole series: one is anomalous if any of its steps is. */
  unit: "step" | "series";
  /** Scores that are averaged, exponentially: each mean is the one before and a share 1 / smooth of what the new score adds. 1: none is. */
  smooth: number;
  /** Alert where the mean is above this. */
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

/** Numbers of an alarm's state: scores averaged, their mean, steps above the threshold, whether there is an alert, quiet steps left. */
export const ALARM_SIZE = 5;

/**
 * Advances an alarm, whose state lies from `at` on, by one score; the mean it is held against the threshold with then lies at `at + 1`.
 *
 * @returns whether there is an alert at this step.
 */
export function advanceAlarm(
  state: Float32Array,
  at: number,
  score: number,
  { smooth, threshold, off, steps, quiet }: Pick<Detection, "smooth" | "threshold" | "off" | "steps" | "quiet">,
): boolean {
  const [counted, mean, above, alerting, silent] = [at, at + 1, at + 2, at + 3, at + 4];
  state[counted] = Math.min(smooth, state[counted] + 1);
  state[mean] += (score - state[mean]) / state[counted];
  if (state[alerting] === 1) {
    if (state[mean] > off) return true;
    state[above] = 0;
    state[alerting] = 0;
    state[silent] = quiet;
    return false;
  }
  if (state[silent] > 0) {
    state[silent]--;
    return false;
  }
  state[above] = state[mean] > threshold ? state[above] + 1 : 0;
  if (state[above] < steps) return false;
  state[alerting] = 1;
  return true;
}

/** A series as its alarm sees it. */
export interface Watched {
  /** The mean of the latest scores, null where a step has none. */
  scores: (number | null)[];
  /** 1 where there is an alert. */
  alerts: Uint8Array;
}

/** Runs an alarm over a whole series. A step without a score leaves it as it is and is no alert. */
export function watch(
  scores: readonly (number | null)[],
  detection: Pick<Detection, "smooth" | "threshold" | "off" | "steps" | "quiet">,
): Watched {
  const state = new Float32Array(ALARM_SIZE);
  const alerts = new Uint8Array(scores.length);
  const means = scores.map((score, t) => {
    if (score === null) return null;
    alerts[t] = advanceAlarm(state, 0, score, detection) ? 1 : 0;
    return state[1];
  });
  return { scores: means, alerts };
}

/**
 * @file Scheduled sampling (Bengio, Vinyals, Jaitly & Shazeer 2015): how often a network that is taught by the true values before reads its
 * own prediction instead, which is what it will have when it runs by itself.
 *
 * All functions depend on the number of the update alone, so that a resumed run goes on where it was.
 */
import { OstinatoError } from "../core/errors.js";

export const SAMPLING_KINDS = ["constant", "linear", "exponential", "inverseSigmoid"] as const;
export type SamplingKind = (typeof SAMPLING_KINDS)[number];

export interface SamplingOptions {
  kind: SamplingKind;
  /** Probability of reading its own prediction in the first update, 0 .. 1; default 0. */
  from?: number;
  /** And after `steps` updates, 0 .. 1; default 0.5. "constant" is this from the beginning. */
  to?: number;
  /** Updates on the way, a whole number >= 1. "constant" needs none. */
  steps?: number;
}

/** What is left of the way when the curve is cut off and stretched to end at `to`. */
const REST = 0.01;

/**
 * The probability by update, from 0: exactly `from` at 0, exactly `to` at and after `steps`, and in between the share of the way that the
 * paper's curves have gone, stretched to begin and end there:
 *
 *     linear          i / steps
 *     exponential     1 - k^i,               k so that 1 % is left at `steps`
 *     inverseSigmoid  1 - k / (k + e^(i/k)), k so that 1 % is left at `steps`
 *
 * @throws OST_RANGE if an option lies outside its range.
 */
export function scheduledSampling({ kind, from = 0, to = 0.5, steps }: SamplingOptions): (step: number) => number {
  for (const [name, probability] of Object.entries({ from, to })) {
    if (!(probability >= 0 && probability <= 1)) throw refuse(`${name} is a probability`, "0 .. 1", probability);
  }
  if (!SAMPLING_KINDS.includes(kind)) throw refuse("no such schedule", SAMPLING_KINDS.join(", "), kind);
  if (kind === "constant") return () => to;
  if (!(Number.isInteger(steps) && (steps as number) >= 1))
    throw refuse("steps is no number of updates", "a whole number >= 1", steps);
  const last = steps as number;
  const truth = teacherForcing(kind, last);
  const [first, rest] = [truth(0), truth(last)];
  return (step) => {
    if (step >= last) return to;
    return from + (to - from) * Math.max(0, (first - truth(step)) / (first - rest));
  };
}

/** The paper's probability of the truth. */
function teacherForcing(kind: Exclude<SamplingKind, "constant">, steps: number): (step: number) => number {
  if (kind === "linear") return (step) => linearDecay(step, { slope: 1 / steps });
  if (kind === "exponential") return (step) => exponentialDecay(step, { k: REST ** (1 / steps) });
  const k = sigmoidConstant(steps);
  return (step) => inverseSigmoidDecay(step, { k });
}

/** Probability of reading the truth, max(floor, start - slope * step). */
export function linearDecay(
  step: number,
  { slope, start = 1, floor = 0 }: { slope: number; start?: number; floor?: number },
): number {
  return Math.max(floor, start - slope * step);
}

/** Probability of reading the truth, k^step with 0 < k < 1. */
export function exponentialDecay(step: number, { k }: { k: number }): number {
  return k ** step;
}

/** Probability of reading the truth, k / (k + e^(step / k)): near 1 at first, half at step k ln k, then down to 0. */
export function inverseSigmoidDecay(step: number, { k }: { k: number }): number {
  return k / (k + Math.exp(step / k));
}

/** k with inverseSigmoidDecay(steps) = REST: steps = k ln(k (1 - REST) / REST), which grows with k where it is positive. */
function sigmoidConstant(steps: number): number {
  const odds = (1 - REST) / REST;
  let [low, high] = [1 / odds, Math.max(2, steps)];
  for (let i = 0; i < 200; i++) {
    const k = (low + high) / 2;
    if (k * Math.log(k * odds) < steps) low = k;
    else high = k;
  }
  return high;
}

function refuse(what: string, expected: string, got: unknown): OstinatoError {
  return new OstinatoError("OST_RANGE", { what, expected, got: String(got), where: "train.sampling" });
}

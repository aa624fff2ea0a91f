/**
 * @file An alarm with two thresholds and a minimum duration, so that a score that flickers about one threshold raises one alert, not ten (after Schmitt
 * 1938). Causal: a step's answer depends on the steps up to it.
 *
 *     quiet   -> alert   when the score has been above `on` for `minimumDuration` steps on end
 *     alert   -> quiet   when the score is at or below `off`; then no alert begins for `quiet` steps
 */
import { OstinatoError } from "../../core/errors.js";

export interface HysteresisOptions {
  /** Alert above this. */
  on: number;
  /** Quiet again at or below this; at most `on`. Default `on`. */
  off?: number;
  /** Steps on end above `on` before an alert begins; 1 or more. Default 1. */
  minimumDuration?: number;
  /** Steps after an alert's last one in which scores above `on` count for nothing. Default 0. */
  quiet?: number;
}

/** The alarm as it runs; one per series. */
export class Hysteresis {
  readonly #on: number;
  readonly #off: number;
  readonly #minimum: number;
  readonly #quiet: number;
  #waits = 0;
  #above = 0;
  #alerting = false;

  /** @throws OST_RANGE if a threshold is no number, `off` lies above `on`, or the duration is no count. */
  constructor({ on, off = on, minimumDuration = 1, quiet = 0 }: HysteresisOptions) {
    if (!(off <= on)) {
      throw new OstinatoError("OST_RANGE", {
        what: "an alarm must go quiet at or below the score it began above",
        expected: "off <= on",
        got: `off ${off}, on ${on}`,
        where: "hysteresis",
      });
    }
    requireCount(minimumDuration, "a minimum duration", 1);
    requireCount(quiet, "a pause after an alert", 0);
    this.#on = on;
    this.#off = off;
    this.#minimum = minimumDuration;
    this.#quiet = quiet;
  }

  /** Takes the next score and says whether there is an alert at this step. @throws OST_NAN for a score that is not a number. */
  step(score: number): boolean {
    if (Number.isNaN(score)) {
      throw new OstinatoError("OST_NAN", {
        what: "a score is not a number",
        expected: "a number",
        got: "NaN",
        where: "hysteresis",
      });
    }
    if (this.#alerting) {
      if (score > this.#off) return true;
      this.#alerting = false;
      this.#above = 0;
      this.#waits = this.#quiet;
    }
    if (this.#waits > 0) {
      this.#waits--;
      return false;
    }
    this.#above = score > this.#on ? this.#above + 1 : 0;
    this.#alerting = this.#above >= this.#minimum;
    return this.#alerting;
  }
}

/** The alerts of a whole series: 1 where there is one. [n] */
export function hysteresisAlerts(scores: ArrayLike<number>, options: HysteresisOptions): Uint8Array {
  const alarm = new Hysteresis(options);
  return Uint8Array.from(scores, (score) => (alarm.step(score) ? 1 : 0));
}

export interface ChooseHysteresisOptions {
  /** Alerts that may begin per 1,000 steps. */
  per1000: number;
  minimumDuration?: number;
  quiet?: number;
  /** Where `off` lies for an `on`; at most there. Default half-way between it and the median score. */
  off?: (on: number) => number;
}

export interface ChosenHysteresis extends Required<HysteresisOptions> {
  /** Steps it was chosen on, and alerts that begin there. */
  n: number;
  alerts: number;
  alertsPer1000: number;
}

/**
 * The lowest `on` whose alerts, and those of every higher threshold tried, keep to the budget on the validation scores. Thresholds tried are scores
 * that occur, at most 1,000 of them, closest together where scores are highest. With a budget of 0 it is the highest score.
 *
 * @param series one list of scores per series; alerts never go on from one into the next
 * @throws OST_TARGET if there are no scores. @throws OST_RANGE for a budget, a duration or an `off` outside its range. @throws OST_NAN
 */
export function chooseHysteresis(
  series: readonly ArrayLike<number>[],
  { per1000, minimumDuration = 1, quiet = 0, off }: ChooseHysteresisOptions,
): ChosenHysteresis {
  const sorted = Float64Array.from(series.flatMap((scores) => Array.from(scores)))
    .sort()
    .reverse();
  const n = sorted.length;
  if (!(per1000 >= 0 && per1000 <= 1000)) {
    throw new OstinatoError("OST_RANGE", {
      what: "an alert budget counts alerts per 1,000 steps",
      expected: "0 .. 1000",
      got: String(per1000),
      where: "hysteresis",
    });
  }
  if (n === 0) {
    throw new OstinatoError("OST_TARGET", {
      what: "there are no scores to choose thresholds on",
      expected: "at least one score of the validation part",
      got: "none",
      where: "hysteresis",
    });
  }
  if (Number.isNaN(sorted[0])) new Hysteresis({ on: 0 }).step(Number.NaN);
  const median = (sorted[(n - 1) >> 1] + sorted[n >> 1]) / 2;
  const offOf = off ?? ((on: number) => Math.min(on, (median + on) / 2));
  const alertsAt = (on: number) => {
    const options = { on, off: offOf(on), minimumDuration, quiet };
    return series.reduce((sum, scores) => sum + begun(hysteresisAlerts(scores, options)), 0);
  };
  const allowed = Math.floor((per1000 * n) / 1000 + 1e-9);
  let chosen = sorted[0];
  let alerts = 0;
  for (const on of candidates(sorted)) {
    const found = alertsAt(on);
    if (found > allowed) break;
    [chosen, alerts] = [on, found];
  }
  return { on: chosen, off: offOf(chosen), minimumDuration, quiet, n, alerts, alertsPer1000: (1000 * alerts) / n };
}

const MOST_TRIED = 1000;

/** Distinct scores, the highest first; of many, those whose ranks grow by a steady share. */
function candidates(sorted: Float64Array): number[] {
  const distinct = sorted.filter((score, i) => i === 0 || score !== sorted[i - 1]);
  if (distinct.length <= MOST_TRIED) return [...distinct];
  const growth = distinct.length ** (1 / MOST_TRIED);
  const ranks = new Set<number>();
  for (let i = 0; i <= MOST_TRIED; i++) ranks.add(Math.min(distinct.length - 1, Math.round(growth ** i) - 1));
  return [...ranks].map((rank) => distinct[rank]);
}

/** Alerts that begin. */
function begun(alerts: Uint8Array): number {
  let count = 0;
  for (let t = 0; t < alerts.length; t++) if (alerts[t] && !(t > 0 && alerts[t - 1])) count++;
  return count;
}

function requireCount(steps: number, what: string, least: number): void {
  if (Number.isInteger(steps) && steps >= least) return;
  throw new OstinatoError("OST_RANGE", {
    what: `${what} is a count of steps`,
    expected: `${least} or more`,
    got: String(steps),
    where: "hysteresis",
  });
}

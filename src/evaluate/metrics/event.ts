/**
 * @file Detection judged by events: a window of steps in which something is wrong is found once, however long it is, and alarms outside all windows
 * are counted by what they cost, per 1,000 steps. Labels as in the Numenta Anomaly Benchmark (Lavin & Ahmad 2015): windows, not points.
 *
 *     event recall       windows with at least one alerted step / windows
 *     alarm              a run of alerted steps without a pause; it is false where no step of it lies in a window
 *     segment precision  alarms that touch a window / alarms
 *
 * Point adjustment (Xu et al. 2018) counts every step of a window as found once one of them is. It rewards long windows and long luck: random scores
 * come out near the best (Kim et al. 2022, AAAI). It is given for comparison with papers that use it, and with that warning.
 */
import { OstinatoError } from "../../core/errors.js";

/** Steps start .. end - 1. */
export interface EventWindow {
  start: number;
  end: number;
}

export interface EventMetrics {
  /** Steps judged, and those of them outside all windows. */
  points: number;
  outside: number;
  /** Windows, and those with at least one alerted step. */
  events: number;
  found: number;
  /** Null where there is no window. */
  recall: number | null;
  /** Runs of alerted steps, and those that touch no window. */
  alarms: number;
  falseAlarms: number;
  /** Share of alarms that touch a window; null where there was no alarm. */
  precision: number | null;
  /** Harmonic mean of the two; null where one is, 0 where both are 0. */
  f1: number | null;
  /** Alerted steps outside all windows. */
  falsePoints: number;
  /** `falsePoints` and `falseAlarms` per 1,000 steps outside all windows; 0 where there are no such steps. */
  falsePointsPer1000: number;
  falseAlarmsPer1000: number;
  /** Steps from the beginning of a window to its first alerted step, mean over the windows found; null where none was. */
  meanDelay: number | null;
  /** Only when asked for. */
  pointAdjusted?: { precision: number; recall: number; f1: number; warning: string };
}

export interface EventOptions {
  /** Steps before this one are not judged (a detector's time to settle); a window counts from there on. Default 0. */
  from?: number;
  /** Also gives the point-adjusted figures. Default false. */
  pointAdjusted?: boolean;
}

export const POINT_ADJUST_WARNING =
  "Point adjustment counts a whole window as found once one of its steps is alerted: random scores reach high values by it. Compare by events.";

/** Running sums over series. */
export class EventSums {
  readonly #options: EventOptions;
  #points = 0;
  #outside = 0;
  #events = 0;
  #found = 0;
  #alarms = 0;
  #falseAlarms = 0;
  #falsePoints = 0;
  #delay = 0;
  #inside = 0;
  #adjusted = 0;

  constructor(options: EventOptions = {}) {
    this.#options = options;
  }

  /**
   * Counts one series.
   *
   * @param alerts one per step, true or 1 where the detector alerts
   * @param windows inside the series; they may overlap and are then events of their own
   * @throws OST_RANGE if a window is empty or leaves the series.
   */
  add(alerts: ArrayLike<number | boolean>, windows: readonly EventWindow[]): void {
    const { from = 0 } = this.#options;
    const n = alerts.length;
    const inWindow = new Uint8Array(n);
    const adjusted = new Uint8Array(n);
    for (const { start, end } of windows) {
      if (!(Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start < end && end <= n)) {
        throw new OstinatoError("OST_RANGE", {
          what: "a window lies outside its series or is empty",
          expected: `0 <= start < end <= ${n}`,
          got: `${start} .. ${end}`,
          where: "event metrics",
        });
      }
      const first = Math.max(start, from);
      if (first >= end) continue;
      this.#events++;
      inWindow.fill(1, first, end);
      let at = first;
      while (at < end && !alerts[at]) at++;
      if (at === end) continue;
      this.#found++;
      this.#delay += at - first;
      adjusted.fill(1, first, end);
    }
    let touches = false;
    let running = false;
    const close = () => {
      if (!running) return;
      this.#alarms++;
      if (!touches) this.#falseAlarms++;
      running = false;
      touches = false;
    };
    for (let t = Math.min(n, Math.max(0, from)); t < n; t++) {
      this.#points++;
      if (!inWindow[t]) this.#outside++;
      else {
        this.#inside++;
        this.#adjusted += adjusted[t];
      }
      if (!alerts[t]) {
        close();
        continue;
      }
      running = true;
      if (inWindow[t]) touches = true;
      else this.#falsePoints++;
    }
    close();
  }

  result(): EventMetrics {
    const recall = this.#events > 0 ? this.#found / this.#events : null;
    const precision = this.#alarms > 0 ? (this.#alarms - this.#falseAlarms) / this.#alarms : null;
    const per1000 = (count: number) => (this.#outside > 0 ? (1000 * count) / this.#outside : 0);
    return {
      points: this.#points,
      outside: this.#outside,
      events: this.#events,
      found: this.#found,
      recall,
      alarms: this.#alarms,
      falseAlarms: this.#falseAlarms,
      precision,
      f1: recall === null || precision === null ? null : harmonic(precision, recall),
      falsePoints: this.#falsePoints,
      falsePointsPer1000: per1000(this.#falsePoints),
      falseAlarmsPer1000: per1000(this.#falseAlarms),
      meanDelay: this.#found > 0 ? this.#delay / this.#found : null,
      ...(this.#options.pointAdjusted && { pointAdjusted: this.#pointAdjusted() }),
    };
  }

  #pointAdjusted() {
    const called = this.#adjusted + this.#falsePoints;
    const precision = called > 0 ? this.#adjusted / called : 0;
    const recall = this.#inside > 0 ? this.#adjusted / this.#inside : 0;
    return { precision, recall, f1: harmonic(precision, recall), warning: POINT_ADJUST_WARNING };
  }
}

/** The figures of one series; of several, see {@link EventSums}. */
export function eventMetrics(
  alerts: ArrayLike<number | boolean>,
  windows: readonly EventWindow[],
  options: EventOptions = {},
): EventMetrics {
  const sums = new EventSums(options);
  sums.add(alerts, windows);
  return sums.result();
}

/** The windows that labels of single steps amount to: runs of steps that are true or 1. */
export function windowsOf(labels: ArrayLike<number | boolean>): EventWindow[] {
  const windows: EventWindow[] = [];
  for (let t = 0; t < labels.length; t++) {
    if (!labels[t]) continue;
    const start = t;
    while (t < labels.length && labels[t]) t++;
    windows.push({ start, end: t });
  }
  return windows;
}

function harmonic(a: number, b: number): number {
  return a + b > 0 ? (2 * a * b) / (a + b) : 0;
}

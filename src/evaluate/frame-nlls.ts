/** @file Sets of things at each step: the log-probability of the whole set, and what was found of it. */
import type { AskedForecast } from "./asked-forecast.js";
import { FrameSums } from "./metrics/frame.js";
import type { ForecastMetrics } from "./score.js";

export class FrameNlls {
  readonly #found = new FrameSums();
  readonly #targets: readonly string[];
  readonly #byStep: { nll: number; steps: number }[];
  readonly #byTarget: { nll: number; n: number }[];
  #nll = 0;
  #steps = 0;
  #pending = 0;
  #anything = false;

  constructor(horizon: number, targets: readonly string[]) {
    this.#targets = targets;
    this.#byStep = Array.from({ length: horizon }, () => ({ nll: 0, steps: 0 }));
    this.#byTarget = targets.map(() => ({ nll: 0, n: 0 }));
  }

  add(asked: AskedForecast, target: number, k: number): void {
    const nll = asked.nll(target) as number;
    this.#pending += nll;
    this.#anything = true;
    this.#byTarget[k].nll += nll;
    this.#byTarget[k].n++;
    this.#found.add(asked.point > 0.5, target === 1);
  }

  /** Ends a predicted step: the targets since the last one are one set. */
  closeStep(p: number): void {
    if (!this.#anything) return;
    this.#nll += this.#pending;
    this.#steps++;
    this.#byStep[p].nll += this.#pending;
    this.#byStep[p].steps++;
    this.#pending = 0;
    this.#anything = false;
  }

  open() {
    const { truePositives, falsePositives, falseNegatives } = this.#found;
    return { nll: this.#nll, steps: this.#steps, counts: [truePositives, falsePositives, falseNegatives] };
  }

  since({ nll, steps, counts }: ReturnType<FrameNlls["open"]>) {
    const now = this.open();
    return { nll: now.nll - nll, steps: now.steps - steps, counts: now.counts.map((count, i) => count - counts[i]) };
  }

  complete(metrics: ForecastMetrics): ForecastMetrics {
    const { accuracy, f1 } = this.#found.result();
    for (const row of metrics.byHorizon) row.nll = this.#byStep[row.step - 1].nll / this.#byStep[row.step - 1].steps;
    this.#targets.forEach((name, k) => {
      const { nll, n } = this.#byTarget[k];
      if (n > 0) metrics.byTarget[name].nll = nll / n;
    });
    return { ...metrics, nll: this.#nll / this.#steps, frameAccuracy: accuracy, frameF1: f1, frames: this.#steps };
  }
}

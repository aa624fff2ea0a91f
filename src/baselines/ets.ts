/**
 * @file ETS: exponential smoothing of each target column, simple, with a trend (Holt) and with a season (Holt & Winters), each with the
 * form that Akaike's corrected criterion prefers on the training part.
 *
 *     AICc = n log(SSE / n) + 2 q + 2 q (q + 1) / (n - q - 1)        q: smoothing parameters, first states, and the variance
 *
 * The smoothing parameters are those of least squared one-step errors on training stretches as long as a window and its horizon, each from
 * a state of its own; they are frozen. The state is read from the window alone: a forecast depends on no step before it.
 * Sources: exponential-smoothing.ts; choice by AICc: Hyndman, Koehler, Snyder & Grose 2002, International Journal of Forecasting 18(3).
 */

import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { unfitted } from "./baseline.js";
import { ColumnForecast, checkPeriod, keptSteps, replaceInfinite, requireColumns } from "./column-forecast.js";
import { ExponentialSmoothing, type Season, type SmoothingParameters, type Trend } from "./exponential-smoothing.js";
import { nelderMead } from "./nelder-mead.js";
import { type Stretch, trainingStretches } from "./training-stretch.js";

export interface ETSOptions {
  /** Steps in a season; absent or 1: no season. */
  period?: number;
  /** At most about so many training steps of each column are used, evenly spaced; default 10,000. */
  maxSteps?: number;
}

/** What the fit chose for one column. */
export interface ETSColumn extends SmoothingParameters {
  /** Of this form; null where too few values were scored to choose by it. */
  aicc: number | null;
}

interface ETSChoice {
  period: number;
  columns: ETSColumn[];
}

const TRENDS: readonly Trend[] = ["none", "additive", "damped"];
const SEASONS: readonly Season[] = ["none", "additive", "multiplicative"];

/**
 * One form of exponential smoothing per column. Multiplicative seasons are tried for columns whose training values are all above 0.
 *
 * @throws OST_TARGET if a target is not among the features, or training has no values.
 * @throws OST_RANGE  if the period is not a positive whole number.
 */
export class ETS extends ColumnForecast {
  readonly kind = "ets";
  readonly name = "ets";
  readonly period: number;
  readonly #maxSteps: number;
  #columns: ETSColumn[] | undefined;
  #smoothing: ExponentialSmoothing[] = [];

  constructor(spec: ExampleSpec, { period = 1, maxSteps = 10_000 }: ETSOptions = {}) {
    super(spec);
    this.period = checkPeriod(period, "ets");
    this.#maxSteps = maxSteps;
  }

  get history(): number {
    return keptSteps(this.spec, this.period);
  }

  /** What the fit chose per column. @throws OST_RANGE before `fit`. */
  get columns(): readonly ETSColumn[] {
    return this.#columns ?? unfitted(this.name);
  }

  override fit(train: () => Iterable<Batch>, _validation: () => Iterable<Batch>): void {
    const { history, period, spec } = this;
    const length = history + Math.max(spec.horizon, period, 10);
    const stretches = trainingStretches(train, spec, { length, maxSteps: this.#maxSteps, where: this.name });
    const warm = Math.min(Math.max(2 * period, 10), history);
    this.#keep(spec.targets.map((_, k) => this.#fitColumn(stretches, k, warm)));
  }

  #keep(columns: ETSColumn[]): void {
    this.#columns = columns;
    this.#smoothing = columns.map((column) => new ExponentialSmoothing(column, this.period));
  }

  #fitColumn(stretches: readonly Stretch[], k: number, warm: number): ETSColumn {
    const values = stretches.map((stretch) => stretch[k]);
    const positive = values.every((list) => list.every((value) => Number.isNaN(value) || value > 0));
    const seasonal = this.period > 1 && this.history >= this.period;
    const seasons = SEASONS.filter((season) => season === "none" || (seasonal && (positive || season === "additive")));
    let best: ETSColumn = { trend: "none", season: "none", alpha: 0.5, beta: 0, gamma: 0, phi: 1, aicc: null };
    for (const season of seasons) {
      for (const trend of TRENDS) {
        const found = this.#fitForm(values, { trend, season }, warm);
        if (found.aicc !== null && (best.aicc === null || found.aicc < best.aicc)) best = found;
      }
    }
    return best;
  }

  #fitForm(values: readonly Float64Array[], form: { trend: Trend; season: Season }, warm: number): ETSColumn {
    const free = 1 + (form.trend === "none" ? 0 : 1) + (form.season === "none" ? 0 : 1) + (form.trend === "damped" ? 1 : 0);
    const errors = (x: Float64Array) => {
      const smoothing = new ExponentialSmoothing(unpack(x, form), this.period);
      let [squares, scored] = [0, 0];
      for (const list of values) {
        const one = smoothing.run(list, list.length, { warm, first: this.history });
        squares += one.squares;
        scored += one.scored;
      }
      return { squares, scored };
    };
    const found = nelderMead((x) => errors(x).squares, new Float64Array(free), {
      step: 1,
      maxEvaluations: 60 * free,
      tolerance: 1e-5,
    });
    const { squares, scored: n } = errors(found.x);
    const states = 1 + (form.trend === "none" ? 0 : 1) + (form.season === "none" ? 0 : this.period);
    const q = free + states + 1;
    const enough = n - q - 1 > 0 && Number.isFinite(squares);
    const aicc = enough ? n * Math.log(Math.max(squares / n, 1e-300)) + 2 * q + (2 * q * (q + 1)) / (n - q - 1) : null;
    return { ...unpack(found.x, form), aicc };
  }

  protected extend(past: Float64Array, count: number, future: Float64Array, target: number): void {
    const smoothing = this.#smoothing[target] ?? unfitted(this.name);
    smoothing.run(past, count);
    smoothing.forecast(future);
    replaceInfinite(future, past, count);
  }

  protected options(): ETSChoice {
    return { period: this.period, columns: [...this.columns] };
  }

  static restore(spec: ExampleSpec, { period, columns }: ETSChoice): ETS {
    const ets = new ETS(spec, { period });
    requireColumns(spec, columns, "ets", (one) => [one.alpha, one.beta, one.gamma, one.phi]);
    if (!columns.every(({ trend, season }) => TRENDS.includes(trend) && SEASONS.includes(season))) {
      throw new OstinatoError("OST_MODEL_FILE", {
        what: "an unknown form of exponential smoothing",
        expected: `trend ${TRENDS.join(", ")}; season ${SEASONS.join(", ")}`,
        where: "ets",
        repair: "open it with a newer version",
      });
    }
    ets.#keep(columns);
    return ets;
  }
}

/** Smoothing parameters from free ones: 0 is alpha 1/4, beta a tenth of it, gamma a tenth of 3/4, phi 0.9. */
function unpack(x: Float64Array, { trend, season }: { trend: Trend; season: Season }): SmoothingParameters {
  let at = 0;
  const alpha = sigmoid(x[at++] - Math.log(3));
  const beta = trend === "none" ? 0 : alpha * sigmoid(x[at++] - Math.log(9));
  const gamma = season === "none" ? 0 : (1 - alpha) * sigmoid(x[at++] - Math.log(9));
  const phi = trend === "damped" ? 0.8 + 0.19 * sigmoid(x[at++]) : 1;
  return { trend, season, alpha, beta, gamma, phi };
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

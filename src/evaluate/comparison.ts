/** @file Compares two scores on the same units by a named metric. */
import { OstinatoError } from "../core/errors.js";
import { type BootstrapOptions, bootstrap, type Comparison, type PairedUnits } from "./bootstrap.js";
import { confusionMetrics } from "./metrics/confusion.js";
import type { ClassificationUnits, ForecastUnits, Score, Units } from "./score.js";

/** Metrics that are functions of sums over units, and so can be resampled. */
export type ComparableMetric = "mse" | "mae" | "rmse" | "accuracy" | "balancedAccuracy" | "macroF1" | "logLoss";

/**
 * The difference A - B of a metric with its paired bootstrap interval.
 *
 * @throws OST_SHAPE if the two were not scored on the same units.
 * @throws OST_RANGE if the metric does not belong to their kind.
 */
export function compareScores(a: Score, b: Score, metric: ComparableMetric, options: BootstrapOptions): Comparison {
  if (a.kind === "forecast" && b.kind === "forecast") {
    const [ua, ub] = [inOrder(a.units), inOrder(b.units)];
    requireSame(a.units, b.units, ua, ub);
    return bootstrap(forecastPair(a.units, b.units, ua, ub, metric), options);
  }
  if (a.kind === "classification" && b.kind === "classification") {
    const [ua, ub] = [inOrder(a.units), inOrder(b.units)];
    requireSame(a.units, b.units, ua, ub);
    const classes = a.metrics.classes.length;
    return bootstrap(classificationPair(a.units, b.units, ua, ub, metric, classes), options);
  }
  throw new OstinatoError("OST_SHAPE", {
    what: "a forecast cannot be compared with a classification",
    expected: a.kind,
    got: b.kind,
    where: "compareScores",
  });
}

function forecastPair(a: ForecastUnits, b: ForecastUnits, ua: number[], ub: number[], metric: ComparableMetric): PairedUnits {
  if (metric !== "mse" && metric !== "mae" && metric !== "rmse") throw unknownMetric(metric, "mse, mae or rmse");
  const pick = (units: ForecastUnits) => (metric === "mae" ? units.absolute : units.squared);
  const sums = [pick(a), pick(b)];
  const counts = [a.count, b.count];
  const order = [ua, ub];
  return {
    ...places(a, ua),
    width: 2,
    add(side, unit, into, at) {
      into[at] += sums[side][order[side][unit]];
      into[at + 1] += counts[side][order[side][unit]];
    },
    statistic(total, at) {
      const mean = total[at] / total[at + 1];
      return metric === "rmse" ? Math.sqrt(mean) : mean;
    },
    difference: (unit) => sums[0][ua[unit]] / counts[0][ua[unit]] - sums[1][ub[unit]] / counts[1][ub[unit]],
  };
}

function classificationPair(
  a: ClassificationUnits,
  b: ClassificationUnits,
  ua: number[],
  ub: number[],
  metric: ComparableMetric,
  classes: number,
): PairedUnits {
  const order = [ua, ub];
  const sides = [a, b];
  if (metric === "logLoss" || metric === "accuracy") {
    const value = (side: 0 | 1, unit: number) => {
      const units = sides[side];
      const at = order[side][unit];
      return metric === "logLoss" ? units.logLoss[at] : units.label[at] === units.truth[at] ? 1 : 0;
    };
    return meanPair(a, ua, value);
  }
  if (metric !== "macroF1" && metric !== "balancedAccuracy") {
    throw unknownMetric(metric, "accuracy, balancedAccuracy, macroF1 or logLoss");
  }
  const right = (side: 0 | 1, unit: number) =>
    sides[side].label[order[side][unit]] === sides[side].truth[order[side][unit]] ? 1 : 0;
  return {
    ...places(a, ua),
    width: classes * classes,
    add(side, unit, into, at) {
      const i = order[side][unit];
      into[at + sides[side].truth[i] * classes + sides[side].label[i]]++;
    },
    statistic: (total, at) => confusionMetrics(total.subarray(at, at + classes * classes), classes)[metric],
    difference: (unit) => right(0, unit) - right(1, unit),
  };
}

/** The means of a value per unit; `order` lists A's units as the pair counts them. */
export function meanPair(units: Units, order: number[], value: (side: 0 | 1, unit: number) => number): PairedUnits {
  return {
    ...places(units, order),
    width: 2,
    add(side, unit, into, at) {
      into[at] += value(side, unit);
      into[at + 1]++;
    },
    statistic: (total, at) => total[at] / total[at + 1],
    difference: (unit) => value(0, unit) - value(1, unit),
  };
}

/** Series and position of A's units in the order of the pair. */
export function places(units: Units, order: number[]): { series: number[]; position: number[] } {
  return { series: order.map((i) => units.series[i]), position: order.map((i) => units.position[i]) };
}

/** The units by series and position, whatever order the batches had. */
export function inOrder({ series, position }: Units): number[] {
  return Array.from(series, (_, i) => i).sort((i, j) => series[i] - series[j] || position[i] - position[j] || i - j);
}

/** @throws OST_SHAPE if the two lists of units are not the same places. */
export function requireSame(a: Units, b: Units, ua: number[], ub: number[]): void {
  const same =
    ua.length === ub.length && ua.every((i, u) => a.series[i] === b.series[ub[u]] && a.position[i] === b.position[ub[u]]);
  if (same) return;
  throw new OstinatoError("OST_SHAPE", {
    what: "the two were not scored on the same units",
    expected: `${ua.length} units`,
    got: ua.length === ub.length ? "as many from other places" : `${ub.length}`,
    where: "compareScores",
    repair: "score both on the same batches",
  });
}

function unknownMetric(metric: string, expected: string): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: "this metric cannot be compared here",
    expected,
    got: metric,
    where: "compareScores",
  });
}

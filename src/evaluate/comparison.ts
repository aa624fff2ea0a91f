/** @file Compares two scores on the same units by a named metric. */
import { OstinatoError } from "../core/errors.js";
import { type BootstrapOptions, bootstrap, type Comparison, type PairedUnits } from "./bootstrap.js";
import { BLEU_WIDTH, bleuOf } from "./metrics/bleu.js";
import { CHRF_WIDTH, chrfOf } from "./metrics/chrf.js";
import { marginMetrics } from "./metrics/confusion.js";
import { errorRate } from "./metrics/edit-distance.js";
import type { ClassificationUnits, DetectionUnits, ForecastUnits, MetricName, Score, SequenceUnits, Units } from "./score.js";
import { DETECTION_WIDTH, detectionRate, outcomeOf } from "./score-detection.js";

/** Metrics that are functions of sums over units, and so can be resampled. */
export type ComparableMetric = Exclude<MetricName, "smape" | "mase">;

/** The metric that a decision's metric is compared by: sMAPE and MASE by the absolute errors that they scale. */
export function comparableMetric(metric: MetricName): ComparableMetric {
  return metric === "smape" || metric === "mase" ? "mae" : metric;
}

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
  if (a.kind === "sequence" && b.kind === "sequence") {
    const [ua, ub] = [inOrder(a.units), inOrder(b.units)];
    requireSame(a.units, b.units, ua, ub);
    return bootstrap(sequencePair(a.units, b.units, ua, ub, metric), options);
  }
  if (a.kind === "detection" && b.kind === "detection") {
    const [ua, ub] = [inOrder(a.units), inOrder(b.units)];
    requireSame(a.units, b.units, ua, ub);
    return bootstrap(detectionPair(a.units, b.units, ua, ub, metric), options);
  }
  throw new OstinatoError("OST_SHAPE", {
    what: `a ${a.kind} cannot be compared with a ${b.kind}`,
    expected: a.kind,
    got: b.kind,
    where: "compareScores",
  });
}

function forecastPair(a: ForecastUnits, b: ForecastUnits, ua: number[], ub: number[], metric: ComparableMetric): PairedUnits {
  if (metric === "frameAccuracy" || metric === "frameF1") return framePair(a, b, ua, ub, metric);
  const sums = { mse: "squared", mae: "absolute", rmse: "squared", crps: "crps", pinballLoss: "pinball", nll: "nll" } as const;
  if (!(metric in sums)) throw unknownMetric(metric, Object.keys(sums).join(", "));
  const name = sums[metric as keyof typeof sums];
  const parts = (units: ForecastUnits) => {
    const [total, count] = [units[name], name === "nll" ? units.nllCount : units.count];
    if (total?.length !== units.count.length || count?.length !== units.count.length) throw notThere(metric);
    return { total, count };
  };
  return ratioPair(a, ua, ub, [parts(a), parts(b)], metric === "rmse" ? Math.sqrt : undefined);
}

/** Sums per unit, and what they are a mean over. */
interface Ratio {
  total: ArrayLike<number>;
  count: ArrayLike<number>;
}

/** Totals by counts, each over all units. */
function ratioPair(
  a: Units,
  ua: number[],
  ub: number[],
  sides: readonly [Ratio, Ratio],
  finish: (ratio: number) => number = (ratio) => ratio,
): PairedUnits {
  const order = [ua, ub];
  const own = (side: 0 | 1, unit: number) => {
    const { total, count } = sides[side];
    const at = order[side][unit];
    return errorRate(total[at], count[at]);
  };
  return {
    ...places(a, ua),
    width: 2,
    add(side, unit, into, at) {
      const i = order[side][unit];
      into[at] += sides[side].total[i];
      into[at + 1] += sides[side].count[i];
    },
    statistic: (sums, at) => finish(errorRate(sums[at], sums[at + 1])),
    difference: (unit) => own(0, unit) - own(1, unit),
  };
}

/** Counts of true positives, false positives and false negatives, three to a unit. */
function framePair(
  a: ForecastUnits,
  b: ForecastUnits,
  ua: number[],
  ub: number[],
  metric: "frameAccuracy" | "frameF1",
): PairedUnits {
  const sides = [a.frames, b.frames];
  const weight = metric === "frameF1" ? 2 : 1;
  const rate = (hits: number, wrong: number, missed: number) =>
    wrong + missed > 0 ? (weight * hits) / (weight * hits + wrong + missed) : 1;
  return countPair(a, ua, ub, { sides, parts: 3, metric, rate: (sums, at) => rate(sums[at], sums[at + 1], sums[at + 2]) });
}

/** A metric of counts, `parts` to a unit. */
function countPair(
  a: Units,
  ua: number[],
  ub: number[],
  {
    sides,
    parts,
    metric,
    rate,
  }: {
    sides: readonly (ArrayLike<number> | undefined)[];
    parts: number;
    metric: string;
    rate: (sums: ArrayLike<number>, at: number) => number;
  },
): PairedUnits {
  const order = [ua, ub];
  for (const side of sides) if (side?.length !== parts * ua.length) throw notThere(metric);
  const own = new Float64Array(2 * parts);
  const pair: PairedUnits = {
    ...places(a, ua),
    width: parts,
    add(side, unit, into, at) {
      const from = parts * order[side][unit];
      const counts = sides[side] as ArrayLike<number>;
      for (let part = 0; part < parts; part++) into[at + part] += counts[from + part];
    },
    statistic: rate,
    difference(unit) {
      own.fill(0);
      pair.add(0, unit, own, 0);
      pair.add(1, unit, own, parts);
      return rate(own, 0) - rate(own, parts);
    },
  };
  return pair;
}

function detectionPair(a: DetectionUnits, b: DetectionUnits, ua: number[], ub: number[], metric: ComparableMetric): PairedUnits {
  if (metric !== "f1" && metric !== "precision" && metric !== "recall" && metric !== "falsePositiveRate") {
    throw unknownMetric(metric, "f1, precision, recall or falsePositiveRate");
  }
  const order = [ua, ub];
  const sides = [a, b];
  const outcome = (side: 0 | 1, unit: number) => {
    const at = order[side][unit];
    return outcomeOf(sides[side].truth[at], sides[side].alert[at]);
  };
  const right = (side: 0 | 1, unit: number) => ([0, 3].includes(outcome(side, unit)) ? 1 : 0);
  return {
    ...places(a, ua),
    width: DETECTION_WIDTH,
    add(side, unit, into, at) {
      into[at + outcome(side, unit)]++;
    },
    // A resample without any anomaly, or without an alert, has found nothing.
    statistic: (sums, at) => detectionRate(metric, sums, at) ?? 0,
    difference: (unit) => right(0, unit) - right(1, unit),
  };
}

function sequencePair(a: SequenceUnits, b: SequenceUnits, ua: number[], ub: number[], metric: ComparableMetric): PairedUnits {
  const order = [ua, ub];
  const sides = [a, b];
  switch (metric) {
    case "exactMatch":
      return meanPair(a, ua, (side, unit) => sides[side].exact[order[side][unit]]);
    case "tokenErrorRate": {
      const ratio = (units: SequenceUnits) => ({ total: units.edits, count: units.referenceLength });
      return ratioPair(a, ua, ub, [ratio(a), ratio(b)]);
    }
    case "bleu":
      return countPair(a, ua, ub, {
        sides: [a.bleu, b.bleu],
        parts: BLEU_WIDTH,
        metric,
        rate: (sums, at) => bleuOf(sums, at).bleu,
      });
    case "chrf":
      return countPair(a, ua, ub, { sides: [a.chrf, b.chrf], parts: CHRF_WIDTH, metric, rate: (sums, at) => chrfOf(sums, at) });
    case "nll":
    case "perplexity": {
      const ratio = ({ nll, nllTokens }: SequenceUnits) => {
        if (!nll || !nllTokens) throw notThere(metric);
        return { total: nll, count: nllTokens };
      };
      return ratioPair(a, ua, ub, [ratio(a), ratio(b)], metric === "perplexity" ? Math.exp : undefined);
    }
    default:
      throw unknownMetric(metric, "tokenErrorRate, exactMatch, bleu, chrf, nll or perplexity");
  }
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
  const right = (side: 0 | 1, unit: number) =>
    sides[side].label[order[side][unit]] === sides[side].truth[order[side][unit]] ? 1 : 0;
  switch (metric) {
    case "accuracy":
      return meanPair(a, ua, right);
    case "logLoss":
    case "bitsPerToken":
    case "perplexity": {
      const pair = meanPair(a, ua, (side, unit) => sides[side].logLoss[order[side][unit]]);
      if (metric === "logLoss") return pair;
      const finish = metric === "perplexity" ? Math.exp : (nats: number) => nats / Math.LN2;
      return { ...pair, statistic: (total, at) => finish(pair.statistic(total, at)) };
    }
    case "spanF1":
      return {
        ...countPair(a, ua, ub, {
          sides: [a.spans, b.spans],
          parts: 3,
          metric,
          rate: (sums, at) => (sums[at] + sums[at + 1] > 0 ? (2 * sums[at + 2]) / (sums[at] + sums[at + 1]) : 0),
        }),
        difference: (unit) => right(0, unit) - right(1, unit),
      };
    case "macroF1":
    case "balancedAccuracy":
      return {
        ...places(a, ua),
        // Of each class: how often it is there, is predicted, and is both.
        width: 3 * classes,
        add(side, unit, into, at) {
          const i = order[side][unit];
          const { truth, label } = sides[side];
          into[at + truth[i]]++;
          into[at + classes + label[i]]++;
          if (truth[i] === label[i]) into[at + 2 * classes + truth[i]]++;
        },
        statistic(total, at) {
          const part = (which: number) => total.subarray(at + which * classes, at + (which + 1) * classes);
          return marginMetrics({ support: part(0), predicted: part(1), hits: part(2) })[metric];
        },
        difference: (unit) => right(0, unit) - right(1, unit),
      };
    default:
      throw unknownMetric(metric, "accuracy, balancedAccuracy, macroF1, logLoss, perplexity, bitsPerToken or spanF1");
  }
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

function notThere(metric: string): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: `one of the two predictors gives nothing that ${metric} could be counted from`,
    expected: "two scores that both have it",
    got: "one that has not",
    where: "compareScores",
    repair: "compare by another metric",
  });
}

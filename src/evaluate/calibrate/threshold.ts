/**
 * @file The threshold of an alarm, chosen on held-back examples. What scores above it, strictly, is an alert.
 *
 * Examples of equal score are alerted together or not at all, so a budget is never exceeded on the examples it was chosen on, and it may be
 * left unspent. A threshold lies half-way between two scores that occur, or at the highest one for no alert at all; below the lowest, so that all
 * are alerts, it lies as far beyond it as the next score is above it.
 */
import { OstinatoError } from "../../core/errors.js";
import { type OperatingPoint, operatingPoints } from "../metrics/operating-point.js";

export type ThresholdRule =
  /** The best F1; of several the one with the fewest alerts. */
  | { by: "f1" }
  /** The most found at a precision of at least this, in (0, 1]; of several the one with the fewest alerts. */
  | { by: "precision"; precision: number }
  /** As many alerts as the budget allows, 0 .. 1,000. */
  | { by: "alertBudget"; per1000: number }
  /** As many alerts as lie above a quantile of the scores, 0 .. 1: at most a share 1 - quantile. */
  | { by: "quantile"; quantile: number };

export interface Threshold {
  /** Alert where the score is above this. */
  threshold: number;
  /** Examples it was chosen on, and alerts among them. */
  n: number;
  alerts: number;
  alertsPer1000: number;
  /** On those examples, where they have labels; precision is null where there is no alert, recall and F1 where nothing is positive. */
  precision?: number | null;
  recall?: number | null;
  f1?: number | null;
}

/**
 * @param scores of the validation part; finite, higher is more suspicious
 * @param positive true or 1 where an alert is wanted; needed by "f1" and "precision"
 * @throws OST_TARGET if there are no scores, or the rule needs positives and there are none. @throws OST_RANGE if no threshold reaches the
 * wanted precision, or the rule's number lies outside its range.
 */
export function chooseThreshold(
  scores: ArrayLike<number>,
  positive: ArrayLike<number | boolean> | undefined,
  rule: ThresholdRule,
): Threshold {
  const n = scores.length;
  if (n === 0) throw needs("there are no scores to choose a threshold on", "at least one score of the validation part");
  requireRule(rule);
  const points = operatingPoints(scores, positive ?? new Uint8Array(n));
  const positives = points[points.length - 1].truePositives;
  if ((rule.by === "f1" || rule.by === "precision") && positives === 0) {
    throw needs("a threshold by F1 or precision needs examples that are positive", "labelled anomalies in the validation part");
  }
  const chosen = choose(points, rule, positives, n);
  const threshold = chosen < 0 ? points[0].score : below(points, chosen);
  const { truePositives: hits, falsePositives: wrong } = chosen < 0 ? { truePositives: 0, falsePositives: 0 } : points[chosen];
  const alerts = hits + wrong;
  return {
    threshold,
    n,
    alerts,
    alertsPer1000: (1000 * alerts) / n,
    ...(positive && {
      precision: alerts > 0 ? hits / alerts : null,
      recall: positives > 0 ? hits / positives : null,
      f1: positives > 0 ? (2 * hits) / (alerts + positives) : null,
    }),
  };
}

/** The index of the operating point, -1 for no alert. */
function choose(points: readonly OperatingPoint[], rule: ThresholdRule, positives: number, n: number): number {
  const alertsAt = ({ truePositives, falsePositives }: OperatingPoint) => truePositives + falsePositives;
  switch (rule.by) {
    case "f1": {
      const f1 = (point: OperatingPoint) => (2 * point.truePositives) / (alertsAt(point) + positives);
      return points.reduce((best, point, i) => (f1(point) > f1(points[best]) ? i : best), 0);
    }
    case "precision": {
      let best = -1;
      points.forEach((point, i) => {
        if (point.truePositives === 0 || point.truePositives / alertsAt(point) < rule.precision) return;
        if (best < 0 || point.truePositives > points[best].truePositives) best = i;
      });
      if (best >= 0) return best;
      const highest = Math.max(...points.map((point) => point.truePositives / alertsAt(point)));
      throw new OstinatoError("OST_RANGE", {
        what: "no threshold reaches the wanted precision on the validation part",
        expected: `a precision of at least ${rule.precision}`,
        got: `${highest.toFixed(3)} at best`,
        where: "threshold",
        repair: "ask for less, or choose by an alert budget",
      });
    }
    case "alertBudget":
    case "quantile": {
      const share = rule.by === "alertBudget" ? rule.per1000 / 1000 : 1 - rule.quantile;
      const allowed = Math.floor(share * n + ROUNDING);
      let last = -1;
      while (last + 1 < points.length && alertsAt(points[last + 1]) <= allowed) last++;
      return last;
    }
  }
}

const ROUNDING = 1e-9;

/** A threshold that the scores down to this point lie above, and no others. */
function below(points: readonly OperatingPoint[], i: number): number {
  const { score } = points[i];
  if (i + 1 < points.length) return between(points[i + 1].score, score);
  const step = i > 0 ? points[i - 1].score - score : Math.max(1, Math.abs(score));
  return score - Math.max(step, Math.abs(score) * Number.EPSILON * 4);
}

/** Half-way; the lower one where rounding leaves nothing between them. */
function between(lower: number, upper: number): number {
  const middle = lower + (upper - lower) / 2;
  return middle < upper ? middle : lower;
}

function requireRule(rule: ThresholdRule): void {
  const [name, value, low, high] =
    rule.by === "precision"
      ? (["precision", rule.precision, Number.MIN_VALUE, 1] as const)
      : rule.by === "alertBudget"
        ? (["per1000", rule.per1000, 0, 1000] as const)
        : rule.by === "quantile"
          ? (["quantile", rule.quantile, 0, 1] as const)
          : (["f1", 0, 0, 0] as const);
  if (value >= low && value <= high) return;
  throw new OstinatoError("OST_RANGE", {
    what: `${name} lies outside its range`,
    expected: rule.by === "precision" ? "above 0, at most 1" : `${low} .. ${high}`,
    got: String(value),
    where: "threshold",
  });
}

function needs(what: string, expected: string): OstinatoError {
  return new OstinatoError("OST_TARGET", {
    what,
    expected,
    got: "none",
    where: "threshold",
    repair: "enlarge the validation part, or choose by an alert budget or a quantile",
  });
}

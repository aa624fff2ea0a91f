/**
 * @file What the user really decides by: a metric, the cost of each mistake, or a budget of alerts. Reported beside the loss that was
 * optimised, because the two may disagree on which predictor to ship.
 */
import type { ExampleSpec } from "../core/batch.js";
import { nearest, OstinatoError } from "../core/errors.js";
import { type BootstrapOptions, bootstrap, type Comparison } from "./bootstrap.js";
import { comparableMetric, compareScores, inOrder, meanPair, places, requireSame } from "./comparison.js";
import { type ClassificationScore, METRICS, METRICS_OF, type MetricName, metricFacts, metricValue, type Score } from "./score.js";
import type { ScoreClassificationOptions } from "./score-classification.js";

/** The `decision` block of a configuration. */
export type Decision =
  | { metric: MetricName }
  /** Cost of each decision by true and predicted class. What is not named costs 0 when right and 1 when wrong. */
  | { costs: Record<string, Record<string, number>> }
  /** At most `per1000` of 1,000 decisions may be alerts for this class. */
  | { alertBudget: { class: string; per1000: number } };

/** The outcome of a decision rule on the test part, as plain JSON. */
export type DecisionResult =
  | { kind: "metric"; metric: string; value: number; n: number; higherIsBetter: boolean }
  | {
      kind: "costs";
      /** Mean cost per decision when the likeliest class is decided; for information. */
      meanCost: number;
      /** Mean cost when the class of least expected cost is decided: what the verdict goes by. */
      meanCostMinimized: number;
      /** The best single decision for everything, and its mean cost. */
      bestConstant: { class: string; meanCost: number };
      n: number;
    }
  | {
      kind: "alertBudget";
      class: string;
      per1000: number;
      /** Alert where the probability of the class is above this; chosen on the validation part. */
      threshold: number;
      /** Share of the class's steps that are alerted; null where the test part has none. */
      recall: number | null;
      /** Share of alerts that are right; null where there was no alert. */
      precision: number | null;
      /** Alerts per 1,000 on the test part: above the budget where the validation part was not like it. */
      alertsPer1000: number;
      /** Whether they are no more than the budget allows and chance explains. */
      withinBudget: boolean;
      n: number;
    };

/**
 * What scoring must keep so that the decision can be judged: pass it to `scoreClassification` or `evaluate`.
 *
 * @throws OST_CONFIG if the decision names a class the data does not have, or does not fit the kind of targets.
 */
export function decisionNeeds(
  decision: Decision | undefined,
  spec: ExampleSpec,
  kind: Score["kind"] = scoreKind(spec),
): ScoreClassificationOptions {
  if (!decision) return {};
  if ("metric" in decision) {
    requireKnown(decision.metric, METRICS_OF[kind], "decision.metric");
    return {};
  }
  if (kind !== "classification") {
    throw new OstinatoError("OST_CONFIG", {
      what: "costs and alert budgets decide between classes",
      expected: EXPECTED[kind],
      got: Object.keys(decision).join(", "),
      where: "decision",
      repair:
        kind === "detection" && "alertBudget" in decision
          ? `write detect: { threshold: { per1000: ${decision.alertBudget.per1000} } }`
          : `write decision: { metric: ${METRIC_OF[kind]} }`,
    });
  }
  if ("costs" in decision) return { costs: costMatrix(decision.costs, spec.classes) };
  const { class: name, per1000 } = decision.alertBudget;
  requireKnown(name, spec.classes, "decision.alertBudget.class");
  if (!(per1000 >= 0 && per1000 <= 1000)) {
    throw new OstinatoError("OST_CONFIG", {
      what: "an alert budget counts alerts per 1,000 decisions",
      expected: "0 .. 1000",
      got: String(per1000),
      where: "decision.alertBudget.per1000",
    });
  }
  return { alertClass: spec.classes.indexOf(name) };
}

/**
 * Judges a predictor by the decision.
 *
 * @param scores made with the options of `decisionNeeds`; the validation score is needed for an alert budget only
 * @throws OST_RANGE if the scores do not hold what the decision needs.
 */
export function decide(decision: Decision, { test, validation }: { test: Score; validation?: Score }): DecisionResult {
  if ("metric" in decision) {
    const value = metricValue(test, decision.metric);
    if (value === undefined) throw notScored(decision.metric);
    return {
      kind: "metric",
      metric: decision.metric,
      value,
      n: test.metrics.n,
      higherIsBetter: METRICS[decision.metric].higherIsBetter,
    };
  }
  const judged = requireClassification(test);
  const { truth, label, costLabel } = judged.units;
  const { classes } = judged.metrics;
  const n = truth.length;
  if ("costs" in decision) {
    if (costLabel.length !== n) throw notScored("costs");
    const costs = costMatrix(decision.costs, classes);
    const total = (decisions: (unit: number) => number) =>
      truth.reduce((sum, c, u) => sum + costs[c * classes.length + decisions(u)], 0);
    const constants = classes.map((_, c) => total(() => c) / n);
    const best = constants.indexOf(Math.min(...constants));
    return {
      kind: "costs",
      meanCost: total((u) => label[u]) / n,
      meanCostMinimized: total((u) => costLabel[u]) / n,
      bestConstant: { class: classes[best], meanCost: constants[best] },
      n,
    };
  }
  const { class: name, per1000 } = decision.alertBudget;
  const threshold = alertThreshold(validation, per1000);
  const wanted = classes.indexOf(name);
  const { alert } = judged.units;
  if (alert.length !== n) throw notScored("alertBudget");
  let alerts = 0;
  let hits = 0;
  let positives = 0;
  for (let u = 0; u < n; u++) {
    const raised = alert[u] > threshold;
    if (truth[u] === wanted) positives++;
    if (raised) alerts++;
    if (raised && truth[u] === wanted) hits++;
  }
  return {
    kind: "alertBudget",
    class: name,
    per1000,
    threshold,
    recall: positives > 0 ? hits / positives : null,
    precision: alerts > 0 ? hits / alerts : null,
    alertsPer1000: (1000 * alerts) / n,
    withinBudget: keepsBudget(alerts, (per1000 * n) / 1000),
    n,
  };
}

/** The figure a decision goes by: the metric, the mean cost of the class of least expected cost, or the recall within the budget. */
export function decidedValue(result: DecisionResult): number {
  if (result.kind === "metric") return result.value;
  return result.kind === "costs" ? result.meanCostMinimized : (result.recall ?? 0);
}

/** Whether more of `decidedValue` is better. */
export function isHigherBetter(decision: Decision): boolean {
  return "metric" in decision ? METRICS[decision.metric].higherIsBetter : "alertBudget" in decision;
}

/**
 * The difference A - B of what the decision values: the metric, the mean cost where the class of least expected cost is decided, or
 * the recall at the threshold that keeps the budget on the validation part. Whether it does so on test, `decide` tells.
 *
 * @throws OST_RANGE if the metric is not one that can be compared (sMAPE and MASE are compared by MAE).
 */
export function compareDecision(
  decision: Decision,
  a: { test: Score; validation?: Score },
  b: { test: Score; validation?: Score },
  options: BootstrapOptions,
): Comparison {
  if ("metric" in decision) {
    return compareScores(a.test, b.test, comparableMetric(decision.metric), options);
  }
  const [ta, tb] = [requireClassification(a.test), requireClassification(b.test)];
  const order = [inOrder(ta.units), inOrder(tb.units)];
  requireSame(ta.units, tb.units, order[0], order[1]);
  const sides = [ta.units, tb.units];
  const { classes } = ta.metrics;
  if ("costs" in decision) {
    if (sides.some(({ costLabel, truth }) => costLabel.length !== truth.length)) throw notScored("costs");
    const costs = costMatrix(decision.costs, classes);
    const cost = (side: 0 | 1, unit: number) => {
      const i = order[side][unit];
      return costs[sides[side].truth[i] * classes.length + sides[side].costLabel[i]];
    };
    return bootstrap(meanPair(ta.units, order[0], cost), options);
  }
  const { class: name, per1000 } = decision.alertBudget;
  const wanted = classes.indexOf(name);
  const thresholds = [alertThreshold(a.validation, per1000), alertThreshold(b.validation, per1000)];
  const hit = (side: 0 | 1, unit: number) => {
    const i = order[side][unit];
    return sides[side].truth[i] === wanted && sides[side].alert[i] > thresholds[side] ? 1 : 0;
  };
  return bootstrap(
    {
      ...places(ta.units, order[0]),
      width: 2,
      add(side, unit, into, at) {
        into[at] += hit(side, unit);
        into[at + 1] += sides[side].truth[order[side][unit]] === wanted ? 1 : 0;
      },
      statistic: (sums, at) => (sums[at + 1] > 0 ? sums[at] / sums[at + 1] : 0),
      difference: (unit) => hit(0, unit) - hit(1, unit),
    },
    options,
  );
}

const EXPECTED = {
  forecast: "decision.metric for numeric targets",
  sequence: "decision.metric for target sequences",
  detection: "decision.metric for alerts",
};
const METRIC_OF = { forecast: "mae", sequence: "exactMatch", detection: "f1" };

/** The kind of score that examples get. */
function scoreKind({ targetKind }: ExampleSpec): Score["kind"] {
  if (targetKind === "values") return "forecast";
  return targetKind === "tokens" ? "sequence" : "classification";
}

/** The decision's outcome in one line of plain words. */
export function describeDecision(result: DecisionResult): string {
  const percent = (share: number | null) => (share === null ? "undefined" : `${(100 * share).toFixed(1)} %`);
  switch (result.kind) {
    case "metric": {
      const { label, share } = metricFacts(result.metric as MetricName);
      return `${label} ${share ? percent(result.value) : result.value.toFixed(3)}`;
    }
    case "costs":
      return (
        `cost ${result.meanCostMinimized.toFixed(3)} per decision for the class of least expected cost, ` +
        `${result.meanCost.toFixed(3)} for the likeliest; ` +
        `always "${result.bestConstant.class}" costs ${result.bestConstant.meanCost.toFixed(3)}`
      );
    case "alertBudget":
      return (
        `finds ${percent(result.recall)} of "${result.class}", ${percent(result.precision)} of its alerts are right ` +
        `(${result.alertsPer1000.toFixed(1)} alerts per 1,000, budget ${result.per1000}${result.withinBudget ? "" : ": broken"})`
      );
  }
}

/** A threshold that is right on validation may come out above the budget on test by chance: half of it, or two standard errors of a count. */
function keepsBudget(alerts: number, allowed: number): boolean {
  return alerts <= Math.max(1.5 * allowed, allowed + 2 * Math.sqrt(Math.max(1, allowed)));
}

/** The lowest threshold at which at most the budgeted share of the validation decisions is strictly above it. */
function alertThreshold(validation: Score | undefined, per1000: number): number {
  const scores = validation && requireClassification(validation).units.alert;
  if (!scores || scores.length === 0) throw notScored("alertBudget (validation part)");
  const sorted = Float64Array.from(scores).sort().reverse();
  const allowed = Math.floor((per1000 / 1000) * sorted.length + 1e-9);
  return allowed >= sorted.length ? -1 : sorted[allowed];
}

/** [C, C], row the true class, column the decision: 0 when right and 1 when wrong unless named. */
function costMatrix(costs: Record<string, Record<string, number>>, classes: string[]): Float64Array {
  const C = classes.length;
  const matrix = Float64Array.from({ length: C * C }, (_, i) => (Math.floor(i / C) === i % C ? 0 : 1));
  for (const [truth, row] of Object.entries(costs)) {
    requireKnown(truth, classes, "decision.costs");
    for (const [label, cost] of Object.entries(row)) {
      requireKnown(label, classes, `decision.costs.${truth}`);
      if (!Number.isFinite(cost)) {
        throw new OstinatoError("OST_CONFIG", {
          what: "a cost is not a number",
          expected: "a finite number",
          got: String(cost),
          where: `decision.costs.${truth}.${label}`,
        });
      }
      matrix[classes.indexOf(truth) * C + classes.indexOf(label)] = cost;
    }
  }
  return matrix;
}

function requireKnown(name: string, known: readonly string[], where: string): void {
  if (known.includes(name)) return;
  const guess = nearest(name, known);
  throw new OstinatoError("OST_CONFIG", {
    what: `"${name}" is not known here`,
    expected: `one of ${known.join(", ")}`,
    got: name,
    where,
    ...(guess && { repair: `did you mean "${guess}"?` }),
  });
}

function requireClassification(score: Score): ClassificationScore {
  if (score.kind === "classification") return score;
  throw new OstinatoError("OST_CONFIG", {
    what: "costs and alert budgets decide between classes",
    expected: "a classification",
    got: score.kind,
    where: "decision",
  });
}

function notScored(what: string): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: `the score does not hold what the decision needs: ${what}`,
    expected: "scores made with the options of decisionNeeds",
    where: "decision",
    repair: REPAIRS[what] ?? "score with the decision's options",
  });
}

const REPAIRS: Record<string, string> = {
  mase: "give the period of the season",
  spanF1: "say which scheme the tags keep",
  chrf: "say what stands between two tokens of a text",
  crps: "forecast a distribution",
  pinballLoss: "forecast a distribution",
  nll: "decide by a metric that every predictor has: not all give probabilities",
};

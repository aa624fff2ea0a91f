/** @file From the scores of a model and its rivals to a report: table, paired comparisons, decision and verdict. */
import type { Rng } from "../core/rng.js";
import type { Comparison } from "./bootstrap.js";
import { comparableMetric } from "./comparison.js";
import { compareDecision, type Decision, type DecisionResult, decide, decidedValue } from "./decision.js";
import type { LengthShift } from "./length-shift.js";
import type { Report, ReportColumn } from "./report.js";
import { METRICS, type MetricName, metricFacts, metricValue, type Score } from "./score.js";
import { errorRateLabel } from "./score-sequences.js";
import { type Rival, type Verdict, type VerdictMetric, verdict } from "./verdict.js";

/** A predictor with its scores. */
export interface Contender {
  name: string;
  kind: "model" | "baseline";
  test: Score;
  /** Needed for an alert budget. */
  validation?: Score;
  /** Whether it is cheaper to run than the model; baselines are unless said otherwise. */
  cheaper?: boolean;
  microsecondsPerStep?: number;
}

export interface JudgeOptions {
  rng: Rng;
  /** What the verdict is reached by; default `metric`. */
  decision?: Decision;
  /** Without a decision; default by what was scored: see `defaultMetric`. */
  metric?: MetricName;
  /** Steps over which two examples share data: window length + horizon. */
  span?: number;
  resamples?: number;
  /** What one unit is called: "window", "sequence", "step". */
  unit?: string;
  lengthShift?: LengthShift;
  /** By series the number of its independent group, where the split was by group (see bootstrap.ts). */
  clusterOf?: ArrayLike<number>;
  /** How the test part lies to what the model was trained and chosen with; absent where that is not known. */
  separation?: Report["separation"];
  /** What a reader must know beyond what the comparisons tell. */
  notes?: readonly string[];
}

/** Judges a model against its rivals, all scored on the same units. */
export function judge(model: Contender, rivals: readonly Contender[], options: JudgeOptions): Report {
  const steps = judgeStepwise(model, rivals, options);
  let step = steps.next();
  while (!step.done) step = steps.next();
  return step.value;
}

/** The same, paused before each comparison, which may take seconds: the caller can look at signals and timers in between. */
export function* judgeStepwise(
  model: Contender,
  rivals: readonly Contender[],
  { rng, decision, metric: own, span, resamples, unit = "example", lengthShift, clusterOf, separation, notes = [] }: JudgeOptions,
): Generator<undefined, Report, undefined> {
  const all = [model, ...rivals];
  const asked: Decision = decision ?? { metric: own ?? defaultMetric(model.test) };
  const undefinedRate =
    model.test.kind === "detection" && "metric" in asked && metricValue(model.test, asked.metric) === undefined;
  const rule: Decision = undefinedRate ? { metric: defaultMetric(model.test) } : asked;
  // Alerts where nothing says which of them are right.
  const unlabelled = model.test.kind === "detection" && !model.test.metrics.labelled;
  const metric = verdictMetric(rule, model.test);
  // A rival that gives nothing the rule could go by, such as no probabilities, stays in the table and is not judged.
  const isAble = (one: Contender) => !("metric" in rule) || metricValue(one.test, rule.metric) !== undefined;
  const able = unlabelled ? [] : rivals.filter(isAble);
  const unable = unlabelled ? [] : rivals.filter((one) => !isAble(one));
  const decided = unlabelled ? [] : [model, ...able];
  const results = new Map<Contender, DecisionResult>(decided.map((one) => [one, decide(rule, one)]));
  const value = (one: Contender) => decidedValue(results.get(one) as DecisionResult);
  const comparisons: Record<string, Comparison> = {};
  const judged: Rival[] = [];
  for (const rival of able) {
    yield;
    const comparison = compareDecision(rule, model, rival, { rng: rng.split(), span, resamples, clusterOf });
    comparisons[rival.name] = comparison;
    const { name, kind, cheaper, microsecondsPerStep } = rival;
    const over = overBudget(results.get(rival) as DecisionResult);
    const compared = comparedValue(rule, rival, value(rival));
    judged.push({ name, kind, cheaper, microsecondsPerStep, value: compared, comparison, ...over });
  }
  const limits = [...new Set(Object.values(comparisons).flatMap(({ note }) => (note ? [`95 % intervals: ${note}.`] : [])))];
  const outcome = unlabelled
    ? noVerdict()
    : verdict(
        {
          name: model.name,
          value: comparedValue(rule, model, value(model)),
          ...overBudget(results.get(model) as DecisionResult),
        },
        metric,
        judged,
      );
  // The best of several on the test part is the best partly by luck.
  const chosen = outcome.loses.includes(outcome.ship) && able.length > 1;
  const columns = reportColumns(all, rule);
  return {
    part: "test",
    units: model.test.units.series.length,
    unit,
    series: new Set(model.test.units.series).size,
    ...(separation && { separation }),
    columns,
    rows: all.map((one) => ({
      name: one.name,
      kind: one.kind,
      values: Object.fromEntries(
        columns.map(({ key }) => [key, key === "decision" ? value(one) : (metricValue(one.test, key) ?? null)]),
      ),
      ...(one.microsecondsPerStep !== undefined && { microsecondsPerStep: one.microsecondsPerStep }),
    })),
    metrics: Object.fromEntries(all.map((one) => [one.name, one.test.metrics])),
    ...(decision &&
      results.size > 0 && { decision: Object.fromEntries([...results].map(([one, result]) => [one.name, result])) }),
    comparedBy: metric.label,
    comparisons,
    verdict: outcome,
    ...(lengthShift && { lengthShift }),
    notes: [
      ...(chosen
        ? [`${outcome.ship} was chosen among ${able.length} rivals by the same test part: its lead is optimistic.`]
        : []),
      ...(unable.length > 0
        ? [
            `${unable.map(({ name }) => name).join(", ")} ${unable.length === 1 ? "gives" : "give"} no ${metric.label} and cannot be compared by it.`,
          ]
        : []),
      ...(decision && undefinedRate && !unlabelled
        ? [
            `${METRICS[(asked as { metric: MetricName }).metric].label} is not defined on these alerts; the verdict is by ${metric.label} instead.`,
          ]
        : []),
      ...limits,
      ...notes,
    ],
  };
}

/** Where no row of the test part is labelled. */
function noVerdict(): Verdict {
  const text =
    "Verdict: none. No row of the test part is labelled as normal or anomalous: only how often each alerts can be told, not how often it is right.";
  return { ship: "none", text, beats: [], loses: [], ties: [] };
}

/**
 * Sets at each step by their log-probability, other distributions by CRPS, points by mean squared error; codes that follow each other by log-loss,
 * spans by their F1, classes by accuracy; target sequences by exact match;
 * alerts by F1, where nothing is anomalous by their false positive rate.
 */
export function defaultMetric(score: Score): MetricName {
  const has = (metric: MetricName) => metricValue(score, metric) !== undefined;
  switch (score.kind) {
    case "forecast":
      return has("frameF1") ? "nll" : has("crps") ? "crps" : "mse";
    case "classification":
      return has("spanF1") ? "spanF1" : has("perplexity") ? "logLoss" : "accuracy";
    case "sequence":
      return "exactMatch";
    case "detection":
      return has("f1") ? "f1" : "falsePositiveRate";
  }
}

function verdictMetric(rule: Decision, score: Score): VerdictMetric {
  if ("costs" in rule) return { label: "cost per decision", higherIsBetter: false };
  if ("alertBudget" in rule) return { label: `recall of "${rule.alertBudget.class}"`, higherIsBetter: true, share: true };
  // sMAPE and MASE cannot be resampled from sums over units; both are compared by the absolute errors they scale.
  const metric = comparableMetric(rule.metric);
  const { higherIsBetter, share } = metricFacts(metric);
  return { label: labelOf(metric, score), higherIsBetter, share };
}

/** The metric's name, with the unit that it is per where that has a name. */
function labelOf(metric: MetricName, { metrics }: Score): string {
  if (metric === "tokenErrorRate" && "unitName" in metrics) return errorRateLabel(metrics.unitName);
  if (metric === "logLoss" && "tokenUnit" in metrics && metrics.tokenUnit) return `nats per ${metrics.tokenUnit}`;
  if (metric === "bitsPerToken" && "tokenUnit" in metrics && metrics.tokenUnit) return `bits per ${metrics.tokenUnit}`;
  return METRICS[metric].label;
}

/** The contender's value of what the comparisons compare. */
function comparedValue(rule: Decision, one: Contender, decided: number): number {
  return "metric" in rule ? (metricValue(one.test, comparableMetric(rule.metric)) ?? decided) : decided;
}

function overBudget(result: DecisionResult): Pick<Rival, "overBudget"> {
  if (result.kind !== "alertBudget" || result.withinBudget) return {};
  return { overBudget: `raises ${result.alertsPer1000.toFixed(1)} alerts per 1,000 against ${result.per1000}` };
}

/** Figures that are shown and that nothing is decided by. */
const INFORMATION = {
  coverage90: { label: "coverage 90 %", higherIsBetter: true },
  alertsPer1000: { label: "alerts per 1,000", higherIsBetter: false },
  eventRecall: { label: "windows hit", higherIsBetter: true },
  falseAlarmsPer1000: { label: "false alarms per 1,000", higherIsBetter: false },
  averagePrecision: { label: "PR-AUC", higherIsBetter: true },
};

/** The figures that a report shows of a score. */
function columnKeys({ kind, metrics }: Score): readonly (MetricName | keyof typeof INFORMATION)[] {
  switch (kind) {
    case "forecast":
      if (metrics.frameF1 !== undefined) return ["nll", "frameAccuracy", "frameF1"];
      return metrics.crps !== undefined ? ["crps", "coverage90", "mae", "mase"] : ["mse", "mae", "mase"];
    case "classification":
      if (metrics.perplexity !== undefined) return ["logLoss", "perplexity", "accuracy"];
      return metrics.spanF1 !== undefined ? ["spanF1", "accuracy", "logLoss"] : ["accuracy", "macroF1", "logLoss"];
    case "sequence":
      return ["exactMatch", "tokenErrorRate", "bleu", ...(metrics.chrf === undefined ? [] : ["chrf" as const])];
    case "detection":
      if (!metrics.labelled) return ["alertsPer1000"];
      return [
        ...(["f1", "precision", "recall", "falsePositiveRate"] as const),
        ...(metrics.unit === "step" ? (["eventRecall", "falseAlarmsPer1000"] as const) : []),
        "averagePrecision",
      ];
  }
}

function reportColumns(all: Contender[], rule: Decision): ReportColumn[] {
  const { test } = all[0];
  const column = (key: MetricName): ReportColumn => ({
    key,
    label: labelOf(key, test),
    higherIsBetter: METRICS[key].higherIsBetter,
  });
  const columns = columnKeys(test)
    .filter((key) => all.some((one) => metricValue(one.test, key) !== undefined))
    .map((key) => (key in INFORMATION ? { key, ...INFORMATION[key as keyof typeof INFORMATION] } : column(key as MetricName)));
  if ("metric" in rule) {
    const { metric } = rule;
    const shown = columns.some(({ key }) => key === metric) || all.every((one) => metricValue(one.test, metric) === undefined);
    return shown ? columns : [...columns, column(metric)];
  }
  const { label, higherIsBetter } = verdictMetric(rule, test);
  return [...columns, { key: "decision", label, higherIsBetter }];
}

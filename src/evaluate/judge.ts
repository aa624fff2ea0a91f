/** @file From the scores of a model and its rivals to a report: table, paired comparisons, decision and verdict. */
import type { Rng } from "../core/rng.js";
import type { Comparison } from "./bootstrap.js";
import { compareDecision, type Decision, type DecisionResult, decide } from "./decision.js";
import type { LengthShift } from "./length-shift.js";
import type { Report, ReportColumn } from "./report.js";
import { METRICS, type Score } from "./score.js";
import { type Rival, type VerdictMetric, verdict } from "./verdict.js";

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
  /** What the verdict is reached by; default mean squared error for forecasts, accuracy for classes. */
  decision?: Decision;
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
  { rng, decision, span, resamples, unit = "example", lengthShift, clusterOf, separation, notes = [] }: JudgeOptions,
): Generator<undefined, Report, undefined> {
  const all = [model, ...rivals];
  const rule: Decision = decision ?? { metric: model.test.kind === "forecast" ? "mse" : "accuracy" };
  const metric = verdictMetric(rule);
  const results = new Map<Contender, DecisionResult>(all.map((one) => [one, decide(rule, one)]));
  const value = (one: Contender) => decidedValue(results.get(one) as DecisionResult);
  const comparisons: Record<string, Comparison> = {};
  const judged: Rival[] = [];
  for (const rival of rivals) {
    yield;
    const comparison = compareDecision(rule, model, rival, { rng: rng.split(), span, resamples, clusterOf });
    comparisons[rival.name] = comparison;
    const { name, kind, cheaper, microsecondsPerStep } = rival;
    const over = overBudget(results.get(rival) as DecisionResult);
    const compared = comparedValue(rule, rival, value(rival));
    judged.push({ name, kind, cheaper, microsecondsPerStep, value: compared, comparison, ...over });
  }
  const limits = [...new Set(Object.values(comparisons).flatMap(({ note }) => (note ? [`95 % intervals: ${note}.`] : [])))];
  const outcome = verdict(
    {
      name: model.name,
      value: comparedValue(rule, model, value(model)),
      ...overBudget(results.get(model) as DecisionResult),
    },
    metric,
    judged,
  );
  // The best of several on the test part is the best partly by luck.
  const chosen = outcome.loses.includes(outcome.ship) && rivals.length > 1;
  const columns = reportColumns(all, decision);
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
      values: Object.fromEntries(columns.map(({ key }) => [key, key === "decision" ? value(one) : metricOf(one.test, key)])),
      ...(one.microsecondsPerStep !== undefined && { microsecondsPerStep: one.microsecondsPerStep }),
    })),
    metrics: Object.fromEntries(all.map((one) => [one.name, one.test.metrics])),
    ...(decision && { decision: Object.fromEntries(all.map((one) => [one.name, results.get(one) as DecisionResult])) }),
    comparedBy: metric.label,
    comparisons,
    verdict: outcome,
    ...(lengthShift && { lengthShift }),
    notes: [
      ...(chosen
        ? [`${outcome.ship} was chosen among ${rivals.length} rivals by the same test part: its lead is optimistic.`]
        : []),
      ...limits,
      ...notes,
    ],
  };
}

function verdictMetric(rule: Decision): VerdictMetric {
  if ("costs" in rule) return { label: "cost per decision", higherIsBetter: false };
  if ("alertBudget" in rule) return { label: `recall of "${rule.alertBudget.class}"`, higherIsBetter: true, share: true };
  // sMAPE and MASE cannot be resampled from sums over units; both are compared by the absolute errors they scale.
  const { label, higherIsBetter } = METRICS[rule.metric === "smape" || rule.metric === "mase" ? "mae" : rule.metric];
  return { label, higherIsBetter, share: higherIsBetter };
}

/** The contender's value of what the comparisons compare. */
function comparedValue(rule: Decision, one: Contender, decided: number): number {
  const scaled = "metric" in rule && (rule.metric === "smape" || rule.metric === "mase");
  return scaled ? (metricOf(one.test, "mae") ?? decided) : decided;
}

function decidedValue(result: DecisionResult): number {
  if (result.kind === "metric") return result.value;
  return result.kind === "costs" ? result.meanCostMinimized : (result.recall ?? 0);
}

function overBudget(result: DecisionResult): Pick<Rival, "overBudget"> {
  if (result.kind !== "alertBudget" || result.withinBudget) return {};
  return { overBudget: `raises ${result.alertsPer1000.toFixed(1)} alerts per 1,000 against ${result.per1000}` };
}

function reportColumns(all: Contender[], decision: Decision | undefined): ReportColumn[] {
  const keys =
    all[0].test.kind === "forecast" ? (["mse", "mae", "mase"] as const) : (["accuracy", "macroF1", "logLoss"] as const);
  const columns: ReportColumn[] = keys
    .filter((key) => all.some((one) => metricOf(one.test, key) !== null))
    .map((key) => ({ key, label: METRICS[key].label, higherIsBetter: METRICS[key].higherIsBetter }));
  if (!decision) return columns;
  if ("metric" in decision) {
    const { metric } = decision;
    if (!columns.some(({ key }) => key === metric)) columns.push({ key: metric, ...METRICS[metric] });
    return columns;
  }
  const { label, higherIsBetter } = verdictMetric(decision);
  return [...columns, { key: "decision", label, higherIsBetter }];
}

function metricOf(score: Score, key: string): number | null {
  return (score.metrics as unknown as Record<string, number | undefined>)[key] ?? null;
}

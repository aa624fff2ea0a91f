export { type BootstrapOptions, bootstrap, type Comparison, compare, type PairedUnits } from "./bootstrap.js";
export { type ComparableMetric, compareScores } from "./comparison.js";
export { compareDecision, type Decision, type DecisionResult, decide, decisionNeeds, describeDecision } from "./decision.js";
export { type MetricDifference, metricDifferences } from "./difference.js";
export { type EvaluateOptions, evaluate } from "./evaluate.js";
export { type Contender, type JudgeOptions, judge, judgeStepwise } from "./judge.js";
export { LENGTH_MULTIPLES, type LengthMultiple, type LengthShift, type LengthShiftOptions, lengthShift } from "./length-shift.js";
export { type ClassMetrics, type ConfusionMetrics, classMetrics, confusionMetrics } from "./metrics/confusion.js";
export { mase, maseScale } from "./metrics/mase.js";
export { type RegressionMetrics, regressionMetrics } from "./metrics/regression.js";
export {
  type RenderReportTextOptions,
  type Report,
  type ReportColumn,
  type ReportRow,
  renderReportHtml,
  renderReportText,
} from "./report.js";
export {
  type ClassificationMetrics,
  type ClassificationScore,
  type ForecastBreakdown,
  type ForecastErrors,
  type ForecastMetrics,
  type ForecastScore,
  METRICS,
  type MetricName,
  type Score,
} from "./score.js";
export { type ScoreClassificationOptions, scoreClassification } from "./score-classification.js";
export { type ScoreForecastOptions, type Scorer, scoreForecast } from "./score-forecast.js";
export { type Rival, type Verdict, type VerdictMetric, verdict } from "./verdict.js";

export { type BootstrapOptions, bootstrap, type Comparison, compare, type PairedUnits } from "./bootstrap.js";
export {
  type ConformalIntervals,
  conformalInterval,
  conformalizeQuantiles,
  conformalQuantile,
  fitConformal,
} from "./calibrate/conformal.js";
export { heldBackLogits } from "./calibrate/held-back.js";
export {
  type ChooseHysteresisOptions,
  type ChosenHysteresis,
  chooseHysteresis,
  Hysteresis,
  type HysteresisOptions,
  hysteresisAlerts,
} from "./calibrate/hysteresis.js";
export { applyTemperature, fitTemperature, type Temperature, type TemperatureOptions } from "./calibrate/temperature.js";
export { chooseThreshold, type Threshold, type ThresholdRule } from "./calibrate/threshold.js";
export { type ComparableMetric, comparableMetric, compareScores } from "./comparison.js";
export {
  compareDecision,
  type Decision,
  type DecisionResult,
  decide,
  decidedValue,
  decisionNeeds,
  describeDecision,
  isHigherBetter,
} from "./decision.js";
export { type MetricDifference, metricDifferences } from "./difference.js";
export { INTERVAL_LEVELS } from "./distribution-sums.js";
export { type Continuation, type TokenDivergence, tokenDivergence, type ValueDivergence, valueDivergence } from "./divergence.js";
export { type EvaluateOptions, evaluate, type Predicting } from "./evaluate.js";
export type {
  FreeRunning,
  FreeRunningForecast,
  FreeRunningRow,
  FreeRunningSteps,
} from "./free-running.js";
export { type Contender, defaultMetric, type JudgeOptions, judge, judgeStepwise } from "./judge.js";
export { LENGTH_MULTIPLES, type LengthMultiple, type LengthShift, type LengthShiftOptions, lengthShift } from "./length-shift.js";
export { averagePrecision } from "./metrics/average-precision.js";
export { type Bleu, type BleuOptions, bleu } from "./metrics/bleu.js";
export { type Reliability, type ReliabilityBin, reliability } from "./metrics/calibration.js";
export { type ChrfOptions, chrf } from "./metrics/chrf.js";
export { type ClassMetrics, type ConfusionMetrics, classMetrics, confusionMetrics } from "./metrics/confusion.js";
export { EditSums, type Edits, editDistance, errorRate } from "./metrics/edit-distance.js";
export {
  type EventMetrics,
  type EventOptions,
  EventSums,
  type EventWindow,
  eventMetrics,
  windowsOf,
} from "./metrics/event.js";
export { exactMatch, isExactMatch } from "./metrics/exact-match.js";
export { DivergenceSums, type FirstDivergence, firstDifference } from "./metrics/first-divergence.js";
export { type FrameMetrics, FrameSums } from "./metrics/frame.js";
export type { LengthBucket } from "./metrics/length-bucket.js";
export { mase, maseScale } from "./metrics/mase.js";
export { type OperatingPoint, operatingPoints } from "./metrics/operating-point.js";
export { type Perplexity, perplexity } from "./metrics/perplexity.js";
export { type IntervalMetrics, IntervalSums, intervalScore } from "./metrics/prediction-interval.js";
export { type RegressionMetrics, regressionMetrics } from "./metrics/regression.js";
export { rocAuc } from "./metrics/roc-auc.js";
export { sampleCrps } from "./metrics/sample-crps.js";
export { conllSpans, type Span, type SpanMetrics, type SpanScore, spanF1 } from "./metrics/span-f1.js";
export {
  type RenderReportTextOptions,
  type Report,
  type ReportColumn,
  type ReportRow,
  renderReportHtml,
  renderReportText,
} from "./report.js";
export {
  type ClassificationBucket,
  type ClassificationMetrics,
  type ClassificationScore,
  type DetectionFacts,
  type DetectionMetrics,
  type DetectionScore,
  type DistributionMetrics,
  type ForecastBreakdown,
  type ForecastErrors,
  type ForecastMetrics,
  type ForecastScore,
  METRICS,
  METRICS_OF,
  type MetricName,
  metricFacts,
  metricValue,
  type Score,
  type SequenceBucket,
  type SequenceMetrics,
  type SequenceScore,
} from "./score.js";
export { type ClassificationScorer, type ScoreClassificationOptions, scoreClassification } from "./score-classification.js";
export { type DetectedStretch, scoreDetection } from "./score-detection.js";
export { type ScoreForecastOptions, type Scorer, scoreForecast } from "./score-forecast.js";
export { errorRateLabel, type ScoreSequencesOptions, type SequenceScorer, scoreSequences } from "./score-sequences.js";
export { type Rival, type Verdict, type VerdictMetric, verdict } from "./verdict.js";

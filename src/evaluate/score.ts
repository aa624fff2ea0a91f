/** @file What scoring gives: metrics to report, and the errors of single units (a window, a sequence, a step) to compare with another's. */
import type { ReliabilityBin } from "./metrics/calibration.js";
import type { ClassMetrics, ConfusionMetrics } from "./metrics/confusion.js";
import type { EventMetrics } from "./metrics/event.js";
import type { FirstDivergence } from "./metrics/first-divergence.js";
import type { LengthBucket } from "./metrics/length-bucket.js";
import type { IntervalMetrics } from "./metrics/prediction-interval.js";
import type { RegressionMetrics } from "./metrics/regression.js";
import type { SpanMetrics } from "./metrics/span-f1.js";

interface MetricFacts {
  label: string;
  higherIsBetter: boolean;
  /** A share of 1: told in per cent, differences in points. */
  share?: boolean;
}

/** A metric by name, with the direction in which it is better. */
export const METRICS = {
  mse: { label: "MSE", higherIsBetter: false },
  mae: { label: "MAE", higherIsBetter: false },
  rmse: { label: "RMSE", higherIsBetter: false },
  smape: { label: "sMAPE", higherIsBetter: false },
  mase: { label: "MASE", higherIsBetter: false },
  crps: { label: "CRPS", higherIsBetter: false },
  pinballLoss: { label: "pinball loss", higherIsBetter: false },
  accuracy: { label: "accuracy", higherIsBetter: true, share: true },
  balancedAccuracy: { label: "balanced accuracy", higherIsBetter: true, share: true },
  macroF1: { label: "macro-F1", higherIsBetter: true, share: true },
  spanF1: { label: "span F1", higherIsBetter: true, share: true },
  logLoss: { label: "log-loss", higherIsBetter: false },
  perplexity: { label: "perplexity", higherIsBetter: false },
  bitsPerToken: { label: "bits per token", higherIsBetter: false },
  tokenErrorRate: { label: "token error rate", higherIsBetter: false, share: true },
  exactMatch: { label: "exact match", higherIsBetter: true, share: true },
  bleu: { label: "BLEU", higherIsBetter: true },
  chrf: { label: "chrF", higherIsBetter: true },
  nll: { label: "NLL", higherIsBetter: false },
  frameAccuracy: { label: "frame accuracy", higherIsBetter: true, share: true },
  frameF1: { label: "frame F1", higherIsBetter: true, share: true },
  f1: { label: "F1", higherIsBetter: true, share: true },
  precision: { label: "precision", higherIsBetter: true, share: true },
  recall: { label: "recall", higherIsBetter: true, share: true },
  falsePositiveRate: { label: "false positive rate", higherIsBetter: false, share: true },
} as const satisfies Record<string, MetricFacts>;

export type MetricName = keyof typeof METRICS;
export type ForecastMetricName =
  | "mse"
  | "mae"
  | "rmse"
  | "smape"
  | "mase"
  | "crps"
  | "pinballLoss"
  | "nll"
  | "frameAccuracy"
  | "frameF1";
export type ClassificationMetricName =
  | "accuracy"
  | "balancedAccuracy"
  | "macroF1"
  | "spanF1"
  | "logLoss"
  | "perplexity"
  | "bitsPerToken";
export type DetectionMetricName = "f1" | "precision" | "recall" | "falsePositiveRate";
export type SequenceMetricName = "tokenErrorRate" | "exactMatch" | "bleu" | "chrf" | "nll" | "perplexity";

/** The metrics that scores of a kind can have. */
export const METRICS_OF = {
  forecast: ["mse", "mae", "rmse", "smape", "mase", "crps", "pinballLoss", "nll", "frameAccuracy", "frameF1"],
  classification: ["accuracy", "balancedAccuracy", "macroF1", "spanF1", "logLoss", "perplexity", "bitsPerToken"],
  sequence: ["tokenErrorRate", "exactMatch", "bleu", "chrf", "nll", "perplexity"],
  detection: ["f1", "precision", "recall", "falsePositiveRate"],
} as const satisfies {
  forecast: readonly ForecastMetricName[];
  classification: readonly ClassificationMetricName[];
  sequence: readonly SequenceMetricName[];
  detection: readonly DetectionMetricName[];
};

/** A metric's facts, optional ones included. */
export function metricFacts(metric: MetricName): MetricFacts {
  return METRICS[metric];
}

/**
 * What a probabilistic forecast is worth, by its own distribution. The point that the errors beside it are of is the distribution's own
 * (`point` in core/predictive-distribution.ts).
 */
export interface DistributionMetrics {
  /** Continuous ranked probability score; of a predictor that gives points: their absolute error. */
  crps?: number;
  /** Mean negative log-density or log-probability, in nats; absent where the forecast has none. */
  nll?: number;
  /** Mean pinball loss over the levels. */
  pinballLoss?: number;
  pinball?: { level: number; value: number }[];
  /** Central intervals. */
  intervals?: IntervalMetrics[];
}

/** `mase` is there when the scales of the training part were given. */
export interface ForecastErrors extends RegressionMetrics, DistributionMetrics {
  mase?: number;
}

/** Errors in one space, whole and broken down. A step or target without a single value to score is left out of its breakdown. */
export interface ForecastBreakdown extends ForecastErrors {
  /** By step of the horizon, 1 .. P. */
  byHorizon: (ForecastErrors & { step: number })[];
  byTarget: Record<string, ForecastErrors>;
}

/** On scaled targets; the same in original units under `original`. Mixed units make `original` as a whole meaningful only by target. */
export interface ForecastMetrics extends ForecastBreakdown {
  original?: ForecastBreakdown;
  /** Share of the values that lie in their central 90 % interval. */
  coverage90?: number;
  /**
   * Sets of things at each step (a Bernoulli distribution): `nll` is then the sum over the set, averaged over the steps that are predicted,
   * in nats (Boulanger-Lewandowski et al. 2012); what is found is what has a probability above one half.
   */
  frameAccuracy?: number;
  frameF1?: number;
  /** Steps that are predicted. */
  frames?: number;
}

/** Decisions on sequences of a length; see {@link ClassificationMetrics.byLength}. */
export interface ClassificationBucket extends LengthBucket {
  accuracy: number;
  logLoss: number;
}

export interface ClassificationMetrics extends ConfusionMetrics {
  /** Mean negative log probability of the true class, in nats. */
  logLoss: number;
  /** Mean probability of the predicted class. */
  meanConfidence: number;
  /** Expected calibration error, 15 bins. */
  ece: number;
  /** Confidence against accuracy, by bins of the confidence that hold something. */
  reliability: ReliabilityBin[];
  /** Empty where there are more than 2,048 classes. */
  perClass: Record<string, ClassMetrics>;
  /**
   * One class against all others, by their probabilities; null where the class occurs nowhere or everywhere. Absent for codes that follow each
   * other, for more than 32 classes, and where more than eight million probabilities would have to be kept.
   */
  ranking?: Record<string, { rocAuc: number | null; averagePrecision: number | null }>;
  /** Row the true class, column the predicted one, in the order of `classes`. Empty where there are more than 128 classes. */
  confusion: number[][];
  classes: string[];
  /** By length of the sequence that a decision belongs to; absent where all are in one bucket. */
  byLength?: ClassificationBucket[];
  /** Codes that follow each other: exp(logLoss), and logLoss / ln 2; per what `tokenUnit` names. */
  perplexity?: number;
  bitsPerToken?: number;
  tokenUnit?: string;
  /** Where tags mark spans: F1 over all types, with the rest of the figures in `spans`. */
  spanF1?: number;
  spans?: SpanMetrics & { note?: string };
}

/** Target sequences of a length, or of inputs of a length. */
export interface SequenceBucket extends LengthBucket {
  tokenErrorRate: number;
  exactMatch: number;
}

export interface SequenceMetrics {
  /** Examples. */
  n: number;
  /** What a target sequence consists of: "token", "word", "character", "phoneme", "label". */
  unitName: string;
  /** All edits / all reference tokens: word, character, phoneme or label error rate. */
  tokenErrorRate: number;
  substitutions: number;
  deletions: number;
  insertions: number;
  referenceLength: number;
  /** Share of examples that are right as a whole. */
  exactMatch: number;
  /** 0 .. 100 */
  bleu: number;
  /** 0 .. 100; where the tokens make a text. */
  chrf?: number;
  /** Teacher-forced: mean negative log-probability per token, in nats, of the targets that are possible at all. */
  nll?: number;
  perplexity?: number;
  /** Mean negative log-probability per whole target, in nats. */
  nllPerSequence?: number;
  /** Targets that the model gives probability 0; they are not in `nll`. */
  impossible?: number;
  /** The share of target tokens that are right when all before them are given, and when the model reads its own. */
  tokenAccuracy: { teacherForced?: number; freeRunning: number };
  /** Where wrong sequences first differ from their target. */
  firstDivergence: FirstDivergence;
  byTargetLength: SequenceBucket[];
  bySourceLength: SequenceBucket[];
}

/** How alerts came about. */
export interface DetectionFacts {
  /** Whether steps are judged, or whole series. */
  unit: "step" | "series";
  /** Alert above this; the rule it was chosen by, in words, and the validation scores it was chosen on. */
  threshold: { value: number; rule: string; n: number };
  /** Series of fewer steps count as this, whatever their scores; how many there were. */
  short?: { below: number; countsAs: "anomalous" | "normal"; series: number };
}

/** Alerts against what is known to be anomalous. A rate that is not defined is absent, and all are where nothing is known. */
export interface DetectionMetrics extends DetectionFacts {
  /** Units that are judged. */
  n: number;
  /** Whether the truth of any unit is known. */
  labelled: boolean;
  /** Units, also those of unknown truth, and those of them that are alerted. */
  total: number;
  alerts: number;
  alertsPer1000: number;
  truePositives?: number;
  falsePositives?: number;
  falseNegatives?: number;
  trueNegatives?: number;
  f1?: number;
  precision?: number;
  recall?: number;
  falsePositiveRate?: number;
  /** Of the scores, whatever the threshold. */
  rocAuc?: number;
  averagePrecision?: number;
  /** By runs of anomalous steps, where steps are judged. */
  events?: EventMetrics;
  falseAlarmsPer1000?: number;
  eventRecall?: number;
}

/** Where a unit comes from: its series and its first step there. */
export interface Units {
  series: number[];
  position: number[];
}

/** One entry per example, or per step where every step predicts: how many values were scored, and their summed errors. */
export interface ForecastUnits extends Units {
  count: number[];
  squared: number[];
  absolute: number[];
  /** Summed; where the data has a distribution. */
  crps?: number[];
  pinball?: number[];
  /** Summed, and what it is a mean over; where the predictor gives one. */
  nll?: number[];
  nllCount?: number[];
  /** True positives, false positives and false negatives of sets, three to a unit. */
  frames?: number[];
}

/** One entry per decision. */
export interface ClassificationUnits extends Units {
  truth: number[];
  label: number[];
  logLoss: number[];
  /** The label of least expected cost, where costs were given. */
  costLabel: number[];
  /** The probability of the alert class, where an alert budget was given. */
  alert: number[];
  /** Spans that are there, were found, and are right, by the step they begin at: three to a unit. Present where tags mark spans. */
  spans?: number[];
}

/** One entry per unit that is judged. */
export interface DetectionUnits extends Units {
  /** 1 anomalous, 0 normal, -1 where nothing is known at all. */
  truth: number[];
  /** 1 where there is an alert. */
  alert: number[];
}

/** One entry per example. */
export interface SequenceUnits extends Units {
  edits: number[];
  referenceLength: number[];
  /** 1 where it is right as a whole. */
  exact: number[];
  /** What BLEU and chrF are functions of: BLEU_WIDTH and CHRF_WIDTH to a unit. */
  bleu: number[];
  chrf?: number[];
  /** Negative log-probability of the target and its tokens, both 0 where it is impossible. Present where the predictor has one for all. */
  nll?: number[];
  nllTokens?: number[];
}

export interface ForecastScore {
  kind: "forecast";
  metrics: ForecastMetrics;
  units: ForecastUnits;
}

export interface ClassificationScore {
  kind: "classification";
  metrics: ClassificationMetrics;
  units: ClassificationUnits;
}

export interface SequenceScore {
  kind: "sequence";
  metrics: SequenceMetrics;
  units: SequenceUnits;
}

export interface DetectionScore {
  kind: "detection";
  metrics: DetectionMetrics;
  units: DetectionUnits;
}

/** `metrics` is plain JSON for the report; `units` stays in memory for comparisons. */
export type Score = ForecastScore | ClassificationScore | SequenceScore | DetectionScore;

/** The value of a metric, undefined where the score has none. */
export function metricValue({ metrics }: Score, metric: string): number | undefined {
  const value = (metrics as unknown as Record<string, unknown>)[metric];
  return typeof value === "number" ? value : undefined;
}

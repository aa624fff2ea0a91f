/** @file Scores classifications, one per sequence or one per step, batch by batch. */
import { type Batch, type ExampleSpec, isPerStep } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { averagePrecisionOf } from "./metrics/average-precision.js";
import { CalibrationSums } from "./metrics/calibration.js";
import { classMetricsOf, marginMetrics } from "./metrics/confusion.js";
import { LengthBuckets } from "./metrics/length-bucket.js";
import { operatingPoints } from "./metrics/operating-point.js";
import { perplexity } from "./metrics/perplexity.js";
import { requireFinite } from "./metrics/regression.js";
import { rocAucOf } from "./metrics/roc-auc.js";
import type { ClassificationBucket, ClassificationMetrics, ClassificationScore, ClassificationUnits } from "./score.js";
import { forEachUnit, nothingScored, requireSize } from "./score-forecast.js";
import { scoreSpans } from "./score-spans.js";
import { SequenceCover } from "./sequence-cover.js";

export interface ScoreClassificationOptions {
  /** Cost of deciding [true class][predicted class], [C, C] row by row; keeps the label of least expected cost (Elkan 2001). */
  costs?: ArrayLike<number>;
  /** Index of the class whose probability is kept for an alert budget. */
  alertClass?: number;
  /** Tags mark spans, by whatever scheme, and F1 is counted over them; default whether the spec has a `tagScheme`. */
  tagScheme?: string | null;
  /** What one code of a sequence is called; default "token". */
  unitName?: string;
}

/** Takes batches with their logits, and with labels where these were decided together. */
export interface ClassificationScorer {
  /**
   * @param labels [B, T] or [B], in place of the likeliest class; what lies at steps that are not scored means nothing
   * @throws OST_SHAPE if the prediction or the labels have another size than the batch asks for. @throws OST_NAN if a scored logit is not
   * finite. @throws OST_RANGE if a scored label is no class.
   */
  add(batch: Batch, prediction: ArrayLike<number>, labels?: ArrayLike<number>): void;
  /** @throws OST_TARGET if there was nothing to score, or a tag marks no span. */
  result(): ClassificationScore;
}

/** Classes whose pairs are counted, and those whose figures are listed. */
const MOST_IN_CONFUSION = 128;
const MOST_LISTED = 2048;
/** Classes that are ranked one against all others, and probabilities kept for that. */
const MOST_RANKED = 32;
const MOST_KEPT = 8_000_000;

/**
 * Scores logits [B, C] ("class") or [B, T, C] ("tags", "next"). The label is the first largest logit, unless labels are given.
 * Classes of -1, padded steps and rows of length zero are not scored; `n` counts the decisions that are.
 */
export function scoreClassification(
  spec: ExampleSpec,
  { costs, alertClass, tagScheme = spec.tagScheme, unitName = "token" }: ScoreClassificationOptions = {},
): ClassificationScorer {
  const C = spec.classes.length;
  const [support, predicted, hits] = [new Float64Array(C), new Float64Array(C), new Float64Array(C)];
  const counts = C <= MOST_IN_CONFUSION ? new Float64Array(C * C) : undefined;
  const calibration = new CalibrationSums();
  const units: ClassificationUnits = {
    series: [],
    position: [],
    truth: [],
    label: [],
    logLoss: [],
    costLabel: [],
    alert: [],
  };
  const cover = new SequenceCover();
  /** "class": the input's length, by unit. */
  const lengths: number[] = [];
  let kept: number[] | undefined = spec.targetKind !== "next" && C <= MOST_RANKED ? [] : undefined;
  const probabilities = new Float64Array(C);
  let totalLoss = 0;
  return {
    add(batch, prediction, labels) {
      const { classes } = batch;
      requireSize(prediction.length, (classes?.length ?? 0) * C, "scoreClassification");
      if (!classes) return;
      if (labels) requireSize(labels.length, classes.length, "scoreClassification labels");
      if (isPerStep(batch.targetKind)) cover.add(batch);
      forEachUnit(batch, (row, step, at) => {
        const truth = classes[at];
        if (truth < 0) return;
        const logNormalizer = softmax(prediction, at * C, probabilities);
        const label = labels ? requireClass(labels[at], C) : largest(probabilities);
        const loss = logNormalizer - prediction[at * C + truth];
        if (counts) counts[truth * C + label]++;
        support[truth]++;
        predicted[label]++;
        if (truth === label) hits[truth]++;
        calibration.add(probabilities[label], label === truth);
        totalLoss += loss;
        units.series.push(batch.series[row]);
        units.position.push(batch.start[row] + step);
        units.truth.push(truth);
        units.label.push(label);
        units.logLoss.push(loss);
        if (!isPerStep(batch.targetKind)) lengths.push(batch.lengths[row]);
        if (costs) units.costLabel.push(cheapest(probabilities, costs));
        if (alertClass !== undefined) units.alert.push(probabilities[alertClass]);
        if (kept && kept.length + C > MOST_KEPT) kept = undefined;
        if (kept) for (let c = 0; c < C; c++) kept.push(probabilities[c]);
      });
    },
    result() {
      const n = units.truth.length;
      if (n === 0) throw nothingScored("scoreClassification");
      const { ece, meanConfidence, bins } = calibration.result();
      const listed = C <= MOST_LISTED ? spec.classes : [];
      const metrics: ClassificationMetrics = {
        ...marginMetrics({ support, predicted, hits }),
        logLoss: totalLoss / n,
        meanConfidence,
        ece,
        reliability: bins,
        perClass: Object.fromEntries(listed.map((name, c) => [name, classMetricsOf(support[c], predicted[c], hits[c])])),
        confusion: counts ? spec.classes.map((_, c) => [...counts.subarray(c * C, (c + 1) * C)]) : [],
        classes: spec.classes,
      };
      if (kept) metrics.ranking = ranking(kept, units.truth, spec.classes);
      if (spec.targetKind === "next") {
        const { bitsPerUnit, perplexity: value } = perplexity(totalLoss, n, { unit: unitName });
        Object.assign(metrics, { perplexity: value, bitsPerToken: bitsPerUnit, tokenUnit: unitName });
      }
      const byLength = bucketsOf(units, lengths, cover);
      if (byLength.length > 1) metrics.byLength = byLength;
      if (!tagScheme) return { kind: "classification", metrics, units };
      const { spans, counts: bySpan } = scoreSpans(units, spec.classes, cover);
      return { kind: "classification", metrics: { ...metrics, spanF1: spans.f1, spans }, units: { ...units, spans: bySpan } };
    },
  };
}

/** Decisions by the length of the sequence they belong to: of the input, or of the stretch of steps that was read without a gap. */
function bucketsOf(
  { series, position, truth, label, logLoss }: ClassificationUnits,
  lengths: readonly number[],
  cover: SequenceCover,
): ClassificationBucket[] {
  const buckets = new LengthBuckets(2);
  const stretchOf = cover.stretches();
  truth.forEach((code, unit) => {
    let length = lengths[unit];
    if (length === undefined) {
      const { start, end } = stretchOf(series[unit], position[unit]);
      length = end - start;
    }
    buckets.add(length, [label[unit] === code ? 1 : 0, logLoss[unit]]);
  });
  return buckets.result().map(({ from, to, n, sums }) => ({ from, to, n, accuracy: sums[0] / n, logLoss: sums[1] / n }));
}

/** One class against all others. */
function ranking(probabilities: readonly number[], truth: readonly number[], classes: readonly string[]) {
  const C = classes.length;
  return Object.fromEntries(
    classes.map((name, c) => {
      const scores = Float64Array.from(truth, (_, unit) => probabilities[unit * C + c]);
      const points = operatingPoints(
        scores,
        truth.map((code) => code === c),
      );
      return [name, { rocAuc: rocAucOf(points), averagePrecision: averagePrecisionOf(points) }];
    }),
  );
}

function requireClass(label: number, classes: number): number {
  if (Number.isInteger(label) && label >= 0 && label < classes) return label;
  throw new OstinatoError("OST_RANGE", {
    what: "a label is no class",
    expected: `0 .. ${classes - 1}`,
    got: String(label),
    where: "scoreClassification",
  });
}

/** Writes the probabilities of the logits at `from`, and returns the logarithm of their normaliser. */
function softmax(logits: ArrayLike<number>, from: number, out: Float64Array): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < out.length; c++) {
    requireFinite(logits[from + c]);
    max = Math.max(max, logits[from + c]);
  }
  let sum = 0;
  for (let c = 0; c < out.length; c++) {
    out[c] = Math.exp(logits[from + c] - max);
    sum += out[c];
  }
  for (let c = 0; c < out.length; c++) out[c] /= sum;
  return max + Math.log(sum);
}

function largest(values: Float64Array): number {
  let best = 0;
  for (let c = 1; c < values.length; c++) if (values[c] > values[best]) best = c;
  return best;
}

/** The decision of least expected cost under these probabilities. */
function cheapest(probabilities: Float64Array, costs: ArrayLike<number>): number {
  const C = probabilities.length;
  let best = 0;
  let bestCost = Number.POSITIVE_INFINITY;
  for (let label = 0; label < C; label++) {
    let cost = 0;
    for (let truth = 0; truth < C; truth++) cost += probabilities[truth] * costs[truth * C + label];
    if (cost < bestCost) {
      bestCost = cost;
      best = label;
    }
  }
  return best;
}

/** @file Scores classifications, one per sequence or one per step, batch by batch. */
import type { ExampleSpec } from "../core/batch.js";
import { CalibrationSums } from "./metrics/calibration.js";
import { classMetrics, confusionMetrics } from "./metrics/confusion.js";
import { requireFinite } from "./metrics/regression.js";
import type { ClassificationScore, ClassificationUnits } from "./score.js";
import { forEachUnit, nothingScored, requireSize, type Scorer } from "./score-forecast.js";

export interface ScoreClassificationOptions {
  /** Cost of deciding [true class][predicted class], [C, C] row by row; keeps the label of least expected cost (Elkan 2001). */
  costs?: ArrayLike<number>;
  /** Index of the class whose probability is kept for an alert budget. */
  alertClass?: number;
}

/**
 * Scores logits [B, C] ("class") or [B, T, C] ("tags"). The label is the first largest logit.
 * Classes of -1, padded steps and rows of length zero are not scored; `n` counts the decisions that are.
 */
export function scoreClassification(
  spec: ExampleSpec,
  { costs, alertClass }: ScoreClassificationOptions = {},
): Scorer<ClassificationScore> {
  const C = spec.classes.length;
  const counts = new Float64Array(C * C);
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
  const probabilities = new Float64Array(C);
  let totalLoss = 0;
  return {
    add(batch, prediction) {
      const { classes } = batch;
      requireSize(prediction.length, (classes?.length ?? 0) * C, "scoreClassification");
      if (!classes) return;
      forEachUnit(batch, (row, step, at) => {
        const truth = classes[at];
        if (truth < 0) return;
        const logNormalizer = softmax(prediction, at * C, probabilities);
        const label = largest(probabilities);
        const loss = logNormalizer - prediction[at * C + truth];
        counts[truth * C + label]++;
        calibration.add(probabilities[label], label === truth);
        totalLoss += loss;
        units.series.push(batch.series[row]);
        units.position.push(batch.start[row] + step);
        units.truth.push(truth);
        units.label.push(label);
        units.logLoss.push(loss);
        if (costs) units.costLabel.push(cheapest(probabilities, costs));
        if (alertClass !== undefined) units.alert.push(probabilities[alertClass]);
      });
    },
    result() {
      const n = units.truth.length;
      if (n === 0) throw nothingScored("scoreClassification");
      const { ece, meanConfidence } = calibration.result();
      return {
        kind: "classification",
        metrics: {
          ...confusionMetrics(counts, C),
          logLoss: totalLoss / n,
          meanConfidence,
          ece,
          perClass: Object.fromEntries(spec.classes.map((name, c) => [name, classMetrics(counts, C, c)])),
          confusion: spec.classes.map((_, c) => [...counts.subarray(c * C, (c + 1) * C)]),
          classes: spec.classes,
        },
        units,
      };
    },
  };
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

/**
 * @file From predictions to alerts: how surprising each row of a part is, and the threshold above which it is an alert.
 *
 * A surprise belongs to the row that came, not to the step that predicted it, and depends on rows up to that one (reconstruction: on its
 * window). The first row of a part has none: the step that predicts it belongs to the part before. What surprises are measured by, and the threshold, come from the validation part alone.
 */
import type { Batch, ExampleSpec, Part } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { ANOMALOUS, type PreparedData, partCode, runsOf, UNKNOWN_ANOMALY } from "../data/index.js";
import { chooseThreshold, type DetectedStretch, type Score, scoreDetection, type ThresholdRule } from "../evaluate/index.js";
import { type Detection, eventRank, LEAST_DEVIATION, scoreOf, valueError, type Watched, watch } from "../model/index.js";
import type { ExperimentConfig } from "./config.js";

/** How surprising the rows of a part are, by series; a row without a prediction or a value has none. */
export interface Surprises {
  /** Numbers of one surprise: 1 for events, else one per target. */
  readonly width: number;
  /** By the index of a series: of its rows, in any order. */
  readonly rows: ReadonlyMap<number, { position: number[]; values: number[] }>;
}

type Configured = Pick<ExperimentConfig, "detect" | "evaluation">;

/**
 * The surprises of all rows that batches predict. A row that several windows predict counts by the first of them.
 *
 * @param predict as {@link Predictor.predict}
 * @throws OST_NAN if a prediction that is scored is not finite.
 */
export function surprisesOf(
  predict: (batch: Batch) => Float32Array,
  source: Iterable<Batch>,
  { targetKind, classes, targets, ahead = 1 }: ExampleSpec,
): Surprises {
  const width = targetKind === "next" ? 1 : targets.length;
  const rows = new Map<number, { position: number[]; values: number[]; seen: Set<number> }>();
  for (const batch of source) {
    const prediction = predict(batch);
    const steps = batch.batchSize * batch.time;
    const each = prediction.length / Math.max(1, steps);
    for (let b = 0; b < batch.batchSize; b++) {
      for (let t = 0; t < batch.lengths[b]; t++) {
        const at = b * batch.time + t;
        const surprise =
          targetKind === "next"
            ? rankAt(prediction, at, batch, classes.length)
            : errorsAt(prediction.subarray(at * each, (at + 1) * each), at, batch, width);
        if (!surprise) continue;
        let own = rows.get(batch.series[b]);
        if (!own) {
          own = { position: [], values: [], seen: new Set() };
          rows.set(batch.series[b], own);
        }
        const position = batch.start[b] + t + ahead;
        if (own.seen.has(position)) continue;
        own.seen.add(position);
        own.position.push(position);
        own.values.push(...surprise);
      }
    }
  }
  return { width, rows };
}

function rankAt(prediction: Float32Array, at: number, { classes }: Batch, count: number): [number] | null {
  const code = classes?.[at] ?? -1;
  if (code < 0) return null;
  if (Number.isNaN(prediction[at * count + code])) throw notFinite();
  return [eventRank(prediction, at * count, count, code)];
}

function errorsAt(raw: Float32Array, at: number, { values }: Batch, width: number): Float64Array | null {
  const per = raw.length / width;
  const errors = new Float64Array(width).fill(Number.NaN);
  let there = false;
  for (let k = 0; k < width; k++) {
    const value = values?.[at * width + k] ?? Number.NaN;
    if (Number.isNaN(value)) continue;
    errors[k] = valueError(raw.subarray(k * per, (k + 1) * per), value);
    if (!Number.isFinite(errors[k])) throw notFinite();
    there = true;
  }
  return there ? errors : null;
}

function notFinite(): OstinatoError {
  return new OstinatoError("OST_NAN", {
    what: "a prediction is not finite, so nothing says how surprising what came is",
    where: "detect",
    repair: "check the range of the values, or lower train.learningRate",
  });
}

/** A stretch of the part, one entry per row. */
interface WatchedStretch extends Watched {
  series: number;
  from: number;
}

/** The score of every row of a series, null where it has none. @param series its index */
export function scoresOf(
  { width, rows }: Surprises,
  series: number,
  length: number,
  detection: Pick<Detection, "by" | "mean" | "std">,
): (number | null)[] {
  const own = rows.get(series);
  const scores = new Array<number | null>(length).fill(null);
  own?.position.forEach((position, i) => {
    scores[position] = scoreOf(own.values.slice(i * width, (i + 1) * width), detection);
  });
  return scores;
}

/** The stretches of a part in the order of the rows, the alarm of each begun afresh. */
function watchedStretches(
  { series }: PreparedData,
  part: Part,
  surprises: Surprises,
  detection: Omit<Detection, "rule" | "n" | "unit">,
): WatchedStretch[] {
  const code = partCode(part);
  return series.flatMap(({ part: codes, copy }, s) => {
    const runs = copy ? [] : runsOf(codes, code);
    if (runs.length === 0) return [];
    const scores = scoresOf(surprises, s, codes.length, detection);
    return runs.map(([from, to]) => ({ series: s, from, ...watch(scores.slice(from, to), detection) }));
  });
}

/**
 * Everything that turns a predictor's surprises into alerts, from the validation part.
 *
 * @param part must be validation: nothing is ever chosen on test rows.
 * @throws OST_TARGET if there is no validation part, if it holds no score, or no labelled anomaly where the rule needs them.
 */
export function fitDetection(config: Configured, prepared: PreparedData, part: Part, validation: Surprises): Detection {
  if (part !== "validation") {
    throw new OstinatoError("OST_TARGET", {
      what: "a threshold is chosen on a validation part, and here is none",
      expected: "validation rows, or a model file that holds its threshold",
      got: `the part "${part}"`,
      where: "detect.threshold",
      repair: "train the model again: its file then says when it alerts",
    });
  }
  const settings = settingsOf(config);
  const { by, unit, rank, shortest, short, threshold: wanted, hold, smooth, margin } = settings;
  const common = {
    ...{ by, unit, smooth, steps: hold.steps, quiet: hold.quiet, shortest: unit === "series" ? shortest : 1, short },
    ...(by === "nextEvent" ? { mean: [], std: [] } : momentsOf(validation)),
  };
  if (by === "nextEvent" && rank !== undefined) {
    return { ...common, threshold: rank, off: rank * hold.off, rule: "as configured", n: 0 };
  }
  const scores: number[] = [];
  const labels: number[] = [];
  const silent = { ...common, threshold: Number.POSITIVE_INFINITY, off: Number.POSITIVE_INFINITY };
  const stretches = watchedStretches(prepared, "validation", validation, silent);
  for (const stretch of stretches) {
    const truth = truthOf(prepared, stretch);
    if (unit === "series") {
      if (stretch.scores.length < common.shortest) continue;
      scores.push(highest(stretch.scores));
      labels.push(seriesTruth(truth));
      continue;
    }
    stretch.scores.forEach((score, i) => {
      if (score === null) return;
      scores.push(score);
      labels.push(truth[i]);
    });
  }
  const rule = ruleOf(wanted);
  const known = rule.by === "f1" ? labels.flatMap((label, i) => (label === UNKNOWN_ANOMALY ? [] : [i])) : [];
  if (rule.by === "f1" && known.length === 0) throw unlabelled();
  const { threshold: chosen } =
    rule.by === "f1"
      ? chooseThreshold(
          known.map((i) => scores[i]),
          known.map((i) => labels[i] === ANOMALOUS),
          rule,
        )
      : chooseThreshold(scores, undefined, rule);
  const n = rule.by === "f1" ? known.length : scores.length;
  // Ranks are whole numbers: of all thresholds that alert the same validation rows the lowest is how many events are likely enough.
  const least = by === "nextEvent" ? scores.reduce((most, score) => (score <= chosen ? Math.max(most, score) : most), 0) : chosen;
  const threshold = least + (margin - 1) * Math.abs(least);
  return { ...common, threshold, off: Math.min(threshold, threshold * hold.off), rule: describeRule(rule, { unit, margin }), n };
}

function unlabelled(): OstinatoError {
  return new OstinatoError("OST_TARGET", {
    what: "the best F1 is asked for, and no validation row says whether it is anomalous",
    expected: "validation rows with data.anomaly filled in",
    got: "none",
    where: "detect.threshold",
    repair: "choose a budget or a quantile: per1000, quantile",
  });
}

function settingsOf({ detect }: Configured): NonNullable<ExperimentConfig["detect"]> {
  if (detect) return detect;
  throw new OstinatoError("OST_CONFIG", {
    what: "it is not said how anomalies are found",
    expected: "detect",
    got: "nothing",
    where: "detect",
    repair: "for example detect: { by: residual }",
  });
}

function ruleOf(wanted: NonNullable<ExperimentConfig["detect"]>["threshold"]): ThresholdRule {
  if ("per1000" in wanted) return { by: "alertBudget", per1000: wanted.per1000 };
  return "quantile" in wanted ? { by: "quantile", quantile: wanted.quantile } : { by: "f1" };
}

function describeRule(rule: ThresholdRule, { unit, margin }: { unit: Detection["unit"]; margin: number }): string {
  const times = margin === 1 ? "" : `, times ${margin}`;
  if (rule.by === "alertBudget")
    return `at most ${rule.per1000} of 1,000 validation ${unit === "series" ? "series" : "steps"} above it${times}`;
  const best =
    rule.by === "quantile" ? `the ${rule.quantile} quantile of the validation scores` : "the best F1 on the validation part";
  return `${best}${times}`;
}

/** Mean and deviation of the errors of each target; a target without any has 0 and 1. */
function momentsOf({ width, rows }: Surprises): { mean: number[]; std: number[] } {
  const count = new Float64Array(width);
  const mean = new Float64Array(width);
  const squares = new Float64Array(width);
  for (const { values } of rows.values()) {
    values.forEach((value, i) => {
      if (Number.isNaN(value)) return;
      const k = i % width;
      const distance = value - mean[k];
      mean[k] += distance / ++count[k];
      squares[k] += distance * (value - mean[k]);
    });
  }
  return {
    mean: [...mean],
    std: Array.from(squares, (sum, k) => (count[k] > 0 ? Math.max(LEAST_DEVIATION, Math.sqrt(sum / count[k])) : 1)),
  };
}

/** What is known of the rows of a stretch. */
function truthOf({ series }: PreparedData, { series: s, from, scores }: WatchedStretch): Uint8Array {
  const { anomaly } = series[s];
  return anomaly ? anomaly.slice(from, from + scores.length) : new Uint8Array(scores.length).fill(UNKNOWN_ANOMALY);
}

/** A series is anomalous if a row of it is known to be, and normal if all known ones are. */
function seriesTruth(truth: Uint8Array): number {
  if (truth.includes(ANOMALOUS)) return ANOMALOUS;
  return truth.find((code) => code !== UNKNOWN_ANOMALY) ?? UNKNOWN_ANOMALY;
}

/** Of a series without any score 0, below every rank and squared error. */
function highest(scores: readonly (number | null)[]): number {
  return scores.reduce<number>((most, score) => Math.max(most, score ?? 0), 0);
}

/** Judges the alerts on a part. Rows without a score are not judged. @throws OST_TARGET if there was nothing to judge. */
export function scoreAlerts(prepared: PreparedData, part: Part, surprises: Surprises, detection: Detection): Score {
  const { unit, shortest, short, threshold, rule, n } = detection;
  let shortSeries = 0;
  const judged = watchedStretches(prepared, part, surprises, detection).map((stretch): DetectedStretch => {
    const truth = truthOf(prepared, stretch);
    const { series, from, scores, alerts } = stretch;
    if (unit === "series") {
      const isShort = scores.length < shortest;
      if (isShort) shortSeries++;
      const alert = isShort ? short === "anomalous" : alerts.includes(1);
      return { series, position: [from], score: [highest(scores)], alert: [alert ? 1 : 0], truth: [seriesTruth(truth)] };
    }
    const scored = scores.flatMap((score, i) => (score === null ? [] : [i]));
    return {
      series,
      position: scored.map((i) => from + i),
      score: scored.map((i) => scores[i] as number),
      alert: scored.map((i) => alerts[i]),
      truth: scored.map((i) => truth[i]),
    };
  });
  return scoreDetection(judged, {
    unit,
    threshold: { value: threshold, rule, n },
    ...(unit === "series" && shortest > 1 && { short: { below: shortest, countsAs: short, series: shortSeries } }),
  });
}

/** What a report must say of the alerts of the model that is judged. */
export function detectionNotes(name: string, detections: ReadonlyMap<string, Detection>): string[] {
  const detection = detections.get(name);
  if (!detection) return [];
  const { by, unit, threshold, rule, n, shortest, short, steps, quiet, off } = detection;
  const score = by === "nextEvent" ? "the rank of the event that came" : "the squared standardised error of the row that came";
  const measured = by === "reconstruction" ? "the squared standardised error of a row as it was rebuilt" : score;
  const value = Number.isInteger(threshold) ? String(threshold) : threshold.toPrecision(4);
  const chosen = n > 0 ? `chosen on ${n} validation scores (${rule})` : rule;
  const held = [
    ...(off < threshold ? [`an alert ends at or below ${off.toPrecision(4)}`] : []),
    ...(steps > 1 ? [`it takes ${steps} steps on end to begin`] : []),
    ...(quiet > 0 ? [`${quiet} steps after one are quiet`] : []),
  ];
  return [
    `${name}: alert where ${measured} is above ${value}, ${chosen}${held.length > 0 ? `; ${held.join(", ")}` : ""}.` +
      (detections.size > 1 && n > 0 ? " Each rival has a threshold of its own, chosen in the same way." : ""),
    ...(unit === "series"
      ? [
          `A series is anomalous if any of its steps is${
            shortest > 1 ? `; one of fewer than ${shortest} steps counts as ${short}, whatever its steps are` : ""
          }.`,
        ]
      : []),
    ...(by === "reconstruction" ? ["Windows lie side by side, and each row is rebuilt once, from all of its window."] : []),
  ];
}

/**
 * @file Judges predictors, networks and baselines alike, on the test part of an experiment: scores, what the report must say of the split,
 * comparisons and verdict.
 */
import type { Batch, ExampleSpec, Part } from "../core/batch.js";
import { seed as seedRng } from "../core/rng.js";
import { type PreparedData, partCode, stretches } from "../data/index.js";
import { type Contender, evaluate, judgeStepwise, type Report } from "../evaluate/index.js";
import type { Detection, Predictor } from "../model/index.js";
import type { ExperimentConfig } from "./config.js";
import { detectionNotes, fitDetection, scoreAlerts, surprisesOf } from "./detection.js";
import { evaluationBatches } from "./evaluation-batches.js";
import { freeRunning } from "./free-running.js";
import { lengthReport } from "./length-report.js";
import { hasNarrowRival, noNarrowRival } from "./rival.js";
import { scoringOptions } from "./scoring.js";
import { taskOf } from "./task.js";

/** Prepared data and what the model must know of its examples. */
export interface ExperimentData {
  prepared: PreparedData;
  spec: ExampleSpec;
}

/** A predictor that is to be judged. */
export interface Entrant {
  name: string;
  kind: "model" | "baseline";
  predictor: Predictor;
  /** Whether it is cheaper to run than the first. */
  cheaper: boolean;
  /** Detect: how its predictions become alerts; absent: fitted on the validation part. */
  detection?: Detection;
}

export interface Judgement {
  report: Report;
  model: Contender;
  rivals: Contender[];
  /** Detect: how the predictions of each became alerts, by name. */
  detections: ReadonlyMap<string, Detection>;
}

export interface JudgementOptions {
  signal?: AbortSignal;
  /** What the report must also say. */
  notes?: readonly string[];
  /** Sees every prediction on the validation part. */
  onValidation?: (entrant: Entrant, batch: Batch, prediction: Float32Array) => void;
}

/**
 * Scores predictors on the test part, and on the validation part where there is one, and judges the first against the others.
 * Null when `signal` ended it.
 */
export async function judgeEntrants(
  config: ExperimentConfig,
  { prepared, spec }: ExperimentData,
  entrants: readonly Entrant[],
  { signal, notes = [], onValidation = () => {} }: JudgementOptions = {},
): Promise<Judgement | null> {
  const scoring = scoringOptions(config, prepared);
  const contenders: Contender[] = [];
  const detections = new Map<string, Detection>();
  for (const entrant of entrants) {
    const { name, kind, cheaper, predictor } = entrant;
    await turn();
    if (signal?.aborted) return null;
    const score = (part: Part, predict: Predictor["predict"]) => {
      const source = evaluationBatches(config, prepared, part);
      if (config.task !== "detect") return evaluate(askedBy(predictor, predict), source, spec, scoring);
      const surprises = surprisesOf(predict, source, spec);
      const detection = detections.get(name) ?? entrant.detection ?? fitDetection(config, prepared, part, surprises);
      detections.set(name, detection);
      return scoreAlerts(prepared, part, surprises, detection);
    };
    const watched = (batch: Batch) => {
      const prediction = predictor.predict(batch);
      onValidation(entrant, batch, prediction);
      return prediction;
    };
    const validation = prepared.split.validation > 0 ? score("validation", watched) : undefined;
    let steps = 0;
    let milliseconds = 0;
    const timed = (batch: Batch) => {
      const start = performance.now();
      const prediction = predictor.predict(batch);
      milliseconds += performance.now() - start;
      for (const length of batch.lengths) steps += length;
      return prediction;
    };
    const test = score("test", timed);
    contenders.push({ name, kind, test, validation, cheaper, microsecondsPerStep: (1000 * milliseconds) / Math.max(1, steps) });
  }
  const [model, ...rivals] = contenders;
  const steps = judgeStepwise(model, rivals, {
    rng: seedRng(config.train.seed),
    decision: config.decision,
    metric: taskOf(config).metric,
    span: spec.length + spec.horizon,
    resamples: config.evaluation.resamples,
    unit: taskOf(config).unit,
    clusterOf: groupsOf(prepared),
    separation: separationOf(prepared),
    notes: [
      ...notes,
      ...detectionNotes(model.name, detections),
      ...splitNotes(config, prepared),
      ...(prepared.notes ?? []),
      ...(config.evaluation.rivals && !hasNarrowRival(config.model) ? [noNarrowRival(config)] : []),
    ],
    lengthShift:
      config.task === "detect" ? undefined : (lengthReport(config, prepared, spec, entrants[0].predictor) ?? undefined),
  });
  let step = steps.next();
  while (!step.done) {
    await turn();
    if (signal?.aborted) return null;
    step = steps.next();
  }
  const { unitName } = scoring;
  const alone = freeRunning(config, { prepared, spec }, entrants, { contenders, ...(unitName && { unitName }) });
  return { report: { ...step.value, ...(alone && { freeRunning: alone }) }, model, rivals, detections };
}

/** The predictor with another `predict`. */
function askedBy(predictor: Predictor, predict: Predictor["predict"]): Predictor {
  const { name, distributional } = predictor;
  return {
    name,
    predict,
    ...(distributional !== undefined && { distributional }),
    ...(predictor.labels && { labels: (batch, prediction) => (predictor as Required<Predictor>).labels(batch, prediction) }),
    ...(predictor.decode && { decode: (batch) => (predictor as Required<Predictor>).decode(batch) }),
    ...(predictor.forcedRight && { forcedRight: (batch) => (predictor as Required<Predictor>).forcedRight(batch) }),
  };
}

/** Lets signals and timers have their turn between two long synchronous stretches. */
export function turn(): Promise<void> {
  return new Promise((resume) => setTimeout(resume, 0));
}

/** Where the split is by group: per series the number of its group. */
function groupsOf({ series }: PreparedData): Int32Array | undefined {
  if (series.some(({ group }) => group === null)) return undefined;
  const numbers = new Map<string, number>();
  return Int32Array.from(series, ({ group }) => {
    const name = group as string;
    if (!numbers.has(name)) numbers.set(name, numbers.size);
    return numbers.get(name) as number;
  });
}

/** How the test rows lie to those the model was trained and chosen with; undefined where there are none of those. */
function separationOf({ series, split }: PreparedData): Report["separation"] {
  if (split.train + split.validation === 0) return undefined;
  const test = partCode("test");
  const shared = series.filter(({ part, copy }) => !copy && part.includes(test) && part.some((code) => code > 0 && code < test));
  if (shared.length === 0) return "series";
  const isLater = (part: Uint8Array) => !part.subarray(part.indexOf(test)).some((code) => code > 0 && code < test);
  return shared.every(({ part }) => isLater(part)) ? "later" : "interleaved";
}

/** A split by time cuts each series by its own order, so that one may be learned from at times that another is tested at. */
export function splitNotes({ data }: ExperimentConfig, { series }: PreparedData): string[] {
  if (data.split.by !== "time" || "both" in data.split) return [];
  let learned = { entity: "", at: Number.NEGATIVE_INFINITY };
  let tested = { entity: "", at: Number.POSITIVE_INFINITY };
  for (const { entity, time, part, copy } of series) {
    if (copy || !time) continue;
    let i = 0;
    for (const times of stretches(time)) {
      for (const at of times) {
        const code = part[i++];
        const isTest = code === partCode("test");
        if (!isTest && code > 0 && at > learned.at) learned = { entity, at };
        if (isTest && at < tested.at) tested = { entity, at };
      }
    }
  }
  if (learned.at < tested.at) return [];
  const told = (at: number) => new Date(at).toISOString();
  return [
    `Each series was cut by its own order: the training and validation rows of "${learned.entity}" go on to ${told(learned.at)}, ` +
      `the test rows of "${tested.entity}" begin at ${told(tested.at)}. Where series share events, the test part is not new; ` +
      "set data.split.at: instant to cut all at one time.",
  ];
}

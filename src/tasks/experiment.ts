/**
 * @file A whole experiment: prepare, train, fit the baselines and the smaller rivals, judge all on the test part, and make the model files.
 *
 * The test part is read once, at the end; every choice (epoch, penalty, threshold) is made on the validation part.
 */
import { type Baseline, defaultBaselines } from "../baselines/index.js";
import { type Batch, type ExampleSpec, PARTS, type Part } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { seed as seedRng } from "../core/rng.js";
import { type PreparedData, partCode, prepare, runsOf, type SplitSummary, type Table } from "../data/index.js";
import {
  type ClassificationMetrics,
  type Contender,
  decisionNeeds,
  evaluate,
  type ForecastMetrics,
  judgeStepwise,
  maseScale,
  type Report,
  type Score,
} from "../evaluate/index.js";
import { defaultEngine, type Kernels } from "../kernels/index.js";
import {
  type Architecture,
  describeArchitecture,
  encodeModel,
  type ModelHeader,
  networkPredictor,
  type Predictor,
  recurrentSpec,
  saveNetwork,
  type TaskName,
} from "../model/index.js";
import type { SequenceModel } from "../nn/index.js";
import type { TrainProgress, TrainResult } from "../train/index.js";
import type { ExperimentConfig } from "./config.js";
import { evaluationBatches, type FitOptions, fitNetwork } from "./fit-network.js";
import { lengthReport } from "./length-report.js";
import { countTargets } from "./target-count.js";
import { taskOf } from "./task.js";

export const VERSION = "0.1.0";

export type Metrics = ForecastMetrics | ClassificationMetrics;

/** What happens, as it happens; for progress lines. */
export type ExperimentEvent =
  | {
      kind: "data";
      source: string;
      series: number;
      features: number;
      classes: number;
      split: SplitSummary;
      /** What a reader must know of the split before believing a figure. */
      notes?: string[];
    }
  /** Before its training. */
  | { kind: "network"; name: string; architecture: Architecture; parameters: number; rival: boolean }
  | { kind: "progress"; name: string; rival: boolean; progress: TrainProgress }
  | { kind: "trained"; name: string; rival: boolean; training: TrainResult }
  | { kind: "baseline"; name: string }
  | { kind: "judge" };

export interface ExperimentOptions extends Omit<FitOptions, "onProgress"> {
  engine?: Kernels;
  /** sha256 of every data file by name, for the provenance. */
  dataHashes?: Record<string, string>;
  onEvent?: (event: ExperimentEvent) => void;
}

export interface ExperimentResult {
  name: string;
  task: TaskName;
  training: TrainResult;
  metrics: { validation: Metrics; test: Metrics };
  /** By name, on the test part. */
  baselines: Record<string, Metrics>;
  report: Report;
  split: SplitSummary;
  /** The model's file, and one per baseline and rival by name. */
  file: Uint8Array;
  rivalFiles: Map<string, Uint8Array>;
}

/** Prepared data and what the model must know of its examples. */
export interface ExperimentData {
  prepared: PreparedData;
  spec: ExampleSpec;
}

/** @throws OST_COLUMN, OST_VALUE, OST_MISSING, OST_ORDER, OST_SPLIT, OST_TARGET, OST_CAUSAL for data that does not fit. */
export function prepareExperiment(config: ExperimentConfig, table: Table): ExperimentData {
  const { data, mode, window } = config;
  const { source: _, ...options } = data;
  const { targetKind } = taskOf(config);
  const prepared = prepare(table, { ...options, mode, targetKind });
  const everyStep = targetKind === "values" && mode === "streaming";
  const horizon = targetKind === "values" ? window.horizon : 0;
  return { prepared, spec: prepared.preprocessing.spec({ length: window.length ?? 0, horizon, everyStep }) };
}

/**
 * Everything that can be known to be wrong before a network is trained: parts without examples or targets, a decision that does not fit,
 * baselines that cannot be made, a scale that the decision needs and the data do not give.
 *
 * @returns the baselines, not yet fitted.
 * @throws OST_WINDOW, OST_TARGET, OST_CONFIG, OST_RANGE
 */
function checkSettings(config: ExperimentConfig, { prepared, spec }: ExperimentData): Baseline[] {
  const { decision, evaluation } = config;
  decisionNeeds(decision, spec);
  if (decision && "metric" in decision && decision.metric === "mase") trainingScales(config, prepared);
  for (const part of PARTS) checkTargets(config, prepared, part);
  const { period, lags, window } = evaluation;
  return defaultBaselines(spec, { period, lags, window });
}

/** @throws OST_TARGET if no example of the part has a target. @throws OST_WINDOW if it has no example. */
function checkTargets(config: ExperimentConfig, prepared: PreparedData, part: Part): void {
  const width = prepared.preprocessing.roles.target.length;
  const held = prepared.series.some(
    ({ part: codes, values, classes, copy }) =>
      !copy &&
      runsOf(codes, partCode(part)).some(([from, to]) =>
        values
          ? values.subarray(from * width, to * width).some((value) => !Number.isNaN(value))
          : classes?.subarray(from, to).some((index) => index >= 0),
      ),
  );
  if (held) for (const batch of evaluationBatches(config, prepared, part)) if (countTargets(batch) > 0) return;
  throw new OstinatoError("OST_TARGET", {
    what: `the part "${part}" has no target${held ? " that an example could predict" : ""}`,
    expected: "at least one example with a target in train, validation and test",
    got: held ? "targets at places that no example predicts" : `${prepared.split[part]} rows, all without a target`,
    where: "data.split",
    repair: "fill in the target column, or change the sizes in data.split",
  });
}

/**
 * Runs an experiment on a table. Null when `signal` ended it; the checkpoint is saved then.
 *
 * @throws OST_* as `prepareExperiment` and `fitNetwork` do.
 */
export async function runExperiment(
  config: ExperimentConfig,
  table: Table,
  options: ExperimentOptions = {},
): Promise<ExperimentResult | null> {
  const { onEvent = () => {}, dataHashes = {}, engine = defaultEngine(), onLog, signal, ...fit } = options;
  const { prepared, spec } = prepareExperiment(config, table);
  const { series, preprocessing, split } = prepared;
  onEvent({
    kind: "data",
    source: prepared.source,
    series: series.length,
    features: spec.features.length,
    classes: spec.classes.length,
    split,
    notes: splitNotes(config, prepared),
  });
  const baselines = checkSettings(config, { prepared, spec });

  const main = mainArchitecture(config, spec);
  let mainParameters = 0;
  const networks: SavedEntrant[] = [];
  let training: TrainResult | null = null;
  for (const architecture of [main, ...(config.evaluation.rivals ? rivalArchitectures(config, main) : [])]) {
    const rival = architecture !== main;
    const name = describeArchitecture(architecture);
    const fitted = await fitNetwork(config, prepared, spec, architecture, {
      engine,
      signal,
      onNetwork: (network) => onEvent({ kind: "network", name, architecture, parameters: countParameters(network), rival }),
      onProgress: (progress) => onEvent({ kind: "progress", name, rival, progress }),
      ...(rival ? {} : { ...fit, onLog }),
    });
    if (fitted.result.stopped === "aborted") return null;
    training ??= fitted.result;
    if (!rival) mainParameters = countParameters(fitted.network);
    onEvent({ kind: "trained", name, rival, training: fitted.result });
    networks.push({
      name,
      kind: "model",
      cheaper: countParameters(fitted.network) < mainParameters,
      predictor: networkPredictor(name, fitted.network, spec),
      save: (header) => saveNetwork({ ...header, architecture }, fitted.network),
    });
  }

  const entrants = [...networks];
  for (const baseline of baselines) {
    onEvent({ kind: "baseline", name: baseline.name });
    await turn();
    if (signal?.aborted) return null;
    entrants.push(fitBaseline(baseline, config, prepared));
  }
  onEvent({ kind: "judge" });
  const judged = await judgeEntrants(config, { prepared, spec }, entrants, { signal });
  if (!judged) return null;
  const { report, model, rivals } = judged;
  const name = config.name ?? model.name;
  const header: ModelHeader = {
    name,
    task: config.task,
    mode: config.mode,
    streaming: config.mode === "offline" ? null : isCarried(config) ? "carried" : "windowed",
    windowLength: isCarried(config) ? 0 : windowLength(config, prepared),
    architecture: main,
    spec,
    normalize: config.window.normalize,
    preprocessing: preprocessing.toJSON(),
    report,
    provenance: {
      version: VERSION,
      created: new Date().toISOString(),
      seed: config.train.seed,
      data: dataHashes,
      engine: `${engine.name} (${engine.detail})`,
      config,
    },
  };
  const [first, ...others] = entrants;
  const rivalHeader = (entrant: SavedEntrant): ModelHeader => {
    if (!entrant.baseline) return { ...header, name: entrant.name };
    // A forecast begins when a whole window was read, so that stream and file agree on the first row.
    const whole = windowLength(config, prepared);
    const keeps = config.task === "forecast" ? whole : Math.min(entrant.baseline.history, whole);
    return { ...header, name: entrant.name, streaming: header.streaming && "windowed", windowLength: Math.max(1, keeps) };
  };
  return {
    name,
    task: config.task,
    training: training as TrainResult,
    metrics: { validation: (model.validation as Score).metrics, test: model.test.metrics },
    baselines: Object.fromEntries(rivals.map((rival) => [rival.name, rival.test.metrics])),
    report,
    split,
    file: first.save(header),
    rivalFiles: new Map(others.map((entrant) => [entrant.name, entrant.save(rivalHeader(entrant))])),
  };
}

/** A predictor that is to be judged. */
export interface Entrant {
  name: string;
  kind: "model" | "baseline";
  predictor: Predictor;
  /** Whether it is cheaper to run than the first. */
  cheaper: boolean;
}

interface SavedEntrant extends Entrant {
  baseline?: Baseline;
  save(header: ModelHeader): Uint8Array;
}

export interface Judgement {
  report: Report;
  model: Contender;
  rivals: Contender[];
}

/**
 * Scores predictors on the test part, and on the validation part where there is one, and judges the first against the others.
 * Null when `signal` ended it.
 */
export async function judgeEntrants(
  config: ExperimentConfig,
  { prepared, spec }: ExperimentData,
  entrants: readonly Entrant[],
  { signal }: { signal?: AbortSignal } = {},
): Promise<Judgement | null> {
  const scoring = scoringOptions(config, prepared);
  const contenders: Contender[] = [];
  for (const { name, kind, cheaper, predictor } of entrants) {
    await turn();
    if (signal?.aborted) return null;
    const score = (part: Part, predict = (batch: Batch): Float32Array => predictor.predict(batch)) =>
      evaluate(predict, evaluationBatches(config, prepared, part), spec, scoring);
    const validation = prepared.split.validation > 0 ? score("validation") : undefined;
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
    span: spec.length + spec.horizon,
    resamples: config.evaluation.resamples,
    unit: taskOf(config).unit,
    clusterOf: groupsOf(prepared),
    separation: separationOf(prepared),
    notes: [
      ...splitNotes(config, prepared),
      ...(config.evaluation.rivals && !hasNarrowRival(config.model) ? [noNarrowRival(config)] : []),
    ],
    lengthShift: lengthReport(config, prepared, spec, entrants[0].predictor) ?? undefined,
  });
  let step = steps.next();
  while (!step.done) {
    await turn();
    if (signal?.aborted) return null;
    step = steps.next();
  }
  return { report: step.value, model, rivals };
}

/** Lets signals and timers have their turn between two long synchronous stretches. */
function turn(): Promise<void> {
  return new Promise((resume) => setTimeout(resume, 0));
}

function countParameters(network: SequenceModel): number {
  return network.parameters().reduce((sum, { size }) => sum + size, 0);
}

/** Carried: one step per record. Whole sequences are learned from a fresh state and read to their end, so they stream step by step too. */
function isCarried({ mode, window }: ExperimentConfig): boolean {
  return mode === "streaming" || window.length === undefined;
}

/** Steps a windowed stream keeps: the window, or the longest training sequence. */
function windowLength({ window }: ExperimentConfig, { series }: PreparedData): number {
  return window.length ?? series.reduce((most, { length }) => Math.max(most, length), 1);
}

export function mainArchitecture({ model }: ExperimentConfig, spec: ExampleSpec): Architecture {
  const outputSize = spec.targetKind === "values" ? spec.horizon * spec.targets.length : spec.classes.length;
  return recurrentSpec({ ...model, inputSize: spec.features.length, outputSize });
}

/** "Is the big one needed?": a GRU of a quarter of the width, and a perceptron on a short window. */
function rivalArchitectures({ window, task, model }: ExperimentConfig, main: Architecture): Architecture[] {
  const { inputSize, outputSize, hiddenSize } = main;
  const rivals: Architecture[] = [];
  if (main.type === "recurrent" && hasNarrowRival(model)) {
    rivals.push({ ...main, cell: "gru", hiddenSize: Math.max(NARROWEST, Math.round(hiddenSize / 4)) });
  }
  const steps = Math.min(task === "forecast" ? 24 : 8, window.length ?? 8);
  rivals.push({ type: "windowMLP", window: steps, inputSize, hiddenSize: 32, outputSize });
  return rivals;
}

/** Units of the narrowest rival. */
const NARROWEST = 4;

function hasNarrowRival({ hiddenSize }: ExperimentConfig["model"]): boolean {
  return hiddenSize >= 2 * NARROWEST;
}

function noNarrowRival({ model }: ExperimentConfig): string {
  return `No narrower network was tried: a quarter of ${model.hiddenSize} units is fewer than ${NARROWEST}.`;
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
function splitNotes({ data }: ExperimentConfig, { series }: PreparedData): string[] {
  if (data.split.by !== "time") return [];
  let learned = { entity: "", at: Number.NEGATIVE_INFINITY };
  let tested = { entity: "", at: Number.POSITIVE_INFINITY };
  for (const { entity, time, part, copy } of series) {
    if (copy || !time) continue;
    for (let i = 0; i < part.length; i++) {
      const isTest = part[i] === partCode("test");
      if (!isTest && part[i] > 0 && time[i] > learned.at) learned = { entity, at: time[i] };
      if (isTest && time[i] < tested.at) tested = { entity, at: time[i] };
    }
  }
  if (learned.at < tested.at) return [];
  const told = (at: number) => new Date(at).toISOString();
  return [
    `Each series was cut by its own order: the training and validation rows of "${learned.entity}" go on to ${told(learned.at)}, ` +
      `the test rows of "${tested.entity}" begin at ${told(tested.at)}. Where series share events, the test part is not new; ` +
      "a column that names the parts (split.by: column:NAME) can cut all at one time.",
  ];
}

function fitBaseline(baseline: Baseline, config: ExperimentConfig, prepared: PreparedData): SavedEntrant {
  const pass = (part: "train" | "validation") => () => evaluationBatches(config, prepared, part, { thinned: THINNED_FIT });
  baseline.fit(pass("train"), pass("validation"));
  const { kind, options } = baseline.toJSON();
  return {
    name: baseline.name,
    kind: "baseline",
    predictor: baseline,
    cheaper: true,
    baseline,
    save: (header) => encodeModel({ ...header, architecture: { type: "baseline", kind, options } }, baseline.arrays()),
  };
}

/** Steps that a baseline of tags learns from at least; more than any looks at. */
const THINNED_FIT = 20_000;

/** Errors in original units, MASE where the training part gives it a scale, and what the decision needs. */
export function scoringOptions(config: ExperimentConfig, prepared: PreparedData) {
  const { decision } = config;
  const scaler = prepared.preprocessing.targetScaler;
  if (!scaler) return { decision };
  const maseScales = orNothing(() => trainingScales(config, prepared));
  return { decision, original: (value: number, k: number) => scaler.invert(value, k), ...(maseScales && { maseScales }) };
}

/** The denominator of MASE for each target. @throws OST_WINDOW, OST_TARGET where the training part gives none. */
function trainingScales({ evaluation }: ExperimentConfig, { preprocessing, series }: PreparedData): number[] {
  const width = preprocessing.roles.target.length;
  const training = (k: number) =>
    series
      .filter(({ copy }) => !copy)
      .flatMap(({ values, part }) =>
        runsOf(part, partCode("train")).map(([from, to]) =>
          Float32Array.from({ length: to - from }, (_, i) => (values as Float32Array)[(from + i) * width + k]),
        ),
      );
  return Array.from({ length: width }, (_, k) => maseScale(training(k), { period: evaluation.period ?? 1 }));
}

/** Undefined where a series is too short or constant, so that MASE has no scale. */
function orNothing<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof OstinatoError && (error.code === "OST_WINDOW" || error.code === "OST_TARGET")) return undefined;
    throw error;
  }
}

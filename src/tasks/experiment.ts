/**
 * @file A whole experiment: prepare, train, fit the baselines and the smaller rivals, judge all on the test part, and make the model files.
 *
 * The test part is predicted once, at the end; every choice (epoch, penalty, threshold) is made on the validation part.
 */
import { type Baseline, defaultBaselines } from "../baselines/index.js";
import { type ExampleSpec, PARTS, type Part } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { seed } from "../core/rng.js";
import {
  type CategoryOptions,
  type DataOptions,
  hasTarget,
  type PaddingReport,
  type PreparedData,
  partCode,
  prepare,
  runsOf,
  type SplitSummary,
  type Table,
} from "../data/index.js";
import { gradientReach } from "../diagnose/index.js";
import { decisionNeeds, type Report, type Score } from "../evaluate/index.js";
import { defaultEngine, describeEngine, type Kernels } from "../kernels/index.js";
import {
  type Architecture,
  buildNetwork,
  countParameters,
  describeArchitecture,
  encodeModel,
  type LoadedModel,
  type ModelHeader,
  type Network,
  networkPredictor,
  observationReader,
  saveNetwork,
  type TaskName,
} from "../model/index.js";
import { referenceProfile } from "../monitor/index.js";
import type { TrainProgress, TrainResult } from "../train/index.js";
import { ConfidenceCount } from "./confidence-count.js";
import type { ExperimentConfig } from "./config.js";
import { detectBaselines } from "./detect-baselines.js";
import { evaluationBatches } from "./evaluation-batches.js";
import { type FitOptions, fitNetwork, trainingPadding } from "./fit-network.js";
import { type Entrant, type ExperimentData, judgeEntrants, splitNotes, turn } from "./judgement.js";
import { rivalArchitectures } from "./rival.js";
import { decodingOf, trainingScales } from "./scoring.js";
import { countTargets } from "./target-count.js";
import { taskOf } from "./task.js";

export const VERSION = "0.1.0";

export type Metrics = Score["metrics"];

/** What happens, as it happens; for progress lines. */
export type ExperimentEvent =
  | {
      kind: "data";
      source: string;
      series: number;
      /** Training copies in which columns are hidden, beside those. */
      copies: number;
      features: number;
      classes: number;
      split: SplitSummary;
      /** What padding costs in training; null where every example is as long as the next. */
      padding: PaddingReport | null;
      /** What a reader must know of the split before believing a figure. */
      notes?: string[];
    }
  /** Before its training. */
  | { kind: "network"; name: string; architecture: Architecture; parameters: number; rival: boolean }
  | { kind: "progress"; name: string; rival: boolean; progress: TrainProgress }
  | { kind: "trained"; name: string; rival: boolean; training: TrainResult }
  | { kind: "baseline"; name: string }
  | { kind: "judge" };

export interface ExperimentOptions extends Omit<FitOptions, "onProgress" | "from"> {
  engine?: Kernels;
  /** A model to go on from: its architecture, its weights and its frozen preprocessing. */
  from?: LoadedModel;
  tokenizers?: Tokenizers;
  /** sha256 of every data file by name, for the provenance. */
  dataHashes?: Record<string, string>;
  onEvent?: (event: ExperimentEvent) => void;
}

export interface ExperimentResult {
  name: string;
  task: TaskName;
  /** What computed it, as in the model file's provenance. */
  engine: string;
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

/** The data block as the data layer takes it. */
export function dataOptions(config: ExperimentConfig, tokenizers: Tokenizers = {}): DataOptions {
  const {
    source: _source,
    read: _read,
    sql: _sql,
    sync: _sync,
    storage: _storage,
    tagScheme: _tagScheme,
    known,
    categories,
    sessions,
    ...options
  } = config.data;
  const { marker = null } = sessions ?? {};
  const { targetKind } = taskOf(config);
  const loaded = Object.entries(categories).map(([column, category]): [string, CategoryOptions] => {
    if (category.kind !== "tokenizerJson") return [column, category];
    const { file: _file, ...rest } = category;
    return [column, { ...rest, json: tokenizers[column] }];
  });
  return {
    ...options,
    targetTokens: loadedTokens(config.data, tokenizers),
    categories: Object.fromEntries(loaded),
    sessions: sessions && { ...sessions, marker: marker && { column: marker.column, value: String(marker.value) } },
    known: { columns: known, steps: config.window.horizon },
    mode: config.mode,
    targetKind,
  };
}

function loadedTokens({ targetTokens, target }: ExperimentConfig["data"], tokenizers: Tokenizers): DataOptions["targetTokens"] {
  if (targetTokens?.kind !== "tokenizerJson") return targetTokens;
  return { kind: "tokenizerJson", json: tokenizers[target[0]] };
}

/** The content of every tokenizer.json that `data.categories` names, by the column. */
export type Tokenizers = Readonly<Record<string, unknown>>;

/** @throws OST_COLUMN, OST_VALUE, OST_MISSING, OST_ORDER, OST_SPLIT, OST_TARGET, OST_CAUSAL for data that does not fit. */
export function prepareExperiment(
  config: ExperimentConfig,
  input: Table | PreparedData,
  { tokenizers, from }: Pick<ExperimentOptions, "tokenizers" | "from"> = {},
): ExperimentData {
  const { window } = config;
  const options = { ...dataOptions(config, tokenizers), ...(from && { frozen: from.preprocessing }) };
  const prepared = "preprocessing" in input ? input : prepare(input, options);
  const task = taskOf(config);
  task.check?.(prepared);
  const { everyStep, ahead, horizon } = task;
  const spec = prepared.preprocessing.spec({ length: window.length ?? 0, horizon: horizon.judged, everyStep, ahead });
  return { prepared, spec: task.complete(spec) };
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
  decisionNeeds(decision, spec, config.task === "detect" ? "detection" : undefined);
  if (decision && "metric" in decision && decision.metric === "mase") trainingScales(config, prepared);
  for (const part of PARTS) checkTargets(config, prepared, part);
  const { period, lags, window } = evaluation;
  const options = { period, lags, window };
  return config.task === "detect" ? detectBaselines(spec, options) : defaultBaselines(spec, options);
}

/** @throws OST_TARGET if no example of the part has a target. @throws OST_WINDOW if it has no example. */
function checkTargets(config: ExperimentConfig, prepared: PreparedData, part: Part): void {
  const held = prepared.series.some(
    (one) => !one.copy && runsOf(one.part, partCode(part)).some(([from, to]) => hasTarget(one, from, to)),
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

/** "native (avx512)", and what else computed the run before. */
function provenanceOf(engine: Kernels, { engines }: TrainResult): string {
  const before = engines.slice(0, -1);
  return before.length > 0 ? `${describeEngine(engine)}, begun on ${before.join(", then ")}` : describeEngine(engine);
}

/**
 * Runs an experiment on a table, or on data that is prepared already. Null when `signal` ended it; the checkpoint is saved then.
 *
 * @throws OST_* as `prepareExperiment` and `fitNetwork` do.
 */
export async function runExperiment(
  config: ExperimentConfig,
  input: Table | PreparedData,
  options: ExperimentOptions = {},
): Promise<ExperimentResult | null> {
  const { onEvent = () => {}, dataHashes = {}, engine = defaultEngine(), onLog, signal, tokenizers, from, ...fit } = options;
  if (from) wantSameTask(config, from);
  const { prepared, spec } = prepareExperiment(config, input, { tokenizers, from });
  const { series, preprocessing, split } = prepared;
  onEvent({
    kind: "data",
    source: prepared.source,
    series: series.filter(({ copy }) => !copy).length,
    copies: series.filter(({ copy }) => copy).length,
    features: spec.features.length,
    classes: spec.classes.length,
    split,
    padding: paddingOf(config, prepared),
    notes: [...splitNotes(config, prepared), ...emptyNotes(prepared), ...reachNotes(config), ...(prepared.notes ?? [])],
  });
  const baselines = checkSettings(config, { prepared, spec });

  const task = taskOf(config);
  const main = from ? architectureOf(from, task.architecture(spec)) : task.architecture(spec);
  const decoding = decodingOf(config, prepared);
  const networks: SavedEntrant[] = [];
  let training: TrainResult | null = null;
  for (const architecture of [main, ...(config.evaluation.rivals ? rivalArchitectures(config, spec, main) : [])]) {
    const rival = architecture !== main;
    const name = describeArchitecture(architecture);
    onEvent({ kind: "network", name, architecture, parameters: countParameters(architecture), rival });
    const fitted = await fitNetwork(config, prepared, spec, architecture, {
      engine,
      signal,
      prefetcher: fit.prefetcher,
      onProgress: (progress) => onEvent({ kind: "progress", name, rival, progress }),
      ...(rival ? {} : { ...fit, onLog, from: from?.network?.stateDict() }),
    });
    if (fitted.result.stopped === "aborted") return null;
    training ??= fitted.result;
    onEvent({ kind: "trained", name, rival, training: fitted.result });
    networks.push({
      name,
      kind: "model",
      cheaper: countParameters(architecture) < countParameters(main),
      predictor: networkPredictor(name, fitted.network, spec, { decoding }),
      save: (header) => saveNetwork({ ...header, architecture }, fitted.network),
    });
  }

  const entrants = [...networks];
  if (from) entrants.push(before(from, spec, main));
  const leftOut: string[] = from ? [goesOnFrom(from, task.architecture(spec))] : [];
  for (const baseline of baselines) {
    onEvent({ kind: "baseline", name: baseline.name });
    await turn();
    if (signal?.aborted) return null;
    try {
      entrants.push(fitBaseline(baseline, config, prepared));
    } catch (error) {
      // A rival that the data give nothing to learn from costs no run; the report says that it is missing.
      if (!(error instanceof OstinatoError) || error.code !== "OST_TARGET") throw error;
      leftOut.push(`${baseline.name} is not among the rivals: ${error.detail.what}.`);
    }
  }
  onEvent({ kind: "judge" });
  const confidences = new Map(entrants.map((entrant) => [entrant.name, new ConfidenceCount(spec)]));
  const judged = await judgeEntrants(config, { prepared, spec }, entrants, {
    signal,
    notes: [...leftOut, ...reachNotes(config)],
    // A detector gives no class to be sure of.
    onValidation(entrant, batch, prediction) {
      if (config.task !== "detect") confidences.get(entrant.name)?.add(batch, prediction);
    },
  });
  if (!judged) return null;
  const { report, model, rivals, detections } = judged;
  const name = config.name ?? model.name;
  const profileOf = (entrant: SavedEntrant): Pick<ModelHeader, "profile"> => {
    if (!prepared.profile) return {};
    return { profile: referenceProfile(prepared.profile, { confidence: confidences.get(entrant.name)?.counts }) };
  };
  const detectionOf = (entrant: string): Pick<ModelHeader, "detection"> => {
    const detection = detections.get(entrant);
    return detection ? { detection } : {};
  };
  const held = config.task === "detect" ? observationReader(spec, preprocessing) : null;
  const streams = task.streams && typeof held !== "string";
  const header: ModelHeader = {
    name,
    task: config.task,
    mode: config.mode,
    streaming: config.mode === "offline" || !streams ? null : isCarried(config) ? "carried" : "windowed",
    windowLength: isCarried(config) ? 0 : windowLength(config, prepared),
    architecture: main,
    spec,
    normalize: config.window.normalize,
    ...(decoding && { decoding }),
    preprocessing: preprocessing.toJSON(),
    report,
    provenance: {
      version: VERSION,
      created: new Date().toISOString(),
      seed: config.train.seed,
      data: dataHashes,
      ...(from && { from: { name: from.header.name, hash: from.hash } }),
      engine: provenanceOf(engine, training as TrainResult),
      config,
    },
  };
  const [first, ...others] = entrants;
  const rivalHeader = (entrant: SavedEntrant): ModelHeader => {
    const own = { ...header, name: entrant.name, ...profileOf(entrant), ...detectionOf(entrant.name) };
    if (!entrant.baseline) return own;
    // A forecast begins when a whole window was read, so that stream and file agree on the first row.
    const whole = windowLength(config, prepared);
    const isWindow = config.task === "forecast" || (config.task === "detect" && spec.everyStep && !isCarried(config));
    const keeps = isWindow ? whole : Math.min(entrant.baseline.history, whole);
    return {
      ...own,
      spec: entrant.baseline.toJSON().spec,
      streaming: header.streaming && "windowed",
      windowLength: Math.max(1, keeps),
    };
  };
  return {
    name,
    task: config.task,
    engine: header.provenance.engine,
    training: training as TrainResult,
    metrics: { validation: (model.validation as Score).metrics, test: model.test.metrics },
    baselines: Object.fromEntries(rivals.map((rival) => [rival.name, rival.test.metrics])),
    report,
    split,
    file: first.save({ ...header, ...profileOf(first), ...detectionOf(first.name) }),
    rivalFiles: new Map(others.map((entrant) => [entrant.name, entrant.save(rivalHeader(entrant))])),
  };
}

function paddingOf(config: ExperimentConfig, prepared: PreparedData): PaddingReport | null {
  const report = trainingPadding(config, prepared);
  return report && report.shuffled.padded > 0 ? report : null;
}

/** How far back a gradient can reach where backpropagation is cut. */
function reachNotes({ mode, window, train: { truncation } }: ExperimentConfig): string[] {
  if (mode !== "streaming") return [];
  const k1 = truncation?.k1 ?? (window.length as number);
  return [gradientReach({ k1, k2: truncation?.k2 ?? k1 }).text];
}

/** What a grid left nothing of. */
function emptyNotes({ empty }: PreparedData): string[] {
  if (!empty || empty.series === 0) return [];
  const { series, first } = empty;
  return [
    `${series} series shorter than an interval of the grid left out: ${first.join(", ")}${series > first.length ? " ..." : ""}`,
  ];
}

interface SavedEntrant extends Entrant {
  baseline?: Baseline;
  save(header: ModelHeader): Uint8Array;
}

/** @throws OST_CONFIG for a model of another task, or one without weights to go on from. */
function wantSameTask(config: ExperimentConfig, { header, network }: LoadedModel): void {
  const fits = network !== null && header.task === config.task && header.spec.targetKind === taskOf(config).targetKind;
  if (fits) return;
  throw new OstinatoError("OST_CONFIG", {
    what: "this model cannot be gone on from",
    expected: `a network of task: ${config.task}`,
    got: network === null ? "a baseline" : `task: ${header.task}`,
    where: "--from",
    repair: `set task: ${header.task}, or choose another model`,
  });
}

/** @throws OST_CONFIG where the data give the network other inputs or outputs than it has. */
function architectureOf({ header }: LoadedModel, wanted: Architecture): Architecture {
  const own = header.architecture as Architecture;
  const ends = (one: Architecture) =>
    `${one.inputSize} inputs, ${"outputSize" in one ? one.outputSize : one.targetSize} outputs (${one.type})`;
  if (ends(own) === ends(wanted)) return own;
  throw new OstinatoError("OST_CONFIG", {
    what: "the data do not fit the model to go on from",
    expected: ends(own),
    got: ends(wanted),
    where: "--from",
    repair: "use the columns, the target and the horizon it was trained with",
  });
}

function goesOnFrom({ header, hash }: LoadedModel, asked: Architecture): string {
  const own = describeArchitecture(header.architecture as Architecture);
  const instead = describeArchitecture(asked);
  return (
    (own === instead ? "" : `The network is that model's, ${own}, and not the configuration's, ${instead}. `) +
    `The network goes on from ${header.name} (${hash.slice(0, 12)}). Whether that model's training data hold rows of this test part is not ` +
    "known here."
  );
}

/** The model as it was before, as a rival. */
function before({ header, network }: LoadedModel, spec: ExampleSpec, architecture: Architecture): SavedEntrant {
  const name = `${header.name} before`;
  const copy = buildNetwork(architecture, { rng: seed(0), engine: network?.engine });
  copy.loadStateDict((network as Network).stateDict());
  return {
    name,
    kind: "model",
    cheaper: false,
    predictor: networkPredictor(name, copy, spec, { decoding: header.decoding }),
    save: (own) => saveNetwork({ ...own, architecture }, copy),
  };
}

/** Carried: one step per record. Whole sequences are learned from a fresh state and read to their end, so they stream step by step too. */
function isCarried({ mode, window }: ExperimentConfig): boolean {
  return mode === "streaming" || window.length === undefined;
}

/** Steps a windowed stream keeps: the window, or the longest training sequence. */
function windowLength({ window }: ExperimentConfig, { series }: PreparedData): number {
  const trained = series.filter(({ part }) => part.includes(partCode("train")));
  return window.length ?? trained.reduce((most, { length }) => Math.max(most, length), 1);
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

/** @file Trains one network on prepared data: batches or carried lanes, objective, validation loss, schedule and optimizer from the configuration. */
import { type Batch, type ExampleSpec, isPerStep } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { seed as seedRng } from "../core/rng.js";
import {
  augment,
  type BatchRecipe,
  collate,
  type Examples,
  elementAt,
  makeBatches,
  type PaddingReport,
  type Prefetched,
  type Prefetcher,
  type PreparedData,
  paddingWaste,
  partCode,
  runsOf,
  stretches,
  worthPrefetching,
} from "../data/index.js";
import { measureMemory } from "../diagnose/measured-memory.js";
import type { MemoryEstimate } from "../diagnose/memory-estimate.js";
import { planMemory } from "../diagnose/memory-plan.js";
import { decisionNeeds } from "../evaluate/index.js";
import type { Kernels } from "../kernels/index.js";
import { type Architecture, buildNetwork, type Network } from "../model/index.js";
import { RecurrentNetwork, type StateDictEntry } from "../nn/index.js";
import {
  Adam,
  AdamW,
  constant,
  type Optimizer,
  plateau,
  RMSprop,
  type Schedule,
  SGD,
  stepDecay,
  warmupCosine,
} from "../optim/index.js";
import { type CheckpointStore, type GradientWorkers, type TrainOptions, type TrainResult, train } from "../train/index.js";
import { batchObjective, type ObjectiveSetup } from "./batch-objective.js";
import type { ExperimentConfig } from "./config.js";
import type { ReplicaDescription } from "./replica.js";
import { type LossOptions, taskOf } from "./task.js";
import { validationOf } from "./validation.js";

export interface FitOptions
  extends Pick<TrainOptions<Batch>, "onLog" | "onProgress" | "signal" | "resume" | "otherEngine" | "fingerprint"> {
  checkpoint?: CheckpointStore;
  engine?: Kernels;
  /** Weights to begin with, of a network of the same architecture; default drawn from the seed. */
  from?: ReadonlyMap<string, StateDictEntry>;
  /** Starts the threads of `train.workers`; `gradientThreads` in Node. */
  gradientWorkers?: (network: Network, options: { count: number; description: ReplicaDescription }) => GradientWorkers<Batch>;
  /** Makes batches ahead, as `train.prefetch` says; `workerPrefetcher` in Node. Absent: they are made in this thread. */
  prefetcher?: Prefetcher;
}

export interface FittedNetwork {
  network: Network;
  result: TrainResult;
}

/** @throws OST_NAN, OST_CHECKPOINT, OST_WINDOW, OST_RANGE */
export async function fitNetwork(
  config: ExperimentConfig,
  prepared: PreparedData,
  spec: ExampleSpec,
  architecture: Architecture,
  { engine, prefetcher, gradientWorkers, from, ...run }: FitOptions = {},
): Promise<FittedNetwork> {
  const { train: settings } = config;
  const network = buildNetwork(architecture, { rng: seedRng(settings.seed), engine });
  if (from) network.loadStateDict(from);
  if (network instanceof RecurrentNetwork) network.recurrent.recompute = settings.recompute;
  const optimizer = makeOptimizer(settings, network);
  const options: LossOptions = {
    classWeights: settings.classWeights === "balanced" ? balancedWeights(prepared, spec.classes.length) : null,
    costs: settings.loss === "costs" ? costMatrix(config, spec) : null,
  };
  const recipe = trainingRecipe(config, prepared);
  const validation = validationOf(config, { prepared, spec }, network, options);
  const batchesOfEpoch = () => makeBatches(recipe, seedRng(0)).skip(Number.POSITIVE_INFINITY);
  const schedule = makeSchedule(settings, () => Math.ceil(batchesOfEpoch() / settings.accumulate));
  const ahead = prefetches(settings.prefetch, recipe, prefetcher);
  let prefetched: Prefetched | undefined;
  const setup = { config, spec, options };
  const workers =
    settings.workers > 1 ? startWorkers(settings.workers, { ...setup, architecture }, network, gradientWorkers) : undefined;
  const fit = train<Batch>(network, {
    ...run,
    memory: run.onLog && memoryOfStep(network, { recipe, architecture, setup }),
    optimizer,
    data(_, rng) {
      if (!ahead) return makeBatches(recipe, rng);
      prefetched ??= (prefetcher as Prefetcher)(recipe);
      return prefetched.batches(rng);
    },
    objective: batchObjective(network, setup),
    workers,
    accumulate: settings.accumulate,
    averaging: settings.averaging ?? undefined,
    validate: validation.measure,
    metric: validation.metric,
    epochs: settings.epochs,
    maxSteps: settings.maxSteps,
    clipNorm: settings.clipNorm ?? Number.POSITIVE_INFINITY,
    schedule,
    earlyStopping: settings.earlyStopping ?? undefined,
    seed: settings.seed,
  });
  const ended = fit.finally(() => {
    prefetched?.close();
    workers?.close();
  });
  return { network, result: await ended };
}

/** @throws OST_RANGE where nothing can start threads. */
function startWorkers(
  count: number,
  description: ReplicaDescription,
  network: Network,
  start: FitOptions["gradientWorkers"],
): GradientWorkers<Batch> {
  if (start) return start(network, { count, description });
  throw new OstinatoError("OST_RANGE", {
    what: "nothing is given that could start threads to train with",
    expected: "gradientWorkers",
    got: `train.workers: ${count}, and none`,
    where: "fitNetwork",
    repair: "pass gradientWorkers: gradientThreads of ostinato/node, or set train.workers: 1",
  });
}

/** The costs of the configuration's decision, [true class][predicted class], row by row. */
function costMatrix(config: ExperimentConfig, spec: ExampleSpec): Float32Array {
  return Float32Array.from(decisionNeeds(config.decision, spec).costs as ArrayLike<number>);
}

/** @throws OST_RANGE if a worker is asked for where nothing can start one. */
function prefetches(choice: "auto" | "on" | "off", recipe: BatchRecipe, prefetcher: Prefetcher | undefined): boolean {
  if (choice === "on" && !prefetcher) {
    throw new OstinatoError("OST_RANGE", {
      what: "nothing is given that could make batches ahead",
      expected: "a prefetcher",
      got: "train.prefetch: on, and none",
      where: "fitNetwork",
      repair: "pass prefetcher: workerPrefetcher of ostinato/node, or set train.prefetch: auto",
    });
  }
  return choice === "on" || (choice === "auto" && prefetcher !== undefined && worthPrefetching(recipe));
}

/** What the batches of a training epoch are made from. @throws OST_WINDOW, OST_RANGE */
export function trainingRecipe(config: ExperimentConfig, prepared: PreparedData): BatchRecipe {
  const { train: settings, window, mode } = config;
  const task = taskOf(config);
  const { batchSize, maxTokens, shuffleBuffer } = settings;
  if (mode === "streaming") {
    if (settings.augment) throw augmentedLanes();
    const chunk = settings.truncation?.k1 ?? (window.length as number);
    const rows = maxTokens === undefined ? batchSize : Math.max(1, Math.floor(maxTokens / chunk));
    const maxLength = laneLength(rows, chunk, prepared);
    return {
      kind: "lanes",
      data: prepared,
      options: {
        batchSize: rows,
        chunk,
        lead: (settings.truncation?.k2 ?? chunk) - chunk,
        part: "train",
        horizon: Math.max(1, task.horizon.train),
        maxLength,
      },
    };
  }
  const plain = task.examples(prepared, "train");
  const examples = settings.augment ? augment(plain, settings.augment) : plain;
  const options = { batchSize: rowsOf(settings, examples), maxTokens, shuffleBuffer, normalize: window.normalize };
  return { kind: "batches", rows: examples, options };
}

/** What padding costs in a training epoch, however its examples are put together; null for lanes, which have none to speak of. */
export function trainingPadding(config: ExperimentConfig, prepared: PreparedData): PaddingReport | null {
  const recipe = trainingRecipe(config, prepared);
  return recipe.kind === "lanes" ? null : paddingWaste(recipe.rows.runs, recipe.options);
}

/** Rows of a batch that is limited by its steps, at most. */
const TOKEN_ROWS = 1_024;

/** Rows of a batch at most: as configured, or as many as a budget of steps allows. */
function rowsOf({ batchSize, maxTokens }: ExperimentConfig["train"], examples: Examples): number {
  if (maxTokens === undefined) return batchSize;
  return Math.max(1, Math.min(TOKEN_ROWS, Math.floor(maxTokens / Math.max(1, examples.shortest))));
}

function augmentedLanes(): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: "a stream whose state is carried on cannot be varied",
    expected: "windows or whole sequences",
    got: "mode: streaming",
    where: "train.augment",
    repair: "remove train.augment, or set mode: causal",
  });
}

interface StepContext {
  recipe: BatchRecipe;
  architecture: Architecture;
  setup: ObjectiveSetup & { config: ExperimentConfig };
}

/** What an update takes on the longest batch there is; undefined where no example can tell. */
function memoryOfStep(network: Network, { recipe, architecture, setup }: StepContext): MemoryEstimate | undefined {
  const { config, spec } = setup;
  const { train: settings, window } = config;
  const longest = recipe.kind === "lanes" ? recipe.options.chunk + (recipe.options.lead ?? 0) : longestOf(recipe.rows);
  const { batchSize } = recipe.options;
  const { maxTokens } = settings;
  const batch =
    maxTokens === undefined ? batchSize : Math.max(1, Math.min(batchSize, Math.floor(maxTokens / Math.max(1, longest))));
  const moments = { sgd: Math.sign(settings.momentum), rmsprop: 1, adam: 2, adamw: 2 }[settings.optimizer];
  if (network instanceof RecurrentNetwork) {
    const { targetKind, everyStep, recursive } = spec;
    return planMemory(network, {
      batch,
      time: Math.max(longest, window.length ?? 0),
      reads: isPerStep(targetKind) || everyStep || recursive ? "output" : "last",
      loss: targetKind === "values" ? "pointwise" : "crossEntropy",
      moments,
    });
  }
  if (recipe.kind === "lanes") return undefined;
  const { rows, options } = recipe;
  const plain = { ...rows, augmentation: null };
  const example = longestExample(plain);
  const copy = buildNetwork(architecture, { rng: seedRng(0), engine: network.engine });
  const objective = batchObjective(copy, setup);
  return measureMemory(copy.parameters(), {
    batch,
    time: longest,
    moments,
    pass(count) {
      const indexes = new Array<number>(count).fill(example);
      objective(collate(plain, indexes, options), { rng: seedRng(0), step: 0 }).loss.backward();
    },
  });
}

/** The example with the longest input and target together. */
function longestExample({ runs, prepared }: Parameters<typeof collate>[0]): number {
  let longest = { index: 0, steps: -1 };
  for (let index = 0; index < runs.count; index++) {
    const { series, length } = runs.at(index);
    const steps = length + (prepared.series[series].tokens?.length ?? 0);
    if (steps > longest.steps) longest = { index, steps };
  }
  return longest.index;
}

/** Steps of the longest row there can be. */
function longestOf({ runs, augmentation }: Pick<Examples, "runs" | "augmentation">): number {
  return augmentation?.longest(runs.longest) ?? runs.longest;
}

/** Long series are cut so that they fill the lanes, into pieces of at least eight chunks. */
function laneLength(batchSize: number, chunk: number, prepared: PreparedData): number {
  const share = Math.ceil(prepared.split.train / batchSize / chunk);
  return Math.max(8, share) * chunk;
}

function makeOptimizer(
  { optimizer, learningRate, weightDecay, momentum }: ExperimentConfig["train"],
  network: Network,
): Optimizer {
  const parameters = network.parameters();
  if (optimizer === "sgd") return new SGD(parameters, { learningRate, momentum, weightDecay });
  if (optimizer === "rmsprop") return new RMSprop(parameters, { learningRate, weightDecay });
  return optimizer === "adam"
    ? new Adam(parameters, { learningRate, weightDecay })
    : new AdamW(parameters, { learningRate, weightDecay });
}

function makeSchedule({ schedule, epochs, maxSteps }: ExperimentConfig["train"], stepsPerEpoch: () => number): Schedule {
  const choice = typeof schedule === "string" ? { kind: schedule } : schedule;
  switch (choice.kind) {
    case "cosine":
      return warmupCosine({ ...choice, totalSteps: Math.min(maxSteps ?? Number.POSITIVE_INFINITY, epochs * stepsPerEpoch()) });
    case "step":
      return stepDecay(choice as { every: number; factor: number });
    case "plateau":
      return plateau(choice as { patience?: number; factor?: number });
    default:
      return constant();
  }
}

/** Inverse frequency in the training part, with mean 1 over its rows. */
function balancedWeights({ series, preprocessing }: PreparedData, classes: number): Float32Array {
  const counts = new Float64Array(classes);
  const perSeries = preprocessing.targetKind === "class";
  const code = partCode("train");
  let total = 0;
  const count = (index: number) => {
    if (index < 0) return;
    counts[index]++;
    total++;
  };
  for (const { classes: indices, part } of series) {
    if (!indices) continue;
    if (perSeries) {
      const first = part.indexOf(code);
      if (first >= 0) count(elementAt(indices, first));
    } else {
      for (const [from, to] of runsOf(part, code)) for (const some of stretches(indices, { from, to })) some.forEach(count);
    }
  }
  return Float32Array.from(counts, (n) => (n > 0 ? total / (classes * n) : 1));
}

/** @file Trains one network on prepared data: batches or carried lanes, objective, validation loss, schedule and optimizer from the configuration. */
import type { Batch, ExampleSpec, Part } from "../core/batch.js";
import { type Rng, seed as seedRng } from "../core/rng.js";
import { batches, type Examples, lanes, type PreparedData, partCode } from "../data/index.js";
import { estimateMemory, type MemoryEstimate } from "../diagnose/memory-estimate.js";
import type { Kernels } from "../kernels/index.js";
import { type Architecture, buildNetwork, forwardBatch } from "../model/index.js";
import { RecurrentNetwork, resetRows, type SequenceModel } from "../nn/index.js";
import { Adam, AdamW, constant, type Optimizer, plateau, type Schedule, SGD, stepDecay, warmupCosine } from "../optim/index.js";
import { inference } from "../tensor/index.js";
import { type CheckpointStore, type TrainOptions, type TrainResult, train } from "../train/index.js";
import type { ExperimentConfig } from "./config.js";
import { type LossOptions, taskOf, wholeLanes } from "./task.js";

export interface FitOptions
  extends Pick<TrainOptions<Batch>, "onLog" | "onProgress" | "signal" | "resume" | "otherEngine" | "fingerprint"> {
  checkpoint?: CheckpointStore;
  engine?: Kernels;
}

export interface FittedNetwork {
  network: SequenceModel;
  result: TrainResult;
}

/** @throws OST_NAN, OST_CHECKPOINT, OST_WINDOW */
export async function fitNetwork(
  config: ExperimentConfig,
  prepared: PreparedData,
  spec: ExampleSpec,
  architecture: Architecture,
  { engine, ...options }: FitOptions = {},
): Promise<FittedNetwork> {
  const { train: settings, mode } = config;
  const task = taskOf(config);
  const network = buildNetwork(architecture, { rng: seedRng(settings.seed), engine });
  if (network instanceof RecurrentNetwork) network.recurrent.recompute = settings.recompute;
  const optimizer = makeOptimizer(settings, network);
  const lossOptions: LossOptions = {
    loss: settings.loss,
    labelSmoothing: settings.labelSmoothing,
    classWeights: settings.classWeights === "balanced" ? balancedWeights(prepared, spec.classes.length) : null,
  };
  const trainBatches = trainingBatches(config, prepared);
  const validationBatches = () => evaluationBatches(config, prepared, "validation", { thinned: THINNED_VALIDATION });
  const result = await train<Batch>(network, {
    ...options,
    memory: network instanceof RecurrentNetwork ? memoryOfStep(config, prepared, spec, network) : undefined,
    optimizer,
    data: (_, rng) => trainBatches(rng),
    objective: (batch, { rng, state }) => {
      const carried = state && batch.reset ? resetRows(state, network.initialState(batch.batchSize), batch.reset) : state;
      const { prediction, state: next } = forwardBatch(network, spec, batch, { rng, state: carried });
      return { loss: task.loss(prediction, batch, lossOptions), state: mode === "streaming" ? next : undefined };
    },
    validate: () => {
      let total = 0;
      let weight = 0;
      for (const batch of validationBatches()) {
        const share = task.lossWeight(batch, lossOptions);
        if (share === 0) continue;
        total += share * inference(() => task.loss(forwardBatch(network, spec, batch).prediction, batch, lossOptions).item());
        weight += share;
      }
      return weight > 0 ? total / weight : Number.NaN;
    },
    epochs: settings.epochs,
    maxSteps: settings.maxSteps,
    clipNorm: settings.clipNorm ?? Number.POSITIVE_INFINITY,
    schedule: makeSchedule(settings, () => countBatches(trainBatches)),
    earlyStopping: settings.earlyStopping ?? undefined,
    seed: settings.seed,
  });
  return { network, result };
}

/** Batches of one training epoch in the order of a generator. */
function trainingBatches(config: ExperimentConfig, prepared: PreparedData): (rng: Rng) => Iterable<Batch> {
  const { train: settings, window, mode } = config;
  if (mode === "streaming") {
    const chunk = window.length as number;
    return (rng) =>
      lanes(prepared, {
        batchSize: settings.batchSize,
        chunk,
        part: "train",
        rng,
        horizon: window.horizon,
        maxLength: laneLength(config, prepared),
      });
  }
  const examples = taskOf(config).examples(prepared, config, "train");
  return (rng) => batches(examples, { batchSize: settings.batchSize, rng, normalize: window.normalize });
}

/** What an update takes on the longest batch there is. */
function memoryOfStep(
  config: ExperimentConfig,
  prepared: PreparedData,
  { targetKind, everyStep }: ExampleSpec,
  network: RecurrentNetwork,
): MemoryEstimate {
  const { train: settings, window } = config;
  return estimateMemory(network, {
    batch: settings.batchSize,
    time: window.length ?? longestOf(taskOf(config).examples(prepared, config, "train")),
    reads: targetKind === "tags" || everyStep ? "output" : "last",
    loss: targetKind === "values" ? "pointwise" : "crossEntropy",
    moments: settings.optimizer === "sgd" ? Math.sign(settings.momentum) : 2,
  });
}

/** Long series are cut so that they fill the lanes, into pieces of at least eight chunks. */
function laneLength({ train: { batchSize }, window }: ExperimentConfig, prepared: PreparedData): number {
  const chunk = window.length as number;
  const share = Math.ceil(prepared.split.train / batchSize / chunk);
  return Math.max(8, share) * chunk;
}

/** Steps predicted at least, where a pass over every trailing window would cost too much. */
const THINNED_VALIDATION = 1_000;

export interface EvaluationBatchesOptions {
  /**
   * Where every step has a window of its own: evenly spaced steps alone, at least so many of those the part has, and no more than read each
   * of its rows four times over.
   */
  thinned?: number;
}

/**
 * Batches of a part in order: windows or sequences as a stream reads them, or whole stretches through which the state is carried.
 *
 * @throws OST_WINDOW if the part has no example.
 */
export function evaluationBatches(
  config: ExperimentConfig,
  prepared: PreparedData,
  part: Part,
  { thinned }: EvaluationBatchesOptions = {},
): Iterable<Batch> {
  const { window, mode } = config;
  if (mode === "streaming") return wholeLanes(prepared, part, window.horizon);
  const stride =
    config.task === "forecast" && part !== "train"
      ? 1
      : config.task === "tag" && thinned !== undefined
        ? Math.max(1, Math.min(Math.ceil((window.length ?? 1) / 4), Math.floor(prepared.split[part] / thinned)))
        : undefined;
  const examples = taskOf(config).examples(prepared, config, part, { stride, served: true });
  const rows = Math.floor(EVALUATED_STEPS / Math.max(1, longestOf(examples)));
  return batches(examples, { batchSize: Math.max(1, Math.min(256, rows)), normalize: window.normalize });
}

/** Most steps, over all rows of a batch together, that are predicted at once: the memory of judging does not grow with the sequences. */
const EVALUATED_STEPS = 65_536;

function longestOf({ length }: Examples): number {
  return length.reduce((most, steps) => Math.max(most, steps), 0);
}

function countBatches(trainBatches: (rng: Rng) => Iterable<Batch>): number {
  let count = 0;
  for (const _ of trainBatches(seedRng(0))) count++;
  return count;
}

function makeOptimizer(
  { optimizer, learningRate, weightDecay, momentum }: ExperimentConfig["train"],
  network: SequenceModel,
): Optimizer {
  const parameters = network.parameters();
  if (optimizer === "sgd") return new SGD(parameters, { learningRate, momentum, weightDecay });
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
  for (const { classes: indices, part, length } of series) {
    for (let i = 0; i < (perSeries ? 1 : length); i++) {
      const index = (indices as Int32Array)[i];
      if (part[i] !== code || index < 0) continue;
      counts[index]++;
      total++;
    }
  }
  return Float32Array.from(counts, (n) => (n > 0 ? total / (classes * n) : 1));
}

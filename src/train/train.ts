/**
 * @file The training loop: epochs of `trainStep`, validation, early stopping with the best weights restored, checkpoints.
 *
 * Deterministic and resumable: the batches of an epoch depend only on the seed and the epoch's number, so a run that is killed and resumed
 * ends with the same weights, bit for bit, as one that was never stopped.
 */
import { OstinatoError } from "../core/errors.js";
import { Rng, seed as seedRng } from "../core/rng.js";
import type { MemoryEstimate } from "../diagnose/memory-estimate.js";
import type { MemoryPlan } from "../diagnose/memory-plan.js";
import { arithmeticOf, describeEngine } from "../kernels/index.js";
import type { SequenceModel, State } from "../nn/index.js";
import { constant, type Optimizer, type Schedule, WeightAverage, type WeightAverageOptions } from "../optim/index.js";
import type { Parameter } from "../tensor/index.js";
import { type Checkpoint, type CheckpointStore, decodeCheckpoint, encodeCheckpoint, wantSameEngine } from "./checkpoint.js";
import { type GradientWorkers, parallelStep, plainState, tensorState } from "./data-parallel.js";
import { type Objective, releaseState, trainStep } from "./train-step.js";

/** What training must know of a model. */
export type Trainable = Pick<SequenceModel, "parameters" | "namedParameters" | "engine">;

export interface TrainOptions<B> {
  optimizer: Optimizer;
  /**
   * The batches of one epoch; their order may depend on nothing but the arguments. A resumed run passes over those that its checkpoint has
   * seen by `skip`, where what is returned has it, and else by reading them.
   */
  data: (epoch: number, rng: Rng) => Iterable<B> | AsyncIterable<B>;
  /** The loss of a batch. */
  objective: (batch: B, context: ObjectiveContext) => Objective;
  /** Compute the gradients in place of `objective`, each a share of every batch. Whoever made them closes them. */
  workers?: GradientWorkers<B>;
  /** Batches whose gradients make one update together; the last update of an epoch takes those that are left. Default 1. */
  accumulate?: number;
  /** The model is the average of the weights over the updates: what is validated, kept as best, and there at the end. */
  averaging?: WeightAverageOptions;
  /** What the weights are worth on the validation part; called at the end of every epoch. Absent: no early stopping, the last weights are kept. */
  validate?: () => number;
  /**
   * What `validate` returns is a metric. Metrics move in steps, and stay where they begin until the first hit: of equal ones the later is the
   * better. Absent: a loss.
   */
  metric?: { higherIsBetter: boolean };
  epochs: number;
  /** Ends the run after so many updates; default none. */
  maxSteps?: number;
  /** Default 1. */
  clipNorm?: number;
  schedule?: Schedule;
  /** Stops once more than `patience` epochs in a row bring no better validation. The best weights are restored in any case. */
  earlyStopping?: { patience: number };
  seed?: number;
  checkpoint?: CheckpointStore;
  /** Continues from the checkpoint if there is one. */
  resume?: boolean;
  /** Names configuration and data; a checkpoint with another is refused. */
  fingerprint?: string;
  /** Goes on from the checkpoint of another engine too, though that rounds differently; default false. */
  otherEngine?: boolean;
  /** Seconds between checkpoints inside an epoch; default 30. There is always one at the end of an epoch. */
  checkpointSeconds?: number;
  /** Updates between entries of the run log; default 50. */
  logEvery?: number;
  onLog?: (entry: RunLogEntry) => void;
  /** What an update is expected to take; the first entry of the run log. */
  memory?: MemoryEstimate & Partial<MemoryPlan>;
  /** Called after every update. */
  onProgress?: (progress: TrainProgress) => void;
  /** Aborting saves a checkpoint and ends the run with `stopped: "aborted"`. */
  signal?: AbortSignal;
}

export interface ObjectiveContext {
  /** Drives dropout. */
  rng: Rng;
  /** What the objective of the batch before returned in the same epoch. */
  state?: State;
  /** Number of the update, from 0: what a schedule of the loss goes by. A resumed run counts on. */
  step: number;
}

export interface TrainProgress {
  epoch: number;
  epochs: number;
  step: number;
  loss: number;
  gradNorm: number;
  /** Share of this epoch's updates that were clipped. */
  clippedShare: number;
  stepsPerSecond: number;
  /** Null until an epoch's length is known. */
  secondsLeft: number | null;
  /** Of the last epoch, or null. */
  validation: number | null;
}

export type RunLogEntry =
  /** What computes, from that step on: engine, instruction set, threads. */
  | { kind: "engine"; step: number; engine: string }
  | ({ kind: "memory"; step: number } & MemoryEstimate & Partial<MemoryPlan>)
  | {
      kind: "step";
      epoch: number;
      step: number;
      loss: number;
      gradNorm: number;
      clipped: boolean;
      learningRate: number;
      /** Per parameter: norms before the update, and norm of the update over norm of the parameter. */
      layers: Record<string, { gradNorm: number; parameterNorm: number; updateRatio: number }>;
    }
  | {
      kind: "epoch";
      epoch: number;
      step: number;
      loss: number;
      validation: number | null;
      best: boolean;
      clippedShare: number;
      learningRate: number;
      seconds: number;
      stepsPerSecond: number;
    };

export interface TrainResult {
  steps: number;
  /** Epochs completed. */
  epochs: number;
  seconds: number;
  best: { validation: number; epoch: number } | null;
  stopped: "epochs" | "maxSteps" | "early" | "aborted";
  /** What computed the run, by `arithmeticOf`, in order: one engine, or more where a run was told to go on elsewhere. */
  engines: readonly string[];
}

/**
 * Trains a model in place. The optimizer's learning rate is the base rate of the schedule, and is that again afterwards.
 *
 * @throws OST_NAN, OST_CHECKPOINT; the last checkpoint is intact in either case.
 */
export async function train<B>(model: Trainable, options: TrainOptions<B>): Promise<TrainResult> {
  const { optimizer } = options;
  const baseRate = optimizer.learningRate;
  try {
    return await runEpochs(model, options, baseRate);
  } finally {
    optimizer.learningRate = baseRate;
  }
}

async function runEpochs<B>(model: Trainable, options: TrainOptions<B>, baseRate: number): Promise<TrainResult> {
  const {
    optimizer,
    epochs,
    maxSteps = Number.POSITIVE_INFINITY,
    schedule = constant(),
    seed = 0,
    logEvery = 50,
    checkpointSeconds = 30,
  } = options;
  const { fingerprint = "", otherEngine = false, checkpoint, earlyStopping, workers, accumulate = 1 } = options;
  const { metric } = options;
  if (!(Number.isInteger(accumulate) && accumulate >= 1)) {
    throw new OstinatoError("OST_RANGE", {
      what: "not a number of batches",
      expected: "a whole number >= 1",
      got: String(accumulate),
      where: "train.accumulate",
    });
  }
  const parameters = model.namedParameters();
  const average = options.averaging && new WeightAverage(parameters, options.averaging);
  const run = new Run(seed);
  if (options.resume && checkpoint) {
    const bytes = await checkpoint.load();
    if (bytes) run.restore(decodeCheckpoint(bytes), { model, optimizer, schedule, average, fingerprint, otherEngine });
  }
  const own = arithmeticOf(model.engine);
  const elsewhere = run.engines.at(-1) !== own;
  if (elsewhere) run.engines = [...run.engines, own];
  if (elsewhere || run.step === 0) options.onLog?.({ kind: "engine", step: run.step, engine: describeEngine(model.engine) });
  if (options.memory && run.step === 0) options.onLog?.({ kind: "memory", step: 0, ...options.memory });
  const startedAt = performance.now() - run.seconds * 1000;
  const save = async () => {
    wantFinite(parameters, run.step);
    run.seconds = (performance.now() - startedAt) / 1000;
    await checkpoint?.save(encodeCheckpoint(run.capture({ parameters, optimizer, schedule, average, fingerprint })));
  };
  const result = (stopped: TrainResult["stopped"]): TrainResult => ({
    steps: run.step,
    epochs: run.epoch,
    seconds: (performance.now() - startedAt) / 1000,
    best: run.best,
    stopped,
    engines: run.engines,
  });
  let stepsPerEpoch: number | null = null;
  let stopped: TrainResult["stopped"] = run.finished ? "early" : run.step >= maxSteps ? "maxSteps" : "epochs";
  let savedAt = performance.now();
  const sessionStart = { at: performance.now(), step: run.step };
  let validation: number | null = null;

  /** One update, and all that follows each. @returns true when the run was aborted. */
  const update = async (batches: readonly B[]): Promise<boolean> => {
    const { step, rng, carried: previous } = run;
    optimizer.learningRate = baseRate * schedule.factor(step);
    const logged = options.onLog !== undefined && step % logEvery === 0;
    const before = logged ? new Map([...parameters].map(([name, parameter]) => [name, parameter.floats().slice()])) : null;
    const { loss, gradNorm, clipped, state } = workers
      ? await parallelStep({ model, optimizer, workers, batches, state: previous, step, seed, clipNorm: options.clipNorm })
      : trainStep({
          optimizer,
          rng,
          clipNorm: options.clipNorm,
          parts: batches.length,
          objective: (rng, part, carried) =>
            options.objective(batches[part], { rng, state: part === 0 ? previous : carried, step }),
        });
    run.carried = state;
    releaseState(previous, state);
    average?.observe();
    if (before) {
      const { learningRate } = optimizer;
      const layers = layerNorms(parameters, before);
      options.onLog?.({ kind: "step", epoch: run.epoch, step, loss, gradNorm, clipped, learningRate, layers });
    }
    run.advance(loss, clipped, batches.length);
    const now = performance.now();
    const stepsPerSecond = ((run.step - sessionStart.step) * 1000) / Math.max(1, now - sessionStart.at);
    options.onProgress?.({
      epoch: run.epoch,
      epochs,
      step: run.step,
      loss: run.meanLoss,
      gradNorm,
      clippedShare: run.clippedShare,
      stepsPerSecond,
      secondsLeft: stepsPerEpoch === null ? null : (Math.min(maxSteps, stepsPerEpoch * epochs) - run.step) / stepsPerSecond,
      validation,
    });
    if (now - savedAt > checkpointSeconds * 1000) {
      await save();
      savedAt = performance.now();
    }
    if (run.step % 16 === 0) await new Promise((resume) => setTimeout(resume, 0));
    if (!options.signal?.aborted) return false;
    await save();
    return true;
  };

  while (!run.finished && run.epoch < epochs && (run.step < maxSteps || run.cursor > 0)) {
    const data = options.data(run.epoch, seedRng(epochSeed(seed, run.epoch)));
    let position = skipped(data, run.cursor);
    let unfinished = false;
    let group: B[] = [];
    for await (const batch of data) {
      if (position++ < run.cursor) continue;
      if (run.step >= maxSteps) {
        unfinished = true;
        break;
      }
      group.push(batch);
      if (group.length < accumulate) continue;
      const batches = group;
      group = [];
      if (await update(batches)) return result("aborted");
    }
    if (group.length > 0 && (await update(group))) return result("aborted");
    if (position === 0)
      throw new OstinatoError("OST_RANGE", { what: "an epoch has no batches", where: "train", repair: "check split and window" });
    // An epoch that maxSteps cuts short is saved as it stands: a run that goes on from there is one that never stopped.
    if (unfinished) await save();
    else stepsPerEpoch ??= Math.ceil(run.cursor / accumulate);
    const { validate } = options;
    validation = validate ? (average ? average.within(validate) : validate()) : null;
    if (validation !== null && !Number.isFinite(validation)) {
      throw new OstinatoError("OST_NAN", {
        what: `the validation ${metric ? "metric" : "loss"} is not finite`,
        got: String(validation),
        where: `epoch ${run.epoch}`,
      });
    }
    const isBest = run.keepIfBest(validation, metric, () => average?.values() ?? valuesOf(parameters));
    const seconds = (performance.now() - startedAt) / 1000;
    options.onLog?.({
      kind: "epoch",
      epoch: run.epoch,
      step: run.step,
      loss: run.meanLoss,
      validation,
      best: isBest,
      clippedShare: run.clippedShare,
      learningRate: optimizer.learningRate,
      seconds,
      stepsPerSecond: ((run.step - sessionStart.step) * 1000) / Math.max(1, performance.now() - sessionStart.at),
    });
    if (unfinished) {
      stopped = "maxSteps";
      break;
    }
    releaseState(run.carried);
    run.finishEpoch(validation, isBest);
    if (validation !== null) schedule.observe(metric?.higherIsBetter ? -validation : validation);
    if (earlyStopping && run.waited > earlyStopping.patience) {
      run.finished = true;
      stopped = "early";
    } else if (run.step >= maxSteps) {
      stopped = "maxSteps";
    }
    await save();
    savedAt = performance.now();
  }
  const final = run.best === null && average ? average.values() : run.bestWeights;
  for (const [name, values] of final) parameters.get(name)?.assign(values);
  return result(stopped);
}

/** Passes over the batches that a checkpoint has seen, where that can be done without making them. @returns how many. */
function skipped(data: object, cursor: number): number {
  if (cursor === 0 || !("skip" in data && typeof data.skip === "function")) return 0;
  data.skip(cursor);
  return cursor;
}

/** What changes as a run goes on, apart from model, optimizer and schedule. */
class Run {
  epoch = 0;
  cursor = 0;
  step = 0;
  seconds = 0;
  waited = 0;
  finished = false;
  rng: Rng;
  engines: readonly string[] = [];
  best: { validation: number; epoch: number } | null = null;
  bestWeights: Map<string, Float32Array | Float64Array> = new Map();
  carried: State | undefined;
  #loss = { total: 0, count: 0, clipped: 0 };

  constructor(seed: number) {
    this.rng = seedRng(epochSeed(seed, -1));
  }

  get meanLoss(): number {
    return this.#loss.total / Math.max(1, this.#loss.count);
  }

  get clippedShare(): number {
    return this.#loss.clipped / Math.max(1, this.#loss.count);
  }

  advance(loss: number, clipped: boolean, batches: number): void {
    this.step++;
    this.cursor += batches;
    this.#loss.total += loss;
    this.#loss.count++;
    if (clipped) this.#loss.clipped++;
  }

  /** True if the weights that were validated are the best so far. */
  keepIfBest(
    validation: number | null,
    metric: TrainOptions<unknown>["metric"],
    weights: () => Map<string, Float32Array | Float64Array>,
  ): boolean {
    if (validation === null) return false;
    const before = this.best?.validation;
    const isBetter = (before: number) => {
      if (!metric) return validation < before;
      return metric.higherIsBetter ? validation >= before : validation <= before;
    };
    if (before !== undefined && !isBetter(before)) return false;
    this.best = { validation, epoch: this.epoch };
    this.bestWeights = weights();
    return true;
  }

  finishEpoch(validation: number | null, isBest: boolean): void {
    if (isBest) this.waited = 0;
    else if (validation !== null) this.waited++;
    this.epoch++;
    this.cursor = 0;
    this.carried = undefined;
    this.#loss = { total: 0, count: 0, clipped: 0 };
  }

  capture({ parameters, optimizer, schedule, average, fingerprint }: CaptureContext): Checkpoint {
    const state = optimizer.stateDict();
    const averaged = average?.state();
    return {
      progress: {
        fingerprint,
        engines: this.engines,
        epoch: this.epoch,
        cursor: this.cursor,
        step: this.step,
        seconds: this.seconds,
        rng: this.rng.state,
        learningRate: state.learningRate,
        optimizerStep: state.step,
        schedule: schedule.state(),
        best: this.best,
        waited: this.waited,
        epochLoss: this.#loss,
        finished: this.finished,
        averaged: averaged?.updates,
      },
      model: valuesOf(parameters),
      optimizer: state.arrays,
      best: this.bestWeights,
      average: averaged?.arrays,
      carried: new Map(Object.entries(plainState(this.carried ?? {}))),
    };
  }

  /** @throws OST_CHECKPOINT if it belongs to another run. */
  restore(checkpoint: Checkpoint, context: RestoreContext): void {
    const { progress, model: weights, optimizer: arrays, best, carried } = checkpoint;
    const { model, optimizer, schedule, average, fingerprint, otherEngine } = context;
    const own = model.namedParameters();
    const fits = weights.size === own.size && [...own].every(([name, { size }]) => weights.get(name)?.length === size);
    if (progress.fingerprint !== fingerprint || !fits) {
      throw new OstinatoError("OST_CHECKPOINT", {
        what: "the checkpoint belongs to another run",
        expected: `run ${fingerprint.slice(0, 12)} with ${own.size} parameters`,
        got: `run ${progress.fingerprint.slice(0, 12)} with ${weights.size}`,
        repair: "resume with the same configuration and data, or choose another --out",
      });
    }
    if (!otherEngine) wantSameEngine(progress, model.engine);
    average?.restore({ updates: progress.averaged ?? 0, arrays: checkpoint.average ?? new Map() });
    this.engines = progress.engines;
    optimizer.loadStateDict({
      step: progress.optimizerStep,
      learningRate: progress.learningRate,
      arrays: arrays as Map<string, Float32Array>,
    });
    for (const [name, parameter] of own) parameter.assign(weights.get(name) as Float32Array);
    schedule.restore(progress.schedule);
    ({
      epoch: this.epoch,
      cursor: this.cursor,
      step: this.step,
      seconds: this.seconds,
      best: this.best,
      waited: this.waited,
    } = progress);
    this.finished = progress.finished;
    this.rng = new Rng(progress.rng);
    this.#loss = progress.epochLoss;
    this.bestWeights = new Map(best);
    if (carried.size > 0) this.carried = tensorState(Object.fromEntries(carried), model);
  }
}

interface CaptureContext {
  parameters: ReadonlyMap<string, Parameter>;
  optimizer: Optimizer;
  schedule: Schedule;
  average: WeightAverage | undefined;
  fingerprint: string;
}

interface RestoreContext {
  model: Trainable;
  optimizer: Optimizer;
  schedule: Schedule;
  average: WeightAverage | undefined;
  fingerprint: string;
  otherEngine: boolean;
}

function valuesOf(parameters: ReadonlyMap<string, Parameter>): Map<string, Float32Array | Float64Array> {
  return new Map([...parameters].map(([name, parameter]) => [name, parameter.floats().slice()]));
}

/** An update may overflow a weight although loss and gradient were finite. @throws OST_NAN naming the parameter. */
function wantFinite(parameters: ReadonlyMap<string, Parameter>, step: number): void {
  for (const [name, { engine, size, pointer }] of parameters) {
    if (Number.isFinite(engine.sumOfSquares([{ count: size, pointer }]))) continue;
    throw new OstinatoError("OST_NAN", {
      what: `an update left parameter "${name}" not finite; it was not saved`,
      where: `step ${step}`,
      repair: "lower the learning rate",
    });
  }
}

/** Distinct streams for every epoch (and -1, the run's own) of every seed. */
function epochSeed(seed: number, epoch: number): number {
  return (Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) + Math.imul(epoch + 2, 0x85ebca6b)) >>> 0;
}

function layerNorms(parameters: ReadonlyMap<string, Parameter>, before: ReadonlyMap<string, ArrayLike<number>>) {
  const layers: Record<string, { gradNorm: number; parameterNorm: number; updateRatio: number }> = {};
  for (const [name, parameter] of parameters) {
    const old = before.get(name) as ArrayLike<number>;
    const values = parameter.floats();
    let norm = 0;
    let change = 0;
    for (let i = 0; i < values.length; i++) {
      norm += old[i] * old[i];
      change += (values[i] - old[i]) ** 2;
    }
    const { grad, engine } = parameter;
    const parameterNorm = Math.sqrt(norm);
    layers[name] = {
      gradNorm: grad ? Math.sqrt(engine.sumOfSquares([{ count: grad.size, pointer: grad.pointer }])) : 0,
      parameterNorm,
      updateRatio: parameterNorm > 0 ? Math.sqrt(change) / parameterNorm : 0,
    };
  }
  return layers;
}

/**
 * @file The training loop: epochs of `trainStep`, validation, early stopping with the best weights restored, checkpoints.
 *
 * Deterministic and resumable: the batches of an epoch depend only on the seed and the epoch's number, so a run that is killed and resumed
 * ends with the same weights, bit for bit, as one that was never stopped.
 */
import { OstinatoError } from "../core/errors.js";
import { Rng, seed as seedRng } from "../core/rng.js";
import type { MemoryEstimate } from "../diagnose/memory-estimate.js";
import { arithmeticOf, describeEngine } from "../kernels/index.js";
import type { SequenceModel, State } from "../nn/index.js";
import { constant, type Optimizer, type Schedule } from "../optim/index.js";
import { type Parameter, tensor } from "../tensor/index.js";
import { release } from "../tensor/storage.js";
import { type Checkpoint, type CheckpointStore, decodeCheckpoint, encodeCheckpoint, wantSameEngine } from "./checkpoint.js";
import { type Objective, trainStep } from "./train-step.js";

export interface TrainOptions<B> {
  optimizer: Optimizer;
  /**
   * The batches of one epoch; their order may depend on nothing but the arguments. A resumed run passes over those that its checkpoint has
   * seen by `skip`, where what is returned has it, and else by reading them.
   */
  data: (epoch: number, rng: Rng) => Iterable<B> | AsyncIterable<B>;
  /** The loss of a batch. `state` is what the objective of the batch before returned in the same epoch. */
  objective: (batch: B, context: { rng: Rng; state?: State }) => Objective;
  /** Validation loss, lower is better; called at the end of every epoch. Absent: no early stopping, the last weights are kept. */
  validate?: () => number;
  epochs: number;
  /** Ends the run after so many updates; default none. */
  maxSteps?: number;
  /** Default 1. */
  clipNorm?: number;
  schedule?: Schedule;
  /** Stops once more than `patience` epochs in a row bring no validation loss below the best. The best weights are restored in any case. */
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
  memory?: MemoryEstimate;
  /** Called after every update. */
  onProgress?: (progress: TrainProgress) => void;
  /** Aborting saves a checkpoint and ends the run with `stopped: "aborted"`. */
  signal?: AbortSignal;
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
  | ({ kind: "memory"; step: number } & MemoryEstimate)
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
export async function train<B>(model: SequenceModel, options: TrainOptions<B>): Promise<TrainResult> {
  const { optimizer } = options;
  const baseRate = optimizer.learningRate;
  try {
    return await runEpochs(model, options, baseRate);
  } finally {
    optimizer.learningRate = baseRate;
  }
}

async function runEpochs<B>(model: SequenceModel, options: TrainOptions<B>, baseRate: number): Promise<TrainResult> {
  const {
    optimizer,
    epochs,
    maxSteps = Number.POSITIVE_INFINITY,
    schedule = constant(),
    seed = 0,
    logEvery = 50,
    checkpointSeconds = 30,
  } = options;
  const { fingerprint = "", otherEngine = false, checkpoint, earlyStopping } = options;
  const parameters = model.namedParameters();
  const run = new Run(seed);
  if (options.resume && checkpoint) {
    const bytes = await checkpoint.load();
    if (bytes) run.restore(decodeCheckpoint(bytes), { model, optimizer, schedule, fingerprint, otherEngine });
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
    await checkpoint?.save(encodeCheckpoint(run.capture({ parameters, optimizer, schedule, fingerprint })));
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

  while (!run.finished && run.epoch < epochs && (run.step < maxSteps || run.cursor > 0)) {
    const data = options.data(run.epoch, seedRng(epochSeed(seed, run.epoch)));
    let position = skipped(data, run.cursor);
    let unfinished = false;
    for await (const batch of data) {
      if (position++ < run.cursor) continue;
      if (run.step >= maxSteps) {
        unfinished = true;
        break;
      }
      optimizer.learningRate = baseRate * schedule.factor(run.step);
      const logged = options.onLog !== undefined && run.step % logEvery === 0;
      const before = logged ? new Map([...parameters].map(([name, parameter]) => [name, parameter.floats().slice()])) : null;
      const previous = run.carried;
      const { loss, gradNorm, clipped, state } = trainStep({
        optimizer,
        rng: run.rng,
        clipNorm: options.clipNorm,
        objective: (rng) => options.objective(batch, { rng, state: previous }),
      });
      run.carried = state;
      releaseState(previous, state);
      if (before) {
        const { learningRate } = optimizer;
        const layers = layerNorms(parameters, before);
        options.onLog?.({ kind: "step", epoch: run.epoch, step: run.step, loss, gradNorm, clipped, learningRate, layers });
      }
      run.advance(loss, clipped);
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
      if (options.signal?.aborted) {
        await save();
        return result("aborted");
      }
    }
    if (position === 0)
      throw new OstinatoError("OST_RANGE", { what: "an epoch has no batches", where: "train", repair: "check split and window" });
    // An epoch that maxSteps cuts short is saved as it stands: a run that goes on from there is one that never stopped.
    if (unfinished) await save();
    else stepsPerEpoch ??= run.cursor;
    validation = options.validate?.() ?? null;
    if (validation !== null && !Number.isFinite(validation)) {
      throw new OstinatoError("OST_NAN", {
        what: "the validation loss is not finite",
        got: String(validation),
        where: `epoch ${run.epoch}`,
      });
    }
    const isBest = run.keepIfBest(validation, parameters);
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
    if (validation !== null) schedule.observe(validation);
    if (earlyStopping && run.waited > earlyStopping.patience) {
      run.finished = true;
      stopped = "early";
    } else if (run.step >= maxSteps) {
      stopped = "maxSteps";
    }
    await save();
    savedAt = performance.now();
  }
  for (const [name, values] of run.bestWeights) parameters.get(name)?.assign(values);
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

  advance(loss: number, clipped: boolean): void {
    this.step++;
    this.cursor++;
    this.#loss.total += loss;
    this.#loss.count++;
    if (clipped) this.#loss.clipped++;
  }

  /** True if the weights as they are have the lowest validation loss so far. */
  keepIfBest(validation: number | null, parameters: ReadonlyMap<string, Parameter>): boolean {
    if (validation === null || (this.best !== null && validation >= this.best.validation)) return false;
    this.best = { validation, epoch: this.epoch };
    this.bestWeights = valuesOf(parameters);
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

  capture({ parameters, optimizer, schedule, fingerprint }: CaptureContext): Checkpoint {
    const state = optimizer.stateDict();
    const carried = Object.entries(this.carried ?? {}).map(
      ([name, value]) => [name, { shape: value.shape, data: value.floats().slice() }] as const,
    );
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
      },
      model: valuesOf(parameters),
      optimizer: state.arrays,
      best: this.bestWeights,
      carried: new Map(carried),
    };
  }

  /** @throws OST_CHECKPOINT if it belongs to another run. */
  restore({ progress, model: weights, optimizer: arrays, best, carried }: Checkpoint, context: RestoreContext): void {
    const { model, optimizer, schedule, fingerprint, otherEngine } = context;
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
    if (carried.size > 0) {
      const { engine } = model;
      this.carried = Object.fromEntries([...carried].map(([name, { shape, data }]) => [name, tensor(data, shape, { engine })]));
    }
  }
}

interface CaptureContext {
  parameters: ReadonlyMap<string, Parameter>;
  optimizer: Optimizer;
  schedule: Schedule;
  fingerprint: string;
}

interface RestoreContext {
  model: SequenceModel;
  optimizer: Optimizer;
  schedule: Schedule;
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

/** Frees carried tensors at once: a synchronous stretch of training gives the garbage collector no turn. */
function releaseState(state: State | undefined, except?: State): void {
  const kept = new Set(Object.values(except ?? {}).map(({ storage }) => storage));
  for (const { storage } of Object.values(state ?? {})) if (!kept.has(storage)) release(storage);
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

/**
 * @file One update whose gradient several workers compute together, each on its own rows of a batch: what workers must do, and the step.
 *
 * Deterministic: which rows a worker gets, and the seed of its dropout, depend on numbers alone, and gradients are summed in the order of the
 * workers whenever they arrive. The same number of workers gives the same bits; another number rounds differently.
 */
import type { FloatArray } from "../kernels/index.js";
import type { SequenceModel, State } from "../nn/index.js";
import { clipByGlobalNorm, type Optimizer } from "../optim/index.js";
import { type Parameter, tensor } from "../tensor/index.js";
import { GradientMean } from "./gradient-mean.js";
import { nonFiniteError, type TrainStepResult } from "./train-step.js";

/** A carried state as plain numbers, which can change threads: each [rows, width], by name. */
export type PlainState = Readonly<Record<string, { shape: readonly number[]; data: Float32Array | Float64Array }>>;

export interface GradientJob<B> {
  batch: B;
  /** What the batch before left, of all rows. */
  state?: PlainState;
  /** Number of the update, from 0, and of the batch within it. */
  step: number;
  part: number;
  /** Of the run; with `step`, `part` and the worker's number it decides a worker's dropout. */
  seed: number;
}

/** One worker's part of a batch. */
export interface GradientShare {
  loss: number;
  /** What `loss` and `gradient` are means over; 0 of a worker that had no rows or no targets. */
  weight: number;
  /** All parameters one after another, in the model's order; valid until the next job. */
  gradient: FloatArray;
}

/** Replicas of a model that compute gradients. Those of Node's threads are `gradientThreads`. */
export interface GradientWorkers<B> {
  readonly count: number;
  /** Makes these the weights of every replica from the next job on; all parameters of the model in order. */
  broadcast(parameters: readonly Parameter[]): void;
  /** @returns a share of each worker, in their order, and the state of all rows. @throws OST_NAN, and OST_INTERNAL when a worker is lost. */
  compute(job: GradientJob<B>): Promise<{ shares: readonly GradientShare[]; state?: PlainState }>;
  close(): Promise<void>;
}

export interface ParallelStepOptions<B> {
  model: Pick<SequenceModel, "parameters" | "engine">;
  optimizer: Optimizer;
  workers: GradientWorkers<B>;
  /** Whose gradients make one update together; one or more. */
  batches: readonly B[];
  state?: State;
  step: number;
  seed: number;
  /** As of `trainStep`. */
  clipNorm?: number;
}

/** `trainStep` on workers. @throws OST_NAN; no parameter was changed then. */
export async function parallelStep<B>(options: ParallelStepOptions<B>): Promise<TrainStepResult> {
  const { model, optimizer, workers, batches, state, step, seed, clipNorm = 1 } = options;
  const parameters = model.parameters();
  workers.broadcast(parameters);
  const mean = new GradientMean(parameters);
  let carried = state && plainState(state);
  for (const [part, batch] of batches.entries()) {
    const done = await workers.compute({ batch, state: carried, step, part, seed });
    for (const { loss, weight, gradient } of done.shares) {
      let at = 0;
      const lists = parameters.map(({ size }) => {
        at += size;
        return gradient.subarray(at - size, at);
      });
      mean.add(loss, weight, lists);
    }
    carried = done.state;
  }
  mean.write(optimizer.parameters);
  const { gradNorm, gradientScale, clipped } = clipByGlobalNorm(optimizer.parameters, clipNorm);
  if (!Number.isFinite(gradNorm)) {
    optimizer.zeroGrad();
    throw nonFiniteError("gradient", null);
  }
  optimizer.step({ gradientScale });
  return { loss: mean.loss, gradNorm, clipped, state: carried && tensorState(carried, model) };
}

export function plainState(state: State): PlainState {
  return Object.fromEntries(
    Object.entries(state).map(([name, value]) => [name, { shape: value.shape, data: value.floats().slice() }]),
  );
}

export function tensorState(state: PlainState, { engine }: Pick<SequenceModel, "engine">): State {
  return Object.fromEntries(Object.entries(state).map(([name, { shape, data }]) => [name, tensor(data, shape, { engine })]));
}

/** @file One optimizer update: forward, loss, backward, clip, step. `train` is a loop over this; so may be a loop of your own. */
import { OstinatoError } from "../core/errors.js";
import { Rng, type RngState } from "../core/rng.js";
import { describeTrace, traceNonFinite } from "../diagnose/index.js";
import { detachState, type State } from "../nn/index.js";
import { clipByGlobalNorm, type Optimizer } from "../optim/index.js";
import { scope, type Tensor } from "../tensor/index.js";
import { release } from "../tensor/storage.js";
import { GradientMean, wantWeight } from "./gradient-mean.js";

export interface Objective {
  /** A scalar, recorded. */
  loss: Tensor;
  /** To be carried into the next chunk of the same lanes. */
  state?: State;
  /**
   * What `loss` is a mean over, such as the number of targets, >= 0: the losses of several batches that make one update together are
   * joined by it. Default 1: all batches count the same.
   */
  weight?: number;
}

export interface TrainStepOptions {
  optimizer: Optimizer;
  /**
   * Computes the loss of one batch; `rng` drives dropout. With several `parts` it is called for one after another, with the state that the
   * part before gave, without history. Called again, with the same generator, to trace a NaN.
   */
  objective: (rng: Rng, part: number, state: State | undefined) => Objective;
  rng: Rng;
  /** Batches whose gradients make one update together (gradient accumulation); default 1. One is in memory at a time. */
  parts?: number;
  /** Largest allowed norm of all gradients together; default 1, Infinity turns clipping off. */
  clipNorm?: number;
}

export interface TrainStepResult {
  /** Of several parts: the mean by their weights. */
  loss: number;
  gradNorm: number;
  clipped: boolean;
  /** The last part's state without history; belongs to the enclosing scope or to whoever holds it. */
  state?: State;
}

/**
 * Runs one update. On a loss or gradient that is not finite no parameter changes.
 *
 * The gradient of several parts is that of all their targets in one batch, up to rounding: sum(weight * gradient) / sum(weight).
 *
 * @throws OST_NAN naming the operation, layer and time step where the first NaN or infinity arose.
 */
export function trainStep({ optimizer, objective, rng, parts = 1, clipNorm = 1 }: TrainStepOptions): TrainStepResult {
  const { parameters } = optimizer;
  const rngState = rng.state;
  const fault = (what: string) => nonFinite(optimizer, { objective, parts, rngState, what });
  /** Adds the gradient of one part to the parameters'. */
  const differentiate = (part: number, before?: State) => {
    const { loss, state, weight = 1 } = objective(rng, part, before);
    wantWeight(weight);
    const value = weight > 0 ? loss.item() : 0;
    if (!Number.isFinite(value)) throw fault("loss");
    if (weight > 0) loss.backward();
    return { loss: value, weight, state: state && detachState(state) };
  };
  return scope(() => {
    optimizer.zeroGrad();
    let loss: number;
    let state: State | undefined;
    if (parts === 1) {
      ({ loss, state } = differentiate(0));
    } else {
      const mean = new GradientMean(parameters);
      for (let part = 0; part < parts; part++) {
        const before = state;
        // What a part took is given back before the next begins.
        const done = scope(() => differentiate(part, before));
        mean.add(
          done.loss,
          done.weight,
          parameters.map(({ grad }) => grad?.floats() ?? null),
        );
        optimizer.zeroGrad();
        state = done.state;
        releaseState(before, state);
      }
      mean.write(parameters);
      loss = mean.loss;
    }
    const { gradNorm, gradientScale, clipped } = clipByGlobalNorm(parameters, clipNorm);
    if (!Number.isFinite(gradNorm)) throw fault("gradient");
    optimizer.step({ gradientScale });
    return { loss, gradNorm, clipped, state };
  });
}

/** Frees carried tensors at once: a synchronous stretch of training gives the garbage collector no turn. */
export function releaseState(state: State | undefined, except?: State): void {
  const kept = new Set(Object.values(except ?? {}).map(({ storage }) => storage));
  for (const { storage } of Object.values(state ?? {})) if (!kept.has(storage)) release(storage);
}

interface NonFiniteContext {
  objective: TrainStepOptions["objective"];
  parts: number;
  rngState: RngState;
  what: string;
}

function nonFinite(optimizer: Optimizer, { objective, parts, rngState, what }: NonFiniteContext): OstinatoError {
  optimizer.zeroGrad();
  const trace = scope(() => {
    const rng = new Rng(rngState);
    let state: State | undefined;
    for (let part = 0; part < parts; part++) {
      const result = objective(rng, part, state);
      const found = result.weight === 0 ? null : traceNonFinite(result.loss);
      if (found) return found;
      state = result.state && detachState(result.state);
    }
    return null;
  });
  optimizer.zeroGrad();
  return nonFiniteError(what, trace && describeTrace(trace));
}

/** @param origin where the first such value arose, if that was found. */
export function nonFiniteError(what: string, origin: string | null): OstinatoError {
  return new OstinatoError("OST_NAN", {
    what: `the ${what} is not finite; no parameter was changed`,
    got: origin ?? "a norm too large for float32",
    where: "training step",
    repair: "lower the learning rate or clipNorm, and check the input's range (ostinato inspect shows the scaler's statistics)",
  });
}

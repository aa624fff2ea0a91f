/** @file One optimizer update: forward, loss, backward, clip, step. `train` is a loop over this; so may be a loop of your own. */
import { OstinatoError } from "../core/errors.js";
import { Rng } from "../core/rng.js";
import { describeTrace, traceNonFinite } from "../diagnose/index.js";
import { detachState, type State } from "../nn/index.js";
import { clipByGlobalNorm, type Optimizer } from "../optim/index.js";
import { scope, type Tensor } from "../tensor/index.js";

export interface Objective {
  /** A scalar, recorded. */
  loss: Tensor;
  /** To be carried into the next chunk of the same lanes. */
  state?: State;
}

export interface TrainStepOptions {
  optimizer: Optimizer;
  /** Computes the loss of one batch; `rng` drives dropout. Called again, with the same generator, to trace a NaN. */
  objective: (rng: Rng) => Objective;
  rng: Rng;
  /** Largest allowed norm of all gradients together; default 1, Infinity turns clipping off. */
  clipNorm?: number;
}

export interface TrainStepResult {
  loss: number;
  gradNorm: number;
  clipped: boolean;
  /** The objective's state without history; belongs to the enclosing scope or to whoever holds it. */
  state?: State;
}

/**
 * Runs one update. On a loss or gradient that is not finite no parameter changes.
 *
 * @throws OST_NAN naming the operation, layer and time step where the first NaN or infinity arose.
 */
export function trainStep({ optimizer, objective, rng, clipNorm = 1 }: TrainStepOptions): TrainStepResult {
  const rngBefore = rng.state;
  return scope(() => {
    optimizer.zeroGrad();
    const { loss, state } = objective(rng);
    const lossValue = loss.item();
    if (!Number.isFinite(lossValue)) throw nonFinite(optimizer, objective, rngBefore, "loss");
    loss.backward();
    const { gradNorm, gradientScale, clipped } = clipByGlobalNorm(optimizer.parameters, clipNorm);
    if (!Number.isFinite(gradNorm)) throw nonFinite(optimizer, objective, rngBefore, "gradient");
    optimizer.step({ gradientScale });
    return { loss: lossValue, gradNorm, clipped, state: state && detachState(state) };
  });
}

function nonFinite(
  optimizer: Optimizer,
  objective: TrainStepOptions["objective"],
  rngState: Rng["state"],
  what: string,
): OstinatoError {
  optimizer.zeroGrad();
  const trace = scope(() => traceNonFinite(objective(new Rng(rngState)).loss));
  optimizer.zeroGrad();
  return new OstinatoError("OST_NAN", {
    what: `the ${what} is not finite; no parameter was changed`,
    got: trace ? describeTrace(trace) : "a norm too large for float32",
    where: "training step",
    repair: "lower the learning rate or clipNorm, and check the input's range (ostinato inspect shows the scaler's statistics)",
  });
}

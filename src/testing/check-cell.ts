/** @file The conformance suite of the `Cell` seam: your own recurrence, run by `Recurrent`, has to obey the laws of every sequence model. */
import { type Rng, seed as seedRng } from "../core/rng.js";
import { defaultEngine, type Kernels } from "../kernels/index.js";
import { type Cell, Recurrent } from "../nn/index.js";
import { checkModelGradient, checkModelLaws } from "./check-model.js";

export interface CheckCellOptions {
  /** Where the laws other than the gradients are checked; default the process's engine. */
  engine?: Kernels;
  /** Seeds weights and inputs. Default 1. */
  seed?: number;
  /** See `CheckGradientOptions`. */
  step?: number;
  /** See `CheckGradientOptions`. */
  tolerance?: number;
}

/**
 * Holds a cell to: gradients by parameters, input and state equal finite differences; a sequence equals its steps and chunks bit for bit;
 * rows are independent; padding is never seen; the same seed gives the same bits.
 *
 * @param create makes the cell on the given engine, its weights drawn from the generator; called several times.
 * @throws Error naming the first law that does not hold.
 */
export function checkCell(create: (rng: Rng, engine: Kernels) => Cell, options: CheckCellOptions = {}): void {
  const { engine = defaultEngine(), seed = 1, step, tolerance } = options;
  const { inputSize } = create(seedRng(seed), engine);
  const model = (rng: Rng, on: Kernels) => new Recurrent(create(rng, on));
  checkModelGradient(model, { inputSize, seed }, { step, tolerance });
  checkModelLaws(model, { inputSize, engine, seed });
}

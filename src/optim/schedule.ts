/** @file Learning-rate schedules: a factor on the base rate, by step or by validation loss. */
import { OstinatoError } from "../core/errors.js";

export interface Schedule {
  /** Factor on the base learning rate at an optimizer step (0 is the first). */
  factor(step: number): number;
  /** Tells the schedule the validation loss at the end of an epoch. */
  observe(validationLoss: number): void;
  /** For checkpoints: JSON-safe. */
  state(): Record<string, number>;
  restore(state: Record<string, number>): void;
}

class Fixed implements Schedule {
  constructor(readonly factor: (step: number) => number) {}
  observe(): void {}
  state(): Record<string, number> {
    return {};
  }
  restore(): void {}
}

export function constant(): Schedule {
  return new Fixed(() => 1);
}

/** Linear from near 0 to 1 over `warmupSteps`, then half a cosine down to `floor` at `totalSteps` (Loshchilov & Hutter 2017). */
export function warmupCosine({
  warmupSteps = 0,
  totalSteps,
  floor = 0,
}: {
  warmupSteps?: number;
  totalSteps: number;
  floor?: number;
}): Schedule {
  if (!(totalSteps > 0))
    throw new OstinatoError("OST_RANGE", { what: "totalSteps is positive", got: String(totalSteps), where: "warmupCosine" });
  return new Fixed((step) => {
    if (step < warmupSteps) return (step + 1) / warmupSteps;
    const progress = Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));
    return floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * progress));
  });
}

/** Multiplies by `factor` every `every` steps. */
export function stepDecay({ every, factor = 0.5 }: { every: number; factor?: number }): Schedule {
  if (!(every > 0)) throw new OstinatoError("OST_RANGE", { what: "every is positive", got: String(every), where: "stepDecay" });
  return new Fixed((step) => factor ** Math.floor(step / every));
}

/** Multiplies by `factor` when more than `patience` epochs in a row bring no lower validation loss. */
export function plateau({ patience = 2, factor = 0.5 }: { patience?: number; factor?: number } = {}): Schedule {
  let best = Number.POSITIVE_INFINITY;
  let waited = 0;
  let current = 1;
  return {
    factor: () => current,
    observe(validationLoss) {
      if (validationLoss < best) {
        best = validationLoss;
        waited = 0;
      } else if (++waited > patience) {
        current *= factor;
        waited = 0;
      }
    },
    state: () => ({ best: Number.isFinite(best) ? best : Number.MAX_VALUE, waited, current }),
    restore(state) {
      ({ best, waited, current } = state as { best: number; waited: number; current: number });
    },
  };
}

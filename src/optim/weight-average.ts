/**
 * @file The average of a network's weights over its updates, which often generalises better than the last of them.
 *
 *     exponential:  a_t = decay a_(t-1) + (1 - decay) p_t, a_0 = 0;  the average is a_t / (1 - decay^t), as Adam corrects its moments
 *     uniform:      a_t = a_(t-1) + (p_t - a_(t-1)) / t              (Polyak & Juditsky 1992)
 *
 * Training goes on with the raw weights; the average only watches. It is kept in float64, so that small shares are not lost in rounding.
 */
import { OstinatoError } from "../core/errors.js";
import type { Parameter } from "../tensor/index.js";

export interface WeightAverageOptions {
  /** Share of the past in an exponential average, 0 < decay < 1. Absent: all updates from `start` on weigh the same. */
  decay?: number;
  /** Updates that are left out at the beginning, >= 0; default 0. Until then the average is the weights as they are. */
  start?: number;
}

/** For checkpoints: the number of updates seen, and the sums by parameter. */
export interface WeightAverageState {
  updates: number;
  arrays: Map<string, Float64Array>;
}

export class WeightAverage {
  readonly decay: number | undefined;
  readonly start: number;
  readonly #parameters: ReadonlyMap<string, Parameter>;
  readonly #sums: Map<string, Float64Array>;
  #updates = 0;

  /** @param parameters by their names. @throws OST_RANGE if an option lies outside its range. */
  constructor(parameters: ReadonlyMap<string, Parameter>, { decay, start = 0 }: WeightAverageOptions = {}) {
    const refuse = (what: string, expected: string, got: unknown) =>
      new OstinatoError("OST_RANGE", { what, expected, got: String(got), where: "averaging" });
    if (decay !== undefined && !(decay > 0 && decay < 1)) throw refuse("decay is a share", "0 < decay < 1", decay);
    if (!(Number.isInteger(start) && start >= 0)) throw refuse("start is a number of updates", "a whole number >= 0", start);
    this.decay = decay;
    this.start = start;
    this.#parameters = parameters;
    this.#sums = new Map([...parameters].map(([name, { size }]) => [name, new Float64Array(size)]));
  }

  /** Updates seen, those that were left out included. */
  get updates(): number {
    return this.#updates;
  }

  /** Takes the weights as they are after an update. */
  observe(): void {
    this.#updates++;
    const count = this.#updates - this.start;
    if (count <= 0) return;
    const share = this.decay === undefined ? 1 / count : 1 - this.decay;
    for (const [name, sums] of this.#sums) {
      const values = (this.#parameters.get(name) as Parameter).floats();
      for (let k = 0; k < sums.length; k++) sums[k] += share * (values[k] - sums[k]);
    }
  }

  /** The averaged weights by parameter, in the engine's float type; before `start` the weights as they are. */
  values(): Map<string, Float32Array | Float64Array> {
    const count = this.#updates - this.start;
    const correction = this.decay === undefined ? 1 : 1 - this.decay ** count;
    return new Map(
      [...this.#parameters].map(([name, parameter]) => {
        const values = parameter.floats().slice();
        const sums = this.#sums.get(name) as Float64Array;
        if (count > 0) for (let k = 0; k < sums.length; k++) values[k] = sums[k] / correction;
        return [name, values];
      }),
    );
  }

  /** Runs a synchronous function with the averaged weights in place; the raw ones are back afterwards, bit for bit. */
  within<T>(run: () => T): T {
    const raw = [...this.#parameters].map(([, parameter]) => ({ parameter, values: parameter.floats().slice() }));
    for (const [name, values] of this.values()) this.#parameters.get(name)?.assign(values);
    try {
      return run();
    } finally {
      for (const { parameter, values } of raw) parameter.assign(values);
    }
  }

  state(): WeightAverageState {
    return { updates: this.#updates, arrays: new Map([...this.#sums].map(([name, sums]) => [name, sums.slice()])) };
  }

  /** @throws OST_CHECKPOINT if the state belongs to other parameters; nothing is changed then. */
  restore({ updates, arrays }: { updates: number; arrays: ReadonlyMap<string, Float32Array | Float64Array> }): void {
    for (const [name, { length }] of this.#sums) {
      if (arrays.get(name)?.length === length) continue;
      throw new OstinatoError("OST_CHECKPOINT", {
        what: "the checkpoint's averaged weights belong to another run",
        expected: `${length} values for ${name}`,
        got: `${arrays.get(name)?.length ?? "none"}`,
        repair: "resume with the same train.averaging, or choose another --out",
      });
    }
    for (const [name, sums] of this.#sums) sums.set(arrays.get(name) as Float64Array);
    this.#updates = updates;
  }
}

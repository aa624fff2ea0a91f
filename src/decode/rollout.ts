/** @file Sample paths of a model of next values: each drawn value is read in its turn, many times over, and the paths' spread is the forecast's. */
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import { sortedQuantile } from "../core/sorted-quantile.js";
import { sequenceRng } from "./sequence-rng.js";
import { checkWhole } from "./step-scorer.js";

/**
 * One step of many paths: draws the next values of each from its state, with its own generator, and gives the state that has read them. It changes no
 * state that it was given, and a row depends on its own state and generator only.
 *
 * @returns `values` [rows, size].
 */
export type RolloutStep<S> = (states: readonly S[], rngs: readonly Rng[]) => { values: ArrayLike<number>; states: S[] };

export interface RolloutOptions<S> {
  /** The state behind the last value seen; all paths begin with it. */
  initial: S;
  /** >= 0 each. */
  paths: number;
  horizon: number;
  /** Values per step, >= 1. Default 1. */
  size?: number;
  /** Path i is drawn with the generator of {@link sequenceRng}(seed, first + i). */
  seed: number;
  /** Number of the first path, default 0: paths drawn in portions equal those drawn at once. */
  first?: number;
}

export interface Paths {
  /** [paths, horizon, size] */
  values: Float64Array;
  paths: number;
  horizon: number;
  size: number;
}

/**
 * Draws paths. A path depends on the seed and its number alone, not on how many are drawn with it.
 *
 * @throws OST_RANGE; OST_SHAPE if the step gives too few values; OST_NAN naming step and path, for a value that is not finite.
 */
export function rollout<S>(step: RolloutStep<S>, options: RolloutOptions<S>): Paths {
  const { initial, paths, horizon, size = 1, seed, first = 0 } = options;
  checkWhole("the number of paths", paths, { least: 0, where: WHERE });
  checkWhole("the horizon", horizon, { least: 0, where: WHERE });
  checkWhole("the number of values per step", size, { least: 1, where: WHERE });
  checkWhole("the number of the first path", first, { least: 0, where: WHERE });
  const values = new Float64Array(paths * horizon * size);
  const rngs = Array.from({ length: paths }, (_, path) => sequenceRng(seed, first + path));
  let states = rngs.map(() => initial);
  for (let t = 0; t < horizon && paths > 0; t++) {
    const drawn = step(states, rngs);
    if (drawn.values.length !== paths * size || drawn.states.length !== paths) {
      throw new OstinatoError("OST_SHAPE", {
        what: "a step gives values and one state for each path",
        expected: `[${paths}, ${size}] and ${paths} states`,
        got: `${drawn.values.length} numbers and ${drawn.states.length} states`,
        where: `${WHERE}, step ${t + 1}`,
      });
    }
    for (let path = 0; path < paths; path++) {
      for (let k = 0; k < size; k++) {
        const value = drawn.values[path * size + k];
        if (!Number.isFinite(value)) throw diverged(value, `${WHERE}, step ${t + 1}, path ${first + path + 1}`);
        values[(path * horizon + t) * size + k] = value;
      }
    }
    states = drawn.states;
  }
  return { values, paths, horizon, size };
}

const WHERE = "rollout";

function diverged(value: number, where: string): OstinatoError {
  return new OstinatoError("OST_NAN", {
    what: "a path left the finite numbers",
    expected: "finite values",
    got: String(value),
    where,
    repair: "shorten the horizon, or train with rollouts of several steps so that the model stays stable on its own values",
  });
}

/**
 * Quantiles over paths at each step, with linear interpolation between order statistics (Hyndman & Fan 1996, type 7).
 *
 * @param levels in 0 .. 1.
 * @returns [horizon, size, levels]
 * @throws OST_RANGE for a level outside, and for no paths.
 */
export function pathQuantiles({ values, paths, horizon, size }: Paths, levels: readonly number[]): Float64Array {
  const where = "pathQuantiles";
  checkWhole("the number of paths", paths, { least: 1, where });
  for (const level of levels) {
    if (level >= 0 && level <= 1) continue;
    throw new OstinatoError("OST_RANGE", { what: "a level does not fit", expected: "0 .. 1", got: String(level), where });
  }
  const quantiles = new Float64Array(horizon * size * levels.length);
  const column = new Float64Array(paths);
  for (let at = 0; at < horizon * size; at++) {
    for (let path = 0; path < paths; path++) column[path] = values[path * horizon * size + at];
    column.sort();
    levels.forEach((level, q) => {
      quantiles[at * levels.length + q] = sortedQuantile(column, level);
    });
  }
  return quantiles;
}

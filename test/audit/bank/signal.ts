/**
 * @file Seeded signals the bank is made of: their shape is known, so that what an audit should find in them is known too.
 */
import type { Rng } from "../../../src/core/rng.js";

/** Cells of a table, by column; "" is missing. */
export type Cells = Record<string, (string | number)[]>;

export const HOUR = 3_600_000;

/** ISO times in UTC, `stepMs` apart. */
export function times(count: number, stepMs = HOUR, from = Date.UTC(2021, 1, 1)): string[] {
  return Array.from({ length: count }, (_, i) => new Date(from + i * stepMs).toISOString());
}

export function made(count: number, value: (i: number) => number): number[] {
  return Array.from({ length: count }, (_, i) => value(i));
}

export function noise(rng: Rng, count: number, scale = 1): number[] {
  return made(count, () => scale * rng.normal());
}

export function walk(rng: Rng, count: number, step = 1): number[] {
  let level = 0;
  return made(count, () => (level += step * rng.normal()));
}

/** An autoregressive process of order 1 with unit variance. */
export function autoregressive(rng: Rng, count: number, memory: number): number[] {
  const shock = Math.sqrt(1 - memory * memory);
  let level = rng.normal();
  return made(count, () => (level = memory * level + shock * rng.normal()));
}

/** A daily cycle over a slow autoregressive level, with white noise on top: the ordinary load curve. */
export function seasonal(rng: Rng, count: number, { period = 24, cycle = 2, level = 1, white = 0.5 } = {}): number[] {
  const slow = autoregressive(rng, count, 0.98);
  const phase = rng.uniform(0, 2 * Math.PI);
  return made(count, (i) => 20 + cycle * Math.sin((2 * Math.PI * i) / period + phase) + level * slow[i] + white * rng.normal());
}

/** Student's t with 3 degrees of freedom, by its definition. */
export function heavyTailed(rng: Rng, count: number): number[] {
  return made(count, () => rng.normal() / Math.sqrt((rng.normal() ** 2 + rng.normal() ** 2 + rng.normal() ** 2) / 3));
}

/** A Markov chain over 0 .. states - 1 that leaves its state with probability 1 / stay. */
export function states(rng: Rng, count: number, { states: size, stay }: { states: number; stay: number }): number[] {
  let state = rng.integer(size);
  return made(count, () => {
    if (rng.uniform() < 1 / stay) state = (state + 1 + rng.integer(size - 1)) % size;
    return state;
  });
}

/** The same values, of which a share in runs of the given length are missing. */
export function withGaps(rng: Rng, values: readonly number[], share: number, run: number): (number | string)[] {
  const cells: (number | string)[] = [...values];
  for (let i = 1; i < cells.length - run; i++) {
    if (rng.uniform() >= share / run) continue;
    for (let k = 0; k < run; k++) cells[i + k] = "";
    i += 3 * run;
  }
  return cells;
}

/**
 * @file The shape of a preprocessing transform, and the rows it works on.
 *
 * A transform is frozen when it is made: what it needs to know of the data was fitted on training rows before. Its only memory is its
 * slice of one Float64Array, so that a session's preprocessing is cloned by `slice` and saved as bytes.
 *
 * Law: the first columns of every stage are the features in their order; a transform may append columns behind them, never before.
 */
import { OstinatoError } from "../core/errors.js";
import type { Row } from "./record.js";

/** A transform's frozen description, which travels inside the model file. */
export type FrozenTransform = { transform: string } & Record<string, unknown>;

export interface Transform {
  readonly name: string;
  /** Rows after the current one that the result depends on: 0 for a causal transform. */
  readonly lookAhead: number;
  /** Numbers of state. */
  readonly stateSize: number;
  /** Names of the columns it puts out. */
  readonly outputs: readonly string[];
  /** Writes the state of a fresh series at `state[at .. at + stateSize)`. */
  initialize(state: Float64Array, at: number): void;
  /** Takes one row, which it may change and hand on, and puts out the rows that are complete now: one, but for a change of grid. */
  push(row: Row, state: Float64Array, at: number): Row[];
  /** A transform that looks ahead works on a whole series instead. `part`, if given, is the part of each row (see split.ts). */
  whole?(rows: Rows, part: Uint8Array | null): Rows;
  toJSON(): FrozenTransform;
}

/** Rows of one series. Time in ms, strictly increasing; values [count, width]. */
export interface Rows {
  count: number;
  width: number;
  time: Float64Array;
  values: Float64Array;
}

/** What statistics are fitted on: runs of consecutive training rows, nothing else. */
export interface TrainingRows {
  runs: Rows[];
  /** Per run, 1 where the feature was observed and not filled in. [count, features] each */
  observed: Uint8Array[];
  /** Number of feature columns. */
  features: number;
}

/** All observed values of one feature column, in the order of the rows. */
export function observedValues({ runs, observed, features }: TrainingRows, column: number): Float64Array {
  const values: number[] = [];
  runs.forEach(({ count, width, values: source }, r) => {
    for (let i = 0; i < count; i++) if (observed[r][i * features + column]) values.push(source[i * width + column]);
  });
  return Float64Array.from(values);
}

/** Pushes the rows of a series through one transform, from its initial state. `where` names row i in a message. */
export function runTransform(transform: Transform, rows: Rows, part: Uint8Array | null, where?: (i: number) => string): Rows {
  if (transform.whole) return transform.whole(rows, part);
  const state = new Float64Array(transform.stateSize);
  transform.initialize(state, 0);
  const width = transform.outputs.length;
  let values = new Float64Array(rows.count * width);
  let time = new Float64Array(rows.count);
  let count = 0;
  for (let i = 0; i < rows.count; i++) {
    const row = { time: rows.time[i], values: rows.values.slice(i * rows.width, (i + 1) * rows.width) };
    const out = located(() => transform.push(row, state, 0), where && (() => where(i)));
    if (count + out.length > time.length) {
      const room = 2 * (count + out.length);
      const grown = new Float64Array(room * width);
      grown.set(values);
      values = grown;
      const grownTime = new Float64Array(room);
      grownTime.set(time);
      time = grownTime;
    }
    for (const made of out) {
      values.set(made.values, count * width);
      time[count++] = made.time;
    }
  }
  return { count, width, time: time.subarray(0, count), values: values.subarray(0, count * width) };
}

/** Runs `action`; an error without a place gets one. */
export function located<T>(action: () => T, where: (() => string) | undefined): T {
  try {
    return action();
  } catch (error) {
    if (!where || !(error instanceof OstinatoError) || error.detail.where) throw error;
    throw new OstinatoError(error.code, { ...error.detail, where: where() }, { cause: error });
  }
}

/** -0 becomes 0. JSON loses the sign of zero, so a frozen number must not have one: it would change a bit when read again. */
export function unsigned(value: number): number {
  return value + 0;
}

/** Reads frozen JSON, which may come from anyone: everything is checked. */
export const frozen = {
  fail(where: string, expected: string, got: unknown): never {
    throw new OstinatoError("OST_MODEL_FILE", {
      what: "the frozen preprocessing is malformed",
      expected,
      got: (JSON.stringify(got) ?? "nothing").slice(0, 80),
      where,
      repair: "the file was written by something else, or damaged: train or export it again",
    });
  },
  object(value: unknown, where: string): Record<string, unknown> {
    if (value === null || typeof value !== "object" || Array.isArray(value)) return frozen.fail(where, "an object", value);
    return value as Record<string, unknown>;
  },
  list(value: unknown, where: string): unknown[] {
    return Array.isArray(value) ? value : frozen.fail(where, "a list", value);
  },
  texts(value: unknown, where: string): string[] {
    const list = frozen.list(value, where);
    return list.every((item) => typeof item === "string") ? (list as string[]) : frozen.fail(where, "a list of texts", value);
  },
  /** Names that are all among `known`, none twice. */
  names(value: unknown, known: readonly string[], where: string): string[] {
    const names = frozen.texts(value, where);
    const fits = names.every((name, i) => known.includes(name) && names.indexOf(name) === i);
    return fits ? names : frozen.fail(where, `distinct names among ${known.join(", ")}`, value);
  },
  number(value: unknown, where: string, { min = -Number.MAX_VALUE, max = Number.MAX_VALUE } = {}): number {
    if (typeof value === "number" && value >= min && value <= max) return value;
    return frozen.fail(where, `a number from ${min} to ${max}`, value);
  },
  numbers(value: unknown, length: number, where: string, range?: { min?: number; max?: number }): number[] {
    const list = frozen.list(value, where);
    if (list.length !== length) return frozen.fail(where, `${length} numbers`, value);
    return list.map((item) => frozen.number(item, where, range));
  },
  boolean(value: unknown, where: string): boolean {
    return typeof value === "boolean" ? value : frozen.fail(where, "true or false", value);
  },
  choice<T extends string>(value: unknown, choices: readonly T[], where: string): T {
    return choices.includes(value as T) ? (value as T) : frozen.fail(where, `one of ${choices.join(", ")}`, value);
  },
};

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
  /** True where it hands every row on as it is, as one of features does without any. */
  readonly identity?: boolean;
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
  /** The series they belong to, where that is known. */
  entity?: string;
}

/** Consecutive training rows. `first`: they begin a run, so that all memory starts afresh; else they go on where the block before ended. */
export interface TrainingBlock extends Rows {
  first: boolean;
  /** 1 where the feature was observed and not filled in. [count, features] */
  observed: Uint8Array;
}

/** What statistics are fitted on: runs of consecutive training rows, nothing else. */
export interface TrainingRows {
  /** Called afresh for every pass. */
  blocks(): Iterable<TrainingBlock>;
  /** Number of feature columns. */
  features: number;
}

/** Tells all observed values of the columns, in the order of the rows, as often as it is called. */
export type ValueScan = (visit: (column: number, value: number) => void) => void;

/** The observed values of the feature columns. */
export function observedValues({ blocks, features }: TrainingRows): ValueScan {
  return (visit) => {
    for (const { count, width, values, observed } of blocks()) {
      for (let i = 0; i < count; i++) {
        for (let c = 0; c < features; c++) if (observed[i * features + c]) visit(c, values[i * width + c]);
      }
    }
  };
}

/** The training rows as they are behind a transform that puts out a row per row. */
export function transformed(training: TrainingRows, transform: Transform): TrainingRows {
  return {
    features: training.features,
    *blocks() {
      const run = new TransformRun(transform);
      for (const { first, observed, ...rows } of training.blocks()) {
        if (first) run.restart();
        yield { ...run.push(rows), first, observed };
      }
    },
  };
}

/** A transform on its way through a series, from its initial state, block by block. */
export class TransformRun {
  readonly #state: Float64Array;

  constructor(readonly transform: Transform) {
    this.#state = new Float64Array(transform.stateSize);
    this.restart();
  }

  /** Forgets everything: what is pushed next begins a series. */
  restart(): void {
    this.transform.initialize(this.#state, 0);
  }

  /**
   * The rows that are complete after these. A transform that looks ahead takes a whole series at once.
   *
   * @param options `part`: the part of each row. `where` names row i in a message.
   */
  push(rows: Rows, { part = null, where }: { part?: Uint8Array | null; where?: (i: number) => string } = {}): Rows {
    const { transform } = this;
    if (transform.identity) return rows;
    if (transform.whole) return transform.whole(rows, part);
    const { entity } = rows;
    const width = transform.outputs.length;
    let values = new Float64Array(rows.count * width);
    let time = new Float64Array(rows.count);
    let count = 0;
    let at = 0;
    const pushed = () =>
      transform.push(
        { time: rows.time[at], values: rows.values.slice(at * rows.width, (at + 1) * rows.width), entity },
        this.#state,
        0,
      );
    const place = where && (() => where(at));
    for (; at < rows.count; at++) {
      const out = located(pushed, place);
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
    return { count, width, time: time.subarray(0, count), values: values.subarray(0, count * width), entity };
  }
}

/** Pushes the rows of a series through one transform, from its initial state. `where` names row i in a message. */
export function runTransform(transform: Transform, rows: Rows, part: Uint8Array | null, where?: (i: number) => string): Rows {
  return new TransformRun(transform).push(rows, { part, where });
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

/**
 * @file Counters and flags of what a series has shown so far.
 *
 *     <column>.count         of a column of codes: log(1 + rows before this one with this row's code)
 *     <column>.seen=<name>   of a column of codes: 1 from the first row with that code on, that row included
 *     <column>.count         of a column of numbers: log(1 + rows up to and including this one whose value is neither 0 nor missing)
 *
 * A code outside 0 .. size - 1 is not counted and has count 0. Numbers are counted as they reach this transform: place it before they are
 * scaled, or zero is zero no more.
 *
 * State: per column of codes one count per code, then one count per column of numbers.
 */
import { OstinatoError } from "../../core/errors.js";
import type { Row } from "../record.js";
import { type FrozenTransform, frozen, type Transform } from "../transform.js";
import { appendedNames, appendedRow, placeOf } from "./appended.js";

/** A column of codes to count. */
export interface CountedCodes {
  column: string;
  /** Codes are 0 .. size - 1; all sizes together at most 65,536, for so many numbers are kept per stream. */
  size: number;
  /** Codes that get a flag, and the name of each; default none. */
  seen?: readonly { code: number; name: string }[];
}

export interface RunningCountOptions {
  codes?: readonly CountedCodes[];
  /** Columns of numbers. */
  numbers?: readonly string[];
}

/** The most counts one stream keeps. */
const MOST_COUNTS = 65_536;

export class RunningCount implements Transform {
  readonly name = "runningCount";
  readonly lookAhead = 0;
  readonly stateSize: number;
  readonly outputs: readonly string[];
  readonly codes: readonly Required<CountedCodes>[];
  readonly numbers: readonly string[];
  readonly #added: number;
  /** Per column of codes its place in the row, and where its counts begin. */
  readonly #codesAt: readonly { column: number; counts: number }[];
  readonly #numbersAt: readonly number[];

  /**
   * @throws OST_COLUMN if a column is not there, is counted twice, or one of the new names is taken.
   * @throws OST_RANGE  if a size or a flagged code lies outside its range.
   */
  constructor(inputs: readonly string[], { codes = [], numbers = [] }: RunningCountOptions) {
    this.codes = codes.map(({ column, size, seen = [] }) => ({ column, size, seen: seen.map((flag) => ({ ...flag })) }));
    this.numbers = [...numbers];
    let counts = 0;
    this.#codesAt = this.codes.map(({ column, size, seen }) => {
      checkSize(column, size, seen);
      counts += size;
      return { column: placeOf(column, inputs, "runningCount.codes"), counts: counts - size };
    });
    this.#numbersAt = this.numbers.map((column) => placeOf(column, inputs, "runningCount.numbers"));
    if (counts > MOST_COUNTS) {
      throw new OstinatoError("OST_RANGE", {
        what: "too many codes to count",
        expected: `at most ${MOST_COUNTS} codes in all columns together`,
        got: String(counts),
        where: "runningCount.codes",
        repair: "count the columns with fewer codes only",
      });
    }
    this.stateSize = counts + this.numbers.length;
    const added = [
      ...this.codes.flatMap(({ column, seen }) => [`${column}.count`, ...seen.map(({ name }) => `${column}.seen=${name}`)]),
      ...this.numbers.map((column) => `${column}.count`),
    ];
    this.#added = added.length;
    this.outputs = appendedNames(inputs, added, "runningCount");
  }

  /** @throws OST_MODEL_FILE if the JSON is not what `toJSON` writes. */
  static fromJSON(json: Record<string, unknown>, inputs: readonly string[]): RunningCount {
    let left = MOST_COUNTS;
    const read = frozen.list(json.codes, "runningCount.codes").map((item) => {
      const { column, size, seen } = frozen.object(item, "runningCount.codes");
      const codes = Math.floor(frozen.number(size, "runningCount.codes.size", { min: 1, max: left }));
      left -= codes;
      const flags = frozen.list(seen, "runningCount.codes.seen").map((flag) => {
        const { code, name } = frozen.object(flag, "runningCount.codes.seen");
        return {
          code: Math.floor(frozen.number(code, "runningCount.codes.seen.code", { min: 0, max: codes - 1 })),
          name: frozen.texts([name], "runningCount.codes.seen.name")[0],
        };
      });
      return { column: frozen.texts([column], "runningCount.codes.column")[0], size: codes, seen: flags };
    });
    const columns = read.map(({ column }) => column);
    frozen.names(columns, inputs, "runningCount.codes");
    return new RunningCount(inputs, { codes: read, numbers: frozen.names(json.numbers, inputs, "runningCount.numbers") });
  }

  toJSON(): FrozenTransform {
    return {
      transform: this.name,
      codes: this.codes.map(({ column, size, seen }) => ({ column, size, seen: seen.map((flag) => ({ ...flag })) })),
      numbers: [...this.numbers],
    };
  }

  initialize(state: Float64Array, at: number): void {
    state.fill(0, at, at + this.stateSize);
  }

  push(row: Row, state: Float64Array, at: number): Row[] {
    const made = appendedRow(row, this.#added);
    let next = row.values.length;
    for (let k = 0; k < this.codes.length; k++) {
      const { size, seen } = this.codes[k];
      const { column, counts } = this.#codesAt[k];
      const code = row.values[column];
      const counted = Number.isInteger(code) && code >= 0 && code < size;
      made.values[next++] = counted ? Math.log1p(state[at + counts + code]++) : 0;
      for (const flag of seen) made.values[next++] = state[at + counts + flag.code] > 0 ? 1 : 0;
    }
    const first = at + this.stateSize - this.numbers.length;
    for (let k = 0; k < this.numbers.length; k++) {
      const value = row.values[this.#numbersAt[k]];
      if (value !== 0 && !Number.isNaN(value)) state[first + k]++;
      made.values[next++] = Math.log1p(state[first + k]);
    }
    return [made];
  }
}

function checkSize(column: string, size: number, seen: readonly { code: number }[]): void {
  const wrong = seen.find(({ code }) => !(Number.isInteger(code) && code >= 0 && code < size));
  if (Number.isInteger(size) && size >= 1 && !wrong) return;
  throw new OstinatoError("OST_RANGE", {
    what: `the codes of "${column}" cannot be counted so`,
    expected: "a size of at least 1, and flagged codes below it",
    got: JSON.stringify({ size, code: wrong?.code }),
    where: "runningCount.codes",
  });
}

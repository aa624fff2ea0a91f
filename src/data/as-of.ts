/**
 * @file Brings sources of different clocks together: to each row the latest value of another source known at its time, never a later one.
 *
 * `AsOf` is the one code for files and streams. It holds, per key, the values of the two latest distinct times, which answers exactly
 * every lookup that is not older than the older of them; an older one is an error and not a guess.
 */
import { OstinatoError } from "../core/errors.js";
import { timeName } from "./cell.js";
import { type Column, columnOf, rowName, type Table, textsOf, timesOf } from "./table.js";

export interface AsOfOptions {
  /** The oldest age that still counts, in ms; default any. */
  toleranceMs?: number;
  /** Whether a value of the very time of the lookup counts. Default true. */
  allowExact?: boolean;
}

/** A value and the time it is from, in ms. */
export interface Dated<V> {
  time: number;
  value: V;
}

interface Memory<V> {
  latest: Dated<V>;
  /** The latest before it. */
  before: Dated<V> | null;
  /** Whether anything older was forgotten. */
  forgot: boolean;
}

/** The latest value of each key, as of a time. Bounded: two values per key. */
export class AsOf<V> {
  readonly toleranceMs: number;
  readonly allowExact: boolean;
  readonly #memory = new Map<string, Memory<V>>();

  /** @throws OST_RANGE if the tolerance is negative. */
  constructor({ toleranceMs = Number.POSITIVE_INFINITY, allowExact = true }: AsOfOptions = {}) {
    if (!(toleranceMs >= 0)) {
      throw new OstinatoError("OST_RANGE", {
        what: "the tolerance is no duration",
        expected: "milliseconds >= 0",
        got: String(toleranceMs),
        where: "toleranceMs",
      });
    }
    this.toleranceMs = toleranceMs;
    this.allowExact = allowExact;
  }

  /** Takes a value. Of two at one time the later taken stays; one that comes late takes its place among the older ones. */
  update(key: string, time: number, value: V): void {
    checkTime(time, "update");
    const memory = this.#memory.get(key);
    if (!memory) this.#memory.set(key, { latest: { time, value }, before: null, forgot: false });
    else if (time > memory.latest.time) {
      memory.forgot ||= memory.before !== null;
      memory.before = memory.latest;
      memory.latest = { time, value };
    } else if (time === memory.latest.time) memory.latest = { time, value };
    else if (!memory.before || time >= memory.before.time) {
      memory.forgot ||= memory.before !== null && time > memory.before.time;
      memory.before = { time, value };
    } else memory.forgot = true;
  }

  /**
   * The latest value at or before `time` (before it, unless `allowExact`), or null where there is none or it is older than the tolerance.
   *
   * @throws OST_ORDER if the answer may be among what was forgotten.
   */
  lookup(key: string, time: number): Dated<V> | null {
    checkTime(time, "lookup");
    const memory = this.#memory.get(key);
    if (!memory) return null;
    const known = (dated: Dated<V> | null) => dated !== null && (this.allowExact ? dated.time <= time : dated.time < time);
    const found = known(memory.latest) ? memory.latest : known(memory.before) ? memory.before : null;
    if (found) return time - found.time <= this.toleranceMs ? found : null;
    if (!memory.forgot) return null;
    throw new OstinatoError("OST_ORDER", {
      what: `a lookup of "${key}" reaches back behind what is remembered`,
      expected: `a time after ${timeName((memory.before ?? memory.latest).time)}`,
      got: timeName(time),
      where: "AsOf.lookup",
      repair: "push updates and lookups in the order of their times",
    });
  }
}

function checkTime(time: number, where: string): void {
  if (Number.isFinite(time)) return;
  throw new OstinatoError("OST_VALUE", {
    what: "not a time",
    expected: "milliseconds since 1970 UTC",
    got: String(time),
    where: `AsOf.${where}`,
  });
}

export interface AsOfJoinOptions extends AsOfOptions {
  /** Column of times of the left table, and of the right one unless `rightTime` names another. */
  time: string;
  rightTime?: string;
  /** Column whose text must be equal on both sides, or none: every right row is for every left row. An empty key matches nothing. */
  by?: string;
  /** Its name in the right table. Default `by`. */
  rightBy?: string;
  /** Columns of the right table to take; default all but its time and key. */
  columns?: readonly string[];
  /** Put before the names of the columns taken. Default "". */
  prefix?: string;
  /** Adds `<prefix>age`, the age of the value in seconds. Default false. */
  age?: boolean;
}

/**
 * The left table with, in each row, the columns of the latest right row at or before its time; missing where there is none within the
 * tolerance. Neither table need be sorted; of right rows of one key and time the last in the table counts. Left rows keep their order.
 *
 * Keys are compared as text: read numeric key columns with their texts kept, so that "007" is not 7 and long numbers stay distinct.
 *
 * @throws OST_COLUMN if a column is not there, or a name would occur twice.
 * @throws OST_VALUE  if a time cannot be read, or a numeric key has lost digits.
 * @throws OST_RANGE  if the tolerance is negative.
 */
export function asOfJoin(left: Table, right: Table, options: AsOfJoinOptions): Table {
  const { time, rightTime = time, by, rightBy = by, prefix = "", age = false } = options;
  const names = options.columns ?? right.columns.map(({ name }) => name).filter((name) => name !== rightTime && name !== rightBy);
  checkNames(left, right, [...names.map((name) => prefix + name), ...(age ? [`${prefix}age`] : [])]);
  const at = { left: timesOf(left, time), right: timesOf(right, rightTime) };
  const keys = {
    left: by === undefined ? null : keysOf(left, by),
    right: by === undefined ? null : keysOf(right, rightBy!),
  };
  const source = names.map((name) => columnOf(right, name, "as-of join"));
  const taken = new Int32Array(left.rows).fill(-1);
  const ages = new Float64Array(age ? left.rows : 0).fill(Number.NaN);

  const asOf = new AsOf<number>(options);
  const updates = byTime(at.right);
  let next = 0;
  for (const row of byTime(at.left)) {
    for (; next < updates.length && at.right[updates[next]] <= at.left[row]; next++) {
      const update = updates[next];
      if (keys.right?.[update] !== "") asOf.update(keys.right?.[update] ?? "", at.right[update], update);
    }
    const found = asOf.lookup(keys.left?.[row] ?? "", at.left[row]);
    if (!found) continue;
    taken[row] = found.value;
    if (age) ages[row] = (at.left[row] - found.time) / 1000;
  }
  return {
    ...left,
    columns: [
      ...left.columns,
      ...source.map((column) => taking(column, taken, prefix + column.name)),
      ...(age ? [{ name: `${prefix}age`, numbers: ages, texts: null }] : []),
    ],
  };
}

/** Rows by time; those of one time in their order in the table. */
function byTime(times: Float64Array): Int32Array {
  const order = Int32Array.from(times, (_, i) => i);
  for (let i = 1; i < times.length; i++) {
    if (times[i] < times[i - 1]) return order.sort((a, b) => times[a] - times[b] || a - b);
  }
  return order;
}

function keysOf(table: Table, name: string): string[] {
  const { numbers, texts } = columnOf(table, name, "key");
  const lost = texts ? -1 : numbers!.findIndex((value) => Math.abs(value) > Number.MAX_SAFE_INTEGER);
  if (lost < 0) return textsOf(table, name, "key");
  throw new OstinatoError("OST_VALUE", {
    what: `the key "${name}" was read as a number and has lost digits`,
    expected: "keys as text, or numbers up to 2^53",
    got: String(numbers![lost]),
    where: rowName(table, lost + 1),
    repair: `keep the texts of "${name}" when the table is read`,
  });
}

function taking(column: Column, rows: Int32Array, name: string): Column {
  const { numbers, texts } = column;
  return {
    ...column,
    name,
    numbers: numbers && Float64Array.from(rows, (row) => (row < 0 ? Number.NaN : numbers[row])),
    texts: texts && Array.from(rows, (row) => (row < 0 ? "" : texts[row])),
  };
}

function checkNames(left: Table, right: Table, names: readonly string[]): void {
  const own = left.columns.map(({ name }) => name);
  const twice = names.find((name, i) => own.includes(name) || names.indexOf(name) !== i);
  if (twice === undefined) return;
  throw new OstinatoError("OST_COLUMN", {
    what: "a column of the joined table would have the name of another",
    expected: `names that ${left.source} does not have`,
    got: `"${twice}"`,
    where: right.source,
    repair: 'choose another prefix, such as prefix: "weather."',
  });
}

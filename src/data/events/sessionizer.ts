/**
 * @file Cuts a stream of events into sessions: by key, by idle gap within a key, by a largest number of steps, or all three.
 *
 * The n-th session of key k, counted from 0, is called `k#n`. No two sessions share a name whatever the keys hold: what stands before the
 * last "#" is the key.
 *
 * A session of a key ends where a row of that key comes more than `idleMs` after the latest one, or where it has `maxSteps` rows. Memory is
 * bounded: of more than `maxKeys` keys the one whose last row lies furthest back in the order of pushing is forgotten. Should it come
 * again, it begins a new session, whose number is above every number a forgotten key had, so that no name is used twice. `forgotten`
 * counts them; while it is 0, no session was cut for want of memory.
 *
 * A file is pushed row by row like a stream, so both have the same sessions.
 */
import { OstinatoError } from "../../core/errors.js";
import { frozen } from "../transform.js";

export interface SessionizerOptions {
  /** Silence in ms that ends a session, >= 0: a gap of exactly `idleMs` does not. Default null: no silence does. */
  idleMs?: number | null;
  /** Most rows of a session, >= 1; default null: no limit. */
  maxSteps?: number | null;
  /** Most keys remembered at a time, 1 .. 10,000,000; default 1,000,000. */
  maxKeys?: number;
}

export interface SessionRow {
  /** Name of the session. */
  session: string;
  /** True for the first row of a session. */
  starts: boolean;
}

/** What is known of a key: the number of its session, the rows in it, and the latest time (-Infinity before any). */
interface OpenSession {
  number: number;
  steps: number;
  time: number;
}

/**
 * Whether a session is over before a row that comes `sinceMs` after its latest one, in files and streams alike.
 *
 * @param session its rows so far, and the time since the latest; NaN where rows have no time.
 */
export function sessionEnds(
  { idleMs, maxSteps }: Pick<SessionizerOptions, "idleMs" | "maxSteps">,
  { steps, sinceMs }: { steps: number; sinceMs: number },
): boolean {
  return (typeof maxSteps === "number" && steps >= maxSteps) || (typeof idleMs === "number" && sinceMs > idleMs);
}

const DEFAULT_KEYS = 1_000_000;
const MOST_KEYS = 10_000_000;

export class Sessionizer {
  readonly idleMs: number | null;
  readonly maxSteps: number | null;
  readonly maxKeys: number;
  /** In order of their last rows: the first is the next to be forgotten. */
  readonly #open = new Map<string, OpenSession>();
  /** The number of a new key's first session: above those of all forgotten keys. */
  #firstNumber = 0;
  #forgotten = 0;

  /** @throws OST_RANGE if an option lies outside its range. */
  constructor({ idleMs = null, maxSteps = null, maxKeys = DEFAULT_KEYS }: SessionizerOptions = {}) {
    const fits =
      (idleMs === null || (Number.isFinite(idleMs) && idleMs >= 0)) &&
      (maxSteps === null || (Number.isSafeInteger(maxSteps) && maxSteps >= 1)) &&
      Number.isInteger(maxKeys) &&
      maxKeys >= 1 &&
      maxKeys <= MOST_KEYS;
    if (!fits) {
      throw new OstinatoError("OST_RANGE", {
        what: "sessions cannot be cut so",
        expected: `idleMs >= 0 or null, maxSteps a whole number from 1 or null, maxKeys from 1 to ${MOST_KEYS}`,
        got: JSON.stringify({ idleMs, maxSteps, maxKeys }),
        where: "sessions",
      });
    }
    this.idleMs = idleMs;
    this.maxSteps = maxSteps;
    this.maxKeys = maxKeys;
  }

  /** Keys that were forgotten for want of room. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /**
   * Takes the next row.
   *
   * @param key    what tells streams apart; see {@link sessionKey}.
   * @param timeMs milliseconds; read only with `idleMs`. A time that goes back ends no session.
   * @throws OST_RECORD if `idleMs` is set and the time is NaN.
   */
  push(key: string, timeMs: number): SessionRow {
    if (this.idleMs !== null && Number.isNaN(timeMs)) {
      throw new OstinatoError("OST_RECORD", {
        what: "a row without a time cannot be put into a session",
        expected: "a time in every row, since an idle gap ends a session",
        got: "none",
        repair: "fill in the time, or cut sessions by key only",
      });
    }
    let open = this.#open.get(key);
    const starts = !open || sessionEnds(this, { steps: open.steps, sinceMs: timeMs - open.time });
    if (!open) {
      open = { number: this.#firstNumber, steps: 0, time: Number.NEGATIVE_INFINITY };
    } else {
      this.#open.delete(key);
      if (starts) open = { number: open.number + 1, steps: 0, time: Number.NEGATIVE_INFINITY };
    }
    open.steps++;
    if (timeMs > open.time) open.time = timeMs;
    this.#open.set(key, open);
    if (this.#open.size > this.maxKeys) this.#forget();
    return { session: `${key}#${open.number}`, starts };
  }

  #forget(): void {
    const [[key, { number }]] = this.#open;
    this.#open.delete(key);
    this.#firstNumber = Math.max(this.#firstNumber, number + 1);
    this.#forgotten++;
  }

  /** All it knows, as JSON: a stream goes on from it where it left off. */
  toJSON() {
    return {
      idleMs: this.idleMs,
      maxSteps: this.maxSteps,
      maxKeys: this.maxKeys,
      firstNumber: this.#firstNumber,
      forgotten: this.#forgotten,
      open: [...this.#open].map(([key, { number, steps, time }]) => ({
        key,
        number,
        steps,
        time: time === Number.NEGATIVE_INFINITY ? null : time,
      })),
    };
  }

  /** @throws OST_MODEL_FILE if the JSON is not what `toJSON` writes. */
  static fromJSON(json: unknown): Sessionizer {
    const read = frozen.object(json, "sessions");
    const whole = (value: unknown, where: string, min: number, max = Number.MAX_SAFE_INTEGER) =>
      Math.floor(frozen.number(value, `sessions.${where}`, { min, max }));
    const made = new Sessionizer({
      idleMs: read.idleMs === null ? null : frozen.number(read.idleMs, "sessions.idleMs", { min: 0 }),
      maxSteps: read.maxSteps === null ? null : whole(read.maxSteps, "maxSteps", 1),
      maxKeys: whole(read.maxKeys, "maxKeys", 1, MOST_KEYS),
    });
    made.#firstNumber = whole(read.firstNumber, "firstNumber", 0);
    made.#forgotten = whole(read.forgotten, "forgotten", 0);
    const list = frozen.list(read.open, "sessions.open");
    if (list.length > made.maxKeys) frozen.fail("sessions.open", `at most ${made.maxKeys} keys`, list.length);
    for (const item of list) {
      const { key, number, steps, time } = frozen.object(item, "sessions.open");
      const [name] = frozen.texts([key], "sessions.open.key");
      if (made.#open.has(name)) frozen.fail("sessions.open.key", "each key once", name);
      made.#open.set(name, {
        number: whole(number, "open.number", 0),
        steps: whole(steps, "open.steps", 1),
        time: time === null ? Number.NEGATIVE_INFINITY : frozen.number(time, "sessions.open.time"),
      });
    }
    return made;
  }
}

/** The key of several cells: one cell is its own key; of more, no two different lists of the same length have the same key. */
export function sessionKey(cells: readonly string[]): string {
  if (cells.length === 1) return cells[0];
  return cells.map((cell) => cell.replace(/[\\|]/g, "\\$&")).join("|");
}

export interface SessionRows {
  rows: number;
  /** The cells of each key column, [rows] each; without a key column all rows have the key "all". */
  keys: readonly ArrayLike<string>[];
  /** Milliseconds, [rows]; needed with `idleMs` only. */
  time: ArrayLike<number> | null;
}

export interface SessionColumns {
  /** Name of each row's session. [rows] */
  session: string[];
  /** 1 in the first row of a session. [rows] */
  starts: Uint8Array;
  /** Number of sessions. */
  sessions: number;
  /** Keys forgotten for want of room; above 0, some sessions were cut for that. */
  forgotten: number;
}

/**
 * The session of every row of a table, in its order, as pushing its rows one by one gives it.
 *
 * @param where names row i (from 0) in a message.
 * @throws OST_MISSING if a row lacks a key.
 * @throws OST_CONFIG  if `idleMs` is set and there are no times.
 * @throws OST_RECORD  if `idleMs` is set and a row has no time.
 */
export function sessionize(
  { rows, keys, time }: SessionRows,
  options: SessionizerOptions,
  where: (i: number) => string = (i) => `row ${i + 1}`,
): SessionColumns {
  const sessionizer = new Sessionizer(options);
  if (sessionizer.idleMs !== null && !time) {
    throw new OstinatoError("OST_CONFIG", {
      what: "an idle gap needs times",
      expected: "a column of times",
      got: "none",
      where: "sessions.idleMs",
      repair: "name the column of times, or cut sessions by key only",
    });
  }
  const session = new Array<string>(rows);
  const starts = new Uint8Array(rows);
  let sessions = 0;
  for (let i = 0; i < rows; i++) {
    const cells = keys.map((column) => column[i]);
    if (cells.includes("") || (sessionizer.idleMs !== null && Number.isNaN(time![i]))) {
      const lacking = cells.includes("") ? "key" : "time";
      throw new OstinatoError(lacking === "key" ? "OST_MISSING" : "OST_RECORD", {
        what: `a row without a ${lacking} belongs to no session`,
        expected: `a ${lacking} in every row`,
        where: where(i),
        repair: "fill in the cell or remove the row",
      });
    }
    const row = sessionizer.push(cells.length === 0 ? "all" : sessionKey(cells), time ? time[i] : Number.NaN);
    session[i] = row.session;
    if (row.starts) {
      starts[i] = 1;
      sessions++;
    }
  }
  return { session, starts, sessions, forgotten: sessionizer.forgotten };
}

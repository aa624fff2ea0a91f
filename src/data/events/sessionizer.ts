/**
 * @file Cuts a stream of events into sessions: by key, and within a key by the rules of boundary.ts (an idle gap, a marker, a changed column, a
 * largest number of steps), or all of them.
 *
 * The n-th session of key k, counted from 0, is called `k#n`. No two sessions share a name whatever the keys hold: what stands before the
 * last "#" is the key.
 *
 * Memory is bounded: of more than `maxKeys` keys the one whose last row lies furthest back in the order of pushing is forgotten. Should it come
 * again, it begins a new session, whose number is above every number a forgotten key had, so that no name is used twice. `forgotten`
 * counts them; while it is 0, no session was cut for want of memory.
 *
 * A file is pushed row by row like a stream, so both have the same sessions.
 */
import { OstinatoError } from "../../core/errors.js";
import { frozen } from "../transform.js";
import {
  type BoundaryReason,
  boundaryColumns,
  boundaryOf,
  boundaryText,
  checkedRules,
  laterTexts,
  type SessionRules,
} from "./boundary.js";

export interface SessionizerOptions extends SessionRules {
  /** Most keys remembered at a time, 1 .. 10,000,000; default 1,000,000. */
  maxKeys?: number;
}

export interface SessionRow {
  /** Name of the session. */
  session: string;
  /** True for the first row of a session. */
  starts: boolean;
  /** Which rule ended the session before; null where none did. */
  boundary: BoundaryReason | null;
}

/** What is known of a key: the number of its session, the rows in it, the latest time (-Infinity before any), and the cells that may change. */
interface OpenSession {
  number: number;
  steps: number;
  time: number;
  texts: readonly string[];
}

const DEFAULT_KEYS = 1_000_000;
const MOST_KEYS = 10_000_000;

export class Sessionizer {
  readonly rules: Required<SessionRules>;
  readonly maxKeys: number;
  /** In order of their last rows: the first is the next to be forgotten. */
  readonly #open = new Map<string, OpenSession>();
  /** The number of a new key's first session: above those of all forgotten keys. */
  #firstNumber = 0;
  #forgotten = 0;

  /** @throws OST_RANGE if an option lies outside its range. */
  constructor({ maxKeys = DEFAULT_KEYS, ...rules }: SessionizerOptions = {}) {
    this.rules = checkedRules(rules);
    if (!(Number.isInteger(maxKeys) && maxKeys >= 1 && maxKeys <= MOST_KEYS)) {
      throw new OstinatoError("OST_RANGE", {
        what: "sessions cannot be cut so",
        expected: `maxKeys from 1 to ${MOST_KEYS}`,
        got: String(maxKeys),
        where: "sessions",
      });
    }
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
   * @param texts  its cells in `boundaryColumns(rules)`, as `boundaryText` writes them.
   * @throws OST_RECORD if `idleMs` is set and the time is NaN.
   */
  push(key: string, timeMs: number, texts: readonly string[] = []): SessionRow {
    const { rules } = this;
    if (rules.idleMs !== null && Number.isNaN(timeMs)) {
      throw new OstinatoError("OST_RECORD", {
        what: "a row without a time cannot be put into a session",
        expected: "a time in every row, since an idle gap ends a session",
        got: "none",
        repair: "fill in the time, or cut sessions by key only",
      });
    }
    const before = this.#open.get(key);
    const boundary =
      before === undefined
        ? null
        : boundaryOf(rules, { steps: before.steps, sinceMs: timeMs - before.time, texts, lastTexts: before.texts });
    const goesOn = before !== undefined && boundary === null;
    const number = before === undefined ? this.#firstNumber : before.number + (goesOn ? 0 : 1);
    const open = goesOn ? before : { number, steps: 0, time: Number.NEGATIVE_INFINITY, texts: [] };
    open.steps++;
    if (timeMs > open.time) open.time = timeMs;
    open.texts = laterTexts(rules, { texts, lastTexts: open.texts });
    this.#open.delete(key);
    this.#open.set(key, open);
    if (this.#open.size > this.maxKeys) this.#forget();
    return { session: `${key}#${number}`, starts: !goesOn, boundary };
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
      ...this.rules,
      maxKeys: this.maxKeys,
      firstNumber: this.#firstNumber,
      forgotten: this.#forgotten,
      open: [...this.#open].map(([key, { number, steps, time, texts }]) => ({
        key,
        number,
        steps,
        time: time === Number.NEGATIVE_INFINITY ? null : time,
        texts,
      })),
    };
  }

  /** @throws OST_MODEL_FILE if the JSON is not what `toJSON` writes. */
  static fromJSON(json: unknown): Sessionizer {
    const read = frozen.object(json, "sessions");
    const whole = (value: unknown, where: string, min: number, max = Number.MAX_SAFE_INTEGER) =>
      Math.floor(frozen.number(value, `sessions.${where}`, { min, max }));
    const made = new Sessionizer({
      ...rulesFromJSON(read, "sessions"),
      maxKeys: whole(read.maxKeys, "maxKeys", 1, MOST_KEYS),
    });
    made.#firstNumber = whole(read.firstNumber, "firstNumber", 0);
    made.#forgotten = whole(read.forgotten, "forgotten", 0);
    const list = frozen.list(read.open, "sessions.open");
    if (list.length > made.maxKeys) frozen.fail("sessions.open", `at most ${made.maxKeys} keys`, list.length);
    for (const item of list) {
      const { key, number, steps, time, texts = [] } = frozen.object(item, "sessions.open");
      const [name] = frozen.texts([key], "sessions.open.key");
      if (made.#open.has(name)) frozen.fail("sessions.open.key", "each key once", name);
      made.#open.set(name, {
        number: whole(number, "open.number", 0),
        steps: whole(steps, "open.steps", 1),
        time: time === null ? Number.NEGATIVE_INFINITY : frozen.number(time, "sessions.open.time"),
        texts: frozen.texts(texts, "sessions.open.texts"),
      });
    }
    return made;
  }
}

/** The rules in JSON that may come from anyone; markers and changed columns are absent in older files. @throws OST_MODEL_FILE */
export function rulesFromJSON(json: unknown, where: string): Required<SessionRules> {
  const { idleMs, maxSteps, marker = null, changed = [] } = frozen.object(json, where);
  const readMarker = (value: unknown) => {
    const { column, value: holds } = frozen.object(value, `${where}.marker`);
    const [name, text] = frozen.texts([column, holds], `${where}.marker`);
    if (name === "" || boundaryText(text) !== text || text === "")
      frozen.fail(`${where}.marker`, "a column and the text of a cell", value);
    return { column: name, value: text };
  };
  const columns = frozen.texts(changed, `${where}.changed`);
  if (columns.some((column, k) => column === "" || columns.indexOf(column) !== k)) {
    frozen.fail(`${where}.changed`, "distinct columns", columns);
  }
  return {
    idleMs: idleMs === null ? null : frozen.number(idleMs, `${where}.idleMs`, { min: 0 }),
    maxSteps:
      maxSteps === null
        ? null
        : Math.floor(frozen.number(maxSteps, `${where}.maxSteps`, { min: 1, max: Number.MAX_SAFE_INTEGER })),
    marker: marker === null ? null : readMarker(marker),
    changed: columns,
  };
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
  /** The cells of each of `boundaryColumns`, as they were written; [rows] each. Default none. */
  cells?: readonly ArrayLike<string>[];
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
  { rows, keys, time, cells: boundaries = [] }: SessionRows,
  options: SessionizerOptions,
  where: (i: number) => string = (i) => `row ${i + 1}`,
): SessionColumns {
  const sessionizer = new Sessionizer(options);
  const { idleMs } = sessionizer.rules;
  const columns = boundaryColumns(sessionizer.rules);
  if (boundaries.length !== columns.length) {
    throw new OstinatoError("OST_CONFIG", {
      what: "sessions are cut by columns whose cells were not given",
      expected: columns.join(", ") || "no cells",
      got: `cells of ${boundaries.length} columns`,
      where: "sessions",
    });
  }
  if (idleMs !== null && !time) {
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
    if (cells.includes("") || (idleMs !== null && Number.isNaN(time![i]))) {
      const lacking = cells.includes("") ? "key" : "time";
      throw new OstinatoError(lacking === "key" ? "OST_MISSING" : "OST_RECORD", {
        what: `a row without a ${lacking} belongs to no session`,
        expected: `a ${lacking} in every row`,
        where: where(i),
        repair: "fill in the cell or remove the row",
      });
    }
    const texts = boundaries.map((column) => boundaryText(column[i]));
    const row = sessionizer.push(cells.length === 0 ? "all" : sessionKey(cells), time ? time[i] : Number.NaN, texts);
    session[i] = row.session;
    if (row.starts) {
      starts[i] = 1;
      sessions++;
    }
  }
  return { session, starts, sessions, forgotten: sessionizer.forgotten };
}

/** @file One row of a stream, read from a record or from numbers, with what tells which series and session it is of. */
import { OstinatoError } from "../core/errors.js";
import {
  boundaryColumns,
  boundaryText,
  boundaryTexts,
  type Preprocessing,
  type RawRecord,
  type Row,
  recordToRow,
  sessionKey,
} from "../data/index.js";

export interface StreamRow extends Row {
  /** The series it names; null where it names none. */
  series?: string | null;
  /** Its cells in the columns that the rules of the sessions compare. */
  cells?: readonly string[];
}

const NO_TEXTS: readonly string[] = [];

/** Where the rows before belong: what the next one is compared with. */
export interface Belonging {
  /** Null until a row names one. */
  series: string | null;
  /** Per column whose change begins a session the latest text; [] where none came yet. */
  texts: readonly string[];
}

/** Reads the rows of one model's streams, and tells where they belong. */
export class StreamRowReader {
  /** The columns that rows of numbers are in the order of: [time?][features][categories]. */
  readonly columns: readonly string[];
  readonly #preprocessing: Preprocessing;
  /** The columns that tell one series from another; one whose change begins a session is none of them. */
  readonly #keys: readonly string[];
  /** Columns that are compared, and where each lies in `columns`; -1 where it does not. */
  readonly #compared: readonly { column: string; at: number }[];
  /** How many of them begin a session by a change. */
  readonly #changes: number;
  /** Columns it needs that rows of numbers do not have. */
  readonly #notNumbers: readonly string[];

  constructor(preprocessing: Preprocessing) {
    const { roles, derived } = preprocessing;
    const { sessions } = derived;
    const changed = sessions?.changed ?? [];
    const keys = sessions ? (sessions.by ?? []) : roles.entity === null ? [] : [roles.entity];
    this.#preprocessing = preprocessing;
    this.#changes = changed.length;
    this.#keys = keys.filter((column) => !changed.includes(column));
    this.columns = [...(roles.time === null ? [] : [roles.time]), ...roles.features, ...(roles.categories ?? [])];
    this.#compared = sessions ? boundaryColumns(sessions).map((column) => ({ column, at: this.columns.indexOf(column) })) : [];
    const absent = this.#compared.filter(({ at }) => at < 0).map(({ column }) => column);
    this.#notNumbers = [...new Set([...(roles.categories ?? []), ...absent])];
  }

  /** @throws OST_RECORD for a record it cannot read. */
  readRecord(record: RawRecord): StreamRow {
    const { roles, derived } = this.#preprocessing;
    const row: StreamRow = recordToRow(record, roles);
    if (this.#keys.length > 0) row.series = this.#seriesOf(record);
    if (this.#compared.length > 0 && derived.sessions) row.cells = boundaryTexts(derived.sessions, record);
    return row;
  }

  /** @throws OST_RECORD if the model needs more than numbers, or one of them is infinite. */
  readValues(values: ArrayLike<number>, offset = 0): StreamRow {
    const { roles } = this.#preprocessing;
    this.#wantNumbers();
    const { length } = roles.features;
    const first = roles.time === null ? offset : offset + 1;
    if (values.length < first + length) throw tooFew(values.length - offset, this.columns.length);
    const read = new Float64Array(length);
    for (let c = 0; c < length; c++) {
      const value = values[first + c];
      if (Math.abs(value) > LARGEST) throw notFinite(roles.features[c], value);
      read[c] = value + 0;
    }
    const row: StreamRow = { time: Number.NaN, values: read };
    if (roles.time !== null) {
      const time = values[offset];
      if (!(Math.abs(time) <= LAST_MS)) throw noTime(roles.time, time);
      row.time = time;
    }
    if (this.#compared.length > 0) {
      row.cells = this.#compared.map(({ column, at }) => boundaryText(values[offset + at], column));
    }
    return row;
  }

  #wantNumbers(): void {
    if (this.#notNumbers.length === 0) return;
    throw new OstinatoError("OST_RECORD", {
      what: "rows of numbers cannot hold all that this model reads",
      expected: `records with "${this.#notNumbers.join('", "')}"`,
      got: "numbers",
      repair: "send records by column name",
    });
  }

  #seriesOf(record: RawRecord): string | null {
    const cells = this.#keys.map((column) => (Object.hasOwn(record, column) ? keyCell(record[column], column) : ""));
    return cells.includes("") ? null : sessionKey(cells);
  }

  /** What the `entity` of a state says. @throws OST_SNAPSHOT for one that `entityOf` did not write. */
  belongingOf(entity: string | null): Belonging {
    if (this.#changes === 0 || entity === null) return { series: entity, texts: NO_TEXTS };
    let read: unknown;
    try {
      read = JSON.parse(entity);
    } catch {
      read = null;
    }
    if (Array.isArray(read) && read.length === 1 + this.#changes) {
      const [series, ...texts] = read;
      const fits = (series === null || typeof series === "string") && texts.every((text) => typeof text === "string");
      if (fits) return { series, texts };
    }
    throw new OstinatoError("OST_SNAPSHOT", {
      what: "the snapshot's series is not one of this model",
      expected: `a series and ${this.#changes} texts`,
      got: entity.slice(0, 80),
      where: "snapshot",
    });
  }

  /** A belonging as one text, for a state. */
  entityOf({ series, texts }: Belonging): string | null {
    return this.#changes === 0 ? series : JSON.stringify([series, ...texts]);
  }

  /** The series a state belongs to after a row. @throws OST_RECORD if the row names another one. */
  sameSeries({ series = null }: StreamRow, known: string | null): string | null {
    if (series === null) return known;
    if (known === null || known === series) return series;
    throw new OstinatoError("OST_RECORD", {
      what: "the record belongs to another series",
      expected: `"${known}" in "${this.#keys.join('", "')}", as in the records before`,
      got: `"${series}"`,
      repair: "open a session per series, or reset this one where a new series begins",
    });
  }
}

/** The largest float32, and the last millisecond a date can have. */
const LARGEST = 3.4028234e38;
const LAST_MS = 8.64e15;

/** A key as text; two that differ in the data differ here. @throws OST_RECORD for a number that several ids are rounded to. */
function keyCell(value: RawRecord[string], column: string): string {
  if (typeof value !== "number" || Math.abs(value) <= Number.MAX_SAFE_INTEGER) return value === null ? "" : String(value).trim();
  throw new OstinatoError("OST_RECORD", {
    what: `the number in "${column}" is too large to tell one series from another`,
    expected: `a text, or a number of at most ${Number.MAX_SAFE_INTEGER}`,
    got: String(value),
    repair: "send the id as text, in quotes: a JSON number of this size is rounded",
  });
}

function tooFew(got: number, expected: number): OstinatoError {
  return new OstinatoError("OST_RECORD", {
    what: "the row has too few numbers",
    expected: `${expected} numbers, in the order of the model's columns`,
    got: String(got),
    repair: "send NaN where a value is missing",
  });
}

function notFinite(column: string, value: number): OstinatoError {
  return new OstinatoError("OST_RECORD", {
    what: `the value of "${column}" is not finite`,
    expected: "a finite number of at most 3.4e38, or NaN where it is missing",
    got: String(value),
  });
}

function noTime(column: string, value: number): OstinatoError {
  return new OstinatoError("OST_RECORD", {
    what: `the value of "${column}" is not a time`,
    expected: "milliseconds since 1970",
    got: String(value),
  });
}

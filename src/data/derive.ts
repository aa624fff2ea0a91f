/**
 * @file Columns made of others before anything is cut or fitted: sessions, and what is known ahead.
 *
 * A column known ahead (a plan, a price list, a forecast of the weather) is read as `<column>.ahead`: its value some rows later in the same
 * series. In a stream that value is a field of the pushed record, for only what is truly known by then can be in it. Rows so near the end of a
 * series that nothing lies so far ahead hold its last value: no target of theirs is there to be predicted.
 */
import { OstinatoError } from "../core/errors.js";
import { boundaryColumns, rulesFromJSON, type SessionRules, sessionize } from "./events/index.js";
import { cellsOf, numbersOf, rowName, type Table, textsOf, timesOf } from "./table.js";
import { frozen } from "./transform.js";

/** How rows are cut into sessions. `idleMs` needs a time column. */
export interface SessionOptions extends SessionRules {
  /** Columns that tell users or devices apart; default the entity column. */
  by?: readonly string[] | null;
}

export interface DerivedColumns {
  sessions: SessionOptions | null;
  ahead: { columns: readonly string[]; steps: number } | null;
}

/** The raw columns that sessions are cut by, beside the time: keys, and what marks or changes. */
export function sessionColumns(sessions: SessionOptions | null | undefined): string[] {
  return sessions ? [...new Set([...(sessions.by ?? []), ...boundaryColumns(sessions)])] : [];
}

export const NOTHING_DERIVED: DerivedColumns = { sessions: null, ahead: null };

/** The most keys a sessionizer remembers. With as many as there are rows, none is forgotten and no session is cut for want of room. */
const MOST_KEYS = 10_000_000;

/** The entity column of sessions. */
export const SESSION = "session";

export function aheadName(column: string): string {
  return `${column}.ahead`;
}

/**
 * The table with its derived columns.
 *
 * @throws OST_COLUMN if a column is absent, or the table has a column of that name. @throws OST_CONFIG without the columns it needs.
 */
export function deriveColumns(
  table: Table,
  { time, entity }: { time: string | null; entity: string | null },
  { sessions, ahead }: DerivedColumns,
): Table {
  let derived = table;
  if (sessions) derived = withSessions(derived, sessions, { time, entity });
  if (ahead) derived = withAhead(derived, ahead, sessions ? SESSION : entity);
  return derived;
}

function withSessions(
  table: Table,
  { by, ...rules }: SessionOptions,
  { time, entity }: { time: string | null; entity: string | null },
): Table {
  const keys = by ?? (entity === null ? [] : [entity]);
  const { session } = sessionize(
    {
      rows: table.rows,
      keys: keys.map((name) => textsOf(table, name, "session")),
      time: time === null ? null : timesOf(table, time),
      cells: boundaryColumns(rules).map((name) => cellsOf(table, name, "session")),
    },
    { ...rules, maxKeys: Math.min(Math.max(table.rows, 1), MOST_KEYS) },
    (i) => rowName(table, i + 1),
  );
  return withColumn(table, { name: SESSION, numbers: null, texts: session });
}

function withAhead(
  table: Table,
  { columns, steps }: { columns: readonly string[]; steps: number },
  entity: string | null,
): Table {
  const entities = entity === null ? null : textsOf(table, entity, "entity");
  const rows = new Map<string, number[]>();
  for (let i = 0; i < table.rows; i++) {
    const key = entities ? entities[i] : "";
    const list = rows.get(key);
    if (list) list.push(i);
    else rows.set(key, [i]);
  }
  let derived = table;
  for (const column of columns) {
    // Data may say themselves what is known, as a stream does.
    if (table.columns.some(({ name }) => name === aheadName(column))) continue;
    const values = numbersOf(table, column, "known ahead");
    const numbers = new Float64Array(table.rows);
    for (const list of rows.values()) {
      list.forEach((row, k) => {
        numbers[row] = values[list[Math.min(k + steps, list.length - 1)]];
      });
    }
    derived = withColumn(derived, { name: aheadName(column), numbers, texts: null });
  }
  return derived;
}

function withColumn(table: Table, column: Table["columns"][number]): Table {
  if (table.columns.some(({ name }) => name === column.name)) {
    throw new OstinatoError("OST_COLUMN", {
      what: "the data has a column of that name already",
      expected: `no column "${column.name}", since it is made of others`,
      where: table.source,
      repair: "rename the column in the data",
    });
  }
  return { ...table, columns: [...table.columns, column] };
}

export function derivedFromJSON(json: unknown, where: string): DerivedColumns {
  if (json === undefined) return NOTHING_DERIVED;
  const { sessions, ahead } = frozen.object(json, where);
  const readSessions = (value: unknown): SessionOptions => {
    const { by } = frozen.object(value, `${where}.sessions`);
    return { by: by === null ? null : frozen.texts(by, `${where}.sessions.by`), ...rulesFromJSON(value, `${where}.sessions`) };
  };
  const readAhead = (value: unknown) => {
    const { columns, steps } = frozen.object(value, `${where}.ahead`);
    return {
      columns: frozen.texts(columns, `${where}.ahead.columns`),
      steps: Math.floor(frozen.number(steps, `${where}.ahead.steps`, { min: 1, max: 1_000_000 })),
    };
  };
  return {
    sessions: sessions === null ? null : readSessions(sessions),
    ahead: ahead === null ? null : readAhead(ahead),
  };
}

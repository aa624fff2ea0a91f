/** @file Recorded arrivals: when which session asked for how many steps. */
import { readFile } from "node:fs/promises";
import { OstinatoError } from "../core/errors.js";

export interface Arrival {
  /** ms since the first. */
  at: number;
  /** Place of the session among those of the recording, by first appearance. */
  session: number;
  steps: number;
}

export interface Recording {
  /** In the order of time. */
  arrivals: Arrival[];
  sessions: number;
}

const FIELDS = ["time", "session", "steps"] as const;
const MAX_STEPS = 1_000_000;

/**
 * Reads NDJSON (`{"time": 12.5, "session": "a", "steps": 3}` a line) or CSV with a header (`time,session,steps`). `time` is in seconds, or a date
 * and time; `steps` may be left out for 1.
 *
 * @throws OST_FILE, OST_FORMAT, OST_COLUMN, OST_VALUE with the line.
 */
export async function readArrivals(path: string): Promise<Recording> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const { code = "unknown" } = cause as NodeJS.ErrnoException;
    throw new OstinatoError("OST_FILE", { what: `it cannot be read (${code})`, where: path }, { cause });
  }
  return parseArrivals(text, path);
}

/** As {@link readArrivals}, of a text. @param where names it in errors. */
export function parseArrivals(text: string, where: string): Recording {
  const lines = text.split(/\r?\n/);
  const isJson = text.trimStart().startsWith("{");
  const header = isJson ? null : columnsOf(lines[0], where);
  const places = new Map<string, number>();
  const arrivals: Arrival[] = [];
  for (let i = header ? 1 : 0; i < lines.length; i++) {
    if (lines[i].trim() === "") continue;
    const line = `${where}, line ${i + 1}`;
    const { time, session, steps } = header ? cellsOf(lines[i], header) : fieldsOf(lines[i], line);
    if (session === undefined || session === null || session === "") throw misfit("session", "a name", session, line);
    const key = String(session);
    const place = places.get(key) ?? places.size;
    places.set(key, place);
    arrivals.push({ at: milliseconds(time, line), session: place, steps: count(steps ?? 1, line) });
  }
  if (arrivals.length === 0) throw new OstinatoError("OST_FILE", { what: "it holds no arrival", where });
  arrivals.sort((a, b) => a.at - b.at);
  const [{ at: first }] = arrivals;
  for (const arrival of arrivals) arrival.at -= first;
  return { arrivals, sessions: places.size };
}

type Fields = Partial<Record<(typeof FIELDS)[number], unknown>>;

function columnsOf(line: string, where: string): string[] {
  const columns = line.split(",").map((name) => name.trim());
  for (const name of ["time", "session"]) {
    if (columns.includes(name)) continue;
    throw new OstinatoError("OST_COLUMN", {
      what: "a column is missing",
      expected: FIELDS.join(", "),
      got: columns.join(", ").slice(0, 200),
      where,
      repair: "begin the file with a header, or write an object a line",
    });
  }
  return columns;
}

function cellsOf(line: string, columns: readonly string[]): Fields {
  const cells = line.split(",");
  const cell = (name: string) => {
    const text = cells[columns.indexOf(name)]?.trim();
    return text === "" ? undefined : text;
  };
  return { time: cell("time"), session: cell("session"), steps: cell("steps") };
}

function fieldsOf(line: string, where: string): Fields {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null) return value as Fields;
  } catch {}
  throw new OstinatoError("OST_FORMAT", {
    what: "the line is no JSON object",
    expected: '{"time": 12.5, "session": "a", "steps": 3}',
    got: line.slice(0, 80),
    where,
  });
}

function milliseconds(time: unknown, where: string): number {
  const seconds = typeof time === "string" && time !== "" ? Number(time) : typeof time === "number" ? time : Number.NaN;
  const at = Number.isNaN(seconds) && typeof time === "string" ? Date.parse(time) : seconds * 1000;
  if (!Number.isFinite(at)) throw misfit("time", "seconds, or a date and time", time, where);
  return at;
}

function count(steps: unknown, where: string): number {
  const value = Number(steps);
  if (!(Number.isInteger(value) && value >= 1 && value <= MAX_STEPS))
    throw misfit("steps", `a whole number from 1 to ${MAX_STEPS}`, steps, where);
  return value;
}

function misfit(field: string, expected: string, got: unknown, where: string): OstinatoError {
  return new OstinatoError("OST_VALUE", {
    what: `"${field}" does not fit`,
    expected,
    got: String(JSON.stringify(got)).slice(0, 80),
    where,
  });
}

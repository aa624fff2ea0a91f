/**
 * @file Where the readers put rows: cells by column, given out as chunks of bounded size, numbers parsed and their texts dropped.
 */
import { OstinatoError } from "../../core/errors.js";
import { LARGEST, NUMBER, parseNumber } from "../cell.js";
import { localSetting, type NumberReader } from "../number-format.js";
import type { ChunkColumn, TableChunk } from "../table.js";

/** A cell as a reader has it; "" is missing. */
export type Cell = string | number | bigint;

/** What all files of one reading share. */
export interface SheetPlan {
  /** Columns to keep; null keeps all. */
  only: ReadonlySet<string> | null;
  /** Columns whose texts are kept. A column that shows itself to be one of texts is added, so that no later text of it is lost. */
  text: Set<string>;
  /** Columns that must hold numbers. */
  numeric: ReadonlySet<string>;
  parse: NumberReader;
  bad: "refuse" | "skip";
  chunkRows: number;
  chunkBytes: number;
}

interface SheetColumn {
  name: string;
  cells: Cell[];
  /** The cells as numbers, where the column must hold them and they were looked at. */
  numbers: Float64Array | null;
  /** Texts met before: a name that comes a million times is held once. */
  seen: Map<string, string>;
  verbatim: boolean;
}

/** Reasons that are kept of each file; the other rows left out are counted only. */
const REASONS = 5;
const SEEN = 4096;
/** Texts shorter than this are copied by the engine when cut out; longer ones would keep the whole block they came from. */
const COPIED = 13;

/** The rows of one file on their way into chunks. */
export class Sheet {
  readonly source: string;
  readonly plan: SheetPlan;
  /** Rows met so far in the file, those left out included. */
  met = 0;
  /** Rows given out or waiting. */
  kept = 0;
  #columns: (SheetColumn | null)[] = [];
  #index = new Map<string, number>();
  #fixed: readonly (readonly [name: string, value: string])[];
  #rowOf: number[] = [];
  #skipped: { row: number; why: string }[] = [];
  #reasons = 0;
  #bytes = 0;

  /** @param fixed columns that hold one value throughout the file. */
  constructor(source: string, plan: SheetPlan, fixed: readonly (readonly [name: string, value: string])[] = []) {
    this.source = source;
    this.plan = plan;
    this.#fixed = fixed;
  }

  /** Number of columns so far, kept or not, without the fixed ones. */
  get width(): number {
    return this.#columns.length;
  }

  /** Names of the columns so far, kept or not, without the fixed ones. */
  get names(): string[] {
    return [...this.#index.keys()];
  }

  /**
   * Adds columns. `text`: those kept as text whatever they look like; `verbatim`: those in which "NA" and "null" are words.
   * @throws OST_COLUMN if a name occurs twice or is that of a fixed column.
   */
  addColumns(
    names: readonly string[],
    { text = [], verbatim = [] }: { text?: readonly string[]; verbatim?: readonly string[] } = {},
  ): void {
    for (const name of names) {
      if (this.#index.has(name)) {
        throw new OstinatoError("OST_COLUMN", {
          what: "two columns have the same name",
          got: `"${name}" twice`,
          where: this.source,
          repair: "rename one of them",
        });
      }
      if (this.#fixed.some(([fixed]) => fixed === name)) throw taken(name, this.source);
      const keep = this.plan.only?.has(name) ?? true;
      const literal = verbatim.includes(name);
      if (literal || text.includes(name)) this.plan.text.add(name);
      this.#index.set(name, this.#columns.length);
      this.#columns.push(
        keep ? { name, cells: this.#rowOf.map(() => ""), numbers: null, seen: new Map(), verbatim: literal } : null,
      );
    }
  }

  /** The place of a column's cell in a row, or undefined. */
  indexOf(name: string): number | undefined {
    return this.#index.get(name);
  }

  /** Takes a row: a cell per column, in the order of their addition. `bytes`: about the size of its text. */
  row(cells: readonly Cell[], bytes: number): void {
    const columns = this.#columns;
    for (let c = 0; c < columns.length; c++) columns[c]?.cells.push(cells[c]);
    this.#rowOf.push(++this.met);
    this.#bytes += bytes;
  }

  /** Meets a row that cannot be read: throws the error, or leaves the row out and counts it. */
  bad(error: OstinatoError): void {
    if (this.plan.bad === "refuse") throw error;
    this.#leaveOut(++this.met, error);
  }

  /** Whether it is time to take a chunk. */
  get full(): boolean {
    const { chunkRows, chunkBytes } = this.plan;
    return this.#rowOf.length + this.#skipped.length >= chunkRows || this.#bytes >= chunkBytes;
  }

  /** The rows since the last chunk; null if there were none. @throws OST_VALUE if a column that must hold numbers does not. */
  take(): TableChunk | null {
    const columns = this.#columns.filter((column) => column !== null);
    this.#dropUnreadable(columns);
    const rowOf = this.#rowOf;
    if (rowOf.length === 0 && this.#skipped.length === 0) return null;
    const skipped = this.#skipped.sort((a, b) => a.row - b.row);
    const chunk: TableChunk = {
      source: this.source,
      firstRow: rowOf[0] ?? skipped[0].row,
      rows: rowOf.length,
      columns: columns.map((column) => this.#finish(column)),
      skipped,
    };
    for (const [name, value] of this.#fixed) {
      if (this.plan.only?.has(name) ?? true) {
        chunk.columns.push({ name, cells: new Array<string>(rowOf.length).fill(value) });
        this.plan.text.add(name);
      }
    }
    this.kept += rowOf.length;
    for (const column of columns) {
      column.cells = [];
      column.numbers = null;
    }
    this.#rowOf = [];
    this.#skipped = [];
    this.#bytes = 0;
    return chunk;
  }

  #leaveOut(row: number, error: OstinatoError): void {
    this.#skipped.push({ row, why: this.#reasons++ < REASONS ? error.message.split("\n")[0] : "" });
  }

  /** Looks at the columns that must hold numbers before anything is given out. */
  #dropUnreadable(columns: readonly SheetColumn[]): void {
    const bad = new Set<number>();
    for (const column of columns) {
      const { name, cells } = column;
      if (!this.plan.numeric.has(name)) continue;
      const numbers = new Float64Array(cells.length);
      for (let i = 0; i < cells.length; i++) {
        const value = cells[i] === "" ? Number.NaN : numberOf(cells[i], this.plan.parse);
        if (value !== undefined) {
          numbers[i] = value;
          continue;
        }
        if (bad.has(i)) continue;
        const error = unreadableNumber(String(cells[i]), name, `${this.source} row ${this.#rowOf[i]}`);
        if (this.plan.bad === "refuse") throw error;
        this.#leaveOut(this.#rowOf[i], error);
        bad.add(i);
      }
      column.numbers = numbers;
    }
    if (bad.size === 0) return;
    const kept = <T>(list: T[]) => list.filter((_, i) => !bad.has(i));
    for (const column of columns) {
      column.cells = kept(column.cells);
      column.numbers = column.numbers?.filter((_, i) => !bad.has(i)) ?? null;
    }
    this.#rowOf = kept(this.#rowOf);
  }

  #finish({ name, cells, numbers: known, seen, verbatim }: SheetColumn): ChunkColumn {
    const { text, parse } = this.plan;
    if (known && !text.has(name)) return { name, cells: known };
    if (!text.has(name)) {
      const numbers = new Float64Array(cells.length);
      let blank = true;
      let i = 0;
      for (; i < cells.length; i++) {
        const cell = cells[i];
        if (cell === "") {
          numbers[i] = Number.NaN;
          continue;
        }
        const value = numberOf(cell, parse);
        if (value === undefined || unsafe(value, cell)) break;
        blank = false;
        numbers[i] = value;
      }
      if (i === cells.length) return blank ? { name, cells: numbers, blank } : { name, cells: numbers };
      text.add(name);
    }
    const texts = new Array<string>(cells.length);
    for (let i = 0; i < cells.length; i++) texts[i] = held(cells[i], seen);
    return verbatim ? { name, cells: texts, verbatim } : { name, cells: texts };
  }
}

/** The error of a fixed column, such as `part`, whose name the file uses itself. */
function taken(name: string, source: string): OstinatoError {
  const holds: Record<string, string> = { part: "the name of the file's part", file: "the name of the file" };
  return new OstinatoError("OST_COLUMN", {
    what: `the file has a column "${name}" already`,
    expected: `no such column, since "${name}" will hold ${holds[name] ?? "what the file's name says"}`,
    where: source,
    repair: name === "part" ? "rename the column, or name the files as a list" : "rename the column",
  });
}

function numberOf(cell: Cell, parse: NumberReader): number | undefined {
  if (typeof cell === "string") return parse === parseNumber ? plainNumber(cell) : parse(cell);
  if (typeof cell === "bigint") return Number(cell);
  return Math.abs(cell) <= LARGEST || Number.isNaN(cell) ? cell + 0 : undefined;
}

/** `parseNumber`, without its regular expressions for a cell that begins with a digit or a minus and is no 0x10, 0b1 or 0o7. */
function plainNumber(cell: string): number | undefined {
  const first = cell.charCodeAt(0);
  if ((first >= 48 && first <= 57) || first === 45) {
    const value = Number(cell);
    if (Math.abs(value) <= LARGEST && !(first === 48 && cell.charCodeAt(1) > 57 && /^0[xbo]/i.test(cell))) return value + 0;
  }
  return parseNumber(cell);
}

/** Whether a number is a whole one whose digits a float does not hold, such as a 64-bit id. */
function unsafe(value: number, cell: Cell): boolean {
  return (
    Math.abs(value) > Number.MAX_SAFE_INTEGER &&
    typeof cell !== "number" &&
    (typeof cell === "bigint" || /^\s*[+-]?\d+\s*$/.test(cell))
  );
}

function held(cell: Cell, seen: Map<string, string>): string {
  if (typeof cell !== "string") return Number.isNaN(cell) ? "" : String(cell);
  if (cell.length < COPIED) return cell;
  const known = seen.get(cell);
  if (known !== undefined) return known;
  const own = ` ${cell}`.slice(1);
  if (seen.size < SEEN) seen.set(own, own);
  return own;
}

function unreadableNumber(text: string, name: string, where: string): OstinatoError {
  const beyond = NUMBER.test(text.trim());
  return new OstinatoError("OST_VALUE", {
    what: `${beyond ? "a number beyond 3.4e38" : "text"} in the numeric column "${name}"`,
    expected: 'a number of float32 range, or an empty cell, "NaN", "NA" or "null" where it is missing',
    got: JSON.stringify(text),
    where: `${where} column "${name}"`,
    repair: localSetting(text) ?? "correct the cell, leave the column out of features and target, or set data.read.bad: skip",
  });
}

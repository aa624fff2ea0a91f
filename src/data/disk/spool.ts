/**
 * @file Raw series on disk: rows as they come, of many entities in any mixture, brought together per entity.
 *
 * A row is a record of float64 numbers: time, row number, the code of its label, that of its split cell, those of its texts, features,
 * targets. Rows wait in memory per entity and are written out together when all that wait take `bufferBytes`; an entity's rows are the
 * stretches written of it, in order. Texts lie in dictionaries in memory, one per column: each different text once.
 */
import { OstinatoError } from "../../core/errors.js";
import type { Series, SeriesBlocks } from "../series.js";
import { ColumnWriter, StoredColumn } from "./column-file.js";

/** Rows of a block. */
const BLOCK_ROWS = 65_536;
/** The most different texts of a column: they are held in memory. */
const MOST_TEXTS = 2_000_000;

export interface SpoolShape {
  features: number;
  targets: number;
  categories: number;
  timed: boolean;
  labelled: boolean;
  split: boolean;
}

/** The different texts of a column. Code 0 is "". */
class Dictionary {
  readonly texts: string[] = [""];
  readonly #codes = new Map<string, number>([["", 0]]);

  constructor(readonly noun: string) {}

  code(text: string): number {
    const known = this.#codes.get(text);
    if (known !== undefined) return known;
    if (this.texts.length >= MOST_TEXTS) {
      throw new OstinatoError("OST_MEMORY", {
        what: `the ${this.noun} have too many different texts to be prepared on disk`,
        expected: `at most ${MOST_TEXTS}`,
        repair: "set data.storage: memory, or leave the column out",
      });
    }
    // Cut loose from the block of the file it was read from.
    const own = ` ${text}`.slice(1);
    this.#codes.set(own, this.texts.length);
    this.texts.push(own);
    return this.texts.length - 1;
  }
}

const [TIME, ROW, LABEL, SPLIT, FIRST] = [0, 1, 2, 3, 4];

/** The rows of one entity while they are collected. */
interface Open {
  entity: string;
  rows: number;
  lastTime: number;
  lastRow: number;
  waiting: Float64Array[];
  /** Stretches in the file, in elements: offset and length by turns. */
  extents: number[];
}

export class Spool {
  readonly width: number;
  readonly #writer: ColumnWriter<"float64">;
  readonly #open = new Map<string, Open>();
  readonly #labels = new Dictionary("labels");
  readonly #splits = new Dictionary("cells of the split's column");
  readonly #categories: readonly Dictionary[];
  #waiting = 0;

  constructor(
    path: string,
    readonly shape: SpoolShape,
    readonly bufferBytes: number,
  ) {
    const { features, targets, categories } = shape;
    this.width = FIRST + categories + features + targets;
    this.#writer = new ColumnWriter(path, "float64");
    this.#categories = Array.from({ length: categories }, () => new Dictionary("categories"));
  }

  /** The last row taken of an entity. */
  last(entity: string): { time: number; row: number } | null {
    const open = this.#open.get(entity);
    return open ? { time: open.lastTime, row: open.lastRow } : null;
  }

  /** Takes the next rows of an entity. */
  append({ entity, rows, row, time, features, texts = [], target, labels, split }: Series): void {
    if (rows === 0) return;
    let open = this.#open.get(entity);
    if (!open) {
      open = { entity, rows: 0, lastTime: Number.NEGATIVE_INFINITY, lastRow: 0, waiting: [], extents: [] };
      this.#open.set(entity, open);
    }
    const { width } = this;
    const f = features.length / rows;
    const k = target ? target.length / rows : 0;
    const records = new Float64Array(rows * width);
    for (let i = 0; i < rows; i++) {
      const at = i * width;
      records[at + TIME] = time ? time[i] : Number.NaN;
      records[at + ROW] = row[i];
      records[at + LABEL] = labels ? this.#labels.code(labels[i]) : 0;
      records[at + SPLIT] = split ? this.#splits.code(split[i]) : 0;
      for (let c = 0; c < texts.length; c++) records[at + FIRST + c] = this.#categories[c].code(texts[c][i]);
      records.set(features.subarray(i * f, (i + 1) * f), at + FIRST + texts.length);
      if (target) records.set(target.subarray(i * k, (i + 1) * k), at + FIRST + texts.length + f);
    }
    open.waiting.push(records);
    open.rows += rows;
    open.lastTime = time ? time[rows - 1] : Number.NaN;
    open.lastRow = row[rows - 1];
    this.#waiting += records.byteLength;
    if (this.#waiting >= this.bufferBytes) this.#flush();
  }

  #flush(): void {
    for (const { waiting, extents } of this.#open.values()) {
      if (waiting.length === 0) continue;
      const from = this.#writer.length;
      for (const records of waiting) this.#writer.append(records);
      const length = this.#writer.length - from;
      if (extents.length > 0 && extents[extents.length - 2] + extents[extents.length - 1] === from)
        extents[extents.length - 1] += length;
      else extents.push(from, length);
      waiting.length = 0;
    }
    this.#waiting = 0;
  }

  /** Ends the collecting: the series in the order of their first rows. */
  done(): SpooledSeries[] {
    this.#flush();
    this.#writer.close();
    const dictionaries = {
      labels: this.#labels.texts,
      splits: this.#splits.texts,
      categories: this.#categories.map(({ texts }) => texts),
    };
    const file = new StoredColumn(this.#writer.place(0));
    return [...this.#open.values()].map(
      ({ entity, rows, extents }) =>
        new SpooledSeries(entity, rows, { file, extents, width: this.width, shape: this.shape, dictionaries }),
    );
  }
}

interface SpoolPlace {
  file: StoredColumn<"float64">;
  extents: readonly number[];
  width: number;
  shape: SpoolShape;
  dictionaries: { labels: readonly string[]; splits: readonly string[]; categories: readonly (readonly string[])[] };
}

/** One entity's rows in a spool. */
export class SpooledSeries implements SeriesBlocks {
  readonly #place: SpoolPlace;

  constructor(
    readonly entity: string,
    readonly rows: number,
    place: SpoolPlace,
  ) {
    this.#place = place;
  }

  /** All rows at once. */
  load(): Series {
    const [all] = this.#read(Math.max(1, this.rows));
    return all;
  }

  *blocks(): Generator<Series, void, undefined> {
    yield* this.#read(BLOCK_ROWS);
  }

  /** The labels, or null; read anew each time. */
  get labels(): string[] | null {
    return this.#column((block) => block.labels);
  }

  /** The cells of the split's column, or null; read anew each time. */
  get split(): string[] | null {
    return this.#column((block) => block.split);
  }

  /** The times, or null; read anew each time. */
  get time(): Float64Array | null {
    if (!this.#place.shape.timed) return null;
    const all = new Float64Array(this.rows);
    let at = 0;
    for (const { time, rows } of this.blocks()) {
      all.set(time as Float64Array, at);
      at += rows;
    }
    return all;
  }

  #column(pick: (block: Series) => string[] | null): string[] | null {
    const all: string[] = [];
    for (const block of this.blocks()) {
      const cells = pick(block);
      if (cells === null) return null;
      for (const cell of cells) all.push(cell);
    }
    return all;
  }

  *#read(most: number): Generator<Series, void, undefined> {
    const { file, extents, width } = this.#place;
    let records = new Float64Array(Math.min(most, this.rows) * width);
    let held = 0;
    let done = 0;
    for (let e = 0; e < extents.length; e += 2) {
      let at = extents[e];
      const end = at + extents[e + 1];
      while (at < end) {
        const take = Math.min(end - at, records.length - held);
        records.set(file.subarray(at, at + take), held);
        held += take;
        at += take;
        if (held < records.length) continue;
        yield this.#series(records, held / width, done);
        done += held / width;
        records = new Float64Array(Math.min(most, this.rows - done) * width);
        held = 0;
      }
    }
  }

  #series(records: Float64Array, rows: number, before: number): Series {
    const { width, dictionaries } = this.#place;
    const { features, targets, categories, timed, labelled, split } = this.#place.shape;
    const numbers = (from: number, count: number) => {
      const values = new Float64Array(rows * count);
      for (let i = 0, at = 0; i < rows; i++) {
        for (let c = from; c < from + count; c++) values[at++] = records[i * width + c];
      }
      return values;
    };
    const list = (at: number, texts: readonly string[]) => {
      const cells = new Array<string>(rows);
      for (let i = 0; i < rows; i++) cells[i] = texts[records[i * width + at]];
      return cells;
    };
    const row = new Int32Array(rows);
    const tick = new Int32Array(rows);
    for (let i = 0; i < rows; i++) {
      row[i] = records[i * width + ROW];
      tick[i] = before + i;
    }
    return {
      entity: this.entity,
      rows,
      row,
      time: timed ? numbers(TIME, 1) : null,
      tick,
      features: numbers(FIRST + categories, features),
      ...(categories > 0 && { texts: dictionaries.categories.map((texts, c) => list(FIRST + c, texts)) }),
      target: targets > 0 ? numbers(FIRST + categories + features, targets) : null,
      labels: labelled ? list(LABEL, dictionaries.labels) : null,
      split: split ? list(SPLIT, dictionaries.splits) : null,
    };
  }
}

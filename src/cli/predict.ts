/**
 * @file `ostinato predict`: every prediction a model has for a file, through its frozen preprocessing; the target columns may be absent.
 *
 * A row of the output is what a stream says when it has read that row of the input. Only a model that looks ahead, which no stream can
 * run, reads its windows side by side.
 */
import { once } from "node:events";
import { createWriteStream, existsSync, realpathSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { extname } from "node:path";
import type { Batch } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import {
  aheadName,
  applyPreprocessing,
  batches,
  elementAt,
  lanes,
  type PreparedData,
  type Slices,
  sequences,
  trailingWindows,
  windows,
} from "../data/index.js";
import type { WeightType } from "../kernels/index.js";
import { type LoadedModel, probabilities } from "../model/index.js";
import { loadModel } from "../model/load-file.js";
import { readModelInput } from "./data-file.js";
import { predictorName, trainedConfig } from "./model-file.js";
import { fileError, wantWritable } from "./output-file.js";
import { counted, Terminal, type TerminalOptions } from "./terminal.js";

export interface PredictCommandOptions extends TerminalOptions {
  data: string;
  out: string;
  /** Replaces the file. */
  force?: boolean;
  weights?: WeightType;
}

const BATCH_SIZE = 256;

/** What is known of a prediction's place: the series, and the last row read. */
interface Place {
  entity: string;
  row: number;
  time: number | null;
}

type Cell = string | number | null;

export async function predictCommand(path: string, options: PredictCommandOptions): Promise<0> {
  const terminal = new Terminal(options);
  const { data, out } = options;
  const format = extname(out).toLowerCase();
  if (format !== ".csv" && format !== ".ndjson" && format !== ".jsonl") {
    throw new OstinatoError("OST_USAGE", {
      what: "the extension says no format that predictions can be written in",
      expected: ".csv or .ndjson",
      got: format || "no extension",
      where: `--out ${out}`,
      repair: "for example: --out predictions.csv",
    });
  }
  if (existsSync(out) && !options.force) {
    throw new OstinatoError("OST_USAGE", {
      what: "the file exists, and nothing is overwritten",
      where: `--out ${out}`,
      repair: "choose another --out, or add --force",
    });
  }
  if (existsSync(out) && [data, path].some((input) => existsSync(input) && realpathSync(input) === realpathSync(out))) {
    throw new OstinatoError("OST_USAGE", {
      what: "the predictions would replace what they are made from",
      expected: "another file than the data and the model",
      got: out,
      where: `--out ${out}`,
      repair: "choose another --out",
    });
  }
  wantWritable(out);
  const loaded = await loadModel(path, { weights: options.weights });
  const { preprocessing } = loaded;
  const table = await readModelInput(data, {
    ...preprocessing,
    config: loaded.header.provenance.config ? trainedConfig(loaded, path) : null,
  });
  const prepared = everyRowCounts(applyPreprocessing(table, preprocessing, { target: "optional" }));
  const { ahead } = preprocessing.derived;
  const unsaid = (ahead?.columns ?? []).filter((name) => !table.columns.some((column) => column.name === aheadName(name)));
  if (ahead && unsaid.length > 0) {
    terminal.warn(
      `  The last ${counted(ahead.steps, "row")} of each series stand for what is known after them: ${unsaid.join(", ")} held at the last value. ` +
        `A column ${aheadName(unsaid[0])} in the file says what is truly known.`,
    );
  }
  const layout = layoutOf(loaded);
  const rows = await writeRows(
    out,
    format === ".csv"
      ? csvLines(layout, predictions(loaded, prepared, layout))
      : jsonLines(layout, predictions(loaded, prepared, layout)),
    (count) => terminal.status(`  ${counted(count, "row")} written`),
  );
  terminal.print(
    `  ${predictorName(loaded)}: ${counted(rows, "row")} of predictions for ${counted(table.rows, "row")} of ${table.source}, written to ${out}.`,
  );
  if (options.json)
    terminal.json({ model: path, data, out, rows, inputRows: table.rows, columns: layout.columns, weights: loaded.weights });
  return 0;
}

/** Examples are chosen by having a class; for prediction every row has one. */
function everyRowCounts(prepared: PreparedData): PreparedData {
  return {
    ...prepared,
    series: prepared.series.map((one) => (one.classes ? { ...one, classes: zeros(one.length) } : one)),
  };
}

/** As many zeros as a series has steps, without holding them. */
function zeros(length: number): Slices<Int32Array> {
  return { length, subarray: (from, to) => new Int32Array(to - from) };
}

interface Layout {
  columns: string[];
  /** Turns one output of the model into the cells after the place: one row, or one per step of the horizon. */
  cells(output: Float32Array): Cell[][];
  /** The columns from here on are the probabilities of the classes. */
  probabilitiesAt: number;
  timed: boolean;
}

function layoutOf({ header: { spec }, preprocessing }: LoadedModel): Layout {
  const timed = preprocessing.roles.time !== null;
  const place = timed ? ["entity", "row", "time"] : ["entity", "row"];
  if (spec.targetKind === "values") {
    const width = spec.targets.length;
    const own = [...place, "step"];
    return {
      columns: [...own, ...spec.targets.map((name) => (own.includes(name) ? `${name}.predicted` : name))],
      cells(output) {
        const values = preprocessing.unscaleTarget(output);
        return Array.from({ length: spec.horizon }, (_, p) => [p + 1, ...values.subarray(p * width, (p + 1) * width)]);
      },
      probabilitiesAt: Number.POSITIVE_INFINITY,
      timed,
    };
  }
  const { classes } = spec;
  return {
    columns: [...place, "label", "confidence", ...classes.map((name) => `probability.${name}`)],
    cells(output) {
      const shares = probabilities(output, 0, classes.length);
      const best = shares.indexOf(Math.max(...shares));
      return [[classes[best], shares[best], ...shares]];
    },
    probabilitiesAt: place.length + 2,
    timed,
  };
}

function* predictions(loaded: LoadedModel, prepared: PreparedData, layout: Layout): Generator<Cell[]> {
  for (const { place, output } of outputs(loaded, prepared)) {
    const { entity, row, time } = place;
    const own: Cell[] = layout.timed ? [entity, row, time === null ? null : new Date(time).toISOString()] : [entity, row];
    for (const cells of layout.cells(output)) {
      if (cells.some((cell) => typeof cell === "number" && !Number.isFinite(cell))) throw notFinite(place, prepared);
      yield [...own, ...cells];
    }
  }
}

/** A prediction that is no number is a failure of the model or of its input, never an empty cell. */
function notFinite({ entity, row }: Place, { preprocessing }: PreparedData): OstinatoError {
  const series = preprocessing.roles.entity === null ? "" : ` of "${entity}"`;
  return new OstinatoError("OST_NAN", {
    what: "the model gave a prediction that is not finite; no file was written",
    expected: "finite numbers",
    where: `row ${row}${series}`,
    repair: "check the values up to that row (ostinato inspect shows the range the model was trained in)",
  });
}

/** The model's output at every step it predicts from, series by series. */
function* outputs(loaded: LoadedModel, prepared: PreparedData): Generator<{ place: Place; output: Float32Array }> {
  const { header, predictor } = loaded;
  const { spec } = header;
  const everyStep = spec.targetKind === "tags" || spec.everyStep;
  const { source, last } = inputs(loaded, prepared);
  for (const batch of source) {
    const output = predictor.predict(batch);
    const width = output.length / (batch.batchSize * (everyStep ? batch.time : 1));
    for (let b = 0; b < batch.batchSize; b++) {
      const series = prepared.series[batch.series[b]];
      const length = batch.lengths[b];
      if (!series || length === 0) continue;
      for (let t = everyStep && !last ? 0 : length - 1; t < length; t++) {
        const at = batch.start[b] + t;
        const from = everyStep ? b * batch.time + t : b;
        yield {
          place: { entity: series.entity, row: elementAt(series.row, at), time: series.time && elementAt(series.time, at) },
          output: output.slice(from * width, (from + 1) * width),
        };
      }
    }
  }
}

/** Batches in the order of the rows; `last`: only the last step of each example predicts. */
function inputs({ header }: LoadedModel, prepared: PreparedData): { source: Iterable<Batch>; last: boolean } {
  const { spec, streaming, windowLength, normalize } = header;
  const options = { batchSize: BATCH_SIZE, normalize };
  const part = "test";
  const everyStep = spec.targetKind === "tags" || spec.everyStep;
  if (!everyStep) {
    if (spec.targetKind === "class" && spec.length === 0)
      return { source: batches(sequences(prepared, { part }), options), last: true };
    return {
      source: batches(
        windows(prepared, { length: spec.length, horizon: spec.horizon, stride: 1, part, keepUnscored: true }),
        options,
      ),
      last: true,
    };
  }
  if (streaming === "windowed") {
    const shortest = spec.targetKind === "tags" ? 1 : Math.max(1, spec.length);
    const examples = trailingWindows(prepared, { length: windowLength, part, shortest, horizon: spec.horizon });
    return { source: batches(examples, options), last: true };
  }
  if (streaming === null && spec.targetKind === "tags") {
    const examples = spec.length === 0 ? sequences(prepared, { part }) : windows(prepared, { length: spec.length, part });
    return { source: batches(examples, { ...options, batchSize: 32 }), last: false };
  }
  return { source: wholeSeries(prepared, spec.horizon), last: false };
}

/** One series at a time from its first to its last step. */
function* wholeSeries(prepared: PreparedData, horizon: number): Generator<Batch> {
  const longest = prepared.series.reduce((most, { length }) => Math.max(most, length), 1);
  yield* lanes(prepared, { batchSize: 1, chunk: longest, part: "test", horizon: Math.max(1, horizon) });
}

function* csvLines({ columns }: Layout, rows: Iterable<Cell[]>): Generator<string> {
  yield columns.map(csvCell).join(",");
  for (const row of rows) yield row.map(csvCell).join(",");
}

function csvCell(cell: Cell): string {
  const text = cell === null ? "" : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function* jsonLines({ columns, probabilitiesAt }: Layout, rows: Iterable<Cell[]>): Generator<string> {
  for (const row of rows) {
    const record: Record<string, unknown> = Object.fromEntries(
      columns.slice(0, probabilitiesAt).map((name, c) => [name, row[c]]),
    );
    if (probabilitiesAt < columns.length) {
      const names = columns.slice(probabilitiesAt).map((name) => name.slice("probability.".length));
      record["probabilities"] = Object.fromEntries(names.map((name, c) => [name, row[probabilitiesAt + c]]));
    }
    yield JSON.stringify(record);
  }
}

/** Writes beside the file and renames, so that nobody reads a part of it. @returns the rows of predictions. */
async function writeRows(path: string, lines: Iterable<string>, onRows: (count: number) => void): Promise<number> {
  const beside = `${path}.${process.pid}.partial`;
  const csv = extname(path).toLowerCase() === ".csv";
  let count = csv ? -1 : 0;
  const file = createWriteStream(beside);
  try {
    await once(file, "open");
    const failed = once(file, "error").then(([error]) => Promise.reject(error));
    failed.catch(() => {});
    let block: string[] = [];
    const flush = async () => {
      const text = block.map((line) => `${line}\n`).join("");
      block = [];
      if (!file.write(text)) await Promise.race([once(file, "drain"), failed]);
      onRows(count);
    };
    for (const line of lines) {
      block.push(line);
      count++;
      if (block.length === 4096) await flush();
    }
    await flush();
    file.end();
    await Promise.race([once(file, "finish"), failed]);
    await rename(beside, path);
    return count;
  } catch (cause) {
    file.destroy();
    await rm(beside, { force: true });
    throw fileError(path, cause);
  }
}

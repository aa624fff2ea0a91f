/**
 * @file The data of a configuration or a model: files, folders, queries and joined sources, read into a table or prepared on disk, and hashed
 * for the provenance.
 */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import type { TargetKind } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { prepareOnDisk } from "../data/disk/prepare-on-disk.js";
import { asOfJoin, columnOf, type PreparedData, splitColumn, type Table, tableFromChunk } from "../data/index.js";
import {
  hashFile,
  hashSource,
  type ReadOptions,
  type ReadTableOptions,
  type RecordingOptions,
  readChunks,
  readTable,
  sampleRateOf,
  sourceBytes,
} from "../data/read/index.js";
import { dataOptions, type ExperimentConfig, type Tokenizers, taskOf } from "../tasks/index.js";
import { counted, describeBytes, type Terminal } from "./terminal.js";

/** What a command needs to know of an experiment's data. */
export interface ExperimentFiles {
  table: Table;
  /** sha256 by name, in the order of the configuration. */
  hashes: Record<string, string>;
  tokenizers: Tokenizers;
}

export interface ReadingOptions {
  /** Told how far a long reading is. */
  terminal?: Terminal;
  signal?: AbortSignal;
}

/** All rows in memory. @throws OST_FILE, OST_FORMAT, OST_COLUMN as `readTable` does. */
export async function readExperimentFiles(config: ExperimentConfig, options: ReadingOptions = {}): Promise<ExperimentFiles> {
  const { data } = config;
  const table = await readTable(data.source, { ...readingOf(config), ...watched(options) });
  tellLeftOut(table, options);
  return { table: await joined(table, config, options), hashes: await hashData(data), tokenizers: readTokenizers(data) };
}

/** An experiment's data as training wants them: a table, or columns prepared on disk where the rows are too many for memory. */
export interface ExperimentInput extends Omit<ExperimentFiles, "table"> {
  input: Table | PreparedData;
  /** Rows of the sources. */
  rows: number;
}

/** Where prepared columns lie, below the working directory; they may be removed at any time. */
export const PREPARED_FOLDER = join(".ostinato", "prepared");

/** @throws as `readExperimentFiles` and `prepareOnDisk` do. */
export async function openExperimentData(config: ExperimentConfig, options: ReadingOptions = {}): Promise<ExperimentInput> {
  if (!(await isOnDisk(config))) {
    const { table, ...rest } = await readExperimentFiles(config, options);
    return { input: table, rows: table.rows, ...rest };
  }
  const { data } = config;
  if (data.sync.length > 0) {
    throw new OstinatoError("OST_CONFIG", {
      what: "sources are joined in memory",
      expected: "data.storage: memory, or a join in data.sql",
      got: "data.sync with data prepared on disk",
      where: "data.sync",
      repair: "set data.storage: memory, or use SELECT ... ASOF JOIN in data.sql",
    });
  }
  const { terminal } = options;
  const reading = { ...readingOf(config), ...watched(options) };
  await checkColumns(config, reading);
  const hashes = await hashData(data);
  const tokenizers = readTokenizers(data);
  const fingerprint = createHash("sha256")
    .update(JSON.stringify({ ...preparingOf(config), hashes: Object.values(hashes) }, inKeyOrder))
    .digest("hex");
  const prepared = await prepareOnDisk(
    () => readChunks(data.source, { ...reading, only: columnsOf(config) }),
    dataOptions(config, tokenizers),
    {
      folder: resolve(process.env["OSTINATO_CACHE"] ?? PREPARED_FOLDER, fingerprint.slice(0, 16)),
      fingerprint,
      onProgress: ({ stage, rows, totalRows }) => {
        if (stage === "read") return;
        const of = totalRows === null ? "" : ` of ${totalRows.toLocaleString("en-US")}`;
        terminal?.status(`  ${STAGES[stage]}: ${rows.toLocaleString("en-US")}${of} rows`);
      },
    },
  );
  terminal?.clear();
  tellLeftOut(prepared, options);
  return { input: prepared, rows: prepared.files.reduce((sum, { rows }) => sum + rows, 0), hashes, tokenizers };
}

const STAGES = {
  resample: "bringing onto the grid",
  fit: "fitting statistics on training rows",
  write: "writing prepared columns",
};

/** Sources larger than this are prepared on disk unless the configuration says otherwise. */
const LARGEST_IN_MEMORY = 512 * 2 ** 20;

export async function isOnDisk({ data: { storage, source, read } }: ExperimentConfig): Promise<boolean> {
  if (storage !== "auto") return storage === "disk";
  return (await sourceBytes(source, read as ReadOptions)) > LARGEST_IN_MEMORY;
}

/** What prepared columns depend on. */
function preparingOf({ task, mode, window, data }: ExperimentConfig) {
  const { source, storage: _storage, read, ...others } = data;
  // A model knows the sample rate that training found; the columns are the same.
  const { sampleRateHz: _found, ...audio } = (read.audio ?? {}) as RecordingOptions;
  const rest = { ...others, read: { ...read, audio: read.audio && audio } };
  const parts = typeof source === "string" || Array.isArray(source) ? null : Object.keys(source);
  return { task, mode, horizon: window.horizon, data: rest, parts };
}

function readingOf(config: ExperimentConfig): ReadTableOptions {
  const { data } = config;
  const { entity, target, split, categories, sessions, features, known, sync } = data;
  const values = taskOf(config).targetKind === "values" && !target.some((name) => name in categories);
  const text = [entity, splitColumn(split), ...(sessions?.by ?? []), ...Object.keys(categories), ...sync.map(({ by }) => by)];
  const joinedNames = new Set(sync.flatMap(({ columns, prefix }) => (columns ?? []).map((name) => prefix + name)));
  return {
    text: [...text, ...(values ? [] : target)].filter((name) => name !== null),
    numeric: [...features, ...known, ...(values ? target : [])].filter((name) => !joinedNames.has(name)),
    read: data.read as ReadOptions,
    sql: data.sql,
  };
}

/** The columns that an experiment reads. */
function columnsOf({ data }: ExperimentConfig): string[] {
  const { time, entity, features, known, categories, target, split, sessions, labelKnown, anomaly } = data;
  const names = [
    time,
    entity,
    labelKnown,
    anomaly?.column ?? null,
    ...features,
    ...known,
    ...Object.keys(categories),
    ...target,
    splitColumn(split),
    ...(sessions?.by ?? []),
  ];
  return [...new Set(names.filter((name) => name !== null))];
}

/** @throws OST_COLUMN naming the nearest of all columns, before the others are left out. */
async function checkColumns(config: ExperimentConfig, reading: ReadTableOptions): Promise<void> {
  for await (const chunk of readChunks(config.data.source, { ...reading, onProgress: undefined, numeric: [] })) {
    const table = tableFromChunk(chunk);
    for (const name of columnsOf(config)) columnOf(table, name);
    return;
  }
}

function watched({ terminal, signal }: ReadingOptions): Pick<ReadTableOptions, "onProgress" | "signal"> {
  return {
    signal,
    ...(terminal && {
      onProgress: ({ bytes, totalBytes, rows, file }) => {
        if (bytes >= totalBytes) terminal.clear();
        else
          terminal.status(
            `  reading ${file}: ${describeBytes(bytes)} of ${describeBytes(totalBytes)}, ${rows.toLocaleString("en-US")} rows`,
          );
      },
    }),
  };
}

/** What was left out while reading is never left unsaid. */
function tellLeftOut({ skipped, ignoredFiles }: Pick<Table, "skipped" | "ignoredFiles">, { terminal }: ReadingOptions): void {
  if (skipped && skipped.rows > 0) {
    const { rows, first } = skipped;
    const more = rows > first.length ? " ..." : "";
    terminal?.warn(`  ${counted(rows, "row")} could not be read and were left out: ${first.join("; ")}${more}`);
  }
  if (ignoredFiles) terminal?.warn(`  ${counted(ignoredFiles, "file")} of another format, or not of data.read.pattern, left out`);
}

/** The table with the latest values of the other sources at each row's time. */
async function joined(table: Table, config: ExperimentConfig, options: ReadingOptions): Promise<Table> {
  const { data } = config;
  const texts = readingOf(config).text ?? [];
  let made = table;
  for (const { source, read, time, by, columns, toleranceMs, prefix } of data.sync) {
    if (data.time === null) {
      throw new OstinatoError("OST_CONFIG", {
        what: "sources are brought together by their times",
        expected: "a column in data.time",
        got: "data.time: null",
        where: "data.sync",
        repair: "set data.time",
      });
    }
    const own = texts.flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []));
    const right = await readTable(source, {
      read: read as ReadOptions,
      text: by === null ? own : [by, ...own],
      ...watched(options),
    });
    tellLeftOut(right, options);
    made = asOfJoin(made, right, {
      time: data.time,
      rightTime: time,
      ...(by !== null && { by }),
      ...(columns !== null && { columns }),
      ...(toleranceMs !== null && { toleranceMs }),
      prefix,
    });
  }
  return made;
}

/** @throws OST_FILE, OST_FORMAT */
function readTokenizers(data: ExperimentConfig["data"]): Tokenizers {
  return Object.fromEntries(tokenizerFiles(data).map(([column, file]) => [column, readJson(file)]));
}

/** The tokenizer.json files that a configuration names, by the column whose text each is for. */
function tokenizerFiles({ categories, target, targetTokens }: ExperimentConfig["data"]): [column: string, file: string][] {
  const files = Object.entries(categories).flatMap(([column, category]): [string, string][] =>
    category.kind === "tokenizerJson" ? [[column, category.file]] : [],
  );
  return targetTokens?.kind === "tokenizerJson" ? [...files, [target[0], targetTokens.file]] : files;
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code !== undefined;
    throw new OstinatoError(
      missing ? "OST_FILE" : "OST_FORMAT",
      {
        what: missing ? "the tokenizer cannot be read" : "the tokenizer is not JSON",
        expected: "a Hugging Face tokenizer.json",
        got: (cause as Error).message.slice(0, 100),
        where: path,
      },
      { cause },
    );
  }
}

/** A file to be run through a model that exists already, read as its training data were. */
export function readModelInput(
  path: string,
  {
    roles,
    targetKind,
    derived,
    config,
  }: {
    roles: { entity: string | null; target: readonly string[]; categories?: readonly string[] };
    targetKind: TargetKind;
    derived?: { sessions: { by?: readonly string[] | null } | null };
    config?: ExperimentConfig | null;
  },
): Promise<Table> {
  const { entity, target, categories = [] } = roles;
  const text = [entity, ...categories, ...(derived?.sessions?.by ?? []), ...(targetKind === "values" ? [] : target)];
  return readTable(path, { text: text.filter((name) => name !== null), read: readAlike(path, config) });
}

/** The settings of training's files, for a file of the same kind. */
function readAlike(path: string, config: ExperimentConfig | null | undefined): ReadOptions | undefined {
  if (!config?.data.read) return undefined;
  const [first = ""] = sourcePaths(config.data.source);
  const read = config.data.read as ReadOptions;
  const kind = (name: string) => basename(name).toLowerCase().replace(/\.gz$/, "").split(".").at(-1);
  if (kind(first) === kind(path) || statSync(path, { throwIfNoEntry: false })?.isDirectory()) return read;
  // One recording of those that training found in a folder.
  return kind(path) === "wav" && read.audio ? { ...read, pattern: null, label: null } : undefined;
}

type DataSource = ExperimentConfig["data"]["source"];

/** Everything a configuration's data block reads. */
export async function hashData(data: ExperimentConfig["data"]): Promise<Record<string, string>> {
  const hashes = await hashSources(data.source, data.read as ReadOptions);
  for (const [k, { source, read }] of data.sync.entries()) {
    for (const path of sourcePaths(source))
      hashes[`sync ${k + 1} ${basename(path)}`] = await hashSource(path, read as ReadOptions);
  }
  for (const [, file] of tokenizerFiles(data)) hashes[`tokenizer ${basename(file)}`] = await hashFile(file);
  return hashes;
}

/** By the names of {@link portableSource}; a folder has one hash of all its files. @throws OST_FILE */
async function hashSources(source: DataSource, read?: ReadOptions): Promise<Record<string, string>> {
  const names = sourcePaths(portableSource(source));
  const hashes: Record<string, string> = {};
  for (const [i, path] of sourcePaths(source).entries()) hashes[names[i]] = await hashSource(path, read);
  return hashes;
}

export function sourcePaths(source: DataSource): string[] {
  return typeof source === "string" ? [source] : Object.values(source);
}

/** The files' paths below the folder they share, so that nothing that travels with a model tells where its trainer keeps his data. */
export function portableSource(source: DataSource): DataSource {
  const folders = sourcePaths(source).map((path) => dirname(resolve(path)).split(sep));
  const [first] = folders;
  let shared = 0;
  while (shared < first.length && folders.every((folder) => folder[shared] === first[shared])) shared++;
  const portable = (path: string) => resolve(path).split(sep).slice(shared).join("/");
  if (typeof source === "string") return portable(source);
  if (Array.isArray(source)) return source.map(portable);
  return Object.fromEntries(Object.entries(source).map(([part, path]) => [part, portable(path)]));
}

/** The configuration as a model file holds it. */
export function portableConfig(config: ExperimentConfig): ExperimentConfig {
  const { data, train } = config;
  const categories = Object.entries(data.categories).map(([name, category]) => [
    name,
    category.kind === "tokenizerJson" ? { ...category, file: basename(category.file) } : category,
  ]);
  return {
    ...config,
    train: { ...train, ...(train.from !== undefined && { from: basename(train.from) }) },
    data: {
      ...data,
      source: portableSource(data.source),
      sync: data.sync.map((one) => ({ ...one, source: portableSource(one.source) })),
      categories: Object.fromEntries(categories),
      targetTokens:
        data.targetTokens?.kind === "tokenizerJson"
          ? { ...data.targetTokens, file: basename(data.targetTokens.file) }
          : data.targetTokens,
    },
  };
}

/** The configuration with the sample rate that its recordings have, so that whoever reads others by it asks for the same. */
export async function withSampleRate(config: ExperimentConfig): Promise<ExperimentConfig> {
  const { data } = config;
  const read = data.read as ReadOptions;
  if (data.sql || read.audio?.sampleRateHz !== undefined) return config;
  const sampleRateHz = await sampleRateOf(data.source, read);
  if (sampleRateHz === null) return config;
  const audio: ExperimentConfig["data"]["read"]["audio"] = { features: "logMel", ...data.read.audio, sampleRateHz };
  return { ...config, data: { ...data, read: { ...data.read, audio } } };
}

/**
 * Names a run by what it learns from what: the settings of data, network and training, wherever the files lie, and the files' contents.
 * How the run is called and judged is no part of it: a decision that was corrected changes nothing that was learned, unless its costs are
 * what is minimised or its metric chooses the epoch.
 */
export function fingerprintOf(config: ExperimentConfig, hashes: Record<string, string>): string {
  const { name: _name, decision, evaluation, decoding, data: _data, ...learning } = portableConfig(config);
  const { source, storage: _storage, ...options } = portableConfig(config).data;
  const { loss, selection } = config.train;
  const judged = selection === "metric" ? { decision, decoding, period: evaluation.period } : {};
  const costs = loss === "costs" ? { decision } : {};
  const parts = typeof source === "string" || Array.isArray(source) ? null : Object.keys(source);
  return createHash("sha256")
    .update(JSON.stringify({ ...learning, ...costs, ...judged, data: options, parts, hashes: Object.values(hashes) }, inKeyOrder))
    .digest("hex");
}

/** Whether two configurations judge what was learned in the same way. */
export function judgesAlike(a: ExperimentConfig, b: ExperimentConfig): boolean {
  const judging = ({ decision, evaluation }: ExperimentConfig) => JSON.stringify({ decision, evaluation }, inKeyOrder);
  return judging(a) === judging(b);
}

/** A replacer that makes equal objects equal texts. */
function inKeyOrder(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

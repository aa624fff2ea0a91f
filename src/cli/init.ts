/** @file `ostinato init`: reads a data file, says what it sees, and writes a configuration to begin with. */
import { existsSync } from "node:fs";
import { basename, dirname, extname, relative, resolve } from "node:path";
import { parse, stringify } from "yaml";
import { type ErrorCode, OstinatoError } from "../core/errors.js";
import { TASK_NAMES } from "../core/task-name.js";
import { type Column, parseTime, type Table } from "../data/index.js";
import { readTable } from "../data/read/index.js";
import type { TaskName } from "../model/index.js";
import { type ExperimentConfig, evaluationBatches, parseConfig, prepareExperiment } from "../tasks/index.js";
import { DEFAULT_CONFIG } from "./config-file.js";
import { readExperimentFiles } from "./data-file.js";
import { wantWritable, writeWhole } from "./output-file.js";
import { counted, Terminal, type TerminalOptions, thousands } from "./terminal.js";

export interface InitCommandOptions extends TerminalOptions {
  data: string;
  out?: string;
  target?: string;
  force?: boolean;
}

/** What a table looks like to someone who has to configure it. */
export interface DataSketch {
  rows: number;
  time: string | null;
  entity: string | null;
  series: number;
  /** Rows of the shortest series. */
  shortest: number;
  /** Columns of numbers; time, entity, labels and mere counts of the rows left out. */
  numeric: string[];
  /** Columns of texts, or of numbers named like a label, with few distinct values; the likeliest label last. */
  labels: { name: string; values: number; constant: boolean }[];
  /** A column that names the parts of a split. */
  part: string | null;
  missing: number;
  /** Median step between two rows of a series, or null without times. */
  stepMs: number | null;
  first: number | null;
  last: number | null;
  /** Places where a step is longer than one and a half of the median. */
  gaps: number;
}

const MAX_LABELS = 100;
/** Names under which whole numbers are classes. */
const LABEL_NAME = /^(label|class|category|target_class)$/i;
/** Names of columns that tell series apart, alone or as the last word of a longer name. */
const ENTITY_NAME =
  /(^|[^a-z])(id|device|run|entity|unit|machine|series|session|sequence|user|sensor|subject|patient|vehicle)(_?id)?$/i;
const CAMEL_ID = /[a-z](Id|ID)$/;
const PARTS = new Set(["train", "validation", "test", ""]);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

export async function initCommand(task: string | undefined, options: InitCommandOptions): Promise<0> {
  const terminal = new Terminal(options);
  const out = options.out ?? DEFAULT_CONFIG;
  if (existsSync(out) && !options.force) {
    throw new OstinatoError("OST_USAGE", {
      what: "the file exists, and nothing is overwritten",
      where: out,
      repair: "choose another --out, or add --force",
    });
  }
  wantWritable(out);
  const table = await readTable(options.data);
  const sketch = sketchData(table);
  const plan = makePlan(sketch, checkTask(task, sketch), options.target, table);
  const source = relative(dirname(resolve(out)), resolve(options.data)).replaceAll("\\", "/");
  const text = configText(sketch, plan, source, basename(options.data, extname(options.data)));
  const config = parseConfig(parse(text), out);
  await wantTrainable({ ...config, data: { ...config.data, source: resolve(options.data) } }, sketch, table);
  await writeWhole(out, text);
  terminal.print(`  Read ${basename(options.data)}: ${describeSketch(sketch)}.`);
  const named = out === DEFAULT_CONFIG ? "" : ` ${out}`;
  terminal.print(`  Wrote ${out}: ${plan.summary}. Edit it, then: ostinato audit${named} && ostinato train${named}`);
  if (options.json) terminal.json({ out, task: plan.task, target: plan.target, ...sketch });
  return 0;
}

/** What no setting mends, in a file that training would refuse. */
const HOPELESS: readonly ErrorCode[] = ["OST_WINDOW", "OST_SPLIT", "OST_TARGET", "OST_ORDER"];

/**
 * Goes as far with a configuration as training does before it makes a network.
 *
 * @throws OST_WINDOW, OST_SPLIT, OST_TARGET, OST_ORDER where training would refuse the file. What a setting mends, such as a missing value
 * that no policy fills, is left to training, which names it.
 */
async function wantTrainable(config: ExperimentConfig, sketch: DataSketch, read: Table): Promise<void> {
  const { source } = read;
  try {
    const numbered = [config.data.entity, ...(config.task === "forecast" ? [] : config.data.target)].some((name) =>
      read.columns.some((column) => column.name === name && column.texts === null),
    );
    const table = numbered ? (await readExperimentFiles(config)).table : read;
    const { prepared } = prepareExperiment(config, table);
    for (const part of ["train", "validation", "test"] as const) for (const _ of evaluationBatches(config, prepared, part)) break;
  } catch (error) {
    if (!(error instanceof OstinatoError) || !HOPELESS.includes(error.code)) return;
    const { detail, code } = error;
    const small = code === "OST_WINDOW" || code === "OST_SPLIT";
    throw new OstinatoError(
      code,
      {
        ...detail,
        what: small ? `too few rows to train on, judge and test apart: ${detail.what}` : detail.what,
        got: [describeSketch(sketch), detail.got].filter(Boolean).join("; "),
        where: detail.where && detail.where !== source ? `${source}, ${detail.where}` : source,
        repair: small
          ? "record more rows; nothing was written"
          : code === "OST_ORDER"
            ? "sort the rows by time, or name the column that tells series apart id, device, unit or run; nothing was written"
            : detail.repair,
      },
      { cause: error },
    );
  }
}

/** Looks at every column of a table. */
export function sketchData(table: Table): DataSketch {
  const time = table.columns.find(isTime)?.name ?? null;
  const rest = table.columns.filter(({ name }) => name !== time);
  const part =
    rest.find(({ texts }) => texts !== null && new Set(texts).size > 1 && texts.every((text) => PARTS.has(text.trim())))?.name ??
    null;
  const texts = rest.filter((column): column is Column & { texts: string[] } => column.texts !== null && column.name !== part);
  const times = time === null ? null : timesOf(table, time);
  const entity = findEntity(table, rest, texts, times);
  const groups = groupRows(table, entity);
  const isIndex = (cells: Float64Array) =>
    groups.every(
      (rows) => cells[rows[0]] <= 1 && cells[rows[0]] >= 0 && rows.every((row, i) => cells[row] === cells[rows[0]] + i),
    );
  const labels = rest
    .filter(({ name, numbers }) => name !== entity && name !== part && (numbers === null || LABEL_NAME.test(name)))
    .map(({ name, numbers, texts: own }) => ({ name, cells: own ?? Array.from(numbers as Float64Array) }))
    .filter(({ cells }) => distinct(cells) >= 2 && distinct(cells) <= Math.min(MAX_LABELS, table.rows / 4))
    .map(({ name, cells }) => ({
      name,
      values: distinct(cells),
      constant: entity !== null && groups.every((rows) => rows.every((row) => cells[row] === cells[rows[0]])),
    }));
  const labelled = new Set(labels.map(({ name }) => name));
  const numeric = rest
    .filter(({ name, numbers }) => numbers !== null && name !== entity && !labelled.has(name))
    .filter(({ numbers }) => table.rows === groups.length || !isIndex(numbers as Float64Array))
    .map(({ name }) => name);
  const measured = new Set(numeric);
  const steps = times ? groups.flatMap((rows) => rows.slice(1).map((row, i) => times[row] - times[rows[i]])) : [];
  const sorted = Float64Array.from(steps).sort();
  const stepMs = sorted.length > 0 ? sorted[sorted.length >> 1] : null;
  return {
    rows: table.rows,
    time,
    entity,
    series: groups.length,
    shortest: groups.reduce((least, rows) => Math.min(least, rows.length), table.rows),
    numeric,
    labels,
    part,
    missing: rest.reduce(
      (sum, { name, numbers }) =>
        sum + (numbers && measured.has(name) ? numbers.reduce((n, value) => n + (Number.isNaN(value) ? 1 : 0), 0) : 0),
      0,
    ),
    stepMs,
    first: times ? times.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY) : null,
    last: times ? times.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY) : null,
    gaps: stepMs === null ? 0 : steps.filter((step) => step > 1.5 * stepMs).length,
  };
}

/** Texts that are all times, or numbers that are named like one and rise. */
function isTime({ name, numbers, texts }: Column): boolean {
  if (texts && !numbers) return texts.every((text) => parseTime(text) !== undefined && !Number.isNaN(parseTime(text) as number));
  return /^(time|timestamp|date|datetime|ts)$/i.test(name) && (numbers as Float64Array).every((value) => Number.isFinite(value));
}

function timesOf(table: Table, name: string): Float64Array {
  const { numbers, texts } = table.columns.find((column) => column.name === name) as Column;
  return Float64Array.from(
    { length: table.rows },
    (_, i) => parseTime(texts ? texts[i] : (numbers as Float64Array)[i]) as number,
  );
}

function distinct(cells: ArrayLike<unknown>): number {
  return new Set(Array.from(cells)).size;
}

/**
 * The column within whose values time rises: needed where times repeat or go back, and else only where a name says so. A column of texts,
 * or of whole numbers that is named like one: any measurement whose values are rare enough would part the rows in the same way.
 */
function findEntity(
  table: Table,
  rest: readonly Column[],
  texts: readonly (Column & { texts: string[] })[],
  times: Float64Array | null,
): string | null {
  const candidates = rest.filter(
    ({ name, numbers }) =>
      (ENTITY_NAME.test(name) || CAMEL_ID.test(name)) && (numbers === null || numbers.every(Number.isInteger)),
  );
  const rises = (rows: readonly number[][]) =>
    times === null || rows.every((group) => group.every((row, i) => i === 0 || times[row] > times[group[i - 1]]));
  const tells = (name: string) => {
    const groups = groupRows(table, name);
    return groups.length >= 2 && groups.length <= table.rows / 2 && rises(groups);
  };
  const named = candidates.find(({ name }) => tells(name));
  if (named) return named.name;
  if (times === null || rises([Array.from({ length: table.rows }, (_, i) => i)])) return null;
  return texts.find(({ name }) => tells(name))?.name ?? null;
}

function groupRows(table: Table, name: string | null): number[][] {
  if (name === null) return [Array.from({ length: table.rows }, (_, i) => i)];
  const { numbers, texts } = table.columns.find((column) => column.name === name) as Column;
  const groups = new Map<unknown, number[]>();
  for (let i = 0; i < table.rows; i++) {
    const key = texts ? texts[i] : (numbers as Float64Array)[i];
    const rows = groups.get(key);
    if (rows) rows.push(i);
    else groups.set(key, [i]);
  }
  return [...groups.values()];
}

interface Plan {
  task: TaskName;
  target: string;
  features: string[];
  length: number | null;
  horizon: number;
  period: number | null;
  summary: string;
}

function checkTask(task: string | undefined, { labels }: DataSketch): TaskName {
  const label = labels.at(-1);
  if (task === undefined) return label ? (label.constant ? "classify" : "tag") : "forecast";
  if (task === "forecast" || task === "classify" || task === "tag") return task;
  const known = (TASK_NAMES as readonly string[]).includes(task);
  throw new OstinatoError("OST_USAGE", {
    what: known ? "init writes no configuration for this task" : "no such task",
    expected: "forecast, classify or tag",
    got: task,
    where: "init",
    repair: known ? "begin with the configuration for it in docs/guide/tasks.md" : "ostinato init forecast --data FILE",
  });
}

function makePlan(sketch: DataSketch, task: TaskName, wanted: string | undefined, table: Table): Plan {
  const { numeric, labels, entity, series, shortest, rows, stepMs } = sketch;
  const names = table.columns.map(({ name }) => name);
  if (wanted !== undefined && !names.includes(wanted)) {
    throw new OstinatoError("OST_COLUMN", {
      what: "there is no such column",
      expected: `one of ${names.join(", ")}`,
      got: `"${wanted}"`,
      where: "--target",
      repair: "correct the name",
    });
  }
  const fitting = task === "classify" ? labels.filter(({ constant }) => constant) : labels;
  const label = (fitting.at(-1) ?? labels.at(-1))?.name;
  const target = wanted ?? (task === "forecast" ? numeric.at(-1) : label);
  if (target === undefined) {
    throw new OstinatoError("OST_COLUMN", {
      what: task === "forecast" ? "there is no numeric column to forecast" : "there is no column that looks like a label",
      expected: task === "forecast" ? "a column of numbers" : "a column of a few repeated texts",
      got: names.join(", "),
      where: table.source,
      repair: "name it with --target",
    });
  }
  if (task === "classify") wantConstant(target, sketch, table);
  if (task === "forecast" && table.columns.find(({ name }) => name === target)?.numbers === null) {
    throw new OstinatoError("OST_COLUMN", {
      what: "the column to forecast holds texts",
      expected: "a column of numbers",
      got: `"${target}"`,
      where: "--target",
      repair: "name a numeric column, or choose the task classify or tag",
    });
  }
  const features = task === "forecast" ? numeric : numeric.filter((name) => name !== target);
  if (features.length === 0) {
    throw new OstinatoError("OST_COLUMN", {
      what: "there is no numeric column to learn from",
      got: names.join(", "),
      where: table.source,
      repair: "add a column of numbers",
    });
  }
  const season = stepMs === null ? null : Math.round((stepMs < HOUR * 6 ? DAY : 7 * DAY) / stepMs);
  const period = season !== null && season >= 2 && season <= rows / 4 ? season : null;
  const longest = Math.floor((entity ? shortest : rows * 0.1) / 4);
  const horizon = task === "forecast" ? Math.max(1, Math.min(period !== null && period <= 96 ? period : 24, longest)) : 1;
  const length =
    task === "classify"
      ? null
      : Math.max(2, task === "forecast" ? Math.min(4 * horizon, 2 * longest) : Math.min(64, Math.max(2, longest)));
  const split = series >= 3 ? `by ${entity}` : `by time 70/10/20${task === "forecast" ? ` with a gap of ${horizon}` : ""}`;
  const aim =
    task === "forecast"
      ? `forecast ${target} ${counted(horizon, "step")} ahead from ${length}`
      : `${task} ${target} from ${counted(features.length, "feature")}`;
  return {
    task,
    target,
    features,
    length,
    horizon,
    period,
    summary: `${aim}, split ${sketch.part && task !== "forecast" ? `by the column ${sketch.part}` : split}`,
  };
}

/** A class belongs to a whole sequence. @throws OST_TARGET naming the task that fits where the label changes within one. */
function wantConstant(target: string, { entity }: DataSketch, table: Table): void {
  const { texts, numbers } = table.columns.find(({ name }) => name === target) as Column;
  const cells: ArrayLike<unknown> = texts ?? (numbers as Float64Array);
  const changing = groupRows(table, entity).find((rows) => rows.some((row) => cells[row] !== cells[rows[0]]));
  if (!changing && entity !== null) return;
  throw new OstinatoError("OST_TARGET", {
    what:
      entity === null
        ? "no column tells one sequence from another, and a class belongs to a whole sequence"
        : "the label changes within a sequence",
    expected: entity === null ? "a column of names, such as id, run or sequence" : `one "${target}" for each "${entity}"`,
    got: changing
      ? `"${target}" changes at row ${(changing.find((row) => cells[row] !== cells[changing[0]]) as number) + 1}`
      : "one sequence",
    where: table.source,
    repair: "to label every step instead: ostinato init tag --data FILE",
  });
}

/** The configuration with its comments. */
function configText(sketch: DataSketch, plan: Plan, source: string, name: string): string {
  const { time, entity, series, missing, part, gaps, stepMs } = sketch;
  const { task, target, features, length, horizon, period } = plan;
  const plain = (value: unknown) =>
    stringify(value, { flowCollectionPadding: false, collectionStyle: "flow", lineWidth: 0 }).trim();
  const gap = task === "forecast" ? horizon : 0;
  const split =
    part && task !== "forecast"
      ? `{ by: ${plain(`column:${part}`)} }`
      : series >= 3
        ? "{ by: entity, train: 0.7, validation: 0.15, test: 0.15, seed: 0 }  # whole series, none in two parts"
        : `{ by: time, train: 0.7, validation: 0.1, test: 0.2, gap: ${gap} }  # the test part is the latest`;
  const about = (line: string, comment: string) => `${line.padEnd(44)}  # ${comment}`;
  const forecast = task === "forecast";
  const lines = [
    "# Written by ostinato init. What is left out takes its default; unknown keys are refused.",
    `name: ${plain(name)}`,
    about(`task: ${task}`, "forecast | classify | tag"),
    "data:",
    about(`  source: ${plain(source)}`, "relative to this file"),
    `  time: ${plain(time)}`,
    about(`  entity: ${plain(entity)}`, "the column that tells series apart"),
    `  features: ${plain(features)}`,
    `  target: ${plain(forecast ? [target] : target)}`,
    `  split: ${split}`,
    missing > 0
      ? about(
          "  missing: { policy: forwardFill, flag: true }",
          `${counted(missing, "value")} missing; refuse | forwardFill | value | interpolate`,
        )
      : about("  missing: refuse", "refuse | forwardFill | value | interpolate"),
    ...(gaps > 0 && stepMs !== null
      ? [
          `  # ${counted(gaps, "gap")} in time; to bring the rows onto a regular grid:`,
          `  # resample: { everyMs: ${stepMs}, aggregate: mean }`,
        ]
      : []),
    about(`mode: ${task === "tag" ? "streaming" : "causal"}`, "streaming | causal | offline"),
    ...(forecast
      ? [
          about(
            `window: { length: ${length}, horizon: ${horizon}, stride: 1, normalize: last }`,
            `reads ${length} rows, predicts ${horizon}`,
          ),
        ]
      : length === null
        ? []
        : [about(`window: { length: ${length} }`, "steps between two truncations of backpropagation")]),
    `model: { cell: ${forecast ? "lstm" : "gru"}, hiddenSize: 64, numLayers: 1, dropout: ${task === "classify" ? 0.2 : 0} }`,
    `train: { epochs: ${forecast ? 10 : 40}, batchSize: ${task === "tag" ? 16 : 32}, learningRate: ${forecast ? "1e-3" : "3e-3"}, seed: 7, earlyStopping: { patience: ${forecast ? 3 : 8} } }`,
    ...(forecast && period !== null
      ? [about(`evaluation: { period: ${period} }`, "steps of a season, for the seasonal baseline")]
      : []),
  ];
  return `${lines.join("\n")}\n`;
}

function describeSketch({ rows, stepMs, first, last, gaps, numeric, entity, series, labels, missing }: DataSketch): string {
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  return [
    counted(rows, "row"),
    entity === null ? null : `${thousands(series)} series by ${entity}`,
    stepMs === null ? null : describeStep(stepMs),
    first === null || last === null ? null : `${day(first)} to ${day(last)}`,
    stepMs === null ? null : gaps === 0 ? "no gaps" : counted(gaps, "gap"),
    counted(numeric.length, "numeric column"),
    missing > 0 ? counted(missing, "missing value") : null,
    ...labels.map(({ name, values }) => `${name} with ${counted(values, "label")}`),
  ]
    .filter(Boolean)
    .join(", ");
}

/** "hourly", "every 15 min", "every 250 ms" */
function describeStep(ms: number): string {
  if (ms === HOUR) return "hourly";
  if (ms === DAY) return "daily";
  if (ms === 7 * DAY) return "weekly";
  if (ms > 27 * DAY && ms < 32 * DAY) return "monthly";
  for (const [unit, size] of [
    ["d", DAY],
    ["h", HOUR],
    ["min", MINUTE],
    ["s", 1000],
  ] as const) {
    if (ms >= size) return `every ${Number((ms / size).toFixed(2))} ${unit}`;
  }
  return `every ${ms} ms`;
}

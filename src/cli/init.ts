/** @file `ostinato init`: reads a data file, says what it sees, and writes a configuration to begin with. */
import { existsSync } from "node:fs";
import { basename, dirname, extname, relative, resolve } from "node:path";
import { parse, stringify } from "yaml";
import { type ErrorCode, OstinatoError } from "../core/errors.js";
import { TASK_NAMES } from "../core/task-name.js";
import type { Column, Table } from "../data/index.js";
import { readTable } from "../data/read/index.js";
import type { TaskName } from "../model/index.js";
import { type ExperimentConfig, evaluationBatches, parseConfig, prepareExperiment } from "../tasks/index.js";
import { DEFAULT_CONFIG } from "./config-file.js";
import { readExperimentFiles } from "./data-file.js";
import { DAY, type DataSketch, describeSketch, groupRows, HOUR, sketchData } from "./data-sketch.js";
import { wantWritable, writeWhole } from "./output-file.js";
import { counted, Terminal, type TerminalOptions } from "./terminal.js";

export interface InitCommandOptions extends TerminalOptions {
  data: string;
  out?: string;
  target?: string;
  force?: boolean;
}

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
  const plan = makePlan(sketch, checkTask(task, sketch, table), options.target, table);
  const source = relative(dirname(resolve(out)), resolve(options.data)).replaceAll("\\", "/");
  const text = configText(sketch, plan, source, basename(options.data, extname(options.data)));
  const config = parseConfig(parse(text), out);
  await wantTrainable({ ...config, data: { ...config.data, source: resolve(options.data) } }, sketch, table);
  await writeWhole(out, text);
  const seen = isText(table)
    ? `${counted(characters(table), "character")} in ${counted(table.rows, "line")}`
    : describeSketch(sketch);
  terminal.print(`  Read ${basename(options.data)}: ${seen}.`);
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
    const { entity, target, anomaly } = config.data;
    const texts = [entity, anomaly?.column, ...(VALUES.includes(config.task) ? [] : target)];
    const numbered = texts.some((name) => read.columns.some((column) => column.name === name && column.texts === null));
    const table = numbered || isText(read) ? (await readExperimentFiles(config)).table : read;
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

/** Tasks whose targets are numbers. */
const VALUES: readonly TaskName[] = ["forecast", "detect"];
/** Names under which a column says what was anomalous. */
const ANOMALY_NAME = /^(is_?)?(anomal(y|ous)|attack|fault|label)$/i;

/** Of a text, the ends of its lines included. */
function characters({ columns: [, { texts }] }: Table): number {
  return (texts ?? []).reduce((sum, line) => sum + line.length + 1, 0);
}

type SketchedTask = "forecast" | "classify" | "tag" | "language" | "detect";

/** What a run begins with. */
const SETTINGS: Record<
  SketchedTask,
  { cell: string; hiddenSize: number; dropout: number; epochs: number; rate: string; patience: number }
> = {
  forecast: { cell: "lstm", hiddenSize: 64, dropout: 0, epochs: 10, rate: "1e-3", patience: 3 },
  classify: { cell: "gru", hiddenSize: 64, dropout: 0.2, epochs: 40, rate: "3e-3", patience: 8 },
  tag: { cell: "gru", hiddenSize: 64, dropout: 0, epochs: 40, rate: "3e-3", patience: 8 },
  language: { cell: "lstm", hiddenSize: 128, dropout: 0.2, epochs: 10, rate: "3e-3", patience: 3 },
  detect: { cell: "gru", hiddenSize: 32, dropout: 0, epochs: 20, rate: "3e-3", patience: 4 },
};

interface Plan {
  task: SketchedTask;
  target: string;
  features: string[];
  /** language: what the codes of the target are. */
  codes: "characters" | "vocabulary" | null;
  /** detect: the column that tells, and its value in normal rows. */
  anomaly: { column: string; normal: [string | number] } | null;
  length: number | null;
  horizon: number;
  period: number | null;
  summary: string;
}

/** Whether the table holds the lines of a text. */
function isText({ columns }: Table): boolean {
  return columns.length === 2 && columns[0].name === "line" && columns[1].name === "text" && columns[1].verbatim === true;
}

function checkTask(task: string | undefined, { labels }: DataSketch, table: Table): SketchedTask {
  const label = labels.at(-1);
  if (task === undefined && isText(table)) return "language";
  if (task === undefined) return label ? (label.constant ? "classify" : "tag") : "forecast";
  if (Object.hasOwn(SETTINGS, task)) return task as SketchedTask;
  const known = (TASK_NAMES as readonly string[]).includes(task);
  throw new OstinatoError("OST_USAGE", {
    what: known ? "init writes no configuration for this task" : "no such task",
    expected: Object.keys(SETTINGS).join(", "),
    got: task,
    where: "init",
    repair: known ? "begin with the configuration for it in docs/guide/tasks.md" : "ostinato init forecast --data FILE",
  });
}

function makePlan(sketch: DataSketch, task: SketchedTask, wanted: string | undefined, table: Table): Plan {
  const { labels, entity, shortest, rows, stepMs } = sketch;
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
  if (task === "language") return languagePlan(sketch, wanted, table);
  const values = VALUES.includes(task);
  const anomaly = task === "detect" ? anomalyOf(table) : null;
  const numeric = task === "detect" ? sketch.numeric.filter((name) => !ANOMALY_NAME.test(name)) : sketch.numeric;
  const fitting = task === "classify" ? labels.filter(({ constant }) => constant) : labels;
  const label = (fitting.at(-1) ?? labels.at(-1))?.name;
  const target = wanted ?? (values ? numeric.at(-1) : label);
  if (target === undefined) {
    throw new OstinatoError("OST_COLUMN", {
      what: values ? `there is no numeric column to ${task}` : "there is no column that looks like a label",
      expected: values ? "a column of numbers" : "a column of a few repeated texts",
      got: names.join(", "),
      where: table.source,
      repair: "name it with --target",
    });
  }
  if (task === "classify") wantConstant(target, sketch, table);
  if (values && table.columns.find(({ name }) => name === target)?.numbers === null) {
    throw new OstinatoError("OST_COLUMN", {
      what: `the column to ${task} holds texts`,
      expected: "a column of numbers",
      got: `"${target}"`,
      where: "--target",
      repair: "name a numeric column, or choose the task classify or tag",
    });
  }
  const features = values ? numeric : numeric.filter((name) => name !== target);
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
  const aims: Partial<Record<SketchedTask, string>> = {
    forecast: `forecast ${target} ${counted(horizon, "step")} ahead from ${length}`,
    detect: `detect what is unlike the ${length} rows before in ${target}${anomaly ? `, judged by ${anomaly.column}` : ""}`,
  };
  const aim = aims[task] ?? `${task} ${target} from ${counted(features.length, "feature")}`;
  return {
    task,
    target,
    features,
    codes: null,
    anomaly,
    length,
    horizon,
    period,
    summary: `${aim}, ${splitSummary(sketch, task, horizon)}`,
  };
}

function splitSummary({ part, series, entity }: DataSketch, task: SketchedTask, horizon: number): string {
  if (part && !VALUES.includes(task)) return `split by the column ${part}`;
  if (series >= 3) return `split by ${entity}`;
  return `split by time 70/10/20${VALUES.includes(task) ? ` with a gap of ${horizon}` : ""}`;
}

/** Steps of a series, in the mean, that are learned as one sequence at most. */
const LONGEST_WHOLE = 500;

/** The next character of a text, or the next event of each series. */
function languagePlan(sketch: DataSketch, wanted: string | undefined, table: Table): Plan {
  const text = isText(table);
  const target = wanted ?? (text ? "text" : sketch.labels.at(-1)?.name);
  if (target === undefined) {
    throw new OstinatoError("OST_COLUMN", {
      what: "there is no column whose texts follow one another",
      expected: "a text file, or a column of repeated texts",
      got: table.columns.map(({ name }) => name).join(", "),
      where: table.source,
      repair: "name it with --target",
    });
  }
  const steps = text ? characters(table) : table.rows;
  const { entity, series } = sketch;
  const isWhole = entity !== null && series >= 3 && steps / series <= LONGEST_WHOLE;
  const length = isWhole ? null : Math.max(2, Math.min(64, Math.floor(steps / 40 / (entity === null ? 1 : series))));
  const aim = `foretell the next ${text ? "character" : `${target} by those before`}`;
  return {
    task: "language",
    target,
    features: [],
    codes: text ? "characters" : "vocabulary",
    anomaly: null,
    length,
    horizon: 1,
    period: null,
    summary: `${aim}, ${splitSummary(sketch, "language", 1)}`,
  };
}

/** A column that is named like one of anomalies; its most frequent value is the normal one. */
function anomalyOf({ columns }: Table): Plan["anomaly"] {
  const column = columns.find(({ name }) => ANOMALY_NAME.test(name));
  const cells: readonly (string | number)[] | undefined =
    column?.texts ?? (column?.numbers ? Array.from(column.numbers) : undefined);
  if (!column || !cells) return null;
  const counts = new Map<string | number, number>();
  for (const cell of cells) if (cell !== "" && !Number.isNaN(cell)) counts.set(cell, (counts.get(cell) ?? 0) + 1);
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  return most ? { column: column.name, normal: [most[0]] } : null;
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
  const { task, target, features, codes, anomaly, length, horizon, period } = plan;
  const plain = (value: unknown) =>
    stringify(value, { flowCollectionPadding: false, collectionStyle: "flow", lineWidth: 0 }).trim();
  const about = (line: string, comment: string) => `${line.padEnd(44)}  # ${comment}`;
  const [values, text] = [VALUES.includes(task), codes === "characters"];
  const split =
    part && !values
      ? `{ by: ${plain(`column:${part}`)} }`
      : series >= 3
        ? "{ by: entity, train: 0.7, validation: 0.15, test: 0.15, seed: 0 }  # whole series, none in two parts"
        : `{ by: time, train: 0.7, validation: 0.1, test: 0.2, gap: ${values ? horizon : 0} }  # the test part is the latest`;
  const mode = task === "tag" || (task === "language" && length !== null) ? "streaming" : "causal";
  const read = () => {
    if (task === "forecast") {
      const line = `window: { length: ${length}, horizon: ${horizon}, stride: 1, normalize: last }`;
      return [about(line, `reads ${length} rows, predicts ${horizon}`)];
    }
    if (length === null) return [];
    const what = task === "detect" ? "rows that a prediction reads" : "steps between two truncations of backpropagation";
    return [about(`window: { length: ${length} }`, what)];
  };
  const { cell, hiddenSize, dropout, epochs, rate, patience } = SETTINGS[task];
  const lines = [
    "# Written by ostinato init. What is left out takes its default; unknown keys are refused.",
    `name: ${plain(name)}`,
    about(`task: ${task}`, Object.keys(SETTINGS).join(" | ")),
    "data:",
    about(`  source: ${plain(source)}`, "relative to this file"),
    ...(text ? [about("  read: { format: text, unit: document }", "line | paragraph | document: what goes on unbroken")] : []),
    ...(text ? [] : [`  time: ${plain(time)}`, about(`  entity: ${plain(entity)}`, "the column that tells series apart")]),
    ...(codes
      ? [`  categories: ${plain({ [target]: { kind: codes, as: "embedding", width: text ? 32 : 16 } })}`]
      : [`  features: ${plain(features)}`]),
    `  target: ${plain(values ? [target] : target)}`,
    ...(anomaly ? [about(`  anomaly: ${plain(anomaly)}`, "judges, and is never learned from")] : []),
    `  split: ${split}`,
    ...(codes
      ? []
      : missing > 0
        ? [
            about(
              "  missing: { policy: forwardFill, flag: true }",
              `${counted(missing, "value")} missing; refuse | forwardFill | value | interpolate`,
            ),
          ]
        : [about("  missing: refuse", "refuse | forwardFill | value | interpolate")]),
    ...(gaps > 0 && stepMs !== null && !codes
      ? [
          `  # ${counted(gaps, "gap")} in time; to bring the rows onto a regular grid:`,
          `  # resample: { everyMs: ${stepMs}, aggregate: mean }`,
        ]
      : []),
    about(`mode: ${mode}`, "streaming | causal | offline"),
    ...read(),
    ...(task === "detect"
      ? [
          about(
            "detect: { by: residual, threshold: { per1000: 1 } }",
            "nextEvent | residual | reconstruction; alerts on validation",
          ),
        ]
      : []),
    `model: { cell: ${cell}, hiddenSize: ${hiddenSize}, numLayers: 1, dropout: ${dropout} }`,
    `train: { epochs: ${epochs}, batchSize: ${mode === "streaming" ? 16 : 32}, learningRate: ${rate}, seed: 7, earlyStopping: { patience: ${patience} } }`,
    ...(task === "forecast" && period !== null
      ? [about(`evaluation: { period: ${period} }`, "steps of a season, for the seasonal baseline")]
      : []),
  ];
  return `${lines.join("\n")}\n`;
}

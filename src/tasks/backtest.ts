/**
 * @file The same experiment on several folds: along time from a moving origin, or by whole series or groups.
 *
 * A fold is a split like any other, so everything that is fitted (scalers, vocabularies, templates, baselines, the network) is fitted anew
 * on that fold's training part and on nothing else.
 */
import { OstinatoError } from "../core/errors.js";
import type { SplitSummary, Table } from "../data/index.js";
import { METRICS, type MetricName } from "../evaluate/index.js";
import type { ExperimentConfig } from "./config.js";
import { type ExperimentOptions, type Metrics, runExperiment } from "./experiment.js";
import { taskOf } from "./task.js";

export interface BacktestOptions extends Pick<ExperimentOptions, "engine" | "signal" | "tokenizers" | "prefetcher"> {
  /** Default 5; at least 2. */
  folds?: number;
  /** Along time: size of a test block, a share or a count of rows. Default 0.1. */
  test?: number;
  /** Along time: train on everything before, or on as many rows as the first fold has. Default "expanding". */
  window?: "expanding" | "sliding";
  onFold?: (fold: BacktestFold) => void;
}

export interface BacktestFold {
  /** From 1. */
  fold: number;
  split: SplitSummary;
  /** By name, on the fold's test part; the model is the first. */
  metrics: Record<string, Metrics>;
}

export interface BacktestRow {
  name: string;
  /** The metric in each fold. */
  values: number[];
  mean: number;
  /** Standard deviation over the folds (divided by n - 1). */
  deviation: number;
  /** Folds in which it was the best of all. */
  wins: number;
}

export interface Backtest {
  metric: MetricName;
  folds: BacktestFold[];
  /** The model first, then the others from best to worst. */
  rows: BacktestRow[];
}

/**
 * @returns null when `signal` ended it.
 * @throws OST_SPLIT where the configuration's split cannot be folded or a fold would be empty, and what `runExperiment` throws.
 */
export async function backtest(config: ExperimentConfig, table: Table, options: BacktestOptions = {}): Promise<Backtest | null> {
  const { folds = 5, test = 0.1, window = "expanding", onFold, ...run } = options;
  const metric = config.decision && "metric" in config.decision ? config.decision.metric : taskOf(config).metric;
  const done: BacktestFold[] = [];
  for (let fold = 1; fold <= folds; fold++) {
    const split = foldOf(config.data.split, { folds, fold, test, window });
    const result = await runExperiment(
      { ...config, data: { ...config.data, split }, evaluation: { ...config.evaluation, rivals: false } },
      table,
      run,
    );
    if (!result) return null;
    const metrics = { [result.report.rows[0].name]: result.metrics.test, ...result.baselines };
    const one = { fold, split: result.split, metrics };
    done.push(one);
    onFold?.(one);
  }
  return { metric, folds: done, rows: rowsOf(done, metric) };
}

type Split = ExperimentConfig["data"]["split"];

function foldOf(
  split: Split,
  { folds, fold, test, window }: { folds: number; fold: number; test: number; window: "expanding" | "sliding" },
): Split {
  if (split.by === "time") {
    const { gap, gapMs } = split as { gap: number; gapMs: number };
    const at = "at" in split ? split.at : undefined;
    return { by: "time", folds, fold, test, train: window, gap, gapMs, at };
  }
  if (split.by === "entity" || split.by.startsWith("group:")) {
    const { by, seed, stratified } = split as { by: "entity" | `group:${string}`; seed: number; stratified: boolean };
    return { by, folds, fold, seed, stratified };
  }
  throw new OstinatoError("OST_SPLIT", {
    what: "a split that the data lay down cannot be folded",
    expected: "data.split.by: time, entity or group:<column>",
    got: `by: ${split.by}`,
    where: "data.split",
    repair: "choose another split for the backtest, such as --set data.split.by=entity",
  });
}

function rowsOf(folds: readonly BacktestFold[], metric: MetricName): BacktestRow[] {
  const better = METRICS[metric].higherIsBetter ? 1 : -1;
  const scoreOf = (metrics: Metrics) => (metrics as unknown as Record<string, number>)[metric];
  const [model] = Object.keys(folds[0].metrics);
  const rows = Object.keys(folds[0].metrics).map((name): BacktestRow => {
    const values = folds.map(({ metrics }) => scoreOf(metrics[name]));
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const wins = folds.filter(({ metrics }) =>
      Object.values(metrics).every((other) => better * scoreOf(metrics[name]) >= better * scoreOf(other)),
    ).length;
    return { name, values, mean, deviation: Math.sqrt(squares / Math.max(1, values.length - 1)), wins };
  });
  return rows.sort((a, b) => Number(b.name === model) - Number(a.name === model) || better * (b.mean - a.mean));
}

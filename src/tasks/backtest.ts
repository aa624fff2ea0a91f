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
  /** At least 2; default those of the configuration, else 5. */
  folds?: number;
  /** Along time: size of a test block, a share or a count of rows. Default that of the configuration's folds, else 0.1. */
  test?: number;
  /** Along time: train on everything before, or on as many rows as the first fold has. Default as configured, else "expanding". */
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
  /** Of a baseline without its settings, which it chooses anew in each fold. */
  name: string;
  /** The metric in each fold; NaN where the fold's data gave no such rival. */
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
  const { split: laid } = config.data;
  const { folds = "folds" in laid ? laid.folds : 5, test, window, onFold, ...run } = options;
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
  { folds, fold, test, window }: { folds: number; fold: number } & Pick<BacktestOptions, "test" | "window">,
): Split {
  if (split.by === "time") {
    const { gap, gapMs, validation } = split as { gap: number; gapMs: number; validation?: number };
    const at = "from" in split ? "instant" : (split as { at?: "series" | "instant" }).at;
    if ("both" in split) return { by: "time", folds, fold, both: true, validation, gap, gapMs, at };
    const own = "folds" in split ? split : undefined;
    return {
      by: "time",
      folds,
      fold,
      test: test ?? own?.test ?? 0.1,
      ...(own && validation !== undefined && { validation }),
      train: window ?? own?.train ?? "expanding",
      gap,
      gapMs,
      at,
    };
  }
  if (test !== undefined || window !== undefined) {
    throw new OstinatoError("OST_SPLIT", {
      what: "whole series are folded by their number, not along time",
      expected: "no size of a test block and no window",
      got: `by: ${split.by}`,
      where: "backtest",
      repair: "leave --test and --window out, or split by: time",
    });
  }
  if ("stratified" in split) {
    const { by, seed, stratified, time } = split;
    // A third at most, so that two folds leave something to learn from.
    const validation = "folds" in split && split.validation !== undefined ? split.validation : Math.min(1 / folds, 1 / 3);
    return { by, folds, fold, validation, seed, stratified, ...(time && { time }) };
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
  // A baseline chooses its settings anew in each fold, so that movingAverage(2) and movingAverage(3) are one rival.
  const scores = folds.map(({ metrics }) => {
    const entries = Object.entries(metrics).map(([name, values], i): [string, number] => [
      i === 0 ? name : name.replace(/\(.*\)$/, ""),
      (values as unknown as Record<string, number>)[metric],
    ]);
    return new Map(entries);
  });
  const [model] = scores[0].keys();
  const rows = [...new Set(scores.flatMap((fold) => [...fold.keys()]))].map((name): BacktestRow => {
    const values = scores.map((fold) => fold.get(name) ?? Number.NaN);
    const there = values.filter((value) => !Number.isNaN(value));
    const mean = there.reduce((sum, value) => sum + value, 0) / there.length;
    const squares = there.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const wins = scores.filter((fold) =>
      [...fold.values()].every((other) => better * (fold.get(name) ?? Number.NaN) >= better * other),
    );
    return { name, values, mean, deviation: Math.sqrt(squares / Math.max(1, there.length - 1)), wins: wins.length };
  });
  return rows.sort((a, b) => Number(b.name === model) - Number(a.name === model) || better * (b.mean - a.mean));
}

/** @file `ostinato backtest`: the experiment of a configuration on several folds, everything fitted anew in each. */
import { OstinatoError } from "../core/errors.js";
import { workerPrefetcher } from "../data/prefetch-node.js";
import { METRICS } from "../evaluate/index.js";
import { defaultEngine } from "../kernels/index.js";
import { type BacktestRow, backtest } from "../tasks/index.js";
import { loadConfig } from "./config-file.js";
import { readExperimentFiles } from "./data-file.js";
import { banner } from "./experiment-view.js";
import { takeInterrupts } from "./interrupt.js";
import { Terminal, type TerminalOptions, thousands } from "./terminal.js";

export interface BacktestCommandOptions extends TerminalOptions {
  set?: string[];
  folds?: number;
  test?: number;
  window?: string;
}

/** @returns the exit code: 3 when it was stopped by Ctrl-C. */
export async function backtestCommand(path: string | undefined, options: BacktestCommandOptions): Promise<0 | 3> {
  const { test, window, json } = options;
  if (window !== undefined && window !== "expanding" && window !== "sliding") {
    throw new OstinatoError("OST_USAGE", {
      what: "no such window of training rows",
      expected: "expanding or sliding",
      got: window,
      where: "--window",
    });
  }
  const terminal = new Terminal(options);
  const { config, name } = await loadConfig(path, options);
  const { split, storage } = config.data;
  const folds = options.folds ?? ("folds" in split ? split.folds : 5);
  if (storage === "disk") {
    throw new OstinatoError("OST_CONFIG", {
      what: "folds are prepared in memory",
      expected: "data.storage: auto or memory",
      got: "disk",
      where: "data.storage",
      repair: "train the folds one by one: --set data.split.fold=1",
    });
  }
  const interrupt = takeInterrupts();
  try {
    const engine = defaultEngine();
    terminal.print(`\n  ${terminal.color.bold(banner(engine))}\n`);
    const { table, tokenizers } = await readExperimentFiles(config, { terminal, signal: interrupt.signal });
    terminal.status(`  fold 1 of ${folds}`, { always: true });
    const result = await backtest(config, table, {
      engine,
      signal: interrupt.signal,
      tokenizers,
      prefetcher: workerPrefetcher,
      folds,
      test,
      window,
      onFold: ({ fold, split }) => {
        const rows = (["train", "validation", "test"] as const).map((part) => `${thousands(split[part])} ${part}`).join(", ");
        terminal.print(`  fold ${fold} of ${folds}: ${rows} rows`);
        if (fold < folds) terminal.status(`  fold ${fold + 1} of ${folds}`, { always: true });
      },
    });
    if (!result) return 3;
    const { label, higherIsBetter } = METRICS[result.metric];
    terminal.print(`\n${tableOf(result.rows, label)}`);
    terminal.print(
      `\n  ${name}: ${label} on the test part of ${folds} folds, ${higherIsBetter ? "higher" : "lower"} is better; everything was fitted anew in each.\n`,
    );
    if (json) terminal.json({ name, ...result });
    return 0;
  } finally {
    terminal.clear();
    interrupt.release();
  }
}

function tableOf(rows: readonly BacktestRow[], label: string): string {
  const cells = rows.map(({ name, values, mean, deviation, wins }) => [
    name,
    mean.toPrecision(4),
    `± ${deviation.toPrecision(2)}`,
    `${wins} of ${values.length}`,
    values.map((value) => (Number.isNaN(value) ? "-" : value.toPrecision(3))).join("  "),
  ]);
  const table = [["", label, "over folds", "best in", "each fold"], ...cells];
  const widths = table[0].map((_, c) => Math.max(...table.map((row) => row[c].length)));
  return table
    .map((row) =>
      `  ${row.map((cell, c) => (c === 0 || c === 4 ? cell.padEnd(widths[c]) : cell.padStart(widths[c]))).join("   ")}`.trimEnd(),
    )
    .join("\n");
}

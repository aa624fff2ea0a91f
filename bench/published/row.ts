/** @file What a row of the published tables is, and how an experiment of the command line becomes one. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Outcome {
  value: number;
  /** Of training alone. */
  trainSeconds: number;
  /** The best baseline of the same run, as "name 0.123". */
  baseline?: string;
}

export interface ResultRow {
  /** Also what --only takes, by its beginning. */
  name: string;
  /** Folder of the data set. */
  data: string;
  metric: string;
  higherIsBetter: boolean;
  /** Absent: the figure is reported, and nothing is asked of it. */
  bar?: number;
  /** What others have published, with the source. */
  published: string;
  /** Where the run itself has none. */
  baseline?: string;
  run(options: { data: string; seed: number }): Outcome | Promise<Outcome>;
}

/** What `ostinato train --json` prints. */
interface TrainSummary {
  seconds: number;
  metrics: { test: Record<string, number> };
  baselines: Record<string, Record<string, number>>;
}

interface TrainedOptions {
  set: readonly string[];
  seed: number;
  metric: string;
  higherIsBetter: boolean;
  rank?: { metric: string; higherIsBetter: boolean };
}

/**
 * Trains from a configuration and reads a metric of the test part.
 *
 * @param set overrides as `--set` takes them; the seed is added.
 * @param rank the metric by which the best baseline is the best; default `metric`.
 */
export function trained(
  config: string,
  { set, seed, metric, higherIsBetter, rank = { metric, higherIsBetter } }: TrainedOptions,
): Outcome {
  const folder = mkdtempSync(join(tmpdir(), "ostinato-results-"));
  try {
    const overrides = [...set, `train.seed=${seed}`].flatMap((one) => ["--set", one]);
    const printed = execFileSync(
      "node",
      ["dist/cli/main.js", "train", config, ...overrides, "--out", join(folder, "run"), "--json", "--quiet"],
      {
        encoding: "utf8",
        maxBuffer: 2 ** 28,
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const { seconds, metrics, baselines } = JSON.parse(printed) as TrainSummary;
    const better = rank.higherIsBetter ? 1 : -1;
    const [best] = Object.entries(baselines)
      .filter(([, values]) => Number.isFinite(values[metric]))
      .sort(([, a], [, b]) => better * (b[rank.metric] - a[rank.metric]));
    return {
      value: metrics.test[metric],
      trainSeconds: seconds,
      ...(best && { baseline: `${best[0]} ${best[1][metric].toFixed(best[1][metric] < 0.01 ? 4 : 3)}` }),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs an example script that prints one JSON object on its last line. */
export function scripted<T>(script: string, args: readonly string[]): T {
  const printed = execFileSync("npx", ["tsx", "--conditions=ostinato-source", script, ...args], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    stdio: ["ignore", "pipe", "inherit"],
  });
  return JSON.parse(printed.trim().split("\n").at(-1) as string) as T;
}

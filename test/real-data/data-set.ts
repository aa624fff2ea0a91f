/**
 * @file Real data sets of the shared folder, each read through its configuration alone.
 */
import { existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { loadConfig } from "../../src/cli/config-file.js";
import { readExperimentFiles } from "../../src/cli/data-file.js";
import type { Table } from "../../src/data/index.js";
import type { ExperimentConfig } from "../../src/tasks/index.js";

const HERE = fileURLToPath(new URL(".", import.meta.url));

/** Where the data sets lie: the folder that OSTINATO_DATA names, else `shared/data` beside the repository. */
export const DATA_FOLDER = resolve(process.env["OSTINATO_DATA"] ?? join(HERE, "../../../shared/data"));

/** A data set by the name of its configuration, and the folder it lies in. */
export const DATA_SETS = {
  nab: "anomaly-nab",
  hdfs: "events-deeplog-hdfs",
  ewt: "tag-ud-english-ewt",
  fsdd: "speech-fsdd",
  etth1: "forecast-etth1",
  "japanese-vowels": "class-japanese-vowels",
} as const;

export type DataSet = keyof typeof DATA_SETS;

export function isPresent(name: DataSet): boolean {
  return existsSync(join(DATA_FOLDER, DATA_SETS[name]));
}

/** The configuration of a data set, its sources in the data folder. */
export async function configOf(name: DataSet, set: readonly string[] = []): Promise<ExperimentConfig> {
  const { config } = await loadConfig(join(HERE, `${name}.yaml`), { set });
  const moved = (path: string) => join(DATA_FOLDER, relative(HERE, path));
  const { source } = config.data;
  const sources =
    typeof source === "string"
      ? moved(source)
      : Array.isArray(source)
        ? source.map(moved)
        : Object.fromEntries(Object.entries(source).map(([key, path]) => [key, moved(path)]));
  return { ...config, data: { ...config.data, source: sources } };
}

export interface LoadedDataSet {
  config: ExperimentConfig;
  table: Table;
}

export async function load(name: DataSet, set?: readonly string[]): Promise<LoadedDataSet> {
  const config = await configOf(name, set);
  const { table } = await readExperimentFiles(config);
  return { config, table };
}

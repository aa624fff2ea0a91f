/** @file The data files of a configuration or a model: read into a table with labels and names kept as text, and hashed for the provenance. */
import { createHash } from "node:crypto";
import { dirname, resolve, sep } from "node:path";
import type { TargetKind } from "../core/batch.js";
import { type PreprocessingRoles, splitColumn, type Table } from "../data/index.js";
import { hashFile, readTable } from "../data/read/index.js";
import { type ExperimentConfig, taskOf } from "../tasks/index.js";

export interface ExperimentFiles {
  table: Table;
  /** sha256 by name, in the order of the configuration. */
  hashes: Record<string, string>;
}

/** @throws OST_FILE, OST_FORMAT, OST_COLUMN as `readTable` does. */
export async function readExperimentFiles({ data, task }: ExperimentConfig): Promise<ExperimentFiles> {
  const { source, entity, target, split } = data;
  const labels = taskOf({ task }).targetKind === "values" ? [] : target;
  const text = [entity, splitColumn(split), ...labels].filter((name) => name !== null);
  return { table: await readTable(source, { text }), hashes: await hashSources(source) };
}

/** A file to be run through a model that exists already. */
export function readModelInput(path: string, roles: PreprocessingRoles, targetKind: TargetKind): Promise<Table> {
  const text = [roles.entity, ...(targetKind === "values" ? [] : roles.target)].filter((name) => name !== null);
  return readTable(path, { text });
}

type DataSource = ExperimentConfig["data"]["source"];

/** By the names of {@link portableSource}. @throws OST_FILE */
export async function hashSources(source: DataSource): Promise<Record<string, string>> {
  const names = sourcePaths(portableSource(source));
  const hashes: Record<string, string> = {};
  for (const [i, path] of sourcePaths(source).entries()) hashes[names[i]] = await hashFile(path);
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
  return { ...config, data: { ...config.data, source: portableSource(config.data.source) } };
}

/**
 * Names a run by what it learns from what: the settings of data, network and training, wherever the files lie, and the files' contents.
 * How the run is called and judged is no part of it: a decision that was corrected changes nothing that was learned.
 */
export function fingerprintOf(config: ExperimentConfig, hashes: Record<string, string>): string {
  const { name: _name, decision: _decision, evaluation: _evaluation, data, ...learning } = config;
  const { source, ...options } = data;
  const parts = typeof source === "string" || Array.isArray(source) ? null : Object.keys(source);
  return createHash("sha256")
    .update(JSON.stringify({ ...learning, data: options, parts, hashes: Object.values(hashes) }, inKeyOrder))
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

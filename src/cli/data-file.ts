/** @file The data files of a configuration or a model: read into a table with labels and names kept as text, and hashed for the provenance. */
import { createHash } from "node:crypto";
import { basename } from "node:path";
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

/** By base name; by path where two base names are the same. @throws OST_FILE */
export async function hashSources(source: ExperimentConfig["data"]["source"]): Promise<Record<string, string>> {
  const paths = sourcePaths(source);
  const hashes: Record<string, string> = {};
  for (const path of paths) {
    const name = basename(path);
    const unique = paths.filter((other) => basename(other) === name).length === 1;
    hashes[unique ? name : path] = await hashFile(path);
  }
  return hashes;
}

export function sourcePaths(source: ExperimentConfig["data"]["source"]): string[] {
  return typeof source === "string" ? [source] : Object.values(source);
}

/** Names a run by what it learns from what: the resolved configuration, wherever its files lie, and their contents. */
export function fingerprintOf({ data, ...config }: ExperimentConfig, hashes: Record<string, string>): string {
  const { source, ...options } = data;
  const parts = typeof source === "string" || Array.isArray(source) ? null : Object.keys(source);
  return createHash("sha256")
    .update(JSON.stringify({ ...config, data: options, parts, hashes: Object.values(hashes) }, inKeyOrder))
    .digest("hex");
}

/** A replacer that makes equal objects equal texts. */
function inKeyOrder(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

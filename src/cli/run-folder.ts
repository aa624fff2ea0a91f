/**
 * @file One folder per run, never overwritten: configuration, log, checkpoint, model, baselines and report.
 *
 * The configuration names the data by absolute paths and stays here; the model file travels and holds none. The log holds each step once, also
 * after a run was killed and resumed: entries beyond the checkpoint are dropped when it goes on.
 *
 *     runs/<name>-<n>/  config.yaml  log.ndjson  checkpoint.safetensors  model.safetensors  baselines/*.safetensors  report.json  report.html
 */
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { OstinatoError } from "../core/errors.js";
import { type Report, renderReportHtml, type Verdict } from "../evaluate/index.js";
import type { ExperimentConfig, ExperimentResult, Metrics } from "../tasks/index.js";
import { unwritable, writeWhole, writing } from "./output-file.js";

/** What `train --json` prints. */
export interface RunSummary {
  /** Path of the model file. */
  model: string;
  task: string;
  /** What computed it: engine, instruction set, threads. */
  engine: string;
  steps: number;
  epochs: number;
  seconds: number;
  metrics: { validation: Metrics; test: Metrics };
  baselines: Record<string, Metrics>;
  verdict: Verdict;
}

/** `report.json`: the summary and everything behind it. */
export interface RunReport extends RunSummary {
  name: string;
  created: string;
  /** Of data, network, training and the data's contents: what a resumed run must match. */
  fingerprint: string;
  /** sha256 of every data file by name. */
  data: Record<string, string>;
  report: Report;
}

export const RUN_FILES = {
  config: "config.yaml",
  log: "log.ndjson",
  checkpoint: "checkpoint.safetensors",
  model: "model.safetensors",
  baselines: "baselines",
  report: "report.json",
  page: "report.html",
} as const;

/** Makes `root/<name>-<n>` with the next free number. */
export function makeRunFolder(root: string, name: string): string {
  writing(root, () => mkdirSync(root, { recursive: true }));
  const safe = fileSafe(name) || "run";
  const numbers = writing(root, () => readdirSync(root)).flatMap((entry) =>
    entry.startsWith(`${safe}-`) && /^\d+$/.test(entry.slice(safe.length + 1)) ? [Number(entry.slice(safe.length + 1))] : [],
  );
  for (let n = Math.max(0, ...numbers) + 1; ; n++) {
    const folder = join(root, `${safe}-${n}`);
    try {
      mkdirSync(folder);
      return folder;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw unwritable(folder, error);
    }
  }
}

/** The newest run folder of that name, or undefined. */
export function latestRunFolder(root: string, name: string): string | undefined {
  const safe = fileSafe(name) || "run";
  const numbers = existsSync(root)
    ? readdirSync(root).flatMap((entry) =>
        entry.startsWith(`${safe}-`) && /^\d+$/.test(entry.slice(safe.length + 1)) ? [Number(entry.slice(safe.length + 1))] : [],
      )
    : [];
  return numbers.length > 0 ? join(root, `${safe}-${Math.max(...numbers)}`) : undefined;
}

/** @throws OST_USAGE if the folder holds something already. @throws OST_FILE if it cannot be written. */
export function claimFolder(folder: string): string {
  const taken = writing(folder, () => {
    const there = statSync(folder, { throwIfNoEntry: false });
    return there !== undefined && (!there.isDirectory() || readdirSync(folder).length > 0);
  });
  if (taken) {
    const run = existsSync(join(folder, RUN_FILES.checkpoint)) || existsSync(join(folder, RUN_FILES.report));
    throw new OstinatoError("OST_USAGE", {
      what: "the folder is not empty, and nothing is ever overwritten",
      where: `--out ${folder}`,
      repair: run ? `choose another folder, or go on with that run: add --resume` : "choose another folder, or leave --out out",
    });
  }
  writing(folder, () => {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
  });
  return folder;
}

/** Takes a folder back in which no step was made yet. */
export function abandonFolder(folder: string): void {
  if (existsSync(join(folder, RUN_FILES.checkpoint)) || existsSync(join(folder, RUN_FILES.log))) return;
  rmSync(join(folder, RUN_FILES.config), { force: true });
  try {
    rmdirSync(folder);
  } catch {
    // It holds something of the user's.
  }
}

export async function writeConfig(folder: string, config: ExperimentConfig): Promise<void> {
  await writeWhole(join(folder, RUN_FILES.config), `# As resolved, with every default.\n${stringify(config)}`);
}

export function summarize(folder: string, result: ExperimentResult): RunSummary {
  const { task, engine, training, metrics, baselines, report } = result;
  const { steps, epochs, seconds } = training;
  const model = join(folder, RUN_FILES.model);
  return { model, task, engine, steps, epochs, seconds, metrics, baselines, verdict: report.verdict };
}

/** Writes everything a finished run leaves; the report last, so that a folder with a report is whole. */
export async function writeResult(
  folder: string,
  result: ExperimentResult,
  { fingerprint, hashes }: { fingerprint: string; hashes: Record<string, string> },
): Promise<RunSummary> {
  const summary = summarize(folder, result);
  const files = baselineFiles([...result.rivalFiles.keys()]);
  for (const [name, bytes] of result.rivalFiles)
    await writeWhole(join(folder, RUN_FILES.baselines, files.get(name) as string), bytes);
  await writeWhole(join(folder, RUN_FILES.model), result.file);
  await writeWhole(join(folder, RUN_FILES.page), renderReportHtml(result.report, { title: result.name }));
  const whole: RunReport = {
    ...summary,
    name: result.name,
    created: new Date().toISOString(),
    fingerprint,
    data: hashes,
    report: result.report,
  };
  await writeWhole(join(folder, RUN_FILES.report), `${JSON.stringify(whole, null, 2)}\n`);
  return summary;
}

/** File names for baselines, unique and safe on every file system. */
export function baselineFiles(names: readonly string[]): Map<string, string> {
  const files = new Map<string, string>();
  for (const name of names) {
    const safe = fileSafe(name) || "baseline";
    let file = `${safe}.safetensors`;
    for (let n = 2; [...files.values()].some((other) => other.toLowerCase() === file.toLowerCase()); n++)
      file = `${safe}-${n}.safetensors`;
    files.set(name, file);
  }
  return files;
}

/** The report of a finished run, or null where there is none. @throws OST_FORMAT if it is not what a run writes. */
export function readRunReport(folder: string): RunReport | null {
  const path = join(folder, RUN_FILES.report);
  if (!existsSync(path)) return null;
  try {
    const report = JSON.parse(readFileSync(path, "utf8")) as RunReport;
    if (typeof report.task !== "string" || typeof report.verdict?.text !== "string" || !report.report?.rows?.[0])
      throw new Error("fields are missing");
    return report;
  } catch (cause) {
    throw new OstinatoError(
      "OST_FORMAT",
      {
        what: "the report cannot be read",
        got: (cause as Error).message,
        where: path,
        repair: "train again, or remove the folder",
      },
      { cause },
    );
  }
}

/** Letters, digits, dot, dash and underscore; neither hidden nor a parent folder. */
export function fileSafe(name: string): string {
  return name
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[.-]+|[.-]+$/g, "")
    .slice(0, 80);
}

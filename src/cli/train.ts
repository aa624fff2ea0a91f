/** @file `ostinato train`: a configuration in, a run folder out. */
import { appendFileSync, existsSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { OstinatoError } from "../core/errors.js";
import { workerPrefetcher } from "../data/prefetch-node.js";
import { arithmeticOf, defaultEngine } from "../kernels/index.js";
import { loadModel } from "../model/load-file.js";
import { gradientThreads } from "../tasks/gradient-node.js";
import { type ExperimentResult, runExperiment, taskOf } from "../tasks/index.js";
import { checkpointFile } from "../train/checkpoint-file.js";
import type { RunLogEntry } from "../train/index.js";
import { type LoadedConfig, loadConfig } from "./config-file.js";
import { fingerprintOf, hashData, judgesAlike, openExperimentData, portableConfig, withSampleRate } from "./data-file.js";
import { banner, ExperimentView } from "./experiment-view.js";
import { takeInterrupts } from "./interrupt.js";
import { takeUpRun } from "./resume.js";
import {
  abandonFolder,
  baselineFiles,
  claimFolder,
  latestRunFolder,
  makeRunFolder,
  RUN_FILES,
  type RunReport,
  type RunSummary,
  readRunReport,
  writeConfig,
  writeResult,
} from "./run-folder.js";
import { Terminal, type TerminalOptions } from "./terminal.js";

export interface TrainCommandOptions extends TerminalOptions {
  set?: string[];
  out?: string;
  resume?: boolean;
  otherEngine?: boolean;
  /** A model file to go on from; default the configuration's. */
  from?: string;
}

const RUNS = "runs";

/** @returns the exit code: 3 when it was stopped by Ctrl-C. */
export async function trainCommand(path: string | undefined, options: TrainCommandOptions): Promise<0 | 3> {
  const terminal = new Terminal(options);
  if (options.otherEngine && !options.resume) {
    throw new OstinatoError("OST_USAGE", {
      what: "there is no run to go on with on another engine",
      expected: "--other-engine together with --resume",
      where: "train",
      repair: "leave --other-engine out: a new run takes the engine there is",
    });
  }
  if (options.resume && options.out !== undefined) wantBegun(options.out);
  const loaded = goingOn(await loadConfig(path ?? resumedConfig(options), options), options);
  const { config, name } = loaded;
  let folder = options.resume ? resumedFolder(loaded, options) : options.out;
  if (options.resume && folder) {
    const finished = readRunReport(folder);
    if (finished) return await alreadyFinished(terminal, folder, finished, loaded, options);
  } else if (folder) {
    claimFolder(folder);
  }

  const interrupt = takeInterrupts({
    onFirst: () => terminal.status("stopping after this step; Ctrl-C again stops at once", { always: true }),
  });
  try {
    const engine = defaultEngine();
    terminal.print(`\n  ${terminal.color.bold(banner(engine))}\n`);
    const { input, rows, hashes, tokenizers } = await openExperimentData(config, { terminal, signal: interrupt.signal });
    folder ??= makeRunFolder(RUNS, name);
    const at = folder;
    const from = config.train.from === undefined ? undefined : await loadModel(config.train.from, { engine });
    const fingerprint = fingerprintOf(config, from ? { ...hashes, from: from.hash } : hashes);
    const { otherEngine } = options;
    const before = options.resume ? await takeUpRun(at, { fingerprint, engine, otherEngine }) : null;
    if (before !== null && before !== arithmeticOf(engine)) {
      terminal.warn(`  Going on with ${arithmeticOf(engine)} what ${before} began: not bit for bit the run it would have been.`);
    }
    await writeConfig(at, config);
    const view = new ExperimentView(terminal, config, rows);
    const result = await runExperiment(portableConfig(await withSampleRate(config)), input, {
      engine,
      dataHashes: hashes,
      tokenizers,
      from,
      checkpoint: checkpointFile(join(at, RUN_FILES.checkpoint)),
      resume: options.resume,
      otherEngine,
      fingerprint,
      signal: interrupt.signal,
      prefetcher: workerPrefetcher,
      gradientWorkers: gradientThreads,
      onEvent: view.onEvent,
      onLog: (entry: RunLogEntry) => {
        appendLog(join(at, RUN_FILES.log), entry);
        view.onLog(entry);
      },
    });
    if (!result) return stopped(terminal, at, options);
    const summary = await writeResult(at, result, { fingerprint, hashes });
    view.judgement(result.report);
    terminal.print(`\n  ${savedLine(at, result, !taskOf(config).streams || config.mode === "offline")}`);
    terminal.print(`  report: ${join(at, RUN_FILES.page)}\n`);
    if (options.json) terminal.json(summary);
    return 0;
  } catch (error) {
    if (folder) abandonFolder(folder);
    throw error;
  } finally {
    terminal.clear();
    interrupt.release();
  }
}

/** The configuration with the model that the command line names to go on from. */
function goingOn(loaded: LoadedConfig, { from }: TrainCommandOptions): LoadedConfig {
  if (from === undefined) return loaded;
  const { config } = loaded;
  return { ...loaded, config: { ...config, train: { ...config.train, from: resolve(from) } } };
}

function appendLog(path: string, entry: RunLogEntry): void {
  try {
    appendFileSync(path, `${JSON.stringify(entry)}\n`);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new OstinatoError(
      "OST_CHECKPOINT",
      { what: `the run log cannot be written (${code})`, where: path, repair: "free some space, then go on with --resume" },
      { cause },
    );
  }
}

/** With --resume and no configuration, the run's own. */
function resumedConfig({ resume, out }: TrainCommandOptions): string | undefined {
  if (!resume || !out) return undefined;
  const own = join(out, RUN_FILES.config);
  return existsSync(own) ? own : undefined;
}

/** Where to go on: --out, or the newest run of that name. */
function resumedFolder({ name }: LoadedConfig, { out }: TrainCommandOptions): string {
  const folder = out ?? latestRunFolder(RUNS, name);
  if (!folder) {
    throw new OstinatoError("OST_USAGE", {
      what: "there is no run to go on with",
      expected: `a folder ${RUNS}/${name}-1`,
      got: "none",
      where: "--resume",
      repair: "start one without --resume, or name its folder with --out",
    });
  }
  wantBegun(folder);
  return folder;
}

/** @throws OST_CHECKPOINT where no run has left a checkpoint or a report: to start anew there must never look like going on. */
function wantBegun(folder: string): void {
  if ([RUN_FILES.checkpoint, RUN_FILES.report].some((name) => existsSync(join(folder, name)))) return;
  const empty = !existsSync(folder) || (statSync(folder).isDirectory() && readdirSync(folder).length === 0);
  throw new OstinatoError("OST_CHECKPOINT", {
    what: `nothing to resume in ${folder}`,
    expected: `a folder with ${RUN_FILES.checkpoint}`,
    got: existsSync(folder) ? (empty ? "an empty folder" : "a folder without one") : "no such folder",
    where: "--resume",
    repair: empty ? "leave --resume out" : "leave --resume out, and choose another --out or remove the folder",
  });
}

/** @throws OST_CHECKPOINT if the finished run had another configuration or other data, or was judged in another way. */
async function alreadyFinished(
  terminal: Terminal,
  folder: string,
  report: RunReport,
  { config }: LoadedConfig,
  { json }: TrainCommandOptions,
): Promise<0> {
  const { from } = config.train;
  const hashes = await hashData(config.data);
  const wanted = fingerprintOf(config, from === undefined ? hashes : { ...hashes, from: (await loadModel(from)).hash });
  if (report.fingerprint !== wanted) {
    throw new OstinatoError("OST_CHECKPOINT", {
      what: "the folder holds a finished run of another configuration or other data",
      expected: `run ${wanted.slice(0, 12)}`,
      got: `run ${String(report.fingerprint).slice(0, 12)}`,
      where: folder,
      repair: "choose another --out, and leave --resume out",
    });
  }
  const own = join(folder, RUN_FILES.config);
  if (existsSync(own) && !judgesAlike((await loadConfig(own)).config, config)) {
    throw new OstinatoError("OST_CHECKPOINT", {
      what: "the folder holds a finished run that was judged in another way",
      expected: `decision and evaluation as in ${own}`,
      got: "others",
      where: folder,
      repair: "choose another --out, and leave --resume out",
    });
  }
  const { model, task, engine, steps, epochs, seconds, metrics, baselines, verdict } = report;
  terminal.print(`  ${folder} is finished already. ${verdict.text}`);
  if (json) terminal.json({ model, task, engine, steps, epochs, seconds, metrics, baselines, verdict } satisfies RunSummary);
  return 0;
}

function stopped(terminal: Terminal, folder: string, { json }: TrainCommandOptions): 3 {
  if (!existsSync(join(folder, RUN_FILES.checkpoint))) {
    abandonFolder(folder);
    terminal.warn("  Stopped before the first update; there is nothing to go on with.");
    if (json) terminal.json({ stopped: true, checkpoint: null, resume: null });
    return 3;
  }
  const resume = `ostinato train ${shellWord(join(folder, RUN_FILES.config))} --resume --out ${shellWord(folder)}`;
  terminal.warn(`  Stopped; the checkpoint is saved. Go on with:  ${resume}`);
  if (json) terminal.json({ stopped: true, checkpoint: join(folder, RUN_FILES.checkpoint), resume });
  return 3;
}

/** As a POSIX shell reads it. */
function shellWord(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Where the model is, the baseline that the verdict would rather ship, and what to do with them. */
function savedLine(folder: string, { report, rivalFiles }: ExperimentResult, offline: boolean): string {
  const model = join(folder, RUN_FILES.model);
  const use = (path: string) =>
    offline ? `ostinato predict ${path} --data FILE --out predictions.csv` : `ostinato serve ${path}`;
  const { ship } = report.verdict;
  const file = ship === report.rows[0].name ? undefined : baselineFiles([...rivalFiles.keys()]).get(ship);
  if (!file) return `Model written to ${model}: ${use(model)}`;
  const baseline = join(folder, RUN_FILES.baselines, file);
  return `Model written to ${model}.\n  ${ship} was saved beside it and is used in the same way: ${use(baseline)}`;
}

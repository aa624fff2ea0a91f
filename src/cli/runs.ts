/** @file `ostinato runs`: the runs of a folder, and two of them side by side. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { parse } from "yaml";
import { OstinatoError } from "../core/errors.js";
import { RUN_FILES, type RunReport, readRunReport } from "./run-folder.js";
import { alignColumns, figure, Terminal, type TerminalOptions, thousands } from "./terminal.js";

interface RunRow {
  run: string;
  state: "finished" | "unfinished" | "unreadable";
  task: string | null;
  model: string | null;
  steps: number | null;
  metric: string | null;
  value: number | null;
  ship: string | null;
  verdict: string | null;
  /** ISO 8601, UTC. */
  date: string;
}

export async function runsCommand(folder: string, options: TerminalOptions): Promise<0> {
  const terminal = new Terminal(options);
  if (!existsSync(folder)) {
    throw new OstinatoError("OST_FILE", {
      what: "there is no such folder of runs",
      where: folder,
      repair: "train something first: ostinato train, or name the folder: ostinato runs DIR",
    });
  }
  const rows = readdirSync(folder)
    .map((name) => join(folder, name))
    .filter(
      (path) =>
        statSync(path).isDirectory() && (existsSync(join(path, RUN_FILES.report)) || existsSync(join(path, RUN_FILES.config))),
    )
    .map(runRow)
    .sort((a, b) => (a.date < b.date ? -1 : 1));
  if (options.json) {
    for (const row of rows) terminal.json(row);
    return 0;
  }
  if (rows.length === 0) {
    terminal.print(`  ${folder} holds no runs.`);
    return 0;
  }
  const cells = rows.map(({ run, task, model, steps, metric, value, ship, state, date }) => [
    run,
    task ?? "",
    model ?? "",
    steps === null ? "" : thousands(steps),
    metric === null || value === null ? state : `${metric} ${figure(value)}`,
    ship === null ? "" : `ship ${ship}`,
    date.slice(0, 16).replace("T", " "),
  ]);
  for (const line of alignColumns([["run", "task", "model", "steps", "test", "verdict", "date"], ...cells], { right: [3] }))
    terminal.print(`  ${line}`);
  return 0;
}

/** @param a,b run folders, or their names in `runs`. */
export async function compareCommand(a: string, b: string, options: TerminalOptions): Promise<0> {
  const terminal = new Terminal(options);
  const [first, second] = [finishedRun(a), finishedRun(b)];
  const [left, right] = [scoresOf(first.report), scoresOf(second.report)];
  const metrics = Object.fromEntries(
    [...new Set([...Object.keys(left), ...Object.keys(right)])].map((key) => [
      key,
      { a: left[key] ?? null, b: right[key] ?? null },
    ]),
  );
  const settings = differences(configOf(first.folder), configOf(second.folder));
  const sameData = JSON.stringify(first.report.data) === JSON.stringify(second.report.data);
  const split = Object.keys(settings).some(
    (key) => key.startsWith("data.split") || key.startsWith("data.target") || key.startsWith("window.horizon"),
  );
  const comparable = sameData && !split && first.report.task === second.report.task;
  const note = comparable
    ? null
    : `the two were not scored on the same test data (${sameData ? "another task, split, target or horizon" : "other data files"}): their figures cannot be compared`;
  if (options.json) {
    terminal.json({
      a: first.folder,
      b: second.folder,
      comparable,
      note,
      metrics,
      settings,
      verdict: { a: first.report.verdict, b: second.report.verdict },
    });
    return 0;
  }
  const head = ["", basename(first.folder), basename(second.folder)];
  const show = (value: unknown) =>
    value === null || value === undefined
      ? ""
      : typeof value === "number"
        ? figure(value)
        : typeof value === "string"
          ? value
          : JSON.stringify(value);
  const rows = [
    head,
    ["model", first.report.report.rows[0].name, second.report.report.rows[0].name],
    ["steps", thousands(first.report.steps), thousands(second.report.steps)],
    ["seconds", figure(first.report.seconds, 1), figure(second.report.seconds, 1)],
    ...Object.entries(metrics).map(([key, value]) => [`test ${key}`, show(value.a), show(value.b)]),
    ["ship", first.report.verdict.ship, second.report.verdict.ship],
    ...Object.entries(settings).map(([key, value]) => [key, show(value.a), show(value.b)]),
  ];
  for (const line of alignColumns(rows)) terminal.print(`  ${line}`);
  if (note) terminal.print(`\n  ${terminal.color.yellow("note")} ${note}`);
  return 0;
}

function runRow(folder: string): RunRow {
  const run = basename(folder);
  const date = statSync(folder).mtime.toISOString();
  const none = { task: null, model: null, steps: null, metric: null, value: null, ship: null, verdict: null };
  let report: RunReport | null;
  try {
    report = readRunReport(folder);
  } catch {
    return { run, state: "unreadable", ...none, date };
  }
  if (!report) {
    const config = configOf(folder);
    return { run, state: "unfinished", ...none, task: typeof config["task"] === "string" ? config["task"] : null, date };
  }
  const scores = scoresOf(report);
  // The table's first column is what its kind of task is told by.
  const { key, label } = report.report.columns?.find((column) => column.key in scores) ?? { key: null, label: null };
  return {
    run,
    state: "finished",
    task: report.task,
    model: report.report.rows[0].name,
    steps: report.steps,
    metric: label,
    value: key === null ? null : scores[key],
    ship: report.verdict.ship,
    verdict: report.verdict.text,
    date: report.created,
  };
}

function finishedRun(name: string): { folder: string; report: RunReport } {
  const folder = existsSync(name) ? name : join("runs", name);
  const report = existsSync(folder) ? readRunReport(folder) : null;
  if (report) return { folder, report };
  throw new OstinatoError("OST_FILE", {
    what: existsSync(folder) ? "the run is not finished" : "there is no such run",
    expected: `a folder with ${RUN_FILES.report}`,
    where: name,
    repair: "ostinato runs lists the runs there are",
  });
}

/** The test metrics that are single numbers. */
function scoresOf({ metrics: { test } }: RunReport): Record<string, number> {
  return Object.fromEntries(Object.entries(test).filter((entry): entry is [string, number] => typeof entry[1] === "number"));
}

function configOf(folder: string): Record<string, unknown> {
  const path = join(folder, RUN_FILES.config);
  if (!existsSync(path)) return {};
  try {
    return (parse(readFileSync(path, "utf8")) as Record<string, unknown>) ?? {};
  } catch {
    return {};
  }
}

/** Settings that differ, by path. */
function differences(a: unknown, b: unknown, path = ""): Record<string, { a: unknown; b: unknown }> {
  const inner = (value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  const [left, right] = [inner(a), inner(b)];
  if (!left || !right) return JSON.stringify(a) === JSON.stringify(b) ? {} : { [path]: { a: a ?? null, b: b ?? null } };
  const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])];
  return Object.assign({}, ...keys.map((key) => differences(left[key], right[key], path ? `${path}.${key}` : key)));
}

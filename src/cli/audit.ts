/** @file `ostinato audit`: looks for what makes a result too good to be true, and proves it. */
import { PARTS } from "../core/batch.js";
import {
  type AuditOptions,
  type AuditReport,
  type AuditSubject,
  audit,
  type Finding,
  type FindingStatus,
  renderAuditHtml,
  subjectOf,
} from "../data/audit/index.js";
import type { Table } from "../data/index.js";
import { dataOptions, type ExperimentConfig, type Tokenizers } from "../tasks/index.js";
import { loadConfig } from "./config-file.js";
import { isOnDisk, readExperimentFiles } from "./data-file.js";
import { wantWritable, writeWhole } from "./output-file.js";
import { quickModel } from "./quick-model.js";
import { counted, Terminal, type TerminalOptions } from "./terminal.js";

export interface AuditCommandOptions extends TerminalOptions {
  set?: string[];
  /** Where to write the report as a page. */
  html?: string;
  /** Windows of each part to print. */
  showWindows?: number;
}

/** @returns the exit code: 1 where a leak or a fault was found. */
export async function auditCommand(path: string | undefined, options: AuditCommandOptions): Promise<0 | 1> {
  const terminal = new Terminal(options);
  if (options.html !== undefined) wantWritable(options.html);
  const { config, name } = await loadConfig(path, options);
  if (await isOnDisk(config)) {
    terminal.warn("  the audit reads all rows into memory, also where training would keep them on disk (data.storage)");
  }
  const { table, tokenizers } = await readExperimentFiles(config, { terminal });
  const { report, subject } = auditTable(config, table, {
    tokenizers,
    onProgress: (check, done, of) => {
      if (done < of) terminal.status(`  audit ${done + 1}/${of}: ${check.replaceAll("-", " ")}`, { always: true });
    },
  });
  terminal.clear();
  const shown = options.showWindows ?? 0;
  const windows = Object.fromEntries(PARTS.map((part) => [part, shown > 0 ? (subject.describe?.(part, shown) ?? []) : []]));
  if (options.json) terminal.json({ ...report, ...(shown > 0 && { windows }) });
  print(terminal, report);
  for (const part of PARTS) for (const text of windows[part]) terminal.print(`\n${indented(text, 2)}`);
  if (options.html !== undefined) {
    await writeWhole(options.html, renderAuditHtml(report, subject, { title: `Audit of ${name}` }));
    terminal.print(`\n  report ${options.html}`);
  }
  return report.verdict === "leak" || report.verdict === "faults" ? 1 : 0;
}

/** The audit of an experiment's table, with the baselines' models as the quick ones. */
export function auditTable(
  config: ExperimentConfig,
  table: Table,
  { tokenizers, onProgress }: { tokenizers?: Tokenizers } & Pick<AuditOptions, "onProgress"> = {},
): { report: AuditReport; subject: AuditSubject } {
  const { length, horizon, stride } = config.window;
  const subject = subjectOf(table, dataOptions(config, tokenizers), {
    length,
    horizon,
    // Windows of tags lie side by side, whatever the stride says.
    stride: config.task === "tag" ? undefined : stride,
  });
  return { report: audit(subject, { now: Date.now(), quick: quickModel, onProgress }), subject };
}

const MARKS: Record<FindingStatus, string> = { pass: "✓", note: "·", warning: "!", fault: "✗", leak: "✗", skipped: "-" };
/** Columns of the title where it is short. */
const TITLE = 34;

function print(terminal: Terminal, { findings, verdict, facts }: AuditReport): void {
  const { color } = terminal;
  terminal.print();
  const paint = (status: FindingStatus, text: string) =>
    status === "leak" || status === "fault"
      ? color.red(text)
      : status === "warning"
        ? color.yellow(text)
        : status === "pass"
          ? color.green(text)
          : color.dim(text);
  for (const one of findings.filter(({ status }) => status !== "skipped")) {
    const { status, title, detail, example, repair } = one;
    const lines = entry(title, detail, terminal.width - 4);
    terminal.print(`  ${paint(status, MARKS[status])} ${lines[0]}`);
    for (const line of lines.slice(1)) terminal.print(`    ${line}`);
    if (example && status !== "pass" && status !== "note")
      for (const line of wrapped(example, terminal.width - 6)) terminal.print(`      ${line}`);
    if (repair && status !== "pass")
      for (const line of wrapped(`repair: ${repair}`, terminal.width - 6)) terminal.print(color.bold(`      ${line}`));
  }
  const skipped = findings.filter(({ status }) => status === "skipped");
  if (skipped.length > 0) {
    const text = `not checked: ${skipped.map(({ check, title }) => `${check.replaceAll("-", " ")} (${title})`).join(", ")}`;
    for (const line of wrapped(text, terminal.width - 4)) terminal.print(color.dim(`    ${line}`));
  }
  const sentence = closing(findings, verdict, facts.rows);
  terminal.print(`\n  ${verdict === "clean" ? sentence : color.bold(sentence)}`);
}

/** The verdict in a sentence. */
export function closing(findings: readonly Finding[], verdict: AuditReport["verdict"], rows: number): string {
  const count = (status: FindingStatus) => findings.filter((one) => one.status === status).length;
  const warnings = count("warning") > 0 ? `, ${counted(count("warning"), "warning")}` : "";
  const faults = count("fault") > 0 ? `, ${counted(count("fault"), "fault")}` : "";
  if (verdict === "leak")
    return `${counted(count("leak"), "leak")} proven${faults}${warnings}. Training on this would look excellent and fail in production.`;
  if (verdict === "faults")
    return `${counted(count("fault"), "fault")}${warnings}. Training on this would fail, or measure nothing.`;
  if (verdict === "warnings")
    return `no leak proven, ${counted(count("warning"), "warning")}. Look at them before you believe a score.`;
  return `clean: ${counted(count("pass"), "check")} passed over ${counted(rows, "row")}.`;
}

/** A title and what is said of it: beside it where the title is short, else below. */
function entry(title: string, detail: string, width: number): string[] {
  if (detail === "") return wrapped(title, width);
  if (title.length > TITLE) return [...wrapped(title, width), ...wrapped(detail, width)];
  const room = width - TITLE - 2;
  const [first, ...rest] = wrapped(detail, room);
  return [`${title.padEnd(TITLE)}  ${first}`, ...rest.map((line) => " ".repeat(TITLE + 2) + line)];
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  // A command stays in one piece, so that it can be copied.
  for (const word of text.match(/'[^']*'\S*|\S+/g) ?? []) {
    const last = lines[lines.length - 1];
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function indented(text: string, spaces: number): string {
  return text.replace(/^/gm, " ".repeat(spaces));
}

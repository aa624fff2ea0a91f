/** @file The report as plain JSON, as terminal text and as one self-contained page without scripts. */
import { escapeHtml } from "../core/html.js";
import type { Comparison } from "./bootstrap.js";
import { type DecisionResult, describeDecision } from "./decision.js";
import { describeFreeRunning, type FreeRunning, freeRunningPage } from "./free-running.js";
import type { LengthShift } from "./length-shift.js";
import { reportDetail } from "./report-detail.js";
import { figure, htmlTable, thousands } from "./report-table.js";
import type { Score } from "./score.js";
import { errorRateLabel } from "./score-sequences.js";
import { formatDifference, formatMicroseconds, type Verdict } from "./verdict.js";

export interface ReportColumn {
  key: string;
  label: string;
  higherIsBetter: boolean;
}

export interface ReportRow {
  name: string;
  kind: "model" | "baseline";
  /** By column key; null where it was not scored. */
  values: Record<string, number | null>;
  microsecondsPerStep?: number;
}

/** Everything a reader needs to judge a model; plain JSON. The first row is the model under judgement. */
export interface Report {
  part: "test" | "validation";
  /** How many units were scored and what one is called. */
  units: number;
  unit: string;
  /** Series they come from. */
  series: number;
  /**
   * series: none of them has a row in training or validation. later: some have, all before their test rows. interleaved: some have, also
   * after. Absent where it is not known.
   */
  separation?: "series" | "later" | "interleaved";
  columns: ReportColumn[];
  rows: ReportRow[];
  /** All metrics by name of the predictor. */
  metrics: Record<string, Score["metrics"]>;
  /** Outcome of the configured decision by name of the predictor. */
  decision?: Record<string, DecisionResult>;
  /** What the comparisons are in, as it reads after a number. */
  comparedBy: string;
  /** Model minus rival, by name of the rival. */
  comparisons: Record<string, Comparison>;
  verdict: Verdict;
  lengthShift?: LengthShift;
  /** What the model makes of its own output, where it can be made to read it. */
  freeRunning?: FreeRunning;
  notes: string[];
}

export interface RenderReportTextOptions {
  /** Spaces before each line; default 0. */
  indent?: number;
  /** Columns to wrap sentences at; default 110. */
  width?: number;
}

/** The report as aligned text for a terminal, without colours. */
export function renderReportText(report: Report, { indent = 0, width = 110 }: RenderReportTextOptions = {}): string {
  const table = cells(report);
  const widths = table[0].map((_, c) => Math.max(...table.map((row) => row[c].length)));
  const lines = [heading(report)];
  for (const row of table)
    lines.push(
      row
        .map((cell, c) => (c === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[c])))
        .join("   ")
        .trimEnd(),
    );
  lines.push("");
  for (const sentence of sentences(report)) lines.push(...wrap(sentence, width - indent));
  return lines.map((line) => (line ? " ".repeat(indent) + line : "")).join("\n");
}

/** The report as one HTML page: no scripts, no other files, every text escaped. */
export function renderReportHtml(report: Report, { title = "Ostinato report" }: { title?: string } = {}): string {
  const [head, ...body] = cells(report);
  const comparisons = Object.entries(report.comparisons).map(([name, { difference, interval95, n, unit, clusters }]) => [
    name,
    formatDifference(difference, {}),
    interval95 ? `${formatDifference(interval95[0], {})} to ${formatDifference(interval95[1], {})}` : "too few units",
    thousands(n),
    unit === "block" ? `blocks within ${clusters} series` : `${clusters} ${unit === "group" ? "groups" : "series"}, whole`,
  ]);
  const model = report.metrics[report.rows[0]?.name];
  return [
    "<!doctype html>",
    `<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">`,
    `<title>${escapeHtml(title)}</title>`,
    `<style>${STYLE}</style></head><body>`,
    `<h1>${escapeHtml(title)}</h1>`,
    `<p class="verdict">${escapeHtml(report.verdict.text)}</p>`,
    `<h2>${escapeHtml(heading(report))}</h2>`,
    htmlTable(head, body),
    `<h2>Differences in ${escapeHtml(report.comparedBy)}, ${escapeHtml(report.rows[0]?.name ?? "model")} minus rival</h2>`,
    htmlTable(["rival", "difference", "95 % interval", "units", "resampled"], comparisons),
    ...(model ? reportDetail(model) : []),
    ...(report.freeRunning ? freeRunningPage(report.freeRunning) : []),
    ...sentences(report)
      .slice(1)
      .map((sentence) => `<p>${escapeHtml(sentence)}</p>`),
    "</body></html>",
    "",
  ].join("\n");
}

const SEPARATION = {
  series: " never seen",
  later: ", later than training",
  interleaved: ", not all later than training",
};

function heading({ part, units, unit, series, separation }: Report): string {
  const judged = unit === "series" ? "" : `${thousands(units)} ${unit}${units === 1 ? "" : "s"} of `;
  return `${part}, ${judged}${thousands(series)} series${separation ? SEPARATION[separation] : ""}`;
}

/** The table, its heading first. */
function cells({ columns, rows }: Report): string[][] {
  const timed = rows.some((row) => row.microsecondsPerStep !== undefined);
  const head = ["", ...columns.map(({ label }) => label), ...(timed ? ["per step"] : [])];
  const body = rows.map((row) => [
    row.name,
    ...columns.map(({ key }) => figure(row.values[key])),
    ...(timed ? [row.microsecondsPerStep === undefined ? "" : formatMicroseconds(row.microsecondsPerStep)] : []),
  ]);
  return [head, ...body];
}

function sentences(report: Report): string[] {
  const { decision, rows, verdict, lengthShift, freeRunning, notes } = report;
  const told = decision
    ? rows
        .filter(({ name }) => decision[name] && decision[name].kind !== "metric")
        .map(({ name }) => `By your decision, ${name}: ${describeDecision(decision[name])}.`)
    : [];
  const alone = freeRunning ? describeFreeRunning(freeRunning) : [];
  return [verdict.text, ...told, ...generated(report), ...alone, ...(lengthShift ? [lengthShift.text] : []), ...notes];
}

/** What the model does with the truth before it beside what it does with its own output: the two may be far apart. */
function generated({ metrics, rows }: Report): string[] {
  const [first] = rows;
  const own = first && metrics[first.name];
  if (!own || !("firstDivergence" in own)) return [];
  const { unitName, nll, tokenErrorRate, tokenAccuracy, firstDivergence, n } = own;
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const forced = [
    ...(nll === undefined ? [] : [`${figure(nll)} nats per ${unitName}`]),
    ...(tokenAccuracy.teacherForced === undefined ? [] : [`${percent(tokenAccuracy.teacherForced)} of ${unitName}s right`]),
  ];
  const { diverged, median } = firstDivergence;
  const free = `free-running ${percent(tokenErrorRate)} ${errorRateLabel(unitName)}, ${percent(tokenAccuracy.freeRunning)} of ${unitName}s in place`;
  const where =
    diverged === 0
      ? "no sequence goes wrong"
      : `${thousands(diverged)} of ${thousands(n)} sequences go wrong, first at ${unitName} ${median} (median)`;
  return [`${first.name}: ${forced.length > 0 ? `teacher-forced ${forced.join(", ")}; ` : ""}${free}; ${where}.`];
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines[lines.length - 1];
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1rem; margin-top: 2rem; }
.verdict { font-size: 1.2rem; border-left: .3rem solid; padding-left: .8rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.plot { margin: 1rem 0; } .plot text { fill: currentColor; font-size: 12px; } .plot .grid { stroke: #8884; }
.plot ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .3rem 0; padding: 0; }
`;

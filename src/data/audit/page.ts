/** @file The audit as one HTML page: no scripts, no other files, every text escaped; it prints well. */

import { PARTS, type Part } from "../../core/batch.js";
import { escapeHtml } from "../../core/html.js";
import { timeName } from "../cell.js";
import { runsOf } from "../split.js";
import { AuditContext } from "./context.js";
import type { AuditReport, Finding, FindingStatus } from "./finding.js";
import type { AuditSubject, WindowRows } from "./subject.js";

export interface AuditPageOptions {
  title?: string;
}

const VERDICTS: Record<AuditReport["verdict"], string> = {
  clean: "Nothing was found that makes a score too good to be true.",
  warnings: "No leak was proven, but something is suspicious.",
  faults: "This cannot work as it is, or measures nothing.",
  leak: "A leak is proven. Training on this would look excellent and fail in production.",
};

const WORDS: Record<FindingStatus, string> = {
  leak: "leak",
  fault: "fault",
  warning: "warning",
  note: "note",
  pass: "passed",
  skipped: "not checked",
};

const ORDER: FindingStatus[] = ["leak", "fault", "warning", "note", "pass", "skipped"];

/** The page. What is drawn is sampled where there is much of it, and says so. */
export function renderAuditHtml(report: AuditReport, subject: AuditSubject, { title = "Audit" }: AuditPageOptions = {}): string {
  const { verdict, findings, facts } = report;
  const context = new AuditContext(subject);
  const sorted = [...findings].sort((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status));
  const grave = sorted.filter(({ status }) => ORDER.indexOf(status) <= ORDER.indexOf("note"));
  const rest = sorted.filter(({ status }) => ORDER.indexOf(status) > ORDER.indexOf("note"));
  return [
    "<!doctype html>",
    `<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">`,
    `<title>${escapeHtml(title)}</title>`,
    `<style>${STYLE}</style></head><body>`,
    `<h1>${escapeHtml(title)}</h1>`,
    `<p class="verdict ${verdict}"><b>${escapeHtml(verdict === "leak" ? "Leak" : verdict)}</b> ${escapeHtml(VERDICTS[verdict])}</p>`,
    `<p>${escapeHtml(`${facts.source}: ${thousands(facts.rows)} rows in ${thousands(facts.series)} series, ${facts.features.length} features, predicting ${facts.target.join(", ")}; split by ${facts.splitBy}.`)}</p>`,
    partsTable(report),
    ...grave.map(findingHtml),
    rest.length > 0
      ? `<details><summary>${rest.filter(({ status }) => status === "pass").length} checks passed, ${rest.filter(({ status }) => status === "skipped").length} not run</summary>${rest.map(findingHtml).join("\n")}</details>`
      : "",
    section("Which rows belong to which part", timelines(subject)),
    section("Lengths", lengths(context)),
    section("Missing values", missingness(subject)),
    section("Windows", samples(context)),
    "</body></html>",
    "",
  ].join("\n");
}

function section(title: string, body: string): string {
  return body === "" ? "" : `<section><h2>${escapeHtml(title)}</h2>${body}</section>`;
}

function partsTable({ facts }: AuditReport): string {
  const rows = PARTS.map((part) => {
    const { rows: count, series, windows } = facts.parts[part];
    return `<tr><td><span class="key ${part}"></span>${part}</td><td>${thousands(count)}</td><td>${thousands(series)}</td><td>${thousands(windows)}</td></tr>`;
  });
  return `<table><thead><tr><th>part</th><th>rows</th><th>series</th><th>windows</th></tr></thead><tbody>${rows.join("")}</tbody></table>`;
}

function findingHtml({ check, title, status, detail, evidence, example, repair }: Finding): string {
  const facts = Object.entries(evidence).map(
    ([name, value]) => `${spaced(name)} ${typeof value === "number" ? figure(value) : value}`,
  );
  return [
    `<article class="${status}"><h3><span class="status">${WORDS[status]}</span> ${escapeHtml(title)}</h3>`,
    detail ? `<p>${escapeHtml(detail)}</p>` : "",
    example ? `<p class="example">${escapeHtml(example)}</p>` : "",
    repair ? `<p class="repair">Repair: ${escapeHtml(repair)}</p>` : "",
    facts.length > 0 ? `<p class="facts">${escapeHtml(`${check}: ${facts.join(", ")}`)}</p>` : "",
    "</article>",
  ].join("");
}

const WIDTH = 720;
const SERIES_SHOWN = 24;

/** A bar per series, in the colours of the parts. */
function timelines({ series, parts }: AuditSubject): string {
  if (series.length === 0) return "";
  const shown = evenly(series.length, SERIES_SHOWN);
  const longest = Math.max(1, ...shown.map((s) => series[s].rows));
  const bars = shown.map((s, k) => {
    const y = k * 16;
    const runs = [0, 1, 2, 3].flatMap((code) =>
      runsOf(parts[s], code)
        .slice(0, 400)
        .map(([from, to]) => {
          const x = 150 + ((WIDTH - 150) * from) / longest;
          const width = Math.max(0.5, ((WIDTH - 150) * (to - from)) / longest);
          return `<rect x="${x.toFixed(1)}" y="${y + 2}" width="${width.toFixed(1)}" height="11" class="${code === 0 ? "none" : PARTS[code - 1]}"/>`;
        }),
    );
    return `<text x="0" y="${y + 12}">${escapeHtml(cut(series[s].entity, 20))}</text>${runs.join("")}`;
  });
  const time = series[shown[0]].time;
  const span =
    series.length === 1 && time && time.length > 0 ? ` from ${timeName(time[0])} to ${timeName(time[time.length - 1])}` : "";
  return `${svg(WIDTH, shown.length * 16 + 4, bars.join(""), "parts of each series")}<p class="facts">${escapeHtml(`${shown.length} of ${thousands(series.length)} series${span}; grey rows belong to no part`)}</p>`;
}

/** Histograms of the lengths of series, one line per class (at most eight) or part. */
function lengths(context: AuditContext): string {
  const { subject } = context;
  if (subject.series.length < 3) return "";
  const length = (s: number) => subject.steps?.[s] ?? subject.series[s].rows;
  const all = subject.series.map((_, s) => length(s));
  const [least, most] = [Math.min(...all), Math.max(...all)];
  if (least === most) return `<p>All series have ${thousands(most)} rows.</p>`;
  const byPart: [string, number[]][] = PARTS.map((part, p): [string, number[]] => [
    part,
    all.filter((_, s) => context.partOfSeries(s) === p + 1),
  ]);
  const kinds =
    subject.targetKind === "class"
      ? [...new Set(subject.series.map((_, s) => context.labelOf(s)))].filter((label) => label !== "")
      : [];
  const byClass: [string, number[]][] = kinds
    .slice(0, 8)
    .map((label) => [label, all.filter((_, s) => context.labelOf(s) === label)]);
  const bins = Math.min(30, most - least + 1);
  const lines = [...byPart, ...byClass].filter(([, values]) => values.length > 0);
  const bars = lines.map(([name, values], k) => {
    const counts = new Array<number>(bins).fill(0);
    for (const value of values) counts[Math.min(bins - 1, Math.floor(((value - least) * bins) / (most - least + 1)))]++;
    const high = Math.max(...counts);
    const y = k * 34;
    const drawn = counts.map((count, b) => {
      const height = (26 * count) / high;
      const width = (WIDTH - 220) / bins;
      return `<rect x="${(150 + b * width).toFixed(1)}" y="${(y + 28 - height).toFixed(1)}" width="${Math.max(0.5, width - 1).toFixed(1)}" height="${height.toFixed(1)}" class="${PARTS.includes(name as Part) && k < byPart.length ? name : "bar"}"/>`;
    });
    return `<text x="0" y="${y + 24}">${escapeHtml(cut(name, 20))}</text>${drawn.join("")}<text x="${WIDTH - 62}" y="${y + 24}">${thousands(values.length)}</text>`;
  });
  return `${svg(WIDTH, lines.length * 34 + 18, `${bars.join("")}<text x="150" y="${lines.length * 34 + 14}">${thousands(least)}</text><text x="${WIDTH - 110}" y="${lines.length * 34 + 14}">${thousands(most)} rows</text>`, "lengths by part and class")}<p class="facts">Each line is scaled to its own highest bar; at the right how many series it holds.</p>`;
}

/** Features against stretches of rows: the darker, the more is missing. */
function missingness({ series, roles }: AuditSubject): string {
  const width = roles.features.length;
  if (width === 0 || series.length === 0) return "";
  const total = series.reduce((sum, { rows }) => sum + rows, 0);
  const bins = Math.min(60, Math.max(1, total));
  const shown = evenly(width, 40);
  const missing = shown.map(() => new Float64Array(bins));
  const counts = new Float64Array(bins);
  let at = 0;
  let any = 0;
  for (const { rows, features } of series) {
    for (let i = 0; i < rows; i++, at++) {
      const bin = Math.min(bins - 1, Math.floor((at * bins) / total));
      counts[bin]++;
      shown.forEach((c, k) => {
        if (!Number.isNaN(features[i * width + c])) return;
        missing[k][bin]++;
        any++;
      });
    }
  }
  if (any === 0) return "<p>No value is missing.</p>";
  const cells = shown.map((c, k) => {
    const drawn = Array.from(missing[k], (count, b) => {
      const share = count / Math.max(1, counts[b]);
      if (share === 0) return "";
      const size = (WIDTH - 220) / bins;
      return `<rect x="${(150 + b * size).toFixed(1)}" y="${k * 14 + 1}" width="${size.toFixed(1)}" height="12" class="missing" fill-opacity="${Math.max(0.08, share).toFixed(2)}"/>`;
    });
    const sum = missing[k].reduce((a, b) => a + b, 0);
    return `<text x="0" y="${k * 14 + 11}">${escapeHtml(cut(roles.features[c], 20))}</text><rect x="150" y="${k * 14 + 1}" width="${WIDTH - 220}" height="12" class="frame"/>${drawn.join("")}<text x="${WIDTH - 62}" y="${k * 14 + 11}">${((100 * sum) / total).toFixed(1)} %</text>`;
  });
  return `${svg(WIDTH, shown.length * 14 + 4, cells.join(""), "missing values by feature and place")}<p class="facts">From the first row of the file to the last; ${shown.length} of ${width} features.</p>`;
}

/** Two windows of each part: each feature on its own scale, the target's rows shaded. */
function samples(context: AuditContext): string {
  const { scan, subject } = context;
  const drawn = PARTS.flatMap((part) => evenly(scan.sample[part].length, 2).map((k) => windowSvg(context, scan.sample[part][k])));
  if (drawn.length === 0 || subject.roles.features.length === 0) return "";
  return `${drawn.join("")}<p class="facts">Each feature on its own scale; shaded rows are to be predicted.</p>`;
}

const FEATURES_SHOWN = 5;

function windowSvg(context: AuditContext, { part, series: s, input, target }: WindowRows): string {
  const { subject } = context;
  const { features, labels, rows } = subject.series[s];
  const width = subject.roles.features.length;
  const from = Math.max(0, Math.min(input[0], target[0]));
  const to = Math.min(rows, Math.max(input[1], target[1]));
  const shown = evenly(width, FEATURES_SHOWN);
  const x = (i: number) => 150 + ((WIDTH - 160) * (i - from)) / Math.max(1, to - from - 1);
  const stride = Math.max(1, Math.ceil((to - from) / 400));
  const lines = shown.map((c, k) => {
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (let i = from; i < to; i++) {
      const value = features[i * width + c];
      if (Number.isNaN(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    const points: string[] = [];
    for (let i = from; i < to; i += stride) {
      const value = features[i * width + c];
      if (Number.isNaN(value)) continue;
      points.push(`${x(i).toFixed(1)},${(k * 30 + 24 - (20 * (value - low)) / (high - low || 1)).toFixed(1)}`);
    }
    return `<text x="0" y="${k * 30 + 18}">${escapeHtml(cut(subject.roles.features[c], 20))}</text><polyline points="${points.join(" ")}"/>`;
  });
  const shade =
    target[1] > target[0]
      ? `<rect x="${x(target[0]).toFixed(1)}" y="0" width="${Math.max(1, x(Math.min(rows, target[1]) - 1) - x(target[0])).toFixed(1)}" height="${shown.length * 30}" class="target"/>`
      : "";
  const answer = labels ? `, label "${labels[Math.max(0, Math.min(rows, input[1]) - 1)]}"` : "";
  return `<figure>${svg(WIDTH, shown.length * 30 + 4, shade + lines.join(""), `a window of ${part}`)}<figcaption>${escapeHtml(`${part}: ${context.range(s, input[0], input[1])}${answer}`)}</figcaption></figure>`;
}

/** At most `count` of n indices, evenly spaced, the first among them. */
function evenly(n: number, count: number): number[] {
  return n <= count
    ? Array.from({ length: n }, (_, i) => i)
    : Array.from({ length: count }, (_, k) => Math.floor((k * n) / count));
}

function svg(width: number, height: number, body: string, label: string): string {
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(label)}">${body}</svg>`;
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function spaced(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, (_, a: string, b: string) => `${a} ${b.toLowerCase()}`);
}

function figure(value: number): string {
  return Number.isInteger(value) ? thousands(value) : String(Number(value.toPrecision(4)));
}

function thousands(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; --train: #4878a8; --validation: #d8a038; --test: #b05048; }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1rem; margin-top: 2rem; } h3 { font-size: 1rem; margin: 0; }
.verdict { font-size: 1.2rem; border-left: .3rem solid; padding-left: .8rem; }
.verdict b { text-transform: capitalize; } .verdict.leak, .verdict.faults { border-color: #b05048; } .verdict.warnings { border-color: #d8a038; }
.verdict.clean { border-color: #508850; }
article { margin: .8rem 0; padding-left: .8rem; border-left: .2rem solid #8884; break-inside: avoid; }
article p { margin: .2rem 0; overflow-wrap: anywhere; }
article.leak, article.fault { border-color: #b05048; } article.warning { border-color: #d8a038; }
.status { font-weight: normal; font-size: .8rem; border: 1px solid #8886; border-radius: .2rem; padding: 0 .3rem; }
.example, .repair { font-family: ui-monospace, monospace; font-size: .85rem; }
.facts { font-size: .8rem; opacity: .7; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #8884; } th:first-child, td:first-child { text-align: left; padding-left: 0; }
.key { display: inline-block; width: .7rem; height: .7rem; margin-right: .4rem; }
.key.train { background: var(--train); } .key.validation { background: var(--validation); } .key.test { background: var(--test); }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: currentColor; }
rect.train { fill: var(--train); } rect.validation { fill: var(--validation); } rect.test { fill: var(--test); } rect.none, rect.bar { fill: #8886; }
rect.missing { fill: var(--test); } rect.frame { fill: none; stroke: #8884; } rect.target { fill: #d8a03833; }
polyline { fill: none; stroke: var(--train); stroke-width: 1.2; }
figure { margin: .5rem 0 1rem; } figcaption { font-size: .8rem; opacity: .7; overflow-wrap: anywhere; }
@media print { body { margin: 0; } details { display: block; } }
`;

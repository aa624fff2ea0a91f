/**
 * @file Does a feature alone tell what is to be predicted?
 *
 * Forecasts and tags. A feature may say much about the past and, for tags, about its own row: that is what it is for. What it must not hold is
 * what is *new* in a later row. The target and each feature are reduced to their innovations: the target to its residual from its own
 * last {@link ORDER} rows, the feature to its residual from the target up to its own row (for tags: up to the row before) and its own past.
 * r is the correlation of the feature's innovation with the target's `lag` rows later, raw and by normal scores (so that a monotone function is
 * found too), the larger of both.
 *
 *     lag >= 1    |r| >= 0.9 leak: four fifths of what is new in the target are known before;    |r| >= 0.77 warning
 *     lag = 0     tags only: |r| >= 0.999 leak: made of the label itself;                        |r| >= 0.97 warning
 *
 * A feature is also compared as it stands: it is the target of a later row if that leaves at most a twentieth of the variance unexplained that the
 * target's past leaves.
 *
 * An honest leading indicator has noise of its own and stays below. Of n rows, 1 / sqrt(n) is what chance gives; at least
 * {@link LEAST} are wanted. A target that follows exactly from its own past (r^2 above 1 - 1e-9) has no innovation and is not judged.
 *
 * Classes of sequences. A column that is constant within each sequence and has few values, and whether a column is observed at all, are codes. A
 * code that tells the class of held-out sequences in 95 % of the cases (or so few less as is chance at 5 %), with at most a quarter of the errors
 * of the commonest class, is a leak: it was written down by somebody who knew the outcome. Columns that vary within a sequence are sensors and may be as good
 * as they like.
 */

import type { AuditContext } from "./context.js";
import { short } from "./figure.js";
import { type Finding, finding } from "./finding.js";
import { correlation, normalScores, residuals } from "./innovation.js";
import { withoutFeature } from "./repair.js";

const ORDER = 8;
const LEAST = 100;
const ROWS = 20_000;
/** Lags tried at least and at most. */
const LAGS = [24, 64] as const;
const LEAK = 0.9;
const WARNING = 0.77;
const OWN_LEAK = 0.999;
const OWN_WARNING = 0.97;
const SHIFTED = 0.05;
/** The most a correlation with the size alone counts for. */
const HALF = 0.89;
/** Share of rows in which a code of a later label must stand for it. */
const LATER = 0.9;
const CLASSES = 8;

export function checkProxy(audit: AuditContext): Finding[] {
  return audit.subject.targetKind === "class" ? classProxies(audit) : seriesProxies(audit);
}

interface Joined {
  /** Series and row of each position; -1 between series. */
  series: Int32Array;
  row: Int32Array;
  values: (of: (s: number, i: number) => number) => Float64Array;
}

/** Stretches of several series behind each other, with room between so that no lag reaches from one to another. */
function joined(audit: AuditContext, lags: number): Joined {
  const { subject } = audit;
  const chosen = audit.sampleSeries("proxy", 200, 20);
  const each = Math.max(20, Math.floor(ROWS / Math.max(1, chosen.length)));
  const series: number[] = [];
  const row: number[] = [];
  for (const s of chosen) {
    const rows = Math.min(each, subject.series[s].rows);
    for (let i = 0; i < rows; i++) {
      series.push(s);
      row.push(i);
    }
    for (let k = 0; k < lags + ORDER; k++) {
      series.push(-1);
      row.push(-1);
    }
  }
  return {
    series: Int32Array.from(series),
    row: Int32Array.from(row),
    values: (of) => Float64Array.from(series, (s, at) => (s < 0 ? Number.NaN : of(s, row[at]))),
  };
}

interface Telling {
  feature: string;
  target: string;
  lag: number;
  r: number;
  count: number;
  example: string;
  own: number;
}

function seriesProxies(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const { features, target } = subject.roles;
  const tags = subject.targetKind === "tags";
  const lags = Math.min(LAGS[1], Math.max(LAGS[0], 2 * subject.horizon));
  const rows = joined(audit, lags);
  const width = features.length;
  const targets = tags
    ? audit.labels.slice(0, audit.labels.length === 2 ? 1 : CLASSES).map((label) => ({
        name: target[0],
        values: rows.values((s, i) => {
          const here = subject.series[s].labels?.[i] ?? "";
          return here === "" ? Number.NaN : here === label ? 1 : 0;
        }),
      }))
    : target.slice(0, CLASSES).map((name, k) => ({
        name,
        values: rows.values((s, i) => subject.series[s].target?.[i * target.length + k] ?? Number.NaN),
      }));
  const columns = features.map((_, c) => rows.values((s, i) => subject.series[s].features[i * width + c]));
  const told: Telling[] = [];
  let judged = 0;
  for (const { name, values } of targets) {
    for (const scored of tags ? [false] : [false, true]) {
      const y = scored ? normalScores(values) : values;
      const news = residuals(y, past(y, 1, ORDER));
      if (!news || news.explained > 1 - 1e-9) continue;
      judged++;
      for (const [c, raw] of columns.entries()) {
        if (features[c] === name) continue;
        const x = scored ? normalScores(raw) : raw;
        const best = tellingLag(x, y, news.values, { lags, own: tags });
        if (!best) continue;
        told.push({
          feature: features[c],
          target: name,
          ...best,
          example: exampleOf(audit, rows, features[c], raw, name, values, best.lag),
        });
      }
    }
  }
  const strongest = new Map<string, Telling>();
  for (const one of told) {
    const before = strongest.get(one.feature);
    if (!before || Math.abs(one.r) > Math.abs(before.r)) strongest.set(one.feature, one);
  }
  const findings = [...strongest.values()].flatMap((one) => proxyFinding(audit, one, lags));
  if (findings.length > 0) return [...findings, ...oneToOne(audit, findings)];
  const codes = oneToOne(audit, []);
  if (codes.length > 0) return codes;
  const most = Math.max(0, ...told.filter(({ lag }) => lag > 0).map(({ r }) => Math.abs(r)));
  if (judged === 0 || features.length === 0) {
    return [
      finding("target-proxy", "skipped", "no feature could be compared with the target", {
        detail: "too few rows, or the target follows exactly from its past",
      }),
    ];
  }
  return [
    finding("target-proxy", "pass", "no feature tells the target ahead of time", {
      detail: `the most any says of later rows is r = ${most.toFixed(2)} (over ${lags} lags)`,
      evidence: { features: features.length, largestR: most, lags, leakAt: LEAK, warningAt: WARNING },
    }),
  ];
}

/** Regressors: the rows from `from` to `to` before. */
function past(values: Float64Array, from: number, to: number): ((row: number) => number)[] {
  return Array.from({ length: to - from + 1 }, (_, k) => (row: number) => values[row - from - k]);
}

/** The lag at which a feature's innovation says most of the target's, or null where there is none to be judged. */
function tellingLag(
  x: Float64Array,
  y: Float64Array,
  news: Float64Array,
  { lags, own }: { lags: number; own: boolean },
): { lag: number; r: number; count: number; own: number } | null {
  const missing =
    x.reduce((sum, value) => sum + (Number.isNaN(value) ? 1 : 0), 0) -
    y.reduce((sum, value) => sum + (Number.isNaN(value) ? 1 : 0), 0);
  const ownPast = missing > 0.02 * x.length ? [] : past(x, 1, 4);
  const ahead = residuals(x, [...past(y, 0, ORDER), ...ownPast]);
  let best: { lag: number; r: number; count: number; own: number } | null = null;
  const sizes = news.map(Math.abs);
  if (ahead && ahead.explained < 1 - 1e-9) {
    for (let lag = 1; lag <= lags; lag++) {
      // The size of what is new, without its sign, is half of the answer: never more than a warning.
      const size = correlation(ahead.values, sizes, lag);
      const halved = { r: Math.max(-HALF, Math.min(HALF, size.r)), count: size.count };
      for (const { r, count } of [correlation(ahead.values, news, lag), halved, shifted(x, y, lag, ahead.explained)]) {
        if (count >= LEAST && Math.abs(r) > Math.abs(best?.r ?? 0)) best = { lag, r, count, own: 0 };
      }
    }
  }
  if (!own) return best;
  const here = residuals(x, [...past(y, 1, ORDER), ...ownPast]);
  if (!here || here.explained > 1 - 1e-9) return best;
  const { r, count } = correlation(here.values, news, 0);
  if (count >= LEAST && Math.abs(r) >= OWN_WARNING && !(best && Math.abs(best.r) >= LEAK)) return { lag: 0, r, count, own: r };
  return best;
}

/**
 * Whether a feature is the target `lag` rows later as it stands: what that leaves unexplained of it is at most a twentieth of what the target's past
 * leaves. Where many rows are missing this sees what innovations cannot. @returns the correlation, or none.
 */
function shifted(x: Float64Array, y: Float64Array, lag: number, byPast: number): { r: number; count: number } {
  const { r, count } = correlation(x, y, lag);
  return 1 - r * r <= SHIFTED * (1 - byPast) ? { r, count } : { r: 0, count: 0 };
}

/** A row where the feature moves, and the target it tells. */
function exampleOf(
  audit: AuditContext,
  { series, row }: Joined,
  feature: string,
  x: Float64Array,
  target: string,
  y: Float64Array,
  lag: number,
): string {
  const { subject } = audit;
  for (let at = 1; at + lag < x.length; at++) {
    if (Number.isNaN(x[at]) || Number.isNaN(y[at + lag]) || series[at] < 0 || series[at + lag] !== series[at]) continue;
    if (y[at + lag] === y[at + lag - 1]) continue;
    const s = series[at];
    const value = subject.series[s].labels ? `"${subject.series[s].labels![row[at + lag]]}"` : short(y[at + lag]);
    const before =
      lag === 0
        ? ""
        : `, where it was ${subject.series[s].labels ? `"${subject.series[s].labels![row[at + lag] - 1]}"` : short(y[at + lag - 1])} a row before`;
    return `at ${audit.where(s, row[at])} "${feature}" is ${short(x[at])}; "${target}" at ${audit.where(s, row[at + lag])} is ${value}${before}`;
  }
  return `"${feature}" and "${target}"`;
}

function proxyFinding(audit: AuditContext, { feature, target, lag, r, count, example }: Telling, lags: number): Finding[] {
  const size = Math.abs(r);
  const [leak, warning] = lag === 0 ? [OWN_LEAK, OWN_WARNING] : [LEAK, WARNING];
  if (size < warning) return [];
  const status = size >= leak ? "leak" : "warning";
  const later = lag === 1 ? "1 row" : `${lag} rows`;
  const { features } = audit.subject.roles;
  return [
    finding(
      "target-proxy",
      status,
      lag === 0 ? `feature "${feature}" holds the label of its own row` : `feature "${feature}" knows the future`,
      {
        detail:
          lag === 0
            ? `what is new in it is what is new in "${target}" (r = ${r.toFixed(3)})`
            : `what is new in it is "${target}" ${later} later (r = ${r.toFixed(3)})${status === "warning" ? ": an excellent leading indicator, or a leak" : ""}`,
        evidence: { r, lag, rows: count, lags, leakAt: leak, warningAt: warning },
        example,
        repair: `drop it: ${withoutFeature(features, feature)}, or lag it by at least ${Math.max(1, lag)}`,
      },
    ),
  ];
}

/** Tags: columns of few values that stand for the labels one to one, in the same row or a later one. */
function oneToOne(audit: AuditContext, already: readonly Finding[]): Finding[] {
  const { subject } = audit;
  if (subject.targetKind !== "tags" || audit.labels.length < 2) return [];
  const { features, target } = subject.roles;
  const width = features.length;
  const findings: Finding[] = [];
  for (const [c, feature] of features.entries()) {
    if (already.some(({ title }) => title.includes(`"${feature}"`))) continue;
    const found = codeOfLabel(audit, c, width, 0);
    if (!found) {
      findings.push(...laterCode(audit, c, feature));
      continue;
    }
    findings.push(
      finding("target-proxy", "leak", `feature "${feature}" is a code of the label`, {
        detail: `each of its ${found.values} values stands for one value of "${target[0]}", in ${(100 * found.share).toFixed(2)} % of ${found.rows.toLocaleString("en")} rows`,
        evidence: { values: found.values, share: found.share, rows: found.rows, threshold: 0.999 },
        example: found.example,
        repair: `drop it: ${withoutFeature(features, feature)}`,
      }),
    );
  }
  return findings;
}

/** A column of few values that stands for the label of a later row, with errors: at most half of those it makes in its own row. */
function laterCode(audit: AuditContext, c: number, feature: string): Finding[] {
  const { features, target } = audit.subject.roles;
  const own = codeOfLabel(audit, c, features.length, 0, 0)?.share ?? 0;
  for (let lag = 1; lag <= LAGS[0]; lag++) {
    const found = codeOfLabel(audit, c, features.length, lag, LATER);
    if (!found || 1 - found.share > (1 - own) / 2) continue;
    return [
      finding(
        "target-proxy",
        "warning",
        `feature "${feature}" is a code of the label ${lag === 1 ? "1 row" : `${lag} rows`} later`,
        {
          detail: `its values stand for "${target[0]}" there in ${(100 * found.share).toFixed(1)} % of the rows, in its own row in ${(100 * own).toFixed(1)} %`,
          evidence: { lag, share: found.share, ownShare: own, rows: found.rows, threshold: LATER },
          example: found.example,
          repair: `drop it: ${withoutFeature(features, feature)}, or lag it by at least ${lag}`,
        },
      ),
    ];
  }
  return [];
}

/** Whether the values of a feature stand for the labels `lag` rows later one to one, in 99.9 % of the rows. */
export function codeOfLabel(
  audit: AuditContext,
  column: number,
  width: number,
  lag: number,
  least = 0.999,
): { values: number; share: number; rows: number; example: string } | null {
  const { subject } = audit;
  const most = 2 * audit.labels.length + 2;
  const counts = new Map<number, Map<string, number>>();
  let rows = 0;
  let example = "";
  for (const [s, one] of subject.series.entries()) {
    for (let i = Math.max(0, -lag); i < one.rows && i + lag < one.rows; i++) {
      const value = one.features[i * width + column];
      const label = one.labels?.[i + lag] ?? "";
      if (label === "") continue;
      const key = Number.isNaN(value) ? Number.MAX_VALUE : value;
      const list = counts.get(key) ?? counts.set(key, new Map()).get(key)!;
      if (counts.size > most) return null;
      list.set(label, (list.get(label) ?? 0) + 1);
      rows++;
      example ||= `"${subject.roles.features[column]}" is ${short(value)} at ${audit.where(s, i)}, where the label is "${label}"`;
    }
  }
  const [total, stands] = agreement(counts);
  const labels = new Set([...counts.values()].map((list) => commonest(list)));
  return labels.size >= 2 && labels.size === counts.size && stands / total >= least
    ? { values: counts.size, share: stands / total, rows, example }
    : null;
}

function commonest(list: ReadonlyMap<string, number>): string {
  return [...list].reduce((best, one) => (one[1] > best[1] ? one : best))[0];
}

/** Rows, and rows whose label is the commonest of their value. */
function agreement(counts: ReadonlyMap<number, ReadonlyMap<string, number>>): [total: number, stands: number] {
  let total = 0;
  let stands = 0;
  for (const list of counts.values()) {
    for (const count of list.values()) total += count;
    stands += Math.max(...list.values());
  }
  return [total, stands];
}

/** One number per sequence that somebody wrote down for all of it. */
interface Code {
  feature: string;
  what: string;
  /** Per series; a text of the value. */
  values: string[];
}

function classProxies(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const { features, target } = subject.roles;
  const labels = subject.series.map((_, s) => audit.labelOf(s));
  const training = subject.series.flatMap((_, s) => (audit.partOfSeries(s) === 1 && labels[s] !== "" ? [s] : []));
  const held = subject.series.flatMap((_, s) => (audit.partOfSeries(s) > 1 && labels[s] !== "" ? [s] : []));
  if (training.length < 10 || held.length < 5)
    return [finding("target-proxy", "skipped", "too few sequences to judge features by")];
  const kinds = new Set(labels).size;
  const findings: Finding[] = [];
  for (const code of codesOf(audit, 2 * kinds + 2)) {
    const says = new Map<string, Map<string, number>>();
    for (const s of training) {
      const list = says.get(code.values[s]) ?? says.set(code.values[s], new Map()).get(code.values[s])!;
      list.set(labels[s], (list.get(labels[s]) ?? 0) + 1);
    }
    const usual = commonest(countsOf(training.map((s) => labels[s])));
    const right = held.filter(
      (s) => (says.has(code.values[s]) ? commonest(says.get(code.values[s])!) : usual) === labels[s],
    ).length;
    const wrongBefore = held.filter((s) => labels[s] !== usual).length;
    const accuracy = right / held.length;
    const wrong = held.length - right;
    // So many errors an accuracy of 95 % may have by chance.
    const mostWrong = 0.05 * held.length + 1.65 * Math.sqrt(0.0475 * held.length);
    if (wrong > mostWrong || wrong > wrongBefore / 4 || wrongBefore < 3) continue;
    const s = held.find((one) => labels[one] !== usual) ?? held[0];
    findings.push(
      finding("target-proxy", "leak", `feature "${code.feature}" tells the class: ${code.what}`, {
        detail: `it alone is right in ${right} of ${held.length} held-out sequences, the commonest class in ${held.length - wrongBefore}`,
        evidence: {
          right,
          held: held.length,
          accuracy,
          majority: 1 - wrongBefore / held.length,
          leastAccuracy: 0.95,
          mostErrors: "a quarter of the majority's",
        },
        example: `${audit.where(s, 0)}: "${code.feature}" is ${code.values[s]}, "${target[0]}" is "${labels[s]}"`,
        repair: `drop it: ${withoutFeature(features, code.feature)}`,
      }),
    );
  }
  if (findings.length > 0) return findings;
  return [
    finding("target-proxy", "pass", "no column is a code of the class", {
      detail: `${features.length} features, in ${held.length} held-out sequences`,
      evidence: { features: features.length, held: held.length },
    }),
  ];
}

function countsOf(labels: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return counts;
}

/** Columns that are constant within each sequence and have few values, and whether each column is observed. */
function codesOf({ subject }: AuditContext, most: number): Code[] {
  const { features } = subject.roles;
  const width = features.length;
  const codes: Code[] = [];
  features.forEach((feature, c) => {
    const values: string[] = [];
    const observed: string[] = [];
    let constant = true;
    for (const { rows, features: cells } of subject.series) {
      let value = Number.NaN;
      for (let i = 0; i < rows; i++) {
        const cell = cells[i * width + c];
        if (Number.isNaN(cell)) continue;
        if (Number.isNaN(value)) value = cell;
        else if (cell !== value) constant = false;
      }
      values.push(Number.isNaN(value) ? "missing" : short(value));
      observed.push(Number.isNaN(value) ? "missing" : "observed");
    }
    const some = new Set(observed).size > 1;
    if (constant && new Set(values).size > 1 && new Set(values).size <= most) {
      codes.push({ feature, what: "it is one code for the whole sequence", values });
    } else if (some) codes.push({ feature, what: "that it is missing does", values: observed });
  });
  return codes;
}

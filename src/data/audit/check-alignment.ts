/**
 * @file Do labels stand in the rows that show them? For tags.
 *
 * A naive Bayes classifier of single rows (every feature in 16 quantile bins, or its values where they are few) is learned in training rows for the
 * label `lag` rows later, lag = -{@link REACH} .. {@link REACH}, and its errors are counted in the other rows: the same labels at every lag, since
 * labels at the end of a series may be harder or easier than those before. Labels that are where they belong are told best
 * at lag 0, or nearly so: what follows a state with inertia is told a little better some rows late. Labels that were joined to the wrong row
 * are told far better at one lag and at its neighbours not:
 *
 *     fault     errors at the best lag at most half of those at lag 0, and at most 0.7 of those at the lags beside it
 *     warning   at most half of those at lag 0, without such a peak
 *
 * both only if the difference is at least 20 errors and four standard errors (of the sum of both counts). A feature that is the label of an
 * earlier row one to one is left out: it says where the label was, rightly. If the other features tell the label of their own row, then it is
 * not the labels but the features that are best at the lag which stand in the wrong row: a warning that names them.
 */

import { codeOfLabel } from "./check-proxy.js";
import type { AuditContext } from "./context.js";
import { type Finding, finding } from "./finding.js";

const REACH = 8;
const BINS = 16;
const ROWS = 40_000;

export function checkAlignment(audit: AuditContext): Finding[] {
  const { subject } = audit;
  if (subject.targetKind !== "tags" || audit.labels.length < 2) return [];
  const { features, categories = [], target } = subject.roles;
  const width = features.length;
  const columns = features.flatMap((_, c) => (isPastLabel(audit, c, width) ? [] : [binned(audit, c, width)]));
  categories.forEach((_, c) => {
    columns.push(textColumn(audit, c));
  });
  const rows = rowsOf(audit);
  if (columns.length === 0 || rows.held.length < 50 || rows.training.length < 50) {
    return [finding("alignment", "skipped", "too few rows to find the best lag of the labels")];
  }
  const errors = new Map<number, number>();
  for (let lag = -REACH; lag <= REACH; lag++) errors.set(lag, errorsAt(audit, columns, rows, lag));
  const at = (lag: number) => errors.get(lag) ?? Number.POSITIVE_INFINITY;
  const best = [...errors].reduce((a, b) => (b[1] < a[1] || (b[1] === a[1] && Math.abs(b[0]) < Math.abs(a[0])) ? b : a))[0];
  const evidence = {
    bestLag: best,
    errorsThere: at(best),
    errorsAtZero: at(0),
    errorsBeside: Math.min(at(best - 1), at(best + 1)),
    rows: rows.held.length,
    reach: REACH,
    threshold: 0.5,
  };
  const gain = at(0) - at(best);
  const clear = best !== 0 && at(best) <= 0.5 * at(0) && gain >= 20 && gain >= 4 * Math.sqrt(at(0) + at(best));
  if (!clear) {
    return [
      finding("alignment", "pass", "labels stand in the rows that show them", {
        detail: best === 0 ? "the best lag is 0" : `the best lag is ${best}, hardly better than 0`,
        evidence,
      }),
    ];
  }
  const early = earlyColumns(audit, columns, rows, best);
  if (early.length > 0) return [displaced(audit, early, best, evidence)];
  const sharp = at(best) <= 0.7 * evidence.errorsBeside;
  const distance = Math.abs(best) === 1 ? "1 row" : `${Math.abs(best)} rows`;
  return [
    finding("alignment", sharp ? "fault" : "warning", `labels stand ${distance} too ${best > 0 ? "late" : "early"}`, {
      detail: `single rows tell the label of ${distance} ${best > 0 ? "later" : "before"} with ${at(best)} errors in ${rows.held.length.toLocaleString("en")} rows, that of their own with ${at(0)}`,
      evidence,
      example: exampleOf(audit, best),
      repair: `shift "${target[0]}" by ${distance} ${best > 0 ? "up (to earlier rows)" : "down (to later rows)"}, or find where the join went wrong`,
    }),
  ];
}

/** Where the rest tells the label of its own row better than chance and than at the best lag: the columns that alone are best there; else none. */
function earlyColumns(audit: AuditContext, columns: readonly BinnedColumn[], rows: Rows, best: number): BinnedColumn[] {
  const early = columns.filter((one) => {
    const [there, here] = [errorsAt(audit, [one], rows, best), errorsAt(audit, [one], rows, 0)];
    return there <= 0.7 * here;
  });
  const rest = columns.filter((one) => !early.includes(one));
  if (early.length === 0 || rest.length === 0) return [];
  const [here, there] = [errorsAt(audit, rest, rows, 0), errorsAt(audit, rest, rows, best)];
  const unknowing = errorsAt(audit, [], rows, 0);
  return here < there && here < unknowing - 4 * Math.sqrt(unknowing) ? early : [];
}

function displaced(audit: AuditContext, early: readonly BinnedColumn[], lag: number, evidence: Finding["evidence"]): Finding {
  const names = early.map(({ name }) => `"${name}"`).join(", ");
  const distance = Math.abs(lag) === 1 ? "1 row" : `${Math.abs(lag)} rows`;
  const when = lag > 0 ? "early" : "late";
  return finding("alignment", "warning", `${names} ${early.length === 1 ? "stands" : "stand"} ${distance} too ${when}`, {
    detail: `single rows tell the label of ${distance} ${lag > 0 ? "later" : "before"} best, but the other inputs that of their own row: the labels are where they belong`,
    evidence,
    example: exampleOf(audit, lag),
    repair: `move ${names} by ${distance} to ${lag > 0 ? "later" : "earlier"} rows, or leave ${early.length === 1 ? "it" : "them"} out`,
  });
}

function isPastLabel(audit: AuditContext, c: number, width: number): boolean {
  for (let lag = -REACH; lag < 0; lag++) if (codeOfLabel(audit, c, width, lag)) return true;
  return false;
}

/** A bin per row of each series, and the number of bins. */
interface BinnedColumn {
  name: string;
  bins: Int32Array[];
  count: number;
}

function binned({ subject }: AuditContext, c: number, width: number): BinnedColumn {
  const sample: number[] = [];
  const stride = Math.max(1, Math.ceil(subject.series.reduce((sum, { rows }) => sum + rows, 0) / ROWS));
  subject.series.forEach(({ rows, features }, s) => {
    for (let i = 0; i < rows; i += stride) {
      const value = features[i * width + c];
      if (subject.parts[s][i] === 1 && !Number.isNaN(value)) sample.push(value);
    }
  });
  sample.sort((a, b) => a - b);
  const kinds = [...new Set(sample)];
  const edges =
    kinds.length <= 64 ? kinds : Array.from({ length: BINS }, (_, b) => sample[Math.floor((b * sample.length) / BINS)]);
  // Bin 0 is for what is missing, 1 for what lies below the first edge.
  const bins = subject.series.map(({ rows, features }) =>
    Int32Array.from({ length: rows }, (_, i) => {
      const value = features[i * width + c];
      if (Number.isNaN(value)) return 0;
      let bin = 1;
      while (bin <= edges.length && value >= edges[bin - 1]) bin++;
      return bin;
    }),
  );
  return { name: subject.roles.features[c], bins, count: edges.length + 2 };
}

function textColumn({ subject }: AuditContext, c: number): BinnedColumn {
  const codes = new Map<string, number>();
  subject.series.forEach(({ texts }, s) => {
    texts?.[c].forEach((text, i) => {
      if (subject.parts[s][i] === 1 && !codes.has(text)) codes.set(text, codes.size + 1);
    });
  });
  const bins = subject.series.map(({ texts, rows }) =>
    texts ? Int32Array.from(texts[c], (text) => codes.get(text) ?? 0) : new Int32Array(rows),
  );
  return { name: subject.roles.categories?.[c] ?? "", bins, count: codes.size + 1 };
}

interface Rows {
  training: [series: number, row: number][];
  held: [series: number, row: number][];
}

function rowsOf({ subject }: AuditContext): Rows {
  const all: Rows = { training: [], held: [] };
  subject.parts.forEach((part, s) => {
    for (let i = REACH; i + REACH < part.length; i++) {
      if (part[i] > 0) (part[i] === 1 ? all.training : all.held).push([s, i]);
    }
  });
  const thinned = (rows: [number, number][]) => {
    const stride = Math.max(1, Math.ceil(rows.length / ROWS));
    return stride === 1 ? rows : rows.filter((_, k) => k % stride === 0);
  };
  return { training: thinned(all.training), held: thinned(all.held) };
}

/** Errors in the held rows of naive Bayes learned for the label `lag` rows later. */
function errorsAt(
  { subject, labels }: AuditContext,
  columns: readonly BinnedColumn[],
  { training, held }: Rows,
  lag: number,
): number {
  const kinds = new Map(labels.map((label, k) => [label, k]));
  const C = kinds.size;
  const prior = new Float64Array(C).fill(1);
  const counts = columns.map(({ count }) => new Float64Array(count * C).fill(0.5));
  const labelAt = (s: number, i: number) => kinds.get(subject.series[s].labels![i] ?? "") ?? -1;
  for (const [s, i] of training) {
    const label = labelAt(s, i);
    if (label < 0) continue;
    prior[label]++;
    columns.forEach(({ bins }, c) => {
      counts[c][bins[s][i - lag] * C + label]++;
    });
  }
  const logs = columns.map(({ count }, c) => {
    const totals = new Float64Array(C);
    for (let bin = 0; bin < count; bin++) for (let k = 0; k < C; k++) totals[k] += counts[c][bin * C + k];
    return counts[c].map((value, at) => Math.log(value / totals[at % C]));
  });
  let errors = 0;
  const score = new Float64Array(C);
  for (const [s, i] of held) {
    const label = labelAt(s, i);
    if (label < 0) continue;
    for (let k = 0; k < C; k++) score[k] = Math.log(prior[k]);
    columns.forEach(({ bins }, c) => {
      for (let k = 0; k < C; k++) score[k] += logs[c][bins[s][i - lag] * C + k];
    });
    let said = 0;
    for (let k = 1; k < C; k++) if (score[k] > score[said]) said = k;
    if (said !== label) errors++;
  }
  return errors;
}

/** A change of label, and the values of the first feature around it. */
function exampleOf(audit: AuditContext, lag: number): string | null {
  const { subject } = audit;
  const width = subject.roles.features.length;
  for (const [s, { rows, labels, features }] of subject.series.entries()) {
    for (let i = REACH + 1; i + REACH < rows; i++) {
      if (!labels || labels[i] === labels[i - 1] || labels[i] === "" || labels[i - 1] === "") continue;
      const values =
        width > 0
          ? `; "${subject.roles.features[0]}" changes from ${features[(i - lag - 1) * width].toPrecision(3)} to ${features[(i - lag) * width].toPrecision(3)} at ${audit.where(s, i - lag)}`
          : `; ${audit.where(s, i - lag)} shows it`;
      return `the label changes from "${labels[i - 1]}" to "${labels[i]}" at ${audit.where(s, i)}${values}`;
    }
  }
  return null;
}

/**
 * @file Is a target made of the rows that follow it: the mean, sum, minimum or maximum of a feature over the next `span` rows?
 *
 * A target that is a feature too has a value of its own rows and is not asked. Nor are plain shifts: a target that is a feature of a later
 * row is also a feature that is the target of an earlier one, which is what every lagged feature is.
 */
import type { AuditContext } from "./context.js";

export interface ForwardAggregate {
  /** The last row after its own that the target is made of. */
  span: number;
  /** "the maximum of load over the next 12 rows" */
  text: string;
  /** Share of the compared rows in which it holds. */
  share: number;
}

/** Rows ahead that are tried, and the share of rows in which an equality must hold. */
const LONGEST = 200;
const AGREEMENT = 0.999;
const ROWS = 20_000;
/** Rows a guess must survive before all rows are compared. */
const PROBES = 12;

const KINDS = ["mean", "sum", "minimum", "maximum"] as const;
type Kind = (typeof KINDS)[number];

/**
 * The shortest span over which one of the aggregates of one feature gives the target, or null. For labels: the larger of two codes exactly
 * where a 0/1 feature is 1 within the span ("fails within 12 rows").
 */
export function forwardAggregate(audit: AuditContext): ForwardAggregate | null {
  const { subject } = audit;
  const names = subject.roles.features;
  const s = subject.series.reduce((best, one, i) => (one.rows > (subject.series[best]?.rows ?? 0) ? i : best), 0);
  const series = subject.series[s];
  if (!series || series.rows < 30 || subject.targetKind === "class") return null;
  const rows = Math.min(series.rows, ROWS);
  const targets = series.target
    ? subject.roles.target.map((name, k) => ({
        name,
        values: Float64Array.from({ length: rows }, (_, i) => series.target![i * subject.roles.target.length + k]),
      }))
    : binaryLabels(series.labels, rows);
  const width = names.length;
  for (const { name, values: target } of targets) {
    if (new Set(target).size < 2 || names.includes(name)) continue;
    for (const [c, feature] of names.entries()) {
      const column = Float64Array.from({ length: rows }, (_, i) => series.features[i * width + c]);
      if (!series.target && new Set(column).size !== 2) continue;
      const found = aggregateOf(target, column);
      if (!found) continue;
      const { kind, span, share } = found;
      return { span, share, text: `the ${kind} of "${feature}" over the next ${span} rows ("${name}")` };
    }
  }
  return null;
}

/** Labels of two kinds as 0 and 1, in both orders. */
function binaryLabels(labels: readonly string[] | null, rows: number): { name: string; values: Float64Array }[] {
  const kinds = [...new Set(labels?.slice(0, rows).filter((label) => label !== ""))];
  if (!labels || kinds.length !== 2) return [];
  return kinds.map((kind) => ({
    name: `label ${kind}`,
    values: Float64Array.from({ length: rows }, (_, i) => (labels[i] === "" ? Number.NaN : labels[i] === kind ? 1 : 0)),
  }));
}

function aggregateOf(target: Float64Array, column: Float64Array): { kind: Kind; span: number; share: number } | null {
  const probes = probeRows(target);
  if (probes.length < PROBES) return null;
  const most = Math.min(LONGEST, Math.floor(target.length / 4));
  for (let span = 2; span <= most; span++) {
    for (const kind of KINDS) {
      if (!probes.every((row) => agrees(target, column, row, kind, span))) continue;
      let held = 0;
      let compared = 0;
      for (let row = 0; row + span < target.length; row++) {
        if (Number.isNaN(target[row])) continue;
        compared++;
        if (agrees(target, column, row, kind, span)) held++;
      }
      if (compared > 0 && held / compared >= AGREEMENT) return { kind, span, share: held / compared };
    }
  }
  return null;
}

/** Rows spread over the series, among them those just before the target changes. */
function probeRows(target: Float64Array): number[] {
  const rows: number[] = [];
  const last = target.length - LONGEST - 1;
  for (let i = 1; i < last && rows.length < PROBES; i++)
    if (target[i] !== target[i - 1] && !Number.isNaN(target[i])) rows.push(i - 1, i);
  for (let k = 0; k < PROBES; k++) rows.push(Math.floor((k / PROBES) * Math.max(1, last)));
  return rows.filter((row) => row >= 0 && !Number.isNaN(target[row]));
}

function agrees(target: Float64Array, column: Float64Array, row: number, kind: Kind, span: number): boolean {
  const wanted = target[row];
  let sum = 0;
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let k = 1; k <= span; k++) {
    const value = column[row + k];
    sum += value;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const found = kind === "mean" ? sum / span : kind === "sum" ? sum : kind === "minimum" ? low : high;
  return Math.abs(found - wanted) <= 1e-6 * Math.max(1e-6, Math.abs(wanted), Math.abs(found));
}

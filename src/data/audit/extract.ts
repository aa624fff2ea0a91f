/**
 * @file A part of a subject that is small enough to be fitted and run many times: all of it where it is small, else series drawn evenly, the
 * long ones cut to a stretch around their first border between two parts.
 */
import { type Series, sliceSeries } from "../series.js";
import type { AuditContext } from "./context.js";

/** Cells of an extract, about; the cell of a category column costs as much as {@link TEXT} numbers. */
const CELLS = 400_000;
const TEXT = 4;
/** Series up to which all are kept and only cut. */
const SERIES = 24;

export interface Extract {
  series: Series[];
  parts: Uint8Array[];
  /** Per series of the extract the series it was cut from, and the row its first row is there. */
  origin: { series: number; from: number }[];
  /** For the evidence of a finding: empty where the extract is everything. */
  evidence: Record<string, number>;
}

export function extractOf(audit: AuditContext): Extract {
  const { series, parts, roles } = audit.subject;
  const total = series.reduce((sum, { rows }) => sum + rows, 0);
  const most = Math.max(2_000, Math.floor(CELLS / Math.max(1, roles.features.length + TEXT * (roles.categories?.length ?? 0))));
  if (total <= most) {
    return { series: [...series], parts: [...parts], origin: series.map((_, s) => ({ series: s, from: 0 })), evidence: {} };
  }
  const each = Math.max(500, Math.floor(most / Math.min(series.length, SERIES)));
  const chosen = series.length <= SERIES ? series.map((_, s) => s) : drawn(audit, each, most);
  const extract: Extract = { series: [], parts: [], origin: [], evidence: {} };
  for (const s of chosen) {
    const rows = Math.min(each, series[s].rows);
    const border = parts[s].findIndex((code, i) => i > 0 && code !== parts[s][i - 1]);
    const from = Math.max(0, Math.min(series[s].rows - rows, border - Math.floor(rows / 2)));
    extract.series.push(sliceSeries(series[s], from, from + rows));
    extract.parts.push(parts[s].subarray(from, from + rows));
    extract.origin.push({ series: s, from });
  }
  extract.evidence = {
    sampledRows: extract.series.reduce((sum, { rows }) => sum + rows, 0),
    ofRows: total,
    sampledSeries: chosen.length,
    ofSeries: series.length,
  };
  return extract;
}

/** Series in random order, until there are enough rows; of each part at least one. */
function drawn(audit: AuditContext, each: number, most: number): number[] {
  const { series } = audit.subject;
  const order = audit.rng("extract").shuffle(series.flatMap(({ rows }, s) => (rows > 0 ? [s] : [])));
  const firsts = [1, 2, 3].flatMap((code) => order.find((s) => audit.partOfSeries(s) === code) ?? []);
  const chosen = new Set(firsts);
  let rows = 0;
  for (const s of order) {
    if (rows >= most) break;
    chosen.add(s);
    rows += Math.min(each, series[s].rows);
  }
  return [...chosen].sort((a, b) => a - b);
}

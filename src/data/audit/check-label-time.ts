/**
 * @file Was a label known when it was learned, and a feature when it was read? Asked where the table says when: data.labelKnown of a
 * configuration (the subject's `knownAt`), or `knownAt` of the options.
 *
 * A model that predicts from the first row of a later part on was trained before the time of that row. A label of an earlier part of the same series that
 * became known after it was not there to be learned; a feature that became known after its row's time was not there when the row was read. Both are counted, one row proves it.
 */
import { PARTS } from "../../core/batch.js";
import { parseTime, timeName } from "../cell.js";
import type { AuditContext } from "./context.js";
import { type Finding, finding } from "./finding.js";

export function checkLabelTime(audit: AuditContext): Finding[] {
  const { subject, options } = audit;
  const entries = Object.entries({ ...subject.knownAt, ...options.knownAt });
  if (entries.length === 0) {
    return [
      finding("label-time", "skipped", "no data.labelKnown says when labels became known", {
        detail: "name the column of those times: --set data.labelKnown=COLUMN",
      }),
    ];
  }
  return entries.map(([name, column]) => {
    const target = subject.roles.target.includes(name);
    const cells = subject.table?.columns.find((one) => one.name === column);
    if (!cells)
      return finding("label-time", "fault", `there is no column "${column}"`, {
        detail: `it was to say when "${name}" became known`,
        repair: target ? "name a column of the data: --set data.labelKnown=COLUMN" : null,
      });
    const knownAt = (row: number) => parseTime(cells.texts ? cells.texts[row - 1] : cells.numbers![row - 1]);
    let count = 0;
    let rows = 0;
    let latest = 0;
    let example: string | null = null;
    subject.series.forEach(({ time, row, rows: length }, s) => {
      const part = subject.parts[s];
      if (!time) return;
      for (let i = 0; i < length; i++) {
        const known = knownAt(row[i]);
        if (known === undefined || part[i] === 0) continue;
        const next = target ? nextPart(part, i) : i;
        if (next < 0) continue;
        rows++;
        if (known <= time[next]) continue;
        count++;
        latest = Math.max(latest, known - time[next]);
        example ??= target
          ? `"${name}" of ${audit.where(s, i)} (${PARTS[part[i] - 1]}) was known at ${timeName(known)}, after ${audit.where(s, next)} (${PARTS[part[next] - 1]}) at ${timeName(time[next])}`
          : `"${name}" of ${audit.where(s, i)} was known at ${timeName(known)}, and its row is of ${timeName(time[i])}`;
      }
    });
    const evidence = { rows, late: count, latestMs: latest, threshold: 0 };
    if (rows === 0)
      return finding("label-time", "skipped", `"${column}" could not be held against a time`, {
        detail: target
          ? "no series with times has rows of two parts and a time at which the label of the earlier was known"
          : "no row has both its own time and that one",
      });
    if (count === 0)
      return finding("label-time", "pass", `"${name}" is known in time`, {
        detail: `by "${column}", in ${rows.toLocaleString("en")} rows`,
        evidence,
      });
    return finding(
      "label-time",
      "leak",
      target ? `"${name}" is known later than it is learned` : `"${name}" is known later than it is read`,
      {
        detail: `in ${count.toLocaleString("en")} of ${rows.toLocaleString("en")} rows, by up to ${(latest / 3_600_000).toFixed(1)} hours (column "${column}")`,
        evidence,
        example,
        repair: target
          ? "leave a gap as long as the labels take: --set data.split.gap=N, or drop the rows whose label came too late"
          : `lag "${name}" until it is known, or leave it out`,
      },
    );
  });
}

/** The first row behind i that is of a later part, or -1. */
function nextPart(part: Uint8Array, i: number): number {
  for (let k = i + 1; k < part.length; k++) if (part[k] > part[i]) return k;
  return -1;
}

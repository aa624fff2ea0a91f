/**
 * @file Do the parts keep apart what they promise to keep apart?
 *
 *     by time         training rows before validation rows before test rows, in every series
 *     by entity       every entity in one part
 *     by group        every group in one part
 *     by column, own  no training row behind a row of a later part of its series (a shuffled split), for a class no series in two parts
 *
 * All of it is counting: a single row out of place proves it.
 */
import { PARTS } from "../../core/batch.js";
import type { AuditContext } from "./context.js";
import { type Finding, finding } from "./finding.js";

export function checkSplit(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const { splitBy } = subject;
  const findings = [...backwards(audit), ...straddling(audit), ...alike(audit), ...largerUnits(audit)];
  const empty = PARTS.filter((part) => audit.rowsOf(part) === 0);
  for (const part of empty.slice(0, part0(empty))) {
    findings.push(
      finding("split-order", part === "train" ? "fault" : "warning", `the part "${part}" is empty`, {
        detail: part === "train" ? "there is nothing to learn from" : "nothing can be chosen or measured on it",
        evidence: { rows: 0 },
        example: `no row of ${subject.source} is in "${part}"`,
        repair: "change the sizes in data.split",
      }),
    );
  }
  if (findings.some(({ status }) => status === "leak" || status === "fault")) return findings;
  const facts = PARTS.map((part) => `${audit.rowsOf(part).toLocaleString("en")} ${part}`).join(", ");
  return [
    finding("split-order", "pass", `split by ${splitBy}`, {
      detail: `${facts} rows`,
      evidence: Object.fromEntries(PARTS.map((part) => [part, audit.rowsOf(part)])),
    }),
    ...findings,
  ];
}

function part0(empty: readonly string[]): number {
  return empty.length;
}

/** Training rows behind rows of a later part of their own series. */
function backwards(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const { splitBy } = subject;
  if (splitBy === "entity" || splitBy.startsWith("group:")) return [];
  let rows = 0;
  let returns = 0;
  let seriesHit = 0;
  let example: string | null = null;
  subject.parts.forEach((codes, s) => {
    let latest = 0;
    let latestAt = -1;
    let before = 0;
    let hit = false;
    for (let i = 0; i < codes.length; i++) {
      if (codes[i] === 0) continue;
      if (codes[i] < latest) {
        rows++;
        hit = true;
        if (before >= latest) returns++;
        example ??= `${audit.where(s, i)} is in ${PARTS[codes[i] - 1]}, behind ${audit.where(s, latestAt)} in ${PARTS[latest - 1]}`;
      } else if (codes[i] > latest) {
        latest = codes[i];
        latestAt = i;
      }
      before = codes[i];
    }
    if (hit) seriesHit++;
  });
  if (rows === 0) return [];
  const shuffled = returns > seriesHit;
  // One clean block of earlier rows held out can be meant where a label, not the future, is predicted.
  const meant = !shuffled && splitBy !== "time" && subject.targetKind === "tags";
  return [
    finding(
      "split-order",
      meant ? "warning" : "leak",
      shuffled ? "the split is shuffled in time" : "training rows lie behind test rows",
      {
        detail: `${rows.toLocaleString("en")} rows of an earlier part come after rows of a later part of the same series, in ${returns} stretches`,
        evidence: { rows, stretches: returns, series: seriesHit, threshold: 0 },
        example,
        repair: "cut each series by its own order: --set 'data.split={by: time, train: 0.7, validation: 0.15, test: 0.15}'",
      },
    ),
  ];
}

/** Entities or groups, or series with one class for all their rows, that have rows in two parts. */
function straddling(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const { splitBy, series, parts, targetKind } = subject;
  const group = splitBy.startsWith("group:") ? splitBy.slice(6) : null;
  const whole = targetKind === "class" || targetKind === "tokens";
  const byUnit = splitBy === "entity" || splitBy.startsWith("modulo:") || group !== null || (whole && splitBy !== "time");
  if (!byUnit && !whole) return [];
  const noun = group ?? "entity";
  const first = new Map<string, { part: number; s: number; i: number }>();
  const guilty = new Map<string, string>();
  series.forEach((one, s) => {
    const codes = parts[s];
    for (let i = 0; i < codes.length; i++) {
      if (codes[i] === 0) continue;
      const unit = group === null ? one.entity : (one.split?.[i] ?? "");
      const key = unit;
      const seen = first.get(key);
      if (!seen) first.set(key, { part: codes[i], s, i });
      else if (seen.part !== codes[i] && !guilty.has(key)) {
        guilty.set(
          key,
          `${noun} "${unit}": ${audit.where(seen.s, seen.i)} is in ${PARTS[seen.part - 1]}, ${audit.where(s, i)} in ${PARTS[codes[i] - 1]}`,
        );
      }
    }
  });
  if (guilty.size === 0) return [];
  return [
    finding("entity-overlap", "leak", `${noun === "entity" ? "an entity" : `a group of "${noun}"`} is in two parts`, {
      detail: `${guilty.size} of ${first.size} ${noun === "entity" ? "entities" : "groups"} have rows in more than one part`,
      evidence: { units: first.size, straddling: guilty.size, threshold: 0 },
      example: [...guilty.values()][0],
      repair: `draw whole ${noun === "entity" ? "entities" : "groups"}: --set data.split.by=${group ? `group:${group}` : "entity"}`,
    }),
  ];
}

/** Names of entities in different parts that differ only in case, blanks, punctuation or leading zeros. */
function alike(audit: AuditContext): Finding[] {
  const { subject } = audit;
  if (subject.roles.entity === null) return [];
  const seen = new Map<string, number>();
  let count = 0;
  let example: string | null = null;
  subject.series.forEach(({ entity }, s) => {
    const key = entity
      .normalize("NFKC")
      .toLowerCase()
      .replace(/[\s_-]+/g, "")
      .replace(/(^|\D)0+(?=\d)/g, "$1");
    const other = seen.get(key);
    if (other === undefined) seen.set(key, s);
    else if (subject.series[other].entity !== entity && audit.partOfSeries(other) !== audit.partOfSeries(s)) {
      count++;
      example ??= `"${subject.series[other].entity}" is in ${PARTS[audit.partOfSeries(other) - 1] ?? "no part"}, "${entity}" in ${PARTS[audit.partOfSeries(s) - 1] ?? "no part"} (${audit.where(s, 0)})`;
    }
  });
  if (count === 0) return [];
  return [
    finding("entity-overlap", "warning", "entities in two parts have nearly the same name", {
      detail: `${count} differ from another only in case, blanks or leading zeros`,
      evidence: { pairs: count },
      example,
      repair: `write each entity in one way in the column "${subject.roles.entity}"`,
    }),
  ];
}

/** Columns that name a unit larger than a series, which the split ignores. */
function largerUnits(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const { table, roles, series, splitBy } = subject;
  if (!table || splitBy !== "entity" || series.length < 4) return [];
  const used = new Set([roles.entity, roles.time, roles.split, ...roles.features, ...(roles.categories ?? []), ...roles.target]);
  for (const { name, texts } of table.columns) {
    if (!texts || used.has(name)) continue;
    const partsOf = new Map<string, Set<number>>();
    const constant = series.every((one, s) => {
      const value = texts[one.row[0] - 1];
      for (const row of one.row) if (texts[row - 1] !== value) return false;
      partsOf.set(value, (partsOf.get(value) ?? new Set()).add(audit.partOfSeries(s)));
      return true;
    });
    if (!constant || partsOf.size < 2 || partsOf.size > series.length / 2) continue;
    const shared = [...partsOf].filter(([, parts]) => parts.has(1) && parts.size > 1);
    if (shared.length === 0) continue;
    return [
      finding("entity-overlap", "note", `"${name}" names a larger unit than "${roles.entity}"`, {
        detail: `${shared.length} of its ${partsOf.size} values have series in training and in another part`,
        evidence: { values: partsOf.size, shared: shared.length, series: series.length },
        example: `"${shared[0][0]}" has series in ${[...shared[0][1]].map((code) => PARTS[code - 1] ?? "no part").join(" and ")}`,
        repair: `if the model must work for a new ${name}: --set data.split.by=group:${name}`,
      }),
    ];
  }
  return [];
}

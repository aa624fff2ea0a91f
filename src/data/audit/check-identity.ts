/**
 * @file Columns that name a row or a series instead of measuring it, and what such a name gives away.
 *
 *     row id      whole numbers, different in every row and always rising (or falling) through each series, by one in nine rows of ten    warning
 *     series id   whole numbers, constant within and different between 95 % of at least ten series                                       warning
 *     texts       category cells different in 95 % of the training rows                                                                  warning
 *     and leak where the class of held-out series is that of the training series with the nearest id in at least 95 % of the cases, with at
 *     most a fifth of the errors of the commonest class: the file is sorted by class, and the id tells the place.
 */

import type { AuditContext } from "./context.js";
import { short } from "./figure.js";
import { type Finding, finding } from "./finding.js";
import { withoutFeature } from "./repair.js";

const UNIQUE = 0.95;
const SERIES = 10;

export function checkIdentity(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const { features, categories = [] } = subject.roles;
  const findings: Finding[] = [];
  const drop = (name: string) => `leave it out: ${withoutFeature(features, name)}`;
  features.forEach((name, c) => {
    const width = features.length;
    const ids = subject.series.map(({ rows, features: cells }) => constantOf(cells, rows, width, c));
    const whole = ids.filter((id): id is number => id !== null && Number.isInteger(id));
    if (subject.series.length >= SERIES && whole.length === ids.length && new Set(whole).size >= UNIQUE * ids.length) {
      findings.push(seriesId(audit, name, ids as number[], drop(name)));
      return;
    }
    const counter = counterOf(audit, c, width);
    if (!counter) return;
    findings.push(
      finding("id-column", "warning", `feature "${name}" counts rows`, {
        detail: `it rises by one in ${(100 * counter.share).toFixed(1)} % of ${counter.rows.toLocaleString("en")} steps: what is learned of it never comes again`,
        evidence: { rows: counter.rows, stepsOfOne: counter.share, threshold: 0.9 },
        example: counter.example,
        repair: drop(name),
      }),
    );
  });
  categories.forEach((name, c) => {
    const cells = subject.series.flatMap(
      ({ texts }, s) => texts?.[c].filter((text, i) => text !== "" && subject.parts[s][i] === 1) ?? [],
    );
    const kinds = new Set(cells).size;
    // A text of many words is no name; it is tokenized.
    const words = cells.length > 0 && cells.filter((text) => /\s/.test(text)).length > 0.5 * cells.length;
    if (
      cells.length < 50 ||
      kinds < UNIQUE * cells.length ||
      words ||
      subject.steps?.some((steps, s) => steps > 2 * subject.series[s].rows)
    )
      return;
    findings.push(
      finding("id-column", "warning", `category "${name}" is different in nearly every row`, {
        detail: `${kinds.toLocaleString("en")} texts in ${cells.length.toLocaleString("en")} training rows: elsewhere nearly all are unknown`,
        evidence: { rows: cells.length, texts: kinds, threshold: UNIQUE },
        example: `${audit.where(0, 0)}: "${name}" is "${cells[0]}"`,
        repair: `leave it out of data.categories, or give it kind: templates`,
      }),
    );
  });
  if (findings.length > 0) return findings;
  return [finding("id-column", "pass", "no feature is an id", { evidence: { features: features.length + categories.length } })];
}

/** The one value of a column in a series, or null where it has none or several. */
function constantOf(cells: Float64Array, rows: number, width: number, c: number): number | null {
  let value: number | null = null;
  for (let i = 0; i < rows; i++) {
    const cell = cells[i * width + c];
    if (Number.isNaN(cell)) continue;
    if (value === null) value = cell;
    else if (cell !== value) return null;
  }
  return value;
}

function counterOf(
  { subject, where }: AuditContext,
  c: number,
  width: number,
): { rows: number; share: number; example: string } | null {
  let steps = 0;
  let ones = 0;
  let falls = 0;
  let at: [number, number] | null = null;
  for (const [s, { rows, features }] of subject.series.entries()) {
    for (let i = 1; i < rows; i++) {
      const [before, here] = [features[(i - 1) * width + c], features[i * width + c]];
      if (Number.isNaN(before) || Number.isNaN(here)) continue;
      if (!Number.isInteger(here)) return null;
      steps++;
      if (here - before === 1) {
        ones++;
        at ??= [s, i];
      } else if (here <= before) falls++;
    }
  }
  if (steps < 20 || !at || ones < 0.9 * steps || falls > 0.01 * steps) return null;
  const [s, i] = at;
  const { features } = subject.series[s];
  const name = subject.roles.features[c];
  const place = where.bind({ subject } as AuditContext);
  return {
    rows: steps,
    share: ones / steps,
    example: `"${name}" is ${features[(i - 1) * width + c]} at ${place(s, i - 1)} and ${features[i * width + c]} at ${place(s, i)}`,
  };
}

function seriesId(audit: AuditContext, name: string, ids: readonly number[], repair: string): Finding {
  const { subject } = audit;
  const evidence: Record<string, number | string> = { series: ids.length, values: new Set(ids).size, threshold: UNIQUE };
  const example = `"${name}" is ${short(ids[0])} in all rows of series "${subject.series[0].entity}" (${audit.where(0, 0)}) and ${short(ids[1])} in series "${subject.series[1].entity}"`;
  if (subject.targetKind === "class") {
    const labels = ids.map((_, s) => audit.labelOf(s));
    const training = ids.flatMap((_, s) => (audit.partOfSeries(s) === 1 && labels[s] !== "" ? [s] : []));
    const held = ids.flatMap((_, s) => (audit.partOfSeries(s) > 1 && labels[s] !== "" ? [s] : []));
    if (training.length >= SERIES && held.length >= 5) {
      const counts = new Map<string, number>();
      for (const s of training) counts.set(labels[s], (counts.get(labels[s]) ?? 0) + 1);
      const usual = [...counts].reduce((best, one) => (one[1] > best[1] ? one : best))[0];
      const near = (s: number) =>
        training.reduce((best, t) => (Math.abs(ids[t] - ids[s]) < Math.abs(ids[best] - ids[s]) ? t : best));
      const wrong = held.filter((s) => labels[near(s)] !== labels[s]).length;
      const wrongBefore = held.filter((s) => labels[s] !== usual).length;
      Object.assign(evidence, { held: held.length, wrong, wrongOfMajority: wrongBefore });
      if (wrong <= 0.05 * held.length + 1 && wrong <= wrongBefore / 5) {
        const s = held.find((one) => labels[one] !== usual) ?? held[0];
        return finding("id-column", "leak", `id "${name}" tells the class: the file is sorted by it`, {
          detail: `the training series with the nearest id has the same class in ${held.length - wrong} of ${held.length} held-out series, the commonest class in ${held.length - wrongBefore}`,
          evidence,
          example: `"${name}" is ${short(ids[s])} in series "${subject.series[s].entity}" and ${short(ids[near(s)])} in training series "${subject.series[near(s)].entity}"; both are "${labels[s]}"`,
          repair,
        });
      }
    }
  }
  return finding("id-column", "warning", `feature "${name}" is an id of the series`, {
    detail: "it is constant within each series and different in nearly all: a model can only remember it",
    evidence,
    example,
    repair,
  });
}

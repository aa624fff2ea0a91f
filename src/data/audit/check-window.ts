/**
 * @file Windows: do targets stay in their part, do inputs keep out of later parts, and does a label that tells of the future keep a gap?
 *
 *     target in another part, or past its own      leak     the same rows are learned and judged, or judged twice
 *     a row that is a target of two parts          leak
 *     input in a later part, or over its target    leak     what is to be predicted is read
 *     input in an earlier part                     note     the past is known when a forecast is made
 *
 * The gap. Targets that are values of their own rows need none once they stay in their part: a later window's input may then hold training
 * targets, which by then are the past. A label that is made of the `span` rows that follow it (the highest load of the next 12 hours) does:
 * training labels of the last `span` rows before a later part are made of rows of that part. `span` is measured: the target equals, in 99.9 %
 * of its rows, a mean, sum, minimum or maximum of a feature over the rows that follow. Proven then is how many training labels were
 * computed from rows of a later part.
 */
import { PARTS, type Part } from "../../core/batch.js";
import type { AuditContext } from "./context.js";
import { type Finding, finding } from "./finding.js";
import { forwardAggregate } from "./forward-aggregate.js";
import type { WindowRows } from "./subject.js";

type Fault = "foreign" | "past" | "later" | "answer" | "offset";

interface Tally {
  count: number;
  example: string;
}

export function checkWindows(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const totals = { windows: 0, back: 0, backRows: 0 };
  const faults = new Map<Fault, Tally>();
  let backExample: string | null = null;
  const offsets = new Map<number, { count: number; example: WindowRows }>();
  const before = subject.parts.map(prefixCounts);
  const add = (fault: Fault, window: WindowRows, what: string) => {
    const tally = faults.get(fault);
    if (tally) tally.count++;
    else faults.set(fault, { count: 1, example: `${named(audit, window)} ${what}` });
  };
  const targetsAreInputs = subject.roles.target.some((name) => subject.roles.features.includes(name));
  for (const window of subject.windows()) {
    totals.windows++;
    const { part, series, input, target } = window;
    const counts = before[series];
    const code = PARTS.indexOf(part) + 1;
    const rows = subject.series[series].rows;
    const held = (range: readonly [number, number], of: number) => {
      const [from, to] = [Math.max(0, Math.min(rows, range[0])), Math.max(0, Math.min(rows, range[1]))];
      return to > from ? counts[of][to] - counts[of][from] : 0;
    };
    const hasTarget = target[1] > target[0];
    if (hasTarget) {
      const foreign = PARTS.findIndex((_, p) => p + 1 !== code && held(target, p + 1) > 0);
      const inside = held(target, code);
      if (foreign >= 0) add("foreign", window, `has target rows in ${PARTS[foreign]}`);
      else if (inside < target[1] - target[0]) add("past", window, "has target rows beyond its part");
    }
    const later = PARTS.findIndex((_, p) => p + 1 > code && held(input, p + 1) > 0);
    if (later >= 0) add("later", window, `reads rows of ${PARTS[later]}`);
    let back = 0;
    for (let p = 1; p < code; p++) back += held(input, p);
    if (back > 0) {
      totals.back++;
      totals.backRows += back;
      backExample ??= `${named(audit, window)} reads ${back} rows of an earlier part`;
    }
    if (subject.targetKind === "values" && hasTarget) {
      const offset = target[0] - input[1];
      const seen = offsets.get(offset);
      if (seen) seen.count++;
      else offsets.set(offset, { count: 1, example: window });
      if (offset < 0 && targetsAreInputs) add("answer", window, `reads ${-offset} of the rows it must predict`);
    }
  }
  const evidence = { windows: totals.windows, readBack: totals.back, threshold: 0 };
  if (totals.windows === 0) return [finding("window-overlap", "skipped", "there are no windows")];
  const findings: Finding[] = [];
  const convict = (fault: Fault, title: string, repair: string) => {
    const tally = faults.get(fault);
    if (!tally) return;
    findings.push(
      finding("window-overlap", "leak", title, {
        detail: `${tally.count.toLocaleString("en")} of ${totals.windows.toLocaleString("en")} windows`,
        evidence: { ...evidence, count: tally.count },
        example: tally.example,
        repair,
      }),
    );
  };
  const horizon = Math.max(1, subject.horizon);
  convict(
    "foreign",
    "targets overlap across the split",
    `let each window's target lie wholly in its part, or leave a gap: --set data.split.gap=${horizon}`,
  );
  convict("past", "targets reach past their part", "end the windows of a part where its rows end");
  convict(
    "later",
    "inputs reach into a later part",
    "cut the windows after the split, and let none of an earlier part begin behind rows of a later one",
  );
  convict("answer", "windows read what they must predict", "let every target begin where its input ends");
  findings.push(...sharedTargets(audit), ...uneven(audit, offsets));
  if (findings.length === 0) {
    findings.push(
      finding("window-overlap", "pass", "windows", {
        detail: `${totals.windows.toLocaleString("en")} windows, every target inside its part`,
        evidence,
      }),
    );
  }
  if (totals.back > 0) {
    findings.push(
      finding("window-overlap", "note", "inputs reach back into an earlier part", {
        detail: `${totals.back.toLocaleString("en")} windows do; by the time they are read those rows are the past`,
        evidence,
        example: backExample,
      }),
    );
  }
  return findings;
}

/** Per part code the rows of it before each row. [4][rows + 1] */
function prefixCounts(codes: Uint8Array): Int32Array[] {
  const counts = Array.from({ length: PARTS.length + 1 }, () => new Int32Array(codes.length + 1));
  for (let i = 0; i < codes.length; i++) {
    for (let code = 0; code <= PARTS.length; code++) counts[code][i + 1] = counts[code][i] + (codes[i] === code ? 1 : 0);
  }
  return counts;
}

function named(audit: AuditContext, { part, series, input, target }: WindowRows): string {
  const targets = target[1] > target[0] ? `, target ${audit.range(series, target[0], target[1])},` : "";
  return `the ${part} window with input ${audit.range(series, input[0], input[1])}${targets}`;
}

/** Rows that are targets in two parts: counted from the windows alone, whatever the parts of the rows are said to be. */
function sharedTargets(audit: AuditContext): Finding[] {
  const { targets } = audit.scan;
  let rows = 0;
  let example: string | null = null;
  const pairs: [Part, Part][] = [
    ["train", "test"],
    ["train", "validation"],
    ["validation", "test"],
  ];
  let pair = "";
  for (const [a, b] of pairs) {
    targets[a].forEach((line, s) => {
      for (let i = 0; i + 1 < line.length; i++) {
        if (line[i] === 0 || targets[b][s][i] === 0) continue;
        rows++;
        pair ||= `${a} and ${b}`;
        example ??= `${audit.where(s, i)} is a target in ${line[i]} windows of ${a} and in ${targets[b][s][i]} of ${b}`;
      }
    });
  }
  if (rows === 0) return [];
  return [
    finding("window-overlap", "leak", `the same rows are targets in ${pair}`, {
      detail: `${rows.toLocaleString("en")} rows: what is judged was learned`,
      evidence: { rows, threshold: 0 },
      example,
      repair: "split rows or series first, then cut windows within each part",
    }),
  ];
}

/** Windows whose target does not begin where most windows' targets begin. */
function uneven(audit: AuditContext, offsets: ReadonlyMap<number, { count: number; example: WindowRows }>): Finding[] {
  if (offsets.size < 2) return [];
  const sorted = [...offsets].sort((a, b) => b[1].count - a[1].count);
  const [[usual], ...odd] = sorted;
  const count = odd.reduce((sum, [, one]) => sum + one.count, 0);
  return [
    finding("alignment", "fault", "windows are not cut alike", {
      detail: `most targets begin ${usual} rows after the input ends, ${count.toLocaleString("en")} begin elsewhere`,
      evidence: Object.fromEntries(sorted.slice(0, 4).map(([offset, one]) => [`offset ${offset}`, one.count])),
      example: `${named(audit, odd[0][1].example)} begins ${odd[0][0]} rows after the input ends`,
      repair: "cut the windows of all parts in one way",
    }),
  ];
}

/** Labels made of the rows that follow them, and the parts they reach over. */
export function checkGap(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const aggregate = forwardAggregate(audit);
  const gaps = narrowestGap(audit);
  if (gaps === null)
    return [finding("gap", "skipped", "no series has two parts", { detail: "there is no border to keep a gap at" })];
  const evidence = { narrowestGap: gaps.gap, borders: gaps.borders };
  if (!aggregate) {
    return [
      finding("gap", "pass", "gap", {
        detail: `${gaps.gap} rows at the narrowest of ${gaps.borders} borders; targets are values of their own rows, so none is shared`,
        evidence,
      }),
    ];
  }
  const { span, text, share } = aggregate;
  let labels = 0;
  let example: string | null = null;
  subject.parts.forEach((codes, s) => {
    const { targets } = audit.scan;
    for (let i = 0; i < codes.length; i++) {
      if (codes[i] === 0) continue;
      const used = targets[PARTS[codes[i] - 1]][s];
      if (used[i] === 0) continue;
      for (let k = 1; k <= span && i + k < codes.length; k++) {
        if (codes[i + k] <= codes[i]) continue;
        labels++;
        example ??= `the target of ${audit.where(s, i)} (${PARTS[codes[i] - 1]}) is made of rows up to ${audit.where(s, Math.min(codes.length - 1, i + span))}, of which ${audit.where(s, i + k)} is in ${PARTS[codes[i + k] - 1]}`;
        break;
      }
    }
  });
  const facts = { ...evidence, span, agreement: share, labelsOverBorder: labels };
  if (labels === 0) {
    return [
      finding("gap", "pass", "gap", {
        detail: `${gaps.gap} rows; the target is ${text}, ${span} rows ahead at most`,
        evidence: facts,
      }),
    ];
  }
  return [
    finding("gap", "leak", `labels are made of rows of a later part: the gap is ${gaps.gap}, they look ${span} rows ahead`, {
      detail: `the target is ${text}; ${labels} labels of an earlier part were computed from rows of a later one`,
      evidence: facts,
      example,
      repair: `leave a gap of as many rows as the label looks ahead: --set data.split.gap=${span}`,
    }),
  ];
}

function narrowestGap(audit: AuditContext): { gap: number; borders: number } | null {
  let gap = Number.POSITIVE_INFINITY;
  let borders = 0;
  for (const codes of audit.subject.parts) {
    let last = -1;
    for (let i = 0; i < codes.length; i++) {
      if (codes[i] === 0) continue;
      if (last >= 0 && codes[last] !== codes[i]) {
        borders++;
        gap = Math.min(gap, i - last - 1);
      }
      last = i;
    }
  }
  return borders > 0 ? { gap, borders } : null;
}

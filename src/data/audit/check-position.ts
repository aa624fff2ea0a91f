/**
 * @file Does the label go with the length of a sequence, or with a place in it or in the file?
 *
 *     length    Kruskal-Wallis over the sequences: warning where epsilon^2 >= 0.3 and p < 0.001 / 3 (three questions are asked), of the
 *               lengths or of their distances from the median; and, since a class may have lengths of its own in no order, the lengths as
 *               categories: the commonest class of each length of training (where few sequences have it, of the quantile bin of lengths) is said of
 *               the held-out sequences; warning where Cohen's kappa >= 0.4, by four standard errors above none
 *     in file   the same over the first rows, where epsilon^2 >= 0.5: warning if the parts are cut by order, else a note
 *     in series tags: per series the chance that a row of a class stands behind a row of another (the area under its ROC curve by place);
 *               warning where its mean over at least ten series is above 0.95 or below 0.05, and six standard errors from 0.5
 */
import type { AuditContext } from "./context.js";
import { type Finding, finding } from "./finding.js";
import { kruskalWallis } from "./rank-test.js";

const QUESTIONS = 3;
const LEVEL = 0.001 / QUESTIONS;
const LENGTH_EFFECT = 0.3;
const LENGTH_KAPPA = 0.4;
const LENGTH_REPAIR =
  "cut all sequences to windows of one length: --set window.length=N; or make sure that the length is known when it is asked";
/** Training sequences of a length from which it is a category of its own, and quantile bins of the others. */
const OWN_LENGTH = 10;
const LENGTH_BINS = 8;
const FILE_EFFECT = 0.5;
const PLACE = 0.95;
const SERIES = 10;

export function checkPosition(audit: AuditContext): Finding[] {
  const { targetKind } = audit.subject;
  if (targetKind === "values") return [];
  return targetKind === "class" ? [...lengths(audit), ...inFile(audit)] : inSeries(audit);
}

function lengths(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const chosen = subject.series.flatMap((_, s) => (audit.labelOf(s) === "" || audit.partOfSeries(s) === 0 ? [] : [s]));
  const length = (s: number) => subject.steps?.[s] ?? subject.series[s].rows;
  const values = chosen.map(length);
  const labels = chosen.map((s) => audit.labelOf(s));
  if (chosen.length < 20 || new Set(labels).size < 2)
    return [finding("length-label", "skipped", "too few sequences to ask whether their length tells the class")];
  // Also how far a length is from the usual one: a class may have both the shortest and the longest sequences.
  const usual = median(values);
  const folded = values.map((value) => Math.abs(value - usual));
  const asked = [kruskalWallis(values, labels), kruskalWallis(folded, labels)];
  const { effect, p } = asked[1].effect > asked[0].effect ? asked[1] : asked[0];
  const evidence = { effect, p, sequences: chosen.length, leastEffect: LENGTH_EFFECT, level: LEVEL };
  const known = told(audit, chosen, length);
  Object.assign(evidence, { kappa: known.kappa, heldOut: known.count, leastKappa: LENGTH_KAPPA });
  const byRank = effect >= LENGTH_EFFECT && p < LEVEL;
  const byKind = known.kappa >= LENGTH_KAPPA && known.kappa >= 4 * known.error;
  if (!byRank && !byKind) {
    return [
      finding("length-label", "pass", "length and class", {
        detail: `the length explains ${(100 * effect).toFixed(0)} % of the ranks, and tells the class with kappa ${known.kappa.toFixed(2)}`,
        evidence,
      }),
    ];
  }
  if (!byRank) {
    return [
      finding("length-label", "warning", "the length of a sequence tells its class", {
        detail: `said by the length alone, ${(100 * known.accuracy).toFixed(1)} % of ${known.count.toLocaleString("en")} held-out sequences are right (kappa ${known.kappa.toFixed(2)}): a model may count steps instead of reading them`,
        evidence: { ...evidence, accuracy: known.accuracy },
        example: known.example(audit),
        repair: LENGTH_REPAIR,
      }),
    ];
  }
  const medians = [...new Set(labels)]
    .map((label) => [label, median(values.filter((_, k) => labels[k] === label))] as const)
    .sort((a, b) => a[1] - b[1]);
  const [short, long] = [medians[0], medians[medians.length - 1]];
  const s = chosen.find((one) => audit.labelOf(one) === short[0])!;
  return [
    finding("length-label", "warning", "the length of a sequence tells its class", {
      detail: `it explains ${(100 * effect).toFixed(0)} % of the ranks (p ${p < 1e-12 ? "< 1e-12" : `= ${p.toExponential(0)}`}): a model may count steps instead of reading them`,
      evidence,
      example: `sequences of "${short[0]}" have ${short[1]} rows in the middle, of "${long[0]}" ${long[1]}; series "${subject.series[s].entity}" has ${length(s)} (${audit.where(s, 0)})`,
      repair: LENGTH_REPAIR,
    }),
  ];
}

interface Told {
  kappa: number;
  /** Of kappa, if there were nothing to tell. */
  error: number;
  accuracy: number;
  count: number;
  example: (audit: AuditContext) => string | null;
}

/** The class of held-out sequences by the commonest one of their length in training. */
function told(audit: AuditContext, chosen: readonly number[], length: (s: number) => number): Told {
  const training = chosen.filter((s) => audit.partOfSeries(s) === 1);
  const held = chosen.filter((s) => audit.partOfSeries(s) > 1);
  const sorted = training.map(length).sort((a, b) => a - b);
  const times = new Map<number, number>();
  for (const one of sorted) times.set(one, (times.get(one) ?? 0) + 1);
  const edges = Array.from({ length: LENGTH_BINS - 1 }, (_, b) => sorted[Math.floor(((b + 1) * sorted.length) / LENGTH_BINS)]);
  const kindOf = (s: number) => {
    const one = length(s);
    return (times.get(one) ?? 0) >= OWN_LENGTH ? `${one}` : `bin ${edges.filter((edge) => one >= edge).length}`;
  };
  const counts = new Map<string, Map<string, number>>();
  for (const s of training) {
    const list = counts.get(kindOf(s)) ?? counts.set(kindOf(s), new Map()).get(kindOf(s))!;
    list.set(audit.labelOf(s), (list.get(audit.labelOf(s)) ?? 0) + 1);
  }
  const usual = (list: Iterable<[string, number]>) => [...list].reduce((best, one) => (one[1] > best[1] ? one : best))[0];
  const total = new Map<string, number>();
  for (const list of counts.values()) for (const [label, count] of list) total.set(label, (total.get(label) ?? 0) + count);
  if (held.length < 20 || total.size < 2) return { kappa: 0, error: 1, accuracy: 0, count: held.length, example: () => null };
  const common = usual(total);
  const said = held.map((s) => usual(counts.get(kindOf(s)) ?? [[common, 1]]));
  const shares = new Map<string, [truth: number, said: number]>();
  let right = 0;
  held.forEach((s, k) => {
    const truth = audit.labelOf(s);
    if (truth === said[k]) right++;
    for (const [label, at] of [
      [truth, 0],
      [said[k], 1],
    ] as const) {
      const pair = shares.get(label) ?? shares.set(label, [0, 0]).get(label)!;
      pair[at] += 1 / held.length;
    }
  });
  let chance = 0;
  for (const [truth, guess] of shares.values()) chance += truth * guess;
  const kappa = chance < 1 ? (right / held.length - chance) / (1 - chance) : 0;
  const error = chance < 1 ? Math.sqrt(chance / (held.length * (1 - chance))) : 1;
  // The commonest length whose class is not the commonest one.
  const [odd] = [...counts].filter(([, list]) => usual(list) !== common).sort((a, b) => sum(b[1]) - sum(a[1]));
  return {
    kappa,
    error,
    accuracy: right / held.length,
    count: held.length,
    example: (of) => {
      const s = odd && training.find((one) => kindOf(one) === odd[0] && of.labelOf(one) === usual(odd[1]));
      if (s === undefined) return null;
      const kind = usual(odd[1]);
      const alike = odd[0].startsWith("bin") ? "of such a length" : `of ${length(s)} steps`;
      return `${odd[1].get(kind)} of ${sum(odd[1])} training sequences ${alike} are "${kind}"; series "${of.subject.series[s].entity}" has ${length(s)} (${of.where(s, 0)})`;
    },
  };
}

function sum(counts: ReadonlyMap<string, number>): number {
  let all = 0;
  for (const count of counts.values()) all += count;
  return all;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

function inFile(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const chosen = subject.series.flatMap(({ rows }, s) => (rows === 0 || audit.labelOf(s) === "" ? [] : [s]));
  const labels = chosen.map((s) => audit.labelOf(s));
  if (chosen.length < 20 || new Set(labels).size < 2) return [];
  const { effect, p } = kruskalWallis(
    chosen.map((s) => subject.series[s].row[0]),
    labels,
  );
  const evidence = { effect, p, sequences: chosen.length, leastEffect: FILE_EFFECT, level: LEVEL };
  if (effect < FILE_EFFECT || p >= LEVEL)
    return [finding("position-label", "pass", "place and class", { detail: "the file is not sorted by class", evidence })];
  const ordered = subject.splitBy === "time" || subject.splitBy === "own";
  const next = labels.findIndex((label, k) => k > 0 && label !== labels[k - 1]);
  return [
    finding("position-label", ordered ? "warning" : "note", "the file is sorted by class", {
      detail: ordered
        ? `the place of a row explains ${(100 * effect).toFixed(0)} % of the ranks, and the parts are cut by place`
        : "whole series are drawn into the parts, so it does no harm as long as no feature tells the place",
      evidence,
      example: `${audit.where(chosen[next - 1], 0)} is "${labels[next - 1]}", ${audit.where(chosen[next], 0)} is "${labels[next]}"`,
      repair: ordered ? "draw whole series: --set data.split.by=entity" : null,
    }),
  ];
}

function inSeries(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const found: Finding[] = [];
  let asked = 0;
  for (const label of audit.labels.slice(0, 50)) {
    const areas: number[] = [];
    let example = -1;
    for (const s of audit.sampleSeries("position", 500, 10)) {
      const area = areaByPlace(subject.series[s].labels!, label);
      if (area === null) continue;
      areas.push(area);
      example = example < 0 ? s : example;
    }
    if (areas.length < SERIES) continue;
    asked++;
    const mean = areas.reduce((sum, one) => sum + one, 0) / areas.length;
    const deviation = Math.sqrt(areas.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (areas.length - 1));
    const error = Math.max(deviation, 0.01) / Math.sqrt(areas.length);
    if (Math.abs(mean - 0.5) < PLACE - 0.5 || Math.abs(mean - 0.5) < 6 * error) continue;
    const labels = subject.series[example].labels!;
    const first = labels.indexOf(label);
    const last = labels.lastIndexOf(label);
    found.push(
      finding("position-label", "warning", `the position in its series tells where "${label}" is`, {
        detail: `a row of "${label}" stands ${mean > 0.5 ? "behind" : "before"} one of another label in ${(100 * Math.max(mean, 1 - mean)).toFixed(1)} % of the pairs, over ${areas.length} series: a model may count rows instead of reading them`,
        evidence: { area: mean, standardError: error, series: areas.length, threshold: PLACE },
        example: `series "${subject.series[example].entity}": "${label}" from ${audit.where(example, first)} to ${audit.where(example, last)} of ${labels.length} rows`,
        repair: "cut series where they do not end with the event, or train on windows that begin anywhere: --set window.length=N",
      }),
    );
  }
  // Of two labels one is first because the other is last.
  if (found.length > 0) return audit.labels.length === 2 ? found.slice(-1) : found;
  if (asked === 0) return [finding("position-label", "skipped", "too few series to ask whether the place tells the label")];
  return [
    finding("position-label", "pass", "place and label", {
      detail: `no label has a fixed place, of ${asked}`,
      evidence: { labels: asked, threshold: PLACE },
    }),
  ];
}

/** The chance that a row of the label stands behind a row of another one; null where the series has only one kind. */
function areaByPlace(labels: readonly string[], label: string): number | null {
  let others = 0;
  let mine = 0;
  let behind = 0;
  for (const one of labels) {
    if (one === "") continue;
    if (one === label) {
      mine++;
      behind += others;
    } else others++;
  }
  return mine > 0 && others > 0 ? behind / (mine * others) : null;
}

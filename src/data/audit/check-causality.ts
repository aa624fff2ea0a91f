/**
 * @file Does a row of inputs move when only its future is changed, or only its own label?
 *
 * The pipeline is fitted once. For some series and cuts the rows after the cut are taken away, exchanged, replaced (noise, a large
 * constant, missing) or delayed, and the rows up to the cut must come out bit for bit the same; so must they with other labels in the row
 * itself, which is what the model is asked for. What must not happen cannot happen by chance: one bit convicts, no threshold is needed.
 *
 * A few cuts are made in whole series (of very long ones in long stretches), where a statistic of the series would show. Many more are made in short stretches, among them the
 * rows where transforms do something rare: beside missing values, extremes and changes of the label.
 */
import { OstinatoError } from "../../core/errors.js";
import type { Rng } from "../../core/rng.js";
import { type Series, sliceSeries } from "../series.js";
import type { AuditContext } from "./context.js";
import { short } from "./figure.js";
import { type Finding, finding } from "./finding.js";
import { type PerturbationKind, type PerturbedField, perturbed } from "./perturb.js";
import type { PipelineOutput } from "./subject.js";

/** Series and cuts of each that are run whole, and stretches in all, with their rows before and after the cut. */
const SERIES = 6;
const CUTS = 3;
const STRETCHES = 160;
const BEFORE = 160;
const AFTER = 64;
/** Numbers of all series that are run whole; longer ones are cut to so much around the cut. */
const WHOLE = 800_000;
/** Numbers the pipeline may make in all for this check, about; beyond that fewer cuts are tried. */
const BUDGET = 60e6;

interface Variant {
  name: string;
  /** What is asked to be unmoved also counts the cut itself. */
  make: (series: Series, cut: number) => Series;
}

/** A column that a change moved: the earliest row it moved in. */
interface Moved {
  series: number;
  /** Of the whole series, as is `row`. */
  cut: number;
  row: number;
  column: string;
  before: number;
  after: number;
  variant: string;
  lookAhead: number;
}

export function checkCausality(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const { pipeline } = subject;
  const chosen = audit.sampleSeries("causality", SERIES, 2);
  if (chosen.length === 0)
    return [finding("causality", "skipped", "no series has two rows", { detail: "nothing has a future to change" })];
  for (const s of chosen) {
    const output = audit.output(s);
    if (output.values.length !== subject.series[s].rows * output.names.length) return [misshapen(audit, s, output)];
  }
  const width = audit.output(chosen[0]).names.length;
  const trial = new Trial(audit, BUDGET / Math.max(1, width));
  const reach = Math.max(1_000, Math.floor(WHOLE / Math.max(1, width) / chosen.length / 2));
  let widest = 0;
  for (const s of chosen) {
    for (const cut of wholeCuts(audit, s)) {
      const [from, to] = [Math.max(0, cut - reach), Math.min(subject.series[s].rows, cut + 1 + reach)];
      trial.run(s, cut, from, to);
      widest = Math.max(widest, to - from);
    }
  }
  const whole = trial.comparisons;
  for (const [s, cut] of stretchCuts(audit)) {
    trial.run(s, cut, Math.max(0, cut - BEFORE), Math.min(subject.series[s].rows, cut + 1 + AFTER));
  }
  const evidence = {
    series: chosen.length,
    ofSeries: subject.series.length,
    wholeComparisons: whole,
    rowsOfWhole: widest,
    rowsOfLongest: Math.max(...chosen.map((s) => subject.series[s].rows)),
    stretchComparisons: trial.comparisons - whole,
    refused: trial.refused,
    declaredLookAhead: String(pipeline.declaredLookAhead),
  };
  const findings = [...trial.columns]
    .filter(([, moved]) => moved.lookAhead > pipeline.declaredLookAhead || /its own label/.test(moved.variant))
    .map(([column, moved]) => guilty(audit, column, moved, trial.reached.get(column) ?? 0, evidence));
  if (findings.length > 0) return findings;
  if (trial.comparisons === 0) {
    return [finding("causality", "skipped", "the pipeline refused every changed future", { detail: trial.refusal, evidence })];
  }
  if (pipeline.declaredLookAhead > 0) return declared(audit, [...trial.columns.values()], trial.crossing, evidence);
  return [
    finding("causality", "pass", "no input moves with its future", {
      detail: `bit for bit the same over ${trial.comparisons.toLocaleString("en")} changes of the future in ${chosen.length} of ${subject.series.length} series`,
      evidence: { ...evidence, measuredLookAhead: 0 },
    }),
  ];
}

class Trial {
  comparisons = 0;
  refused = 0;
  refusal = "";
  /** The widest look-ahead seen of each column. */
  readonly columns = new Map<string, Moved>();
  /** A row of one part that was moved by rows of a later one. */
  crossing: Moved | null = null;
  /** Per column how many cuts moved the very first row of the stretch. */
  readonly reached = new Map<string, number>();
  readonly #rng: Rng;
  #rowsLeft: number;

  constructor(
    readonly audit: AuditContext,
    rows: number,
  ) {
    this.#rng = audit.rng("causality");
    this.#rowsLeft = rows;
  }

  /** Every change after one cut, in rows [from, to) of a series. */
  run(s: number, cut: number, from: number, to: number): void {
    if (this.#rowsLeft <= 0 && this.comparisons > 0) return;
    const stretch = sliceSeries(this.audit.subject.series[s], from, to);
    const base = this.#output(stretch);
    if (!base) return;
    for (const variant of variants(this.audit, this.#rng, stretch, cut - from + 1 < to - from)) {
      const other = this.#output(variant.make(stretch, cut - from));
      if (!other) continue;
      this.comparisons++;
      for (const [column, row] of firstDifferences(base, other, cut - from)) {
        const at = row * base.names.length + base.names.indexOf(column);
        const lookAhead = cut - from + 1 - row;
        const before = this.columns.get(column);
        if (row === 0 && cut - from > 3) this.reached.set(column, (this.reached.get(column) ?? 0) + 1);
        const moved: Moved = {
          series: s,
          cut,
          row: from + row,
          column,
          before: base.values[at],
          after: other.values[at],
          variant: variant.name,
          lookAhead,
        };
        if (!this.crossing && this.#crosses(moved)) this.crossing = moved;
        if (!before || before.lookAhead < lookAhead) this.columns.set(column, moved);
      }
    }
  }

  /** Everything behind the cut is of a later part than the row. */
  #crosses({ series, cut, row }: Moved): boolean {
    const part = this.audit.subject.parts[series];
    return part[row] > 0 && part.subarray(cut + 1).every((code) => code > part[row]);
  }

  #output(series: Series): PipelineOutput | null {
    this.#rowsLeft -= series.rows;
    try {
      return this.audit.frozen(series);
    } catch (error) {
      if (!(error instanceof OstinatoError)) throw error;
      this.refused++;
      this.refusal ||= error.message.replaceAll("\n", " ");
      return null;
    }
  }
}

/** Cuts spread over a series, at its borders between parts and just before its last row. */
function wholeCuts(audit: AuditContext, s: number): number[] {
  const { rows } = audit.subject.series[s];
  const rng = audit.rng(`cuts ${s}`);
  const cuts = new Set<number>([Math.max(0, rows - 2)]);
  const part = audit.subject.parts[s];
  for (let i = 1; i < rows - 1 && cuts.size < CUTS; i++) if (part[i] !== part[i - 1]) cuts.add(i - 1);
  for (let k = 0; k < CUTS; k++) cuts.add(Math.max(0, Math.min(rows - 2, Math.floor(((k + rng.uniform()) / CUTS) * (rows - 1)))));
  return [...cuts].sort((a, b) => a - b);
}

/** Cuts where something rare happens, then rows drawn from everywhere. */
function stretchCuts(audit: AuditContext): [series: number, cut: number][] {
  const { subject } = audit;
  const chosen = audit.sampleSeries("stretches", 24, 2);
  const rng = audit.rng("stretches");
  const each = Math.max(2, Math.floor(STRETCHES / Math.max(1, chosen.length)));
  return chosen.flatMap((s) => {
    const series = subject.series[s];
    const rare = rng.shuffle(rareRows(series)).slice(0, Math.ceil((2 * each) / 3));
    const cuts = new Set(rare.filter((row) => row < series.rows - 1));
    for (let k = 0; k < each && cuts.size < each; k++) cuts.add(rng.integer(Math.max(1, series.rows - 1)));
    return [...cuts].sort((a, b) => a - b).map((cut): [number, number] => [s, cut]);
  });
}

/** Rows with a missing value, rows beside one, the extremes of each column, and rows where the label changes. */
function rareRows({ rows, features, labels, texts }: Series): number[] {
  const width = rows > 0 ? features.length / rows : 0;
  const rare = new Set<number>();
  for (let c = 0; c < width; c++) {
    const lowest: number[] = [];
    const highest: number[] = [];
    let missing = 0;
    for (let i = 0; i < rows; i++) {
      const value = features[i * width + c];
      if (!Number.isNaN(value)) {
        keep(lowest, i, (row) => features[row * width + c] - value);
        keep(highest, i, (row) => value - features[row * width + c]);
      } else if (missing++ < 20) for (const row of [i - 1, i, i + 1]) rare.add(row);
    }
    for (const row of [...lowest, ...highest]) {
      rare.add(row);
      rare.add(row - 1);
    }
  }
  let changes = 0;
  for (let i = 1; i < rows && changes < 20; i++) {
    if (labels && labels[i] !== labels[i - 1]) changes += rare.add(i - 1) ? 1 : 0;
  }
  texts?.forEach((cells) => {
    for (let i = 0, seen = 0; i < rows && seen < 8; i++) if (cells[i] === "") seen += rare.add(i) ? 1 : 0;
  });
  return [...rare].filter((row) => row >= 0 && row < rows);
}

/** Puts a row among the four first ones, by how far each comes behind it; earlier rows first where they are equal. */
function keep(list: number[], row: number, behind: (other: number) => number): void {
  let at = list.length;
  while (at > 0 && behind(list[at - 1]) > 0) at--;
  if (at >= 4) return;
  list.splice(at, 0, row);
  if (list.length > 4) list.pop();
}

function variants(audit: AuditContext, rng: Rng, series: Series, hasFuture: boolean): Variant[] {
  const { labels, subject } = audit;
  const after = (cut: number) => (row: number) => row > cut;
  const change = (name: string, kind: PerturbationKind, fields: PerturbedField[], rows = after): Variant => ({
    name,
    make: (one, cut) => perturbed(one, rows(cut), kind, rng, { fields, labels }),
  });
  const own = (cut: number) => (subject.targetKind === "class" ? () => true : (row: number) => row >= cut);
  const future: Variant[] = [
    { name: "the rows after it taken away", make: (one, cut) => sliceSeries(one, 0, cut + 1) },
    change("the rows after it exchanged", "exchange", ["features", "texts"]),
    change("noise after it", "noise", ["features"]),
    change("a large constant after it", "large", ["features"]),
    change("values missing after it", "missing", ["features"]),
    ...(series.target ? [change("other targets after it", "noise", ["target"])] : []),
    ...(series.time ? [change("later times after it", "exchange", ["time"])] : []),
  ];
  return [
    ...(series.labels && labels.length > 1
      ? [change("another label in place of its own label", "exchange", ["labels"], own)]
      : []),
    ...(hasFuture ? future : []),
  ];
}

/** Per column the first row up to the cut that differs. */
function firstDifferences(a: PipelineOutput, b: PipelineOutput, cut: number): Map<string, number> {
  const width = a.names.length;
  const found = new Map<string, number>();
  for (let row = 0; row <= cut && found.size < width; row++) {
    for (let c = 0; c < width; c++) {
      const at = row * width + c;
      if (a.values[at] === b.values[at] || (Number.isNaN(a.values[at]) && Number.isNaN(b.values[at]))) continue;
      if (!found.has(a.names[c])) found.set(a.names[c], row);
    }
  }
  return found;
}

function misshapen(audit: AuditContext, s: number, { names, values }: PipelineOutput): Finding {
  const { rows } = audit.subject.series[s];
  return finding("alignment", "fault", "inputs and rows do not correspond", {
    detail: `the pipeline makes ${values.length} numbers in ${names.length} columns of ${rows} rows`,
    evidence: { rows, columns: names.length, numbers: values.length },
    example: audit.range(s, 0, rows),
    repair: "let the pipeline put out one row of inputs per row of the series",
  });
}

function guilty(
  audit: AuditContext,
  column: string,
  moved: Moved,
  reached: number,
  evidence: Record<string, number | string>,
): Finding {
  const { pipeline, roles, series } = audit.subject;
  const label = /its own label/.test(moved.variant);
  const reach =
    reached > 1
      ? "rows as far ahead as there are"
      : moved.lookAhead === 1
        ? "the next row"
        : `rows up to ${moved.lookAhead} later`;
  const source = label ? null : sourceOf(audit, moved);
  const example = `with ${moved.variant}, ${audit.where(moved.series, moved.cut)}: "${column}" at ${audit.where(moved.series, moved.row)} moves from ${short(moved.before)} to ${short(moved.after)}`;
  return finding("causality", "leak", label ? `input "${column}" knows the label` : `input "${column}" knows the future`, {
    detail: label
      ? `it moves when only "${roles.target[0]}" is changed, which is to be predicted`
      : `it depends on ${reach}${source ? ` (of ${source})` : ""}; ${pipeline.name} declares a look-ahead of ${pipeline.declaredLookAhead}`,
    evidence: {
      ...evidence,
      measuredLookAhead: label ? 0 : moved.lookAhead,
      movedSeries: series[moved.series].entity,
      threshold: 0,
    },
    example,
    repair: label
      ? `compute "${column}" without "${roles.target[0]}"`
      : `compute "${column}" from its own and earlier rows only: a trailing window, or statistics of training rows; or leave it out`,
  });
}

/** Which raw column moves it, found by changing one at a time. */
function sourceOf(audit: AuditContext, { series: s, cut, column, variant }: Moved): string | null {
  const { series, roles } = audit.subject;
  if (/targets/.test(variant)) return `the target ${roles.target.join(", ")}`;
  if (/times/.test(variant)) return "the times";
  const from = Math.max(0, cut - BEFORE);
  const stretch = sliceSeries(series[s], from, Math.min(series[s].rows, cut + 1 + AFTER));
  const rng = audit.rng("source");
  for (const [c, name] of roles.features.entries()) {
    for (const kind of ["exchange", "noise", "large"] as const) {
      try {
        const other = perturbed(stretch, (row) => row > cut - from, kind, rng, { fields: ["features"], column: c });
        if (firstDifferences(audit.frozen(stretch), audit.frozen(other), cut - from).has(column)) return `"${name}"`;
      } catch (error) {
        if (!(error instanceof OstinatoError)) throw error;
      }
    }
  }
  return null;
}

/**
 * A pipeline that says it looks ahead: legitimate for classes known afterwards, a leak in a forecast as soon as an input moves with the rows
 * that are to be predicted.
 */
function declared(
  audit: AuditContext,
  moved: readonly Moved[],
  crossing: Moved | null,
  evidence: Record<string, number | string>,
): Finding[] {
  const { targetKind, pipeline } = audit.subject;
  const ahead = Number.isFinite(pipeline.declaredLookAhead) ? `${pipeline.declaredLookAhead} rows` : "any number of rows";
  const measuredLookAhead = Math.max(0, ...moved.map(({ lookAhead }) => lookAhead));
  const [first] = moved;
  if (targetKind === "values" && first) {
    return [
      finding("causality", "leak", `"${first.column}" looks into the rows that are to be predicted`, {
        detail: `the pipeline declares that it looks ${ahead} ahead, and in a forecast what is ahead is the target`,
        evidence: { ...evidence, measuredLookAhead },
        example: `with ${first.variant}, ${audit.where(first.series, first.cut)}: "${first.column}" at ${audit.where(first.series, first.row)} moves from ${short(first.before)} to ${short(first.after)}`,
        repair: "use a causal policy: --set data.missing=forwardFill --set mode=causal",
      }),
    ];
  }
  if (crossing) {
    const { series, row, cut, column, before, after } = crossing;
    const [here, there] = [audit.partName(series, row), audit.partName(series, cut + 1)];
    return [
      finding("causality", "leak", `input "${column}" in ${here} is made of rows of ${there}`, {
        detail: `the pipeline declares that it looks ${ahead} ahead, and does so across the split`,
        evidence: { ...evidence, measuredLookAhead },
        example: `with ${crossing.variant}, ${audit.where(series, cut)}: "${column}" at ${audit.where(series, row)} (${here}) moves from ${short(before)} to ${short(after)}`,
        repair: "run the pipeline on each part by itself, or leave a gap at the border that no part uses: --set data.split.gap=N",
      }),
    ];
  }
  return [
    finding("causality", "note", `the pipeline looks ${ahead} ahead`, {
      detail: `as it declares; ${measuredLookAhead} rows measured. It cannot be streamed`,
      evidence: { ...evidence, measuredLookAhead },
    }),
  ];
}

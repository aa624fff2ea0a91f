/**
 * @file Were statistics fitted on training rows alone?
 *
 * Every row that is no training row is changed, the pipeline is fitted again, and the two frozen transforms must make the same of the
 * series as they were, bit for bit: one bit convicts. A column of the file that is exactly standardised over all rows, and not over training
 * rows, was scaled before: a warning. Features and targets are changed in turn, and validation, test and unused rows, so
 * that the culprit has a name.
 */
import { OstinatoError } from "../../core/errors.js";
import type { Series } from "../series.js";
import { partCode } from "../split.js";
import type { AuditContext } from "./context.js";
import { type Extract, extractOf } from "./extract.js";
import { short } from "./figure.js";
import { type Finding, finding } from "./finding.js";
import { type PerturbationKind, type PerturbedField, perturbed, spread } from "./perturb.js";
import type { PipelineOutput } from "./subject.js";

const SERIES = 12;

interface Trial {
  what: string;
  kind: PerturbationKind;
  fields: PerturbedField[];
}

const TRIALS: Trial[] = [
  { what: "values", kind: "exchange", fields: ["features", "texts"] },
  { what: "values", kind: "noise", fields: ["features"] },
  { what: "values", kind: "large", fields: ["features"] },
  { what: "targets", kind: "exchange", fields: ["target", "labels"] },
  { what: "targets", kind: "noise", fields: ["target"] },
];

const AREAS = [
  { name: "validation", codes: [2] },
  { name: "test", codes: [3] },
  { name: "unused", codes: [0] },
];

export function checkFitted(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const train = partCode("train");
  if (!subject.parts.some((codes) => codes.some((code) => code !== train))) {
    return [finding("fit-scope", "skipped", "every row is a training row", { detail: "nothing else could have been fitted on" })];
  }
  const sample = new Sample(audit);
  let refits = 0;
  let refused = 0;
  for (const trial of TRIALS) {
    if (trial.fields.every((field) => (field === "target" || field === "labels") && !subject.series.some((one) => one[field])))
      continue;
    const moved = refit(audit, sample, trial, [0, 2, 3]);
    if (moved === "refused") refused++;
    else refits++;
    if (moved === "refused" || moved === null) continue;
    // A sum does not mind an exchange within one part, hence every kind of change of the same fields.
    const alike = TRIALS.filter(({ what }) => what === trial.what);
    const areas = AREAS.filter(({ codes }) =>
      alike.some((one) => {
        const again = refit(audit, sample, one, codes);
        return again !== null && again !== "refused";
      }),
    ).map(({ name }) => name);
    const { column, series, row, before, after, most, deviation } = moved;
    const of = areas.length > 0 ? areas.join(" and ") : "non-training";
    return [
      finding("fit-scope", "leak", `input "${column}" was fitted on ${of} rows`, {
        detail: `with other ${trial.what} in rows outside training, it changes by up to ${short(most)} (${short(most / (deviation || 1))} standard deviations)`,
        evidence: {
          change: most,
          deviation,
          columns: moved.columns,
          refits: refits + refused,
          seriesCompared: sample.chosen.length,
          ...sample.extract.evidence,
          threshold: 0,
        },
        example: `"${column}" at ${audit.where(series, row)} is ${short(before)}, and ${short(after)} when only ${of} rows differ`,
        repair: `fit ${subject.pipeline.name} on training rows only, after the split: the frozen statistics are then applied to all parts`,
      }),
    ];
  }
  const trainingRows = audit.rowsOf("train");
  const evidence = { refits, refused, seriesCompared: sample.chosen.length, trainingRows, ...sample.extract.evidence };
  const before = scaledBefore(audit);
  if (before.length > 0) return before;
  if (refits === 0) return [finding("fit-scope", "skipped", "the pipeline refused every changed series", { evidence })];
  return [
    finding("fit-scope", "pass", "statistics", {
      detail: `fitted on ${trainingRows.toLocaleString("en")} training rows only`,
      evidence,
    }),
  ];
}

/** What a mean of 0, a deviation of 1 and bounds of 0 and 1 may miss by to be called exact, and training must miss more. */
const EXACT = 1e-4;
const INEXACT = 1e-2;

/** Columns that were scaled before they were written: exactly standardised, or exactly within 0 and 1, over all rows but not over training rows. */
function scaledBefore(audit: AuditContext): Finding[] {
  const { subject } = audit;
  const width = subject.roles.features.length;
  return subject.roles.features.flatMap((name, c) => {
    const all = columnOf(audit, c, width, () => true);
    const training = columnOf(audit, c, width, (code) => code === 1);
    if (all.count < 100 || training.count < 50 || training.count === all.count || all.values.size < 20) return [];
    const near = (value: number, wanted: number, within: number) => Math.abs(value - wanted) <= within;
    const standard = (of: typeof all, within: number) => near(of.mean, 0, within) && near(of.deviation, 1, within + 1 / of.count);
    const bounded = (of: typeof all, within: number) => near(of.low, 0, within) && near(of.high, 1, within);
    const kind =
      standard(all, EXACT) && !standard(training, INEXACT)
        ? "standardised"
        : bounded(all, EXACT) && !bounded(training, INEXACT)
          ? "brought to 0 .. 1"
          : null;
    if (kind === null) return [];
    const shown = ({ mean, deviation, low, high }: typeof all) =>
      kind === "standardised"
        ? `mean ${short(mean)} and deviation ${short(deviation)}`
        : `least ${short(low)} and most ${short(high)}`;
    return [
      finding("fit-scope", "warning", `feature "${name}" seems to have been ${kind} over all rows before it was written`, {
        detail: `over all ${all.count.toLocaleString("en")} rows it has ${shown(all)}, over the training rows ${shown(training)}: its scale knows the test rows`,
        evidence: { mean: all.mean, deviation: all.deviation, least: all.low, most: all.high, exact: EXACT },
        example: `"${name}" is ${short(all.first)} at ${audit.where(...all.firstAt)}`,
        repair: "read the column in its own unit and let data.scale fit it on training rows",
      }),
    ];
  });
}

function columnOf({ subject }: AuditContext, c: number, width: number, keep: (code: number) => boolean) {
  const facts = {
    count: 0,
    mean: 0,
    deviation: 0,
    low: Number.POSITIVE_INFINITY,
    high: Number.NEGATIVE_INFINITY,
    first: Number.NaN,
    firstAt: [0, 0] as [number, number],
    /** The first twenty different values. */
    values: new Set<number>(),
  };
  let squares = 0;
  subject.series.forEach(({ rows, features }, s) => {
    for (let i = 0; i < rows; i++) {
      const value = features[i * width + c];
      if (Number.isNaN(value) || !keep(subject.parts[s][i])) continue;
      if (facts.count++ === 0) {
        facts.first = value;
        facts.firstAt = [s, i];
      }
      const before = value - facts.mean;
      facts.mean += before / facts.count;
      squares += before * (value - facts.mean);
      facts.low = Math.min(facts.low, value);
      facts.high = Math.max(facts.high, value);
      if (facts.values.size < 20) facts.values.add(value);
    }
  });
  facts.deviation = facts.count > 0 ? Math.sqrt(squares / facts.count) : 0;
  return facts;
}

/** What is fitted again and again: an extract, of it the series whose outputs are compared, and those outputs. */
class Sample {
  readonly extract: Extract;
  readonly chosen: readonly number[];
  readonly #outputs = new Map<number, PipelineOutput>();
  #frozen: ((series: Series) => PipelineOutput) | undefined;

  constructor(readonly audit: AuditContext) {
    this.extract = extractOf(audit);
    const all = this.extract.series.flatMap(({ rows }, s) => (rows > 0 ? [s] : []));
    const stride = Math.max(1, all.length / SERIES);
    this.chosen = Array.from({ length: Math.min(SERIES, all.length) }, (_, k) => all[Math.floor(k * stride)]);
  }

  output(s: number): PipelineOutput {
    const { series, parts, evidence } = this.extract;
    this.#frozen ??= Object.keys(evidence).length === 0 ? this.audit.frozen : this.audit.subject.pipeline.fit(series, parts);
    return this.#outputs.get(s) ?? this.#outputs.set(s, this.#frozen(series[s])).get(s)!;
  }
}

interface MovedStatistic {
  column: string;
  columns: number;
  series: number;
  row: number;
  before: number;
  after: number;
  most: number;
  deviation: number;
}

/** Changes the rows of the given parts, fits again, and compares what becomes of the unchanged series. */
function refit(audit: AuditContext, sample: Sample, trial: Trial, codes: readonly number[]): MovedStatistic | null | "refused" {
  const { pipeline } = audit.subject;
  const { series, parts, origin } = sample.extract;
  const rng = audit.rng(`fitted ${trial.kind}`);
  if (!parts.some((part) => part.some((code) => codes.includes(code)))) return null;
  const others = series.map((one, s) => {
    const part = parts[s];
    return part.some((code) => codes.includes(code))
      ? perturbed(one, (row) => codes.includes(part[row]), trial.kind, rng, { fields: trial.fields, labels: audit.labels })
      : one;
  });
  let frozen: ReturnType<typeof pipeline.fit>;
  try {
    frozen = pipeline.fit(others, parts);
  } catch (error) {
    if (!(error instanceof OstinatoError)) throw error;
    return "refused";
  }
  let worst: MovedStatistic | null = null;
  const columns = new Set<string>();
  for (const s of sample.chosen) {
    const output = sample.output(s);
    let other: typeof output;
    try {
      other = frozen(series[s]);
    } catch (error) {
      if (!(error instanceof OstinatoError)) throw error;
      return "refused";
    }
    const width = output.names.length;
    for (let at = 0; at < output.values.length; at++) {
      const before = output.values[at];
      const after = other.values[at];
      if (before === after || (Number.isNaN(before) && Number.isNaN(after))) continue;
      const column = output.names[at % width];
      columns.add(column);
      const most = Math.abs(before - after);
      if (worst && !(most > worst.most)) continue;
      const { deviation } = spread(output.values, width, at % width);
      const row = origin[s].from + Math.floor(at / width);
      worst = { column, columns: 0, series: origin[s].series, row, before, after, most, deviation };
    }
  }
  return worst && { ...worst, columns: columns.size };
}

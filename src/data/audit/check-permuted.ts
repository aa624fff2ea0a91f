/**
 * @file The control with shuffled labels: does the pipeline still teach when there is nothing to learn?
 *
 * Labels or targets are put where they do not belong: whole sequences exchange their class; tags and values exchange stretches of random length (so that
 * neither a row nor a phase of a cycle keeps its answer), between series as well (so that no series keeps its level). The pipeline is fitted and run on the series with the new answers, a quick model
 * learns from the training windows and is judged on the others. Skill is Cohen's kappa for classes (1960: agreement beyond the one two
 * independent raters with these shares have) and the share of the variance explained beyond the mean for values. Nothing can be learned, so skill
 * above zero means that the answer is in the inputs.
 *
 * {@link ROUNDS} shuffles; convicted if every one of them has positive skill (by chance 1 in 2^8), their mean is at least {@link LEAST}, and it is more than
 * three standard errors above zero (by the spread of the shuffles, at least 1 / sqrt(windows judged)).
 */
import type { Part } from "../../core/batch.js";
import type { Rng } from "../../core/rng.js";
import type { Series } from "../series.js";
import { partCode } from "../split.js";
import type { AuditContext } from "./context.js";
import { type Extract, extractOf } from "./extract.js";
import { type Finding, finding } from "./finding.js";
import type { QuickExamples } from "./quick-model.js";
import type { PipelineOutput, WindowRows } from "./subject.js";

const ROUNDS = 8;
const LEAST = 0.15;
/** Windows learned from and judged, rows of a window shown as they are, and inputs of an example at most. */
const WINDOWS = { train: 400, judged: 300 };
const LAST_ROWS = 4;
const INPUTS = 256;
/** Rows of a tag's input where sequences are read whole. */
const CONTEXT = 32;

export function checkPermuted(audit: AuditContext): Finding[] {
  const { subject, options } = audit;
  const { quick } = options;
  if (!quick)
    return [
      finding("shuffled-labels", "skipped", "no quick model was given", { detail: "the control with shuffled labels needs one" }),
    ];
  const extract = extractOf(audit);
  const { train, judged } = examplesFrom(audit, extract);
  if (train.length < 30 || judged.length < 20)
    return [finding("shuffled-labels", "skipped", "too few windows for the control with shuffled labels")];
  const rng = audit.rng("shuffled labels");
  const skillOf = (series: readonly Series[]) => {
    const frozen = subject.pipeline.fit(series, extract.parts);
    const outputs = new Map<number, PipelineOutput>();
    const outputOf = (s: number) => outputs.get(s) ?? outputs.set(s, frozen(series[s])).get(s)!;
    const known = examplesOf(audit, series, train, outputOf);
    const asked = examplesOf(audit, series, judged, outputOf);
    if (known.y.length < 20 || asked.y.length < 10) return Number.NaN;
    standardize(known.x, asked.x);
    const said = quick(known, asked.x);
    return subject.targetKind === "values" ? explained(asked.y, said, known.y) : kappa(asked.y, said, known.classes);
  };
  const skills = Array.from({ length: ROUNDS }, () => skillOf(shuffled(audit, extract.series, rng)));
  if (skills.some(Number.isNaN))
    return [finding("shuffled-labels", "skipped", "too few labelled windows for the control with shuffled labels")];
  const honest = skillOf(extract.series);
  const mean = skills.reduce((sum, skill) => sum + skill, 0) / ROUNDS;
  const deviation = Math.sqrt(skills.reduce((sum, skill) => sum + (skill - mean) ** 2, 0) / (ROUNDS - 1));
  const error = Math.max(deviation, 1 / Math.sqrt(judged.length)) / Math.sqrt(ROUNDS);
  const evidence = {
    shuffledSkill: mean,
    standardError: error,
    worst: Math.min(...skills),
    realSkill: honest,
    rounds: ROUNDS,
    windows: judged.length,
    leastSkill: LEAST,
    sigmas: 3,
    ...extract.evidence,
  };
  const measure = subject.targetKind === "values" ? "of the variance" : "kappa";
  if (!(mean >= LEAST && mean > 3 * error && Math.min(...skills) > 0)) {
    return [
      finding("shuffled-labels", "pass", "nothing is learned from shuffled labels", {
        detail: `skill ${mean.toFixed(3)} (${measure}) over ${ROUNDS} shuffles; with the real ones the quick model has ${honest.toFixed(3)}`,
        evidence,
      }),
    ];
  }
  const [window] = judged;
  const origin = extract.origin[window.series];
  const rows = audit.range(origin.series, origin.from + window.input[0], origin.from + window.input[1]);
  return [
    finding("shuffled-labels", "leak", "the pipeline teaches shuffled labels", {
      detail: `with permuted answers a quick model still has skill ${mean.toFixed(3)} (${measure}, ${(mean / error).toFixed(1)} standard errors above none): the inputs hold the answer`,
      evidence,
      example: `for the ${window.part} window ${rows} the inputs of ${subject.pipeline.name} change with its label`,
      repair: `compute no input from "${subject.roles.target.join(", ")}" of the rows that are to be predicted`,
    }),
  ];
}

function thinned<T>(list: readonly T[], most: number): T[] {
  const stride = Math.max(1, list.length / most);
  return Array.from({ length: Math.min(most, list.length) }, (_, k) => list[Math.floor(k * stride)]);
}

/** Windows learned from and judged, in rows of the extract: of classes and values sampled ones, of tags each the rows that end with a labelled one. */
function examplesFrom(audit: AuditContext, { series, parts, origin }: Extract): { train: WindowRows[]; judged: WindowRows[] } {
  const { sample, targets } = audit.scan;
  const { targetKind, length } = audit.subject;
  const of = (part: Part): WindowRows[] => {
    if (targetKind === "tags") {
      return series.flatMap(({ labels }, s) =>
        [...(labels ?? [])].flatMap((label, i) => {
          const { series: whole, from } = origin[s];
          if (label === "" || parts[s][i] !== partCode(part) || targets[part][whole][from + i] === 0) return [];
          return [{ part, series: s, input: [Math.max(0, i + 1 - (length || CONTEXT)), i + 1], target: [i, i + 1] }];
        }),
      );
    }
    const place = new Map(origin.map(({ series: whole }, s) => [whole, s]));
    return sample[part].flatMap((window) => {
      const s = place.get(window.series);
      if (s === undefined) return [];
      const shift = ([from, to]: readonly [number, number]) => [from - origin[s].from, to - origin[s].from] as const;
      const [input, target] = [shift(window.input), shift(window.target)];
      return input[0] >= 0 && Math.max(input[1], target[1]) <= series[s].rows ? [{ part, series: s, input, target }] : [];
    });
  };
  return { train: thinned(of("train"), WINDOWS.train), judged: thinned([...of("validation"), ...of("test")], WINDOWS.judged) };
}

/** The series with answers that belong to others. */
function shuffled(audit: AuditContext, series: readonly Series[], rng: Rng): Series[] {
  const { subject } = audit;
  if (subject.targetKind === "class") {
    const labelOf = ({ labels }: Series) => labels?.find((label) => label !== "") ?? "";
    const labelled = series.flatMap((one, s) => (labelOf(one) === "" ? [] : [s]));
    const labels = rng.shuffle(labelled.map((s) => labelOf(series[s])));
    const other = new Map(labelled.map((s, k) => [s, labels[k]]));
    return series.map((one, s) =>
      other.has(s) ? { ...one, labels: one.labels!.map((label) => (label === "" ? "" : other.get(s)!)) } : one,
    );
  }
  // Between series too: an input that tells the series apart would else tell the usual answer of each.
  const order = rng.shuffle(series.flatMap((one, s) => stretches(one, s, rng))).flat();
  const turn = order.length > 0 ? rng.integer(order.length) : 0;
  const width = subject.roles.target.length;
  let at = 0;
  return series.map((one) => {
    const from = at;
    at += one.rows;
    const source = (i: number) => order[(from + i + turn) % order.length];
    return {
      ...one,
      labels: one.labels && Array.from({ length: one.rows }, (_, i) => series[source(i)[0]].labels?.[source(i)[1]] ?? ""),
      target:
        one.target &&
        Float64Array.from({ length: one.rows * width }, (_, cell) => {
          const [s, i] = source(Math.floor(cell / width));
          return series[s].target?.[i * width + (cell % width)] ?? Number.NaN;
        }),
    };
  });
}

/** The rows of a series in stretches of random lengths, several times longer than one label lasts. */
function stretches({ rows, labels }: Series, s: number, rng: Rng): [series: number, row: number][][] {
  let changes = 1;
  for (let i = 1; labels && i < rows; i++) if (labels[i] !== labels[i - 1]) changes++;
  const usual = Math.max(2, Math.min(Math.floor(rows / 6), labels ? Math.ceil((2 * rows) / changes) : 24));
  const list: [number, number][][] = [];
  for (let from = 0; from < rows; ) {
    const to = Math.min(rows, from + Math.max(1, Math.round(usual * rng.uniform(0.5, 1.5))));
    list.push(Array.from({ length: to - from }, (_, k) => [s, from + k]));
    from = to;
  }
  return list;
}

/** Inputs: the mean of each column over the window, then its last rows. A tag is that of the last row, a value that of the first predicted one. */
function examplesOf(
  audit: AuditContext,
  series: readonly Series[],
  windows: readonly WindowRows[],
  outputOf: (s: number) => PipelineOutput,
): QuickExamples & { x: Float64Array[] } {
  const { subject } = audit;
  const classes = audit.labels;
  const x: Float64Array[] = [];
  const y: number[] = [];
  for (const { series: s, input, target } of windows) {
    const [from, to] = input;
    const one = series[s];
    const answer =
      subject.targetKind === "values"
        ? (one.target?.[target[0] * subject.roles.target.length] ?? Number.NaN)
        : classes.indexOf(
            subject.targetKind === "class" ? (one.labels?.find((label) => label !== "") ?? "") : (one.labels?.[to - 1] ?? ""),
          );
    if (Number.isNaN(answer) || (subject.targetKind !== "values" && answer < 0) || to <= from) continue;
    const { names, values } = outputOf(s);
    const width = Math.min(names.length, Math.floor(INPUTS / (LAST_ROWS + 1)) || 1);
    // Columns that a pipeline adds stand last, and are the likelier ones to hold the answer.
    const first = names.length - width;
    const row = new Float64Array(width * (LAST_ROWS + 1));
    for (let c = 0; c < width; c++) {
      let sum = 0;
      for (let i = from; i < to; i++) sum += finite(values[i * names.length + first + c]);
      row[c] = sum / (to - from);
      for (let k = 0; k < LAST_ROWS; k++) {
        row[(LAST_ROWS - k) * width + c] = finite(values[Math.max(from, to - 1 - k) * names.length + first + c]);
      }
    }
    x.push(row);
    y.push(answer);
  }
  return {
    x,
    y: Float64Array.from(y),
    kind: subject.targetKind === "values" ? "values" : "class",
    classes: subject.targetKind === "values" ? 0 : classes.length,
  };
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}

/** In place, by the mean and deviation of what is learned from. */
function standardize(known: readonly Float64Array[], asked: readonly Float64Array[]): void {
  for (let c = 0; c < known[0].length; c++) {
    let mean = 0;
    for (const row of known) mean += row[c] / known.length;
    let squares = 0;
    for (const row of known) squares += (row[c] - mean) ** 2 / known.length;
    const scale = squares > 0 ? 1 / Math.sqrt(squares) : 0;
    for (const row of [...known, ...asked]) row[c] = (row[c] - mean) * scale;
  }
}

/** Agreement of two lists of classes beyond chance. */
function kappa(y: ArrayLike<number>, said: ArrayLike<number>, classes: number): number {
  const shares = { y: new Float64Array(classes), said: new Float64Array(classes) };
  let right = 0;
  for (let i = 0; i < y.length; i++) {
    if (y[i] === said[i]) right++;
    shares.y[y[i]] += 1 / y.length;
    shares.said[said[i]] += 1 / y.length;
  }
  let chance = 0;
  for (let c = 0; c < classes; c++) chance += shares.y[c] * shares.said[c];
  return chance < 1 ? (right / y.length - chance) / (1 - chance) : 0;
}

/** The share of the squared error of the training mean that the predictions take away. */
function explained(y: ArrayLike<number>, said: ArrayLike<number>, known: Float64Array): number {
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  let left = 0;
  let total = 0;
  for (let i = 0; i < y.length; i++) {
    left += (y[i] - said[i]) ** 2;
    total += (y[i] - mean) ** 2;
  }
  return total > 0 ? 1 - left / total : 0;
}

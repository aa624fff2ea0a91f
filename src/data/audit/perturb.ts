/**
 * @file Copies of a series in which some rows were changed, to see what depends on them.
 *
 * A copy shares what was not changed. Texts are only ever exchanged among rows, so that a copy holds no word the pipeline cannot know.
 */
import type { Rng } from "../../core/rng.js";
import type { Series } from "../series.js";

/** What of a row is changed. */
export type PerturbedField = "features" | "texts" | "target" | "labels" | "time";

/** exchange: the rows change places. noise: values of the size of the column. large: a constant far outside. missing: no value. */
export type PerturbationKind = "exchange" | "noise" | "large" | "missing";

/**
 * The series with the rows for which `changes` is true perturbed.
 *
 * @param options `fields`: what of them; `column`: only this column of the features; `labels`: the labels there are, of which each becomes the
 *                next, since an exchange would leave a constant label as it is.
 */
export function perturbed(
  series: Series,
  changes: (row: number) => boolean,
  kind: PerturbationKind,
  rng: Rng,
  {
    fields = ["features", "texts", "target", "labels"],
    column = null,
    labels = [],
  }: { fields?: readonly PerturbedField[]; column?: number | null; labels?: readonly string[] } = {},
): Series {
  const rows: number[] = [];
  for (let i = 0; i < series.rows; i++) if (changes(i)) rows.push(i);
  const has = (field: PerturbedField) => fields.includes(field);
  // The same exchange for every field keeps a row together; a rotation by one moves every row even where a shuffle of two would not.
  const source = exchanged(rows, rng);
  const texts = series.texts;
  return {
    ...series,
    ...(has("features") && { features: changed(series.features, series.rows, rows, source, kind, rng, column) }),
    ...(has("target") && series.target && { target: changed(series.target, series.rows, rows, source, kind, rng, null) }),
    ...(has("texts") && column === null && texts && { texts: texts.map((cells) => moved(cells, rows, source)) }),
    ...(has("texts") &&
      column === null &&
      series.codes && {
        codes: changed(series.codes, series.rows, rows, source, "exchange", rng, null),
      }),
    ...(has("labels") && series.labels && { labels: relabelled(series.labels, rows, labels) }),
    ...(has("time") && series.time && { time: delayed(series.time, rows) }),
  };
}

function exchanged(rows: readonly number[], rng: Rng): number[] {
  const source = rng.shuffle([...rows]);
  return source.every((row, k) => row === rows[k]) ? [...rows.slice(1), ...rows.slice(0, 1)] : source;
}

function moved(cells: readonly string[], rows: readonly number[], source: readonly number[]): string[] {
  const copy = [...cells];
  rows.forEach((row, k) => {
    copy[row] = cells[source[k]];
  });
  return copy;
}

/** Each label becomes the next of the known ones; a missing or unknown label becomes the first. */
function relabelled(cells: readonly string[], rows: readonly number[], labels: readonly string[]): string[] {
  const copy = [...cells];
  if (labels.length > 1) for (const row of rows) copy[row] = labels[(labels.indexOf(cells[row]) + 1) % labels.length];
  return copy;
}

function changed(
  values: Float64Array,
  count: number,
  rows: readonly number[],
  source: readonly number[],
  kind: PerturbationKind,
  rng: Rng,
  column: number | null,
): Float64Array {
  const width = count > 0 ? values.length / count : 0;
  const copy = values.slice();
  for (let c = 0; c < width; c++) {
    if (column !== null && c !== column) continue;
    const { mean, deviation, largest } = spread(values, width, c);
    rows.forEach((row, k) => {
      const at = row * width + c;
      if (kind === "exchange") copy[at] = values[source[k] * width + c];
      else if (kind === "missing") copy[at] = Number.NaN;
      else if (!Number.isNaN(values[at])) {
        copy[at] = kind === "noise" ? mean + 3 * (deviation || 1) * rng.normal() : 1000 * (largest || 1) + mean;
      }
    });
  }
  return copy;
}

/** Mean, standard deviation and largest magnitude of a column; zero where nothing is observed. */
export function spread(
  values: ArrayLike<number>,
  width: number,
  column: number,
): { mean: number; deviation: number; largest: number } {
  let count = 0;
  let mean = 0;
  let squares = 0;
  let largest = 0;
  for (let at = column; at < values.length; at += width) {
    const value = values[at];
    if (Number.isNaN(value)) continue;
    count++;
    const before = value - mean;
    mean += before / count;
    squares += before * (value - mean);
    largest = Math.max(largest, Math.abs(value));
  }
  return { mean, deviation: count > 0 ? Math.sqrt(squares / count) : 0, largest };
}

/** Every given row later by half an hour, and then a second more for each: still in order, if the rows are the last ones. */
function delayed(time: Float64Array, rows: readonly number[]): Float64Array {
  const copy = time.slice();
  rows.forEach((row, k) => {
    copy[row] = time[row] + 1_800_000 + 1000 * k;
  });
  return copy;
}

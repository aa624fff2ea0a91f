/** @file How the predictions of an experiment are found and scored: units, scales, names of tokens, the search for sequences. */
import { OstinatoError } from "../core/errors.js";
import { type PreparedData, type PreparedSeries, partCode, runsOf } from "../data/index.js";
import { type EvaluateOptions, maseScale } from "../evaluate/index.js";
import type { Decoding } from "../model/index.js";
import type { ExperimentConfig } from "./config.js";

/** How sequences are searched for; undefined where none is to be found. */
export function decodingOf({ decoding }: ExperimentConfig, { series, preprocessing }: PreparedData): Decoding | undefined {
  if (preprocessing.targetKind !== "tokens") return undefined;
  const trained = series.filter(({ part }) => part.includes(partCode("train")));
  const longest = trained.reduce((most, { tokens }) => Math.max(most, tokens?.length ?? 0), 1);
  return { ...decoding, maxLength: decoding.maxLength ?? 2 * longest };
}

/** What one code of a tokenizer is called. */
const UNIT_NAMES: Record<string, string | undefined> = { characters: "character", words: "word" };

/** Errors in original units, MASE where the training part gives it a scale, and what the decision needs. */
export function scoringOptions(config: ExperimentConfig, prepared: PreparedData): EvaluateOptions {
  const { decision, data } = config;
  const { preprocessing } = prepared;
  // Members of a set are there or not: they have neither units nor a scale.
  const scaler = config.task === "language" ? null : preprocessing.targetScaler;
  const unitName = UNIT_NAMES[preprocessing.targetCodebook?.kind ?? ""];
  const naming = unitName && { unitName, joiner: unitName === "character" ? "" : " " };
  // An alignment has no end of its own to be foretold, as a translation has.
  const ends = config.task === "transcribe" && { endCounted: false };
  if (!scaler) return { decision, ...naming, ...ends, ...(data.tagScheme && { tagScheme: data.tagScheme }) };
  const maseScales = orNothing(() => trainingScales(config, prepared));
  return { decision, original: (value: number, k: number) => scaler.invert(value, k), ...(maseScales && { maseScales }) };
}

/** The denominator of MASE for each target. @throws OST_WINDOW, OST_TARGET where the training part gives none. */
export function trainingScales({ evaluation }: ExperimentConfig, { preprocessing, series }: PreparedData): number[] {
  const width = preprocessing.roles.target.length;
  const period = evaluation.period ?? 1;
  return Array.from({ length: width }, (_, k) => maseScale(trainingColumn(series, { width, k, period }), { period }));
}

/** Steps of a column that are looked at together. */
const PIECE = 16_384;

/** A target column over the training part, in pieces that each begin a period early, so that every pair of values is in one of them. */
function* trainingColumn(
  series: readonly PreparedSeries[],
  { width, k, period }: { width: number; k: number; period: number },
): Generator<Float32Array> {
  for (const { values, part, copy } of series) {
    if (copy || !values) continue;
    for (const [from, to] of runsOf(part, partCode("train"))) {
      for (let at = from; at < to; at += PIECE) {
        const first = Math.max(from, at - period);
        const rows = values.subarray(first * width, Math.min(to, at + PIECE) * width);
        yield Float32Array.from({ length: rows.length / width }, (_, i) => rows[i * width + k]);
      }
    }
  }
}

/** Undefined where a series is too short or constant, so that MASE has no scale. */
function orNothing<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof OstinatoError && (error.code === "OST_WINDOW" || error.code === "OST_TARGET")) return undefined;
    throw error;
  }
}

/**
 * @file The currency between data, models, baselines and metrics: padded examples as plain typed arrays, with their lengths.
 *
 * Legend: B batchSize, T time (the longest example of the batch), F features, K targets per step, P horizon, U the longest target sequence.
 */
import type { Distribution } from "./predictive-distribution.js";

/** The three parts of a data set; steps of no part are used by none. */
export type Part = "train" | "validation" | "test";
export const PARTS: readonly Part[] = ["train", "validation", "test"];

/** What a target is, which decides head, loss, metrics and baselines. */
export type TargetKind =
  /** Future values: [B, P, K], or [B, T, P, K] where every step predicts. */
  | "values"
  /** One class per example: [B]. */
  | "class"
  /** One class per step: [B, T]. */
  | "tags"
  /** One class per step, the code of the row after it: [B, T]. */
  | "next"
  /** A sequence of codes per example, not aligned with its input: [B, U]. */
  | "tokens";

/** Whether one class is predicted at every step. */
export function isPerStep(kind: TargetKind): boolean {
  return kind === "tags" || kind === "next";
}

/** Padded examples. Values at or after a row's length are zero and mean nothing. */
export interface Batch {
  batchSize: number;
  time: number;
  features: number;
  /** [B, T, F] */
  x: Float32Array;
  /** [B], 0 <= lengths[b] <= T */
  lengths: Int32Array;
  targetKind: TargetKind;
  /** Scaled target values; NaN where there is none (never scored, never learned). Present for "values". */
  values?: Float32Array;
  /** Class indices; -1 where there is none (never scored, never learned). Present for "class", "tags" and "next". */
  classes?: Int32Array;
  /** Codes of the target sequences, [B, U], -1 at and after `tokenLengths[b]`. Present for "tokens". */
  tokens?: Int32Array;
  /** [B], 0 <= tokenLengths[b] <= U */
  tokenLengths?: Int32Array;
  /** True when `values` holds a target for every step: [B, T, P, K]. */
  everyStep: boolean;
  horizon: number;
  targets: number;
  /** Per-window normalisation of the inputs, [B, F] each: raw = x * scale + offset. Absent when there is none. */
  normalization?: { offset: Float32Array; scale: Float32Array };
  /** Lanes of a carried stream: 1 where row b starts a new series, so that its state must be the initial one. [B] */
  reset?: Uint8Array;
  /** Which example each row is: its position in the list of examples. [B] */
  example: Int32Array;
  /** The series of each row (index into the prepared series) and the first step of its input there. [B] each */
  series: Int32Array;
  start: Int32Array;
}

/** The class of code 0 where a vocabulary may meet what it does not know. */
export const UNKNOWN = "<unknown>";

/** A column of x that holds codes 0 .. size - 1, which a network looks up in a table of `width` numbers each. */
export interface CodeColumn {
  column: number;
  size: number;
  width: number;
}

/** How a network of one step ahead is run over a horizon. */
export interface RecursiveForecast {
  /** What the network gives for each value of the next step; absent: the value itself. */
  distribution?: Distribution;
  /** Sample paths, whose quantiles are the forecast of `ExampleSpec.distribution`; with a step distribution only. */
  paths: number;
  /** Of the sample paths. */
  seed: number;
}

/** What a model or baseline must know of its examples. */
export interface ExampleSpec {
  features: string[];
  targetKind: TargetKind;
  /** Names of the target columns ("values"), else empty. */
  targets: string[];
  /** Names of the classes ("class", "tags", "next") or of the codes of a target sequence ("tokens"), else empty. */
  classes: string[];
  horizon: number;
  everyStep: boolean;
  /** Where every step predicts values: its first target step, counted from the input step. Default 1, the next; 0 is the same. */
  ahead?: 0 | 1;
  /** What a predictor gives for every value; absent: the value itself. */
  distribution?: Distribution;
  /** A forecast that reads its own predictions step by step; absent: the whole horizon at once. */
  recursive?: RecursiveForecast;
  /** Codes of the tags must form spans by this scheme; absent: tags of any kind. */
  tagScheme?: "BIO1" | "BIO2" | "BIOES" | "BILOU";
  /** Input steps of a window, or 0 for whole sequences of any length. */
  length: number;
  /** For each target column its index among the features, or -1: what persistence needs to know. */
  targetFeature: number[];
  /** The columns of x that hold codes to be embedded; absent where there is none. */
  codes?: CodeColumn[];
}

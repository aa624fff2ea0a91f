/**
 * @file The reference profile of a model: what its training rows held, and how sure it was on the validation part. It travels in the header of
 * the model file, a few KB of JSON, and what a server sees is held against it.
 */
import { OstinatoError } from "../core/errors.js";
import { type Distribution, type FeatureProfile, PROFILED_FEATURES, QUANTILE_BINS, type RawProfile } from "../data/index.js";

/** Bins of confidence: bin k is [k / 20, (k + 1) / 20), the last one with its end. */
export const CONFIDENCE_BINS = 20;

export interface ReferenceProfile extends RawProfile {
  version: 1;
  /**
   * classify, tag: predictions on the validation part by the probability of the likeliest class. [CONFIDENCE_BINS] Of classify those at the
   * end of a sequence. Null for forecasts, and where there is no validation part.
   */
  confidence: number[] | null;
}

/** The bin of a probability of 0 .. 1. */
export function confidenceBin(probability: number): number {
  return Math.min(CONFIDENCE_BINS - 1, Math.max(0, Math.floor(probability * CONFIDENCE_BINS)));
}

/**
 * Joins what is known of training to a profile.
 *
 * @param confidence counts by {@link confidenceBin}; null where nothing was predicted.
 */
export function referenceProfile(
  { rows, features, gapMs, length }: RawProfile,
  { confidence = null }: { confidence?: ArrayLike<number> | null } = {},
): ReferenceProfile {
  const counts = confidence && Array.from(confidence);
  return { version: 1, rows, features, gapMs, length, confidence: counts?.some((count) => count > 0) ? counts : null };
}

const MOST_NAME = 4096;

/**
 * Reads the profile of a model file, which may come from anyone.
 *
 * @returns null where the file has none, as those of earlier versions.
 * @throws OST_MODEL_FILE for anything that {@link referenceProfile} does not make.
 */
export function readProfile(json: unknown): ReferenceProfile | null {
  if (json === undefined || json === null) return null;
  const { version, rows, features, gapMs, length, confidence } = object(json, "profile");
  if (version !== 1) fail("profile.version", "1", version);
  const listed = list(features, "profile.features", PROFILED_FEATURES);
  const made: ReferenceProfile = {
    version: 1,
    rows: number(rows, "profile.rows", 0),
    features: listed.map((feature, c) => readFeature(feature, `profile.features[${c}]`)),
    gapMs: readDistribution(gapMs, "profile.gapMs"),
    length: readDistribution(length, "profile.length"),
    confidence: confidence === null ? null : readCounts(confidence, CONFIDENCE_BINS, "profile.confidence"),
  };
  const twice = made.features.find(({ name }, c) => made.features.findIndex((other) => other.name === name) !== c);
  if (twice) fail("profile.features", "each feature once", twice.name);
  return made;
}

function readFeature(json: unknown, where: string): FeatureProfile {
  const { name, missing, values } = object(json, where);
  if (typeof name !== "string" || name.length > MOST_NAME) return fail(`${where}.name`, "the name of a column", name);
  return { name, missing: number(missing, `${where}.missing`, 0, 1), values: readDistribution(values, `${where}.values`) };
}

function readDistribution(json: unknown, where: string): Distribution | null {
  if (json === null) return null;
  const read = object(json, where);
  const min = number(read.min, `${where}.min`);
  const max = number(read.max, `${where}.max`, min);
  const edges = list(read.edges, `${where}.edges`, QUANTILE_BINS - 1).map((edge) => number(edge, `${where}.edges`, min, max));
  if (edges.some((edge, k) => edge >= max || (k > 0 && edge <= edges[k - 1]))) {
    fail(`${where}.edges`, "ascending numbers from min to below max", edges);
  }
  return { min, max, edges, counts: readCounts(read.counts, edges.length + 1, `${where}.counts`) };
}

function readCounts(json: unknown, length: number, where: string): number[] {
  const counts = list(json, where, length).map((count) => number(count, where, 0, Number.MAX_SAFE_INTEGER));
  return counts.length === length ? counts : fail(where, `${length} counts`, json);
}

function object(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return fail(where, "an object", value);
}

function list(value: unknown, where: string, most: number): unknown[] {
  return Array.isArray(value) && value.length <= most ? value : fail(where, `a list of at most ${most}`, value);
}

function number(value: unknown, where: string, min = -Number.MAX_VALUE, max = Number.MAX_VALUE): number {
  if (typeof value === "number" && value >= min && value <= max) return value;
  return fail(where, `a number from ${min} to ${max}`, value);
}

function fail(where: string, expected: string, got: unknown): never {
  throw new OstinatoError("OST_MODEL_FILE", {
    what: "the reference profile is malformed",
    expected,
    got: (JSON.stringify(got) ?? "nothing").slice(0, 80),
    where,
    repair: "the file was written by something else, or damaged: train or export it again",
  });
}

/**
 * @file What one model version saw and said, counted step by step: cheap enough for the thread that computes, and read about once a second.
 *
 * Features are counted by the bins of the model's reference profile, so that a drift statistic has both sides of its comparison. Counts are
 * those since the last `drain`; `mergeStatistics` adds up several.
 */

import { OstinatoError } from "../core/errors.js";
import type { TaskName } from "../core/task-name.js";
import { type Distribution, PROFILED_FEATURES, QUANTILE_BINS } from "../data/index.js";
import { decades, type Histogram, HistogramCounter } from "./histogram.js";
import { CONFIDENCE_BINS, confidenceBin, type ReferenceProfile, readProfile } from "./profile.js";
import { Sampling } from "./sampling.js";

/** Facts of a model version. */
export interface StatisticsFacts {
  task: TaskName;
  /** Raw numeric columns in the order of `Row.values`. */
  features: readonly string[];
  /** Number of classes; 0 for forecasts. */
  classes: number;
}

/**
 * Why a record was refused: it came late or out of order, a value was missing that the model was not trained to miss, it held or led to a number
 * that is not finite, or it could not be read.
 */
export type RefusalKind = "late" | "missing" | "nonfinite" | "malformed";
export const REFUSAL_KINDS: readonly RefusalKind[] = ["late", "missing", "nonfinite", "malformed"];

/** Counts over the bins of a {@link Distribution}: [below min, bin 0, ..., last bin, above max]. Without a distribution it is empty. */
export type ProfileCounts = Float64Array;

export interface FeatureCounts {
  /** {@link OTHER_FEATURES} stands for all that are not profiled. */
  name: string;
  missing: number;
  nonfinite: number;
  /** Outside the range of the training rows. */
  outOfRange: number;
  values: ProfileCounts;
}

/** What was counted since the last drain: plain objects and typed arrays, which a thread can post to another. */
export interface StepCounts {
  steps: number;
  predictions: number;
  features: FeatureCounts[];
  /** By bins as in the profile; null for forecasts. [CONFIDENCE_BINS] */
  confidence: Float64Array | null;
  confidenceSum: number;
  /** nats; null for forecasts. Of one prediction in as many as there are classes, so that a step costs one logarithm. */
  entropy: Histogram | null;
  /** ms between two steps of a session, and the same by the bins of the profile. */
  gap: Histogram;
  gapProfile: ProfileCounts;
  /** Steps of a session, or of the stretch before a boundary, where it ended; and the same by the bins of the profile. */
  length: Histogram;
  lengthProfile: ProfileCounts;
  /** Largest magnitude in the state of the model; of one step in {@link STATE_SAMPLING}. */
  stateMax: Histogram;
  /** Share of the state beyond ±{@link SATURATED}; of the same steps. */
  saturation: Histogram;
  refused: Record<RefusalKind, number>;
  /** By reason. */
  resets: Record<string, number>;
}

export const OTHER_FEATURES = "other";
export const STATE_SAMPLING = 64;
export const SATURATED = 0.99;
/** Different reasons of resets that are counted; any further one is "other". */
const MOST_REASONS = 16;

const GAP_EDGES = decades(0, 9);
const LENGTH_EDGES = decades(0, 7);
const STATE_EDGES = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1, 2, 5, 10, 100, 1000];
const SHARE_EDGES = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/** Numbers per column: its edges, filled up with Infinity so that a bin is found in four comparisons; and its counts. */
const [LANE, LANE_BITS] = [16, 4];
/** Where in a lane of counts, behind the bins, the values lie that are in none. */
const [MISSING, NONFINITE, BELOW, ABOVE] = [12, 13, 14, 15];

export class StepStatistics {
  readonly #facts: StatisticsFacts;
  readonly #profile: ReferenceProfile | null;
  readonly #columns: number;
  readonly #bins: ProfileBins;
  readonly #gapBins: ProfileBins;
  readonly #lengthBins: ProfileBins;
  /** What the bins do not count, per feature, the last for the others: named by refusals, and of features that are not profiled. */
  readonly #missing: Float64Array;
  readonly #nonfinite: Float64Array;
  readonly #gap = new HistogramCounter(GAP_EDGES);
  readonly #length = new HistogramCounter(LENGTH_EDGES);
  readonly #stateMax = new HistogramCounter(STATE_EDGES);
  readonly #saturation = new HistogramCounter(SHARE_EDGES);
  readonly #entropy: HistogramCounter | null;
  readonly #entropySampling: Sampling;
  readonly #stateSampling = new Sampling(STATE_SAMPLING);
  readonly #confidence: Float64Array | null;
  readonly #refused = new Float64Array(REFUSAL_KINDS.length);
  readonly #resets = new Map<string, number>();
  readonly #one = new Float64Array(1);
  #confidenceSum = 0;
  #steps = 0;
  #predictions = 0;

  /** @param profile of the model file; without one, features have no ranges and no bins. */
  constructor(profile: ReferenceProfile | null, facts: StatisticsFacts) {
    const { features, classes } = facts;
    this.#facts = facts;
    this.#profile = profile;
    this.#columns = Math.min(features.length, PROFILED_FEATURES);
    const known = new Map(profile?.features.map((feature) => [feature.name, feature.values]));
    this.#bins = new ProfileBins(features.slice(0, this.#columns).map((name) => known.get(name) ?? null));
    this.#gapBins = new ProfileBins([profile?.gapMs ?? null]);
    this.#lengthBins = new ProfileBins([profile?.length ?? null]);
    this.#missing = new Float64Array(this.#columns + 1);
    this.#nonfinite = new Float64Array(this.#columns + 1);
    const named = classes > 0;
    const most = Math.log(Math.max(2, classes));
    this.#entropy = named ? new HistogramCounter(Array.from({ length: 19 }, (_, k) => ((k + 1) * most) / 20)) : null;
    this.#entropySampling = new Sampling(Math.max(1, classes));
    this.#confidence = named ? new Float64Array(CONFIDENCE_BINS) : null;
  }

  /** A row that a session took. @param values as in `Row.values`; NaN is missing. */
  row(values: ArrayLike<number>): void {
    this.#steps++;
    const columns = this.#columns;
    this.#bins.addRow(values, columns);
    for (let c = columns; c < values.length; c++) {
      if (Number.isFinite(values[c])) continue;
      if (Number.isNaN(values[c])) this.#missing[columns]++;
      else this.#nonfinite[columns]++;
    }
  }

  /** A prediction as numbers: the probabilities by class, or the values of a forecast, which are only counted. */
  prediction(values: ArrayLike<number>): void {
    this.#predictions++;
    if (!this.#confidence || !this.#entropy) return;
    let top = 0;
    for (let k = 0; k < values.length; k++) if (values[k] > top) top = values[k];
    this.#confidence[confidenceBin(top)]++;
    this.#confidenceSum += top;
    if (!this.#entropySampling.due()) return;
    let entropy = 0;
    for (let k = 0; k < values.length; k++) if (values[k] > 0) entropy -= values[k] * Math.log(values[k]);
    this.#entropy.add(entropy);
  }

  /** ms between a step and the one before it in its session; NaN, where there is none, is not counted. */
  gap(ms: number): void {
    if (Number.isNaN(ms)) return;
    this.#gap.add(ms);
    this.#one[0] = ms;
    this.#gapBins.addRow(this.#one, 1);
  }

  /** The state of the model after a step; called for each, it looks at one in {@link STATE_SAMPLING}, on average. */
  state(model: ArrayLike<number>): void {
    if (model.length === 0 || !this.#stateSampling.due()) return;
    let most = 0;
    let saturated = 0;
    for (let i = 0; i < model.length; i++) {
      const size = Math.abs(model[i]);
      if (size > most) most = size;
      if (size > SATURATED) saturated++;
    }
    this.#stateMax.add(most);
    this.#saturation.add(saturated / model.length);
  }

  /** A record that was refused. @param feature index of the column at fault, where that is known. */
  refused(kind: RefusalKind, feature?: number): void {
    this.#refused[REFUSAL_KINDS.indexOf(kind)]++;
    if (feature === undefined || feature < 0) return;
    if (kind === "nonfinite") this.#nonfinite[Math.min(feature, this.#columns)]++;
    if (kind === "missing") this.#missing[Math.min(feature, this.#columns)]++;
  }

  /** A state put back to the initial one: a boundary rule's reason, or what a client or operator asked for. */
  reset(reason: string): void {
    const known = this.#resets.has(reason) || this.#resets.size < MOST_REASONS ? reason : "other";
    this.#resets.set(known, (this.#resets.get(known) ?? 0) + 1);
  }

  /** A sequence that ended, by its end, its expiry or a reset, after so many steps; one without any is not counted. */
  ended(steps: number): void {
    if (!(steps > 0)) return;
    this.#length.add(steps);
    this.#one[0] = steps;
    this.#lengthBins.addRow(this.#one, 1);
  }

  /** The counts so far, which begin anew. */
  drain(): StepCounts {
    const { features } = this.#facts;
    const counts: StepCounts = {
      steps: this.#steps,
      predictions: this.#predictions,
      features: features.slice(0, this.#columns).map((name, c) => this.#featureCounts(name, c)),
      confidence: this.#confidence?.slice() ?? null,
      confidenceSum: this.#confidenceSum,
      entropy: this.#entropy?.drain() ?? null,
      gap: this.#gap.drain(),
      gapProfile: this.#gapBins.counts(0),
      length: this.#length.drain(),
      lengthProfile: this.#lengthBins.counts(0),
      stateMax: this.#stateMax.drain(),
      saturation: this.#saturation.drain(),
      refused: Object.fromEntries(REFUSAL_KINDS.map((kind, k) => [kind, this.#refused[k]])) as Record<RefusalKind, number>,
      resets: Object.fromEntries(this.#resets),
    };
    if (features.length > this.#columns) counts.features.push(this.#featureCounts(OTHER_FEATURES, this.#columns));
    for (const bins of [this.#bins, this.#gapBins, this.#lengthBins]) bins.clear();
    for (const array of [this.#missing, this.#nonfinite, this.#refused, this.#confidence]) array?.fill(0);
    this.#resets.clear();
    [this.#steps, this.#predictions, this.#confidenceSum] = [0, 0, 0];
    return counts;
  }

  #featureCounts(name: string, c: number): FeatureCounts {
    const bins = this.#bins;
    const own = c < this.#columns;
    return {
      name,
      missing: this.#missing[c] + (own ? bins.cell(c, MISSING) : 0),
      nonfinite: this.#nonfinite[c] + (own ? bins.cell(c, NONFINITE) : 0),
      outOfRange: own ? bins.cell(c, BELOW) + bins.cell(c, ABOVE) : 0,
      values: own ? bins.counts(c) : new Float64Array(0),
    };
  }

  /** The profile it counts by. */
  get profile(): ReferenceProfile | null {
    return this.#profile;
  }
}

/**
 * Statistics for a model version.
 *
 * @param version `columns`: those of a row of numbers, in order; `profile`: as the model file has it, checked here.
 * @throws OST_MODEL_FILE for a malformed profile.
 */
export function statisticsOf(version: {
  task: StatisticsFacts["task"];
  columns: readonly string[];
  time: string | null;
  textColumns: readonly string[];
  classes: readonly string[];
  profile: unknown;
}): StepStatistics {
  const { task, columns, time, textColumns, classes, profile } = version;
  const features = columns.filter((column, i) => !(column === time && i === 0) && !textColumns.includes(column));
  return new StepStatistics(readProfile(profile), { task, features, classes: classes.length });
}

/** Counts of several columns over the bins of their distributions, in flat arrays. */
class ProfileBins {
  readonly #distributions: readonly (Distribution | null)[];
  /** min, max by turns; a column without a distribution takes all finite values. */
  readonly #ranges: Float64Array;
  readonly #edges: Float64Array;
  readonly #cells: Float64Array;

  constructor(distributions: readonly (Distribution | null)[]) {
    const columns = distributions.length;
    this.#distributions = distributions;
    this.#ranges = Float64Array.from(
      distributions.flatMap((one) => (one ? [one.min, one.max] : [-Number.MAX_VALUE, Number.MAX_VALUE])),
    );
    this.#edges = new Float64Array(LANE * columns).fill(Number.POSITIVE_INFINITY);
    this.#cells = new Float64Array(LANE * columns);
    distributions.forEach((one, c) => {
      if (one) this.#edges.set(one.edges.slice(0, QUANTILE_BINS - 1), LANE * c);
    });
  }

  /** Counts the first `columns` of a row. The comparisons are sums and not branches, which a processor could not foresee: a third of the time. */
  addRow(values: ArrayLike<number>, columns: number): void {
    const ranges = this.#ranges;
    const edges = this.#edges;
    const cells = this.#cells;
    for (let c = 0; c < columns; c++) {
      const value = values[c];
      const lane = c << LANE_BITS;
      if (!(value >= ranges[2 * c] && value <= ranges[2 * c + 1])) {
        cells[lane + outside(value, ranges[2 * c])]++;
        continue;
      }
      let at = lane;
      at += +(edges[at + 7] < value) << 3;
      at += +(edges[at + 3] < value) << 2;
      at += +(edges[at + 1] < value) << 1;
      at += +(edges[at] < value);
      cells[at]++;
    }
  }

  cell(c: number, at: number): number {
    return this.#cells[LANE * c + at];
  }

  /** [below, bins, above]; empty without a distribution. */
  counts(c: number): ProfileCounts {
    const one = this.#distributions[c];
    if (!one) return new Float64Array(0);
    const from = LANE * c;
    const bins = this.#cells.subarray(from, from + one.edges.length + 1);
    return Float64Array.of(this.#cells[from + BELOW], ...bins, this.#cells[from + ABOVE]);
  }

  clear(): void {
    this.#cells.fill(0);
  }
}

function outside(value: number, min: number): number {
  if (Number.isNaN(value)) return MISSING;
  if (!Number.isFinite(value)) return NONFINITE;
  return value < min ? BELOW : ABOVE;
}

/**
 * The sum of two counts of the same model version.
 *
 * @throws OST_SHAPE if they are of different ones.
 */
export function mergeStatistics(a: StepCounts, b: StepCounts): StepCounts {
  const same = a.features.length === b.features.length && a.features.every(({ name }, c) => name === b.features[c].name);
  if (!same)
    throw differ(
      a.features.map(({ name }) => name),
      b.features.map(({ name }) => name),
    );
  return {
    steps: a.steps + b.steps,
    predictions: a.predictions + b.predictions,
    features: a.features.map((one, c) => {
      const other = b.features[c];
      return {
        name: one.name,
        missing: one.missing + other.missing,
        nonfinite: one.nonfinite + other.nonfinite,
        outOfRange: one.outOfRange + other.outOfRange,
        values: sum(one.values, other.values),
      };
    }),
    confidence: a.confidence && b.confidence && sum(a.confidence, b.confidence),
    confidenceSum: a.confidenceSum + b.confidenceSum,
    entropy: a.entropy && b.entropy && merged(a.entropy, b.entropy),
    gap: merged(a.gap, b.gap),
    gapProfile: sum(a.gapProfile, b.gapProfile),
    length: merged(a.length, b.length),
    lengthProfile: sum(a.lengthProfile, b.lengthProfile),
    stateMax: merged(a.stateMax, b.stateMax),
    saturation: merged(a.saturation, b.saturation),
    refused: Object.fromEntries(REFUSAL_KINDS.map((kind) => [kind, a.refused[kind] + b.refused[kind]])) as StepCounts["refused"],
    resets: added(a.resets, b.resets),
  };
}

function merged(a: Histogram, b: Histogram): Histogram {
  if (a.edges.some((edge, k) => edge !== b.edges[k])) throw differ(a.edges, b.edges);
  return { edges: a.edges, counts: sum(a.counts, b.counts), sum: a.sum + b.sum };
}

function sum(a: Float64Array, b: Float64Array): Float64Array {
  if (a.length !== b.length) throw differ(a.length, b.length);
  return a.map((count, i) => count + b[i]);
}

function added(a: Record<string, number>, b: Record<string, number>): Record<string, number> {
  const total = { ...a };
  for (const [reason, count] of Object.entries(b)) total[reason] = (Object.hasOwn(total, reason) ? total[reason] : 0) + count;
  return total;
}

function differ(expected: unknown, got: unknown): OstinatoError {
  return new OstinatoError("OST_SHAPE", {
    what: "these counts are of different models",
    expected: JSON.stringify(expected).slice(0, 200),
    got: JSON.stringify(got).slice(0, 200),
    where: "mergeStatistics",
    repair: "add up counts of one model version only",
  });
}

/** @file Which baselines a model must beat. */
import type { ExampleSpec } from "../core/batch.js";
import { AR } from "./ar.js";
import type { Baseline } from "./baseline.js";
import { CountTable } from "./count-table.js";
import { Drift } from "./drift.js";
import { ETS } from "./ets.js";
import { KeyFrequency, KeyMarkov } from "./key-rate.js";
import { Logistic } from "./logistic.js";
import { Majority } from "./majority.js";
import { MostFrequentSequence } from "./most-frequent-sequence.js";
import { MostFrequentTag } from "./most-frequent-tag.js";
import { MovingAverage } from "./moving-average.js";
import { NearestSource } from "./nearest-source.js";
import { NGram } from "./ngram.js";
import { Persistence } from "./persistence.js";
import { Ridge } from "./ridge.js";
import { SeasonalNaive } from "./seasonal-naive.js";
import { Theta } from "./theta.js";
import { WindowedGaussian } from "./windowed-gaussian.js";

export interface DefaultBaselineOptions {
  /** Steps in a season, where the data has one. */
  period?: number;
  /** Lags of the ridge regression; default the window. */
  lags?: number;
  /** Trailing steps pooled by the logistic regression of tags. */
  window?: number | readonly number[];
  /** Adds the count tables of the next key to the n-grams, for anomalies by rank. Default false. */
  countTables?: boolean;
}

/**
 * Every baseline that applies to the examples, simplest first, not yet fitted. Their names differ.
 *
 *     values            persistence, seasonal naive, drift, moving average, ridge; from windows of 16 steps on and for at most 16
 *                       columns exponential smoothing, theta and autoregression; windowed Gaussian where that is the distribution
 *     frames of 0 and 1 key frequencies, a Markov chain per key
 *     class             majority, logistic
 *     tags              majority, most frequent tag, logistic
 *     next              unigram, bigram, the best n-gram of order 3 .. 6; count tables on request
 *     tokens            most frequent sequence, nearest source
 */
export function defaultBaselines(spec: ExampleSpec, options: DefaultBaselineOptions = {}): Baseline[] {
  switch (spec.targetKind) {
    case "values":
      return spec.distribution?.kind === "bernoulli" ? forFrames(spec) : forValues(spec, options);
    case "class":
    case "tags":
      return forClasses(spec, options);
    case "next":
      return forNext(spec, options);
    case "tokens":
      return [
        ...(MostFrequentSequence.applies(spec) ? [new MostFrequentSequence(spec)] : []),
        ...(NearestSource.applies(spec) ? [new NearestSource(spec)] : []),
      ];
  }
}

/** Windows from so many steps on are long enough to read a state from; more columns take too long. */
const FEWEST_STEPS = 16;
const MOST_COLUMNS = 16;

function forValues(spec: ExampleSpec, { period, lags }: DefaultBaselineOptions): Baseline[] {
  const list: Baseline[] = [];
  if (Persistence.applies(spec)) {
    list.push(new Persistence(spec));
    if (period && period > 1 && SeasonalNaive.applies(spec, { period })) list.push(new SeasonalNaive(spec, { period }));
    if (spec.length !== 1) list.push(new Drift(spec), new MovingAverage(spec));
    if (spec.distribution?.kind === "gaussian" && spec.length !== 1) list.push(new WindowedGaussian(spec));
    if (!spec.everyStep && spec.length >= FEWEST_STEPS && spec.targets.length <= MOST_COLUMNS) {
      list.push(new ETS(spec, { period }), new Theta(spec, { period }), new AR(spec, { period }));
    }
  }
  if (Ridge.applies(spec)) list.push(new Ridge(spec, { lags }));
  return list;
}

function forFrames(spec: ExampleSpec): Baseline[] {
  return [new KeyFrequency(spec), ...(KeyMarkov.applies(spec) ? [new KeyMarkov(spec)] : [])];
}

function forClasses(spec: ExampleSpec, { window }: DefaultBaselineOptions): Baseline[] {
  const list: Baseline[] = [];
  if (Majority.applies(spec)) list.push(new Majority(spec));
  if (MostFrequentTag.applies(spec)) list.push(new MostFrequentTag(spec));
  if (Logistic.applies(spec)) list.push(new Logistic(spec, { window }));
  return list;
}

function forNext(spec: ExampleSpec, { countTables = false }: DefaultBaselineOptions): Baseline[] {
  if (!NGram.applies(spec)) return Majority.applies(spec) ? [new Majority(spec)] : [];
  const list: Baseline[] = [
    new NGram(spec, { order: 1 }),
    new NGram(spec, { order: 2 }),
    new NGram(spec, { order: [3, 4, 5, 6] }),
  ];
  if (countTables) list.push(new CountTable(spec, { keys: 1 }), new CountTable(spec, { keys: 2 }));
  return list;
}

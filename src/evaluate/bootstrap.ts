/**
 * @file Paired bootstrap: an interval for the difference of two predictors judged on the same units.
 *
 * Units of one series are not independent: neighbouring windows share most of their values. So what is resampled with replacement is
 *
 *     groups    where the data were divided by group and there are at least 8: whole groups, with all their series
 *     entities  where there are at least 8 series: whole series                       (Efron & Tibshirani 1993, chapter 8)
 *     blocks    otherwise: runs of consecutive units, within each series, that go on at its beginning where they run over its end, so
 *               that every unit is drawn equally often                                (circular blocks, Politis & Romano 1992)
 *
 * and both predictors are scored on the same resample each time. The interval is the 2.5 % to 97.5 % range of the resampled differences,
 * moved so that their mean is the difference found, and widened for k blocks, series or groups by
 *
 *     sqrt(k / (k - 1)) * t(k - 1) / 1.96
 *
 * where t is the 97.5 % quantile of Student's t: the spread of few draws is itself known badly, and on average found too small.
 * The statistic is any function of sums over units, so that a macro-F1 is resampled as properly as a mean.
 */
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";

export interface BootstrapOptions {
  rng: Rng;
  /** Default 2,000. */
  resamples?: number;
  /** Steps over which two units share data: window length + horizon. Blocks are at least as long. Default 1. */
  span?: number;
  /** Consecutive units of a block, overriding the rule. */
  blockLength?: number;
  /** By series the number of the independent group it belongs to (a plant of several devices); default each its own. */
  clusterOf?: ArrayLike<number>;
}

/** The difference A - B with its 95 % interval. */
export interface Comparison {
  difference: number;
  /** Holds the difference. Null where there are too few units or blocks for an interval. */
  interval95: [number, number] | null;
  /** Units compared. */
  n: number;
  /** Series they come from, or groups where those were resampled. */
  clusters: number;
  unit: "group" | "entity" | "block";
  /** Consecutive units per block. */
  blockLength?: number;
  resamples: number;
  /** What limits the interval, in words. */
  note?: string;
}

/** Two predictors on the same units, described by sums. */
export interface PairedUnits {
  series: ArrayLike<number>;
  position: ArrayLike<number>;
  /** Numbers summed per predictor. */
  width: number;
  /** Adds one unit's numbers for predictor A (0) or B (1) to `into` at `at`. */
  add(side: 0 | 1, unit: number, into: Float64Array, at: number): void;
  /** The metric from the sums at `at`. */
  statistic(sums: Float64Array, at: number): number;
  /** The loss difference of one unit: what the length of blocks is judged by. */
  difference(unit: number): number;
}

const ENOUGH_CLUSTERS = 8;
const ENOUGH_UNITS = 8;
const ENOUGH_BLOCKS = 10;
const FEWEST_BLOCKS = 4;
const LARGEST_TABLE = 4_000_000;
/** 97.5 % of a normal distribution lie below it. */
const NORMAL_QUANTILE = 1.959963985;

/**
 * Compares two lists of losses by their means.
 *
 * @param lossA    loss of A per unit
 * @param lossB    loss of B on the same units, in the same order
 * @param clusters series of each unit; units of a series are taken to be consecutive in time unless `position` is given
 * @throws OST_SHAPE if the lists differ in length.
 */
export function compare(
  lossA: ArrayLike<number>,
  lossB: ArrayLike<number>,
  clusters: ArrayLike<number>,
  { position, ...options }: BootstrapOptions & { position?: ArrayLike<number> },
): Comparison {
  if (lossA.length !== lossB.length || lossA.length !== clusters.length) {
    throw new OstinatoError("OST_SHAPE", {
      what: "a paired comparison needs the same units on both sides",
      expected: `${lossA.length} losses and clusters`,
      got: `${lossB.length} losses and ${clusters.length} clusters`,
      where: "bootstrap",
    });
  }
  const losses = [lossA, lossB];
  return bootstrap(
    {
      series: clusters,
      position: position ?? Array.from(lossA, (_, i) => i),
      width: 2,
      add(side, unit, into, at) {
        into[at] += losses[side][unit];
        into[at + 1]++;
      },
      statistic: (sums, at) => sums[at] / sums[at + 1],
      difference: (unit) => lossA[unit] - lossB[unit],
    },
    options,
  );
}

/** The difference of any statistic of sums, with its interval. @throws OST_TARGET if there is no unit. */
export function bootstrap(
  units: PairedUnits,
  { rng, resamples = 2000, span = 1, blockLength, clusterOf }: BootstrapOptions,
): Comparison {
  const groups = clusterOf && clusterUnits({ ...units, series: Array.from(units.series, (series) => clusterOf[series]) });
  const byGroup = groups !== undefined && groups.length >= ENOUGH_CLUSTERS;
  const clusters = byGroup ? groups : clusterUnits(units);
  const n = units.series.length;
  if (n === 0) {
    throw new OstinatoError("OST_TARGET", {
      what: "there is nothing to compare",
      expected: "at least one unit",
      where: "bootstrap",
    });
  }
  const pair = 2 * units.width;
  const addPair = (unit: number, into: Float64Array, at: number) => {
    units.add(0, unit, into, at);
    units.add(1, unit, into, at + units.width);
  };
  const differenceOf = (sums: Float64Array) => units.statistic(sums, 0) - units.statistic(sums, units.width);
  const whole = new Float64Array(pair);
  for (let unit = 0; unit < n; unit++) addPair(unit, whole, 0);
  const difference = differenceOf(whole);
  const byEntity = clusters.length >= ENOUGH_CLUSTERS;
  const unit: Comparison["unit"] = byGroup ? "group" : byEntity ? "entity" : "block";
  const base = { difference, n, clusters: clusters.length, unit };
  if (n < ENOUGH_UNITS) {
    return { ...base, interval95: null, resamples: 0, note: `${n} units are too few for an interval` };
  }

  const notes: string[] = [];
  if (groups && !byGroup) {
    const within = byEntity ? "series" : "blocks";
    notes.push(
      `${groups.length === 1 ? "one group is" : `${groups.length} groups are`} too few to resample whole: ${within} within were, so it says nothing of other groups`,
    );
  }
  let wanted = Number.POSITIVE_INFINITY;
  if (!byEntity) {
    wanted = blockLength ?? defaultBlockLength(units, clusters, span);
    if (clusters.length > 1) notes.push(`${clusters.length} series are too few to resample whole: blocks within each were`);
  }
  /** Independent draws that the data amount to. */
  const k = byEntity ? clusters.length : n / wanted;
  if (k < FEWEST_BLOCKS) {
    const note = `${n} units are fewer than ${FEWEST_BLOCKS} blocks of ${wanted}: too few for an interval`;
    return { ...base, interval95: null, blockLength: wanted, resamples: 0, note: [...notes, note].join("; ") };
  }
  // A cell is the smallest run of units that is summed once; larger than one unit only where the table would not fit in memory.
  const cell = byEntity ? Number.POSITIVE_INFINITY : Math.max(1, Math.ceil((n * pair) / LARGEST_TABLE));
  let used = 0;
  let shortened = false;
  const tables = clusters.map((members) => {
    const cells = Math.ceil(members.length / Math.min(cell, members.length));
    const running = new Float64Array((cells + 1) * pair);
    for (let c = 0, at = 0; c < cells; c++) {
      running.copyWithin((c + 1) * pair, c * pair, (c + 1) * pair);
      for (const end = Math.min(members.length, (c + 1) * cell); at < end; at++) addPair(members[at], running, (c + 1) * pair);
    }
    // At least four blocks to a series, or its resamples would all be nearly alike: a block of the whole series always has its sum.
    const asked = byEntity ? 1 : Math.max(1, Math.round(wanted / cell));
    const length = byEntity ? 1 : Math.max(1, Math.min(asked, Math.floor(cells / FEWEST_BLOCKS)));
    if (length < asked) shortened = true;
    used = Math.max(used, length * (byEntity ? 1 : cell));
    return { running, cells, length };
  });
  if (shortened)
    notes.push(`the series hold fewer than four blocks of ${wanted} units: shorter ones were used, the interval is optimistic`);
  else if (!byEntity && k < ENOUGH_BLOCKS) notes.push(`only ${Math.floor(k)} blocks: the interval is rough, and wide for that`);

  const differences = new Float64Array(resamples);
  const sums = new Float64Array(pair);
  const addRun = (running: Float64Array, from: number, to: number) => {
    const low = from * pair;
    const high = to * pair;
    for (let i = 0; i < pair; i++) sums[i] += running[high + i] - running[low + i];
  };
  for (let r = 0; r < resamples; r++) {
    sums.fill(0);
    if (byEntity) for (let g = 0; g < tables.length; g++) addRun(tables[rng.integer(tables.length)].running, 0, 1);
    else {
      for (const { running, cells, length } of tables) {
        // The last block is cut, so that each resample has as many cells as the series.
        for (let drawn = 0; drawn < cells; drawn += length) {
          const from = rng.integer(cells);
          const to = from + Math.min(length, cells - drawn);
          addRun(running, from, Math.min(to, cells));
          if (to > cells) addRun(running, 0, to - cells);
        }
      }
    }
    differences[r] = differenceOf(sums);
  }
  differences.sort();
  const centre = differences.reduce((sum, one) => sum + one, 0) / resamples;
  const wider = Math.sqrt(k / (k - 1)) * (studentQuantile(k - 1) / NORMAL_QUANTILE);
  const end = (share: number) => difference + wider * (quantile(differences, share) - centre);
  return {
    ...base,
    // The mean of a skewed or rounded sample may lie just outside its own quantiles.
    interval95: [Math.min(difference, end(0.025)), Math.max(difference, end(0.975))],
    ...(!byEntity && { blockLength: used }),
    resamples,
    ...(notes.length > 0 && { note: notes.join("; ") }),
  };
}

/** The units of each series, in the order of their positions. */
function clusterUnits({ series, position }: PairedUnits): number[][] {
  const bySeries = new Map<number, number[]>();
  for (let unit = 0; unit < series.length; unit++) {
    const members = bySeries.get(series[unit]);
    if (members) members.push(unit);
    else bySeries.set(series[unit], [unit]);
  }
  const clusters = [...bySeries].sort(([a], [b]) => a - b).map(([, members]) => members);
  for (const members of clusters) members.sort((a, b) => position[a] - position[b]);
  return clusters;
}

/**
 * The longest of three: the units that share data (span / spacing); n^(1/3), the rate of Künsch (1989); and twice the lag at which the
 * autocorrelation of the loss difference falls below 2 / sqrt(n), which finds dependence that windows do not explain (after
 * Politis & White 2004).
 */
function defaultBlockLength(units: PairedUnits, clusters: number[][], span: number): number {
  let spacing = Number.POSITIVE_INFINITY;
  let n = 0;
  let longest = 0;
  let mean = 0;
  for (const members of clusters) {
    n += members.length;
    longest = Math.max(longest, members.length);
    for (let i = 0; i < members.length; i++) {
      mean += units.difference(members[i]);
      const gap = i > 0 ? units.position[members[i]] - units.position[members[i - 1]] : 0;
      if (gap > 0) spacing = Math.min(spacing, gap);
    }
  }
  mean /= n;
  const autocovariance = (lag: number) => {
    let sum = 0;
    for (const members of clusters) {
      for (let i = lag; i < members.length; i++) {
        sum += (units.difference(members[i]) - mean) * (units.difference(members[i - lag]) - mean);
      }
    }
    return sum;
  };
  const variance = autocovariance(0);
  const bound = (2 / Math.sqrt(n)) * variance;
  const farthest = Math.min(Math.floor(longest / 8), 1000);
  let lag = 1;
  while (variance > 0 && lag <= farthest && autocovariance(lag) > bound) lag++;
  const overlap = Number.isFinite(spacing) ? Math.ceil(span / spacing) : 1;
  return Math.max(overlap, Math.ceil(Math.cbrt(n / clusters.length)), variance > 0 ? 2 * (lag - 1) : 1, 1);
}

/** Of sorted values, interpolated between neighbours. */
function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(sorted.length - 1, low + 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

/** The 97.5 % quantile of Student's t, for 3 or more degrees of freedom within 0.2 % (Abramowitz & Stegun 1964, 26.7.5). */
function studentQuantile(freedom: number): number {
  const z = NORMAL_QUANTILE;
  const terms = [
    z,
    (z ** 3 + z) / 4,
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96,
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
    (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92160,
  ];
  return terms.reduceRight((sum, term) => sum / freedom + term, 0);
}

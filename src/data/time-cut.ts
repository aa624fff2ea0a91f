/**
 * @file Cuts series along time into train, validation and test. Blocks are laid out along one of two axes:
 *
 *     at: series    the rows of each series, so that every series has its share of every part
 *     at: instant   the times of all series together, so that all are cut at the same moments, and nothing learned from one series is
 *                   later than what another is tested on
 *
 * Between two parts lies a gap of rows and of milliseconds, which the earlier part gives up. `gapMs` means that the later part begins
 * more than so long after the earlier one ends: at equal steps of d ms, gapMs: g * d is gap: g.
 *
 * Folds are cuts like any other. Rolling origin: test blocks of one size at the end, trained on what lies before (Tashman 2000, Int. J.
 * of Forecasting 16(4)). With `both`, n consecutive blocks cover everything, and training rows lie on both sides of the tested one, purged
 * by the gap on each (de Prado 2018, Advances in Financial Machine Learning, ch. 7): more training rows, at the price of learning from
 * times after the test.
 */
import { OstinatoError } from "../core/errors.js";
import { parseTime, timeName } from "./cell.js";

/** Shares of rows or units, each above 0, together at most 1. */
export interface Shares {
  train: number;
  validation: number;
  test: number;
}

export interface Gap {
  /** Rows between two parts that belong to none. Default 0. */
  gap?: number;
  /** Milliseconds that lie between two parts (an embargo). Default 0; needs times. */
  gapMs?: number;
}

/** Where to cut: each series by its own rows, or all at the same instants, which needs times. */
export interface CutAt {
  at?: "series" | "instant";
}

/** Counts of rows, the same for every series. */
export interface RowCounts extends Gap {
  rows: readonly [train: number, validation: number, test: number];
}

/** Instants as ISO 8601. Training begins at `train` (default the first row), the test part ends before `end` (default after the last). */
export interface Instants extends Gap {
  from: { train?: string; validation: string; test: string; end?: string };
}

/** One of `folds` test blocks at the end; the last ends with the data. */
export interface RollingFold extends Gap, CutAt {
  folds: number;
  /** Which one, 1 .. folds. */
  fold: number;
  /** Size of a test block: a share below 1, or a count of rows per series (at instants: of distinct times). */
  test: number;
  /** Size of the validation block before it, likewise. Default that of a test block. */
  validation?: number;
  /** Everything before, or the latest rows, as many as the first fold has. Default "expanding". */
  train?: "expanding" | "sliding";
  both?: false;
}

/** One of `folds` blocks that cover everything; training rows on both sides of it. */
export interface BlockedFold extends Gap, CutAt {
  folds: number;
  /** Which one, 1 .. folds. */
  fold: number;
  both: true;
  /** Size of the validation block: before the test block, but after it for the first fold. Default that of a test block. */
  validation?: number;
}

export type TimeCutOptions = RowCounts | (Shares & Gap & CutAt) | Instants | RollingFold | BlockedFold;

/** What a cut along time sees of a series. */
export interface TimedSeries {
  entity: string;
  rows: number;
  /** Milliseconds since 1970 UTC, increasing; null where rows are equally spaced steps. [rows] */
  time?: Float64Array | null;
}

export interface TimeCut {
  /** Per series the part of each row: 0 none, 1 train, 2 validation, 3 test. */
  part: Uint8Array[];
  /** The instants the parts begin at, in ms, where all series are cut at the same. */
  from?: { validation: number; test: number };
}

/** A stretch [from, to) of an axis for one part. */
interface Block {
  code: number;
  from: number;
  to: number;
}

/** @throws OST_SPLIT if a size, a gap, a fold or an instant does not fit, or times are needed and there are none. */
export function timeCut(
  series: readonly TimedSeries[],
  options: TimeCutOptions,
  { at: usual = "series" }: { at?: "series" | "instant" } = {},
): TimeCut {
  checkOptions(options);
  const { gap = 0, gapMs = 0 } = options;
  if (gapMs > 0) for (const one of series) timesOf(one, "a gap in milliseconds", "gapMs");
  const at = "from" in options ? "instant" : "rows" in options ? "series" : (options.at ?? usual);
  const cut =
    at === "instant" ? cutAtInstants(series, options, gapMs) : { part: series.map((one) => cutRows(one, options, gap)) };
  if (gap > 0 || gapMs > 0) {
    cut.part.forEach((codes, s) => {
      purge(codes, series[s].time ?? null, gap, gapMs);
    });
  }
  return cut;
}

function cutRows({ entity, rows }: TimedSeries, options: TimeCutOptions, gap: number): Uint8Array {
  if ("rows" in options) checkRows(entity, rows, options.rows, gap);
  const part = new Uint8Array(rows);
  for (const { code, from, to } of apart(layout(rows, options, gap), gap)) part.fill(code, Math.max(0, from), Math.max(0, to));
  return part;
}

function cutAtInstants(series: readonly TimedSeries[], options: TimeCutOptions, gapMs: number): TimeCut {
  const times = series.map((one) => timesOf(one, "a cut at one instant", "from" in options ? "from" : "at"));
  const blocks = apart("from" in options ? named(options.from) : alongTimes(times, options), gapMs);
  const part = times.map((time) => {
    const codes = new Uint8Array(time.length);
    for (const { code, from, to } of blocks) codes.fill(code, lowerBound(time, from), lowerBound(time, to));
    return codes;
  });
  const start = (code: number) => blocks.find((block) => block.code === code)?.from ?? Number.NaN;
  return { part, from: { validation: start(2), test: start(3) } };
}

/** Blocks along all times: of rows where every size is a share, of distinct times where one is a count. */
function alongTimes(times: readonly Float64Array[], options: TimeCutOptions): Block[] {
  const all = new Float64Array(times.reduce((sum, { length }) => sum + length, 0));
  let filled = 0;
  for (const time of times) {
    all.set(time, filled);
    filled += time.length;
  }
  all.sort();
  const counted = "folds" in options && [options.validation, "test" in options ? options.test : 0].some((size) => size! >= 1);
  const line = counted ? all.filter((time, i) => i === 0 || time !== all[i - 1]) : all;
  const instant = (position: number) =>
    position <= 0 ? Number.NEGATIVE_INFINITY : position >= line.length ? Number.POSITIVE_INFINITY : line[position];
  return layout(line.length, options, 0).map(({ code, from, to }) => ({ code, from: instant(from), to: instant(to) }));
}

function named({ train, validation, test, end }: Instants["from"]): Block[] {
  const instant = (text: string | undefined, name: string, otherwise: number) => {
    if (text === undefined || text === null) return otherwise;
    const ms = parseTime(text);
    if (ms !== undefined) return ms;
    throw new OstinatoError("OST_SPLIT", {
      what: "not an instant",
      expected: 'ISO 8601, such as "2018-03-01" or "2018-03-01T06:00:00Z"',
      got: JSON.stringify(text),
      where: `data.split.from.${name}`,
    });
  };
  const edges = [
    instant(train, "train", Number.NEGATIVE_INFINITY),
    instant(validation, "validation", Number.NaN),
    instant(test, "test", Number.NaN),
    instant(end, "end", Number.POSITIVE_INFINITY),
  ];
  if (!edges.every((edge, i) => i === 0 || edges[i - 1] < edge)) {
    throw new OstinatoError("OST_SPLIT", {
      what: "the instants of the split are out of order",
      expected: "train before validation before test before end",
      got: edges.map((edge) => (Number.isFinite(edge) ? timeName(edge) : "none")).join(", "),
      where: "data.split.from",
    });
  }
  return [1, 2, 3].map((code) => ({ code, from: edges[code - 1], to: edges[code] }));
}

/** Lays the parts out along an axis of n positions; sizes that the options state keep them, the gap beside them. */
function layout(n: number, options: TimeCutOptions, gap: number): Block[] {
  if ("from" in options) return [];
  if ("folds" in options) return options.both ? blockedFold(n, options, gap) : rollingFold(n, options, gap);
  let at = 0;
  return countsOf(n, options, gap).map((count, p) => {
    const block = { code: p + 1, from: at, to: at + count };
    at += count + gap;
    return block;
  });
}

function countsOf(n: number, options: RowCounts | (Shares & Gap), gap: number): readonly number[] {
  if ("rows" in options) return options.rows;
  const { train, validation, test } = options;
  const usable = Math.max(0, n - 2 * gap);
  const trained = sizeOf(train, usable);
  const validated = sizeOf(validation, usable);
  const all = train + validation + test >= 1 - 1e-9;
  return [trained, validated, all ? usable - trained - validated : sizeOf(test, usable)];
}

/** Rows of a size: a share below 1 of n, else a count. */
function sizeOf(size: number, n: number): number {
  return size < 1 ? Math.floor(n * size + 1e-9) : size;
}

function rollingFold(n: number, options: RollingFold, gap: number): Block[] {
  const { folds, fold, train = "expanding" } = options;
  const tested = sizeOf(options.test, n);
  const validated = sizeOf(options.validation ?? options.test, n);
  const trainEnd = (k: number) => n - (folds - k + 1) * tested - gap - validated - gap;
  const test = n - (folds - fold + 1) * tested;
  const end = trainEnd(fold);
  return [
    { code: 1, from: train === "sliding" ? end - Math.max(0, trainEnd(1)) : 0, to: end },
    { code: 2, from: test - gap - validated, to: test - gap },
    { code: 3, from: test, to: test + tested },
  ];
}

function blockedFold(n: number, { folds, fold, validation = 1 / folds }: BlockedFold, gap: number): Block[] {
  const test = { code: 3, from: Math.floor((n * (fold - 1)) / folds), to: Math.floor((n * fold) / folds) };
  const validated = sizeOf(validation, n);
  if (fold === 1) {
    const held = { code: 2, from: test.to + gap, to: test.to + gap + validated };
    return [test, held, { code: 1, from: held.to, to: n }];
  }
  const held = { code: 2, from: test.from - gap - validated, to: test.from - gap };
  return [{ code: 1, from: 0, to: held.from }, held, test, { code: 1, from: test.to, to: n }];
}

/** Shortens blocks that lie nearer to the next than the gap: of two neighbours the lesser part gives way (train, then validation). */
function apart(blocks: readonly Block[], gap: number): Block[] {
  const made = blocks.map((block) => ({ ...block }));
  for (let b = 1; b < made.length; b++) {
    const [left, right] = [made[b - 1], made[b]];
    if (left.code < right.code) left.to = Math.min(left.to, right.from - gap);
    else right.from = Math.max(right.from, left.to + gap);
  }
  return made.filter(({ from, to }) => from < to);
}

/** Takes rows out of the lesser of two neighbouring parts until `gap` rows and more than `gapMs` lie between them. */
function purge(codes: Uint8Array, time: Float64Array | null, gap: number, gapMs: number): void {
  const near = (i: number, j: number) => j - i <= gap || (gapMs > 0 && time![j] - time![i] <= gapMs);
  for (let i = codes.length - 1, next = -1; i >= 0; i--) {
    if (codes[i] === 0) continue;
    if (next >= 0 && codes[i] < codes[next] && near(i, next)) codes[i] = 0;
    else next = i;
  }
  for (let j = 0, last = -1; j < codes.length; j++) {
    if (codes[j] === 0) continue;
    if (last >= 0 && codes[j] < codes[last] && near(last, j)) codes[j] = 0;
    else last = j;
  }
}

/** The first position of a sorted axis at or after `value`. */
function lowerBound(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function timesOf({ entity, time }: TimedSeries, need: string, option: string): Float64Array {
  if (time) return time;
  throw new OstinatoError("OST_SPLIT", {
    what: `${need} needs times`,
    expected: "a column of times",
    got: `none in series "${entity}"`,
    where: `data.split.${option}`,
    repair: "set data.time, or cut each series by its rows with gap in rows",
  });
}

function checkOptions(options: TimeCutOptions): void {
  checkGap(options);
  const ways = (["rows", "from", "folds"] as const).filter((way) => way in options);
  const { at, train } = options as { at?: unknown; train?: unknown };
  const fits =
    ways.length <= 1 &&
    (at === undefined || at === (ways[0] === "rows" ? "series" : "instant") || (at === "series" && ways[0] !== "from")) &&
    (ways.length === 0 || train === undefined || (ways[0] === "folds" && (train === "expanding" || train === "sliding")));
  if (!fits) {
    throw new OstinatoError("OST_SPLIT", {
      what: "the options of the split by time contradict each other",
      expected: "rows (per series), or from (instants), or shares or folds with at: series or instant",
      got: Object.entries(options)
        .map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
        .join(", "),
      where: "data.split",
    });
  }
  if ("folds" in options) {
    checkFold(options);
    const usual = options.both ? 1 / options.folds : options.test;
    checkSize("test", usual);
    checkSize("validation", options.validation ?? usual);
  } else if (ways.length === 0) checkShares(options as Shares);
}

function checkSize(name: string, size: number): void {
  if ((size > 0 && size < 1) || (Number.isInteger(size) && size >= 1)) return;
  throw new OstinatoError("OST_SPLIT", {
    what: `the size of the ${name} block does not fit`,
    expected: "a share between 0 and 1, or a whole number of rows",
    got: String(size),
    where: `data.split.${name}`,
  });
}

/** @throws OST_SPLIT if `fold` is not one of 1 .. folds. */
export function checkFold({ folds, fold }: { folds: number; fold: number }): void {
  if (Number.isInteger(folds) && folds >= 2 && Number.isInteger(fold) && fold >= 1 && fold <= folds) return;
  throw new OstinatoError("OST_SPLIT", {
    what: "there is no such fold",
    expected: "at least 2 folds, and fold from 1 to folds",
    got: `fold ${fold} of ${folds}`,
    where: "data.split.fold",
  });
}

/** @throws OST_SPLIT if the shares are not above 0 and together at most 1. */
export function checkShares({ train, validation, test }: Partial<Shares>): void {
  const shares = [train, validation, test];
  const sum = shares.reduce<number>((total, share) => total + (share ?? Number.NaN), 0);
  if (shares.every((share) => share! > 0) && sum <= 1 + 1e-9) return;
  throw new OstinatoError("OST_SPLIT", {
    what: "the shares do not fit",
    expected: "train, validation and test each above 0, together at most 1",
    got: `${train}, ${validation} and ${test}`,
    where: "data.split",
  });
}

function checkGap({ gap = 0, gapMs = 0 }: Gap): void {
  if (!(Number.isInteger(gap) && gap >= 0)) {
    throw new OstinatoError("OST_SPLIT", {
      what: "the gap is no number of rows",
      expected: "a whole number >= 0",
      got: String(gap),
      where: "data.split.gap",
    });
  }
  if (gapMs >= 0 && Number.isFinite(gapMs)) return;
  throw new OstinatoError("OST_SPLIT", {
    what: "the gap is no duration",
    expected: "milliseconds >= 0",
    got: String(gapMs),
    where: "data.split.gapMs",
  });
}

function checkRows(entity: string, rows: number, counts: readonly number[], gap: number): void {
  if (counts.length !== 3 || !counts.every((count) => Number.isInteger(count) && count > 0)) {
    throw new OstinatoError("OST_SPLIT", {
      what: "the row counts do not fit",
      expected: "three whole numbers above 0: train, validation, test",
      got: `[${counts.join(", ")}]`,
      where: "data.split.rows",
    });
  }
  const wanted = counts[0] + counts[1] + counts[2] + 2 * gap;
  if (wanted <= rows) return;
  throw new OstinatoError("OST_SPLIT", {
    what: "the split names rows that do not exist",
    expected: `at least ${wanted} rows (${counts.join(" + ")}${gap ? ` + 2 gaps of ${gap}` : ""})`,
    got: `${rows} rows in series "${entity}"`,
    where: "data.split.rows",
    repair: "use smaller counts, or shares: { by: time, train: 0.7, validation: 0.15, test: 0.15 }",
  });
}

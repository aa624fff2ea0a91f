/**
 * @file Examples: which steps of which series a model reads, and which it must predict.
 *
 *     forecast   input  [start, start + length)    target  [start + length, start + length + horizon)
 *     tag        input  [start, start + length)    target  the same steps
 *     language   input  [start, start + length)    target  the code of the row after each step, within the part
 *     classify   input  [start, start + length)    target  the class of the series
 *     translate  input  the whole series           target  the text of the series
 *
 * What is predicted lies in the example's part. What a forecast reads may reach back into an earlier part (train is earlier than
 * validation, validation than test) and into rows of no part, never into a later one.
 */
import { type ExampleSpec, isPerStep, type Part } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { timeName } from "./cell.js";
import { Examples, RunListBuilder } from "./examples.js";
import type { PreparedData, PreparedSeries } from "./prepare.js";
import { elementAt } from "./slices.js";
import { partCode, runsOf } from "./split.js";
import { rowName } from "./table.js";
import { TargetScan } from "./target-scan.js";

export interface WindowOptions<P extends Part = Part> {
  /** Input steps, >= 1. */
  length: number;
  /** Steps predicted, >= 1; forecasts only. */
  horizon?: number;
  /** Steps from one window to the next, >= 1. Default 1; for tags, next codes and `ahead: 0` `length`: every step is in one window. */
  stride?: number;
  part: P;
  /**
   * Forecasts: a target block for every input step, not for the last alone. The windows are the same; target values of earlier steps
   * that lie outside the part are masked.
   */
  everyStep?: boolean;
  /** Forecasts from every step: the first target step, counted from the input step. 0, with horizon 1: the same row, to be reconstructed. Default 1. */
  ahead?: 0 | 1;
  /** Forecasts: keep windows whose targets are missing or lie beyond the end of the series, for prediction. */
  keepUnscored?: boolean;
}

/** Cuts the part into windows. @throws OST_WINDOW if no window fits. @throws OST_RANGE if an option lies outside its range. */
export function windows<P extends Part>(prepared: PreparedData, options: WindowOptions<P>): Examples<P> {
  const { preprocessing } = prepared;
  const kind = preprocessing.targetKind;
  if (kind === "tokens") throw needsWhole("windows");
  const { length, horizon = 0, part, everyStep = false, ahead = 1 } = options;
  const same = kind === "values" && ahead === 0;
  const { stride = isPerStep(kind) || same ? length : 1 } = options;
  checkCount("length", length);
  checkCount("stride", stride);
  if (kind === "values") checkCount("horizon", horizon);
  if (same) checkSame({ horizon, everyStep });
  const list = new ExampleList(
    prepared,
    preprocessing.spec({ length, horizon: kind === "values" ? horizon : 0, everyStep, ahead }),
    part,
  );
  if (kind === "values" && !same) forecastWindows(list, { ...options, horizon, stride });
  else stepWindows(list, length, stride, kind === "class");
  return list.done(
    kind === "values" && !same ? `${length} input steps and ${horizon} target steps` : `${length} steps`,
    `lower window.length${kind === "values" ? " or window.horizon" : ""}, or use longer series`,
  );
}

export interface SequenceOptions<P extends Part = Part> {
  part: P;
  /** Forecasts, which need it: steps predicted from every step, >= 1. */
  horizon?: number;
  /** Forecasts: the first target step, counted from the input step. 0, with horizon 1: the same row, to be reconstructed. Default 1. */
  ahead?: 0 | 1;
}

/**
 * Every stretch of the part as one example: whole series, where the split is by series. For classes, tags, next codes and texts, and for
 * forecasts from every step.
 *
 * @throws OST_WINDOW if there is none. @throws OST_RANGE for a forecast without a horizon, which needs windows.
 */
export function sequences<P extends Part>(prepared: PreparedData, { part, horizon, ahead = 1 }: SequenceOptions<P>): Examples<P> {
  const { preprocessing, series } = prepared;
  const forecast = preprocessing.targetKind === "values";
  if (forecast && horizon === undefined) {
    throw new OstinatoError("OST_RANGE", {
      what: "a forecast needs windows, or a horizon from every step",
      expected: "a class or a tag per step as target, or a horizon",
      got: "target values",
      where: "sequences",
      repair: "use windows(prepared, { length, horizon, part }), or sequences(prepared, { part, horizon })",
    });
  }
  if (forecast) checkCount("horizon", horizon as number);
  if (forecast && ahead === 0) checkSame({ horizon: horizon as number, everyStep: true });
  const spec = preprocessing.spec(forecast ? { length: 0, horizon, everyStep: true, ahead } : { length: 0 });
  const list = new ExampleList(prepared, spec, part);
  series.forEach((one, s) => {
    const scan = new TargetScan(one);
    for (const [from, to] of runsIn(one, part)) {
      if (forecast) list.addForecast(scan, s, from + ahead, { from, to });
      else list.addClassed(scan, s, from, to - from);
    }
  });
  return list.done(forecast && ahead === 1 ? "two steps" : "one step with a target", "choose another split");
}

function needsWhole(where: string): OstinatoError {
  return new OstinatoError("OST_RANGE", {
    what: "the text of a series is predicted from all of it",
    expected: "whole sequences",
    got: "target tokens",
    where,
    repair: "leave window.length out: use sequences(prepared, { part })",
  });
}

/** @throws OST_RANGE unless the same row, and nothing else, is predicted from every step. */
function checkSame({ horizon, everyStep }: { horizon: number; everyStep: boolean }): void {
  if (horizon === 1 && everyStep) return;
  throw new OstinatoError("OST_RANGE", {
    what: "the same row can only be predicted by itself, and from every step",
    expected: "horizon: 1 and everyStep: true with ahead: 0",
    got: `horizon: ${horizon}, everyStep: ${everyStep}`,
    where: "window.ahead",
  });
}

export interface TrailingWindowOptions<P extends Part = Part> {
  /** Steps a window holds at most, >= 1. */
  length: number;
  part: P;
  /** Steps that must have been read before the first prediction, >= 1. Default 1: the first windows of a series are shorter. */
  shortest?: number;
  /** Steps from one window to the next, >= 1. Default 1. */
  stride?: number;
  /** Forecasts: steps predicted, of which some or all may lie beyond the end. */
  horizon?: number;
}

/**
 * For every step of the part the last `length` steps that end there, of which the last alone predicts: what a windowed stream reads. For
 * tags and next codes (steps without a class make no example) and forecasts from every step. The steps before may reach back into earlier parts.
 *
 * @throws OST_WINDOW if there is none. @throws OST_RANGE if an option lies outside its range.
 */
export function trailingWindows<P extends Part>(prepared: PreparedData, options: TrailingWindowOptions<P>): Examples<P> {
  const { length, part, shortest = 1, stride = 1, horizon = 0 } = options;
  const forecast = prepared.preprocessing.targetKind === "values";
  if (prepared.preprocessing.targetKind === "tokens") throw needsWhole("trailingWindows");
  for (const [name, value] of Object.entries({ length, shortest, stride })) checkCount(name, value);
  const list = new ExampleList(prepared, prepared.preprocessing.spec({ length, horizon, everyStep: forecast }), part);
  prepared.series.forEach((series, s) => {
    const scan = new TargetScan(series);
    for (const [from, to] of runsIn(series, part)) {
      const readable = afterLaterPart(series.part, from, partCode(part));
      for (let end = Math.max(from + 1, readable + shortest); end <= to; end += stride) {
        const start = Math.max(readable, end - length);
        if (forecast || scan.lastBefore(end, end - 1) === end - 1) list.add(s, start, end - start);
        else list.dropped.noTarget++;
      }
    }
  });
  return list.done(`${shortest} ${shortest === 1 ? "step" : "steps"}`, "choose another split", { lastStep: true });
}

/** The stretches of a series that are examples of a part. */
function runsIn({ part: codes, copy }: PreparedSeries, part: Part): [from: number, to: number][] {
  return copy && part !== "train" ? [] : runsOf(codes, partCode(part));
}

/** Collects examples, and counts what made none. */
class ExampleList<P extends Part> {
  readonly dropped = { noTarget: 0, tooShort: 0 };
  readonly #runs = new RunListBuilder();

  constructor(
    readonly prepared: PreparedData,
    readonly spec: ExampleSpec,
    readonly part: P,
  ) {}

  add(series: number, start: number, length: number): void {
    this.#runs.add(series, start, length);
  }

  /** Adds an example if any of its steps has a class; `scan` is that of its series. */
  addClassed(scan: TargetScan, series: number, start: number, length: number): void {
    if (scan.lastBefore(start + length, start) >= start) this.add(series, start, length);
    else this.dropped.noTarget++;
  }

  /** Adds the steps [from, to) as an example if a row of them from `first` on has a value. */
  addForecast(scan: TargetScan, series: number, first: number, { from, to }: { from: number; to: number }): void {
    if (first >= to) this.dropped.tooShort++;
    else if (scan.lastBefore(to, first) >= first) this.add(series, from, to - from);
    else this.dropped.noTarget++;
  }

  done(expected: string, repair: string, { lastStep = false } = {}): Examples<P> {
    const { prepared, spec, part, dropped } = this;
    if (this.#runs.count === 0) {
      const longest = prepared.series.reduce((most, { length }) => Math.max(most, length), 0);
      throw new OstinatoError("OST_WINDOW", {
        what: `no window fits into the part "${part}"`,
        expected: `a series of at least ${expected}, with its targets in the part`,
        got: `${prepared.split[part]} rows in the part, the longest series has ${longest}; ${dropped.noTarget} windows had no target value`,
        where: prepared.source,
        repair,
      });
    }
    return new Examples({ prepared, spec, part, runs: this.#runs.done(), lastStep, dropped });
  }
}

function forecastWindows(list: ExampleList<Part>, options: WindowOptions & { horizon: number; stride: number }): void {
  const { length, horizon, stride, part, keepUnscored = false } = options;
  const code = partCode(part);
  list.prepared.series.forEach((series, s) => {
    const scan = new TargetScan(series);
    for (const [from, to] of runsIn(series, part)) {
      const beyond = keepUnscored && to === series.length;
      const earliest = Math.max(from, length, afterLaterPart(series.part, from, code) + length);
      const last = beyond ? to : to - horizon;
      if (earliest > last) list.dropped.tooShort++;
      for (let target = earliest; target <= last; target += stride) {
        if (keepUnscored || scan.lastBefore(Math.min(target + horizon, to), target) >= target)
          list.add(s, target - length, length);
        else list.dropped.noTarget++;
      }
    }
  });
}

/** The first step after the last row before `from` that belongs to a later part, which no input may hold. */
function afterLaterPart(part: Uint8Array, from: number, code: number): number {
  let step = from;
  while (step > 0 && part[step - 1] <= code) step--;
  return step;
}

function stepWindows(list: ExampleList<Part>, length: number, stride: number, whole: boolean): void {
  list.prepared.series.forEach((series, s) => {
    const scan = new TargetScan(series);
    for (const [from, to] of runsIn(series, list.part)) {
      if (whole && to - from < length) list.dropped.tooShort++;
      const last = whole ? to - length : to - 1;
      for (let start = from; start <= last; start += stride) {
        list.addClassed(scan, s, start, Math.min(length, to - start));
        if (start + length >= to) break;
      }
    }
  });
}

function checkCount(name: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new OstinatoError("OST_RANGE", {
    what: "not a number of steps",
    expected: "a whole number >= 1",
    got: String(value),
    where: `window.${name}`,
  });
}

/** Which rows of the data an example reads and predicts, in words. */
export function describeWindow(examples: Examples, index: number): string {
  const { prepared, spec, part, count } = examples;
  const { series, start: from, length } = examples.at(index);
  const { entity, time, row, length: steps } = prepared.series[series];
  const stretch = (from: number, to: number) => {
    if (from >= steps) return "steps after the end of the series";
    const last = Math.min(to, steps) - 1;
    const rowAt = (step: number) => rowName(prepared, elementAt(row, step));
    const rows = from === last ? rowAt(from) : `${rowAt(from)} to ${rowAt(last)}`;
    const times = time && `, ${timeName(elementAt(time, from))}${from === last ? "" : ` to ${timeName(elementAt(time, last))}`}`;
    return `${rows}${times ?? ""}`;
  };
  const end = from + length;
  const target =
    spec.targetKind === "values" && (spec.ahead === 0 || spec.length === 0)
      ? `${spec.ahead === 0 ? "each step itself" : `from each step the next ${spec.horizon}`} (${listed(spec.targets)})`
      : spec.targetKind === "values"
        ? `${stretch(end, end + spec.horizon)} (${spec.horizon} ${spec.horizon === 1 ? "step" : "steps"} of ${listed(spec.targets)})`
        : spec.targetKind === "class"
          ? "the class of the series"
          : spec.targetKind === "tokens"
            ? "the text of the series"
            : spec.targetKind === "next"
              ? "the code after each step"
              : "the class of each step";
  return [
    `example ${index + 1} of ${count} (${part}), series "${entity}"`,
    `  input   ${stretch(from, end)} (${end - from} ${end - from === 1 ? "step" : "steps"} of ${listed(spec.features)})`,
    `  target  ${target}`,
  ].join("\n");
}

/** The first few names, and how many more there are. */
function listed(names: readonly string[]): string {
  const most = 8;
  return names.length <= most ? names.join(", ") : `${names.slice(0, most - 1).join(", ")} and ${names.length - most + 1} more`;
}

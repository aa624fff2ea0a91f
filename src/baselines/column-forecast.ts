/**
 * @file The shape shared by forecasts that extend each target column from its own past alone: persistence, seasonal naive, drift and
 * moving average differ in one rule only.
 */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { type Baseline, type BaselineArrays, type BaselineJson, forEachOrigin, inputAt, requireBatch } from "./baseline.js";
import { firstOf } from "./exponential-smoothing.js";

/** A forecast of every target column from its own latest values. A row of length zero has no past and predicts zero. */
export abstract class ColumnForecast implements Baseline {
  abstract readonly name: string;
  abstract readonly history: number;
  abstract readonly kind: string;
  readonly streaming = "windowed";
  readonly spec: ExampleSpec;

  /** Whether each target is a numeric column that is also among the inputs. */
  static applies(spec: ExampleSpec): boolean {
    return spec.targetKind === "values" && spec.targetFeature.every((feature) => feature >= 0);
  }

  constructor(spec: ExampleSpec) {
    if (!ColumnForecast.applies(spec)) {
      const blind = spec.targets.filter((_, k) => spec.targetFeature[k] < 0);
      throw new OstinatoError("OST_TARGET", {
        what: "this baseline extends a column from its own past",
        expected: "numeric targets that are among the features",
        got: spec.targetKind === "values" ? `targets that are not: ${blind.join(", ")}` : spec.targetKind,
        where: "baselines",
        repair: "add the targets to data.features, or leave this baseline out",
      });
    }
    this.spec = spec;
  }

  /** Writes the coming values of target `target` to `future`, given its latest `count >= 1` values, oldest first. */
  protected abstract extend(past: Float64Array, count: number, future: Float64Array, target: number): void;

  fit(_train: () => Iterable<Batch>, _validation: () => Iterable<Batch>): void {}

  predict(batch: Batch): Float32Array {
    requireBatch(batch, this.spec, this.name);
    const { horizon, targets, everyStep, batchSize, time } = batch;
    const out = new Float32Array(batchSize * (everyStep ? time : 1) * horizon * targets);
    const future = new Float64Array(horizon);
    forEachPast(batch, this.spec, this.history, (past, count, position, target) => {
      this.extend(past, count, future, target);
      for (let p = 0; p < horizon; p++) out[(position * horizon + p) * targets + target] = future[p];
    });
    return out;
  }

  /** The settings as fitted. */
  protected abstract options(): object;

  toJSON(): BaselineJson {
    return { kind: this.kind, spec: this.spec, options: this.options() };
  }

  arrays(): BaselineArrays {
    return {};
  }
}

/** Visits the latest `history` values (fewer at the start) of each target column at each origin of a batch, oldest first. */
export function forEachPast(
  batch: Batch,
  spec: ExampleSpec,
  history: number,
  visit: (past: Float64Array, count: number, position: number, target: number) => void,
): void {
  const past = new Float64Array(Math.min(history, batch.time));
  forEachOrigin(batch, (row, step, position) => {
    const count = Math.min(history, step + 1);
    if (count === 0) return;
    for (let target = 0; target < batch.targets; target++) {
      const feature = spec.targetFeature[target];
      for (let i = 0; i < count; i++) past[i] = inputAt(batch, row, step - count + 1 + i, feature);
      visit(past, count, position, target);
    }
  });
}

/** Steps a state is read from where rows are whole sequences: so many seasons, and at least so many steps. */
const SEASONS_KEPT = 4;
const STEPS_KEPT = 64;

/** How many of the latest steps a state is read from: the window, or a few seasons of a whole sequence. */
export function keptSteps({ length }: ExampleSpec, period: number): number {
  return length || Math.max(STEPS_KEPT, SEASONS_KEPT * period);
}

/** @throws OST_RANGE if the period is not a whole number of at least 1. */
export function checkPeriod(period: number, where: string): number {
  if (Number.isInteger(period) && period >= 1) return period;
  throw new OstinatoError("OST_RANGE", {
    what: "the period of a forecast",
    expected: "a whole number of at least 1",
    got: String(period),
    where,
  });
}

/** Values that grew beyond all numbers become the last one seen. */
export function replaceInfinite(future: Float64Array, past: Float64Array, count: number): void {
  if (future.every((value) => Math.abs(value) < 1e30)) return;
  const last = firstOf(past.slice(0, count).reverse(), count);
  for (let h = 0; h < future.length; h++) if (!(Math.abs(future[h]) < 1e30)) future[h] = last;
}

/** @throws OST_MODEL_FILE unless there is one set of finite numbers per target. */
export function requireColumns<C>(
  spec: ExampleSpec,
  columns: readonly C[],
  where: string,
  numbers: (column: C) => number[],
): void {
  if (columns.length === spec.targets.length && columns.every((column) => numbers(column).every(Number.isFinite))) return;
  throw new OstinatoError("OST_MODEL_FILE", {
    what: "the settings of the columns do not fit the targets",
    expected: `finite numbers for each of ${spec.targets.length}`,
    got: `${columns.length} columns`,
    where,
    repair: "save the baseline again",
  });
}

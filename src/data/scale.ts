/**
 * @file Scaling by statistics of the training rows: x = (v - offset) / scale, one pair per column.
 *
 *     standard   offset = mean,    scale = standard deviation (population, divided by n)
 *     robust     offset = median,  scale = upper quartile - lower quartile (the standard deviation where that is 0)
 *     minMax     offset = minimum, scale = maximum - minimum
 *     none       offset = 0,       scale = 1
 *
 * A constant column has scale 1 (constant: its spread is at most 1e-9 of its size, or 1e-30), and a column that was never observed
 * offset 0 and scale 1. Quartiles interpolate linearly between
 * order statistics (Hyndman & Fan 1996, definition 7). Missing and filled-in values count for nothing.
 */
import { OstinatoError } from "../core/errors.js";
import type { Row } from "./record.js";
import { type FrozenTransform, frozen, observedValues, type TrainingRows, type Transform, unsigned } from "./transform.js";

export const SCALES = ["standard", "robust", "minMax", "none"] as const;
export type ScaleKind = (typeof SCALES)[number];

export class Scaler {
  readonly offset: readonly number[];

  constructor(
    readonly kind: ScaleKind,
    offset: readonly number[],
    readonly scale: readonly number[],
  ) {
    this.offset = offset.map(unsigned);
  }

  /** Fits on the observed values of each column; NaN is skipped. */
  static fit(columns: readonly ArrayLike<number>[], kind: ScaleKind = "standard"): Scaler {
    if (!SCALES.includes(kind)) {
      throw new OstinatoError("OST_RANGE", {
        what: "unknown scaling",
        expected: SCALES.join(", "),
        got: String(kind),
        where: "data.scale",
      });
    }
    const pairs = columns.map((column) =>
      fitColumn(
        Float64Array.from(column).filter((value) => !Number.isNaN(value)),
        kind,
      ),
    );
    return new Scaler(
      kind,
      pairs.map(([offset]) => offset),
      pairs.map(([, scale]) => scale),
    );
  }

  static fromJSON(json: unknown, columns: number, where: string): Scaler {
    const { kind, offset, scale } = frozen.object(json, where);
    return new Scaler(
      frozen.choice(kind, SCALES, `${where}.kind`),
      frozen.numbers(offset, columns, `${where}.offset`),
      frozen.numbers(scale, columns, `${where}.scale`, { min: Number.MIN_VALUE }),
    );
  }

  toJSON() {
    return { kind: this.kind, offset: [...this.offset], scale: [...this.scale] };
  }

  apply(value: number, column: number): number {
    return (value - this.offset[column]) / this.scale[column];
  }

  invert(scaled: number, column: number): number {
    return scaled * this.scale[column] + this.offset[column];
  }
}

function fitColumn(values: Float64Array, kind: ScaleKind): [offset: number, scale: number] {
  if (kind === "none" || values.length === 0) return [0, 1];
  let min = values[0];
  let max = values[0];
  let sum = 0;
  for (const value of values) {
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value;
  }
  const constant = max - min <= Math.max(1e-30, 1e-9 * Math.max(Math.abs(min), Math.abs(max)));
  if (constant) return [min, 1];
  if (kind === "minMax") return [min, max - min];
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) * (value - mean);
  const deviation = Math.sqrt(squares / values.length);
  if (!Number.isFinite(deviation)) throw tooLarge(min, max);
  if (kind === "standard") return [mean, deviation];
  const sorted = values.slice().sort();
  const spread = quantile(sorted, 0.75) - quantile(sorted, 0.25);
  return [quantile(sorted, 0.5), spread > 1e-9 * (max - min) ? spread : deviation];
}

function tooLarge(min: number, max: number): OstinatoError {
  return new OstinatoError("OST_VALUE", {
    what: "the values of a column are too large to be scaled",
    expected: "values whose squares are finite",
    got: `${min} to ${max}`,
    repair: "check the unit of the column",
  });
}

function quantile(sorted: Float64Array, q: number): number {
  const position = (sorted.length - 1) * q;
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (position - below);
}

/** Scales the feature columns; columns appended by other transforms (flags, times since seen) pass unchanged. No state. */
export class Scale implements Transform {
  readonly name = "scale";
  readonly lookAhead = 0;
  readonly stateSize = 0;

  constructor(
    readonly outputs: readonly string[],
    readonly scaler: Scaler,
  ) {}

  static fit(training: TrainingRows, names: readonly string[], kind: ScaleKind): Scale {
    const columns = Array.from({ length: training.features }, (_, c) => observedValues(training, c));
    return new Scale(names, Scaler.fit(columns, kind));
  }

  static fromJSON(json: Record<string, unknown>, names: readonly string[], features: number): Scale {
    return new Scale(names, Scaler.fromJSON(json, features, "scale"));
  }

  toJSON(): FrozenTransform {
    return { transform: this.name, ...this.scaler.toJSON() };
  }

  initialize(): void {}

  push(row: Row): Row[] {
    for (let c = 0; c < this.scaler.offset.length; c++) row.values[c] = this.scaler.apply(row.values[c], c);
    return [row];
  }
}

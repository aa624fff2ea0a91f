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
import { orderStatistics } from "./order-statistic.js";
import type { Row } from "./record.js";
import {
  type FrozenTransform,
  frozen,
  observedValues,
  type TrainingRows,
  type Transform,
  unsigned,
  type ValueScan,
} from "./transform.js";

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
    return Scaler.fitScan(
      (visit) => {
        columns.forEach((column, c) => {
          for (let i = 0; i < column.length; i++) if (!Number.isNaN(column[i])) visit(c, column[i]);
        });
      },
      columns.length,
      kind,
    );
  }

  /** As {@link Scaler.fit}, on values too many to be held: they are scanned a few times over. */
  static fitScan(scan: ValueScan, columns: number, kind: ScaleKind = "standard"): Scaler {
    if (!SCALES.includes(kind)) {
      throw new OstinatoError("OST_RANGE", {
        what: "unknown scaling",
        expected: SCALES.join(", "),
        got: String(kind),
        where: "data.scale",
      });
    }
    const pairs = fitColumns(scan, columns, kind);
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

type OffsetAndScale = [offset: number, scale: number];

function fitColumns(scan: ValueScan, columns: number, kind: ScaleKind): OffsetAndScale[] {
  if (kind === "none") return Array.from({ length: columns }, (): OffsetAndScale => [0, 1]);
  const count = new Float64Array(columns);
  const sum = new Float64Array(columns);
  const min = new Float64Array(columns).fill(Number.POSITIVE_INFINITY);
  const max = new Float64Array(columns).fill(Number.NEGATIVE_INFINITY);
  scan((c, value) => {
    count[c]++;
    sum[c] += value;
    if (value < min[c]) min[c] = value;
    if (value > max[c]) max[c] = value;
  });
  const spread = (c: number) => max[c] - min[c] > Math.max(1e-30, 1e-9 * Math.max(Math.abs(min[c]), Math.abs(max[c])));
  const fixed = Array.from(count, (n, c): OffsetAndScale | null => (n === 0 ? [0, 1] : spread(c) ? null : [min[c], 1]));
  const vast = fixed.findIndex((pair, c) => pair === null && !Number.isFinite(max[c] - min[c]));
  if (vast >= 0) throw tooLarge(min[vast], max[vast]);
  if (kind === "minMax") return fixed.map((pair, c) => pair ?? [min[c], max[c] - min[c]]);
  if (fixed.every((pair) => pair !== null)) return fixed;
  const mean = sum.map((total, c) => total / count[c]);
  const squares = new Float64Array(columns);
  scan((c, value) => {
    squares[c] += (value - mean[c]) * (value - mean[c]);
  });
  const deviation = squares.map((total, c) => Math.sqrt(total / count[c]));
  const wild = fixed.findIndex((pair, c) => pair === null && !Number.isFinite(deviation[c]));
  if (wild >= 0) throw tooLarge(min[wild], max[wild]);
  if (kind === "standard") return fixed.map((pair, c) => pair ?? [mean[c], deviation[c]]);
  const quartiles = quartilesOf(scan, count);
  return fixed.map((pair, c) => {
    if (pair) return pair;
    const [lower, median, upper] = quartiles[c];
    return [median, upper - lower > 1e-9 * (max[c] - min[c]) ? upper - lower : deviation[c]];
  });
}

function tooLarge(min: number, max: number): OstinatoError {
  return new OstinatoError("OST_VALUE", {
    what: "the values of a column are too large to be scaled",
    expected: "values whose squares are finite",
    got: `${min} to ${max}`,
    repair: "check the unit of the column",
  });
}

const QUARTILES = [0.25, 0.5, 0.75];

function quartilesOf(scan: ValueScan, counts: Float64Array): number[][] {
  const positions = Array.from(counts, (n) => (n === 0 ? [] : QUARTILES.map((q) => (n - 1) * q)));
  const ranks = positions.map((list, c) =>
    list.flatMap((position) => [Math.floor(position), Math.min(Math.floor(position) + 1, counts[c] - 1)]),
  );
  const found = orderStatistics(scan, counts, ranks);
  return positions.map((list, c) =>
    list.map((position, q) => {
      const [below, above] = [found[c][2 * q], found[c][2 * q + 1]];
      return below + (above - below) * (position - Math.floor(position));
    }),
  );
}

/** The statistics of one entity's own training rows. */
export type EntityScalers = ReadonlyMap<string, Scaler>;

/**
 * Scales the feature columns; columns appended by other transforms (flags, times since seen) pass unchanged. No state.
 *
 * With scalers per entity, each entity of the training rows has statistics of its own; one that training never saw, and a row of no
 * entity, take those of all training rows together.
 */
export class Scale implements Transform {
  readonly name = "scale";
  readonly lookAhead = 0;
  readonly stateSize = 0;
  readonly identity: boolean;

  constructor(
    readonly outputs: readonly string[],
    readonly scaler: Scaler,
    readonly entities: EntityScalers | null = null,
  ) {
    this.identity = scaler.offset.length === 0;
  }

  /** @param options `shared`: features that are scaled over all entities although `perEntity`: a static one has no spread within its own. */
  static fit(
    training: TrainingRows,
    names: readonly string[],
    kind: ScaleKind,
    { perEntity = false, shared = [] }: { perEntity?: boolean; shared?: readonly number[] } = {},
  ): Scale {
    const scaler = Scaler.fitScan(observedValues(training), training.features, kind);
    return new Scale(names, scaler, perEntity ? fitEntities(training, scaler, shared) : null);
  }

  static fromJSON(json: Record<string, unknown>, names: readonly string[], features: number): Scale {
    const scaler = Scaler.fromJSON(json, features, "scale");
    if (json.entities === undefined) return new Scale(names, scaler);
    const entities = Object.entries(frozen.object(json.entities, "scale.entities")).map(
      ([entity, own]) => [entity, Scaler.fromJSON(own, features, "scale.entities")] as const,
    );
    return new Scale(names, scaler, new Map(entities));
  }

  toJSON(): FrozenTransform {
    return {
      transform: this.name,
      ...this.scaler.toJSON(),
      ...(this.entities && { entities: Object.fromEntries([...this.entities].map(([name, scaler]) => [name, scaler.toJSON()])) }),
    };
  }

  initialize(): void {}

  push(row: Row): Row[] {
    const scaler = (row.entity !== undefined && this.entities?.get(row.entity)) || this.scaler;
    for (let c = 0; c < scaler.offset.length; c++) row.values[c] = scaler.apply(row.values[c], c);
    return [row];
  }
}

function fitEntities(training: TrainingRows, all: Scaler, shared: readonly number[]): EntityScalers {
  const { kind } = all;
  const names: string[] = [];
  const numbers = new Map<string, number>();
  for (const { entity } of training.blocks()) {
    if (entity === undefined || numbers.has(entity)) continue;
    numbers.set(entity, names.length);
    names.push(entity);
  }
  const { features } = training;
  const scan: ValueScan = (visit) => {
    for (const { entity, count, width, values, observed } of training.blocks()) {
      if (entity === undefined) continue;
      const base = (numbers.get(entity) as number) * features;
      for (let i = 0; i < count; i++) {
        for (let c = 0; c < features; c++) if (observed[i * features + c]) visit(base + c, values[i * width + c]);
      }
    }
  };
  const varies = new Uint8Array(names.length * features);
  const first = new Float64Array(names.length * features).fill(Number.NaN);
  scan((column, value) => {
    if (Number.isNaN(first[column])) first[column] = value;
    else if (value !== first[column]) varies[column] = 1;
  });
  const { offset, scale } = Scaler.fitScan(scan, names.length * features, kind);
  // An entity that never showed two values of a column has no spread of its own to scale it by.
  const own = (list: readonly number[], common: readonly number[], e: number) =>
    common.map((value, c) => (shared.includes(c) || varies[e * features + c] === 0 ? value : list[e * features + c]));
  return new Map(names.map((name, e) => [name, new Scaler(kind, own(offset, all.offset, e), own(scale, all.scale, e))]));
}

/**
 * @file Draws what must stay together, whole series or groups of series, into train, validation and test, by shares or as one fold of k.
 *
 * Draws are stratified by label where every series has one constant label: each part gets its share of every class.
 */
import { OstinatoError } from "../core/errors.js";
import { seed as seeded } from "../core/rng.js";
import { checkFold, checkShares, type Shares } from "./time-cut.js";

/** One of k folds: its units are the test part, the units drawn next to it the validation part. */
export interface UnitFold {
  folds: number;
  /** Which one, 1 .. folds. */
  fold: number;
  /** Share of the units for validation. Default 1 / folds. */
  validation?: number;
}

export interface DrawOptions {
  seed?: number;
  /** Gives each part its share of every label. Default true. */
  stratified?: boolean;
}

export type UnitDrawOptions = (Shares | UnitFold) & DrawOptions;

/** What a draw sees of a series; `split` holds the group of each row, where groups are drawn. */
export interface DrawnSeries {
  entity: string;
  labels: readonly string[] | null;
  split: readonly string[] | null;
}

/** Units that must stay together, with the label they are stratified by. */
export interface Unit {
  series: number[];
  label: string;
}

/**
 * @param by "entity" for whole series, "group:<column>" for groups of series.
 * @returns per series the number of its part: 0 none, 1 train, 2 validation, 3 test.
 * @throws OST_SPLIT if a share or fold does not fit, there are too few units, or a series belongs to two groups.
 */
export function unitDraw(series: readonly DrawnSeries[], by: string, options: UnitDrawOptions): Uint8Array {
  const { seed = 0, stratified: balanced = true } = options;
  const noun = by === "entity" ? "series" : "groups";
  const members = by === "entity" ? series.map((_, s) => [s]) : groups(series, by);
  const { first, sizes } = "folds" in options ? foldSizes(members.length, options) : shareSizes(members.length, options);
  if (sizes.some(([code, count]) => code === 1 && count < 1)) {
    throw new OstinatoError("OST_SPLIT", {
      what: `too few ${noun} to divide`,
      expected: "folds" in options ? `at least ${options.folds} ${noun}, and one left for training` : `at least 3 ${noun}`,
      got: String(members.length),
      where: "data.split",
      repair: members.length === 1 ? "split by: time, or set data.entity" : "add data, or split by: time",
    });
  }
  const units = members.map((list) => ({ series: list, label: balanced ? commonLabel(series, list) : "" }));
  const order = stratified(units, seed);
  const part = new Uint8Array(series.length);
  let at = first;
  for (const [code, count] of sizes) {
    for (const end = at + count; at < end; at++) for (const s of order[at % order.length].series) part[s] = code;
  }
  return part;
}

/** Consecutive stretches of the drawn order: where the first begins (the order is a ring), and the part and size of each. */
interface Stretches {
  first: number;
  sizes: [code: number, count: number][];
}

function shareSizes(n: number, { train, validation, test }: Shares): Stretches {
  checkShares({ train, validation, test });
  const validated = Math.max(1, Math.round(validation * n));
  const tested = Math.max(1, Math.round(test * n));
  const all = train + validation + test >= 1 - 1e-9;
  const trained = all ? n - validated - tested : Math.min(n - validated - tested, Math.max(1, Math.round(train * n)));
  return {
    first: 0,
    sizes: [
      [1, trained],
      [2, validated],
      [3, tested],
    ],
  };
}

function foldSizes(n: number, { folds, fold, validation = 1 / folds }: UnitFold): Stretches {
  checkFold({ folds, fold });
  if (!(validation > 0 && validation < 1)) {
    throw new OstinatoError("OST_SPLIT", {
      what: "the share for validation does not fit",
      expected: "a share between 0 and 1",
      got: String(validation),
      where: "data.split.validation",
    });
  }
  const first = Math.floor((n * (fold - 1)) / folds);
  const tested = Math.floor((n * fold) / folds) - first;
  const validated = Math.max(1, Math.round(validation * n));
  return {
    first,
    sizes: [
      [3, tested],
      [2, validated],
      [1, folds > n ? 0 : n - tested - validated],
    ],
  };
}

function groups(series: readonly DrawnSeries[], by: string): number[][] {
  const members = new Map<string, number[]>();
  series.forEach(({ entity, split }, s) => {
    const group = split![0] ?? "";
    if (group === "") {
      throw new OstinatoError("OST_MISSING", {
        what: "a series belongs to no group",
        expected: `a value of ${by.slice("group:".length)} in every row`,
        got: `an empty cell in series "${entity}"`,
        where: "data.split.by",
        repair: "fill in the cell or remove the row",
      });
    }
    const other = split!.find((cell) => cell !== group);
    if (other !== undefined) {
      throw new OstinatoError("OST_SPLIT", {
        what: "a series belongs to two groups",
        expected: "one group per series",
        got: `"${group}" and "${other}" in series "${entity}"`,
        where: "data.split.by",
        repair: `set data.entity to a column that is constant within ${by}`,
      });
    }
    const list = members.get(group);
    if (list) list.push(s);
    else members.set(group, [s]);
  });
  return [...members.values()];
}

/** The label of units whose rows all have the same one, else "". */
export function commonLabel(series: readonly DrawnSeries[], members: readonly number[]): string {
  const label = series[members[0]].labels?.[0] ?? "";
  return members.every((s) => series[s].labels?.every((other) => other === label)) ? label : "";
}

/** An order of which every consecutive stretch holds nearly its share of each label: jittered ranks within each label, merged. */
export function stratified(units: readonly Unit[], seed: number): Unit[] {
  const rng = seeded(seed);
  const byLabel = new Map<string, Unit[]>();
  for (const unit of units) {
    const list = byLabel.get(unit.label);
    if (list) list.push(unit);
    else byLabel.set(unit.label, [unit]);
  }
  const keyed: { unit: Unit; key: number }[] = [];
  for (const list of byLabel.values()) {
    rng.shuffle(list).forEach((unit, i) => {
      keyed.push({ unit, key: (i + rng.uniform()) / list.length });
    });
  }
  return keyed.sort((a, b) => a.key - b.key).map(({ unit }) => unit);
}

/**
 * @file Nearly the same data in two parts: copies that were jittered, scaled, shifted or rounded.
 *
 * Units are whole series where each lies in one part, else windows. A unit becomes at most {@link CELLS} evenly spaced cells, each measured column
 * standardised within the unit, so that d^2 = 2 (1 - r) for the correlation r of two units. For every unit of validation and test (at most
 * {@link QUERIES}) its ten nearest units of training are found, no two from overlapping rows.
 *
 * A copy is far nearer than the next ones are. Among points that lie at random on an m-dimensional surface the nearest of ten is by chance
 * nearer than the share q of the tenth with probability 1 - (1 - q^m)^9 < 9 q^m; m is estimated from the neighbours five to ten (maximum
 * likelihood, Levina & Bickel 2005, NIPS 17; median over the units), which a copy or two do not disturb. A unit convicts if that
 * probability, times the number of units looked at, is below {@link LEVEL}, r >= {@link CORRELATION}, and the tenth neighbour is clearly
 * another one (d >= 0.25), so that smooth and periodic signals, all of whose neighbours are near, are not mistaken for copies. Three units are
 * wanted, or one with r >= 0.9999.
 *
 * Whole series are compared once more row by row, the one up to {@link SLIDE} rows later than the other: a copy whose first rows were cut off lies
 * elsewhere on every evenly spaced cell.
 */
import { PARTS } from "../../core/batch.js";
import type { Series } from "../series.js";
import type { AuditContext } from "./context.js";
import { type Finding, finding } from "./finding.js";
import { measuredColumns } from "./measured-column.js";

const CELLS = 96;
const QUERIES = 300;
const REFERENCES = 16_000;
const NEIGHBOURS = 10;
/** Rows by which whole series are moved against each other, rows wanted where they overlap and looked at of them, products in all. */
const SLIDE = 3;
const OVERLAP = { least: 16, most: 128 };
const PRODUCTS = 2e8;
/** Of more references, so many besides are compared because their sketch is near. */
const CANDIDATES = 16;
const LEVEL = 1e-3;
const CORRELATION = 0.98;
const FAR = 0.25;
/** So many units convict, or one that is a copy to this correlation. */
const LEAST_COPIES = 3;
const CERTAIN = 0.9999;
/** A column that moves less than this share of its usual deviation counts as flat. */
const FLAT = 0.05;
/**
 * A unit says enough to be told from others if half of its columns move, and if its variance is spread over as many cells: the inverse of the sum
 * of the squared shares, at least 3 cells and 6 % of them. One spike looks like any other.
 */
const SPREAD = { cells: 3, share: 0.06 };

interface Unit {
  series: number;
  from: number;
  to: number;
  cells: Float32Array;
}

/** The cells of rows [from, to) of a series, or null where they say too little. */
type MakeCells = (series: number, from: number, to: number) => Float32Array | null;

interface Neighbour {
  unit: Unit;
  d2: number;
}

export function nearDuplicates(audit: AuditContext): Finding[] {
  const columns = measuredColumns(audit).slice(0, 16);
  if (columns.length === 0) {
    return [
      finding("duplicates", "pass", "no equal rows or sessions across the parts", {
        detail: "inputs are codes: only equal ones were looked for",
      }),
    ];
  }
  const { queries, references, of, make, sessions } = unitsOf(audit, columns);
  if (queries.length < 3 || references.length < 2 * NEIGHBOURS) {
    return [
      finding("duplicates", "pass", "no equal rows or sessions across the parts", {
        detail: "too few units to look for nearly equal ones",
        evidence: { units: queries.length, trainingUnits: references.length },
      }),
    ];
  }
  const direct: Search = { compared: references.length, outnumbered: 1, nearestOf: (unit) => nearest(unit, references) };
  let { found, dimension, all } = judged(queries, direct);
  let rowByRow = 0;
  if (sessions && all.length < LEAST_COPIES) {
    const search = slide(audit, columns, queries, references);
    rowByRow = search.compared;
    const slid = judged(queries, search);
    if (slid.all.length > all.length) ({ found, dimension, all } = slid);
  }
  // A signal that repeats itself does so within training too: then the unit that was copied is not the only one of its series.
  const kept = all.filter((copy) => copy.unit.series !== copy.other.series || !recurs(audit, copy, make));
  const certain = kept.filter(({ correlation }) => correlation >= CERTAIN);
  const copies = kept.length >= LEAST_COPIES || certain.length > 0 ? kept : [];
  const evidence = {
    judged: found.length,
    judgedOf: of.queries,
    references: references.length,
    referencesOf: of.references,
    ...(rowByRow > 0 && { rowByRow }),
    copies: copies.length,
    repeatedByNature: all.length - kept.length,
    dimension: Number(dimension.toFixed(1)),
    level: LEVEL,
    leastCorrelation: CORRELATION,
  };
  const checked = `checked ${found.length.toLocaleString("en")} of ${of.queries.toLocaleString("en")} units against ${references.length.toLocaleString("en")} of training`;
  if (copies.length === 0)
    return [finding("duplicates", "pass", "no equal or nearly equal data across the parts", { detail: checked, evidence })];
  const best = copies.reduce((a, b) => (b.chance < a.chance ? b : a));
  const { subject } = audit;
  const name = ({ series, from, to }: Unit) =>
    `"${subject.series[series].entity}" ${audit.range(series, from, to)} in ${PARTS[subject.parts[series][from] - 1]}`;
  return [
    finding("duplicates", "leak", "nearly the same data are in two parts", {
      detail: `${copies.length} of ${found.length} units of validation and test are copies of training ones (r = ${best.correlation.toFixed(5)}, where the tenth nearest has r = ${best.next.toFixed(2)}); ${checked}`,
      evidence: { ...evidence, r: best.correlation, chance: best.chance },
      example: `${name(best.unit)} is a copy of ${name(best.other)}: r = ${best.correlation.toFixed(6)}`,
      repair:
        "remove the copies, or make them after the split and of training data only; keep what belongs together in one part with split.by: group:COLUMN",
    }),
  ];
}

interface Neighbourhood {
  unit: Unit;
  near: Neighbour[];
}

interface Copy {
  unit: Unit;
  other: Unit;
  correlation: number;
  chance: number;
  /** The correlation with the tenth neighbour. */
  next: number;
}

/** How the ten nearest units of a unit are found. */
interface Search {
  nearestOf: (unit: Unit) => Neighbour[];
  /** Units that every unit is compared with; {@link CANDIDATES} may come on top. */
  compared: number;
  /** How many times as many are those among which the nearest is looked for as those among which the other nine are. */
  outnumbered: number;
}

function judged(units: readonly Unit[], { nearestOf, outnumbered }: Search) {
  const found = units.map((unit) => ({ unit, near: nearestOf(unit) })).filter(({ near }) => near.length === NEIGHBOURS);
  const dimension = dimensionOf(found.map(({ near }) => near));
  return { found, dimension, all: copiesAmong(found, dimension, outnumbered) };
}

/**
 * The ten nearest whole series, each moved against the other to where they agree best. Of more references than {@link PRODUCTS} allow an evenly
 * spaced sample is compared, and those whose sketch is nearest: the nearest of them may take the first place, the others are of the sample.
 */
function slide(
  { subject }: AuditContext,
  columns: readonly number[],
  queries: readonly Unit[],
  references: readonly Unit[],
): Search {
  const rows = Math.min(OVERLAP.most, Math.max(...queries.map(({ from, to }) => to - from)));
  const most = Math.max(100, Math.floor(PRODUCTS / (queries.length * columns.length * rows * (2 * SLIDE + 1))));
  const stride = Math.max(1, references.length / most);
  const sample = Array.from({ length: Math.min(most, references.length) }, (_, k) => references[Math.floor(k * stride)]);
  const sketches = stride > 1 ? references.map(({ series }) => sketchOf(subject.series[series], columns)) : [];
  const compared = ({ series }: Unit, others: readonly Unit[]): Neighbour[] =>
    others
      .flatMap((unit) => {
        if (unit.series === series) return [];
        let best = -1;
        for (let lag = -SLIDE; lag <= SLIDE; lag++)
          best = Math.max(best, likeness(subject.series[series], subject.series[unit.series], lag, columns));
        return best > -1 ? [{ unit, d2: 2 * (1 - best) }] : [];
      })
      .sort((a, b) => a.d2 - b.d2)
      .slice(0, NEIGHBOURS);
  return {
    compared: sample.length,
    outnumbered: stride,
    nearestOf: (unit) => {
      const near = compared(unit, sample);
      const alike = stride > 1 ? nearestSketches(sketchOf(subject.series[unit.series], columns), sketches) : [];
      const candidates = alike.map((k) => references[k]);
      const first = compared(unit, candidates)[0];
      return first && near.length > 0 && first.d2 < near[0].d2 ? [first, ...near].slice(0, NEIGHBOURS) : near;
    },
  };
}

/**
 * What a shift, a scale and a little noise hardly change: of each column standardised, evenly spaced quantiles and the correlations of rows one to
 * four apart. Null where too little is there.
 */
function sketchOf({ rows, features }: Series, columns: readonly number[]): Float32Array | null {
  const width = features.length / rows;
  const quantiles = Math.max(3, Math.min(12, Math.floor(48 / columns.length)));
  const each = quantiles + 4;
  const sketch = new Float32Array(each * columns.length);
  for (const [k, c] of columns.entries()) {
    const values = new Float64Array(rows);
    let count = 0;
    for (let i = 0; i < rows; i++) if (!Number.isNaN(features[i * width + c])) values[count++] = features[i * width + c];
    if (count < OVERLAP.least) return null;
    const own = values.subarray(0, count);
    const origin = own[0];
    const mean = origin + own.reduce((sum, value) => sum + value - origin, 0) / count;
    const deviation = Math.sqrt(own.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count);
    if (!(deviation > 0)) continue;
    for (let i = 0; i < count; i++) own[i] = (own[i] - mean) / deviation;
    for (let lag = 1; lag <= 4; lag++) {
      let sum = 0;
      for (let i = lag; i < count; i++) sum += own[i] * own[i - lag];
      sketch[k * each + quantiles + lag - 1] = sum / (count - lag);
    }
    own.sort();
    for (let q = 0; q < quantiles; q++) sketch[k * each + q] = own[Math.floor(((q + 0.5) * count) / quantiles)];
  }
  return sketch;
}

/** The indices of the {@link CANDIDATES} nearest sketches. */
function nearestSketches(sketch: Float32Array | null, sketches: readonly (Float32Array | null)[]): number[] {
  const best: { k: number; d2: number }[] = [];
  if (!sketch) return [];
  sketches.forEach((other, k) => {
    if (!other) return;
    const limit = best.length === CANDIDATES ? best[CANDIDATES - 1].d2 : Number.POSITIVE_INFINITY;
    let d2 = 0;
    for (let at = 0; at < sketch.length && d2 < limit; at++) d2 += (sketch[at] - other[at]) ** 2;
    if (d2 >= limit) return;
    let at = best.length;
    while (at > 0 && best[at - 1].d2 > d2) at--;
    best.splice(at, 0, { k, d2 });
    if (best.length > CANDIDATES) best.pop();
  });
  return best.map(({ k }) => k);
}

/** The mean over the columns of the correlation of row i of one with row i + lag of the other; -1 where too little overlaps. */
function likeness(one: Series, other: Series, lag: number, columns: readonly number[]): number {
  const first = Math.max(0, -lag);
  const count = Math.min(one.rows, other.rows - lag) - first;
  if (count < OVERLAP.least) return -1;
  const stride = Math.ceil(count / OVERLAP.most);
  const [width, otherWidth] = [one.features.length / one.rows, other.features.length / other.rows];
  let total = 0;
  for (const c of columns) {
    let n = 0;
    let [x1, y1, xx, yy, xy] = [0, 0, 0, 0, 0];
    const [x0, y0] = [one.features[first * width + c], other.features[(first + lag) * otherWidth + c]];
    for (let i = first; i < first + count; i += stride) {
      const x = one.features[i * width + c] - x0;
      const y = other.features[(i + lag) * otherWidth + c] - y0;
      n++;
      x1 += x;
      y1 += y;
      xx += x * x;
      yy += y * y;
      xy += x * y;
    }
    const size = Math.sqrt((xx - (x1 * x1) / n) * (yy - (y1 * y1) / n));
    const r = size > 0 ? (xy - (x1 * y1) / n) / size : 0;
    if (Number.isNaN(r)) return -1;
    total += r;
  }
  return total / columns.length;
}

/** Units whose nearest neighbour is too near to be another. */
function copiesAmong(found: readonly Neighbourhood[], dimension: number, outnumbered: number): Copy[] {
  return found.flatMap(({ unit, near }) => {
    const first = Math.sqrt(near[0].d2);
    const tenth = Math.sqrt(near[NEIGHBOURS - 1].d2);
    const chance = 9 * outnumbered * (first / tenth) ** dimension;
    const correlation = 1 - near[0].d2 / 2;
    return correlation >= CORRELATION && tenth >= FAR && chance * found.length < LEVEL
      ? [{ unit, other: near[0].unit, correlation, chance, next: 1 - near[NEIGHBOURS - 1].d2 / 2 }]
      : [];
  });
}

/** Whether the original of a copy occurs once more among the training rows of its series, nearly as near as the copy is. */
function recurs({ subject }: AuditContext, { other, correlation }: Copy, make: MakeCells): boolean {
  const length = other.to - other.from;
  const part = subject.parts[other.series];
  const reach = Math.max(9 * 2 * (1 - correlation), 4e-4);
  let run = 0;
  for (let i = 0; i < part.length; i++) {
    run = part[i] === 1 ? run + 1 : 0;
    const from = i + 1 - length;
    if (run < length || (from < other.to && other.from < i + 1)) continue;
    const cells = make(other.series, from, i + 1);
    if (!cells) continue;
    let d2 = 0;
    for (let at = 0; at < cells.length && d2 <= reach; at++) d2 += (cells[at] - other.cells[at]) ** 2;
    if (d2 <= reach) return true;
  }
  return false;
}

/** Validation and test units, and training ones. */
function unitsOf(audit: AuditContext, columns: readonly number[]) {
  const { subject } = audit;
  const whole = subject.parts.every((codes) => codes.every((code) => code === codes[0]));
  const rows = subject.series.map((one) => one.rows);
  const sessions = whole && subject.length === 0 && subject.series.length >= 10;
  const width = subject.roles.features.length;
  const usual = (of: readonly Series[]) => columns.map((c) => usualDeviation(of, c, width));
  // A session is compared with all others, a window with its own series: scales may differ from series to series.
  const deviations = sessions ? usual(subject.series) : null;
  const own = new Map<number, number[]>();
  const make: MakeCells = (s, from, to) => {
    const scale = deviations ?? own.get(s) ?? own.set(s, usual([subject.series[s]])).get(s)!;
    return cellsOf(subject.series[s], from, to, columns, scale);
  };
  const length = Math.max(8, Math.min(64, subject.length || Math.min(...rows.filter((count) => count >= 8), 32)));
  const places = (codes: readonly number[]): [series: number, from: number, to: number][] => {
    if (sessions) {
      return subject.series.flatMap((one, s): [number, number, number][] =>
        codes.includes(subject.parts[s][0]) && one.rows >= 8 ? [[s, 0, one.rows]] : [],
      );
    }
    const list: [number, number, number][] = [];
    subject.parts.forEach((part, s) => {
      let run = 0;
      for (let i = 0; i < part.length; i++) {
        run = codes.includes(part[i]) && run > 0 && part[i] === part[i - 1] ? run + 1 : codes.includes(part[i]) ? 1 : 0;
        if (run >= length) list.push([s, i - length + 1, i + 1]);
      }
    });
    return list;
  };
  const units = (all: [number, number, number][], most: number): Unit[] => {
    const stride = Math.max(1, all.length / most);
    const list: Unit[] = [];
    for (let k = 0; k < Math.min(most, all.length); k++) {
      const [series, from, to] = all[Math.floor(k * stride)];
      const cells = make(series, from, to);
      if (cells) list.push({ series, from, to, cells });
    }
    return list;
  };
  const judged = places([2, 3]);
  const known = places([1]);
  return {
    queries: units(judged, QUERIES),
    references: units(known, REFERENCES),
    of: { queries: judged.length, references: known.length },
    make,
    sessions,
  };
}

function usualDeviation(series: readonly Series[], column: number, width: number): number {
  let count = 0;
  let mean = 0;
  let squares = 0;
  for (const { rows, features } of series) {
    for (let i = 0; i < rows; i++) {
      const value = features[i * width + column];
      if (Number.isNaN(value)) continue;
      count++;
      const before = value - mean;
      mean += before / count;
      squares += before * (value - mean);
    }
  }
  return count > 0 ? Math.sqrt(squares / count) : 0;
}

/** Evenly spaced cells of a unit, each column standardised and all scaled to mean square 1; null where it is flat or has missing cells. */
function cellsOf(
  { rows, features }: Series,
  from: number,
  to: number,
  columns: readonly number[],
  deviations: readonly number[],
): Float32Array | null {
  const width = features.length / rows;
  const points = Math.max(8, Math.floor(CELLS / columns.length));
  const cells = new Float32Array(points * columns.length);
  let used = 0;
  for (const [k, c] of columns.entries()) {
    let mean = 0;
    let squares = 0;
    for (let p = 0; p < points; p++) {
      const row = from + Math.round((p * (to - from - 1)) / (points - 1));
      const value = features[row * width + c];
      if (Number.isNaN(value)) return null;
      cells[k * points + p] = value - features[from * width + c];
      mean += (value - features[from * width + c]) / points;
    }
    for (let p = 0; p < points; p++) squares += (cells[k * points + p] - mean) ** 2 / points;
    const deviation = Math.sqrt(squares);
    const scale = deviation > FLAT * deviations[k] ? 1 / deviation : 0;
    if (scale > 0) used++;
    for (let p = 0; p < points; p++) cells[k * points + p] = (cells[k * points + p] - mean) * scale;
  }
  if (used === 0 || used < columns.length / 2) return null;
  const size = 1 / Math.sqrt(points * used);
  let shares = 0;
  for (let at = 0; at < cells.length; at++) {
    cells[at] *= size;
    shares += cells[at] ** 4;
  }
  return shares * Math.max(SPREAD.cells, SPREAD.share * points * used) <= 1 ? cells : null;
}

/** The ten nearest units, nearest first, no two of overlapping rows. */
function nearest({ cells, series, from, to }: Unit, references: readonly Unit[]): Neighbour[] {
  const near: Neighbour[] = [];
  let limit = Number.POSITIVE_INFINITY;
  for (const unit of references) {
    if (unit.series === series && unit.from < to && from < unit.to) continue;
    let d2 = 0;
    for (let at = 0; at < cells.length && d2 < limit; at++) d2 += (cells[at] - unit.cells[at]) ** 2;
    if (d2 >= limit) continue;
    const same = near.findIndex(
      ({ unit: other }) => other.series === unit.series && other.from < unit.to && unit.from < other.to,
    );
    if (same >= 0) {
      if (near[same].d2 <= d2) continue;
      near.splice(same, 1);
    }
    let at = near.length;
    while (at > 0 && near[at - 1].d2 > d2) at--;
    near.splice(at, 0, { unit, d2 });
    if (near.length > NEIGHBOURS) near.pop();
    limit = near.length === NEIGHBOURS ? near[NEIGHBOURS - 1].d2 : Number.POSITIVE_INFINITY;
  }
  return near;
}

/** Mean over j = 5 .. 9 of E[-log of the j-th smallest of nine uniform numbers] = 1/j + ... + 1/9: what the mean logarithm is times m. */
const EXPECTED = [5, 6, 7, 8, 9].reduce((sum, j) => {
  for (let i = j; i <= 9; i++) sum += 1 / i / 5;
  return sum;
}, 0);

/** The dimension the neighbourhoods look to have, at least 1. */
function dimensionOf(lists: readonly Neighbour[][]): number {
  const inverse = lists
    .map((near) => {
      let sum = 0;
      for (let j = 4; j < NEIGHBOURS - 1; j++) sum += 0.5 * Math.log(near[NEIGHBOURS - 1].d2 / Math.max(1e-30, near[j].d2));
      return sum / (NEIGHBOURS - 5);
    })
    .sort((a, b) => a - b);
  const middle = inverse[Math.floor(inverse.length / 2)] ?? 1;
  return Math.max(1, Math.min(24, EXPECTED / Math.max(1e-6, middle)));
}

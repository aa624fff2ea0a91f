/**
 * @file Exact order statistics of columns, also of those too long to be sorted in memory: radix selection on the bits of the numbers.
 *
 * A float64's bits, with the sign bit flipped for positive and all bits flipped for negative numbers, order as unsigned integers do. Four
 * passes of 16 bits each narrow a rank down to one number; a pass holds one histogram per prefix that is still wanted.
 */
import type { ValueScan } from "./transform.js";

const DIGITS = 4;
const BUCKETS = 65_536;

const number = new Float64Array(1);
const halves = new Uint32Array(number.buffer);
/** Which half holds the sign: 1 on little-endian machines. */
const HIGH = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 1 : 0;

/** Writes the four 16-bit digits of the key of a value, most significant first. Zero has no sign. */
function digitsOf(value: number, digits: Uint16Array): void {
  number[0] = value + 0;
  let high = halves[HIGH];
  let low = halves[1 - HIGH];
  if (high & 0x80000000) {
    high = ~high;
    low = ~low;
  } else high ^= 0x80000000;
  digits[0] = high >>> 16;
  digits[1] = high & 0xffff;
  digits[2] = low >>> 16;
  digits[3] = low & 0xffff;
}

function numberOf(digits: readonly number[]): number {
  let high = ((digits[0] << 16) | digits[1]) >>> 0;
  let low = ((digits[2] << 16) | digits[3]) >>> 0;
  if (high & 0x80000000) high ^= 0x80000000;
  else {
    high = ~high;
    low = ~low;
  }
  halves[HIGH] = high;
  halves[1 - HIGH] = low;
  return number[0];
}

/** Values that are sorted in memory at once. */
const SORTED_AT_ONCE = 4_194_304;

/**
 * The values of given ranks, as if each column had been sorted.
 *
 * Columns that fit into memory are sorted there, as many at a time as fit; a longer one is searched where it is.
 *
 * @param counts values of each column.
 * @param ranks  per column the ranks wanted, each 0 .. counts[column] - 1.
 */
export function orderStatistics(
  scan: ValueScan,
  counts: ArrayLike<number>,
  ranks: readonly (readonly number[])[],
  { sortedAtOnce = SORTED_AT_ONCE }: { sortedAtOnce?: number } = {},
): number[][] {
  const found: number[][] = ranks.map(() => []);
  let group: number[] = [];
  let held = 0;
  const sortGroup = () => {
    if (group.length > 0)
      for (const [i, values] of sorted(scan, counts, group).entries())
        found[group[i]] = ranks[group[i]].map((rank) => values[rank]);
    group = [];
    held = 0;
  };
  for (let column = 0; column < ranks.length; column++) {
    if (ranks[column].length === 0) continue;
    if (counts[column] > sortedAtOnce) {
      found[column] = selected(scan, column, ranks[column]);
      continue;
    }
    if (held + counts[column] > sortedAtOnce) sortGroup();
    group.push(column);
    held += counts[column];
  }
  sortGroup();
  return found;
}

function sorted(scan: ValueScan, counts: ArrayLike<number>, columns: readonly number[]): Float64Array[] {
  const places = new Map(columns.map((column, i) => [column, i]));
  const values = columns.map((column) => new Float64Array(counts[column]));
  const filled = new Float64Array(columns.length);
  scan((column, value) => {
    const place = places.get(column);
    if (place !== undefined) values[place][filled[place]++] = value + 0;
  });
  return values.map((list) => list.sort());
}

/** The values of ranks in one column, of any length. */
function selected(scan: ValueScan, column: number, ranks: readonly number[]): number[] {
  const wanted = ranks.map((rank) => ({ rank, prefix: [] as readonly number[] }));
  const digits = new Uint16Array(DIGITS);
  for (let d = 0; d < DIGITS; d++) {
    const histograms = new Map(wanted.map(({ prefix }) => [prefix.join(), { prefix, counts: new Float64Array(BUCKETS) }]));
    const list = [...histograms.values()];
    scan((c, value) => {
      if (c !== column) return;
      digitsOf(value, digits);
      for (const { prefix, counts } of list) {
        let k = 0;
        while (k < d && prefix[k] === digits[k]) k++;
        if (k === d) counts[digits[d]]++;
      }
    });
    for (const one of wanted) {
      const { counts } = histograms.get(one.prefix.join()) as { counts: Float64Array };
      let digit = 0;
      while (one.rank >= counts[digit]) one.rank -= counts[digit++];
      one.prefix = [...one.prefix, digit];
    }
  }
  return wanted.map(({ prefix }) => numberOf(prefix));
}

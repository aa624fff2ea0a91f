/**
 * @file Exact order statistics of columns too long to be sorted in memory: radix selection on the bits of the numbers.
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

/**
 * The values of given ranks, as if each column had been sorted.
 *
 * @param ranks per column the ranks wanted, each 0 .. n - 1 for a column of n values.
 */
export function orderStatistics(scan: ValueScan, ranks: readonly (readonly number[])[]): number[][] {
  const wanted = ranks.map((list) => list.map((rank) => ({ rank, prefix: [] as number[] })));
  const digits = new Uint16Array(DIGITS);
  for (let d = 0; d < DIGITS; d++) {
    const histograms = wanted.map(
      (list) => new Map(list.map(({ prefix }) => [prefix.join(), { prefix, counts: new Uint32Array(BUCKETS) }])),
    );
    const lists = histograms.map((map) => [...map.values()]);
    scan((column, value) => {
      digitsOf(value, digits);
      for (const { prefix, counts } of lists[column]) {
        let k = 0;
        while (k < d && prefix[k] === digits[k]) k++;
        if (k === d) counts[digits[d]]++;
      }
    });
    wanted.forEach((list, column) => {
      for (const one of list) {
        const { counts } = histograms[column].get(one.prefix.join()) as { counts: Uint32Array };
        let digit = 0;
        while (one.rank >= counts[digit]) one.rank -= counts[digit++];
        one.prefix = [...one.prefix, digit];
      }
    });
  }
  return wanted.map((list) => list.map(({ prefix }) => numberOf(prefix)));
}

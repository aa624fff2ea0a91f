import { describe, expect, it } from "vitest";
import { seed } from "../core/rng.js";
import { bootstrap, compare } from "./bootstrap.js";

/** Loss pairs whose difference has mean `shift` and is autocorrelated within each series. */
function losses(value: number, { clusters, length, shift, persistence }: Record<string, number>) {
  const rng = seed(value);
  const a: number[] = [];
  const b: number[] = [];
  const series: number[] = [];
  for (let s = 0; s < clusters; s++) {
    let drift = rng.normal() / Math.sqrt(1 - persistence ** 2);
    for (let t = 0; t < length; t++) {
      drift = persistence * drift + rng.normal();
      const common = Math.abs(rng.normal());
      a.push(common + shift + drift);
      b.push(common);
      series.push(s);
    }
  }
  return { a, b, series };
}

function coverage(shape: Record<string, number>, span = 1): number {
  let covered = 0;
  const repeats = 100;
  for (let r = 0; r < repeats; r++) {
    const { a, b, series } = losses(1000 + r, shape);
    const { interval95 } = compare(a, b, series, { rng: seed(r), resamples: 300, span });
    const [low, high] = interval95 as [number, number];
    if (low <= shape.shift && shape.shift <= high) covered++;
  }
  return covered / repeats;
}

describe("paired bootstrap", () => {
  it("covers the true difference about as often as it says: independent units of one series", () => {
    const share = coverage({ clusters: 1, length: 300, shift: 0.2, persistence: 0 });
    expect(share).toBeGreaterThan(0.87);
  });

  it("covers it when neighbours resemble each other, because blocks grow with that", () => {
    const share = coverage({ clusters: 1, length: 800, shift: 0.2, persistence: 0.8 });
    expect(share).toBeGreaterThan(0.83);
  });

  it("covers it when whole entities resemble themselves", () => {
    const share = coverage({ clusters: 25, length: 12, shift: 0.2, persistence: 0.95 });
    expect(share).toBeGreaterThan(0.87);
  });

  it("would be far too sure if units were resampled one by one", () => {
    let covered = 0;
    for (let r = 0; r < 100; r++) {
      const { a, b, series } = losses(1000 + r, { clusters: 1, length: 800, shift: 0.2, persistence: 0.8 });
      const { interval95 } = compare(a, b, series, { rng: seed(r), resamples: 300, blockLength: 1 });
      const [low, high] = interval95 as [number, number];
      if (low <= 0.2 && 0.2 <= high) covered++;
    }
    expect(covered / 100).toBeLessThan(0.7);
  });

  it("states the plain difference, and the same interval for the same seed", () => {
    const { a, b, series } = losses(1, { clusters: 10, length: 5, shift: 0.5, persistence: 0 });
    const mean = (list: number[]) => list.reduce((sum, v) => sum + v, 0) / list.length;
    const first = compare(a, b, series, { rng: seed(3) });
    expect(first.difference).toBeCloseTo(mean(a) - mean(b), 12);
    expect(first).toEqual(compare(a, b, series, { rng: seed(3) }));
    expect(first).toMatchObject({ n: 50, clusters: 10, unit: "entity", resamples: 2000 });
    expect(first.note).toBeUndefined();
  });

  it("swaps sign and ends with the two sides swapped", () => {
    const { a, b, series } = losses(2, { clusters: 9, length: 4, shift: 0.5, persistence: 0 });
    const ab = compare(a, b, series, { rng: seed(1) });
    const ba = compare(b, a, series, { rng: seed(1) });
    expect(ba.difference).toBeCloseTo(-ab.difference, 12);
    expect(ba.interval95?.[0]).toBeCloseTo(-(ab.interval95?.[1] as number), 10);
  });

  it("resamples whole groups where the split was by group, and covers what series alone would not", () => {
    const rng = seed(4);
    const [groups, perGroup, length] = [12, 6, 5];
    let byGroup = 0;
    let bySeries = 0;
    for (let r = 0; r < 100; r++) {
      const a: number[] = [];
      const series: number[] = [];
      for (let g = 0; g < groups; g++) {
        const shift = rng.normal();
        for (let s = 0; s < perGroup; s++) {
          for (let t = 0; t < length; t++) {
            a.push(0.3 + shift + rng.normal());
            series.push(g * perGroup + s);
          }
        }
      }
      const b = a.map(() => 0);
      const clusterOf = Int32Array.from({ length: groups * perGroup }, (_, s) => Math.floor(s / perGroup));
      const covers = ({ interval95 }: ReturnType<typeof compare>) => interval95![0] <= 0.3 && 0.3 <= interval95![1];
      const grouped = compare(a, b, series, { rng: seed(r), resamples: 300, clusterOf });
      expect(grouped).toMatchObject({ unit: "group", clusters: groups });
      if (covers(grouped)) byGroup++;
      if (covers(compare(a, b, series, { rng: seed(r), resamples: 300 }))) bySeries++;
    }
    expect(byGroup).toBeGreaterThan(82);
    expect(bySeries).toBeLessThan(70);
  });

  it("says that too few groups say nothing of other groups", () => {
    const { a, b, series } = losses(2, { clusters: 10, length: 20, shift: 0.5, persistence: 0 });
    const clusterOf = Int32Array.from({ length: 10 }, (_, s) => s % 3);
    const result = compare(a, b, series, { rng: seed(1), clusterOf });
    expect(result).toMatchObject({ unit: "entity", clusters: 10 });
    expect(result.note).toMatch(/3 groups are too few.*nothing of other groups/);
  });

  it("resamples blocks within series where there are few, and says so", () => {
    const { a, b, series } = losses(2, { clusters: 3, length: 100, shift: 0.5, persistence: 0 });
    const result = compare(a, b, series, { rng: seed(1) });
    expect(result.unit).toBe("block");
    expect(result.clusters).toBe(3);
    expect(result.note).toMatch(/3 series are too few/);
  });

  it("makes blocks as long as two windows share data, and warns where a series holds few of them", () => {
    const { a, b, series } = losses(2, { clusters: 1, length: 1000, shift: 0.5, persistence: 0 });
    expect(compare(a, b, series, { rng: seed(1), span: 40 }).blockLength).toBe(40);
    const everyTenth = series.map((_, i) => 10 * i);
    const spaced = compare(a, b, series, { rng: seed(1), span: 400, position: everyTenth });
    expect(spaced.blockLength).toBe(40);
    expect(spaced.note).toBeUndefined();
    const few = compare(a, b, series, { rng: seed(1), span: 120 });
    expect(few.interval95).not.toBeNull();
    expect(few.note).toMatch(/only 8 blocks.*rough/);
  });

  it("gives no interval below four blocks, and a doubtful one where each of several series holds fewer", () => {
    const { a, b, series } = losses(2, { clusters: 1, length: 1000, shift: 0.5, persistence: 0 });
    const none = compare(a, b, series, { rng: seed(1), span: 300 });
    expect(none).toMatchObject({ interval95: null, blockLength: 300, resamples: 0 });
    expect(none.note).toMatch(/fewer than 4 blocks of 300/);
    expect(compare(a, b, series, { rng: seed(1), span: 250 }).interval95).not.toBeNull();
    const apart = series.map((_, i) => Math.floor(i / 250));
    expect(compare(a, b, apart, { rng: seed(1), span: 100 }).note).toMatch(/optimistic/);
  });

  it("holds the difference, wherever in the series the mistakes lie", () => {
    for (const from of [0, 145, 290]) {
      const a = Array.from({ length: 300 }, (_, i) => (i >= from && i < from + 10 ? 3 : 0));
      const none = a.map(() => 0);
      const { difference, interval95 } = compare(a, none, none, { rng: seed(1), span: 48 });
      expect(difference).toBeCloseTo(0.1, 12);
      expect(interval95![0]).toBeLessThan(0.1);
      expect(interval95![1]).toBeGreaterThan(0.15);
    }
    for (let r = 0; r < 30; r++) {
      const rng = seed(50 + r);
      const a = Array.from({ length: 40 + rng.integer(200) }, () => (rng.integer(20) === 0 ? rng.normal() ** 2 : 0));
      const b = a.map(() => (rng.integer(30) === 0 ? 1 : 0));
      const place = a.map(() => 0);
      const { difference, interval95 } = compare(a, b, place, { rng, span: 1 + rng.integer(9), resamples: 200 });
      expect(interval95![0]).toBeLessThanOrEqual(difference);
      expect(interval95![1]).toBeGreaterThanOrEqual(difference);
    }
    const same = new Array(60).fill(0.1);
    const alike = compare(same, same, same, { rng: seed(1) });
    expect(alike).toMatchObject({ difference: 0, interval95: [0, 0] });
  });

  it("covers it with seven blocks as well, being widened for their number", () => {
    const share = coverage({ clusters: 1, length: 350, shift: 0.2, persistence: 0.9 }, 50);
    expect(share).toBeGreaterThan(0.89);
  });

  it("gives no interval for a handful of units", () => {
    expect(compare([1, 2], [0, 0], [0, 0], { rng: seed(1) })).toMatchObject({ difference: 1.5, interval95: null });
  });

  it("does not depend on the order in which units arrive", () => {
    const { a, b, series } = losses(5, { clusters: 1, length: 60, shift: 0, persistence: 0.5 });
    const position = series.map((_, i) => i);
    const order = seed(9).shuffle(position.slice());
    const pick = (list: number[]) => order.map((i) => list[i]);
    const straight = compare(a, b, series, { rng: seed(1), position });
    const mixed = compare(pick(a), pick(b), series, { rng: seed(1), position: order });
    expect(mixed.interval95?.[0]).toBeCloseTo(straight.interval95?.[0] as number, 10);
    expect(mixed.blockLength).toBe(straight.blockLength);
  });

  it("refuses lists of different lengths, and no units at all", () => {
    expect(() => compare([1], [1, 2], [0], { rng: seed(1) })).toThrow(/OST_SHAPE/);
    expect(() => compare([], [], [], { rng: seed(1) })).toThrow(/OST_TARGET/);
  });

  it("sums several units into one cell where the table would be too large, with nearly the same interval", () => {
    const n = 3000;
    const { a, b, series } = losses(8, { clusters: 1, length: n, shift: 0.3, persistence: 0.3 });
    const wide = (width: number) =>
      bootstrap(
        {
          series,
          position: series.map((_, i) => i),
          width,
          add(side, unit, into, at) {
            into[at] += (side === 0 ? a : b)[unit];
            into[at + 1]++;
          },
          statistic: (sums, at) => sums[at] / sums[at + 1],
          difference: (unit) => a[unit] - b[unit],
        },
        { rng: seed(2), resamples: 500, blockLength: 30 },
      );
    const [narrow, coarse] = [wide(2), wide(2000)];
    expect(coarse.difference).toBeCloseTo(narrow.difference, 10);
    const spread = ({ interval95 }: typeof narrow) => (interval95 as [number, number])[1] - (interval95 as [number, number])[0];
    expect(spread(coarse) / spread(narrow)).toBeGreaterThan(0.75);
    expect(spread(coarse) / spread(narrow)).toBeLessThan(1.33);
  });
});

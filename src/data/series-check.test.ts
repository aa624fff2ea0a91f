import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Series } from "./series.js";
import { checkSeries, durationName, type SeriesCheckOptions } from "./series-check.js";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const of = (time: number[] | null, features: number[] = [], rows = time?.length ?? features.length): Series => ({
  entity: "x",
  rows,
  row: Int32Array.from({ length: rows }, (_, i) => i + 101),
  time: time && Float64Array.from(time),
  features: Float64Array.from(features),
  target: null,
  labels: null,
  split: null,
});
const times = (time: number[], options: Partial<SeriesCheckOptions> = {}) =>
  checkSeries([of(time)], { features: [], ...options })[0].time!;
const steps = (count: number, ms: number, start = Date.UTC(2021, 0, 1)) =>
  Array.from({ length: count }, (_, i) => start + i * ms);

describe("the clock of a series", () => {
  it("has a frequency, and steps off it are gaps where rows are left out", () => {
    const made = times(steps(100, 15 * 60_000).filter((_, i) => i !== 50 && (i < 70 || i > 74)));
    expect(made.frequency).toEqual({ ms: 900_000, name: "15 min" });
    expect(made.gaps).toEqual({ count: 2, row: 151, missingRows: 6, longestMs: 6 * 900_000, longestRow: 170 });
    expect(made.offFrequency).toBeCloseTo(2 / 93);
    expect([made.first, made.last]).toEqual([Date.UTC(2021, 0, 1), Date.UTC(2021, 0, 1) + 99 * 900_000]);
  });

  it("is found under jitter, and months and years are steps of one length", () => {
    const jittered = times(steps(500, 60_000).map((at, i) => at + (i % 7) * 40));
    expect(jittered.frequency!.ms).toBeCloseTo(60_000, -3);
    expect([jittered.offFrequency, jittered.gaps.count]).toEqual([0, 0]);
    let at = Date.UTC(2021, 0, 1);
    const mixed = times(Array.from({ length: 90 }, (_, i) => (at += i % 3 === 0 ? 10_000 : 60_000 + (i % 37) * 5)));
    expect(Math.abs(mixed.frequency!.ms - 60_000)).toBeLessThan(600);
    const uneven = times(steps(50, 60_000).map((one, i) => one + (i % 10 === 9 ? 20_000 : 0)));
    expect([uneven.gaps.count, uneven.offFrequency]).toEqual([0, 9 / 49]);
    const monthly = times(Array.from({ length: 40 }, (_, i) => Date.UTC(2019, i, 1)));
    expect([monthly.frequency!.name, monthly.offFrequency, monthly.gaps.count]).toEqual(["1 month", 0, 0]);
    const skipped = times([0, 1, 2, 3, 5, 6, 7].map((month) => Date.UTC(2019, month, 1)));
    expect(skipped.gaps).toMatchObject({ count: 1, missingRows: 1, row: 105 });
    const yearly = times(Array.from({ length: 20 }, (_, i) => Date.UTC(1990 + i, 0, 1)));
    expect([yearly.frequency!.name, yearly.gaps.count]).toEqual(["1 year", 0]);
    expect(times([5]).frequency).toBeNull();
  });

  it("counts exactly the rows that are missing from a regular grid", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 1, max: 198 }), { maxLength: 40 }),
        fc.integer({ min: 1, max: 1e6 }),
        (out, ms) => {
          const { gaps, frequency } = times(steps(200, ms).filter((_, i) => !out.includes(i)));
          expect(frequency!.ms).toBe(ms);
          expect(gaps.missingRows).toBe(out.length);
          expect(gaps.count).toBe(out.filter((i) => !out.includes(i - 1)).length);
        },
      ),
    );
  });

  it("may run backwards and stand still, which is counted wherever it occurs", () => {
    const made = times([0, 10, 20, 15, 20, 20, 30].map((at) => Date.UTC(2021, 0, 1) + at * 1000));
    expect(made.backward).toEqual({ count: 1, row: 104 });
    expect(made.duplicates).toEqual({ count: 2, row: 105 });
    expect([made.first, made.last]).toEqual([Date.UTC(2021, 0, 1), Date.UTC(2021, 0, 1) + 30_000]);
  });

  it("may lie in the future, before 1980 or beyond all sense", () => {
    const now = Date.UTC(2022, 0, 1);
    const made = times([0, Date.UTC(2021, 0, 1), now, now + 1, Date.UTC(2500, 0, 1)], { now });
    expect([made.before1980, made.future, made.after2200]).toEqual([
      { count: 1, row: 101 },
      { count: 2, row: 104 },
      { count: 1, row: 105 },
    ]);
    expect(times([now + DAY]).future.count).toBe(0);
  });

  it("may change its unit", () => {
    const start = Date.UTC(2021, 0, 1);
    expect(times([start, start + 1000, (start + 2000) / 1000, start + 3000]).unitJumps).toEqual({ count: 2, row: 103 });
    expect(times([start, (start + 1000) * 1000]).unitJumps).toEqual({ count: 1, row: 102 });
    expect(times([0, 1, 1000, 1_000_000]).unitJumps.count).toBe(0);
  });
});

describe("daylight saving", () => {
  /** Local clock readings of the zone, written as if they were UTC. */
  const local = (zone: string, utc: number[]) => {
    const format = new Intl.DateTimeFormat("en-GB", {
      timeZone: zone,
      dateStyle: "short",
      timeStyle: "medium",
      hourCycle: "h23",
    });
    return utc.map((at) => {
      const [day, month, year, hour, minute, second] = format.format(at).match(/\d+/g)!.map(Number);
      return Date.UTC(year, month - 1, day, hour, minute, second);
    });
  };
  const twoYears = steps(2 * 365 * 24, HOUR, Date.UTC(2021, 0, 1));

  it.each([
    ["Europe/Berlin", "Europe"],
    ["Europe/London", "Europe"],
    ["America/New_York", "North America"],
    ["America/Los_Angeles", "North America"],
    ["Australia/Sydney", "Australia and New Zealand"],
    ["Pacific/Auckland", "Australia and New Zealand"],
  ])("is seen twice a year in hourly local time of %s", (zone, region) => {
    const { clockChanges } = times(local(zone, twoYears));
    expect([clockChanges.count, clockChanges.elsewhere]).toEqual([4, 0]);
    for (const step of clockChanges.steps) expect(step.region).toBe(region);
    expect(clockChanges.steps.map(({ minutes }) => minutes).reduce((sum, minutes) => sum + minutes, 0)).toBe(0);
  });

  it("is seen in days counted at local midnight, and names the row", () => {
    const readings = local("Europe/Berlin", twoYears);
    const midnights = twoYears.filter((_, i) => new Date(readings[i]).getUTCHours() === 0);
    const { clockChanges, frequency } = times(midnights);
    expect(frequency!.name).toBe("1 d");
    expect(clockChanges.count).toBe(4);
    expect(clockChanges.steps[0]).toMatchObject({ minutes: -60, region: "Europe", at: "2021-03-28T22:00:00.000Z" });
    expect(midnights[clockChanges.steps[0].row - 101]).toBe(Date.parse("2021-03-28T22:00:00Z"));
  });

  it("is not seen in UTC, nor in zones without it, nor in single missing hours on other days", () => {
    expect(times(twoYears).clockChanges).toEqual({ count: 0, steps: [], elsewhere: 0 });
    expect(times(local("Asia/Tokyo", twoYears)).clockChanges.count).toBe(0);
    const holes = times(twoYears.filter((_, i) => i % 500 !== 250)).clockChanges;
    expect([holes.count, holes.elsewhere]).toEqual([0, 35]);
  });
});

describe("the features of a series", () => {
  it("have a share of missing values, and may be constant or empty", () => {
    const na = Number.NaN;
    const [check] = checkSeries([of(null, [1, 5, na, 7, na, 5, na, 7, 2, na, na, na], 3)], { features: ["a", "b", "c", "d"] });
    expect(check).toEqual({
      entity: "x",
      rows: 3,
      time: null,
      missing: [1 / 3, 1 / 3, 1, 1 / 3],
      constant: ["b", "d"],
      empty: ["c"],
    });
  });

  it("are checked in every series, however many", () => {
    const many = Array.from({ length: 500 }, (_, s) => of(steps(3, s === 499 ? HOUR : DAY), [1, 2, s === 499 ? Number.NaN : 3]));
    const checks = checkSeries(many, { features: ["a"] });
    expect([checks.length, checks[499].missing[0], checks[499].time!.frequency!.name]).toEqual([500, 1 / 3, "1 h"]);
    expect(checkSeries([of([], [])], { features: ["a"] })[0]).toMatchObject({ rows: 0, missing: [0], empty: ["a"] });
  });
});

it("names durations as a person would", () => {
  expect([40, 1000, 90_000, 900_000, 5_400_000, DAY, 7 * DAY, 14 * DAY, 1234.5, 0.5].map(durationName)).toEqual([
    "40 ms",
    "1 s",
    "90 s",
    "15 min",
    "90 min",
    "1 d",
    "1 week",
    "2 weeks",
    "1.23 s",
    "0.5 ms",
  ]);
});

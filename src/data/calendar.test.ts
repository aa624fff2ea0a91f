import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CALENDAR_PARTS, Calendar, type CalendarPart } from "./calendar.js";

/** The values of one part at a time, and the phase they stand for in [0, 1). */
function at(iso: string | number, part: CalendarPart, zone = "UTC") {
  const time = typeof iso === "number" ? iso : Date.parse(iso);
  const [{ values }] = new Calendar([], { parts: [part], zone }).push({ time, values: new Float64Array(0) });
  const turn = Math.atan2(values[0], values[1]) / (2 * Math.PI);
  return { values: [...values], phase: turn < -1e-12 ? turn + 1 : Math.max(0, turn) };
}

describe("Calendar", () => {
  it.each([
    ["2026-03-04T10:15:00Z", "minuteOfHour", 0.25],
    ["2026-03-04T18:00:00Z", "hourOfDay", 0.75],
    ["2026-03-04T00:00:00Z", "dayOfWeek", 2 / 7],
    ["2026-03-01T23:59:59Z", "dayOfWeek", 7 / 7 - 1 / (7 * 86_400)],
    ["2026-02-15T00:00:00Z", "dayOfMonth", 0.5],
    ["2026-01-01T00:00:00Z", "dayOfYear", 0],
    ["2024-12-31T00:00:00Z", "dayOfYear", 365 / 366],
    ["1969-12-31T18:00:00Z", "hourOfDay", 0.75],
    ["0050-07-02T12:00:00Z", "dayOfYear", 182.5 / 365],
  ] as const)("%s has %s phase %d", (iso, part, phase) => {
    expect(at(iso, part).phase).toBeCloseTo(phase, 9);
  });

  it("puts out a point on the unit circle per part, and 1 on Saturday and Sunday", () => {
    const calendar = new Calendar(["a"], { parts: ["hourOfDay", "isWeekend"] });
    expect(calendar.outputs).toEqual(["a", "calendar.hourOfDay.sin", "calendar.hourOfDay.cos", "calendar.isWeekend"]);
    const weekend = (iso: string, zone?: string) => at(iso, "isWeekend", zone).values[0];
    expect(["06T23:59:59", "07T00:00:00", "08T23:59:59", "09T00:00:00"].map((day) => weekend(`2026-03-${day}Z`))).toEqual([
      0, 1, 1, 0,
    ]);
    expect(weekend("2026-03-06T20:00:00Z", "Asia/Tokyo")).toBe(1);
    expect(weekend("2026-03-08T20:00:00Z", "Asia/Tokyo")).toBe(0);
  });

  it("goes by the clock on the wall: forward and back in Berlin", () => {
    const hour = (iso: string) => at(iso, "hourOfDay", "Europe/Berlin").phase * 24;
    expect(hour("2026-03-29T00:59:00Z")).toBeCloseTo(1 + 59 / 60, 9);
    expect(hour("2026-03-29T01:00:00Z")).toBeCloseTo(3, 9);
    expect(hour("2026-10-25T00:30:00Z")).toBeCloseTo(2.5, 9);
    expect(hour("2026-10-25T01:30:00Z")).toBeCloseTo(2.5, 9);
  });

  it("knows a change within an hour of UTC and by half an hour: Lord Howe Island", () => {
    const clock = (iso: string) => at(iso, "hourOfDay", "Australia/Lord_Howe").phase * 24;
    expect(clock("2026-10-03T15:29:00Z")).toBeCloseTo(1 + 59 / 60, 9);
    expect(clock("2026-10-03T15:30:00Z")).toBeCloseTo(2.5, 9);
    // The same instance, which has met the day before.
    const calendar = new Calendar([], { parts: ["hourOfDay"], zone: "Australia/Lord_Howe" });
    const values = (iso: string) => [...calendar.push({ time: Date.parse(iso), values: new Float64Array(0) })[0].values];
    for (const iso of ["2026-10-03T15:45:00Z", "2026-10-03T15:15:00Z", "2026-10-03T15:45:00Z"]) {
      expect(values(iso)).toEqual(at(iso, "hourOfDay", "Australia/Lord_Howe").values);
    }
  });

  it("agrees with Intl's own clock in odd zones at any time", () => {
    const zones = ["Asia/Kathmandu", "America/St_Johns", "Pacific/Apia", "Africa/Casablanca", "America/New_York", "Asia/Tehran"];
    fc.assert(
      fc.property(fc.constantFrom(...zones), fc.integer({ min: -2e9, max: 4e9 }), (zone, second) => {
        const text = new Date(second * 1000).toLocaleTimeString("en-GB", { timeZone: zone });
        const [hours, minutes, seconds] = text.split(":").map(Number);
        const clock = Math.round(at(second * 1000, "hourOfDay", zone).phase * 86_400) % 86_400;
        expect(clock).toBe(hours * 3600 + minutes * 60 + seconds);
      }),
      { numRuns: 500 },
    );
  });

  it("remembers offsets without mixing them up over many days", () => {
    const calendar = new Calendar([], { parts: ["hourOfDay"], zone: "America/New_York" });
    const begin = Date.parse("2026-01-01T05:00:00Z");
    for (let hour = 0; hour < 110_000; hour += 7) {
      const time = begin + hour * 3_600_000;
      const [{ values }] = calendar.push({ time, values: new Float64Array(0) });
      if (hour % 100 === 0) expect([...values]).toEqual(at(time, "hourOfDay", "America/New_York").values);
    }
  });

  it("has zeros for a time that is missing or no date", () => {
    const calendar = new Calendar(["a"], { parts: CALENDAR_PARTS, zone: "Europe/Berlin" });
    for (const time of [Number.NaN, Number.POSITIVE_INFINITY, -1e17]) {
      const [row] = calendar.push({ time, values: Float64Array.of(4) });
      expect([...row.values]).toEqual([4, ...new Array(calendar.outputs.length - 1).fill(0)]);
    }
  });

  it("says which zones and parts there are", () => {
    expect(() => new Calendar([], { zone: "Europe/Atlantis" })).toThrow(/OST_RANGE.*time zone[\s\S]*Europe\/Berlin/);
    expect(() => new Calendar([], { zone: "" })).toThrow(/OST_RANGE/);
    expect(() => new Calendar([], { parts: [] })).toThrow(/OST_RANGE/);
    expect(() => new Calendar([], { parts: ["moon" as CalendarPart] })).toThrow(/OST_RANGE/);
  });
});

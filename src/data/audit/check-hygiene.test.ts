import { describe, expect, it } from "vitest";
import { type Rng, seed } from "../../core/rng.js";
import { tableFromRecords } from "../table.js";
import { checkClasses, checkConstants } from "./check-hygiene.js";
import { checkIndependence, checkStride } from "./check-independence.js";
import { checkLabelTime } from "./check-label-time.js";
import { checkMissing } from "./check-missing.js";
import { checkTime } from "./check-time.js";
import { AuditContext, type AuditOptions } from "./context.js";
import type { AuditSubject } from "./subject.js";
import { type SubjectWindow, subjectOf } from "./subject-of.js";

const HOUR = 3_600_000;
const SPLIT = { by: "time", train: 0.6, validation: 0.2, test: 0.2 } as const;
const START = Date.UTC(2022, 2, 20);

interface Making {
  rows?: number;
  time?: (i: number) => string;
  value?: (i: number, rng: Rng) => number | null;
  label?: (i: number, rng: Rng) => string;
  extra?: (i: number) => Record<string, string>;
  window?: SubjectWindow;
}

/** Hours of one feature; tags where a label is made, else a forecast of it. */
function hours({ rows = 400, time, value = (_, rng) => rng.normal(), label, extra, window }: Making = {}): AuditSubject {
  const rng = seed(9);
  const records = Array.from({ length: rows }, (_, i) => ({
    time: time ? time(i) : new Date(START + i * HOUR).toISOString(),
    load: rng.normal(),
    value: value(i, rng),
    ...(label && { label: label(i, rng) }),
    ...extra?.(i),
  }));
  return subjectOf(
    tableFromRecords(records, { source: "hours.csv", text: ["label"] }),
    {
      targetKind: label ? "tags" : "values",
      time: "time",
      features: ["load", "value"],
      target: label ? "label" : "load",
      split: SPLIT,
      missing: "value",
    },
    window ?? { length: 8, horizon: 2 },
  );
}

const of = (subject: AuditSubject, options?: AuditOptions) => new AuditContext(subject, options);
const first = (findings: ReturnType<typeof checkTime>, check: string) => findings.find((one) => one.check === check);

describe("the check of features", () => {
  it("acquits what varies", () => {
    expect(checkConstants(of(hours()))).toMatchObject([{ status: "pass" }]);
  });

  it("warns of what is constant, never observed, or observed after training only, with a row", () => {
    const constant = checkConstants(of(hours({ value: () => 40 })))[0];
    expect(constant).toMatchObject({
      check: "constant-feature",
      status: "warning",
      title: 'feature "value" is constant in training',
    });
    expect(constant.example).toContain("hours.csv row 1");
    expect(constant.repair).toBe("leave it out: --set 'data.features=[load]'");
    expect(checkConstants(of(hours({ value: () => null })))[0].title).toContain("never observed");
    const late = checkConstants(of(hours({ value: (i) => (i > 350 ? i : null) })))[0];
    expect(late.title).toContain("never observed in training");
    expect(late.example).toContain("row 352");
  });
});

describe("the check of missing values", () => {
  const label = (i: number) => (i % 20 < 5 ? "fault" : "good");

  it("acquits values that are missing by chance", () => {
    const found = checkMissing(of(hours({ label, value: (_, rng) => (rng.uniform() < 0.3 ? null : 1) })));
    expect(found).toMatchObject([{ status: "pass" }]);
  });

  it("warns of a column that is filled in where the label is known, and of one that goes missing", () => {
    const told = checkMissing(of(hours({ label, value: (i) => (i % 20 < 5 ? i : null) })))[0];
    expect(told).toMatchObject({ check: "missing", status: "warning" });
    expect(told.evidence.phi).toBeCloseTo(1);
    expect(checkMissing(of(hours({ value: (i) => (i < 300 ? i : null) })))[0].title).toContain("not missing alike");
  });
});

describe("the check of classes", () => {
  it("acquits classes that training has, and notes one that test lacks", () => {
    expect(checkClasses(of(hours({ label: (i) => (i % 2 ? "a" : "b") })))).toMatchObject([{ status: "pass" }]);
    const lacking = checkClasses(of(hours({ label: (i) => (i < 100 ? "start" : i % 2 ? "a" : "b") })));
    expect(lacking.map(({ status }) => status)).toEqual(["pass", "note"]);
  });

  it("finds fault with a class that training never shows, naming a row", () => {
    const unseen = hours({ label: (i) => (i % 2 ? "a" : "b") });
    unseen.series[0].labels![390] = "new";
    const [found] = checkClasses(of(unseen));
    expect(found).toMatchObject({ check: "unreachable-class", status: "fault" });
    expect(found.example).toBe('hours.csv row 391 is "new" and in test');
  });
});

describe("the check of times", () => {
  it("acquits hours in order", () => {
    const found = checkTime(of(hours(), { now: Date.UTC(2024, 0, 1) }));
    expect(found).toMatchObject([{ check: "time-order", status: "pass" }]);
    expect(found[0].detail).toContain("400 rows, one series, every 1 h");
  });

  it("finds fault with times that go back", () => {
    const subject = hours();
    const { time } = subject.series[0];
    [time![10], time![11]] = [time![11], time![10]];
    const found = first(checkTime(of(subject)), "time-order");
    expect(found).toMatchObject({ status: "fault", title: "times go backwards" });
    expect(found?.example).toContain("hours.csv row 12");
  });

  it("warns of the future and of another century", () => {
    const late = first(checkTime(of(hours(), { now: START + 100 * HOUR })), "time-range");
    expect(late).toMatchObject({ status: "warning", title: "times lie in the future" });
    expect(late?.evidence["times lie in the future"]).toBe(299);
    const ancient = hours({ time: (i) => new Date(i < 3 ? i * HOUR : START + i * HOUR).toISOString() });
    expect(first(checkTime(of(ancient)), "time-range")).toMatchObject({ status: "warning", title: "times lie before 1980" });
  });

  it("warns of mixed zones, and only notes an offset that changes with the season", () => {
    const offset = (zone: string, ms: number) => new Date(ms).toISOString().replace(".000Z", zone);
    const mixed = hours({ time: (i) => (i < 200 ? offset("Z", START + i * HOUR) : offset("+02:00", START + (i + 2) * HOUR)) });
    const found = first(checkTime(of(mixed)), "time-zone");
    expect(found).toMatchObject({ status: "warning" });
    expect(found?.evidence).toEqual({ Z: 200, "+02:00": 200 });
    const season = hours({
      time: (i) => (i < 200 ? offset("+01:00", START + (i + 1) * HOUR) : offset("+02:00", START + (i + 2) * HOUR)),
    });
    expect(first(checkTime(of(season)), "time-zone")?.status).toBe("note");
  });

  it("warns of an hour that local clocks leave out", () => {
    const spring = Date.UTC(2022, 2, 27, 2);
    const local = hours({
      time: (i) => {
        const at = START + i * HOUR;
        return new Date(at >= spring ? at + HOUR : at).toISOString().slice(0, 19);
      },
    });
    const found = first(checkTime(of(local)), "daylight-saving");
    expect(found).toMatchObject({ status: "warning" });
    expect(found?.example).toContain("2022-03-27T03:00");
  });
});

describe("the check of when labels are known", () => {
  const subject = (lateHours: number) =>
    hours({
      label: (i) => (i % 30 < 10 ? "fault" : "good"),
      extra: (i) => ({ confirmed: new Date(START + (i + lateHours) * HOUR).toISOString() }),
    });
  const options = { knownAt: { label: "confirmed" } };

  it("is skipped where nothing says when, and acquits labels known at once", () => {
    expect(checkLabelTime(of(subject(0)))[0].status).toBe("skipped");
    expect(checkLabelTime(of(subject(0), options))[0].status).toBe("pass");
  });

  it("convicts labels known after the next part has begun", () => {
    const [found] = checkLabelTime(of(subject(24), options));
    expect(found).toMatchObject({ check: "label-time", status: "leak" });
    // The last 24 rows of training and of validation; that of the row exactly 24 hours before is known just in time.
    expect(found.evidence.late).toBe(46);
    expect(found.example).toContain("hours.csv row 218");
  });

  it("convicts a feature known after it is read", () => {
    expect(checkLabelTime(of(subject(1), { knownAt: { value: "confirmed" } }))[0].status).toBe("leak");
  });
});

describe("the check of independent windows", () => {
  it("acquits short horizons, and warns of a horizon as long as the part", () => {
    expect(checkIndependence(of(hours()))[0].status).toBe("pass");
    let level = 0;
    const walk = hours({ window: { length: 20, horizon: 20 } });
    walk.series[0].target = walk.series[0].target!.map((step) => (level += step));
    const [found] = checkIndependence(of(walk));
    expect(found).toMatchObject({ check: "effective-windows", status: "warning" });
    expect(found.evidence.testIndependent).toBeLessThan(5);
    expect(found.evidence.testWindows).toBeGreaterThan(20);
  });
});

describe("the check of the stride", () => {
  const label = (i: number) => (Math.floor(i / 9) % 2 ? "on" : "off");

  it("acquits windows side by side", () => {
    expect(checkStride(of(hours({ label })))[0].status).toBe("pass");
  });

  it("finds fault with windows between which most changes happen", () => {
    const [found] = checkStride(of(hours({ label, window: { length: 5, stride: 40 } })));
    expect(found).toMatchObject({ check: "stride", status: "fault" });
    expect(found.evidence.missedChanges).toBeGreaterThan(15);
    expect(found.example).toMatch(/hours\.csv row \d+ changes from/);
  });
});

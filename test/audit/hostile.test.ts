import { describe, expect, it } from "vitest";
import { seed } from "../../src/core/rng.js";
import { type AuditReport, type AuditSubject, audit, type Pipeline, subjectOf } from "../../src/data/audit/index.js";
import { type DataOptions, tableFromRecords } from "../../src/data/index.js";
import type { Series } from "../../src/data/series.js";
import { forecasting, tagging } from "./bank/entry.js";
import { feature, plain } from "./bank/pipeline.js";
import { seasonal, states } from "./bank/signal.js";

/** Whatever it is given, an audit ends with a verdict in words. */
function audited(subject: AuditSubject): AuditReport {
  const report = audit(subject, { now: Date.UTC(2026, 0, 1) });
  expect(["clean", "warnings", "faults", "leak"]).toContain(report.verdict);
  for (const { title, detail, evidence, example, repair } of report.findings) {
    const text = [title, detail, example, repair, ...Object.values(evidence)].join(" ");
    expect(text).not.toMatch(/undefined|\[object|NaN of|Infinity of/);
  }
  return report;
}

function withStatus(report: AuditReport, ...statuses: string[]): string[] {
  return report.findings.filter(({ status }) => statuses.includes(status)).map(({ check }) => check);
}

function small(rows = 200): AuditSubject {
  const rng = seed(5);
  return forecasting(rng, { load: seasonal(rng, rows) }, { length: 8, horizon: 2 });
}

const OPTIONS: DataOptions = {
  targetKind: "values",
  features: ["load"],
  target: "load",
  split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
};

/** An audit of them takes a second at most; a machine may be busy with other things. */
const PATIENCE = { timeout: 60_000 };

describe("tables that are hardly any", PATIENCE, () => {
  for (const rows of [1, 2, 3, 4, 5, 8, 13]) {
    it(`reports on ${rows} rows`, () => {
      const table = tableFromRecords(Array.from({ length: rows }, (_, i) => ({ load: i * i })));
      const report = audited(subjectOf(table, OPTIONS, { length: 4, horizon: 2 }));
      if (rows < 8) expect(withStatus(report, "fault", "leak").length).toBeGreaterThan(0);
    });
  }

  it("reports a table whose every cell is missing", () => {
    const table = tableFromRecords(Array.from({ length: 60 }, () => ({ load: null })));
    const report = audited(subjectOf(table, { ...OPTIONS, missing: "forwardFill" }, { length: 4, horizon: 1 }));
    expect(report.verdict).not.toBe("clean");
  });

  it("reports a column that is not there", () => {
    const table = tableFromRecords(Array.from({ length: 60 }, (_, i) => ({ load: i })));
    const report = audited(subjectOf(table, { ...OPTIONS, features: ["laod"] }, { length: 4, horizon: 1 }));
    expect(withStatus(report, "fault")).toContain("pipeline");
    expect(JSON.stringify(report.findings)).toMatch(/laod/);
  });

  it("reports text in a numeric column with its row", () => {
    const table = tableFromRecords(Array.from({ length: 60 }, (_, i) => ({ load: i === 41 ? "broken" : i })));
    const report = audited(subjectOf(table, OPTIONS, { length: 4, horizon: 1 }));
    expect(report.verdict).toBe("faults");
    expect(JSON.stringify(report.findings)).toMatch(/row 42/);
  });

  it("reports one class only, and labels that are all empty", () => {
    for (const label of ["a", ""]) {
      const table = tableFromRecords(Array.from({ length: 90 }, (_, i) => ({ session: `s${i % 9}`, load: i, label })));
      const split = { by: "entity", train: 0.6, validation: 0.2, test: 0.2 } as const;
      const options: DataOptions = { ...OPTIONS, targetKind: "class", entity: "session", target: "label", split };
      expect(audited(subjectOf(table, options)).verdict).toBe("faults");
    }
  });

  it("says of one series of one class per session that there is nothing to divide", () => {
    const table = tableFromRecords(Array.from({ length: 40 }, (_, i) => ({ session: "only", load: i, label: "a" })));
    const split = { by: "entity", train: 0.6, validation: 0.2, test: 0.2 } as const;
    const options: DataOptions = { ...OPTIONS, targetKind: "class", entity: "session", target: "label", split };
    expect(withStatus(audited(subjectOf(table, options)), "fault")).toContain("split-order");
  });

  it("bears values at the limit of float32, and times at the limits of a date", () => {
    const records = Array.from({ length: 80 }, (_, i) => ({
      time: i < 78 ? -8e15 + i * 1e12 : 8e15 + i,
      load: (i % 2 ? 1 : -1) * 3e38,
    }));
    audited(subjectOf(tableFromRecords(records), { ...OPTIONS, time: "time" }, { length: 4, horizon: 1 }));
  });
});

describe("subjects made by hand", PATIENCE, () => {
  it("bears no series, no rows, no windows", () => {
    const subject = small();
    audited({ ...subject, series: [], parts: [], windows: () => [] });
    const [one] = subject.series;
    const empty: Series = {
      ...one,
      rows: 0,
      row: new Int32Array(0),
      time: new Float64Array(0),
      features: new Float64Array(0),
      target: new Float64Array(0),
    };
    audited({ ...subject, series: [empty], parts: [new Uint8Array(0)], windows: () => [] });
    audited({ ...subject, series: [one, empty], parts: [subject.parts[0], new Uint8Array(0)] });
    audited({ ...subject, windows: () => [] });
  });

  it("bears rows of no part, and of one part only", () => {
    const subject = small();
    for (const code of [0, 1, 3]) {
      audited({ ...subject, parts: subject.parts.map((part) => new Uint8Array(part.length).fill(code)), windows: () => [] });
    }
  });

  it("names windows that lie outside their series", () => {
    const subject = small();
    const report = audited({
      ...subject,
      windows: () => [
        { part: "train", series: 0, input: [-5, 3], target: [3, 5] },
        { part: "test", series: 0, input: [190, 198], target: [198, 260] },
      ],
    });
    expect(withStatus(report, "fault", "leak")).toContain("window-overlap");
  });

  it("bears a window of a series that does not exist", () => {
    const subject = small();
    const report = audited({ ...subject, windows: () => [{ part: "train", series: 7, input: [0, 8], target: [8, 10] }] });
    expect(withStatus(report, "fault", "leak").length).toBeGreaterThan(0);
  });

  const pipelines: [string, Pipeline, string[]][] = [
    [
      "throws an error of its own",
      plain("bug.ts", (series) => {
        if (series.rows < 200) throw new TypeError("the series is too short");
        return { load: feature(series) };
      }),
      ["pipeline"],
    ],
    [
      "throws always",
      plain("bug.ts", () => {
        throw new RangeError("no");
      }),
      ["pipeline"],
    ],
    ["puts out no column", plain("none.ts", () => ({})), []],
    ["puts out nothing but NaN", plain("nan.ts", (series) => ({ load: new Float64Array(series.rows).fill(Number.NaN) })), []],
    [
      "puts out too few rows",
      { name: "short.ts", declaredLookAhead: 0, fit: () => () => ({ names: ["load"], values: new Float64Array(3) }) },
      ["pipeline", "alignment"],
    ],
  ];
  for (const [what, pipeline, checks] of pipelines) {
    it(`bears a pipeline that ${what}`, () => {
      const report = audited({ ...small(), pipeline });
      if (checks.length > 0) expect(withStatus(report, "fault", "leak").some((check) => checks.includes(check))).toBe(true);
    });
  }

  it("does not take chance for the future: a pipeline that is not deterministic is a fault of its own", () => {
    const report = audited({
      ...small(),
      pipeline: plain("dropout.ts", (series) => ({ load: feature(series).map((value) => value + Math.random()) })),
    });
    expect(withStatus(report, "fault")).toContain("pipeline");
    expect(withStatus(report, "leak")).toEqual([]);
  });

  it("does not let a pipeline that changes its series spoil the other checks", () => {
    const subject = small();
    const before = subject.series[0].features.slice();
    const report = audited({
      ...subject,
      pipeline: plain("in-place.ts", (series) => {
        for (let i = 0; i < series.features.length; i++) series.features[i] *= 1.5;
        return { load: feature(series) };
      }),
    });
    expect(withStatus(report, "fault")).toContain("pipeline");
    expect(subject.series[0].features).toEqual(before);
  });

  it("is the same twice", () => {
    const rng = seed(9);
    const state = states(rng, 300, { states: 2, stay: 12 });
    const columns = { flow: state.map((on) => on + rng.normal()), label: state.map((on) => (on ? "on" : "off")) };
    const subject = tagging(rng, [{ entity: "m", columns }]);
    expect(audited(subject)).toEqual(audited(subject));
  });
});

import { describe, expect, it } from "vitest";
import { seed } from "../../core/rng.js";
import { tableFromRecords } from "../table.js";
import { checkCausality } from "./check-causality.js";
import { checkFitted } from "./check-fitted.js";
import { AuditContext } from "./context.js";
import type { AuditSubject, Pipeline } from "./subject.js";
import { subjectOf } from "./subject-of.js";

/** A noisy series with two machines, whose label says which half of a cycle it is in. */
function subject(options: { pipeline?: Pipeline; kind?: "values" | "tags"; missing?: "forwardFill" } = {}): AuditSubject {
  const rng = seed(3);
  const rows = ["m0", "m1"].flatMap((machine) =>
    Array.from({ length: 200 }, (_, i) => ({
      time: new Date(Date.UTC(2024, 0, 1) + i * 60_000).toISOString(),
      machine,
      a: options.missing && rng.uniform() < 0.1 ? null : Math.sin(i / 5) + rng.normal(),
      b: rng.normal(),
      label: Math.sin(i / 5) > 0 ? "up" : "down",
    })),
  );
  const made = subjectOf(
    tableFromRecords(rows, { source: "machines.csv", text: ["label", "machine"] }),
    {
      targetKind: options.kind ?? "values",
      time: "time",
      entity: "machine",
      features: ["a", "b"],
      target: options.kind === "tags" ? "label" : "a",
      split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
      missing: { policy: options.missing ?? "refuse", flag: options.missing !== undefined },
    },
    { length: 8, horizon: 2 },
  );
  return options.pipeline ? { ...made, pipeline: options.pipeline } : made;
}

/** A pipeline that makes one column of each series. */
function column(
  make: (values: Float64Array, labels: readonly string[] | null) => ArrayLike<number>,
  declaredLookAhead = 0,
): Pipeline {
  return {
    name: "own.ts",
    declaredLookAhead,
    fit: () => (series) => {
      const a = Float64Array.from({ length: series.rows }, (_, i) => series.features[i * 2]);
      return { names: ["a.made"], values: make(a, series.labels) };
    },
  };
}

const causality = (of: AuditSubject) => checkCausality(new AuditContext(of));
const fitted = (of: AuditSubject) => checkFitted(new AuditContext(of));

describe("the causality check", () => {
  it("acquits the configured preprocessing, with missing values too", () => {
    for (const one of [subject(), subject({ missing: "forwardFill" }), subject({ kind: "tags" })]) {
      const [found] = causality(one);
      expect(found.status).toBe("pass");
      expect(found.evidence.stretchComparisons).toBeGreaterThan(100);
    }
  });

  it("convicts a centred average, and measures how far it looks ahead", () => {
    const centred = column((a) => a.map((_, i) => (a[Math.max(0, i - 2)] + a[Math.min(a.length - 1, i + 2)]) / 2));
    const [found] = causality(subject({ pipeline: centred }));
    expect(found).toMatchObject({ status: "leak", title: 'input "a.made" knows the future' });
    expect(found.evidence.measuredLookAhead).toBe(2);
    expect(found.detail).toContain('of "a"');
    expect(found.example).toMatch(/machines\.csv row \d+/);
  });

  it("convicts what looks ahead in one row of a hundred only", () => {
    const rare = column((a) => a.map((value, i) => (value > 2.6 && i + 1 < a.length ? a[i + 1] : value)));
    expect(causality(subject({ pipeline: rare }))[0].status).toBe("leak");
  });

  it("convicts a pipeline that looks further ahead than it declares, and an input made of its own label", () => {
    const ahead = (rows: number) => column((a) => a.map((_, i) => a[Math.min(a.length - 1, i + 3)]), rows);
    expect(causality(subject({ pipeline: ahead(1), kind: "tags" }))[0].status).toBe("leak");
    const [told] = causality(
      subject({ pipeline: column((a, labels) => a.map((_, i) => (labels?.[i] === "up" ? 1 : 0))), kind: "tags" }),
    );
    expect(told).toMatchObject({ status: "leak", title: 'input "a.made" knows the label' });
  });

  it("notes a look-ahead that is declared, but convicts it in a forecast and across the split", () => {
    const next = column((a) => a.map((_, i) => a[Math.min(a.length - 1, i + 1)]), 1);
    expect(causality(subject({ pipeline: next }))[0].status).toBe("leak");
    expect(causality(subject({ pipeline: next, kind: "tags" }))[0].title).toMatch(/in train is made of rows of validation/);
    const none = column((a) => a, 5);
    expect(causality(subject({ pipeline: none, kind: "tags" }))[0].status).toBe("note");
  });

  it("says that inputs and rows must correspond", () => {
    const short = column((a) => a.slice(1));
    expect(causality(subject({ pipeline: short }))[0]).toMatchObject({ check: "alignment", status: "fault" });
  });
});

describe("the check of what statistics were fitted on", () => {
  const scaled = (codes: readonly number[]): Pipeline => ({
    name: "scale.ts",
    declaredLookAhead: 0,
    fit: (series, parts) => {
      let sum = 0;
      let count = 0;
      series.forEach(({ features, rows }, s) => {
        for (let i = 0; i < rows; i++) {
          if (!codes.includes(parts[s][i])) continue;
          sum += features[i * 2];
          count++;
        }
      });
      return (one) => ({
        names: ["a.scaled"],
        values: Float64Array.from({ length: one.rows }, (_, i) => one.features[i * 2] - sum / count),
      });
    },
  });

  it("acquits what was fitted on training rows", () => {
    expect(fitted(subject())[0].status).toBe("pass");
    expect(fitted(subject({ pipeline: scaled([1]) }))[0].status).toBe("pass");
  });

  it("convicts what saw test rows, and says which part it saw", () => {
    const [found] = fitted(subject({ pipeline: scaled([1, 3]) }));
    expect(found).toMatchObject({ status: "leak", title: 'input "a.scaled" was fitted on test rows' });
    expect(found.evidence.change).toBeGreaterThan(0);
    expect(fitted(subject({ pipeline: scaled([1, 2]) }))[0].title).toContain("validation rows");
  });

  it("warns of a column that was standardised before it was written", () => {
    const raw = subject();
    const rows = raw.series.flatMap(({ features, rows: count }) =>
      Array.from({ length: count }, (_, i) => features[2 * i + 1] + i / 200),
    );
    const mean = rows.reduce((sum, value) => sum + value, 0) / rows.length;
    const deviation = Math.sqrt(rows.reduce((sum, value) => sum + (value - mean) ** 2, 0) / rows.length);
    let at = 0;
    for (const { features, rows: count } of raw.series) {
      for (let i = 0; i < count; i++) features[2 * i + 1] = (rows[at++] - mean) / deviation;
    }
    const [found] = fitted(raw);
    expect(found).toMatchObject({ check: "fit-scope", status: "warning" });
    expect(found.title).toContain('feature "b" seems to have been standardised');
  });

  it("convicts an encoding by the labels of all rows", () => {
    const encoding: Pipeline = {
      name: "encode.ts",
      declaredLookAhead: 0,
      fit: (series) => {
        const share = series.flatMap(({ labels }) => labels!.filter((label) => label === "up")).length;
        return (one) => ({ names: ["share"], values: new Float64Array(one.rows).fill(share) });
      },
    };
    // As many labels of each kind change into the other: only the order of the known labels keeps them apart.
    const uneven = subject({ kind: "tags", pipeline: encoding });
    uneven.series[0].labels!.fill("up", 160);
    expect(fitted(uneven)[0]).toMatchObject({ status: "leak", check: "fit-scope" });
  });
});

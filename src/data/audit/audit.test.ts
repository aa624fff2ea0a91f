import { describe, expect, it } from "vitest";
import { type Rng, seed } from "../../core/rng.js";
import type { DataOptions } from "../prepare.js";
import { tableFromRecords } from "../table.js";
import { audit } from "./audit.js";
import { CHECKS } from "./finding.js";
import { renderAuditHtml } from "./page.js";
import type { QuickModel } from "./quick-model.js";
import { STEPS_OF_A_ROW, subjectOf } from "./subject-of.js";

const SPLIT = { by: "time", train: 0.6, validation: 0.2, test: 0.2 } as const;

function forecast(make: (i: number, rng: Rng) => Record<string, number | string | null>, options: Partial<DataOptions> = {}) {
  const rng = seed(21);
  const rows = Array.from({ length: 500 }, (_, i) => make(i, rng));
  return subjectOf(
    tableFromRecords(rows, { source: "load.csv" }),
    { targetKind: "values", features: ["load"], target: "load", split: SPLIT, ...options },
    { length: 12, horizon: 2 },
  );
}

const honest = (i: number, rng: Rng) => ({ load: Math.sin(i / 4) + rng.normal() });

/** The class whose training examples have the nearest mean. */
const nearestMean: QuickModel = ({ x, y, classes }, asked) => {
  const means = Array.from({ length: classes }, (_, c) => {
    const mine = x.filter((_, i) => y[i] === c);
    return x[0].map((_, k) => mine.reduce((sum, row) => sum + row[k], 0) / Math.max(1, mine.length));
  });
  return asked.map((row) => {
    const far = means.map((mean) => mean.reduce((sum, value, k) => sum + (value - row[k]) ** 2, 0));
    return far.indexOf(Math.min(...far));
  });
};

describe("an audit", () => {
  it("is clean on clean data, and the same every time", () => {
    const report = audit(forecast(honest));
    expect(report.findings.filter(({ status }) => status === "warning" || status === "leak" || status === "fault")).toEqual([]);
    expect(report.verdict).toBe("clean");
    expect(report.facts.parts.train).toEqual({ rows: 300, series: 1, windows: 287 });
    expect(audit(forecast(honest))).toEqual(report);
  });

  it("puts the findings in the order of the checks and tells how far it is", () => {
    const told: string[] = [];
    const { findings } = audit(forecast(honest), { onProgress: (check) => told.push(check) });
    const order = findings.map(({ check }) => CHECKS.indexOf(check));
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(told.at(-1)).toBe("done");
    expect(told.length).toBeGreaterThan(10);
  });

  it("reports what kept the data from being prepared, and checks what there is", () => {
    const absent = audit(forecast(honest, { features: ["lod"] }));
    expect(absent.verdict).toBe("faults");
    expect(absent.findings[0]).toMatchObject({ check: "pipeline", status: "fault", evidence: { code: "OST_COLUMN" } });
    expect(absent.findings[0].repair).toContain('"load"');
    const back = audit(forecast((i, rng) => ({ ...honest(i, rng), time: i === 40 ? 1.6e9 : 1.6e9 + 60 * i }), { time: "time" }));
    expect(back.findings[0]).toMatchObject({ check: "time-order", status: "fault" });
    const gaps = audit(forecast((i, rng) => ({ load: i === 7 ? null : rng.normal() })));
    expect(gaps.findings.find(({ check }) => check === "missing")).toMatchObject({ status: "fault" });
    expect(gaps.findings.some(({ check }) => check === "split-order")).toBe(true);
  });

  it("gives a leak the last word over a fault", () => {
    const rng = seed(2);
    const load = Array.from({ length: 501 }, () => rng.normal());
    const both = audit(
      forecast((i) => ({ load: load[i], hint: load[i + 1], still: 1 }), { features: ["load", "hint", "still"] }),
    );
    expect(both.verdict).toBe("leak");
    expect(both.findings.find(({ status }) => status === "leak")).toMatchObject({ check: "target-proxy" });
    expect(both.findings.find(({ status }) => status === "warning")).toMatchObject({ check: "constant-feature" });
  });
});

describe("the control with shuffled labels", () => {
  const sessions = () => {
    const rng = seed(31);
    const rows = Array.from({ length: 120 }, (_, s) => s).flatMap((s) =>
      Array.from({ length: 10 }, () => ({ session: `s${s}`, value: rng.normal() + (s % 2), label: s % 2 ? "b" : "a" })),
    );
    return subjectOf(tableFromRecords(rows, { source: "s.csv", text: ["session", "label"] }), {
      targetKind: "class",
      entity: "session",
      features: ["value"],
      target: "label",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    });
  };
  const control = (subject: ReturnType<typeof sessions>) =>
    audit(subject, { quick: nearestMean }).findings.find(({ check }) => check === "shuffled-labels")!;

  it("finds nothing to learn in an honest pipeline, though the real labels can be learned", () => {
    const found = control(sessions());
    expect(found.status).toBe("pass");
    expect(found.evidence.realSkill).toBeGreaterThan(0.5);
    expect(Math.abs(Number(found.evidence.shuffledSkill))).toBeLessThan(0.15);
  });

  it("convicts a pipeline that writes the label into its inputs", () => {
    const subject = sessions();
    const { pipeline } = subject;
    const found = control({
      ...subject,
      pipeline: {
        ...pipeline,
        fit: (series, parts) => {
          const frozen = pipeline.fit(series, parts);
          return (one) => {
            const { names, values } = frozen(one);
            return { names, values: Float64Array.from(values, (value) => value + (one.labels![0] === "b" ? 3 : 0)) };
          };
        },
      },
    });
    expect(found).toMatchObject({ status: "leak" });
    expect(found.evidence.worst).toBeGreaterThan(0.5);
  });
});

describe("the subject of a configuration", () => {
  it("has the windows that training has, and says them in words", () => {
    const subject = forecast(honest);
    const windows = [...subject.windows()];
    expect(windows[0]).toEqual({ part: "train", series: 0, input: [0, 12], target: [12, 14] });
    expect(windows.filter(({ part }) => part === "test").at(-1)?.target).toEqual([498, 500]);
    const [shown, last] = subject.describe!("train", 2);
    expect(shown).toContain("input   load.csv row 1 to load.csv row 12");
    expect(last).toContain("load.csv row 299 to load.csv row 300");
  });

  it("keeps rows as rows where a text becomes several steps", () => {
    const names = ["anna", "bob", "carla", "dan", "eva", "fred"].flatMap((name, k) =>
      Array.from({ length: 10 }, (_, i) => ({ name: `${name}${i}`, k })),
    );
    const rows = names.map(({ name, k }, i) => ({ id: `n${i}`, name, label: k % 2 ? "b" : "a" }));
    const subject = subjectOf(tableFromRecords(rows, { source: "names.csv", text: ["id", "name", "label"] }), {
      targetKind: "class",
      entity: "id",
      categories: { name: { kind: "characters", as: "embedding" } },
      target: "label",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    });
    expect(subject.faults).toEqual([]);
    expect(subject.steps![0]).toBeGreaterThan(4);
    expect(subject.series[0].rows).toBe(1);
    expect([...subject.windows()].every(({ input }) => input[0] === 0 && input[1] === 1)).toBe(true);
    const output = subject.pipeline.fit(subject.series, subject.parts)(subject.series[0]);
    expect(output.names.at(-1)).toBe(STEPS_OF_A_ROW);
    expect(["clean", "warnings"]).toContain(audit(subject).verdict);
  });
});

describe("the page", () => {
  it("holds verdict, findings and pictures, and nothing that runs or loads", () => {
    const subject = forecast(
      (i, rng) => ({ ...honest(i, rng), "<script>alert(1)</script>": i % 7 === 0 ? null : rng.normal() }),
      {
        features: ["load", "<script>alert(1)</script>"],
        missing: "forwardFill",
      },
    );
    const html = renderAuditHtml(audit(subject), subject, { title: "Audit of <load>" });
    expect(html).toContain("Audit of &lt;load&gt;");
    expect(html).toContain('class="verdict clean"');
    expect(html).not.toMatch(/<script|<img|href=|src=|url\(/);
    expect(html.match(/<svg/g)?.length).toBeGreaterThan(4);
    expect(html).toContain("missing values by feature and place");
  });

  it("can be made of a subject that could not be", () => {
    const subject = forecast(honest, { features: ["lod"] });
    expect(renderAuditHtml(audit(subject), subject)).toContain("there is no column for the feature");
  });
});

describe("an audit of what has no labels", () => {
  const doubtful = ["warning", "leak", "fault"];
  const events = Array.from({ length: 200 }, (_, i) => ({
    event: "abcd"[(i * 7 + (i >> 3)) % 4],
    notes: `${60 + (i % 5)} ${67 + (i % 3)}`,
  }));
  const next = { targetKind: "next", categories: { event: { kind: "vocabulary", as: "embedding" } }, target: "event" } as const;
  const pairs = Array.from({ length: 60 }, (_, i) => ({
    source: [...i.toString(3).padStart(4, "0")].map((digit) => `w${digit}`).join(" "),
    goal: [...i.toString(3)].map((digit) => `g${digit}`).join(" "),
    line: `l${i}`,
  }));
  const subjects: Record<string, ReturnType<typeof subjectOf>> = {
    "the next event": subjectOf(tableFromRecords(events), { ...next, split: SPLIT }, { length: 8 }),
    "the next event of whole sequences": subjectOf(tableFromRecords(events), { ...next, split: SPLIT }),
    "the next character of a document": subjectOf(
      tableFromRecords([{ event: events.map(({ event }) => event).join("") }]),
      { ...next, categories: { event: { kind: "characters", as: "embedding" } }, split: SPLIT },
      { length: 8 },
    ),
    "the next frame": subjectOf(tableFromRecords(events, { text: ["notes"] }), {
      targetKind: "values",
      categories: { notes: { kind: "set", as: "oneHot", range: [60, 70] } },
      target: "notes",
      split: SPLIT,
    }),
    "the text of a series": subjectOf(tableFromRecords(pairs), {
      targetKind: "tokens",
      entity: "line",
      categories: { source: { kind: "words", as: "embedding" } },
      target: "goal",
      targetTokens: { kind: "vocabulary" },
      split: { by: "modulo:line", divisor: 5, test: [1], validation: [2] },
    }),
  };
  for (const [name, subject] of Object.entries(subjects)) {
    it(`looks at ${name}, and says which checks do not apply`, () => {
      const { findings, facts, verdict } = audit(subject, { quick: nearestMean });
      expect(findings.filter(({ status }) => doubtful.includes(status)).map(({ check, title }) => [check, title])).toEqual([]);
      expect(verdict).toBe("clean");
      expect(Math.min(facts.parts.train.windows, facts.parts.test.windows)).toBeGreaterThan(0);
      const skipped = findings.filter(({ title }) => title.endsWith("does not apply"));
      expect(skipped.map(({ check }) => check)).toEqual(
        expect.arrayContaining(["target-proxy", "shuffled-labels", "unreachable-class"]),
      );
      expect(skipped.every(({ status, detail }) => status === "skipped" && detail.length > 0)).toBe(true);
      expect(findings.find(({ check }) => check === "fit-scope")?.status).toBe("pass");
    });
  }

  it("still finds a future in the inputs of what comes next, and a target that was cut", () => {
    const subject = subjectOf(tableFromRecords(events), { ...next, split: SPLIT }, { length: 8 });
    const { pipeline } = subject;
    subject.pipeline = {
      ...pipeline,
      fit: (series, parts) => {
        const made = pipeline.fit(series, parts);
        return (one) => {
          const { names, values } = made(one);
          const next = Array.from({ length: one.rows }, (_, i) => values[(i + 1) * names.length] ?? 0);
          return {
            names: [...names, "peek"],
            values: next.flatMap((value, i) => [...Array.from(names, (_, c) => values[i * names.length + c]), value]),
          };
        };
      },
    };
    expect(audit(subject).findings.find(({ status }) => status === "leak")).toMatchObject({ check: "causality" });
    const wrong = subjectOf(tableFromRecords(events), { ...next, target: "evnt", split: SPLIT }, { length: 8 });
    expect(audit(wrong).findings.find(({ status }) => status === "fault")?.evidence).toMatchObject({ code: "OST_TARGET" });
  });
});

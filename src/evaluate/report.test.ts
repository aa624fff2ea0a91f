import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { seed } from "../core/rng.js";
import { evaluate } from "./evaluate.js";
import { judge } from "./judge.js";
import { lengthShift } from "./length-shift.js";
import { type Report, renderReportHtml, renderReportText } from "./report.js";

const spec: ExampleSpec = {
  features: ["x"],
  targetKind: "class",
  targets: [],
  classes: ["calm", "<wild>"],
  horizon: 0,
  everyStep: false,
  length: 0,
  targetFeature: [],
};
const n = 1200;
const truth = Int32Array.from({ length: n }, (_, i) => (i % 3 === 0 ? 1 : 0));
const batch: Batch = {
  batchSize: n,
  time: 1,
  features: 1,
  x: new Float32Array(n),
  lengths: new Int32Array(n).fill(1),
  targetKind: "class",
  classes: truth,
  everyStep: false,
  horizon: 0,
  targets: 0,
  example: Int32Array.from(truth.keys()),
  series: Int32Array.from(truth.keys()),
  start: new Int32Array(n),
};

/** Logits that are right for all but every `mistake`-th example. */
function predictor(mistake: number) {
  return () => Float32Array.from({ length: 2 * n }, (_, i) => ((truth[i >> 1] === i % 2) === ((i >> 1) % mistake !== 0) ? 2 : 0));
}

function example(
  decision?: Parameters<typeof judge>[2]["decision"],
  more: Partial<Parameters<typeof judge>[2]> = {},
  mistakes = [20, 5, 10],
) {
  const score = (mistake: number) => evaluate(predictor(mistake), [batch], spec, { decision });
  return judge(
    { name: "GRU 48", kind: "model", test: score(mistakes[0]), validation: score(mistakes[0]), microsecondsPerStep: 2.13 },
    [
      {
        name: "logistic <b>",
        kind: "baseline",
        test: score(mistakes[1]),
        validation: score(mistakes[1]),
        microsecondsPerStep: 0.9,
      },
      { name: "GRU 12", kind: "model", cheaper: true, test: score(mistakes[2]), validation: score(mistakes[2]) },
    ],
    { rng: seed(1), unit: "sequence", decision, resamples: 300, separation: "series", ...more },
  );
}

describe("report", () => {
  it("aligns its table and ends with the verdict", () => {
    const text = renderReportText(example(), { indent: 2 });
    const lines = text.split("\n");
    expect(lines[0]).toBe("  test, 1,200 sequences of 1,200 series never seen");
    expect(lines.slice(1, 5)).toEqual([
      "                 accuracy   macro-F1   log-loss   per step",
      "  GRU 48            0.950      0.944      0.227     2.1 us",
      "  logistic <b>      0.800      0.785      0.527     0.9 us",
      "  GRU 12            0.900      0.890      0.327",
    ]);
    expect(text).toMatch(/Verdict: ship GRU 48\. It beats logistic <b> by 15\.0 points of accuracy/);
    expect(lines.every((line) => line.length <= 110)).toBe(true);
  });

  it("says never seen only of series that training has no row of", () => {
    const heading = (separation: Report["separation"]) => renderReportText(example(undefined, { separation })).split("\n")[0];
    expect(heading("later")).toBe("test, 1,200 sequences of 1,200 series, later than training");
    expect(heading("interleaved")).toBe("test, 1,200 sequences of 1,200 series, not all later than training");
    expect(heading(undefined)).toBe("test, 1,200 sequences of 1,200 series");
  });

  it("says that a rival that wins among several was chosen by the test part itself", () => {
    const chosen = "was chosen among 2 rivals by the same test part: its lead is optimistic.";
    expect(example(undefined, {}, [5, 10, 20]).notes).toEqual([`GRU 12 ${chosen}`]);
    expect(example().notes).toEqual([]);
    expect(example(undefined, { notes: ["By the way."] }).notes).toEqual(["By the way."]);
  });

  it("is plain JSON", () => {
    const report = example({ costs: { "<wild>": { calm: 5 } } });
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  it("escapes every name in HTML and needs no script", () => {
    const html = renderReportHtml(example({ alertBudget: { class: "<wild>", per1000: 300 } }), { title: "a & b" });
    expect(html).toContain("<title>a &amp; b</title>");
    expect(html).toContain("logistic &lt;b&gt;");
    expect(html).toContain("&lt;wild&gt;");
    expect(html).not.toMatch(/<wild>|<b>|<script/);
  });

  it("reaches its verdict by the decision where there is one", () => {
    const report = example({ costs: { "<wild>": { calm: 5 } } });
    expect(report.columns.at(-1)).toEqual({ key: "decision", label: "cost per decision", higherIsBetter: false });
    expect(report.verdict.text).toContain("cost per decision");
    expect(report.comparisons["GRU 12"].difference).toBeLessThan(0);
    expect(renderReportText(report)).toContain("By your decision, GRU 48: cost");
    const budget = example({ alertBudget: { class: "<wild>", per1000: 300 } });
    expect(budget.verdict.text).toContain('recall of "<wild>"');
  });

  it("goes by the cost of the cheapest class, not of the likeliest", () => {
    const report = example({ costs: { "<wild>": { calm: 50 } } });
    for (const { name, values } of report.rows) {
      const result = report.decision?.[name];
      expect(result?.kind === "costs" && [result.meanCostMinimized, result.meanCost > 0.7]).toEqual([values["decision"], true]);
      expect(values["decision"]).toBeCloseTo(2 / 3, 12);
    }
    expect(report.comparisons["GRU 12"].difference).toBe(0);
    expect(renderReportText(report)).toContain("for the class of least expected cost,");
  });

  it("disqualifies what breaks the budget of alerts on test, though it finds the most", () => {
    const decision = { alertBudget: { class: "<wild>", per1000: 100 } };
    const graded = (height: (i: number) => number) => () =>
      Float32Array.from({ length: 2 * n }, (_, i) => (i % 2 === 0 ? 0 : height(i >> 1)));
    const score = (height: (i: number) => number) => evaluate(graded(height), [batch], spec, { decision });
    const calm = score((i) => (i < 100 ? 1 : 0) + i / 1e5);
    const contender = (name: string, test = calm) => ({ name, kind: "model" as const, cheaper: true, test, validation: calm });
    const loud = contender(
      "loud",
      score((i) => 3 + i / 1e5),
    );
    const options = { rng: seed(1), decision, resamples: 100 };
    const kept = judge(contender("GRU"), [loud], options);
    expect(kept.verdict).toMatchObject({ ship: "GRU", overBudget: ["loud"] });
    expect(kept.verdict.text).toContain("loud raises 1000.0 alerts per 1,000 against 100");
    expect(renderReportText(kept)).toContain("budget 100: broken)");
    expect(judge({ ...loud, name: "GRU" }, [contender("quiet")], options).verdict.ship).toBe("quiet");
  });
});

describe("length shift", () => {
  const of = (values: (number | undefined)[], higherIsBetter = false, carried = true) =>
    lengthShift({
      trainingLength: 64,
      carried,
      label: "MSE",
      higherIsBetter,
      errorAt: (multiple) => {
        const value = values[[1, 10, 100].indexOf(multiple)];
        return value === undefined ? undefined : { n: 50, value };
      },
    });

  it("warns of a drift and says what to do", () => {
    const { drifts, rows, text } = of([0.4, 0.41, 0.6]);
    expect(drifts).toBe(true);
    expect(rows[2]).toMatchObject({ steps: 6400, n: 50, value: 0.6 });
    expect(rows[2].worse).toBeCloseTo(0.5, 12);
    expect(text).toContain("1x (64 steps) 0.400, 10x (640 steps) 0.410, 100x (6400 steps) 0.600");
    expect(text).toContain("50 % worse at 100x. Reset its state at the boundaries your data has");
  });

  it("speaks of no drift and no reset where windows are read afresh, but of what carrying the state on would cost", () => {
    const { text, rows } = of([0.4, 0.41, 0.6], false, false);
    expect(rows[2].worse).toBeCloseTo(0.5, 12);
    expect(text).toContain("It is served on windows of 64 records, each read afresh, so it cannot drift");
    expect(text).toContain("10x and 100x tell what carrying its state on would cost: up to 50 %.");
    expect(of([0.4, 0.3, undefined], false, false).text).toContain("10x tell what carrying its state on would cost: nothing.");
    expect(of([0.4, undefined, undefined], false, false).text).toMatch(/cannot drift\.$/);
    for (const values of [[0.4, 0.41, 0.6], [0.4], [0.4, 0.3]]) expect(of(values, false, false).text).not.toMatch(/reset/i);
  });

  it("finds no drift where the metric holds, in either direction", () => {
    expect(of([0.4, 0.41, undefined])).toMatchObject({ drifts: false });
    expect(of([0.9, 0.95, 0.92], true).drifts).toBe(false);
    expect(of([0.9, 0.7, 0.92], true).drifts).toBe(true);
  });

  it("says that it does not know where no series is long enough", () => {
    const { drifts, text } = of([0.4, undefined, undefined]);
    expect(drifts).toBeNull();
    expect(text).toContain("no series is that long");
    expect(text).toContain("Nothing says");
  });
});

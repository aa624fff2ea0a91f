import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { seed } from "../core/rng.js";
import { heldBackLogits } from "./calibrate/held-back.js";
import { evaluate, type Predicting } from "./evaluate.js";
import { type Contender, defaultMetric, judge } from "./judge.js";
import { renderReportHtml, renderReportText } from "./report.js";

const N = 12;
const STEPS = 6;
const base = {
  batchSize: N,
  time: STEPS,
  features: 1,
  x: new Float32Array(N * STEPS),
  lengths: Int32Array.from({ length: N }, (_, b) => 3 + (b % 4)),
  everyStep: false,
  horizon: 0,
  targets: 0,
  example: Int32Array.from({ length: N }, (_, b) => b),
  series: Int32Array.from({ length: N }, (_, b) => b),
  start: new Int32Array(N),
} satisfies Partial<Batch>;
const spec: ExampleSpec = {
  features: ["u"],
  targetKind: "next",
  targets: [],
  classes: ["O", "B-<X>", "I-<X>"],
  horizon: 0,
  everyStep: false,
  length: 0,
  targetFeature: [],
};
const codes = Int32Array.from({ length: N * STEPS }, (_, i) => (i * 7 + (i >> 3)) % 3);

/** Right with that probability, by a generator of its own. */
function classifier(share: number): Predicting {
  return {
    predict(batch) {
      const rng = seed(Math.round(1000 * share));
      const logits = Array.from(batch.classes as Int32Array, (code) => {
        const said = rng.uniform() < share ? code : rng.integer(3);
        return [0, 1, 2].map((c) => (c === said ? 2 : 0));
      });
      return Float32Array.from(logits.flat());
    },
  };
}

function contenders(own: ExampleSpec, batch: Batch, predictors: Record<string, Predicting>, options = {}): Contender[] {
  return Object.entries(predictors).map(([name, predictor], i) => ({
    name,
    kind: i === 0 ? "model" : "baseline",
    test: evaluate(predictor, [batch], own, options),
  }));
}

const options = { rng: seed(1), resamples: 200 };

describe("judging every kind of target", () => {
  it("codes that follow each other: by nats of the named unit, beside perplexity and accuracy", () => {
    const batch: Batch = { ...base, targetKind: "next", classes: codes };
    const [model, rival] = contenders(
      spec,
      batch,
      { GRU: classifier(0.95), unigram: classifier(0.2) },
      { unitName: "character" },
    );
    const report = judge(model, [rival], options);
    expect(defaultMetric(model.test)).toBe("logLoss");
    expect(report.columns.map(({ key, label }) => [key, label])).toEqual([
      ["logLoss", "nats per character"],
      ["perplexity", "perplexity"],
      ["accuracy", "accuracy"],
    ]);
    expect(report.verdict.text).toMatch(/ship GRU\. It beats unigram by 0\.\d+ nats per character/);
    expect(renderReportHtml(report)).toContain("By length of the sequence");
  });

  it("tags of spans: by span F1, with the spans by type on the page, every name escaped", () => {
    const own: ExampleSpec = { ...spec, targetKind: "tags", tagScheme: "BIO2" };
    const batch: Batch = { ...base, targetKind: "tags", classes: codes };
    const [model, rival] = contenders(own, batch, { GRU: classifier(0.97), majority: classifier(0.1) });
    const report = judge(model, [rival], options);
    expect(report.columns.map(({ key }) => key)).toEqual(["spanF1", "accuracy", "logLoss"]);
    expect(report.verdict.text).toMatch(/points of span F1/);
    const html = renderReportHtml(report);
    expect(html).toContain("<h2>Spans</h2>");
    expect(html).toContain("Reliability");
    expect(html).not.toContain("<X>");
  });

  const targets = Int32Array.from({ length: N * 3 }, (_, i) => (i * 5) % 3);
  const tokenBatch: Batch = { ...base, targetKind: "tokens", tokens: targets, tokenLengths: new Int32Array(N).fill(3) };
  const tokenSpec: ExampleSpec = { ...spec, targetKind: "tokens" };
  const decoder = (wrong: number, log = -0.3): Predicting => ({
    predict: () => new Float32Array(N).fill(log),
    decode: () =>
      Array.from({ length: N }, (_, b) => ({
        tokens: [...targets.subarray(3 * b, 3 * b + 3)].map((code, u) => (b % wrong === 0 && u === 1 ? (code + 1) % 3 : code)),
        logProbability: Number.NaN,
      })),
  });

  it("target sequences: by exact match or the metric of the task, teacher-forced beside free-running", () => {
    const [model, rival] = contenders(tokenSpec, tokenBatch, { "GRU pair": decoder(4), copy: decoder(1) }, { unitName: "word" });
    const report = judge(model, [rival], options);
    expect(report.columns.map(({ label }) => label)).toEqual(["exact match", "WER", "BLEU"]);
    expect(report.comparedBy).toBe("exact match");
    const text = renderReportText(report, { width: 400 });
    expect(text).toContain("GRU pair: teacher-forced 0.075 nats per word; free-running 8.3 % WER, 91.7 % of words in place; ");
    expect(text).toContain("3 of 12 sequences go wrong, first at word 2 (median).");
    const byRate = judge(model, [rival], { ...options, metric: "tokenErrorRate" });
    expect(byRate.verdict.text).toMatch(/by 25\.0 points of WER/);
    expect(byRate.verdict.ship).toBe("GRU pair");
    expect(renderReportHtml(report)).toContain("Where wrong sequences first go wrong");
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  it("keeps a rival in the table that gives nothing the decision could go by, and says so", () => {
    const [model, rival] = contenders(tokenSpec, tokenBatch, { GRU: decoder(4), copy: decoder(1, Number.NaN) });
    const report = judge(model, [rival], { ...options, decision: { metric: "perplexity" } });
    expect(report.rows.map(({ name, values }) => [name, values["perplexity"] === null])).toEqual([
      ["GRU", false],
      ["copy", true],
    ]);
    expect(Object.keys(report.comparisons)).toEqual([]);
    expect(report.notes).toContain("copy gives no perplexity and cannot be compared by it.");
  });

  it("distributions: by CRPS, against points by their absolute error", () => {
    const rng = seed(3);
    const values = Float32Array.from({ length: N }, () => rng.normal());
    const own: ExampleSpec = {
      ...spec,
      targetKind: "values",
      classes: [],
      targets: ["u"],
      horizon: 1,
      distribution: { kind: "gaussian" },
    };
    const batch: Batch = { ...base, targetKind: "values", values, horizon: 1, targets: 1 };
    const [model, rival] = contenders(own, batch, {
      GRU: { predict: () => [...values].flatMap((y) => [y + 0.1, -1]) },
      persistence: { predict: () => new Float32Array(N).fill(3) },
    });
    const report = judge(model, [rival], options);
    expect(report.columns.map(({ key }) => key)).toEqual(["crps", "coverage90", "mae"]);
    expect(report.rows[1].values["coverage90"]).toBeNull();
    expect(report.verdict.text).toMatch(/CRPS/);
    expect(renderReportHtml(report)).toContain("Central intervals");
  });

  it("sets at each step: by their log-probability", () => {
    const values = Float32Array.from({ length: N * STEPS }, (_, i) => i % 2);
    const own: ExampleSpec = {
      ...spec,
      ...{ targetKind: "values", classes: [], targets: ["c"], horizon: 1, everyStep: true, distribution: { kind: "bernoulli" } },
    };
    const batch: Batch = { ...base, targetKind: "values", values, horizon: 1, targets: 1, everyStep: true };
    const [model, rival] = contenders(own, batch, {
      GRU: { predict: () => values.map((v) => 4 * v - 2) },
      keys: { predict: () => new Float32Array(values.length) },
    });
    const report = judge(model, [rival], options);
    expect(report.columns.map(({ label }) => label)).toEqual(["NLL", "frame accuracy", "frame F1"]);
    expect(report.verdict.ship).toBe("GRU");
  });
});

describe("held-back logits", () => {
  it("are those of every decision that has a class, and of no padding", () => {
    const batch: Batch = { ...base, targetKind: "tags", classes: Int32Array.from(codes, (code, i) => (i % 5 === 0 ? -1 : code)) };
    const prediction = Float32Array.from({ length: N * STEPS * 3 }, (_, i) => i);
    const { logits, labels, classes } = heldBackLogits(() => prediction, [batch], { ...spec, targetKind: "tags" });
    const kept = [...codes.keys()].filter((i) => i % 5 !== 0 && i % STEPS < base.lengths[Math.floor(i / STEPS)]);
    expect([...labels]).toEqual(kept.map((i) => codes[i]));
    expect([...logits]).toEqual(kept.flatMap((i) => [3 * i, 3 * i + 1, 3 * i + 2]));
    expect(classes).toBe(3);
    expect(() => heldBackLogits(() => [], [], { ...spec, targetKind: "values" })).toThrow(/OST_CONFIG/);
  });
});

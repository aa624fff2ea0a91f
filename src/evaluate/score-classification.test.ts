import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { seed } from "../core/rng.js";
import { compareScores } from "./comparison.js";
import { evaluate } from "./evaluate.js";
import type { ClassificationScore } from "./score.js";

const specOf = (targetKind: "class" | "tags" | "next", classes: string[], more: Partial<ExampleSpec> = {}): ExampleSpec => ({
  features: ["u"],
  targetKind,
  targets: [],
  classes,
  horizon: 0,
  everyStep: false,
  length: 0,
  targetFeature: [],
  ...more,
});

/** Rows of classes by step; rows of `starts` and `series`. */
function batchOf(
  targetKind: "class" | "tags" | "next",
  rows: number[][],
  {
    series = rows.map((_, b) => b),
    start = rows.map(() => 0),
    lengths = rows.map(({ length }) => length),
  }: { series?: number[]; start?: number[]; lengths?: number[] } = {},
): Batch {
  const time = Math.max(...rows.map(({ length }) => length));
  const classes = rows.flatMap((row) => Array.from({ length: time }, (_, t) => row[t] ?? -1));
  return {
    batchSize: rows.length,
    time,
    features: 1,
    x: new Float32Array(rows.length * time),
    lengths: Int32Array.from(lengths),
    targetKind,
    classes: Int32Array.from(targetKind === "class" ? rows.map(([first]) => first) : classes),
    everyStep: false,
    horizon: 0,
    targets: 0,
    example: Int32Array.from(rows.keys()),
    series: Int32Array.from(series),
    start: Int32Array.from(start),
  };
}

/** Logits whose likeliest class is the one given. */
const says = (labels: number[], C: number, sure = 2) =>
  labels.flatMap((label) => Array.from({ length: C }, (_, c) => (c === label ? sure : 0)));

describe("codes that follow each other", () => {
  it("have the perplexity and bits of their log-loss, and no ranking of classes", () => {
    const spec = specOf("next", ["a", "b", "c"]);
    const batch = batchOf("next", [[0, 1, 2, -1]]);
    const score = evaluate(() => new Float32Array(12), [batch], spec, { unitName: "character" }) as ClassificationScore;
    expect(score.metrics.n).toBe(3);
    expect(score.metrics.perplexity).toBeCloseTo(3, 12);
    expect(score.metrics.bitsPerToken).toBeCloseTo(Math.log2(3), 12);
    expect([score.metrics.tokenUnit, score.metrics.ranking]).toEqual(["character", undefined]);
  });

  it("compare by perplexity as the difference of perplexities", () => {
    const rng = seed(1);
    const spec = specOf("next", ["a", "b"]);
    const batches = Array.from({ length: 10 }, (_, s) =>
      batchOf("next", [Array.from({ length: 20 }, () => rng.integer(2))], { series: [s] }),
    );
    const near = (sure: number) => (batch: Batch) => says([...(batch.classes as Int32Array)], 2, sure);
    const [a, b] = [1, 0.3].map((sure) => evaluate(near(sure), batches, spec) as ClassificationScore);
    for (const metric of ["perplexity", "bitsPerToken", "logLoss"] as const) {
      const { difference, interval95 } = compareScores(a, b, metric, { rng: seed(1) });
      expect(difference).toBeCloseTo((a.metrics[metric] as number) - (b.metrics[metric] as number), 12);
      expect((interval95 as number[])[1]).toBeLessThan(0);
    }
  });

  it("of a large vocabulary keep figures by class and no matrix", () => {
    const names = Array.from({ length: 3000 }, (_, c) => `w${c}`);
    const batch = batchOf("next", [[5, 2999]]);
    const { metrics } = evaluate(() => says([5, 7], 3000, 9), [batch], specOf("next", names)) as ClassificationScore;
    expect([metrics.confusion, Object.keys(metrics.perClass).length]).toEqual([[], 0]);
    expect(metrics.accuracy).toBe(0.5);
    expect(metrics.balancedAccuracy).toBe(0.5);
    expect(metrics.macroF1).toBeCloseTo(1 / 3, 12);
  });
});

describe("labels that are decided together", () => {
  it("take the place of the likeliest class, and leave the log-loss as it was", () => {
    const spec = specOf("tags", ["a", "b"]);
    const batch = batchOf("tags", [[0, 1, 1]]);
    const predict = () => Float32Array.from(says([0, 0, 1], 2));
    const alone = evaluate(predict, [batch], spec) as ClassificationScore;
    const together = evaluate({ predict, labels: () => Int32Array.of(0, 1, 1) }, [batch], spec) as ClassificationScore;
    expect([alone.metrics.accuracy, together.metrics.accuracy]).toEqual([2 / 3, 1]);
    expect(together.metrics.logLoss).toBe(alone.metrics.logLoss);
    expect(together.metrics.confusion).toEqual([
      [1, 0],
      [0, 2],
    ]);
  });

  it("must be one per step and a class", () => {
    const spec = specOf("tags", ["a", "b"]);
    const batch = batchOf("tags", [[0, 1, 1]]);
    const predict = () => Float32Array.from(says([0, 0, 1], 2));
    expect(() => evaluate({ predict, labels: () => Int32Array.of(0, 1) }, [batch], spec)).toThrow(/OST_SHAPE/);
    expect(() => evaluate({ predict, labels: () => Int32Array.of(0, 1, 2) }, [batch], spec)).toThrow(/OST_RANGE/);
    const unlabelled = batchOf("tags", [[0, 1, -1]]);
    expect(evaluate({ predict, labels: () => Int32Array.of(0, 1, -9) }, [unlabelled], spec).metrics.n).toBe(2);
  });
});

describe("one class against all others", () => {
  it("is ranked exactly by its probabilities", () => {
    const spec = specOf("class", ["a", "b"]);
    const rng = seed(3);
    const n = 60;
    const truth = Array.from({ length: n }, () => rng.integer(2));
    const logits = truth.flatMap((c) => [0, rng.integer(4) + c]);
    const batch = batchOf(
      "class",
      truth.map((c) => [c]),
    );
    const { metrics } = evaluate(() => logits, [batch], spec) as ClassificationScore;
    let [won, pairs] = [0, 0];
    truth.forEach((ci, i) => {
      truth.forEach((cj, j) => {
        if (ci !== 1 || cj !== 0) return;
        pairs++;
        won += logits[2 * i + 1] > logits[2 * j + 1] ? 1 : logits[2 * i + 1] === logits[2 * j + 1] ? 0.5 : 0;
      });
    });
    expect(metrics.ranking?.b.rocAuc).toBeCloseTo(won / pairs, 12);
    expect(metrics.ranking?.a.rocAuc).toBeCloseTo(won / pairs, 12);
    expect(metrics.ranking?.b.averagePrecision).toBeGreaterThan(0.5);
  });

  it("is null where a class is everywhere", () => {
    const { metrics } = evaluate(() => [0, 1], [batchOf("class", [[1]])], specOf("class", ["a", "b"])) as ClassificationScore;
    expect(metrics.ranking).toEqual({
      a: { rocAuc: null, averagePrecision: null },
      b: { rocAuc: null, averagePrecision: 1 },
    });
  });
});

describe("figures by length", () => {
  it("are of the input's length for one class per sequence", () => {
    const spec = specOf("class", ["a", "b"]);
    const batch = batchOf("class", [[0], [1], [0], [1]], { lengths: [2, 2, 7, 8] });
    const { metrics } = evaluate(() => says([0, 0, 0, 1], 2), [batch], spec) as ClassificationScore;
    expect(metrics.byLength?.map(({ from, to, n, accuracy }) => [from, to, n, accuracy])).toEqual([
      [2, 2, 2, 0.5],
      [5, 8, 2, 1],
    ]);
  });

  it("are of the whole sequence where windows cut it, and absent where all are alike", () => {
    const spec = specOf("tags", ["a", "b"]);
    const rows = [
      [0, 0],
      [0, 0],
      [1, 1],
    ];
    const cut = batchOf("tags", rows, { series: [0, 0, 1], start: [0, 2, 0] });
    const { metrics } = evaluate(() => says([0, 0, 0, 1, 1, 1], 2), [cut], spec) as ClassificationScore;
    expect(metrics.byLength?.map(({ from, n, accuracy }) => [from, n, accuracy])).toEqual([
      [2, 2, 1],
      [3, 4, 0.75],
    ]);
    const alike = batchOf("tags", rows);
    const plain = evaluate(() => says([0, 0, 0, 1, 1, 1], 2), [alike], spec) as ClassificationScore;
    expect(plain.metrics.byLength).toBeUndefined();
  });

  it("add up to the whole", () => {
    const rng = seed(5);
    const rows = Array.from({ length: 30 }, () => Array.from({ length: 1 + rng.integer(20) }, () => rng.integer(2)));
    const batch = batchOf("tags", rows);
    const logits = Array.from(batch.classes as Int32Array, () => [rng.normal(), rng.normal()]).flat();
    const { metrics } = evaluate(() => logits, [batch], specOf("tags", ["a", "b"])) as ClassificationScore;
    const total = (of: (bucket: NonNullable<typeof metrics.byLength>[number]) => number) =>
      (metrics.byLength ?? []).reduce((sum, bucket) => sum + bucket.n * of(bucket), 0) / metrics.n;
    expect(total(() => 1)).toBe(1);
    expect(total(({ accuracy }) => accuracy)).toBeCloseTo(metrics.accuracy, 12);
    expect(total(({ logLoss }) => logLoss)).toBeCloseTo(metrics.logLoss, 12);
  });
});

describe("spans of tags", () => {
  const names = ["O", "B-X", "I-X"];
  const spec = specOf("tags", names, { tagScheme: "BIO2" });

  it("are counted where the data keep a scheme, by sequences", () => {
    const batch = batchOf("tags", [
      [1, 2, 0],
      [2, 0, 1],
    ]);
    const { metrics, units } = evaluate(() => says([1, 2, 0, 1, 0, 0], 3), [batch], spec) as ClassificationScore;
    expect(metrics.spans).toMatchObject({ support: 3, predicted: 2, correct: 2, precision: 1, recall: 2 / 3, f1: 0.8 });
    expect(metrics.spanF1).toBe(0.8);
    expect(metrics.spans?.note).toBeUndefined();
    expect(units.spans).toEqual([1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 0, 0]);
    const off = evaluate(() => says([1, 2, 0, 1, 0, 0], 3), [batch], spec, { tagScheme: null }) as ClassificationScore;
    expect(off.metrics.spanF1).toBeUndefined();
  });

  it("are read whole where windows cut them, whatever the order of the batches, and the report says so", () => {
    const whole = batchOf("tags", [[0, 1, 2, 2, 0, 1]]);
    const labels = [0, 1, 2, 2, 1, 2];
    const one = evaluate(() => says(labels, 3), [whole], spec) as ClassificationScore;
    const pieces = [3, 0].map((from) =>
      batchOf("tags", [[0, 1, 2, 2, 0, 1].slice(from, from + 3)], { series: [0], start: [from] }),
    );
    let at = 0;
    const cut = evaluate(() => says([3, 0].map((from) => labels.slice(from, from + 3))[at++], 3), pieces, spec);
    const { note, ...spans } = (cut as ClassificationScore).metrics.spans ?? { note: "" };
    expect(spans).toEqual(one.metrics.spans);
    expect(note).toContain("joined");
  });

  it("never go on over steps that were not read, and go on over those without a tag", () => {
    const apart = batchOf(
      "tags",
      [
        [1, 2],
        [2, 0],
      ],
      { series: [0, 0], start: [0, 5] },
    );
    expect((evaluate(() => says([1, 2, 2, 0], 3), [apart], spec) as ClassificationScore).metrics.spans?.support).toBe(2);
    const pieces = batchOf("tags", [[1, -1, 2]]);
    expect((evaluate(() => says([1, 0, 2], 3), [pieces], spec) as ClassificationScore).metrics.spans).toMatchObject({
      support: 1,
      correct: 1,
    });
  });

  it("count a step once that windows score twice", () => {
    const overlapping = batchOf(
      "tags",
      [
        [1, 2],
        [2, 0],
      ],
      { series: [0, 0], start: [0, 1] },
    );
    const { metrics } = evaluate(() => says([1, 2, 2, 0], 3), [overlapping], spec) as ClassificationScore;
    expect(metrics.spans).toMatchObject({ support: 1, correct: 1, tokens: 3 });
    expect(metrics.spans?.note).toContain("more than once");
  });

  it("compare as the difference of their F1, by whole series", () => {
    const rng = seed(6);
    const batches = Array.from({ length: 20 }, (_, s) =>
      batchOf("tags", [Array.from({ length: 15 }, () => rng.integer(3))], { series: [s] }),
    );
    const noisy = (share: number) => (batch: Batch) =>
      says(
        Array.from(batch.classes as Int32Array, (c) => (rng.uniform() < share ? c : rng.integer(3))),
        3,
      );
    const [a, b] = [0.95, 0.4].map((share) => evaluate(noisy(share), batches, spec) as ClassificationScore);
    const { difference, interval95, unit, clusters } = compareScores(a, b, "spanF1", { rng: seed(1) });
    expect(difference).toBeCloseTo((a.metrics.spanF1 ?? 0) - (b.metrics.spanF1 ?? 0), 12);
    expect((interval95 as number[])[0]).toBeGreaterThan(0);
    expect([unit, clusters]).toEqual(["entity", 20]);
    const plain = evaluate(noisy(1), batches, { ...spec, tagScheme: undefined });
    expect(() => compareScores(a, plain, "spanF1", { rng: seed(1) })).toThrow(/OST_RANGE/);
  });

  it("refuse tags that mark none", () => {
    expect(() => evaluate(() => [1, 0], [batchOf("tags", [[0]])], { ...spec, classes: ["NOUN", "VERB"] })).toThrow(/OST_TARGET/);
  });
});

import { describe, expect, it } from "vitest";
import type { Batch, ExampleSpec } from "../core/batch.js";
import { seed } from "../core/rng.js";
import { compareScores } from "./comparison.js";
import { evaluate } from "./evaluate.js";
import { bleu } from "./metrics/bleu.js";
import { chrf } from "./metrics/chrf.js";
import { editDistance } from "./metrics/edit-distance.js";
import type { SequenceScore } from "./score.js";
import { errorRateLabel, scoreSequences } from "./score-sequences.js";

const spec: ExampleSpec = {
  features: ["u"],
  targetKind: "tokens",
  targets: [],
  classes: ["walk", "turn", "look", "jump"],
  horizon: 0,
  everyStep: false,
  length: 0,
  targetFeature: [],
};

function batchOf(targets: number[][], { lengths = targets.map(() => 3), series = targets.map((_, b) => b) } = {}): Batch {
  const U = Math.max(1, ...targets.map(({ length }) => length));
  const B = targets.length;
  return {
    batchSize: B,
    time: 8,
    features: 1,
    x: new Float32Array(B * 8),
    lengths: Int32Array.from(lengths),
    targetKind: "tokens",
    tokens: Int32Array.from(targets.flatMap((row) => Array.from({ length: U }, (_, u) => row[u] ?? -1))),
    tokenLengths: Int32Array.from(targets, ({ length }) => length),
    everyStep: false,
    horizon: 0,
    targets: 0,
    example: Int32Array.from(targets.keys()),
    series: Int32Array.from(series),
    start: new Int32Array(B),
  };
}

const decoded = (rows: number[][]) => rows.map((tokens) => ({ tokens, logProbability: Number.NaN }));
const scored = (targets: number[][], found: number[][], logs: number[], options = {}, lengths?: number[]) =>
  evaluate(
    { predict: () => logs, decode: () => decoded(found) },
    [batchOf(targets, { lengths })],
    spec,
    options,
  ) as SequenceScore;

describe("scores of target sequences", () => {
  const targets = [[0, 1, 2], [3], [0, 0, 1, 2, 3], []];
  const found = [[0, 1, 2], [2], [0, 1, 2, 3], [1]];
  const logs = [-1, -2, -3, -0.5];

  it("equal values worked by hand", () => {
    const { metrics, units } = scored(targets, found, logs, { joiner: " ", unitName: "word" }, [2, 2, 6, 6]);
    expect(metrics).toMatchObject({
      n: 4,
      unitName: "word",
      tokenErrorRate: 3 / 9,
      substitutions: 1,
      deletions: 1,
      insertions: 1,
      referenceLength: 9,
      exactMatch: 1 / 4,
      nll: 6.5 / (9 + 4),
      nllPerSequence: 6.5 / 4,
      tokenAccuracy: { freeRunning: 4 / 9 },
    });
    expect(metrics.perplexity).toBeCloseTo(Math.exp(6.5 / 13), 12);
    expect(metrics.firstDivergence).toMatchObject({ n: 4, diverged: 3, mean: (1 + 2 + 1) / 3, median: 1 });
    expect(
      metrics.byTargetLength.map(({ from, to, n, exactMatch, tokenErrorRate }) => [from, to, n, exactMatch, tokenErrorRate]),
    ).toEqual([
      [0, 0, 1, 0, 1],
      [1, 1, 1, 0, 1],
      [3, 4, 1, 1, 0],
      [5, 8, 1, 0, 1 / 5],
    ]);
    expect(metrics.bySourceLength.map(({ from, n, tokenErrorRate }) => [from, n, tokenErrorRate])).toEqual([
      [2, 2, 1 / 4],
      [5, 2, 2 / 5],
    ]);
    expect([units.edits, units.referenceLength, units.exact]).toEqual([
      [0, 1, 1, 1],
      [3, 1, 5, 0],
      [1, 0, 0, 0],
    ]);
    expect(JSON.parse(JSON.stringify(metrics))).toEqual(metrics);
  });

  it("agree with the corpus metrics, however the examples are batched", () => {
    const rng = seed(1);
    const draw = () => Array.from({ length: rng.integer(9) }, () => rng.integer(4));
    const many = Array.from({ length: 40 }, () => {
      const target = draw();
      return { target, found: rng.uniform() < 0.5 ? target : target.map((c) => (rng.uniform() < 0.7 ? c : rng.integer(4))) };
    });
    const whole = scored(
      many.map(({ target }) => target),
      many.map((one) => one.found),
      many.map(() => -1),
      { joiner: "" },
    );
    const scorer = scoreSequences(spec, { joiner: "" });
    many.forEach(({ target, found: own }, i) => {
      scorer.add(batchOf([target], { series: [i] }), [-1], decoded([own]));
    });
    expect(scorer.result()).toEqual(whole);
    const text = (codes: number[]) => codes.map((c) => spec.classes[c]).join("");
    expect(whole.metrics.bleu).toBeCloseTo(
      bleu(
        many.map((one) => one.found),
        many.map(({ target }) => [target]),
      ).bleu,
      10,
    );
    expect(whole.metrics.chrf).toBeCloseTo(
      chrf(
        many.map((one) => text(one.found)),
        many.map(({ target }) => [text(target)]),
      ),
      10,
    );
    const edits = many.reduce((sum, one) => sum + editDistance(one.target, one.found).distance, 0);
    expect(whole.metrics.tokenErrorRate).toBeCloseTo(edits / whole.metrics.referenceLength, 12);
  });

  it("count the end of a target only where its probability is in there", () => {
    expect(scored([[0, 1]], [[0, 1]], [-3], { endCounted: false }).metrics.nll).toBe(1.5);
    expect(scored([[0, 1]], [[0, 1]], [-3]).metrics.nll).toBe(1);
    expect(scored([[]], [[]], [-3], { endCounted: false }).metrics.nll).toBeUndefined();
  });

  it("have no likelihood from a predictor without one, and say how many targets are impossible", () => {
    const none = scored([[0], [1]], [[0], [0]], [Number.NaN, -1]);
    expect([none.metrics.nll, none.metrics.perplexity, none.units.nll]).toEqual([undefined, undefined, undefined]);
    const { metrics } = scored([[0], [1]], [[0], [0]], [Number.NEGATIVE_INFINITY, -1]);
    expect(metrics).toMatchObject({ impossible: 1, nll: 0.5, nllPerSequence: 1 });
    expect(scored([[0]], [[0]], [Number.NEGATIVE_INFINITY]).metrics).toMatchObject({ impossible: 1 });
    expect(scored([[0]], [[0]], [Number.NEGATIVE_INFINITY]).metrics.nll).toBeUndefined();
    expect(() => scored([[0]], [[0]], [0.5])).toThrow(/OST_NAN/);
  });

  it("put teacher-forced accuracy beside free-running where it is given for all", () => {
    const scorer = scoreSequences(spec);
    scorer.add(batchOf([[0, 1, 2]]), [-1], decoded([[0, 2, 1]]), [2]);
    expect(scorer.result().metrics.tokenAccuracy).toEqual({ teacherForced: 2 / 3, freeRunning: 1 / 3 });
    scorer.add(batchOf([[0]]), [-1], decoded([[0]]));
    expect(scorer.result().metrics.tokenAccuracy).toEqual({ freeRunning: 2 / 4 });
  });

  it("compare by every metric as the difference of the two", () => {
    const rng = seed(2);
    const draw = () => Array.from({ length: 4 + rng.integer(6) }, () => rng.integer(4));
    const rows = Array.from({ length: 30 }, draw);
    const of = (share: number, nats: number) =>
      scored(
        rows,
        rows.map((row) => row.map((c) => (rng.uniform() < share ? c : rng.integer(4)))),
        rows.map(({ length }) => -nats * length * (0.9 + 0.2 * rng.uniform())),
        { joiner: " " },
      );
    const [a, b] = [of(0.97, 0.1), of(0.3, 1)];
    for (const metric of ["tokenErrorRate", "exactMatch", "bleu", "chrf", "nll", "perplexity"] as const) {
      const { difference, interval95, n } = compareScores(a, b, metric, { rng: seed(1) });
      expect(difference).toBeCloseTo((a.metrics[metric] as number) - (b.metrics[metric] as number), 10);
      const [low, high] = interval95 as [number, number];
      expect(["tokenErrorRate", "nll", "perplexity"].includes(metric) ? high < 0 : low > 0).toBe(true);
      expect(n).toBe(30);
    }
    expect(() => compareScores(a, b, "accuracy", { rng: seed(1) })).toThrow(/OST_RANGE/);
    const silent = scored(
      rows,
      rows,
      rows.map(() => Number.NaN),
    );
    expect(() => compareScores(a, silent, "nll", { rng: seed(1) })).toThrow(/OST_RANGE/);
    expect(() => compareScores(a, silent, "chrf", { rng: seed(1) })).toThrow(/OST_RANGE/);
  });

  it("refuse a predictor that finds nothing, lists of another length, and an empty part", () => {
    expect(() => evaluate(() => [-1], [batchOf([[0]])], spec)).toThrow(/OST_CONFIG/);
    expect(() => scored([[0]], [], [-1])).toThrow(/OST_SHAPE/);
    expect(() => scored([[0]], [[0]], [])).toThrow(/OST_SHAPE/);
    expect(() => evaluate({ predict: () => [], decode: () => [] }, [], spec)).toThrow(/OST_TARGET/);
    expect(() => scored([[0]], [[0]], [-1], {}, [0])).toThrow(/OST_TARGET/);
  });

  it("call the error rate by its unit", () => {
    expect(["word", "character", "phoneme", "label"].map(errorRateLabel)).toEqual(["WER", "CER", "PER", "label error rate"]);
  });
});

/** @file Laws of whole runs that no task has to itself: labels decided together, states carried, what is recomputed, what a report is told by. */
import { describe, expect, it } from "vitest";
import { seed } from "../../src/core/rng.js";
import { renderReportHtml } from "../../src/evaluate/index.js";
import {
  expectBatchesDoNotMatter,
  expectFileKeeps,
  expectGoesOn,
  expectResumes,
  expectWorkersRepeat,
  type Rows,
  ran,
  shuffled,
  type Trial,
  weightsOf,
  withSettings,
} from "../support/task-trial.js";

/** Words of which some are names, of one or two words. */
function sentences(count: number, begin: number): Rows {
  const rng = seed(begin);
  return Array.from({ length: count }, (_, s) => {
    const rows: Rows = [];
    for (let phrase = 0; phrase < 2 + rng.integer(3); phrase++) {
      if (rng.uniform() < 0.5) rows.push({ word: ["sees", "and", "the"][rng.integer(3)], tag: "O" });
      else {
        rows.push({ word: ["Ann", "Bob"][rng.integer(2)], tag: "B-PER" });
        if (rng.uniform() < 0.5) rows.push({ word: ["Lee", "Day", "and"][rng.integer(3)], tag: "I-PER" });
      }
    }
    return rows.map((row) => ({ sentence: `${begin}-${s}`, ...row }));
  }).flat();
}

const TAGS: Trial = {
  input: {
    task: "tag",
    mode: "offline",
    data: {
      source: "sentences",
      entity: "sentence",
      categories: { word: { kind: "vocabulary", as: "embedding", width: 5 } },
      target: "tag",
      tagScheme: "BIO2",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    },
    model: { cell: "gru", hiddenSize: 8, bidirectional: true, crf: true, dropout: 0.1 },
    train: { epochs: 4, batchSize: 8, learningRate: 0.03 },
    evaluation: { rivals: false, resamples: 100 },
  },
  rows: sentences(90, 1),
};

describe("tags decided together", () => {
  it("killed and resumed equal never stopped, with averaging and accumulation", async () => {
    await expectResumes(withSettings(TAGS, { train: { averaging: { decay: 0.8 }, accumulate: 2 } }), [2, 7]);
  });

  it("do not depend on batch size and padding, and the file keeps what was judged", async () => {
    const result = await ran(TAGS);
    await expectBatchesDoNotMatter(TAGS, result);
    await expectFileKeeps(TAGS, result);
    await expectGoesOn(TAGS, result, sentences(60, 2));
  });

  it("are learned alike by the same number of threads", async () => {
    await expectWorkersRepeat(withSettings(TAGS, { train: { epochs: 1 } }));
  });

  it("in an order of chance are found no better than by saying the commonest", async () => {
    const tags = shuffled(TAGS.rows.map(({ tag }) => tag));
    const rows = TAGS.rows.map((row, i) => ({ ...row, tag: tags[i] }));
    const { data } = TAGS.input;
    const control = await ran({ rows, input: { ...TAGS.input, data: { ...data, tagScheme: null } } });
    const [own, majority] = [control.metrics.test, control.baselines.majority] as { accuracy: number }[];
    expect(own.accuracy).toBeLessThan(majority.accuracy + 0.1);
  });
});

describe("a carried state", () => {
  const STREAM: Trial = {
    input: {
      task: "tag",
      mode: "streaming",
      data: {
        source: "levels",
        features: ["a"],
        target: "kind",
        split: { by: "time", train: 0.6, validation: 0.2, test: 0.2 },
      },
      window: { length: 12 },
      model: { cell: "lstm", hiddenSize: 6, dropout: 0.1, recurrentDropout: 0.1 },
      train: { epochs: 2, batchSize: 3, learningRate: 0.02, truncation: { k1: 3, k2: 12 } },
      evaluation: { rivals: false, resamples: 100 },
    },
    rows: levels(),
  };

  function levels(): Rows {
    const rng = seed(2);
    return Array.from({ length: 600 }, (_, i) => {
      const high = Math.floor(i / 9) % 2 === 0;
      return { a: (high ? 0.4 : -0.4) + rng.normal(), kind: high ? "high" : "low" };
    });
  }

  it("killed and resumed in the middle of a lane equals never stopped, with gradients further back than an update", async () => {
    await expectResumes(withSettings(STREAM, { train: { averaging: { decay: 0.9 }, accumulate: 3 } }), [1, 5, 8]);
  });

  it("is learned alike by the same number of threads", async () => {
    await expectWorkersRepeat(withSettings(STREAM, { train: { epochs: 1 } }));
  });

  it("sees further with a longer k2, and the same with k1 = k2 as with none said", async () => {
    const cut = async (truncation: { k1: number; k2: number } | undefined) =>
      weightsOf(await ran(withSettings(STREAM, { train: { truncation } })));
    const [short, long] = [await cut({ k1: 3, k2: 3 }), await cut({ k1: 3, k2: 12 })];
    expect(long).not.toEqual(short);
    expect(await cut({ k1: 12, k2: 12 })).toEqual(await cut(undefined));
  });

  it("learns the same, but for rounding, where activations are computed again", async () => {
    const whole = withSettings(STREAM, { model: { recurrentDropout: 0 } });
    const stored = await weightsOf(await ran(whole));
    const again = await weightsOf(await ran(withSettings(whole, { train: { recompute: 4 } })));
    again.forEach(([name, values], i) => {
      values.forEach((value, j) => {
        expect(Math.abs(value - stored[i][1][j]), name).toBeLessThan(1e-4);
      });
    });
  });
});

describe("a classifier", () => {
  const CLASSES: Trial = {
    input: {
      task: "classify",
      data: {
        source: "x",
        entity: "run",
        features: ["a"],
        target: "kind",
        split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
      },
      model: { hiddenSize: 6 },
      train: { epochs: 3, batchSize: 8, learningRate: 0.02 },
      evaluation: { rivals: false, resamples: 100 },
    },
    rows: Array.from({ length: 60 }, (_, s) =>
      Array.from({ length: 2 + (s % 9) }, (_, i) => ({
        run: `r${s}`,
        a: Math.sin(s * 7 + i) + (s % 2),
        kind: s % 2 ? "odd" : "even",
      })),
    ).flat(),
  };

  it("is reported by length of the sequence, as data and on the page, its rivals too", async () => {
    const { report, name } = await ran(CLASSES);
    for (const metrics of Object.values(report.metrics) as {
      n: number;
      byLength?: { from: number; to: number; n: number }[];
    }[]) {
      expect(metrics.byLength!.length).toBeGreaterThan(1);
      expect(metrics.byLength!.reduce((sum, { n }) => sum + n, 0)).toBe(metrics.n);
    }
    expect(JSON.parse(JSON.stringify(report)).metrics[name].byLength).toEqual(
      (report.metrics[name] as { byLength?: object }).byLength,
    );
    expect(renderReportHtml(report)).toContain("By length of the sequence");
  });

  it("of labels that belong to other sequences is no better than the commonest", async () => {
    const runs = [...new Set(CLASSES.rows.map(({ run }) => run))];
    const kinds = shuffled(runs.map((_, i) => (i % 2 ? "odd" : "even")));
    const rows = CLASSES.rows.map((row) => ({ ...row, kind: kinds[runs.indexOf(row.run)] }));
    const { report, metrics, baselines } = await ran({ ...CLASSES, rows });
    const [own, majority] = [metrics.test, baselines.majority] as { accuracy: number }[];
    // Twelve sequences are tested: five in place of six, or seven, is chance.
    expect(own.accuracy).toBeLessThanOrEqual(majority.accuracy + 0.34);
    expect(report.verdict.beats).not.toContain("majority");
  });
});

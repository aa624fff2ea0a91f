/** @file Laws of translation, from the table to the report. */
import { describe, expect, it } from "vitest";
import { seed } from "../../src/core/rng.js";
import { renderReportHtml, renderReportText } from "../../src/evaluate/index.js";
import { encodeBatch, encoderDecoder } from "../../src/model/index.js";
import { inference } from "../../src/tensor/index.js";
import {
  expectBatchesDoNotMatter,
  expectFileKeeps,
  expectGoesOn,
  expectResumes,
  expectWorkersRepeat,
  judgedAgain,
  type Rows,
  ran,
  shuffled,
  type Trial,
  withSettings,
} from "../support/task-trial.js";

/** Words into their numbers, the other way round: "one two" into "2 1". */
function commands(count: number, begin: number): Rows {
  const rng = seed(begin);
  const words = ["one", "two", "three", "four"];
  return Array.from({ length: count }, (_, i) => {
    const said = Array.from({ length: 1 + rng.integer(4) }, () => rng.integer(4));
    return {
      line: `${begin}-${i}`,
      command: said.map((w) => words[w]).join(" "),
      actions: said
        .map((w) => String(w + 1))
        .reverse()
        .join(" "),
    };
  });
}

const TRANSLATE: Trial = {
  input: {
    task: "translate",
    mode: "offline",
    data: {
      source: "commands",
      entity: "line",
      categories: { command: { kind: "words", as: "embedding", width: 6 } },
      target: "actions",
      targetTokens: "vocabulary",
      split: { by: "entity", train: 0.6, validation: 0.2, test: 0.2 },
    },
    model: { cell: "gru", hiddenSize: 12, attention: "general", targetEmbedding: 6, dropout: 0.1 },
    train: { epochs: 3, batchSize: 8, learningRate: 0.02 },
    evaluation: { rivals: false, resamples: 100 },
  },
  rows: commands(120, 3),
};

const SAMPLED = withSettings(TRANSLATE, {
  train: { sampling: { kind: "inverseSigmoid", from: 0.1, to: 0.6, steps: 20 }, averaging: { decay: 0.8 }, accumulate: 2 },
  model: { cell: "lstm", bidirectional: true, inputFeeding: true, attention: "additive" },
});

describe("translation", () => {
  it("killed and resumed equals never stopped", async () => {
    await expectResumes(TRANSLATE, [4, 13]);
  });

  it("killed and resumed equals never stopped, with scheduled sampling, averaging and accumulation", async () => {
    await expectResumes(SAMPLED, [2, 7]);
  });

  it.each([
    ["greedily", {}],
    ["by a beam", { method: "beam" as const, width: 3, lengthPenalty: 0.6, coveragePenalty: 0.2 }],
  ])("does not depend on batch size and padding, and the file keeps what was judged: %s", async (_, decoding) => {
    const trial = { ...TRANSLATE, input: { ...TRANSLATE.input, decoding } };
    const result = await ran(trial);
    await expectBatchesDoNotMatter(trial, result);
    await expectFileKeeps(trial, result);
  });

  it("goes on from a model, with its vocabularies", async () => {
    await expectGoesOn(TRANSLATE, await ran(TRANSLATE), commands(60, 9));
  });

  it("is learned alike by the same number of threads", async () => {
    await expectWorkersRepeat(withSettings(TRANSLATE, { train: { epochs: 1 } }));
  });

  it("of targets that belong to other sources is no better than the commonest target", async () => {
    const actions = shuffled(TRANSLATE.rows.map((row) => row.actions));
    const { metrics, baselines } = await ran({
      ...TRANSLATE,
      rows: TRANSLATE.rows.map((row, i) => ({ ...row, actions: actions[i] })),
    });
    const [own, commonest] = [metrics.test, baselines.mostFrequentSequence] as { exactMatch: number }[];
    expect(own.exactMatch).toBeLessThanOrEqual(commonest.exactMatch + 0.1);
  });

  it("is reported teacher-forced and free-running, side by side", async () => {
    const result = await ran(withSettings(TRANSLATE, { train: { epochs: 12 }, model: { dropout: 0 } }));
    const { report, metrics } = result;
    const { tokenAccuracy, firstDivergence, nll } = metrics.test as {
      tokenAccuracy: { teacherForced?: number; freeRunning: number };
      firstDivergence: { diverged: number };
      nll: number;
    };
    // Counted once more, token by token, from what the decoder says when it reads each target.
    const { model, batchesOfTest } = await judgedAgain(TRANSLATE, result.file);
    const network = encoderDecoder(model.network!);
    let right = 0;
    let tokens = 0;
    inference(() => {
      for (const batch of batchesOfTest({ batchSize: 1 })) {
        const scorer = network.scorer(encodeBatch(network, batch), 0);
        let state = scorer.initial;
        let token = network.begin;
        for (const target of batch.tokens!.slice(0, batch.tokenLengths![0])) {
          const { logProbabilities, states } = scorer.advance([state], [token]);
          if (logProbabilities.indexOf(Math.max(...logProbabilities)) === target) right++;
          tokens++;
          [state, token] = [states[0], target];
        }
      }
    });
    expect(tokenAccuracy.teacherForced).toBeCloseTo(right / tokens, 10);
    expect(tokenAccuracy.teacherForced).toBeGreaterThan(0.5);
    const text = renderReportText(report, { width: 10_000 });
    expect(text).toContain(
      `teacher-forced ${nll.toFixed(3)} nats per token, ${(100 * tokenAccuracy.teacherForced!).toFixed(1)} % of tokens right`,
    );
    expect(text).toMatch(firstDivergence.diverged > 0 ? /sequences go wrong, first at token/ : /no sequence goes wrong/);
    const page = renderReportHtml(report);
    for (const heading of [
      "Given the truth, and its own output",
      "Where wrong sequences first go wrong",
      "By length of the target",
    ]) {
      expect(page).toContain(heading);
    }
    expect(JSON.parse(JSON.stringify(report)).metrics[result.name]).toMatchObject({ tokenAccuracy, firstDivergence });
  });
});

/**
 * @file Language: what comes next, at every step, given all before (Bengio et al. 2003; Mikolov et al. 2010).
 *
 * Of codes (characters, words, subwords, events) the next one; loss: cross-entropy. Of frames, where several of a set are there at once
 * (such as the keys of a chord), each member of the next frame by itself; loss: the negative log-likelihood of independent members
 * (Boulanger-Lewandowski et al. 2012).
 */
import type { ExampleSpec } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import { classTask } from "./class-loss.js";
import { recurrentArchitecture } from "./recurrent-architecture.js";
import { stepExamples } from "./step-examples.js";
import type { Task, TaskConfig } from "./task.js";
import { frameExamples, valueTask } from "./value-loss.js";

export function language(config: TaskConfig): Task {
  const [target] = config.data.target;
  const frames = config.data.categories[target]?.kind === "set";
  const common = { name: "language" as const, streams: true, architecture: recurrentArchitecture.bind(null, config) };
  if (frames) {
    const distribution = { kind: "bernoulli" } as const;
    return {
      ...common,
      targetKind: "values",
      metric: "nll",
      unit: "step",
      examples: frameExamples(config, { ahead: 1 }),
      complete(spec) {
        if (config.model.tieWeights) wantTable(spec);
        return { ...spec, distribution };
      },
      ...valueTask(config, { distribution, everyStep: true, horizon: 1, ahead: 1 }),
    };
  }
  return {
    ...common,
    targetKind: "next",
    metric: "logLoss",
    unit: "step",
    examples: stepExamples(config, { together: false }),
    complete(spec) {
      if (config.model.tieWeights) wantTable(spec);
      return spec;
    },
    ...classTask(config),
  };
}

/** @throws OST_CONFIG unless the network's one table of vectors has a row for every class. */
function wantTable({ codes = [], classes }: ExampleSpec): void {
  if (codes.length === 1 && codes[0].size === classes.length) return;
  throw new OstinatoError("OST_CONFIG", {
    what: "there is no embedding of the codes that are predicted to be the output layer too",
    expected: "the target as the only category that is embedded",
    got: codes.length === 0 ? "no embedding" : `embeddings of ${codes.map(({ size }) => size).join(", ")} codes`,
    where: "model.tieWeights",
    repair: "set as: embedding for the target alone, or model.tieWeights: false",
  });
}

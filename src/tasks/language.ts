/**
 * @file Language: what comes next, at every step, given all before (Bengio et al. 2003; Mikolov et al. 2010).
 *
 * Of codes (characters, words, subwords, events) the next one; loss: cross-entropy. Of frames, where several of a set are there at once
 * (such as the keys of a chord), each member of the next frame by itself; loss: the negative log-likelihood of independent members
 * (Boulanger-Lewandowski et al. 2012).
 */
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
      complete: (spec) => ({ ...spec, distribution }),
      ...valueTask(config, { distribution, everyStep: true, horizon: 1, ahead: 1 }),
    };
  }
  return {
    ...common,
    targetKind: "next",
    metric: "logLoss",
    unit: "step",
    examples: stepExamples(config, { together: false }),
    complete: (spec) => spec,
    ...classTask(config),
  };
}

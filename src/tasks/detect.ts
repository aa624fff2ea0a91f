/**
 * @file Detect: what is not as it was in training. A network learns what comes next, or to rebuild what it read, and what surprises it is an
 * anomaly; see `detection.ts` for scores, thresholds and alerts.
 *
 *     nextEvent        the rank of the event that came among those expected (Du et al. 2017, DeepLog)
 *     residual         how far the next row is from its forecast (Malhotra et al. 2015)
 *     reconstruction   how badly a window is rebuilt from its summary (Malhotra et al. 2016, EncDec-AD)
 */
import { reconstructionSpec } from "../nn/index.js";
import { classTask } from "./class-loss.js";
import { recurrentArchitecture } from "./recurrent-architecture.js";
import { stepExamples } from "./step-examples.js";
import type { Task, TaskConfig } from "./task.js";
import { frameExamples, valueTask } from "./value-loss.js";

export function detect(config: TaskConfig): Task {
  const by = config.detect?.by ?? "residual";
  const common = {
    name: "detect" as const,
    metric: "f1" as const,
    unit: config.detect?.unit ?? "step",
    complete: <S>(spec: S) => spec,
  };
  if (by === "nextEvent") {
    return {
      ...common,
      targetKind: "next",
      streams: true,
      examples: stepExamples(config, { together: true }),
      architecture: (spec) => recurrentArchitecture(config, spec),
      ...classTask(config),
    };
  }
  const ahead = by === "residual" ? 1 : 0;
  return {
    ...common,
    targetKind: "values",
    streams: by === "residual",
    examples: frameExamples(config, { ahead }),
    architecture(spec) {
      if (by === "residual") return recurrentArchitecture(config, spec);
      const { cell, hiddenSize, numLayers, dropout, init, forgetBias } = config.model;
      return reconstructionSpec({
        ...{ cell, hiddenSize, numLayers, dropout, init, forgetBias: cell === "lstm" ? forgetBias : null },
        ...(spec.codes && { embeddings: spec.codes }),
        inputSize: spec.features.length,
        outputSize: spec.targets.length,
      });
    },
    ...valueTask(config, { everyStep: true, horizon: 1, ahead }),
  };
}

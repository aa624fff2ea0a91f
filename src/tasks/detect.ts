/**
 * @file Detect: what is not as it was in training. A network learns what comes next, or to rebuild what it read, and what surprises it is an
 * anomaly; see `detection.ts` for scores, thresholds and alerts.
 *
 *     nextEvent        the rank of the event that came among those expected (Du et al. 2017, DeepLog)
 *     residual         how far the next row is from its forecast (Malhotra et al. 2015)
 *     reconstruction   how badly a window is rebuilt from its summary (Malhotra et al. 2016, EncDec-AD)
 */
import type { Part } from "../core/batch.js";
import { type Examples, type PreparedData, sequences, trailingWindows, windows } from "../data/index.js";
import { reconstructionSpec } from "../nn/index.js";
import { classTask } from "./class-loss.js";
import { recurrentArchitecture } from "./recurrent-architecture.js";
import { stepExamples } from "./step-examples.js";
import type { ExampleOptions, Task, TaskConfig } from "./task.js";
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
      examples: eventExamples(config),
      architecture: (spec) => recurrentArchitecture(config, spec),
      ...classTask(config),
    };
  }
  if (by === "residual") {
    return {
      ...common,
      targetKind: "values",
      streams: true,
      examples: residualExamples(config),
      architecture: (spec) => recurrentArchitecture(config, spec),
      ...valueTask(config, { everyStep: true, horizon: 1, ahead: 1 }),
    };
  }
  return {
    ...common,
    targetKind: "values",
    streams: false,
    examples: frameExamples(config, { ahead: 0 }),
    architecture(spec) {
      const { cell, hiddenSize, numLayers, dropout, init, forgetBias } = config.model;
      return reconstructionSpec({
        ...{ cell, hiddenSize, numLayers, dropout, init, forgetBias: cell === "lstm" ? forgetBias : null },
        ...(spec.codes && { embeddings: spec.codes }),
        inputSize: spec.features.length,
        outputSize: spec.targets.length,
      });
    },
    ...valueTask(config, { everyStep: true, horizon: 1, ahead: 0 }),
  };
}

/**
 * Windows whose every step learns to predict the next event, `window.stride` apart; to be judged, every event from the window that ends before
 * it, as a windowed stream predicts it.
 */
function eventExamples(config: TaskConfig) {
  const judged = stepExamples(config, { together: false });
  return <P extends Part>(prepared: PreparedData, part: P, options: ExampleOptions = {}): Examples<P> => {
    const { length = config.window.length, served = false } = options;
    if (length === undefined || (served && part !== "train")) return judged(prepared, part, options);
    return windows(prepared, { length, part, stride: config.window.stride });
  };
}

/**
 * Windows whose every step learns to predict the next row, `window.stride` apart; to be judged, every row from the window that ends before it, as a windowed stream
 * predicts it.
 */
function residualExamples(config: TaskConfig) {
  return <P extends Part>(prepared: PreparedData, part: P, options: ExampleOptions = {}): Examples<P> => {
    const { length = config.window.length, served = false } = options;
    if (length === undefined) return sequences(prepared, { part, horizon: 1 });
    if (part === "train" || !served) {
      return windows(prepared, { length, part, horizon: 1, everyStep: true, stride: config.window.stride });
    }
    return trailingWindows(prepared, { length, part, shortest: length, horizon: 1 });
  };
}

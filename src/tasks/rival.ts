/** @file The network of an experiment, and the smaller ones it has to beat. */
import type { ExampleSpec } from "../core/batch.js";
import { type Architecture, recurrentSpec } from "../model/index.js";
import type { ExperimentConfig } from "./config.js";

export function mainArchitecture({ model }: ExperimentConfig, spec: ExampleSpec): Architecture {
  const outputSize = spec.targetKind === "values" ? spec.horizon * spec.targets.length : spec.classes.length;
  const embeddings = spec.codes && { embeddings: spec.codes };
  return recurrentSpec({ ...model, inputSize: spec.features.length, outputSize, ...embeddings });
}

/** "Is the big one needed?": a GRU of a quarter of the width, and a perceptron on a short window. */
export function rivalArchitectures({ window, task, model }: ExperimentConfig, main: Architecture): Architecture[] {
  const { inputSize, outputSize, hiddenSize, embeddings } = main;
  const rivals: Architecture[] = [];
  if (main.type === "recurrent" && hasNarrowRival(model)) {
    rivals.push({ ...main, cell: "gru", hiddenSize: Math.max(NARROWEST, Math.round(hiddenSize / 4)) });
  }
  const steps = Math.min(task === "forecast" ? 24 : 8, window.length ?? 8);
  rivals.push({ type: "windowMLP", window: steps, inputSize, hiddenSize: 32, outputSize, ...(embeddings && { embeddings }) });
  return rivals;
}

/** Units of the narrowest rival. */
const NARROWEST = 4;

export function hasNarrowRival({ hiddenSize }: ExperimentConfig["model"]): boolean {
  return hiddenSize >= 2 * NARROWEST;
}

export function noNarrowRival({ model }: ExperimentConfig): string {
  return `No narrower network was tried: a quarter of ${model.hiddenSize} units is fewer than ${NARROWEST}.`;
}

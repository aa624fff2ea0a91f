/** @file The smaller networks that the network of an experiment has to beat. */
import type { ExampleSpec } from "../core/batch.js";
import type { Architecture } from "../model/index.js";
import type { ExperimentConfig } from "./config.js";

/** "Is the big one needed?": a GRU of a quarter of the width, and a perceptron on a short window. */
export function rivalArchitectures(
  { window, task, model }: ExperimentConfig,
  spec: ExampleSpec,
  main: Architecture,
): Architecture[] {
  if (main.type !== "recurrent") return [];
  const { inputSize, outputSize, embeddings } = main;
  const rivals: Architecture[] = [];
  if (hasNarrowRival(model)) {
    const { projection: _, tieWeights: __, zoneout: ___, cellZoneout: ____, layerSizes, ...rest } = main;
    rivals.push({
      ...rest,
      ...(layerSizes && { layerSizes: layerSizes.map(quarter) }),
      cell: "gru",
      hiddenSize: quarter(main.hiddenSize),
    });
  }
  // A perceptron has no state in which it could run ahead of a window, and no alignment to search for.
  if (spec.recursive || spec.targetKind === "tokens") return rivals;
  const steps = Math.min(task === "forecast" ? 24 : 8, window.length ?? 8);
  rivals.push({ type: "windowMLP", window: steps, inputSize, hiddenSize: 32, outputSize, ...(embeddings && { embeddings }) });
  return rivals;
}

function quarter(units: number): number {
  return Math.max(NARROWEST, Math.round(units / 4));
}

/** Units of the narrowest rival. */
const NARROWEST = 4;

export function hasNarrowRival(model: ExperimentConfig["model"]): boolean {
  return widthOf(model) >= 2 * NARROWEST;
}

/** Units of the widest layer. */
function widthOf({ hiddenSize, layerSizes }: ExperimentConfig["model"]): number {
  return layerSizes ? Math.max(...layerSizes) : hiddenSize;
}

export function noNarrowRival({ model }: ExperimentConfig): string {
  return `No narrower network was tried: a quarter of ${widthOf(model)} units is fewer than ${NARROWEST}.`;
}

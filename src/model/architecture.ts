/** @file A network as data, and the network built from it. */
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import type { Kernels } from "../kernels/index.js";
import {
  embeddedSize,
  RecurrentNetwork,
  type RecurrentNetworkSpec,
  type SequenceModel,
  WindowMLP,
  type WindowMLPSpec,
} from "../nn/index.js";

export type Architecture = RecurrentNetworkSpec | WindowMLPSpec;

/** Builds the network with fresh weights. @throws OST_MODEL_FILE for a type this version does not know. */
export function buildNetwork(architecture: Architecture, options: { rng: Rng; engine?: Kernels }): SequenceModel {
  switch (architecture.type) {
    case "recurrent":
      return new RecurrentNetwork(architecture, options);
    case "windowMLP":
      return new WindowMLP(architecture, options);
    default:
      throw new OstinatoError("OST_MODEL_FILE", {
        what: "an unknown architecture",
        expected: "recurrent or windowMLP",
        got: String((architecture as { type: unknown }).type),
        repair: "open the file with a newer version",
      });
  }
}

/** A recurrent network with every choice made; what is left out takes its default. */
export function recurrentSpec(
  choices: Pick<RecurrentNetworkSpec, "cell" | "inputSize" | "hiddenSize" | "outputSize"> & Partial<RecurrentNetworkSpec>,
): RecurrentNetworkSpec {
  return {
    numLayers: 1,
    bidirectional: false,
    dropout: 0,
    init: "uniform",
    forgetBias: null,
    resetAfter: true,
    nonlinearity: "tanh",
    ...choices,
    type: "recurrent",
  };
}

/** Number of trainable values, without building the network. */
export function countParameters(architecture: Architecture): number {
  const { hiddenSize, outputSize, embeddings = [] } = architecture;
  const inputSize = embeddedSize(architecture.inputSize, embeddings);
  const tables = embeddings.reduce((total, { size, width }) => total + size * width, 0);
  if (architecture.type === "windowMLP") {
    return tables + hiddenSize * (architecture.window * inputSize + 1) + outputSize * (hiddenSize + 1);
  }
  const directions = architecture.bidirectional ? 2 : 1;
  const width = directions * hiddenSize;
  const rows = { rnn: 1, gru: 3, lstm: 4 }[architecture.cell] * hiddenSize;
  let count = tables + outputSize * (width + 1);
  for (let layer = 0; layer < architecture.numLayers; layer++) {
    count += directions * rows * ((layer === 0 ? inputSize : width) + hiddenSize + 2);
  }
  return count;
}

/** For reports: "GRU 48", "LSTM 2x100 bidirectional", "MLP window 8", each with "on embeddings" where it looks codes up. */
export function describeArchitecture(architecture: Architecture): string {
  const front = architecture.embeddings?.length ? " on embeddings" : "";
  if (architecture.type === "windowMLP") return `MLP window ${architecture.window}${front}`;
  const { cell, numLayers, hiddenSize, bidirectional } = architecture;
  const layers = `${numLayers > 1 ? `${numLayers}x` : ""}${hiddenSize}${bidirectional ? " bidirectional" : ""}`;
  return `${cell.toUpperCase()} ${layers}${front}`;
}

/** @file A network as data, and the network built from it. */
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import type { Kernels } from "../kernels/index.js";
import {
  EncoderDecoder,
  type EncoderDecoderSpec,
  embeddedSize,
  ReconstructionNetwork,
  type ReconstructionSpec,
  RecurrentNetwork,
  type RecurrentNetworkSpec,
  type SequenceModel,
  stackLayout,
  WindowMLP,
  type WindowMLPSpec,
} from "../nn/index.js";
import type { Network } from "./network.js";

export type Architecture = RecurrentNetworkSpec | WindowMLPSpec | EncoderDecoderSpec | ReconstructionSpec;

interface BuildOptions {
  rng: Rng;
  engine?: Kernels;
}

/** Builds the network with fresh weights. @throws OST_MODEL_FILE for a type this version does not know. */
export function buildNetwork(architecture: EncoderDecoderSpec, options: BuildOptions): EncoderDecoder;
export function buildNetwork(architecture: Exclude<Architecture, EncoderDecoderSpec>, options: BuildOptions): SequenceModel;
export function buildNetwork(architecture: Architecture, options: BuildOptions): Network;
export function buildNetwork(architecture: Architecture, options: BuildOptions): Network {
  switch (architecture.type) {
    case "recurrent":
      return new RecurrentNetwork(architecture, options);
    case "windowMLP":
      return new WindowMLP(architecture, options);
    case "reconstruction":
      return new ReconstructionNetwork(architecture, options);
    case "encoderDecoder":
      return new EncoderDecoder(architecture, options);
    default:
      throw new OstinatoError("OST_MODEL_FILE", {
        what: "an unknown architecture",
        expected: "recurrent, windowMLP, encoderDecoder or reconstruction",
        got: String((architecture as { type: unknown }).type),
        repair: "open the file with a newer version",
      });
  }
}

/** A recurrent network with every choice made; what is left out takes its default. `layerSizes` stands in place of hiddenSize and numLayers. */
export function recurrentSpec(
  choices: Pick<RecurrentNetworkSpec, "cell" | "inputSize" | "hiddenSize" | "outputSize"> & Partial<RecurrentNetworkSpec>,
): RecurrentNetworkSpec {
  const { layerSizes } = choices;
  return {
    numLayers: 1,
    bidirectional: false,
    dropout: 0,
    init: "uniform",
    forgetBias: null,
    resetAfter: true,
    nonlinearity: "tanh",
    ...choices,
    ...(layerSizes && { numLayers: layerSizes.length, hiddenSize: layerSizes[layerSizes.length - 1] }),
    type: "recurrent",
  };
}

/** Number of trainable values, without building the network. */
export function countParameters(architecture: Architecture): number {
  if (architecture.type === "encoderDecoder") return encoderDecoderSize(architecture);
  if (architecture.type === "reconstruction") return reconstructionSize(architecture);
  const { hiddenSize, outputSize, embeddings = [] } = architecture;
  const inputSize = embeddedSize(architecture.inputSize, embeddings);
  const tables = embeddings.reduce((total, { size, width }) => total + size * width, 0);
  if (architecture.type === "windowMLP") {
    return tables + hiddenSize * (architecture.window * inputSize + 1) + outputSize * (hiddenSize + 1);
  }
  const { cell, projection, layerNorm, learnedState, tieWeights, crf, highway } = architecture;
  const directions = architecture.bidirectional ? 2 : 1;
  const gates = GATES[cell];
  const layers = stackLayout({ ...architecture, inputSize });
  const width = layers[layers.length - 1].outputSize;
  const vector = tieWeights ? (embeddings[0]?.width ?? width) : width;
  const linear = highway ? highway.horizon * (highway.lags + 1) : 0;
  const chain = crf ? outputSize * (outputSize + 2) : 0;
  let count =
    tables + outputSize + chain + linear + (tieWeights ? 0 : outputSize * width) + (vector === width ? 0 : vector * width);
  for (const layer of layers) {
    let own = gates * layer.hiddenSize * (layer.inputSize + layer.stateSize + 2);
    if (projection !== undefined) own += layer.stateSize * layer.hiddenSize;
    if (learnedState) own += layer.stateSize + (cell === "lstm" ? layer.hiddenSize : 0);
    count += directions * own + (layerNorm ? 2 * layer.outputSize : 0);
  }
  return count;
}

const GATES = { rnn: 1, gru: 3, lstm: 4 };

/** Values of a stack of recurrent layers, of which all but the first read `inner` numbers. */
function stackSize(
  { cell, hiddenSize, numLayers }: Pick<EncoderDecoderSpec, "cell" | "hiddenSize" | "numLayers">,
  { first, inner, directions = 1 }: { first: number; inner: number; directions?: number },
): number {
  let count = 0;
  for (let layer = 0; layer < numLayers; layer++) {
    count += directions * GATES[cell] * hiddenSize * ((layer === 0 ? first : inner) + hiddenSize + 2);
  }
  return count;
}

function tableSize(embeddings: EncoderDecoderSpec["embeddings"] = []): number {
  return embeddings.reduce((total, { size, width }) => total + size * width, 0);
}

function reconstructionSize(spec: ReconstructionSpec): number {
  const { hiddenSize: H, inputSize, outputSize, embeddings } = spec;
  const encoder = stackSize(spec, { first: embeddedSize(inputSize, embeddings), inner: H });
  return tableSize(embeddings) + encoder + stackSize(spec, { first: H, inner: H }) + outputSize * (H + 1);
}

function encoderDecoderSize(spec: EncoderDecoderSpec): number {
  const { cell, hiddenSize: H, numLayers, bidirectional, merge, targetSize: V, targetEmbedding: D } = spec;
  const { attention, inputFeeding, bridge, tieTarget, embeddings } = spec;
  const directions = bidirectional ? 2 : 1;
  const memory = bidirectional && merge === "concat" ? 2 * H : H;
  const encoder = stackSize(spec, { first: embeddedSize(spec.inputSize, embeddings), inner: directions * H, directions });
  const decoder = stackSize(spec, { first: D + (inputFeeding ? H : 0), inner: H });
  const states = numLayers * (cell === "lstm" ? 2 : 1);
  const bridged = bridge === "linear" ? states * H * (directions * H + 1) : 0;
  const scores = { additive: H * H + H * (memory + 1) + H, general: H * memory, dot: 0, none: 0 }[attention];
  const combine = attention === "none" ? 0 : H * (memory + H);
  const head = (V + 1) * (tieTarget ? 1 : H + 1);
  return tableSize(embeddings) + encoder + decoder + bridged + (V + 2) * D + scores + combine + head;
}

/**
 * For reports: "GRU 48", "LSTM 2x100 bidirectional", "LSTM 400-200 layer norm", "MLP window 8", each with "on embeddings" where it looks codes
 * up, or "on tied embeddings". What acts in training alone is not named.
 */
export function describeArchitecture(architecture: Architecture): string {
  const front = architecture.embeddings?.length ? " on embeddings" : "";
  if (architecture.type === "windowMLP") return `MLP window ${architecture.window}${front}`;
  if (architecture.type === "reconstruction") {
    return `${architecture.cell.toUpperCase()} ${architecture.hiddenSize} autoencoder${front}`;
  }
  if (architecture.type === "encoderDecoder") {
    const { cell, numLayers, hiddenSize, bidirectional, attention } = architecture;
    const size = `${numLayers > 1 ? `${numLayers}x` : ""}${hiddenSize}`;
    const looks = attention === "none" ? "" : `, ${attention} attention`;
    return `${cell.toUpperCase()} ${size} encoder-decoder${bidirectional ? ", bidirectional" : ""}${looks}`;
  }
  const { cell, numLayers, hiddenSize, layerSizes, bidirectional, merge = "concat" } = architecture;
  const { projection, residual, layerNorm, zoneout, cellZoneout, tieWeights } = architecture;
  const words = [
    cell.toUpperCase(),
    layerSizes?.join("-") ?? `${numLayers > 1 ? `${numLayers}x` : ""}${hiddenSize}`,
    projection !== undefined && `projected to ${projection}`,
    bidirectional && (merge === "concat" ? "bidirectional" : `bidirectional ${merge}`),
    residual && "residual",
    layerNorm && "layer norm",
    (zoneout || cellZoneout) && "zoneout",
    architecture.crf && "CRF",
    architecture.highway && `highway ${architecture.highway.lags}`,
  ];
  const embedded = front && tieWeights ? " on tied embeddings" : front;
  return words.filter(Boolean).join(" ") + embedded;
}

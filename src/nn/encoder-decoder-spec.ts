/** @file An encoder-decoder as data. */
import type { CodeColumn } from "../core/batch.js";
import { OstinatoError } from "../core/errors.js";
import type { AttentionKind } from "./attention.js";
import type { BridgeKind } from "./bridge.js";
import type { RecurrentCellName } from "./network.js";
import type { RecurrentInit } from "./recurrent-layer.js";
import type { Merge } from "./recurrent-variant.js";

/** An encoder-decoder as data: what a model file holds to build it again. */
export interface EncoderDecoderSpec {
  type: "encoderDecoder";
  cell: RecurrentCellName;
  /** Columns of x, codes included. */
  inputSize: number;
  /** Columns of x that hold codes, which become learned vectors; default none. */
  embeddings?: readonly CodeColumn[];
  /** H, of the decoder and of each direction of the encoder. */
  hiddenSize: number;
  /** Of the encoder and of the decoder. */
  numLayers: number;
  /** Of the encoder. */
  bidirectional: boolean;
  /** How the encoder's two directions become one, in every layer; means nothing where there is one. */
  merge: Merge;
  /** V, plain codes of the target. */
  targetSize: number;
  /** D, width of the vector of a target code. */
  targetEmbedding: number;
  attention: AttentionKind | "none";
  /** Whether a step of the decoder reads a_{t-1} too; wants attention. */
  inputFeeding: boolean;
  bridge: BridgeKind;
  /** Of embedded codes, between layers and before the output matrix. */
  dropout: number;
  init: RecurrentInit;
  /** LSTM only; null leaves the initial bias as the init draws it. */
  forgetBias: number | null;
  /** Whether the output matrix is the target embedding, which must be as wide as the decoder then. */
  tieTarget: boolean;
}

/** A spec with every choice made; what is left out takes its default. */
export function encoderDecoderSpec(
  choices: Pick<EncoderDecoderSpec, "cell" | "inputSize" | "hiddenSize" | "targetSize"> & Partial<EncoderDecoderSpec>,
): EncoderDecoderSpec {
  return {
    numLayers: 1,
    bidirectional: true,
    merge: "concat",
    targetEmbedding: choices.hiddenSize,
    attention: "general",
    inputFeeding: false,
    bridge: "linear",
    dropout: 0,
    init: "uniform",
    forgetBias: null,
    tieTarget: false,
    ...choices,
    type: "encoderDecoder",
  };
}

/** @throws OST_CONFIG for choices that do not go together, OST_RANGE for sizes that are none. */
export function wantFitting({
  attention,
  inputFeeding,
  bridge,
  tieTarget,
  targetSize,
  targetEmbedding,
  hiddenSize,
}: EncoderDecoderSpec): void {
  const refuse = (what: string, repair: string) => new OstinatoError("OST_CONFIG", { what, where: "encoderDecoder", repair });
  if (attention === "none" && bridge === "none") {
    throw refuse("the decoder would know nothing of the source", 'choose an attention, or the bridge "copy" or "linear"');
  }
  if (inputFeeding && attention === "none") {
    throw refuse("input feeding passes on what attention found, and there is none", "choose an attention, or inputFeeding false");
  }
  if (tieTarget && targetEmbedding !== hiddenSize) {
    throw refuse(
      `a tied output matrix is as wide as the decoder: targetEmbedding ${targetEmbedding}, hiddenSize ${hiddenSize}`,
      "make the two equal, or set tieTarget false",
    );
  }
  for (const [name, value] of Object.entries({ targetSize, targetEmbedding })) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new OstinatoError("OST_RANGE", {
      what: `${name} is a count`,
      expected: "an integer of at least 1",
      got: String(value),
      where: "encoderDecoder",
    });
  }
}

/**
 * @file Translate: a sequence of codes into another one, by an encoder-decoder. Loss: cross-entropy of each target token given those before
 * it (teacher forcing) or, as `train.sampling` says, given the network's own.
 */
import { sequences } from "../data/index.js";
import { crossEntropy } from "../losses/index.js";
import { encodeBatch, encoderDecoder } from "../model/index.js";
import { encoderDecoderSpec } from "../nn/index.js";
import { integers } from "../tensor/index.js";
import { scheduledSampling } from "../train/index.js";
import type { Task, TaskConfig } from "./task.js";

export function translate({ model, train }: TaskConfig): Task {
  return {
    name: "translate",
    targetKind: "tokens",
    everyStep: false,
    horizon: { train: 0, judged: 0 },
    ahead: 1,
    metric: "exactMatch",
    unit: "sequence",
    streams: false,
    examples: (prepared, part) => sequences(prepared, { part }),
    complete: (spec) => spec,
    architecture: ({ features, classes, codes }) =>
      encoderDecoderSpec({
        ...choicesOf(model),
        inputSize: features.length,
        targetSize: classes.length,
        ...(codes && { embeddings: codes }),
      }),
    objective(batch, { network, rng, step = 0 }) {
      const model = encoderDecoder(network);
      const target = {
        tokens: batch.tokens ?? new Int32Array(0),
        lengths: batch.tokenLengths ?? new Int32Array(batch.batchSize),
      };
      const encoded = encodeBatch(model, batch, { rng });
      const probability = rng && train.sampling ? scheduledSampling(train.sampling)(step) : 0;
      const sampling = rng && probability > 0 ? { probability, rng } : undefined;
      const logits = model.teacherForced(encoded, target, { rng, sampling });
      const classes = integers(model.targets(target), logits.shape.slice(0, -1), { engine: model.engine });
      return { loss: crossEntropy(logits, classes, { smoothing: train.labelSmoothing }) };
    },
    lossWeight: ({ tokenLengths = new Int32Array(0), batchSize }) =>
      tokenLengths.reduce((sum, length) => sum + length, batchSize),
  };
}

function choicesOf({
  cell,
  hiddenSize,
  numLayers,
  bidirectional,
  merge,
  dropout,
  init,
  forgetBias,
  ...own
}: TaskConfig["model"]) {
  const { attention, inputFeeding, bridge, targetEmbedding } = own;
  const choices = { cell, hiddenSize, numLayers, bidirectional, dropout, init, forgetBias: cell === "lstm" ? forgetBias : null };
  return { ...choices, attention, inputFeeding, bridge, targetEmbedding, ...(merge && { merge }) };
}

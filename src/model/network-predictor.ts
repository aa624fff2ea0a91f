/** @file A network as a predictor of its task. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { affine, outputsPerValue } from "../core/predictive-distribution.js";
import { RecurrentNetwork } from "../nn/index.js";
import { inference } from "../tensor/index.js";
import type { Decoding } from "./file.js";
import { forwardBatch } from "./forward-batch.js";
import { isEncoderDecoder, type Network } from "./network.js";
import type { Predictor } from "./predictor.js";
import { recursiveForecast } from "./recursive-forecast.js";
import { spanTagger } from "./span-tagger.js";
import { networkReader } from "./step-reader.js";
import { transcriber } from "./transcriber.js";
import { translator } from "./translator.js";

/** What a network's predictions also depend on. */
export interface NetworkPredictorOptions {
  /** "tokens": how sequences are searched for; default greedily, up to 1,000 tokens. */
  decoding?: Decoding;
}

const GREEDY: Decoding = { method: "greedy", width: 1, lengthPenalty: 0, coveragePenalty: 0, maxLength: 1000 };

/** A network seen as a predictor. Rows are predicted from the initial state. */
export function networkPredictor(
  name: string,
  network: Network,
  spec: ExampleSpec,
  { decoding = GREEDY }: NetworkPredictorOptions = {},
): Predictor {
  if (isEncoderDecoder(network)) return { name, ...translator(network, spec, decoding) };
  if (spec.targetKind === "tokens") return { name, ...transcriber(network, spec, decoding) };
  const reader = network.causal && { reader: networkReader(name, network) };
  if (spec.recursive) return { name, predict: (batch) => recursiveForecast(network, spec, batch), ...reader };
  const logitsOf = (batch: Batch) => inference(() => forwardBatch(network, spec, batch).prediction.toArray()) as Float32Array;
  const crf = network instanceof RecurrentNetwork ? network.crf : null;
  if (crf || spec.tagScheme) return { name, ...spanTagger(logitsOf, spec, crf) };
  return { name, predict: (batch) => Float32Array.from(denormalizedOutputs(logitsOf(batch), spec, batch)), ...reader };
}

/** Raw outputs of distributions in a normalised window, as those of the window itself; other outputs as they are. */
function denormalizedOutputs(
  outputs: Float32Array,
  { distribution, targetFeature }: ExampleSpec,
  { batchSize, features, normalization }: Batch,
): Float32Array {
  if (!distribution || !normalization) return outputs;
  const per = outputsPerValue(distribution);
  const result = new Float32Array(outputs.length);
  const perRow = outputs.length / batchSize / per;
  for (let b = 0; b < batchSize; b++) {
    for (let i = 0; i < perRow; i++) {
      const at = (b * perRow + i) * per;
      const feature = targetFeature[i % targetFeature.length];
      const raw = outputs.subarray(at, at + per);
      const { scale, offset } = normalization;
      result.set(
        feature < 0 ? raw : affine(distribution, raw, scale[b * features + feature], offset[b * features + feature]),
        at,
      );
    }
  }
  return result;
}

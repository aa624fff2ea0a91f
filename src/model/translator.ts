/** @file An encoder-decoder as a predictor: how probable a target is, and the target it would write itself. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import type { Rng } from "../core/rng.js";
import { beamSearch, greedy } from "../decode/index.js";
import type { Encoded, EncoderDecoder } from "../nn/index.js";
import { inference, integers, tensor } from "../tensor/index.js";
import type { Decoding } from "./file.js";
import type { DecodedSequence, Predictor } from "./predictor.js";

/** What a decoder knows of the sources of a batch. */
export function encodeBatch(
  network: EncoderDecoder,
  { x, batchSize, time, features, lengths }: Batch,
  { rng }: { rng?: Rng } = {},
): Encoded {
  const { engine } = network;
  return network.encode(tensor(x, [batchSize, time, features], { engine }), {
    lengths: integers(lengths, [batchSize], { engine }),
    rng,
  });
}

export function translator(
  network: EncoderDecoder,
  _spec: ExampleSpec,
  decoding: Decoding,
): Required<Pick<Predictor, "predict" | "decode">> {
  return {
    predict: (batch) => inference(() => targetLogProbabilities(network, batch)),
    decode: (batch) => inference(() => translations(network, batch, decoding)),
  };
}

/** log p(target, end | source) of each row, reading the target itself. [B] */
function targetLogProbabilities(network: EncoderDecoder, batch: Batch): Float32Array {
  const { tokens = new Int32Array(0), tokenLengths = new Int32Array(batch.batchSize), batchSize } = batch;
  const width = tokens.length / Math.max(1, batchSize);
  const logits = network.teacherForced(encodeBatch(network, batch), { tokens, lengths: tokenLengths }).logSoftmax().floats();
  const classes = network.outputSize;
  return Float32Array.from({ length: batchSize }, (_, b) => {
    let total = 0;
    for (let t = 0; t <= tokenLengths[b]; t++) {
      const token = t < tokenLengths[b] ? tokens[b * width + t] : network.end;
      total += logits[(b * (width + 1) + t) * classes + token];
    }
    return total;
  });
}

function translations(network: EncoderDecoder, batch: Batch, decoding: Decoding): DecodedSequence[] {
  const encoded = encodeBatch(network, batch);
  const starts = Array.from({ length: batch.batchSize }, (_, b) => ({
    state: network.scorer(encoded, b).initial,
    token: network.begin,
    sourceLength: batch.lengths[b],
  }));
  const options = { starts, maxLength: decoding.maxLength, end: network.end };
  const scorer = network.scorer(encoded, 0);
  if (decoding.method === "greedy") return greedy(scorer, options);
  const { width, lengthPenalty, noRepeat } = decoding;
  const coveragePenalty = network.attention ? decoding.coveragePenalty : 0;
  return beamSearch(scorer, { ...options, width, lengthPenalty, coveragePenalty, blockNgram: noRepeat }).map(([best]) => best);
}

/** @file An encoder-decoder as a predictor: how probable a target is, and the target it would write itself. */
import { type Batch, type ExampleSpec, UNKNOWN } from "../core/batch.js";
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
  { classes }: ExampleSpec,
  decoding: Decoding,
): Required<Pick<Predictor, "predict" | "decode" | "forcedRight">> {
  // Both figures come from one reading of the target; asked for right after the other, it is not read again.
  let last: { batch: Batch; forced: TeacherForced } | null = null;
  // No prediction of a token that training never saw is right.
  const read = (batch: Batch): TeacherForced => {
    last = { batch, forced: inference(() => teacherForced(network, batch, classes[0] === UNKNOWN)) };
    return last.forced;
  };
  return {
    predict: (batch) => read(batch).logProbabilities.slice(),
    forcedRight: (batch) => (last?.batch === batch ? last.forced : read(batch)).right.slice(),
    decode: (batch) => inference(() => translations(network, batch, decoding)),
  };
}

/** Of each row log p(target, end | source), and how many target tokens are the likeliest, reading the target itself. [B] each */
interface TeacherForced {
  logProbabilities: Float32Array;
  right: Int32Array;
}

function teacherForced(network: EncoderDecoder, batch: Batch, hasUnknown: boolean): TeacherForced {
  const { tokens = new Int32Array(0), tokenLengths = new Int32Array(batch.batchSize), batchSize } = batch;
  const width = tokens.length / Math.max(1, batchSize);
  const logits = network.teacherForced(encodeBatch(network, batch), { tokens, lengths: tokenLengths }).logSoftmax().floats();
  const classes = network.outputSize;
  const found = { logProbabilities: new Float32Array(batchSize), right: new Int32Array(batchSize) };
  for (let b = 0; b < batchSize; b++) {
    let total = 0;
    for (let t = 0; t <= tokenLengths[b]; t++) {
      const token = t < tokenLengths[b] ? tokens[b * width + t] : network.end;
      const row = (b * (width + 1) + t) * classes;
      total += logits[row + token];
      if (t < tokenLengths[b] && !(hasUnknown && token === 0) && isLikeliest(logits, row, classes, token)) found.right[b]++;
    }
    found.logProbabilities[b] = total;
  }
  return found;
}

/** Whether no class before it is as likely, and none after it likelier. */
function isLikeliest(logits: ArrayLike<number>, row: number, classes: number, token: number): boolean {
  const own = logits[row + token];
  for (let c = 0; c < classes; c++) {
    const other = logits[row + c];
    if (other > own || (c < token && other === own)) return false;
  }
  return true;
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
  const { method, lengthPenalty, noRepeat } = decoding;
  if (method === "greedy" && noRepeat === undefined) return greedy(scorer, options);
  // A beam of one is greedy, and can be kept from repeating itself.
  const width = method === "greedy" ? 1 : decoding.width;
  const coveragePenalty = network.attention ? decoding.coveragePenalty : 0;
  return beamSearch(scorer, { ...options, width, lengthPenalty, coveragePenalty, blockNgram: noRepeat }).map(([best]) => best);
}

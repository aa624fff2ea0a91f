/**
 * @file A network with a CTC output as a predictor: how probable a target is over all its alignments, and the target it would write itself.
 *
 * Classes 0 .. V - 1 are the codes of the target vocabulary, class V is the blank (Graves et al. 2006).
 */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { ctcLogProbability } from "../core/ctc-alignment.js";
import { ctcBeam, ctcGreedy } from "../decode/index.js";
import type { SequenceModel } from "../nn/index.js";
import { inference } from "../tensor/index.js";
import type { Decoding } from "./file.js";
import { forwardBatch } from "./forward-batch.js";
import type { DecodedSequence, Predictor } from "./predictor.js";

export function transcriber(
  network: SequenceModel,
  spec: ExampleSpec,
  decoding: Decoding,
): Required<Pick<Predictor, "predict" | "decode">> {
  const classes = spec.classes.length + 1;
  const blank = spec.classes.length;
  const logProbabilities = (batch: Batch) =>
    inference(() => forwardBatch(network, spec, batch).prediction.logSoftmax().toArray()) as Float32Array;
  const rowOf = (values: Float32Array, { time, lengths }: Batch, b: number) =>
    values.subarray(b * time * classes, (b * time + lengths[b]) * classes);
  return {
    predict(batch) {
      const values = logProbabilities(batch);
      const { tokens = new Int32Array(0), tokenLengths = new Int32Array(batch.batchSize), batchSize } = batch;
      const width = tokens.length / Math.max(1, batchSize);
      return Float32Array.from({ length: batchSize }, (_, b) =>
        ctcLogProbability(rowOf(values, batch, b), { classes, tokens: tokens.subarray(b * width, b * width + tokenLengths[b]) }),
      );
    },
    decode(batch) {
      const values = logProbabilities(batch);
      return Array.from({ length: batch.batchSize }, (_, b): DecodedSequence => {
        const row = rowOf(values, batch, b);
        if (decoding.method === "greedy") return ctcGreedy(row, { classes, blank });
        const [best] = ctcBeam(row, { classes, blank, width: decoding.width });
        return best;
      });
    },
  };
}

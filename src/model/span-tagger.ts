/**
 * @file Tags that are decided together: by the best path of a conditional random field, or by the likeliest tags that keep to a scheme of
 * spans.
 */
import type { Batch, ExampleSpec } from "../core/batch.js";
import { type Chain, tagConstraint, viterbi } from "../decode/index.js";
import type { ConditionalRandomField } from "../nn/index.js";
import { inference, integers, tensor } from "../tensor/index.js";
import type { Predictor } from "./predictor.js";

/**
 * @param logitsOf [B, T, C] of a batch.
 * @param crf      of the network, or null where each tag has its own logits.
 */
export function spanTagger(
  logitsOf: (batch: Batch) => Float32Array,
  { classes, tagScheme }: ExampleSpec,
  crf: ConditionalRandomField | null,
): Required<Pick<Predictor, "predict" | "labels">> {
  const C = classes.length;
  const constraint = tagScheme ? tagConstraint(classes, tagScheme) : null;
  // Paths need the emissions that the prediction was made from; asked for right after it, they need not be made again. A prediction always
  // makes them anew: the weights may have changed since.
  let last: { batch: Batch; emissions: Float32Array } | null = null;
  const read = (batch: Batch): Float32Array => {
    last = { batch, emissions: logitsOf(batch) };
    return last.emissions;
  };
  return {
    predict(batch) {
      const emissions = read(batch);
      if (!crf) return emissions.slice();
      const { batchSize, time, lengths } = batch;
      return inference(() => {
        const { engine } = crf;
        const shaped = tensor(emissions, [batchSize, time, C], { engine });
        return Float32Array.from(crf.marginals(shaped, integers(lengths, [batchSize], { engine })));
      });
    },
    labels(batch) {
      const emissions = last?.batch === batch ? last.emissions : read(batch);
      const { batchSize, time, lengths } = batch;
      const labels = new Int32Array(batchSize * time);
      const chain = constrained(crf?.scores(), constraint);
      for (let b = 0; b < batchSize; b++) {
        const row = emissions.subarray(b * time * C, (b * time + lengths[b]) * C);
        labels.set(viterbi(row, { classes: C, ...chain }).classes, b * time);
      }
      return labels;
    },
  };
}

/** The scores of a field, of which those of paths that the scheme forbids are -Infinity. */
function constrained(scores: Chain | undefined, constraint: Chain | null): Chain {
  if (!scores || !constraint) return scores ?? constraint ?? {};
  const joined = (a: ArrayLike<number> = [], b: ArrayLike<number> = []) => Float64Array.from(a, (value, i) => value + b[i]);
  return {
    transitions: joined(scores.transitions, constraint.transitions),
    start: joined(scores.start, constraint.start),
    end: joined(scores.end, constraint.end),
  };
}

/** @file A network run on a batch, with backpropagation cut where the batch says so. */
import type { Batch, ExampleSpec } from "../core/batch.js";
import type { Rng } from "../core/rng.js";
import { forwardBatch } from "../model/index.js";
import type { SequenceModel, State } from "../nn/index.js";
import { type StateForward, truncated } from "../train/index.js";

/** As `forwardBatch`; of a batch of lanes with a lead, the state is that at the border which the next batch begins at. */
export function truncatedForward(
  network: SequenceModel,
  spec: ExampleSpec,
  batch: Batch,
  { rng, state }: { rng?: Rng; state?: State },
): StateForward {
  return truncated(batch, { state, forward: (part, from) => forwardBatch(network, spec, part, { rng, state: from }) });
}

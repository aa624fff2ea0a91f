/**
 * @file Truncated backpropagation through time with two lengths (Williams & Peng 1990, BPTT(h; h')): an update every k1 steps, whose gradient
 * runs through the last k2 >= k1.
 *
 * A batch of lanes with `lead` = k2 - k1 holds k2 steps, of which the last k1 are new. Its first k1 steps end where the next batch begins:
 * the state there is carried on, cut off from its history, while the gradient of this batch runs through all k2. A target's gradient so
 * reaches k2 - k1 + 1 to k2 steps, its own included, or to the beginning of its stretch.
 */
import { type Batch, isPerStep } from "../core/batch.js";
import type { State } from "../nn/index.js";
import { concatenate, type Tensor } from "../tensor/index.js";

/** What a network makes of a batch; `forwardBatch` gives it. */
export interface StateForward {
  /** With the steps as axis 1. */
  prediction: Tensor;
  state: State;
}

/**
 * Runs a network on a batch of lanes, and gives the state that the next batch of the same lanes begins with. A batch without `lead` is run
 * as it is.
 *
 * @param batch   as `lanes` makes it; its targets need no change, because those before its chunk are missing already.
 * @param options `forward` runs the network on a batch from a state. It is called once, or for two stretches one after another; what it
 *                draws from a generator, such as a mask of one sequence, is drawn for each.
 * @returns `prediction` of all steps and `state`, both recorded; the trainer cuts the state off.
 */
export function truncated<B extends Batch & { lead?: number }>(
  batch: B,
  { state, forward }: { state?: State; forward: (batch: B, state?: State) => StateForward },
): StateForward {
  const { lead = 0, time } = batch;
  if (lead === 0) return forward(batch, state);
  const border = time - lead;
  const first = forward(stepsOf(batch, 0, border), state);
  const second = forward(stepsOf(batch, border, time), first.state);
  return { prediction: concatenate([first.prediction, second.prediction], 1), state: first.state };
}

/** Steps from .. to - 1 of every row; a row that ends before has length 0. */
export function stepsOf<B extends Batch & { lead?: number }>(batch: B, from: number, to: number): B {
  const { batchSize, time, lengths, x, values, classes, targetKind, everyStep, start, reset } = batch;
  const cut = <A extends Float32Array | Int32Array>(list: A): A => {
    const width = list.length / (batchSize * time);
    const part = new (list.constructor as new (length: number) => A)(batchSize * (to - from) * width);
    for (let b = 0; b < batchSize; b++) {
      part.set(list.subarray((b * time + from) * width, (b * time + to) * width), b * (to - from) * width);
    }
    return part;
  };
  return {
    ...batch,
    time: to - from,
    x: cut(x),
    lengths: lengths.map((length) => Math.max(0, Math.min(length, to) - from)),
    values: values && (everyStep ? cut(values) : values),
    classes: classes && (isPerStep(targetKind) ? cut(classes) : classes),
    start: start.map((at) => at + from),
    reset: from > 0 ? reset?.map(() => 0) : reset,
    lead: undefined,
  };
}

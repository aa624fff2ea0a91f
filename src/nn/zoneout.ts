/**
 * @file Zoneout: a share of a state keeps the value it had before the step (Krueger et al. 2017, arXiv 1606.01305).
 *
 *     training:   s_t = m * s_{t-1} + (1 - m) * s'_t     m drawn anew at every step, 1 with probability p
 *     inference:  s_t = p * s_{t-1} + (1 - p) * s'_t     its expectation
 */
import type { Rng } from "../core/rng.js";
import { apply, type Op, type Tensor } from "../tensor/index.js";
import { dropoutMask } from "./dropout.js";

/** @param next s'_t @param before s_{t-1}, of the same shape @param rng draws m; absent: the expectation */
export function zoneout(next: Tensor, before: Tensor, probability: number, rng?: Rng): Tensor {
  if (probability === 0) return next;
  return apply(mixed, [next, before], { probability, taken: rng ? dropoutMask(next.size, probability, rng).kept : null });
}

const mixed: Op<{ probability: number; taken: Uint8Array | null }> = {
  name: "zoneout",
  shapes: ([next]) => [next.shape],
  forward(engine, [y], [next, before], _, { probability, taken }) {
    const values = engine.memory.floats;
    const [no, bo, yo] = [next.offset, before.offset, y.offset];
    for (let i = 0; i < y.size; i++) {
      if (taken) values[yo + i] = values[(taken[i] ? no : bo) + i];
      else values[yo + i] = probability * values[bo + i] + (1 - probability) * values[no + i];
    }
  },
  backward(engine, [dNext, dBefore], [dY], _, __, ___, { probability, taken }) {
    if (!dY) return;
    const values = engine.memory.floats;
    const go = dY.offset;
    const share = (target: typeof dNext, kept: number, factor: number) => {
      if (!target) return;
      const to = target.offset;
      for (let i = 0; i < dY.size; i++) {
        if (!taken) values[to + i] += factor * values[go + i];
        else if (taken[i] === kept) values[to + i] += values[go + i];
      }
    };
    share(dNext, 1, 1 - probability);
    share(dBefore, 0, probability);
  },
};

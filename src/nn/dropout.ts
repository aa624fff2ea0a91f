/** @file Inverted dropout (Srivastava et al. 2014): zeroes a share of values and scales the rest up, on exactly when a generator is given. */
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import { apply, type Op, type Tensor } from "../tensor/index.js";
import { wantFloat } from "../tensor/op.js";

/** x with each value zeroed with probability `probability`, the others divided by 1 - probability. @throws OST_RANGE unless 0 <= probability < 1 */
export function dropout(x: Tensor, probability: number, rng: Rng): Tensor {
  if (!(probability >= 0 && probability < 1)) {
    throw new OstinatoError("OST_RANGE", {
      what: "dropout is a share",
      expected: "0 <= dropout < 1",
      got: String(probability),
      where: "dropout",
    });
  }
  if (probability === 0) return x;
  const threshold = probability * 2 ** 32;
  const kept = new Uint8Array(x.size);
  for (let i = 0; i < kept.length; i++) kept[i] = rng.bits() >= threshold ? 1 : 0;
  return apply(masked, [x], { kept, factor: 1 / (1 - probability) });
}

const masked: Op<{ kept: Uint8Array; factor: number }> = {
  name: "dropout",
  shapes([x]) {
    wantFloat(x, "dropout");
    return [x.shape];
  },
  forward(engine, [y], [x], _, { kept, factor }) {
    const values = engine.memory.floats;
    const [xo, yo] = [x.offset, y.offset];
    for (let i = 0; i < kept.length; i++) values[yo + i] = kept[i] ? values[xo + i] * factor : 0;
  },
  backward(engine, [dX], [dY], _, __, ___, { kept, factor }) {
    if (!dX || !dY) return;
    const values = engine.memory.floats;
    const [xo, yo] = [dX.offset, dY.offset];
    for (let i = 0; i < kept.length; i++) if (kept[i]) values[xo + i] += values[yo + i] * factor;
  },
};

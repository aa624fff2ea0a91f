/**
 * @file Inverted dropout: zeroes a share of values and scales the rest up, on exactly when a generator is given.
 *
 * Per value (Srivastava et al. 2014), one mask per sequence (variational or locked: Gal & Ghahramani 2016), and per row of a table, so that
 * a dropped token is dropped wherever it stands (the same source).
 */
import { OstinatoError } from "../core/errors.js";
import type { Rng } from "../core/rng.js";
import { describeShape } from "../core/shape.js";
import { apply, type Op, type Tensor } from "../tensor/index.js";
import { wantFloat } from "../tensor/op.js";

/** Which values are kept, and what they are multiplied with. */
export interface DropoutMask {
  /** 1 where a value is kept. */
  kept: Uint8Array;
  factor: number;
}

/** Each of `count` values kept with probability 1 - probability. @throws OST_RANGE unless 0 <= probability < 1 */
export function dropoutMask(count: number, probability: number, rng: Rng): DropoutMask {
  wantShare(probability);
  const threshold = probability * 2 ** 32;
  const kept = new Uint8Array(count);
  for (let i = 0; i < kept.length; i++) kept[i] = rng.bits() >= threshold ? 1 : 0;
  return { kept, factor: 1 / (1 - probability) };
}

/** x with each value zeroed with probability `probability`, the others divided by 1 - probability. @throws OST_RANGE unless 0 <= probability < 1 */
export function dropout(x: Tensor, probability: number, rng: Rng): Tensor {
  wantShare(probability);
  if (probability === 0) return x;
  return apply(masked, [x], { ...dropoutMask(x.size, probability, rng), width: x.size });
}

/**
 * The same mask at every step of a row: a call with steps and one with the last of them drop alike.
 *
 * @param x    [batch, width] or [batch, time, width]
 * @param mask of batch * width values
 * @throws OST_SHAPE if the mask has another size.
 */
export function lockedDropout(x: Tensor, mask: DropoutMask): Tensor {
  const width = x.shape[x.shape.length - 1];
  if (mask.kept.length !== x.shape[0] * width) {
    throw new OstinatoError("OST_SHAPE", {
      what: "the mask has one entry per row and unit",
      expected: `${x.shape[0] * width} for x ${describeShape(x.shape)}`,
      got: String(mask.kept.length),
      where: "lockedDropout",
    });
  }
  return apply(masked, [x], { ...mask, width });
}

/** A table [rows, width] with whole rows zeroed. @throws OST_RANGE unless 0 <= probability < 1 */
export function rowDropout(table: Tensor, probability: number, rng: Rng): Tensor {
  wantShare(probability);
  if (probability === 0) return table;
  const [rows, width] = table.shape;
  const mask = dropoutMask(rows, probability, rng);
  const kept = new Uint8Array(table.size);
  for (let row = 0; row < rows; row++) kept.fill(mask.kept[row], row * width, (row + 1) * width);
  return apply(masked, [table], { kept, factor: mask.factor, width: table.size });
}

/** The first axis of x has kept.length / width rows; each has a mask of `width` values, which repeats along the rest of the row. */
const masked: Op<DropoutMask & { width: number }> = {
  name: "dropout",
  shapes([x]) {
    wantFloat(x, "dropout");
    return [x.shape];
  },
  forward(engine, [y], [x], _, { kept, factor, width }) {
    const values = engine.memory.floats;
    const [xo, yo] = [x.offset, y.offset];
    eachRepeat(kept, width, x.size, (from, at) => {
      for (let i = 0; i < width; i++) values[yo + at + i] = kept[from + i] ? values[xo + at + i] * factor : 0;
    });
  },
  backward(engine, [dX], [dY], _, __, ___, { kept, factor, width }) {
    if (!dX || !dY) return;
    const values = engine.memory.floats;
    const [xo, yo] = [dX.offset, dY.offset];
    eachRepeat(kept, width, dX.size, (from, at) => {
      for (let i = 0; i < width; i++) if (kept[from + i]) values[xo + at + i] += values[yo + at + i] * factor;
    });
  },
};

/** Visits each repetition of a row's mask: where the mask begins, and where the values do. */
function eachRepeat(kept: Uint8Array, width: number, size: number, visit: (from: number, at: number) => void): void {
  if (size === 0) return;
  const row = (size / kept.length) * width;
  for (let at = 0; at < size; at += width) visit(Math.floor(at / row) * width, at);
}

function wantShare(probability: number): void {
  if (probability >= 0 && probability < 1) return;
  throw new OstinatoError("OST_RANGE", {
    what: "dropout is a share",
    expected: "0 <= dropout < 1",
    got: String(probability),
    where: "dropout",
  });
}

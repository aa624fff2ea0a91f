/** @file Padding of ragged rows: which steps are none, and a copy in which they are zero. */
import { apply, type Op, type RawBuffer, type Tensor } from "../tensor/index.js";
import { wantFloat } from "../tensor/op.js";

/** x [batch, time, ...] with zeros at and after every row's length: what stands there is not read, and has no gradient. */
export function clearPadding(x: Tensor, lengths: Tensor): Tensor {
  const time = x.shape[1];
  return lengths.ints().every((length) => length === time) ? x : apply(cleared, [x], { lengths });
}

/**
 * Visits the runs of x's vectors (all axes but the last taken together) that are not padding.
 *
 * @param x       [..., width]; with `lengths` [batch, time, width]
 * @param lengths int32 [batch]; absent: everything is one run
 */
export function eachValidRun(
  { shape }: RawBuffer,
  lengths: RawBuffer | undefined,
  visit: (first: number, end: number) => void,
): void {
  if (!lengths) {
    visit(
      0,
      shape.slice(0, -1).reduce((product, axis) => product * axis, 1),
    );
    return;
  }
  const time = shape[1];
  const valid = lengths.ints();
  for (let b = 0; b < valid.length; b++) visit(b * time, b * time + valid[b]);
}

const cleared: Op<{ lengths: RawBuffer }> = {
  name: "clearPadding",
  shapes([x]) {
    wantFloat(x, "clearPadding");
    return [x.shape];
  },
  forward(engine, [y], [x], _, { lengths }) {
    const values = engine.memory.floats;
    const width = x.shape[2];
    y.floats().fill(0);
    eachValidRun(x, lengths, (first, end) =>
      values.copyWithin(y.offset + first * width, x.offset + first * width, x.offset + end * width),
    );
  },
  backward(engine, [dX], [dY], [x], _, __, { lengths }) {
    if (!dX || !dY) return;
    const values = engine.memory.floats;
    const width = x.shape[2];
    const [xo, yo] = [dX.offset, dY.offset];
    eachValidRun(x, lengths, (first, end) => {
      for (let i = first * width; i < end * width; i++) values[xo + i] += values[yo + i];
    });
  },
};

/** @file Sums along one axis or over everything, and softmax along the last axis. */
import { normalizeAxis, type Shape } from "../../core/shape.js";
import { type Op, wantFloat } from "../op.js";

/** Sum over everything (axis null, to a scalar of shape []) or along one axis, which disappears. */
export const sum: Op<{ axis: number | null }> = {
  name: "sum",
  shapes([x], { axis }) {
    wantFloat(x, "sum");
    if (axis === null) return [[]];
    const at = normalizeAxis(axis, x.shape.length, "sum");
    return [x.shape.filter((_, i) => i !== at)];
  },
  forward(engine, [y], [x], _, { axis }) {
    const values = engine.memory.floats;
    const { outer, length, inner } = blocks(x.shape, axis);
    const [xo, yo] = [x.offset, y.offset];
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        let total = 0;
        for (let k = 0; k < length; k++) total += values[xo + (o * length + k) * inner + i];
        values[yo + o * inner + i] = total;
      }
    }
  },
  backward(engine, [dX], [dY], [x], _, __, { axis }) {
    if (!dX || !dY) return;
    const values = engine.memory.floats;
    const { outer, length, inner } = blocks(x.shape, axis);
    const [xo, yo] = [dX.offset, dY.offset];
    for (let o = 0; o < outer; o++) {
      for (let k = 0; k < length; k++) {
        for (let i = 0; i < inner; i++) values[xo + (o * length + k) * inner + i] += values[yo + o * inner + i];
      }
    }
  },
};

function blocks(shape: Shape, axis: number | null): { outer: number; length: number; inner: number } {
  let outer = 1;
  let inner = 1;
  if (axis === null) return { outer, length: shape.reduce((a, b) => a * b, 1), inner };
  const at = normalizeAxis(axis, shape.length, "sum");
  for (let i = 0; i < at; i++) outer *= shape[i];
  for (let i = at + 1; i < shape.length; i++) inner *= shape[i];
  return { outer, length: shape[at], inner };
}

/** softmax or, with `log`, log-softmax along the last axis; the row's maximum is subtracted first, so that large values are safe. */
export const softmax: Op<{ log: boolean }> = {
  name: "softmax",
  shapes([x]) {
    wantFloat(x, "softmax");
    return [x.shape];
  },
  forward(engine, [y], [x], _, { log }) {
    const values = engine.memory.floats;
    const width = x.shape[x.shape.length - 1] ?? 1;
    for (let row = 0; row < x.size; row += width) {
      const [xo, yo] = [x.offset + row, y.offset + row];
      let top = Number.NEGATIVE_INFINITY;
      for (let i = 0; i < width; i++) top = Math.max(top, values[xo + i]);
      let total = 0;
      for (let i = 0; i < width; i++) total += Math.exp(values[xo + i] - top);
      const logTotal = top + Math.log(total);
      for (let i = 0; i < width; i++) values[yo + i] = log ? values[xo + i] - logTotal : Math.exp(values[xo + i] - logTotal);
    }
  },
  backward(engine, [dX], [dY], [x], [y], _, { log }) {
    if (!dX || !dY) return;
    const values = engine.memory.floats;
    const width = x.shape[x.shape.length - 1] ?? 1;
    for (let row = 0; row < x.size; row += width) {
      const [xo, yo, go] = [dX.offset + row, y.offset + row, dY.offset + row];
      let total = 0;
      for (let i = 0; i < width; i++) total += log ? values[go + i] : values[go + i] * values[yo + i];
      for (let i = 0; i < width; i++) {
        values[xo + i] += log ? values[go + i] - Math.exp(values[yo + i]) * total : values[yo + i] * (values[go + i] - total);
      }
    }
  },
};

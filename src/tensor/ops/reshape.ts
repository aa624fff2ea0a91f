/** @file Operations that only move values: swap two axes, slice, concatenate, copy under another shape. */
import { OstinatoError } from "../../core/errors.js";
import { describeShape, normalizeAxis, type Shape, sizeOf } from "../../core/shape.js";
import type { FloatArray } from "../../kernels/index.js";
import { type Op, wantFloat } from "../op.js";

/** The same values under another shape of the same size. */
export const reshape: Op<{ shape: Shape }> = {
  name: "reshape",
  shapes([x], { shape }) {
    wantFloat(x, "reshape");
    if (sizeOf(shape) !== x.size) {
      throw new OstinatoError("OST_SHAPE", {
        what: "a reshape keeps the number of values",
        expected: `${x.size} values`,
        got: `${describeShape(x.shape)} to ${describeShape(shape)}`,
        where: "reshape",
      });
    }
    return [shape];
  },
  forward: (_, [y], [x]) => y.floats().set(x.floats()),
  backward(engine, [dX], [dY]) {
    if (dX && dY) addRun(engine.memory.floats, dX.offset, dY.offset, dX.size);
  },
};

/** Swaps two axes. */
export const transpose: Op<{ a: number; b: number }> = {
  name: "transpose",
  shapes([x], attrs) {
    wantFloat(x, "transpose");
    return [swapped(x.shape, attrs)];
  },
  forward(engine, [y], [x], _, attrs) {
    const values = engine.memory.floats;
    const [xo, yo] = [x.offset, y.offset];
    eachSwapped(x.shape, attrs, (i, j) => {
      values[yo + j] = values[xo + i];
    });
  },
  backward(engine, [dX], [dY], [x], _, __, attrs) {
    if (!dX || !dY) return;
    const values = engine.memory.floats;
    const [xo, yo] = [dX.offset, dY.offset];
    eachSwapped(x.shape, attrs, (i, j) => {
      values[xo + i] += values[yo + j];
    });
  },
};

function swapped(shape: Shape, { a, b }: { a: number; b: number }): number[] {
  const result = [...shape];
  const [i, j] = [normalizeAxis(a, shape.length, "transpose"), normalizeAxis(b, shape.length, "transpose")];
  [result[i], result[j]] = [shape[j], shape[i]];
  return result;
}

/** Calls visit(index in x, index in the transposed array) for every element. */
function eachSwapped(shape: Shape, attrs: { a: number; b: number }, visit: (i: number, j: number) => void): void {
  const target = swapped(shape, attrs);
  const strides: number[] = new Array(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= target[axis];
  }
  const [a, b] = [normalizeAxis(attrs.a, shape.length, "transpose"), normalizeAxis(attrs.b, shape.length, "transpose")];
  [strides[a], strides[b]] = [strides[b], strides[a]];
  const index = new Array(shape.length).fill(0);
  const size = sizeOf(shape);
  let j = 0;
  for (let i = 0; i < size; i++) {
    visit(i, j);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      j += strides[axis];
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
      j -= strides[axis] * shape[axis];
    }
  }
}

/** Elements start .. stop-1 along one axis. */
export const slice: Op<{ axis: number; start: number; stop: number }> = {
  name: "slice",
  shapes([x], { axis, start, stop }) {
    wantFloat(x, "slice");
    const at = normalizeAxis(axis, x.shape.length, "slice");
    if (!(Number.isInteger(start) && Number.isInteger(stop) && 0 <= start && start <= stop && stop <= x.shape[at])) {
      throw new OstinatoError("OST_RANGE", {
        what: "a slice lies outside its axis",
        expected: `0 <= start <= stop <= ${x.shape[at]}`,
        got: `${start} .. ${stop}`,
        where: "slice",
      });
    }
    return [x.shape.map((size, i) => (i === at ? stop - start : size))];
  },
  forward(engine, [y], [x], _, { axis, start }) {
    const values = engine.memory.floats;
    eachRun(x.shape, y.shape, axis, start, (i, j, length) =>
      values.copyWithin(y.offset + j, x.offset + i, x.offset + i + length),
    );
  },
  backward(engine, [dX], [dY], [x], [y], _, { axis, start }) {
    if (!dX || !dY) return;
    const values = engine.memory.floats;
    eachRun(x.shape, y.shape, axis, start, (i, j, length) => addRun(values, dX.offset + i, dY.offset + j, length));
  },
};

/** Joins along one axis; all other axes are equal. */
export const concat: Op<{ axis: number }> = {
  name: "concat",
  shapes(inputs, { axis }) {
    const first = inputs[0].shape;
    const at = normalizeAxis(axis, first.length, "concat");
    let total = 0;
    for (const input of inputs) {
      wantFloat(input, "concat");
      if (input.shape.length !== first.length || input.shape.some((size, i) => i !== at && size !== first[i])) {
        throw new OstinatoError("OST_SHAPE", {
          what: `only axis ${at} may differ`,
          got: inputs.map(({ shape }) => describeShape(shape)).join(", "),
          where: "concat",
        });
      }
      total += input.shape[at];
    }
    return [first.map((size, i) => (i === at ? total : size))];
  },
  forward(engine, [y], inputs, _, { axis }) {
    const values = engine.memory.floats;
    let start = 0;
    for (const x of inputs) {
      eachRun(y.shape, x.shape, axis, start, (i, j, length) =>
        values.copyWithin(y.offset + i, x.offset + j, x.offset + j + length),
      );
      start += x.shape[normalizeAxis(axis, x.shape.length, "concat")];
    }
  },
  backward(engine, dInputs, [dY], inputs, [y], _, { axis }) {
    if (!dY) return;
    const values = engine.memory.floats;
    let start = 0;
    inputs.forEach((x, n) => {
      const dX = dInputs[n];
      if (dX) eachRun(y.shape, x.shape, axis, start, (i, j, length) => addRun(values, dX.offset + j, dY.offset + i, length));
      start += x.shape[normalizeAxis(axis, x.shape.length, "concat")];
    });
  },
};

/** Row i (along axis 0) of the first input where mask[i] is 1, else of the second: a copy, so that nothing of the other row is read. */
export const selectRows: Op<{ mask: Uint8Array }> = {
  name: "selectRows",
  shapes([a, b], { mask }) {
    if (describeShape(a.shape) !== describeShape(b.shape) || mask.length !== a.shape[0]) {
      throw new OstinatoError("OST_SHAPE", {
        what: "both inputs have one shape and the mask one entry per row",
        got: `${describeShape(a.shape)}, ${describeShape(b.shape)}, mask ${mask.length}`,
        where: "selectRows",
      });
    }
    return [a.shape];
  },
  forward(engine, [y], [a, b], _, { mask }) {
    const values = engine.memory.floats;
    const width = a.size / Math.max(1, mask.length);
    for (let row = 0; row < mask.length; row++) {
      const source = (mask[row] ? a : b).offset + row * width;
      values.copyWithin(y.offset + row * width, source, source + width);
    }
  },
  backward(engine, [dA, dB], [dY], [a], _, __, { mask }) {
    if (!dY) return;
    const width = a.size / Math.max(1, mask.length);
    for (let row = 0; row < mask.length; row++) {
      const target = mask[row] ? dA : dB;
      if (target) addRun(engine.memory.floats, target.offset + row * width, dY.offset + row * width, width);
    }
  },
};

/** Visits the contiguous runs of a part of `whole` that begins at `start` along an axis: (index in whole, index in part, length). */
function eachRun(
  whole: Shape,
  part: Shape,
  axis: number,
  start: number,
  visit: (i: number, j: number, length: number) => void,
): void {
  const at = normalizeAxis(axis, whole.length, "slice");
  const inner = sizeOf(whole.slice(at + 1));
  const outer = sizeOf(whole.slice(0, at));
  const length = part[at] * inner;
  for (let o = 0; o < outer; o++) visit((o * whole[at] + start) * inner, o * length, length);
}

function addRun(values: FloatArray, target: number, source: number, length: number): void {
  for (let i = 0; i < length; i++) values[target + i] += values[source + i];
}

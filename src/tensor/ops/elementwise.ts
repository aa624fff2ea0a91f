/** @file Elementwise operations: two operands with broadcasting, and functions of one. */
import { broadcastShapes, broadcastStrides, type Shape, sameShape, sizeOf } from "../../core/shape.js";
import type { FloatArray } from "../../kernels/index.js";
import { type Op, wantFloat } from "../op.js";

type Combine = (a: number, b: number) => number;

/** y = f(a, b) with gradients dA = dY * fa(a, b) and dB = dY * fb(a, b), summed over broadcast axes. */
function binary(name: string, f: Combine, fa: Combine, fb: Combine): Op {
  return {
    name,
    shapes([a, b]) {
      wantFloat(a, name);
      wantFloat(b, name);
      return [broadcastShapes(a.shape, b.shape, name)];
    },
    forward(engine, [y], [a, b]) {
      const values = engine.memory.floats;
      const [ao, bo, yo] = [a.offset, b.offset, y.offset];
      walk(y.shape, a.shape, b.shape, (i, j, k) => {
        values[yo + i] = f(values[ao + j], values[bo + k]);
      });
    },
    backward(engine, [dA, dB], [dY], [a, b], [y]) {
      if (dY === null) return;
      const values = engine.memory.floats;
      const [ao, bo, go] = [a.offset, b.offset, dY.offset];
      const ad = dA ? dA.offset : -1;
      const bd = dB ? dB.offset : -1;
      walk(y.shape, a.shape, b.shape, (i, j, k) => {
        if (ad >= 0) values[ad + j] += values[go + i] * fa(values[ao + j], values[bo + k]);
        if (bd >= 0) values[bd + k] += values[go + i] * fb(values[ao + j], values[bo + k]);
      });
    },
  };
}

/** Calls visit(index in y, index in a, index in b) for every element of y, in order. */
function walk(y: Shape, a: Shape, b: Shape, visit: (i: number, j: number, k: number) => void): void {
  const size = sizeOf(y);
  if (sameShape(a, b)) {
    for (let i = 0; i < size; i++) visit(i, i, i);
    return;
  }
  const aStrides = broadcastStrides(a, y);
  const bStrides = broadcastStrides(b, y);
  const index = new Array(y.length).fill(0);
  let j = 0;
  let k = 0;
  for (let i = 0; i < size; i++) {
    visit(i, j, k);
    for (let axis = y.length - 1; axis >= 0; axis--) {
      j += aStrides[axis];
      k += bStrides[axis];
      if (++index[axis] < y[axis]) break;
      index[axis] = 0;
      j -= aStrides[axis] * y[axis];
      k -= bStrides[axis] * y[axis];
    }
  }
}

export const add = binary(
  "add",
  (a, b) => a + b,
  () => 1,
  () => 1,
);
export const subtract = binary(
  "subtract",
  (a, b) => a - b,
  () => 1,
  () => -1,
);
export const multiply = binary(
  "multiply",
  (a, b) => a * b,
  (_, b) => b,
  (a) => a,
);
export const divide = binary(
  "divide",
  (a, b) => a / b,
  (_, b) => 1 / b,
  (a, b) => -a / (b * b),
);
/** Where both are equal the gradient goes to the first. */
export const maximum = binary(
  "maximum",
  Math.max,
  (a, b) => (a >= b ? 1 : 0),
  (a, b) => (a >= b ? 0 : 1),
);

/** y = f(x) with dX = dY * slope(x, y). */
function unary(name: string, f: (x: number) => number, slope: (x: number, y: number) => number): Op {
  return {
    name,
    shapes([x]) {
      wantFloat(x, name);
      return [x.shape];
    },
    forward(engine, [y], [x]) {
      const values = engine.memory.floats;
      const [xo, yo] = [x.offset, y.offset];
      for (let i = 0; i < x.size; i++) values[yo + i] = f(values[xo + i]);
    },
    backward(engine, [dX], [dY], [x], [y]) {
      if (dX && dY) scaleBySlope(engine.memory.floats, dX.offset, dY.offset, x.offset, y.offset, x.size, slope);
    },
  };
}

function scaleBySlope(
  values: FloatArray,
  dX: number,
  dY: number,
  x: number,
  y: number,
  size: number,
  slope: (x: number, y: number) => number,
): void {
  for (let i = 0; i < size; i++) values[dX + i] += values[dY + i] * slope(values[x + i], values[y + i]);
}

export const negate = unary(
  "negate",
  (x) => -x,
  () => -1,
);
export const exp = unary("exp", Math.exp, (_, y) => y);
export const log = unary("log", Math.log, (x) => 1 / x);
export const sqrt = unary("sqrt", Math.sqrt, (_, y) => 0.5 / y);
export const square = unary(
  "square",
  (x) => x * x,
  (x) => 2 * x,
);
/** The gradient at 0 is 0. */
export const abs = unary("abs", Math.abs, (x) => Math.sign(x));
/** The gradient at 0 is 0. */
export const relu = unary(
  "relu",
  (x) => Math.max(x, 0),
  (x) => (x > 0 ? 1 : 0),
);

export const tanh: Op = {
  ...unary("tanh", Math.tanh, (_, y) => 1 - y * y),
  forward: (engine, [y], [x]) => engine.tanh(x.size, x.pointer, y.pointer),
};

export const sigmoid: Op = {
  ...unary(
    "sigmoid",
    (x) => 1 / (1 + Math.exp(-x)),
    (_, y) => y * (1 - y),
  ),
  forward: (engine, [y], [x]) => engine.sigmoid(x.size, x.pointer, y.pointer),
};

/** y = x * factor + shift, both plain numbers. */
export const affine: Op<{ factor: number; shift: number }> = {
  name: "affine",
  shapes([x]) {
    wantFloat(x, "affine");
    return [x.shape];
  },
  forward(engine, [y], [x], _, { factor, shift }) {
    const values = engine.memory.floats;
    const [xo, yo] = [x.offset, y.offset];
    for (let i = 0; i < x.size; i++) values[yo + i] = values[xo + i] * factor + shift;
  },
  backward(engine, [dX], [dY], _, __, ___, { factor }) {
    if (!dX || !dY) return;
    const values = engine.memory.floats;
    const [xo, yo] = [dX.offset, dY.offset];
    for (let i = 0; i < dX.size; i++) values[xo + i] += values[yo + i] * factor;
  },
};

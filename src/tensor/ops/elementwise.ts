/** @file Elementwise operations: two operands with broadcasting, and functions of one. */
import { broadcastShapes, broadcastStrides, type Shape, sameShape, sizeOf } from "../../core/shape.js";
import type { FloatArray } from "../../kernels/index.js";
import { type Op, wantFloat } from "../op.js";

/**
 * The loops of y = f(a, b) over a run of `n` elements. Arrays are indices into `v` where they begin; `as` and `bs` are the steps from one
 * element of a or b to the next: 1, or 0 where a broadcast repeats one. Each operation has loops of its own, because a loop that calls a
 * function per element is many times slower.
 */
interface BinaryLoops {
  forward(v: FloatArray, n: number, y: number, a: number, as: number, b: number, bs: number): void;
  /** dA += dY * df/da */
  gradientA(v: FloatArray, n: number, dA: number, dY: number, a: number, as: number, b: number, bs: number): void;
  /** dB += dY * df/db */
  gradientB(v: FloatArray, n: number, dB: number, dY: number, a: number, as: number, b: number, bs: number): void;
}

/** Two operands with broadcasting; gradients are summed over broadcast axes. */
function binary(name: string, { forward, gradientA, gradientB }: BinaryLoops): Op {
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
      eachRun(y.shape, a.shape, b.shape, (n, i, j, as, k, bs) => forward(values, n, yo + i, ao + j, as, bo + k, bs));
    },
    backward(engine, [dA, dB], [dY], [a, b], [y]) {
      if (dY === null) return;
      const values = engine.memory.floats;
      const [ao, bo, go] = [a.offset, b.offset, dY.offset];
      const ad = dA ? dA.offset : -1;
      const bd = dB ? dB.offset : -1;
      eachRun(y.shape, a.shape, b.shape, (n, i, j, as, k, bs) => {
        if (ad >= 0) gradientA(values, n, ad + j, go + i, ao + j, as, bo + k, bs);
        if (bd >= 0) gradientB(values, n, bd + k, go + i, ao + j, as, bo + k, bs);
      });
    },
  };
}

/** Visits y in order as runs along its last axis, or as one run where a and b have its shape: (length, index in y, index and step in a, in b). */
function eachRun(
  y: Shape,
  a: Shape,
  b: Shape,
  visit: (n: number, i: number, j: number, as: number, k: number, bs: number) => void,
): void {
  const size = sizeOf(y);
  if (sameShape(a, b)) {
    visit(size, 0, 0, 1, 0, 1);
    return;
  }
  const aStrides = broadcastStrides(a, y);
  const bStrides = broadcastStrides(b, y);
  const last = y.length - 1;
  const length = y[last];
  const index = new Array(y.length).fill(0);
  let j = 0;
  let k = 0;
  for (let i = 0; i < size; i += length) {
    visit(length, i, j, aStrides[last], k, bStrides[last]);
    for (let axis = last - 1; axis >= 0; axis--) {
      j += aStrides[axis];
      k += bStrides[axis];
      if (++index[axis] < y[axis]) break;
      index[axis] = 0;
      j -= aStrides[axis] * y[axis];
      k -= bStrides[axis] * y[axis];
    }
  }
}

/** Where df/da = 1. */
const passOn: BinaryLoops["gradientA"] = (v, n, dA, dY, _, as) => {
  for (let i = 0; i < n; i++) v[dA + i * as] += v[dY + i];
};

export const add = binary("add", {
  forward(v, n, y, a, as, b, bs) {
    for (let i = 0; i < n; i++) v[y + i] = v[a + i * as] + v[b + i * bs];
  },
  gradientA: passOn,
  gradientB(v, n, dB, dY, _, __, ___, bs) {
    for (let i = 0; i < n; i++) v[dB + i * bs] += v[dY + i];
  },
});

export const subtract = binary("subtract", {
  forward(v, n, y, a, as, b, bs) {
    for (let i = 0; i < n; i++) v[y + i] = v[a + i * as] - v[b + i * bs];
  },
  gradientA: passOn,
  gradientB(v, n, dB, dY, _, __, ___, bs) {
    for (let i = 0; i < n; i++) v[dB + i * bs] -= v[dY + i];
  },
});

export const multiply = binary("multiply", {
  forward(v, n, y, a, as, b, bs) {
    for (let i = 0; i < n; i++) v[y + i] = v[a + i * as] * v[b + i * bs];
  },
  gradientA(v, n, dA, dY, _, as, b, bs) {
    for (let i = 0; i < n; i++) v[dA + i * as] += v[dY + i] * v[b + i * bs];
  },
  gradientB(v, n, dB, dY, a, as, _, bs) {
    for (let i = 0; i < n; i++) v[dB + i * bs] += v[dY + i] * v[a + i * as];
  },
});

export const divide = binary("divide", {
  forward(v, n, y, a, as, b, bs) {
    for (let i = 0; i < n; i++) v[y + i] = v[a + i * as] / v[b + i * bs];
  },
  gradientA(v, n, dA, dY, _, as, b, bs) {
    for (let i = 0; i < n; i++) v[dA + i * as] += v[dY + i] * (1 / v[b + i * bs]);
  },
  gradientB(v, n, dB, dY, a, as, b, bs) {
    for (let i = 0; i < n; i++) v[dB + i * bs] += v[dY + i] * (-v[a + i * as] / (v[b + i * bs] * v[b + i * bs]));
  },
});

/** Where both are equal the gradient goes to the first. */
export const maximum = binary("maximum", {
  forward(v, n, y, a, as, b, bs) {
    for (let i = 0; i < n; i++) v[y + i] = Math.max(v[a + i * as], v[b + i * bs]);
  },
  gradientA(v, n, dA, dY, a, as, b, bs) {
    for (let i = 0; i < n; i++) v[dA + i * as] += v[dY + i] * (v[a + i * as] >= v[b + i * bs] ? 1 : 0);
  },
  gradientB(v, n, dB, dY, a, as, b, bs) {
    for (let i = 0; i < n; i++) v[dB + i * bs] += v[dY + i] * (v[a + i * as] >= v[b + i * bs] ? 0 : 1);
  },
});

/** The loops of y = f(x) over `n` elements; arrays are indices into `v` where they begin. */
interface UnaryLoops {
  forward(v: FloatArray, n: number, y: number, x: number): void;
  /** dX += dY * df/dx */
  gradient(v: FloatArray, n: number, dX: number, dY: number, x: number, y: number): void;
}

function unary(name: string, { forward, gradient }: UnaryLoops): Op {
  return ofOne(name, (engine, [y], [x]) => forward(engine.memory.floats, x.size, y.offset, x.offset), gradient);
}

function ofOne(name: string, forward: Op["forward"], gradient: UnaryLoops["gradient"]): Op {
  return {
    name,
    shapes([x]) {
      wantFloat(x, name);
      return [x.shape];
    },
    forward,
    backward(engine, [dX], [dY], [x], [y]) {
      if (dX && dY) gradient(engine.memory.floats, x.size, dX.offset, dY.offset, x.offset, y.offset);
    },
  };
}

export const negate = unary("negate", {
  forward(v, n, y, x) {
    for (let i = 0; i < n; i++) v[y + i] = -v[x + i];
  },
  gradient(v, n, dX, dY) {
    for (let i = 0; i < n; i++) v[dX + i] -= v[dY + i];
  },
});

export const exp = unary("exp", {
  forward(v, n, y, x) {
    for (let i = 0; i < n; i++) v[y + i] = Math.exp(v[x + i]);
  },
  gradient(v, n, dX, dY, _, y) {
    for (let i = 0; i < n; i++) v[dX + i] += v[dY + i] * v[y + i];
  },
});

export const log = unary("log", {
  forward(v, n, y, x) {
    for (let i = 0; i < n; i++) v[y + i] = Math.log(v[x + i]);
  },
  gradient(v, n, dX, dY, x) {
    for (let i = 0; i < n; i++) v[dX + i] += v[dY + i] * (1 / v[x + i]);
  },
});

export const sqrt = unary("sqrt", {
  forward(v, n, y, x) {
    for (let i = 0; i < n; i++) v[y + i] = Math.sqrt(v[x + i]);
  },
  gradient(v, n, dX, dY, _, y) {
    for (let i = 0; i < n; i++) v[dX + i] += v[dY + i] * (0.5 / v[y + i]);
  },
});

export const square = unary("square", {
  forward(v, n, y, x) {
    for (let i = 0; i < n; i++) v[y + i] = v[x + i] * v[x + i];
  },
  gradient(v, n, dX, dY, x) {
    for (let i = 0; i < n; i++) v[dX + i] += v[dY + i] * (2 * v[x + i]);
  },
});

/** The gradient at 0 is 0. */
export const abs = unary("abs", {
  forward(v, n, y, x) {
    for (let i = 0; i < n; i++) v[y + i] = Math.abs(v[x + i]);
  },
  gradient(v, n, dX, dY, x) {
    for (let i = 0; i < n; i++) v[dX + i] += v[dY + i] * Math.sign(v[x + i]);
  },
});

/** The gradient at 0 is 0. */
export const relu = unary("relu", {
  forward(v, n, y, x) {
    for (let i = 0; i < n; i++) v[y + i] = Math.max(v[x + i], 0);
  },
  gradient(v, n, dX, dY, x) {
    for (let i = 0; i < n; i++) v[dX + i] += v[dY + i] * (v[x + i] > 0 ? 1 : 0);
  },
});

export const tanh = ofOne(
  "tanh",
  (engine, [y], [x]) => engine.tanh(x.size, x.pointer, y.pointer),
  (v, n, dX, dY, _, y) => {
    for (let i = 0; i < n; i++) v[dX + i] += v[dY + i] * (1 - v[y + i] * v[y + i]);
  },
);

export const sigmoid = ofOne(
  "sigmoid",
  (engine, [y], [x]) => engine.sigmoid(x.size, x.pointer, y.pointer),
  (v, n, dX, dY, _, y) => {
    for (let i = 0; i < n; i++) v[dX + i] += v[dY + i] * (v[y + i] * (1 - v[y + i]));
  },
);

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

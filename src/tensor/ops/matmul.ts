/** @file Matrix products: A B, batched or not, and the affine map x W^T + b of a linear layer. */
import { OstinatoError } from "../../core/errors.js";
import { describeShape, sizeOf } from "../../core/shape.js";
import { type Kernels, NULL, type Pointer } from "../../kernels/index.js";
import { type Op, type RawBuffer, wantFloat } from "../op.js";
import { packOnce } from "../packed-matrix.js";
import { release } from "../storage.js";

/** a [..., M, K] times b [K, N], or b [..., K, N] with the same leading axes, to [..., M, N]. */
export const matmul: Op = {
  name: "matmul",
  shapes([a, b]) {
    wantFloat(a, "matmul");
    wantFloat(b, "matmul");
    const rank = a.shape.length;
    const inner = b.shape[b.shape.length - 2];
    const leadingEqual =
      b.shape.length === 2 || (b.shape.length === rank && b.shape.slice(0, -2).every((size, i) => size === a.shape[i]));
    if (rank < 2 || b.shape.length < 2 || a.shape[rank - 1] !== inner || !leadingEqual) {
      throw new OstinatoError("OST_SHAPE", {
        what: "shapes do not multiply",
        expected: "[..., M, K] and [K, N] or [..., K, N]",
        got: `${describeShape(a.shape)} and ${describeShape(b.shape)}`,
        where: "matmul",
      });
    }
    return [[...a.shape.slice(0, -1), b.shape[b.shape.length - 1]]];
  },
  forward(engine, [y], [a, b]) {
    eachProduct(
      engine,
      a,
      b,
      (m, n, k, ap, bp, yp) => {
        product(engine, m, n, k, [ap, k, 1], [bp, n, 1], yp, false);
      },
      y,
    );
  },
  backward(engine, [dA, dB], [dY], [a, b]) {
    if (!dY) return;
    if (dA) eachProduct(engine, dA, b, (m, n, k, ap, bp, yp) => product(engine, m, k, n, [yp, n, 1], [bp, 1, n], ap, true), dY);
    if (dB) eachProduct(engine, a, dB, (m, n, k, ap, bp, yp) => product(engine, k, n, m, [ap, 1, k], [yp, n, 1], bp, true), dY);
  },
};

type Strided = [pointer: Pointer, rowStride: number, columnStride: number];

function product(
  engine: Kernels,
  rows: number,
  columns: number,
  inner: number,
  a: Strided,
  b: Strided,
  c: Pointer,
  accumulate: boolean,
) {
  engine.matmul({
    rows,
    columns,
    inner,
    a: a[0],
    aRowStride: a[1],
    aColumnStride: a[2],
    b: b[0],
    bRowStride: b[1],
    bColumnStride: b[2],
    c,
    accumulate,
  });
}

/** Visits the products of a (possibly batched) matmul; a shared b takes all leading axes of a as rows of one product. */
function eachProduct(
  engine: Kernels,
  a: RawBuffer,
  b: RawBuffer,
  visit: (m: number, n: number, k: number, a: Pointer, b: Pointer, y: Pointer) => void,
  y: RawBuffer,
): void {
  const k = a.shape[a.shape.length - 1];
  const n = b.shape[b.shape.length - 1];
  if (b.shape.length === 2) {
    visit(k === 0 ? sizeOf(a.shape.slice(0, -1)) : a.size / k, n, k, a.pointer, b.pointer, y.pointer);
    return;
  }
  const m = a.shape[a.shape.length - 2];
  const count = sizeOf(a.shape.slice(0, -2));
  const bytes = engine.memory.bytesPerFloat;
  for (let i = 0; i < count; i++)
    visit(m, n, k, a.pointer + i * m * k * bytes, b.pointer + i * k * n * bytes, y.pointer + i * m * n * bytes);
}

/**
 * x [..., I], weight [O, I], bias [O] (optional third input) to x weight^T + bias [..., O]; `packed` is the weight in the engine's layout,
 * or null for a weight that is used once.
 */
export const linear: Op<{ packed: Pointer | null }> = {
  name: "linear",
  shapes([x, weight, bias]) {
    wantFloat(x, "linear");
    const [outputs, inputs] = weight.shape;
    if (x.shape[x.shape.length - 1] !== inputs || (bias && bias.size !== outputs)) {
      throw new OstinatoError("OST_SHAPE", {
        what: `the layer wants ${inputs} features`,
        got: `x ${describeShape(x.shape)}`,
        where: "linear",
        repair: "did the column list change after training?",
      });
    }
    return [[...x.shape.slice(0, -1), outputs]];
  },
  forward(engine, [y], [x, weight, bias], _, { packed }) {
    const [outputs, inputs] = weight.shape;
    const once = packed === null ? packOnce(weight) : null;
    engine.linearForward({
      rows: y.size / outputs,
      inputs,
      outputs,
      x: x.pointer,
      packed: once?.pointer ?? (packed as Pointer),
      bias: bias ? bias.pointer : NULL,
      y: y.pointer,
    });
    if (once) release(once);
  },
  backward(engine, [dX, dWeight, dBias], [dY], [x, weight]) {
    if (!dY) return;
    const [outputs, inputs] = weight.shape;
    const rows = dY.size / outputs;
    if (dX) product(engine, rows, inputs, outputs, [dY.pointer, outputs, 1], [weight.pointer, inputs, 1], dX.pointer, true);
    if (dWeight) product(engine, outputs, inputs, rows, [dY.pointer, 1, outputs], [x.pointer, inputs, 1], dWeight.pointer, true);
    if (dBias) engine.addColumnSums(rows, outputs, dY.pointer, dBias.pointer);
  },
};

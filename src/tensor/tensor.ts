/** @file The tensor: a buffer that remembers how it was computed, so that a scalar made from it can run backward. */

import { OstinatoError } from "../core/errors.js";
import { describeShape, type Shape, sizeOf } from "../core/shape.js";
import { defaultEngine, type FloatArray, type Kernels } from "../kernels/index.js";
import { backward, Node, type Variable } from "./autograd.js";
import { bytesPerValue, type DType, emptyBuffer, type Op, RawBuffer } from "./op.js";
import {
  abs,
  add,
  affine,
  divide,
  exp,
  log,
  maximum,
  multiply,
  negate,
  relu,
  sigmoid,
  sqrt,
  square,
  subtract,
  tanh,
} from "./ops/elementwise.js";
import { gather } from "./ops/gather.js";
import { linear, matmul } from "./ops/matmul.js";
import { softmax, sum } from "./ops/reduce.js";
import { concat, reshape, slice, transpose } from "./ops/reshape.js";
import { allocate, isRecording, type Storage } from "./storage.js";

export class Tensor extends RawBuffer implements Variable {
  grad: RawBuffer | null = null;
  readonly node: Node | null;
  /** True for parameters and for everything recorded that depends on one. */
  readonly requiresGrad: boolean;

  constructor(
    engine: Kernels,
    storage: Storage,
    shape: Shape,
    dtype: DType,
    { requiresGrad = false, node = null as Node | null } = {},
  ) {
    super(engine, storage, shape, dtype);
    this.requiresGrad = requiresGrad || node !== null;
    this.node = node;
  }

  /** A copy of the values, row-major. */
  toArray(): FloatArray | Int32Array {
    return this.dtype === "float" ? this.floats().slice() : this.ints().slice();
  }

  /** The value of a tensor of size 1. @throws OST_SHAPE for any other. */
  item(): number {
    if (this.size !== 1) {
      throw new OstinatoError("OST_SHAPE", {
        what: "item() wants one value",
        got: describeShape(this.shape),
        where: "tensor.item",
      });
    }
    const { floats, ints } = this.engine.memory;
    return (this.dtype === "float" ? floats : ints)[this.offset];
  }

  /** The same values, cut off from what they were computed from: no gradient flows through. */
  detach(): Tensor {
    return new Tensor(this.engine, this.storage, this.shape, this.dtype);
  }

  /** Adds d(this)/d(parameter) to the `grad` of every parameter this scalar depends on. @throws OST_GRADIENT */
  backward(): void {
    backward(this);
  }

  add(other: Operand): Tensor {
    return typeof other === "number" ? apply(affine, [this], { factor: 1, shift: other }) : apply(add, [this, other]);
  }
  subtract(other: Operand): Tensor {
    return typeof other === "number" ? apply(affine, [this], { factor: 1, shift: -other }) : apply(subtract, [this, other]);
  }
  multiply(other: Operand): Tensor {
    return typeof other === "number" ? apply(affine, [this], { factor: other, shift: 0 }) : apply(multiply, [this, other]);
  }
  divide(other: Operand): Tensor {
    return typeof other === "number" ? apply(affine, [this], { factor: 1 / other, shift: 0 }) : apply(divide, [this, other]);
  }
  /** this * factor + shift. */
  affine(factor: number, shift: number): Tensor {
    return apply(affine, [this], { factor, shift });
  }
  maximum(other: Tensor): Tensor {
    return apply(maximum, [this, other]);
  }
  negate(): Tensor {
    return apply(negate, [this]);
  }
  exp(): Tensor {
    return apply(exp, [this]);
  }
  log(): Tensor {
    return apply(log, [this]);
  }
  sqrt(): Tensor {
    return apply(sqrt, [this]);
  }
  square(): Tensor {
    return apply(square, [this]);
  }
  abs(): Tensor {
    return apply(abs, [this]);
  }
  relu(): Tensor {
    return apply(relu, [this]);
  }
  tanh(): Tensor {
    return apply(tanh, [this]);
  }
  sigmoid(): Tensor {
    return apply(sigmoid, [this]);
  }
  /** Along the last axis. */
  softmax(): Tensor {
    return apply(softmax, [this], { log: false });
  }
  /** Along the last axis. */
  logSoftmax(): Tensor {
    return apply(softmax, [this], { log: true });
  }
  /** this [..., M, K] times other [K, N] or [..., K, N]. */
  matmul(other: Tensor): Tensor {
    return apply(matmul, [this, other]);
  }
  /** this [..., I], weight [O, I], bias [O] to this weight^T + bias [..., O]. */
  linear(weight: Tensor, bias?: Tensor): Tensor {
    return apply(linear, bias ? [this, weight, bias] : [this, weight], { packed: null });
  }
  /** Over everything, or along one axis, which disappears. */
  sum(axis: number | null = null): Tensor {
    return apply(sum, [this], { axis });
  }
  mean(axis: number | null = null): Tensor {
    const total = this.sum(axis);
    return total.divide(this.size / total.size);
  }
  reshape(shape: Shape): Tensor {
    return apply(reshape, [this], { shape });
  }
  transpose(a: number, b: number): Tensor {
    return apply(transpose, [this], { a, b });
  }
  slice(axis: number, start: number, stop: number): Tensor {
    return apply(slice, [this], { axis, start, stop });
  }
  /** Rows of this table [vocabSize, size] at int32 indices [...]: [..., size]. */
  gather(indices: Tensor): Tensor {
    return apply(gather, [this, indices]);
  }
}

export type Operand = Tensor | number;

/** A trainable tensor. `version` grows with every change, so that an engine's packed copy of it is known to be stale. */
export class Parameter extends Tensor {
  version = 0;
  /** Its path in the model, for example "lstm.weight_ih_l0"; set when the model lists its parameters. */
  name = "";

  /** Overwrites the values. @throws OST_SHAPE if their number differs. */
  assign(values: ArrayLike<number>): void {
    if (values.length !== this.size) {
      throw new OstinatoError("OST_SHAPE", {
        what: "a parameter keeps its size",
        expected: `${this.size} values for ${describeShape(this.shape)}`,
        got: `${values.length}`,
        where: this.name || "parameter",
      });
    }
    this.floats().set(values);
    this.version++;
  }
}

/** Joins tensors along one axis. */
export function concatenate(tensors: readonly Tensor[], axis: number): Tensor {
  return apply(concat, tensors, { axis });
}

export function apply(op: Op<undefined>, inputs: readonly Tensor[]): Tensor;
export function apply<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor;
export function apply<A>(op: Op<A>, inputs: readonly Tensor[], attrs?: A): Tensor {
  return applyAll(op, inputs, attrs as A)[0];
}

/**
 * Runs an operation on tensors of one engine and records it if a parameter is involved and the scope records.
 *
 * @throws OST_ENGINE when tensors of two engines meet.
 */
export function applyAll<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor[] {
  const engine = inputs[0].engine;
  let records = false;
  for (const input of inputs) {
    if (input.engine !== engine) {
      throw new OstinatoError("OST_ENGINE", {
        what: "tensors of two engines meet",
        got: `${engine.name} and ${input.engine.name}`,
        where: op.name,
        repair: "make both with the same engine option",
      });
    }
    records ||= input.requiresGrad;
  }
  records &&= isRecording();
  const shapes = op.shapes(inputs, attrs);
  const saved = records ? (op.saved?.(inputs, attrs) ?? []).map((shape) => emptyBuffer(engine, shape)) : null;
  const node = saved ? new Node(op, inputs, saved, attrs) : null;
  const outputs = shapes.map((shape) => uninitialized(engine, shape, "float", node));
  op.forward(engine, outputs, inputs, saved, attrs);
  if (node) node.outputs = outputs;
  return outputs;
}

export interface CreateOptions {
  /** The engine whose memory holds the values; default the process's `defaultEngine()`. */
  engine?: Kernels;
}

/** A float tensor with the given values in row-major order. @throws OST_SHAPE if their number differs from the shape's size. */
export function tensor(
  values: ArrayLike<number>,
  shape: Shape = [values.length],
  { engine = defaultEngine() }: CreateOptions = {},
): Tensor {
  wantCount(values, shape);
  const result = uninitialized(engine, shape, "float");
  result.floats().set(values);
  return result;
}

/** An int32 tensor: indices, lengths. @throws OST_SHAPE if the number of values differs from the shape's size. */
export function integers(
  values: ArrayLike<number>,
  shape: Shape = [values.length],
  { engine = defaultEngine() }: CreateOptions = {},
): Tensor {
  wantCount(values, shape);
  const result = uninitialized(engine, shape, "int32");
  result.ints().set(values);
  return result;
}

export function zeros(shape: Shape, options: CreateOptions = {}): Tensor {
  return filled(shape, 0, options);
}

export function filled(shape: Shape, value: number, { engine = defaultEngine() }: CreateOptions = {}): Tensor {
  const result = uninitialized(engine, shape, "float");
  result.floats().fill(value);
  return result;
}

/** A trainable tensor that lives until nobody holds it, whatever scope it is made in. */
export function parameter(values: ArrayLike<number>, shape: Shape, { engine = defaultEngine() }: CreateOptions = {}): Parameter {
  wantCount(values, shape);
  const { storage } = emptyBuffer(engine, shape, { persistent: true });
  const result = new Parameter(engine, storage, shape, "float", { requiresGrad: true });
  result.floats().set(values);
  return result;
}

function uninitialized(engine: Kernels, shape: Shape, dtype: DType, node: Node | null = null): Tensor {
  const storage = allocate(engine.memory, sizeOf(shape) * bytesPerValue(engine, dtype));
  return new Tensor(engine, storage, shape, dtype, { node });
}

function wantCount(values: ArrayLike<number>, shape: Shape): void {
  if (values.length !== sizeOf(shape)) {
    throw new OstinatoError("OST_SHAPE", {
      what: "values and shape disagree",
      expected: `${sizeOf(shape)} values for ${describeShape(shape)}`,
      got: `${values.length}`,
      where: "tensor",
    });
  }
}

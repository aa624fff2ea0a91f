/**
 * @file The fused recurrence as one operation: a whole sequence forward, and backward through time, in one kernel call each, or in several
 * where activations are recomputed.
 */
import { OstinatoError } from "../core/errors.js";
import { describeShape, type Shape } from "../core/shape.js";
import { type CellKind, type Kernels, NULL, type Pointer, type WeightType } from "../kernels/index.js";
import { emptyBuffer, integers, type Op, Parameter, type RawBuffer, type Tensor } from "../tensor/index.js";
import { wantFloat } from "../tensor/op.js";
import { allocate, release, type Storage } from "../tensor/storage.js";
import { backwardInSegments, forwardInSegments, GATES_KEPT, type Recompute, segmentSteps } from "./recurrent-segment.js";

export interface RecurrentAttrs {
  cell: CellKind;
  bias: boolean;
  reverse: boolean;
  /** int32 [batch] */
  lengths: RawBuffer;
  packed: PackedWeights;
  /** Keeps the states between segments of so many steps instead of gates and cells; absent keeps everything. */
  recompute?: Recompute;
}

/**
 * inputs:  x [B, T, I], weight_ih [G*H, I], weight_hh [G*H, H], (bias_ih, bias_hh [G*H],) h0 [B, H], (c0 [B, H])
 * outputs: output [B, T, H], hN [B, H], (cN [B, H])
 */
export const recurrent: Op<RecurrentAttrs> = {
  name: "recurrent",
  shapes(inputs, attrs) {
    for (const input of inputs) wantFloat(input, "recurrent");
    const { batch, time, hiddenSize } = sizes(inputs);
    const state = [batch, hiddenSize];
    const shapes: Shape[] = [[batch, time, hiddenSize], state];
    return attrs.cell === "lstm" ? [...shapes, state] : shapes;
  },
  saved(inputs, { cell, recompute }) {
    return savedShapes({ cell, recompute, ...sizes(inputs) });
  },
  forward(engine, [output, hN, cN], inputs, saved, attrs) {
    if (saved !== null) wantTrainable(attrs.packed);
    const parts = named(inputs, attrs);
    const { batch, time, inputSize, hiddenSize } = sizes(inputs);
    const first = saved?.[0]?.pointer ?? NULL;
    const second = saved?.[1]?.pointer ?? NULL;
    const steps = segmentSteps(attrs.recompute, time);
    const whole = saved === null || steps === null;
    // Written out, as in the backward pass: to spread an object of so many fields into a larger one takes microseconds.
    const args = {
      cell: attrs.cell,
      weights: attrs.packed.type,
      batch,
      time,
      inputSize,
      hiddenSize,
      reverse: attrs.reverse,
      lengths: attrs.lengths.pointer,
      x: parts.x.pointer,
      packed: attrs.packed.refresh(engine, attrs, parts),
      h0: parts.h0.pointer,
      c0: parts.c0?.pointer ?? NULL,
      output: output.pointer,
      outputStride: hiddenSize,
      hN: hN.pointer,
      cN: cN?.pointer ?? NULL,
      gates: whole ? first : NULL,
      cells: whole ? second : NULL,
    };
    if (whole) engine.recurrentForward(args);
    else forwardInSegments(engine, args, { steps, borders: { h: first, c: second } });
  },
  backward(engine, dInputs, [dOutput, dHN, dCN], inputs, [output], saved, attrs) {
    const parts = named(inputs, attrs);
    const gradients = named(dInputs, attrs);
    const { batch, time, inputSize, hiddenSize } = sizes(inputs);
    const first = saved[0]?.pointer ?? NULL;
    const second = saved[1]?.pointer ?? NULL;
    const steps = segmentSteps(attrs.recompute, time);
    const dGates = steps === null && saved.length === 0 ? emptyBuffer(engine, output.shape) : null;
    const dH0 = emptyBuffer(engine, parts.h0.shape);
    const dC0 = parts.c0 ? emptyBuffer(engine, parts.c0.shape) : null;
    const args = {
      cell: attrs.cell,
      batch,
      time,
      inputSize,
      hiddenSize,
      reverse: attrs.reverse,
      lengths: attrs.lengths.pointer,
      x: parts.x.pointer,
      weightIh: parts.weightIh.pointer,
      weightHh: parts.weightHh.pointer,
      h0: parts.h0.pointer,
      c0: parts.c0?.pointer ?? NULL,
      output: output.pointer,
      outputStride: hiddenSize,
      gates: steps === null ? first : NULL,
      cells: steps === null ? second : NULL,
      dOutput: dOutput?.pointer ?? NULL,
      dHN: dHN?.pointer ?? NULL,
      dCN: dCN?.pointer ?? NULL,
      dGates: steps === null ? (dGates?.pointer ?? first) : NULL,
      dX: gradients.x?.pointer ?? NULL,
      dWeightIh: gradients.weightIh?.pointer ?? NULL,
      dWeightHh: gradients.weightHh?.pointer ?? NULL,
      dBiasIh: gradients.biasIh?.pointer ?? NULL,
      dBiasHh: gradients.biasHh?.pointer ?? NULL,
      dH0: dH0.pointer,
      dC0: dC0?.pointer ?? NULL,
    };
    if (steps === null) engine.recurrentBackward(args);
    else {
      const packed = attrs.packed.refresh(engine, attrs, parts);
      backwardInSegments(engine, args, { steps, borders: { h: first, c: second }, packed });
    }
    if (gradients.h0) engine.add(dH0.size, dH0.pointer, gradients.h0.pointer);
    if (gradients.c0 && dC0) engine.add(dC0.size, dC0.pointer, gradients.c0.pointer);
    if (dGates) release(dGates.storage);
    release(dH0.storage);
    if (dC0) release(dC0.storage);
  },
};

/** What the operation keeps for its backward pass beside inputs and outputs: gates and cells, or the states between segments. */
export function savedShapes({
  cell,
  recompute,
  batch,
  time,
  hiddenSize,
}: Pick<RecurrentAttrs, "cell" | "recompute"> & { batch: number; time: number; hiddenSize: number }): Shape[] {
  const steps = segmentSteps(recompute, time);
  if (steps !== null) {
    const borders = [Math.ceil(time / steps) - 1, batch, hiddenSize];
    return cell === "lstm" ? [borders, borders] : [borders];
  }
  if (GATES_KEPT[cell] === 0) return [];
  const gates = [batch, time, GATES_KEPT[cell] * hiddenSize];
  return cell === "lstm" ? [gates, [batch, time, hiddenSize]] : [gates];
}

function named<B extends RawBuffer | null>(inputs: readonly B[], { bias, cell }: RecurrentAttrs) {
  const states = bias ? 5 : 3;
  return {
    x: inputs[0],
    weightIh: inputs[1],
    weightHh: inputs[2],
    biasIh: bias ? inputs[3] : null,
    biasHh: bias ? inputs[4] : null,
    h0: inputs[states],
    c0: cell === "lstm" ? inputs[states + 1] : null,
  };
}

function sizes(inputs: readonly RawBuffer[]) {
  const [batch, time, inputSize] = inputs[0].shape;
  return { batch, time, inputSize, hiddenSize: inputs[2].shape[1] };
}

/** The engine's own layout of one direction's weights, made anew only after a parameter changed. */
export class PackedWeights {
  #storage: Storage | null = null;
  /** What is packed: weights and biases, and their versions then. */
  readonly #weights: (RawBuffer | null)[] = [];
  readonly #versions: number[] = [];

  /** @param options `once`: computed weights are taken to stay as they are; for the length of one call, then `release`. */
  constructor(
    readonly type: WeightType = "float32",
    readonly options: { once?: boolean } = {},
  ) {}

  release(): void {
    if (this.#storage) release(this.#storage);
    this.#storage = null;
    this.#weights.length = 0;
  }

  refresh(
    engine: Kernels,
    { cell }: Pick<RecurrentAttrs, "cell">,
    parts: { weightIh: RawBuffer; weightHh: RawBuffer; biasIh: RawBuffer | null; biasHh: RawBuffer | null },
  ): Pointer {
    const { weightIh, weightHh, biasIh, biasHh } = parts;
    const inputSize = weightIh.shape[1];
    const hiddenSize = weightHh.shape[1];
    if (this.#storage === null) {
      this.#storage = allocate(engine.memory, engine.packedBytes(cell, inputSize, hiddenSize, this.type), { persistent: true });
    }
    const now = [weightIh, weightHh, biasIh, biasHh];
    let fresh = true;
    for (let i = 0; i < now.length; i++) fresh &&= this.#weights[i] === now[i] && this.#versions[i] === this.#versionOf(now[i]);
    if (!fresh) {
      engine.recurrentPack({
        cell,
        weights: this.type,
        inputSize,
        hiddenSize,
        weightIh: weightIh.pointer,
        weightHh: weightHh.pointer,
        biasIh: biasIh?.pointer ?? NULL,
        biasHh: biasHh?.pointer ?? NULL,
        packed: this.#storage.pointer,
      });
      for (let i = 0; i < now.length; i++) {
        this.#weights[i] = now[i];
        this.#versions[i] = this.#versionOf(now[i]);
      }
    }
    return this.#storage.pointer;
  }

  /** NaN, which equals nothing, for a weight that is no parameter: computed weights change without notice. */
  #versionOf(weight: RawBuffer | null): number {
    if (weight instanceof Parameter) return weight.version;
    return weight === null || this.options.once ? 0 : Number.NaN;
  }
}

/** @throws OST_GRADIENT for small weights, which no backward pass follows. */
function wantTrainable({ type }: PackedWeights): void {
  if (type === "float32") return;
  throw new OstinatoError("OST_GRADIENT", {
    what: "small weights are for inference, and this call would be recorded",
    expected: "weights float32",
    got: type,
    where: "recurrent",
    repair: 'call it in inference(() => ...), or set the weights to "float32" to train',
  });
}

/** The given lengths after checking, or all `time`. @throws OST_LENGTH, OST_SHAPE, OST_ENGINE */
export function resolveLengths(x: Tensor, lengths: Tensor | undefined): Tensor {
  const [batch, time] = x.shape;
  if (lengths === undefined) return integers(new Int32Array(batch).fill(time), [batch], { engine: x.engine });
  if (lengths.dtype !== "int32" || lengths.size !== batch) {
    throw new OstinatoError("OST_SHAPE", {
      what: "one int32 length per row is wanted",
      expected: `int32 [${batch}]`,
      got: `${lengths.dtype} ${describeShape(lengths.shape)}`,
      where: "lengths",
    });
  }
  if (lengths.engine !== x.engine) {
    throw new OstinatoError("OST_ENGINE", {
      what: "tensors of two engines meet",
      got: `${x.engine.name} and ${lengths.engine.name}`,
      where: "lengths",
      repair: "make both with the same engine option",
    });
  }
  const values = lengths.ints();
  for (let b = 0; b < batch; b++) {
    if (values[b] < 0 || values[b] > time) {
      throw new OstinatoError("OST_LENGTH", {
        what: "a length lies outside the batch",
        expected: `0 .. ${time}`,
        got: `${values[b]}`,
        where: `row ${b}`,
      });
    }
  }
  return lengths;
}

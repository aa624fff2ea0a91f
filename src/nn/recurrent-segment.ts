/**
 * @file Activation recomputation: a sequence is run in segments of steps, and of the gates and cells that the backward pass needs only the
 * states at the borders between segments are kept. The backward pass goes from the last segment to the first, runs each forward once more
 * from its border, and then backward: one more forward pass of time for a share of steps / time of the memory.
 *
 * Segments of about sqrt(time) steps balance what is kept against what one segment takes: Chen et al. 2016 (arXiv 1604.06174); for
 * recurrent networks Gruslys et al. 2016 (arXiv 1606.03401).
 *
 * Laws. Outputs and states are those of the whole pass, bit for bit. So are the gradients by inputs and initial states, where the engine
 * carries the gradient by a state in its own float type, as it is stored at a border (the float32 reference carries it in float64). The
 * gradients by weights and biases are sums of the same terms over rows and steps in another order: segment by segment, the last first.
 *
 * Legend: B batch, T time, s steps of a segment, I inputSize, H hiddenSize.
 */
import {
  type CellKind,
  type Kernels,
  type Memory,
  NULL,
  type Pointer,
  type RecurrentBackward,
  type RecurrentForward,
} from "../kernels/index.js";
import { allocate, release } from "../tensor/storage.js";

/** Steps of a segment, or "auto": the square root of the sequence's steps, rounded up. */
export type Recompute = number | "auto";

/** Steps of a segment in a sequence of `time` steps; null where the whole sequence runs at once and everything is kept. */
export function segmentSteps(recompute: Recompute | undefined, time: number): number | null {
  if (recompute === undefined || time === 0) return null;
  return recompute === "auto" ? Math.ceil(Math.sqrt(time)) : Math.min(recompute, time);
}

/** The states kept at the borders, in the order of the walk: [segments - 1, B, H] each; `c` is NULL but for the LSTM. */
export interface Borders {
  h: Pointer;
  c: Pointer;
}

export interface SegmentOptions {
  /** s, 1 .. T */
  steps: number;
  borders: Borders;
}

type Sizes = Pick<RecurrentForward, "cell" | "batch" | "inputSize" | "hiddenSize">;
type Sequence = Omit<RecurrentForward, "packed" | "hN" | "cN">;

/** Values kept per unit and step besides h and c, as in `RecurrentForward.gates`. */
export const GATES_KEPT: Record<CellKind, number> = { rnnTanh: 0, rnnRelu: 0, lstm: 4, gru: 4, gruResetBefore: 4 };

/** `recurrentForward` segment by segment, with the same result; `output` is dense, `gates` and `cells` are not used. */
export function forwardInSegments(engine: Kernels, args: RecurrentForward, { steps, borders }: SegmentOptions): void {
  const walk = new SegmentWalk(engine.memory, args, { steps, borders });
  const blocks = takeBlocks(engine.memory, forwardBlocks(args, steps, engine.memory.bytesPerFloat));
  for (let k = 0; k < walk.count; k++) {
    const after = k === walk.count - 1 ? { h: args.hN, c: args.cN } : walk.border(k);
    const segment = walk.read(k, { ...blocks.at, gates: NULL, cells: NULL });
    engine.recurrentForward({ ...segment, packed: args.packed, hN: after.h, cN: after.c });
    walk.copy(k, "out", blocks.at.output, args.output, args.hiddenSize);
  }
  blocks.release();
}

/** `recurrentBackward` segment by segment after `forwardInSegments`; `output` is dense, `gates`, `cells` and `dGates` are not used. */
export function backwardInSegments(
  engine: Kernels,
  args: RecurrentBackward,
  { packed, ...options }: SegmentOptions & { packed: Pointer },
): void {
  const { memory } = engine;
  const { inputSize, hiddenSize } = args;
  const walk = new SegmentWalk(memory, args, options);
  const wants = { dX: args.dX !== NULL, dOutput: args.dOutput !== NULL };
  const blocks = takeBlocks(memory, backwardBlocks(args, options.steps, memory.bytesPerFloat, wants));
  const { at } = blocks;
  // Gradients by a border's states, turn about in two places, so that those by the initial states end where they are wanted.
  const carried = (k: number) => (k % 2 === 0 ? { dH: args.dH0, dC: args.dC0 } : { dH: at.dH, dC: at.dC });
  for (let k = walk.count - 1; k >= 0; k--) {
    const after = k === walk.count - 1 ? { dH: args.dHN, dC: args.dCN } : carried(k + 1);
    const before = carried(k);
    const segment = walk.read(k, at);
    if (GATES_KEPT[args.cell] > 0) engine.recurrentForward({ ...segment, packed, hN: at.hN, cN: at.cN });
    else walk.copy(k, "in", at.output, args.output, hiddenSize);
    if (wants.dOutput) walk.copy(k, "in", at.dOutput, args.dOutput, hiddenSize);
    if (wants.dX) walk.copy(k, "in", at.dX, args.dX, inputSize);
    engine.recurrentBackward({
      ...args,
      ...segment,
      dOutput: at.dOutput,
      dHN: after.dH,
      dCN: after.dC,
      dGates: at.gates,
      dX: at.dX,
      dH0: before.dH,
      dC0: before.dC,
    });
    if (wants.dX) walk.copy(k, "out", at.dX, args.dX, inputSize);
  }
  blocks.release();
}

/** Bytes of each block that a forward pass takes for its length. */
export function forwardBlocks({ batch, inputSize, hiddenSize }: Sizes, steps: number, bytesPerFloat: number) {
  const perUnit = batch * steps * bytesPerFloat;
  return { lengths: batch * 4, x: perUnit * inputSize, output: perUnit * hiddenSize };
}

/** Bytes of each block that a backward pass takes for its length; 0 for what is not needed. */
export function backwardBlocks(
  sizes: Sizes,
  steps: number,
  bytesPerFloat: number,
  { dX, dOutput }: { dX: boolean; dOutput: boolean },
) {
  const forward = forwardBlocks(sizes, steps, bytesPerFloat);
  const state = sizes.batch * sizes.hiddenSize * bytesPerFloat;
  const cell = sizes.cell === "lstm" ? 1 : 0;
  return {
    ...forward,
    gates: Math.max(1, GATES_KEPT[sizes.cell]) * forward.output,
    cells: cell * forward.output,
    hN: state,
    cN: cell * state,
    dH: state,
    dC: cell * state,
    dOutput: dOutput ? forward.output : 0,
    dX: dX ? forward.x : 0,
  };
}

/** The segments of one sequence in the order in which the recurrence meets them, and the copies between a segment and the whole. */
class SegmentWalk {
  readonly count: number;

  constructor(
    readonly memory: Memory,
    readonly args: Sequence,
    readonly options: SegmentOptions,
  ) {
    this.count = Math.ceil(args.time / options.steps);
  }

  /** The states between segments k and k + 1. */
  border(k: number): Borders {
    const { h, c } = this.options.borders;
    const start = k * this.args.batch * this.args.hiddenSize * this.memory.bytesPerFloat;
    return { h: h + start, c: c === NULL ? NULL : c + start };
  }

  /** Copies the lengths and inputs of segment k, and gives the arguments that run it. */
  read(k: number, at: Record<"lengths" | "x" | "output" | "gates" | "cells", Pointer>): Sequence {
    const { cell, batch, inputSize, hiddenSize, reverse, lengths, x, h0, c0 } = this.args;
    const [start, time] = this.#span(k);
    const [whole, own] = [this.memory.intsAt(lengths, batch), this.memory.intsAt(at.lengths, batch)];
    for (let b = 0; b < batch; b++) own[b] = Math.min(Math.max(whole[b] - start, 0), time);
    this.copy(k, "in", at.x, x, inputSize);
    const before = k === 0 ? { h: h0, c: c0 } : this.border(k - 1);
    return {
      cell,
      batch,
      time,
      inputSize,
      hiddenSize,
      reverse,
      lengths: at.lengths,
      x: at.x,
      h0: before.h,
      c0: before.c,
      output: at.output,
      outputStride: hiddenSize,
      gates: GATES_KEPT[cell] > 0 ? at.gates : NULL,
      cells: at.cells,
    };
  }

  /** Copies between a segment's own array [B, s, width] and its steps of the whole [B, T, width]. */
  copy(k: number, direction: "in" | "out", part: Pointer, whole: Pointer, width: number): void {
    const { floats, bytesPerFloat } = this.memory;
    const [start, time] = this.#span(k);
    for (let b = 0; b < this.args.batch; b++) {
      const inPart = part / bytesPerFloat + b * time * width;
      const inWhole = whole / bytesPerFloat + (b * this.args.time + start) * width;
      const [to, from] = direction === "in" ? [inPart, inWhole] : [inWhole, inPart];
      floats.copyWithin(to, from, from + time * width);
    }
  }

  /** First time step and number of steps. A row that ends before a segment has no step in it; in reverse the walk begins at the end. */
  #span(k: number): [start: number, time: number] {
    const { time, reverse } = this.args;
    const { steps } = this.options;
    const start = (reverse ? this.count - 1 - k : k) * steps;
    return [start, Math.min(steps, time - start)];
  }
}

/** Takes blocks of so many bytes; NULL stands for one of none. */
function takeBlocks<N extends string>(memory: Memory, bytes: Record<N, number>) {
  const taken = (Object.entries(bytes) as [N, number][]).map(
    ([name, size]) => [name, size > 0 ? allocate(memory, size) : null] as const,
  );
  return {
    at: Object.fromEntries(taken.map(([name, storage]) => [name, storage?.pointer ?? NULL])) as Record<N, Pointer>,
    release: () => {
      for (const [, storage] of taken) if (storage) release(storage);
    },
  };
}

/**
 * @file A recurrence step by step through autograd, with what the fused operation has not: a projection of h, a mask on the h that the gates
 * see, and zoneout.
 *
 * Wherever a plain step is part of it, that step is the fused operation on a sequence of one. It is not where h is projected, nor in a GRU with
 * a mask, whose gates see another h than its interpolation: there the input's product is taken for all steps at once, and each adds the
 * product of h. Either way all sums are the same in any batch and any cut of the sequence.
 */
import type { Rng } from "../core/rng.js";
import type { CellKind } from "../kernels/index.js";
import { apply, applyAll, concatenate, integers, Parameter, type Tensor, zeros } from "../tensor/index.js";
import { linear } from "../tensor/ops/matmul.js";
import { selectRows } from "../tensor/ops/reshape.js";
import { PackedMatrix, packOnce } from "../tensor/packed-matrix.js";
import { release, type Storage } from "../tensor/storage.js";
import { gruStep, lstmStep } from "./cell-step.js";
import { type DropoutMask, lockedDropout } from "./dropout.js";
import { clearPadding } from "./padding.js";
import { type PackedWeights, recurrent } from "./recurrent-op.js";
import { zoneout } from "./zoneout.js";

/** The weights of one direction of one layer; gates in PyTorch's order. R is H, or what `hr` projects to. */
export interface DirectionWeights {
  /** [G*H, I] */
  ih: Tensor;
  /** [G*H, R] */
  hh: Tensor;
  /** [G*H] each */
  bias: { ih: Tensor; hh: Tensor } | null;
  /** [R, H] */
  hr: Tensor | null;
}

export interface RecurrentStepsOptions {
  cell: CellKind;
  /** As `RecurrentForward.reverse`. */
  reverse: boolean;
  /** Of these weights; not used where steps are not fused. */
  packed: PackedWeights;
  /** int32 [batch] */
  lengths: Tensor;
  /** Of batch * R values, on h where the gates read it. */
  recurrentMask: DropoutMask | null;
  /** Shares of h and c. */
  zoneout: { hidden: number; cell: number };
  /** Draws zoneout's masks; absent: its expectation. */
  rng?: Rng;
}

interface Carried {
  h: Tensor;
  c: Tensor | null;
}

/** The plain step at time t. */
type Step = (t: number, carried: Carried, seen: Tensor, active: Uint8Array) => Carried;

/** Whether the plain step within such a step is the fused operation. */
export function stepsAreFused(cell: CellKind, { projected, masked }: { projected: boolean; masked: boolean }): boolean {
  return !projected && !(masked && cell.startsWith("gru"));
}

/**
 * @param x [batch, time, I]
 * @returns output [batch, time, R], zero at padding; h [batch, R] and c [batch, H] behind each row's last step
 */
export function recurrentSteps(
  x: Tensor,
  weights: DirectionWeights,
  state: Carried,
  { cell, reverse, packed, lengths, recurrentMask, zoneout: shares, rng }: RecurrentStepsOptions,
): { output: Tensor } & Carried {
  const [batch, time] = x.shape;
  const { engine } = x;
  const valid = lengths.ints().slice();
  const width = state.h.shape[1];
  const fused = stepsAreFused(cell, { projected: weights.hr !== null, masked: recurrentMask !== null });
  const products = fused ? null : new Products(clearPadding(x, lengths), weights, cell);
  const step: Step = products?.step ?? fusedStep(x, weights, cell, packed);
  const nothing = zeros([batch, width], { engine });
  const outputs: Tensor[] = new Array(time);
  let carried = state;
  for (let i = 0; i < time; i++) {
    const t = reverse ? time - 1 - i : i;
    const active = Uint8Array.from(valid, (length) => (t < length ? 1 : 0));
    const made = step(t, carried, recurrentMask ? lockedDropout(carried.h, recurrentMask) : carried.h, active);
    const next = {
      h: zoneout(made.h, carried.h, shares.hidden, rng),
      c: made.c && carried.c && zoneout(made.c, carried.c, shares.cell, rng),
    };
    let output = next.h;
    if (active.includes(0)) {
      const select = (taken: Tensor, other: Tensor) => apply(selectRows, [taken, other], { mask: active });
      output = select(next.h, nothing);
      carried = { h: select(next.h, carried.h), c: next.c && carried.c && select(next.c, carried.c) };
    } else {
      carried = next;
    }
    outputs[t] = output.reshape([batch, 1, width]);
  }
  products?.release();
  const output = time > 0 ? concatenate(outputs, 1) : zeros([batch, 0, width], { engine });
  return { output, ...carried };
}

function fusedStep(x: Tensor, { ih, hh, bias }: DirectionWeights, cell: CellKind, packed: PackedWeights): Step {
  const weights = bias ? [ih, hh, bias.ih, bias.hh] : [ih, hh];
  return (t, { c }, seen, active) => {
    const lengths = integers(active, [active.length], { engine: x.engine });
    const inputs = [x.slice(1, t, t + 1), ...weights, seen, ...(c ? [c] : [])];
    const [, h, cells = null] = applyAll(recurrent, inputs, { cell, bias: bias !== null, reverse: false, lengths, packed });
    return { h, c: cells };
  };
}

const packedOf = new WeakMap<Parameter, PackedMatrix>();

/** Steps of an LSTM or a GRU from matrix products, with weights packed once for all of them. */
class Products {
  readonly #taken: Storage[] = [];
  /** [B, T, G*H], with its bias */
  readonly #fromInput: Tensor;
  readonly #ofHidden: (h: Tensor) => Tensor;
  /** Of the candidate alone: GRU with the reset gate before the product. */
  readonly #ofReset: ((h: Tensor) => Tensor) | null = null;
  readonly #project: (h: Tensor) => Tensor;

  constructor(x: Tensor, { ih, hh, bias, hr }: DirectionWeights, cell: CellKind) {
    this.#fromInput = this.#product(ih, bias?.ih)(x);
    if (cell === "gruResetBefore") {
      const [gates, all] = [(hh.shape[0] / 3) * 2, hh.shape[0]];
      this.#ofHidden = this.#product(hh.slice(0, 0, gates), bias?.hh.slice(0, 0, gates));
      this.#ofReset = this.#product(hh.slice(0, gates, all), bias?.hh.slice(0, gates, all));
    } else {
      this.#ofHidden = this.#product(hh, bias?.hh);
    }
    this.#project = hr ? this.#product(hr) : (h) => h;
  }

  readonly step: Step = (t, { h, c }, seen) => {
    const [batch, , rows] = this.#fromInput.shape;
    const at = this.#fromInput.slice(1, t, t + 1).reshape([batch, rows]);
    const fromHidden = this.#ofHidden(seen);
    if (c) {
      const { hidden, cell } = lstmStep(at.add(fromHidden), c);
      return { h: this.#project(hidden), c: cell };
    }
    const H = h.shape[1];
    const candidate = (r: Tensor) =>
      this.#ofReset ? this.#ofReset(r.multiply(seen)) : r.multiply(fromHidden.slice(1, 2 * H, 3 * H));
    return { h: gruStep(at, fromHidden, h, candidate), c: null };
  };

  /** Gives back what was packed for this call alone. */
  release(): void {
    for (const storage of this.#taken) release(storage);
  }

  #product(weight: Tensor, bias?: Tensor): (x: Tensor) => Tensor {
    const packed = this.#pack(weight);
    return (x) => apply(linear, bias ? [x, weight, bias] : [x, weight], { packed });
  }

  #pack(weight: Tensor): number {
    if (!(weight instanceof Parameter)) {
      const once = packOnce(weight);
      this.#taken.push(once);
      return once.pointer;
    }
    let matrix = packedOf.get(weight);
    if (matrix === undefined) {
      matrix = new PackedMatrix();
      packedOf.set(weight, matrix);
    }
    return matrix.refresh(weight);
  }
}

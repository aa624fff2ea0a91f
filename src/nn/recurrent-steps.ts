/**
 * @file A recurrence step by step through autograd, with what the fused operation has not: a projection of h, a mask on the h that the gates
 * see, and zoneout.
 *
 * The input's product is taken for all steps at once; each step adds the product of h, and both are the same sums in any batch and any cut of
 * the sequence.
 */
import type { Rng } from "../core/rng.js";
import type { CellKind } from "../kernels/index.js";
import { apply, concatenate, Parameter, type Tensor, zeros } from "../tensor/index.js";
import { linear } from "../tensor/ops/matmul.js";
import { selectRows } from "../tensor/ops/reshape.js";
import { PackedMatrix, packOnce } from "../tensor/packed-matrix.js";
import { release, type Storage } from "../tensor/storage.js";
import { gruStep, lstmStep, rnnStep } from "./cell-step.js";
import { type DropoutMask, lockedDropout } from "./dropout.js";
import { clearPadding } from "./padding.js";
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

/**
 * @param x [batch, time, I]
 * @returns output [batch, time, R], zero at padding; h [batch, R] and c [batch, H] behind each row's last step
 */
export function recurrentSteps(
  x: Tensor,
  weights: DirectionWeights,
  state: Carried,
  { cell, reverse, lengths, recurrentMask, zoneout: shares, rng }: RecurrentStepsOptions,
): { output: Tensor } & Carried {
  const [batch, time] = x.shape;
  const valid = lengths.ints().slice();
  const width = state.h.shape[1];
  const nothing = zeros([batch, width], { engine: x.engine });
  const products = new Products(weights, cell);
  const fromInput = products.ofInput(clearPadding(x, lengths));
  const outputs: Tensor[] = new Array(time);
  let carried = state;
  for (let step = 0; step < time; step++) {
    const t = reverse ? time - 1 - step : step;
    const seen = recurrentMask ? lockedDropout(carried.h, recurrentMask) : carried.h;
    const at = fromInput.slice(1, t, t + 1).reshape([batch, fromInput.shape[2]]);
    const made = products.step(at, seen, carried);
    const next = {
      h: zoneout(made.h, carried.h, shares.hidden, rng),
      c: made.c && carried.c && zoneout(made.c, carried.c, shares.cell, rng),
    };
    let output = next.h;
    if (valid.every((length) => t < length)) {
      carried = next;
    } else {
      const mask = Uint8Array.from(valid, (length) => (t < length ? 1 : 0));
      const select = (taken: Tensor, other: Tensor) => apply(selectRows, [taken, other], { mask });
      output = select(next.h, nothing);
      carried = { h: select(next.h, carried.h), c: next.c && carried.c && select(next.c, carried.c) };
    }
    outputs[t] = output.reshape([batch, 1, width]);
  }
  products.release();
  const output = time > 0 ? concatenate(outputs, 1) : zeros([batch, 0, width], { engine: x.engine });
  return { output, ...carried };
}

const packedOf = new WeakMap<Parameter, PackedMatrix>();

/** The matrix products of one direction, from weights packed once for all steps. */
class Products {
  readonly #taken: Storage[] = [];
  readonly ofInput: (x: Tensor) => Tensor;
  readonly #ofHidden: (h: Tensor) => Tensor;
  /** Of the candidate alone: GRU with the reset gate before the product. */
  readonly #ofReset: ((h: Tensor) => Tensor) | null = null;
  readonly #project: ((h: Tensor) => Tensor) | null;
  readonly #cell: CellKind;

  constructor({ ih, hh, bias, hr }: DirectionWeights, cell: CellKind) {
    this.#cell = cell;
    this.ofInput = this.#product(ih, bias?.ih);
    if (cell === "gruResetBefore") {
      const [gates, all] = [(hh.shape[0] / 3) * 2, hh.shape[0]];
      this.#ofHidden = this.#product(hh.slice(0, 0, gates), bias?.hh.slice(0, 0, gates));
      this.#ofReset = this.#product(hh.slice(0, gates, all), bias?.hh.slice(0, gates, all));
    } else {
      this.#ofHidden = this.#product(hh, bias?.hh);
    }
    this.#project = hr && this.#product(hr);
  }

  /** @param at the input's product at this step @param seen what the gates see of h */
  step(at: Tensor, seen: Tensor, { h, c }: Carried): Carried {
    const fromHidden = this.#ofHidden(seen);
    if (c) {
      const { hidden, cell } = lstmStep(at.add(fromHidden), c);
      return { h: this.#project ? this.#project(hidden) : hidden, c: cell };
    }
    if (this.#cell === "gru" || this.#cell === "gruResetBefore") {
      const H = h.shape[1];
      const candidate = (r: Tensor) =>
        this.#ofReset ? this.#ofReset(r.multiply(seen)) : r.multiply(fromHidden.slice(1, 2 * H, 3 * H));
      return { h: gruStep(at, fromHidden, h, candidate), c: null };
    }
    return { h: rnnStep(at.add(fromHidden), this.#cell === "rnnRelu" ? "relu" : "tanh"), c: null };
  }

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

/**
 * @file Gated recurrent unit: one cell and the stacked layer, with either position of the reset gate.
 *
 *     r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)                 reset gate
 *     z_t = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)                 update gate
 *     n_t = tanh(W_in x_t + b_in + r_t * (W_hn h_{t-1} + b_hn))            candidate, reset after the product (PyTorch, cuDNN)
 *     n_t = tanh(W_in x_t + b_in + W_hn (r_t * h_{t-1}) + b_hn)            candidate, reset before it (the form of 2014)
 *     h_t = (1 - z_t) * n_t + z_t * h_{t-1}
 *
 * Parameters are named and ordered as in PyTorch, gates r z n:
 *     weight_ih_l{k} [3H, I]   weight_hh_l{k} [3H, H]   bias_ih_l{k} [3H]   bias_hh_l{k} [3H]
 *
 * The whole time loop of the layer runs in one kernel call (kernels/gru.c); `Recurrent(new GRUCell(...))` computes the same numbers step by
 * step and is the oracle for it. Source: Cho et al. 2014 (arXiv 1406.1078).
 */
import type { Tensor } from "../tensor/index.js";
import { gruStep } from "./cell-step.js";
import { RecurrentCell, type RecurrentCellOptions } from "./recurrent-cell.js";
import { RecurrentLayer, type RecurrentOptions } from "./recurrent-layer.js";
import type { State } from "./state.js";

export class GRU extends RecurrentLayer {
  /** @param options as for every recurrent layer, and `resetAfter`: whether the reset gate acts after the product; default true. */
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions & { resetAfter?: boolean }) {
    super((options.resetAfter ?? true) ? "gru" : "gruResetBefore", 3, inputSize, hiddenSize, options);
  }

  get resetAfter(): boolean {
    return this.cell === "gru";
  }
}

export class GRUCell extends RecurrentCell {
  readonly resetAfter: boolean;

  constructor(
    inputSize: number,
    hiddenSize: number,
    { resetAfter = true, ...options }: RecurrentCellOptions & { resetAfter?: boolean },
  ) {
    super(3, ["h"], inputSize, hiddenSize, options);
    this.resetAfter = resetAfter;
  }

  override step(x: Tensor, { h }: State): { output: Tensor; state: State } {
    const H = this.hiddenSize;
    const fromInput = x.linear(this.weight_ih, this.bias_ih);
    const fromHidden = h.linear(this.weight_hh, this.bias_hh);
    const candidate = (r: Tensor) =>
      this.resetAfter
        ? r.multiply(fromHidden.slice(1, 2 * H, 3 * H))
        : r.multiply(h).linear(this.weight_hh.slice(0, 2 * H, 3 * H), this.bias_hh.slice(0, 2 * H, 3 * H));
    const next = gruStep(fromInput, fromHidden, h, candidate);
    return { output: next, state: { h: next } };
  }
}

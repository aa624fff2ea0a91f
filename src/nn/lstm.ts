/**
 * @file Long short-term memory: one cell and the stacked layer.
 *
 *     i_t = sigmoid(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)     input gate
 *     f_t = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)     forget gate
 *     g_t = tanh   (W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)     candidate
 *     o_t = sigmoid(W_io x_t + b_io + W_ho h_{t-1} + b_ho)     output gate
 *     c_t = f_t * c_{t-1} + i_t * g_t
 *     h_t = o_t * tanh(c_t)
 *
 * Parameters are named and ordered as in PyTorch, gates i f g o:
 *     weight_ih_l{k} [4H, I]   weight_hh_l{k} [4H, H]   bias_ih_l{k} [4H]   bias_hh_l{k} [4H]
 *
 * With a projection (Sak, Senior & Beaufays 2014) h_t = W_hr (o_t * tanh(c_t)), weight_hr_l{k} [R, H], and every W_h* is [H, R]; such a layer
 * runs step by step (recurrent-steps.ts).
 *
 * The whole time loop of the layer runs in one kernel call (kernels/lstm.c); `Recurrent(new LSTMCell(...))` computes the same numbers step
 * by step and is the oracle for it.
 * Sources: Hochreiter & Schmidhuber 1997, Neural Computation 9(8); forget gate: Gers, Schmidhuber & Cummins 2000; forget bias of 1:
 * Jozefowicz, Zaremba & Sutskever 2015.
 */
import type { Tensor } from "../tensor/index.js";
import { lstmStep } from "./cell-step.js";
import { RecurrentCell, type RecurrentCellOptions } from "./recurrent-cell.js";
import { RecurrentLayer, type RecurrentOptions } from "./recurrent-layer.js";
import type { State } from "./state.js";

export class LSTM extends RecurrentLayer {
  /** @param options as for every recurrent layer, and `forgetBias`: the forget gates' whole initial bias, for example 1. */
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions & { forgetBias?: number }) {
    super("lstm", 4, inputSize, hiddenSize, options);
    const { forgetBias } = options;
    if (forgetBias === undefined) return;
    for (const [name, bias] of this.namedParameters()) {
      if (!name.startsWith("bias_")) continue;
      const values = bias
        .floats()
        .slice()
        .fill(name.startsWith("bias_ih") ? forgetBias : 0, bias.size / 4, bias.size / 2);
      bias.assign(values);
    }
  }
}

export class LSTMCell extends RecurrentCell {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentCellOptions) {
    super(4, ["h", "c"], inputSize, hiddenSize, options);
  }

  override step(x: Tensor, { h, c }: State): { output: Tensor; state: State } {
    const gates = x.linear(this.weight_ih, this.bias_ih).add(h.linear(this.weight_hh, this.bias_hh));
    const { hidden, cell } = lstmStep(gates, c);
    return { output: hidden, state: { h: hidden, c: cell } };
  }
}

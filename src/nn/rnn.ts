/**
 * @file The vanilla recurrent network: one cell and the stacked layer.
 *
 *     h_t = phi(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)      phi: tanh or relu
 *
 * The whole time loop of the layer runs in one kernel call (kernels/rnn.c); `Recurrent(new RNNCell(...))` computes the same numbers step by
 * step and is the oracle for it. Source: Elman 1990, Cognitive Science 14(2).
 */
import type { Tensor } from "../tensor/index.js";
import { RecurrentCell, type RecurrentCellOptions } from "./recurrent-cell.js";
import { RecurrentLayer, type RecurrentOptions } from "./recurrent-layer.js";
import type { State } from "./state.js";

export type Nonlinearity = "tanh" | "relu";

export class RNN extends RecurrentLayer {
  /** @param options as for every recurrent layer, and `nonlinearity`: "tanh" (default) or "relu". */
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions & { nonlinearity?: Nonlinearity }) {
    super(options.nonlinearity === "relu" ? "rnnRelu" : "rnnTanh", 1, inputSize, hiddenSize, options);
  }
}

export class RNNCell extends RecurrentCell {
  readonly nonlinearity: Nonlinearity;

  constructor(
    inputSize: number,
    hiddenSize: number,
    { nonlinearity = "tanh", ...options }: RecurrentCellOptions & { nonlinearity?: Nonlinearity },
  ) {
    super(1, ["h"], inputSize, hiddenSize, options);
    this.nonlinearity = nonlinearity;
  }

  override step(x: Tensor, { h }: State): { output: Tensor; state: State } {
    const before = x.linear(this.weight_ih, this.bias_ih).add(h.linear(this.weight_hh, this.bias_hh));
    const next = this.nonlinearity === "relu" ? before.relu() : before.tanh();
    return { output: next, state: { h: next } };
  }
}

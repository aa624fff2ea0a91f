/**
 * @file The vanilla recurrent network: one cell and the stacked layer.
 *
 *     h_t = phi(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)      phi: tanh or relu
 *
 * The whole time loop of the layer runs in one kernel call (kernels/rnn.c); `Recurrent(new RNNCell(...))` computes the same numbers step by
 * step and is the oracle for it. Source: Elman 1990, Cognitive Science 14(2).
 */
import type { Rng } from "../core/rng.js";
import type { Kernels } from "../kernels/index.js";
import { type Parameter, parameter, type Tensor } from "../tensor/index.js";
import { Cell } from "./cell.js";
import { uniformInit } from "./init.js";
import { RecurrentLayer, type RecurrentOptions } from "./recurrent-layer.js";
import type { State } from "./state.js";

export type Nonlinearity = "tanh" | "relu";

export class RNN extends RecurrentLayer {
  /** @param options as for every recurrent layer, and `nonlinearity`: "tanh" (default) or "relu". */
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions & { nonlinearity?: Nonlinearity }) {
    super(options.nonlinearity === "relu" ? "rnnRelu" : "rnnTanh", 1, inputSize, hiddenSize, options);
  }
}

export class RNNCell extends Cell {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly stateSpec: { h: number };
  readonly nonlinearity: Nonlinearity;
  readonly weight_ih: Parameter;
  readonly weight_hh: Parameter;
  readonly bias_ih: Parameter;
  readonly bias_hh: Parameter;

  constructor(
    inputSize: number,
    hiddenSize: number,
    { rng, nonlinearity = "tanh", engine }: { rng: Rng; nonlinearity?: Nonlinearity; engine?: Kernels },
  ) {
    super();
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.stateSpec = { h: hiddenSize };
    this.nonlinearity = nonlinearity;
    const draw = (...shape: number[]) =>
      parameter(
        uniformInit(
          rng,
          shape.reduce((a, b) => a * b),
          hiddenSize ** -0.5,
        ),
        shape,
        { engine },
      );
    this.weight_ih = draw(hiddenSize, inputSize);
    this.weight_hh = draw(hiddenSize, hiddenSize);
    this.bias_ih = draw(hiddenSize);
    this.bias_hh = draw(hiddenSize);
  }

  override step(x: Tensor, { h }: State): { output: Tensor; state: State } {
    const before = x.linear(this.weight_ih, this.bias_ih).add(h.linear(this.weight_hh, this.bias_hh));
    const next = this.nonlinearity === "relu" ? before.relu() : before.tanh();
    return { output: next, state: { h: next } };
  }
}

/**
 * @file Elman's network.
 *
 *     h_t = act(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)        act = tanh or relu
 *
 * Source: Elman 1990, Finding Structure in Time, Cognitive Science 14(2).
 */
import { relu } from "./activation.js";
import { addTransposed, type Cell, operand, preActivation } from "./recurrent.js";

function rnn(activation: (x: number) => number, derivative: (y: number) => number): Cell {
  return {
    gates: 1,
    saved: 0,

    forward(weights, { x, h, output }) {
      const [u, v] = [operand(weights, x), operand(weights, h)];
      for (let j = 0; j < weights.hiddenSize; j++) output[j] = activation(preActivation(weights, j, u, v));
    },

    backward(weights, { output }, gradients) {
      const H = weights.hiddenSize;
      for (let j = 0; j < H; j++) {
        const slope = derivative(output[j]);
        gradients.input[j] = gradients.hidden[j] = slope === 0 ? 0 : gradients.h[j] * slope;
      }
      gradients.h.fill(0);
      addTransposed(weights.weightHh, 0, H, gradients.hidden, gradients.h);
    },
  };
}

export const rnnTanh = rnn(Math.tanh, (y) => 1 - y * y);
export const rnnRelu = rnn(relu, (y) => (y > 0 ? 1 : 0));

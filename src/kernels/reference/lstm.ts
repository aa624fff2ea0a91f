/**
 * @file Long short-term memory.
 *
 *     i_t = sigmoid(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)     input gate
 *     f_t = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)     forget gate
 *     g_t = tanh   (W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)     candidate
 *     o_t = sigmoid(W_io x_t + b_io + W_ho h_{t-1} + b_ho)     output gate
 *     c_t = f_t c_{t-1} + i_t g_t
 *     h_t = o_t tanh(c_t)
 *
 * Kept for the backward pass: i f g o after activation, and c_t.
 * Sources: Hochreiter & Schmidhuber 1997, Neural Computation 9(8); forget gate: Gers, Schmidhuber & Cummins 2000.
 */
import { sigmoid } from "./activation.js";
import { addTransposed, type Cell, operand, preActivation } from "./recurrent.js";

export const lstm: Cell = {
  gates: 4,
  saved: 4,

  forward(weights, { x, h, c, output, cell, gates }) {
    const H = weights.hiddenSize;
    const [u, v] = [operand(weights, x), operand(weights, h)];
    for (let j = 0; j < H; j++) {
      const i = sigmoid(preActivation(weights, j, u, v));
      const f = sigmoid(preActivation(weights, H + j, u, v));
      const g = Math.tanh(preActivation(weights, 2 * H + j, u, v));
      const o = sigmoid(preActivation(weights, 3 * H + j, u, v));
      cell[j] = f * c[j] + i * g;
      output[j] = o * Math.tanh(cell[j]);
      gates[j] = i;
      gates[H + j] = f;
      gates[2 * H + j] = g;
      gates[3 * H + j] = o;
    }
  },

  backward(weights, { c, cell, gates }, gradients) {
    const H = weights.hiddenSize;
    for (let j = 0; j < H; j++) {
      const [i, f, g, o] = [gates[j], gates[H + j], gates[2 * H + j], gates[3 * H + j]];
      const tanhC = Math.tanh(cell[j]);
      const dh = gradients.h[j];
      const dc = gradients.c[j] + dh * o * (1 - tanhC * tanhC);
      gradients.hidden[j] = dc * g * i * (1 - i);
      gradients.hidden[H + j] = dc * c[j] * f * (1 - f);
      gradients.hidden[2 * H + j] = dc * i * (1 - g * g);
      gradients.hidden[3 * H + j] = dh * tanhC * o * (1 - o);
      gradients.c[j] = dc * f;
    }
    gradients.input.set(gradients.hidden);
    gradients.h.fill(0);
    addTransposed(weights.weightHh, 0, 4 * H, gradients.hidden, gradients.h);
  },
};

/**
 * @file Gated recurrent unit, with both positions of the reset gate.
 *
 *     r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)               reset gate
 *     z_t = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)               update gate
 *     n_t = tanh(W_in x_t + b_in + r_t (W_hn h_{t-1} + b_hn))            candidate, reset after the product
 *     n_t = tanh(W_in x_t + b_in + W_hn (r_t h_{t-1}) + b_hn)            candidate, reset before the product
 *     h_t = (1 - z_t) n_t + z_t h_{t-1}
 *
 * Kept for the backward pass: r z n after activation, then q = W_hn h + b_hn (after) or q = r h (before).
 * Sources: Cho et al. 2014, EMNLP (before); Chung et al. 2014, arXiv:1412.3555, and cuDNN (after).
 */
import { sigmoid } from "./activation.js";
import { addTransposed, type Cell, operand, preActivation, product } from "./recurrent.js";

/** The reset gate scales the product W_hn h + b_hn. */
export const gru: Cell = {
  gates: 3,
  saved: 4,

  forward(weights, { x, h, output, gates }) {
    const H = weights.hiddenSize;
    const [u, v] = [operand(weights, x), operand(weights, h)];
    for (let j = 0; j < H; j++) {
      const r = sigmoid(preActivation(weights, j, u, v));
      const z = sigmoid(preActivation(weights, H + j, u, v));
      const q = product(weights.weightHh, 2 * H + j, v, weights.biasHh[2 * H + j]);
      const n = Math.tanh(product(weights.weightIh, 2 * H + j, u, weights.biasIh[2 * H + j]) + r * q);
      output[j] = (1 - z) * n + z * h[j];
      gates[j] = r;
      gates[H + j] = z;
      gates[2 * H + j] = n;
      gates[3 * H + j] = q;
    }
  },

  backward(weights, { h, gates }, gradients) {
    const H = weights.hiddenSize;
    for (let j = 0; j < H; j++) {
      const [r, z, n, q] = [gates[j], gates[H + j], gates[2 * H + j], gates[3 * H + j]];
      const dh = gradients.h[j];
      const dn = dh * (1 - z) * (1 - n * n);
      gradients.input[j] = gradients.hidden[j] = dn * q * r * (1 - r);
      gradients.input[H + j] = gradients.hidden[H + j] = dh * (h[j] - n) * z * (1 - z);
      gradients.input[2 * H + j] = dn;
      gradients.hidden[2 * H + j] = dn * r;
      gradients.h[j] = dh * z;
    }
    addTransposed(weights.weightHh, 0, 3 * H, gradients.hidden, gradients.h);
  },
};

/** The reset gate scales h before the product: W_hn (r h) + b_hn. */
export const gruResetBefore: Cell = {
  gates: 3,
  saved: 4,

  forward(weights, { x, h, output, gates }) {
    const H = weights.hiddenSize;
    const q = gates.subarray(3 * H);
    const [u, v] = [operand(weights, x), operand(weights, h)];
    for (let j = 0; j < H; j++) {
      gates[j] = sigmoid(preActivation(weights, j, u, v));
      gates[H + j] = sigmoid(preActivation(weights, H + j, u, v));
      q[j] = gates[j] * h[j];
    }
    const scaled = operand(weights, q);
    for (let j = 0; j < H; j++) {
      const n = Math.tanh(preActivation(weights, 2 * H + j, u, scaled));
      const z = gates[H + j];
      output[j] = (1 - z) * n + z * h[j];
      gates[2 * H + j] = n;
    }
  },

  backward(weights, { h, gates }, gradients) {
    const H = weights.hiddenSize;
    for (let j = 0; j < H; j++) {
      const [z, n] = [gates[H + j], gates[2 * H + j]];
      const dh = gradients.h[j];
      gradients.hidden[H + j] = dh * (h[j] - n) * z * (1 - z);
      gradients.hidden[2 * H + j] = dh * (1 - z) * (1 - n * n);
      gradients.h[j] = dh * z;
    }
    const dq = new Float64Array(H);
    addTransposed(weights.weightHh, 2 * H, H, gradients.hidden, dq);
    for (let j = 0; j < H; j++) {
      const r = gates[j];
      gradients.hidden[j] = dq[j] * h[j] * r * (1 - r);
      gradients.h[j] += dq[j] * r;
    }
    gradients.input.set(gradients.hidden);
    addTransposed(weights.weightHh, 0, 2 * H, gradients.hidden, gradients.h);
  },

  hiddenOperand({ h, gates }, gate) {
    return gate === 2 ? gates.subarray(3 * h.length) : h;
  },
};

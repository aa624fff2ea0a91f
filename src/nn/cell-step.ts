/**
 * @file The elementwise part of one step of an LSTM and a GRU, between its matrix products. Equations and sources: lstm.ts, gru.ts.
 *
 * Legend: B batch, H hiddenSize. Pre-activations hold both biases.
 */
import type { Tensor } from "../tensor/index.js";

/** gates [B, 4H], c [B, H] */
export function lstmStep(gates: Tensor, c: Tensor): { hidden: Tensor; cell: Tensor } {
  const H = c.shape[1];
  const i = gates.slice(1, 0, H).sigmoid();
  const f = gates.slice(1, H, 2 * H).sigmoid();
  const g = gates.slice(1, 2 * H, 3 * H).tanh();
  const o = gates.slice(1, 3 * H, 4 * H).sigmoid();
  const cell = f.multiply(c).add(i.multiply(g));
  return { hidden: o.multiply(cell.tanh()), cell };
}

/**
 * @param fromInput  [B, 3H]
 * @param fromHidden [B, 2H or more], of which the gates r and z are read
 * @param h          [B, H]
 * @param candidate  the recurrent part of the candidate, [B, H], given r
 */
export function gruStep(fromInput: Tensor, fromHidden: Tensor, h: Tensor, candidate: (r: Tensor) => Tensor): Tensor {
  const H = h.shape[1];
  const gate = (k: number) =>
    fromInput
      .slice(1, k * H, (k + 1) * H)
      .add(fromHidden.slice(1, k * H, (k + 1) * H))
      .sigmoid();
  const r = gate(0);
  const z = gate(1);
  const n = fromInput
    .slice(1, 2 * H, 3 * H)
    .add(candidate(r))
    .tanh();
  return n.add(z.multiply(h.subtract(n)));
}
